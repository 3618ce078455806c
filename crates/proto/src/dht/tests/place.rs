//! For which keys a replica speaks.

use super::*;

/// What a node says to a message: the bodies that it sends.
fn said(dht: &mut Dht, from: NodeId, body: Body) -> Vec<Body> {
    let mut effects = Vec::new();
    let now = Now { instant: Instant::ZERO, unix: UnixTime(EPOCH) };
    let (mut rng, signer) = (Rng::new([1; 32]), ToySigner([1; 20]));
    let cx =
        &mut Context { now, rng: &mut rng, verifier: &Toy, signer: &signer, effects: &mut effects };
    dht.handle(from, &Message { id: 7, body }.emit(), cx);
    let sent = effects.into_iter().map(|effect| match effect {
        Effect::ToNode { message, .. } => Message::parse(&message).expect("own output").body,
        other => panic!("{other:?}"),
    });
    sent.collect()
}

fn claim(owner: u8) -> Record {
    let mut record = Record {
        key: key(Kind::Exclusive, 1),
        owner: NodeId::from_bytes([owner; 20]),
        seq: 1,
        expiry: UnixTime(EPOCH) + HOUR,
        intent: Intent::Write,
        payload: Vec::new(),
        signature: Vec::new(),
    };
    record.signature = toy_signature(&[owner; 20], &record.signed_bytes());
    record
}

fn show_certificate(dht: &mut Dht, owner: u8) -> Vec<Body> {
    let id = NodeId::from_bytes([owner; 20]);
    said(dht, id, Body::Certificate { owner: id, certificate: vec![owner; 20] })
}

/// It may know nodes only that are far, and think that most of the ring is its own.
#[test]
fn unit_ad_03_who_has_no_place_in_the_ring_yet_speaks_for_nothing() {
    let mut ring = Ring::new(8, 20);
    let newcomer = ring.add(Config::default());
    let far = ring.ids()[0];
    let keys: Vec<Key> = (0..200).map(|n| key(Kind::Exclusive, n)).collect();
    let ready = |ring: &mut Ring| {
        let is_ready = |&&key: &&Key| {
            let page = ring.with(newcomer, |dht, cx| dht.page(key, None, 1_000, cx.now.unix));
            matches!(page, Body::Values { ready: true, .. })
        };
        keys.iter().filter(is_ready).count()
    };
    ring.with(newcomer, |dht, cx| dht.neighbours(Some(far), Some(far), cx));
    ring.run(Duration::from_secs(10));
    assert_eq!(ready(&mut ring), 0);
    ring.repair();
    ring.run(Duration::from_secs(10));
    let ready = ready(&mut ring);
    assert!(ready > 0 && ready < keys.len(), "{ready} of {}", keys.len());
}

#[test]
fn unit_ad_03_a_key_is_not_free_where_a_copy_waits_to_be_proven() {
    let mut dht = Dht::new(NodeId::from_bytes([1; 20]), Config::default());
    let (holder, other) = (claim(5), claim(6));
    let asked = said(&mut dht, other.owner, Body::Reserve(other.clone()));
    assert_eq!(asked, [Body::NeedCertificate]);
    assert_eq!(show_certificate(&mut dht, 6), [Body::Granted]);

    let replica = NodeId::from_bytes([9; 20]);
    let asked = said(&mut dht, replica, Body::Copy(holder.clone()));
    assert_eq!(asked, [Body::CertificateGet(holder.owner)]);
    for question in [Body::Reserve(other.clone()), Body::Commit(other.clone())] {
        assert_eq!(said(&mut dht, other.owner, question), [Body::NotReady]);
    }
    assert_eq!(show_certificate(&mut dht, 5), []);
    let taken = Body::Conflict { winner: holder, committed: true };
    assert_eq!(said(&mut dht, other.owner, Body::Commit(other.clone())), [taken]);
}
