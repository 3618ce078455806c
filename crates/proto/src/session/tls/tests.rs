//! Handshakes by TLS: sizes of flights, refusals on both ends, keys that match.

use super::*;
use crate::session::handshake::tests::{Pair, Weather};
use crate::session::handshake::{By, Outcome};
use crate::session::suite::Failure;
use crate::time::Instant;
use pki::{CertificateAuthority, Request, Revoked, SignOptions};

mod pre_shared;

const NOW: UnixTime = UnixTime(1_800_000_000);
const DAY: Duration = Duration::from_secs(86_400);

fn at(unix: UnixTime) -> Now {
    Now { instant: Instant::ZERO, unix }
}

struct Group {
    authority: CertificateAuthority,
    trust: Trust,
}

impl Group {
    fn new(name: &str) -> Self {
        let authority = CertificateAuthority::create(name, NOW - DAY * 90).expect("a good name");
        let trust = Trust::new(name, &[authority.certificate().clone()], None).expect("own group");
        Group { authority, trust }
    }

    fn issue(&self, key: &PrivateKey, user: &str, issued: UnixTime) -> Certificate {
        let request = Request::new(key, None).expect("a good key");
        self.authority.sign(&request, &SignOptions::new(user), issued).expect("good options")
    }

    fn suite(&self, user: &str, issued: UnixTime, trust: &Trust) -> TlsSuite {
        let key = PrivateKey::generate();
        let certificate = self.issue(&key, user, issued);
        TlsSuite::group(key, &certificate, trust.clone(), Cipher::Aes256Gcm)
            .expect("the certificate is of this key")
    }

    fn member_at(&self, user: &str, issued: UnixTime) -> TlsSuite {
        self.suite(user, issued, &self.trust)
    }

    fn member(&self, user: &str) -> TlsSuite {
        self.member_at(user, NOW - DAY * 6)
    }

    /// A member of this group that lets in members of another.
    fn member_that_trusts(&self, user: &str, trust: &Trust) -> TlsSuite {
        self.suite(user, NOW - DAY * 6, trust)
    }

    fn revoke(&mut self, suite: &TlsSuite) {
        let member = Certificate::from_der(&suite.certificate).expect("own output").unverified();
        let what = Revoked::Serial(member.expect("own output").serial);
        let notice = self.authority.revoke(what, self.trust.ledger_mut(), NOW);
        notice.expect("the chain goes on");
    }
}

fn public() -> TlsSuite {
    TlsSuite::public(PrivateKey::generate(), Cipher::Aes256Gcm).expect("a good key")
}

fn run(client: Box<dyn Exchange>, server: Box<dyn Exchange>) -> Pair {
    let mut pair = Pair::new(client, server, Weather::default(), 1);
    pair.settle();
    pair
}

/// A handshake between two suites, whoever is expected.
fn meet(client: &mut TlsSuite, server: &mut TlsSuite) -> Pair {
    let client = client.client(None, at(NOW)).expect("a good certificate");
    run(client, server.server(None, at(NOW)).expect("a good certificate"))
}

/// What both ends say when it was the client, or the server, that refused.
fn by_client(why: Failure) -> [Option<(Failure, By)>; 2] {
    [Some((why, By::Us)), Some((why, By::Peer))]
}

fn by_server(why: Failure) -> [Option<(Failure, By)>; 2] {
    [Some((why, By::Peer)), Some((why, By::Us))]
}

fn peer_of(outcomes: &[Outcome]) -> &Peer {
    match outcomes {
        [Outcome::Established(established)] => &established.peer,
        other => panic!("not established: {other:?}"),
    }
}

/// Signatures in DER and names differ by some bytes. The null suite counts on these sizes.
fn assert_sizes_are_near(pair: &Pair, expected: [[usize; 3]; 2]) {
    for (sent, expected) in pair.sent.iter().zip(expected) {
        assert_eq!(sent.len(), expected.len(), "{sent:?}");
        assert!(sent.iter().zip(expected).all(|(a, b)| a.abs_diff(b) <= 16), "{sent:?}");
    }
}

#[test]
fn unit_se_06_both_members_learn_user_group_and_id_of_the_other() {
    let group = Group::new("lab");
    let (mut alice, mut bob) = (group.member("alice"), group.member("bob"));
    let mut pair = meet(&mut alice, &mut bob);
    println!("group: client {:?}, server {:?}", pair.sent[0], pair.sent[1]);
    let (server, client) = (peer_of(&pair.outcomes[0]), peer_of(&pair.outcomes[1]));
    assert_eq!((server.id, client.id), (bob.node_id(), alice.node_id()));
    let member = client.member.as_ref().expect("a member of a group");
    assert_eq!((member.user.as_str(), member.group.as_str()), ("alice", "lab"));
    assert_eq!(client.not_after, Some(member.not_after));
    assert_eq!(client.certificate, alice.certificate());
    assert_eq!(alice.rejudge(server, NOW), Ok(()));
    assert!(alice.rejudge(server, NOW + DAY * 30).is_err());
    assert_sizes_are_near(&pair, [[1_200, 282, 692], [1_200, 732, 34]]);
    pair.assert_frames_pass();
}

#[test]
fn public_nodes_meet_by_raw_keys() {
    let (mut a, mut b) = (public(), public());
    let mut pair = meet(&mut a, &mut b);
    println!("public: client {:?}, server {:?}", pair.sent[0], pair.sent[1]);
    let (server, client) = (peer_of(&pair.outcomes[0]), peer_of(&pair.outcomes[1]));
    assert_eq!((server.id, client.id), (b.node_id(), a.node_id()));
    assert!(client.member.is_none() && client.not_after.is_none());
    assert_sizes_are_near(&pair, [[1_200, 294, 268], [1_200, 320, 34]]);
    pair.assert_frames_pass();
}

#[test]
fn handshakes_complete_over_a_bad_channel() {
    let group = Group::new("lab");
    let (mut alice, mut bob) = (group.member("alice"), group.member("bob"));
    let weather = Weather { loss: 0.2, duplicates: 0.1, jitter: Duration::from_millis(10) };
    for seed in 0..30 {
        let client = alice.client(Some(bob.node_id()), at(NOW)).expect("a good certificate");
        let server = bob.server(None, at(NOW)).expect("a good certificate");
        let mut pair = Pair::new(client, server, weather, seed);
        pair.run();
        pair.assert_frames_pass();
    }
}

#[test]
fn unit_se_05_refused_handshakes_say_why() {
    let mut group = Group::new("lab");
    let foreign = Group::new("lab");
    let office = Group::new("office");

    // Wrong authority, wrong group. The client judges first, so the server has the word only where the client
    // believes in the server's authority and comes with a certificate of another all the same.
    for (other, why) in [(&foreign, Refusal::UnknownIssuer), (&office, Refusal::WrongGroup)] {
        let mut pair = meet(&mut group.member("alice"), &mut other.member("mallory"));
        assert_eq!(pair.refusals(), by_client(why.into()));
        let mallory = other.member_that_trusts("mallory", &group.trust);
        let server = group.member("bob").server(None, at(NOW)).expect("a good certificate");
        pair = run(unjudged_client(&mallory, |_| {}), server);
        assert_eq!(pair.refusals(), by_server(why.into()));
    }

    // Wrong ID: another node answers, or calls, than was expected.
    let (mut alice, mut bob) = (group.member("alice"), group.member("bob"));
    let nobody = Some(NodeId::from_bytes([9; 20]));
    let client = alice.client(nobody, at(NOW)).expect("a good certificate");
    let mut pair = run(client, bob.server(None, at(NOW)).expect("a good certificate"));
    assert_eq!(pair.refusals(), by_client(Refusal::WrongNode.into()));
    let client = alice.client(None, at(NOW)).expect("a good certificate");
    pair = run(client, bob.server(nobody, at(NOW)).expect("a good certificate"));
    assert_eq!(pair.refusals(), by_server(Refusal::WrongNode.into()));

    // Expired: good when its holder looked, over when the other side does. Both directions.
    let mut late = group.member_at("dave", NOW - DAY * 8);
    let since = late.own_not_after();
    let expired = Failure::Refused(Refusal::Expired { since });
    let client = late.client(None, at(since)).expect("still good");
    pair = run(client, bob.server(None, at(NOW)).expect("a good certificate"));
    assert_eq!(pair.refusals(), by_server(expired));
    let server = late.server(None, at(since)).expect("still good");
    pair = run(bob.client(None, at(NOW)).expect("a good certificate"), server);
    assert_eq!(pair.refusals(), by_client(expired));

    // Revoked: the other side knows already. Both directions.
    let mut eve = group.member("eve");
    group.revoke(&eve);
    let mut informed = group.member("frank");
    let revoked = Failure::Refused(Refusal::Revoked { notice: 1 });
    pair = meet(&mut eve, &mut informed);
    assert_eq!(pair.refusals(), by_server(revoked));
    pair = meet(&mut informed, &mut eve);
    assert_eq!(pair.refusals(), by_client(revoked));

    // No certificate. Both directions.
    let nameless = unjudged_client(&informed, |c| c.client_auth_cert_resolver = Arc::new(Nameless));
    pair = run(nameless, bob.server(None, at(NOW)).expect("a good certificate"));
    assert_eq!(pair.refusals(), by_server(Refusal::NoCertificate.into()));
    let signer = informed.certified.key.clone();
    informed.certified = Arc::new(CertifiedKey::new(Vec::new(), signer));
    let nameless = informed.server(None, at(NOW)).expect("a good certificate");
    pair = run(bob.client(None, at(NOW)).expect("a good certificate"), nameless);
    assert_eq!(pair.refusals(), by_client(Refusal::NoCertificate.into()));
}

#[test]
fn unit_se_06_a_certificate_with_another_user_group_or_id_is_refused() {
    let group = Group::new("lab");
    let (mut mallory, mut bob) = (group.member("mallory"), group.member("bob"));
    let good = mallory.certificate.clone();
    let id = mallory.id.to_string();
    for (field, forged) in [("mallory", "bobbyyy"), ("lab/", "lob/"), (&id[..8], "00000000")] {
        let start = good.windows(field.len()).position(|window| window == field.as_bytes());
        let start = start.expect("the certificate names it");
        let mut bent = good.clone();
        bent[start..start + field.len()].copy_from_slice(forged.as_bytes());
        mallory.certified =
            Arc::new(certify(&mallory.provider, &mallory.key, &bent).expect("its key"));
        let server = bob.server(None, at(NOW)).expect("a good certificate");
        let pair = run(unjudged_client(&mallory, |_| {}), server);
        let [Some((told, By::Peer)), Some((found, By::Us))] = pair.refusals() else {
            panic!("{field} was accepted");
        };
        assert_eq!(std::mem::discriminant(&told), std::mem::discriminant(&found));
        assert!(matches!(found, Failure::Refused(_)), "{field}: {found}");
    }
}

#[test]
fn peers_of_another_protocol_version_are_told_so() {
    let (client, mut server) = (public(), public());
    for protocols in [vec![b"warren/9".to_vec()], Vec::new()] {
        let exchange = unjudged_client(&client, |config| config.alpn_protocols = protocols);
        let pair = run(exchange, server.server(None, at(NOW)).expect("a good key"));
        let [Some((Failure::Protocol(_), By::Peer)), Some((Failure::Protocol(_), By::Us))] =
            pair.refusals()
        else {
            panic!("{:?}", pair.outcomes);
        };
    }
}

#[test]
fn a_node_judges_its_own_certificate_first() {
    let mut group = Group::new("lab");
    let mut alice = group.member("alice");
    let since = alice.own_not_after();
    let late = at(since + DAY);
    assert_eq!(alice.client(None, late).err(), Some(Refusal::Expired { since }));
    assert_eq!(alice.server(None, late).err(), Some(Refusal::Expired { since }));
    assert!(alice.client(None, at(NOW)).is_ok());
    group.revoke(&alice);
    let notice = group.trust.ledger().get(1).expect("just made").clone();
    alice.trust_mut().expect("a group").ledger_mut().append(notice).expect("the next one");
    assert_eq!(alice.client(None, at(NOW)).err(), Some(Refusal::Revoked { notice: 1 }));
}

#[test]
fn a_certificate_is_renewed_for_the_same_key_and_node_only() {
    let group = Group::new("lab");
    let key = PrivateKey::generate();
    let first = group.issue(&key, "alice", NOW - DAY * 20);
    let again = PrivateKey::from_pkcs8_der(key.pkcs8_der()).expect("own output");
    let mut alice =
        TlsSuite::group(again, &first, group.trust.clone(), Cipher::Aes256Gcm).expect("its key");
    assert!(alice.client(None, at(NOW)).is_err());
    let other = group.issue(&key, "alice", NOW);
    assert_eq!(alice.renew(other.der(), NOW), Err(Refusal::WrongNode), "another salt");
    let request = Request::new(&key, None).expect("a good key");
    let options = SignOptions::renewal(&first.unverified().expect("own output"));
    let renewed = group.authority.sign(&request, &options, NOW).expect("good options");
    assert_eq!(alice.renew(renewed.der(), NOW), Ok(()));
    assert!(alice.client(None, at(NOW)).is_ok());
    assert_eq!(alice.certificate(), renewed.der());
}

#[test]
fn a_node_without_aes_decides_the_cipher() {
    let slow = || TlsSuite::public(PrivateKey::generate(), Cipher::ChaCha20Poly1305);
    for (mut client, mut server, expected) in [
        (public(), public(), Cipher::Aes256Gcm),
        (slow().expect("a good key"), public(), Cipher::ChaCha20Poly1305),
        (public(), slow().expect("a good key"), Cipher::ChaCha20Poly1305),
    ] {
        let mut pair = meet(&mut client, &mut server);
        let Some(Outcome::Established(up)) = pair.outcomes[0].last() else { panic!("not up") };
        assert_eq!(up.secrets.cipher, expected);
        pair.assert_frames_pass();
    }
}

#[test]
fn records_are_signed_by_their_owner_only() {
    let group = Group::new("lab");
    let (alice, bob) = (group.member("alice"), group.member("bob"));
    let signature = alice.sign(b"record");
    let verify =
        |certificate, owner, bytes, now| bob.verify(certificate, owner, bytes, &signature, now);
    assert!(verify(alice.certificate(), alice.node_id(), b"record", NOW));
    assert!(!verify(alice.certificate(), alice.node_id(), b"rekord", NOW));
    assert!(!verify(alice.certificate(), bob.node_id(), b"record", NOW));
    assert!(!verify(bob.certificate(), bob.node_id(), b"record", NOW));
    assert!(!verify(alice.certificate(), alice.node_id(), b"record", NOW + DAY * 30));

    let (a, b) = (public(), public());
    let signature = a.sign(b"record");
    assert!(b.verify(a.certificate(), a.node_id(), b"record", &signature, NOW));
    assert!(!b.verify(a.certificate(), b.node_id(), b"record", &signature, NOW));
}

impl TlsSuite {
    fn own_not_after(&self) -> UnixTime {
        let own = Certificate::from_der(&self.certificate).expect("own output").unverified();
        own.expect("own output").not_after
    }
}

/// A client that does not judge its own certificate, with other settings.
fn unjudged_client(suite: &TlsSuite, change: impl FnOnce(&mut ClientConfig)) -> Box<dyn Exchange> {
    let verifier = suite.verifier(None, NOW);
    let mut config = suite.client_config(&verifier, NOW).expect("good settings");
    change(&mut config);
    let name = ServerName::IpAddress(std::net::Ipv4Addr::UNSPECIFIED.into());
    let connection = ClientConnection::new(Arc::new(config), Version::V1, name, Vec::new());
    suite.exchange(Side::Client, verifier, connection.expect("good settings").into())
}

#[derive(Debug)]
struct Nameless;

impl rustls::client::ResolvesClientCert for Nameless {
    fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}
