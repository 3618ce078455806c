//! How the bootstrap endpoints are used: all of them while nobody is linked, and one now and then afterwards.
//!
//! A look while linked finds the other part of a network that was cut in two, when no known peer remembers it.
//! A link each time would cost the few bootstrap nodes a handshake with every member. So the node that was
//! found behind an endpoint is first pinged over the ring: who answers there is part of it. Only silence, or
//! an endpoint where nobody was found yet, makes a dial.

use super::{Context, Effect, Overlay, Timer};
use crate::NodeId;
use crate::time::Instant;
use crate::wire::routed::{Mode, Protocol};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

/// First and longest pause between attempts at the bootstrap endpoints while nobody is linked.
pub(super) const BOOTSTRAP_FIRST: Duration = Duration::from_secs(1);
const BOOTSTRAP_LAST: Duration = Duration::from_secs(30);
/// Pause between looks at one bootstrap endpoint while linked: a question and its answer take some 1 KB in
/// the whole network, so this is 30 bit/s.
const BOOTSTRAP_LINKED: Duration = Duration::from_secs(300);
/// The same pause per node of the network: one finder is enough, and a bootstrap node has all nodes look at it.
const BOOTSTRAP_LINKED_PER_NODE: Duration = Duration::from_secs(10);
/// How long the answer over the ring is waited for, and how often it is asked for: a message of six hops at
/// 5 % loss is lost every fourth time.
const LOOK_PATIENCE: Duration = Duration::from_secs(2);
const LOOK_TRIES: u32 = 3;

/// Most bootstrap endpoints of one overlay: some addresses of each of the 64 names that a blob may hold.
const ENDPOINTS_MAX: usize = 256;

/// The bootstrap endpoints and what is known of them.
#[derive(Debug)]
pub(super) struct Bootstrap {
    endpoints: Vec<SocketAddr>,
    /// Which node was last linked at an endpoint.
    found: BTreeMap<SocketAddr, NodeId>,
    pause: Duration,
    look: Option<Look>,
}

/// A question over the ring that waits for its answer.
#[derive(Debug)]
struct Look {
    endpoint: SocketAddr,
    node: NodeId,
    token: [u8; 8],
    tries: u32,
}

impl Bootstrap {
    pub(super) fn new(mut endpoints: Vec<SocketAddr>) -> Bootstrap {
        endpoints.truncate(ENDPOINTS_MAX);
        Bootstrap { endpoints, found: BTreeMap::new(), pause: BOOTSTRAP_FIRST, look: None }
    }

    /// Takes these endpoints for the former ones, and keeps what is known of those that stay.
    fn replace(&mut self, mut endpoints: Vec<SocketAddr>) {
        endpoints.truncate(ENDPOINTS_MAX);
        self.found.retain(|endpoint, _| endpoints.contains(endpoint));
        self.endpoints = endpoints;
    }

    /// Notes who was linked where.
    pub(super) fn linked(&mut self, node: NodeId, endpoint: SocketAddr) {
        if self.endpoints.contains(&endpoint) {
            self.found.insert(endpoint, node);
        }
    }

    /// Nobody is linked any more: attempts begin at the quick pace.
    pub(super) fn alone(&mut self) {
        self.pause = BOOTSTRAP_FIRST;
    }

    /// Whether this answer over the ring is the one that a look waits for, which is then over.
    pub(super) fn is_answered(&mut self, source: NodeId, payload: &[u8]) -> bool {
        self.look.take_if(|look| look.node == source && look.token == payload).is_some()
    }
}

impl Overlay {
    /// The bootstrap endpoints are these from now on. Where nobody is linked they are dialled at once.
    pub fn handle_bootstrap(&mut self, endpoints: Vec<SocketAddr>, now: Instant) {
        self.bootstrap.replace(endpoints);
        if self.peers.is_empty() && !self.leaving {
            self.timers.set(Timer::Bootstrap, now);
        }
    }

    /// Dials the bootstrap endpoints while nobody is linked; looks at one of them otherwise.
    pub(super) fn tend_bootstrap(&mut self, cx: &mut Context<'_>) {
        let pause = if self.peers.is_empty() {
            cx.effects.extend(self.bootstrap.endpoints.iter().copied().map(Effect::DialEndpoint));
            let pause = self.bootstrap.pause;
            self.bootstrap.pause = (pause * 2).min(BOOTSTRAP_LAST);
            pause
        } else {
            self.look_at_bootstrap(cx);
            BOOTSTRAP_LINKED.max(BOOTSTRAP_LINKED_PER_NODE.mul_f64(self.size))
        };
        let at = cx.now.instant + cx.rng.jitter(pause, 0.25);
        self.timers.set(Timer::Bootstrap, at);
    }

    fn look_at_bootstrap(&mut self, cx: &mut Context<'_>) {
        let linked: BTreeSet<_> = self.peers.values().map(|p| p.endpoint).collect();
        let endpoints = &self.bootstrap.endpoints;
        let absent: Vec<_> = endpoints.iter().filter(|e| !linked.contains(e)).collect();
        let Some(&&endpoint) = absent.get(cx.rng.below(absent.len())) else { return };
        match self.bootstrap.found.get(&endpoint) {
            Some(&node) => {
                let token = cx.rng.bytes();
                self.bootstrap.look = Some(Look { endpoint, node, token, tries: 0 });
                self.look_is_due(cx);
            }
            None => cx.effects.push(Effect::DialEndpoint(endpoint)),
        }
    }

    /// Asks over the ring, again if need be; dials who does not answer there.
    pub(super) fn look_is_due(&mut self, cx: &mut Context<'_>) {
        let Some(mut look) = self.bootstrap.look.take() else { return };
        if look.tries == LOOK_TRIES {
            self.bootstrap.found.remove(&look.endpoint);
            cx.effects.push(Effect::DialEndpoint(look.endpoint));
            return;
        }
        look.tries += 1;
        let (node, token) = (look.node, look.token);
        self.bootstrap.look = Some(look);
        self.timers.set(Timer::Look, cx.now.instant + LOOK_PATIENCE);
        self.send(Mode::Exact, Protocol::Ping, node, &token, cx);
    }
}
