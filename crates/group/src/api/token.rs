//! Which blobs were handed out: drawing them, and ending the tokens in them.

use std::sync::Arc;

use pki::UnixTime;
use serde::Deserialize;
use utoipa::ToSchema;
use warp::http::{HeaderValue, StatusCode, header};

use super::{Piece, life_until};
use crate::http::{Access, Answer, Ask, ErrorBody, Route, Site, empty, json, now, text};
use crate::model::TokenOptions;
use crate::service::BlobForm;
use crate::view::TokenView;

/// What the answer calls the file of a blob.
const FILE_NAME_END: &str = ".yaml";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post("/api/v1/groups/{group}/blob", Access::Person, draw),
        Route::get("/api/v1/groups/{group}/tokens", Access::Person, list),
        Route::delete("/api/v1/groups/{group}/tokens/{id}", Access::Person, end),
    ]
}

/// What a blob is good for.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct BlobOptions {
    /// What its user calls it.
    #[schema(max_length = 100)]
    label: String,
    /// Whether it may enrol more than one node; so unless it is said.
    reusable: Option<bool>,
    /// Whether its nodes go when their certificates expire.
    ephemeral: bool,
    /// Until when it enrols, in seconds since 1970; 90 days from now unless it is said.
    #[schema(value_type = Option<u64>)]
    expires: Option<UnixTime>,
    /// Whether network, authorities and group secret are in it as well; else a node asks for them.
    full: bool,
}

/// Draws a token and writes the blob around it, for members. Its text is shown this once.
#[utoipa::path(post, path = "/api/v1/groups/{group}/blob", tag = "blobs", params(("group" = String, Path)),
    request_body = BlobOptions,
    responses((status = 200, body = String, content_type = "application/yaml"),
        (status = "4XX", body = ErrorBody, content_type = "application/json")))]
async fn draw(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let BlobOptions { label, reusable, ephemeral, expires, full } = ask.json()?;
    let usual = TokenOptions::default();
    let life = expires.map_or(usual.life, |expires| life_until(expires, now()));
    let reusable = reusable.unwrap_or(usual.reusable);
    let options = TokenOptions { label, reusable, ephemeral, life };
    let form = if full { BlobForm::Full } else { BlobForm::Short };
    let (caller, group) = (ask.caller(), ask.text_at("group")?);
    let (_, blob) = site.service.draw_blob(&caller, group, options, form, now()).await?;
    let mut response = text("application/yaml", blob.as_bytes());
    // The name of a group that exists has letters, digits and hyphens only.
    let name = format!("attachment; filename=\"{group}{FILE_NAME_END}\"");
    if let Ok(value) = HeaderValue::from_str(&name) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, value);
    }
    Ok(response)
}

/// Lists tokens, the newest first: one's own, or with `all=true` all of the group, for administrators.
#[utoipa::path(get, path = "/api/v1/groups/{group}/tokens", tag = "blobs",
    params(("group" = String, Path), ("all" = Option<bool>, Query),
        ("after" = Option<String>, Query), ("limit" = Option<u32>, Query, minimum = 1, maximum = 500)),
    responses((status = 200, body = Piece<TokenView>), (status = "4XX", body = ErrorBody)))]
async fn list(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    #[derive(Deserialize)]
    struct Query {
        #[serde(default)]
        all: bool,
    }
    let Query { all } = ask.query()?;
    let of = if all { None } else { Some(ask.person()?.user.id) };
    let (caller, group) = (ask.caller(), ask.text_at("group")?);
    let tokens = site.service.tokens(&caller, group, of, &ask.page()?).await?;
    Ok(json(StatusCode::OK, &Piece::from(tokens)))
}

/// Ends a token: one's own, or as administrator that of another. Its nodes stay.
#[utoipa::path(delete, path = "/api/v1/groups/{group}/tokens/{id}", tag = "blobs",
    params(("group" = String, Path), ("id" = i64, Path)),
    responses((status = 204), (status = "4XX", body = ErrorBody)))]
async fn end(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    site.service.end_token(&ask.caller(), ask.text_at("group")?, ask.at("id")?, now()).await?;
    Ok(empty())
}
