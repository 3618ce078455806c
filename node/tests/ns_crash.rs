//! Crashes: whenever a node is killed, its next start finds key, certificate and address whole.

mod common;

use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use common::net::{Net, Node, run};
use common::text;

const ROUNDS: u32 = 20;

/// Moments of crashes at random, by a seed that is printed.
struct Moments(u64);

impl Moments {
    fn new() -> Result<Self> {
        let seed = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() as u64;
        println!("seed {seed}");
        Ok(Self(seed))
    }

    /// A time below `limit`, by the generator of Knuth's MMIX.
    fn next(&mut self, limit: Duration) -> Duration {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        limit.mul_f64((self.0 >> 11) as f64 / (1u64 << 53) as f64)
    }
}

#[test]
fn ns_ad_05_a_node_killed_while_it_starts_keeps_key_and_address() -> Result<()> {
    let net = Net::new()?;
    let blob = net.blob(&[2]);
    let mut others = [net.node("boot", 2, &[])?, net.node("dan", 5, &[])?];
    for node in &mut others {
        node.start("bootstrap", &blob)?;
    }
    others.iter().try_for_each(Node::wait_joined)?;
    let mut bob = net.node("bob", 3, &[])?;
    let key = std::fs::read(bob.member.state.join("key.pem"))?;
    let begun = Instant::now();
    bob.start("up", &blob)?;
    let (id, ipv4) = (bob.id()?, bob.ipv4()?);
    // On this machine a start takes somewhat less until everything is written.
    let start = begun.elapsed();
    bob.kill()?;

    let mut moments = Moments::new()?;
    for _ in 0..ROUNDS {
        let moment = moments.next(start);
        let mut daemon = bob.host.spawn(bob.command("up", &blob, &[]))?;
        thread::sleep(moment);
        ensure!(daemon.is_running()?, "{moment:?}: ended by itself: {}", daemon.log());
        daemon.kill()?;
        daemon.wait_exit(common::net::PATIENCE)?;
        ensure!(!daemon.log().contains("ignored"), "{moment:?}: {}", daemon.log());
    }
    bob.start("up", &blob)?;
    ensure!(bob.id()? == id && bob.ipv4()? == ipv4);
    ensure!(std::fs::read(bob.member.state.join("key.pem"))? == key);
    ensure!(!bob.log().contains("ignored"), "{}", bob.log());
    bob.reach(&bob.ipv6()?)
}

#[test]
fn ns_wb_15_a_request_that_is_killed_leaves_a_whole_key_or_none() -> Result<()> {
    let net = Net::new()?;
    let request = |state: &Path| {
        let mut command = common::warren(&["request", "--state-dir", text(state)]);
        command.stdout(Stdio::null());
        command
    };
    let begun = Instant::now();
    run(&mut request(&net.group.path("undisturbed")))?;
    let (taken, mut moments) = (begun.elapsed(), Moments::new()?);
    for round in 0..ROUNDS {
        let moment = moments.next(taken);
        let state = net.group.path(&format!("state{round}"));
        let mut child = request(&state).spawn()?;
        thread::sleep(moment);
        child.kill()?;
        child.wait()?;
        let key = std::fs::read_to_string(state.join("key.pem")).ok();
        run(&mut request(&state))?;
        let now = std::fs::read_to_string(state.join("key.pem"))?;
        ensure!(key.is_none_or(|key| key == now), "{moment:?}: another key");
    }
    Ok(())
}
