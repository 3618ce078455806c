//! ICMP errors that a node sends to its own host, so that a program learns at once why its packet goes
//! nowhere (RFC 792, RFC 1191, RFC 4443).

use super::checksum::Sum;
use super::{Header, IPV4_HEADER_LEN, IPV6_HEADER_LEN, protocol};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Deref;

/// Bytes of the offending packet that an error quotes: the longest IPv4 header and 8 bytes of transport
/// (RFC 792) are 68; IPv6 asks for more, and TCP over IPv6 is matched by its first 8 bytes too.
const QUOTE_LEN_MAX: usize = 80;
const ICMP_HEADER_LEN: usize = 8;
const LEN_MAX: usize = IPV6_HEADER_LEN + ICMP_HEADER_LEN + QUOTE_LEN_MAX;
/// What Linux gives packets of its own.
const HOP_LIMIT: u8 = 64;

/// Why a packet goes nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// It is longer than what the virtual network carries.
    TooBig {
        /// The longest packet that passes.
        mtu: u16,
    },
    /// Its destination may not be reached this way.
    Prohibited,
    /// Nobody has this address.
    NoSuchHost,
}

impl Problem {
    /// Type, code and the last two bytes of the header in ICMP for IPv4.
    fn v4(self) -> (u8, u8, u16) {
        match self {
            Problem::TooBig { mtu } => (3, 4, mtu),
            Problem::Prohibited => (3, 13, 0),
            Problem::NoSuchHost => (3, 1, 0),
        }
    }

    /// The same in ICMP for IPv6.
    fn v6(self) -> (u8, u8, u16) {
        match self {
            Problem::TooBig { mtu } => (2, 0, mtu),
            Problem::Prohibited => (1, 1, 0),
            Problem::NoSuchHost => (1, 3, 0),
        }
    }
}

/// An ICMP error, ready for the device.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    bytes: [u8; LEN_MAX],
    len: usize,
}

impl Answer {
    /// The error for the packet that starts with `head` and has this header, if one may be sent. It comes
    /// from the address that the packet was for.
    pub fn to(head: &[u8], header: &Header, problem: Problem) -> Option<Answer> {
        if !header.may_be_answered(head) {
            return None;
        }
        let quote = &head[..head.len().min(header.total_len).min(QUOTE_LEN_MAX)];
        let mut answer = Answer { bytes: [0; LEN_MAX], len: 0 };
        match (header.destination, header.source) {
            (IpAddr::V4(from), IpAddr::V4(to)) => answer.v4(from, to, problem, quote),
            (IpAddr::V6(from), IpAddr::V6(to)) => answer.v6(from, to, problem, quote),
            _ => return None,
        }
        Some(answer)
    }

    fn v4(&mut self, from: Ipv4Addr, to: Ipv4Addr, problem: Problem, quote: &[u8]) {
        let (kind, code, rest) = problem.v4();
        self.body(IPV4_HEADER_LEN, kind, code, rest, quote);
        let head = &mut self.bytes[..IPV4_HEADER_LEN];
        head[0] = 0x45;
        head[2..4].copy_from_slice(&(self.len as u16).to_be_bytes());
        head[8] = HOP_LIMIT;
        head[9] = protocol::ICMP;
        head[12..16].copy_from_slice(&from.octets());
        head[16..20].copy_from_slice(&to.octets());
        let sum = Sum::default().over(head).finish();
        head[10..12].copy_from_slice(&sum.to_be_bytes());
        self.checksum(IPV4_HEADER_LEN, Sum::default());
    }

    fn v6(&mut self, from: Ipv6Addr, to: Ipv6Addr, problem: Problem, quote: &[u8]) {
        let (kind, code, rest) = problem.v6();
        self.body(IPV6_HEADER_LEN, kind, code, rest, quote);
        let payload_len = self.len - IPV6_HEADER_LEN;
        let head = &mut self.bytes[..IPV6_HEADER_LEN];
        head[0] = 0x60;
        head[4..6].copy_from_slice(&(payload_len as u16).to_be_bytes());
        head[6] = protocol::ICMPV6;
        head[7] = HOP_LIMIT;
        head[8..24].copy_from_slice(&from.octets());
        head[24..40].copy_from_slice(&to.octets());
        let sum = Sum::of_pseudo_header(&head[8..], protocol::ICMPV6, payload_len);
        self.checksum(IPV6_HEADER_LEN, sum);
    }

    fn body(&mut self, at: usize, kind: u8, code: u8, rest: u16, quote: &[u8]) {
        let start = at + ICMP_HEADER_LEN;
        self.len = start + quote.len();
        self.bytes[at] = kind;
        self.bytes[at + 1] = code;
        self.bytes[at + 6..start].copy_from_slice(&rest.to_be_bytes());
        self.bytes[start..self.len].copy_from_slice(quote);
    }

    fn checksum(&mut self, at: usize, sum: Sum) {
        let sum = sum.over(&self.bytes[at..self.len]).finish();
        self.bytes[at + 2..at + 4].copy_from_slice(&sum.to_be_bytes());
    }
}

impl Deref for Answer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answer({} bytes)", self.len)
    }
}
