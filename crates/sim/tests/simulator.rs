//! The simulator itself: it runs the real core and repeats itself (paper section 5.1; checklist SM).

mod common;

use std::time::Duration;

use common::{INSTANCE, mean, p95, sent, settled, topology, wait_for_ring, world};
use proto::Node;
use warren_sim::check::{every_live_pair_is_routable, routes};
use warren_sim::hash::EventHash;
use warren_sim::population::Population;
use warren_sim::world::{HostId, World};

#[test]
fn sim_sm_01_the_world_runs_the_core_that_the_daemon_runs() {
    let (world, hosts) = settled(&Population::new(3), 1);
    let node: &Node = world.node(hosts[1]).expect("it runs");
    assert_eq!(Some(node.id()), world.id(hosts[1]));
    assert!(node.status(INSTANCE).joined);
    assert_eq!(node.peers(world.now()).len(), 2);
}

#[test]
fn sim_sm_04_same_seed_same_hash() {
    let run = |seed: u64| -> EventHash {
        let mut world = world(40, seed);
        world.set_loss(0.02);
        let hosts = Population::new(40).settle(&mut world);
        world.run_for(Duration::from_secs(30));
        world.kill(hosts[7]);
        world.run_for(Duration::from_secs(60));
        world.hash()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

/// Starts the nodes and waits for the ring; prints what it took.
fn converge(nodes: usize) -> (World, Vec<HostId>) {
    let mut world = world(nodes, 1);
    let population = Population { arrival: Duration::from_millis(50), ..Population::new(nodes) };
    let hosts = population.settle(&mut world);
    world.run_for(population.arrival * nodes as u32);
    let took = wait_for_ring(&mut world);
    let bytes = sent(&world, &hosts).bytes / nodes as u64;
    println!(
        "{nodes} nodes: whole {took:?} after the last start, {bytes} bytes sent per node, {} events",
        world.events()
    );
    (world, hosts)
}

fn nodes_converge_from_one_seed(nodes: usize) {
    let (mut world, _) = converge(nodes);
    let hash = world.hash();
    assert_eq!(hash, converge(nodes).0.hash(), "two runs of one seed differ");
    world.run_for(Duration::from_secs(120));
    let routes = routes(&topology(&world));
    routes.findings.assert_clean();
    println!("hops: {:.2} in the mean, p95 {}", mean(&routes.hops), p95(&routes.hops));
}

#[test]
fn sim_400_nodes_converge_from_one_seed() {
    nodes_converge_from_one_seed(400);
}

#[test]
fn sim_1000_nodes_converge_from_one_seed() {
    nodes_converge_from_one_seed(1000);
}

#[test]
fn sim_idle_traffic() {
    let (mut world, hosts) = settled(&Population::new(100), 1);
    world.run_for(Duration::from_secs(120));
    let before = sent(&world, &hosts);
    world.run_for(Duration::from_secs(600));
    let bytes = (sent(&world, &hosts) - before).bytes;
    let bits_per_s = bytes as f64 * 8.0 / 600.0 / hosts.len() as f64;
    let degree = mean(&topology(&world).degrees());
    println!("idle: {bits_per_s:.0} bit/s per node with {degree:.1} links");
    assert!(bits_per_s <= 3_000.0, "{bits_per_s} bit/s");
    every_live_pair_is_routable(&topology(&world)).assert_clean();
}
