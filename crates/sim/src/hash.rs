//! The event hash: a short proof that two runs did the same things in the same order.
//!
//! FNV-1a with 64 bits (draft-eastlake-fnv): one multiplication per byte, ten lines, published test
//! vectors, and no dependency whose next version could change recorded results. It has to tell apart
//! runs that differ by accident, for which 64 bits are plenty; it is no defence against somebody who
//! wants a collision, so nothing secret or signed may rest on it.
//!
//! `std::hash` is avoided on purpose: neither `DefaultHasher` nor what `derive(Hash)` feeds it is
//! promised to stay the same between Rust versions or between platforms. Here integers enter as
//! eight little-endian bytes and byte strings behind their length, so that no two field sequences of
//! the same shape feed the same bytes.

use std::fmt;

/// FNV-1a 64 offset basis; any other value changes every recorded hash.
const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
/// FNV 64 prime; any other value changes every recorded hash.
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// A running hash over the fields of all events so far, shown as 16 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventHash(u64);

impl EventHash {
    /// Starts the hash of a run in which nothing has happened yet.
    pub const fn new() -> Self {
        Self(OFFSET_BASIS)
    }

    /// Feeds one integer field: a time, a node index, a kind of event.
    pub fn add_u64(&mut self, value: u64) -> &mut Self {
        self.mix(&value.to_le_bytes());
        self
    }

    /// Feeds one field of bytes, such as a datagram, together with its length.
    pub fn add_bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.add_u64(bytes.len() as u64);
        self.mix(bytes);
        self
    }

    /// Returns the hash of everything fed so far; feeding may go on.
    pub const fn value(&self) -> u64 {
        self.0
    }

    fn mix(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(PRIME);
        }
    }
}

impl Default for EventHash {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for EventHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(bytes: &[u8]) -> u64 {
        let mut hash = EventHash::new();
        hash.mix(bytes);
        hash.value()
    }

    #[test]
    fn mixing_matches_the_published_vectors() {
        assert_eq!(raw(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(raw(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(raw(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn recorded_hash_does_not_change() {
        let mut hash = EventHash::new();
        hash.add_u64(1_000_000).add_u64(7).add_bytes(b"datagram");
        assert_eq!(hash.to_string(), "9c2dd364fc9dba60");
    }

    #[test]
    fn order_and_field_borders_count() {
        let of = |fields: &[&[u8]]| {
            let mut hash = EventHash::new();
            for field in fields {
                hash.add_bytes(field);
            }
            hash
        };
        assert_eq!(of(&[b"ab", b"c"]), of(&[b"ab", b"c"]));
        assert_ne!(of(&[b"ab", b"c"]), of(&[b"a", b"bc"]));
        assert_ne!(of(&[b"ab", b"c"]), of(&[b"c", b"ab"]));
        assert_ne!(of(&[b""]), of(&[]));
    }
}
