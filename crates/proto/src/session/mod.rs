//! How two nodes authenticate each other and seal what they send.
//!
//! One kind of session serves overlay links and VPN traffic alike: a TLS 1.3 handshake in datagram flights,
//! then frames sealed with keys of the TLS exporter. A session is apart from its path ([`crate::path`]).
//!
//! In the order in which a session comes to be:
//!
//! | module | question it answers |
//! |---|---|
//! | [`gate`] | does the sender have the group secret |
//! | [`token`] | does it receive at the address it sends from |
//! | [`admission`] | so, does its first datagram deserve work |
//! | [`handshake`] | how do the messages get across, in time or not at all |
//! | [`suite`] | what is asked of cryptography |
//! | [`tls`], [`null`] | who answers: rustls, or a stand-in for simulations |
//! | [`keys`] | which key seals and opens a frame |
//! | [`window`] | was this frame here before |
//! | [`aead`] | what is done to the bytes |

pub mod admission;
pub mod aead;
pub mod gate;
pub mod handshake;
pub mod keys;
pub mod null;
pub mod suite;
pub mod tls;
pub mod token;
pub mod window;

use std::fmt;

/// Names a session, and the lane that receives for it, at the node that chose it. Never zero.
///
/// Bits 0..20: slot in the node's session table. Bits 20..24: receiving lane. Bits 24..32: salt, so that a
/// stale index of a former session in the same slot is recognised.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Index(pub u32);

impl Index {
    /// Most sessions that one node can hold.
    pub const SLOTS_MAX: usize = 1 << 20;

    /// Composes an index; `slot` must be below [`Index::SLOTS_MAX`]. A salt of zero counts as one, so that no
    /// index is zero.
    pub fn new(slot: usize, lane: LaneId, salt: u8) -> Self {
        debug_assert!(slot < Self::SLOTS_MAX);
        Index(u32::from(salt.max(1)) << 24 | u32::from(lane.get()) << 20 | slot as u32)
    }

    /// The lane that receives for it; none if no node would have chosen this index.
    pub fn lane(self) -> Option<LaneId> {
        LaneId::new((self.0 >> 20 & 0xf) as u8)
    }

    /// The place in the session table.
    pub fn slot(self) -> usize {
        (self.0 & 0xf_ffff) as usize
    }
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// Which lane of a node sealed a frame: 0 is the control lane, 1 and up are data lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneId(u8);

impl LaneId {
    /// The control lane, driven by the node itself.
    pub const CONTROL: LaneId = LaneId(0);
    /// The first data lane.
    pub const FIRST_DATA: LaneId = LaneId(1);
    /// Lanes of one node, the control lane included: bounds keys and windows per session.
    pub const COUNT: usize = 9;

    /// The lane of this number, if there can be one.
    pub const fn new(n: u8) -> Option<LaneId> {
        if (n as usize) < Self::COUNT { Some(LaneId(n)) } else { None }
    }

    /// The number of the lane.
    pub const fn get(self) -> u8 {
        self.0
    }
}

/// How often the key chain of one direction was ratcheted since the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u8);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_names_slot_and_lane_and_is_never_zero() {
        let last = LaneId::new(LaneId::COUNT as u8 - 1).expect("the last lane");
        for (slot, lane, salt) in
            [(0, LaneId::CONTROL, 0), (Index::SLOTS_MAX - 1, last, 255), (7, LaneId::FIRST_DATA, 3)]
        {
            let index = Index::new(slot, lane, salt);
            assert_eq!((index.slot(), index.lane()), (slot, Some(lane)));
            assert_ne!(index.0, 0);
        }
        assert_eq!(Index(0x00f0_0000).lane(), None);
    }
}
