//! Virtual addresses: leased, found by others, kept over every kind of end, claimed once.

mod common;

use std::time::Duration;

use anyhow::{Result, ensure};
use common::net::{Net, Node, PATIENCE, took};
use lab::eventually;

/// What the log says of a claim that another node has the address.
const TAKEN: &str = "virtual address 10.42.0.77 is held by another node; choose another";

/// A bootstrap node, two more so that leases have replicas beyond the members, and two members.
fn network(net: &Net) -> Result<([Node; 3], Node, Node)> {
    let blob = net.blob(&[2]);
    let mut others =
        [net.node("boot", 2, &[])?, net.node("dan", 5, &[])?, net.node("eva", 6, &[])?];
    for node in &mut others {
        node.start("bootstrap", &blob)?;
    }
    others.iter().try_for_each(Node::wait_joined)?;
    Ok((others, net.node("alice", 3, &[])?, net.node("bob", 4, &[])?))
}

#[test]
fn ns_ad_05_an_address_outlives_every_restart_and_the_bootstrap_node() -> Result<()> {
    let net = Net::new()?;
    let (mut others, mut alice, mut bob) = network(&net)?;
    let blob = net.blob(&[2]);
    alice.start("up", &blob)?;
    bob.start("up", &blob)?;
    let (alices, bobs) = (alice.ipv4()?, bob.ipv4()?);
    ensure!(alices != bobs, "both have {bobs}");
    bob.reach(&alices)?;

    bob.stop()?;
    bob.start("up", &blob)?;
    ensure!(took("leased again after", || bob.ipv4())? == bobs, "another address after a stop");
    bob.reach(&alices)?;
    // What a crash can lose is not older than the last write.
    eventually(PATIENCE, || {
        ensure!(bob.member.state.join("peers.json").exists(), "no peers remembered");
        Ok(())
    })?;
    bob.kill()?;
    bob.start("up", &blob)?;
    ensure!(bob.ipv4()? == bobs, "another address after a crash");
    bob.reach(&alices)?;

    // Those it knows suffice: the only node of the bootstrap list is gone.
    others[0].stop()?;
    bob.stop()?;
    bob.start("up", &blob)?;
    ensure!(bob.ipv4()? == bobs, "another address without the bootstrap node");
    bob.reach(&alices)?;
    alice.reach(&bobs)
}

#[test]
fn ns_ad_04_a_static_address_is_claimed_and_a_second_claimant_is_told() -> Result<()> {
    let net = Net::new()?;
    let (_others, mut alice, mut bob) = network(&net)?;
    let (blob, claim) = (net.blob(&[2]), ["--address", "10.42.0.77"]);
    alice.start_with("up", &blob, &claim)?;
    ensure!(alice.ipv4()? == "10.42.0.77");
    bob.start_with("up", &blob, &claim)?;
    bob.wait_for_log(TAKEN)?;
    ensure!(bob.status("ipv4").is_err(), "two nodes have one address");
    ensure!(bob.status("trouble")?.contains(TAKEN));
    let shown = String::from_utf8(bob.question(&["status"]).output()?.stdout)?;
    let told = shown.lines().any(|row| row.starts_with("trouble ") && row.contains(TAKEN));
    ensure!(told, "{shown}");
    ensure!(bob.reach(&alice.ipv6()?).is_ok(), "the rest of the network works for it");
    ensure!(!alice.log().contains(TAKEN) && alice.ipv4()? == "10.42.0.77");
    ensure!(alice.ask(&["status"])?["trouble"].is_null());
    Ok(())
}

#[test]
#[ignore = "takes 2 minutes"]
fn ns_ad_04_a_static_address_that_becomes_free_is_taken_and_ends_the_trouble() -> Result<()> {
    /// How soon a refused claim is made again, at the latest, with room.
    const AGAIN: Duration = Duration::from_secs(90);
    let net = Net::new()?;
    let (_others, mut alice, mut bob) = network(&net)?;
    let blob = net.blob(&[2]);
    alice.start_with("up", &blob, &["--ephemeral", "--address", "10.42.0.77"])?;
    ensure!(alice.ipv4()? == "10.42.0.77");
    bob.start_with("up", &blob, &["--address", "10.42.0.77"])?;
    bob.wait_for_log(TAKEN)?;
    alice.stop()?;
    ensure!(bob.status("trouble")?.contains(TAKEN));
    let held = took("claimed after", || eventually(AGAIN, || bob.status("ipv4")))?;
    ensure!(held == "10.42.0.77" && bob.ask(&["status"])?["trouble"].is_null());
    Ok(())
}

#[test]
fn ns_ad_02_an_address_is_found_while_its_owner_has_it_and_not_after_its_release() -> Result<()> {
    let net = Net::new()?;
    let (_others, mut alice, mut bob) = network(&net)?;
    let blob = net.blob(&[2]);
    alice.start("up", &blob)?;
    bob.start_with("up", &blob, &["--ephemeral", "--address", "10.42.0.77"])?;
    ensure!(bob.ipv4()? == "10.42.0.77");
    let id = bob.id()?;
    alice.reach("10.42.0.77")?;
    // The look-up named the owner: the overlay answers for the address by its node.
    let pong = alice.ask(&["ping", "10.42.0.77"])?;
    ensure!(pong["node_id"] == id.as_str(), "{pong}");

    bob.stop()?;
    // Nobody has it: somebody else may claim it at once.
    let mut carol = net.node("carol", 7, &[])?;
    carol.start_with("up", &blob, &["--address", "10.42.0.77"])?;
    ensure!(took("claimed after", || carol.ipv4())? == "10.42.0.77");
    ensure!(!carol.log().contains(TAKEN), "{}", carol.log());
    alice.reach("10.42.0.77")
}

#[test]
fn ns_ad_06_addresses_that_another_program_takes_away_are_set_again() -> Result<()> {
    let net = Net::new()?;
    let (mut alice, mut bob) = (net.pinned("alice", 2)?, net.pinned("bob", 3)?);
    let blob = net.blob(&[2]);
    alice.start("up", &blob)?;
    bob.start("up", &blob)?;
    alice.reach("10.42.0.3")?;
    alice.host.ip("addr flush dev warren0")?;
    alice.wait_for_log("another program took the addresses")?;
    alice.reach("10.42.0.3")?;
    alice.reach(&bob.ipv6()?)?;
    alice.host.ip("link set dev warren0 down")?;
    alice.reach("10.42.0.3")?;
    alice.reach(&bob.ipv6()?)
}

#[test]
fn ns_vn_01_who_loses_its_device_says_so_and_ends() -> Result<()> {
    let net = Net::new()?;
    let mut alice = net.pinned("alice", 2)?;
    alice.start("up", &net.blob(&[]))?;
    alice.host.ip("link del dev warren0")?;
    alice.wait_for_log("warren0 is gone: another program removed it")
}
