//! A node in a private and a public overlay over one socket: what strangers in the one can do to the other.

use super::*;
use crate::session::gate::Gate;
use crate::session::token::Token;
use crate::session::{Index, LaneId};
use crate::wire::probe::{Invite, Probe};
use pki::PreSharedKey;

const PRIVATE: Instance = Instance(0);
const PUBLIC: Instance = Instance(1);
const STRANGER: u8 = 66;

fn key(byte: u8) -> PreSharedKey {
    PreSharedKey::from_bytes([byte; 32])
}

fn private(byte: u8) -> Access {
    Access::PreShared { group: "team".into(), keys: vec![key(byte)] }
}

/// An overlay of the node `n`, which joins by the first node.
fn overlay(n: u8, purpose: &[u8], access: Access) -> OverlayConfig {
    let mut rng = Rng::new([n ^ purpose[0]; 32]);
    let id = NodeId::from_bytes(rng.bytes());
    OverlayConfig {
        suite: Box::new(NullSuite::new(id, Sizes::GROUP, purpose, &mut rng)),
        access,
        bootstrap: if n == 1 { vec![] } else { vec![endpoint(1)] },
        known: Vec::new(),
        shortcuts: Box::new(Harmonic),
    }
}

/// Two members that are in the public overlay as well, settled.
fn members() -> Net {
    let mut net = Net::new(0.0);
    for n in [1, 2] {
        let private = overlay(n, b"group", private(5));
        net.add_in(n, vec![private, overlay(n, b"public", Access::Public)]);
    }
    net.run_for(Duration::from_secs(5));
    for instance in [PRIVATE, PUBLIC] {
        assert_eq!(sessions(&net, 1, instance), 1);
    }
    net
}

fn sessions(net: &Net, n: u8, instance: Instance) -> usize {
    let links = net.nodes[&endpoint(n)].links();
    links.sessions().filter(|(_, session)| session.instance == instance).count()
}

fn silence(net: &Net) -> u64 {
    net.nodes[&endpoint(1)].counters(PRIVATE).links.silence
}

/// Gives the first node a datagram of the stranger; returns what the stranger is sent.
fn tell(net: &mut Net, mut datagram: Vec<u8>) -> Vec<Vec<u8>> {
    net.with(endpoint(1), |node, now| node.handle_datagram(endpoint(STRANGER), &mut datagram, now));
    let to_us = |(_, to, _): &&(SocketAddr, SocketAddr, Vec<u8>)| *to == endpoint(STRANGER);
    net.queue.values().filter(to_us).map(|(_, _, bytes)| bytes.clone()).collect()
}

#[test]
fn sim_po_07_a_node_of_the_public_overlay_gets_into_that_one_only() {
    let mut net = members();
    net.add_in(STRANGER, vec![overlay(STRANGER, b"public", Access::Public)]);
    net.run_for(Duration::from_secs(5));
    assert_eq!((sessions(&net, 1, PUBLIC), sessions(&net, 1, PRIVATE)), (2, 1));
    // An answer counts in the overlay only that it was asked in.
    let public_id = net.nodes[&endpoint(2)].overlay(PUBLIC).me();
    net.with(endpoint(1), |node, now| node.ping(Ticket(1), PRIVATE, public_id, now));
    net.with(endpoint(1), |node, now| node.ping(Ticket(2), PUBLIC, public_id, now));
    net.run_for(Duration::from_secs(10));
    let pongs = net.answers.iter().filter(|answer| matches!(answer, Answer::Pong { .. })).count();
    assert_eq!((net.answers.len(), pongs), (2, 1), "{:?}", net.answers);
}

#[test]
fn sim_po_07_strangers_hear_nothing_of_the_private_overlay() {
    let mut net = members();
    let before = silence(&net);
    // Another group's key, as good as none: not a word comes back, as if there were no private overlay.
    net.add_in(STRANGER, vec![overlay(STRANGER, b"group", private(6))]);
    net.run_for(Duration::from_secs(5));
    assert!(silence(&net) > before);
    assert_eq!(net.nodes[&endpoint(STRANGER)].counters(PRIVATE).links.sessions_up, 0);
    let heard = |event: &&(SocketAddr, Event)| {
        event.0 == endpoint(STRANGER) && matches!(event.1, Event::Refused { .. })
    };
    assert_eq!(net.events.iter().filter(heard).count(), 0, "{:?}", net.events);
    // The members did not notice.
    assert_eq!((sessions(&net, 1, PRIVATE), sessions(&net, 1, PUBLIC)), (1, 1));
}

#[test]
fn sim_po_07_a_token_of_the_public_overlay_opens_nothing_in_the_private_one() {
    let mut net = members();
    let (index, nonce) = (Index::new(3, LaneId::FIRST_DATA, 9), [7; 12]);
    let id = NodeId::from_bytes([0xee; 20]);
    let probe = Probe { dialler: index, id, target: None };
    let replies = tell(&mut net, Gate::public().seal_probe(&probe, nonce));
    let reply = Gate::public().open_reply(&replies[0], &nonce).expect("answered");
    net.run_for(Duration::from_secs(1));

    // Whoever has the group's key, but receives where only the public overlay proved it.
    let invite = Invite { dialler: index, id, proof: reply.token, token: Token([0; Token::LEN]) };
    let before = silence(&net);
    let answers = tell(&mut net, Gate::pre_shared(&key(5), "team").seal_invite(&invite, [8; 12]));
    assert_eq!((answers.len(), silence(&net)), (0, before + 1));
    // In its own overlay the token is good.
    let answers = tell(&mut net, Gate::public().seal_invite(&invite, [9; 12]));
    assert!(!answers.is_empty());
}
