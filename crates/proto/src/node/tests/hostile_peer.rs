//! What a peer with a changed program, or one that we refuse, can do to the links of a node.

use super::*;
use crate::lane::{SessionReport, Tally};
use crate::link::Footprint;
use crate::wire::control::{Control, Welcome};
use crate::wire::frame::OVERHEAD;
use crate::wire::routed::{Mode, Protocol};

const MEMBERS: Instance = Instance(0);
const SECOND: Duration = Duration::from_secs(1);

/// Three nodes that are linked with each other.
fn linked() -> Net {
    let mut net = Net::new(0.0);
    (1..=3).for_each(|n| net.add(n));
    net.run_for(5 * SECOND);
    assert!(net.linked(1, 2) && net.linked(1, 3) && net.linked(2, 3));
    net
}

fn path_to(net: &Net, n: u8, peer: u8) -> Path {
    net.nodes[&endpoint(n)].links().session(MEMBERS, net.id(peer)).expect("a session").1.path
}

fn footprint(net: &Net) -> Footprint {
    net.nodes[&endpoint(1)].links().footprint()
}

fn dial(net: &mut Net, n: u8, peer: NodeId, path: Path) {
    net.with(endpoint(n), |node, now| {
        node.with_links(now, |links, cx| links.dial(MEMBERS, Some(peer), vec![path], cx));
        node.settle(now);
    });
}

/// The frame by which the second node would say this to the first over their link.
fn sealed(net: &mut Net, message: &Control) -> Vec<u8> {
    let (to, mut frame) = (net.id(1), Vec::new());
    net.with(endpoint(2), |node, now| {
        node.with_links(now, |links, cx| {
            links.send(MEMBERS, to, &message.emit(), cx);
            if let Some(link::Effect::Transmit { bytes, .. }) = cx.effects.pop() {
                frame = bytes;
            }
        });
    });
    frame
}

#[test]
fn unit_nb_02_a_peer_that_wraps_its_frames_does_not_move_its_link_into_the_overlay() {
    let mut net = linked();
    let (to, frame) = (net.id(1), sealed(&mut net, &Control::Ping(7)));
    net.with(endpoint(2), |node, now| {
        node.with_overlay(MEMBERS, now, |overlay, cx| {
            overlay.send(Mode::Exact, Protocol::Tunnel, to, &frame, cx);
        });
        node.settle(now);
    });
    net.run_for(SECOND);
    assert_eq!(path_to(&net, 1, 2), Path::Direct(endpoint(2)));
}

#[test]
fn a_direct_session_is_not_replaced_by_a_later_one_through_the_overlay() {
    let mut net = Net::new(0.0);
    net.blocked.push((endpoint(1), endpoint(2)));
    (1..=3).for_each(|n| net.add(n));
    net.with(endpoint(2), |node, now| {
        node.handle_bootstrap(MEMBERS, vec![endpoint(3)], now);
        node.handle_timeout(now);
    });
    net.run_for(5 * SECOND);
    assert!(!net.linked(1, 2) && net.linked(1, 3) && net.linked(2, 3));

    net.blocked.clear();
    let peer = net.id(2);
    dial(&mut net, 1, peer, Path::Overlay(peer));
    // The hello has arrived, and its answer is lost on its first hop: it is late.
    net.run_for(5 * DELAY);
    net.loss = 1.0;
    net.run_for(2 * DELAY);
    net.loss = 0.0;
    dial(&mut net, 1, peer, Path::Direct(endpoint(2)));
    net.run_for(SECOND);
    assert_eq!(path_to(&net, 1, 2), Path::Direct(endpoint(2)));
    assert_eq!(path_to(&net, 2, 1), Path::Direct(endpoint(1)));
}

/// The second one's messages are longer than the first one's server takes.
#[test]
fn unit_se_05_who_is_refused_takes_no_place_for_longer_than_a_handshake_lasts() {
    let mut net = Net::new(0.0);
    net.add(1);
    let empty = footprint(&net);
    let mut rng = Rng::new([2; 32]);
    let suite = NullSuite::new(NodeId::from_bytes([9; 20]), Sizes::PUBLIC, b"test", &mut rng);
    let overlay = OverlayConfig {
        suite: Box::new(suite),
        access: Access::Public,
        bootstrap: vec![endpoint(1)],
        known: Vec::new(),
        shortcuts: Box::new(Harmonic),
    };
    net.add_in(2, vec![overlay]);
    net.run_for(60 * SECOND);
    let refused = |event: &(SocketAddr, Event)| {
        event.0 == endpoint(1) && matches!(event.1, Event::Refused { by_us: true, .. })
    };
    assert!(net.events.iter().any(refused));
    net.kill(2);
    net.run_for(30 * SECOND);
    assert_eq!(footprint(&net), empty);
}

#[test]
fn who_never_says_welcome_is_forgotten_though_it_pings() {
    let mut net = Net::new(0.0);
    let observed = endpoint(1);
    let welcome = Welcome { incarnation: 0, generation: 0, notices: 0, observed, ipv4: None };
    let frame_len = OVERHEAD + Control::Welcome(welcome).emit().len();
    net.swallowed = Some((endpoint(2), frame_len));
    (1..=2).for_each(|n| net.add(n));
    net.run_for(5 * SECOND);
    assert_eq!(footprint(&net).slots, 1);
    net.run_for(7 * SECOND);
    assert_eq!(footprint(&net).slots, 0);
}

#[test]
fn a_late_report_of_a_lane_is_not_taken_for_that_of_the_next_session_in_its_slot() {
    let mut net = linked();
    let peer = net.id(2);
    let (slot, _) = net.nodes[&endpoint(1)].links().session(MEMBERS, peer).expect("linked");
    let challenged = |net: &mut Net, of: NodeId| {
        let tally = Tally { roamed: Some(Path::Direct(endpoint(77))), ..Tally::default() };
        let session = SessionReport { slot, peer: of, tally, frames_in_epoch: 0 };
        let report = Report { sessions: vec![session], ..Report::default() };
        net.with(endpoint(1), |node, now| node.handle_report(&report, now));
        net.queue.values().any(|(_, to, _)| *to == endpoint(77))
    };
    assert!(!challenged(&mut net, NodeId::from_bytes([5; 20])));
    assert!(challenged(&mut net, peer));
}
