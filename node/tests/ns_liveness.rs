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
fn ns_cn_03_an_idle_link_is_never_silent_for_more_than_fifteen_seconds() -> Result<()> {
    /// What the overlay asks while it settles would hide the pings.
    const SETTLING: Duration = Duration::from_secs(60);
    const WATCHED: Duration = Duration::from_secs(50);
    const KEEP_ALIVE: Duration = Duration::from_secs(15);
    const TOLERANCE: Duration = Duration::from_secs(1);
    let net = Net::new()?;
    let (mut alice, mut bob) = (net.node("alice", 2, &[])?, net.node("bob", 3, &[])?);
    let blob = net.blob(&[2]);
    alice.start("bootstrap", &blob)?;
    bob.start("bootstrap", &blob)?;
    bob.wait_joined()?;
    pass(SETTLING)?;
    let sent = || -> Result<f64> { Ok(pings(&alice)? + pings(&bob)?) };
    let (capture, before) = (bob.host.capture("eth0")?, sent()?);
    for c in [
        "handshake",
        "greeting",
        "keep_alive",
        "status",
        "connect",
        "crawl",
        "dht",
        "tunnel",
        "query",
    ] {
        println!(
            "{c} {} {}",
            alice.metric(&format!("warren_control_sent_total{{cause=\"{c}\"}}"))?,
            bob.metric(&format!("warren_control_sent_total{{cause=\"{c}\"}}"))?
        );
    }
    pass(WATCHED)?;
    for c in [
        "handshake",
        "greeting",
        "keep_alive",
        "status",
        "connect",
        "crawl",
        "dht",
        "tunnel",
        "query",
    ] {
        println!(
            "{c} {} {}",
            alice.metric(&format!("warren_control_sent_total{{cause=\"{c}\"}}"))?,
            bob.metric(&format!("warren_control_sent_total{{cause=\"{c}\"}}"))?
        );
    }
    let pinged = sent()? - before;

    let is_udp = |bytes: &[u8]| bytes[12..14] == [8, 0] && bytes[14 + 9] == 17;
    let packets = capture.packets();
    let times: Vec<_> = packets.iter().filter(|p| is_udp(&p.bytes)).map(|p| p.time).collect();
    let pauses: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    println!("{pinged} pings and answers; pauses {pauses:.1?}");
    let longest = pauses.iter().max().context("datagrams")?;
    ensure!(*longest <= KEEP_ALIVE + TOLERANCE, "silent for {longest:?}");
    // A ping and its answer only where nothing else was heard for so long.
    let long = pauses.iter().filter(|pause| **pause >= KEEP_ALIVE - TOLERANCE).count();
    ensure!(pinged <= 2.0 * (long + 1) as f64, "{pinged} for {long} pauses");
    Ok(())
}

/// Pings and their answers that a node has sent to keep its sessions.
fn pings(node: &Node) -> Result<f64> {
    node.metric("warren_control_sent_total{cause=\"keep_alive\"}")
}

/// Watches for some time.
fn pass(time: Duration) -> Result<()> {
    let start = Instant::now();
    eventually(time * 2, || {
        ensure!(start.elapsed() >= time, "not yet");
        Ok(())
    })
}
