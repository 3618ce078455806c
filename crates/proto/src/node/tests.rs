//! A few whole nodes in virtual time, with the null suite: do the machines work together?

use super::api::{Access, Answer, OverlayConfig, Ticket};
use super::*;
use crate::UnixTime;
use crate::overlay::shortcut::Harmonic;
use crate::session::null::{NullSuite, Sizes};
use std::collections::BTreeMap;
use std::time::Duration;

mod hostile_peer;
mod pre_shared;
mod two_overlays;

const DELAY: Duration = Duration::from_millis(10);

/// Nodes on one network; each datagram takes 10 ms, unless told otherwise, or is lost.
struct Net {
    nodes: BTreeMap<SocketAddr, Node>,
    queue: BTreeMap<(Instant, u64), (SocketAddr, SocketAddr, Vec<u8>)>,
    waits: BTreeMap<SocketAddr, Instant>,
    sequence: u64,
    now: Instant,
    delay: Duration,
    loss: f64,
    blocked: Vec<(SocketAddr, SocketAddr)>,
    /// Datagrams of this node and length are lost.
    swallowed: Option<(SocketAddr, usize)>,
    rng: Rng,
    events: Vec<(SocketAddr, Event)>,
    answers: Vec<Answer>,
}

fn endpoint(n: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, n], 7415))
}

impl Net {
    fn new(loss: f64) -> Net {
        Net {
            nodes: BTreeMap::new(),
            queue: BTreeMap::new(),
            waits: BTreeMap::new(),
            sequence: 0,
            now: Instant::ZERO,
            delay: DELAY,
            loss,
            blocked: Vec::new(),
            swallowed: None,
            rng: Rng::new([7; 32]),
            events: Vec::new(),
            answers: Vec::new(),
        }
    }

    fn now(&self) -> Now {
        Now { instant: self.now, unix: UnixTime(1_000_000) }
    }

    fn add_as(&mut self, n: u8, id: [u8; 20]) {
        let mut rng = Rng::new([n; 32]);
        let suite = NullSuite::new(NodeId::from_bytes(id), Sizes::GROUP, b"test", &mut rng);
        let bootstrap = if n == 1 { vec![] } else { vec![endpoint(1)] };
        let overlay = OverlayConfig {
            suite: Box::new(suite),
            access: Access::Public,
            bootstrap,
            known: Vec::new(),
            shortcuts: Box::new(Harmonic),
        };
        self.add_in(n, vec![overlay]);
    }

    fn add_in(&mut self, n: u8, overlays: Vec<OverlayConfig>) {
        let mut node = Node::new(Config { overlays, vpn: None }, [n; 32], self.now())
            .expect("no virtual network to be wrong");
        node.handle_endpoints(vec![endpoint(n)], self.now());
        self.nodes.insert(endpoint(n), node);
        self.with(endpoint(n), Node::handle_timeout);
    }

    fn add(&mut self, n: u8) {
        let id = Rng::new([n ^ 0xa5; 32]).bytes();
        self.add_as(n, id);
    }

    fn id(&self, n: u8) -> NodeId {
        self.nodes[&endpoint(n)].id()
    }

    fn with(&mut self, at: SocketAddr, f: impl FnOnce(&mut Node, Now)) {
        let now = self.now();
        let Some(node) = self.nodes.get_mut(&at) else { return };
        f(node, now);
        loop {
            match node.poll() {
                Output::Wait(until) => {
                    self.waits.insert(at, until);
                    break;
                }
                Output::Datagram { to, bytes } => {
                    let cut = self.blocked.contains(&(at, to)) || self.blocked.contains(&(to, at));
                    let cut = cut || self.swallowed == Some((at, bytes.len()));
                    if self.rng.unit() >= self.loss && !cut {
                        self.sequence += 1;
                        self.queue.insert((self.now + self.delay, self.sequence), (at, to, bytes));
                    }
                }
                Output::Event(event) => self.events.push((at, event)),
                Output::Answer(_, answer) => self.answers.push(answer),
                Output::Lane(_) | Output::Device(_) => {}
            }
        }
        self.check_links(at);
    }

    /// The overlay sends over links, which are direct sessions: over itself it would send for ever.
    fn check_links(&self, at: SocketAddr) {
        let node = &self.nodes[&at];
        for (overlay, instance) in node.overlays.iter().zip(node.instances()) {
            for (peer, _) in overlay.peers() {
                let session = node.links.session(instance, peer);
                let path = session.map(|(_, session)| session.path);
                assert!(matches!(path, Some(Path::Direct(_))), "{at}: {peer} by {path:?}");
            }
        }
    }

    fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let wait = self.waits.iter().map(|(&at, &until)| (until, at)).min();
            let message = self.queue.first_key_value().map(|(&(at, _), _)| at);
            let at = wait.map(|w| w.0).into_iter().chain(message).min();
            let Some(at) = at.filter(|&at| at <= end) else { break self.now = end };
            self.now = self.now.max(at);
            if message == Some(at) {
                let Some((_, (from, to, mut bytes))) = self.queue.pop_first() else { continue };
                self.with(to, |node, now| node.handle_datagram(from, &mut bytes, now));
            } else if let Some((_, at)) = wait {
                self.with(at, Node::handle_timeout);
            }
        }
    }

    fn kill(&mut self, n: u8) {
        self.nodes.remove(&endpoint(n));
        self.waits.remove(&endpoint(n));
    }

    /// Gives a node another endpoint, of which nobody is told.
    fn rebind(&mut self, n: u8, to: u8) {
        let node = self.nodes.remove(&endpoint(n)).expect("it runs");
        self.nodes.insert(endpoint(to), node);
        let wait = self.waits.remove(&endpoint(n)).expect("it waits");
        self.waits.insert(endpoint(to), wait);
    }

    /// What each end of each link says of its round trip.
    fn round_trips(&self) -> Vec<Option<Duration>> {
        let peers = |node: &Node| node.peers(self.now());
        self.nodes.values().flat_map(peers).map(|peer| peer.rtt).collect()
    }

    fn linked(&self, a: u8, b: u8) -> bool {
        self.nodes[&endpoint(a)].links().session(Instance(0), self.id(b)).is_some()
    }
}

#[test]
fn two_nodes_link_authenticate_and_ping() {
    let mut net = Net::new(0.0);
    net.add(1);
    net.add(2);
    net.run_for(Duration::from_millis(200));
    assert!(net.linked(1, 2) && net.linked(2, 1));
    let to = net.id(1);
    net.with(endpoint(2), |node, now| node.ping(Ticket(1), Instance(0), to, now));
    net.run_for(Duration::from_secs(1));
    match net.answers.as_slice() {
        [Answer::Pong { rtt, path: "direct", .. }] => assert_eq!(*rtt, DELAY * 2),
        other => panic!("{other:?}"),
    }
    let joined = |event: &&(SocketAddr, Event)| matches!(event.1, Event::Joined { .. });
    assert_eq!(net.events.iter().filter(joined).count(), 2);
}

#[test]
fn sim_op_01_both_ends_of_a_link_know_its_round_trip_by_the_handshake() {
    let mut net = Net::new(0.0);
    (1..=4).for_each(|n| net.add(n));
    net.run_for(Duration::from_secs(2));
    assert_eq!(net.round_trips(), [Some(DELAY * 2); 4 * 3]);
}

#[test]
fn sim_op_01_a_round_trip_that_is_longer_than_flights_wait_is_measured_by_both_ends_in_turn() {
    let mut net = Net::new(0.0);
    net.delay = Duration::from_millis(250);
    (1..=4).for_each(|n| net.add(n));
    net.run_for(Duration::from_secs(240));
    assert_eq!(net.round_trips(), [Some(net.delay * 2); 4 * 3]);
}

#[test]
fn sim_op_01_a_client_waits_longer_for_its_second_flight_if_it_sent_its_first_twice() {
    let mut net = Net::new(0.0);
    net.delay = Duration::from_millis(150);
    (1..=2).for_each(|n| net.add(n));
    net.run_for(Duration::from_secs(3));
    let known: Vec<_> = net.round_trips().into_iter().flatten().collect();
    assert_eq!(known, [net.delay * 2], "that of the client");
}

#[test]
fn sim_op_01_loss_makes_no_wrong_round_trips() {
    let mut net = Net::new(0.2);
    (1..=4).for_each(|n| net.add(n));
    net.run_for(Duration::from_secs(120));
    let known: Vec<_> = net.round_trips().into_iter().flatten().collect();
    assert!(known.len() >= 10 && known.iter().all(|rtt| *rtt == DELAY * 2), "{known:?}");
}

#[test]
fn sim_op_01_a_session_that_moves_has_the_round_trip_of_its_new_path() {
    let mut net = Net::new(0.0);
    (1..=2).for_each(|n| net.add(n));
    net.run_for(Duration::from_secs(2));
    net.delay = DELAY * 3;
    net.rebind(2, 9);
    net.run_for(Duration::from_secs(20));
    let node = &net.nodes[&endpoint(1)];
    let peer = &node.peers(net.now())[0];
    assert_eq!((peer.path, peer.rtt), (Path::Direct(endpoint(9)), Some(net.delay * 2)));
}

#[test]
fn a_simultaneous_dial_makes_one_session() {
    let mut net = Net::new(0.0);
    net.add(1);
    net.add(2);
    net.add(3);
    net.run_for(Duration::from_secs(2));
    for n in 1..=3 {
        let sessions = net.nodes[&endpoint(n)].links().sessions().count();
        assert_eq!(sessions, 2, "node {n}");
    }
    net.run_for(Duration::from_secs(60));
    let down = |event: &&(SocketAddr, Event)| matches!(event.1, Event::LinkDown { .. });
    assert_eq!(net.events.iter().filter(down).count(), 0, "{:?}", net.events);
}

#[test]
fn a_bootstrap_endpoint_that_is_found_late_is_joined_by() {
    let mut net = Net::new(0.0);
    net.add(1);
    let id = Rng::new([9; 32]).bytes();
    net.add_as(2, id);
    net.add(3);
    // The first node starts with none: it learns of a second network's only now.
    net.kill(1);
    net.run_for(Duration::from_secs(120));
    assert!(!net.linked(2, 3));
    net.with(endpoint(3), |node, now| node.handle_bootstrap(Instance(0), vec![endpoint(2)], now));
    net.run_for(Duration::from_secs(1));
    assert!(net.linked(2, 3));
}

#[test]
fn a_leave_is_told_as_what_it_is_at_each_end() {
    let mut net = Net::new(0.0);
    net.add(1);
    net.add(2);
    net.run_for(Duration::from_secs(2));
    net.with(endpoint(2), Node::leave);
    net.run_for(Duration::from_secs(1));
    let reasons = net.events.iter().filter_map(|(at, event)| match event {
        Event::LinkDown { reason, .. } => Some((*at, *reason)),
        _ => None,
    });
    let told: Vec<_> = reasons.collect();
    assert_eq!(told, [(endpoint(2), "this node leaves"), (endpoint(1), "the peer left")]);
}

#[test]
fn twelve_nodes_form_a_ring_in_spite_of_loss() {
    let mut net = Net::new(0.05);
    for n in 1..=12 {
        net.add(n);
        net.run_for(Duration::from_millis(300));
    }
    net.run_for(Duration::from_secs(40));
    let crawler = endpoint(5);
    net.with(crawler, |node, now| node.crawl(Ticket(9), Instance(0), now));
    net.run_for(Duration::from_secs(60));
    match net.answers.as_slice() {
        [Answer::Crawl(report)] => {
            assert_eq!((report.nodes.len(), report.consistent()), (12, 12), "{report:?}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn sim_op_01_all_who_ask_while_the_ring_is_walked_are_answered_by_one_walk() {
    let mut net = Net::new(0.0);
    (1..=8).for_each(|n| net.add(n));
    net.run_for(Duration::from_secs(20));
    for ticket in [9, 10, 11] {
        net.with(endpoint(5), |node, now| node.crawl(Ticket(ticket), Instance(0), now));
    }
    net.run_for(Duration::from_secs(10));
    assert_eq!(net.answers.len(), 3, "{:?}", net.answers);
    for answer in &net.answers {
        let Answer::Crawl(report) = answer else { panic!("{answer:?}") };
        assert_eq!((report.nodes.len(), report.questions), (8, 7), "{report:?}");
    }
}

#[test]
fn sim_cn_06_a_dead_peer_is_removed_within_45_seconds() {
    let mut net = Net::new(0.0);
    (1..=5).for_each(|n| net.add(n));
    net.run_for(Duration::from_secs(20));
    let dead = net.id(4);
    net.kill(4);
    net.run_for(Duration::from_secs(22));
    for n in [1, 2, 3, 5] {
        assert!(net.nodes[&endpoint(n)].links().session(Instance(0), dead).is_none(), "node {n}");
    }
}

#[test]
fn sim_ov_06_the_second_holder_of_an_id_is_refused_and_a_restart_is_not() {
    let mut net = Net::new(0.0);
    (1..=4).for_each(|n| net.add(n));
    net.run_for(Duration::from_secs(20));
    let id = *net.id(3).as_bytes();
    net.add_as(9, id);
    net.run_for(Duration::from_secs(10));
    let told = net
        .events
        .iter()
        .any(|(at, event)| *at == endpoint(9) && matches!(event, Event::IdInUse { .. }));
    assert!(told, "{:?}", net.events);
    assert!(net.linked(1, 3) && net.linked(3, 1));
    let lost = |(at, event): &&(SocketAddr, Event)| {
        *at == endpoint(3) && matches!(event, Event::LinkDown { .. })
    };
    assert_eq!(net.events.iter().filter(lost).count(), 0);

    net.kill(9);
    net.kill(3);
    net.run_for(Duration::from_secs(1));
    net.add_as(8, id);
    net.run_for(Duration::from_secs(5));
    assert!(net.linked(1, 8) && net.linked(8, 1));
    let refused = |(at, event): &&(SocketAddr, Event)| {
        *at == endpoint(8) && matches!(event, Event::IdInUse { .. })
    };
    assert_eq!(net.events.iter().filter(refused).count(), 0);
}

#[test]
fn keys_are_renewed_each_hour_without_losing_the_link() {
    let mut net = Net::new(0.0);
    net.add(1);
    net.add(2);
    net.run_for(Duration::from_secs(3 * 3600));
    let down = |event: &&(SocketAddr, Event)| matches!(event.1, Event::LinkDown { .. });
    assert_eq!(net.events.iter().filter(down).count(), 0, "{:?}", net.events);
    for n in 1..=2 {
        let node = &net.nodes[&endpoint(n)];
        let ages: Vec<_> = node.links().sessions().map(|(_, s)| net.now - s.since).collect();
        assert!(ages.len() == 1 && ages[0] < Duration::from_secs(4000), "{ages:?}");
        assert!((3..=4).contains(&node.counters(Instance(0)).links.sessions_up));
    }
}

#[test]
fn nodes_that_cannot_reach_each_other_get_a_session_through_the_overlay() {
    let mut net = Net::new(0.0);
    net.blocked = vec![(endpoint(2), endpoint(3))];
    (1..=3).for_each(|n| net.add(n));
    net.run_for(Duration::from_secs(5));
    assert!(!net.linked(2, 3));
    let to = net.id(3);
    net.with(endpoint(2), |node, now| node.connect(Instance(0), to, now));
    net.run_for(Duration::from_secs(10));
    let path = net.nodes[&endpoint(2)].links().session(Instance(0), to).map(|(_, s)| s.path);
    assert_eq!(path, Some(Path::Overlay(to)));
    net.blocked.clear();
    net.run_for(Duration::from_secs(90));
    let path = net.nodes[&endpoint(2)].links().session(Instance(0), to).map(|(_, s)| s.path);
    assert_eq!(path, Some(Path::Direct(endpoint(3))));
}
