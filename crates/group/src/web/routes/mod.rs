//! Which pages there are, who may see them, and what their forms do.
//!
//! A form that was carried out answers with the way to the page that shows what has become of it
//! (303), so that loading again repeats nothing. A form that was refused comes back with what was
//! entered and why, where that helps; else with the page of the problem.

mod access;
mod account;
mod device;
mod group;
mod groups;
mod joining;
mod revoking;
mod settings;

use maud::Markup;
use serde::Deserialize;
use warp::http::{HeaderValue, Method, StatusCode, header};
use warp::reply::Response;

use super::form::CsrfToken;
use super::page::{Frame, Said};
use super::pages::{encoded, failure};
use crate::http::{Access, Ask, Problem, Route, Routes, Site, now, see_other, text};
use crate::oidc;
use crate::store::{Cursor, Paged};

/// All pages.
pub fn pages() -> Routes {
    use Access::{Anyone, Browser, OwnPages};
    let pages = vec![
        Route::get("/assets/{file}", Anyone, access::asset),
        Route::get("/login", OwnPages, access::log_in_page),
        Route::post("/login", OwnPages, access::log_in),
        Route::get("/signup", OwnPages, access::sign_up_page),
        Route::post("/signup", OwnPages, access::sign_up),
        Route::post("/logout", Browser, access::log_out),
        Route::get("/", Browser, groups::home),
        Route::get("/groups", Browser, groups::find),
        Route::post("/groups", Browser, groups::create),
        Route::get("/groups/new", Browser, groups::create_page),
        Route::get("/groups/{group}", Browser, group::overview),
        Route::post("/groups/{group}/blob", Browser, group::blob),
        Route::get("/groups/{group}/tokens", Browser, group::tokens),
        Route::get("/groups/{group}/tokens/{token}/end", Browser, group::end_token_page),
        Route::post("/groups/{group}/tokens/{token}/end", Browser, group::end_token),
        Route::get("/groups/{group}/nodes/{node}", Browser, group::node),
        Route::get("/groups/{group}/requests", Browser, joining::requests),
        Route::post("/groups/{group}/requests", Browser, joining::ask_to_join),
        Route::post("/groups/{group}/requests/{request}/withdraw", Browser, joining::withdraw),
        Route::post("/groups/{group}/requests/{request}/approve", Browser, joining::approve),
        Route::post("/groups/{group}/requests/{request}/deny", Browser, joining::deny),
        Route::get("/groups/{group}/members", Browser, joining::members),
        Route::post("/groups/{group}/members/{user}/promote", Browser, joining::promote),
        Route::get("/groups/{group}/members/{user}/demote", Browser, joining::demote_page),
        Route::post("/groups/{group}/members/{user}/demote", Browser, joining::demote),
        Route::get("/groups/{group}/members/{user}/remove", Browser, joining::remove_page),
        Route::post("/groups/{group}/members/{user}/remove", Browser, joining::remove),
        Route::get("/groups/{group}/leave", Browser, joining::leave_page),
        Route::post("/groups/{group}/leave", Browser, joining::leave),
        Route::get("/groups/{group}/revoke", Browser, revoking::revoke_page),
        Route::get("/groups/{group}/revocations", Browser, revoking::revocations),
        Route::post("/groups/{group}/revocations", Browser, revoking::revoke),
        Route::get("/groups/{group}/revocations/{number}", Browser, revoking::revocation),
        Route::get("/groups/{group}/audit", Browser, settings::audit),
        Route::get("/groups/{group}/settings", Browser, settings::settings),
        Route::post("/groups/{group}/settings", Browser, settings::save),
        Route::get("/groups/{group}/delete", Browser, settings::delete_page),
        Route::post("/groups/{group}/delete", Browser, settings::delete),
        Route::get("/account", Browser, account::account),
        Route::post("/account/password", Browser, account::change_password),
        Route::post("/account/tokens", Browser, account::make_token),
        Route::get("/account/tokens/{number}/end", Browser, account::end_token_page),
        Route::post("/account/tokens/{number}/end", Browser, account::end_token),
        Route::get("/device", Browser, device::enter),
        Route::get("/device/{code}", Browser, device::show),
        Route::post("/device/{code}/confirm", Browser, device::confirm),
        Route::post("/device/{code}/deny", Browser, device::deny),
    ];
    Routes::new(pages.into_iter().chain(oidc::routes()).collect(), problem)
}

/// What a page may be asked to say.
#[derive(Debug, Default, Deserialize)]
struct Query {
    said: Option<String>,
}

/// Returns the frame of a page for who asks.
fn frame(ask: &Ask) -> Frame {
    let query: Query = ask.query().unwrap_or_default();
    Frame {
        visitor: ask.session().map(|session| session.user.name.clone()),
        csrf: CsrfToken(ask.csrf()),
        now: now(),
        said: query.said.as_deref().and_then(Said::of),
        refresh: None,
    }
}

/// Answers with a page.
fn page(ask: &Ask, markup: Markup) -> Response {
    page_with(ask, StatusCode::OK, markup)
}

/// Answers with a page and a status that is no success.
fn page_with(ask: &Ask, status: StatusCode, markup: Markup) -> Response {
    let mut response = text("text/html; charset=utf-8", markup.into_string());
    *response.status_mut() = status;
    ask.keep_cookie(&mut response);
    response
}

/// Answers a form that was carried out: with the page at `place`, which says so.
fn done(place: &str, said: Said) -> Response {
    let mark = if place.contains('?') { '&' } else { '?' };
    see_other(&format!("{place}{mark}said={}", said.code()))
}

/// How a problem looks in a browser. Who is not logged in is led there, and back again.
fn problem(_: &Site, ask: &Ask, problem: &Problem) -> Response {
    let asks = matches!(*ask.method(), Method::GET | Method::HEAD);
    if problem.status == StatusCode::UNAUTHORIZED && asks {
        return see_other(&format!("/login?next={}", encoded(ask.path())));
    }
    let page = failure::failure(&frame(ask), problem.status.as_u16(), &sentence(&problem.message));
    let mut response = page_with(ask, problem.status, page);
    problem.add_headers(&mut response);
    // Browsers would ask for a password of their own.
    response.headers_mut().remove(header::WWW_AUTHENTICATE);
    response
}

/// Whether a problem is best shown in the form that led to it.
fn is_about_input(problem: &Problem) -> bool {
    matches!(
        problem.status,
        StatusCode::BAD_REQUEST
            | StatusCode::UNAUTHORIZED
            | StatusCode::CONFLICT
            | StatusCode::UNPROCESSABLE_ENTITY
            | StatusCode::TOO_MANY_REQUESTS
    )
}

/// Writes a message of a program as a sentence.
fn sentence(message: &str) -> String {
    let mut chars = message.chars();
    let first = chars.next().map(|first| first.to_uppercase().to_string());
    format!("{}{}.", first.unwrap_or_default(), chars.as_str())
}

/// Returns where the next piece of a list is, with what the address says besides.
fn next<T>(paged: &Paged<T>, place: &str) -> Option<String> {
    let Cursor(cursor) = paged.next.as_ref()?;
    let mark = if place.contains('?') { '&' } else { '?' };
    Some(format!("{place}{mark}after={}", encoded(cursor)))
}

/// Returns an address that a form names, if it is one of this site.
fn local(place: Option<&str>) -> &str {
    let is_local = |place: &&str| {
        place.starts_with('/')
            && !place.starts_with("//")
            && place.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
    };
    place.filter(is_local).unwrap_or("/")
}

/// Makes an answer one that browsers save as a file.
fn as_file(mut response: Response, name: &str) -> Response {
    let disposition = format!("attachment; filename=\"{name}\"");
    if let Ok(value) = HeaderValue::from_str(&disposition) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_wb_01_nobody_is_led_to_another_site() {
        for place in ["//evil.example", "https://evil.example", "/\\evil.example", "", "/a\r\nb"] {
            assert_eq!(local(Some(place)), "/", "{place}");
        }
        assert_eq!(local(Some("/groups/team?after=x")), "/groups/team?after=x");
    }

    #[test]
    fn messages_become_sentences() {
        assert_eq!(sentence("the name is taken"), "The name is taken.");
        assert_eq!(sentence(""), ".");
    }
}
