//! One create, its replicas played by hand: votes are of one moment. And one replica: what changes its vote.

use super::create::Merge;
use super::store::Store;
use super::*;

/// A node that creates, and what it asks.
struct Claimant {
    dht: Dht,
    rng: Rng,
    now: Instant,
    /// The questions to the points, which are asked by and by.
    asked: BTreeMap<u8, Message>,
    outcome: Option<Outcome>,
}

const ME: [u8; 20] = [1; 20];

impl Claimant {
    /// A node that has just begun to create a key.
    fn new() -> Claimant {
        let mut claimant = Claimant {
            dht: Dht::new(NodeId::from_bytes(ME), Config::default()),
            rng: Rng::new([1; 32]),
            now: Instant::ZERO,
            asked: BTreeMap::new(),
            outcome: None,
        };
        claimant.with(|dht, cx| {
            let (key, way) = (key(Kind::Exclusive, 1), GiveWay::ToMost);
            dht.create(OpId(1), key, b"mine".to_vec(), HOUR, way, cx).expect("starts");
        });
        claimant
    }

    fn with(&mut self, act: impl FnOnce(&mut Dht, &mut Context<'_>)) {
        let mut effects = Vec::new();
        let now = Now { instant: self.now, unix: UnixTime(EPOCH) };
        let (rng, signer) = (&mut self.rng, &ToySigner(ME));
        let cx = &mut Context { now, rng, verifier: &Toy, signer, effects: &mut effects };
        act(&mut self.dht, cx);
        for effect in effects {
            match effect {
                Effect::ToNearest { point, message } => {
                    let key = key(Kind::Exclusive, 1);
                    let index = (0..REPLICAS).find(|&index| key.point(index) == point);
                    let message = Message::parse(&message).expect("own output");
                    self.asked.insert(index.expect("a point of the key"), message);
                }
                Effect::Done { outcome, .. } => self.outcome = Some(outcome),
                other => panic!("{other:?}"),
            }
        }
    }

    /// The claim that it makes.
    fn claim(&self) -> Record {
        match &self.asked[&0].body {
            Body::Reserve(record) => record.clone(),
            other => panic!("{other:?}"),
        }
    }

    /// The owners of these points, `first` and the next, say the same to what they were asked last.
    fn hear(&mut self, points: std::ops::Range<u8>, first: u8, body: &Body) {
        for (point, owner) in points.zip(first..) {
            let id = self.asked[&point].id;
            let answer = Message { id, body: body.clone() }.emit();
            self.with(|dht, cx| dht.handle(NodeId::from_bytes([owner; 20]), &answer, cx));
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.with(Dht::handle_timeout);
    }

    /// Lets time pass until it asks something, and says how long that took.
    fn wait_for_question(&mut self) -> Duration {
        let begun = self.now;
        self.asked.clear();
        while self.asked.is_empty() {
            self.pass(Duration::from_millis(100));
        }
        self.now - begun
    }
}

/// Three replicas commit and go; those who own their points now commit to another owner, and so do two more. The
/// create has votes of five owners of eight, and the other one has five as well, but for no moment both.
#[test]
fn unit_dh_02_votes_of_owners_that_came_one_after_the_other_are_no_majority() {
    let mut claimant = Claimant::new();
    claimant.hear(0..8, 10, &Body::Granted);
    claimant.hear(0..3, 10, &Body::Committed);
    claimant.pass(Duration::from_millis(2_100));
    claimant.hear(3..5, 13, &Body::Committed);
    assert_eq!(claimant.outcome, None, "five committed, but not at a time");

    let Body::Commit(mine) = claimant.asked[&0].body.clone() else {
        panic!("{:?}", claimant.asked)
    };
    let winner = Record { owner: NodeId::from_bytes([2; 20]), ..mine };
    let theirs = Body::Conflict { winner: winner.clone(), committed: true };
    claimant.hear(3..5, 13, &Body::Committed);
    claimant.hear(0..3, 20, &theirs);
    claimant.hear(5..7, 15, &theirs);
    assert_eq!(claimant.outcome, Some(Outcome::Taken(winner)));
}

/// One replica says that this node wrote the key before: falsely, with a number after which none is left.
#[test]
fn unit_dh_02_a_replica_that_lies_does_not_choose_the_number_of_our_records() {
    for seq in [u64::MAX, u64::MAX - 1] {
        let mut claimant = Claimant::new();
        let mine = claimant.claim();
        let forged = Record { seq, signature: vec![0; 32], ..mine.clone() };
        claimant.hear(0..1, 10, &Body::Conflict { winner: forged, committed: true });
        claimant.hear(1..8, 11, &Body::Granted);
        claimant.hear(1..8, 11, &Body::Committed);
        assert_eq!(claimant.outcome, Some(Outcome::Created(mine)));
    }
}

#[test]
fn what_a_former_life_wrote_counts_for_older() {
    let mut claimant = Claimant::new();
    let mut former = claimant.claim();
    former.seq += 1_000;
    former.signature = toy_signature(&ME, &former.signed_bytes());
    claimant.hear(0..1, 10, &Body::Conflict { winner: former.clone(), committed: true });
    assert_eq!(claimant.claim().seq, former.seq + 1);
}

/// The network was cut just after a create, so that the renewal reaches nobody. The other part may have given the
/// key away meanwhile, and no replica would say so: they have one record only.
#[test]
fn unit_ad_03_who_could_not_renew_asks_again_within_seconds() {
    let mut owner = Claimant::new();
    owner.hear(0..8, 10, &Body::Granted);
    owner.hear(0..8, 10, &Body::Committed);
    assert!(matches!(owner.outcome, Some(Outcome::Created(_))));
    owner.wait_for_question();
    for _ in 0..110 {
        owner.pass(Duration::from_millis(100));
    }
    let waited = owner.wait_for_question();
    assert!(waited < Duration::from_secs(4), "{waited:?}");
}

/// A record of one of two owners; the first has the better rank for the key.
fn of_two(which: usize, intent: Intent, seq: u64) -> Record {
    let key = key(Kind::Exclusive, 1);
    let mut owners = [[5; 20], [6; 20]].map(NodeId::from_bytes);
    owners.sort_by_key(|&owner| key.rank(owner));
    let expiry = UnixTime(EPOCH) + HOUR;
    let (payload, signature) = (Vec::new(), Vec::new());
    Record { key, owner: owners[which], seq, expiry, intent, payload, signature }
}

/// A replica that has committed to the second owner.
fn replica_of_the_second(intent: Intent) -> (Store, Now) {
    let (mut store, now) =
        (Store::new(Limits::default()), Now { instant: Instant::ZERO, unix: UnixTime(EPOCH) });
    let record = of_two(1, Intent::Write, 1);
    assert_eq!(store.reserve(record.clone(), now), Body::Granted);
    assert_eq!(store.commit(record, now), Body::Committed);
    if intent == Intent::Renew {
        assert_eq!(store.commit(of_two(1, intent, 2), now), Body::Committed);
    }
    (store, now)
}

/// In a ring that grows, replicas copy votes for a create that has not won, and may never. Where another owner has won,
/// such a copy once took its votes away, by the order that is for merges of two rings.
#[test]
fn unit_ad_03_a_vote_that_is_copied_changes_no_vote_but_a_renewal_does() {
    let holder = |store: &Store| {
        store.holder(of_two(0, Intent::Write, 1).key, UnixTime(EPOCH)).map(|r| r.owner)
    };
    let [first, second] = [0, 1].map(|which| of_two(which, Intent::Write, 1).owner);

    let (mut store, now) = replica_of_the_second(Intent::Write);
    assert_eq!(store.merge(of_two(0, Intent::Write, 9), now), Merge::Quiet);
    assert_eq!(holder(&store), Some(second));
    let renewal = of_two(0, Intent::Renew, 10);
    let decided = Merge::Decided { winner: renewal.clone(), loser: second };
    assert_eq!(store.merge(renewal, now), decided);
    assert_eq!(holder(&store), Some(first));

    let (mut store, now) = replica_of_the_second(Intent::Renew);
    let winner = of_two(1, Intent::Renew, 2);
    let decided = Merge::Decided { winner, loser: first };
    assert_eq!(store.merge(of_two(0, Intent::Write, 9), now), decided);
    assert_eq!(holder(&store), Some(second));
    store.merge(of_two(0, Intent::Renew, 10), now);
    assert_eq!(holder(&store), Some(first), "two rings, of which each had an owner");
}

/// Who has won writes again, and meets replicas that are new to the key and were asked by others.
#[test]
fn unit_ad_03_a_renewal_needs_no_claim_and_passes_votes_but_no_other_renewal() {
    let (mut store, now) =
        (Store::new(Limits::default()), Now { instant: Instant::ZERO, unix: UnixTime(EPOCH) });
    store.reserve(of_two(0, Intent::Write, 1), now);
    let renewal = of_two(1, Intent::Renew, 2);
    assert_eq!(store.reserve(renewal.clone(), now), Body::Granted);
    assert_eq!(store.commit(renewal, now), Body::Committed);

    let renewal = of_two(0, Intent::Renew, 2);
    let (mut store, now) = replica_of_the_second(Intent::Write);
    assert_eq!(store.reserve(renewal.clone(), now), Body::Granted);
    assert_eq!(store.commit(renewal.clone(), now), Body::Committed);
    assert_eq!(store.size().0, 1, "one holds the key");

    let (mut store, now) = replica_of_the_second(Intent::Renew);
    let winner = of_two(1, Intent::Renew, 2);
    let taken = Body::Conflict { winner, committed: true };
    assert_eq!(store.reserve(renewal.clone(), now), taken);
    assert_eq!(store.commit(renewal, now), taken);
}
