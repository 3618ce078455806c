//! The last act: a member is revoked at the service, and the time is taken until nobody accepts its node.
//!
//! The node is kept from the service, or it would end by itself and show nothing: it is the others that have to put it
//! out. It pings all of them without pause; the last answer that it gets is the end of its membership.

use super::group::{GROUP, Group, Place};
use super::screen::Screen;
use super::table::{self, Row};
use anyhow::{Context, Result, ensure};
use lab::{Daemon, Node, eventually};
use std::time::{Duration, Instant, SystemTime};

/// How long it may take until nobody accepts a node any more, on a busy machine.
const CUT_MAX: Duration = Duration::from_secs(10);
/// How long nothing is answered before it counts as the end.
const SILENCE: Duration = Duration::from_secs(1);
/// Pause between two looks, and between two pings.
const PAUSE: Duration = Duration::from_millis(20);
/// Keeps a host from the service, both ways.
const NO_SERVICE: &str = "table inet no_service {
    chain arriving { type filter hook input priority 0; tcp sport 8443 drop; }
    chain leaving { type filter hook output priority 0; tcp dport 8443 drop; }
}";

/// Revokes the last member, and shows how long it was still accepted.
pub fn revoke_a_member(group: &mut Group, screen: &mut Screen) -> Result<()> {
    let (ana, eva) = group.accounts.first().zip(group.accounts.last()).context("no accounts")?;
    let victim = group.nodes.last().context("no nodes")?;
    let name = victim.name();
    screen.title(&format!("{} revokes {name}, whose node is kept from the service", ana.name));
    let (own, others): (Vec<Place>, Vec<Place>) =
        group.running().into_iter().partition(|place| place.name == name);
    let id = victim.id()?;
    ensure!(own.len() == 1, "its daemon does not run");
    victim.host.nft(NO_SERVICE)?;
    let pings = others.iter().filter(|place| place.is_member).map(|place| ping(victim, place));
    let pings = pings.collect::<Result<Vec<_>>>()?;

    let (clicked, wall) = (Instant::now(), SystemTime::now());
    let notice = group.service.revoke(ana, GROUP, eva)?;
    let answered = clicked.elapsed();
    eventually_soon(|| {
        for place in &others {
            let peers = table::peers(place)?;
            ensure!(!peers.contains(&id), "{} still has a link with {name}", place.name);
        }
        Ok(())
    })?;
    let cut = clicked.elapsed();
    let since = |at: SystemTime| at.duration_since(wall).unwrap_or_default();
    let last = eventually_soon(|| {
        let last = pings.iter().filter_map(last_answer).max().context("no ping was answered")?;
        ensure!(last.elapsed()? > SILENCE, "{name} is still answered");
        Ok(since(last))
    })?;
    screen.passed(&format!(
        "the service answered after {:.2} s; the last ping of {name} was answered after {:.2} s, \
         no node had a link with it after {:.2} s",
        answered.as_secs_f64(),
        last.as_secs_f64(),
        cut.as_secs_f64(),
    ));
    let known = eventually(CUT_MAX, || {
        let known = group.service.revocation(ana, GROUP, notice)?["known_by"].take();
        let (live, knowing) = (known["live"].as_u64(), known["acknowledged"].as_u64());
        ensure!(live == Some(others.len() as u64) && live == knowing, "who knows it: {known}");
        Ok(others.len())
    })?;
    screen.passed(&format!(
        "the page of the revocation says: known by {known} of {known} live nodes"
    ));
    Ok(())
}

/// A program that pings without pause, once the first ping was answered.
fn ping(from: &Node, to: &Place) -> Result<Daemon> {
    let address = Row::of(to).ipv4.with_context(|| format!("{} has no address", to.name))?;
    let mut ping = from.host.command("ping");
    ping.args(["-n", "-D", "-i", &PAUSE.as_secs_f64().to_string(), &address.to_string()]);
    let ping = from.host.spawn(ping)?;
    eventually(CUT_MAX, || last_answer(&ping).context("no ping is answered"))?;
    Ok(ping)
}

/// When the last answer came: `[seconds since 1970] 64 bytes from …`.
fn last_answer(ping: &Daemon) -> Option<SystemTime> {
    let log = ping.log();
    let line = log.lines().rfind(|line| line.contains("bytes from"))?;
    let seconds: f64 = line.strip_prefix('[')?.split(']').next()?.parse().ok()?;
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs_f64(seconds))
}

/// Repeats an attempt until it succeeds, with less pause than tests need.
fn eventually_soon<T>(mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    let began = Instant::now();
    loop {
        match attempt() {
            Err(_) if began.elapsed() < CUT_MAX => std::thread::sleep(PAUSE),
            result => return result,
        }
    }
}
