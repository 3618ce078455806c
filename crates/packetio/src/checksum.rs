//! The Internet checksum (RFC 1071) and the state in which a packet carries it.
//!
//! Sums are kept unfolded in the machine's own byte order: the ones' complement sum does not care,
//! as RFC 1071 section 2(B) shows, and the loop then needs no byte swaps and runs in vector
//! registers. Only [`Sum::fold`] turns the result into a number.

/// Says whether the transport checksum of a packet is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// The packet is as it should be on a wire.
    Complete,
    /// The checksum field of the TCP or UDP header holds the folded sum of the pseudo header only,
    /// as Linux leaves it for hardware (`CHECKSUM_PARTIAL`). Whoever consumes the packet completes
    /// it, or does without.
    Partial,
}

/// A ones' complement sum in progress.
///
/// 2^32 words fit without overflow, and no packet is longer than 2^16 bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum(u64);

impl Sum {
    /// Adds bytes. Only the last part of a sum may have an odd length.
    #[must_use]
    pub fn add_bytes(self, bytes: &[u8]) -> Self {
        let mut sum = self.0;
        let (words, rest) = bytes.as_chunks::<4>();
        for word in words {
            sum += u64::from(u32::from_ne_bytes(*word));
        }
        let mut last = [0; 4];
        last[..rest.len()].copy_from_slice(rest);
        Self(sum + u64::from(u32::from_ne_bytes(last)))
    }

    /// Adds one 16-bit number, as if its two bytes in network order had been added.
    #[must_use]
    pub fn add_u16(self, number: u16) -> Self {
        Self(self.0 + u64::from(u16::from_ne_bytes(number.to_be_bytes())))
    }

    /// Folds the sum to 16 bits, not complemented.
    #[must_use]
    pub fn fold(self) -> u16 {
        let mut sum = self.0;
        while sum >> 16 != 0 {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        u16::from_be_bytes((sum as u16).to_ne_bytes())
    }

    /// The value for the checksum field: the complement of the folded sum.
    #[must_use]
    pub fn finish(self) -> u16 {
        !self.fold()
    }
}

/// Sums the pseudo header of TCP and UDP (RFC 9293 section 3.1, RFC 8200 section 8.1).
///
/// `addresses` are source and destination as they follow each other in the IP header.
#[must_use]
pub fn pseudo_header(addresses: &[u8], protocol: u8, transport_len: usize) -> Sum {
    Sum::default()
        .add_bytes(addresses)
        .add_u16(u16::from(protocol))
        .add_u16((transport_len >> 16) as u16)
        .add_u16(transport_len as u16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition in RFC 1071 section 1, one 16-bit word at a time.
    fn reference(bytes: &[u8]) -> u16 {
        let mut sum = 0_u32;
        for pair in bytes.chunks(2) {
            let word = u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]);
            sum += u32::from(word);
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    }

    #[test]
    fn matches_the_example_of_rfc_1071() {
        let sum = Sum::default().add_bytes(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
        assert_eq!(sum.fold(), 0xddf2);
    }

    proptest! {
        #[test]
        fn equals_the_slow_reference(bytes in proptest::collection::vec(any::<u8>(), 0..3000)) {
            prop_assert_eq!(Sum::default().add_bytes(&bytes).finish(), reference(&bytes));
        }

        #[test]
        fn parts_of_even_length_add_up(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            cut in 0..150_usize,
            number in any::<u16>(),
        ) {
            let cut = (cut * 2).min(bytes.len() & !1);
            let parts = Sum::default().add_bytes(&bytes[..cut]).add_u16(number).add_bytes(&bytes[cut..]);
            let mut whole = bytes[..cut].to_vec();
            whole.extend_from_slice(&number.to_be_bytes());
            whole.extend_from_slice(&bytes[cut..]);
            prop_assert_eq!(parts.finish(), reference(&whole));
        }
    }
}
