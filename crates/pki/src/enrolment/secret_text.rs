//! Secrets that are handed over as text: the token in a blob, the code of a waiting device.
//!
//! Each is 256 uniform bits in base64url behind a prefix that says what it is, so that scanners find
//! a leaked one and nobody takes one for the other. Who issues it keeps only the hash. With 256 bits
//! to guess, a plain hash is as good as a slow one.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::id::random_bytes;

/// The text is not a secret of this kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {prefix} and 43 characters of base64url")]
pub struct ParseSecretError {
    prefix: &'static str,
}

/// What the issuer of a secret keeps of it: SHA-256 of its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    /// Takes the bytes as they were stored.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes to store.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

macro_rules! secret_text {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
        pub struct $name([u8; 32]);

        impl $name {
            /// Draws one from the operating system's generator.
            pub fn random() -> Self {
                Self(random_bytes())
            }

            /// Writes the text that is handed over; it wipes itself.
            pub fn expose(&self) -> Zeroizing<String> {
                let mut text = String::with_capacity($prefix.len() + 43);
                text.push_str($prefix);
                URL_SAFE_NO_PAD.encode_string(self.0, &mut text);
                Zeroizing::new(text)
            }

            /// Returns what its issuer keeps.
            pub fn hash(&self) -> SecretHash {
                let mut hash = [0; 32];
                hash.copy_from_slice(digest(&SHA256, &self.0).as_ref());
                SecretHash(hash)
            }
        }

        impl FromStr for $name {
            type Err = ParseSecretError;

            fn from_str(text: &str) -> Result<Self, ParseSecretError> {
                const WRONG: ParseSecretError = ParseSecretError { prefix: $prefix };
                let body = text.strip_prefix($prefix).ok_or(WRONG)?;
                if body.len() != 43 {
                    return Err(WRONG);
                }
                let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(body).map_err(|_| WRONG)?);
                bytes.as_slice().try_into().map(Self).map_err(|_| WRONG)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.expose())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Zeroizing::<String>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

secret_text! {
    /// The secret in a blob that says whose nodes may enrol.
    Token, "wt1_"
}
secret_text! {
    /// The secret of a device that waits for its user's word.
    DeviceCode, "wd1_"
}
