//! The chain of notices grows in order, forks never, and says who is revoked.

use std::time::Duration;

use super::*;
use crate::testing::{DAY, HOUR, NOW, authority, issue, member, trust};
use crate::{
    CertificateAuthority, NOTICE_LIFE, NodeId, PrivateKey, Request, Root, Serial, SignOptions,
    Trust,
};

/// An authority, its own ledger with three notices in it, and the notices.
fn three_notices() -> (CertificateAuthority, Trust, Vec<Notice>) {
    let authority = authority("team");
    let mut own = trust(&authority);
    let revoke = |n| {
        let what = Revoked::Serial(Serial::from_bytes([n; 16]));
        authority.revoke(what, own.ledger_mut(), NOW).expect("revokes")
    };
    let notices = (1..=3).map(revoke).collect();
    (authority, own, notices)
}

#[test]
fn notices_are_taken_in_order_and_once() {
    let (authority, _, notices) = three_notices();
    let mut ledger = trust(&authority).ledger().clone();
    for notice in &notices {
        assert_eq!(ledger.append(notice.clone()), Ok(Outcome::New));
        assert_eq!(ledger.append(notice.clone()), Ok(Outcome::Known));
    }
    assert_eq!(ledger.number(), 3);
    assert_eq!(ledger.get(2), Some(&notices[1]));
}

#[test]
fn a_later_notice_reports_the_gap() {
    let (authority, _, notices) = three_notices();
    let mut ledger = trust(&authority).ledger().clone();
    assert_eq!(ledger.append(notices[2].clone()), Err(LedgerError::Gap { from: 1, to: 2 }));
    assert_eq!(ledger.number(), 0);
}

#[test]
fn a_second_history_is_a_fork() {
    let (authority, mut own, _) = three_notices();
    let mut other = trust(&authority);
    let what = Revoked::User("ana".into());
    let rival = authority.revoke(what, other.ledger_mut(), NOW).expect("revokes");
    assert_eq!(own.ledger_mut().append(rival), Err(LedgerError::Fork { number: 1 }));
}

#[test]
fn foreign_and_altered_notices_are_refused() {
    let (_, mut own, notices) = three_notices();
    let stranger = authority("team");
    let mut theirs = trust(&stranger);
    let what = Revoked::User("ana".into());
    let foreign = stranger.revoke(what, theirs.ledger_mut(), NOW).expect("revokes");
    assert_eq!(own.ledger_mut().append(foreign), Err(LedgerError::BadSignature));

    let mut bytes = notices[0].to_bytes();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    assert_eq!(own.ledger_mut().take_bytes(&bytes), Err(LedgerError::BadSignature));
    assert_eq!(own.ledger_mut().take_bytes(b"junk"), Err(LedgerError::Malformed));
}

#[test]
fn a_re_encoded_signature_is_refused() {
    let (authority, _, notices) = three_notices();
    let mut ledger = trust(&authority).ledger().clone();
    let mut bytes = notices[0].to_bytes();
    let s_starts = bytes.len() - 32;
    crate::key::subtract_from_order(&mut bytes[s_starts..]);
    assert_eq!(ledger.take_bytes(&bytes), Err(LedgerError::BadSignature));
    assert_eq!(ledger.append(notices[0].clone()), Ok(Outcome::New));
}

#[test]
fn node_and_user_notices_spare_what_is_issued_later() {
    let authority = authority("team");
    let old = member(&authority, "ana");
    for what in [Revoked::User("ana".into()), Revoked::Node(old.node_id)] {
        let mut trust = trust(&authority);
        authority.revoke(what, trust.ledger_mut(), NOW).expect("revokes");
        let readmitted = issue(&authority, "ana", NOW + Duration::from_secs(1));
        assert_eq!(trust.ledger().is_revoked(&old), Some(1));
        assert!(trust.judge(readmitted.der(), NOW + HOUR).is_ok());
    }
    let mut trust = trust(&authority);
    let elsewhere = Revoked::Node(NodeId::from_bytes([0; 20]));
    authority.revoke(elsewhere, trust.ledger_mut(), NOW).expect("revokes");
    assert_eq!(trust.ledger().is_revoked(&old), None);
}

#[test]
fn a_head_tells_what_is_missing_and_how_fresh_the_rest_is() {
    let (authority, mut own, notices) = three_notices();
    let head = authority.head(own.ledger_mut(), NOW, NOW + HOUR).expect("signs");
    let mut ledger = trust(&authority).ledger().clone();

    assert_eq!(ledger.observe(head.clone()), Ok(Outcome::New));
    assert_eq!(ledger.observe(head), Ok(Outcome::Known));
    assert_eq!((ledger.missing(), ledger.fresh_until()), (Some((1, 3)), None));

    for notice in notices {
        ledger.append(notice).expect("is next");
    }
    assert_eq!((ledger.missing(), ledger.fresh_until()), (None, Some(NOW + HOUR)));
}

#[test]
fn an_old_head_does_not_replace_a_newer_one() {
    let (authority, mut own, _) = three_notices();
    let old = authority.head(own.ledger_mut(), NOW, NOW + HOUR).expect("signs");
    authority.head(own.ledger_mut(), NOW + HOUR, NOW + 2 * HOUR).expect("signs");
    assert_eq!(own.ledger_mut().observe(old), Ok(Outcome::Known));
    assert_eq!(own.ledger().fresh_until(), Some(NOW + 2 * HOUR));
}

#[test]
fn a_new_node_starts_where_the_head_says() {
    let (authority, mut own, _) = three_notices();
    let later = NOW + NOTICE_LIFE + DAY;
    assert_eq!(own.ledger_mut().prune(later), 3);
    let what = Revoked::User("ana".into());
    let fourth = authority.revoke(what, own.ledger_mut(), later).expect("revokes");
    let head = authority.head(own.ledger_mut(), later, later + HOUR).expect("signs");
    assert_eq!((head.first, head.number), (4, 4));

    let mut fresh = trust(&authority);
    fresh.ledger_mut().observe(head).expect("is signed");
    assert_eq!(fresh.ledger().missing(), Some((4, 4)));
    assert_eq!(fresh.ledger_mut().append(fourth), Ok(Outcome::New));
    assert_eq!(fresh.ledger().number(), 4);
}

#[test]
fn what_a_head_says_is_over_is_dropped_and_makes_room() {
    let (authority, mut own, notices) = three_notices();
    let mut member = trust(&authority);
    for notice in notices {
        member.ledger_mut().append(notice).expect("is next");
    }
    let later = NOW + NOTICE_LIFE + DAY;
    own.ledger_mut().prune(later);
    let what = Revoked::User("ana".into());
    let fourth = authority.revoke(what, own.ledger_mut(), later).expect("revokes");
    let head = authority.head(own.ledger_mut(), later, later + HOUR).expect("signs");

    assert_eq!(member.ledger_mut().append(fourth.clone()), Ok(Outcome::New));
    assert_eq!(member.ledger().notices().len(), 4, "its own clock drops nothing");
    assert_eq!(member.ledger_mut().observe(head), Ok(Outcome::New));
    assert_eq!(member.ledger().notices().collect::<Vec<_>>(), [&fourth]);
    assert_eq!((member.ledger().number(), member.ledger().missing()), (4, None));
    let fifth = authority.revoke(Revoked::User("ben".into()), own.ledger_mut(), later);
    assert_eq!(member.ledger_mut().append(fifth.expect("revokes")), Ok(Outcome::New));
}

#[test]
fn the_text_form_rebuilds_the_ledger_and_names_the_bad_line() {
    let (authority, mut own, _) = three_notices();
    authority.head(own.ledger_mut(), NOW, NOW + HOUR).expect("signs");
    let text = format!("# revocations of team\n\n{}", own.ledger().to_text());

    let mut read = trust(&authority);
    assert_eq!(read.ledger_mut().take_text(&text), Ok(4));
    assert_eq!(read.ledger_mut().take_text(&text), Ok(0));
    assert_eq!(read.ledger().to_text(), own.ledger().to_text());

    let error = read.ledger_mut().take_text(&format!("{text}???\n")).expect_err("is no base64");
    assert_eq!(error, LineError { line: 7, error: LedgerError::Malformed });
}

#[test]
fn the_roots_word_counts_even_against_a_thief_of_the_authoritys_key() {
    let root = Root::create("Example root", NOW).expect("creates");
    let key = PrivateKey::generate();
    let request = Request::new(&key, None).expect("requests");
    let certificate = root.issue_group_ca(&request, "team", NOW).expect("signs");
    let stolen = CertificateAuthority::new(certificate.clone(), key).expect("takes up");
    let pin = || Trust::new("team", std::slice::from_ref(&certificate), Some(root.certificate()));
    let (mut honest, mut victim) = (pin().expect("pins"), pin().expect("pins"));
    let leaf = stolen.sign(&request, &SignOptions::new("ana"), NOW).expect("signs");
    let member = victim.judge(leaf.der(), NOW).expect("is a member");

    let decoy = Revoked::User("nobody".into());
    stolen.revoke(decoy, victim.ledger_mut(), NOW).expect("the thief is first");
    let id = stolen.id();
    let end = root.revoke_issuer("team", id, honest.ledger_mut(), NOW).expect("the root may");

    assert_eq!(victim.ledger_mut().append(end), Ok(Outcome::New));
    assert_eq!(victim.ledger().is_revoked(&member), Some(1));
    let more = stolen.revoke(Revoked::User("bo".into()), victim.ledger_mut(), NOW);
    assert_eq!(more, Err(LedgerError::NotAuthorised));

    let mut reread = pin().expect("pins");
    reread.ledger_mut().take_text(&victim.ledger().to_text()).expect("own output");
    assert_eq!(reread.ledger().is_revoked(&member), Some(1));
}

#[test]
fn an_authority_cannot_end_itself_or_another() {
    let authority = authority("team");
    let mut trust = trust(&authority);
    let what = Revoked::Issuer(authority.id());
    let refused = authority.revoke(what, trust.ledger_mut(), NOW);
    assert_eq!(refused, Err(LedgerError::NotAuthorised));
}
