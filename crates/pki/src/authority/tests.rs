//! What an authority signs and refuses to sign.

use super::*;
use crate::testing::{DAY, NOW, authority, trust};
use crate::{NameError, Refusal};

#[test]
fn unit_wb_15_offline_signing() {
    // The node writes a request file, ...
    let node_key = PrivateKey::generate();
    let request_file = Request::new(&node_key, Some("ana")).expect("writes").to_pem();
    // ... the authority's machine reads its own files and that one, and signs, ...
    let authority = authority("team");
    let (ca_file, key_file) = (authority.certificate().to_pem(), authority.key().to_pkcs8_pem());
    let offline = CertificateAuthority::from_pem(&ca_file, &key_file).expect("reads");
    let request = Request::parse(&request_file).expect("reads");
    let signed = offline.sign(&request, &SignOptions::new("ana"), NOW).expect("signs").to_pem();
    // ... and every member believes the file that comes back.
    let certificate = Certificate::from_pem(&signed).expect("reads");
    let member = trust(&authority).judge(certificate.der(), NOW).expect("is a member");
    assert_eq!((member.user.as_str(), member.spki.as_slice()), ("ana", node_key.spki()));
}

#[test]
fn each_first_signing_draws_another_id_and_a_renewal_keeps_it() {
    let authority = authority("team");
    let trust = trust(&authority);
    let request = Request::new(&PrivateKey::generate(), None).expect("requests");
    let sign = |options: &SignOptions| {
        let certificate = authority.sign(&request, options, NOW).expect("signs");
        trust.judge(certificate.der(), NOW).expect("is a member")
    };
    let first = sign(&SignOptions::new("ana"));
    assert_ne!(first.node_id, sign(&SignOptions::new("ana")).node_id);
    let renewed = sign(&SignOptions::renewal(&first));
    assert_eq!(renewed.node_id, first.node_id);
    assert_ne!(renewed.serial, first.serial);
}

#[test]
fn options_out_of_bounds_are_refused() {
    let authority = authority("team");
    let request = Request::new(&PrivateKey::generate(), None).expect("requests");
    let sign = |options| authority.sign(&request, &options, NOW).err();
    let good = || SignOptions::new("ana");
    assert_eq!(sign(SignOptions { life: LIFE_MAX * 2, ..good() }), Some(Error::Life));
    assert_eq!(sign(SignOptions { life: LIFE_MIN / 2, ..good() }), Some(Error::Life));
    assert_eq!(sign(SignOptions::new("")), Some(NameError::User.into()));
    let host = SignOptions { host: Some("a.b".into()), ..good() };
    assert_eq!(sign(host), Some(NameError::Host.into()));
}

#[test]
fn certificates_end_with_their_authority() {
    let authority = authority("team");
    let end = NOW + AUTHORITY_LIFE;
    let request = Request::new(&PrivateKey::generate(), None).expect("requests");
    let last = authority.sign(&request, &SignOptions::new("ana"), end - DAY).expect("signs");
    assert_eq!(last.unverified().map(|member| member.not_after), Ok(end));
    let refused = authority.sign(&request, &SignOptions::new("ana"), end);
    assert_eq!(refused, Err(Error::AuthorityExpired));
    let judged = trust(&authority).judge(last.der(), end + DAY);
    assert_eq!(judged, Err(Refusal::Expired { since: end }));
}

#[test]
fn a_key_of_another_authority_is_refused() {
    let (one, other) = (authority("team"), authority("team"));
    let mixed = CertificateAuthority::new(one.certificate().clone(), other.key().clone());
    assert!(mixed.is_err());
}

#[test]
fn a_notice_about_an_impossible_user_is_not_signed() {
    let authority = authority("team");
    let mut trust = trust(&authority);
    for user in ["", &"x".repeat(300)] {
        let refused = authority.revoke(Revoked::User(user.into()), trust.ledger_mut(), NOW);
        assert_eq!(refused, Err(LedgerError::Malformed));
    }
    assert_eq!(trust.ledger().number(), 0);
}
