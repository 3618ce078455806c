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
/// For so long.
const SECONDS: u32 = 20;
/// Nodes that may be on their way at the fixed rate: ten seconds behind, and it is lost.
const WAITING_MAX: usize = 256;
/// How often the disk alone is timed, and the bytes of a small commit.
const SYNCS: usize = 300;
const COMMIT_LEN: usize = 16 * 1024;
/// Enrolments at full speed, and how many at once.
const FULL: (usize, usize) = (800, 16);

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

    let disk = (0..SYNCS).map(|_| sync(server.folder.path())).collect();
    eprintln!("{RATE} enrolments a second, for {SECONDS} s");
    let begun = Instant::now();
    let due = |n: usize| begun + Duration::from_secs(1) / RATE * n as u32;
    let paced = run((RATE * SECONDS) as usize, WAITING_MAX, |n| {
        thread::sleep(due(n).saturating_duration_since(Instant::now()));
        enrol(n);
        due(n).elapsed()
    });
    let kept = paced.len() as f64 / begun.elapsed().as_secs_f64();

    let (count, at_once) = FULL;
    eprintln!("{count} enrolments, {at_once} at once");
    let begun = Instant::now();
    let full = run(count, at_once, |n| {
        let asked = Instant::now();
        enrol(n);
        asked.elapsed()
    });
    let rate = full.len() as f64 / begun.elapsed().as_secs_f64();
    println!(
        "{}",
        json!({
            "disk": result(f64::NAN, disk),
            "fixed_rate": result(kept, paced),
            "full_speed": result(rate, full),
        })
    );
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

/// Does a job so many times, so many at once; returns how long each took.
fn run(count: usize, at_once: usize, job: impl Fn(usize) -> Duration + Sync) -> Vec<Duration> {
    let next = AtomicUsize::new(0);
    let work = || {
        let turns = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
        turns.take_while(|n| *n < count).map(&job).collect::<Vec<_>>()
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..at_once).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("no enrolment fails")).collect()
    })
}

fn result(rate: f64, mut times: Vec<Duration>) -> Value {
    times.sort_unstable();
    let milliseconds = |part: f64| {
        let place = (times.len() as f64 * part) as usize;
        times[place.min(times.len() - 1)].as_secs_f64() * 1e3
    };
    json!({
        "count": times.len(),
        "per_second": rate,
        "p50_ms": milliseconds(0.5),
        "p99_ms": milliseconds(0.99),
        "most_ms": milliseconds(1.0),
    })
}
