//! A clock that is a day off, in a group of nodes whose own certificates hold nevertheless: whoever reads a log
//! learns that it is a clock, and whose.

mod common;

use std::process::Command;

use anyhow::{Result, ensure};
use common::net::{Net, Node, PATIENCE, command_at};
use common::{WARREN, fake_clock, text, works};
use lab::{Daemon, eventually};

/// Alice with the right clock, and Bob.
fn network(alice_days: &str) -> Result<(Net, Node, Node)> {
    let net = Net::new()?;
    let mut alice = net.node("alice", 2, &["--days", alice_days])?;
    let bob = net.node("bob", 3, &[])?;
    alice.start("up", &net.blob(&[2]))?;
    Ok((net, alice, bob))
}

/// Signs a certificate again, as it would have been two days ago: it holds for a node whose clock is behind.
fn sign_two_days_ago(net: &Net, node: &Node) {
    let (ca, member) = (net.group.path("ca"), &node.member);
    let mut sign = Command::new("env");
    sign.args(fake_clock("-2d")).args([WARREN, "ca", "sign", "--dir", text(&ca)]);
    works(sign.arg(&member.request).arg("--out").arg(&member.certificate));
}

/// Starts a node whose clock is off.
fn start(net: &Net, node: &Node, offset: &str) -> Result<Daemon> {
    let daemon = node.host.spawn(command_at(node, offset, "up", &net.blob(&[2])))?;
    daemon.wait_for_log("started", PATIENCE)?;
    Ok(daemon)
}

/// Waits for a line that has all these parts.
fn tells(log: impl Fn() -> String, parts: &[&str]) -> Result<()> {
    eventually(PATIENCE, || {
        let log = log();
        let told = log.lines().any(|line| parts.iter().all(|part| line.contains(part)));
        ensure!(told, "{parts:?} is in no line of {log}");
        Ok(())
    })
}

#[test]
fn ns_se_05_both_ends_read_that_the_refusing_clock_is_behind() -> Result<()> {
    let (net, alice, bob) = network("7")?;
    sign_two_days_ago(&net, &bob);
    let daemon = start(&net, &bob, "-1d")?;
    tells(|| daemon.log(), &["peer refused", "this host's clock is 23 h behind, set it"])?;
    ensure!(!daemon.log().contains("no answer"), "it did answer: {}", daemon.log());
    tells(|| alice.log(), &["192.0.2.3", "refused by the peer", "the peer's clock is behind"])?;
    ensure!(alice.peers()?.is_empty());
    Ok(())
}

#[test]
fn ns_se_05_both_ends_read_that_the_refusing_clock_may_be_ahead() -> Result<()> {
    let (net, alice, bob) = network("1")?;
    let daemon = start(&net, &bob, "+25h")?;
    tells(|| daemon.log(), &["peer refused", "expired at", "this host's clock is ahead"])?;
    tells(|| alice.log(), &["refused by the peer", "the peer's clock is ahead or this host's"])?;
    ensure!(alice.peers()?.is_empty());
    Ok(())
}

#[test]
fn ns_a_clock_that_is_a_day_off_is_named_where_it_costs_the_address() -> Result<()> {
    const WHY: &str = "their clocks and this host's differ by hours; set the clock";
    for offset in ["-1d", "+1d"] {
        let net = Net::new()?;
        let (mut alice, mut bob) = (net.node("alice", 2, &[])?, net.node("bob", 3, &[])?);
        sign_two_days_ago(&net, &alice);
        sign_two_days_ago(&net, &bob);
        alice.start("up", &net.blob(&[2]))?;
        bob.daemon = Some(start(&net, &bob, offset)?);
        tells(|| bob.log(), &[WHY])?;
        ensure!(bob.status("ipv4").is_err(), "{offset}: an address that nobody believes");
        bob.reach(&alice.ipv6()?)?;
    }
    Ok(())
}
