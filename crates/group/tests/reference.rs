//! Random commands, given to the service and to a model of a few lines: the same answers, the same
//! members, the same chain, and nothing inconsistent in the tables.

mod common;

use common::postgres::Postgres;
use common::{NOW, Site, by, code, named, site, site_at, stranger, user};
use group::model::{Policies, RequestId, Role, TokenOptions, UserId};
use group::service::{CertificateAnswer, Service};
use group::store::Page;
use pki::{NodeId, Revoked};
use proptest::prelude::*;
use proptest::strategy::ValueTree;

const USERS: usize = 4;
const NAMES: [&str; USERS] = ["ana", "bob", "eve", "zoe"];
const QUOTA: usize = 2;
/// Salts per member and day: four quotas.
const DRAWS: usize = 8;

#[derive(Clone, Debug)]
enum Op {
    Ask(usize),
    Withdraw(usize),
    Judge(usize, usize, bool),
    Role(usize, usize, bool),
    Remove(usize, usize),
    Leave(usize),
    Enrol(usize),
    Revoke(usize, usize),
    RevokeUser(usize, usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Outside,
    Asked,
    Denied,
    Member,
    Administrator,
}
use Standing::*;

struct Node {
    owner: usize,
    id: NodeId,
    live: bool,
    certified: bool,
    revoked: bool,
}

/// What must come of each command.
struct Reference {
    standing: [Standing; USERS],
    asked_before: [bool; USERS],
    nodes: Vec<Node>,
    notices: u64,
}

impl Reference {
    fn decides(&self, user: usize) -> bool {
        self.standing[user] == Administrator
    }

    fn is_member(&self, user: usize) -> bool {
        matches!(self.standing[user], Member | Administrator)
    }

    fn is_last(&self, user: usize) -> bool {
        let administrators = self.standing.iter().filter(|s| **s == Administrator).count();
        self.decides(user) && administrators == 1
    }

    fn live(&self, user: usize) -> usize {
        self.nodes.iter().filter(|node| node.owner == user && node.live).count()
    }

    fn drawn(&self, user: usize) -> usize {
        self.nodes.iter().filter(|node| node.owner == user).count()
    }

    fn part(&mut self, user: usize) {
        self.standing[user] = Outside;
        let of_user = |node: &&mut Node| node.owner == user && node.live;
        let mut certified = false;
        for node in self.nodes.iter_mut().filter(of_user) {
            node.live = false;
            certified |= node.certified;
        }
        self.notices += u64::from(certified);
    }
}

/// The service, and the model beside it.
struct Pair {
    site: Site,
    users: Vec<UserId>,
    requests: [Option<RequestId>; USERS],
    reference: Reference,
}

impl Pair {
    async fn new(site: Site) -> Self {
        let mut users = Vec::new();
        for name in NAMES {
            users.push(user(&site.service, name).await);
        }
        let policies = Policies { quota: QUOTA as u32, ..Policies::default() };
        common::group(&site.service, users[0], "team", policies).await;
        let reference = Reference {
            standing: [Administrator, Outside, Outside, Outside],
            asked_before: [false; USERS],
            nodes: Vec::new(),
            notices: 0,
        };
        Self { site, users, requests: [None; USERS], reference }
    }

    async fn step(&mut self, op: &Op) {
        let Self { site, users, requests, reference } = self;
        let service = &site.service;
        let text = String::new;
        match *op {
            Op::Ask(u) => {
                let expected = match reference.standing[u] {
                    Member | Administrator => "already_member",
                    Asked => "already_asked",
                    Outside | Denied => "",
                };
                let asked = service.ask(&by(users[u]), "team", text(), NOW).await;
                let Some((id, _)) = agree(asked, expected, op) else { return };
                requests[u] = Some(id);
                reference.standing[u] = Asked;
                reference.asked_before[u] = true;
            }
            Op::Withdraw(u) => {
                let Some(id) = requests[u] else { return };
                let open = reference.standing[u] == Asked;
                let expected = if open { "" } else { "request_decided" };
                let done = service.withdraw(&by(users[u]), "team", id, NOW).await;
                if agree(done, expected, op).is_some() {
                    reference.standing[u] = Outside;
                }
            }
            Op::Judge(a, u, approve) => {
                let Some(id) = requests[u] else { return };
                let expected = match (reference.decides(a), reference.standing[u]) {
                    (false, _) => "not_administrator",
                    (true, Asked) => "",
                    (true, _) => "request_decided",
                };
                let done = service.judge(&by(users[a]), "team", id, approve, text(), NOW).await;
                if agree(done, expected, op).is_some() {
                    reference.standing[u] = if approve { Member } else { Denied };
                }
            }
            Op::Role(a, u, up) => {
                let expected = match (reference.decides(a), reference.is_member(u)) {
                    (false, _) => "not_administrator",
                    (true, false) => "not_found",
                    (true, true) if !up && reference.is_last(u) => "last_administrator",
                    (true, true) => "",
                };
                let role = if up { Role::Administrator } else { Role::Member };
                let done = service.set_role(&by(users[a]), "team", users[u], role, NOW).await;
                if agree(done, expected, op).is_some() {
                    reference.standing[u] = if up { Administrator } else { Member };
                }
            }
            Op::Remove(a, u) => {
                let expected = match (reference.decides(a), reference.is_member(u)) {
                    (false, _) => "not_administrator",
                    (true, false) => "not_found",
                    (true, true) if reference.is_last(u) => "last_administrator",
                    (true, true) => "",
                };
                let done = service.remove(&by(users[a]), "team", users[u], text(), NOW).await;
                if agree(done, expected, op).is_some() {
                    reference.part(u);
                }
            }
            Op::Leave(u) => {
                let expected = match reference.is_member(u) {
                    false => "not_member",
                    true if reference.is_last(u) => "last_administrator",
                    true => "",
                };
                let done = service.leave(&by(users[u]), "team", NOW).await;
                if agree(done, expected, op).is_some() {
                    reference.part(u);
                }
            }
            Op::Enrol(u) => self.enrol(u, op).await,
            Op::Revoke(a, n) => {
                if reference.nodes.is_empty() {
                    return;
                }
                let n = n % reference.nodes.len();
                let decides = reference.decides(a);
                let node = &mut reference.nodes[n];
                let own = node.owner == a && matches!(reference.standing[a], Member);
                let expected = match (decides || own, node.revoked) {
                    (false, _) => "not_administrator",
                    (true, true) => "nothing_to_revoke",
                    (true, false) => "",
                };
                let what = Revoked::Node(node.id);
                let done = service.revoke(&by(users[a]), "team", what, text(), NOW).await;
                if let Some(number) = agree(done, expected, op) {
                    (node.live, node.revoked) = (false, true);
                    reference.notices += 1;
                    assert_eq!(number, reference.notices);
                }
            }
            Op::RevokeUser(a, u) => {
                let expected = match (reference.decides(a), reference.is_member(u)) {
                    (false, _) => "not_administrator",
                    (true, false) => "nothing_to_revoke",
                    (true, true) if reference.is_last(u) => "last_administrator",
                    (true, true) => "",
                };
                let what = Revoked::User(NAMES[u].to_owned());
                let done = service.revoke(&by(users[a]), "team", what, text(), NOW).await;
                if let Some(number) = agree(done, expected, op) {
                    let victim = |node: &&mut Node| node.owner == u && node.live && node.certified;
                    for node in reference.nodes.iter_mut().filter(victim) {
                        (node.live, node.revoked) = (false, true);
                    }
                    reference.notices += 1;
                    assert_eq!(number, reference.notices);
                    reference.part(u);
                }
            }
        }
    }

    async fn enrol(&mut self, u: usize, op: &Op) {
        let (service, reference) = (&self.site.service, &mut self.reference);
        let expected = match reference.standing[u] {
            Outside => "not_member",
            Denied => "request_denied",
            Asked | Member | Administrator => "",
        };
        let options = TokenOptions::default();
        let drawn = service.draw_token(&by(self.users[u]), "team", options, NOW).await;
        let Some((_, token)) = agree(drawn, expected, op) else { return };
        let expected = match (reference.live(u), reference.drawn(u)) {
            (QUOTA.., _) => "quota_exceeded",
            (_, DRAWS..) => "rate_limited",
            _ => "",
        };
        let drawn = named(service, &token, "team", NOW).await;
        let Some((_, request)) = agree(drawn, expected, op) else { return };
        let answer = service.certify(&stranger(), &token, &request, NOW).await.expect("no refusal");
        let certified = matches!(answer, CertificateAnswer::Granted(_));
        assert_eq!(certified, reference.is_member(u), "{op:?}");
        let (_, id) = request.identity().expect("carries its ID");
        reference.nodes.push(Node { owner: u, id, live: true, certified, revoked: false });
    }

    async fn compare(&self) {
        let operator = group::model::Caller::operator();
        let service: &Service = &self.site.service;
        let members = service.members(&operator, "team", &Page::default()).await.expect("reads");
        let mut expected = Vec::new();
        for (user, id) in self.users.iter().enumerate() {
            if self.reference.is_member(user) {
                let decides = self.reference.decides(user);
                let role = if decides { Role::Administrator } else { Role::Member };
                expected.push((*id, role, self.reference.live(user) as u32));
            }
        }
        let seen: Vec<_> = members.items.iter().map(|m| (m.user.id, m.role, m.nodes)).collect();
        assert_eq!(seen, expected);
        let group = service.group(&operator, "team").await.expect("reads");
        assert_eq!(group.notices, self.reference.notices);
    }
}

/// Checks that the service answered as the model does; returns the result of what was done.
fn agree<T: std::fmt::Debug>(
    result: group::error::Result<T>,
    expected: &str,
    op: &Op,
) -> Option<T> {
    if expected.is_empty() {
        return Some(result.unwrap_or_else(|error| panic!("{op:?}: {error}")));
    }
    assert_eq!(code(result), expected, "{op:?}");
    None
}

fn op() -> impl Strategy<Value = Op> {
    let user = || 0..USERS;
    prop_oneof![
        3 => user().prop_map(Op::Ask),
        1 => user().prop_map(Op::Withdraw),
        4 => (user(), user(), prop::bool::weighted(0.8)).prop_map(|(a, u, yes)| Op::Judge(a, u, yes)),
        2 => (user(), user(), any::<bool>()).prop_map(|(a, u, up)| Op::Role(a, u, up)),
        1 => (user(), user()).prop_map(|(a, u)| Op::Remove(a, u)),
        1 => user().prop_map(Op::Leave),
        5 => user().prop_map(Op::Enrol),
        1 => (user(), 0..100usize).prop_map(|(a, n)| Op::Revoke(a, n)),
        1 => (user(), user()).prop_map(|(a, u)| Op::RevokeUser(a, u)),
    ]
}

fn story(database: Option<String>, ops: &[Op]) {
    let runtime = tokio::runtime::Runtime::new().expect("starts");
    runtime.block_on(async {
        let mut pair = Pair::new(match database {
            Some(url) => site_at(Some(url)).await,
            None => site().await,
        })
        .await;
        for op in ops {
            pair.step(op).await;
            pair.compare().await;
        }
        let findings = pair.site.service.check().await.expect("reads");
        assert_eq!(findings, Vec::<String>::new());
    });
}

proptest! {
    // Each case is some hundred commits to a disk.
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn any_commands_do_what_a_simple_model_does(ops in prop::collection::vec(op(), 40..80)) {
        story(None, &ops);
    }
}

#[test]
fn any_commands_do_what_a_simple_model_does_on_postgresql() {
    let server = Postgres::start();
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for case in 0..3 {
        let ops = prop::collection::vec(op(), 60).new_tree(&mut runner).expect("makes").current();
        story(Some(server.database(&format!("case{case}"))), &ops);
    }
}
