//! The `warren` daemons beside the service: one for each group that has one, a member without
//! privileges, asked over its Unix socket.
//!
//! How it works: a revocation is on disk before anybody hears of it. Then the daemon of its group is
//! given the notices and the secrets that belong to them, and tells all members; what it has taken is
//! marked, and what it has not is tried again. The same daemon walks the ring: who is there, who knows
//! a notice, who has which virtual address.
//!
//! What must hold: the process that holds CA keys reads no bytes of the overlay. From a daemon it
//! reads bounded lines of JSON, and of these only numbers, IDs and addresses.
//!
//! | file | question |
//! |---|---|
//! | `ask` | how is a daemon asked |
//! | `ring` | what does it see of its ring |

mod ask;
mod ring;

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use pki::{NodeId, UnixTime};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;

use crate::http::now;
use crate::service::Service;
use ask::ask;
use ring::Daemon;
pub use ring::{KnownBy, PAGE_PATIENCE, PROGRAM_PATIENCE, Walk, Walked};

/// Longest time for taking an announcement: the daemon verifies some thousand signatures at most.
const ANNOUNCE_PATIENCE: Duration = Duration::from_secs(10);
/// Nodes named to a daemon as put out: as many as it tells of by way of the hash table at a time.
const VICTIMS_MAX: usize = 64;
/// How often what could not be announced is tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// The daemons, by group.
pub struct Daemons {
    by_group: HashMap<String, Arc<Daemon>>,
    service: Service,
}

impl Daemons {
    /// The daemons that the settings name.
    pub fn new(service: &Service) -> Self {
        let sockets = service.config().daemons.iter();
        let daemon = |group: &str, socket| Arc::new(Daemon::new(group, socket, service.clone()));
        let by_group =
            sockets.map(|(group, socket)| (group.clone(), daemon(group, socket.clone())));
        Self { by_group: by_group.collect(), service: service.clone() }
    }

    /// Watches the rings for as long as the service runs.
    pub async fn watch(&self) -> Infallible {
        let mut watches = JoinSet::new();
        for daemon in self.by_group.values() {
            watches.spawn(Arc::clone(daemon).watch());
        }
        while watches.join_next().await.is_some() {}
        std::future::pending().await
    }

    /// Passes revocations on for as long as the service runs, to each daemon on its own: one that hangs holds
    /// up no other group.
    pub async fn pass_on(&self) -> Infallible {
        let mut passing = JoinSet::new();
        for (group, daemon) in &self.by_group {
            passing.spawn(pass_on(self.service.clone(), group.clone(), Arc::clone(daemon)));
        }
        while passing.join_next().await.is_some() {}
        std::future::pending().await
    }

    /// Gives the daemon of a group, if it has one, what it has not taken yet.
    pub async fn announce(&self, group: &str) -> Result<()> {
        let Some(daemon) = self.by_group.get(group) else { return Ok(()) };
        announce(&self.service, group, daemon).await
    }

    /// Whether a group has a daemon.
    pub fn has(&self, group: &str) -> bool {
        self.by_group.contains_key(group)
    }

    /// The ring of a group; `None` where it has no daemon, or this one has not answered lately.
    pub async fn ring(&self, group: &str, patience: Duration) -> Option<Arc<Walk>> {
        self.by_group.get(group)?.ring(None, patience).await
    }

    /// Counts who knows a notice that was signed then; `None` as for [`ring`](Self::ring). A walk from before
    /// would say that nobody does.
    pub async fn known_by(
        &self,
        group: &str,
        (number, signed): (u64, UnixTime),
        patience: Duration,
    ) -> Option<KnownBy> {
        // Both times are rounded down to a second.
        let age = now().since(signed).saturating_sub(Duration::from_secs(1));
        let since = Instant::now().checked_sub(age);
        Some(self.by_group.get(group)?.ring(since, patience).await?.known_by(number))
    }

    /// Finds who holds a virtual address now; `None` if nobody does, or nobody can say.
    pub async fn holder(&self, group: &str, address: Ipv4Addr) -> Option<NodeId> {
        match self.by_group.get(group)?.holder(address).await {
            Ok(holder) => holder,
            Err(error) => {
                tracing::warn!(
                    group,
                    error = format!("{error:#}"),
                    "cannot find who holds an address"
                );
                None
            }
        }
    }
}

async fn pass_on(service: Service, group: String, daemon: Arc<Daemon>) {
    let mut changes = service.changes();
    // The same trouble is told once.
    let mut told = None;
    loop {
        let trouble = announce(&service, &group, &daemon).await;
        let trouble = trouble.err().map(|error| format!("{error:#}"));
        if let Some(error) = trouble.as_ref().filter(|_| told != trouble) {
            tracing::warn!(group, error, "nothing is passed on to the group's daemon yet");
        }
        told = trouble;
        // A change of any group, or a while: another replica may have signed something.
        let changed = async {
            loop {
                match changes.recv().await {
                    Ok(changed) if !changed.notices => {}
                    Ok(_) | Err(RecvError::Lagged(_)) => break,
                    Err(RecvError::Closed) => std::future::pending().await,
                }
            }
        };
        let _ = tokio::time::timeout(AGAIN, changed).await;
    }
}

async fn announce(service: &Service, group: &str, daemon: &Daemon) -> Result<()> {
    let Some(waiting) = service.announcement(group, now()).await? else { return Ok(()) };
    #[derive(Deserialize)]
    struct Announced {
        number: u64,
    }
    // The newest: a daemon that was away for long tells of the others by broadcast.
    let victims: Vec<Value> = waiting
        .victims
        .iter()
        .rev()
        .take(VICTIMS_MAX)
        .map(|(notice, node)| json!({ "notice": notice, "node": node }))
        .collect();
    let request = json!({
        "command": "announce", "notices": waiting.notices, "secrets": waiting.secrets,
        "victims": victims,
    });
    let Announced { number } = ask(&daemon.socket, &request, ANNOUNCE_PATIENCE).await?;
    if number < waiting.number {
        bail!("the daemon has taken notice {number} and not {}", waiting.number);
    }
    service.set_announced(group, waiting.number, now()).await?;
    tracing::info!(group, notice = waiting.number, "passed on a revocation");
    Ok(())
}
