//! Blobs survive the round trip; wrong ones are refused with a line and without their secrets.

use super::*;
use crate::testing::{NOW, authority, issue};
use crate::{CertificateAuthority, GroupSecret, Ipv4Subnet, Revoked};

fn blob(authority: &CertificateAuthority) -> Blob {
    let subnet: Ipv4Subnet = "10.42.0.0/16".parse().expect("a network");
    let bootstrap = vec!["boot.example.org:7415".parse().expect("an address")];
    let ca = vec![authority.certificate().clone()];
    let secrets = vec![authority.sign_secret(GroupSecret::random(1), NOW)];
    Blob::new(Network::new("team", subnet), ca, bootstrap, secrets)
}

fn yaml(authority: &CertificateAuthority) -> String {
    blob(authority).to_yaml().expect("writes").to_string()
}

#[test]
fn a_blob_round_trips_with_everything_in_it() {
    let authority = authority("team");
    let mut full = blob(&authority);
    let mut trust = full.trust().expect("is usable");
    authority.revoke(Revoked::User("bo".into()), trust.ledger_mut(), NOW).expect("revokes");
    full.notices = trust.ledger().to_text().lines().map(str::to_owned).collect();
    full.certificate = Some(issue(&authority, "ana", NOW));
    full.key = Some(PrivateKey::generate());
    let url = "https://vpn.example.org".parse().expect("an address");
    let token = Token::random();
    full.enrolment = Some(Enrolment { url, pins: vec![Pin::of_spki(b"key")], token });

    let read = Blob::parse(&full.to_yaml().expect("writes")).expect("own output");

    assert_eq!(read.network, full.network);
    assert_eq!((&read.ca, &read.certificate), (&full.ca, &full.certificate));
    assert_eq!((&read.bootstrap, &read.notices), (&full.bootstrap, &full.notices));
    let secrets = |blob: &Blob| {
        let keyring = blob.keyring(&blob.trust().expect("is usable")).expect("is signed");
        keyring.secrets().cloned().collect::<Vec<_>>()
    };
    assert_eq!(secrets(&read), secrets(&full));
    let spki = |blob: &Blob| blob.key.as_ref().map(|key| key.spki().to_vec());
    assert_eq!(spki(&read), spki(&full));
    let asked = |blob: &Blob| blob.enrolment.clone().map(|e| (e.url, e.pins, e.token));
    assert_eq!(asked(&read), asked(&full));
    assert_eq!(read.trust().expect("is usable").ledger().number(), 1);
}

#[test]
fn mtu_and_lease_have_defaults() {
    let text = yaml(&authority("team"));
    let without: Vec<&str> =
        text.lines().filter(|line| !line.contains("mtu") && !line.contains("lease")).collect();
    let read = Blob::parse(&without.join("\n")).expect("defaults fill in");
    assert_eq!((read.network.mtu, read.network.lease_seconds), (1280, 3600));
}

#[test]
fn mistakes_are_named_with_their_line() {
    let text = yaml(&authority("team"));
    let line_of = |needle: &str| {
        text.lines().position(|line| line.contains(needle)).expect("is there") as u64 + 1
    };
    let mistakes = [
        ("mtu:", "mut:", "mut"),
        ("mtu: 1280", "mtu: 100", "1280 to 9000"),
        ("10.42.0.0/16", "10.42.0.1/16", "host bits"),
        (":7415", ":0", "host:port"),
        ("version: 1", "version: 2", "version 2"),
        ("group: team", "group: Team", "a-z"),
    ];
    for (right, wrong, says) in mistakes {
        let error = Blob::parse(&text.replacen(right, wrong, 1)).expect_err(wrong);
        let BlobError::Yaml(error) = error else { panic!("{wrong}: {error}") };
        assert!(error.message.contains(says), "{wrong}: {error}");
        assert_eq!(error.line, Some(line_of(right)), "{wrong}: {error}");
    }
}

#[test]
fn parts_that_do_not_fit_together_are_refused() {
    let authority = authority("team");
    let mut other_group = blob(&authority);
    other_group.network.group = "club".into();
    let text = other_group.to_yaml().expect("writes");
    assert!(matches!(Blob::parse(&text), Err(BlobError::Authority(_))));

    let mut bad_notice = blob(&authority);
    bad_notice.notices = vec!["AAAA".into()];
    let text = bad_notice.to_yaml().expect("writes");
    let error = BlobError::Notice { entry: 1, error: LedgerError::Malformed };
    assert_eq!(Blob::parse(&text).err(), Some(error));

    let mut poisoned = blob(&authority);
    let stranger = crate::testing::authority("team");
    poisoned.group_secrets.push(stranger.sign_secret(GroupSecret::random(2), NOW));
    let text = poisoned.to_yaml().expect("writes");
    let error = BlobError::Secret(SecretError::BadSignature { generation: 2 });
    assert_eq!(Blob::parse(&text).err(), Some(error));
}

#[test]
fn neither_debug_nor_errors_show_secrets() {
    let blob = blob(&authority("team"));
    let text = blob.to_yaml().expect("writes");
    let secret = crate::pem::to_base64(&blob.group_secrets[0].secret.key);
    assert!(text.contains(&secret));
    assert!(!format!("{blob:?}").contains(&secret[..8]));
    let broken = text.replace(&secret, &secret[..40]);
    let error = Blob::parse(&broken).expect_err("is too short").to_string();
    assert!(!error.contains(&secret[..8]), "{error}");
    assert!(error.contains("32 bytes"), "{error}");
    let swapped = text.replace("generation: 1", &format!("generation: {secret}"));
    let error = Blob::parse(&swapped).expect_err("is no number").to_string();
    assert!(!error.contains(&secret[..8]), "{error}");
}

#[test]
fn addresses_with_ports_parse_strictly() {
    for good in ["boot.example.org:7415", "192.0.2.1:1", "[2001:db8::1]:65535"] {
        assert_eq!(good.parse::<HostPort>().expect("an address").to_string(), good);
    }
    for bad in
        ["", "host", "host:", ":1", "host:0", "host:65536", "2001:db8::1:7", "[x]:1", "a b:1"]
    {
        assert_eq!(bad.parse::<HostPort>(), Err(ParseHostPortError), "{bad}");
    }
}
