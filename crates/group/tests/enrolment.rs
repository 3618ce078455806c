//! Who gets a certificate, who does not, and what the log says of it.

mod common;

use std::process::Command;
use std::time::Duration;

use common::{
    NOW, admit, by, code, enrol, group, named, site, stranger, team, team_with_bob, token, user,
};
use group::model::{Caller, Policies, TokenOptions};
use group::service::{BlobForm, Service};
use group::store::Page;
use group::store::read::Sighting;
use pki::enrolment::{Grant, KeyRequest, RenewalRequest, Token};
use pki::{PrivateKey, Refusal, Request, Revoked};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A token with options of its own.
async fn special(service: &Service, user: group::model::UserId, options: TokenOptions) -> Token {
    service.draw_token(&by(user), "team", options, NOW).await.expect("may have one").1
}

/// The codes of refused enrolments in a group's log, the newest first.
async fn logged(service: &Service, group: &str) -> Vec<String> {
    let page = Page::default();
    let kind = Some("enrolment_refused");
    let log = service.audit(&Caller::operator(), group, kind, &page).await.expect("reads");
    let code = |entry: &group::view::AuditView| entry.details["code"].as_str().map(str::to_owned);
    log.items.iter().filter_map(code).collect()
}

#[tokio::test]
async fn unit_wb_09_each_bad_token_has_a_refusal_and_a_line_in_the_log_of_its_own() {
    let site = site().await;
    let service = &site.service;
    let [ana, bob, eve] =
        [user(service, "ana").await, user(service, "bob").await, user(service, "eve").await];
    group(service, ana, "team", Policies { quota: 2, ..Policies::default() }).await;
    group(service, ana, "other", Policies::default()).await;

    let unknown = enrol(service, &Token::random(), "team", NOW).await.map(drop);
    assert_eq!(code(unknown), "token_unknown");
    let log = service.site_audit(&Caller::operator(), None, &Page::default()).await;
    assert_eq!(log.expect("reads").items[0].details["code"], "token_unknown");

    let once = special(service, ana, TokenOptions { reusable: false, ..Default::default() }).await;
    enrol(service, &once, "team", NOW).await.expect("the first node");
    assert_eq!(code(enrol(service, &once, "team", NOW).await.map(drop)), "token_used_up");
    let short = special(service, ana, TokenOptions { life: DAY, ..Default::default() }).await;
    assert_eq!(code(enrol(service, &short, "team", NOW + DAY).await.map(drop)), "token_expired");
    let foreign = token(service, ana, "other").await;
    assert_eq!(code(enrol(service, &foreign, "team", NOW).await.map(drop)), "token_foreign");
    let (id, ended) = {
        let drawn = service.draw_token(&by(ana), "team", TokenOptions::default(), NOW).await;
        drawn.expect("may have one")
    };
    service.end_token(&by(ana), "team", id, NOW).await.expect("is hers");
    assert_eq!(code(enrol(service, &ended, "team", NOW).await.map(drop)), "token_ended");

    let (request, _) = service.ask(&by(bob), "team", String::new(), NOW).await.expect("may ask");
    let waiting = token(service, bob, "team").await;
    service.judge(&by(ana), "team", request, false, String::new(), NOW).await.expect("decides");
    assert_eq!(code(enrol(service, &waiting, "team", NOW).await.map(drop)), "request_denied");
    admit(service, ana, eve, "team").await;
    let left = token(service, eve, "team").await;
    service.leave(&by(eve), "team", NOW).await.expect("may");
    assert_eq!(code(enrol(service, &left, "team", NOW).await.map(drop)), "membership_ended");

    let blob = token(service, ana, "team").await;
    enrol(service, &blob, "team", NOW).await.expect("the second of two");
    assert_eq!(code(enrol(service, &blob, "team", NOW).await.map(drop)), "quota_exceeded");
    let expected = [
        "quota_exceeded",
        "membership_ended",
        "request_denied",
        "token_ended",
        "token_expired",
        "token_used_up",
    ];
    assert_eq!(logged(service, "team").await, expected);
    assert_eq!(logged(service, "other").await, ["token_foreign"]);
}

#[tokio::test]
async fn unit_ov_05_the_authority_fixes_the_id_and_signs_no_other() {
    let site = site().await;
    let service = &site.service;
    let ([ana, _], his) = team_with_bob(service).await;
    let hers = token(service, ana, "team").await;
    let key = PrivateKey::generate();
    let asked = KeyRequest::new(&key, None);
    let first = service.name_node(&stranger(), &hers, &asked, NOW).await.expect("is named");
    let again = service.name_node(&stranger(), &hers, &asked, NOW).await.expect("is known");
    assert_eq!(first, again, "one draw per key");
    let taken = service.name_node(&stranger(), &his, &asked, NOW).await.map(drop);
    assert_eq!(code(taken), "key_taken");

    let (other, request) = named(service, &hers, "team", NOW).await.expect("is named");
    let (_, other_id) = request.identity().expect("carries its ID");
    let swapped = Request::for_node(&key, "team", other_id).expect("writes");
    let refused = service.certify(&stranger(), &hers, &swapped, NOW).await.map(drop);
    assert_eq!(code(refused), "id_mismatch");
    let bare = Request::new(&other, None).expect("writes");
    let refused = service.certify(&stranger(), &hers, &bare, NOW).await.map(drop);
    assert_eq!(code(refused), "id_mismatch");
    let stolen = service.certify(&stranger(), &his, &request, NOW).await.map(drop);
    assert_eq!(code(stolen), "key_taken");
}

#[tokio::test]
async fn a_revoked_node_gets_no_certificate_with_its_key() {
    let site = site().await;
    let service = &site.service;
    let (ana, blob) = team(service).await;
    let (key, grant) = enrol(service, &blob, "team", NOW).await.expect("enrols");
    let node = grant.certificate.unverified().expect("own output").node_id;
    let lost = "lost".to_owned();
    service.revoke(&by(ana), "team", Revoked::Node(node), lost, NOW).await.expect("decides");
    let asked = KeyRequest::new(&key, None);
    let refused = service.name_node(&stranger(), &blob, &asked, NOW).await.map(drop);
    assert_eq!(code(refused), "node_revoked");
}

#[tokio::test]
async fn a_disabled_account_gets_neither_certificate_nor_renewal() {
    let site = site().await;
    let service = &site.service;
    let ([_, bob], blob) = team_with_bob(service).await;
    let (key, grant) = enrol(service, &blob, "team", NOW).await.expect("enrols");
    let node = grant.certificate.unverified().expect("own output").node_id;
    service.set_enabled(&Caller::operator(), bob, false, NOW).await.expect("may");
    assert_eq!(code(enrol(service, &blob, "team", NOW).await.map(drop)), "account_disabled");
    let request = Request::for_node(&key, "team", node).expect("writes");
    let nonce = "bm9uY2U".parse().expect("a nonce");
    let renewal = RenewalRequest::sign(&key, request, grant.certificate.clone(), nonce);
    let refused = service.renew(&stranger(), &renewal, NOW + DAY).await.map(drop);
    assert_eq!(code(refused), "account_disabled");
}

#[tokio::test]
async fn unit_wb_14_two_groups_have_two_authorities() {
    let site = site().await;
    let service = &site.service;
    let (ana, blob) = team(service).await;
    group(service, ana, "other", Policies::default()).await;
    let other = token(service, ana, "other").await;
    let (_, ours) = enrol(service, &blob, "team", NOW).await.expect("enrols");
    let (_, theirs) = enrol(service, &other, "other", NOW).await.expect("enrols");
    let trust = ours.trust().expect("fits");
    let judged = trust.judge(theirs.certificate.der(), NOW);
    assert_eq!(judged, Err(Refusal::WrongGroup));
    let issuer = |grant: &Grant| grant.certificate.unverified().expect("own output").issuer;
    assert_ne!(issuer(&ours), issuer(&theirs), "or one group's key would sign for the other");
    assert_ne!(ours.secrets[0].secret, theirs.secrets[0].secret);
}

#[tokio::test]
async fn unit_wb_06_only_members_get_a_blob_and_each_blob_is_another() {
    let site = site().await;
    let service = &site.service;
    let [ana, bob] = [user(service, "ana").await, user(service, "bob").await];
    group(service, ana, "team", Policies::default()).await;
    let draw = async |user| {
        let (options, form) = (TokenOptions::default(), BlobForm::Full);
        service.draw_blob(&by(user), "team", options, form, NOW).await
    };
    assert_eq!(code(draw(bob).await), "not_member");
    service.ask(&by(bob), "team", String::new(), NOW).await.expect("may ask");
    assert_eq!(code(draw(bob).await), "not_member");
    let (_, first) = draw(ana).await.expect("a member");
    let (_, second) = draw(ana).await.expect("a member");
    assert_ne!(first, second);
}

#[tokio::test]
async fn unit_se_07_a_virtual_address_leads_to_user_certificate_and_time() {
    let site = site().await;
    let service = &site.service;
    let ([ana, bob], blob) = team_with_bob(service).await;
    let (_, grant) = enrol(service, &blob, "team", NOW + DAY).await.expect("enrols");
    let member = grant.certificate.unverified().expect("own output");
    let address = Some("10.42.0.7".to_owned());
    let sighting = Sighting { node: member.node_id, address, path: Some("direct".to_owned()) };
    service.see("team", &[sighting], NOW + 2 * DAY).await.expect("writes");
    let found = service.find_nodes(&by(ana), "team", "10.42.0.7").await.expect("decides");
    let [node] = &found[..] else { panic!("one node: {found:?}") };
    assert_eq!((node.user.name.as_str(), node.node), ("bob", member.node_id));
    assert_eq!((node.serial, node.issued), (Some(member.serial), Some(NOW + DAY)));
    assert_eq!(code(service.find_nodes(&by(bob), "team", "10.42.0.7").await), "not_administrator");
}

#[tokio::test]
async fn unit_rv_01_openssl_verifies_the_list_and_finds_the_revoked_serial() {
    let site = site().await;
    let service = &site.service;
    let (ana, blob) = team(service).await;
    let (_, out) = enrol(service, &blob, "team", NOW).await.expect("enrols");
    let (_, stays) = enrol(service, &blob, "team", NOW).await.expect("enrols");
    let [out, stays] = [out, stays].map(|g| (g.certificate.unverified().expect("own output"), g));
    let (what, lost) = (Revoked::Node(out.0.node_id), "lost".to_owned());
    service.revoke(&by(ana), "team", what, lost, NOW).await.expect("decides");
    let crl = service.crl(&out.0.issuer.to_string(), NOW).await.expect("signs");

    let (list, ca) = (site.folder.path().join("list.der"), site.folder.path().join("ca.pem"));
    std::fs::write(&list, crl).expect("is ours");
    std::fs::write(&ca, out.1.ca[0].to_pem()).expect("is ours");
    let shown = Command::new("openssl")
        .args(["crl", "-inform", "DER", "-noout", "-text", "-in"])
        .arg(&list)
        .arg("-CAfile")
        .arg(&ca)
        .output()
        .expect("openssl is installed by `make deps`");
    let (text, verdict) = (shown.stdout, String::from_utf8_lossy(&shown.stderr).into_owned());
    let text = String::from_utf8_lossy(&text).to_lowercase();
    assert!(verdict.contains("verify OK"), "{verdict}");
    assert!(text.contains(&out.0.serial.to_string()), "{text}");
    assert!(!text.contains(&stays.0.serial.to_string()), "{text}");
}
