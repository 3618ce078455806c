//! Where the headers of an IP packet end: the few fields that split, merge and checksum need.
//!
//! A value of [`Layout`] is proof that the packet is well formed as far as it goes: version, header
//! length and total length agree with the number of bytes. IPv6 extension headers are not walked;
//! such a packet is well formed, but its transport is unknown (RFC 8200, RFC 791).

use crate::checksum::{self, Sum};

/// IP protocol number of TCP.
pub const TCP: u8 = 6;
/// IP protocol number of UDP.
pub const UDP: u8 = 17;

/// Length of an IPv4 header without options.
pub const IPV4_HEADER_LEN: usize = 20;
/// Length of the IPv6 header.
pub const IPV6_HEADER_LEN: usize = 40;
/// Length of a TCP header without options.
pub const TCP_HEADER_LEN: usize = 20;
/// Length of the UDP header.
pub const UDP_HEADER_LEN: usize = 8;

/// Version of the Internet Protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// The IP header of a well-formed packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The version.
    pub version: Version,
    /// Length of the IP header, without IPv6 extension headers.
    pub header_len: usize,
    /// Protocol (IPv4) or next header (IPv6).
    pub protocol: u8,
    /// Whether this is a fragment of an IPv4 packet.
    pub fragment: bool,
}

/// A TCP or UDP header right behind the IP header, whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transport {
    /// Protocol number, [`TCP`] or [`UDP`].
    pub protocol: u8,
    /// Where the header starts.
    pub start: usize,
    /// Where the payload starts.
    pub payload: usize,
}

impl Transport {
    /// Offset of the checksum field within the header.
    #[must_use]
    pub fn checksum_offset(&self) -> usize {
        checksum_offset(self.protocol)
    }
}

/// Offset of the checksum field within a TCP or UDP header.
#[must_use]
pub fn checksum_offset(protocol: u8) -> usize {
    if protocol == TCP { 16 } else { 6 }
}

impl Layout {
    /// Reads the IP header; `None` unless `packet` is exactly one well-formed IP packet.
    #[must_use]
    pub fn parse(packet: &[u8]) -> Option<Self> {
        match packet.first()? >> 4 {
            4 if packet.len() >= IPV4_HEADER_LEN => {
                let header_len = usize::from(packet[0] & 0x0f) * 4;
                let total = usize::from(read_u16(packet, 2));
                // More-fragments bit and offset; don't-fragment does not matter here.
                let fragment = read_u16(packet, 6) & 0x3fff != 0;
                (header_len >= IPV4_HEADER_LEN && header_len <= total && total == packet.len())
                    .then_some(Self {
                        version: Version::V4,
                        header_len,
                        protocol: packet[9],
                        fragment,
                    })
            }
            6 if packet.len() >= IPV6_HEADER_LEN => {
                let total = IPV6_HEADER_LEN + usize::from(read_u16(packet, 4));
                (total == packet.len()).then_some(Self {
                    version: Version::V6,
                    header_len: IPV6_HEADER_LEN,
                    protocol: packet[6],
                    fragment: false,
                })
            }
            _ => None,
        }
    }

    /// Source and destination address as they stand in the header of `packet`.
    #[must_use]
    pub fn addresses<'p>(&self, packet: &'p [u8]) -> &'p [u8] {
        match self.version {
            Version::V4 => &packet[12..20],
            Version::V6 => &packet[8..40],
        }
    }

    /// The TCP or UDP header, if the packet has one, whole and not in a fragment.
    #[must_use]
    pub fn transport(&self, packet: &[u8]) -> Option<Transport> {
        if self.fragment {
            return None;
        }
        transport_at(packet, self.header_len, self.protocol)
    }

    /// Starts the checksum of a transport segment of `len` bytes.
    #[must_use]
    pub fn pseudo_header(&self, packet: &[u8], protocol: u8, len: usize) -> Sum {
        checksum::pseudo_header(self.addresses(packet), protocol, len)
    }
}

/// The TCP or UDP header that starts at `start`, if it is whole.
#[must_use]
pub fn transport_at(packet: &[u8], start: usize, protocol: u8) -> Option<Transport> {
    let bytes = packet.get(start..)?;
    let header_len = match protocol {
        TCP if bytes.len() >= TCP_HEADER_LEN => usize::from(bytes[12] >> 4) * 4,
        UDP => UDP_HEADER_LEN,
        _ => return None,
    };
    let whole = bytes.len() >= header_len && (protocol == UDP || header_len >= TCP_HEADER_LEN);
    whole.then_some(Transport { protocol, start, payload: start + header_len })
}

/// Completes the checksum that the packet carries half-done; leaves a packet alone that has no
/// whole TCP or UDP header.
pub fn complete_checksum(packet: &mut [u8]) {
    let Some(layout) = Layout::parse(packet) else { return };
    let Some(transport) = layout.transport(packet) else { return };
    complete_checksum_at(packet, transport.start, transport.checksum_offset(), layout.protocol);
}

/// Completes the checksum of `packet[start..]` in the field at `start + offset`, which holds the
/// sum of the pseudo header. The caller has checked that the field is within the packet.
pub(crate) fn complete_checksum_at(packet: &mut [u8], start: usize, offset: usize, protocol: u8) {
    let sum = Sum::default().add_bytes(&packet[start..]);
    write_u16(packet, start + offset, checksum_field(sum, protocol));
}

/// The value of the checksum field for a finished sum. UDP says "no checksum" by zero, and sends the
/// other zero of ones' complement instead (RFC 768).
pub(crate) fn checksum_field(sum: Sum, protocol: u8) -> u16 {
    match sum.finish() {
        0 if protocol == UDP => 0xffff,
        field => field,
    }
}

/// Whether the TCP or UDP checksum of a well-formed packet is right. UDP without a checksum counts
/// as wrong: nothing vouches for its payload.
#[must_use]
pub fn checksum_is_right(packet: &[u8], layout: &Layout, transport: &Transport) -> bool {
    let field = transport.start + transport.checksum_offset();
    if transport.protocol == UDP && read_u16(packet, field) == 0 {
        return false;
    }
    let bytes = &packet[transport.start..];
    layout.pseudo_header(packet, transport.protocol, bytes.len()).add_bytes(bytes).finish() == 0
}

pub(crate) fn read_u16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

pub(crate) fn write_u16(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

pub(crate) fn read_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

pub(crate) fn write_u32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
}

/// Writes the length fields of the IP header for a packet of `total` bytes, and the IPv4 header
/// checksum.
pub(crate) fn write_total_len(head: &mut [u8], version: Version, total: usize) {
    match version {
        Version::V4 => {
            write_u16(head, 2, total as u16);
            let header_len = usize::from(head[0] & 0x0f) * 4;
            write_u16(head, 10, 0);
            let sum = Sum::default().add_bytes(&head[..header_len]).finish();
            write_u16(head, 10, sum);
        }
        Version::V6 => write_u16(head, 4, (total - IPV6_HEADER_LEN) as u16),
    }
}
