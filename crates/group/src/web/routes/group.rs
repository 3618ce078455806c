//! A group: its overview, its blobs and tokens, one of its nodes. Outsiders are asked to join.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use pki::NodeId;
use serde::Deserialize;

use super::{as_file, done, frame, page};
use crate::daemon::{PAGE_PATIENCE, Walk};
use crate::http::{Answer, Ask, Site, now, text};
use crate::model::{TokenId, TokenOptions, UserId};
use crate::service::BlobForm;
use crate::store::{Page, Paged};
use crate::view::{NodeView, StandingView};
use crate::web::page::Said;
use crate::web::pages::group::{
    Draft, Overview, Walked, decides, is_live, name as node_name, outside,
    overview as overview_page,
};
use crate::web::pages::{node as node_page, tokens as tokens_page};
use crate::web::ring::{NODES_DRAWN_MAX, Path, Ring, Spot};

const DAY: u64 = 86_400;

/// What the form of a blob says; all of it has usual values.
#[derive(Deserialize)]
struct BlobOptions {
    #[serde(default)]
    label: String,
    days: Option<u64>,
    reusable: Option<String>,
    ephemeral: Option<String>,
}

/// What the search form says.
#[derive(Deserialize)]
struct Find {
    find: Option<String>,
}

pub async fn overview(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let (caller, name) = (ask.caller(), ask.text_at("group")?);
    let summary = site.service.group_summary(&caller, name).await?;
    if !matches!(summary.standing, StandingView::Member | StandingView::Administrator) {
        let request = site.service.own_request(&caller, name).await?;
        let shown = outside(&frame(&ask), name, request.as_ref(), &Draft::default());
        return Ok(page(&ask, shown));
    }
    let group = site.service.group(&caller, name).await?;
    // First, because it also writes down where nodes were seen.
    let walk = site.daemons.ring(name, PAGE_PATIENCE).await;
    let Find { find } = ask.query()?;
    let find = find.as_deref().map(str::trim).filter(|find| !find.is_empty());
    let nodes = match find {
        Some(find) => Paged { items: site.trace(&caller, name, find).await?, next: None },
        None => site.service.nodes(&caller, name, None, &ask.page()?).await?,
    };
    let all = Page::new(None, NODES_DRAWN_MAX as u32 + 1);
    let all = site.service.nodes(&caller, name, None, &all).await?;
    let ring = ring_of(name, &all.items, walk.as_deref(), ask.person()?.user.id);
    let older = super::next(&nodes, &format!("/groups/{name}"));
    let pin = site.service.pins().first().map(ToString::to_string);
    let shown = Overview {
        group: &group,
        url: &site.service.config().url.to_string(),
        pin: pin.as_deref(),
        ring: &ring,
        walked: walk.map(|walk| Walked { at: walk.at, nodes: walk.nodes.len() as u64 }),
        find,
        nodes: &nodes.items,
        older: older.as_deref(),
    };
    Ok(page(&ask, overview_page(&frame(&ask), &shown)))
}

/// Returns the ring of the nodes that count, and of the paths between them that a walk has met.
fn ring_of(group: &str, nodes: &[NodeView], walk: Option<&Walk>, me: UserId) -> Ring {
    let walked = || walk.into_iter().flat_map(|walk| &walk.nodes);
    let met: HashSet<NodeId> = walked().map(|node| node.node).collect();
    let now = now();
    let spot = |node: &NodeView| Spot {
        id: node.node,
        name: node_name(node),
        live: if walk.is_some() { met.contains(&node.node) } else { is_live(node, now) },
        own: node.user.id == me,
        href: format!("/groups/{group}/nodes/{}", node.node),
    };
    let there = nodes.iter().filter(|node| node.ended.is_none());
    let spots: Vec<Spot> = there.map(spot).collect();
    let drawn: HashSet<NodeId> = spots.iter().map(|spot| spot.id).collect();
    let shown = walked().filter(|node| drawn.contains(&node.node));
    let links = shown.flat_map(|node| node.links.iter().map(|link| (node.node, *link)));
    let links = links.filter(|(_, link)| drawn.contains(link));
    // Both ends may have named a link.
    let links: BTreeSet<_> = links.map(|(one, other)| [one.min(other), one.max(other)]).collect();
    let paths = links.into_iter().map(|ends| Path { ends, direct: true });
    Ring { nodes: spots, paths: paths.collect() }
}

/// Draws a token and answers with the blob around it, as a file.
pub async fn blob(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let name = ask.text_at("group")?;
    let BlobOptions { label, days, reusable, ephemeral } = ask.form()?;
    let usual = TokenOptions::default();
    let options = TokenOptions {
        label: label.trim().to_owned(),
        reusable: reusable.map_or(usual.reusable, |choice| choice == "yes"),
        ephemeral: ephemeral.is_some(),
        life: days.map_or(usual.life, |days| Duration::from_secs(days.saturating_mul(DAY))),
    };
    let service = &site.service;
    let drawn = service.draw_blob(&ask.caller(), name, options, BlobForm::Short, now()).await?;
    let file = text("application/yaml", drawn.1.as_bytes());
    Ok(as_file(file, &format!("{name}.yaml")))
}

pub async fn tokens(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let (caller, name) = (ask.caller(), ask.text_at("group")?);
    let group = site.service.group(&caller, name).await?;
    // Administrators see whose machines could join by which.
    let of = (!decides(&group)).then_some(ask.person()?.user.id);
    let tokens = site.service.tokens(&caller, name, of, &ask.page()?).await?;
    let next = super::next(&tokens, &format!("/groups/{name}/tokens"));
    let shown = tokens_page::tokens(&frame(&ask), &group, &tokens.items, next.as_deref());
    Ok(page(&ask, shown))
}

pub async fn end_token_page(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let (caller, name) = (ask.caller(), ask.text_at("group")?);
    let group = site.service.group(&caller, name).await?;
    let token = site.service.token(&caller, name, ask.at::<TokenId>("token")?).await?;
    Ok(page(&ask, tokens_page::end_token(&frame(&ask), &group, &token)))
}

pub async fn end_token(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let name = ask.text_at("group")?;
    site.service.end_token(&ask.caller(), name, ask.at("token")?, now()).await?;
    Ok(done(&format!("/groups/{name}/tokens"), Said::TokenEnded))
}

pub async fn node(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let (caller, name) = (ask.caller(), ask.text_at("group")?);
    let group = site.service.group(&caller, name).await?;
    let node = site.service.node(&caller, name, ask.at::<NodeId>("node")?).await?;
    let mine = node.user.id == ask.person()?.user.id;
    Ok(page(&ask, node_page::node(&frame(&ask), &group, &node, mine)))
}
