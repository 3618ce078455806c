//! Nodes die, leave, return, and the network falls apart and together (checklist NB-03, CN-06).

mod common;

use std::time::Duration;

use common::{settled, topology, wait_for_ring};
use warren_sim::check::{every_live_pair_is_routable, links_are_mutual};
use warren_sim::population::Population;
use warren_sim::world::HostId;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn sim_nb_03_ring_heals_after_ten_percent_die() {
    let (mut world, hosts) = settled(&Population::new(200), 1);
    hosts.iter().skip(5).step_by(10).for_each(|&host| world.kill(host));

    world.run_for(60 * SECOND);
    let routable = every_live_pair_is_routable(&topology(&world));
    println!("after 60 s {:.2} % of the pairs are routable", routable.share_clean() * 100.0);
    assert!(routable.share_clean() >= 0.99, "{routable}");

    let took = 60 * SECOND + wait_for_ring(&mut world);
    println!("the ring is whole after {took:?}");
    assert!(took <= 120 * SECOND);
    every_live_pair_is_routable(&topology(&world)).assert_clean();
}

#[test]
fn sim_cn_06_dead_peer_is_removed() {
    let (mut world, hosts) = settled(&Population::new(30), 2);
    let dead = world.id(hosts[17]).expect("it ran");
    world.kill(hosts[17]);
    let is_linked = |world: &warren_sim::world::World| {
        topology(world).members.iter().any(|member| member.peers.contains(&dead))
    };
    let took = world.run_while(is_linked, 45 * SECOND).expect("removed within 45 s");
    println!("the last link to the dead is gone after {took:?}");
    let repair = wait_for_ring(&mut world);
    println!("and its neighbours have found each other {repair:?} later");
}

#[test]
fn sim_cn_06_a_closed_port_is_noticed_within_seconds() {
    let (mut world, hosts) = settled(&Population::new(30), 2);
    let dead = world.id(hosts[17]).expect("it ran");
    world.crash(hosts[17]);
    let is_linked = |world: &warren_sim::world::World| {
        topology(world).members.iter().any(|member| member.peers.contains(&dead))
    };
    world.run_while(is_linked, 25 * SECOND).expect("removed within 25 s");
}

#[test]
fn sim_nb_03_leaving_disturbs_nobody() {
    let (mut world, hosts) = settled(&Population::new(50), 3);
    world.leave(hosts[20]);
    world.run_for(2 * SECOND);
    every_live_pair_is_routable(&topology(&world)).assert_clean();
    links_are_mutual(&topology(&world)).assert_clean();
}

#[test]
fn sim_nb_03_who_returns_finds_its_place_again_without_the_seed() {
    let (mut world, hosts) = settled(&Population::new(30), 4);
    let id = world.id(hosts[9]);
    world.kill(hosts[9]);
    world.run_for(60 * SECOND);
    world.kill(hosts[0]);
    world.run_for(60 * SECOND);
    world.restart(hosts[9]);
    world.run_for(10 * SECOND);
    assert_eq!(world.id(hosts[9]), id);
    wait_for_ring(&mut world);
}

#[test]
fn sim_nb_03_two_halves_become_one_ring_again() {
    let (mut world, hosts) = settled(&Population::new(60), 6);
    let (left, right): (Vec<HostId>, Vec<HostId>) =
        hosts.iter().partition(|host| host.index() % 2 == 0);
    world.partition(&[left, right]);
    world.run_for(120 * SECOND);
    world.heal();
    let took = wait_for_ring(&mut world);
    println!("one ring again {took:?} after the partition of 120 s was healed");
    assert!(took <= 120 * SECOND);
}

#[test]
fn sim_nb_03_a_bootstrap_node_that_nobody_remembers_is_found_at_its_endpoint() {
    // Longer than lost peers are dialled.
    let forgotten = Duration::from_secs(13 * 3_600);
    let (mut world, hosts) = settled(&Population::new(12), 8);
    world.kill(hosts[0]);
    world.forget(hosts[0]);
    world.run_for(forgotten);
    world.restart(hosts[0]);
    let took = wait_for_ring(&mut world);
    println!("found {took:?} after its start");
}
