//! What a link is for, and when it is let go.
//!
//! Each end notes its own purposes; its status tells the other whether it wants the link kept. `reconsider`
//! is the one place that derives everything from the set of linked peers and what they told.

use super::near::{self, KEPT_PER_SIDE};
use super::{Context, Effect, Overlay, PEERS_MAX, STABILISE_FIRST, STABILISE_LAST, Timer};
use crate::NodeId;
use crate::ring::Side;
use crate::time::Instant;
use crate::wire::connect::Purpose;
use crate::wire::control::{CloseReason, Control, Status};
use crate::wire::routed::Mode;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

/// A link that neither end wants is closed this long after it was made: the other end may still find a use.
const UNWANTED_GRACE: Duration = Duration::from_secs(30);
/// The same when the table is nearly full: time to ask for one's place in the ring and to be answered.
const UNWANTED_GRACE_MIN: Duration = Duration::from_secs(3);
/// How long a node that joins waits for its neighbours to tell that it is theirs: they do at once, and it may be lost.
const STATUS_PATIENCE: Duration = Duration::from_secs(2);
/// Pause between two draws while shortcuts are missing; grows with draws that gave nothing new.
const SHORTCUT_PAUSE: Duration = Duration::from_secs(1);
/// Pause between two looks at shortcuts that are complete.
const SHORTCUT_SETTLED: Duration = Duration::from_secs(60);

/// Our reasons to keep a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purposes(u8);

impl Purposes {
    /// Whether this is among the reasons.
    pub fn has(self, purpose: Purpose) -> bool {
        self.0 & Self::bit(purpose) != 0
    }

    /// Whether there is no reason.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The reasons by name.
    pub fn names(self) -> Vec<&'static str> {
        [(Purpose::Near, "near"), (Purpose::Shortcut, "shortcut"), (Purpose::OnDemand, "on-demand")]
            .into_iter()
            .filter_map(|(p, name)| self.has(p).then_some(name))
            .collect()
    }

    pub(super) fn set(&mut self, purpose: Purpose, on: bool) {
        self.0 = if on { self.0 | Self::bit(purpose) } else { self.0 & !Self::bit(purpose) };
    }

    fn bit(purpose: Purpose) -> u8 {
        1 << purpose as u8
    }
}

/// A linked peer as the overlay sees it.
#[derive(Debug)]
pub struct Peer {
    /// Since when it is linked.
    pub linked_at: Instant,
    /// Why we keep the link.
    pub purposes: Purposes,
    /// Whether the peer wants the link kept; until it says so, yes.
    pub kept_by_peer: bool,
    /// Where it is.
    pub endpoint: SocketAddr,
    /// Its neighbours, as it last told.
    pub(super) told: Vec<NodeId>,
    /// The status it was last sent.
    status_sent: Option<Status>,
    /// Estimate of the network's size when it was drawn as a shortcut.
    pub shortcut_size: f64,
}

impl Overlay {
    /// A direct link to this peer is up.
    pub fn handle_linked(&mut self, peer: NodeId, endpoint: SocketAddr, cx: &mut Context<'_>) {
        if self.leaving || peer == self.me {
            return;
        }
        if let Some(entry) = self.peers.get_mut(&peer) {
            entry.endpoint = endpoint;
            // It may have started again and know nothing, or a status was lost. This comes with each answer to a
            // question about our place, too: each two minutes at rest.
            entry.status_sent = None;
            self.bootstrap.linked(peer, endpoint);
            entry.purposes.0 |= self.requests.linked(peer).0;
            return self.reconsider(cx);
        }
        if self.peers.len() >= PEERS_MAX {
            cx.effects.push(Effect::Close { peer, reason: CloseReason::Unneeded });
            return;
        }
        let now = cx.now.instant;
        self.known.linked(peer, endpoint, now);
        self.bootstrap.linked(peer, endpoint);
        let purposes = self.requests.linked(peer);
        let shortcut_size = self.size_estimate();
        self.peers.insert(
            peer,
            Peer {
                linked_at: now,
                purposes,
                kept_by_peer: true,
                endpoint,
                told: Vec::new(),
                status_sent: None,
                shortcut_size,
            },
        );
        if !self.joined {
            self.request(Purpose::Near, Mode::Annealing, self.me, None, Some(peer), cx);
        }
        self.reconsider(cx);
    }

    /// The peer is now reached at another endpoint.
    pub fn handle_moved(&mut self, peer: NodeId, endpoint: SocketAddr, now: Instant) {
        if let Some(entry) = self.peers.get_mut(&peer) {
            entry.endpoint = endpoint;
            self.known.linked(peer, endpoint, now);
            self.bootstrap.linked(peer, endpoint);
        }
    }

    /// The link to this peer is gone: it stopped answering (`None`) or closed it for a reason.
    pub fn handle_unlinked(
        &mut self,
        peer: NodeId,
        reason: Option<CloseReason>,
        cx: &mut Context<'_>,
    ) {
        let Some(lost) = self.peers.remove(&peer) else { return };
        match reason {
            None => self.known.lost(peer, cx.now.instant),
            Some(reason) => self.known.closed(peer, reason == CloseReason::Leaving),
        }
        if let Some(at) = self.known.deadline() {
            self.timers.set(Timer::Known, at);
        }
        if self.leaving {
            return;
        }
        if self.peers.is_empty() {
            self.bootstrap.alone();
            self.timers.set(Timer::Bootstrap, cx.now.instant);
        }
        if lost.purposes.has(Purpose::OnDemand) {
            cx.effects.push(Effect::ConnectFailed(peer));
        }
        if lost.purposes.has(Purpose::Near) {
            self.timers.set(Timer::Stabilise, cx.now.instant);
        }
        self.reconsider(cx);
    }

    /// Traffic to this node ceased: its link may go.
    pub fn release(&mut self, node: NodeId, cx: &mut Context<'_>) {
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.purposes.set(Purpose::OnDemand, false);
            self.reconsider(cx);
        }
    }

    /// Derives purposes, missing neighbours, statuses and timers from what is linked and told.
    pub(super) fn reconsider(&mut self, cx: &mut Context<'_>) {
        let now = cx.now.instant;
        let linked: Vec<NodeId> = self.peers.keys().copied().collect();
        let told: BTreeMap<NodeId, NodeId> = self
            .peers
            .iter()
            .flat_map(|(&teller, peer)| peer.told.iter().map(move |&id| (id, teller)))
            .filter(|(id, _)| *id != self.me && !self.peers.contains_key(id))
            .collect();
        let everybody: BTreeSet<NodeId> = linked.iter().chain(told.keys()).copied().collect();
        let [left, right] =
            Side::BOTH.map(|side| near::nearest(self.me, &everybody, side, KEPT_PER_SIDE));
        self.size = near::estimate_size(self.me, &left, &right, linked.len());
        let wanted = near::wanted_per_side(self.size);
        self.mark_near(wanted, &left, &right);
        let missing = near::missing(self.me, &linked, &told, wanted);
        for &(id, teller) in &missing {
            if !self.requests.is_under_way(id, Purpose::Near, now) {
                self.request(Purpose::Near, Mode::Exact, id, Some(teller), Some(teller), cx);
            }
        }
        if let Some(at) = self.requests.patience_ends(now).filter(|_| !missing.is_empty()) {
            self.timers.set_earlier(Timer::Backoff, at);
        }

        let nearest = |side| self.side(side).first().copied();
        let neighbours = (nearest(Side::Left), nearest(Side::Right));
        if neighbours != self.neighbours {
            self.neighbours = neighbours;
            let (left, right) = neighbours;
            cx.effects.push(Effect::Neighbours { left, right });
            self.stabilise_pause = STABILISE_FIRST;
            self.timers.set_earlier(Timer::Stabilise, now + STABILISE_FIRST);
        }
        let nobody_nearer = near::missing(self.me, &linked, &told, 1).is_empty();
        // Whose word was lost does not keep us out for ever.
        let takes_us = |id: &NodeId| {
            let peer = &self.peers[id];
            peer.told.contains(&self.me) || now >= peer.linked_at + STATUS_PATIENCE
        };
        if !self.joined
            && neighbours.0.is_some()
            && nobody_nearer
            && [neighbours.0, neighbours.1].iter().flatten().all(takes_us)
            && self.requests.place_is_known()
        {
            self.joined = true;
            cx.effects.push(Effect::Joined);
            self.timers.set(Timer::Shortcut, now);
        }
        self.plan_statuses(now, cx);
        self.plan_trim(now);
    }

    /// Linked peers get the purpose when they rank among the wanted of a side, and lose it only when there
    /// are [`KEPT_PER_SIDE`] nearer nodes on both: links do not flap when somebody joins between.
    fn mark_near(&mut self, wanted: usize, left: &[NodeId], right: &[NodeId]) {
        let sought: BTreeSet<NodeId> =
            Side::BOTH.iter().flat_map(|&side| self.side(side).into_iter().take(wanted)).collect();
        for (id, peer) in &mut self.peers {
            if sought.contains(id) {
                peer.purposes.set(Purpose::Near, true);
            } else if !left.contains(id) && !right.contains(id) {
                peer.purposes.set(Purpose::Near, false);
            }
        }
    }

    /// The status that a peer should have: our neighbours matter to ring neighbours only.
    fn status_for(peer: &Peer, ours: &Status) -> Status {
        let keep = !peer.purposes.is_empty();
        if peer.purposes.has(Purpose::Near) {
            Status { keep, ..ours.clone() }
        } else {
            Status { keep, ..Status::default() }
        }
    }

    fn plan_statuses(&mut self, now: Instant, cx: &mut Context<'_>) {
        let ours = self.status(true);
        let is_due = |p: &Peer| p.status_sent.as_ref() != Some(&Self::status_for(p, &ours));
        let newcomer = self.peers.values().any(|p| p.status_sent.is_none());
        if newcomer {
            self.send_statuses(cx);
        } else if self.peers.values().any(is_due) {
            self.timers.set_earlier(Timer::Status, now + super::STATUS_PAUSE);
        }
    }

    pub(super) fn send_statuses(&mut self, cx: &mut Context<'_>) {
        let ours = self.status(true);
        let due: Vec<(NodeId, Status)> = self
            .peers
            .iter()
            .map(|(&id, peer)| (id, peer, Self::status_for(peer, &ours)))
            .filter(|(_, peer, status)| peer.status_sent.as_ref() != Some(status))
            .map(|(id, _, status)| (id, status))
            .collect();
        for (peer, status) in due {
            let message = Control::Status(status.clone()).emit();
            cx.effects.push(Effect::Send { peer, message });
            if let Some(entry) = self.peers.get_mut(&peer) {
                entry.status_sent = Some(status);
            }
        }
    }

    /// How long an unwanted link is kept. From half a table on the less the fuller it is: where a thousand nodes
    /// join by one that all know, each new one finds room there.
    fn grace(&self) -> Duration {
        let room = PEERS_MAX.saturating_sub(self.peers.len()) as f64 / (PEERS_MAX / 2) as f64;
        UNWANTED_GRACE.mul_f64(room.min(1.0)).max(UNWANTED_GRACE_MIN)
    }

    fn plan_trim(&mut self, now: Instant) {
        if let Some(at) = self.trim_due() {
            self.timers.set_earlier(Timer::Trim, at.max(now));
        }
    }

    /// When the longest held of the unwanted links may go.
    fn trim_due(&self) -> Option<Instant> {
        let unwanted = self.peers.values().filter(|p| p.purposes.is_empty() && !p.kept_by_peer);
        unwanted.map(|p| p.linked_at + self.grace()).min()
    }

    pub(super) fn trim(&mut self, cx: &mut Context<'_>) {
        let now = cx.now.instant;
        for (&peer, entry) in &self.peers {
            let unwanted = entry.purposes.is_empty() && !entry.kept_by_peer;
            if unwanted && entry.linked_at + self.grace() <= now {
                cx.effects.push(Effect::Close { peer, reason: CloseReason::Unneeded });
            }
        }
        // The grace of the others may have become longer since the timer was set.
        if let Some(at) = self.trim_due().filter(|&at| at > now) {
            self.timers.set_earlier(Timer::Trim, at);
        }
    }

    /// Asks both sides of our own position who is there, through a random peer: finds neighbours that no
    /// status told of, because it was lost or the ring was cut.
    pub(super) fn stabilise(&mut self, cx: &mut Context<'_>) {
        let linked: Vec<NodeId> = self.peers.keys().copied().collect();
        if let Some(&first) = linked.get(cx.rng.below(linked.len())) {
            for side in Side::BOTH {
                let mode = Mode::Directional(side);
                self.request(Purpose::Near, mode, self.me, None, Some(first), cx);
            }
        }
        if !self.joined {
            self.reconsider(cx);
        }
        let pause = cx.rng.jitter(self.stabilise_pause, 0.2);
        self.stabilise_pause = (self.stabilise_pause * 2).min(STABILISE_LAST);
        self.timers.set(Timer::Stabilise, cx.now.instant + pause);
    }

    /// Draws one shortcut if some are missing; lets one go that was drawn for another size of network.
    pub(super) fn tend_shortcuts(&mut self, cx: &mut Context<'_>) {
        let size = self.size_estimate();
        let wanted = self.policy.wanted(size);
        let held = self.peers.values().filter(|p| p.purposes.has(Purpose::Shortcut)).count();
        let coming = self.requests.under_way(Purpose::Shortcut);
        let mut pause = SHORTCUT_SETTLED;
        if held + coming < wanted.min(self.peers.len().max(1)) {
            let point = self.policy.draw(self.me, size, self.shortcuts_drawn, cx.rng);
            self.shortcuts_drawn = self.shortcuts_drawn.wrapping_add(1);
            self.request(Purpose::Shortcut, Mode::Greedy, point, None, None, cx);
            self.shortcut_misses = (self.shortcut_misses + 1).min(6);
            pause = SHORTCUT_PAUSE * (1 << self.shortcut_misses.saturating_sub(1));
        } else if held > 2 * wanted || self.stale_shortcut(size).is_some() {
            let any = || self.peers.iter().find(|(_, p)| p.purposes.has(Purpose::Shortcut));
            let gone = self.stale_shortcut(size).or_else(|| any().map(|(&id, _)| id));
            if let Some(peer) = gone.and_then(|id| self.peers.get_mut(&id)) {
                peer.purposes.set(Purpose::Shortcut, false);
            }
            pause = SHORTCUT_PAUSE * 10;
        }
        let at = cx.now.instant + cx.rng.jitter(pause, 0.25);
        self.timers.set(Timer::Shortcut, at);
        self.reconsider(cx);
    }

    /// A shortcut drawn when the estimate was less than half or more than twice today's (Symphony 3.5).
    fn stale_shortcut(&self, size: f64) -> Option<NodeId> {
        self.peers
            .iter()
            .filter(|(_, p)| p.purposes.has(Purpose::Shortcut))
            .find(|(_, p)| !(0.5..=2.0).contains(&(p.shortcut_size / size)))
            .map(|(&id, _)| id)
    }
}
