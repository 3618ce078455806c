//! The key of a group without an authority: who has it is in, who has not gets silence.
//!
//! A key is 256 uniform bits. Its text is `wpsk1_` and 48 characters of base64url: the key, and the
//! first four bytes of a hash of it. So a slip of the pen is told as one, where it would else look
//! like a network that does not answer, and a phrase that somebody thought of is no key: all that
//! is derived from the key rests on nobody being able to guess it.
//!
//! A file may hold several, one a line: the first is dialled with, all are accepted. That is how a
//! group goes from one key to the next without an hour at which all have to do it.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt as HkdfSalt};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::id::random_bytes;

/// Most keys of a group at a time: one, its successor, and room for a change within a change.
pub const PRE_SHARED_KEYS_MAX: usize = 4;

/// Tells scanners for leaked secrets, and people, what the text is.
const PREFIX: &str = "wpsk1_";
/// Characters after the prefix: 36 bytes in base64url.
const BODY_LEN: usize = 48;
const CHECK_LEN: usize = 4;
/// Separates our derivations from any other use of HKDF with the same key.
const HKDF_SALT: &[u8] = b"warren pre-shared key v1";
const CHECK_LABEL: &[u8] = b"warren pre-shared key v1 check\0";

/// What all nodes of a group without an authority share. Wiped when dropped, never printed.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct PreSharedKey([u8; 32]);

/// The text is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseKeyError {
    /// It does not look like one.
    #[error("expected wpsk1_ and 48 characters of base64url: keys are drawn, not thought of")]
    Form,
    /// It looks like one and is not what was drawn.
    #[error("the key is damaged: a character of it is wrong")]
    Damaged,
}

/// A file of keys cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// A line is no key.
    #[error("line {line}: {error}")]
    Line {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        error: ParseKeyError,
    },
    /// A key stands in it twice.
    #[error("line {line}: this key stands further up already")]
    Twice {
        /// The line, from 1.
        line: usize,
    },
    /// Nothing but comments and empty lines.
    #[error("there is no key in it")]
    Empty,
    /// More than a change of keys needs.
    #[error("there are more than {PRE_SHARED_KEYS_MAX} keys in it")]
    TooMany,
}

impl PreSharedKey {
    /// Draws a key from the operating system's generator.
    pub fn random() -> Self {
        Self(random_bytes())
    }

    /// Takes 32 bytes that were drawn uniformly.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Writes the text that is handed over; it wipes itself.
    pub fn expose(&self) -> Zeroizing<String> {
        let bytes = Zeroizing::new([&self.0[..], &self.check()].concat());
        let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + BODY_LEN));
        text.push_str(PREFIX);
        URL_SAFE_NO_PAD.encode_string(&*bytes, &mut text);
        text
    }

    /// Reads the keys of a file, one a line, in their order. Empty lines and lines that start with
    /// `#` do not count.
    pub fn all_from_text(text: &str) -> Result<Vec<Self>, KeysError> {
        let mut keys = Vec::new();
        for (line, words) in (1..).zip(text.lines().map(str::trim)) {
            if words.is_empty() || words.starts_with('#') {
                continue;
            }
            let key: Self = words.parse().map_err(|error| KeysError::Line { line, error })?;
            if keys.contains(&key) {
                return Err(KeysError::Twice { line });
            }
            if keys.len() == PRE_SHARED_KEYS_MAX {
                return Err(KeysError::TooMany);
            }
            keys.push(key);
        }
        if keys.is_empty() { Err(KeysError::Empty) } else { Ok(keys) }
    }

    /// Derives the key for one use in one group by HKDF-SHA256 (RFC 5869); the label names the use.
    pub fn derive(&self, group: &str, label: &[u8]) -> Zeroizing<[u8; 32]> {
        const FITS: &str = "32 bytes are within what HKDF can give";
        let mut key = Zeroizing::new([0; 32]);
        let pseudorandom = HkdfSalt::new(HKDF_SHA256, HKDF_SALT).extract(&self.0);
        // A name of a group has no zero byte in it.
        let info = [group.as_bytes(), b"\0", label];
        pseudorandom.expand(&info, HKDF_SHA256).expect(FITS).fill(&mut *key).expect(FITS);
        key
    }

    fn check(&self) -> [u8; CHECK_LEN] {
        let labelled = Zeroizing::new([CHECK_LABEL, &self.0].concat());
        let hash = digest(&SHA256, &labelled);
        let mut check = [0; CHECK_LEN];
        check.copy_from_slice(&hash.as_ref()[..CHECK_LEN]);
        check
    }
}

impl FromStr for PreSharedKey {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Self, ParseKeyError> {
        let body = text.strip_prefix(PREFIX).filter(|body| body.len() == BODY_LEN);
        let body = body.ok_or(ParseKeyError::Form)?;
        let bytes = URL_SAFE_NO_PAD.decode(body).map_err(|_| ParseKeyError::Form)?;
        let bytes = Zeroizing::new(bytes);
        let (key, check) = bytes.split_first_chunk().ok_or(ParseKeyError::Form)?;
        let key = Self(*key);
        if check == key.check() { Ok(key) } else { Err(ParseKeyError::Damaged) }
    }
}

impl fmt::Debug for PreSharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PreSharedKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn unit_se_04_a_key_has_256_bits_and_its_text_is_read_back() {
        let key = PreSharedKey::random();
        let text = key.expose();
        assert!(text.starts_with("wpsk1_") && text.len() == 6 + 48, "{}", text.len());
        assert_eq!(text.parse(), Ok(key.clone()));
        assert_ne!(key, PreSharedKey::random());
        assert_eq!(format!("{key:?}"), "PreSharedKey(..)");
    }

    #[test]
    fn unit_se_04_short_damaged_and_invented_keys_are_refused() {
        let text = PreSharedKey::random().expose();
        let parse = |text: &str| text.parse::<PreSharedKey>().err();
        for short in ["", "secret", "wpsk1_", &text[..53], &text[6..], &format!("{}A", *text)] {
            assert_eq!(parse(short), Some(ParseKeyError::Form), "{short}");
        }
        let invented = format!("wpsk1_{}", "correct-horse-battery-staple-".repeat(2));
        assert_eq!(parse(&invented[..54]), Some(ParseKeyError::Damaged));
        for at in 6..text.len() {
            let other = if &text[at..=at] == "A" { "B" } else { "A" };
            let mut bent = text.to_string();
            bent.replace_range(at..=at, other);
            assert_eq!(parse(&bent), Some(ParseKeyError::Damaged), "{at}");
        }
    }

    #[test]
    fn unit_se_04_a_file_has_one_to_four_keys_in_its_order() {
        let keys: Vec<_> = (0..5).map(|_| PreSharedKey::random()).collect();
        let texts: Vec<_> = keys.iter().map(|key| key.expose().to_string()).collect();
        let read = PreSharedKey::all_from_text;
        let commented = format!("# of the family\n\n  {}  \r\n{}", texts[1], texts[0]);
        assert_eq!(read(&commented), Ok(vec![keys[1].clone(), keys[0].clone()]));
        assert_eq!(read(&texts[..4].join("\n")), Ok(keys[..4].to_vec()));
        assert_eq!(read(&texts.join("\n")), Err(KeysError::TooMany));
        assert_eq!(read("# nothing\n\n"), Err(KeysError::Empty));
        let twice = format!("{}\n#\n{}", texts[0], texts[0]);
        assert_eq!(read(&twice), Err(KeysError::Twice { line: 3 }));
        let error = read(&format!("{}\n{}", texts[0], &texts[1][..50])).expect_err("too short");
        assert_eq!(error, KeysError::Line { line: 2, error: ParseKeyError::Form });
        assert!(!error.to_string().contains(&texts[1][6..20]), "{error}");
    }

    #[test]
    fn derived_keys_differ_by_key_group_and_label() {
        let key = |byte| PreSharedKey::from_bytes([byte; 32]);
        let base = key(1).derive("home", b"gate");
        assert_eq!(base, key(1).derive("home", b"gate"));
        assert_ne!(base, key(1).derive("home", b"session"));
        assert_ne!(base, key(1).derive("away", b"gate"));
        assert_ne!(base, key(2).derive("home", b"gate"));
    }

    proptest! {
        #[test]
        fn any_text_is_keys_or_an_error(text in "(wpsk1_[A-Za-z0-9_-]{40,50}|[ -~]{0,60})\n?.{0,80}") {
            if let Ok(keys) = PreSharedKey::all_from_text(&text) {
                prop_assert!((1..=PRE_SHARED_KEYS_MAX).contains(&keys.len()));
            }
        }
    }
}
