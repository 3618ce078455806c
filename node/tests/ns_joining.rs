//! How a node comes in, how fast, and what it needs others for.

mod common;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, ensure};
use common::net::{Net, Node, PATIENCE, took};
use lab::{eventually, once_within};

#[test]
fn ns_jo_01_the_first_reply_on_a_lan_comes_within_a_second() -> Result<()> {
    once_within(Duration::from_secs(1), || {
        let net = Net::new()?;
        let (mut alice, mut bob) = (net.pinned("alice", 2)?, net.pinned("bob", 3)?);
        let blob = net.blob(&[2]);
        alice.start("up", &blob)?;
        // Alice asks for Bob all the time, so that nothing waits for Bob's first packet.
        let mut asking = alice.host.command("ping");
        asking.args(["-i", "0.02", "-O", "-D", "10.42.0.3"]);
        let asking = alice.host.spawn(asking)?;
        eventually(PATIENCE, || {
            ensure!(alice.log().contains("started") && asking.log().contains("PING"), "not asking");
            Ok(())
        })?;
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
        bob.start("up", &blob)?;
        asking.wait_for_log("time=", PATIENCE).with_context(|| alice.log())?;
        let log = asking.log();
        let first = log.lines().find(|line| line.contains("time=")).context("a reply")?;
        let at = first.trim_start_matches('[').split(']').next().context("a time")?;
        Ok(Duration::from_secs_f64(at.parse::<f64>()?).saturating_sub(since_epoch))
    })
}

#[test]
fn ns_ov_07_one_live_participant_among_ten_is_enough() -> Result<()> {
    const LIMIT: Duration = Duration::from_secs(10);
    let net = Net::new()?;
    let mut alice = net.node("alice", 2, &[])?;
    alice.start("bootstrap", &net.blob(&[]))?;
    // Five addresses without a host, four hosts without a daemon, and the live one last.
    let silent = [[101, 102, 103, 104, 105].as_slice(), &[20, 21, 22, 23], &[2]].concat();
    let _hosts =
        silent[5..9].iter().map(|last| net.host("idle", *last)).collect::<Result<Vec<_>>>()?;
    let mut bob = net.node("bob", 3, &[])?;
    let start = Instant::now();
    bob.start("bootstrap", &net.blob(&silent))?;
    bob.wait_joined()?;
    println!("joined after {:?}", start.elapsed());
    ensure!(start.elapsed() < LIMIT, "{:?}", start.elapsed());
    Ok(())
}

#[test]
fn ns_ov_07_a_bootstrap_name_that_is_found_late_is_joined_by() -> Result<()> {
    let net = Net::new()?;
    let (mut alice, mut bob) = (net.node("alice", 2, &[])?, net.node("bob", 3, &[])?);
    alice.start("bootstrap", &net.blob(&[]))?;
    let hosts = net.group.path("hosts");
    std::fs::write(&hosts, "")?;
    let blob = net.group.blob(&["boot.test:7415"]);
    start_with_own(&mut bob, "/etc/hosts", &hosts, &blob)?;
    bob.wait_for_log("bootstrap name not found")?;
    bob.wait_for_log("started")?;
    std::fs::write(&hosts, "192.0.2.2 boot.test\n")?;
    took("joined after the name could be found", || bob.wait_joined())?;
    // Nobody else told it.
    ensure!(bob.log().contains("bootstrap name found"), "{}", bob.log());
    Ok(())
}

#[test]
fn ns_ov_07_a_restart_does_not_wait_for_names_where_peers_are_known() -> Result<()> {
    let net = Net::new()?;
    let (mut alice, mut bob) = (net.node("alice", 2, &[])?, net.node("bob", 3, &[])?);
    alice.start("bootstrap", &net.blob(&[]))?;
    bob.start("bootstrap", &net.blob(&[2]))?;
    bob.wait_joined()?;
    bob.stop()?;
    // The name server is a host that is silent, and by ARP does not tell that it is not there.
    bob.host.ip("neigh add 192.0.2.99 lladdr 02:00:00:00:00:99 dev eth0")?;
    let resolver = net.group.path("resolv.conf");
    std::fs::write(&resolver, "nameserver 192.0.2.99\n")?;
    let blob = net.group.blob(&["boot.test:7415"]);
    start_with_own(&mut bob, "/etc/resolv.conf", &resolver, &blob)?;
    const MISSED: &str = "bootstrap name not found";
    bob.wait_for_log(MISSED)?;
    let log = bob.log();
    let before = log.split(MISSED).next().context("a log")?;
    ensure!(before.contains("link up"), "it waited for the name: {log}");
    // Nor does the end wait for a look-up that goes on.
    let start = Instant::now();
    bob.stop()?;
    ensure!(start.elapsed() < Duration::from_secs(5), "it ended after {:?}", start.elapsed());
    Ok(())
}

/// Starts a daemon with a file of its own in the place of one of the host's, as in a container.
fn start_with_own(node: &mut Node, place: &str, file: &Path, blob: &Path) -> Result<()> {
    let daemon = node.command("bootstrap", blob, &[]);
    let mut own = Command::new("unshare");
    own.args(["--mount", "sh", "-c", "mount --bind \"$0\" \"$1\" && shift && exec \"$@\""]);
    own.arg(file).arg(place).arg(daemon.get_program()).args(daemon.get_args());
    node.daemon = Some(node.host.spawn(own)?);
    Ok(())
}

#[test]
fn ns_a_member_that_is_named_nobody_to_join_by_says_so_until_it_is_called() -> Result<()> {
    let net = Net::new()?;
    let (mut alice, mut bob) = (net.pinned("alice", 2)?, net.pinned("bob", 3)?);
    alice.start("up", &net.blob(&[]))?;
    alice.wait_for_log("no node to join by is named")?;
    let trouble = alice.status("trouble")?;
    ensure!(trouble.contains("--bootstrap HOST:PORT"), "{trouble}");
    bob.start("up", &net.blob(&[2]))?;
    bob.reach("10.42.0.2")?;
    ensure!(alice.ask(&["status"])?["trouble"].is_null(), "still troubled");
    Ok(())
}

#[test]
fn ns_ov_10_the_bootstrap_nodes_are_not_needed_once_all_have_joined() -> Result<()> {
    let net = Net::new()?;
    let mut boots = [net.node("boot1", 2, &[])?, net.node("boot2", 3, &[])?];
    let mut members = Vec::new();
    for (name, last) in [("ana", 4), ("ben", 5), ("cleo", 6), ("dan", 7)] {
        members.push(net.pinned(name, last)?);
    }
    let blob = net.blob(&[2, 3]);
    for boot in &mut boots {
        boot.start("bootstrap", &blob)?;
    }
    for member in &mut members {
        member.start("up", &blob)?;
    }
    members.iter().try_for_each(|member| member.wait_joined())?;
    let all_pairs = || -> Result<()> {
        for (n, from) in members.iter().enumerate() {
            for last in (4..8).filter(|last| *last != n + 4) {
                from.reach(&format!("10.42.0.{last}"))?;
            }
        }
        Ok(())
    };
    all_pairs()?;
    for boot in &mut boots {
        boot.kill()?;
    }
    took("all pairs after the bootstrap nodes crashed", all_pairs)?;
    // A member that was in before needs them neither.
    let mut ana = members.remove(0);
    ana.stop()?;
    ana.start("up", &blob)?;
    took("a member is back after", || {
        ana.wait_joined()?;
        [5, 6, 7].iter().try_for_each(|last| ana.reach(&format!("10.42.0.{last}")))
    })
}

#[test]
fn ns_se_03_certified_nodes_authenticate_each_other_with_no_authority_in_reach() -> Result<()> {
    let net = Net::new()?;
    let (mut alice, mut bob) = (net.pinned("alice", 2)?, net.pinned("bob", 3)?);
    let blob = net.blob(&[2]);
    // Nothing is left of the authority but what the members were given.
    std::fs::remove_dir_all(net.group.path("ca"))?;
    alice.start("up", &blob)?;
    bob.start("up", &blob)?;
    bob.reach("10.42.0.2")?;
    let peer = bob.peer(&alice.id()?)?.context("a session")?;
    ensure!(peer["user"] == "alice" && peer["path"] == "direct", "{peer}");
    Ok(())
}

#[test]
fn ns_se_06_the_status_of_a_link_shows_user_and_group() -> Result<()> {
    let net = Net::new()?;
    let (alice, bob) = net.linked_pair()?;
    for (node, peer) in [(&alice, &bob), (&bob, &alice)] {
        let (id, user) = (peer.id()?, peer.name());
        let link = node.peer(&id)?.context("a session")?;
        ensure!(link["user"] == user && link["group"] == "team", "{link}");
        let table = String::from_utf8(node.question(&["peers"]).output()?.stdout)?;
        let row = table.lines().find(|row| row.starts_with(&id)).context("a row")?;
        let columns: Vec<_> = row.split_whitespace().collect();
        ensure!(columns[1..4] == ["private", user, "team"], "{table}");
        let logged = format!("user=\"{user}\" group=\"team\"");
        let log = node.log();
        let up = log.lines().find(|line| line.contains("link up")).context("a line")?;
        ensure!(up.contains(&logged), "{up}");
    }
    Ok(())
}
