//! What a daemon leaves behind, however it ends: nothing in the host's network, and a state that the next start
//! takes over.

mod common;

use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use common::net::{Net, Node, PATIENCE};
use lab::eventually;
use nix::sys::signal::Signal;

fn is_as_before(node: &Node, before: &[String]) -> Result<()> {
    eventually(PATIENCE, || {
        let now = node.host.network()?;
        let new: Vec<_> = now.iter().filter(|line| !before.contains(line)).collect();
        let gone: Vec<_> = before.iter().filter(|line| !now.contains(line)).collect();
        ensure!(new.is_empty() && gone.is_empty(), "new: {new:#?}\ngone: {gone:#?}");
        Ok(())
    })
}

#[test]
fn ns_ad_06_nothing_is_left_of_the_network_however_a_daemon_ends() -> Result<()> {
    let net = Net::new()?;
    let mut alice = net.pinned("alice", 2)?;
    let blob = net.blob(&[]);
    let before = alice.host.network()?;
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGKILL] {
        alice.start("up", &blob)?;
        eventually(PATIENCE, || {
            let now = alice.host.network()?;
            ensure!(now.iter().any(|line| line.contains("10.42.0.2/24")), "not yet: {now:#?}");
            Ok(())
        })?;
        let mut daemon = alice.daemon.take().context("it was started")?;
        daemon.signal(signal)?;
        let status = daemon.wait_exit(PATIENCE)?;
        ensure!(status.success() || signal == Signal::SIGKILL, "{signal}: {status}");
        is_as_before(&alice, &before).with_context(|| format!("after {signal}"))?;
        let socket = alice.member.state.join("warren.sock");
        ensure!(!socket.exists() || signal == Signal::SIGKILL, "{signal}: the socket is left");
    }
    alice.start("up", &blob)?;
    alice.stop()?;
    is_as_before(&alice, &before)
}

#[test]
fn ns_ad_06_nothing_is_left_of_a_daemon_that_is_ended_while_it_starts() -> Result<()> {
    const ROUNDS: u32 = 10;
    let net = Net::new()?;
    let mut alice = net.pinned("alice", 2)?;
    let blob = net.blob(&[]);
    let before = alice.host.network()?;
    let begun = Instant::now();
    alice.start("up", &blob)?;
    let start = begun.elapsed();
    alice.stop()?;
    for round in 0..ROUNDS {
        let signal = if round % 2 == 0 { Signal::SIGTERM } else { Signal::SIGKILL };
        let mut daemon = alice.host.spawn(alice.command("up", &blob, &[]))?;
        thread::sleep(start * round / ROUNDS);
        daemon.signal(signal)?;
        daemon.wait_exit(PATIENCE)?;
        is_as_before(&alice, &before).with_context(|| format!("{signal}, round {round}"))?;
    }
    alice.start("up", &blob)?;
    eventually(PATIENCE, || alice.status("ipv6"))?;
    alice.stop()
}

#[test]
fn ns_ad_05_a_daemon_that_is_asked_to_end_says_goodbye_and_keeps_its_address() -> Result<()> {
    let net = Net::new()?;
    let (mut boot, mut bob) = (net.node("boot", 2, &[])?, net.node("bob", 3, &[])?);
    let blob = net.blob(&[2]);
    boot.start("bootstrap", &blob)?;
    bob.start("up", &blob)?;
    let ipv4 = bob.ipv4()?;
    let lease = std::fs::read(bob.member.state.join("lease.json"))?;
    bob.stop()?;
    // Not by silence, which takes many seconds.
    boot.wait_for_log("reason=\"the peer left\"")?;
    ensure!(std::fs::read(bob.member.state.join("lease.json"))? == lease);
    bob.start("up", &blob)?;
    ensure!(bob.ipv4()? == ipv4, "another address than {ipv4}");
    bob.stop()
}
