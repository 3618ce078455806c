//! Messages of the DHT: what clients ask of replicas, and what replicas ask of each other.
//!
//! ```text
//! +------+------------+------+
//! | type | request id | body |      at most MESSAGE_MAX bytes
//! | 1    | 8          |      |
//! +------+------------+------+
//! ```
//! A reply repeats the id of its request. [`Body::Notice`] and [`Body::Copy`] answer nothing; their id is 0.

use super::record::{Key, RECORD_MAX, Record, flag};
use super::{Malformed, Reader};
use crate::NodeId;

/// Longest message in bytes: it fits the smallest path with all that the overlay and sessions put round it.
pub const MESSAGE_MAX: usize = 1_000;
/// Longest certificate in bytes that a message carries; a leaf of the member profile takes about 600.
pub const CERTIFICATE_MAX: usize = 960;
/// Most names in a [`Body::Listing`].
pub const LISTING_MAX: usize = 20;
/// Most names in a [`Body::Want`].
pub const WANT_MAX: usize = LISTING_MAX;
/// Most bytes of records in a [`Body::Values`].
pub const VALUES_BYTES_MAX: usize = MESSAGE_MAX - ENVELOPE_LEN - 11;

const ENVELOPE_LEN: usize = 9;
const _: () = assert!(RECORD_MAX <= VALUES_BYTES_MAX, "a page holds at least one record");
const _: () = assert!(ENVELOPE_LEN + 1 + 40 + 2 + LISTING_MAX * 46 <= MESSAGE_MAX);
const _: () = assert!(ENVELOPE_LEN + 20 + 2 + CERTIFICATE_MAX <= MESSAGE_MAX);

/// An arc of the ring, clockwise from `from` up to but without `to`; the whole ring if they are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// First point inside.
    pub from: NodeId,
    /// First point after.
    pub to: NodeId,
}

/// Names one owner's record under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// The key.
    pub key: Key,
    /// The owner.
    pub owner: NodeId,
}

/// What one replica holds under a name, in short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Which record.
    pub name: Name,
    /// The low 48 bits of [`Record::tag`]: whether the other side holds the same.
    pub tag: u64,
}

/// The bits of a tag that travel in a listing.
pub const TAG_MASK: u64 = (1 << 48) - 1;

/// Why a replica does not take a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Refusal {
    /// The signature is not the owner's, or the owner may not write here.
    Forbidden = 1,
    /// A limit of the replica is reached.
    Full = 2,
    /// The record has expired or would live too long.
    Expiry = 3,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Chosen at random by the asking side.
    pub id: u64,
    /// What is asked or answered.
    pub body: Body,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Asks to keep a value in the owner's slot.
    Put(Record),
    /// Asks for the values under a key.
    Get {
        /// Which key.
        key: Key,
        /// Only values of owners above this one: the last of the page before.
        after: Option<NodeId>,
        /// Most bytes of records in the reply.
        budget: u16,
    },
    /// Claims an exclusive key for some seconds.
    Reserve(Record),
    /// Takes an exclusive key that was claimed, or renews it.
    Commit(Record),
    /// Takes back a claim, a committed record or a value; the record is withdrawn.
    Withdraw(Record),
    /// Asks for the certificate of an owner.
    CertificateGet(NodeId),
    /// Asks whether two replicas hold the same on an arc.
    Compare {
        /// The arc, as a part of the ring where the asked replica is.
        range: Range,
        /// Exclusive-or of the tags of what the asking side holds there.
        digest: u64,
        /// The asked replica answers only for the part that it owns; else for everything it holds.
        owned: bool,
    },
    /// Asks for the names of what a replica holds on an arc.
    List {
        /// The arc.
        range: Range,
        /// Only names after this one.
        after: Option<Name>,
    },
    /// Asks for copies of records.
    Want(Vec<Name>),

    /// A copy of a record, from replica to replica; an exclusive one is committed.
    Copy(Record),
    /// Tells an owner that this record won its exclusive key.
    Notice(Record),

    /// The value is kept.
    Stored,
    /// The record is not taken.
    Refused(Refusal),
    /// The replica does not own the key, or not yet all that belongs to it.
    NotReady,
    /// The replica keeps the request until it has the owner's certificate.
    NeedCertificate,
    /// A page of values.
    Values {
        /// The replica owns the key and has what belongs to it: it can speak for absence.
        ready: bool,
        /// More follows after the last owner of this page.
        more: bool,
        /// Exclusive-or of the tags of all values under the key.
        digest: u64,
        /// The values in order of their owners.
        records: Vec<Record>,
    },
    /// The claim is the best one.
    Granted,
    /// The record holds the key.
    Committed,
    /// Another record is in the way: a better claim, a committed one, or a newer one of the same owner.
    Conflict {
        /// The record in the way.
        winner: Record,
        /// It is committed.
        committed: bool,
    },
    /// There is no claim to commit.
    Unclaimed,
    /// Nothing of the withdrawn record counts any more.
    Withdrawn,
    /// The certificate of an owner.
    Certificate {
        /// Whose.
        owner: NodeId,
        /// At most [`CERTIFICATE_MAX`] bytes.
        certificate: Vec<u8>,
    },
    /// Answers a comparison: both hold the same up to here.
    Same {
        /// End of the part of the arc that was compared.
        upto: NodeId,
    },
    /// Answers a comparison: not the same, or only a part of the arc is the replica's to compare.
    Differ {
        /// End of the part of the arc that the replica can compare.
        upto: NodeId,
    },
    /// A page of names.
    Listing {
        /// More follows after the last name of this page.
        more: bool,
        /// The names in order round the arc.
        names: Vec<Listed>,
    },
}

impl Message {
    /// Reads a whole message.
    pub fn parse(bytes: &[u8]) -> Result<Message, Malformed> {
        if bytes.len() > MESSAGE_MAX {
            return Err(Malformed::Trailing);
        }
        let mut r = Reader::new(bytes);
        let (kind, id) = (r.u8()?, r.u64()?);
        let body = Body::parse(kind, &mut r)?;
        r.finish()?;
        Ok(Message { id, body })
    }

    /// The message as bytes.
    pub fn emit(&self) -> Vec<u8> {
        let mut out = vec![0];
        out.extend_from_slice(&self.id.to_be_bytes());
        out[0] = self.body.emit(&mut out);
        debug_assert!(out.len() <= MESSAGE_MAX, "{} bytes", out.len());
        out
    }
}

impl Body {
    fn parse(kind: u8, r: &mut Reader<'_>) -> Result<Body, Malformed> {
        Ok(match kind {
            0x01 => Body::Put(Record::parse(r)?),
            0x02 => Body::Get { key: key(r)?, after: optional(r, |r| r.id())?, budget: r.u16()? },
            0x03 => Body::Reserve(Record::parse(r)?),
            0x04 => Body::Commit(Record::parse(r)?),
            0x05 => Body::Withdraw(withdrawn(r)?),
            0x06 => Body::CertificateGet(r.id()?),
            0x07 => Body::Compare { range: range(r)?, digest: r.u64()?, owned: flag(r, "owned")? },
            0x08 => Body::List { range: range(r)?, after: optional(r, name)? },
            0x09 => Body::Want(many(r, WANT_MAX, name)?),
            0x0a => Body::Copy(Record::parse(r)?),
            0x0b => Body::Notice(Record::parse(r)?),
            0x41 => Body::Stored,
            0x42 => Body::Refused(refusal(r)?),
            0x43 => Body::NotReady,
            0x44 => Body::NeedCertificate,
            0x45 => Body::Values {
                ready: flag(r, "ready")?,
                more: flag(r, "more")?,
                digest: r.u64()?,
                records: many(r, VALUES_BYTES_MAX / super::record::FIXED_LEN, Record::parse)?,
            },
            0x46 => Body::Granted,
            0x47 => Body::Committed,
            0x48 => Body::Conflict { committed: flag(r, "committed")?, winner: Record::parse(r)? },
            0x49 => Body::Unclaimed,
            0x4a => Body::Withdrawn,
            0x4b => Body::Certificate { owner: r.id()?, certificate: certificate(r)? },
            0x4c => Body::Same { upto: r.id()? },
            0x4d => Body::Differ { upto: r.id()? },
            0x4e => Body::Listing { more: flag(r, "more")?, names: many(r, LISTING_MAX, listed)? },
            _ => return Err(Malformed::Field("type")),
        })
    }

    /// Appends the body and returns its type.
    fn emit(&self, out: &mut Vec<u8>) -> u8 {
        match self {
            Body::Put(record) => with_record(0x01, record, out),
            Body::Get { key, after, budget } => {
                out.extend_from_slice(key.id().as_bytes());
                emit_optional(after.as_ref(), out, emit_id);
                out.extend_from_slice(&budget.to_be_bytes());
                0x02
            }
            Body::Reserve(record) => with_record(0x03, record, out),
            Body::Commit(record) => with_record(0x04, record, out),
            Body::Withdraw(record) => with_record(0x05, record, out),
            Body::CertificateGet(owner) => {
                emit_id(owner, out);
                0x06
            }
            Body::Compare { range, digest, owned } => {
                emit_range(range, out);
                out.extend_from_slice(&digest.to_be_bytes());
                out.push(u8::from(*owned));
                0x07
            }
            Body::List { range, after } => {
                emit_range(range, out);
                emit_optional(after.as_ref(), out, emit_name);
                0x08
            }
            Body::Want(names) => {
                emit_many(names, out, emit_name);
                0x09
            }
            Body::Copy(record) => with_record(0x0a, record, out),
            Body::Notice(record) => with_record(0x0b, record, out),
            Body::Stored => 0x41,
            Body::Refused(refusal) => {
                out.push(*refusal as u8);
                0x42
            }
            Body::NotReady => 0x43,
            Body::NeedCertificate => 0x44,
            Body::Values { ready, more, digest, records } => {
                out.extend_from_slice(&[u8::from(*ready), u8::from(*more)]);
                out.extend_from_slice(&digest.to_be_bytes());
                emit_many(records, out, Record::emit);
                0x45
            }
            Body::Granted => 0x46,
            Body::Committed => 0x47,
            Body::Conflict { winner, committed } => {
                out.push(u8::from(*committed));
                with_record(0x48, winner, out)
            }
            Body::Unclaimed => 0x49,
            Body::Withdrawn => 0x4a,
            Body::Certificate { owner, certificate } => {
                emit_id(owner, out);
                out.extend_from_slice(&(certificate.len() as u16).to_be_bytes());
                out.extend_from_slice(certificate);
                0x4b
            }
            Body::Same { upto } => {
                emit_id(upto, out);
                0x4c
            }
            Body::Differ { upto } => {
                emit_id(upto, out);
                0x4d
            }
            Body::Listing { more, names } => {
                out.push(u8::from(*more));
                emit_many(names, out, |listed, out| {
                    emit_name(&listed.name, out);
                    out.extend_from_slice(&listed.tag.to_be_bytes()[2..]);
                });
                0x4e
            }
        }
    }
}

type Parsed<T> = Result<T, Malformed>;

fn key(r: &mut Reader<'_>) -> Parsed<Key> {
    Key::from_id(r.id()?).ok_or(Malformed::Field("key"))
}

fn name(r: &mut Reader<'_>) -> Parsed<Name> {
    Ok(Name { key: key(r)?, owner: r.id()? })
}

fn listed(r: &mut Reader<'_>) -> Parsed<Listed> {
    let name = name(r)?;
    let [a, b, c, d, e, f] = r.array()?;
    Ok(Listed { name, tag: u64::from_be_bytes([0, 0, a, b, c, d, e, f]) })
}

fn range(r: &mut Reader<'_>) -> Parsed<Range> {
    Ok(Range { from: r.id()?, to: r.id()? })
}

fn withdrawn(r: &mut Reader<'_>) -> Parsed<Record> {
    let record = Record::parse(r)?;
    if record.is_withdrawn() { Ok(record) } else { Err(Malformed::Field("intent")) }
}

fn refusal(r: &mut Reader<'_>) -> Parsed<Refusal> {
    match r.u8()? {
        1 => Ok(Refusal::Forbidden),
        2 => Ok(Refusal::Full),
        3 => Ok(Refusal::Expiry),
        _ => Err(Malformed::Field("refusal")),
    }
}

fn certificate(r: &mut Reader<'_>) -> Parsed<Vec<u8>> {
    let len = usize::from(r.u16()?);
    if len > CERTIFICATE_MAX {
        return Err(Malformed::Field("certificate length"));
    }
    Ok(r.take(len)?.to_vec())
}

fn optional<T>(
    r: &mut Reader<'_>,
    item: impl Fn(&mut Reader<'_>) -> Parsed<T>,
) -> Parsed<Option<T>> {
    if flag(r, "presence")? { item(r).map(Some) } else { Ok(None) }
}

fn many<T>(
    r: &mut Reader<'_>,
    max: usize,
    item: impl Fn(&mut Reader<'_>) -> Parsed<T>,
) -> Parsed<Vec<T>> {
    let n = usize::from(r.u8()?);
    if n > max {
        return Err(Malformed::Field("count"));
    }
    (0..n).map(|_| item(r)).collect()
}

fn with_record(kind: u8, record: &Record, out: &mut Vec<u8>) -> u8 {
    record.emit(out);
    kind
}

fn emit_id(id: &NodeId, out: &mut Vec<u8>) {
    out.extend_from_slice(id.as_bytes());
}

fn emit_name(name: &Name, out: &mut Vec<u8>) {
    emit_id(&name.key.id(), out);
    emit_id(&name.owner, out);
}

fn emit_range(range: &Range, out: &mut Vec<u8>) {
    emit_id(&range.from, out);
    emit_id(&range.to, out);
}

fn emit_optional<T>(item: Option<&T>, out: &mut Vec<u8>, emit: impl Fn(&T, &mut Vec<u8>)) {
    out.push(u8::from(item.is_some()));
    if let Some(item) = item {
        emit(item, out);
    }
}

fn emit_many<T>(items: &[T], out: &mut Vec<u8>, emit: impl Fn(&T, &mut Vec<u8>)) {
    debug_assert!(items.len() <= 255);
    out.push(items.len() as u8);
    items.iter().for_each(|item| emit(item, out));
}

#[cfg(test)]
mod tests {
    use super::super::record::{Intent, Kind, PAYLOAD_MAX, SIGNATURE_MAX};
    use super::*;
    use crate::time::UnixTime;
    use proptest::prelude::*;

    fn record(intent: Intent) -> Record {
        let payload_len = if intent == Intent::Withdraw { 0 } else { PAYLOAD_MAX };
        Record {
            key: Key::derive(Kind::Exclusive, "test", b"k"),
            owner: NodeId::from_bytes([7; 20]),
            seq: 9,
            expiry: UnixTime(1_000),
            intent,
            payload: vec![5; payload_len],
            signature: vec![6; SIGNATURE_MAX],
        }
    }

    /// One message of each type, at its largest.
    fn samples() -> Vec<Body> {
        let id = NodeId::from_bytes([3; 20]);
        let key = record(Intent::Write).key;
        let name = Name { key, owner: id };
        let range = Range { from: id, to: key.id() };
        vec![
            Body::Put(record(Intent::Write)),
            Body::Get { key, after: Some(id), budget: 900 },
            Body::Get { key, after: None, budget: 0 },
            Body::Reserve(record(Intent::Write)),
            Body::Commit(record(Intent::Write)),
            Body::Withdraw(record(Intent::Withdraw)),
            Body::CertificateGet(id),
            Body::Compare { range, digest: 77, owned: true },
            Body::List { range, after: Some(name) },
            Body::Want(vec![name; WANT_MAX]),
            Body::Copy(record(Intent::Renew)),
            Body::Notice(record(Intent::Write)),
            Body::Stored,
            Body::Refused(Refusal::Full),
            Body::NotReady,
            Body::NeedCertificate,
            Body::Values {
                ready: true,
                more: true,
                digest: 3,
                records: vec![record(Intent::Write)],
            },
            Body::Granted,
            Body::Committed,
            Body::Conflict { winner: record(Intent::Write), committed: true },
            Body::Unclaimed,
            Body::Withdrawn,
            Body::Certificate { owner: id, certificate: vec![1; CERTIFICATE_MAX] },
            Body::Same { upto: id },
            Body::Differ { upto: id },
            Body::Listing { more: true, names: vec![Listed { name, tag: TAG_MASK }; LISTING_MAX] },
        ]
    }

    #[test]
    fn every_message_survives_the_wire_within_its_limit() {
        for body in samples() {
            let message = Message { id: 0x0102_0304_0506_0708, body };
            let bytes = message.emit();
            assert!(bytes.len() <= MESSAGE_MAX);
            assert_eq!(Message::parse(&bytes), Ok(message));
        }
    }

    #[test]
    fn a_truncated_or_prolonged_message_is_refused() {
        for body in samples() {
            let mut bytes = Message { id: 1, body }.emit();
            for n in 0..bytes.len() {
                assert!(Message::parse(&bytes[..n]).is_err());
            }
            bytes.push(0);
            assert!(Message::parse(&bytes).is_err());
        }
    }

    #[test]
    fn a_withdrawal_must_carry_a_withdrawn_record() {
        let mut bytes = Message { id: 1, body: Body::Put(record(Intent::Write)) }.emit();
        bytes[0] = 0x05;
        assert_eq!(Message::parse(&bytes), Err(Malformed::Field("intent")));
    }

    proptest! {
        #[test]
        fn hostile_bytes_do_not_panic(
            kind in 0u8..0x50, tail in prop::collection::vec(any::<u8>(), 0..MESSAGE_MAX),
        ) {
            let mut bytes = vec![kind];
            bytes.extend(tail);
            let _ = Message::parse(&bytes);
        }

        #[test]
        fn a_flipped_byte_is_refused_or_reads_as_another_message(
            which in 0usize..26, at in 0usize..MESSAGE_MAX, with in 1u8..=255,
        ) {
            let all = samples();
            let good = Message { id: 1, body: all[which % all.len()].clone() };
            let mut bytes = good.emit();
            let at = at % bytes.len();
            bytes[at] ^= with;
            prop_assert_ne!(Message::parse(&bytes), Ok(good));
        }
    }
}
