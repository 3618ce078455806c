//! Who belongs to a group: requests, members, roles.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use warp::http::StatusCode;

use super::{Piece, user_at};
use crate::http::{Access, Answer, Ask, ErrorBody, Route, Site, created, empty, json, now};
use crate::model::{Refusal, RequestId, RequestState, Role};
use crate::view::{MemberView, RequestView};

pub(super) fn routes() -> Vec<Route> {
    let person = Access::Person;
    vec![
        Route::get("/api/v1/groups/{group}/requests", person, list),
        Route::post("/api/v1/groups/{group}/requests", person, ask_to_join),
        Route::get("/api/v1/groups/{group}/request", person, own),
        Route::post("/api/v1/groups/{group}/requests/{id}/approve", person, approve),
        Route::post("/api/v1/groups/{group}/requests/{id}/deny", person, deny),
        Route::post("/api/v1/groups/{group}/requests/{id}/withdraw", person, withdraw),
        Route::get("/api/v1/groups/{group}/members", person, members),
        Route::post("/api/v1/groups/{group}/members/{user}/promote", person, promote),
        Route::post("/api/v1/groups/{group}/members/{user}/demote", person, demote),
        Route::post("/api/v1/groups/{group}/members/{user}/remove", person, remove),
        Route::post("/api/v1/groups/{group}/leave", person, leave),
    ]
}

/// A wish to join.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Wish {
    /// Why; administrators of the group read it.
    #[schema(max_length = 500)]
    reason: String,
}

/// What came of it.
#[derive(Serialize, ToSchema)]
struct Asked {
    /// The request.
    #[schema(value_type = i64)]
    request: RequestId,
    /// How it stands: policies may have approved at once.
    state: RequestState,
}

/// What to tell the asker.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Judgement {
    /// A word for the asker.
    #[serde(default)]
    #[schema(max_length = 500)]
    note: String,
}

/// Why somebody is put out.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Removal {
    /// For the audit log and the list of revocations.
    #[schema(max_length = 500)]
    reason: String,
}

/// What followed from somebody's going.
#[derive(Serialize, ToSchema)]
struct Gone {
    /// The notice that says so, where there were certificates.
    notice: Option<u64>,
}

/// Lists requests in one state, the newest first, for administrators.
#[utoipa::path(get, path = "/api/v1/groups/{group}/requests", tag = "joining",
    params(("group" = String, Path), ("state" = Option<RequestState>, Query),
        ("after" = Option<String>, Query), ("limit" = Option<u32>, Query, minimum = 1, maximum = 500)),
    responses((status = 200, body = Piece<RequestView>), (status = "4XX", body = ErrorBody)))]
async fn list(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    #[derive(Deserialize)]
    struct Query {
        state: Option<RequestState>,
    }
    let Query { state } = ask.query()?;
    let state = state.unwrap_or(RequestState::Pending);
    let (caller, group) = (ask.caller(), ask.text_at("group")?);
    let requests = site.service.requests(&caller, group, state, &ask.page()?).await?;
    Ok(json(StatusCode::OK, &Piece::from(requests)))
}

/// Asks to join.
#[utoipa::path(post, path = "/api/v1/groups/{group}/requests", tag = "joining",
    params(("group" = String, Path)), request_body = Wish,
    responses((status = 201, body = Asked), (status = "4XX", body = ErrorBody)))]
async fn ask_to_join(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let Wish { reason } = ask.json()?;
    let group = ask.text_at("group")?;
    let (request, state) = site.service.ask(&ask.caller(), group, reason, now()).await?;
    Ok(created(&Asked { request, state }))
}

/// Shows one's own newest request.
#[utoipa::path(get, path = "/api/v1/groups/{group}/request", tag = "joining",
    params(("group" = String, Path)),
    responses((status = 200, body = RequestView), (status = "4XX", body = ErrorBody)))]
async fn own(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let request = site.service.own_request(&ask.caller(), ask.text_at("group")?).await?;
    Ok(json(StatusCode::OK, &request.ok_or(Refusal::NotFound("request"))?))
}

/// Grants a request, for administrators.
#[utoipa::path(post, path = "/api/v1/groups/{group}/requests/{id}/approve", tag = "joining",
    params(("group" = String, Path), ("id" = i64, Path)), request_body = Judgement,
    responses((status = 204), (status = "4XX", body = ErrorBody)))]
async fn approve(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    judge(site, ask, true).await
}

/// Refuses a request, for administrators.
#[utoipa::path(post, path = "/api/v1/groups/{group}/requests/{id}/deny", tag = "joining",
    params(("group" = String, Path), ("id" = i64, Path)), request_body = Judgement,
    responses((status = 204), (status = "4XX", body = ErrorBody)))]
async fn deny(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    judge(site, ask, false).await
}

async fn judge(site: Arc<Site>, ask: Arc<Ask>, approve: bool) -> Answer {
    let Judgement { note } = ask.json()?;
    let (group, request) = (ask.text_at("group")?, ask.at("id")?);
    site.service.judge(&ask.caller(), group, request, approve, note, now()).await?;
    Ok(empty())
}

/// Takes one's request back.
#[utoipa::path(post, path = "/api/v1/groups/{group}/requests/{id}/withdraw", tag = "joining",
    params(("group" = String, Path), ("id" = i64, Path)),
    responses((status = 204), (status = "4XX", body = ErrorBody)))]
async fn withdraw(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let (group, request) = (ask.text_at("group")?, ask.at("id")?);
    site.service.withdraw(&ask.caller(), group, request, now()).await?;
    Ok(empty())
}

/// Lists members by name, for members.
#[utoipa::path(get, path = "/api/v1/groups/{group}/members", tag = "joining",
    params(("group" = String, Path), ("after" = Option<String>, Query),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500)),
    responses((status = 200, body = Piece<MemberView>), (status = "4XX", body = ErrorBody)))]
async fn members(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let (caller, group) = (ask.caller(), ask.text_at("group")?);
    let members = site.service.members(&caller, group, &ask.page()?).await?;
    Ok(json(StatusCode::OK, &Piece::from(members)))
}

/// Makes a member an administrator, for administrators.
#[utoipa::path(post, path = "/api/v1/groups/{group}/members/{user}/promote", tag = "joining",
    params(("group" = String, Path), ("user" = String, Path)),
    responses((status = 204), (status = "4XX", body = ErrorBody)))]
async fn promote(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    set_role(site, ask, Role::Administrator).await
}

/// Makes an administrator a member like others, for administrators; never the last one.
#[utoipa::path(post, path = "/api/v1/groups/{group}/members/{user}/demote", tag = "joining",
    params(("group" = String, Path), ("user" = String, Path)),
    responses((status = 204), (status = "4XX", body = ErrorBody)))]
async fn demote(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    set_role(site, ask, Role::Member).await
}

async fn set_role(site: Arc<Site>, ask: Arc<Ask>, role: Role) -> Answer {
    let user = user_at(&site, &ask).await?;
    site.service.set_role(&ask.caller(), ask.text_at("group")?, user, role, now()).await?;
    Ok(empty())
}

/// Puts a member out, for administrators: tokens end, certificates are revoked.
#[utoipa::path(post, path = "/api/v1/groups/{group}/members/{user}/remove", tag = "joining",
    params(("group" = String, Path), ("user" = String, Path)), request_body = Removal,
    responses((status = 200, body = Gone), (status = "4XX", body = ErrorBody)))]
async fn remove(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let Removal { reason } = ask.json()?;
    let user = user_at(&site, &ask).await?;
    let (caller, group) = (ask.caller(), ask.text_at("group")?);
    let notice = site.service.remove(&caller, group, user, reason, now()).await?;
    Ok(json(StatusCode::OK, &Gone { notice }))
}

/// Leaves the group: one's tokens end, one's certificates are revoked.
#[utoipa::path(post, path = "/api/v1/groups/{group}/leave", tag = "joining",
    params(("group" = String, Path)),
    responses((status = 200, body = Gone), (status = "4XX", body = ErrorBody)))]
async fn leave(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let notice = site.service.leave(&ask.caller(), ask.text_at("group")?, now()).await?;
    Ok(json(StatusCode::OK, &Gone { notice }))
}
