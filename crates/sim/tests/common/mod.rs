//! What the stories share: a network that has settled.

#![allow(dead_code)] // each test file uses a part

pub mod authority;

use std::net::IpAddr;
use std::time::Duration;

use proto::overlay::Instance;
use warren_sim::check::{Topology, ring_is_consistent};
use warren_sim::latency::DelayMatrix;
use warren_sim::population::Population;
use warren_sim::stats::{Summary, percentile};
use warren_sim::world::{HostId, Volume, World, WorldConfig};

/// The overlay that the nodes share.
pub const INSTANCE: Instance = Instance(0);
/// An IP protocol number for experiments (RFC 3692), whose packets nobody looks into.
const EXPERIMENT: u8 = 253;
/// Time in which any network of these tests settles.
pub const SETTLE_MAX: Duration = Duration::from_secs(300);

/// A world with King-like delays and no faults.
pub fn world(nodes: usize, seed: u64) -> World {
    World::new(WorldConfig::new(seed, DelayMatrix::king_like(nodes, seed)))
}

/// Starts the nodes, lets them find their places, and lets shortcuts and subscriptions follow.
pub fn settled(population: &Population, seed: u64) -> (World, Vec<HostId>) {
    let (mut world, hosts) = placed(population, seed);
    world.run_for(Duration::from_secs(60));
    (world, hosts)
}

/// Starts the nodes and lets them find their places. Links are not a minute old yet, so few are subscribed to: that
/// is two thirds of the work of a large network.
pub fn placed(population: &Population, seed: u64) -> (World, Vec<HostId>) {
    let mut world = world(population.nodes, seed);
    let hosts = population.settle(&mut world);
    world.run_for(population.arrival * hosts.len() as u32);
    wait_for_ring(&mut world);
    (world, hosts)
}

/// Lets time pass until everybody is in its place, and says how long that took.
#[track_caller]
pub fn wait_for_ring(world: &mut World) -> Duration {
    let begun = world.now().instant;
    loop {
        let topology = topology(world);
        let ring = ring_is_consistent(&topology);
        if ring.is_clean() && topology.everybody_joined() {
            return world.now().instant - begun;
        }
        assert!(world.now().instant - begun < SETTLE_MAX, "not settled: {ring}");
        world.run_for(Duration::from_secs(1));
    }
}

/// The links as they are.
pub fn topology(world: &World) -> Topology {
    Topology::of(world, INSTANCE)
}

/// Everything that these hosts sent since they were added.
pub fn sent(world: &World, hosts: &[HostId]) -> Volume {
    hosts.iter().map(|&host| world.traffic(host).sent.total()).fold(Volume::default(), |a, b| a + b)
}

/// The mean; zero of nothing.
pub fn mean(samples: &[f64]) -> f64 {
    Summary::of(samples).map_or(0.0, |summary| summary.mean)
}

/// The 95th percentile; zero of nothing.
pub fn p95(samples: &[f64]) -> f64 {
    percentile(samples, 0.95).unwrap_or(0.0)
}

/// An IP packet whose payload nobody looks into.
pub fn packet(source: IpAddr, destination: IpAddr, payload: &[u8]) -> Vec<u8> {
    let mut packet = match (source, destination) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let mut header = vec![0x45, 0, 0, 0, 0, 7, 0x40, 0, 61, EXPERIMENT, 0, 0];
            header[2..4].copy_from_slice(&(20 + payload.len() as u16).to_be_bytes());
            header.extend(from.octets());
            header.extend(to.octets());
            let words = header.chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1]));
            let sum: u32 = words.sum();
            let folded = !((sum & 0xffff) + (sum >> 16)) as u16;
            header[10..12].copy_from_slice(&folded.to_be_bytes());
            header
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let mut header = vec![0x60, 0, 0, 0, 0, 0, EXPERIMENT, 61];
            header[4..6].copy_from_slice(&(payload.len() as u16).to_be_bytes());
            header.extend(from.octets());
            header.extend(to.octets());
            header
        }
        _ => panic!("two versions in one packet"),
    };
    packet.extend(payload);
    packet
}
