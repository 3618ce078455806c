//! What the network and the kernel say about datagrams that did not arrive.
//!
//! These are hints: ICMP is not authenticated, so nothing that somebody could forge may end a
//! session. They make a dead path known sooner than a timeout does.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;

use crate::sys::{self, QueuedError};
use crate::udp::{Udp, is_shortage, may_be_pending};

/// Errors taken off the queue per call, so that a flood of ICMP cannot hold a lane.
const ERRORS_PER_CALL: usize = 64;

const ORIGIN_ICMP: u8 = 2;
const ORIGIN_ICMP6: u8 = 3;
/// ICMP destination unreachable (RFC 792), codes "administratively prohibited" (RFC 1812).
const ICMP_UNREACHABLE: u8 = 3;
const ICMP_PROHIBITED: [u8; 3] = [9, 10, 13];
/// ICMPv6 destination unreachable (RFC 4443), code "administratively prohibited".
const ICMP6_UNREACHABLE: u8 = 1;
const ICMP6_PROHIBITED: u8 = 1;

/// Why a datagram did not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unreachable {
    /// Nobody listens on the port.
    Port,
    /// The host does not answer.
    Host,
    /// There is no route.
    Network,
    /// A filter forbids it.
    Prohibited,
    /// The datagram is longer than `mtu` allows, which counts from the IP header on. If the kernel
    /// itself refused it, the port of the destination is 0.
    TooBig {
        /// The MTU in bytes.
        mtu: u32,
    },
    /// Anything else.
    Other {
        /// The error number of the system.
        errno: i32,
    },
}

impl Unreachable {
    fn of(error: &QueuedError) -> Self {
        let prohibited = match error.origin {
            ORIGIN_ICMP => error.kind == ICMP_UNREACHABLE && ICMP_PROHIBITED.contains(&error.code),
            ORIGIN_ICMP6 => error.kind == ICMP6_UNREACHABLE && error.code == ICMP6_PROHIBITED,
            _ => false,
        };
        match error.errno {
            _ if prohibited => Self::Prohibited,
            libc::ECONNREFUSED => Self::Port,
            libc::EHOSTUNREACH | libc::EHOSTDOWN => Self::Host,
            libc::ENETUNREACH => Self::Network,
            libc::EACCES | libc::EPERM => Self::Prohibited,
            libc::EMSGSIZE => Self::TooBig { mtu: error.info },
            errno => Self::Other { errno },
        }
    }
}

impl Udp {
    /// Takes errors off the queue of the socket, each with the destination of the datagram.
    ///
    /// # Errors
    ///
    /// When the socket itself is broken.
    pub fn recv_errors(&self, mut each: impl FnMut(SocketAddr, Unreachable)) -> io::Result<()> {
        for _ in 0..ERRORS_PER_CALL {
            match sys::recv_error(self.as_fd()) {
                Ok(Some(error)) => each(error.to, Unreachable::of(&error)),
                Ok(None) => return Ok(()),
                Err(error) if is_shortage(&error) => return Ok(()),
                Err(error) if may_be_pending(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::NOWHERE;

    fn icmp(kind: u8, code: u8, errno: i32) -> Unreachable {
        Unreachable::of(&QueuedError {
            to: NOWHERE,
            errno,
            origin: ORIGIN_ICMP,
            kind,
            code,
            info: 1400,
        })
    }

    #[test]
    fn kinds_are_told_apart() {
        assert_eq!(icmp(3, 3, libc::ECONNREFUSED), Unreachable::Port);
        assert_eq!(icmp(3, 1, libc::EHOSTUNREACH), Unreachable::Host);
        assert_eq!(icmp(3, 13, libc::EHOSTUNREACH), Unreachable::Prohibited);
        assert_eq!(icmp(3, 0, libc::ENETUNREACH), Unreachable::Network);
        assert_eq!(icmp(3, 4, libc::EMSGSIZE), Unreachable::TooBig { mtu: 1400 });
        assert_eq!(icmp(12, 0, libc::EPROTO), Unreachable::Other { errno: libc::EPROTO });
    }
}
