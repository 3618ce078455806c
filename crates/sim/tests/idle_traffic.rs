//! What idle members spend in the long run: hours of virtual time, in which leases and subscriptions to
//! revocations are refreshed and keys are renewed, which no run of the real daemon waits for. `cargo xtask bench idle` measures the rest there.

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::authority::Group;
use proto::NodeId;
use proto::link::sent::Cause;
use proto::node::api::{Access, Config, OverlayConfig, VpnConfig};
use proto::overlay::Instance;
use proto::overlay::shortcut::Harmonic;
use proto::session::null::{NullSuite, Sizes};
use proto::time::Instant;
use proto::vpn::address::Subnet;
use proto::vpn::lease::{AddressPolicy, LEASE_LIFE};
use proto::vpn::verdict::Mode;
use warren_sim::latency::DelayMatrix;
use warren_sim::world::{World, WorldConfig};

const MEMBERS: usize = 100;
/// The first so many are in everybody's bootstrap list.
const BOOTSTRAP: usize = 2;
const SEED: u64 = 15;
/// Time to join and to settle, and time that is counted: eight renewals of keys, twelve of leases, two of
/// subscriptions to revocations.
const SETTLE: Duration = Duration::from_secs(900);
const COUNTED: Duration = Duration::from_secs(8 * 3600);
/// IPv4 and UDP header, in bytes.
const HEADERS: u64 = 28;
/// What each idle member may send and receive, bootstrap members too, in bits per second, IP headers included.
const BITS_MAX: f64 = 3_000.0;

#[test]
fn sim_ev_05_an_idle_member_of_a_hundred_spends_little_all_included() {
    let mut world = world();
    world.run_until(Instant::ZERO + SETTLE);
    let before = sent(&world);
    let traffic_before = traffic(&world);
    world.run_for(COUNTED);
    let per_member = |bytes: u64| bytes as f64 * 8.0 / COUNTED.as_secs_f64() / MEMBERS as f64;
    let spent: Vec<f64> = traffic(&world)
        .iter()
        .zip(&traffic_before)
        .map(|(after, before)| (after - before) as f64 * 8.0 / COUNTED.as_secs_f64())
        .collect();
    let total = spent.iter().sum::<f64>() / MEMBERS as f64;
    let most = spent.iter().copied().fold(0.0, f64::max);
    for (cause, bytes) in sent(&world) {
        // What one member sends another receives.
        println!("{:12} {:>8.1} bit/s", cause.name(), 2.0 * per_member(bytes - before[&cause]));
    }
    let held = world.live().map(|(_, node)| node.dht(Instance(0)).held());
    let (records, bytes) = held.fold((0, 0), |all, held| (all.0 + held.0, all.1 + held.1));
    println!("{} records of {} bytes at each", records / MEMBERS, bytes / MEMBERS);
    let degree = world.live().map(|(_, node)| node.peers(world.now()).len()).sum::<usize>();
    println!(
        "all {total:.0} bit/s in the mean at degree {:.1}, {most:.0} the most; bootstrap members {:.0?}",
        degree as f64 / MEMBERS as f64,
        &spent[..BOOTSTRAP]
    );
    assert!(most < BITS_MAX, "{most:.0} bit/s (seed {SEED})");
}

/// Members with a virtual network, one after the other.
fn world() -> World {
    let matrix = DelayMatrix::uniform(MEMBERS, Duration::from_millis(20));
    let mut world = World::new(WorldConfig::new(SEED, matrix));
    let group = Group::new();
    for n in 0..MEMBERS {
        let id = NodeId::from_bytes(world.draw());
        let first = world.hosts().take(BOOTSTRAP);
        let bootstrap: Vec<_> = first.map(|host| world.address(host)).collect();
        let (trust, keyring) = (group.trust.clone(), group.keyring());
        let host = world.add_node(move |known, rng| Config {
            overlays: vec![OverlayConfig {
                suite: Box::new(
                    NullSuite::new(id, Sizes::GROUP, b"idle", rng).with_trust(trust.clone()),
                ),
                access: Access::Members(keyring.clone()),
                bootstrap: bootstrap.clone(),
                known,
                shortcuts: Box::new(Harmonic),
            }],
            vpn: Some(VpnConfig {
                over: Instance(0),
                network: proto::vpn::Config {
                    group: "idle".into(),
                    id,
                    subnet: Subnet::new([10, 42, 0, 0].into(), 16),
                    address: AddressPolicy::Lease { preferred: None },
                    lease: LEASE_LIFE,
                    mode: Mode::Split,
                    mtu: proto::vpn::MTU,
                },
            }),
        });
        world.start_at(host, Instant::ZERO + Duration::from_millis(200) * n as u32);
    }
    world
}

/// Bytes that all members sent, by cause, headers included.
fn sent(world: &World) -> BTreeMap<Cause, u64> {
    let mut sum = BTreeMap::new();
    for (_, node) in world.live() {
        for (cause, volume) in node.counters(Instance(0)).links.sent.iter() {
            *sum.entry(cause).or_default() += volume.bytes + volume.datagrams * HEADERS;
        }
    }
    sum
}

/// Bytes that each member sent and received.
fn traffic(world: &World) -> Vec<u64> {
    let of = |host| world.traffic(host);
    let bytes = |host| of(host).sent.total().bytes + of(host).received.total().bytes;
    world.hosts().map(bytes).collect()
}
