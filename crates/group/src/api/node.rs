//! Which nodes are there: the list, and the way from an address back to a user.

use std::sync::Arc;

use serde::Deserialize;
use warp::http::StatusCode;

use super::Piece;
use crate::http::{Access, Answer, Ask, ErrorBody, Route, Site, json};
use crate::model::Refusal;
use crate::view::NodeView;

pub(super) fn routes() -> Vec<Route> {
    vec![Route::get("/api/v1/groups/{group}/nodes", Access::Person, list)]
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
        let items = site.service.find_nodes(&caller, group, &find).await?;
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
