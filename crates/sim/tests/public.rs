//! A public overlay and a private one over one socket each: both rings are whole, and the private one is the
//! members' own (paper section 4.2).

mod common;

use std::time::Duration;

use common::{SETTLE_MAX, world};
use proto::node::api::{Access, Answer, Config, Event, OverlayConfig};
use proto::overlay::Instance;
use proto::overlay::shortcut::Harmonic;
use proto::rng::Rng;
use proto::session::null::{NullSuite, Sizes};
use proto::vpn::address::Subnet;
use proto::{Node, NodeId};
use std::net::SocketAddr;
use warren_sim::check::{
    Topology, always, every_live_pair_is_routable, near_neighbours_are_within_bounds,
    ring_is_consistent,
};
use warren_sim::hash::EventHash;
use warren_sim::population::VirtualNetwork;
use warren_sim::world::{HostId, World};

/// Nodes of the public overlay alone, and members of a group that are in the public overlay as well.
const STRANGERS: usize = 20;
const MEMBERS: usize = 10;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the hosts have their private and their public overlay.
fn private(host: HostId) -> Option<Instance> {
    is_member(host).then_some(Instance(0))
}

fn public(host: HostId) -> Option<Instance> {
    Some(Instance(u8::from(is_member(host))))
}

fn is_member(host: HostId) -> bool {
    host.index() >= STRANGERS
}

fn overlay(id: NodeId, purpose: &'static [u8], boot: Option<SocketAddr>) -> OverlayMaker {
    Box::new(move |rng| {
        let (sizes, access) = match purpose {
            b"public" => (Sizes::PUBLIC, Access::Public),
            _ => {
                let keys = vec![pki::PreSharedKey::from_bytes([5; 32])];
                (Sizes::GROUP, Access::PreShared { group: "team".into(), keys })
            }
        };
        OverlayConfig {
            suite: Box::new(NullSuite::new(id, sizes, purpose, rng)),
            access,
            bootstrap: boot.into_iter().collect(),
            known: Vec::new(),
            shortcuts: Box::new(Harmonic),
        }
    })
}

type OverlayMaker = Box<dyn Fn(&mut Rng) -> OverlayConfig>;

/// Strangers first, then members, who join both overlays, or theirs alone.
fn start(strangers: usize, are_public: bool, seed: u64) -> (World, Vec<HostId>) {
    let mut world = world(STRANGERS + MEMBERS, seed);
    let mut hosts = Vec::new();
    for n in 0..STRANGERS + MEMBERS {
        let ids: [NodeId; 2] = [world.draw(), world.draw()].map(NodeId::from_bytes);
        let first = |at: usize| (n != at).then(|| hosts.get(at).map(|&host| world.address(host)));
        let in_public = overlay(ids[1], b"public", first(0).flatten());
        let in_group = overlay(ids[0], b"group", first(STRANGERS).flatten());
        let host = world.add_node(move |_, rng| {
            if n < STRANGERS {
                return Config { overlays: vec![in_public(rng)], vpn: None };
            }
            let mut overlays = vec![in_group(rng)];
            if are_public {
                overlays.push(in_public(rng));
            }
            let subnet = Subnet::new([10, 42, 0, 0].into(), 24);
            let network = VirtualNetwork::new("team", subnet);
            Config { overlays, vpn: Some(network.config(ids[0])) }
        });
        hosts.push(host);
        if n < strangers || n >= STRANGERS {
            world.start_at(host, world.now().instant + Duration::from_millis(100) * n as u32);
        }
    }
    (world, hosts)
}

/// Lets both rings become whole.
fn settle(world: &mut World) {
    let is_whole =
        |picture: Topology| ring_is_consistent(&picture).is_clean() && picture.everybody_joined();
    world.run_for(Duration::from_secs(5));
    let wait = |world: &World| {
        !is_whole(Topology::of_those(world, private))
            || !is_whole(Topology::of_those(world, public))
    };
    let took = world.run_while(wait, SETTLE_MAX).expect("both rings are whole");
    println!("both rings are whole after {took:?}");
    world.run_for(Duration::from_secs(60));
}

/// Two rings form, and what the strangers know of the members is their public IDs and endpoints.
fn story(seed: u64) -> EventHash {
    let (mut world, hosts) = start(STRANGERS, true, seed);
    settle(&mut world);
    let (strangers, members) = hosts.split_at(STRANGERS);
    for (place, nodes) in [(private as fn(HostId) -> _, MEMBERS), (public, hosts.len())] {
        let picture = Topology::of_those(&world, place);
        assert_eq!(picture.len(), nodes);
        every_live_pair_is_routable(&picture).assert_clean();
        near_neighbours_are_within_bounds(&picture).assert_clean();
    }
    assert!(always(&world).is_empty(), "{:?}", always(&world));
    let ids: Vec<NodeId> = members.iter().filter_map(|&host| world.id(host)).collect();
    for (host, node) in world.live() {
        if let Some(instance) = private(host) {
            let mut peers = node.overlay(instance).peers();
            assert!(peers.all(|(peer, _)| ids.contains(&peer)), "a stranger among the members");
        }
        public_knows_nothing(host, node);
    }
    for (instance, to) in [(Instance(0), ids[3]), (Instance(1), public_id(&world, strangers[3]))] {
        let ask = |node: &mut Node, ticket, now| node.ping(ticket, instance, to, now);
        let answer = world.ask(members[7], PATIENCE, ask).expect("answered");
        assert!(matches!(answer, Answer::Pong { .. }), "{answer:?}");
    }

    let killed_at = world.now().instant;
    strangers.iter().for_each(|&host| world.kill(host));
    world.run_for(Duration::from_secs(90));
    let picture = Topology::of_those(&world, private);
    ring_is_consistent(&picture).assert_clean();
    for &host in members {
        let lost = world.events_of(host).iter().filter(|(at, event)| {
            let here = matches!(event, Event::LinkDown { instance, reason: "no answer", .. }
                if Some(*instance) == private(host));
            *at > killed_at && here
        });
        assert_eq!(lost.count(), 0, "the members lost a link");
    }
    world.hash()
}

/// No record, no virtual address, no name of a member is in the public overlay of this node.
fn public_knows_nothing(host: HostId, node: &Node) {
    let instance = public(host).expect("everybody is in it");
    assert_eq!(node.dht(instance).held(), (0, 0), "somebody stored something");
    let sessions = node.links().sessions().filter(|(_, session)| session.instance == instance);
    for (_, session) in sessions {
        assert!(session.peer.member.is_none());
        assert_eq!(session.welcome.and_then(|welcome| welcome.ipv4), None);
    }
    if let Some(instance) = private(host) {
        assert!(node.dht(instance).held().0 > 0, "the leases of the members are theirs to keep");
    }
}

fn public_id(world: &World, host: HostId) -> NodeId {
    let node = world.node(host).expect("lives");
    node.overlay(public(host).expect("everybody is in it")).me()
}

#[test]
fn sim_po_08_two_overlays_over_one_socket_form_two_rings_and_share_nothing() {
    assert_eq!(story(41), story(41), "two runs of one seed");
}

#[test]
fn sim_ev_05_an_idle_second_overlay_costs_what_an_overlay_of_its_size_costs() {
    const COUNTED: Duration = Duration::from_secs(3600);
    /// Bits per second that the second overlay may cost a member, IP headers included.
    const BITS_MAX: f64 = 2_500.0;
    let idle = |are_public| {
        let strangers = if are_public { STRANGERS } else { 0 };
        let (mut world, hosts) = start(strangers, are_public, 43);
        world.run_for(Duration::from_secs(600));
        let members = &hosts[STRANGERS..];
        let bytes = |world: &World| -> u64 {
            let of = |&host: &HostId| world.traffic(host);
            let both = members.iter().map(of);
            both.map(|t| t.sent.total().bytes + t.received.total().bytes).sum()
        };
        let before = bytes(&world);
        world.run_for(COUNTED);
        let peers = members.iter().filter_map(|&host| world.node(host));
        let peers: usize = peers.map(|node| node.peers(world.now()).len()).sum();
        let bits = (bytes(&world) - before) as f64 * 8.0 / COUNTED.as_secs_f64();
        (bits / MEMBERS as f64, peers as f64 / MEMBERS as f64)
    };
    let ((alone, few), (both, many)) = (idle(false), idle(true));
    println!("private alone {alone:.0} bit/s at degree {few:.1}");
    println!("with public   {both:.0} bit/s at degree {many:.1}");
    assert!(both - alone < BITS_MAX, "{:.0} bit/s more", both - alone);
}
