//! The sealed frame: the header in clear that says which session, lane, epoch and counter seal the rest.
//!
//! ```text
//!  0      1             2      3         4              8          16
//! +------+-------------+------+---------+--------------+----------+------------------+--------+
//! | type | sender lane | epoch| reserved| receiver idx | counter  | ciphertext       | tag 16 |
//! +------+-------------+------+---------+--------------+----------+------------------+--------+
//! ```
//! The header is the associated data of the seal. Lane 0 is the control lane: its plaintext is a control
//! message. The plaintext of the other lanes is one content byte and an IP packet.

use super::{Malformed, Reader};
use crate::session::{Epoch, Index, LaneId};

/// First byte of every datagram: what kind it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Asks for a path token.
    Probe = 0x01,
    /// Answers a probe.
    ProbeReply = 0x02,
    /// Proves the path and asks the other end to start the handshake.
    Invite = 0x03,
    /// Handshake bytes in clear (ClientHello, ServerHello).
    HelloClear = 0x10,
    /// Handshake bytes under the handshake keys.
    HelloSealed = 0x11,
    /// A frame of an established session.
    Frame = 0x20,
}

impl Kind {
    /// The kind of a datagram by its first byte.
    pub fn of(datagram: &[u8]) -> Option<Kind> {
        Some(match *datagram.first()? {
            0x01 => Kind::Probe,
            0x02 => Kind::ProbeReply,
            0x03 => Kind::Invite,
            0x10 => Kind::HelloClear,
            0x11 => Kind::HelloSealed,
            0x20 => Kind::Frame,
            _ => return None,
        })
    }
}

/// Length of the header in bytes.
pub const HEADER_LEN: usize = 16;
/// Length of the authentication tag in bytes.
pub const TAG_LEN: usize = 16;
/// Bytes that a frame adds to its plaintext.
pub const OVERHEAD: usize = HEADER_LEN + TAG_LEN;

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Which of the sender's lanes sealed the frame; 0 is the control lane.
    pub lane: LaneId,
    /// Which epoch of the sender's key chain.
    pub epoch: Epoch,
    /// Names session and receiving lane at the receiver.
    pub receiver: Index,
    /// Counts the frames of this session, epoch, direction and lane.
    pub counter: u64,
}

impl Header {
    /// Reads the header off a datagram that is long enough to hold header and tag.
    pub fn parse(datagram: &[u8]) -> Result<Header, Malformed> {
        if datagram.len() < OVERHEAD {
            return Err(Malformed::Truncated);
        }
        let mut r = Reader::new(datagram);
        if r.u8()? != Kind::Frame as u8 {
            return Err(Malformed::Field("type"));
        }
        let lane = LaneId::new(r.u8()?).ok_or(Malformed::Field("sender lane"))?;
        let epoch = Epoch(r.u8()?);
        if r.u8()? != 0 {
            return Err(Malformed::Field("reserved"));
        }
        Ok(Header { lane, epoch, receiver: Index(r.u32()?), counter: r.u64()? })
    }

    /// The header as bytes.
    pub fn emit(&self) -> [u8; HEADER_LEN] {
        let mut b = [0; HEADER_LEN];
        b[0] = Kind::Frame as u8;
        b[1] = self.lane.get();
        b[2] = self.epoch.0;
        b[4..8].copy_from_slice(&self.receiver.0.to_be_bytes());
        b[8..].copy_from_slice(&self.counter.to_be_bytes());
        b
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_emitted_parses_to_the_same(
            lane in 0..LaneId::COUNT as u8, epoch in any::<u8>(),
            receiver in any::<u32>(), counter in any::<u64>(),
        ) {
            let lane = LaneId::new(lane).expect("below the count");
            let header = Header { lane, epoch: Epoch(epoch), receiver: Index(receiver), counter };
            let mut datagram = header.emit().to_vec();
            prop_assert_eq!(Kind::of(&datagram), Some(Kind::Frame));
            prop_assert_eq!(Header::parse(&datagram), Err(Malformed::Truncated));
            datagram.resize(OVERHEAD, 0);
            prop_assert_eq!(Header::parse(&datagram), Ok(header));
        }

        #[test]
        fn hostile_bytes_are_refused_or_mean_what_they_say(
            kind in 0x1fu8..0x22, lane in 0u8..12, reserved in 0u8..2,
            rest in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let mut datagram = vec![kind, lane, 0, reserved];
            datagram.extend(rest);
            if let Ok(header) = Header::parse(&datagram) {
                prop_assert_eq!(&header.emit()[..], &datagram[..HEADER_LEN]);
            }
        }
    }
}
