//! A group goes from one authority to the next while its members go on.

mod common;

use std::time::Duration;

use common::postgres::Postgres;
use common::{NOW, by, code, enrol, site, site_at, stranger, team};
use group::model::Caller;
use group::service::Service;
use group::service::rotation::{ANNOUNCED, OVERLAP};
use pki::enrolment::{Grant, RenewalRequest};
use pki::{Certificate, IssuerId, Keyring, NodeId, PrivateKey, Request, Revoked, Trust, UnixTime};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn issuer(certificate: &Certificate) -> IssuerId {
    certificate.unverified().expect("own output").issuer
}

fn node(grant: &Grant) -> NodeId {
    grant.certificate.unverified().expect("own output").node_id
}

async fn renew(service: &Service, key: &PrivateKey, grant: &Grant, now: UnixTime) -> Grant {
    let request = Request::for_node(key, "team", node(grant)).expect("writes");
    let nonce = "bm9uY2U".parse().expect("a nonce");
    let renewal = RenewalRequest::sign(key, request, grant.certificate.clone(), nonce);
    service.renew(&stranger(), &renewal, now).await.expect("is renewed")
}

async fn is_consistent(service: &Service) {
    assert_eq!(service.check().await.expect("reads"), Vec::<String>::new());
}

/// Announced, taken over, forgotten: what a member of each stage knows is enough for the next.
async fn rotation(service: &Service) {
    let (ana, blob) = team(service).await;
    let (key, first) = enrol(service, &blob, "team", NOW).await.expect("enrols");
    let old = issuer(&first.certificate);
    let operator = Caller::operator();
    let put_out = async |at| {
        let (_, grant) =
            enrol(service, &blob_at(service, ana, at).await, "team", at).await.expect("enrols");
        let what = Revoked::Node(node(&grant));
        service.revoke(&by(ana), "team", what, "lost".to_owned(), at).await.expect("decides");
    };
    put_out(NOW + DAY).await;

    // Announced: renewals tell of it, the present one signs.
    let (new, from) =
        service.rotate_authority(&operator, "team", NOW + DAY).await.expect("is announced");
    assert_eq!(from, NOW + DAY + ANNOUNCED);
    let again = service.rotate_authority(&operator, "team", NOW + DAY).await;
    assert_eq!(code(again), "rotation_under_way");
    let told = renew(service, &key, &first, from - DAY).await;
    assert_eq!((told.ca.len(), issuer(&told.certificate)), (2, old));
    let mut running = told.trust().expect("is usable");
    assert_eq!(service.tick(from - DAY).await.expect("ticks").turned, 0);

    // Took over: it signs all, and who was told believes it.
    assert_eq!(service.tick(from).await.expect("ticks").turned, 1);
    is_consistent(service).await;
    put_out(from).await;
    let later = renew(service, &key, &told, from + DAY).await;
    assert_eq!(issuer(&later.certificate), new);
    assert_eq!(node(&later), node(&first), "the ID stays");
    running.ledger_mut().take_text(&later.notices).expect("one chain by two authorities");
    assert_eq!(running.ledger().number(), 2);
    let now = from + DAY;
    running.judge(later.certificate.der(), now).expect("a member that was told believes it");
    assert!(later.secrets.len() > 1, "one of them is older than the take-over");
    let alone = Trust::new("team", &later.ca[..1], None).expect("the one that signs comes first");
    for secret in later.secrets.clone() {
        Keyring::default().take(secret, &alone).expect("signed anew");
    }
    let whole = later.trust().expect("is usable");
    whole.judge(told.certificate.der(), now).expect("old certificates go on");

    // Forgotten: nothing hangs on the former one any more.
    let end = from + OVERLAP;
    let mut last = later;
    while last.certificate.unverified().expect("own output").not_after < end {
        let at = last.certificate.unverified().expect("own output").not_after - DAY;
        service.tick(at).await.expect("ticks");
        last = renew(service, &key, &last, at).await;
    }
    assert_eq!(service.tick(end).await.expect("ticks").turned, 1);
    is_consistent(service).await;
    let (_, newcomer) =
        enrol(service, &blob_at(service, ana, end).await, "team", end).await.expect("enrols");
    assert_eq!(newcomer.ca.len(), 1);
    let alone = newcomer.trust().expect("its notices are of the new one, or over");
    alone.judge(last.certificate.der(), end).expect("believes the members");
    let mut keyring = Keyring::default();
    for secret in newcomer.secrets.clone() {
        keyring.take(secret, &alone).expect("signed by the new one");
    }
    assert!(keyring.generation() > 0);
    let mut follows: Trust = running;
    assert_eq!(follows.repin(&newcomer.ca), Ok(true));
    follows.judge(newcomer.certificate.der(), end).expect("members believe the newcomer");
    service.rotate_authority(&operator, "team", end).await.expect("there is room for the next");
}

/// A token that is drawn later: tokens end by themselves.
async fn blob_at(
    service: &Service,
    user: group::model::UserId,
    now: UnixTime,
) -> pki::enrolment::Token {
    service.draw_token(&by(user), "team", Default::default(), now).await.expect("may have one").1
}

#[tokio::test]
async fn unit_wb_12_a_group_goes_to_another_authority_and_no_member_notices() {
    rotation(&site().await.service).await;
}

#[tokio::test]
async fn unit_wb_12_a_group_goes_to_another_authority_on_postgresql() {
    let server = Postgres::start();
    rotation(&site_at(Some(server.database("rotation"))).await.service).await;
}
