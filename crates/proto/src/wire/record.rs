//! A record of the DHT: a small value under a key, signed by its owner.
//!
//! ```text
//! +--------+----------+-----+--------+--------+-------------+---------+---------------+-----------+
//! | key 20 | owner 20 | seq | expiry | intent | payload len | payload | signature len | signature |
//! |        |          | 8   | 8      | 1      | 2           | ≤ 512   | 1             | ≤ 72      |
//! +--------+----------+-----+--------+--------+-------------+---------+---------------+-----------+
//! ```
//! The owner signs a domain string and everything before the signature length. What may be written under a
//! key is part of the key: its last byte names the [`Kind`], so nobody can write one kind under a key that
//! others derived for another.

use super::{Malformed, Reader};
use crate::NodeId;
use crate::ring::{self, Arc, Side};
use crate::time::UnixTime;
use aws_lc_rs::digest;

/// Points of the ring at which each key is kept. A power of two, so that all points of a key agree in the
/// low 157 bits; more points survive more simultaneous failures and cost more messages.
pub const REPLICAS: u8 = 8;
/// The gap between two points of a key is 2^157, an eighth of the ring.
const POINT_GAP_BIT: usize = 157;
/// Longest payload in bytes: with everything else a record stays well below one message.
pub const PAYLOAD_MAX: usize = 512;
/// Longest signature in bytes: ECDSA P-256 in DER; Ed25519 takes 64.
pub const SIGNATURE_MAX: usize = 72;
/// Longest record in bytes.
pub const RECORD_MAX: usize = FIXED_LEN + PAYLOAD_MAX + SIGNATURE_MAX;
/// Bytes of a record without payload and signature.
pub const FIXED_LEN: usize = 20 + 20 + 8 + 8 + 1 + 2 + 1;

/// What is signed starts with this, so that no signature made for another purpose passes for a record.
const SIGN_DOMAIN: &[u8] = b"warren dht record v1\0";
/// What is hashed to a key starts with this.
const KEY_DOMAIN: &[u8] = b"warren dht key v1\0";

/// Who may write under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Many owners, each has one slot of its own.
    Slot = 1,
    /// One owner at a time holds the key.
    Exclusive = 2,
    /// As [`Kind::Slot`], but a replica takes nothing except a revocation notice of the group's authority:
    /// whoever brings it, what is read here is the authority's word. Nobody can take it back.
    Revocation = 3,
}

/// A place to keep values; its last byte is the [`Kind`] of what is kept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Key(NodeId);

impl Key {
    /// The key of `name` in `domain` (say `"lease"`) for values of `kind`.
    pub fn derive(kind: Kind, domain: &str, name: &[u8]) -> Key {
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(KEY_DOMAIN);
        hash.update(&(domain.len() as u64).to_be_bytes());
        hash.update(domain.as_bytes());
        hash.update(name);
        let mut id = first_bytes(hash.finish().as_ref());
        id[19] = kind as u8;
        Key(NodeId::from_bytes(id))
    }

    /// The key with these bytes, if its kind is known.
    pub fn from_id(id: NodeId) -> Option<Key> {
        matches!(id.as_bytes()[19], 1..=3).then_some(Key(id))
    }

    /// The key as a point of the ring.
    pub fn id(self) -> NodeId {
        self.0
    }

    /// What may be written under the key.
    pub fn kind(self) -> Kind {
        match self.0.as_bytes()[19] {
            1 => Kind::Slot,
            2 => Kind::Exclusive,
            _ => Kind::Revocation,
        }
    }

    /// Whether one owner at a time holds the key; else each has a slot of its own.
    pub fn is_exclusive(self) -> bool {
        self.kind() == Kind::Exclusive
    }

    /// The point of the ring where replica `index` of the key is kept.
    pub fn point(self, index: u8) -> NodeId {
        layer(self.0, index)
    }

    /// Orders the owners that contend for an exclusive key: the lower one wins.
    pub fn rank(self, owner: NodeId) -> [u8; 32] {
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(self.0.as_bytes());
        hash.update(owner.as_bytes());
        first_bytes(hash.finish().as_ref())
    }
}

/// `point`, moved on by `index` eighths of the ring.
pub fn layer(point: NodeId, index: u8) -> NodeId {
    let gap = Arc::power_of_two(POINT_GAP_BIT);
    (0..index % REPLICAS).fold(point, |p, _| ring::offset(p, gap, Side::Right))
}

/// What the owner of a record wants with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Intent {
    /// A value; under an exclusive key the wish to hold it.
    Write = 0,
    /// The owner takes back what it wrote; the payload is empty.
    Withdraw = 1,
    /// A majority of replicas gave the owner the exclusive key before: it renews what it holds.
    Renew = 2,
}

/// A value under a key, signed by its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it is kept.
    pub key: Key,
    /// Who wrote it.
    pub owner: NodeId,
    /// Of two records of one owner under one key the higher one counts.
    pub seq: u64,
    /// From when on it counts no longer.
    pub expiry: UnixTime,
    /// What the owner wants with it.
    pub intent: Intent,
    /// The value, at most [`PAYLOAD_MAX`] bytes.
    pub payload: Vec<u8>,
    /// Signature of the owner, at most [`SIGNATURE_MAX`] bytes.
    pub signature: Vec<u8>,
}

impl Record {
    /// Takes a record off the front of a message. The signature is *not* checked here.
    pub fn parse(r: &mut Reader<'_>) -> Result<Record, Malformed> {
        let key = Key::from_id(r.id()?).ok_or(Malformed::Field("key"))?;
        let (owner, seq, expiry) = (r.id()?, r.u64()?, UnixTime(r.u64()?));
        let intent = match r.u8()? {
            0 => Intent::Write,
            1 => Intent::Withdraw,
            2 if key.is_exclusive() => Intent::Renew,
            _ => return Err(Malformed::Field("intent")),
        };
        let payload = bounded(r.u16()?.into(), PAYLOAD_MAX, "payload length")?;
        if intent == Intent::Withdraw && payload != 0 {
            return Err(Malformed::Field("payload length"));
        }
        let payload = r.take(payload)?.to_vec();
        let signature = bounded(r.u8()?.into(), SIGNATURE_MAX, "signature length")?;
        let signature = r.take(signature)?.to_vec();
        Ok(Record { key, owner, seq, expiry, intent, payload, signature })
    }

    /// Appends the record to a message.
    pub fn emit(&self, out: &mut Vec<u8>) {
        debug_assert!(self.payload.len() <= PAYLOAD_MAX && self.signature.len() <= SIGNATURE_MAX);
        self.emit_signed_part(out);
        out.push(self.signature.len() as u8);
        out.extend_from_slice(&self.signature);
    }

    /// Length of the record in bytes.
    pub fn wire_len(&self) -> usize {
        FIXED_LEN + self.payload.len() + self.signature.len()
    }

    /// The bytes that the owner signs.
    pub fn signed_bytes(&self) -> Vec<u8> {
        let mut out = SIGN_DOMAIN.to_vec();
        self.emit_signed_part(&mut out);
        out
    }

    /// Short name of the record's content: replicas compare what they hold by it.
    pub fn tag(&self) -> u64 {
        let hash = digest::digest(&digest::SHA256, &self.signed_bytes());
        u64::from_be_bytes(first_bytes(hash.as_ref()))
    }

    /// Whether the owner has taken it back.
    pub fn is_withdrawn(&self) -> bool {
        self.intent == Intent::Withdraw
    }

    /// Whether a majority gave the owner the key before, as it says.
    pub fn is_renewal(&self) -> bool {
        self.intent == Intent::Renew
    }

    /// Whether the record still counts at `now`.
    pub fn is_live(&self, now: UnixTime) -> bool {
        self.expiry > now
    }

    fn emit_signed_part(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.key.0.as_bytes());
        out.extend_from_slice(self.owner.as_bytes());
        out.extend_from_slice(&self.seq.to_be_bytes());
        out.extend_from_slice(&self.expiry.0.to_be_bytes());
        out.push(self.intent as u8);
        out.extend_from_slice(&(self.payload.len() as u16).to_be_bytes());
        out.extend_from_slice(&self.payload);
    }
}

/// Takes a byte that is 0 or 1.
pub(super) fn flag(r: &mut Reader<'_>, name: &'static str) -> Result<bool, Malformed> {
    match r.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Malformed::Field(name)),
    }
}

fn bounded(len: usize, max: usize, name: &'static str) -> Result<usize, Malformed> {
    if len <= max { Ok(len) } else { Err(Malformed::Field(name)) }
}

/// The first `N` bytes of a hash of at least `N`.
fn first_bytes<const N: usize>(hash: &[u8]) -> [u8; N] {
    *hash.first_chunk().expect("SHA-256 is 32 bytes, more than any caller asks for")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_record_survives_the_wire(
            name in any::<[u8; 8]>(), owner in any::<[u8; 20]>(), seq: u64, expiry: u64,
            payload in prop::collection::vec(any::<u8>(), 0..=PAYLOAD_MAX),
            signature in prop::collection::vec(any::<u8>(), 0..=SIGNATURE_MAX),
        ) {
            let record = Record {
                key: Key::derive(Kind::Slot, "test", &name),
                owner: NodeId::from_bytes(owner),
                seq, expiry: UnixTime(expiry), intent: Intent::Write, payload, signature,
            };
            let mut bytes = Vec::new();
            record.emit(&mut bytes);
            prop_assert_eq!(bytes.len(), record.wire_len());
            let mut r = Reader::new(&bytes);
            prop_assert_eq!(Record::parse(&mut r), Ok(record));
            prop_assert!(r.finish().is_ok());
        }

        #[test]
        fn hostile_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..900)) {
            let _ = Record::parse(&mut Reader::new(&bytes));
        }
    }

    #[test]
    fn the_kind_is_part_of_the_key() {
        let slot = Key::derive(Kind::Slot, "a", b"x");
        let exclusive = Key::derive(Kind::Exclusive, "a", b"x");
        assert_ne!(slot, exclusive);
        assert_eq!((slot.kind(), exclusive.kind()), (Kind::Slot, Kind::Exclusive));
        let mut id = *slot.id().as_bytes();
        id[19] = 3;
        assert_eq!(Key::from_id(NodeId::from_bytes(id)).map(Key::kind), Some(Kind::Revocation));
        id[19] = 4;
        assert_eq!(Key::from_id(NodeId::from_bytes(id)), None);
    }

    #[test]
    fn domain_and_name_cannot_be_traded() {
        assert_ne!(Key::derive(Kind::Slot, "ab", b"c"), Key::derive(Kind::Slot, "a", b"bc"));
    }

    #[test]
    fn eight_points_go_once_round_the_ring() {
        let key = Key::derive(Kind::Slot, "a", b"x");
        let points: std::collections::BTreeSet<_> = (0..REPLICAS).map(|i| key.point(i)).collect();
        assert_eq!(points.len(), 8);
        assert_eq!(layer(key.point(7), 1), key.id());
    }
}
