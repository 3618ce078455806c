//! What a daemon sees of its ring: who is there, linked with whom, who knows which notice.
//!
//! How it works: one walk at a time serves all who look. Whoever looks gets the last walk; if that is too
//! old, the next one is begun, and waited for as long as the asker can. Before a walk is shown, it is
//! written down where each node was seen, with its virtual address (row SE-07).
//!
//! What must hold: a page never waits longer than [`PAGE_PATIENCE`], whatever the daemon does. What a node
//! says of its own address counts only after the hash table, whose records their owners sign, has said
//! the same: nobody puts another's address on.

use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use pki::{NodeId, UnixTime};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::{Mutex, watch};
use utoipa::ToSchema;

use super::ask::ask;
use crate::http::now;
use crate::service::Service;
use crate::store::read::Sighting;

/// Longest time that a page waits for a walk: what small groups need, and part of what a page may take.
pub const PAGE_PATIENCE: Duration = Duration::from_millis(100);
/// Longest time that a program waits for a walk.
pub const PROGRAM_PATIENCE: Duration = Duration::from_secs(20);
/// Longest time of a walk: 10,000 members at 10 ms each, some of them silent.
const WALK_PATIENCE: Duration = Duration::from_secs(200);
/// How long a walk is shown again, so that no page makes the ring be walked more often.
const WALK_LIFE: Duration = Duration::from_secs(2);
/// How old a walk may be that is shown while the next one is under way, or does not come.
const WALK_AGE_MAX: Duration = Duration::from_secs(300);
/// How often a ring is walked that nobody looks at: addresses are written down from it.
const WATCH: Duration = Duration::from_secs(60);
/// How long a node counts as seen before that is written down again.
const SEEN_LIFE: Duration = Duration::from_secs(30);
/// How long a proven address counts before the hash table is asked again: part of the life of a lease.
const PROOF_LIFE: Duration = Duration::from_secs(900);
/// Longest time for proving addresses within one walk; the rest waits for the next one.
const PROOFS_PATIENCE: Duration = Duration::from_secs(3);
/// Longest time for one look-up of an address.
const HOLDER_PATIENCE: Duration = Duration::from_secs(2);

/// A node as the daemon met it; all but its ID is what it says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Walked {
    /// The node.
    #[serde(rename(deserialize = "node_id"))]
    #[schema(value_type = String)]
    pub node: NodeId,
    /// The virtual address that it says it has; not shown before it is proven.
    #[serde(skip_serializing)]
    #[schema(ignore)]
    ipv4: Option<Ipv4Addr>,
    /// Number of the newest revocation notice that it knows.
    pub notices: u64,
    /// When it learned of that one, in seconds since 1970; none if before its start.
    pub noticed_at: Option<u64>,
    /// Nodes that it has a direct link with; each link stands at one of its ends at least.
    #[schema(value_type = Vec<String>)]
    pub links: Vec<NodeId>,
}

/// The ring as it was walked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walk {
    /// When the walk had ended.
    pub at: UnixTime,
    /// Its nodes in ring order.
    pub nodes: Vec<Walked>,
    /// Whether it came back to its start.
    pub complete: bool,
    begun: Instant,
    taken: Instant,
}

/// Who knows of a revocation, as far as the group's daemon can see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KnownBy {
    /// Members that answered.
    pub live: u64,
    /// Those of them that know it.
    pub acknowledged: u64,
    /// When the last of them learned of it, in seconds since 1970; none if they knew it from the start.
    pub last_at: Option<u64>,
    /// Whether the whole ring was walked.
    pub complete: bool,
}

impl Walk {
    /// Counts who knows a notice.
    pub fn known_by(&self, number: u64) -> KnownBy {
        let those = || self.nodes.iter().filter(|node| node.notices >= number);
        KnownBy {
            live: self.nodes.len() as u64,
            acknowledged: those().count() as u64,
            last_at: those().filter_map(|node| node.noticed_at).max(),
            complete: self.complete,
        }
    }
}

/// What was written down of a node.
#[derive(Clone, Copy, Debug)]
struct Seen {
    at: Instant,
    proven: Option<(Ipv4Addr, Instant)>,
}

/// The daemon of one group.
pub(super) struct Daemon {
    pub(super) group: String,
    pub(super) socket: PathBuf,
    service: Service,
    walks: watch::Sender<Option<Arc<Walk>>>,
    /// What was written down lately; locked while a walk is under way.
    seen: Arc<Mutex<HashMap<NodeId, Seen>>>,
    is_silent: AtomicBool,
}

impl Daemon {
    pub(super) fn new(group: &str, socket: PathBuf, service: Service) -> Self {
        Self {
            group: group.to_owned(),
            socket,
            service,
            walks: watch::channel(None).0,
            seen: Arc::default(),
            is_silent: AtomicBool::new(false),
        }
    }

    /// Walks the ring now and then for as long as the service runs.
    pub(super) async fn watch(self: Arc<Self>) -> std::convert::Infallible {
        let mut turns = tokio::time::interval(WATCH);
        loop {
            turns.tick().await;
            self.begin();
        }
    }

    /// The ring as last walked, and walked anew if that is too long ago and the patience is enough. A walk that
    /// began before `since` does not count.
    pub(super) async fn ring(
        self: &Arc<Self>,
        since: Option<Instant>,
        patience: Duration,
    ) -> Option<Arc<Walk>> {
        let counts = |walk: &Arc<Walk>| since.is_none_or(|since| walk.begun >= since);
        let is_fresh = |walk: &Arc<Walk>| counts(walk) && walk.taken.elapsed() < WALK_LIFE;
        let mut walks = self.walks.subscribe();
        let walking = async {
            if walks.borrow_and_update().as_ref().is_some_and(is_fresh) {
                return;
            }
            // One may be under way that does not count: then the next one does.
            for _ in 0..2 {
                self.begin();
                let _ = walks.changed().await;
                if walks.borrow_and_update().as_ref().is_some_and(counts) {
                    return;
                }
            }
        };
        // Whoever has no more patience sees the last one.
        let _ = tokio::time::timeout(patience, walking).await;
        let last = self.walks.borrow().clone();
        last.filter(|walk| counts(walk) && walk.taken.elapsed() < WALK_AGE_MAX)
    }

    /// Finds who holds a virtual address, in the hash table of the group.
    pub(super) async fn holder(&self, address: Ipv4Addr) -> Result<Option<NodeId>> {
        #[derive(Deserialize)]
        struct Holder {
            node_id: Option<NodeId>,
        }
        let request = json!({ "command": "holder", "address": address });
        let Holder { node_id } = ask(&self.socket, &request, HOLDER_PATIENCE).await?;
        Ok(node_id)
    }

    /// Begins a walk, unless one is under way.
    fn begin(self: &Arc<Self>) {
        let Ok(mut seen) = Arc::clone(&self.seen).try_lock_owned() else { return };
        let daemon = Arc::clone(self);
        tokio::spawn(async move {
            let walked = daemon.walk(&mut seen).await;
            // Whoever is told of this walk may begin the next one.
            drop(seen);
            let is_silent = walked.is_err();
            let was_silent = daemon.is_silent.swap(is_silent, Ordering::Relaxed);
            match walked {
                Ok(walk) => daemon.walks.send_modify(|last| *last = Some(Arc::new(walk))),
                Err(error) => {
                    if !was_silent {
                        let (group, error) = (&daemon.group, format!("{error:#}"));
                        tracing::warn!(group, error, "cannot see the ring");
                    }
                    // Whoever waits need not wait any longer.
                    daemon.walks.send_modify(|_| {});
                }
            }
            if was_silent && !is_silent {
                tracing::info!(group = daemon.group, "sees the ring again");
            }
        });
    }

    async fn walk(&self, seen: &mut HashMap<NodeId, Seen>) -> Result<Walk> {
        #[derive(Deserialize)]
        struct Ring {
            nodes: Vec<Walked>,
            complete: bool,
        }
        let (begun, request) = (Instant::now(), json!({ "command": "ring" }));
        let Ring { nodes, complete } = ask(&self.socket, &request, WALK_PATIENCE).await?;
        let walk = Walk { at: now(), nodes, complete, begun, taken: Instant::now() };
        self.write_down(&walk, seen).await?;
        Ok(walk)
    }

    /// Remembers where the nodes of a walk were seen, if that is news.
    async fn write_down(&self, walk: &Walk, seen: &mut HashMap<NodeId, Seen>) -> Result<()> {
        let there: HashSet<NodeId> = walk.nodes.iter().map(|node| node.node).collect();
        seen.retain(|node, _| there.contains(node));
        let addresses = self.prove(walk, seen).await;
        let mut sightings = Vec::new();
        for Walked { node, .. } in &walk.nodes {
            let proven = addresses.get(node).map(|address| (*address, walk.taken));
            let former = seen.get(node).copied();
            let is_recent = former.is_some_and(|former| former.at.elapsed() < SEEN_LIFE);
            if is_recent && proven.is_none() {
                continue;
            }
            let proven = proven.or(former.and_then(|former| former.proven));
            seen.insert(*node, Seen { at: walk.taken, proven });
            let address = proven.map(|(address, _)| address.to_string());
            // A walk goes from link to link: each node of it has a direct one.
            sightings.push(Sighting { node: *node, address, path: Some("direct".to_owned()) });
        }
        if !sightings.is_empty() {
            self.service.see(&self.group, &sightings, walk.at).await?;
        }
        Ok(())
    }

    /// Asks the hash table for the holders of addresses that nodes say they have, and keeps what agrees.
    async fn prove(&self, walk: &Walk, seen: &HashMap<NodeId, Seen>) -> HashMap<NodeId, Ipv4Addr> {
        let mut proven = HashMap::new();
        let proving = async {
            for Walked { node, ipv4, .. } in &walk.nodes {
                let Some(address) = *ipv4 else { continue };
                let former = seen.get(node).and_then(|former| former.proven);
                let is_known =
                    former.is_some_and(|(known, at)| known == address && at.elapsed() < PROOF_LIFE);
                if is_known {
                    continue;
                }
                match self.holder(address).await {
                    Ok(Some(holder)) if holder == *node => {
                        proven.insert(*node, address);
                    }
                    Ok(_) => {}
                    Err(error) => {
                        tracing::debug!(%address, error = format!("{error:#}"), "no holder found");
                    }
                }
            }
        };
        let _ = tokio::time::timeout(PROOFS_PATIENCE, proving).await;
        proven
    }
}
