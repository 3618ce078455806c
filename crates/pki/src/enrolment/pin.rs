//! The pin of a server: the hash of its key, so that no authority of the web is asked.
//!
//! The key is pinned, not the certificate: that may be renewed for the same key without new blobs.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::id::parse_hex;

/// Most pins of one server: the key, its successor, and as many for a second server.
pub const PINS_MAX: usize = 4;

const PREFIX: &str = "sha256:";

/// The text is no pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected sha256: and 64 hexadecimal digits")]
pub struct ParsePinError;

/// SHA-256 of a SubjectPublicKeyInfo.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pin([u8; 32]);

impl Pin {
    /// Hashes a DER SubjectPublicKeyInfo.
    pub fn of_spki(spki: &[u8]) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, spki).as_ref());
        Self(hash)
    }

    /// Hashes the key in any X.509 certificate, of whatever kind; `None` when it is not one.
    pub fn of_certificate(der: &[u8]) -> Option<Self> {
        match x509_parser::parse_x509_certificate(der) {
            Ok(([], x509)) => Some(Self::of_spki(x509.public_key().raw)),
            Ok(_) | Err(_) => None,
        }
    }
}

impl FromStr for Pin {
    type Err = ParsePinError;

    fn from_str(text: &str) -> Result<Self, ParsePinError> {
        let mut hash = [0; 32];
        let digits = text.strip_prefix(PREFIX).ok_or(ParsePinError)?;
        parse_hex(digits, &mut hash).map(|()| Self(hash)).ok_or(ParsePinError)
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Pin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Pin {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
