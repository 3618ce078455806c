//! Who is let in, who is not, and what both ends are told.

mod common;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use common::net::{Net, PATIENCE, took};
use common::{Group, text};
use lab::eventually;
use nix::sys::signal::Signal;

#[test]
fn ns_ov_06_a_second_node_of_one_id_is_refused_and_a_crashed_one_is_let_in() -> Result<()> {
    let net = Net::new()?;
    let (mut alice, mut carol) = (net.pinned("alice", 2)?, net.pinned("carol", 4)?);
    let (mut bob, mut copy) = (net.pinned("bob", 3)?, net.pinned("copy", 66)?);
    let blob = net.blob(&[2]);
    alice.start("up", &blob)?;
    carol.start("up", &blob)?;
    bob.start("up", &blob)?;
    bob.reach("10.42.0.2")?;
    bob.reach("10.42.0.4")?;
    let id = bob.id()?;

    // The same key and certificate on another host.
    std::fs::remove_dir_all(&copy.member.state)?;
    std::fs::create_dir(&copy.member.state)?;
    for file in ["key.pem", "certificate.pem"] {
        std::fs::copy(bob.member.state.join(file), copy.member.state.join(file))?;
    }
    copy.member.certificate = bob.member.certificate.clone();
    let before = [age(&alice, &id)?, age(&carol, &id)?];
    copy.start("up", &blob)?;
    let mut second = copy.daemon.take().context("it was started")?;
    let status = took("second holder ends after", || second.wait_exit(PATIENCE))?;
    let told: Vec<_> =
        second.log().lines().map(str::to_owned).filter(|l| l.starts_with("warren: ")).collect();
    ensure!(status.code() == Some(3), "{status}: {}", second.log());
    ensure!(
        told.len() == 1 && told[0].contains("another running node has this node's key"),
        "{told:?}"
    );
    // Nobody took it for Bob.
    for node in [&alice, &carol] {
        let took_it = node.log().lines().any(|l| l.contains("link up") && l.contains("192.0.2.66"));
        ensure!(!took_it, "{}", node.log());
    }
    // The first keeps its links: the very same sessions.
    for (node, before) in [&alice, &carol].into_iter().zip(before) {
        ensure!(age(node, &id)? > before, "the session with the first was replaced");
    }
    bob.reach("10.42.0.2")?;
    bob.reach("10.42.0.4")?;

    bob.kill()?;
    let crashed = Instant::now();
    took("a crashed node is back after", || {
        bob.start("up", &blob)?;
        bob.reach("10.42.0.2")
    })?;
    for node in [&alice, &carol] {
        eventually(PATIENCE, || {
            ensure!(age(node, &id)? < crashed.elapsed().as_secs_f64(), "a session with the dead");
            Ok(())
        })?;
    }
    ensure!(bob.id()? == id);
    carol.reach("10.42.0.3")
}

/// Age of a node's session with a peer.
fn age(node: &common::net::Node, peer: &str) -> Result<f64> {
    let peer = node.peer(peer)?.context("no session")?;
    peer["age_seconds"].as_f64().context("a number")
}

#[test]
fn ns_se_05_refusals_name_their_reason_at_both_ends() -> Result<()> {
    let net = Net::new()?;
    let mut alice = net.pinned("alice", 2)?;
    let blob = net.blob(&[2]);
    alice.start("up", &blob)?;

    // Another authority whose group has the same name, and one whose group has another: with the first group's
    // secret both get as far as the certificates, as a former member with a forged authority would.
    let ours = std::fs::read_to_string(net.group.path("ca/secrets.yaml"))?;
    for (name, last, why) in [("team", 10, "unknown authority"), ("other", 11, "another group")] {
        let stranger = Group::named(name);
        std::fs::write(stranger.path("ca/secrets.yaml"), &ours)?;
        let mut node = net.node(&format!("stranger{last}"), last, &[])?;
        node.member = stranger.member("eve", &[]);
        let blob = stranger.blob(&["192.0.2.2:7415"]);
        let daemon = node.host.spawn(node.command("bootstrap", &blob, &[]))?;
        daemon.wait_for_log(why, PATIENCE).with_context(|| daemon.log())?;
        let refused = format!("192.0.2.{last}:7415");
        eventually(PATIENCE, || {
            let log = alice.log();
            let told = log.lines().any(|l| l.contains(&refused) && l.contains(why));
            ensure!(told, "{log}");
            Ok(())
        })?;
        ensure!(!daemon.log().contains("link up"), "linked: {}", daemon.log());
    }
    // Without the secret nobody gets as far: silence, counted here, and named there with its causes.
    let outsiders = Group::named("team");
    let mut node = net.node("outsider", 12, &[])?;
    node.member = outsiders.member("eve", &[]);
    let before = alice.metric("warren_strangers_ignored_total")?;
    node.start("bootstrap", &outsiders.blob(&["192.0.2.2:7415"]))?;
    let why =
        "no answer: wrong group, old secret or UDP blocked; take the newest blob of its group";
    node.wait_for_log(why)?;
    ensure!(node.status("trouble")?.contains(why));
    ensure!(alice.metric("warren_strangers_ignored_total")? > before, "not counted");
    ensure!(alice.peers()?.is_empty());
    Ok(())
}

#[test]
fn ns_rv_05_a_notice_cuts_a_live_session_and_traffic_within_seconds() -> Result<()> {
    let net = Net::new()?;
    let (mut alice, mut bob) = (net.pinned("alice", 2)?, net.pinned("bob", 3)?);
    let blob = net.blob(&[2]);
    let notices = net.group.path("ca/notices.txt");
    std::fs::write(&notices, "")?;
    alice.start_with("up", &blob, &["--notices", text(&notices)])?;
    bob.start("up", &blob)?;
    bob.reach("10.42.0.2")?;
    let mut flow = bob.host.command("ping");
    flow.args(["-i", "0.1", "10.42.0.2"]);
    let flow = bob.host.spawn(flow)?;
    flow.wait_for_log("time=", PATIENCE)?;

    net.group.revoke("bob");
    alice.daemon.as_mut().context("it runs")?.signal(Signal::SIGHUP)?;
    took("revoked node is cut after", || {
        eventually(PATIENCE, || {
            ensure!(alice.peers()?.is_empty(), "still linked");
            Ok(())
        })
    })?;
    bob.wait_for_log("revoked by notice 1")?;
    alice.wait_for_log("revoked by notice 1")?;
    // Replies that were on their way are still printed.
    let (mut last, mut since) = (0, Instant::now());
    eventually(PATIENCE, || {
        let answered = flow.log().matches("time=").count();
        if std::mem::replace(&mut last, answered) != answered {
            since = Instant::now();
        }
        ensure!(since.elapsed() > Duration::from_secs(1), "the traffic goes on");
        Ok(())
    })?;
    // Nor does it come in again.
    bob.kill()?;
    bob.start("up", &blob)?;
    bob.wait_for_log("revoked by notice 1")?;
    ensure!(alice.peers()?.is_empty(), "let in again");
    // Alice remembers it over a crash, without the file.
    bob.kill()?;
    alice.kill()?;
    alice.start("up", &blob)?;
    bob.start("up", &blob)?;
    bob.wait_for_log("revoked by notice 1")?;
    ensure!(alice.peers()?.is_empty(), "let in after a restart");
    Ok(())
}
