//! Who is who: node IDs, the salts they are made with, certificate serials and issuer IDs.
//!
//! A node ID is 160 bits of SHA-256. In the public overlay it hashes the node's
//! SubjectPublicKeyInfo alone, so anybody can grind one. In a private overlay the authority draws
//! a salt after it has seen the key and hashes both; the holder has no choice left (paper
//! section 3, Castro et al. on why free choice of IDs breaks a ring).

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The text is not the expected number of hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {digits} hexadecimal digits")]
pub struct ParseIdError {
    digits: usize,
}

/// Defines a fixed-size byte string that is written as lower-case hex everywhere.
macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $len]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;

            /// Takes the bytes as they are.
            pub const fn from_bytes(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// Returns the bytes.
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            /// Writes the first four bytes: enough to tell peers apart in a log.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0[..4].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let mut bytes = [0; $len];
                parse_hex(text, &mut bytes)
                    .map(|()| Self(bytes))
                    .ok_or(ParseIdError { digits: 2 * $len })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

hex_id! {
    /// The address of a node on the ring: 160 bits.
    NodeId, 20
}
hex_id! {
    /// The 16 bytes an authority draws per key, so that nobody chooses an own node ID.
    Salt, 16
}
hex_id! {
    /// The serial number of a certificate: 16 bytes, the first one in `0x40..=0x7f`, so that it is
    /// a positive DER integer of a fixed length.
    Serial, 16
}
hex_id! {
    /// The key of an issuing authority: SHA-256 of its SubjectPublicKeyInfo, cut to 20 bytes; equal
    /// to the key identifier extensions of its certificates.
    IssuerId, 20
}

impl NodeId {
    /// Derives the self-certified ID of the public overlay.
    pub fn self_certified(spki: &[u8]) -> Self {
        Self(hash_cut(&[spki]))
    }

    /// Derives the ID of a private overlay from what the authority drew and the node's key.
    pub fn salted(salt: &Salt, spki: &[u8]) -> Self {
        Self(hash_cut(&[&salt.0, spki]))
    }
}

impl Salt {
    /// Draws a salt from the operating system's generator.
    pub fn random() -> Self {
        Self(random_bytes())
    }
}

impl Serial {
    /// Draws a serial from the operating system's generator.
    pub fn random() -> Self {
        let mut bytes: [u8; 16] = random_bytes();
        bytes[0] = bytes[0] & 0x7f | 0x40;
        Self(bytes)
    }
}

impl IssuerId {
    /// Derives the ID of the authority that holds this key.
    pub fn of_key(spki: &[u8]) -> Self {
        Self(hash_cut(&[spki]))
    }
}

/// Draws bytes from the operating system's generator.
pub(crate) fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system generator cannot fail once it is seeded");
    bytes
}

fn hash_cut(parts: &[&[u8]]) -> [u8; 20] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    let mut id = [0; 20];
    id.copy_from_slice(&context.finish().as_ref()[..20]);
    id
}

pub(crate) fn parse_hex(text: &str, out: &mut [u8]) -> Option<()> {
    let digits = text.as_bytes();
    if digits.len() != 2 * out.len() {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        let nibble = |digit: u8| char::from(digit).to_digit(16);
        *byte = (nibble(pair[0])? << 4 | nibble(pair[1])?) as u8;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1 % point of the chi-square distribution with 255 degrees of freedom.
    const CHI_SQUARE_255_P01: f64 = 310.457;

    fn chi_square_of_top_byte(ids: impl Iterator<Item = NodeId>) -> f64 {
        let mut counts = [0u32; 256];
        let mut total = 0;
        for id in ids {
            counts[usize::from(id.as_bytes()[0])] += 1;
            total += 1;
        }
        let expected = f64::from(total) / 256.0;
        counts.iter().map(|&n| (f64::from(n) - expected).powi(2) / expected).sum()
    }

    #[test]
    fn unit_ov_04_ids_are_uniform() {
        assert_eq!(NodeId::LEN * 8, 160);
        // Fixed keys: a random sample would fail one run in a hundred by definition.
        let keys = || (0..10_000u32).map(|n| n.to_be_bytes());
        let salt = Salt::from_bytes([7; 16]);
        let salted = chi_square_of_top_byte(keys().map(|key| NodeId::salted(&salt, &key)));
        let public = chi_square_of_top_byte(keys().map(|key| NodeId::self_certified(&key)));
        assert!(salted < CHI_SQUARE_255_P01, "chi-square {salted}");
        assert!(public < CHI_SQUARE_255_P01, "chi-square {public}");
    }

    #[test]
    fn drawn_salts_spread_the_ids_of_one_key() {
        // Random: the bound is the 1e-9 point, so that it cannot flake.
        let drawn =
            chi_square_of_top_byte((0..10_000).map(|_| NodeId::salted(&Salt::random(), b"key")));
        assert!(drawn < 410.0, "chi-square {drawn}");
    }

    #[test]
    fn text_form_round_trips_and_rejects_other_lengths() {
        let id = NodeId::self_certified(b"key");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string().len(), 40);
        assert_eq!(format!("{id:?}"), id.to_string()[..8]);
        assert!("abc".parse::<NodeId>().is_err());
        assert!("+f".repeat(20).parse::<NodeId>().is_err());
    }

    #[test]
    fn the_salt_changes_the_id() {
        let id = |salt| NodeId::salted(&Salt::from_bytes([salt; 16]), b"key");
        assert_ne!(id(1), id(2));
        assert_ne!(id(1), NodeId::self_certified(b"key"));
    }

    #[test]
    fn serials_are_positive_and_of_fixed_length() {
        assert!((0..100).all(|_| (0x40..0x80).contains(&Serial::random().as_bytes()[0])));
    }
}
