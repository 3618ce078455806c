//! By which way the datagrams of a session travel.
//!
//! A session is keys and counters; a path is how its datagrams reach the other end. The two are separate
//! values, so that a session can move (roam, upgrade from overlay to direct) without a new handshake.

use crate::NodeId;
use std::net::SocketAddr;

/// A way to the other end of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Path {
    /// UDP straight to an endpoint of the peer.
    Direct(SocketAddr),
    /// Carried in routed messages of the overlay to the peer of this ID, hop by hop.
    Overlay(NodeId),
}

/// Largest datagram on a direct path, in bytes: what IPv6 guarantees (1,280) less IPv6 and UDP headers is
/// 1,232; handshakes stay below that for paths that tunnel.
pub const HANDSHAKE_DATAGRAM_MAX: usize = 1_200;
/// Largest handshake datagram on an overlay path: it travels inside a routed message inside a frame.
pub const OVERLAY_DATAGRAM_MAX: usize = 1_100;

impl Path {
    /// Largest handshake datagram that this path carries, in bytes.
    pub fn datagram_max(&self) -> usize {
        match self {
            Path::Direct(_) => HANDSHAKE_DATAGRAM_MAX,
            Path::Overlay(_) => OVERLAY_DATAGRAM_MAX,
        }
    }

    /// The word that status output uses for this class of path.
    pub fn class(&self) -> &'static str {
        match self {
            Path::Direct(_) => "direct",
            Path::Overlay(_) => "overlay",
        }
    }

    /// Bytes that name the far end of the path, for path tokens: two paths give equal bytes only if a
    /// datagram sent on either reaches the same place.
    pub fn token_bytes(&self) -> [u8; 21] {
        let mut out = [0; 21];
        match self {
            Path::Direct(SocketAddr::V4(a)) => {
                out[0] = 4;
                out[1..5].copy_from_slice(&a.ip().octets());
                out[5..7].copy_from_slice(&a.port().to_be_bytes());
            }
            Path::Direct(SocketAddr::V6(a)) => {
                out[0] = 6;
                out[1..17].copy_from_slice(&a.ip().octets());
                out[17..19].copy_from_slice(&a.port().to_be_bytes());
            }
            Path::Overlay(id) => {
                out[0] = 1;
                out[1..].copy_from_slice(id.as_bytes());
            }
        }
        out
    }
}
