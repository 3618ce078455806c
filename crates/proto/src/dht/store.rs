//! What a replica holds: verified records, bounded, ordered so that an arc of the ring is a contiguous part.
//!
//! All points of a key agree in their low 157 bits (the *fold* of the key). Keys are ordered by their fold,
//! so what two replicas in different eighths of the ring have in common is one range of both stores.
//!
//! Invariants: under an exclusive key at most one record is live and not withdrawn; of one owner only the
//! newest record is held; no limit is ever exceeded. When a limit is reached new records are refused: to
//! push others' values out would let one member erase what another wrote.

use super::create::Claim;
use crate::NodeId;
use crate::bounds::Fill;
use crate::ring::{self, Arc, Side};
use crate::time::UnixTime;
use crate::wire::dht::{Name, Range, Refusal};
use crate::wire::record::{Key, Kind, REPLICAS, Record};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

/// What a replica takes at most.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Records in all.
    pub records: usize,
    /// Bytes of records in all, as counted on the wire.
    pub bytes: usize,
    /// Records of one owner, and as many claims: one member cannot fill the replica.
    pub per_owner: usize,
    /// Records under one key: one popular key cannot fill it either.
    pub per_key: usize,
    /// Uncommitted claims in all.
    pub claims: usize,
}

impl Default for Limits {
    /// A network of 10,000 members with 8 records each keeps 64 records per node on average; 8,192 records
    /// and 4 MiB leave room for small networks and uneven arcs, and are no burden to the smallest host.
    fn default() -> Self {
        Limits { records: 8_192, bytes: 4 << 20, per_owner: 96, per_key: 1_024, claims: 1_024 }
    }
}

/// Longest time to live that a replica takes: a forgotten value goes away within a day and a bit.
pub const TTL_MAX: Duration = Duration::from_secs(86_400);
/// How far the clocks of owner and replica may be apart.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(300);

#[derive(Debug)]
pub(super) struct Held {
    pub(super) record: Record,
    pub(super) tag: u64,
}

#[derive(Debug, Default)]
pub(super) struct Entry {
    /// By owner; withdrawn records stay until they expire, so that older copies cannot come back.
    pub(super) held: BTreeMap<NodeId, Held>,
    /// Best first; see `create`.
    pub(super) claims: Vec<Claim>,
}

/// The order of keys in the store.
type Place = (NodeId, Key);

/// How many of something are here, and how many of each owner.
#[derive(Debug, Default)]
pub(super) struct Tally {
    all: usize,
    of: BTreeMap<NodeId, usize>,
}

impl Tally {
    pub(super) fn all(&self) -> usize {
        self.all
    }

    pub(super) fn of(&self, owner: NodeId) -> usize {
        self.of.get(&owner).copied().unwrap_or(0)
    }

    /// Of the owner with the most.
    fn most(&self) -> usize {
        self.of.values().copied().max().unwrap_or(0)
    }

    pub(super) fn add(&mut self, owner: NodeId) {
        self.all += 1;
        *self.of.entry(owner).or_default() += 1;
    }

    pub(super) fn remove(&mut self, owner: NodeId) {
        self.all -= 1;
        if let Some(n) = self.of.get_mut(&owner) {
            *n -= 1;
            if *n == 0 {
                self.of.remove(&owner);
            }
        }
    }
}

#[derive(Debug)]
pub(super) struct Store {
    pub(super) limits: Limits,
    pub(super) entries: BTreeMap<Place, Entry>,
    records: Tally,
    bytes: usize,
    pub(super) claims: Tally,
}

impl Store {
    pub(super) fn new(limits: Limits) -> Self {
        let (records, claims) = (Tally::default(), Tally::default());
        Store { limits, entries: BTreeMap::new(), records, bytes: 0, claims }
    }

    /// Records held, withdrawn ones included, and their bytes.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.records.all(), self.bytes)
    }

    pub(super) fn fills(&self) -> [Fill; 6] {
        let under_a_key = self.entries.values().map(|e| e.held.len()).max().unwrap_or(0);
        [
            Fill::new("records", self.records.all(), self.limits.records),
            Fill::new("bytes of records", self.bytes, self.limits.bytes),
            Fill::new("records of an owner", self.records.most(), self.limits.per_owner),
            Fill::new("records under a key", under_a_key, self.limits.per_key),
            Fill::new("claims", self.claims.all(), self.limits.claims),
            Fill::new("claims of an owner", self.claims.most(), self.limits.per_owner),
        ]
    }

    pub(super) fn get(&self, name: Name) -> Option<&Held> {
        self.entry(name.key)?.held.get(&name.owner)
    }

    pub(super) fn entry(&self, key: Key) -> Option<&Entry> {
        self.entries.get(&place(key))
    }

    pub(super) fn entry_mut(&mut self, key: Key) -> &mut Entry {
        self.entries.entry(place(key)).or_default()
    }

    /// Forgets the key if nothing is under it.
    pub(super) fn tidy(&mut self, key: Key) {
        if self.entry(key).is_some_and(|e| e.held.is_empty() && e.claims.is_empty()) {
            self.entries.remove(&place(key));
        }
    }

    /// What is under a key and counts at `now`, in order of owners, withdrawn records left out.
    pub(super) fn live(&self, key: Key, now: UnixTime) -> impl Iterator<Item = &Held> {
        let all = self.entry(key).into_iter().flat_map(|e| e.held.values());
        all.filter(move |h| h.record.is_live(now) && !h.record.is_withdrawn())
    }

    /// Who holds an exclusive key.
    pub(super) fn holder(&self, key: Key, now: UnixTime) -> Option<&Record> {
        debug_assert!(key.is_exclusive());
        self.live(key, now).map(|h| &h.record).next()
    }

    /// Keeps a verified record in place of an older one of its owner. The caller has decided that it may.
    pub(super) fn insert(&mut self, record: Record, now: UnixTime) -> Result<(), Refusal> {
        if !record.is_live(now) || record.expiry > now + TTL_MAX + CLOCK_TOLERANCE {
            return Err(Refusal::Expiry);
        }
        let name = Name { key: record.key, owner: record.owner };
        let replaced = self.get(name).map(|h| h.record.wire_len());
        if self.bytes + record.wire_len() - replaced.unwrap_or(0) > self.limits.bytes {
            return Err(Refusal::Full);
        }
        if replaced.is_none() {
            let under_key = self.entry(record.key).map_or(0, |e| e.held.len());
            if self.records.all() >= self.limits.records
                || under_key >= self.limits.per_key
                || self.records.of(record.owner) >= self.limits.per_owner
            {
                return Err(Refusal::Full);
            }
        }
        self.remove(name);
        self.records.add(record.owner);
        self.bytes += record.wire_len();
        let tag = record.tag();
        self.entry_mut(name.key).held.insert(name.owner, Held { record, tag });
        Ok(())
    }

    pub(super) fn remove(&mut self, name: Name) -> Option<Record> {
        let record = self.entries.get_mut(&place(name.key))?.held.remove(&name.owner)?.record;
        self.records.remove(name.owner);
        self.bytes -= record.wire_len();
        self.tidy(name.key);
        Some(record)
    }

    /// Keeps a value in its owner's slot; `Err` holds the newer record in the way or the refusal.
    pub(super) fn put(&mut self, record: Record, now: UnixTime) -> Result<(), InTheWay> {
        let name = Name { key: record.key, owner: record.owner };
        match self.get(name).map(|h| &h.record) {
            Some(held) if held.seq > record.seq => Err(InTheWay::Record(held.clone())),
            Some(held) if held.seq == record.seq => Ok(()),
            _ => self.insert(record, now).map_err(InTheWay::Refusal),
        }
    }

    /// Forgets all records that `unwanted` names.
    pub(super) fn forget(&mut self, mut unwanted: impl FnMut(&Record) -> bool) {
        let all = self.entries.values().flat_map(|e| e.held.values()).map(|h| &h.record);
        let names: Vec<_> =
            all.filter(|r| unwanted(r)).map(|r| Name { key: r.key, owner: r.owner }).collect();
        names.into_iter().for_each(|name| drop(self.remove(name)));
    }

    /// All live records on an arc in order round it, withdrawn ones included, from after `after` on.
    pub(super) fn on_arc(
        &self,
        range: Range,
        after: Option<Name>,
        now: UnixTime,
    ) -> impl Iterator<Item = &Held> {
        let start = fold(range.from);
        let whole = is_whole_fold(range);
        let first = (start, NodeId::from_bytes([0; 20]));
        let (ahead, wrapped) = (
            self.entries.range((Bound::Included(low(first.0)), Bound::Unbounded)),
            self.entries.range((Bound::Unbounded, Bound::Excluded(low(first.0)))),
        );
        let span = fold_arc(range.from, range.to);
        let position = move |name: Name| (fold_arc(range.from, name.key.id()), name);
        ahead
            .chain(wrapped)
            .take_while(move |((_, key), _)| whole || fold_arc(range.from, key.id()) < span)
            .skip_while(move |((_, key), _)| {
                after.is_some_and(|a| {
                    (fold_arc(range.from, key.id()), *key) < (position(a).0, a.key)
                })
            })
            .flat_map(|(_, e)| e.held.values())
            .filter(move |h| {
                let name = Name { key: h.record.key, owner: h.record.owner };
                h.record.is_live(now) && after.is_none_or(|a| position(name) > position(a))
            })
    }

    /// The first point of a held key clockwise from `from`, `from` itself included.
    pub(super) fn next_point(&self, from: NodeId) -> Option<NodeId> {
        let held = self.entries.iter().filter(|(_, e)| !e.held.is_empty());
        let points = held.flat_map(|((_, key), _)| (0..REPLICAS).map(|i| key.point(i)));
        points.min_by_key(|&p| ring::clockwise(from, p))
    }

    /// Exclusive-or of the tags of all live records on an arc.
    pub(super) fn digest(&self, range: Range, now: UnixTime) -> u64 {
        self.on_arc(range, None, now).fold(0, |x, h| x ^ h.tag)
    }
}

/// Why a value is not kept.
#[derive(Debug)]
pub(super) enum InTheWay {
    Record(Record),
    Refusal(Refusal),
}

pub(super) fn place(key: Key) -> Place {
    (fold(key.id()), key)
}

/// The first place of a fold: the lowest key with a known kind.
fn low(fold: NodeId) -> Place {
    let mut id = *fold.as_bytes();
    id[0] &= 0x1f;
    id[19] = Kind::Slot as u8;
    let key = Key::from_id(NodeId::from_bytes(id)).expect("the last byte is a kind");
    (fold, key)
}

/// The low 157 bits of a point, which all points of a key share.
fn fold(point: NodeId) -> NodeId {
    let mut id = *point.as_bytes();
    id[0] &= 0x1f;
    NodeId::from_bytes(id)
}

/// How far `to` lies from `from` when all eighths of the ring are laid over each other.
fn fold_arc(from: NodeId, to: NodeId) -> NodeId {
    fold(ring::offset(NodeId::from_bytes([0; 20]), ring::clockwise(from, to), Side::Right))
}

/// Whether the arc is an eighth of the ring or more, so that it holds a point of every key.
fn is_whole_fold(range: Range) -> bool {
    let arc = ring::clockwise(range.from, range.to);
    arc == Arc::ZERO || arc >= Arc::power_of_two(157)
}

/// Whether the arc holds a point of the key.
pub(super) fn holds_point_of(range: Range, key: Key) -> bool {
    is_whole_fold(range) || fold_arc(range.from, key.id()) < fold_arc(range.from, range.to)
}
