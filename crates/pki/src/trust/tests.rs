//! Who is believed: every way to be refused has its own reason.

use proptest::prelude::*;
use rcgen::string::Ia5String;
use rcgen::{CertificateParams, DnType, SanType};

use super::*;
use crate::testing::{DAY, HOUR, NOW, authority, issue, trust};
use crate::{
    Algorithm, CertificateAuthority, PrivateKey, Request, Revoked, Roles, Root, SignOptions,
};

/// Signs a certificate of the profile after `spoil` has changed it: what a careless or hostile
/// authority could issue.
fn issue_spoilt(
    authority: &CertificateAuthority,
    spoil: impl FnOnce(&mut CertificateParams),
) -> Vec<u8> {
    let key = PrivateKey::generate();
    let request = Request::new(&key, None).expect("requests");
    let good = authority.sign(&request, &SignOptions::new("ana"), NOW).expect("signs");
    let mut params =
        profile::to_params(&good.unverified().expect("fits the profile")).expect("fits");
    spoil(&mut params);
    let issuer = authority.x509_issuer().expect("has an issuer");
    params.signed_by(&request.subject_key(), &issuer).expect("signs").der().to_vec()
}

/// Replaces `from` by the equally long `to` in the bytes of a certificate.
fn forge(der: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let text: Vec<u8> = der.to_vec();
    let mut forged = text.clone();
    let mut found = 0;
    for at in 0..=text.len() - from.len() {
        if &text[at..at + from.len()] == from.as_bytes() {
            forged[at..at + to.len()].copy_from_slice(to.as_bytes());
            found += 1;
        }
    }
    assert!(found > 0, "{from} is in the certificate");
    forged
}

#[test]
fn a_group_goes_from_one_authority_to_the_next_and_what_is_revoked_stays_so() {
    let (old, new) = (authority("team"), authority("team"));
    let ana = issue(&old, "ana", NOW);
    let (ben, cleo) = (issue(&old, "ben", NOW), issue(&new, "cleo", NOW));
    let mut trust = trust(&old);
    let out = |user: &str| Revoked::User(user.to_owned());
    old.revoke(out("ana"), trust.ledger_mut(), NOW + HOUR).expect("signs");
    let judge = |trust: &Trust, leaf: &Certificate| trust.judge(leaf.der(), NOW + HOUR).err();
    assert_eq!(judge(&trust, &cleo), Some(Refusal::UnknownIssuer));

    let both = [&old, &new].map(|authority| authority.certificate().clone());
    assert_eq!((trust.repin(&both), trust.repin(&both)), (Ok(true), Ok(false)));
    assert_eq!((judge(&trust, &ben), judge(&trust, &cleo)), (None, None));
    assert_eq!(judge(&trust, &ana), Some(Refusal::Revoked { notice: 1 }));
    let notice = new.revoke(out("cleo"), trust.ledger_mut(), NOW + HOUR * 2);
    assert_eq!(notice.expect("goes on with the chain").number, 2);

    assert_eq!(trust.repin(&both[1..]), Ok(true));
    assert_eq!(judge(&trust, &ben), Some(Refusal::UnknownIssuer));
    assert_eq!(judge(&trust, &cleo), Some(Refusal::Revoked { notice: 2 }));
    assert_eq!(trust.ledger().number(), 2, "the first notice stays, though none pins its signer");
}

#[test]
fn other_authorities_are_refused_where_they_are_not_the_groups_or_a_root_decides() {
    let (old, other) = (authority("team"), authority("club"));
    let mut pinned = trust(&old);
    let foreign = pinned.repin(&[other.certificate().clone()]);
    assert_eq!(foreign, Err(Error::Authority("it is for another group")));
    for many in [0, ISSUERS_MAX + 1] {
        assert!(pinned.repin(&vec![old.certificate().clone(); many]).is_err(), "{many}");
    }
    assert!(pinned.judge(issue(&old, "ana", NOW).der(), NOW).is_ok(), "as before");
    let root = Root::create("Example root", NOW).expect("creates");
    let request = Request::new(&PrivateKey::generate(), None).expect("requests");
    let below = root.issue_group_ca(&request, "team", NOW).expect("signs");
    let mut pinned =
        Trust::new("team", std::slice::from_ref(&below), Some(root.certificate())).expect("pins");
    assert_eq!(pinned.repin(&[below]), Ok(false), "the same");
    assert!(pinned.repin(&[old.certificate().clone()]).is_err());
}

#[test]
fn a_member_is_recognised_with_all_that_was_signed() {
    let authority = authority("team");
    let key = PrivateKey::generate_for(Algorithm::Ed25519);
    let options = SignOptions {
        roles: Roles::GATEWAY | Roles::RELAY,
        ipv4: Some([10, 42, 0, 9].into()),
        host: Some("web".into()),
        ..SignOptions::new("Ana Müller")
    };
    let request = Request::new(&key, None).expect("requests");
    let certificate = authority.sign(&request, &options, NOW).expect("signs");

    let member = trust(&authority).judge(certificate.der(), NOW).expect("is a member");

    assert_eq!(member.node_id, NodeId::salted(&member.salt, key.spki()));
    assert_eq!((member.user.as_str(), member.group.as_str()), ("Ana Müller", "team"));
    assert_eq!(
        (member.roles, member.ipv4, &member.host),
        (options.roles, options.ipv4, &options.host)
    );
    assert_eq!((member.issued(), member.not_after), (NOW, NOW + 7 * DAY));
    assert_eq!((member.issuer, member.spki.as_slice()), (authority.id(), key.spki()));
}

#[test]
fn unit_se_05_no_certificate_is_refused() {
    assert_eq!(trust(&authority("team")).judge(&[], NOW), Err(Refusal::NoCertificate));
}

#[test]
fn unit_se_05_wrong_ca_is_refused() {
    let (ours, impostor) = (authority("team"), authority("team"));
    let leaf = issue(&impostor, "ana", NOW);
    assert_eq!(trust(&ours).judge(leaf.der(), NOW), Err(Refusal::UnknownIssuer));
}

#[test]
fn unit_se_05_wrong_group_is_refused() {
    let (ours, other) = (authority("team"), authority("club"));
    let leaf = issue(&other, "ana", NOW);
    assert_eq!(trust(&ours).judge(leaf.der(), NOW), Err(Refusal::WrongGroup));
}

#[test]
fn unit_se_05_expired_is_refused_after_the_tolerance() {
    let authority = authority("team");
    let (trust, leaf) = (trust(&authority), issue(&authority, "ana", NOW));
    let end = NOW + 7 * DAY;
    assert!(trust.judge(leaf.der(), end + CLOCK_TOLERANCE).is_ok());
    let late = end + CLOCK_TOLERANCE + Duration::from_secs(1);
    assert_eq!(trust.judge(leaf.der(), late), Err(Refusal::Expired { since: end }));
}

#[test]
fn unit_se_05_not_yet_valid_is_refused_before_the_tolerance() {
    let authority = authority("team");
    let (trust, leaf) = (trust(&authority), issue(&authority, "ana", NOW));
    let start = NOW - HOUR;
    assert!(trust.judge(leaf.der(), start - CLOCK_TOLERANCE).is_ok());
    let early = start - CLOCK_TOLERANCE - Duration::from_secs(1);
    assert_eq!(trust.judge(leaf.der(), early), Err(Refusal::NotYetValid { from: start }));
}

#[test]
fn unit_se_05_revoked_is_refused_at_the_door_and_in_session() {
    let authority = authority("team");
    let (mut trust, leaf) = (trust(&authority), issue(&authority, "ana", NOW));
    let member = trust.judge(leaf.der(), NOW).expect("is a member");
    authority.revoke(Revoked::Serial(member.serial), trust.ledger_mut(), NOW).expect("revokes");
    let refusal = Refusal::Revoked { notice: 1 };
    assert_eq!(trust.judge(leaf.der(), NOW), Err(refusal));
    assert_eq!(trust.rejudge(&member, NOW), Err(refusal));
    assert_eq!(trust.judge_renewal(leaf.der(), NOW), Err(refusal));
}

#[test]
fn unit_se_05_wrong_id_is_refused() {
    let authority = authority("team");
    let leaf = issue(&authority, "ana", NOW);
    let other = NodeId::from_bytes([1; 20]);
    assert_eq!(trust(&authority).judge_as(leaf.der(), other, NOW), Err(Refusal::WrongNode));

    let chosen = issue_spoilt(&authority, |params| {
        let uri = format!("warren://team/{other}");
        params.subject_alt_names = vec![SanType::URI(Ia5String::try_from(uri).expect("is ASCII"))];
    });
    assert_eq!(trust(&authority).judge(&chosen, NOW), Err(Refusal::IdMismatch));
}

#[test]
fn unit_se_06_certificate_binds_user_group_and_id() {
    let authority = authority("team");
    let (trust, leaf) = (trust(&authority), issue(&authority, "mallory", NOW));
    let id = trust.judge(leaf.der(), NOW).expect("is a member").node_id.to_string();
    let other_id = "0123456789abcdef0123456789abcdef01234567";

    // Changed by somebody without the authority's key.
    let user = forge(leaf.der(), "mallory", "malcolm");
    assert_eq!(trust.judge(&user, NOW), Err(Refusal::BadSignature));
    let id = forge(leaf.der(), &id, other_id);
    assert_eq!(trust.judge(&id, NOW), Err(Refusal::BadSignature));
    let group = forge(leaf.der(), "warren://team", "warren://club");
    assert_eq!(trust.judge(&group, NOW), Err(Refusal::WrongGroup));

    // Signed by the authority, but not one identity.
    let two_groups = issue_spoilt(&authority, |params| {
        params.distinguished_name.push(DnType::OrganizationalUnitName, "club");
    });
    assert_eq!(trust.judge(&two_groups, NOW), Err(Refusal::WrongGroup));
    let both_changed = issue_spoilt(&authority, |params| {
        params.distinguished_name.push(DnType::OrganizationalUnitName, "club");
        let uri = format!("warren://club/{other_id}");
        params.subject_alt_names = vec![SanType::URI(Ia5String::try_from(uri).expect("is ASCII"))];
    });
    assert_eq!(trust.judge(&both_changed, NOW), Err(Refusal::WrongGroup));
}

#[test]
fn what_the_profile_does_not_know_is_refused() {
    let authority = authority("team");
    type Spoil = fn(&mut CertificateParams);
    let spoilt: [(&str, Spoil); 5] = [
        ("no extension", |params| params.custom_extensions.clear()),
        ("no name", |params| params.subject_alt_names.clear()),
        ("second name", |params| {
            params.subject_alt_names.push(SanType::DnsName("a".try_into().expect("is ASCII")));
        }),
        ("authority", |params| {
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        }),
        ("server only", |params| {
            params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
        }),
    ];
    for (what, spoil) in spoilt {
        let refusal = trust(&authority).judge(&issue_spoilt(&authority, spoil), NOW);
        assert!(matches!(refusal, Err(Refusal::Malformed(_))), "{what}: {refusal:?}");
    }
}

#[test]
fn an_expired_member_may_renew_for_a_month_only() {
    let authority = authority("team");
    let (trust, leaf) = (trust(&authority), issue(&authority, "ana", NOW));
    let end = NOW + 7 * DAY;
    assert!(trust.judge_renewal(leaf.der(), end + RENEWAL_GRACE).is_ok());
    let late = trust.judge_renewal(leaf.der(), end + RENEWAL_GRACE + HOUR);
    assert_eq!(late, Err(Refusal::Expired { since: end }));
}

#[test]
fn strict_policy_refuses_new_links_while_the_list_is_stale() {
    let authority = authority("team");
    let (mut trust, leaf) = (trust(&authority), issue(&authority, "ana", NOW));
    trust.set_stale_policy(StalePolicy::Strict);
    let none = trust.judge(leaf.der(), NOW).expect_err("there is no list");
    assert!(matches!(none, Refusal::StaleNotices { .. }));
    assert!(none.to_string().contains("no signed list of revocations yet"), "{none}");
    authority.head(trust.ledger_mut(), NOW, NOW + HOUR).expect("signs a head");
    let member = trust.judge(leaf.der(), NOW).expect("the list is fresh");
    let stale = Refusal::StaleNotices { since: NOW + HOUR };
    assert_eq!(trust.judge(leaf.der(), NOW + DAY), Err(stale));
    assert_eq!(trust.rejudge(&member, NOW + DAY), Ok(()), "live sessions stay");
}

#[test]
fn an_authority_below_a_root_is_pinned_and_ended_by_it() {
    let root = Root::create("Example root", NOW).expect("creates");
    let key = PrivateKey::generate();
    let request = Request::new(&key, None).expect("requests");
    let certificate = root.issue_group_ca(&request, "team", NOW).expect("signs");
    let authority = CertificateAuthority::new(certificate.clone(), key).expect("takes up");
    let mut trust = Trust::new("team", &[certificate], Some(root.certificate())).expect("pins");
    let leaf = issue(&authority, "ana", NOW);
    let member = trust.judge(leaf.der(), NOW).expect("is a member");

    let id = authority.id();
    root.revoke_issuer("team", id, trust.ledger_mut(), NOW).expect("the root may");

    assert_eq!(trust.rejudge(&member, NOW), Err(Refusal::Revoked { notice: 1 }));
}

#[test]
fn a_root_vouches_only_for_what_it_signed() {
    let root = Root::create("Example root", NOW).expect("creates");
    let stranger = authority("team");
    let pinned = Trust::new("team", &[stranger.certificate().clone()], Some(root.certificate()));
    assert_eq!(pinned.err(), Some(Error::Authority("the root has not signed it")));
    let other_group = Trust::new("club", &[stranger.certificate().clone()], None);
    assert_eq!(other_group.err(), Some(Error::Authority("it is for another group")));
    assert!(Trust::new("team", &[issue(&stranger, "ana", NOW)], None).is_err(), "a leaf is no CA");
}

proptest! {
    #[test]
    fn hostile_certificates_never_panic_and_never_pass(
        changes in proptest::collection::vec((0usize..4096, 0u8..3, any::<u8>()), 1..6),
    ) {
        use std::sync::LazyLock;
        static GROUP: LazyLock<(Trust, Vec<u8>)> = LazyLock::new(|| {
            let authority = authority("team");
            (trust(&authority), issue(&authority, "ana", NOW).der().to_vec())
        });
        let (trust, good) = &*GROUP;
        let mut der = good.clone();
        for (at, kind, byte) in changes {
            let at = at % der.len().max(1);
            match kind {
                0 => der[at] = byte,
                1 => der.insert(at, byte),
                _ => der.truncate(at.max(1)),
            }
        }
        if let Ok(member) = trust.judge(&der, NOW) {
            // ECDSA allows a second encoding of the signature: same content, same identity.
            let genuine = trust.judge(good, NOW).expect("is a member");
            prop_assert_eq!(member, genuine);
        }
    }
}
