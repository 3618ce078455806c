//! IP packets: the few header fields that a verdict needs, and the ICMP errors a node sends itself
//! (RFC 791, RFC 8200, RFC 792, RFC 4443).
//!
//! A [`Header`] is proof that the header is whole and consistent; [`Header::parse_packet`] also that the
//! bytes are exactly one packet. IPv6 extension headers are not walked: addresses decide what may pass, and
//! they stand in the fixed header.

use super::{Malformed, Reader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub mod checksum;
pub mod icmp;

/// Length of an IPv4 header without options.
pub const IPV4_HEADER_LEN: usize = 20;
/// Length of the fixed IPv6 header.
pub const IPV6_HEADER_LEN: usize = 40;

/// Protocol numbers (IANA) that mean something here.
pub mod protocol {
    /// ICMP for IPv4.
    pub const ICMP: u8 = 1;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// ICMP for IPv6.
    pub const ICMPV6: u8 = 58;
}

/// What a verdict needs to know of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Where it comes from.
    pub source: IpAddr,
    /// Where it goes; of the same version as `source`.
    pub destination: IpAddr,
    /// Protocol (IPv4) or first next header (IPv6).
    pub protocol: u8,
    /// Length of the IPv4 header with options, or of the fixed IPv6 header: where the payload starts.
    pub header_len: usize,
    /// Length of the packet as its header tells it.
    pub total_len: usize,
    /// Whether it is an IPv4 fragment other than the first, which has no transport header.
    pub later_fragment: bool,
}

impl Header {
    /// Reads the header at the front of `head`, which may be cut anywhere behind it.
    pub fn parse(head: &[u8]) -> Result<Header, Malformed> {
        match head.first().ok_or(Malformed::Truncated)? >> 4 {
            4 => Self::parse_v4(head),
            6 => Self::parse_v6(head),
            _ => Err(Malformed::Field("version")),
        }
    }

    /// Reads the header of `packet`, which must be exactly one packet.
    pub fn parse_packet(packet: &[u8]) -> Result<Header, Malformed> {
        let header = Self::parse(packet)?;
        match header.total_len.cmp(&packet.len()) {
            std::cmp::Ordering::Greater => Err(Malformed::Truncated),
            std::cmp::Ordering::Less => Err(Malformed::Trailing),
            std::cmp::Ordering::Equal => Ok(header),
        }
    }

    fn parse_v4(head: &[u8]) -> Result<Header, Malformed> {
        let mut r = Reader::new(head);
        let header_len = usize::from(r.u8()? & 0x0f) * 4;
        r.take(1)?;
        let total_len = usize::from(r.u16()?);
        r.take(2)?;
        let offset = r.u16()? & 0x1fff;
        r.take(1)?;
        let protocol = r.u8()?;
        r.take(2)?;
        let source = Ipv4Addr::from(r.array::<4>()?);
        let destination = Ipv4Addr::from(r.array::<4>()?);
        if header_len < IPV4_HEADER_LEN {
            return Err(Malformed::Field("header length"));
        }
        if total_len < header_len {
            return Err(Malformed::Field("total length"));
        }
        if head.len() < header_len {
            return Err(Malformed::Truncated);
        }
        Ok(Header {
            source: source.into(),
            destination: destination.into(),
            protocol,
            header_len,
            total_len,
            later_fragment: offset != 0,
        })
    }

    fn parse_v6(head: &[u8]) -> Result<Header, Malformed> {
        let mut r = Reader::new(head);
        r.take(4)?;
        let payload_len = usize::from(r.u16()?);
        let protocol = r.u8()?;
        r.take(1)?;
        Ok(Header {
            source: Ipv6Addr::from(r.array::<16>()?).into(),
            destination: Ipv6Addr::from(r.array::<16>()?).into(),
            protocol,
            header_len: IPV6_HEADER_LEN,
            total_len: IPV6_HEADER_LEN + payload_len,
            later_fragment: false,
        })
    }

    /// Whether an ICMP error may be sent in answer to the packet with this `head`: never to an error, to a
    /// later fragment, or to anything that did not come from one host (RFC 1122 3.2.2, RFC 4443 2.4).
    pub fn may_be_answered(&self, head: &[u8]) -> bool {
        let lone = |ip: IpAddr| match ip {
            IpAddr::V4(ip) => !ip.is_multicast() && !ip.is_broadcast() && !ip.is_unspecified(),
            IpAddr::V6(ip) => !ip.is_multicast() && !ip.is_unspecified(),
        };
        let is_error = match (self.protocol, head.get(self.header_len)) {
            // Destination unreachable, source quench, redirect, time exceeded, parameter problem.
            (protocol::ICMP, kind) => kind.is_none_or(|kind| matches!(kind, 3 | 4 | 5 | 11 | 12)),
            (protocol::ICMPV6, kind) => kind.is_none_or(|kind| *kind < 128 || *kind == 137),
            _ => false,
        };
        lone(self.source) && lone(self.destination) && !self.later_fragment && !is_error
    }
}

/// Completes the transport checksum of a packet whose checksum field holds the sum of the pseudo header
/// only, as Linux leaves it for hardware. Says whether there was one to complete.
pub fn complete_checksum(packet: &mut [u8], header: &Header) -> bool {
    let Some(field) = checksum_field(packet, header) else { return false };
    let sum = checksum::Sum::default().over(&packet[header.header_len..]).finish();
    // UDP sends the other zero of ones' complement, as zero says "no checksum" (RFC 768).
    let sum = if sum == 0 && header.protocol == protocol::UDP { 0xffff } else { sum };
    packet[field..field + 2].copy_from_slice(&sum.to_be_bytes());
    true
}

/// Where the checksum of the TCP or UDP header right behind the IP header stands, if there is such a header.
pub fn checksum_field(packet: &[u8], header: &Header) -> Option<usize> {
    let (offset, len) = match header.protocol {
        protocol::TCP => (16, 20),
        protocol::UDP => (6, 8),
        _ => return None,
    };
    let whole = !header.later_fragment && packet.len() >= header.header_len + len;
    whole.then_some(header.header_len + offset)
}

#[cfg(test)]
pub(crate) mod tests;
