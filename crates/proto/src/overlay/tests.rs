//! Rings of bare overlay machines in virtual time: links are made at once, messages take 20 ms.

use super::shortcut::{Fingers, Harmonic};
use super::*;
use crate::UnixTime;
use crate::ring::{Arc, offset};
use crate::wire::connect::{Connect, Purpose};
use crate::wire::crawl::{Answer, Query};
use std::collections::BTreeMap;

const DELAY: Duration = Duration::from_millis(20);

enum Happening {
    Message(NodeId, NodeId, Vec<u8>),
    Linked(NodeId, NodeId),
    Unlinked(NodeId, NodeId, Option<CloseReason>),
    Start(NodeId),
}

struct Ring {
    nodes: BTreeMap<NodeId, Overlay>,
    rng: Rng,
    now: Instant,
    queue: BTreeMap<(Instant, u64), Happening>,
    sequence: u64,
    reports: Vec<crawl::Report>,
    delivered: Vec<(NodeId, Protocol, u8)>,
}

impl Ring {
    fn new(n: usize, seed: u8, policy: fn() -> Box<dyn ShortcutPolicy>) -> Ring {
        let mut rng = Rng::new([seed; 32]);
        let mut ids: Vec<NodeId> = (0..n).map(|_| NodeId::from_bytes(rng.bytes())).collect();
        let mut ring = Ring {
            nodes: BTreeMap::new(),
            rng,
            now: Instant::ZERO,
            queue: BTreeMap::new(),
            sequence: 0,
            reports: Vec::new(),
            delivered: Vec::new(),
        };
        let first = ids[0];
        for (k, &id) in ids.iter().enumerate() {
            let bootstrap = if k == 0 { vec![] } else { vec![endpoint(first)] };
            let start = Instant::ZERO + Duration::from_millis(100) * k as u32;
            ring.nodes.insert(id, Overlay::new(id, policy(), bootstrap, &[], start));
            ring.later(start, Happening::Start(id));
            ring.nodes.get_mut(&id).expect("inserted").handle_endpoints(vec![endpoint(id)]);
        }
        ids.sort();
        ring
    }

    fn later(&mut self, at: Instant, happening: Happening) {
        self.sequence += 1;
        self.queue.insert((at, self.sequence), happening);
    }

    fn run_until(&mut self, end: Instant) {
        loop {
            let timer = self.nodes.iter().filter_map(|(&id, n)| Some((n.deadline()?, id))).min();
            let next = self.queue.first_key_value().map(|(&(at, _), _)| at);
            let at = timer.map(|t| t.0).into_iter().chain(next).min().unwrap_or(end);
            if at > end {
                self.now = end;
                return;
            }
            self.now = self.now.max(at);
            match self.queue.first_entry().filter(|e| e.key().0 <= at) {
                Some(entry) => {
                    let happening = entry.remove();
                    self.happen(happening);
                }
                None => {
                    let (_, id) = timer.expect("one of the two is due");
                    self.with(id, |node, cx| node.handle_timeout(cx));
                }
            }
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Start(id) => self.with(id, |node, cx| node.handle_timeout(cx)),
            Happening::Message(from, to, bytes) => {
                let linked = self.nodes.get(&to).is_some_and(|n| n.peers.contains_key(&from));
                match Control::parse(&bytes).expect("our own bytes") {
                    _ if !linked => {}
                    Control::Status(s) => self.with(to, |node, cx| node.handle_status(from, s, cx)),
                    Control::Routed(r) => self.with(to, |node, cx| node.handle_routed(from, r, cx)),
                    other => panic!("the overlay does not send {other:?}"),
                }
            }
            Happening::Linked(a, b) => {
                if self.nodes.contains_key(&a) && self.nodes.contains_key(&b) {
                    self.with(a, |node, cx| node.handle_linked(b, endpoint(b), cx));
                    self.with(b, |node, cx| node.handle_linked(a, endpoint(a), cx));
                }
            }
            Happening::Unlinked(at, peer, reason) => {
                self.with(at, |node, cx| node.handle_unlinked(peer, reason, cx));
            }
        }
    }

    fn with(&mut self, id: NodeId, f: impl FnOnce(&mut Overlay, &mut Context<'_>)) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        let now = Now { instant: self.now, unix: UnixTime(0) };
        let mut effects = Vec::new();
        f(node, &mut Context { now, rng: &mut self.rng, effects: &mut effects });
        for effect in effects {
            self.apply(id, effect);
        }
    }

    fn apply(&mut self, id: NodeId, effect: Effect) {
        let soon = self.now + DELAY;
        match effect {
            Effect::Send { peer, message } => {
                self.later(soon, Happening::Message(id, peer, message))
            }
            Effect::Dial { target, .. } => self.dial(id, target),
            Effect::DialEndpoint(e) => {
                let target = self.nodes.keys().copied().find(|&n| endpoint(n) == e);
                if let Some(target) = target {
                    self.later(soon, Happening::Linked(id, target));
                }
            }
            Effect::Close { peer, reason } => {
                self.later(self.now, Happening::Unlinked(id, peer, Some(reason)));
                self.later(soon, Happening::Unlinked(peer, id, Some(reason)));
            }
            Effect::Deliver { protocol, hops, .. } => self.delivered.push((id, protocol, hops)),
            Effect::Crawled(_, report) => self.reports.push(report),
            Effect::Neighbours { .. }
            | Effect::Joined
            | Effect::ConnectFailed(_)
            | Effect::Claimed(_) => {}
        }
    }

    fn dial(&mut self, from: NodeId, target: NodeId) {
        if self.nodes.contains_key(&target) {
            self.later(self.now + DELAY, Happening::Linked(from, target));
        } else {
            self.with(from, |node, cx| node.handle_dial_failed(target, cx));
        }
    }

    fn kill(&mut self, id: NodeId) {
        self.nodes.remove(&id);
        for other in self.nodes.keys().copied().collect::<Vec<_>>() {
            self.later(self.now + Duration::from_secs(18), Happening::Unlinked(other, id, None));
        }
    }

    /// Nodes whose two neighbours on each side are not those of the ring.
    fn wrong(&self) -> Vec<NodeId> {
        let ids: Vec<NodeId> = self.nodes.keys().copied().collect();
        let n = ids.len();
        let depth = 2.min(n - 1);
        let is_wrong = |&at: &usize| {
            let node = &self.nodes[&ids[at]];
            let right = (1..=depth).map(|k| ids[(at + k) % n]);
            let left = (1..=depth).map(|k| ids[(at + n - k) % n]);
            !node.side(Side::Right).into_iter().take(depth).eq(right)
                || !node.side(Side::Left).into_iter().take(depth).eq(left)
        };
        (0..n).filter(is_wrong).map(|at| ids[at]).collect()
    }

    fn unroutable_pairs(&self) -> usize {
        let links: BTreeMap<NodeId, Vec<NodeId>> =
            self.nodes.iter().map(|(&id, n)| (id, n.peers.keys().copied().collect())).collect();
        let routed = |source: NodeId, destination: NodeId| {
            let mut message =
                self.nodes[&source].message(Mode::Exact, Protocol::Ping, destination, None, &[]);
            let (mut at, mut from) = (source, None);
            for _ in 0..message.hop_limit {
                match links.get(&at).map(|peers| route::decide(at, peers, from, &message)) {
                    Some(Decision::Forward(next)) => (at, from) = (next, Some(at)),
                    Some(Decision::Cross(next)) => {
                        (at, from, message.crossed) = (next, Some(at), true);
                    }
                    Some(Decision::Deliver) => return at == destination,
                    _ => return false,
                }
            }
            at == destination
        };
        let pairs = links.keys().flat_map(|&a| links.keys().map(move |&b| (a, b)));
        pairs.filter(|&(a, b)| a != b && !routed(a, b)).count()
    }
}

fn endpoint(id: NodeId) -> SocketAddr {
    let b = id.as_bytes();
    SocketAddr::from(([b[0], b[1], b[2], b[3]], 7415))
}

fn harmonic() -> Box<dyn ShortcutPolicy> {
    Box::new(Harmonic)
}

fn fingers() -> Box<dyn ShortcutPolicy> {
    Box::new(Fingers)
}

fn seconds(s: u64) -> Instant {
    Instant::from_micros(s * 1_000_000)
}

#[test]
fn rings_of_all_sizes_form_and_route() {
    for n in [2, 3, 10, 25, 100] {
        let mut ring = Ring::new(n, n as u8, harmonic);
        ring.run_until(seconds(90));
        assert_eq!(ring.wrong(), vec![], "ring of {n}");
        assert_eq!(ring.unroutable_pairs(), 0, "ring of {n}");
        assert!(ring.nodes.values().all(Overlay::is_joined), "ring of {n}");
        let degree = ring.nodes.values().map(|o| o.peers.len()).sum::<usize>() as f64 / n as f64;
        println!("{n} nodes: mean degree {degree:.1}");
    }
}

#[test]
fn unit_sc_04_two_shortcut_policies_route() {
    for policy in [harmonic as fn() -> Box<dyn ShortcutPolicy>, fingers] {
        let mut ring = Ring::new(60, 4, policy);
        ring.run_until(seconds(90));
        assert_eq!((ring.wrong(), ring.unroutable_pairs()), (vec![], 0));
        let missing = |o: &&Overlay| {
            let held = o.peers.values().filter(|p| p.purposes.has(Purpose::Shortcut)).count();
            held < o.policy.wanted(o.size_estimate()) / 2
        };
        assert!(ring.nodes.values().filter(missing).count() < 6);
    }
}

#[test]
fn a_ring_heals_after_a_tenth_died_at_once() {
    let mut ring = Ring::new(100, 9, harmonic);
    ring.run_until(seconds(90));
    let dead: Vec<NodeId> = ring.nodes.keys().copied().step_by(10).collect();
    dead.into_iter().for_each(|id| ring.kill(id));
    ring.run_until(seconds(90 + 45));
    assert_eq!((ring.wrong(), ring.unroutable_pairs()), (vec![], 0));
}

#[test]
fn a_crawl_visits_every_node_once() {
    let mut ring = Ring::new(40, 5, harmonic);
    ring.run_until(seconds(60));
    let start = *ring.nodes.keys().next().expect("a node");
    ring.with(start, |node, cx| assert!(node.crawl(1, cx)));
    ring.run_until(seconds(120));
    let report = ring.reports.pop().expect("the crawl ended");
    assert!(report.complete && report.silent.is_empty());
    assert_eq!((report.nodes.len(), report.consistent()), (40, 40));
}

#[test]
fn a_crawls_question_of_the_wrong_length_is_dropped() {
    let mut ring = Ring::new(2, 7, harmonic);
    ring.run_until(seconds(10));
    let ids: Vec<NodeId> = ring.nodes.keys().copied().collect();
    for question in [&[0; 3][..], &[0; 5]] {
        ring.with(ids[0], |node, cx| {
            node.send(Mode::Exact, Protocol::NeighboursQuery, ids[1], question, cx);
        });
    }
    ring.run_until(seconds(11));
    assert_eq!(ring.nodes[&ids[1]].counters().dropped_malformed, 2);
}

#[test]
fn links_that_nobody_wants_are_closed() {
    let mut ring = Ring::new(60, 6, harmonic);
    ring.run_until(seconds(300));
    for node in ring.nodes.values() {
        for (id, peer) in node.peers() {
            let wanted = !peer.purposes.is_empty() || peer.kept_by_peer;
            assert!(wanted || ring.now - peer.linked_at < Duration::from_secs(31), "{id:?}");
        }
        let near = node.peers.values().filter(|p| p.purposes.has(Purpose::Near)).count();
        assert!((4..=8).contains(&near), "{near} near neighbours");
    }
}

/// A newcomer with a link to one node: what it asks by it.
struct Newcomer {
    overlay: Overlay,
    rng: Rng,
    now: Instant,
    asked: Vec<Connect>,
}

const ME: NodeId = NodeId::from_bytes([1; 20]);
const FAR: NodeId = NodeId::from_bytes([200; 20]);

impl Newcomer {
    fn new() -> Newcomer {
        let overlay = Overlay::new(ME, harmonic(), vec![endpoint(FAR)], &[], Instant::ZERO);
        let (rng, now) = (Rng::new([1; 32]), Instant::ZERO);
        let mut newcomer = Newcomer { overlay, rng, now, asked: Vec::new() };
        newcomer.with(|overlay, cx| overlay.handle_linked(FAR, endpoint(FAR), cx));
        newcomer
    }

    fn with(&mut self, act: impl FnOnce(&mut Overlay, &mut Context<'_>)) {
        let mut effects = Vec::new();
        let now = Now { instant: self.now, unix: UnixTime(0) };
        act(&mut self.overlay, &mut Context { now, rng: &mut self.rng, effects: &mut effects });
        for effect in effects {
            let Effect::Send { message, .. } = effect else { continue };
            if let Control::Routed(bytes) = Control::parse(&message).expect("our own bytes") {
                let routed = Routed::parse(bytes).expect("our own bytes");
                self.asked.extend(Connect::parse(routed.payload).ok());
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.with(Overlay::handle_timeout);
    }

    /// The node answers what it was asked last.
    fn hear_answer(&mut self) {
        let question = self.asked.last().expect("it asked").clone();
        let payload = Connect { accepted: true, answer_via: None, ..question }.emit();
        self.with(|overlay, cx| {
            let message = overlay.message(Mode::Exact, Protocol::ConnectReply, ME, None, &payload);
            overlay.handle_connect_reply(Routed { source: FAR, ..message }, cx);
        });
    }
}

impl Newcomer {
    /// What a crawl finds whose every question is answered by a member who names the next node as it likes.
    fn crawl(mut self, next: impl Fn(NodeId) -> NodeId) -> crawl::Report {
        let mut effects = Vec::new();
        let now = Now { instant: self.now, unix: UnixTime(0) };
        let cx = &mut Context { now, rng: &mut self.rng, effects: &mut effects };
        self.overlay.crawl(1, cx);
        loop {
            let message = match cx.effects.pop().expect("it asks on, or has ended") {
                Effect::Crawled(_, report) => return report,
                Effect::Send { message, .. } => message,
                other => panic!("{other:?}"),
            };
            let Ok(Control::Routed(bytes)) = Control::parse(&message) else {
                panic!("{message:?}")
            };
            let question = Routed::parse(bytes).expect("our own bytes");
            let token = Query::parse(question.payload).expect("our own bytes").token;
            let right = vec![next(question.destination)];
            let near = Status { keep: false, left: Vec::new(), right };
            let answer =
                Answer { token, notices: 0, noticed_at: 0, ipv4: None, far: Vec::new(), near };
            let (source, payload) = (question.destination, &*answer.emit());
            self.overlay.handle_neighbours_answer(Routed { source, payload, ..question }, cx);
        }
    }
}

#[test]
fn unit_op_01_a_member_does_not_lead_a_crawl_through_nodes_that_it_invents() {
    let onwards = |id| offset(id, Arc::power_of_two(20), Side::Right);
    let report = Newcomer::new().crawl(onwards);
    assert!(!report.complete && report.nodes.len() < 100, "{} nodes", report.nodes.len());
    let between = NodeId::from_bytes([100; 20]);
    let report = Newcomer::new().crawl(|id| if id == FAR { between } else { FAR });
    assert!(!report.complete && report.nodes.len() == 2, "{} nodes", report.nodes.len());
}

/// A host far away has answers after a second and more. Without one it would take the whole ring for its own.
#[test]
fn unit_ad_03_who_joins_is_told_its_place_and_does_not_guess_it() {
    let mut newcomer = Newcomer::new();
    for _ in 0..80 {
        newcomer.pass(Duration::from_millis(100));
    }
    assert!(!newcomer.overlay.is_joined(), "nobody has answered");
    newcomer.asked.clear();
    while newcomer.asked.is_empty() {
        newcomer.pass(Duration::from_millis(100));
    }
    newcomer.pass(Duration::from_millis(1_500));
    newcomer.hear_answer();
    assert!(newcomer.overlay.is_joined());
}

/// Whoever is linked first may be far from being a neighbour. Its status says so, and is lost at times.
#[test]
fn unit_ad_03_who_joins_is_a_neighbour_to_its_neighbours_first() {
    let far_tells = |neighbours: Vec<NodeId>| {
        let mut newcomer = Newcomer::new();
        newcomer.hear_answer();
        assert!(!newcomer.overlay.is_joined());
        let status = Status { keep: true, left: neighbours, right: Vec::new() };
        newcomer.with(|overlay, cx| overlay.handle_status(FAR, status, cx));
        newcomer
    };
    assert!(far_tells(vec![ME]).overlay.is_joined());
    let mut newcomer = far_tells(Vec::new());
    assert!(!newcomer.overlay.is_joined());
    for _ in 0..40 {
        newcomer.pass(Duration::from_millis(100));
    }
    assert!(newcomer.overlay.is_joined());
}

/// A peer that starts again knows nothing of what it was told before.
#[test]
fn who_is_linked_again_is_told_our_neighbours_again() {
    let mut newcomer = Newcomer::new();
    let statuses = |newcomer: &mut Newcomer| {
        let mut effects = Vec::new();
        let now = Now { instant: newcomer.now, unix: UnixTime(0) };
        let cx = &mut Context { now, rng: &mut newcomer.rng, effects: &mut effects };
        newcomer.overlay.handle_linked(FAR, endpoint(FAR), cx);
        let sent = |effect: &Effect| matches!(effect, Effect::Send { message, .. } if matches!(Control::parse(message), Ok(Control::Status(_))));
        effects.iter().filter(|effect| sent(effect)).count()
    };
    assert_eq!(statuses(&mut newcomer), 1);
}
