//! What a read comes to: many pages, values told as they are found, replicas that do not agree yet.

use super::*;

#[test]
fn sim_dh_03_get_pages_300_values() {
    let mut ring = Ring::new(3, 300);
    let (ids, key) = (ring.ids(), key(Kind::Slot, 1));
    for &id in &ids {
        ring.put(id, key, &[id.as_bytes().as_slice(), &[0; 80]].concat(), HOUR);
    }
    ring.run(Duration::from_secs(200));
    let before = ring.bytes;
    match ring.get(ids[17], key) {
        Outcome::Values { records, complete } => {
            assert_eq!((records.len(), complete), (300, true));
        }
        other => panic!("{other:?}"),
    }
    let size = 300 * (100 + 92);
    let share = (ring.bytes - before) as f64 / size as f64;
    assert!(share < 4.0, "replicas that agree are read once: {share}");
}

#[test]
fn values_are_told_as_they_are_found_each_once() {
    let mut ring = Ring::new(13, 20);
    let (ids, key) = (ring.ids(), key(Kind::Slot, 1));
    for &id in &ids[..15] {
        ring.put(id, key, b"v", HOUR);
    }
    ring.run(Duration::from_secs(11));
    let op = OpId(1);
    ring.with(ids[18], |dht, cx| dht.get_as_found(op, key, cx)).expect("starts");
    while ring.found.is_empty() {
        ring.run(Duration::from_millis(1));
    }
    assert!(!ring.done.contains_key(&op), "the read goes on when the first is told");
    ring.run(Duration::from_secs(11));
    let mut found: Vec<NodeId> = ring.found.iter().map(|(_, owner)| *owner).collect();
    found.sort();
    assert_eq!(found, ids[..15]);
}

#[test]
fn unit_dh_03_a_read_waits_for_replicas_that_have_not_copied_the_key_yet() {
    for seed in 0..20 {
        let mut ring = Ring::new(2_000 + seed, 3);
        let (owner, key) = (ring.ids()[0], key(Kind::Exclusive, seed));
        let created = ring.create(owner, key, HOUR);
        ring.run(Duration::from_secs(5));
        assert!(ring.is_created(created));
        let newcomers: Vec<NodeId> = (0..9).map(|_| ring.add(Config::default())).collect();
        ring.repair();
        assert_eq!(ring.owner_by(newcomers[0], key), Some(owner), "seed {seed}");
    }
}

#[test]
fn unit_dh_03_a_read_waits_for_replicas_of_another_ring_that_has_just_become_ours() {
    for seed in 0..20 {
        let mut ring = Ring::new(3_000 + seed, 8);
        let (ids, key) = (ring.ids(), key(Kind::Exclusive, seed));
        for (i, id) in ids.iter().enumerate() {
            ring.nodes.get_mut(id).expect("a node").island = (i % 2) as u8;
        }
        ring.repair();
        ring.run(Duration::from_secs(20));
        let (owner, reader) = (ids[0], ids[1]);
        let created = ring.create(owner, key, HOUR);
        ring.run(Duration::from_secs(5));
        assert!(ring.is_created(created));
        ring.nodes.values_mut().for_each(|node| node.island = 0);
        ring.repair();
        assert_eq!(ring.owner_by(reader, key), Some(owner), "seed {seed}");
    }
}

#[test]
fn unit_dh_03_that_nothing_is_there_is_said_after_one_round() {
    let mut ring = Ring::new(14, 20);
    let (at, key, op) = (ring.ids()[0], key(Kind::Exclusive, 1), OpId(1));
    ring.with(at, |dht, cx| dht.get(op, key, cx)).expect("starts");
    ring.run(Duration::from_millis(600));
    assert!(matches!(ring.done[&op].1, Outcome::Absent));
}

impl Ring {
    fn owner_by(&mut self, reader: NodeId, key: Key) -> Option<NodeId> {
        match self.get(reader, key) {
            Outcome::Values { records, .. } => records.first().map(|record| record.owner),
            _ => None,
        }
    }
}
