//! Messages survive the round trip; bad ones are refused without a word of what was in them.

use super::*;
use crate::testing::{DAY, NOW, authority, issue, trust};
use crate::{
    Algorithm, GENERATIONS_MAX, GroupSecret, Network, NodeId, PrivateKey, Request, Revoked, Salt,
    SignOptions, StalePolicy,
};
use proptest::prelude::*;

fn round_trip<M: Message>(message: &M) -> M {
    let bytes = message.to_json();
    let read = M::from_json(&bytes).expect("own output");
    assert_eq!(*read.to_json(), *bytes);
    read
}

fn text_of(message: &impl Message) -> String {
    String::from_utf8(message.to_json().to_vec()).expect("JSON is UTF-8")
}

/// A member's key, its request and the grant for it.
fn granted() -> (PrivateKey, Request, Grant) {
    let authority = authority("team");
    let (key, salt) = (PrivateKey::generate(), Salt::random());
    let id = NodeId::salted(&salt, key.spki());
    let request = Request::for_node(&key, "team", id).expect("writes");
    let options = SignOptions { salt: Some(salt), ..SignOptions::new("ana") };
    let mut trust = trust(&authority);
    authority.revoke(Revoked::User("bo".into()), trust.ledger_mut(), NOW).expect("revokes");
    authority.head(trust.ledger_mut(), NOW, NOW + DAY).expect("signs");
    let grant = Grant {
        certificate: authority.sign(&request, &options, NOW).expect("signs"),
        ca: vec![authority.certificate().clone()],
        root: None,
        network: Network::new("team", "10.42.0.0/16".parse().expect("a network")),
        bootstrap: vec!["boot.example.org:7415".parse().expect("an address")],
        secrets: [2, 1].map(|n| authority.sign_secret(GroupSecret::random(n), NOW)).into(),
        notices: trust.ledger().to_text(),
        stale_policy: StalePolicy::Strict,
        renew_at: NOW + DAY,
    };
    (key, request, grant)
}

#[test]
fn tokens_round_trip_and_parse_strictly() {
    let token = Token::random();
    let text = token.expose();
    assert!(text.parse() == Ok(token.clone()));
    assert!(Token::random() != token);
    assert_eq!(format!("{token:?}"), "Token(..)");
    // The last character carries four bits: another one for the same bytes would be a second text.
    let second = format!("{}{}", &text[..46], if text.ends_with('A') { 'B' } else { '_' });
    let device = DeviceCode::random().expose();
    for bad in ["", "wt1_", &text[..46], &text[4..], &*device, &second, &text.replace('1', "2")] {
        let error = bad.parse::<Token>().expect_err(bad).to_string();
        assert_eq!(error, "expected wt1_ and 43 characters of base64url");
    }
}

#[test]
fn hashes_tell_tokens_apart_and_do_not_contain_them() {
    let (one, other) = (Token::random(), Token::random());
    assert_eq!(one.hash(), one.expose().parse::<Token>().expect("own output").hash());
    assert_ne!(one.hash(), other.hash());
    assert_eq!(SecretHash::from_bytes(*one.hash().as_bytes()), one.hash());
}

#[test]
fn user_codes_are_read_as_people_type_them() {
    let code = UserCode::random();
    let text = code.to_string();
    assert_eq!((text.len(), &text[4..5]), (9, "-"));
    let (lower, spaced) = (text.to_lowercase(), text.replace('-', " "));
    for typed in [&text, &lower, &spaced, &text.replace('-', "")] {
        assert_eq!(typed.parse(), Ok(code), "{typed}");
    }
    for bad in ["", "BCDF-GHJ", "BCDF-GHJKL", "ABCD-EFGH", "BCDF_GHJK"] {
        assert_eq!(bad.parse::<UserCode>(), Err(ParseUserCodeError), "{bad}");
    }
}

#[test]
fn pins_are_of_the_key_and_not_of_the_certificate() {
    let authority = authority("team");
    let pin = Pin::of_spki(authority.key().spki());
    assert_eq!(Pin::of_certificate(authority.certificate().der()), Some(pin));
    assert_eq!(Pin::of_certificate(b"junk"), None);
    assert_eq!(pin.to_string().parse(), Ok(pin));
    let digits = &pin.to_string()[7..];
    for bad in ["", digits, &format!("sha256:{}", &digits[1..]), &format!("sha1:{digits}")] {
        assert_eq!(bad.parse::<Pin>(), Err(ParsePinError), "{bad}");
    }
}

#[test]
fn unit_wb_11_only_https_can_be_written_down() {
    let url = |text: &str| text.parse::<ServiceUrl>();
    for (text, authority, path) in [
        ("https://vpn.example.org", "vpn.example.org", "/enrol/v1/key"),
        ("https://vpn.example.org:443/", "vpn.example.org", "/enrol/v1/key"),
        ("https://192.0.2.1:8443/a/b/", "192.0.2.1:8443", "/a/b/enrol/v1/key"),
        ("https://[2001:db8::1]:1", "[2001:db8::1]:1", "/enrol/v1/key"),
        ("https://[2001:db8::1]", "[2001:db8::1]", "/enrol/v1/key"),
    ] {
        let read = url(text).expect(text);
        assert_eq!(
            (read.authority(), read.path_to("/enrol/v1/key")),
            (authority.into(), path.into())
        );
        assert_eq!(url(&read.to_string()), Ok(read));
    }
    let long = format!("https://a/{}", "x".repeat(2000));
    for bad in [
        "http://vpn.example.org",
        "vpn.example.org",
        "https://",
        "https://:443",
        "https://a:0",
        "https://a b",
        "https://user@host",
        "https://a?x",
        "https://a/#x",
        "https://a/\r\nx: y",
        "https://2001:db8::1",
        &long,
    ] {
        assert_eq!(url(bad), Err(ParseUrlError), "{bad}");
    }
}

#[test]
fn every_message_round_trips() {
    let (key, request, grant) = granted();
    assert_eq!(round_trip(&KeyRequest::new(&key, Some("Laptop"))).host.as_deref(), Some("laptop"));
    assert_eq!(KeyRequest::new(&key, Some("no host name")).host, None);
    round_trip(&KeyRequest::new(&PrivateKey::generate_for(Algorithm::Ed25519), None));
    round_trip(&KeyAnswer::new("team", Salt::random(), key.spki()));
    assert_eq!(round_trip(&CertificateRequest { request: request.clone() }).request, request);
    round_trip(&Pending::default());
    assert_eq!(text_of(&Pending::default()), r#"{"state":"pending"}"#);
    let nonce: Nonce = "abc-_19".parse().expect("a nonce");
    round_trip(&NonceAnswer { nonce: nonce.clone() });
    round_trip(&RenewalRequest::sign(&key, request, grant.certificate.clone(), nonce));
    round_trip(&NoticesAnswer { notices: grant.notices.clone() });
    round_trip(&DeviceRequest::new("team", Some("laptop")).expect("a group"));
    let device_code = DeviceCode::random();
    round_trip(&DeviceAnswer {
        device_code: device_code.clone(),
        user_code: UserCode::random(),
        verification_url: "https://vpn.example.org/device".parse().expect("an address"),
        interval: 5,
        expires_in: 600,
    });
    round_trip(&DeviceTokenRequest { device_code });
    round_trip(&DeviceTokenAnswer { blob: "version: 1\n".to_owned().into() });
    for code in Code::ALL {
        let denial = Denial { code: *code, message: format!("because of {code}") };
        assert_eq!(round_trip(&denial), denial);
    }
    round_trip(&grant);
}

#[test]
fn unit_wb_10_a_grant_makes_a_member_of_the_one_that_asked() {
    let (key, request, grant) = granted();
    let read = round_trip(&grant);
    let trust = read.trust().expect("is usable");
    let member = trust.judge(read.certificate.der(), NOW).expect("is a member");
    let (group, id) = request.identity().expect("carries it");
    assert_eq!((member.group.as_str(), member.node_id, member.user.as_str()), (group, id, "ana"));
    assert_eq!(member.spki, key.spki());
    assert_eq!(trust.ledger().number(), 1);
    assert_eq!(read.secrets[0].secret.generation, 2);
    assert!(trust.judge(read.certificate.der(), NOW + DAY + DAY).is_err(), "strict policy is kept");
}

#[test]
fn the_id_must_be_the_one_of_the_key() {
    let key = PrivateKey::generate();
    let mut answer = KeyAnswer::new("team", Salt::random(), key.spki());
    assert!(answer.is_for(key.spki()) && !answer.is_for(PrivateKey::generate().spki()));
    answer.salt = Salt::random();
    assert!(!answer.is_for(key.spki()));
}

#[test]
fn a_renewal_is_proven_by_the_key_of_its_certificate_only() {
    let (key, request, grant) = granted();
    let nonce = |text: &str| text.parse::<Nonce>().expect("a nonce");
    let sign = |key: &PrivateKey, request: &Request| {
        RenewalRequest::sign(key, request.clone(), grant.certificate.clone(), nonce("n1"))
    };
    assert!(sign(&key, &request).is_proven());
    let thief = PrivateKey::generate();
    assert!(!sign(&thief, &request).is_proven(), "signed by another key");
    let id = NodeId::self_certified(thief.spki());
    let theirs = Request::for_node(&thief, "team", id).expect("writes");
    assert!(!sign(&key, &theirs).is_proven(), "for another key");
    assert!(!sign(&thief, &theirs).is_proven(), "another key altogether");
    let mut again = sign(&key, &request);
    again.nonce = nonce("n2");
    assert!(!again.is_proven(), "another nonce");
    let mut swapped = sign(&key, &request);
    swapped.request = Request::for_node(&key, "team", id).expect("writes");
    assert!(!swapped.is_proven(), "another request");
    let mut foreign = sign(&key, &request);
    foreign.certificate = issue(&authority("team"), "bo", NOW);
    assert!(!foreign.is_proven(), "another certificate");
}

#[test]
fn requests_are_strict_and_answers_tolerant() {
    let (key, _, grant) = granted();
    let more = |text: String| text.replacen('{', r#"{"more":1,"#, 1);
    let request = more(text_of(&KeyRequest::new(&key, None)));
    assert!(matches!(KeyRequest::from_json(request.as_bytes()), Err(JsonError::Unexpected { .. })));
    let text = more(text_of(&grant)).replacen(r#""mtu":"#, r#""colour":"red","mtu":"#, 1);
    let read = Grant::from_json(text.as_bytes()).expect("a newer service may say more");
    assert_eq!(read.network, grant.network);
    let unknown = br#"{"error":"moon_phase","message":"wait\u001b[2J for\na full one","more":1}"#;
    let denial = Denial::from_json(unknown).expect("a newer service has more reasons");
    assert_eq!(denial.code, Code::Other);
    assert_eq!(denial.message, "wait [2J for a full one");
}

#[test]
fn bounds_hold_and_errors_quote_nothing() {
    let (key, _, grant) = granted();
    let spaces = [b" ".repeat(REQUEST_LEN_MAX), KeyRequest::new(&key, None).to_json().to_vec()];
    let too_long = KeyRequest::from_json(&spaces.concat()).err();
    assert_eq!(too_long, Some(JsonError::TooLong { max: REQUEST_LEN_MAX }));
    let mut many = grant.clone();
    let signed = |n| authority("team").sign_secret(GroupSecret::random(n), NOW);
    many.secrets = (1..=GENERATIONS_MAX as u32 + 1).rev().map(signed).collect();
    assert!(Grant::from_json(&many.to_json()).is_err(), "too many secrets");
    many.secrets.clear();
    assert!(Grant::from_json(&many.to_json()).is_err(), "no secret");
    many.secrets = grant.secrets.iter().rev().cloned().collect();
    assert!(Grant::from_json(&many.to_json()).is_err(), "secrets in the wrong order");
    many = grant;
    many.ca = vec![many.ca[0].clone(); crate::ISSUERS_MAX + 1];
    assert!(Grant::from_json(&many.to_json()).is_err(), "too many authorities");
    let secret = DeviceCode::random().expose();
    let wrong = format!(r#"{{"public_key":"{}"}}"#, &*secret);
    let error = KeyRequest::from_json(wrong.as_bytes()).expect_err("is no key").to_string();
    assert!(error.starts_with("not the expected JSON at line 1"), "{error}");
}

proptest! {
    #[test]
    fn bytes_of_any_kind_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = KeyRequest::from_json(&bytes);
        let _ = RenewalRequest::from_json(&bytes);
        let _ = Grant::from_json(&bytes);
        let _ = Denial::from_json(&bytes);
        let text = String::from_utf8_lossy(&bytes);
        let _ = text.parse::<Token>();
        let _ = text.parse::<ServiceUrl>();
        let _ = text.parse::<UserCode>();
    }
}
