//! The header that precedes each packet of a TUN opened with `IFF_VNET_HDR`: `struct
//! virtio_net_hdr` (Virtio 1.2 section 5.1.6, `linux/virtio_net.h`), ten bytes in native order.

/// Bytes of the header on the wire between kernel and program.
pub const HEADER_LEN: usize = 10;

/// The checksum from `csum_start` on is to be completed at `csum_offset`.
const F_NEEDS_CSUM: u8 = 1;

const GSO_NONE: u8 = 0;
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;
const GSO_UDP_L4: u8 = 5;
/// Bit beside a TCP type: the first segment carries CWR (RFC 3168).
const GSO_ECN: u8 = 0x80;

/// What kind of super-packet follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Gso {
    /// One packet.
    #[default]
    None,
    /// TCP over IPv4.
    Tcp4,
    /// TCP over IPv6.
    Tcp6,
    /// UDP over either, split into datagrams of equal size.
    Udp,
}

/// The header, parsed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The kind of super-packet.
    pub gso: Gso,
    /// Payload bytes of each segment but the last.
    pub segment_len: u16,
    /// Length of all headers. The kernel sends a hint that can be too large; never rely on it.
    pub header_len: u16,
    /// Where a checksum is to be completed: start of the sum, and offset of the field from there.
    pub partial: Option<(u16, u16)>,
}

impl Header {
    /// Parses the ten bytes; `None` for a kind this program did not ask the kernel for.
    #[must_use]
    pub fn parse(bytes: [u8; HEADER_LEN]) -> Option<Self> {
        let field = |at: usize| u16::from_ne_bytes([bytes[at], bytes[at + 1]]);
        let gso = match bytes[1] & !GSO_ECN {
            GSO_NONE => Gso::None,
            GSO_TCPV4 => Gso::Tcp4,
            GSO_TCPV6 => Gso::Tcp6,
            GSO_UDP_L4 => Gso::Udp,
            _ => return None,
        };
        Some(Self {
            gso,
            header_len: field(2),
            segment_len: field(4),
            partial: (bytes[0] & F_NEEDS_CSUM != 0).then(|| (field(6), field(8))),
        })
    }

    /// The ten bytes.
    #[must_use]
    pub fn emit(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[1] = match self.gso {
            Gso::None => GSO_NONE,
            Gso::Tcp4 => GSO_TCPV4,
            Gso::Tcp6 => GSO_TCPV6,
            Gso::Udp => GSO_UDP_L4,
        };
        bytes[2..4].copy_from_slice(&self.header_len.to_ne_bytes());
        bytes[4..6].copy_from_slice(&self.segment_len.to_ne_bytes());
        if let Some((start, offset)) = self.partial {
            bytes[0] = F_NEEDS_CSUM;
            bytes[6..8].copy_from_slice(&start.to_ne_bytes());
            bytes[8..10].copy_from_slice(&offset.to_ne_bytes());
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_emitted_parses_to_the_same() {
        for gso in [Gso::None, Gso::Tcp4, Gso::Tcp6, Gso::Udp] {
            for partial in [None, Some((20, 16))] {
                let header = Header { gso, segment_len: 1400, header_len: 52, partial };
                assert_eq!(Header::parse(header.emit()), Some(header));
            }
        }
    }

    #[test]
    fn kinds_not_asked_for_are_refused() {
        for kind in [3, 6, 0x20] {
            assert_eq!(Header::parse([0, kind, 0, 0, 0, 0, 0, 0, 0, 0]), None);
        }
    }
}
