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

#[test]
fn sim_op_01_crawl_finds_the_stale_neighbour() {
    let (mut world, _) = settled(&Population::new(60), 1);
    // The walk comes by at once, when the dead node is still everybody's neighbour.
    let ring = topology(&world).members;
    let (crawler, dead) = (ring[30].host, ring[32].id);
    world.kill(ring[32].host);
    let report = crawl(&mut world, crawler);
    assert_eq!(report.silent, [dead]);
    assert_eq!(report.nodes.len(), 59);
    let stale = report.nodes.iter().filter(|node| !node.consistent);
    let named: Vec<bool> =
        stale.map(|node| node.left.contains(&dead) || node.right.contains(&dead)).collect();
    println!("{} of 59 name the dead among their nearest two", named.len());
    assert!((2..=4).contains(&named.len()) && named.iter().all(|&named| named));
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
