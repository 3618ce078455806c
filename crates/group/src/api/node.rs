//! Which nodes are there: the list, the way from an address back to a user, the ring as it is now.

use std::sync::Arc;

use pki::UnixTime;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use warp::http::StatusCode;

use super::Piece;
use crate::daemon::{PROGRAM_PATIENCE, Walked};
use crate::http::{Access, Answer, Ask, ErrorBody, Route, Site, json};
use crate::model::Refusal;
use crate::view::NodeView;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/v1/groups/{group}/nodes", Access::Person, list),
        Route::get("/api/v1/groups/{group}/ring", Access::Person, ring),
    ]
}

/// Lists nodes in the order in which they came, for members: all, those of `user`, or with
/// `find=ADDRESS_OR_ID`, for administrators, whoever has or had that address.
#[utoipa::path(get, path = "/api/v1/groups/{group}/nodes", tag = "nodes",
    params(("group" = String, Path), ("user" = Option<String>, Query), ("find" = Option<String>, Query),
        ("after" = Option<String>, Query), ("limit" = Option<u32>, Query, minimum = 1, maximum = 500)),
    responses((status = 200, body = Piece<NodeView>), (status = "4XX", body = ErrorBody)))]
async fn list(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    #[derive(Deserialize)]
    struct Query {
        user: Option<String>,
        find: Option<String>,
    }
    let Query { user, find } = ask.query()?;
    let (caller, group) = (ask.caller(), ask.text_at("group")?);
    if let Some(find) = find {
        let items = site.trace(&caller, group, find.trim()).await?;
        return Ok(json(StatusCode::OK, &Piece { items, next: None }));
    }
    let of = match user {
        Some(name) => {
            let user = site.service.user_named(&name).await?;
            Some(user.ok_or(Refusal::NotFound("user"))?.id)
        }
        None => None,
    };
    let nodes = site.service.nodes(&caller, group, of, &ask.page()?).await?;
    Ok(json(StatusCode::OK, &Piece::from(nodes)))
}

/// The ring of a group, as the daemon beside the service has walked it.
#[derive(Serialize, ToSchema)]
struct Ring {
    /// Whether it was seen lately: else the group has no daemon here, or it does not answer.
    watched: bool,
    /// When the walk had ended.
    #[schema(value_type = Option<u64>)]
    walked_at: Option<UnixTime>,
    /// Whether the walk came back to its start.
    complete: bool,
    /// The nodes that answered, in ring order; the list of nodes says whose they are.
    nodes: Vec<Walked>,
}

/// Shows the ring with its links, for members. A walk is at most some seconds old where the ring can
/// be walked within seconds.
#[utoipa::path(get, path = "/api/v1/groups/{group}/ring", tag = "nodes", params(("group" = String, Path)),
    responses((status = 200, body = Ring), (status = "4XX", body = ErrorBody)))]
async fn ring(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let group = ask.text_at("group")?;
    site.service.group(&ask.caller(), group).await?;
    let walk = site.daemons.ring(group, PROGRAM_PATIENCE).await;
    let shown = Ring {
        watched: walk.is_some(),
        walked_at: walk.as_ref().map(|walk| walk.at),
        complete: walk.as_ref().is_some_and(|walk| walk.complete),
        nodes: walk.map_or_else(Vec::new, |walk| walk.nodes.clone()),
    };
    Ok(json(StatusCode::OK, &shown))
}
