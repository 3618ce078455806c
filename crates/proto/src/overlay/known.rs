//! Endpoints of nodes that were linked once: how a restart rejoins without the bootstrap list, and how the
//! two halves of a healed partition find each other again.
//!
//! A peer that was lost without a goodbye is dialled again after 2 s, each 4 s for two minutes, and then each
//! minute for half a day: polling that stops too early leaves partitions for ever (checklist X21).

use crate::NodeId;
use crate::bounds::Fill;
use crate::rng::Rng;
use crate::time::Instant;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// Nodes remembered at most; the least recently linked is forgotten first.
pub const KNOWN_MAX: usize = 64;
/// First pause before a lost peer is dialled again.
const RETRY_FIRST: Duration = Duration::from_secs(2);
/// Pause between attempts during the first [`EAGER`] attempts: a merge is noticed within this time.
const RETRY_EAGER: Duration = Duration::from_secs(4);
/// Longest pause between two attempts.
const RETRY_LAST: Duration = Duration::from_secs(60);
/// Attempts made at the eager pace: about two minutes.
const EAGER: u32 = 30;
/// Attempts after which a lost peer is forgotten: about half a day.
const ATTEMPTS_MAX: u32 = 700;

#[derive(Debug)]
struct Known {
    endpoint: SocketAddr,
    linked_at: Instant,
    retry: Option<Retry>,
}

#[derive(Debug)]
struct Retry {
    at: Instant,
    attempts: u32,
}

/// The nodes that were linked once.
#[derive(Debug, Default)]
pub struct KnownPeers(BTreeMap<NodeId, Known>);

impl KnownPeers {
    /// Notes that the node is linked at this endpoint.
    pub fn linked(&mut self, id: NodeId, endpoint: SocketAddr, now: Instant) {
        self.0.insert(id, Known { endpoint, linked_at: now, retry: None });
        if self.0.len() > KNOWN_MAX {
            let oldest = self.0.iter().min_by_key(|(_, k)| k.linked_at).map(|(&id, _)| id);
            oldest.map(|id| self.0.remove(&id));
        }
    }

    /// Notes a node of an earlier run: it is dialled at once.
    pub fn remember(&mut self, id: NodeId, endpoint: SocketAddr, now: Instant) {
        self.linked(id, endpoint, now);
        if let Some(known) = self.0.get_mut(&id) {
            known.retry = Some(Retry { at: now, attempts: 0 });
        }
    }

    /// Notes that the node stopped answering: it will be dialled again.
    pub fn lost(&mut self, id: NodeId, now: Instant) {
        if let Some(known) = self.0.get_mut(&id) {
            known.retry = Some(Retry { at: now + RETRY_FIRST, attempts: 0 });
        }
    }

    /// Notes that the node said goodbye: it is dialled no more, but remembered if it only closed a link.
    pub fn closed(&mut self, id: NodeId, left: bool) {
        if left {
            self.0.remove(&id);
        } else if let Some(known) = self.0.get_mut(&id) {
            known.retry = None;
        }
    }

    /// When [`KnownPeers::due`] has something to give.
    pub fn deadline(&self) -> Option<Instant> {
        self.0.values().filter_map(|k| k.retry.as_ref().map(|r| r.at)).min()
    }

    /// The lost peers whose time to be dialled has come.
    pub fn due(&mut self, now: Instant, rng: &mut Rng) -> Vec<(NodeId, SocketAddr)> {
        let mut due = Vec::new();
        self.0.retain(|&id, known| {
            let Some(retry) = known.retry.as_mut().filter(|r| r.at <= now) else { return true };
            due.push((id, known.endpoint));
            retry.attempts += 1;
            let pause = if retry.attempts < EAGER { RETRY_EAGER } else { RETRY_LAST };
            retry.at = now + rng.jitter(pause, 0.25);
            retry.attempts < ATTEMPTS_MAX
        });
        due
    }

    /// How full the table is.
    pub(super) fn fill(&self) -> Fill {
        Fill::new("nodes linked once", self.0.len(), KNOWN_MAX)
    }

    /// Everything remembered, most recently linked first: what the driver keeps for the next start.
    pub fn endpoints(&self) -> Vec<(NodeId, SocketAddr)> {
        let mut all: Vec<_> = self.0.iter().map(|(&id, k)| (id, k)).collect();
        all.sort_by_key(|(_, k)| std::cmp::Reverse(k.linked_at));
        all.into_iter().map(|(id, k)| (id, k.endpoint)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_peer_is_dialled_again_and_again_and_a_leaver_never() {
        let (mut known, mut rng) = (KnownPeers::default(), Rng::new([1; 32]));
        let (a, b) = (NodeId::from_bytes([1; 20]), NodeId::from_bytes([2; 20]));
        let endpoint: SocketAddr = "10.0.0.1:7415".parse().expect("an endpoint");
        known.linked(a, endpoint, Instant::ZERO);
        known.linked(b, endpoint, Instant::ZERO);
        known.lost(a, Instant::ZERO);
        known.closed(b, true);
        let mut dialled = 0;
        for _ in 0..50 {
            let at = known.deadline().expect("still polling");
            dialled += known.due(at, &mut rng).iter().filter(|(id, _)| *id == a).count();
        }
        assert_eq!(dialled, 50);
        assert_eq!(known.endpoints(), vec![(a, endpoint)]);
    }

    #[test]
    fn the_number_remembered_is_bounded() {
        let mut known = KnownPeers::default();
        for n in 0..=255u8 {
            let at = Instant::from_micros(u64::from(n));
            known.linked(NodeId::from_bytes([n; 20]), ([10, 0, 0, n], 1).into(), at);
        }
        assert_eq!(known.endpoints().len(), KNOWN_MAX);
        assert_eq!(known.endpoints()[0].0, NodeId::from_bytes([255; 20]));
    }
}
