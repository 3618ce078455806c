//! Log in, sign up, log out; and the files of the pages.

use std::sync::Arc;

use serde::Deserialize;
use warp::http::{HeaderValue, header};
use zeroize::Zeroizing;

use super::{done, frame, is_about_input, local, page, page_with, sentence};
use crate::http::{Answer, Ask, Problem, Site, see_other, set_cookie, text};
use crate::web::asset;
use crate::web::page::Said;
use crate::web::pages::access::{Attempt, log_in as log_in_form, sign_up as sign_up_form};

#[derive(Deserialize)]
struct Next {
    next: Option<String>,
}

#[derive(Deserialize)]
struct LogIn {
    name: String,
    password: Zeroizing<String>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct SignUp {
    name: String,
    email: String,
    password: Zeroizing<String>,
    next: Option<String>,
}

/// A file of the pages. Its address changes with its content, so browsers keep it.
pub async fn asset(_: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let asset = asset::find(ask.path()).ok_or_else(Problem::not_found)?;
    let mut response = text(asset.media_type, asset.content);
    let kept = HeaderValue::from_static("public, max-age=31536000, immutable");
    response.headers_mut().insert(header::CACHE_CONTROL, kept);
    Ok(response)
}

pub async fn log_in_page(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let Next { next } = ask.query()?;
    if ask.session().is_some() {
        return Ok(see_other(local(next.as_deref())));
    }
    let attempt = Attempt { next, ..Attempt::default() };
    Ok(page(&ask, log_in_form(&frame(&ask), &attempt, provider(&site))))
}

pub async fn log_in(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let LogIn { name, password, next } = ask.form()?;
    match site.log_in(&ask, &name, password).await {
        Ok((_, key)) => {
            let mut response = see_other(local(next.as_deref()));
            set_cookie(&mut response, &key);
            Ok(response)
        }
        Err(problem) if is_about_input(&problem) => {
            let error = Some(sentence(&problem.message));
            let attempt = Attempt { name, next, error, ..Attempt::default() };
            let form = log_in_form(&frame(&ask), &attempt, provider(&site));
            Ok(page_with(&ask, problem.status, form))
        }
        Err(problem) => Err(problem),
    }
}

/// Returns what the button of the OpenID provider says, if there is one.
fn provider(site: &Site) -> Option<&str> {
    site.oidc.as_ref().map(|oidc| oidc.name())
}

pub async fn sign_up_page(_: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let Next { next } = ask.query()?;
    let attempt = Attempt { next, ..Attempt::default() };
    Ok(page(&ask, sign_up_form(&frame(&ask), &attempt)))
}

pub async fn sign_up(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let SignUp { name, email, password, next } = ask.form()?;
    let address = Some(email.trim().to_owned()).filter(|address| !address.is_empty());
    match site.sign_up(&ask, name.clone(), address, password).await {
        Ok((_, key)) => {
            let mut response = match next {
                Some(next) => see_other(local(Some(&next))),
                None => done("/", Said::SignedUp),
            };
            set_cookie(&mut response, &key);
            Ok(response)
        }
        Err(problem) if is_about_input(&problem) => {
            let error = Some(sentence(&problem.message));
            let form = sign_up_form(&frame(&ask), &Attempt { name, email, next, error });
            Ok(page_with(&ask, problem.status, form))
        }
        Err(problem) => Err(problem),
    }
}

pub async fn log_out(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    site.log_out(&ask).await?;
    Ok(done("/login", Said::LoggedOut))
}
