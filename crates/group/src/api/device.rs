//! Which device wants in: what its user sees, and the user's word.

use std::sync::Arc;

use serde::Deserialize;
use utoipa::ToSchema;
use warp::http::StatusCode;

use crate::enrol::PendingDevice;
use crate::http::{Access, Answer, Ask, ErrorBody, Route, Site, empty, json};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/v1/devices/{code}", Access::Browser, show),
        Route::post("/api/v1/devices/{code}/confirm", Access::Browser, confirm),
        Route::post("/api/v1/devices/{code}/deny", Access::Browser, deny),
    ]
}

/// A yes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Consent {
    /// Why one wants to join, where one is no member yet.
    #[serde(default)]
    #[schema(max_length = 500)]
    reason: String,
}

/// Shows the device that shows a code.
#[utoipa::path(get, path = "/api/v1/devices/{code}", tag = "devices", params(("code" = String, Path)),
    responses((status = 200, body = PendingDevice), (status = "4XX", body = ErrorBody)))]
async fn show(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    Ok(json(StatusCode::OK, &site.device(&ask, ask.text_at("code")?).await?))
}

/// Lets the device in as one's own node; asks to join where one is no member.
#[utoipa::path(post, path = "/api/v1/devices/{code}/confirm", tag = "devices",
    params(("code" = String, Path)), request_body = Consent,
    responses((status = 204), (status = "4XX", body = ErrorBody)))]
async fn confirm(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let Consent { reason } = ask.json()?;
    site.confirm_device(&ask, ask.text_at("code")?, &reason).await?;
    Ok(empty())
}

/// Sends the device away.
#[utoipa::path(post, path = "/api/v1/devices/{code}/deny", tag = "devices",
    params(("code" = String, Path)),
    responses((status = 204), (status = "4XX", body = ErrorBody)))]
async fn deny(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    site.deny_device(&ask, ask.text_at("code")?).await?;
    Ok(empty())
}
