//! What the authority signs, and what it refuses to renew.

use std::time::Duration;

use pki::{NodeId, RENEWAL_GRACE, Salt};

use super::*;
use crate::model::{Named, Node, UserId};

const NOW: UnixTime = UnixTime(1_800_000_000);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

fn permit(key: &PrivateKey) -> Permit {
    let salt = Salt::random();
    let node = Node {
        id: NodeId::salted(&salt, key.spki()),
        user: Named { id: UserId(1), name: "ana".to_owned() },
        salt,
        ephemeral: false,
        host: None,
        ended: None,
    };
    Permit { node, life: 7 * DAY, renewal: false }
}

fn member() -> (Authority, Request, Permit, Certificate) {
    let (authority, ..) = Authority::found("team", NOW, HOUR).expect("a good name");
    let key = PrivateKey::generate();
    let request = Request::new(&key, None).expect("writes");
    let permit = permit(&key);
    let (certificate, issued) = authority.certify(&permit, &request, NOW).expect("signs");
    assert_eq!((issued.node, issued.not_after), (permit.node.id, NOW + 7 * DAY));
    (authority, request, permit, certificate)
}

#[test]
fn unit_se_06_a_certificate_binds_user_group_and_node_id() {
    let (authority, _, permit, certificate) = member();
    let judged = authority.trust.judge(certificate.der(), NOW).expect("is a member's");
    assert_eq!((judged.user.as_str(), judged.group.as_str()), ("ana", "team"));
    assert_eq!(judged.node_id, permit.node.id);
}

#[test]
fn a_certificate_signs_its_renewal_for_thirty_days_and_no_longer() {
    let (authority, request, permit, certificate) = member();
    let end = NOW + 7 * DAY + RENEWAL_GRACE;
    let judged = authority.judge_renewal(&certificate, &request, end).expect("just in time");
    assert_eq!(judged.node_id, permit.node.id);
    let late = authority.judge_renewal(&certificate, &request, end + HOUR);
    assert_eq!(late, Err(Refusal::CertificateTooOld));
}

#[test]
fn neither_a_revoked_nor_a_foreign_certificate_nor_another_key_is_renewed() {
    let (mut authority, request, permit, certificate) = member();
    let (other, ..) = Authority::found("team", NOW, HOUR).expect("a good name");
    let foreign = other.judge_renewal(&certificate, &request, NOW);
    assert_eq!(foreign, Err(Refusal::CertificateUnknown));
    let stranger = Request::new(&PrivateKey::generate(), None).expect("writes");
    let stolen = authority.judge_renewal(&certificate, &stranger, NOW);
    assert_eq!(stolen, Err(Refusal::CertificateUnknown));
    let revocation = authority.revoke(Revoked::Node(permit.node.id), NOW, HOUR).expect("signs");
    assert_eq!((revocation.notice.number, revocation.secret.secret.generation), (1, 2));
    assert_eq!(revocation.head.number, 1);
    let revoked = authority.judge_renewal(&certificate, &request, NOW + HOUR);
    assert_eq!(revoked, Err(Refusal::NodeRevoked));
}

#[test]
fn a_stored_authority_goes_on_with_its_chain() {
    let (mut authority, ..) = member();
    authority.revoke(Revoked::User("bob".to_owned()), NOW, HOUR).expect("signs");
    let stored = authority.ledger().to_text();
    let certificates = [authority.certificate().clone()];
    let key = authority.key().clone();
    let mut again = Authority::open("team", &certificates, key).expect("fits");
    again.ledger_mut().take_text(&stored).expect("own output");
    let next = again.revoke(Revoked::User("eve".to_owned()), NOW, HOUR).expect("signs");
    assert_eq!(next.notice.number, 2);
    assert!(authority.ledger_mut().append(next.notice).is_ok(), "one chain");
}
