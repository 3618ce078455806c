//! Secrets that people's programs show: the cookie of a browser, the token of an API client.
//!
//! Each is 256 uniform bits; the store keeps only the hash. With so much to guess, a plain hash is
//! as good as a slow one.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac::{self, HMAC_SHA256};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// What tells an API token from other secrets, for scanners of leaked ones.
const API_PREFIX: &str = "wa1_";
/// 256 bits in base64url without padding.
const TEXT_LEN: usize = 43;

/// A secret of 256 bits. Wiped when dropped, never printed.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Key([u8; 32]);

/// What the store keeps of a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyHash(String);

impl Key {
    /// Draws a key from the operating system's generator.
    pub fn random() -> Self {
        let mut key = [0; 32];
        aws_lc_rs::rand::fill(&mut key)
            .expect("the system generator cannot fail once it is seeded");
        Self(key)
    }

    /// Reads the text of a cookie.
    pub fn from_cookie(text: &str) -> Option<Self> {
        if text.len() != TEXT_LEN {
            return None;
        }
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(text).ok()?);
        bytes.as_slice().try_into().ok().map(Self)
    }

    /// Reads the text of an API token.
    pub fn from_api_token(text: &str) -> Option<Self> {
        text.strip_prefix(API_PREFIX).and_then(Self::from_cookie)
    }

    /// Writes the text of a cookie; it wipes itself.
    pub fn cookie(&self) -> Zeroizing<String> {
        Zeroizing::new(URL_SAFE_NO_PAD.encode(self.0))
    }

    /// Writes the text of an API token; it wipes itself.
    pub fn api_token(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{API_PREFIX}{}", &*self.cookie()))
    }

    /// Returns what the store keeps.
    pub fn hash(&self) -> KeyHash {
        KeyHash(URL_SAFE_NO_PAD.encode(digest(&SHA256, &self.0)))
    }

    /// Derives a text for one use, from which nobody learns the key.
    pub fn derive(&self, label: &str) -> String {
        let key = hmac::Key::new(HMAC_SHA256, &self.0);
        URL_SAFE_NO_PAD.encode(hmac::sign(&key, label.as_bytes()))
    }

    /// Returns whether a text was derived for this use.
    pub fn has_derived(&self, label: &str, text: &str) -> bool {
        verify_slices_are_equal(self.derive(label).as_bytes(), text.as_bytes()).is_ok()
    }
}

impl KeyHash {
    /// Returns the text to store.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_wb_01_keys_are_read_back_and_are_not_told_by_what_derives_from_them() {
        let key = Key::random();
        assert!(Key::from_cookie(&key.cookie()) == Some(key.clone()));
        let token = key.api_token();
        assert!(token.starts_with("wa1_") && Key::from_api_token(&token) == Some(key.clone()));
        assert!(Key::from_api_token(&key.cookie()).is_none());
        assert!(Key::from_cookie("short").is_none());
        assert_ne!(key.hash(), Key::random().hash());
        assert!(!key.hash().as_str().contains(&*key.cookie()));
        assert!(key.has_derived("csrf", &key.derive("csrf")));
        assert!(!key.has_derived("csrf", &key.derive("other")));
        assert!(!key.has_derived("csrf", &Key::random().derive("csrf")));
        assert_eq!(format!("{key:?}"), "Key(..)");
    }
}
