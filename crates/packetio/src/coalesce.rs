//! Puts consecutive packets of one flow together again, the inverse of [`crate::split`].
//!
//! One super-packet is in the making at a time; there is no flow table, because the packets of a
//! batch were cut from super-packets and arrive in a row. The first packet keeps its bytes and lends
//! its header, the others add their payload as slices. What is put together splits into the packets
//! it came from, byte for byte: that is the rule behind each comparison below (as in Linux,
//! `tcp_gro_receive`). Only the identification of IPv4 packets with the don't-fragment bit may
//! change, where RFC 6864 gives it no meaning.
//!
//! The transport checksum of a super-packet is written anew, which would hide damage. So a packet
//! may join only if its checksum is half-done, that is, vouched for by the seal it came under, or
//! has been verified.

use std::io::IoSlice;

use crate::checksum::Checksum;
use crate::ip::{self, Layout, TCP, Transport, UDP, Version};
use crate::split::{TCP_FIN, TCP_FLAGS, TCP_PSH};
use crate::vnet::{Gso, Header};

/// Packets in one super-packet: the kernel's bound for UDP (`UDP_MAX_SEGMENTS` was 64 until Linux
/// 6.10), and enough for 64 KB of TCP at usual segment sizes.
pub const PACKETS_MAX: usize = 64;

/// Longest super-packet: what the IPv4 total length can say.
pub const SUPER_LEN_MAX: usize = 65_535;

const TCP_ACK: u8 = 0x10;
const IPV4_DONT_FRAGMENT: u8 = 0x40;

/// A packet that may join others: established TCP or UDP with payload and a trusted checksum.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    layout: Layout,
    transport: Transport,
    checksum: Checksum,
    payload_len: usize,
    /// FIN or PSH: nothing may follow in the same super-packet.
    ends: bool,
}

impl Member {
    /// Judges a well-formed packet; reads all of it if its checksum has to be verified.
    #[must_use]
    pub fn of(
        packet: &[u8],
        layout: Layout,
        transport: Transport,
        checksum: Checksum,
    ) -> Option<Self> {
        let payload_len = packet.len() - transport.payload;
        if payload_len == 0 {
            return None;
        }
        let mut ends = false;
        if transport.protocol == TCP {
            let flags = packet[transport.start + TCP_FLAGS];
            ends = flags & (TCP_FIN | TCP_PSH) != 0;
            if flags & !(TCP_FIN | TCP_PSH) != TCP_ACK {
                return None;
            }
        } else if usize::from(ip::read_u16(packet, transport.start + 4))
            != packet.len() - transport.start
        {
            return None;
        }
        if checksum == Checksum::Complete && !ip::checksum_is_right(packet, &layout, &transport) {
            return None;
        }
        Some(Self { layout, transport, checksum, payload_len, ends })
    }
}

/// The super-packet in the making.
#[derive(Debug)]
pub struct SuperPacket<'b> {
    first: Option<First<'b>>,
    /// Payload of the packets after the first; `count - 1` of them are in use.
    rest: [IoSlice<'b>; PACKETS_MAX - 1],
}

#[derive(Debug)]
struct First<'b> {
    packet: &'b mut [u8],
    member: Member,
    count: usize,
    total_len: usize,
    /// Whether another packet may follow.
    open: bool,
}

/// A finished super-packet, ready to be written.
#[derive(Debug)]
pub struct Finished<'s, 'b> {
    /// What to tell the kernel.
    pub header: Header,
    /// The first packet, with the header of the whole.
    pub first: &'b [u8],
    /// Payload of the others.
    pub rest: &'s [IoSlice<'b>],
}

impl Default for SuperPacket<'_> {
    fn default() -> Self {
        Self { first: None, rest: [IoSlice::new(&[]); PACKETS_MAX - 1] }
    }
}

impl<'b> SuperPacket<'b> {
    /// Starts with `packet`. What was collected before must have been taken.
    pub fn start(&mut self, packet: &'b mut [u8], member: Member) {
        debug_assert!(self.first.is_none(), "a super-packet would be lost");
        let total_len = packet.len();
        self.first = Some(First { packet, member, count: 1, total_len, open: !member.ends });
    }

    /// Adds `packet` if it continues the flow, else hands it back.
    ///
    /// # Errors
    ///
    /// The packet, if it does not belong to this super-packet.
    pub fn append(&mut self, packet: &'b mut [u8], member: &Member) -> Result<(), &'b mut [u8]> {
        let Some(first) = self.first.as_mut().filter(|first| first.continues(packet, member))
        else {
            return Err(packet);
        };
        if first.member.transport.protocol == TCP {
            let flags = member.transport.start + TCP_FLAGS;
            first.packet[flags] |= packet[flags];
        }
        first.open = !member.ends && member.payload_len == first.member.payload_len;
        first.total_len += member.payload_len;
        self.rest[first.count - 1] = IoSlice::new(&packet[member.transport.payload..]);
        first.count += 1;
        Ok(())
    }

    /// Whether nothing more can be added.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.first.as_ref().is_some_and(|first| !first.open || first.count == PACKETS_MAX)
    }

    /// Takes out what was collected, if anything.
    pub fn take(&mut self) -> Option<Finished<'_, 'b>> {
        let mut first = self.first.take()?;
        let Member { transport, checksum, payload_len, layout, .. } = first.member;
        let rest = &self.rest[..first.count - 1];
        let mut header = Header::default();
        if first.count > 1 {
            first.rewrite_header();
            header.gso = match (transport.protocol, layout.version) {
                (UDP, _) => Gso::Udp,
                (_, Version::V4) => Gso::Tcp4,
                (_, Version::V6) => Gso::Tcp6,
            };
            header.segment_len = payload_len as u16;
            header.header_len = transport.payload as u16;
        }
        if first.count > 1 || checksum == Checksum::Partial {
            header.partial = Some(partial(&transport));
        }
        Some(Finished { header, first: first.packet, rest })
    }
}

/// Where the kernel shall complete the checksum.
#[must_use]
pub(crate) fn partial(transport: &Transport) -> (u16, u16) {
    (transport.start as u16, transport.checksum_offset() as u16)
}

impl First<'_> {
    /// Whether `packet` comes right after those collected, and differs from them only in what
    /// splitting restores.
    fn continues(&self, packet: &[u8], member: &Member) -> bool {
        let Member { layout, transport, payload_len, .. } = &self.member;
        let fits = self.open
            && self.count < PACKETS_MAX
            && member.layout == *layout
            && member.transport == *transport
            && member.payload_len <= *payload_len
            && self.total_len + member.payload_len <= SUPER_LEN_MAX;
        fits && self.same_ip_header(packet)
            && match transport.protocol {
                TCP => self.same_tcp_header(packet),
                _ => self.same(packet, transport.start, transport.start + 4),
            }
    }

    fn same(&self, packet: &[u8], from: usize, to: usize) -> bool {
        self.packet[from..to] == packet[from..to]
    }

    fn same_ip_header(&self, packet: &[u8]) -> bool {
        let end = self.member.layout.header_len;
        match self.member.layout.version {
            // Not compared: total length, identification (below), header checksum.
            Version::V4 => {
                let id = ip::read_u16(self.packet, 4).wrapping_add(self.count as u16);
                self.same(packet, 0, 2)
                    && self.same(packet, 6, 10)
                    && self.same(packet, 12, end)
                    && (packet[6] & IPV4_DONT_FRAGMENT != 0 || ip::read_u16(packet, 4) == id)
            }
            // Not compared: payload length.
            Version::V6 => self.same(packet, 0, 4) && self.same(packet, 6, end),
        }
    }

    /// Not compared: FIN and PSH, checksum. The sequence number must be the next.
    fn same_tcp_header(&self, packet: &[u8]) -> bool {
        let Transport { start, payload, .. } = self.member.transport;
        let sent = (self.total_len - payload) as u32;
        ip::read_u32(packet, start + 4) == ip::read_u32(self.packet, start + 4).wrapping_add(sent)
            && self.same(packet, start, start + 4)
            && self.same(packet, start + 8, start + TCP_FLAGS)
            && self.same(packet, start + 14, start + 16)
            && self.same(packet, start + 18, payload)
    }

    /// Makes the header of the first packet that of the whole.
    fn rewrite_header(&mut self) {
        let Member { layout, transport, .. } = self.member;
        let transport_len = self.total_len - transport.start;
        ip::write_total_len(self.packet, layout.version, self.total_len);
        if transport.protocol == UDP {
            ip::write_u16(self.packet, transport.start + 4, transport_len as u16);
        }
        let pseudo = layout.pseudo_header(self.packet, transport.protocol, transport_len);
        ip::write_u16(self.packet, transport.start + transport.checksum_offset(), pseudo.fold());
    }
}

#[cfg(test)]
mod tests;
