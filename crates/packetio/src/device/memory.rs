//! The in-memory twin of a TUN: two ends, and what is written to one is read from the other.
//!
//! The ends are a pair of Unix datagram sockets, so that they can be waited for like a TUN and are
//! bounded like one: when the other end does not read, writes are refused and the packet is lost.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;

use crate::coalesce::SUPER_LEN_MAX;
use crate::device::{Device, Offloads, ReadBuffer};
use crate::split::Packet;
use crate::vnet::{HEADER_LEN, Header};

/// One end of a pair.
#[derive(Debug)]
pub struct MemoryDevice {
    socket: UnixDatagram,
    offloads: Offloads,
    /// Where a packet is put together, because the standard library writes datagrams in one piece.
    scratch: Vec<u8>,
}

impl MemoryDevice {
    /// Makes two ends that are connected to each other.
    ///
    /// # Errors
    ///
    /// When the process has no descriptors left.
    pub fn pair(offloads: Offloads) -> io::Result<(Self, Self)> {
        let (left, right) = UnixDatagram::pair()?;
        Ok((Self::new(left, offloads)?, Self::new(right, offloads)?))
    }

    fn new(socket: UnixDatagram, offloads: Offloads) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self { socket, offloads, scratch: Vec::with_capacity(HEADER_LEN + SUPER_LEN_MAX) })
    }
}

impl AsFd for MemoryDevice {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Device for MemoryDevice {
    fn read<'b>(&mut self, buffer: &'b mut ReadBuffer) -> io::Result<Option<Packet<'b>>> {
        buffer.fill(true, |bytes| self.socket.recv(bytes))
    }

    fn write(&mut self, header: &Header, first: &[u8], rest: &[IoSlice<'_>]) -> io::Result<()> {
        self.scratch.clear();
        self.scratch.extend_from_slice(&header.emit());
        self.scratch.extend_from_slice(first);
        for part in rest {
            self.scratch.extend_from_slice(part);
        }
        self.socket.send(&self.scratch).map(drop)
    }

    fn offloads(&self) -> Offloads {
        self.offloads
    }

    fn stop_merging(&mut self) {
        self.offloads.write_tcp = false;
        self.offloads.write_udp = false;
    }
}
