//! A revocation told to one daemon reaches the others, which have no file of it (checklist RV-04, RV-05).

mod common;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use common::net::{Net, PATIENCE, run, took};
use common::text;
use lab::eventually;

#[test]
fn ns_rv_04_an_announced_revocation_reaches_every_member_and_is_acknowledged() -> Result<()> {
    let net = Net::new()?;
    let (mut alice, mut bob, mut carol) =
        (net.pinned("alice", 2)?, net.pinned("bob", 3)?, net.pinned("carol", 4)?);
    let blob = net.blob(&[2]);
    for node in [&mut alice, &mut bob, &mut carol] {
        node.start("up", &blob)?;
    }
    carol.reach("10.42.0.3")?;
    carol.reach("10.42.0.2")?;
    let bobs = bob.id()?;
    ensure!(carol.peer(&bobs)?.is_some(), "carol and bob are not linked");

    let first_blob = net.group.path("first-blob.yaml");
    std::fs::copy(&blob, &first_blob)?;
    net.group.revoke("bob");
    let (notices, blob) = (net.group.path("ca/notices.txt"), net.blob(&[2]));
    let told = alice.ask(&["notices", "announce", text(&notices), "--blob", text(&blob)])?;
    ensure!(told["number"] == 1 && told["generation"] == 2, "{told}");
    took("a member that was told over the overlay cut the revoked one after", || {
        eventually(PATIENCE, || {
            ensure!(carol.peer(&bobs)?.is_none(), "still linked");
            Ok(())
        })
    })?;
    bob.wait_for_log("revoked by notice 1")?;
    took("the next group secret was there after", || {
        carol.wait_for_log("group secret taken").context("no new secret")
    })?;
    eventually(PATIENCE, || {
        let heard = alice.ask(&["notices", "status"])?;
        ensure!(heard["number"] == 1 && heard["complete"] == true, "{heard}");
        ensure!(heard["live"] == 2 && heard["acknowledged"] == 2, "{heard}");
        ensure!(heard["last_at"].as_u64().is_some(), "{heard}");
        Ok(())
    })?;
    // It holds without the file: what came over the overlay is kept, the new secret too.
    carol.kill()?;
    carol.start("up", &first_blob)?;
    carol.reach("10.42.0.2")?;
    let status = carol.ask(&["status"])?;
    ensure!(status["notices"] == 1, "forgotten: {status}");
    ensure!(!bob.log().contains("group secret taken"), "bob has the new secret");
    Ok(())
}

#[test]
#[ignore = "takes two minutes: links are subscribed to when they have lasted one"]
fn ns_rv_03_who_links_a_member_subscribes_to_its_end_and_is_told_by_the_announcer() -> Result<()> {
    /// A link lasts a minute before, and then some seconds of chance.
    const SUBSCRIBED: Duration = Duration::from_secs(120);
    let net = Net::new()?;
    let (mut alice, mut bob, mut carol) =
        (net.pinned("alice", 2)?, net.pinned("bob", 3)?, net.pinned("carol", 4)?);
    let blob = net.blob(&[2]);
    for node in [&mut alice, &mut bob, &mut carol] {
        node.start("up", &blob)?;
    }
    carol.reach("10.42.0.3")?;
    took("both peers were subscribed to after", || {
        eventually(SUBSCRIBED, || {
            let subscriptions = carol.metric("warren_subscriptions")?;
            ensure!(subscriptions == 2.0, "{subscriptions} subscriptions");
            Ok(())
        })
    })?;
    let bobs = bob.id()?;
    net.group.revoke("bob");
    let (notices, blob) = (net.group.path("ca/notices.txt"), net.blob(&[2]));
    // The notice names a user: whose node that is has to be said.
    let told = ["notices", "announce", text(&notices), "--blob", text(&blob), "--victim", &bobs];
    alice.ask(&told)?;
    eventually(PATIENCE, || {
        ensure!(carol.metric("warren_news_notified_total")? >= 1.0, "was not told");
        ensure!(carol.peer(&bobs)?.is_none(), "still linked");
        Ok(())
    })?;
    ensure!(carol.metric("warren_news_refused_total")? == 0.0, "what came was not good");
    Ok(())
}

#[test]
fn ns_rv_05_a_member_put_out_while_it_was_away_says_so_and_is_not_ready() -> Result<()> {
    const READY: &str = "http://127.0.0.1:9415/readyz";
    let net = Net::new()?;
    let (alice, bob) = net.linked_pair()?;
    run(bob.host.command("curl").args(["-s", "-f", READY]))?;
    bob.host.set_loss_percent(100)?;
    net.group.revoke("bob");
    let (notices, newer) = (net.group.path("ca/notices.txt"), net.blob(&[2]));
    alice.ask(&["notices", "announce", text(&notices), "--blob", text(&newer)])?;
    bob.host.set_loss_percent(0)?;
    // Data that nobody answers has it look whether the peer still lives, and dial again.
    ensure!(bob.ping("10.42.0.2").is_err(), "bob is still in");
    took("it says that it was put out after", || {
        eventually(PATIENCE, || {
            let trouble = bob.status("trouble")?;
            ensure!(trouble.contains("revoked by notice 1"), "{trouble}");
            Ok(())
        })
        .with_context(|| bob.log())
    })?;
    ensure!(bob.ask(&["status"])?["joined"] == false, "a place in the ring");
    let probe = ["-s", "-o", "/dev/null", "-w", "%{http_code}", READY];
    ensure!(run(bob.host.command("curl").args(probe))? == "503", "ready");
    Ok(())
}
