//! A network device: where IP packets of the host come from and go to.
//!
//! The rest of the crate knows a device by the trait [`Device`] only. There are two: [`Tun`], the
//! kernel's, and [`MemoryDevice`], whose twin end a test holds. Another back end or operating system
//! is a further implementation.

use std::io::{self, IoSlice};
use std::os::fd::AsFd;

use crate::split::{Malformed, Packet};
use crate::vnet::{HEADER_LEN, Header};

mod memory;
mod tun;

pub use memory::MemoryDevice;
pub use tun::{OpenError, Tun, TunOptions};

/// Longest packet or super-packet: what the IPv4 total length can say, rounded up by one so that a
/// packet that fills the buffer is known to be whole.
const PACKET_LEN_MAX: usize = 65_536;

/// What a device does beyond one plain packet per call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offloads {
    /// Carries half-done checksums both ways.
    pub checksum: bool,
    /// Hands over TCP super-packets.
    pub read_tcp: bool,
    /// Hands over UDP super-packets.
    pub read_udp: bool,
    /// Takes TCP super-packets.
    pub write_tcp: bool,
    /// Takes UDP super-packets.
    pub write_udp: bool,
}

impl Offloads {
    /// Everything there is.
    pub const ALL: Self =
        Self { checksum: true, read_tcp: true, read_udp: true, write_tcp: true, write_udp: true };
}

/// Reads and writes IP packets without blocking; the descriptor is for [`crate::Poller`].
pub trait Device: AsFd {
    /// Reads one packet or super-packet; `None` if there is none now.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidData`] for bytes that are no IP packet: they are dropped, the caller
    /// counts and goes on. Any other error means that the device is gone.
    fn read<'b>(&mut self, buffer: &'b mut ReadBuffer) -> io::Result<Option<Packet<'b>>>;

    /// Writes the packet made of `first` and `rest`, as `header` describes it. Called by
    /// [`crate::Writer`], which has made sure that they fit.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`] if the device does not take such a super-packet; any other
    /// error means that this packet is lost.
    fn write(&mut self, header: &Header, first: &[u8], rest: &[IoSlice<'_>]) -> io::Result<()>;

    /// What the device does now.
    fn offloads(&self) -> Offloads;

    /// Called after the device has refused a super-packet: from now on it must not say that it takes
    /// any.
    fn stop_merging(&mut self);
}

/// Room for one super-packet, used again for each read.
#[derive(Debug)]
pub struct ReadBuffer {
    bytes: Box<[u8]>,
}

impl Default for ReadBuffer {
    fn default() -> Self {
        Self { bytes: vec![0; HEADER_LEN + PACKET_LEN_MAX].into_boxed_slice() }
    }
}

impl ReadBuffer {
    /// Fills the buffer by one call of `read` and takes the result for a packet, behind a virtio
    /// header if `vnet`.
    fn fill(
        &mut self,
        vnet: bool,
        read: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<Option<Packet<'_>>> {
        let len = match read(&mut self.bytes) {
            Ok(len) => len,
            Err(error) if is_not_now(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let bytes = &mut self.bytes[..len];
        let (header, packet) = if vnet {
            let (header, packet) = bytes.split_first_chunk_mut().ok_or_else(malformed)?;
            (Header::parse(*header).ok_or_else(malformed)?, packet)
        } else {
            (Header::default(), bytes)
        };
        Packet::parse(&header, packet).map(Some).map_err(|_| malformed())
    }
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, Malformed)
}

fn is_not_now(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests;
