//! Revocation notices and heads: the signed objects that every carrier passes on.
//!
//! A notice says *who is out since when*; its number and the hash of its predecessor make a chain
//! with one history. A head says *this is the newest notice*, so that no news is signed too. Each
//! fits one datagram. All integers are big endian:
//!
//! ```text
//! notice: version 1 | kind 1 | number 8 | previous 32 | issued_before 8 | valid_until 8
//!         | signer 20 | subject kind 1 | subject length 1 | subject | signature 64
//! head:   version 1 | kind 1 | number 8 | hash 32 | first 8 | issued 8 | next_update 8
//!         | signer 20 | signature 64
//! ```
//!
//! The signature covers a label, the group's name and everything before the signature. Signatures
//! have one encoding (see [`key`](crate::key)), so the hash of a notice may cover its signature:
//! nobody but the authority can make a second notice with other bytes.

use aws_lc_rs::digest::{SHA256, digest};

use crate::id::{IssuerId, NodeId, Serial};
use crate::key::{self, PrivateKey, SIGNATURE_LEN};
use crate::name::check_user;
use crate::unix_time::UnixTime;

/// Longest notice or head in bytes, with much room below one datagram.
pub const NOTICE_LEN_MAX: usize = 512;

const VERSION: u8 = 1;
const KIND_NOTICE: u8 = 1;
const KIND_HEAD: u8 = 2;
/// Keeps these signatures apart from all others of the same key.
const SIGNATURE_LABEL: &[u8] = b"warren revocation v1\0";
/// Starts the chain of each group at a different hash.
const GENESIS_LABEL: &[u8] = b"warren ledger v1\0";

/// Who or what is out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Revoked {
    /// One certificate, for ever.
    Serial(Serial),
    /// Every certificate of a node issued before the notice.
    Node(NodeId),
    /// Every certificate of a user issued before the notice.
    User(String),
    /// An authority with everything it signed; only the root may say so.
    Issuer(IssuerId),
}

impl Revoked {
    fn kind_and_bytes(&self) -> (u8, &[u8]) {
        match self {
            Self::Serial(serial) => (1, serial.as_bytes()),
            Self::Node(id) => (2, id.as_bytes()),
            Self::User(user) => (3, user.as_bytes()),
            Self::Issuer(id) => (4, id.as_bytes()),
        }
    }

    fn from_kind_and_bytes(kind: u8, bytes: &[u8]) -> Option<Self> {
        Some(match kind {
            1 => Self::Serial(Serial::from_bytes(bytes.try_into().ok()?)),
            2 => Self::Node(NodeId::from_bytes(bytes.try_into().ok()?)),
            3 => {
                let user = std::str::from_utf8(bytes).ok()?;
                check_user(user).ok()?;
                Self::User(user.to_owned())
            }
            4 => Self::Issuer(IssuerId::from_bytes(bytes.try_into().ok()?)),
            _ => return None,
        })
    }
}

/// One link of the chain of revocations. Parsed is not verified: the
/// [`Ledger`](crate::Ledger) decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Position in the chain, from 1.
    pub number: u64,
    /// [`hash`](Self::hash) of the notice before, or the group's genesis hash.
    pub previous: [u8; 32],
    /// Who or what is out.
    pub subject: Revoked,
    /// Certificates issued from this moment on are not meant.
    pub issued_before: UnixTime,
    /// When every certificate it can mean has expired and the notice may be forgotten.
    pub valid_until: UnixTime,
    /// The key that signed.
    pub signer: IssuerId,
    signature: [u8; SIGNATURE_LEN],
}

impl Notice {
    /// Signs a notice.
    pub(crate) fn sign(
        group: &str,
        key: &PrivateKey,
        (number, previous): (u64, [u8; 32]),
        subject: Revoked,
        (issued_before, valid_until): (UnixTime, UnixTime),
    ) -> Self {
        let signer = IssuerId::of_key(key.spki());
        let signature = [0; SIGNATURE_LEN];
        let mut notice =
            Self { number, previous, subject, issued_before, valid_until, signer, signature };
        notice.signature = sign(key, group, &notice.body());
        notice
    }

    /// Writes the wire form.
    pub fn to_bytes(&self) -> Vec<u8> {
        [&self.body()[..], &self.signature].concat()
    }

    /// Reads the wire form; `None` unless it is exactly what [`to_bytes`](Self::to_bytes) writes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes, KIND_NOTICE)?;
        let number = reader.u64()?;
        let previous = reader.array()?;
        let issued_before = UnixTime(reader.u64()?);
        let valid_until = UnixTime(reader.u64()?);
        let signer = IssuerId::from_bytes(reader.array()?);
        let [kind, length] = reader.array()?;
        let subject = Revoked::from_kind_and_bytes(kind, reader.take(usize::from(length))?)?;
        let signature = reader.array()?;
        (number > 0 && reader.is_empty()).then_some(Self {
            number,
            previous,
            subject,
            issued_before,
            valid_until,
            signer,
            signature,
        })
    }

    /// Returns SHA-256 of the wire form.
    pub fn hash(&self) -> [u8; 32] {
        sha256(&[&self.to_bytes()])
    }

    pub(crate) fn is_signed_by(&self, group: &str, spki: &[u8]) -> bool {
        key::verify(spki, &signed(group, &self.body()), &self.signature)
    }

    fn body(&self) -> Vec<u8> {
        let (kind, subject) = self.subject.kind_and_bytes();
        let mut body = Vec::with_capacity(NOTICE_LEN_MAX);
        body.extend_from_slice(&[VERSION, KIND_NOTICE]);
        body.extend_from_slice(&self.number.to_be_bytes());
        body.extend_from_slice(&self.previous);
        body.extend_from_slice(&self.issued_before.0.to_be_bytes());
        body.extend_from_slice(&self.valid_until.0.to_be_bytes());
        body.extend_from_slice(self.signer.as_bytes());
        body.extend_from_slice(&[kind, subject.len() as u8]);
        body.extend_from_slice(subject);
        body
    }
}

/// The authority's word on which notice is the newest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Number of the newest notice; 0 while there is none.
    pub number: u64,
    /// Its hash, or the group's genesis hash.
    pub hash: [u8; 32],
    /// Lowest number still in force; whoever starts anew starts there.
    pub first: u64,
    /// When the head was signed.
    pub issued: UnixTime,
    /// When the next head is due.
    pub next_update: UnixTime,
    /// The key that signed.
    pub signer: IssuerId,
    signature: [u8; SIGNATURE_LEN],
}

impl Head {
    /// Signs a head.
    pub(crate) fn sign(
        group: &str,
        key: &PrivateKey,
        (number, hash, first): (u64, [u8; 32], u64),
        (issued, next_update): (UnixTime, UnixTime),
    ) -> Self {
        let signer = IssuerId::of_key(key.spki());
        let signature = [0; SIGNATURE_LEN];
        let mut head = Self { number, hash, first, issued, next_update, signer, signature };
        head.signature = sign(key, group, &head.body());
        head
    }

    /// Writes the wire form.
    pub fn to_bytes(&self) -> Vec<u8> {
        [&self.body()[..], &self.signature].concat()
    }

    /// Reads the wire form; `None` unless it is exactly what [`to_bytes`](Self::to_bytes) writes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes, KIND_HEAD)?;
        let head = Self {
            number: reader.u64()?,
            hash: reader.array()?,
            first: reader.u64()?,
            issued: UnixTime(reader.u64()?),
            next_update: UnixTime(reader.u64()?),
            signer: IssuerId::from_bytes(reader.array()?),
            signature: reader.array()?,
        };
        let in_order = (1..=head.number.saturating_add(1)).contains(&head.first);
        (in_order && reader.is_empty()).then_some(head)
    }

    pub(crate) fn is_signed_by(&self, group: &str, spki: &[u8]) -> bool {
        key::verify(spki, &signed(group, &self.body()), &self.signature)
    }

    fn body(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(NOTICE_LEN_MAX);
        body.extend_from_slice(&[VERSION, KIND_HEAD]);
        body.extend_from_slice(&self.number.to_be_bytes());
        body.extend_from_slice(&self.hash);
        body.extend_from_slice(&self.first.to_be_bytes());
        body.extend_from_slice(&self.issued.0.to_be_bytes());
        body.extend_from_slice(&self.next_update.0.to_be_bytes());
        body.extend_from_slice(self.signer.as_bytes());
        body
    }
}

/// Returns what stands in the place of a predecessor of notice 1.
pub(crate) fn genesis(group: &str) -> [u8; 32] {
    sha256(&[GENESIS_LABEL, group.as_bytes()])
}

fn sign(key: &PrivateKey, group: &str, body: &[u8]) -> [u8; SIGNATURE_LEN] {
    key.sign(&signed(group, body)).try_into().expect("every signature has this length")
}

/// What is signed: group names have at most 63 bytes, so the length byte is exact.
fn signed(group: &str, body: &[u8]) -> Vec<u8> {
    [SIGNATURE_LABEL, &[group.len() as u8], group.as_bytes(), body].concat()
}

fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, &parts.concat()).as_ref());
    hash
}

/// Takes fixed pieces off received bytes.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8], kind: u8) -> Option<Self> {
        let body = bytes.strip_prefix(&[VERSION, kind])?;
        (bytes.len() <= NOTICE_LEN_MAX).then_some(Self(body))
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (piece, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(piece)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn longest() -> (PrivateKey, Notice) {
        let key = PrivateKey::generate();
        let subject = Revoked::User("u".repeat(64));
        let times = (UnixTime(1000), UnixTime(2000));
        let notice = Notice::sign("team", &key, (7, [9; 32]), subject, times);
        (key, notice)
    }

    #[test]
    fn the_longest_notice_fits_and_round_trips() {
        let (key, notice) = longest();
        let bytes = notice.to_bytes();
        assert!(bytes.len() <= NOTICE_LEN_MAX, "{} bytes", bytes.len());
        let read = Notice::from_bytes(&bytes).expect("own output");
        assert_eq!(read, notice);
        assert!(read.is_signed_by("team", key.spki()));
        assert!(!read.is_signed_by("other", key.spki()), "a notice counts in one group");
    }

    #[test]
    fn a_head_round_trips_and_is_no_notice() {
        let key = PrivateKey::generate();
        let head = Head::sign("team", &key, (3, [1; 32], 1), (UnixTime(10), UnixTime(20)));
        let bytes = head.to_bytes();
        assert_eq!(Head::from_bytes(&bytes), Some(head.clone()));
        assert!(head.is_signed_by("team", key.spki()));
        assert!(Notice::from_bytes(&bytes).is_none());
    }

    proptest! {
        #[test]
        fn any_bytes_parse_to_one_form_or_nothing(
            bytes in proptest::collection::vec(any::<u8>(), 0..600),
            kind in 1u8..3,
        ) {
            let bytes = [&[VERSION, kind], &bytes[..]].concat();
            if let Some(notice) = Notice::from_bytes(&bytes) {
                prop_assert_eq!(notice.to_bytes(), bytes.clone());
            }
            if let Some(head) = Head::from_bytes(&bytes) {
                prop_assert_eq!(head.to_bytes(), bytes);
            }
        }

        #[test]
        fn one_changed_byte_breaks_a_notice(at in 0usize..1000, xor in 1u8..) {
            let (key, notice) = longest();
            let mut bytes = notice.to_bytes();
            let at = at % bytes.len();
            bytes[at] ^= xor;
            let read = Notice::from_bytes(&bytes);
            prop_assert!(read.is_none_or(|read| !read.is_signed_by("team", key.spki())
                || read.signer != IssuerId::of_key(key.spki())));
        }
    }
}
