//! Generations of the group secret: signed by the authority, so that members can pass them on.
//!
//! Each revocation starts a generation; its number is that of the notice plus one. A member that
//! could make one up would lock the others out, so the authority signs number, time and key. All
//! integers are big endian:
//!
//! ```text
//! version 1 | kind 1 | generation 4 | issued 8 | key 32 | signature 64
//! ```
//!
//! The signature covers a label, the group's name and everything before the signature. The record
//! is as secret as the key in it: it goes through sealed frames and files of mode 0600 only.
//!
//! Invariants of a [`Keyring`]: newest first, one of a number, [`GENERATIONS_MAX`] at most, each
//! verified.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::authority::LIFE_MAX;
use crate::key::{self, PrivateKey, SIGNATURE_LEN};
use crate::pem::{from_base64, to_base64};
use crate::secret::GroupSecret;
use crate::trust::Trust;
use crate::unix_time::UnixTime;

/// Most generations that are accepted at a time: bounds the work that one probe causes.
pub const GENERATIONS_MAX: usize = 64;
/// Length of the wire form in bytes.
pub const SIGNED_SECRET_LEN: usize = 2 + 4 + 8 + 32 + SIGNATURE_LEN;

const VERSION: u8 = 1;
/// Numbers 1 and 2 are notices and heads.
const KIND: u8 = 3;
/// Keeps these signatures apart from all others of the same key.
const SIGNATURE_LABEL: &[u8] = b"warren group secret v1\0";

/// A generation of the group secret with the authority's word for it. Never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Text", into = "Text")]
pub struct SignedSecret {
    /// The secret and its number.
    pub secret: GroupSecret,
    /// When the authority made it.
    pub issued: UnixTime,
    signature: [u8; SIGNATURE_LEN],
}

impl SignedSecret {
    /// Signs a generation.
    pub(crate) fn sign(
        group: &str,
        key: &PrivateKey,
        secret: GroupSecret,
        issued: UnixTime,
    ) -> Self {
        let mut signed = Self { secret, issued, signature: [0; SIGNATURE_LEN] };
        let signature = key.sign(&to_sign(group, &signed.body()));
        signed.signature = signature.try_into().expect("every signature has this length");
        signed
    }

    /// Writes the wire form.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(SIGNED_SECRET_LEN));
        bytes.extend_from_slice(&self.body());
        bytes.extend_from_slice(&self.signature);
        bytes
    }

    /// Reads the wire form; `None` unless it is exactly what [`to_bytes`](Self::to_bytes) writes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let body: &[u8; SIGNED_SECRET_LEN] = bytes.try_into().ok()?;
        let (head, rest) = body.split_first_chunk::<2>()?;
        let (generation, rest) = rest.split_first_chunk()?;
        let (issued, rest) = rest.split_first_chunk()?;
        let (key, signature) = rest.split_first_chunk()?;
        let generation = u32::from_be_bytes(*generation);
        (*head == [VERSION, KIND] && generation > 0).then_some(())?;
        Some(Self {
            secret: GroupSecret { generation, key: *key },
            issued: UnixTime(u64::from_be_bytes(*issued)),
            signature: signature.try_into().ok()?,
        })
    }

    pub(crate) fn is_signed_by(&self, group: &str, spki: &[u8]) -> bool {
        key::verify(spki, &to_sign(group, &self.body()), &self.signature)
    }

    fn body(&self) -> Zeroizing<Vec<u8>> {
        let mut body = Zeroizing::new(Vec::with_capacity(SIGNED_SECRET_LEN));
        body.extend_from_slice(&[VERSION, KIND]);
        body.extend_from_slice(&self.secret.generation.to_be_bytes());
        body.extend_from_slice(&self.issued.0.to_be_bytes());
        body.extend_from_slice(&self.secret.key);
        body
    }
}

impl fmt::Debug for SignedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SignedSecret").field(&self.secret).finish()
    }
}

/// What is signed: group names have at most 63 bytes, so the length byte is exact.
fn to_sign(group: &str, body: &[u8]) -> Zeroizing<Vec<u8>> {
    let parts = [SIGNATURE_LABEL, &[group.len() as u8], group.as_bytes(), body];
    Zeroizing::new(parts.concat())
}

/// The form in files.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    generation: u32,
    key: Zeroizing<String>,
    issued: u64,
    signature: String,
}

impl TryFrom<Text> for SignedSecret {
    type Error = &'static str;

    fn try_from(text: Text) -> Result<Self, Self::Error> {
        const RULE: &str = "the key of a group secret is 32 bytes in base64";
        let bytes = Zeroizing::new(from_base64(&text.key).ok_or(RULE)?);
        let key = bytes.as_slice().try_into().map_err(|_| RULE)?;
        let signature = from_base64(&text.signature).and_then(|bytes| bytes.try_into().ok());
        let secret = GroupSecret { generation: text.generation, key };
        if secret.generation == 0 {
            return Err("generations of the group secret count from 1");
        }
        let signature = signature.ok_or("the signature of a group secret is 64 bytes in base64")?;
        Ok(Self { secret, issued: UnixTime(text.issued), signature })
    }
}

impl From<SignedSecret> for Text {
    fn from(signed: SignedSecret) -> Self {
        Self {
            generation: signed.secret.generation,
            key: Zeroizing::new(to_base64(&signed.secret.key)),
            issued: signed.issued.0,
            signature: to_base64(&signed.signature),
        }
    }
}

/// Why a generation was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// None of the group's authorities signed it, or one that was ended.
    #[error("group secret {generation} is not signed by an authority of this group")]
    BadSignature {
        /// Which generation.
        generation: u32,
    },
    /// The authority signed two of one number: its key is in two hands.
    #[error(
        "two different group secrets of generation {generation}; the authority's key may be stolen"
    )]
    Conflict {
        /// Which generation.
        generation: u32,
    },
}

/// The generations that a member knows.
#[derive(Clone, Debug, Default)]
pub struct Keyring {
    newest_first: Vec<SignedSecret>,
}

impl Keyring {
    /// Verifies and takes a generation; returns whether it is news. When there are too many, the
    /// oldest goes.
    pub fn take(&mut self, signed: SignedSecret, trust: &Trust) -> Result<bool, SecretError> {
        let generation = signed.secret.generation;
        let known = self.newest_first.iter().find(|held| held.secret.generation == generation);
        if let Some(known) = known {
            let same = known.secret == signed.secret;
            return if same { Ok(false) } else { Err(SecretError::Conflict { generation }) };
        }
        if !trust.has_signed(&signed) {
            return Err(SecretError::BadSignature { generation });
        }
        let newer = |held: &SignedSecret| held.secret.generation > generation;
        let at = self.newest_first.partition_point(newer);
        if at == GENERATIONS_MAX {
            return Ok(false);
        }
        self.newest_first.insert(at, signed);
        self.newest_first.truncate(GENERATIONS_MAX);
        Ok(true)
    }

    /// Drops generations that were followed by a newer one longer ago than a certificate lives: who
    /// has nothing newer has no valid certificate either. Returns how many.
    pub fn prune(&mut self, now: UnixTime) -> usize {
        let before = self.newest_first.len();
        let over = |newer: &[SignedSecret]| newer[0].issued + LIFE_MAX < now;
        let kept = self.newest_first.windows(2).position(over).map_or(before, |at| at + 1);
        self.newest_first.truncate(kept);
        before - kept
    }

    /// Returns the newest number, 0 for none.
    pub fn generation(&self) -> u32 {
        self.newest_first.first().map_or(0, |signed| signed.secret.generation)
    }

    /// Returns all generations, newest first.
    pub fn all(&self) -> &[SignedSecret] {
        &self.newest_first
    }

    /// Returns the secrets, newest first.
    pub fn secrets(&self) -> impl Iterator<Item = &GroupSecret> {
        self.newest_first.iter().map(|signed| &signed.secret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{DAY, NOW, authority, trust};
    use proptest::prelude::*;

    #[test]
    fn a_generation_round_trips_and_counts_in_its_group_only() {
        let authority = authority("team");
        let signed = authority.sign_secret(GroupSecret::random(3), NOW);
        let read = SignedSecret::from_bytes(&signed.to_bytes()).expect("own output");
        assert_eq!((&read.secret, read.issued), (&signed.secret, NOW));
        let mut keyring = Keyring::default();
        assert_eq!(keyring.take(read, &trust(&authority)), Ok(true));
        assert_eq!(keyring.take(signed.clone(), &trust(&authority)), Ok(false), "known");
        let stranger = crate::testing::authority("team");
        let refused = Keyring::default().take(signed, &trust(&stranger));
        assert_eq!(refused, Err(SecretError::BadSignature { generation: 3 }));
    }

    #[test]
    fn a_second_secret_of_one_number_is_a_conflict() {
        let authority = authority("team");
        let (trust, mut keyring) = (trust(&authority), Keyring::default());
        keyring.take(authority.sign_secret(GroupSecret::random(1), NOW), &trust).expect("is good");
        let rival = keyring.take(authority.sign_secret(GroupSecret::random(1), NOW), &trust);
        assert_eq!(rival, Err(SecretError::Conflict { generation: 1 }));
    }

    #[test]
    fn generations_are_bounded_ordered_and_outlive_their_successor_by_one_life() {
        let authority = authority("team");
        let (trust, mut keyring) = (trust(&authority), Keyring::default());
        for n in (1..=70u32).rev() {
            let issued = NOW + DAY * n;
            let signed = authority.sign_secret(GroupSecret::random(n), issued);
            keyring.take(signed, &trust).expect("is good");
        }
        let numbers: Vec<u32> = keyring.secrets().map(|secret| secret.generation).collect();
        assert_eq!(numbers, (7..=70).rev().collect::<Vec<_>>());
        // The generation that 40 followed 31 days ago is over, 40 itself was followed 30 days ago.
        assert_eq!(keyring.prune(NOW + DAY * 71), 33);
        assert_eq!(keyring.all().last().map(|oldest| oldest.secret.generation), Some(40));
        keyring.prune(NOW + DAY * 10_000);
        assert_eq!(keyring.secrets().count(), 1, "the newest stays");
    }

    #[test]
    fn debug_shows_no_key() {
        let signed = authority("team").sign_secret(GroupSecret::random(3), NOW);
        assert_eq!(format!("{signed:?}"), "SignedSecret(GroupSecret { generation: 3, .. })");
    }

    proptest! {
        #[test]
        fn any_bytes_parse_to_one_form_or_nothing(
            bytes in proptest::collection::vec(any::<u8>(), 0..SIGNED_SECRET_LEN + 4),
        ) {
            let bytes = [&[VERSION, KIND], &bytes[..]].concat();
            if let Some(signed) = SignedSecret::from_bytes(&bytes) {
                prop_assert_eq!(signed.to_bytes().to_vec(), bytes);
            }
        }
    }
}
