//! The group secret: what all members share and outsiders do not.
//!
//! It opens the gate (first datagrams, discovery), it authenticates nobody. Each revocation starts
//! a new generation; every use derives its own key, so that no two uses share one.

use std::fmt;

use aws_lc_rs::hkdf::{HKDF_SHA256, Salt as HkdfSalt};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::id::random_bytes;
use crate::pem::{from_base64, to_base64};

/// Separates our derivations from any other use of HKDF with the same key.
const HKDF_SALT: &[u8] = b"warren group secret v1";

/// One generation of the group secret. Wiped when dropped, never printed.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop, Serialize, Deserialize)]
#[serde(try_from = "Text", into = "Text")]
pub struct GroupSecret {
    /// Counts up from 1 with each revocation.
    pub generation: u32,
    /// 32 uniform bytes.
    pub key: [u8; 32],
}

impl GroupSecret {
    /// Draws a secret for this generation from the operating system's generator.
    pub fn random(generation: u32) -> Self {
        Self { generation, key: random_bytes() }
    }

    /// Derives the key for one use by HKDF-SHA256 (RFC 5869); the label names the use.
    pub fn derive(&self, label: &[u8]) -> Zeroizing<[u8; 32]> {
        const FITS: &str = "32 bytes are within what HKDF can give";
        let generation = self.generation.to_be_bytes();
        let mut key = Zeroizing::new([0; 32]);
        let pseudorandom = HkdfSalt::new(HKDF_SHA256, HKDF_SALT).extract(&self.key);
        let info = [&generation[..], label];
        pseudorandom.expand(&info, HKDF_SHA256).expect(FITS).fill(&mut *key).expect(FITS);
        key
    }
}

impl fmt::Debug for GroupSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupSecret").field("generation", &self.generation).finish_non_exhaustive()
    }
}

/// The form in files: the key in base64.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    generation: u32,
    key: Zeroizing<String>,
}

impl TryFrom<Text> for GroupSecret {
    type Error = &'static str;

    fn try_from(text: Text) -> Result<Self, Self::Error> {
        const RULE: &str = "the key of a group secret is 32 bytes in base64";
        let bytes = Zeroizing::new(from_base64(&text.key).ok_or(RULE)?);
        let key = bytes.as_slice().try_into().map_err(|_| RULE)?;
        Ok(Self { generation: text.generation, key })
    }
}

impl From<GroupSecret> for Text {
    fn from(secret: GroupSecret) -> Self {
        Self { generation: secret.generation, key: Zeroizing::new(to_base64(&secret.key)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_by_label_generation_and_secret() {
        let secret = |generation, byte| GroupSecret { generation, key: [byte; 32] };
        let base = secret(1, 1).derive(b"hello");
        assert_eq!(base, secret(1, 1).derive(b"hello"));
        assert_ne!(base, secret(1, 1).derive(b"discovery"));
        assert_ne!(base, secret(2, 1).derive(b"hello"));
        assert_ne!(base, secret(1, 2).derive(b"hello"));
        assert_ne!(GroupSecret::random(1), GroupSecret::random(1));
    }

    #[test]
    fn debug_shows_no_secret() {
        let text = format!("{:?}", GroupSecret { generation: 3, key: [7; 32] });
        assert_eq!(text, "GroupSecret { generation: 3, .. }");
    }
}
