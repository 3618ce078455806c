//! The hash table over the simulated overlay, asked as a driver asks it (checklist NB-02, DH-01 to DH-05, AD-02).

mod common;

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use common::{INSTANCE, mean, settled, topology, wait_for_ring, world};
use proto::NodeId;
use proto::node::api::{Answer, Event};
use proto::overlay::route::{Decision, decide};
use proto::vpn;
use proto::vpn::address::Subnet;
use proto::vpn::lease::AddressPolicy;
use proto::wire::record::{REPLICAS, layer};
use proto::wire::routed::{HOP_LIMIT_MAX, Mode, Protocol, Routed};
use warren_sim::check::{Member, replicas_are_placed};
use warren_sim::population::{Population, VirtualNetwork};
use warren_sim::world::{HostId, World};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);
/// Longer than any operation may take.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// Longer than a read of a hundred pages takes, one after the other.
const PAGES_MAX: Duration = Duration::from_secs(180);
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

/// 10.9.0.0/24.
fn subnet() -> Option<Subnet> {
    Subnet::new(Ipv4Addr::new(10, 9, 0, 0), 24)
}

/// Who has this address.
fn holders(world: &World, address: Ipv4Addr) -> Vec<HostId> {
    let has = |host| world.device(host)?.ipv4.filter(|&(ip, _)| ip == address).map(|_| host);
    world.live().filter_map(|(host, _)| has(host)).collect()
}

#[test]
fn sim_nb_02_requests_are_answered_by_the_nearest_nodes() {
    let (mut world, hosts) = settled(&Population::new(100), 5);
    for n in 0..20 {
        put(&mut world, hosts[n * 3], n, HOUR);
    }
    // Stores go to eight points each; nothing is copied from node to node so soon.
    world.run_for(SECOND);
    let placed = replicas_are_placed(&world, INSTANCE);
    assert!(placed.checked() >= 20 * 7, "{placed}");
    placed.assert_clean();
}

/// The points of a key are an eighth of the ring apart, so requests leave by different links without a rule for it:
/// whoever is at the other end of one decides no read.
#[test]
fn sim_dh_05_no_link_carries_more_than_half_of_the_points_of_a_key() {
    for nodes in [30, 100, 400] {
        let (mut world, _) = settled(&Population::new(nodes), 7);
        let keys: Vec<NodeId> = (0..50).map(|_| NodeId::from_bytes(world.draw())).collect();
        let mut hops = Vec::new();
        for member in topology(&world).members {
            for &key in &keys {
                let first = |index| first_hop(&member, layer(key, index));
                let by: Vec<NodeId> = (0..REPLICAS).filter_map(first).collect();
                let carried = |hop: &NodeId| by.iter().filter(|&other| other == hop).count();
                assert!(by.iter().map(carried).max() <= Some(4), "{nodes} nodes: {by:?}");
                hops.push(by.iter().collect::<BTreeSet<_>>().len() as f64);
            }
        }
        println!("{nodes} nodes: {:.1} first hops for the eight points in the mean", mean(&hops));
        assert!(mean(&hops) > 4.0);
    }
}

/// Where a request for a point goes first.
fn first_hop(member: &Member, point: NodeId) -> Option<NodeId> {
    let request = Routed {
        mode: Mode::Greedy,
        crossed: false,
        hops: 0,
        hop_limit: HOP_LIMIT_MAX,
        protocol: Protocol::Dht,
        source: member.id,
        destination: point,
        via: None,
        payload: &[],
    };
    match decide(member.id, &member.peers, None, &request) {
        Decision::Forward(peer) => Some(peer),
        _ => None,
    }
}

#[test]
fn sim_dh_01_what_three_put_under_one_key_any_other_reads() {
    let (mut world, hosts) = settled(&Population::new(30), 4);
    let key = b"one key of three";
    for &host in &hosts[5..8] {
        let payload = format!("by {host:?}").into_bytes();
        let put = world.ask(host, ANSWER_MAX, |node, ticket, now| {
            node.put(ticket, INSTANCE, key, &payload, HOUR, now);
        });
        assert!(matches!(put, Ok(Answer::Stored { .. })), "{put:?}");
    }
    let mut written: Vec<_> = hosts[5..8].iter().map(|host| format!("by {host:?}")).collect();
    written.sort();
    for &host in &hosts {
        assert_eq!(read_all(&mut world, host, key), written);
    }
}

#[test]
fn sim_dh_03_three_hundred_values_under_a_key_are_read_whole() {
    const VALUES: usize = 300;
    let (mut world, hosts) = settled(&Population::new(VALUES), 6);
    let key = b"one key of many";
    let mut written: Vec<_> = (0..VALUES).map(|n| format!("value {n:03} {:90}", "")).collect();
    let puts: Vec<_> = hosts
        .iter()
        .zip(&written)
        .map(|(&host, value)| {
            world.command(host, |node, ticket, now| {
                node.put(ticket, INSTANCE, key, value.as_bytes(), HOUR, now);
            })
        })
        .collect();
    world.run_for(ANSWER_MAX);
    for put in puts {
        let answer = world.take_answer(put);
        assert!(matches!(answer, Some((_, Answer::Stored { .. }))), "{answer:?}");
    }
    written.sort();
    for &host in hosts.iter().step_by(100) {
        let begun = world.now().instant;
        assert_eq!(read_all(&mut world, host, key), written);
        println!("{VALUES} values were read in {:?}", world.now().instant - begun);
    }
}

/// The payloads under a key, in order; of a complete answer.
#[track_caller]
fn read_all(world: &mut World, host: HostId, key: &[u8]) -> Vec<String> {
    let answer =
        world.ask(host, PAGES_MAX, |node, ticket, now| node.get(ticket, INSTANCE, key, now));
    let Ok(Answer::Values { records, complete: true }) = answer else { panic!("{answer:?}") };
    let text = |payload| String::from_utf8(payload).expect("as it was written");
    let mut values: Vec<_> = records.into_iter().map(|record| text(record.payload)).collect();
    values.sort();
    values
}

/// An address that is in nobody's certificate is a key that only one may create. All start within a second and want
/// the same one.
#[test]
fn sim_dh_02_of_fifty_that_create_one_key_one_wins() {
    let wanted = Ipv4Addr::new(10, 9, 0, 77);
    for seed in 1..=20 {
        let address = AddressPolicy::Static(wanted);
        let network = VirtualNetwork { address, ..VirtualNetwork::new("lab", subnet()) };
        let arrival = Duration::from_millis(20);
        let population = Population { arrival, network: Some(network), ..Population::new(50) };
        let mut world = world(50, seed);
        let hosts = population.settle(&mut world);
        world.run_for(arrival * 50);
        wait_for_ring(&mut world);
        let nobody = |world: &World| holders(world, wanted).is_empty();
        let won = world.run_while(nobody, 10 * SECOND).expect("one has it");
        let winner = holders(&world, wanted);
        for _ in 0..100 {
            world.run_for(SECOND);
            assert_eq!(holders(&world, wanted), winner, "seed {seed}");
        }
        let is_told = |(_, event): &(_, Event)| matches!(event, Event::Vpn(vpn::Event::Taken(address)) if *address == wanted);
        let told = hosts.iter().filter(|&&host| world.events_of(host).iter().any(is_told));
        assert_eq!((winner.len(), told.count()), (1, 49), "seed {seed}");
        println!("seed {seed}: won {won:?} after the ring was whole");
    }
}

/// Within the lease the address of a dead node still leads to it, and to nobody else.
#[test]
fn sim_ad_02_an_address_leads_to_its_owner_until_a_dead_ones_lease_ends() {
    let lease = 600 * SECOND;
    let network = VirtualNetwork { lease, ..VirtualNetwork::new("lab", subnet()) };
    let population = Population { network: Some(network), ..Population::new(20) };
    let (mut world, hosts) = settled(&population, 8);
    let (owner, asker) = (hosts[7], hosts[12]);
    let id = world.id(owner).expect("it runs");
    let (address, _) = world.device(owner).expect("it runs").ipv4.expect("leased");
    let ping = |world: &mut World| {
        let ping = world.ask(asker, ANSWER_MAX, |node, ticket, now| {
            node.ping_address(ticket, address.into(), now);
        });
        ping.expect("answered")
    };
    assert!(matches!(ping(&mut world), Answer::Pong { node, .. } if node == id));
    world.kill(owner);
    let died = world.now().instant;
    let says =
        |answer: Answer, why: &str| matches!(answer, Answer::Failed(text) if text.contains(why));
    world.run_for(lease / 3);
    assert!(says(ping(&mut world), "no answer"));
    while !says(ping(&mut world), "no node has this address") {
        assert!(world.now().instant - died <= lease + SWEEP, "it still leads somewhere");
        world.run_for(10 * SECOND);
    }
    println!("free {:?} after its owner died", world.now().instant - died);
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
