//! The derived list is what `openssl` accepts.

use std::time::Duration;

use super::*;
use crate::testing::{DAY, HOUR, NOW, authority, issue, member, openssl, trust};
use crate::{Certificate, PrivateKey, Request, Root, SignOptions, Trust};

fn serials(crl: &Crl) -> Vec<Vec<u8>> {
    use x509_parser::prelude::FromDer;
    use x509_parser::revocation_list::CertificateRevocationList;
    let (_, read) = CertificateRevocationList::from_der(crl.der()).expect("own output");
    read.iter_revoked_certificates().map(|entry| entry.raw_serial().to_vec()).collect()
}

#[test]
fn the_list_names_every_certificate_a_notice_covers_until_it_expires() {
    let authority = authority("team");
    let mut trust = trust(&authority);
    let members = [member(&authority, "ana"), member(&authority, "bo"), member(&authority, "cy")];
    authority.revoke(Revoked::User("ana".into()), trust.ledger_mut(), NOW).expect("revokes");
    let node = Revoked::Node(members[1].node_id);
    authority.revoke(node, trust.ledger_mut(), NOW).expect("revokes");

    let list = |now| crl(&authority, trust.ledger(), &members, now, now + HOUR).expect("signs");

    let mut expected: Vec<Vec<u8>> =
        members[..2].iter().map(|member| member.serial.as_bytes().to_vec()).collect();
    expected.sort();
    assert_eq!(serials(&list(NOW)), expected);
    assert!(serials(&list(NOW + 30 * DAY)).is_empty());
}

#[test]
fn openssl_reads_verifies_and_refuses_as_we_do() {
    let folder = tempfile::tempdir().expect("a scratch directory");
    let folder = folder.path();
    let root = Root::create("Example root", NOW).expect("creates");
    let ca_key = PrivateKey::generate();
    let ca_request = Request::new(&ca_key, None).expect("requests");
    let ca = root.issue_group_ca(&ca_request, "team", NOW).expect("signs");
    let authority = CertificateAuthority::new(ca.clone(), ca_key).expect("takes up");
    let mut trust =
        Trust::new("team", std::slice::from_ref(&ca), Some(root.certificate())).expect("pins");
    let key = PrivateKey::generate();
    let request = Request::new(&key, Some("ana")).expect("requests");
    let (good, bad) = (
        authority.sign(&request, &SignOptions::new("ana"), NOW).expect("signs"),
        issue(&authority, "bo", NOW),
    );
    let judge = |leaf: &Certificate, trust: &Trust| trust.judge(leaf.der(), NOW).expect("judges");
    let members = [judge(&good, &trust), judge(&bad, &trust)];
    authority.revoke(Revoked::User("bo".into()), trust.ledger_mut(), NOW).expect("revokes");
    let now = NOW + Duration::from_secs(60);
    let list = crl(&authority, trust.ledger(), &members, now, now + HOUR).expect("signs");
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).expect("writes");
    write("root.pem", &root.certificate().to_pem());
    write("ca.pem", &ca.to_pem());
    write("good.pem", &good.to_pem());
    write("bad.pem", &bad.to_pem());
    write("crl.pem", &list.to_pem());
    write("key.pem", &key.to_pkcs8_pem());
    write("request.pem", &request.to_pem());

    let passes = |arguments: &str| {
        let (success, text) = openssl(folder, arguments);
        assert!(success, "openssl {arguments}: {text}");
    };
    let at = format!("-attime {}", now.as_secs());
    let chain = "-CAfile root.pem -untrusted ca.pem";
    passes("req -in request.pem -verify -noout");
    passes("pkey -in key.pem -check -noout");
    passes(&format!("verify -x509_strict {at} {chain} -purpose sslserver good.pem"));
    passes(&format!("verify -x509_strict {at} {chain} -purpose sslclient good.pem"));
    passes("crl -in crl.pem -CAfile ca.pem -verify -noout");
    passes(&format!("verify {at} {chain} -crl_check -CRLfile crl.pem good.pem"));
    let (success, text) =
        openssl(folder, &format!("verify {at} {chain} -crl_check -CRLfile crl.pem bad.pem"));
    assert!(!success && text.contains("revoked"), "{text}");
}
