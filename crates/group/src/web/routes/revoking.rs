//! Putting nodes and certificates out, and watching the news travel.

use std::sync::Arc;

use pki::{NodeId, Revoked, Serial};
use serde::Deserialize;

use super::{frame, page};
use crate::daemon::PAGE_PATIENCE;
use crate::http::{Answer, Ask, Problem, Site, now, see_other};
use crate::web::pages::group::name as node_name;
use crate::web::pages::revocations as pages;

/// What the address or the form names: one of both.
#[derive(Deserialize)]
struct Victim {
    node: Option<NodeId>,
    serial: Option<Serial>,
    #[serde(default)]
    reason: String,
}

pub async fn revocations(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let (caller, name) = (ask.caller(), ask.text_at("group")?);
    let group = site.service.group(&caller, name).await?;
    let list = site.service.revocations(&caller, name, &ask.page()?).await?;
    let next = super::next(&list, &format!("/groups/{name}/revocations"));
    Ok(page(&ask, pages::revocations(&frame(&ask), &group, &list.items, next.as_deref())))
}

pub async fn revocation(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let (caller, name) = (ask.caller(), ask.text_at("group")?);
    let group = site.service.group(&caller, name).await?;
    let one = site.service.revocation(&caller, name, ask.at("number")?).await?;
    let notice = (one.number, one.at);
    let progress = match site.daemons.known_by(name, notice, PAGE_PATIENCE).await {
        Some(known) => pages::Progress::Counted(known),
        None if site.daemons.has(name) => pages::Progress::Counting,
        None => pages::Progress::Unwatched,
    };
    Ok(page(&ask, pages::revocation(&frame(&ask), &group, &one, progress)))
}

pub async fn revoke_page(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let (caller, name) = (ask.caller(), ask.text_at("group")?);
    let victim: Victim = ask.query()?;
    let group = site.service.group(&caller, name).await?;
    let (query, called) = match (victim.node, victim.serial) {
        (Some(node), None) => {
            let found = site.service.node(&caller, name, node).await?;
            (("node", node.to_string()), node_name(&found))
        }
        (None, Some(serial)) => (("serial", serial.to_string()), "a node".to_owned()),
        _ => return Err(unnamed()),
    };
    let query = (query.0, query.1.as_str());
    Ok(page(&ask, pages::revoke(&frame(&ask), &group, query, &called)))
}

pub async fn revoke(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let name = ask.text_at("group")?;
    let victim: Victim = ask.form()?;
    let what = match (victim.node, victim.serial) {
        (Some(node), None) => Revoked::Node(node),
        (None, Some(serial)) => Revoked::Serial(serial),
        _ => return Err(unnamed()),
    };
    let number = site.service.revoke(&ask.caller(), name, what, victim.reason, now()).await?;
    Ok(see_other(&format!("/groups/{name}/revocations/{number}")))
}

fn unnamed() -> Problem {
    Problem::malformed("name one node or one certificate to revoke")
}
