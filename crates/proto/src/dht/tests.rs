//! The hash table in a ring of machines in virtual time: random delays, partitions, failures.

use super::*;
use crate::ring;
use crate::wire::record::{Intent, Kind, REPLICAS};
use aws_lc_rs::digest::{SHA256, digest};
use std::collections::{BTreeMap, BTreeSet};

const HOUR: Duration = Duration::from_secs(3_600);
const EPOCH: u64 = 1_800_000_000;

/// What the toy takes for a notice of the authority.
const NOTICE: &[u8] = b"out: ";

/// Certificates are the owner's ID, signatures a hash: enough to tell true from false.
struct Toy;
struct ToySigner([u8; 20]);

fn toy_signature(owner: &[u8; 20], bytes: &[u8]) -> Vec<u8> {
    digest(&SHA256, &[owner, bytes].concat()).as_ref().to_vec()
}

impl Verifier for Toy {
    fn verify(&self, cert: &[u8], owner: NodeId, bytes: &[u8], sig: &[u8], _: UnixTime) -> bool {
        cert == owner.as_bytes() && sig == toy_signature(owner.as_bytes(), bytes)
    }

    fn is_revocation(&self, _: Key, payload: &[u8]) -> bool {
        payload.starts_with(NOTICE)
    }
}

impl Signer for ToySigner {
    fn certificate(&self) -> &[u8] {
        &self.0
    }
    fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        toy_signature(&self.0, bytes)
    }
}

struct Node {
    dht: Dht,
    rng: Rng,
    /// Nodes of different islands do not hear each other.
    island: u8,
    /// Seconds by which its wall clock is ahead.
    skew: i64,
    alive: bool,
}

/// A ring whose overlay is perfect but for what the test breaks.
struct Ring {
    now: Instant,
    rng: Rng,
    nodes: BTreeMap<NodeId, Node>,
    /// Whom routing knows: the dead stay in it until the ring is repaired.
    known: BTreeSet<NodeId>,
    in_flight: BTreeMap<(Instant, u64), (NodeId, NodeId, Vec<u8>)>,
    sent: u64,
    bytes: u64,
    loss: f64,
    done: BTreeMap<OpId, (Instant, Outcome)>,
    events: Vec<(NodeId, Event)>,
    found: Vec<(OpId, NodeId)>,
}

impl Ring {
    fn new(seed: u64, n: usize) -> Ring {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        let mut ring = Ring {
            now: Instant::ZERO,
            rng: Rng::new(bytes),
            nodes: BTreeMap::new(),
            known: BTreeSet::new(),
            in_flight: BTreeMap::new(),
            sent: 0,
            bytes: 0,
            loss: 0.0,
            done: BTreeMap::new(),
            events: Vec::new(),
            found: Vec::new(),
        };
        for _ in 0..n {
            ring.add(Config::default());
        }
        ring.repair();
        ring.run(Duration::from_secs(5));
        ring
    }

    fn add(&mut self, config: Config) -> NodeId {
        let id = NodeId::from_bytes(self.rng.bytes());
        let rng = Rng::new(self.rng.bytes());
        self.nodes
            .insert(id, Node { dht: Dht::new(id, config), rng, island: 0, skew: 0, alive: true });
        id
    }

    fn ids(&self) -> Vec<NodeId> {
        self.nodes.iter().filter(|(_, n)| n.alive).map(|(id, _)| *id).collect()
    }

    /// Routing and neighbours catch up with who is alive, per island.
    fn repair(&mut self) {
        self.known = self.ids().into_iter().collect();
        for id in self.ids() {
            let same = self.reachable(id);
            let at = same.iter().position(|&x| x == id).expect("it is alive");
            let n = same.len();
            let (left, right) = match n {
                1 => (None, None),
                _ => (Some(same[(at + n - 1) % n]), Some(same[(at + 1) % n])),
            };
            self.with(id, |dht, cx| dht.neighbours(left, right, cx));
            self.with(id, |dht, _| dht.handle_joined());
        }
    }

    fn reachable(&self, from: NodeId) -> Vec<NodeId> {
        let island = self.nodes[&from].island;
        self.known.iter().copied().filter(|id| self.nodes[id].island == island).collect()
    }

    fn with<R>(&mut self, id: NodeId, f: impl FnOnce(&mut Dht, &mut Context<'_>) -> R) -> R {
        let mut effects = Vec::new();
        let signer = ToySigner(*id.as_bytes());
        let node = self.nodes.get_mut(&id).expect("a node of the ring");
        let unix = EPOCH.saturating_add_signed(node.skew) + self.now.as_micros() / 1_000_000;
        let now = Now { instant: self.now, unix: UnixTime(unix) };
        let mut cx = Context {
            now,
            rng: &mut node.rng,
            verifier: &Toy,
            signer: &signer,
            effects: &mut effects,
        };
        let result = f(&mut node.dht, &mut cx);
        effects.into_iter().for_each(|effect| self.carry_out(id, effect));
        result
    }

    fn carry_out(&mut self, from: NodeId, effect: Effect) {
        let (to, message) = match effect {
            Effect::ToNode { node, message } => (node, message),
            Effect::ToNearest { point, message, .. } => {
                let near = |a: &NodeId, b: &NodeId| ring::nearer(point, *a, *b);
                (self.reachable(from).into_iter().min_by(near).expect("at least itself"), message)
            }
            Effect::Done { op, outcome } => {
                assert!(self.done.insert(op, (self.now, outcome)).is_none(), "ended twice");
                return;
            }
            Effect::Found { op, record } => return self.found.push((op, record.owner)),
            Effect::Event(event) => return self.events.push((from, event)),
        };
        self.sent += 1;
        self.bytes += message.len() as u64;
        if self.rng.unit() >= self.loss {
            let delay = Duration::from_millis(5 + self.rng.below(295) as u64);
            self.in_flight.insert((self.now + delay, self.sent), (from, to, message));
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let message = self.in_flight.keys().next().map(|k| k.0);
            let alive = self.nodes.iter().filter(|(_, n)| n.alive);
            let timer = alive.filter_map(|(id, n)| Some((n.dht.deadline()?, *id))).min();
            let next = message.into_iter().chain(timer.map(|t| t.0)).min();
            let Some(next) = next.filter(|&at| at <= end) else { break };
            self.now = self.now.max(next);
            if message == Some(next) {
                let (_, (from, to, bytes)) = self.in_flight.pop_first().expect("it is there");
                let (a, b) = (&self.nodes[&from], self.nodes.get(&to));
                if b.is_some_and(|b| b.alive && b.island == a.island) {
                    self.with(to, |dht, cx| dht.handle(from, &bytes, cx));
                }
            } else if let Some((_, id)) = timer {
                self.with(id, |dht, cx| dht.handle_timeout(cx));
            }
        }
        self.now = end;
    }

    fn get(&mut self, at: NodeId, key: Key) -> Outcome {
        let op = OpId(self.rng.u64());
        self.with(at, |dht, cx| dht.get(op, key, cx)).expect("starts");
        for _ in 0..10 {
            self.run(Duration::from_secs(11));
            if let Some((_, outcome)) = self.done.remove(&op) {
                return outcome;
            }
        }
        panic!("a read does not end")
    }

    fn values(&mut self, at: NodeId, key: Key) -> Vec<Vec<u8>> {
        match self.get(at, key) {
            Outcome::Values { records, .. } => records.into_iter().map(|r| r.payload).collect(),
            Outcome::Absent => Vec::new(),
            other => panic!("{other:?}"),
        }
    }

    fn put(&mut self, at: NodeId, key: Key, value: &[u8], ttl: Duration) -> OpId {
        let op = OpId(self.rng.u64());
        let value = value.to_vec();
        self.with(at, |dht, cx| dht.put(op, key, value, ttl, cx)).expect("starts");
        op
    }

    fn create(&mut self, at: NodeId, key: Key, ttl: Duration) -> OpId {
        self.create_or_give_way(at, key, ttl, GiveWay::ToMost)
    }

    fn create_or_give_way(&mut self, at: NodeId, key: Key, ttl: Duration, way: GiveWay) -> OpId {
        let op = OpId(self.rng.u64());
        let value = at.as_bytes().to_vec();
        self.with(at, |dht, cx| dht.create(op, key, value, ttl, way, cx)).expect("starts");
        op
    }

    fn is_created(&self, op: OpId) -> bool {
        matches!(self.done.get(&op), Some((_, Outcome::Created(_))))
    }

    /// Alive nodes that own a point of the key, and how many of them hold a record of it.
    fn replicas(&self, key: Key) -> (usize, usize) {
        let ids = self.ids();
        let near = |i| {
            ids.iter().copied().min_by(|a, b| ring::nearer(key.point(i), *a, *b)).expect("some")
        };
        let owners: BTreeSet<NodeId> = (0..REPLICAS).map(near).collect();
        let unix = UnixTime(EPOCH + self.now.as_micros() / 1_000_000);
        let holds = |id: &&NodeId| self.nodes[id].dht.store.live(key, unix).next().is_some();
        (owners.len(), owners.iter().filter(holds).count())
    }

    fn kill(&mut self, share: f64) {
        let mut ids = self.ids();
        for _ in 0..(ids.len() as f64 * share) as usize {
            let id = ids.swap_remove(self.rng.below(ids.len()));
            self.nodes.get_mut(&id).expect("a node").alive = false;
        }
    }
}

fn key(kind: Kind, n: u64) -> Key {
    Key::derive(kind, "test", &n.to_be_bytes())
}

fn seeds(default: u64) -> u64 {
    std::env::var("WARREN_SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(default)
}

#[test]
fn sim_dh_01_put_appends() {
    let mut ring = Ring::new(1, 30);
    let ids = ring.ids();
    let key = key(Kind::Slot, 1);
    let ops: Vec<OpId> = (0..3).map(|i| ring.put(ids[i * 7], key, &[i as u8], HOUR)).collect();
    ring.run(Duration::from_secs(5));
    for op in ops {
        assert!(matches!(ring.done[&op].1, Outcome::Stored { replicas } if replicas > 4));
    }
    for at in [ids[0], ids[5], ids[29]] {
        let values: BTreeSet<_> = ring.values(at, key).into_iter().collect();
        assert_eq!(values, BTreeSet::from([vec![0], vec![1], vec![2]]));
    }
    assert_eq!(ring.get(ids[3], super::tests::key(Kind::Slot, 2)), Outcome::Absent);
}

#[test]
fn a_clock_that_is_a_day_off_is_named_as_the_cause() {
    const DAY: i64 = 86_400;
    for (size, skew) in [(12, DAY), (12, -DAY), (2, DAY), (2, -DAY)] {
        let mut ring = Ring::new(7, size);
        let off = ring.ids()[1];
        ring.nodes.get_mut(&off).expect("it is there").skew = skew;
        let create = ring.create(off, Key::derive(Kind::Exclusive, "test", b"name"), HOUR);
        let put = ring.put(off, Key::derive(Kind::Slot, "test", b"name"), b"value", HOUR);
        ring.run(Duration::from_secs(60));
        for op in [create, put] {
            let (_, outcome) = ring.done.remove(&op).expect("it ended");
            assert!(
                matches!(outcome, Outcome::Failed(Failure::ClocksDiffer)),
                "{size} nodes, {skew} s: {outcome:?}"
            );
        }
    }
}

#[test]
fn sim_dh_02_create_has_one_winner() {
    one_of_fifty_wins(seeds(100));
}

#[test]
#[ignore = "takes 2 minutes"]
fn sim_dh_02_create_has_one_winner_in_a_thousand_runs() {
    one_of_fifty_wins(1_000);
}

fn one_of_fifty_wins(seeds: u64) {
    for seed in 0..seeds {
        let mut ring = Ring::new(seed, 50);
        ring.loss = if seed % 2 == 0 { 0.0 } else { 0.02 };
        let key = key(Kind::Exclusive, seed);
        let ops: Vec<OpId> = ring.ids().into_iter().map(|id| ring.create(id, key, HOUR)).collect();
        ring.run(Duration::from_secs(10));
        let won = ops.iter().filter(|&&op| ring.is_created(op)).count();
        let ended = ops.iter().filter(|op| ring.done.contains_key(op)).count();
        assert_eq!((won, ended), (1, 50), "seed {seed}");
    }
}

#[test]
fn sim_dh_02_who_has_other_keys_to_choose_from_gives_way_to_the_first_replica_that_says_so() {
    let mut waited = Vec::new();
    for way in [GiveWay::ToMost, GiveWay::ToOne] {
        let mut ring = Ring::new(11, 50);
        let (ids, key) = (ring.ids(), key(Kind::Exclusive, 4));
        ring.create(ids[3], key, HOUR);
        ring.run(Duration::from_secs(5));
        let asked = ring.now;
        let op = ring.create_or_give_way(ids[9], key, HOUR, way);
        ring.run(Duration::from_secs(10));
        let (at, outcome) = &ring.done[&op];
        assert!(matches!(outcome, Outcome::Taken(r) if r.owner == ids[3]), "{outcome:?}");
        waited.push(*at - asked);
    }
    assert!(waited[1] < waited[0], "{waited:?}");

    // A free key is had all the same.
    let mut ring = Ring::new(12, 50);
    let (ids, key) = (ring.ids(), key(Kind::Exclusive, 5));
    let op = ring.create_or_give_way(ids[9], key, HOUR, GiveWay::ToOne);
    ring.run(Duration::from_secs(10));
    assert!(ring.is_created(op));
}

#[test]
fn sim_dh_02_the_same_owner_renews_and_others_are_refused() {
    let mut ring = Ring::new(7, 40);
    let (ids, key) = (ring.ids(), key(Kind::Exclusive, 1));
    let first = ring.create(ids[3], key, HOUR);
    ring.run(Duration::from_secs(5));
    let (again, other) = (ring.create(ids[3], key, HOUR), ring.create(ids[9], key, HOUR));
    ring.run(Duration::from_secs(10));
    assert!(ring.is_created(first) && ring.is_created(again));
    let outcome = &ring.done[&other].1;
    assert!(matches!(outcome, Outcome::Taken(r) if r.owner == ids[3]), "{outcome:?}");

    let op = OpId(1);
    ring.with(ids[3], |dht, cx| dht.release(op, key, cx)).expect("starts");
    ring.run(Duration::from_secs(10));
    let other = ring.create(ids[9], key, HOUR);
    ring.run(Duration::from_secs(10));
    assert!(ring.is_created(other), "a released key is free at once");
}

#[test]
fn sim_dh_02_of_two_owners_in_a_split_ring_one_is_left_after_the_merge() {
    for seed in 0..seeds(100) / 5 {
        let mut ring = Ring::new(1_000 + seed, 40);
        let (ids, key) = (ring.ids(), key(Kind::Exclusive, seed));
        // Half of the seeds split the ring into two arcs, half at random.
        for (i, id) in ids.iter().enumerate() {
            let island = if seed % 2 == 0 { i / 20 } else { ring.rng.below(2) };
            ring.nodes.get_mut(id).expect("a node").island = island as u8;
        }
        ring.repair();
        ring.run(Duration::from_secs(20));
        let on = |ring: &Ring, i| *ids.iter().find(|id| ring.nodes[id].island == i).expect("one");
        let sides = [on(&ring, 0), on(&ring, 1)];
        let ops = sides.map(|id| ring.create(id, key, HOUR));
        ring.run(Duration::from_secs(30));
        assert!(ops.iter().all(|&op| ring.is_created(op)), "seed {seed}: each side has an owner");

        ring.nodes.values_mut().for_each(|n| n.island = 0);
        ring.repair();
        ring.run(Duration::from_secs(10));
        let [winner, loser] = match key.rank(sides[0]) < key.rank(sides[1]) {
            true => sides,
            false => [sides[1], sides[0]],
        };
        let lost: Vec<NodeId> = ring.events.iter().map(|(id, _)| *id).collect();
        assert_eq!(lost, [loser], "seed {seed}: the loser knows, and only the loser");
        match ring.get(ids[0], key) {
            Outcome::Values { records, .. } => assert_eq!(records[0].owner, winner),
            other => panic!("seed {seed}: {other:?}"),
        }
    }
}

#[test]
fn sim_dh_04_soft_state_lives_while_its_owner_lives() {
    let mut ring = Ring::new(4, 30);
    let ids = ring.ids();
    let (list, lease) = (key(Kind::Slot, 1), key(Kind::Exclusive, 1));
    let ttl = Duration::from_secs(120);
    ring.put(ids[2], list, b"here", ttl);
    ring.create(ids[2], lease, ttl);
    ring.run(ttl * 5);
    assert_eq!(ring.values(ids[20], list).len(), 1);
    assert_eq!(ring.values(ids[20], lease).len(), 1);
    assert!(ring.events.is_empty());

    ring.nodes.get_mut(&ids[2]).expect("a node").alive = false;
    ring.repair();
    ring.run(ttl + SWEEP);
    assert_eq!(ring.get(ids[20], list), Outcome::Absent);
    assert_eq!(ring.get(ids[20], lease), Outcome::Absent);
    assert_eq!((ring.replicas(list).1, ring.replicas(lease).1), (0, 0));
}

#[test]
fn sim_dh_05_replicas_survive_thirty_percent_loss() {
    let mut ring = Ring::new(5, 100);
    let ids = ring.ids();
    let keys: Vec<Key> =
        (0..100).map(|n| key(if n % 2 == 0 { Kind::Slot } else { Kind::Exclusive }, n)).collect();
    for (&key, &id) in keys.iter().zip(&ids) {
        match key.is_exclusive() {
            false => drop(ring.put(id, key, b"v", HOUR * 10)),
            true => drop(ring.create(id, key, HOUR * 10)),
        }
    }
    ring.run(Duration::from_secs(20));
    assert!(keys.iter().all(|&k| ring.replicas(k).0 == ring.replicas(k).1));

    ring.kill(0.3);
    let at = ring.ids()[0];
    let slots = keys.iter().filter(|k| k.kind() == Kind::Slot);
    let lost = slots.filter(|&&k| ring.values(at, k).is_empty()).count();
    assert_eq!(lost, 0, "before the repair: any valid value answers");

    ring.repair();
    ring.run(Duration::from_secs(15));
    for &key in &keys {
        let (owners, holders) = ring.replicas(key);
        assert_eq!(holders, owners, "after the repair all owners have it again");
    }
    let at = ring.ids()[0];
    let lost = keys.iter().filter(|&&k| ring.values(at, k).is_empty()).count();
    assert_eq!(lost, 0);
}

#[test]
fn a_newcomer_gets_its_range_before_it_answers() {
    let mut ring = Ring::new(8, 20);
    let (ids, key) = (ring.ids(), key(Kind::Exclusive, 1));
    ring.create(ids[0], key, HOUR);
    ring.run(Duration::from_secs(10));
    for _ in 0..40 {
        ring.add(Config::default());
        ring.repair();
        let at = ring.ids()[3];
        let op = ring.create(if at == ids[0] { ids[1] } else { at }, key, HOUR);
        ring.run(Duration::from_secs(11));
        let outcome = &ring.done[&op].1;
        assert!(matches!(outcome, Outcome::Taken(r) if r.owner == ids[0]), "{outcome:?}");
    }
    assert_eq!(ring.replicas(key), (8, 8));
    assert!(ring.events.is_empty());
}

#[test]
fn unit_ad_03_what_was_created_is_written_again_soon_for_owners_that_a_growing_ring_has_since() {
    let mut ring = Ring::new(15, 20);
    let (owner, key) = (ring.ids()[0], key(Kind::Exclusive, 1));
    ring.create(owner, key, HOUR);
    ring.run(Duration::from_secs(2));
    let seq = |ring: &mut Ring| match ring.get(owner, key) {
        Outcome::Values { records, .. } => records[0].seq,
        other => panic!("{other:?}"),
    };
    let first = seq(&mut ring);
    ring.run(Duration::from_secs(30));
    let early = seq(&mut ring);
    assert!(early > first, "written again");
    ring.run(Duration::from_secs(300));
    assert_eq!(seq(&mut ring), early, "and then at rest");
}

#[test]
fn an_idle_member_hardly_sends() {
    let mut ring = Ring::new(9, 100);
    let ids = ring.ids();
    for (n, &id) in ids.iter().enumerate() {
        ring.put(id, key(Kind::Slot, n as u64 % 7), b"member", HOUR * 20);
    }
    ring.run(Duration::from_secs(600));
    let before = ring.bytes;
    ring.run(HOUR);
    let bits_per_second = (ring.bytes - before) as f64 * 8.0 / 3_600.0 / 100.0;
    assert!(bits_per_second < 50.0, "{bits_per_second} bit/s of each member");
}

#[test]
fn unit_rv_03_only_a_notice_of_the_authority_stands_under_a_key_of_notices() {
    let mut ring = Ring::new(12, 20);
    let (ids, key) = (ring.ids(), key(Kind::Revocation, 1));
    let put_once = |ring: &mut Ring, at, value: &[u8]| {
        let op = OpId(ring.rng.u64());
        let value = value.to_vec();
        ring.with(at, |dht, cx| dht.put_once(op, key, value, HOUR, cx)).expect("starts");
        ring.run(Duration::from_secs(11));
        ring.done.remove(&op).expect("it ended").1
    };
    let refused = put_once(&mut ring, ids[3], b"in: x");
    assert_eq!(refused, Outcome::Failed(Failure::NoMajority));
    assert_eq!(ring.get(ids[7], key), Outcome::Absent);
    assert!(matches!(put_once(&mut ring, ids[3], b"out: x"), Outcome::Stored { .. }));
    // Nobody takes it back, and it ends by itself: nobody writes it again.
    ring.with(ids[3], |dht, cx| dht.release(OpId(1), key, cx)).expect("starts");
    ring.run(Duration::from_secs(11));
    assert_eq!(ring.values(ids[7], key), [b"out: x".to_vec()]);
    ring.run(HOUR);
    assert_eq!(ring.get(ids[7], key), Outcome::Absent);
}

#[test]
fn what_is_let_lapse_ends_with_its_time_and_is_not_taken_back() {
    let mut ring = Ring::new(14, 20);
    let (ids, key) = (ring.ids(), key(Kind::Slot, 1));
    ring.put(ids[2], key, b"v", HOUR);
    ring.run(HOUR * 3);
    assert_eq!(ring.values(ids[7], key), [b"v".to_vec()], "it is written again while it is kept");
    ring.with(ids[2], |dht, _| dht.let_lapse(key));
    ring.run(Duration::from_secs(60));
    assert_eq!(ring.values(ids[7], key), [b"v".to_vec()]);
    ring.run(HOUR);
    assert_eq!(ring.get(ids[7], key), Outcome::Absent);
}

#[test]
fn a_flood_does_not_exceed_the_limits() {
    let limits = Limits { records: 50, bytes: 8_000, per_owner: 5, per_key: 7, claims: 9 };
    let mut ring = Ring::new(10, 0);
    let id = ring.add(Config { limits });
    ring.repair();
    let now = UnixTime(EPOCH);
    for n in 0..4_000u64 {
        let kind = if n % 3 == 0 { Kind::Exclusive } else { Kind::Slot };
        let mut owner = [0; 20];
        owner[3] = ring.rng.below(40) as u8;
        let mut record = Record {
            key: key(kind, ring.rng.below(20) as u64),
            owner: NodeId::from_bytes(owner),
            seq: n,
            expiry: now + HOUR,
            intent: Intent::Write,
            payload: vec![1; ring.rng.below(512)],
            signature: Vec::new(),
        };
        record.signature = toy_signature(&owner, &record.signed_bytes());
        let body = match (record.key.is_exclusive(), n % 2) {
            (false, _) => Body::Put(record.clone()),
            (true, 0) => Body::Reserve(record.clone()),
            (true, _) => Body::Commit(record.clone()),
        };
        let from = NodeId::from_bytes([9; 20]);
        let message = Message { id: n, body }.emit();
        let certificate = Message {
            id: n,
            body: Body::Certificate { owner: record.owner, certificate: owner.to_vec() },
        };
        ring.with(id, |dht, cx| {
            dht.handle(from, &message, cx);
            dht.handle(from, &certificate.emit(), cx);
        });
        let store = &ring.nodes[&id].dht.store;
        let entries = store.entries.values();
        let (records, bytes) = store.size();
        assert!(records <= limits.records && bytes <= limits.bytes);
        assert_eq!(records, entries.clone().map(|e| e.held.len()).sum::<usize>());
        assert_eq!(store.claims.all(), entries.clone().map(|e| e.claims.len()).sum::<usize>());
        assert!(store.claims.all() <= limits.claims && entries.clone().all(|e| e.held.len() <= 7));
        let of_owner = entries.filter(|e| e.held.contains_key(&record.owner)).count();
        assert!(of_owner <= limits.per_owner);
    }
    assert!(ring.nodes[&id].dht.store.size().0 > 5, "the flood did arrive");
}

#[test]
fn a_forged_record_is_neither_stored_nor_reported() {
    let mut ring = Ring::new(11, 10);
    let (ids, key) = (ring.ids(), key(Kind::Slot, 1));
    ring.put(ids[1], key, b"true", HOUR);
    ring.run(Duration::from_secs(5));
    let mut stores = ring.nodes.values().map(|n| &n.dht.store);
    let held = stores.find_map(|s| s.live(key, UnixTime(EPOCH)).next());
    let mut record = held.expect("eight points, ten nodes").record.clone();
    (record.seq, record.payload) = (record.seq + 1, b"false".to_vec());
    for &to in &ids {
        let message = Message { id: 1, body: Body::Put(record.clone()) }.emit();
        ring.with(to, |dht, cx| dht.handle(ids[0], &message, cx));
    }
    ring.run(Duration::from_secs(5));
    assert_eq!(ring.values(ids[4], key), [b"true".to_vec()]);
    assert!(ring.nodes.values().map(|n| n.dht.counts().forged).sum::<u64>() > 0);
}

mod hostile;
mod place;
mod read;
mod vote;
