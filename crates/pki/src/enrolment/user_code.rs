//! The code that a person reads on the waiting device and compares in the browser (RFC 8628 6.1).
//!
//! Eight letters without vowels, so that no word comes out, and without look-alikes: 34 bits, for
//! some minutes and behind a log-in with limited tries.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::id::random_bytes;

/// RFC 8628 section 6.1.
const ALPHABET: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
const LETTERS: usize = 8;

/// The text is no such code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected eight letters like BCDF-GHJK, without vowels")]
pub struct ParseUserCodeError;

/// Eight letters, written in two groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UserCode([u8; LETTERS]);

impl UserCode {
    /// Draws a code from the operating system's generator.
    pub fn random() -> Self {
        // 2^64 is so much more than 20^8 that the remainders are even to 2^-29.
        let mut rest = u64::from_be_bytes(random_bytes());
        Self(std::array::from_fn(|_| {
            let letter = ALPHABET[(rest % ALPHABET.len() as u64) as usize];
            rest /= ALPHABET.len() as u64;
            letter
        }))
    }
}

impl FromStr for UserCode {
    type Err = ParseUserCodeError;

    /// Reads what a person typed: in either case, with or without spaces and hyphens.
    fn from_str(text: &str) -> Result<Self, ParseUserCodeError> {
        let mut code = [0; LETTERS];
        let mut typed = text.bytes().filter(|byte| !matches!(byte, b'-' | b' '));
        for letter in &mut code {
            *letter = typed.next().ok_or(ParseUserCodeError)?.to_ascii_uppercase();
            if !ALPHABET.contains(letter) {
                return Err(ParseUserCodeError);
            }
        }
        typed.next().is_none().then_some(Self(code)).ok_or(ParseUserCodeError)
    }
}

impl fmt::Display for UserCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, letter) in self.0.iter().enumerate() {
            if index == LETTERS / 2 {
                f.write_str("-")?;
            }
            write!(f, "{}", char::from(*letter))?;
        }
        Ok(())
    }
}

impl Serialize for UserCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for UserCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
