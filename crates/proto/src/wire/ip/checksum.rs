//! The Internet checksum (RFC 1071).

/// A ones' complement sum in progress. 2^32 words fit without overflow, and no packet has that many.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum(u64);

impl Sum {
    /// Goes on over these bytes. Only the last part of a sum may have an odd length.
    #[must_use]
    pub fn over(self, bytes: &[u8]) -> Self {
        let (words, rest) = bytes.as_chunks::<2>();
        let sum = words.iter().fold(self.0, |sum, &w| sum + u64::from(u16::from_be_bytes(w)));
        Sum(sum + rest.first().map_or(0, |&last| u64::from(last) << 8))
    }

    /// Starts with the pseudo header of a transport of `len` bytes; `addresses` are source and destination
    /// as they follow each other in the IP header (RFC 9293 3.1, RFC 8200 8.1).
    #[must_use]
    pub fn of_pseudo_header(addresses: &[u8], protocol: u8, len: usize) -> Self {
        Sum(u64::from(protocol) + len as u64).over(addresses)
    }

    /// The value for the checksum field. Over bytes that hold a right checksum it is zero.
    #[must_use]
    pub fn finish(self) -> u16 {
        let mut sum = self.0;
        while sum >> 16 != 0 {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_the_example_of_rfc_1071() {
        let sum = Sum::default().over(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
        assert_eq!(sum.finish(), !0xddf2);
    }
}
