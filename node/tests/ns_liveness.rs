//! A peer that fell silent is given up, and the ring closes over it.

mod common;

use std::time::Duration;

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
