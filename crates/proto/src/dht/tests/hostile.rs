//! A member that lies, or answers for nothing but to tire others: what it begins ends, and what it takes is little.

use super::super::store::Store;
use super::*;
use std::cell::Cell;

const ME: NodeId = NodeId::from_bytes([1; 20]);
const LIAR: NodeId = NodeId::from_bytes([9; 20]);
/// Between a question and the answer.
const STEP: Duration = Duration::from_millis(100);

/// Counts the signatures that are checked.
struct Counting<'a>(&'a Cell<usize>);

impl Verifier for Counting<'_> {
    fn verify(&self, cert: &[u8], owner: NodeId, bytes: &[u8], sig: &[u8], at: UnixTime) -> bool {
        self.0.set(self.0.get() + 1);
        Toy.verify(cert, owner, bytes, sig, at)
    }

    fn is_revocation(&self, key: Key, payload: &[u8]) -> bool {
        Toy.is_revocation(key, payload)
    }
}

/// A node whose every question the same member answers.
struct Victim {
    dht: Dht,
    rng: Rng,
    now: Instant,
    /// What it asked and nobody has answered yet.
    asked: Vec<Message>,
    outcome: Option<Outcome>,
    checked: Cell<usize>,
}

impl Victim {
    fn new() -> Victim {
        Victim {
            dht: Dht::new(ME, Config::default()),
            rng: Rng::new([1; 32]),
            now: Instant::ZERO,
            asked: Vec::new(),
            outcome: None,
            checked: Cell::new(0),
        }
    }

    fn with(&mut self, act: impl FnOnce(&mut Dht, &mut Context<'_>)) {
        let mut effects = Vec::new();
        let unix = UnixTime(EPOCH + self.now.as_micros() / 1_000_000);
        let (verifier, signer) = (Counting(&self.checked), ToySigner(*ME.as_bytes()));
        let cx = &mut Context {
            now: Now { instant: self.now, unix },
            rng: &mut self.rng,
            verifier: &verifier,
            signer: &signer,
            effects: &mut effects,
        };
        act(&mut self.dht, cx);
        for effect in effects {
            match effect {
                Effect::ToNearest { message, .. } | Effect::ToNode { message, .. } => {
                    self.asked.push(Message::parse(&message).expect("own output"));
                }
                Effect::Done { outcome, .. } => self.outcome = Some(outcome),
                other => panic!("{other:?}"),
            }
        }
    }

    fn hear(&mut self, id: u64, body: Body) {
        let message = Message { id, body }.emit();
        self.with(|dht, cx| dht.handle(LIAR, &message, cx));
    }

    /// Lets the liar answer for some time, or until an operation has ended; says how long that took.
    fn play(
        &mut self,
        time: Duration,
        mut answer: impl FnMut(&Message, Instant) -> Option<Body>,
    ) -> Duration {
        let begun = self.now;
        while self.now - begun < time && self.outcome.is_none() {
            self.now += STEP;
            for question in std::mem::take(&mut self.asked) {
                if let Some(body) = answer(&question, self.now) {
                    self.hear(question.id, body);
                }
            }
            self.with(Dht::handle_timeout);
        }
        self.now - begun
    }

    /// How long a read takes of which each page holds one value and promises more.
    fn read(&mut self, key: Key, mut next: impl FnMut(u64) -> Record) -> Duration {
        self.with(|dht, cx| dht.get(OpId(1), key, cx).expect("starts"));
        let mut pages = 0;
        self.play(HOUR, |question, _| match question.body {
            Body::Get { .. } => {
                pages += 1;
                let records = vec![next(pages)];
                Some(Body::Values { ready: true, more: true, digest: pages, records })
            }
            Body::CertificateGet(owner) => {
                Some(Body::Certificate { owner, certificate: owner.as_bytes().to_vec() })
            }
            _ => None,
        })
    }
}

fn record(key: Key, owner: NodeId, seq: u64) -> Record {
    let (expiry, intent) = (UnixTime(EPOCH) + 2 * HOUR, Intent::Write);
    let (payload, signature) = (Vec::new(), Vec::new());
    let mut record = Record { key, owner, seq, expiry, intent, payload, signature };
    record.signature = toy_signature(owner.as_bytes(), &record.signed_bytes());
    record
}

fn nobody(n: u64) -> NodeId {
    key(Kind::Slot, 1_000 + n).id()
}

#[test]
fn a_read_ends_whatever_comes() {
    for kind in [Kind::Slot, Kind::Exclusive] {
        let key = key(kind, 1);
        let forged = |n| Record { signature: vec![0; 32], ..record(key, nobody(n), 1) };
        assert!(Victim::new().read(key, forged) < Duration::from_secs(61), "forged values");
        let renewed = |n| record(key, LIAR, n);
        assert!(Victim::new().read(key, renewed) < Duration::from_secs(61), "one that is renewed");
    }
}

#[test]
fn a_forged_record_is_judged_once_and_not_each_time_that_something_happens() {
    let (mut victim, key) = (Victim::new(), key(Kind::Slot, 1));
    let owners: Vec<NodeId> = (0..6).map(nobody).collect();
    for &owner in &owners {
        victim.hear(7, Body::Put(record(key, owner, 1)));
        let certificate = owner.as_bytes().to_vec();
        victim.hear(7, Body::Certificate { owner, certificate });
    }
    assert_eq!(victim.dht.held().0, owners.len());
    victim.checked.set(0);
    victim.asked.clear();
    victim.with(|dht, cx| dht.get(OpId(1), key, cx).expect("starts"));
    let forged = |&owner: &NodeId| Record { signature: vec![0; 32], ..record(key, owner, 2) };
    let records: Vec<Record> = owners.iter().map(forged).collect();
    let (first, mut told) = (victim.asked[0].id, 0);
    victim.play(HOUR, |question, _| {
        let values = Body::Values { ready: true, more: false, digest: 1, records: records.clone() };
        told += usize::from(question.id == first);
        (question.id == first).then_some(values)
    });
    assert!(victim.outcome.is_some());
    assert_eq!(victim.checked.get(), owners.len() * told);
}

#[test]
fn a_comparison_ends_though_the_other_side_goes_on_in_tiny_steps() {
    let mut victim = Victim::new();
    victim.with(|dht, cx| {
        dht.neighbours(Some(LIAR), Some(LIAR), cx);
        dht.handle_joined();
    });
    let mut asked: BTreeMap<u64, (Instant, Instant)> = BTreeMap::new();
    victim.play(Duration::from_secs(600), |question, now| {
        let Body::Compare { range, .. } = &question.body else { return None };
        asked.entry(question.id).or_insert((now, now)).1 = now;
        let one = ring::Arc::power_of_two(0);
        Some(Body::Same { upto: ring::offset(range.from, one, ring::Side::Right) })
    });
    let longest = asked.values().map(|(first, last)| *last - *first).max();
    assert!(longest.is_some_and(|time| time < Duration::from_secs(61)), "{longest:?}");
}

#[test]
fn the_claims_of_one_owner_leave_room_for_those_of_others() {
    let mut store = Store::new(Limits::default());
    let mut now = Now { instant: Instant::ZERO, unix: UnixTime(EPOCH) };
    let mut claim = |owner, n, now| store.reserve(record(key(Kind::Exclusive, n), owner, 1), now);
    let granted = (0..2_000).filter(|&n| claim(LIAR, n, now) == Body::Granted).count();
    assert_eq!(granted, Limits::default().per_owner);
    assert_eq!(claim(LIAR, 0, now), Body::Granted, "one that is noted is made again");
    assert_eq!(claim(ME, 5_000, now), Body::Granted);
    now.instant += Duration::from_secs(5);
    assert_eq!(claim(LIAR, 6_000, now), Body::Granted, "the others have ended");
}
