//! A revocation stays within the overlay of its group, however large the public one is that its members take
//! part in (checklist RV-08).

mod common;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use common::authority::{Carrier, Group, announce, carrier, notices};
use common::{SETTLE_MAX, world};
use pki::Revoked;
use proto::NodeId;
use proto::node::api::{Access, Config, OverlayConfig};
use proto::overlay::Instance;
use proto::overlay::shortcut::Harmonic;
use proto::rng::Rng;
use proto::session::null::{NullSuite, Sizes};
use warren_sim::check::{Topology, ring_is_consistent};
use warren_sim::world::{HostId, World};

/// Nodes of the public overlay alone, and members of a group that are in the public overlay as well.
const STRANGERS: usize = 1_000;
const MEMBERS: usize = 20;

fn is_member(host: HostId) -> bool {
    host.index() >= STRANGERS
}

fn private(host: HostId) -> Option<Instance> {
    is_member(host).then_some(Instance(0))
}

fn public(host: HostId) -> Option<Instance> {
    Some(Instance(u8::from(is_member(host))))
}

fn overlay(suite: NullSuite, access: Access, boot: &[SocketAddr]) -> OverlayConfig {
    OverlayConfig {
        suite: Box::new(suite),
        access,
        bootstrap: boot.to_vec(),
        known: Vec::new(),
        shortcuts: Box::new(Harmonic),
    }
}

/// Strangers and members, one after the other, each kind with its first one as bootstrap node.
fn start(group: &Group, seed: u64) -> (World, Vec<HostId>) {
    let mut world = world(STRANGERS + MEMBERS, seed);
    let mut hosts: Vec<HostId> = Vec::new();
    for n in 0..STRANGERS + MEMBERS {
        let ids: [NodeId; 2] = [world.draw(), world.draw()].map(NodeId::from_bytes);
        let boot = |at: usize| -> Vec<SocketAddr> {
            hosts.get(at).map(|&host| world.address(host)).into_iter().collect()
        };
        let (in_public, in_group) = (boot(0), boot(STRANGERS));
        let (trust, keyring) = (group.trust.clone(), group.keyring());
        let host = world.add_node(move |_, rng: &mut Rng| {
            let suite = NullSuite::new(ids[1], Sizes::PUBLIC, b"public", rng);
            let public = overlay(suite, Access::Public, &in_public);
            let suite = NullSuite::new(ids[0], Sizes::GROUP, b"group", rng);
            let access = Access::Members(keyring.clone());
            let private = overlay(suite.with_trust(trust.clone()), access, &in_group);
            let overlays = if n < STRANGERS { vec![public] } else { vec![private, public] };
            Config { overlays, vpn: None }
        });
        hosts.push(host);
        world.start_at(host, world.now().instant + Duration::from_millis(30) * n as u32);
    }
    (world, hosts)
}

#[test]
fn sim_rv_08_a_revocation_takes_a_message_for_each_member_and_none_for_anybody_else() {
    let mut group = Group::new();
    let (mut world, hosts) = start(&group, 8);
    let is_whole =
        |picture: Topology| ring_is_consistent(&picture).is_clean() && picture.everybody_joined();
    world.run_for(Duration::from_secs(40));
    let waits = |world: &World| {
        !is_whole(Topology::of_those(world, private))
            || !is_whole(Topology::of_those(world, public))
    };
    let took = world.run_while(waits, SETTLE_MAX).expect("both rings are whole");
    println!("both rings are whole {took:?} after the last start");
    world.run_for(Duration::from_secs(120));

    let seen: Rc<RefCell<Vec<(Carrier, bool)>>> = Rc::default();
    let log = Rc::clone(&seen);
    world.intercept(move |from, to, bytes| {
        let way = carrier(bytes).filter(|way| *way != Carrier::Table);
        log.borrow_mut().extend(way.map(|way| (way, is_member(from) && is_member(to))));
        false
    });
    let members = &hosts[STRANGERS..];
    let news = group.revoke(Revoked::User("somebody else".into()), world.now().unix);
    announce(&mut world, members[7], news);
    world.run_for(Duration::from_secs(5));
    assert!(members.iter().all(|&host| notices(&world, host) == 1));
    let seen = seen.borrow();
    let broadcasts = seen.iter().filter(|(way, _)| *way == Carrier::Broadcast).count();
    println!("{broadcasts} broadcasts and {} other messages about it", seen.len() - broadcasts);
    assert_eq!(broadcasts, MEMBERS - 1);
    assert!(seen.iter().all(|(_, among_members)| *among_members), "a stranger was told");
    for (host, node) in world.live() {
        let instance = public(host).expect("everybody is in it");
        assert_eq!(node.dht(instance).held(), (0, 0), "the public table knows of it");
    }
}
