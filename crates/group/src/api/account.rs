//! Who am I, and who is there: accounts, sessions, API tokens.

use std::sync::Arc;

use pki::UnixTime;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use warp::http::StatusCode;
use zeroize::Zeroizing;

use super::{Piece, life_until, user_at};
use crate::http::{
    Access, Answer, Ask, ErrorBody, Route, Site, created, empty, json, now, set_cookie,
};
use crate::session::Key;
use crate::store::session::ApiTokenView;
use crate::view::UserView;

/// Life of an API token unless its user says otherwise: a quarter, like that of a blob.
const API_TOKEN_LIFE_SECONDS: u64 = 90 * 24 * 3600;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post("/api/v1/users", Access::OwnPages, sign_up),
        Route::get("/api/v1/users", Access::Person, list),
        Route::post("/api/v1/users/{user}/disable", Access::Browser, disable),
        Route::post("/api/v1/users/{user}/enable", Access::Browser, enable),
        Route::post("/api/v1/session", Access::OwnPages, log_in),
        Route::delete("/api/v1/session", Access::Browser, log_out),
        Route::get("/api/v1/me", Access::Person, me),
        Route::delete("/api/v1/me", Access::Browser, close),
        Route::post("/api/v1/me/password", Access::Browser, change_password),
        Route::get("/api/v1/me/tokens", Access::Person, tokens),
        Route::post("/api/v1/me/tokens", Access::Browser, add_token),
        Route::delete("/api/v1/me/tokens/{id}", Access::Browser, end_token),
    ]
}

/// A new account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SignUp {
    /// 1 to 64 of a-z, 0-9, `.`, `_`, `-`.
    #[schema(example = "ana", max_length = 64)]
    name: String,
    /// Where to write to.
    #[schema(max_length = 254)]
    email: Option<String>,
    /// 10 to 256 characters.
    #[schema(value_type = String, format = Password, min_length = 10, max_length = 256)]
    password: Zeroizing<String>,
}

/// Name and password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct LogIn {
    /// Name of the account.
    #[schema(max_length = 64)]
    name: String,
    /// Its password.
    #[schema(value_type = String, format = Password, max_length = 256)]
    password: Zeroizing<String>,
}

/// An old password and a new one.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PasswordChange {
    /// The one until now.
    #[schema(value_type = String, format = Password, max_length = 256)]
    old: Zeroizing<String>,
    /// The one from now on.
    #[schema(value_type = String, format = Password, min_length = 10, max_length = 256)]
    new: Zeroizing<String>,
}

/// The password, again.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Confirmation {
    /// The password of the account.
    #[schema(value_type = String, format = Password, max_length = 256)]
    password: Zeroizing<String>,
}

/// Who is logged in.
#[derive(Serialize, ToSchema)]
struct Me {
    /// The account.
    user: UserView,
    /// What the header `x-csrf-token` of this session must hold; none for an API token.
    csrf: Option<String>,
}

/// A new API token.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewApiToken {
    /// What its user calls it.
    #[schema(max_length = 100)]
    label: String,
    /// Until when it is good, in seconds since 1970; 90 days from now unless it is said.
    #[schema(value_type = Option<u64>)]
    expires: Option<UnixTime>,
}

/// An API token with its text, which is shown this once.
#[derive(Serialize, ToSchema)]
struct ShownApiToken {
    /// Its number.
    id: i64,
    /// What to send as `Authorization: Bearer ...`.
    #[schema(value_type = String)]
    token: Zeroizing<String>,
}

fn logged_in(status: StatusCode, user: UserView, key: &Key) -> Answer {
    let csrf = Some(Ask::csrf_of(key));
    let mut response = json(status, &Me { user, csrf });
    set_cookie(&mut response, key);
    Ok(response)
}

/// Signs up and logs in.
#[utoipa::path(post, path = "/api/v1/users", tag = "accounts", request_body = SignUp, security(()),
    responses((status = 201, body = Me), (status = "4XX", body = ErrorBody)))]
async fn sign_up(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let SignUp { name, email, password } = ask.json()?;
    let (user, key) = site.sign_up(&ask, name, email, password).await?;
    logged_in(StatusCode::CREATED, user, &key)
}

/// Lists accounts by name, for administrators of the site.
#[utoipa::path(get, path = "/api/v1/users", tag = "accounts",
    params(("after" = Option<String>, Query), ("limit" = Option<u32>, Query, minimum = 1, maximum = 500)),
    responses((status = 200, body = Piece<UserView>), (status = "4XX", body = ErrorBody)))]
async fn list(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let users = site.service.users(&ask.caller(), &ask.page()?).await?;
    Ok(json(StatusCode::OK, &Piece::from(users)))
}

/// Locks an account, for administrators of the site. Its certificates stay good until they are revoked.
#[utoipa::path(post, path = "/api/v1/users/{user}/disable", tag = "accounts",
    params(("user" = String, Path)),
    responses((status = 204), (status = "4XX", body = ErrorBody)))]
async fn disable(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let user = user_at(&site, &ask).await?;
    site.service.set_enabled(&ask.caller(), user, false, now()).await?;
    site.sessions.close_all(user).await?;
    Ok(empty())
}

/// Opens a locked account again, for administrators of the site.
#[utoipa::path(post, path = "/api/v1/users/{user}/enable", tag = "accounts",
    params(("user" = String, Path)),
    responses((status = 204), (status = "4XX", body = ErrorBody)))]
async fn enable(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let user = user_at(&site, &ask).await?;
    site.service.set_enabled(&ask.caller(), user, true, now()).await?;
    Ok(empty())
}

/// Logs in.
#[utoipa::path(post, path = "/api/v1/session", tag = "accounts", request_body = LogIn, security(()),
    responses((status = 200, body = Me), (status = "4XX", body = ErrorBody)))]
async fn log_in(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let LogIn { name, password } = ask.json()?;
    let (user, key) = site.log_in(&ask, &name, password).await?;
    logged_in(StatusCode::OK, user, &key)
}

/// Logs out.
#[utoipa::path(delete, path = "/api/v1/session", tag = "accounts",
    responses((status = 204), (status = "4XX", body = ErrorBody)))]
async fn log_out(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    site.log_out(&ask).await?;
    Ok(empty())
}

/// Shows who is logged in.
#[utoipa::path(get, path = "/api/v1/me", tag = "accounts",
    responses((status = 200, body = Me), (status = "4XX", body = ErrorBody)))]
async fn me(_: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let user = ask.person()?.user.clone();
    let csrf = ask.is_browser().then(|| ask.csrf());
    Ok(json(StatusCode::OK, &Me { user, csrf }))
}

/// Closes one's account and leaves every group. The name stays taken.
#[utoipa::path(delete, path = "/api/v1/me", tag = "accounts", request_body = Confirmation,
    responses((status = 204), (status = "4XX", body = ErrorBody)))]
async fn close(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let Confirmation { password } = ask.json()?;
    site.close_account(&ask, password).await?;
    Ok(empty())
}

/// Sets one's password. All sessions end but this one, which gets a new cookie.
#[utoipa::path(post, path = "/api/v1/me/password", tag = "accounts", request_body = PasswordChange,
    responses((status = 200, body = Me), (status = "4XX", body = ErrorBody)))]
async fn change_password(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let PasswordChange { old, new } = ask.json()?;
    let key = site.change_password(&ask, old, new).await?;
    logged_in(StatusCode::OK, ask.person()?.user.clone(), &key)
}

/// Lists one's API tokens, without their texts.
#[utoipa::path(get, path = "/api/v1/me/tokens", tag = "accounts",
    responses((status = 200, body = Vec<ApiTokenView>), (status = "4XX", body = ErrorBody)))]
async fn tokens(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    Ok(json(StatusCode::OK, &site.sessions.api_tokens(ask.person()?.user.id).await?))
}

/// Makes an API token. It may do what its user may, but for what is said to need a browser.
#[utoipa::path(post, path = "/api/v1/me/tokens", tag = "accounts", request_body = NewApiToken,
    responses((status = 201, body = ShownApiToken), (status = "4XX", body = ErrorBody)))]
async fn add_token(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let NewApiToken { label, expires } = ask.json()?;
    let expires = expires.unwrap_or(UnixTime(now().0 + API_TOKEN_LIFE_SECONDS));
    let (user, life) = (ask.person()?.user.id, life_until(expires, now()));
    let (id, token) = site.sessions.add_api_token(user, &label, life, now()).await?;
    Ok(created(&ShownApiToken { id, token }))
}

/// Ends one of one's API tokens.
#[utoipa::path(delete, path = "/api/v1/me/tokens/{id}", tag = "accounts", params(("id" = i64, Path)),
    responses((status = 204), (status = "4XX", body = ErrorBody)))]
async fn end_token(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    site.sessions.end_api_token(ask.person()?.user.id, ask.at("id")?).await?;
    Ok(empty())
}
