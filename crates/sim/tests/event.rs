//! The event of a revocation by way of the hash table (checklist RV-02, RV-03), and what is left where an attacker
//! keeps everything from the overlay (RV-06).

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use common::authority::{Carrier, Group, announce, carrier, linked_with, notices};
use common::{INSTANCE, settled};
use pki::Revoked;
use proto::NodeId;
use proto::watch::{SUBSCRIPTION_TTL, subscribers_key};
use warren_sim::world::{HostId, World};

const SECOND: Duration = Duration::from_secs(1);
/// A link lasts so long before it is subscribed to, at most, and the subscription is stored.
const SUBSCRIBED: Duration = Duration::from_secs(120);
/// In which time a revocation must have worked.
const DEADLINE: Duration = Duration::from_secs(2);

/// Who is among the subscribers of this node, as more than half of the replicas would say.
fn subscribers(world: &World, of: NodeId) -> BTreeSet<NodeId> {
    let key = subscribers_key(of);
    let kept = |node: &proto::Node| -> Vec<NodeId> {
        let kept = node.dht(INSTANCE).kept(world.now().unix);
        kept.filter(|kept| kept.key == key).map(|kept| kept.owner).collect()
    };
    let all: Vec<NodeId> = world.live().flat_map(|(_, node)| kept(node)).collect();
    let times = |id: &NodeId| all.iter().filter(|owner| *owner == id).count();
    all.iter().copied().filter(|id| times(id) > 4).collect()
}

fn peers(world: &World, host: HostId) -> BTreeSet<NodeId> {
    let node = world.node(host).expect("runs");
    node.peers(world.now()).into_iter().map(|peer| peer.id).collect()
}

#[test]
fn sim_rv_02_whoever_links_a_member_is_found_under_its_key_until_the_subscription_ends() {
    let group = Group::new();
    let (mut world, hosts) = settled(&group.population(30), 1);
    world.run_for(SUBSCRIBED);
    let mut links = 0;
    for &host in &hosts {
        let id = world.id(host).expect("runs");
        let linked = peers(&world, host);
        assert!(subscribers(&world, id).is_superset(&linked), "a link without a subscription");
        links += linked.len();
    }
    println!("{links} subscriptions of 30 members");
    // One dies: nobody writes its subscriptions again, and those of its peers to others stay.
    let (gone, stays) = (hosts[4], hosts[5]);
    let id = world.id(gone).expect("runs");
    let of_peers: Vec<NodeId> = peers(&world, gone).into_iter().collect();
    world.kill(gone);
    world.run_for(SUBSCRIPTION_TTL / 4);
    assert!(subscribers(&world, of_peers[0]).contains(&id), "it has not ended yet");
    world.run_for(SUBSCRIPTION_TTL);
    assert!(of_peers.iter().all(|&peer| !subscribers(&world, peer).contains(&id)));
    assert_eq!(subscribers(&world, id), BTreeSet::new(), "nobody has a link with it");
    let other = world.id(stays).expect("runs");
    assert!(subscribers(&world, other).is_superset(&peers(&world, stays)));
}

#[test]
fn sim_rv_03_all_subscribers_and_only_they_are_notified() {
    let mut group = Group::new();
    let (mut world, hosts) = settled(&group.population(50), 2);
    world.run_for(SUBSCRIBED);
    let (announcer, victim) = (hosts[7], hosts[30]);
    let id = world.id(victim).expect("runs");
    let mut expected = subscribers(&world, id);
    assert!(expected.len() > 3, "{expected:?}");
    expected.remove(&world.id(announcer).expect("runs"));
    world.intercept(|_, _, bytes| {
        matches!(carrier(bytes), Some(Carrier::Broadcast | Carrier::Links))
    });
    // A notice about a user names no node: the authority tells which ones are meant.
    let (text, secrets) = group.revoke(Revoked::User("whoever".into()), world.now().unix);
    world.with(announcer, |node, now| {
        node.announce(&text, secrets, &[(id, None)], now).expect("own notices");
    });
    world.run_for(DEADLINE);
    let notified = |node: &proto::Node| node.counters(INSTANCE).news.notified > 0;
    let told: BTreeSet<NodeId> =
        world.live().filter(|(_, node)| notified(node)).map(|(_, node)| node.id()).collect();
    println!(
        "{} of 50 members had a link with the victim, {} were told",
        expected.len(),
        told.len()
    );
    assert_eq!(told, expected);
    let know = hosts.iter().filter(|&&host| notices(&world, host) == 1).count();
    assert_eq!(know, told.len() + 1, "those and the announcer");
}

/// Has one member link another, which is revoked so long before or after the subscription is stored; says whether
/// the subscriber learns of it. With the same seed all happens alike up to the revocation.
fn learns(revoked_at: Option<Duration>) -> (Duration, bool) {
    let mut group = Group::new();
    let (mut world, hosts) = settled(&group.population(30), 5);
    world.run_for(SUBSCRIBED);
    let subscriber = hosts[3];
    let linked = peers(&world, subscriber);
    let stranger = |host: &HostId| world.id(*host).is_some_and(|id| !linked.contains(&id));
    let victim = *hosts.iter().rfind(|host| stranger(host)).expect("not all are linked");
    let id = world.id(victim).expect("runs");
    let begun = world.now().instant;
    world.with(subscriber, |node, now| node.connect(INSTANCE, id, now));
    let Some(at) = revoked_at else {
        let waits =
            |world: &World| !world.node(subscriber).expect("runs").watch().is_subscribed(id);
        let stored = world.run_while(waits, SUBSCRIBED).expect("is subscribed");
        return (stored, false);
    };
    world.run_until(begun + at);
    world.intercept(|_, _, bytes| {
        matches!(carrier(bytes), Some(Carrier::Broadcast | Carrier::Links))
    });
    let announcer =
        *hosts.iter().find(|&&host| host != subscriber && host != victim).expect("many");
    let news = group.revoke(Revoked::Node(id), world.now().unix);
    announce(&mut world, announcer, news);
    world.run_for(5 * SECOND);
    (at, notices(&world, subscriber) == 1 && !peers(&world, subscriber).contains(&id))
}

#[test]
fn sim_rv_03_a_subscription_made_during_the_revocation_is_not_lost() {
    let (stored, _) = learns(None);
    let step = Duration::from_millis(150);
    let moments = (0..24).map(|n| stored - 20 * step + n * step);
    let lost: Vec<Duration> = moments.filter(|&at| !learns(Some(at)).1).collect();
    assert!(lost.is_empty(), "stored after {stored:?}; lost when revoked after {lost:?}");
}

#[test]
fn sim_rv_03_who_missed_more_notices_than_it_is_told_has_the_rest_from_its_peers_in_two_seconds() {
    const MISSED: u64 = 10;
    let mut group = Group::new();
    let (mut world, hosts) = settled(&group.population(30), 7);
    world.run_for(SUBSCRIBED);
    let (announcer, late) = (hosts[2], hosts[12]);
    // It keeps its links and hears nothing of ten revocations, until its peers have stopped telling it.
    world.intercept(move |from, to, bytes| {
        (from == late || to == late) && carrier(bytes).is_some_and(|way| way != Carrier::Table)
    });
    for n in 0..MISSED {
        let news = group.revoke(Revoked::User(format!("user-{n}")), world.now().unix);
        announce(&mut world, announcer, news);
        world.run_for(SECOND);
    }
    world.run_for(10 * SECOND);
    assert_eq!((notices(&world, announcer), notices(&world, late)), (MISSED, 0));
    // The next one puts out a peer of it, and comes with three earlier ones: it cannot be read yet.
    let victim = *peers(&world, late)
        .iter()
        .find(|&&peer| world.id(announcer) != Some(peer))
        .expect("has peers");
    world.intercept(|_, _, bytes| carrier(bytes) == Some(Carrier::Broadcast));
    let news = group.revoke(Revoked::Node(victim), world.now().unix);
    announce(&mut world, announcer, news);
    let lags = |world: &World| notices(world, late) <= MISSED;
    let took = world.run_while(lags, DEADLINE).expect("peers tell it the rest");
    println!("{MISSED} missed notices and the next one were there after {took:?}");
    let notified = world.node(late).expect("runs").counters(INSTANCE).news.notified;
    assert!(notified > 0, "nobody told it as a subscriber");
    assert!(!peers(&world, late).contains(&victim), "still linked");
}

#[test]
fn sim_rv_06_where_the_overlay_says_nothing_the_list_of_the_service_puts_a_member_out() {
    const MALICIOUS: usize = 40;
    /// How often the list is fetched by a node that cannot wait at the service for its change.
    const INTERVAL: Duration = Duration::from_secs(60);
    let mut group = Group::new();
    let (mut world, hosts) = settled(&group.population(50), 6);
    let (malicious, honest) = hosts.split_at(MALICIOUS);
    // Honest members have each other neither as neighbours nor over a link: all they hear comes through liars.
    for (n, &a) in honest.iter().enumerate() {
        honest[n + 1..].iter().for_each(|&b| world.block(a, b));
    }
    let victim = malicious[20];
    let id = world.id(victim).expect("runs");
    for &host in honest {
        world.with(host, |node, now| node.connect(INSTANCE, id, now));
    }
    world.run_for(SUBSCRIBED);
    let liars = malicious.to_vec();
    world.intercept(move |from, _, bytes| carrier(bytes).is_some() && liars.contains(&from));
    let linked = |world: &World| -> Vec<HostId> {
        linked_with(world, id).into_iter().filter(|host| honest.contains(host)).collect()
    };
    let before = linked(&world);
    assert!(before.len() > 7, "{before:?}");
    let (text, secrets) = group.revoke(Revoked::Node(id), world.now().unix);
    announce(&mut world, honest[0], (text.clone(), secrets));
    world.run_for(10 * SECOND);
    let after = linked(&world);
    println!(
        "{} of {} honest members linked the victim, ten seconds later {}",
        before.len(),
        honest.len(),
        after.len()
    );
    let others = before.iter().filter(|&&host| host != honest[0]);
    assert!(after.iter().eq(others), "nobody but the announcer knows: the attack holds");
    for (n, &host) in honest.iter().enumerate() {
        world.run_for((INTERVAL - 10 * SECOND) / honest.len() as u32);
        world.with(host, |node, now| {
            node.take_notices(&text, now).expect("is signed");
        });
        assert!(linked(&world).iter().all(|host| !honest[..=n].contains(host)));
    }
    assert_eq!(linked(&world), []);
}
