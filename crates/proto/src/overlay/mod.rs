//! One overlay instance: the ring, its shortcuts, and messages routed through it (paper section 3).
//!
//! `Overlay` knows which peers are linked and why, decides which links to seek and which to let go, and
//! routes. It makes no links itself: it asks for them with [`Effect::Dial`] and is told of the result. The
//! same machine serves public and private overlays.
//!
//! What must always hold:
//! - a link is closed for want of use only when neither end wants it;
//! - every request, candidate and peer table is bounded, and every retry has a growing pause;
//! - a message is forwarded at most [`Routed::hop_limit`] times.
//!
//! | file | question |
//! |---|---|
//! | `route` | where does a message go next |
//! | `near` | which ring neighbours are kept and sought |
//! | `shortcut` | which long links are drawn |
//! | `connect` | how is a link asked for |
//! | `links` | what is a link for, and when is it let go |
//! | `known` | who was linked once and is dialled again |
//! | `bootstrap` | when are the bootstrap endpoints dialled |
//! | `spread` | how does a message reach everybody |
//! | `crawl` | is the whole ring consistent |

mod bootstrap;
mod connect;
pub mod crawl;
pub mod known;
mod links;
pub mod near;
pub mod route;
pub mod shortcut;
mod spread;

use crate::NodeId;
use crate::bounds::Fill;
use crate::ring::Side;
use crate::rng::Rng;
use crate::time::{Instant, Now};
use crate::timer::Timers;
use crate::wire::control::{CloseReason, Control, STATUS_PER_SIDE_MAX, Status};
use crate::wire::routed::{HOP_LIMIT_MAX, Mode, Protocol, Routed};
use bootstrap::Bootstrap;
use connect::Requests;
use known::KnownPeers;
use links::Peer;
use route::Decision;
use shortcut::ShortcutPolicy;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Bound;
use std::time::Duration;

/// Which of a node's overlays: its place in the node's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instance(pub u8);

/// Links of one overlay at most; more are refused.
pub const PEERS_MAX: usize = 256;
/// Status changes within this time go out as one message.
const STATUS_PAUSE: Duration = Duration::from_millis(50);
/// First and longest pause between two looks at whether the ring is right around us. The pause doubles
/// while nothing changes; the longest costs about 40 bit/s.
const STABILISE_FIRST: Duration = Duration::from_secs(1);
const STABILISE_LAST: Duration = Duration::from_secs(120);

/// What an overlay asks of its node.
#[derive(Debug)]
pub enum Effect {
    /// Send this control message to a linked peer.
    Send {
        /// The peer.
        peer: NodeId,
        /// A `wire::control` message.
        message: Vec<u8>,
    },
    /// Make a link to this node, trying all endpoints at once.
    Dial {
        /// The node.
        target: NodeId,
        /// Where it may be.
        endpoints: Vec<SocketAddr>,
    },
    /// Who asks for a link, because it has something to send, says that this is its virtual address.
    Claimed(Ipv4Addr),
    /// Make a link to whoever answers here.
    DialEndpoint(SocketAddr),
    /// End the link to this peer.
    Close {
        /// The peer.
        peer: NodeId,
        /// What to tell it.
        reason: CloseReason,
    },
    /// A routed message ended here.
    Deliver {
        /// Who sent it.
        source: NodeId,
        /// What the payload is.
        protocol: Protocol,
        /// Hops it took.
        hops: u8,
        /// The message of the protocol.
        payload: Vec<u8>,
    },
    /// The ring neighbours are now these.
    Neighbours {
        /// Next counter-clockwise.
        left: Option<NodeId>,
        /// Next clockwise.
        right: Option<NodeId>,
    },
    /// The ring is right around us for the first time.
    Joined,
    /// A link asked for with [`Overlay::connect`] cannot be made directly.
    ConnectFailed(NodeId),
    /// A crawl ended.
    Crawled(u64, crawl::Report),
}

/// What an overlay may use while it handles one input.
#[derive(Debug)]
pub struct Context<'a> {
    /// The time.
    pub now: Now,
    /// The node's generator.
    pub rng: &'a mut Rng,
    /// Where effects go.
    pub effects: &'a mut Vec<Effect>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// Repeat a connect request or give it up.
    Request(u32),
    /// Tell peers of changed neighbours.
    Status,
    /// Ask through the ring who our neighbours are.
    Stabilise,
    /// Draw a shortcut, drop a stale one.
    Shortcut,
    /// Close links that nobody wants.
    Trim,
    /// Try candidates again whose pause is over.
    Backoff,
    /// Dial lost peers again.
    Known,
    /// Dial bootstrap endpoints, or look at one.
    Bootstrap,
    /// The answer of a bootstrap node over the ring is late.
    Look,
    /// Repeat the question of a crawl.
    Crawl,
}

/// What an overlay counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages that started here.
    pub originated: u64,
    /// Messages handed on.
    pub forwarded: u64,
    /// Messages that ended here.
    pub delivered: u64,
    /// Messages for an ID that nobody here is nearer to.
    pub dropped_no_route: u64,
    /// Messages that reached their hop limit.
    pub dropped_hop_limit: u64,
    /// Messages that are not well-formed.
    pub dropped_malformed: u64,
}

/// One overlay instance of a node.
#[derive(Debug)]
pub struct Overlay {
    me: NodeId,
    policy: Box<dyn ShortcutPolicy>,
    bootstrap: Bootstrap,
    endpoints: Vec<SocketAddr>,
    peers: BTreeMap<NodeId, Peer>,
    known: KnownPeers,
    requests: Requests,
    neighbours: (Option<NodeId>, Option<NodeId>),
    size: f64,
    joined: bool,
    leaving: bool,
    stabilise_pause: Duration,
    shortcuts_drawn: usize,
    shortcut_misses: u32,
    crawl: Option<crawl::Crawl>,
    /// Number of the newest revocation notice that the node knows, and when it learned of it: told to crawls.
    noticed: (u64, u64),
    /// The virtual IPv4 address that the node has: told to crawls.
    ipv4: Option<Ipv4Addr>,
    timers: Timers<Timer>,
    counters: Counters,
}

impl Overlay {
    /// An overlay with nobody linked, which will dial `bootstrap` and `known` at once.
    pub fn new(
        me: NodeId,
        policy: Box<dyn ShortcutPolicy>,
        bootstrap: Vec<SocketAddr>,
        known: &[(NodeId, SocketAddr)],
        now: Instant,
    ) -> Overlay {
        let mut overlay = Overlay {
            me,
            policy,
            bootstrap: Bootstrap::new(bootstrap),
            endpoints: Vec::new(),
            peers: BTreeMap::new(),
            known: KnownPeers::default(),
            requests: Requests::default(),
            neighbours: (None, None),
            size: 1.0,
            joined: false,
            leaving: false,
            stabilise_pause: STABILISE_FIRST,
            shortcuts_drawn: 0,
            shortcut_misses: 0,
            crawl: None,
            noticed: (0, 0),
            ipv4: None,
            timers: Timers::default(),
            counters: Counters::default(),
        };
        for &(id, endpoint) in known.iter().filter(|(id, _)| *id != me) {
            overlay.known.remember(id, endpoint, now);
        }
        overlay.timers.set(Timer::Bootstrap, now);
        overlay.timers.set(Timer::Known, now);
        overlay
    }

    /// The node's ID in this overlay.
    pub fn me(&self) -> NodeId {
        self.me
    }

    /// Whether both ring neighbours were linked and knew of nobody nearer, once.
    pub fn is_joined(&self) -> bool {
        self.joined
    }

    /// The linked ring neighbours, left and right.
    pub fn neighbours(&self) -> (Option<NodeId>, Option<NodeId>) {
        self.neighbours
    }

    /// The linked peers and why they are.
    pub fn peers(&self) -> impl Iterator<Item = (NodeId, &Peer)> {
        self.peers.iter().map(|(&id, peer)| (id, peer))
    }

    /// Nodes linked now or once, with their endpoints: what the driver keeps for the next start.
    pub fn known_endpoints(&self) -> Vec<(NodeId, SocketAddr)> {
        self.known.endpoints()
    }

    /// What was counted.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// The linked peers of a side, nearest first.
    pub fn side(&self, side: Side) -> Vec<NodeId> {
        // Order of IDs is ring order: no need to measure arcs.
        let above = self.peers.range((Bound::Excluded(self.me), Bound::Unbounded));
        let below = self.peers.range(..self.me);
        match side {
            Side::Right => above.chain(below).map(|(&id, _)| id).collect(),
            Side::Left => below.rev().chain(above.rev()).map(|(&id, _)| id).collect(),
        }
    }

    /// How full its bounded places are.
    pub fn fills(&self) -> impl Iterator<Item = Fill> + '_ {
        let links = Fill::new("links", self.peers.len(), PEERS_MAX);
        let crawl = self.crawl.as_ref().map(crawl::Crawl::fill);
        self.requests.fills().into_iter().chain([links, self.known.fill()]).chain(crawl)
    }

    /// Estimated number of nodes in the overlay.
    pub fn size_estimate(&self) -> f64 {
        self.size
    }

    /// When [`Overlay::handle_timeout`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.deadline()
    }

    /// Our endpoints, offered to nodes that want a link.
    pub fn handle_endpoints(&mut self, mut endpoints: Vec<SocketAddr>) {
        endpoints.truncate(crate::wire::connect::ENDPOINTS_MAX);
        self.endpoints = endpoints;
    }

    /// The node knows the revocation notice of this number since then, in seconds since 1970.
    pub fn handle_noticed(&mut self, number: u64, at: u64) {
        self.noticed = (number, at);
    }

    /// The node has this virtual IPv4 address now, or none.
    pub fn handle_address(&mut self, ipv4: Option<Ipv4Addr>) {
        self.ipv4 = ipv4;
    }

    /// A linked peer told of its neighbours.
    pub fn handle_status(&mut self, peer: NodeId, status: Status, cx: &mut Context<'_>) {
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        entry.kept_by_peer = status.keep;
        entry.told = status.left.into_iter().chain(status.right).collect();
        self.reconsider(cx);
    }

    /// A linked peer handed on a routed message.
    pub fn handle_routed(&mut self, from: NodeId, bytes: &[u8], cx: &mut Context<'_>) {
        match Routed::parse(bytes) {
            Ok(message) => self.route(Some(from), message, cx),
            Err(_) => self.counters.dropped_malformed += 1,
        }
    }

    /// The time has come that [`Overlay::deadline`] named.
    pub fn handle_timeout(&mut self, cx: &mut Context<'_>) {
        while let Some(timer) = self.timers.expire(cx.now.instant) {
            match timer {
                Timer::Request(token) => self.request_is_due(token, cx),
                Timer::Status => self.send_statuses(cx),
                Timer::Stabilise => self.stabilise(cx),
                Timer::Shortcut => self.tend_shortcuts(cx),
                Timer::Trim => self.trim(cx),
                Timer::Backoff => self.reconsider(cx),
                Timer::Known => self.dial_known(cx),
                Timer::Bootstrap => self.tend_bootstrap(cx),
                Timer::Look => self.look_is_due(cx),
                Timer::Crawl => self.crawl_is_due(cx),
            }
        }
    }

    /// Sends a message from this node.
    pub fn send(
        &mut self,
        mode: Mode,
        protocol: Protocol,
        destination: NodeId,
        payload: &[u8],
        cx: &mut Context<'_>,
    ) {
        let message = self.message(mode, protocol, destination, None, payload);
        self.originate(None, message, cx);
    }

    /// Whether this node leaves the ring.
    pub fn is_leaving(&self) -> bool {
        self.leaving
    }

    /// Leaves the ring: every linked peer is told, nothing is dialled any more.
    pub fn leave(&mut self, cx: &mut Context<'_>) {
        self.leaving = true;
        self.timers = Timers::default();
        let close = |&peer: &NodeId| Effect::Close { peer, reason: CloseReason::Leaving };
        cx.effects.extend(self.peers.keys().map(close));
    }

    fn message<'a>(
        &self,
        mode: Mode,
        protocol: Protocol,
        destination: NodeId,
        via: Option<NodeId>,
        payload: &'a [u8],
    ) -> Routed<'a> {
        let hop_limit = hop_limit(self.size);
        let (source, crossed, hops) = (self.me, false, 0);
        Routed { mode, crossed, hops, hop_limit, protocol, source, destination, via, payload }
    }

    /// Starts a message on its way, by this first hop if one is given.
    fn originate(&mut self, first: Option<NodeId>, message: Routed<'_>, cx: &mut Context<'_>) {
        self.counters.originated += 1;
        match first {
            Some(peer) => self.forward(peer, message, cx),
            None => self.route(None, message, cx),
        }
    }

    fn route(&mut self, from: Option<NodeId>, message: Routed<'_>, cx: &mut Context<'_>) {
        let peers: Vec<NodeId> = self.peers.keys().copied().collect();
        match route::decide(self.me, &peers, from, &message) {
            Decision::Deliver => self.deliver(message, cx),
            Decision::Forward(peer) => self.forward(peer, message, cx),
            Decision::Cross(peer) => self.forward(peer, Routed { crossed: true, ..message }, cx),
            Decision::DeliverAndCross(peer) => {
                self.forward(peer, Routed { crossed: true, ..message }, cx);
                self.deliver(message, cx);
            }
            Decision::Drop => self.counters.dropped_no_route += 1,
        }
    }

    fn forward(&mut self, peer: NodeId, message: Routed<'_>, cx: &mut Context<'_>) {
        if message.hops >= message.hop_limit {
            self.counters.dropped_hop_limit += 1;
            return;
        }
        self.counters.forwarded += u64::from(message.source != self.me);
        let via = message.via.filter(|&via| via != self.me);
        let bytes = Routed { hops: message.hops + 1, via, ..message }.emit();
        cx.effects.push(Effect::Send { peer, message: Control::Routed(&bytes).emit() });
    }

    fn deliver(&mut self, message: Routed<'_>, cx: &mut Context<'_>) {
        self.counters.delivered += 1;
        match message.protocol {
            Protocol::ConnectRequest => self.handle_connect_request(message, cx),
            Protocol::ConnectReply => self.handle_connect_reply(message, cx),
            Protocol::NeighboursQuery => self.handle_neighbours_query(message, cx),
            Protocol::NeighboursAnswer => self.handle_neighbours_answer(message, cx),
            Protocol::Ping => {
                self.send(Mode::Exact, Protocol::Pong, message.source, message.payload, cx);
            }
            Protocol::WhoIsNearest => {
                self.send(Mode::Exact, Protocol::IAmNearest, message.source, message.payload, cx);
            }
            Protocol::Pong if self.bootstrap.is_answered(message.source, message.payload) => {
                self.timers.cancel(Timer::Look);
            }
            Protocol::Dht
            | Protocol::Tunnel
            | Protocol::Pong
            | Protocol::IAmNearest
            | Protocol::Notices => {
                cx.effects.push(Effect::Deliver {
                    source: message.source,
                    protocol: message.protocol,
                    hops: message.hops,
                    payload: message.payload.to_vec(),
                });
            }
        }
    }

    /// The neighbours that we tell others of.
    fn status(&self, keep: bool) -> Status {
        let nearest = |side| {
            let mut ids = self.side(side);
            ids.truncate(STATUS_PER_SIDE_MAX);
            ids
        };
        Status { keep, left: nearest(Side::Left), right: nearest(Side::Right) }
    }

    fn dial_known(&mut self, cx: &mut Context<'_>) {
        for (target, endpoint) in self.known.due(cx.now.instant, cx.rng) {
            if !self.peers.contains_key(&target) {
                cx.effects.push(Effect::Dial { target, endpoints: vec![endpoint] });
            }
        }
        if let Some(at) = self.known.deadline() {
            self.timers.set(Timer::Known, at);
        }
    }
}

/// Hops after which a message is dropped: the cube of the natural logarithm of the size (as Brunet), but
/// enough to cross a small ring node by node while it forms.
fn hop_limit(size: f64) -> u8 {
    (size.max(1.0).ln().powi(3)).clamp(16.0, f64::from(HOP_LIMIT_MAX)) as u8
}

#[cfg(test)]
mod tests;
