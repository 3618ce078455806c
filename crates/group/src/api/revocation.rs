//! Who is out, and who knows it.

use std::sync::Arc;

use pki::{NodeId, Revoked, Serial};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use warp::http::StatusCode;

use super::Piece;
use crate::daemon::{KnownBy, PROGRAM_PATIENCE};
use crate::http::{Access, Answer, Ask, ErrorBody, Problem, Route, Site, created, json, now};
use crate::model::Refusal;
use crate::store::{Cursor, Page};
use crate::view::RevocationView;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/v1/groups/{group}/revocations", Access::Person, list),
        Route::post("/api/v1/groups/{group}/revocations", Access::Person, revoke),
        Route::get("/api/v1/groups/{group}/revocations/{number}", Access::Person, show),
    ]
}

/// What to revoke: one of `serial`, `node` and `user`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Revocation {
    /// One certificate.
    #[schema(value_type = Option<String>)]
    serial: Option<Serial>,
    /// A node with all its certificates.
    #[schema(value_type = Option<String>)]
    node: Option<NodeId>,
    /// A member: the membership ends, with all nodes and tokens.
    #[schema(max_length = 64)]
    user: Option<String>,
    /// For the audit log and the list of revocations.
    #[schema(max_length = 500)]
    reason: String,
}

/// A revocation, and who knows of it.
#[derive(Serialize, ToSchema)]
struct Known {
    /// What, why and when.
    #[serde(flatten)]
    revocation: RevocationView,
    /// Who knows of it; none where no daemon counts.
    known_by: Option<KnownBy>,
}

/// The notice that says so.
#[derive(Serialize, ToSchema)]
struct Revoking {
    /// Its number.
    notice: u64,
}

/// Lists revocations, the newest first, for members.
#[utoipa::path(get, path = "/api/v1/groups/{group}/revocations", tag = "revocations",
    params(("group" = String, Path), ("after" = Option<String>, Query),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500)),
    responses((status = 200, body = Piece<RevocationView>), (status = "4XX", body = ErrorBody)))]
async fn list(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let (caller, group) = (ask.caller(), ask.text_at("group")?);
    let revocations = site.service.revocations(&caller, group, &ask.page()?).await?;
    Ok(json(StatusCode::OK, &Piece::from(revocations)))
}

/// Revokes a certificate, a node, or a member with all nodes and tokens, for administrators. The user of
/// a certificate or node stays a member; a user who is revoked does not. A notice is signed and passed
/// on; the answer does not wait for that.
#[utoipa::path(post, path = "/api/v1/groups/{group}/revocations", tag = "revocations",
    params(("group" = String, Path)), request_body = Revocation,
    responses((status = 201, body = Revoking), (status = "4XX", body = ErrorBody)))]
async fn revoke(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let Revocation { serial, node, user, reason } = ask.json()?;
    let what = match (serial, node, user) {
        (Some(serial), None, None) => Revoked::Serial(serial),
        (None, Some(node), None) => Revoked::Node(node),
        (None, None, Some(user)) => Revoked::User(user),
        _ => return Err(Problem::malformed("name one of serial, node and user")),
    };
    let (caller, group) = (ask.caller(), ask.text_at("group")?);
    let notice = site.service.revoke(&caller, group, what, reason, now()).await?;
    Ok(created(&Revoking { notice }))
}

/// Shows a revocation, for members, and how many live members know of it.
#[utoipa::path(get, path = "/api/v1/groups/{group}/revocations/{number}", tag = "revocations",
    params(("group" = String, Path), ("number" = u64, Path)),
    responses((status = 200, body = Known), (status = "4XX", body = ErrorBody)))]
async fn show(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let (group, number): (_, u64) = (ask.text_at("group")?, ask.at("number")?);
    // The list runs backwards: the first one after the next number is this one, if it is there.
    let before = Cursor(number.saturating_add(1).to_string());
    let page = Page::new(Some(before), 1);
    let found = site.service.revocations(&ask.caller(), group, &page).await?;
    let found = found.items.into_iter().find(|revocation| revocation.number == number);
    let revocation = found.ok_or(Refusal::NotFound("revocation"))?;
    let notice = (number, revocation.at);
    let known_by = site.daemons.known_by(group, notice, PROGRAM_PATIENCE).await;
    Ok(json(StatusCode::OK, &Known { revocation, known_by }))
}
