//! Silence: what an idle link costs, and when a peer that fell silent is given up.

mod common;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use common::net::{Net, Node, took, underlay};
use lab::eventually;

#[test]
fn ns_cn_06_a_dead_peer_is_removed_and_its_neighbours_close_the_ring() -> Result<()> {
    const LIMIT: Duration = Duration::from_secs(45);
    let net = Net::new()?;
    let blob = net.blob(&[2]);
    let mut nodes = Vec::new();
    for last in 2..7 {
        nodes.push(net.node(&format!("node{last}"), last, &[])?);
    }
    for node in &mut nodes {
        node.start("bootstrap", &blob)?;
    }
    nodes.iter().try_for_each(Node::wait_joined)?;
    took("ring of five", || eventually(LIMIT, || is_whole(&nodes[0], 5)))?;

    let dead = nodes.pop().context("five nodes")?;
    let id = dead.id()?;
    for last in 2..6 {
        dead.host.drop_traffic_with(underlay(last).into())?;
    }
    took("removed by all and ring of four", || {
        eventually(LIMIT, || {
            for node in &nodes {
                ensure!(node.peer(&id)?.is_none(), "still linked with the dead");
            }
            is_whole(&nodes[0], 4)
        })
    })?;
    for node in &nodes {
        ensure!(node.log().contains("link down"), "{}", node.log());
    }
    // Those that live kept each other.
    ensure!(nodes.iter().all(|node| node.peers().is_ok_and(|peers| peers.len() == 3)));
    Ok(())
}

/// Whether a walk round the ring meets `count` nodes, all with the right neighbours.
fn is_whole(node: &Node, count: usize) -> Result<()> {
    let crawl = node.ask(&["crawl"])?;
    let nodes = crawl["nodes"].as_array().map_or(0, Vec::len);
    let right = crawl["consistent"] == count && crawl["complete"] == true;
    ensure!(nodes == count && right, "{crawl}");
    Ok(())
}

#[test]
#[ignore = "takes 2 minutes"]
fn ns_cn_03_an_idle_link_exchanges_one_ping_in_fifteen_seconds() -> Result<()> {
    /// The pause between the overlay's own questions doubles up to here, so that it leaves a minute of silence.
    const SETTLING: Duration = Duration::from_secs(68);
    const WATCHED: Duration = Duration::from_secs(50);
    let net = Net::new()?;
    let (mut alice, mut bob) = (net.node("alice", 2, &[])?, net.node("bob", 3, &[])?);
    let blob = net.blob(&[2]);
    alice.start("bootstrap", &blob)?;
    bob.start("bootstrap", &blob)?;
    bob.wait_joined()?;
    let pass = |time: Duration| {
        let start = Instant::now();
        eventually(time * 2, || {
            ensure!(start.elapsed() >= time, "not yet");
            Ok(())
        })
    };
    pass(SETTLING)?;
    let capture = bob.host.capture("eth0")?;
    pass(WATCHED)?;

    let is_udp = |bytes: &[u8]| bytes[12..14] == [8, 0] && bytes[14 + 9] == 17;
    let times: Vec<_> =
        capture.packets().iter().filter(|p| is_udp(&p.bytes)).map(|p| p.time).collect();
    let begins: Vec<_> = times.chunks(2).map(|exchange| exchange[0]).collect();
    println!("{times:?}");
    ensure!(begins.len() >= 3, "exchanges at {begins:?}");
    for exchange in times.chunks_exact(2) {
        ensure!(
            exchange[1] - exchange[0] < Duration::from_secs(1),
            "more than ping and pong: {times:?}"
        );
    }
    for pause in begins.windows(2).map(|pair| pair[1] - pair[0]) {
        ensure!(
            pause.abs_diff(Duration::from_secs(15)) <= Duration::from_secs(1),
            "{pause:?} of {times:?}"
        );
    }
    Ok(())
}
