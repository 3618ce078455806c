//! How fast the service is on SQLite: enrolments a second, and pages of a group of 10,000.

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{NOW, by, enrol, group, site, token, user};
use group::model::{Approval, Policies, RequestState};
use group::service::Service;
use group::store::{Cursor, Page};
use pki::Revoked;
use tokio::sync::Semaphore;

/// Members of the large group.
const MEMBERS: usize = 10_000;
/// Nodes that ask at the same time.
const AT_ONCE: usize = 16;
/// Revocations in its chain.
const NOTICES: usize = 200;
/// A page may take this long.
const PAGE_MAX: Duration = Duration::from_millis(200);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes 10 minutes"]
async fn ten_thousand_members_enrol_at_a_hundred_a_second_and_every_page_is_quick() {
    let site = site().await;
    let service = site.service.clone();
    let ana = user(&service, "ana").await;
    let policies = Policies { approval: Approval::Automatic, ..Policies::default() };
    group(&service, ana, "team", policies).await;
    let mut tokens = Vec::new();
    for turn in 0..MEMBERS {
        let member = user(&service, &format!("user{turn:05}")).await;
        service.ask(&by(member), "team", "works here".to_owned(), NOW).await.expect("may ask");
        tokens.push(token(&service, member, "team").await);
    }

    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let started = Instant::now();
    let mut work = tokio::task::JoinSet::new();
    for blob in tokens {
        let (service, turn) = (service.clone(), turns.clone().acquire_owned().await);
        work.spawn(async move {
            let _turn = turn;
            let begun = Instant::now();
            let (_, grant) = enrol(&service, &blob, "team", NOW).await.expect("within quota");
            (begun.elapsed(), grant.certificate.unverified().expect("own output").node_id)
        });
    }
    let enrolled = work.join_all().await;
    let rate = MEMBERS as f64 / started.elapsed().as_secs_f64();
    let mut times: Vec<_> = enrolled.iter().map(|(time, _)| *time).collect();
    times.sort_unstable();
    let (p50, p99) = (times[MEMBERS / 2], times[MEMBERS * 99 / 100]);
    println!("enrolments: {rate:.0}/s, p50 {p50:?}, p99 {p99:?}, {AT_ONCE} at once");

    for (_, node) in enrolled.iter().take(NOTICES) {
        let what = Revoked::Node(*node);
        service.revoke(&by(ana), "team", what, "lost".to_owned(), NOW).await.expect("decides");
    }
    let slowest = pages(&service, ana).await;
    let blob = token(&service, ana, "team").await;
    let begun = Instant::now();
    let found = service.notices(&blob, NOTICES as u64 - 1).await.expect("of the group");
    println!(
        "notices after {}: {} lines, {:?}",
        NOTICES - 1,
        found.text.lines().count(),
        begun.elapsed()
    );
    assert_eq!(found.text.lines().count(), 2, "the head and the new part only");
    assert!(rate >= 100.0, "{rate:.0} enrolments a second");
    assert!(p99 < Duration::from_millis(500), "p99 {p99:?}");
    assert!(slowest < PAGE_MAX, "slowest page {slowest:?}");
}

/// Reads the first, a middle and a large page of every list; returns the longest time.
async fn pages(service: &Service, ana: group::model::UserId) -> Duration {
    let caller = by(ana);
    let mut slowest = Duration::ZERO;
    let middle = |text: &str| Some(Cursor(text.to_owned()));
    for (name_after, number_after) in [(None, None), (middle("user05000"), middle("15000"))] {
        for limit in [50, 500] {
            let by_name = Page::new(name_after.clone(), limit);
            let by_number = Page::new(number_after.clone(), limit);
            let mut note = |what: &str, begun: Instant| {
                let time = begun.elapsed();
                println!("{what}, {limit} rows from {number_after:?}: {time:?}");
                slowest = slowest.max(time);
            };
            let begun = Instant::now();
            service.group(&caller, "team").await.expect("a member");
            note("group", begun);
            let begun = Instant::now();
            service.members(&caller, "team", &by_name).await.expect("a member");
            note("members", begun);
            let begun = Instant::now();
            service.nodes(&caller, "team", None, &by_number).await.expect("a member");
            note("nodes", begun);
            let begun = Instant::now();
            let state = RequestState::Approved;
            service.requests(&caller, "team", state, &by_number).await.expect("decides");
            note("requests", begun);
            let begun = Instant::now();
            service.tokens(&caller, "team", None, &by_number).await.expect("decides");
            note("tokens", begun);
            let begun = Instant::now();
            service.revocations(&caller, "team", &by_number).await.expect("a member");
            note("revocations", begun);
            let begun = Instant::now();
            service.audit(&caller, "team", None, &by_number).await.expect("decides");
            note("audit log", begun);
            let begun = Instant::now();
            let kind = Some("revoked");
            service.audit(&caller, "team", kind, &by_number).await.expect("decides");
            note("audit log of one kind", begun);
            let begun = Instant::now();
            service.groups(&caller, false, &by_name).await.expect("is logged in");
            note("groups", begun);
        }
    }
    slowest
}
