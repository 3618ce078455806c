//! The UDP socket: many datagrams per call in both directions, and what became of them.
//!
//! Sending uses `UDP_SEGMENT` (GSO) and `sendmmsg`, receiving `UDP_GRO` and `recvmmsg`
//! (`Documentation/networking/segmentation-offloads.rst`). One socket serves IPv4 and IPv6 where the
//! host has both; addresses at this interface are always plain, never IPv4-mapped. All calls take
//! `&self` and never block, so lanes and control share one socket.
//!
//! The socket sets neither `SO_REUSEADDR` nor `SO_REUSEPORT`: a second process on the port must fail,
//! not steal datagrams.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use socket2::{Domain, Protocol, Socket, Type};

use crate::sys;

mod errors;
mod kernel;
mod recv;
mod send;

pub use errors::Unreachable;
pub use recv::RecvBatch;
pub use send::{DATAGRAM_LEN_MAX, Push, SEGMENTS_MAX, SendBatch, SendReport};

/// Errors about earlier datagrams that one call skips before it gives up. Each is one entry of the
/// error queue, where nothing is lost; the bound keeps a flood of ICMP from holding a lane.
const PENDING_ERRORS_MAX: usize = 4;

/// Whether to let the kernel cut datagrams out of larger messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Gso {
    /// Yes, unless the kernel lacks it or is known to do it wrong.
    #[default]
    Auto,
    /// Yes, unless the kernel lacks it.
    On,
    /// No.
    Off,
}

/// Options of [`Udp::bind`].
#[derive(Clone, Debug)]
pub struct UdpOptions {
    /// Firewall mark of everything sent (`SO_MARK`; needs CAP_NET_ADMIN).
    pub mark: Option<u32>,
    /// Segmentation offload for sending.
    pub gso: Gso,
    /// Whether to receive datagrams of equal size put together.
    pub gro: bool,
    /// Bytes of kernel buffer wanted in each direction. Without CAP_NET_ADMIN the kernel gives no
    /// more than `net.core.rmem_max` and `wmem_max`.
    pub buffer_len: usize,
}

impl Default for UdpOptions {
    fn default() -> Self {
        // 8 MiB hold 3 ms of traffic at 20 Gbit/s, about the longest that a lane is off the CPU.
        Self { mark: None, gso: Gso::Auto, gro: true, buffer_len: 8 << 20 }
    }
}

/// A bound UDP socket.
#[derive(Debug)]
pub struct Udp {
    socket: UdpSocket,
    is_v6: bool,
    gro: bool,
    /// Whether GSO is used; clones learn from each other that it must not be.
    gso: Arc<AtomicBool>,
}

impl Udp {
    /// Binds to `addr`. `[::]` takes IPv4 too, and falls back to `0.0.0.0` on a host without IPv6.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::AddrInUse`] if the port is taken, [`io::ErrorKind::PermissionDenied`] if the
    /// mark is not allowed, and whatever else the system says.
    pub fn bind(addr: SocketAddr, options: &UdpOptions) -> io::Result<Self> {
        match (Self::bind_one(addr, options), addr) {
            (Err(error), SocketAddr::V6(v6)) if v6.ip().is_unspecified() && lacks_v6(&error) => {
                Self::bind_one((Ipv4Addr::UNSPECIFIED, v6.port()).into(), options)
            }
            (result, _) => result,
        }
    }

    fn bind_one(addr: SocketAddr, options: &UdpOptions) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        if addr.is_ipv6() {
            socket.set_only_v6(!addr.ip().is_unspecified())?;
        }
        if let Some(mark) = options.mark {
            socket.set_mark(mark)?;
        }
        set_buffers(&socket, options.buffer_len);
        set_error_reporting(&socket, addr.is_ipv6())?;
        let fd = socket.as_fd();
        let gro = options.gro && sys::set_option(fd, libc::SOL_UDP, libc::UDP_GRO, 1).is_ok();
        // 0 is the default: the call only tells whether the kernel knows the option.
        let has_gso = sys::set_option(fd, libc::SOL_UDP, libc::UDP_SEGMENT, 0).is_ok();
        let gso = match options.gso {
            Gso::Auto => has_gso && kernel::gso_is_sound(),
            Gso::On => has_gso,
            Gso::Off => false,
        };
        socket.bind(&addr.into())?;
        Ok(Self {
            socket: socket.into(),
            is_v6: addr.is_ipv6(),
            gro,
            gso: Arc::new(AtomicBool::new(gso)),
        })
    }

    /// The address the socket is bound to.
    ///
    /// # Errors
    ///
    /// Whatever the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Another handle of the same socket.
    ///
    /// # Errors
    ///
    /// When the process has no descriptors left.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { socket: self.socket.try_clone()?, gso: Arc::clone(&self.gso), ..*self })
    }

    /// Whether the kernel cuts messages into datagrams; turns false for good when it refuses one.
    #[must_use]
    pub fn gso(&self) -> bool {
        self.gso.load(Relaxed)
    }

    /// Whether the kernel puts received datagrams together.
    #[must_use]
    pub fn gro(&self) -> bool {
        self.gro
    }

    /// Sends one datagram; for control messages, from any thread.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] if the buffer is full, and whatever else the system says of
    /// this destination.
    pub fn send_one(&self, to: SocketAddr, datagram: &[u8]) -> io::Result<()> {
        let to = self.native(to);
        let send = || self.socket.send_to(datagram, to).map(drop);
        send().or_else(|error| if may_be_pending(&error) { send() } else { Err(error) })
    }

    /// The destination in the address family of the socket.
    fn native(&self, to: SocketAddr) -> SocketAddr {
        match to {
            SocketAddr::V4(v4) if self.is_v6 => {
                SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0).into()
            }
            SocketAddr::V6(v6) if !self.is_v6 => match v6.ip().to_ipv4_mapped() {
                Some(v4) => SocketAddrV4::new(v4, v6.port()).into(),
                None => to,
            },
            _ => to,
        }
    }
}

impl AsFd for Udp {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn lacks_v6(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL))
}

/// Asks for large buffers, first past the limits of the system. Smaller ones cost throughput only.
fn set_buffers(socket: &Socket, len: usize) {
    let value = i32::try_from(len).unwrap_or(i32::MAX);
    let fd = socket.as_fd();
    if sys::set_option(fd, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, value).is_err() {
        let _ = socket.set_recv_buffer_size(len);
    }
    if sys::set_option(fd, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, value).is_err() {
        let _ = socket.set_send_buffer_size(len);
    }
}

/// Queues ICMP errors for [`Udp::recv_errors`], and sets don't-fragment.
///
/// `PROBE` and not `DO`: the path MTU is found by padded probes of the protocol above. `DO` would
/// hold datagrams to the MTU that the kernel believes, which anybody can lower by a forged ICMP
/// message, and would refuse the very probe that could prove it wrong.
fn set_error_reporting(socket: &Socket, is_v6: bool) -> io::Result<()> {
    let fd = socket.as_fd();
    // An IPv6 socket needs the IPv4 options too, for what it sends to IPv4-mapped addresses.
    sys::set_option(fd, libc::SOL_IP, libc::IP_RECVERR, 1)?;
    sys::set_option(fd, libc::SOL_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE)?;
    if is_v6 {
        sys::set_option(fd, libc::SOL_IPV6, libc::IPV6_RECVERR, 1)?;
        sys::set_option(fd, libc::SOL_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_PROBE)?;
    }
    Ok(())
}

/// Whether an error of a call may be about an earlier datagram. With `IP_RECVERR` an ICMP error also
/// fails the next call on the socket, once, whatever that is about; so such a call is tried again.
/// These are the errors that Linux makes of ICMP (`icmp_err_convert`, `icmpv6_err_convert`).
fn may_be_pending(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNREFUSED
                | libc::EHOSTUNREACH
                | libc::EHOSTDOWN
                | libc::ENETUNREACH
                | libc::ENONET
                | libc::ENOPROTOOPT
                | libc::EOPNOTSUPP
                | libc::EPROTO
                | libc::EACCES
                | libc::EMSGSIZE
        )
    )
}

/// Whether the kernel lacks memory just now: what has arrived stays in its queue, and the socket is not broken.
fn is_shortage(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOMEM | libc::ENOBUFS))
}

#[cfg(test)]
mod tests;
