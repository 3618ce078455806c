//! How fast `warren-groupd` enrols on SQLite, as its nodes see it: the real program, over TLS.
//!
//! Two loads. At a fixed rate nodes come when they come, whether or not the service keeps up, and each is timed from
//! when it was due: so a pause of the service counts against everybody who came in it. At full speed so many nodes ask
//! at once, and each next one when one is done. An enrolment is two requests, each over a connection of its own and on
//! disk before it is answered: the salt of the key, then the certificate.
//!
//! The disk alone is timed before, beside which to read the rest.
//!
//! Prints the results as one line of JSON on standard output; `cargo xtask bench group` keeps them.

#[path = "../tests/served/client.rs"]
#[allow(dead_code)]
mod client;
#[path = "../tests/served/server.rs"]
#[allow(dead_code)]
mod server;

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use client::Client;
use pki::enrolment::{CertificateRequest, Grant, KeyAnswer, KeyRequest, Message};
use pki::{Handed, PrivateKey, Request};
use serde_json::{Value, json};
use server::Server;

/// Members, each with a token: no more may sign up from one network at once.
const MEMBERS: usize = 30;
/// Enrolments a second that are asked for.
const RATE: u32 = 100;
/// For so long in each round.
const SECONDS: u32 = 10;
/// How often everything is measured: the machine is shared, and whoever reads takes the middle.
const ROUNDS: usize = 3;
/// Nodes that may be on their way at the fixed rate: ten seconds behind, and it is lost.
const WAITING_MAX: usize = 256;
/// How often the disk alone is timed, and the bytes of a small commit.
const SYNCS: usize = 300;
const COMMIT_LEN: usize = 16 * 1024;
/// Enrolments at full speed, and how many at once.
const FULL: (usize, usize) = (500, 16);

fn main() {
    // Cargo runs benchmarks along with tests where it is asked for all targets; this one has no tests.
    if !std::env::args().any(|word| word == "--bench") {
        return;
    }
    let server = Server::start_logging("warn", "");
    let tokens = group(&server);
    let client = server.client();
    let enrol = |n: usize| enrol(client.clone(), &tokens[n % tokens.len()]);
    (0..8).for_each(enrol);

    let mut rounds = [const { Vec::new() }; 3];
    for round in 1..=ROUNDS {
        eprintln!("round {round} of {ROUNDS}: {RATE} enrolments a second, then {FULL:?} at once");
        let disk = run(SYNCS, 1, |_| sync(server.folder.path()));
        let loads = [disk, at_fixed_rate(&enrol), at_full_speed(&enrol)];
        rounds.iter_mut().zip(loads).for_each(|(rounds, load)| rounds.push(load));
    }
    let [disk, fixed_rate, full_speed] = rounds;
    let all = json!({ "disk": disk, "fixed_rate": fixed_rate, "full_speed": full_speed });
    println!("{all}");
}

/// Nodes come when they come.
fn at_fixed_rate(enrol: &(impl Fn(usize) + Sync)) -> Value {
    let begun = Instant::now();
    run((RATE * SECONDS) as usize, WAITING_MAX, |n| {
        let due = begun + Duration::from_secs(1) / RATE * n as u32;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        enrol(n);
        due.elapsed()
    })
}

/// So many are always on their way.
fn at_full_speed(enrol: &(impl Fn(usize) + Sync)) -> Value {
    let (count, at_once) = FULL;
    run(count, at_once, |n| {
        let asked = Instant::now();
        enrol(n);
        asked.elapsed()
    })
}

/// Writes what a commit writes, and waits until it is on disk: what no enrolment can go below, twice.
fn sync(folder: &Path) -> Duration {
    let mut file =
        File::options().append(true).create(true).open(folder.join("sync")).expect("opens");
    file.write_all(&[0; COMMIT_LEN]).expect("writes");
    let asked = Instant::now();
    file.sync_data().expect("the disk works");
    asked.elapsed()
}

/// A group with members; returns a token of each.
fn group(server: &Server) -> Vec<String> {
    let mut ana = server.client().sign_up("ana");
    let policies = json!({ "approval": "automatic", "quota": 1000 });
    let group = json!({ "name": "team", "subnet": "10.42.0.0/16", "policies": policies });
    ana.post("/api/v1/groups", &group).expect(201);
    let token = |n| {
        let mut member = server.client().sign_up(&format!("user{n}"));
        member.post("/api/v1/groups/team/requests", &json!({ "reason": "works here" })).expect(201);
        let blob = member.post("/api/v1/groups/team/blob", &json!({})).expect(200);
        let handed = Handed::parse(&blob.body).expect("is a blob");
        handed.enrolment().expect("says where to ask").token.expose().to_string()
    };
    (0..MEMBERS).map(token).collect()
}

/// Enrols a new node.
fn enrol(mut client: Client, token: &str) {
    client.bearer = Some(token.to_owned());
    let mut ask = |path: &str, message: &[u8]| {
        let text = std::str::from_utf8(message).expect("is JSON");
        client.send("POST", path, "application/json", text).expect(200).body
    };
    let key = PrivateKey::generate();
    let named = ask("/enrol/v1/key", &KeyRequest::new(&key, None).to_json());
    let named = KeyAnswer::from_json(named.as_bytes()).expect("a name");
    let request = Request::for_node(&key, "team", named.node_id).expect("writes");
    let grant = ask("/enrol/v1/certificate", &CertificateRequest { request }.to_json());
    Grant::from_json(grant.as_bytes()).expect("a grant");
}

/// Does a job so many times, so many at once; tells how long it took each time.
fn run(count: usize, at_once: usize, job: impl Fn(usize) -> Duration + Sync) -> Value {
    let (begun, next) = (Instant::now(), AtomicUsize::new(0));
    let work = || {
        let turns = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
        turns.take_while(|n| *n < count).map(&job).collect::<Vec<_>>()
    };
    let mut times: Vec<Duration> = thread::scope(|scope| {
        let workers: Vec<_> = (0..at_once).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("no job fails")).collect()
    });
    let rate = count as f64 / begun.elapsed().as_secs_f64();
    times.sort_unstable();
    let milliseconds = |part: f64| {
        let place = (count as f64 * part) as usize;
        times[place.min(count - 1)].as_secs_f64() * 1e3
    };
    json!({
        "per_second": rate,
        "p50_ms": milliseconds(0.5),
        "p99_ms": milliseconds(0.99),
        "most_ms": milliseconds(1.0),
    })
}
