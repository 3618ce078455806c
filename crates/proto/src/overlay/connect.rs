//! How a link is asked for: connect requests through the overlay, their answers, and patience.
//!
//! The asker sends a request with its endpoints, whoever it ends at answers with its own, and both dial each
//! other at the same time. The answer comes back through the peer that took the request: the asker may have
//! no place in the ring yet. A node that cannot be linked is left alone for a growing pause.

use super::links::Purposes;
use super::route::{self, Decision};
use super::{Context, Effect, Overlay, PEERS_MAX, Timer};
use crate::NodeId;
use crate::bounds::Fill;
use crate::time::Instant;
use crate::wire::connect::{Connect, Purpose};
use crate::wire::routed::{Mode, Protocol, Routed};
use std::collections::BTreeMap;
use std::time::Duration;

/// Connect requests under way at most.
const REQUESTS_MAX: usize = 128;
/// Times that a connect request is sent, with pauses of 1 s, 2 s and 4 s.
const REQUEST_TRIES: u32 = 3;
const REQUEST_PAUSE: Duration = Duration::from_secs(1);
/// How long answers to a question about our own position are waited for: several hops of the longest delays.
const PLACE_PATIENCE: Duration = Duration::from_secs(4);
/// Nodes being dialled at most: a question about our own position has answers from whoever likes to.
const DIALLING_MAX: usize = 256;
/// Candidates whose pause is remembered at most.
const BACKOFF_MAX: usize = 256;
/// First and longest pause before a candidate that could not be linked is tried again.
const BACKOFF_FIRST: Duration = Duration::from_secs(1);
const BACKOFF_LAST: Duration = Duration::from_secs(60);
/// What is under way to nodes that are not linked.
#[derive(Debug, Default)]
pub(super) struct Requests {
    open: BTreeMap<u32, Request>,
    /// Nodes being dialled, with the purposes that their link will get.
    dialling: BTreeMap<NodeId, Purposes>,
    backoff: BTreeMap<NodeId, Backoff>,
    /// Whether a question about our own position was ever answered.
    place_told: bool,
}

#[derive(Debug)]
struct Request {
    purpose: Purpose,
    mode: Mode,
    destination: NodeId,
    via: Option<NodeId>,
    first: Option<NodeId>,
    tries: u32,
}

#[derive(Debug)]
struct Backoff {
    until: Instant,
    pause: Duration,
}

impl Requests {
    pub(super) fn is_under_way(&self, id: NodeId, purpose: Purpose, now: Instant) -> bool {
        self.dialling.get(&id).is_some_and(|p| p.has(purpose))
            || self.open.values().any(|r| r.destination == id && r.purpose == purpose)
            || self.backoff.get(&id).is_some_and(|b| b.until > now)
    }

    /// The node is linked: what the link is for.
    pub(super) fn linked(&mut self, id: NodeId) -> Purposes {
        self.backoff.remove(&id);
        self.dialling.remove(&id).unwrap_or_default()
    }

    fn has_room_for(&self, id: NodeId) -> bool {
        self.dialling.len() < DIALLING_MAX || self.dialling.contains_key(&id)
    }

    /// Requests and dials for this purpose.
    pub(super) fn under_way(&self, purpose: Purpose) -> usize {
        self.dialling.values().filter(|p| p.has(purpose)).count()
            + self.open.values().filter(|r| r.purpose == purpose).count()
    }

    /// Whether somebody has told who is around our own position, and nobody of those waits for its link.
    pub(super) fn place_is_known(&self) -> bool {
        self.place_told && !self.dialling.values().any(|p| p.has(Purpose::Near))
    }

    /// When the next candidate may be tried again.
    pub(super) fn patience_ends(&self, now: Instant) -> Option<Instant> {
        self.backoff.values().map(|b| b.until).filter(|&at| at > now).min()
    }

    /// How full these tables are.
    pub(super) fn fills(&self) -> [Fill; 3] {
        [
            Fill::new("connect requests", self.open.len(), REQUESTS_MAX),
            Fill::new("nodes that the overlay has dialled", self.dialling.len(), DIALLING_MAX),
            Fill::new("candidates with a pause", self.backoff.len(), BACKOFF_MAX),
        ]
    }

    fn failed(&mut self, id: NodeId, now: Instant) {
        let pause =
            self.backoff.get(&id).map_or(BACKOFF_FIRST, |b| (b.pause * 2).min(BACKOFF_LAST));
        self.backoff.insert(id, Backoff { until: now + pause, pause });
        if self.backoff.len() > BACKOFF_MAX {
            let oldest = self.backoff.iter().min_by_key(|(_, b)| b.until).map(|(&id, _)| id);
            oldest.map(|id| self.backoff.remove(&id));
        }
    }
}

impl Overlay {
    /// Asks for a direct link because traffic flows to this node (paper section 4).
    pub fn connect(&mut self, node: NodeId, cx: &mut Context<'_>) {
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.purposes.set(Purpose::OnDemand, true);
            self.reconsider(cx);
        } else if !self.requests.is_under_way(node, Purpose::OnDemand, Instant::FAR_FUTURE) {
            self.request(Purpose::OnDemand, Mode::Exact, node, None, None, cx);
        }
    }

    /// A dial that we asked for gave no link.
    pub fn handle_dial_failed(&mut self, target: NodeId, cx: &mut Context<'_>) {
        let Some(purposes) = self.requests.dialling.remove(&target) else { return };
        self.requests.failed(target, cx.now.instant);
        if purposes.has(Purpose::OnDemand) {
            cx.effects.push(Effect::ConnectFailed(target));
        }
        self.reconsider(cx);
    }

    pub(super) fn request(
        &mut self,
        purpose: Purpose,
        mode: Mode,
        destination: NodeId,
        via: Option<NodeId>,
        first: Option<NodeId>,
        cx: &mut Context<'_>,
    ) {
        if self.requests.open.len() >= REQUESTS_MAX {
            return;
        }
        let token = cx.rng.u32();
        let request = Request { purpose, mode, destination, via, first, tries: 0 };
        self.requests.open.insert(token, request);
        self.request_is_due(token, cx);
    }

    /// Sends a request, again if need be, or gives it up.
    pub(super) fn request_is_due(&mut self, token: u32, cx: &mut Context<'_>) {
        let Some(request) = self.requests.open.get_mut(&token) else { return };
        // Questions about our own position may have several answers and are repeated by `stabilise`.
        let is_of_place = request.destination == self.me;
        let tries_max = if is_of_place { 1 } else { REQUEST_TRIES };
        if request.tries >= tries_max {
            self.give_up(token, cx);
            return;
        }
        request.tries += 1;
        let pause =
            if is_of_place { PLACE_PATIENCE } else { REQUEST_PAUSE * (1 << (request.tries - 1)) };
        let (mode, destination, via) = (request.mode, request.destination, request.via);
        let purpose = request.purpose;
        let first = request.first.filter(|first| self.peers.contains_key(first));
        let endpoints = self.endpoints.clone();
        // The reply comes back through the peer that takes the request from us: we may have no place yet.
        let hop = first.or_else(|| route_start(self, mode, destination, via));
        if let Some(hop) = hop {
            let answer_via = Some(hop);
            // It is looked up while the link is made: by then the first packet is believed.
            let ipv4 = self.ipv4.filter(|_| purpose == Purpose::OnDemand);
            let connect = Connect { token, purpose, accepted: false, answer_via, ipv4, endpoints };
            let payload = connect.emit();
            let via = via.filter(|&via| via != self.me);
            let message = self.message(mode, Protocol::ConnectRequest, destination, via, &payload);
            self.originate(Some(hop), message, cx);
        }
        self.timers.set(Timer::Request(token), cx.now.instant + pause);
    }

    fn give_up(&mut self, token: u32, cx: &mut Context<'_>) {
        let Some(request) = self.requests.open.remove(&token) else { return };
        if request.destination != self.me && request.purpose != Purpose::Shortcut {
            self.requests.failed(request.destination, cx.now.instant);
        }
        if request.purpose == Purpose::OnDemand {
            cx.effects.push(Effect::ConnectFailed(request.destination));
        }
        self.reconsider(cx);
    }

    pub(super) fn handle_connect_request(&mut self, message: Routed<'_>, cx: &mut Context<'_>) {
        let Ok(connect) = Connect::parse(message.payload) else {
            self.counters.dropped_malformed += 1;
            return;
        };
        let asker = message.source;
        if asker == self.me {
            return;
        }
        let accepted = !self.leaving && self.has_room(asker, connect.purpose);
        if accepted {
            cx.effects.extend(connect.ipv4.map(Effect::Claimed));
            cx.effects.push(Effect::Dial { target: asker, endpoints: connect.endpoints });
        }
        let endpoints = if accepted { self.endpoints.clone() } else { Vec::new() };
        let reply = Connect { accepted, answer_via: None, ipv4: None, endpoints, ..connect };
        let payload = reply.emit();
        let via = connect.answer_via.filter(|&via| via != self.me);
        let answer = self.message(Mode::Exact, Protocol::ConnectReply, asker, via, &payload);
        self.originate(None, answer, cx);
    }

    /// Whether we take a link that somebody else asks for. Incoming shortcuts are capped at twice what we
    /// draw ourselves (Symphony section 3.3).
    fn has_room(&self, asker: NodeId, purpose: Purpose) -> bool {
        let incoming = self.peers.values().filter(|p| p.purposes.is_empty() && p.kept_by_peer);
        let cap = 2 * self.policy.wanted(self.size_estimate()).max(2);
        self.peers.contains_key(&asker)
            || self.peers.len() < PEERS_MAX
                && (purpose != Purpose::Shortcut || incoming.count() < cap)
    }

    pub(super) fn handle_connect_reply(&mut self, message: Routed<'_>, cx: &mut Context<'_>) {
        let Ok(connect) = Connect::parse(message.payload) else {
            self.counters.dropped_malformed += 1;
            return;
        };
        let Some(request) = self.requests.open.get(&connect.token) else { return };
        let (node, purpose) = (message.source, request.purpose);
        // Both flanks answer a question about our own position; all others have one answer.
        if request.destination == self.me {
            self.requests.place_told = true;
        } else {
            self.requests.open.remove(&connect.token);
            self.timers.cancel(Timer::Request(connect.token));
        }
        if node == self.me || !connect.accepted {
            return;
        }
        if let Some(peer) = self.peers.get_mut(&node) {
            if purpose == Purpose::Shortcut && !peer.purposes.has(purpose) {
                self.shortcut_misses = 0;
            }
            // Near is derived from the rank, never from who answered.
            peer.purposes.set(purpose, purpose != Purpose::Near || peer.purposes.has(purpose));
        } else if self.requests.has_room_for(node) {
            self.shortcut_misses = 0;
            let purposes = self.requests.dialling.entry(node).or_default();
            purposes.set(purpose, true);
            cx.effects.push(Effect::Dial { target: node, endpoints: connect.endpoints });
        }
        self.reconsider(cx);
    }
}

/// The peer by which a message of ours would leave.
fn route_start(
    overlay: &Overlay,
    mode: Mode,
    destination: NodeId,
    via: Option<NodeId>,
) -> Option<NodeId> {
    let peers: Vec<NodeId> = overlay.peers.keys().copied().collect();
    let message = overlay.message(mode, Protocol::ConnectRequest, destination, via, &[]);
    match route::decide(overlay.me, &peers, None, &message) {
        Decision::Forward(peer) | Decision::Cross(peer) | Decision::DeliverAndCross(peer) => {
            Some(peer)
        }
        Decision::Deliver | Decision::Drop => None,
    }
}
