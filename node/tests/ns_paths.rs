//! Which way a session takes: addresses that only peers can tell, and direct links made on demand.

mod common;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use common::net::{Net, Node, PATIENCE, PORT};
use lab::{Nat, eventually};

#[test]
fn ns_cn_02_a_node_behind_a_nat_learns_its_outside_address_from_a_peer() -> Result<()> {
    let net = Net::new()?;
    let mut bob = net.pinned("bob", 3)?;
    let (router, internet) = (net.lab.router("router")?, net.lab.switch()?);
    router.attach(&net.lan, &["192.0.2.254/24"])?;
    let outside = router.attach(&internet, &["198.51.100.254/24"])?;
    router.translate(&outside, Nat::PortRestricted)?;
    bob.host.ip("route add default via 192.0.2.254")?;
    let host = net.lab.host("alice")?;
    host.attach(&internet, &["198.51.100.2/24"])?;
    let member = net.group.member("alice", &["--ipv4", "10.42.0.2"]);
    let mut alice = Node { host, member, daemon: None };
    let blob = net.group.blob(&[&format!("198.51.100.2:{PORT}")]);
    alice.start("up", &blob)?;
    bob.start("up", &blob)?;
    bob.reach("10.42.0.2")?;
    alice.ping("10.42.0.3")?;

    let seen = alice.peer(&bob.id()?)?.context("a session")?["endpoint"].clone();
    ensure!(seen.as_str().is_some_and(|ip| ip.starts_with("198.51.100.254:")), "{seen}");
    eventually(PATIENCE, || {
        let endpoints = bob.ask(&["status"])?["endpoints"].clone();
        ensure!(endpoints.as_array().is_some_and(|all| all.contains(&seen)), "{endpoints}");
        Ok(())
    })
}

#[test]
fn ns_sc_03_traffic_between_members_that_are_not_linked_makes_a_direct_link() -> Result<()> {
    const COUNT: u8 = 24;
    const LIMIT: Duration = Duration::from_secs(5);
    let net = Net::new()?;
    let blob = net.blob(&[2, 3]);
    let mut nodes = Vec::new();
    for last in 2..2 + COUNT {
        let mut node = net.pinned(&format!("member{last}"), last)?;
        node.start("up", &blob)?;
        nodes.push(node);
    }
    nodes.iter().try_for_each(Node::wait_joined)?;
    let ids = nodes.iter().map(Node::id).collect::<Result<Vec<_>>>()?;
    let strangers = || -> Result<(usize, usize)> {
        for (from, node) in nodes.iter().enumerate() {
            let linked = node.peers()?;
            let is_linked = |id: &String| linked.iter().any(|peer| peer["node_id"] == id.as_str());
            if let Some(to) = ids.iter().position(|id| *id != ids[from] && !is_linked(id)) {
                return Ok((from, to));
            }
        }
        anyhow::bail!("all {COUNT} are linked with each other")
    };
    let (from, to) = eventually(PATIENCE, strangers)?;
    let (node, start) = (&nodes[from], Instant::now());
    // The very first packet arrives: it takes the overlay or waits for the link.
    let address = format!("10.42.0.{}", to + 2);
    let ping = node.host.command("ping").args(["-c", "1", "-W", "5", &address]).output()?;
    ensure!(ping.status.success(), "the first ping is lost\n{}", node.log());
    println!("first reply after {:?}", start.elapsed());
    eventually(LIMIT.saturating_sub(start.elapsed()), || {
        let peer = node.peer(&ids[to])?.context("not linked")?;
        ensure!(peer["path"] == "direct", "{peer}");
        Ok(())
    })
}
