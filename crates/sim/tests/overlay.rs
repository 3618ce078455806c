//! The ring: everybody is linked with its neighbours and reaches everybody (paper section 3; checklist OV,
//! NB, SC-04).

mod common;

use std::time::Duration;

use common::{mean, p95, settled, topology};
use warren_sim::check::{
    always, every_live_pair_is_routable, links_are_mutual, near_neighbours_are_within_bounds,
    ring_is_consistent, routes,
};
use warren_sim::population::{Policy, Population};
use warren_sim::world::World;

/// Mean hops stay below one plus this times log2(N)^2 / k, k being the shortcuts that a node draws: the form of
/// Symphony's bound, with a constant of our own for greedy routing over both sides and near neighbours.
const HOPS_FACTOR: f64 = 0.35;

/// How long a link may be held by one end alone: idle time, misses and a good measure.
const LINK_LIFE_MAX: Duration = Duration::from_secs(45);

fn everybody_reaches_everybody(nodes: usize) {
    let (mut world, _) = settled(&Population::new(nodes), nodes as u64);
    let picture = topology(&world);
    assert_eq!(picture.len(), nodes);
    ring_is_consistent(&picture).assert_clean();
    every_live_pair_is_routable(&picture).assert_clean();
    assert!(always(&world).is_empty(), "{:?}", always(&world));
    // A link that is being closed may be seen at one end only, for a while.
    let is_seen_once = |world: &World| !links_are_mutual(&topology(world)).is_clean();
    let took = world.run_while(is_seen_once, LINK_LIFE_MAX).expect("links have two ends");
    println!("{nodes} nodes: all links have two ends after {took:?}");
}

#[test]
fn sim_ov_02_every_live_pair_is_routable() {
    for nodes in [2, 3, 10, 25, 100, 500] {
        everybody_reaches_everybody(nodes);
    }
}

#[test]
fn sim_ov_02_every_live_pair_is_routable_among_1740() {
    everybody_reaches_everybody(1740);
}

#[test]
fn sim_ov_03_hops_grow_logarithmically() {
    println!("nodes  hops mean  p95  bound  degree");
    for nodes in [25, 100, 400] {
        let (world, _) = settled(&Population::new(nodes), 3);
        let topology = topology(&world);
        let hops = routes(&topology).hops;
        let log = (nodes as f64).log2();
        let shortcuts = (log / 2.0).ceil();
        let bound = 1.0 + HOPS_FACTOR * log * log / shortcuts;
        let (mean_hops, p95_hops) = (mean(&hops), p95(&hops));
        let degree = mean(&topology.degrees());
        println!("{nodes:5}  {mean_hops:9.2}  {p95_hops:3}  {bound:5.2}  {degree:6.1}");
        assert!(mean_hops < bound, "{mean_hops} hops in the mean among {nodes}");
    }
}

#[test]
fn sim_nb_01_near_neighbours_within_bounds() {
    for nodes in [10, 100, 300] {
        let (world, _) = settled(&Population::new(nodes), 5);
        near_neighbours_are_within_bounds(&topology(&world)).assert_clean();
    }
}

#[test]
fn sim_nb_04_small_networks_are_meshed() {
    println!("nodes  linked pairs");
    let mut before = 1.0;
    for nodes in [5, 10, 15, 20, 25] {
        let (world, _) = settled(&Population::new(nodes), 7);
        let pairs = (nodes * (nodes - 1)) as f64;
        let linked = topology(&world).degrees().iter().sum::<f64>() / pairs;
        println!("{nodes:5}  {:.1} %", linked * 100.0);
        assert!(nodes > 10 || linked >= 0.9, "{linked} of the pairs are linked among {nodes}");
        assert!(linked <= before + 0.02 && linked > 0.3, "{linked} after {before} among {nodes}");
        before = linked;
    }
}

#[test]
fn sim_sc_04_two_policies_route() {
    for policy in [Policy::Harmonic, Policy::Fingers] {
        let (world, _) = settled(&Population { policy, ..Population::new(100) }, 11);
        let routes = routes(&topology(&world));
        routes.findings.assert_clean();
        println!("{policy:?}: {:.2} hops in the mean", mean(&routes.hops));
    }
}
