//! Splits what was read from a device into IP packets of at most the device's MTU.
//!
//! Linux hands over TCP and UDP *super-packets*: one header, up to 64 KB of payload, and the segment
//! size to cut at (TSO and USO, `Documentation/networking/segmentation-offloads.rst`). Each segment
//! is the header with a few fields rewritten in a small scratch copy, beside a slice of the payload;
//! payload is not copied here.
//!
//! The transport checksum stays half-done ([`Checksum::Partial`]) where the receiver can find it
//! again without being told: in a TCP or UDP header right behind the IP header. Anything else that
//! the kernel left half-done is completed here.

use crate::checksum::{Checksum, Sum};
use crate::ip::{self, Layout, TCP, Transport, UDP, Version};
use crate::vnet::{Gso, Header};

/// Longest header of a super-packet: IPv4 and TCP with all options need 120 bytes, the rest is room
/// for IPv6 extension headers. A longer one is refused.
pub const HEAD_LEN_MAX: usize = 256;

pub(crate) const TCP_FLAGS: usize = 13;
pub(crate) const TCP_FIN: u8 = 0x01;
pub(crate) const TCP_PSH: u8 = 0x08;
const TCP_CWR: u8 = 0x80;

/// The bytes or their virtio header are not what the kernel promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a well-formed IP packet or super-packet")]
pub struct Malformed;

/// One IP packet or super-packet.
#[derive(Debug)]
pub struct Packet<'b> {
    bytes: &'b [u8],
    shape: Shape,
}

#[derive(Clone, Copy, Debug)]
enum Shape {
    Single(Checksum),
    Super(Super),
}

/// How to cut a super-packet.
#[derive(Clone, Copy, Debug)]
struct Super {
    layout: Layout,
    transport: Transport,
    /// Payload bytes per segment, at least 1.
    segment_len: usize,
    checksum: Checksum,
}

/// A packet that is ready to be sealed: `head` then `body`.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'s> {
    /// IP and transport header; the whole packet where nothing had to be split.
    pub head: &'s [u8],
    /// Payload.
    pub body: &'s [u8],
    /// State of the transport checksum.
    pub checksum: Checksum,
}

impl Segment<'_> {
    /// Length of the packet.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "no packet is empty")]
    pub fn len(&self) -> usize {
        self.head.len() + self.body.len()
    }

    /// Copies the packet to the start of `to`, which must be long enough, and returns its length.
    pub fn copy_to(&self, to: &mut [u8]) -> usize {
        let (head, body) = to[..self.len()].split_at_mut(self.head.len());
        head.copy_from_slice(self.head);
        body.copy_from_slice(self.body);
        self.len()
    }
}

impl<'b> Packet<'b> {
    /// Takes what the kernel handed over.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if `bytes` is not one IP packet or the header does not fit it.
    pub fn parse(header: &Header, bytes: &'b mut [u8]) -> Result<Self, Malformed> {
        let layout = Layout::parse(bytes).ok_or(Malformed)?;
        let shape = match header.gso {
            Gso::None => Shape::Single(single(header, &layout, bytes)?),
            Gso::Tcp4 | Gso::Tcp6 => Shape::Super(Super::parse(header, layout, TCP, bytes)?),
            Gso::Udp => Shape::Super(Super::parse(header, layout, UDP, bytes)?),
        };
        Ok(Self { bytes, shape })
    }

    /// The bytes from the IP header on, for a verdict. Of a super-packet the addresses, protocol and
    /// ports hold for all segments; lengths and checksums do not.
    #[must_use]
    pub fn first(&self) -> &[u8] {
        self.bytes
    }

    /// Number of packets this will become.
    #[must_use]
    pub fn segment_count(&self) -> usize {
        match &self.shape {
            Shape::Single(_) => 1,
            Shape::Super(shape) => shape.count(self.bytes.len()),
        }
    }

    /// Length of the longest packet this will become.
    #[must_use]
    pub fn segment_len_max(&self) -> usize {
        match &self.shape {
            Shape::Single(_) => self.bytes.len(),
            Shape::Super(shape) => {
                self.bytes.len().min(shape.transport.payload + shape.segment_len)
            }
        }
    }

    /// The packets, one after the other.
    #[must_use]
    pub fn segments(&self) -> Segments<'_> {
        let mut head = [0; HEAD_LEN_MAX];
        if let Shape::Super(shape) = &self.shape {
            let len = shape.transport.payload;
            head[..len].copy_from_slice(&self.bytes[..len]);
        }
        Segments {
            bytes: self.bytes,
            shape: self.shape,
            head,
            index: 0,
            count: self.segment_count(),
        }
    }
}

/// Decides on the checksum of a packet that is no super-packet.
fn single(header: &Header, layout: &Layout, bytes: &mut [u8]) -> Result<Checksum, Malformed> {
    let Some((start, offset)) = header.partial else { return Ok(Checksum::Complete) };
    let (start, offset) = (usize::from(start), usize::from(offset));
    if let Some(transport) = layout.transport(bytes)
        && (transport.start, transport.checksum_offset()) == (start, offset)
    {
        return Ok(Checksum::Partial);
    }
    if start < layout.header_len || start + offset + 2 > bytes.len() {
        return Err(Malformed);
    }
    ip::complete_checksum_at(bytes, start, offset, layout.protocol);
    Ok(Checksum::Complete)
}

impl Super {
    fn parse(
        header: &Header,
        layout: Layout,
        protocol: u8,
        bytes: &[u8],
    ) -> Result<Self, Malformed> {
        let version = match header.gso {
            Gso::Tcp4 => Version::V4,
            Gso::Tcp6 => Version::V6,
            Gso::None | Gso::Udp => layout.version,
        };
        // Behind IPv6 extension headers only the kernel's word tells where the transport starts.
        let (start, checksum) = match (layout.protocol == protocol, header.partial) {
            (true, _) => (layout.header_len, Checksum::Partial),
            (false, Some((start, _))) if version == Version::V6 => {
                (usize::from(start), Checksum::Complete)
            }
            (false, _) => return Err(Malformed),
        };
        let transport = ip::transport_at(bytes, start, protocol).ok_or(Malformed)?;
        let fits = version == layout.version
            && !layout.fragment
            && start >= layout.header_len
            && transport.payload <= HEAD_LEN_MAX
            && header.segment_len > 0;
        fits.then_some(Self {
            layout,
            transport,
            segment_len: usize::from(header.segment_len),
            checksum,
        })
        .ok_or(Malformed)
    }

    fn count(&self, total_len: usize) -> usize {
        (total_len - self.transport.payload).div_ceil(self.segment_len).max(1)
    }

    /// Moves the header on from one segment to the next.
    fn advance(&self, head: &mut [u8]) {
        if self.layout.version == Version::V4 {
            ip::write_u16(head, 4, ip::read_u16(head, 4).wrapping_add(1));
        }
        if self.transport.protocol == TCP {
            let at = self.transport.start + 4;
            ip::write_u32(head, at, ip::read_u32(head, at).wrapping_add(self.segment_len as u32));
        }
    }

    /// The TCP flags of a segment, from those of the super-packet; 0 for UDP.
    fn flags(&self, bytes: &[u8], first: bool, last: bool) -> u8 {
        if self.transport.protocol != TCP {
            return 0;
        }
        let mut flags = bytes[self.transport.start + TCP_FLAGS];
        if !first {
            // CWR answers one ECN mark, once (RFC 3168 section 6.1.2).
            flags &= !TCP_CWR;
        }
        if !last {
            flags &= !(TCP_FIN | TCP_PSH);
        }
        flags
    }

    /// Writes lengths, flags and checksums for a segment with this body.
    fn finish(&self, head: &mut [u8], body: &[u8], flags: u8) {
        let Transport { protocol, start, .. } = self.transport;
        let transport_len = head.len() - start + body.len();
        ip::write_total_len(head, self.layout.version, head.len() + body.len());
        if protocol == TCP {
            head[start + TCP_FLAGS] = flags;
        } else {
            ip::write_u16(head, start + 4, transport_len as u16);
        }
        let field = start + self.transport.checksum_offset();
        let pseudo = self.layout.pseudo_header(head, protocol, transport_len);
        ip::write_u16(head, field, pseudo.fold());
        if self.checksum == Checksum::Complete {
            let sum = Sum::default().add_bytes(&head[start..]).add_bytes(body);
            ip::write_u16(head, field, ip::checksum_field(sum, protocol));
        }
    }
}

/// The segments of a [`Packet`]; each borrows the scratch header, so they are lent one by one.
#[derive(Debug)]
pub struct Segments<'p> {
    bytes: &'p [u8],
    shape: Shape,
    /// Header of the segment lent last.
    head: [u8; HEAD_LEN_MAX],
    index: usize,
    count: usize,
}

impl Segments<'_> {
    /// Lends the next segment.
    pub fn next_segment(&mut self) -> Option<Segment<'_>> {
        if self.index == self.count {
            return None;
        }
        let index = self.index;
        self.index += 1;
        match &self.shape {
            Shape::Single(checksum) => {
                Some(Segment { head: self.bytes, body: &[], checksum: *checksum })
            }
            Shape::Super(shape) => {
                let head = &mut self.head[..shape.transport.payload];
                let payload = &self.bytes[shape.transport.payload..];
                let from = index * shape.segment_len;
                let to = payload.len().min(from + shape.segment_len);
                if index > 0 {
                    shape.advance(head);
                }
                let last = self.index == self.count;
                shape.finish(head, &payload[from..to], shape.flags(self.bytes, index == 0, last));
                Some(Segment { head, body: &payload[from..to], checksum: shape.checksum })
            }
        }
    }
}

#[cfg(test)]
mod tests;
