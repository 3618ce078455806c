//! Packets between two members that reach each other through a third only (checklist SE-02), under the
//! real cryptography of a group.

mod common;

use std::cell::RefCell;
use std::net::{IpAddr, Ipv6Addr};
use std::rc::Rc;
use std::time::Duration;

use common::{packet, world};
use proto::lane::Reason;
use proto::node::api::{Access, Config, OverlayConfig};
use proto::overlay::shortcut::Harmonic;
use proto::session::aead::Cipher;
use proto::session::suite::Suite;
use proto::session::tls::TlsSuite;
use warren_sim::population::VirtualNetwork;
use warren_sim::world::{HostId, World};

const SECOND: Duration = Duration::from_secs(1);
/// What the packets carry and nobody on the way may see.
const MARKER: &[u8] = b"for the eyes of the other end only";

/// First three bits of the IDs: the two that cannot link are ring neighbours, and the relay is further from
/// both than they are from each other. This is the hard case for look-ups and for routing.
const PLACES: [u8; 3] = [4, 0, 1];

/// A world of members whose certificates a new authority signs; all dial the first.
fn group_world(nodes: usize) -> (World, Vec<HostId>) {
    let mut world = world(nodes, 1);
    let epoch = world.now().unix;
    let authority = pki::CertificateAuthority::create("lab", epoch).expect("a good name");
    let ca = [authority.certificate().clone()];
    let trust = pki::Trust::new("lab", &ca, None).expect("own group");
    let mut keyring = pki::Keyring::default();
    let secret = authority.sign_secret(pki::GroupSecret { generation: 1, key: [5; 32] }, epoch);
    keyring.take(secret, &trust).expect("own secret");
    let authority = Rc::new((authority, trust, keyring));
    let hosts: Vec<HostId> = (0..nodes)
        .map(|n| {
            let authority = Rc::clone(&authority);
            let bootstrap = (n > 0).then(|| world.address(HostId::new(0)));
            world.add_node(move |known, _| {
                let (authority, trust, keyring) = &*authority;
                let make = || {
                    let key = pki::PrivateKey::generate();
                    let request = pki::Request::new(&key, None).expect("a good key");
                    let options = pki::SignOptions::new(format!("user{n}"));
                    let certificate =
                        authority.sign(&request, &options, epoch).expect("good options");
                    TlsSuite::group(key, &certificate, trust.clone(), Cipher::Aes256Gcm)
                        .expect("the certificate is of this key")
                };
                let mut suites = std::iter::repeat_with(make);
                let suite = suites.find(|suite| suite.node_id().as_bytes()[0] >> 5 == PLACES[n]);
                let suite = suite.expect("one ID in eight lies there");
                let network = VirtualNetwork::new("lab", None);
                let vpn = network.config(suite.node_id());
                let overlay = OverlayConfig {
                    suite: Box::new(suite),
                    access: Access::Members(keyring.clone()),
                    bootstrap: bootstrap.into_iter().collect(),
                    known,
                    shortcuts: Box::new(Harmonic),
                };
                Config { overlays: vec![overlay], vpn: Some(vpn) }
            })
        })
        .collect();
    (world, hosts)
}

fn ipv6(world: &World, host: HostId) -> Ipv6Addr {
    world.device(host).expect("it runs").ipv6.0
}

#[test]
fn sim_se_02_overlay_hop_cannot_read_or_change() {
    const PACKETS: usize = 100;
    let (mut world, hosts) = group_world(3);
    let [_relay, a, b] = hosts[..] else { panic!("three hosts") };
    world.block(a, b);
    let start = world.now().instant;
    hosts.iter().for_each(|&host| world.start_at(host, start));
    world.run_for(10 * SECOND);

    let ends: [IpAddr; 2] = [ipv6(&world, a).into(), ipv6(&world, b).into()];
    let sent = packet(ends[0], ends[1], MARKER);
    // The session is asked for by the first packets, which wait for it no longer than they may.
    let begun = world.now().instant;
    while world.received(b).is_empty() {
        assert!(world.now().instant - begun < 30 * SECOND, "no session through the overlay");
        world.send_packet(a, sent.clone());
        world.run_for(SECOND);
    }
    let took = world.now().instant - begun;
    let peers = world.node(a).expect("lives").peers(world.now());
    let peer = peers.iter().find(|peer| Some(peer.id) == world.id(b)).expect("a session");
    assert_eq!(peer.path.class(), "overlay");
    world.run_for(3 * SECOND);
    world.received(b);

    // A hop that reads.
    let seen = Rc::new(RefCell::new(Vec::new()));
    let eyes = Rc::clone(&seen);
    world.tap_tunnel(a, move |frame| eyes.borrow_mut().push(frame.clone()));
    for _ in 0..PACKETS {
        world.send_packet(a, sent.clone());
    }
    world.run_for(SECOND);
    assert_eq!(world.received(b), vec![sent.clone(); PACKETS]);
    assert_eq!(seen.borrow().len(), PACKETS);
    let shows = |frame: &[u8]| frame.windows(8).any(|part| MARKER.windows(8).any(|m| m == part));
    assert!(shows(&sent) && !seen.borrow().iter().any(|frame| shows(frame)));

    // A hop that changes one bit of each frame behind its header, another one each time.
    let before = world.drops(b).of(Reason::Forged);
    let mut bit = 0;
    world.tap_tunnel(a, move |frame| {
        let sealed = proto::wire::frame::HEADER_LEN * 8;
        let at = sealed + bit * 7 % (frame.len() * 8 - sealed);
        frame[at / 8] ^= 1 << (at % 8);
        bit += 1;
    });
    for _ in 0..PACKETS {
        world.send_packet(a, sent.clone());
    }
    world.run_for(3 * SECOND);
    assert!(world.received(b).is_empty());
    let forged = world.drops(b).of(Reason::Forged) - before;
    println!(
        "session through the overlay after {took:?}; {forged} of {PACKETS} changed frames counted as forged"
    );
    assert_eq!(forged, PACKETS as u64);

    // The session has borne it.
    world.tap_tunnel(a, |_| {});
    world.send_packet(a, sent.clone());
    world.run_for(SECOND);
    assert_eq!(world.received(b), [sent]);
}
