//! What an operator can ask of a network: ping and crawl (paper section 6.2; checklist OP-01).

mod common;

use std::time::Duration;

use common::{INSTANCE, settled, topology};
use proto::node::api::Answer;
use proto::overlay::crawl::Report;
use warren_sim::population::Population;
use warren_sim::world::{HostId, World};

const PATIENCE: Duration = Duration::from_secs(120);

fn crawl(world: &mut World, from: HostId) -> Report {
    let answer = world.ask(from, PATIENCE, |node, ticket, now| node.crawl(ticket, INSTANCE, now));
    match answer.expect("in time") {
        Answer::Crawl(report) => report,
        other => panic!("a crawl is answered by a report, not {other:?}"),
    }
}

#[test]
fn sim_op_01_crawl_of_a_whole_ring_finds_everybody_right() {
    let (mut world, hosts) = settled(&Population::new(60), 1);
    let report = crawl(&mut world, hosts[33]);
    assert!(report.complete && report.silent.is_empty());
    assert_eq!((report.nodes.len(), report.consistent()), (60, 60));
}

/// A goodbye is lost on its way to one neighbour, which for some seconds names a node that is gone.
#[test]
fn sim_op_01_exactly_the_node_with_the_stale_neighbour_is_reported() {
    let (mut world, _) = settled(&Population::new(60), 1);
    let ring = topology(&world).members;
    let (crawler, gone, stale) = (ring[30].host, &ring[40], &ring[41]);
    world.block(gone.host, stale.host);
    world.leave(gone.host);
    world.run_for(Duration::from_secs(2));
    let named = topology(&world).members.iter().filter(|m| m.peers.contains(&gone.id)).count();
    assert_eq!(named, 1, "the others heard the goodbye");

    let report = crawl(&mut world, crawler);
    assert!(report.complete);
    assert_eq!(report.nodes.len(), 59);
    let wrong: Vec<_> =
        report.nodes.iter().filter(|node| !node.consistent).map(|node| node.id).collect();
    assert_eq!(wrong, [stale.id]);
}

#[test]
fn sim_op_01_a_ping_crosses_the_overlay() {
    let (mut world, hosts) = settled(&Population::new(60), 1);
    for &host in &hosts[1..] {
        let target = world.id(host).expect("it ran");
        let ping = world
            .ask(hosts[0], PATIENCE, |node, ticket, now| node.ping(ticket, INSTANCE, target, now));
        let answer = ping.expect("in time");
        assert!(matches!(answer, Answer::Pong { hops: 1.., .. }), "{host:?}: {answer:?}");
    }
}
