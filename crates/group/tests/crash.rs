//! `kill -9` at random points of a workload of joins, approvals and revocations: nothing that was
//! acknowledged is lost, no serial comes twice, the chain of notices is whole.
//!
//! The workload is a process of its own: this test program, started again. It writes a line once a
//! command has returned; what it wrote before it was killed is what a client could have seen.

mod common;

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{NOW, admit, by, config, enrol, token, user};
use group::model::{Caller, Policies, UserId};
use group::service::Service;
use group::store::Page;
use pki::Revoked;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Tells the program that it is the workload, and where.
const FOLDER: &str = "WARREN_CRASH_FOLDER";
/// Kills of one database before a new one begins, so that looking at it stays quick.
const KILLS_PER_DATABASE: usize = 25;
/// A workload is killed when it has said so much, whatever time that takes the machine,
const WORDS_MAX: usize = 12;
/// and a part of what it does next, in milliseconds.
const PAUSE_MS_MAX: u64 = 20;

#[test]
fn a_killed_service_loses_nothing_that_was_acknowledged() {
    kill_at_random(30, 4);
}

#[test]
#[ignore = "takes 10 minutes"]
fn a_service_killed_a_thousand_times_loses_nothing_that_was_acknowledged() {
    kill_at_random(1000, 9);
}

/// The process that gets killed; by itself it does nothing.
#[test]
fn workload_for_a_process_that_gets_killed() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let runtime = tokio::runtime::Runtime::new().expect("starts");
    runtime.block_on(work(Path::new(&folder)));
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // One write, so that a kill does not cut the line.
    out.write_all(format!("@{line}\n").as_bytes()).expect("the parent reads");
    out.flush().expect("the parent reads");
}

/// Joins, approvals, enrolments, revocations, removals, until somebody ends it.
async fn work(folder: &Path) {
    let service = Service::open(config(folder)).await.expect("opens");
    let ana = match service.user_named("ana").await.expect("reads") {
        Some(found) => found.id,
        None => user(&service, "ana").await,
    };
    if service.group_summary(&by(ana), "team").await.is_err() {
        common::group(&service, ana, "team", Policies::default()).await;
    }
    say("ready");
    for turn in 0.. {
        let name = format!("u{}x{turn}", std::process::id());
        let member = user(&service, &name).await;
        admit(&service, ana, member, "team").await;
        say(&format!("member {name}"));
        let blob = token(&service, member, "team").await;
        let (_, grant) = enrol(&service, &blob, "team", NOW).await.expect("within quota");
        let issued = grant.certificate.unverified().expect("own output");
        say(&format!("serial {} {}", issued.serial, issued.node_id));
        if turn % 3 == 1 {
            let what = Revoked::Node(issued.node_id);
            let number = service.revoke(&by(ana), "team", what, String::new(), NOW).await;
            say(&format!("revoked {} {}", number.expect("may"), issued.node_id));
        }
        if turn % 3 == 2 {
            say(&format!("removing {name}"));
            let number = service.remove(&by(ana), "team", member, String::new(), NOW).await;
            say(&format!("removed {name} {}", number.expect("may").expect("has a node")));
        }
    }
}

/// What a client of one database has been told.
#[derive(Default)]
struct Told {
    members: HashSet<String>,
    /// Was to be removed, and nobody knows whether it was.
    leaving: HashSet<String>,
    serials: Vec<(String, String)>,
    notices: Vec<(u64, String)>,
}

impl Told {
    fn take(&mut self, line: &str) {
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["member", name] => drop(self.members.insert(name.to_owned())),
            ["serial", serial, node] => self.serials.push((serial.to_owned(), node.to_owned())),
            ["revoked", number, node] => {
                self.notices.push((number.parse().expect("a number"), node.to_owned()));
            }
            ["removing", name] => drop(self.leaving.insert(name.to_owned())),
            ["removed", name, number] => {
                self.members.remove(name);
                self.notices.push((number.parse().expect("a number"), name.to_owned()));
            }
            _ => {}
        }
    }
}

fn kill_at_random(kills: usize, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let runtime = tokio::runtime::Runtime::new().expect("starts");
    let mut told_in_all = 0;
    for _ in 0..kills.div_ceil(KILLS_PER_DATABASE) {
        let folder = tempfile::tempdir().expect("a scratch directory");
        let mut told = Told::default();
        for _ in 0..KILLS_PER_DATABASE.min(kills) {
            let words = rng.random_range(0..WORDS_MAX);
            let pause = Duration::from_millis(rng.random_range(0..PAUSE_MS_MAX));
            run_and_kill(folder.path(), words, pause, &mut told);
        }
        runtime.block_on(verify(folder.path(), &told));
        told_in_all += told.serials.len();
    }
    println!("{kills} kills, {told_in_all} certificates acknowledged (seed {seed})");
    assert!(told_in_all > kills / 10, "the workload hardly ran: {told_in_all} certificates");
}

fn run_and_kill(folder: &Path, words: usize, pause: Duration, told: &mut Told) {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "workload_for_a_process_that_gets_killed", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut lines = BufReader::new(child.stdout.take().expect("is piped")).lines();
    let said = |line: String| line.split_once('@').map(|(_, said)| said.to_owned());
    let mut first = lines.by_ref().map(|line| line.expect("is text")).filter_map(said);
    assert_eq!(first.next().as_deref(), Some("ready"), "the workload does not start");
    first.take(words).for_each(|line| told.take(&line));
    let reader = std::thread::spawn(move || {
        lines.map_while(Result::ok).filter_map(said).collect::<Vec<String>>()
    });
    std::thread::sleep(pause);
    child.kill().expect("it runs until it is killed");
    let ended = child.wait().expect("is ours");
    assert_eq!(ended.signal(), Some(9), "the workload ended by itself: {ended}");
    for line in reader.join().expect("reads") {
        told.take(&line);
    }
}

async fn verify(folder: &Path, told: &Told) {
    let service = Service::open(config(folder)).await.expect("opens after every kill");
    assert_eq!(service.check().await.expect("reads"), Vec::<String>::new());
    let operator = Caller::operator();

    let mut members = HashSet::new();
    let mut page = Page::new(None, 500);
    loop {
        let paged = service.members(&operator, "team", &page).await.expect("reads");
        members.extend(paged.items.into_iter().map(|member| member.user.name));
        let Some(next) = paged.next else { break };
        page = Page::new(Some(next), 500);
    }
    let lost: Vec<_> = told.members.difference(&members).collect();
    assert!(lost.iter().all(|name| told.leaving.contains(*name)), "members lost: {lost:?}");

    let mut serials = HashSet::new();
    for (serial, node) in &told.serials {
        assert!(serials.insert(serial), "serial {serial} came twice");
        let found = service.find_nodes(&operator, "team", node).await.expect("reads");
        let kept = found.first().and_then(|node| node.serial).map(|serial| serial.to_string());
        assert_eq!(kept.as_ref(), Some(serial), "certificate of node {node}");
    }

    let mut numbers = HashSet::new();
    let newest = service.group(&operator, "team").await.expect("reads").notices;
    for (number, what) in &told.notices {
        assert!(numbers.insert(number), "notice {number} came twice");
        assert!(*number <= newest, "notice {number} about {what} is lost");
    }
    let id: Option<UserId> = service.user_named("ana").await.expect("reads").map(|ana| ana.id);
    assert!(id.is_some());
    service.close().await;
}
