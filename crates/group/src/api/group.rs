//! Which groups are there: making, changing, deleting, looking at them.

use std::sync::Arc;

use pki::Ipv4Subnet;
use serde::Deserialize;
use utoipa::ToSchema;
use warp::http::StatusCode;

use super::Piece;
use crate::http::{Access, Answer, Ask, ErrorBody, Route, Site, created, empty, json, now};
use crate::model::{Policies, PolicyChanges};
use crate::service::NewGroup;
use crate::view::{GroupSummary, GroupView, StandingView};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/v1/groups", Access::Person, list),
        Route::post("/api/v1/groups", Access::Person, create),
        Route::get("/api/v1/groups/{group}", Access::Person, show),
        Route::patch("/api/v1/groups/{group}", Access::Person, change),
        Route::delete("/api/v1/groups/{group}", Access::Browser, delete),
    ]
}

/// A group to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct GroupCreation {
    /// 1 to 63 of a-z, 0-9 and `-`.
    #[schema(example = "team", max_length = 63)]
    name: String,
    /// Its IPv4 addresses; they stay.
    #[schema(value_type = String, example = "10.42.0.0/16")]
    subnet: Ipv4Subnet,
    /// Its policies; the usual ones unless it is said.
    #[serde(default)]
    policies: Policies,
}

/// Lists groups by name: all, or with `own=true` one's own.
#[utoipa::path(get, path = "/api/v1/groups", tag = "groups",
    params(("own" = Option<bool>, Query), ("after" = Option<String>, Query),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500)),
    responses((status = 200, body = Piece<GroupSummary>), (status = "4XX", body = ErrorBody)))]
async fn list(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    #[derive(Deserialize)]
    struct Query {
        #[serde(default)]
        own: bool,
    }
    let Query { own } = ask.query()?;
    let groups = site.service.groups(&ask.caller(), own, &ask.page()?).await?;
    Ok(json(StatusCode::OK, &Piece::from(groups)))
}

/// Makes a group; one becomes its first administrator.
#[utoipa::path(post, path = "/api/v1/groups", tag = "groups", request_body = GroupCreation,
    responses((status = 201, body = GroupView), (status = "4XX", body = ErrorBody)))]
async fn create(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let GroupCreation { name, subnet, policies } = ask.json()?;
    let new = NewGroup { name: name.clone(), subnet, policies };
    site.service.create_group(&ask.caller(), new, now()).await?;
    Ok(created(&site.service.group(&ask.caller(), &name).await?))
}

/// Shows a group: all of it to members, its summary to everybody else who is logged in.
#[utoipa::path(get, path = "/api/v1/groups/{group}", tag = "groups", params(("group" = String, Path)),
    responses((status = 200, body = GroupSummary, description = "members see a GroupView"), (status = "4XX", body = ErrorBody)))]
async fn show(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let (caller, group) = (ask.caller(), ask.text_at("group")?);
    let summary = site.service.group_summary(&caller, group).await?;
    match summary.standing {
        StandingView::Member | StandingView::Administrator => {
            Ok(json(StatusCode::OK, &site.service.group(&caller, group).await?))
        }
        StandingView::Outside | StandingView::Asked { .. } | StandingView::Denied => {
            Ok(json(StatusCode::OK, &summary))
        }
    }
}

/// Sets policies of a group, for its administrators. What is not named stays.
#[utoipa::path(patch, path = "/api/v1/groups/{group}", tag = "groups", params(("group" = String, Path)),
    request_body = PolicyChanges,
    responses((status = 200, body = GroupView), (status = "4XX", body = ErrorBody)))]
async fn change(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let (caller, group) = (ask.caller(), ask.text_at("group")?);
    let changes: PolicyChanges = ask.json()?;
    site.service.change_group(&caller, group, changes, None, now()).await?;
    Ok(json(StatusCode::OK, &site.service.group(&caller, group).await?))
}

/// Deletes a group, for its administrators. Its keys are wiped; its certificates are renewed no more.
#[utoipa::path(delete, path = "/api/v1/groups/{group}", tag = "groups", params(("group" = String, Path)),
    responses((status = 204), (status = "4XX", body = ErrorBody)))]
async fn delete(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    site.service.delete_group(&ask.caller(), ask.text_at("group")?, now()).await?;
    Ok(empty())
}
