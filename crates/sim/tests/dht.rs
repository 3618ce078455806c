//! The hash table over the simulated overlay, asked as a driver asks it (checklist DH-04, DH-05).

mod common;

use std::time::Duration;

use common::{INSTANCE, settled, wait_for_ring};
use proto::node::api::Answer;
use warren_sim::check::replicas_are_placed;
use warren_sim::population::Population;
use warren_sim::world::{HostId, World};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);
/// Longer than any operation may take.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// Time in which replicas that share nothing have compared every part of what they own.
const COPIED_MAX: Duration = Duration::from_secs(300);
/// Times that a reader asks.
const TRIES: usize = 3;
/// How often the nodes throw away what has expired: `proto::dht::SWEEP`.
const SWEEP: Duration = proto::dht::SWEEP;

fn name(n: usize) -> Vec<u8> {
    format!("key {n}").into_bytes()
}

fn value(n: usize) -> Vec<u8> {
    format!("value {n}").into_bytes()
}

#[track_caller]
fn put(world: &mut World, host: HostId, n: usize, ttl: Duration) {
    let put = world.ask(host, ANSWER_MAX, |node, ticket, now| {
        node.put(ticket, INSTANCE, &name(n), &value(n), ttl, now);
    });
    assert!(matches!(put, Ok(Answer::Stored { .. })), "{put:?}");
}

/// What a host reads under a name: `None` if the table does not answer.
fn get(world: &mut World, host: HostId, n: usize) -> Option<Vec<Vec<u8>>> {
    match world.ask(host, ANSWER_MAX, |node, ticket, now| node.get(ticket, INSTANCE, &name(n), now))
    {
        Ok(Answer::Values { records, .. }) => {
            Some(records.into_iter().map(|record| record.payload).collect())
        }
        _ => None,
    }
}

#[test]
fn sim_dh_05_keys_survive_thirty_percent_loss() {
    const KEYS: usize = 50;
    let (mut world, hosts) = settled(&Population::new(100), 1);
    for n in 0..KEYS {
        put(&mut world, hosts[n * 2], n, HOUR);
    }
    hosts.iter().enumerate().filter(|(n, _)| n % 10 >= 7).for_each(|(_, &host)| world.kill(host));
    let repair = wait_for_ring(&mut world);

    let (mut asked, mut read, mut retried) = (0, 0, 0);
    for n in 0..KEYS {
        for reader in [10, 31, 52, 93] {
            let reader = hosts[reader + n / 20];
            let mut tries =
                (0..TRIES).map(|_| get(&mut world, reader, n).is_some_and(|v| v == [value(n)]));
            let needed = tries.position(|found| found);
            asked += 1;
            read += usize::from(needed.is_some());
            retried += usize::from(needed.is_some_and(|tries| tries > 0));
        }
    }
    println!(
        "ring whole {repair:?} after 30 of 100 died; {read} of {asked} reads, {retried} retried"
    );
    assert!(read as f64 >= asked as f64 * 0.999, "{read} of {asked}");

    let is_short = |world: &World| !replicas_are_placed(world, INSTANCE).is_clean();
    let placed = world.run_while(is_short, COPIED_MAX).expect("every value is at all its owners");
    println!("every value at all owners of its points {placed:?} later");
}

#[test]
fn sim_dh_04_a_value_lives_as_long_as_its_owner_and_one_ttl_more() {
    let ttl = 60 * SECOND;
    let (mut world, hosts) = settled(&Population::new(30), 2);
    put(&mut world, hosts[7], 0, ttl);
    world.run_for(5 * ttl);
    assert_eq!(get(&mut world, hosts[20], 0), Some(vec![value(0)]));

    world.kill(hosts[7]);
    let died = world.now().instant;
    while get(&mut world, hosts[20], 0) != Some(Vec::new()) {
        assert!(world.now().instant - died <= ttl + SWEEP, "still there");
        world.run_for(SECOND);
    }
    println!("gone {:?} after its owner", world.now().instant - died);
}
