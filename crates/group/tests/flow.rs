//! The way of a member from the account to the certificate, and out again: on SQLite each story by
//! itself, on PostgreSQL one after the other.

mod common;

use std::time::Duration;

use common::postgres::Postgres;
use common::{
    NOW, admit, by, code, enrol, group, named, password, site, site_at, stranger, team,
    team_with_bob, token, user,
};
use group::model::{Approval, Policies, RequestState, Role, TokenOptions};
use group::service::{BlobForm, CertificateAnswer, NewUser, Service};
use group::store::{Cursor, Page};
use pki::enrolment::RenewalRequest;
use pki::{Handed, Request, Revoked};

const DAY: Duration = Duration::from_secs(24 * 3600);

#[tokio::test]
async fn unit_wb_01_an_account_is_made_and_its_password_verified() {
    accounts(&site().await.service).await;
}

async fn accounts(service: &Service) {
    let new = |name: &str, text: &str| NewUser::Password {
        name: name.to_owned(),
        email: None,
        password: password(text),
    };
    let id = service.create_user(&stranger(), new("ana", "correct horse"), NOW).await;
    let id = id.expect("a new name");
    let taken = service.create_user(&stranger(), new("ana", "battery staple"), NOW).await;
    assert_eq!(code(taken), "name_taken");
    let short = service.create_user(&stranger(), new("bob", "short"), NOW).await;
    assert_eq!(code(short), "password_not_allowed");
    let check = async |name, text| {
        let found = service.check_password(name, password(text)).await;
        found.expect("no failure").map(|user| user.id)
    };
    assert_eq!(check("ana", "correct horse").await, Some(id));
    assert_eq!(check("ana", "wrong horse").await, None);
    assert_eq!(check("eve", "correct horse").await, None);
    let operator = group::model::Caller::operator();
    service.set_enabled(&operator, id, false, NOW).await.expect("may");
    assert_eq!(check("ana", "correct horse").await, None, "a locked account");
}

#[tokio::test]
async fn unit_wb_05_a_request_with_a_reason_is_approved_or_denied() {
    requests(&site().await.service).await;
}

async fn requests(service: &Service) {
    let [ana, bob, eve] =
        [user(service, "ana").await, user(service, "bob").await, user(service, "eve").await];
    group(service, ana, "team", Policies::default()).await;
    let (request, state) =
        service.ask(&by(bob), "team", "I build the ship".to_owned(), NOW).await.expect("may ask");
    assert_eq!(state, RequestState::Pending);
    let seen = service.requests(&by(ana), "team", RequestState::Pending, &Page::default()).await;
    assert_eq!(seen.expect("decides").items[0].reason, "I build the ship");
    let peeked = service.requests(&by(eve), "team", RequestState::Pending, &Page::default()).await;
    assert_eq!(code(peeked), "not_administrator");
    let denied = service.judge(&by(ana), "team", request, false, "not yet".to_owned(), NOW).await;
    denied.expect("may deny");
    let options = TokenOptions::default();
    let blob = service.draw_blob(&by(bob), "team", options, BlobForm::Short, NOW).await;
    assert_eq!(code(blob), "request_denied");
    let told = service.own_request(&by(bob), "team").await.expect("knows").expect("has asked");
    assert_eq!((told.state, told.note.as_str()), (RequestState::Denied, "not yet"));
    admit(service, ana, bob, "team").await;
    for form in [BlobForm::Short, BlobForm::Full] {
        let options = TokenOptions::default();
        let (_, text) = service.draw_blob(&by(bob), "team", options, form, NOW).await.expect("may");
        let handed = Handed::parse(&text).expect("own output");
        assert_eq!(handed.group(), "team");
        assert!(handed.enrolment().is_some());
    }
}

#[tokio::test]
async fn unit_wb_12_a_node_gets_its_certificate_and_renews_it() {
    renewal(&site().await.service).await;
}

async fn renewal(service: &Service) {
    let (_, blob) = team(service).await;
    let (key, grant) = enrol(service, &blob, "team", NOW).await.expect("enrols");
    let trust = grant.trust().expect("fits");
    let member = trust.judge(grant.certificate.der(), NOW).expect("is a member's");
    assert_eq!((member.user.as_str(), member.group.as_str()), ("ana", "team"));
    assert_eq!(grant.secrets[0].secret.generation, 1);
    let (_, second) = enrol(service, &blob, "team", NOW).await.expect("a second node");
    let second = trust.judge(second.certificate.der(), NOW).expect("is a member's");
    assert_ne!(second.node_id, member.node_id);

    let later = NOW + 8 * DAY;
    let request = Request::for_node(&key, "team", member.node_id).expect("writes");
    let nonce = "bm9uY2U".parse().expect("a nonce");
    let renewal = RenewalRequest::sign(&key, request, grant.certificate.clone(), nonce);
    let renewed = service.renew(&stranger(), &renewal, later).await.expect("within thirty days");
    let again = trust.judge(renewed.certificate.der(), later).expect("is a member's");
    assert_eq!((again.node_id, again.not_after), (member.node_id, later + 7 * DAY));
    assert_eq!(
        code(service.renew(&stranger(), &renewal, NOW + 40 * DAY).await),
        "certificate_too_old"
    );
}

#[tokio::test]
async fn a_certificate_waits_for_the_approval() {
    waiting(&site().await.service).await;
}

async fn waiting(service: &Service) {
    let [ana, bob] = [user(service, "ana").await, user(service, "bob").await];
    group(service, ana, "team", Policies::default()).await;
    let (request, _) = service.ask(&by(bob), "team", String::new(), NOW).await.expect("may ask");
    let waiting = token(service, bob, "team").await;
    let (_, csr) = named(service, &waiting, "team", NOW).await.expect("is named");
    let mut changes = service.changes();
    let answer = service.certify(&stranger(), &waiting, &csr, NOW).await.expect("may wait");
    assert!(matches!(answer, CertificateAnswer::Pending { .. }));
    service.judge(&by(ana), "team", request, true, String::new(), NOW).await.expect("may");
    changes.recv().await.expect("something has changed");
    let answer = service.certify(&stranger(), &waiting, &csr, NOW).await.expect("is a member");
    assert!(matches!(answer, CertificateAnswer::Granted(_)));
}

#[tokio::test]
async fn unit_wb_16_roles_change_and_a_removed_member_is_out_with_all_nodes() {
    removal(&site().await.service).await;
}

async fn removal(service: &Service) {
    let ([ana, bob], _) = team_with_bob(service).await;
    let demote = service.set_role(&by(ana), "team", ana, Role::Member, NOW).await;
    assert_eq!(code(demote), "last_administrator");
    let grab = service.set_role(&by(bob), "team", bob, Role::Administrator, NOW).await;
    assert_eq!(code(grab), "not_administrator");
    service.set_role(&by(ana), "team", bob, Role::Administrator, NOW).await.expect("may");
    service.set_role(&by(bob), "team", ana, Role::Member, NOW).await.expect("may");
    let blob = token(service, ana, "team").await;
    let (_, grant) = enrol(service, &blob, "team", NOW).await.expect("enrols");
    let member = grant.certificate.unverified().expect("own output");

    let notice = service.remove(&by(bob), "team", ana, "left the firm".to_owned(), NOW + DAY).await;
    assert_eq!(notice.expect("may"), Some(1));
    let found = service.notices(&blob, 0).await.expect("of the group");
    assert_eq!(found.newest, 1);
    let mut trust = grant.trust().expect("fits");
    trust.ledger_mut().take_text(&found.text).expect("signed by the authority");
    assert_eq!(trust.ledger().is_revoked(&member), Some(1));
    let refused = enrol(service, &blob, "team", NOW + DAY).await.map(drop);
    assert_eq!(code(refused), "membership_ended");
    let announcement = service.announcement("team", NOW + DAY).await.expect("reads");
    let announcement = announcement.expect("is waiting");
    assert_eq!((announcement.number, announcement.victims), (1, vec![(1, member.node_id)]));
    assert_eq!(announcement.secrets[0].secret.generation, 2);
    service.set_announced("team", 1, NOW + DAY).await.expect("writes");
    assert!(service.announcement("team", NOW + DAY).await.expect("reads").is_none());
    let listed = service.revocations(&by(bob), "team", &Page::default()).await.expect("a member");
    assert_eq!((listed.items[0].by.as_str(), listed.items[0].number), ("bob", 1));
    let audit = service.audit(&by(bob), "team", None, &Page::default()).await.expect("decides");
    assert_eq!(audit.items[0].event, "enrolment_refused");
    let eve = Revoked::User("eve".to_owned());
    let refused = service.revoke(&by(bob), "team", eve, String::new(), NOW).await;
    assert_eq!(code(refused), "nothing_to_revoke");
}

#[tokio::test]
async fn unit_wb_16_a_revoked_user_gets_nothing_more_by_an_old_blob() {
    let site = site().await;
    let service = &site.service;
    let ([ana, _], stolen) = team_with_bob(service).await;
    enrol(service, &stolen, "team", NOW).await.expect("enrols");
    let what = Revoked::User("bob".to_owned());
    service.revoke(&by(ana), "team", what, "laptop lost".to_owned(), NOW).await.expect("may");
    let refused = enrol(service, &stolen, "team", NOW + DAY).await.map(drop);
    assert_eq!(code(refused), "membership_ended");
}

#[tokio::test]
async fn unit_wb_16_a_revoked_user_is_no_member_and_one_whose_node_is_revoked_stays() {
    user_out(&site().await.service).await;
}

async fn user_out(service: &Service) {
    let ([ana, bob], blob) = team_with_bob(service).await;
    let (lost, grant) = enrol(service, &blob, "team", NOW).await.expect("enrols");
    let node = grant.certificate.unverified().expect("own output");
    let revoke =
        async |what| service.revoke(&by(ana), "team", what, "lost".to_owned(), NOW + DAY).await;
    assert_eq!(revoke(Revoked::Serial(node.serial)).await.expect("may"), 1);
    assert_eq!(revoke(Revoked::Node(node.node_id)).await.expect("may"), 2);
    enrol(service, &blob, "team", NOW + DAY).await.expect("another node, for bob is a member");
    let request = Request::for_node(&lost, "team", node.node_id).expect("writes");
    let again = service.certify(&stranger(), &blob, &request, NOW + DAY).await.map(drop);
    assert_eq!(code(again), "node_revoked");

    let last = revoke(Revoked::User("ana".to_owned())).await;
    assert_eq!(code(last), "last_administrator");
    assert_eq!(revoke(Revoked::User("bob".to_owned())).await.expect("may"), 3);
    let members = service.members(&by(ana), "team", &Page::default()).await.expect("a member");
    assert_eq!(members.items.len(), 1, "ana alone");
    let options = TokenOptions::default();
    let drawn = service.draw_token(&by(bob), "team", options, NOW + DAY).await.map(drop);
    assert_eq!(code(drawn), "not_member");
    let audit = service.audit(&by(ana), "team", Some("member_removed"), &Page::default()).await;
    let entries = audit.expect("decides").items;
    assert_eq!((entries.len(), entries[0].actor.as_str()), (1, "ana"));
    assert_eq!(entries[0].details["reason"], "lost");
    let twice = revoke(Revoked::User("bob".to_owned())).await;
    assert_eq!(code(twice), "nothing_to_revoke");
    assert_eq!(service.check().await.expect("reads"), Vec::<String>::new());
}

#[tokio::test]
async fn unit_wb_16_a_member_who_has_only_the_blob_is_put_out_as_well() {
    let site = site().await;
    let service = &site.service;
    let ([ana, _], blob) = team_with_bob(service).await;
    let what = Revoked::User("bob".to_owned());
    let notice = service.revoke(&by(ana), "team", what, String::new(), NOW).await;
    assert_eq!(notice.expect("may"), 1);
    let announcement = service.announcement("team", NOW).await.expect("reads").expect("waits");
    assert_eq!(announcement.secrets[0].secret.generation, 2, "the blob holds the first");
    let refused = enrol(service, &blob, "team", NOW + DAY).await.map(drop);
    assert_eq!(code(refused), "membership_ended");
}

#[tokio::test]
async fn the_clock_signs_heads_and_ends_what_is_over() {
    the_clock(&site().await.service).await;
}

async fn the_clock(service: &Service) {
    let (ana, _) = team(service).await;
    let options = TokenOptions { ephemeral: true, life: DAY, ..TokenOptions::default() };
    let (_, blob) = service.draw_token(&by(ana), "team", options, NOW).await.expect("may");
    enrol(service, &blob, "team", NOW).await.expect("enrols");
    let idle = service.tick(NOW).await.expect("ticks");
    assert_eq!((idle.heads, idle.expired), (0, 0));
    let report = service.tick(NOW + 10 * DAY).await.expect("ticks");
    assert_eq!((report.heads, report.expired), (1, 2), "token and ephemeral node");
    let view = service.group(&by(ana), "team").await.expect("a member");
    assert_eq!(view.next_update, NOW + 10 * DAY + service.config().head_life());
    assert_eq!(
        code(enrol(service, &blob, "team", NOW + 10 * DAY).await.map(drop)),
        "token_expired"
    );
}

#[tokio::test]
async fn notices_are_forgotten_when_their_time_is_over_and_the_chain_goes_on() {
    forgetting(&site().await.service).await;
}

async fn forgetting(service: &Service) {
    let (ana, blob) = team(service).await;
    let revoke = async |now| {
        let (_, grant) = enrol(service, &blob, "team", now).await.expect("enrols");
        let node = grant.certificate.unverified().expect("own output").node_id;
        let what = Revoked::Node(node);
        service.revoke(&by(ana), "team", what, "lost".to_owned(), now).await.expect("decides")
    };
    assert_eq!(revoke(NOW).await, 1);
    let later = NOW + 61 * DAY;
    service.tick(later).await.expect("ticks");
    let found = service.notices(&blob, 0).await.expect("of the group");
    assert_eq!((found.text.lines().count(), found.newest), (1, 1), "the head only");
    assert_eq!(revoke(later).await, 2);
    let (_, grant) = enrol(service, &blob, "team", later).await.expect("enrols");
    let trust = grant.trust().expect("a newcomer starts in the middle");
    assert_eq!((trust.ledger().number(), trust.ledger().notices().len()), (2, 1));
    assert_eq!(service.check().await.expect("reads"), Vec::<String>::new());
}

#[tokio::test]
async fn lists_come_in_pages_without_gaps_or_repeats() {
    paging(&site().await.service).await;
}

async fn paging(service: &Service) {
    let ana = user(service, "ana").await;
    let policies = Policies { approval: Approval::Automatic, ..Policies::default() };
    group(service, ana, "team", policies).await;
    for turn in 0..7 {
        let member = user(service, &format!("user{turn}")).await;
        service.ask(&by(member), "team", String::new(), NOW).await.expect("may ask");
        let blob = token(service, member, "team").await;
        enrol(service, &blob, "team", NOW).await.expect("enrols");
    }
    let (mut members, mut nodes, mut requests) = (Vec::new(), Vec::new(), Vec::new());
    let mut pages = [Some(Page::new(None, 3)), Some(Page::new(None, 3)), Some(Page::new(None, 3))];
    let next = |cursor: Option<Cursor>| cursor.map(|cursor| Page::new(Some(cursor), 3));
    while pages.iter().any(Option::is_some) {
        if let Some(page) = pages[0].take() {
            let paged = service.members(&by(ana), "team", &page).await.expect("a member");
            members.extend(paged.items.into_iter().map(|member| member.user.name));
            pages[0] = next(paged.next);
        }
        if let Some(page) = pages[1].take() {
            let paged = service.nodes(&by(ana), "team", None, &page).await.expect("a member");
            nodes.extend(paged.items.into_iter().map(|node| node.user.name));
            pages[1] = next(paged.next);
        }
        if let Some(page) = pages[2].take() {
            let state = RequestState::Approved;
            let paged = service.requests(&by(ana), "team", state, &page).await.expect("decides");
            requests.extend(paged.items.into_iter().map(|request| request.user.name));
            pages[2] = next(paged.next);
        }
    }
    let users: Vec<_> = (0..7).map(|turn| format!("user{turn}")).collect();
    assert_eq!(members, [&["ana".to_owned()][..], &users[..]].concat());
    assert_eq!(nodes, users);
    assert_eq!(requests, users.into_iter().rev().collect::<Vec<_>>());
}

#[tokio::test]
async fn postgresql_is_spoken_to_over_tls_and_its_certificate_is_verified() {
    let server = Postgres::start_with_tls();
    let site = site_at(Some(server.tls_database("site", true))).await;
    accounts(&site.service).await;
    let mut config = common::config(site.folder.path());
    config.database = Some(server.tls_database("other", false));
    let refused = Service::open(config).await.map(drop).expect_err("another root");
    assert!(refused.to_string().contains("certificate"), "{refused}");
}

#[tokio::test]
async fn every_story_holds_on_postgresql() {
    let server = Postgres::start();
    let fresh = async |name| site_at(Some(server.database(name))).await;
    accounts(&fresh("accounts").await.service).await;
    requests(&fresh("requests").await.service).await;
    renewal(&fresh("renewal").await.service).await;
    waiting(&fresh("waiting").await.service).await;
    removal(&fresh("removal").await.service).await;
    user_out(&fresh("user_out").await.service).await;
    the_clock(&fresh("the_clock").await.service).await;
    forgetting(&fresh("forgetting").await.service).await;
    paging(&fresh("paging").await.service).await;
}

#[tokio::test]
async fn replicas_on_one_postgresql_keep_one_chain_and_one_count() {
    let server = Postgres::start();
    let url = server.database("site");
    let site = site_at(Some(url.clone())).await;
    let ana = user(&site.service, "ana").await;
    let policies = Policies { quota: 100, ..Policies::default() };
    group(&site.service, ana, "team", policies).await;
    let mut config = common::config(site.folder.path());
    config.database = Some(url);
    let replica = Service::open(config).await.expect("the same master key");
    let blob = token(&site.service, ana, "team").await;

    let mut work = tokio::task::JoinSet::new();
    for turn in 0..20 {
        let service = if turn % 2 == 0 { site.service.clone() } else { replica.clone() };
        let blob = blob.clone();
        work.spawn(async move {
            let (_, grant) = enrol(&service, &blob, "team", NOW).await.expect("within quota");
            let node = grant.certificate.unverified().expect("own output").node_id;
            let reason = "lost".to_owned();
            service.revoke(&by(ana), "team", Revoked::Node(node), reason, NOW).await.expect("own")
        });
    }
    let mut notices = work.join_all().await;
    notices.sort_unstable();
    assert_eq!(notices, (1..=20).collect::<Vec<u64>>(), "each number once");
    for service in [&site.service, &replica] {
        assert_eq!(service.check().await.expect("reads"), Vec::<String>::new());
    }
}
