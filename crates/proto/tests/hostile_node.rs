//! A whole node under attack: its link lives, its memory does not grow, and nobody is sent more than he sent
//! before he proved his address.
//!
//! The victim has a live link with a friend, in virtual time. Strangers see everything the two say and send
//! what they like from any address, also from the friend's. `WARREN_HOSTILE_ITERATIONS` says how many mutated
//! datagrams they try, as in `hostile.rs`. Each attack runs under the null suite in the public overlay, where
//! everybody passes the gate, and the main ones under TLS with the group secret in the attackers' hands.

mod hostile_support;

use allocation_counter::measure;
use hostile_support::member::Member;
use hostile_support::mutate::Mutator;
use hostile_support::rate::Stopwatch;
use hostile_support::world::{Account, Datagram, FRIEND, Group, VICTIM, World, endpoint};
use hostile_support::{corpus, iterations};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use warren_proto::node::Footprint;
use warren_proto::node::api::Event;
use warren_proto::overlay::Instance;
use warren_proto::rng::Rng;
use warren_proto::session::{Index, LaneId};
use warren_proto::wire::control::Control;
use warren_proto::wire::frame::Kind;
use warren_proto::{NodeId, UnixTime};

/// Bounds of `link::admission`.
const HALF_OPEN_MAX: usize = 1_024;
const HALF_OPEN_PER_NETWORK_MAX: usize = 8;
/// Longer than a handshake and everything that follows it may take.
const QUIET: Duration = Duration::from_secs(25);
/// Addresses that datagrams are forged from.
const STRANGERS: u16 = 4_096;
/// Heap that a node may hold more after an attack: tables keep room that they once needed.
const HEAP_GROWTH_MAX: i64 = 64 * 1024;

/// The address of a stranger: 16 of them share a /24.
fn stranger(n: u16) -> SocketAddr {
    SocketAddr::from(([172, 16 + (n >> 12) as u8, (n >> 4) as u8, n as u8], 40_000))
}

fn index(n: u16) -> Index {
    Index::new(usize::from(n), LaneId::FIRST_DATA, 7)
}

/// The events of a lost or another link.
fn link_events(world: &World) -> Vec<&(usize, Event)> {
    let is_link = |event: &Event| {
        matches!(event, Event::LinkUp { .. } | Event::LinkDown { .. } | Event::IdInUse { .. })
    };
    world.events.iter().filter(|(_, event)| is_link(event)).collect()
}

/// A linked world with its conversation so far, at rest.
fn linked(group: Group) -> (World, Vec<Datagram>) {
    let mut world = World::new(group);
    world.run_for(QUIET);
    let conversation = world.capture.take().expect("captured from the start");
    world.events.clear();
    (world, conversation)
}

fn node_at(to: SocketAddr) -> usize {
    if to == endpoint(VICTIM) { VICTIM } else { FRIEND }
}

/// The nodes are as before the attack: same link, same size.
fn assert_unharmed(
    world: &mut World,
    before: Footprint,
    since: Option<warren_proto::time::Instant>,
) {
    world.run_for(QUIET);
    assert!(world.is_linked());
    assert_eq!(world.linked_since(), since);
    assert!(link_events(world).is_empty(), "{:?}", link_events(world));
    assert_eq!(world.footprint(), before);
}

fn inject_and_replay(group: Group) {
    let (mut world, conversation) = linked(group);
    let (before, since) = (world.footprint(), world.linked_since());
    let kinds = |kind| conversation.iter().filter(|d| Kind::of(&d.bytes) == Some(kind)).count();
    assert!(
        [Kind::Probe, Kind::ProbeReply, Kind::HelloClear, Kind::HelloSealed, Kind::Frame]
            .into_iter()
            .all(|kind| kinds(kind) > 0)
    );
    let frames_to_victim =
        conversation.iter().filter(|d| d.bytes[0] == Kind::Frame as u8 && d.to == endpoint(VICTIM));
    let frames_to_victim = frames_to_victim.count() as u64;
    let replayed = world.node(VICTIM).counters(Instance(0)).links.replayed;
    for datagram in &conversation {
        world.inject(node_at(datagram.to), datagram.from, &mut datagram.bytes.clone());
        world.run_for(Duration::from_millis(3));
    }
    let now_replayed = world.node(VICTIM).counters(Instance(0)).links.replayed;
    assert_eq!(now_replayed - replayed, frames_to_victim);

    world.mail.clear();
    world.accounts = (0..8).map(|n| (stranger(n), Account::default())).collect();
    for (n, datagram) in conversation.iter().cycle().take(8 * conversation.len()).enumerate() {
        world.inject(node_at(datagram.to), stranger(n as u16 % 8), &mut datagram.bytes.clone());
        world.run_for(Duration::from_millis(3));
    }
    assert_unharmed(&mut world, before, since);
    world.assert_no_amplification();
    let replies = |(_, bytes): &(SocketAddr, Vec<u8>)| bytes[0] == Kind::ProbeReply as u8;
    assert!(world.mail.iter().all(replies), "strangers are sent tokens and nothing else");
}

#[test]
fn sim_se_01_injected_and_replayed_datagrams_change_only_counters() {
    inject_and_replay(Group::null());
    inject_and_replay(Group::tls());
}

fn mutate(group: Group, count: usize) {
    let (mut world, conversation) = linked(group);
    let (before, since) = (world.footprint(), world.linked_since());
    world.accounts = (0..STRANGERS).map(|n| (stranger(n), Account::default())).collect();
    let corpus = conversation.into_iter().map(|datagram| datagram.bytes).collect();
    let (mut mutator, mut rng) = (Mutator::new(corpus, 2), Rng::new([4; 32]));
    let mut message = Vec::with_capacity(4_096);
    world.mail = Vec::with_capacity(4_096);
    let started = Stopwatch::start();
    let used = measure(|| {
        for n in 0..count {
            mutator.next_into(&mut message);
            let to = if n % 4 == 0 { FRIEND } else { VICTIM };
            let from = match rng.below(8) {
                0 => endpoint(FRIEND + VICTIM - to),
                _ => stranger(rng.below(usize::from(STRANGERS)) as u16),
            };
            world.inject(to, from, &mut message);
            world.run_for(Duration::from_micros(100));
            if n % 4_096 == 0 {
                world.assert_no_amplification();
                world.mail.clear();
                assert!(world.footprint().links.half_open <= HALF_OPEN_MAX);
            }
        }
        world.mail.clear();
    });
    let rate = started.rate(count);
    println!("{count} datagrams, {rate:.0}/s, heap {:+} bytes", used.bytes_current);
    println!("{:?}", world.node(VICTIM).counters(Instance(0)).links);
    assert!(used.bytes_current <= HEAP_GROWTH_MAX, "{used:?}");
    world.assert_no_amplification();
    assert_unharmed(&mut world, before, since);
}

#[test]
fn a_node_outlives_mutated_datagrams_from_forged_addresses() {
    mutate(Group::null(), iterations());
}

#[test]
fn a_node_with_tls_outlives_mutated_datagrams_from_forged_addresses() {
    mutate(Group::tls(), iterations());
}

#[test]
fn sim_se_04_a_node_with_a_pre_shared_key_outlives_mutated_and_replayed_datagrams() {
    inject_and_replay(Group::pre_shared());
    mutate(Group::pre_shared(), iterations());
}

/// Counts strangers per /24 that were sent a datagram of this kind.
fn served(world: &World, kind: Kind) -> BTreeMap<[u8; 3], usize> {
    let mut networks = BTreeMap::new();
    let mut seen = std::collections::BTreeSet::new();
    for (to, bytes) in &world.mail {
        if bytes[0] == kind as u8 && seen.insert(to) {
            let SocketAddr::V4(to) = to else { continue };
            let [a, b, c, _] = to.ip().octets();
            *networks.entry([a, b, c]).or_default() += 1;
        }
    }
    networks
}

fn flood_hellos(group: Group) {
    let (mut world, _) = linked(group);
    let (before, since) = (world.footprint(), world.linked_since());
    let mut suite = world.group.suite(9);
    let mut all = Vec::new();
    for n in 0..STRANGERS {
        let token = world.probe(stranger(n), index(n));
        world.mail.clear();
        world.say_hello(stranger(n), index(n), None, token, &mut *suite);
        all.append(&mut world.mail);
        assert!(world.footprint().links.half_open <= HALF_OPEN_MAX);
    }
    world.mail = all;
    let networks = served(&world, Kind::HelloClear);
    assert!(networks.values().all(|&served| served <= HALF_OPEN_PER_NETWORK_MAX), "{networks:?}");
    assert_eq!(networks.values().sum::<usize>(), HALF_OPEN_MAX);
    assert_eq!(world.footprint().links.half_open, HALF_OPEN_MAX);
    assert_unharmed(&mut world, before, since);
}

#[test]
fn half_open_handshakes_are_bounded_in_all_and_per_network_and_go_away() {
    flood_hellos(Group::null());
    flood_hellos(Group::tls());
}

#[test]
fn handshakes_that_strangers_invite_us_to_are_bounded_as_well() {
    let (mut world, _) = linked(Group::null());
    let (before, since) = (world.footprint(), world.linked_since());
    let mut rng = Rng::new([6; 32]);
    let mut all = Vec::new();
    for n in 0..STRANGERS {
        world.invite(stranger(n), index(n), NodeId::from_bytes(rng.bytes()));
        all.append(&mut world.mail);
        assert!(world.footprint().links.half_open <= HALF_OPEN_MAX);
    }
    world.mail = all;
    let networks = served(&world, Kind::HelloClear);
    assert!(networks.values().all(|&served| served <= HALF_OPEN_PER_NETWORK_MAX), "{networks:?}");
    assert_eq!(networks.values().sum::<usize>(), HALF_OPEN_MAX);
    assert_unharmed(&mut world, before, since);
}

#[test]
fn an_index_that_invited_nobody_is_met_with_silence() {
    let (mut world, _) = linked(Group::null());
    let (before, since) = (world.footprint(), world.linked_since());
    let session = world.node(VICTIM).links().session(Instance(0), world.node(FRIEND).id());
    let slot = session.expect("linked").0.0;
    let mut suite = world.group.suite(9);
    // Every salt of the live session's slot, and of slots that are free.
    for n in 0..1_024_u16 {
        let claimed = Index::new(slot + usize::from(n / 256), LaneId::FIRST_DATA, n as u8);
        let token = world.probe(stranger(n), claimed);
        world.mail.clear();
        world.say_hello(stranger(n), index(n), Some(claimed), token, &mut *suite);
        assert_eq!(world.mail, []);
        assert_eq!(world.footprint(), before);
    }
    assert_unharmed(&mut world, before, since);
}

#[test]
fn nothing_is_kept_for_strangers_while_our_own_certificate_is_refused() {
    let end = UnixTime(1_800_000_000 + 60);
    let (mut world, _) = linked(Group::Null { not_after: Some(end) });
    world.run_for(Duration::from_secs(60));
    let before = world.footprint();
    let mut suite = world.group.suite(9);
    for n in 0..64 {
        let token = world.probe(stranger(16 * n), index(n));
        world.say_hello(stranger(16 * n), index(n), None, token, &mut *suite);
        world.invite(stranger(16 * n + 1), index(n), NodeId::from_bytes([n as u8; 20]));
    }
    assert_eq!(world.footprint().links.slots, before.links.slots);
    assert_eq!(world.footprint().links.half_open, 0);
}

/// Slots that one member can make a node use: dials to endpoints that it names, and a few sessions.
const SLOTS_PER_MEMBER_MAX: usize = 320;
/// Heap that the tables hold for them.
const HEAP_PER_MEMBER_MAX: i64 = 2 * 1024 * 1024;

#[test]
fn a_node_outlives_a_member_that_speaks_nonsense() {
    let (mut world, _) = linked(Group::null());
    let mut member = Member::join(&mut world, stranger(0), 9);
    let (victim, friend) = (world.node(VICTIM).id(), world.node(FRIEND).id());
    let mut corpus = corpus::controls();
    for destination in [victim, friend] {
        let routed = corpus::routed_to(destination);
        corpus.extend(routed.iter().map(|message| Control::Routed(message).emit()));
    }
    let (mut mutator, mut message) = (Mutator::new(corpus, 8), Vec::with_capacity(4_096));
    let (count, mut said) = (iterations() / 4, 0);
    let started = Stopwatch::start();
    let used = measure(|| {
        for _ in 0..count {
            mutator.next_into(&mut message);
            member.say(&mut world, &message);
            world.run_for(Duration::from_millis(1));
            said += usize::from(member.is_linked(&world));
            world.events.retain(|(_, event)| matches!(event, Event::LinkDown { peer, .. } if *peer == victim || *peer == friend));
            let slots = world.footprint().links.slots;
            assert!(slots <= SLOTS_PER_MEMBER_MAX, "{slots} slots");
        }
        world.mail.clear();
    });
    let rate = started.rate(count);
    println!("{said} of {count} messages over a link, {rate:.0}/s, {:+} bytes", used.bytes_current);
    println!("{:?}", world.node(VICTIM).counters(Instance(0)));
    assert!(said > count / 2, "{said}");
    assert!(used.bytes_current <= HEAP_PER_MEMBER_MAX, "{used:?}");
    assert!(world.events.is_empty(), "{:?}", world.events);
    assert!(world.is_linked());
}

#[test]
fn a_dial_sends_nothing_to_addresses_that_repeat_the_probe_of_its_target() {
    let (mut world, conversation) = linked(Group::null());
    let is_probe = |d: &&Datagram| d.to == endpoint(VICTIM) && d.bytes[0] == Kind::Probe as u8;
    let probe = conversation.iter().find(is_probe).expect("the friend dialled").bytes.clone();
    // The friend falls silent; the victim loses the link and dials it again.
    world.is_cut = true;
    let deadline = world.now + Duration::from_secs(120);
    while world.footprint().links.dials == 0 {
        world.run_for(Duration::from_millis(50));
        assert!(world.now < deadline, "the victim does not dial: {:?}", world.footprint());
    }
    world.accounts = (0..8).map(|n| (stranger(n), Account::default())).collect();
    for n in 0..8 {
        world.inject(VICTIM, stranger(n), &mut probe.clone());
    }
    world.run_for(Duration::from_secs(5));
    world.assert_no_amplification();
    assert!(world.accounts.values().all(|account| account.sent > 0));
}
