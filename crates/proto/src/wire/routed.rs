//! Routed messages: what travels through the overlay, hop by hop (paper section 3; Brunet's AH packets).
//!
//! ```text
//! mode 1 | flags 1 | hops 1 | hop limit 1 | protocol 1 | source 20 | destination 20 | [via 20] | payload
//! ```
//! Flag bit 0: a *via* is present: the message goes to that node first, which hands it to the destination
//! over its direct link (a joining node has no place in the ring yet). Flag bit 1: an annealing
//! or exact message already took its one step away from the destination.

use super::{Malformed, Reader};
use crate::NodeId;
use crate::ring::Side;

/// Where a message wants to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// At the node nearest to the destination.
    Greedy,
    /// At the destination or nowhere.
    Exact,
    /// At both nodes that flank the destination, in spite of missing links.
    Annealing,
    /// At the next node to this side of the destination.
    Directional(Side),
}

/// What the payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Protocol {
    /// Asks for a link, see `wire::connect`.
    ConnectRequest = 1,
    /// Answers a connect request.
    ConnectReply = 2,
    /// A message of the DHT.
    Dht = 3,
    /// A datagram of a session whose path is the overlay.
    Tunnel = 4,
    /// Overlay ping; the payload comes back.
    Ping = 5,
    /// Answers a ping.
    Pong = 6,
    /// Asks for the neighbours of a node.
    NeighboursQuery = 7,
    /// Answers with a status.
    NeighboursAnswer = 8,
    /// Asks who is nearest to the destination.
    WhoIsNearest = 9,
    /// Answers `WhoIsNearest` with the same payload; the source is the answer.
    IAmNearest = 10,
    /// Notices and a head of the group's authority, a list of `wire::news`, for a node that wants to hear of
    /// the end of one of its peers. Nobody answers.
    Notices = 11,
}

/// Bytes before the payload, without the via.
pub const HEADER_LEN: usize = 45;
/// Hops that a message may take at most; the emitter chooses less by its estimate of the size.
pub const HOP_LIMIT_MAX: u8 = 128;

/// A routed message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Routed<'a> {
    /// Where it wants to end.
    pub mode: Mode,
    /// Whether an annealing or exact message took its one step away.
    pub crossed: bool,
    /// Hops taken so far.
    pub hops: u8,
    /// Hops after which it is dropped.
    pub hop_limit: u8,
    /// What the payload is.
    pub protocol: Protocol,
    /// Who sent it.
    pub source: NodeId,
    /// Where to.
    pub destination: NodeId,
    /// Which node to pass first.
    pub via: Option<NodeId>,
    /// The message of the protocol.
    pub payload: &'a [u8],
}

impl<'a> Routed<'a> {
    /// Parses a routed message.
    pub fn parse(bytes: &'a [u8]) -> Result<Routed<'a>, Malformed> {
        let mut r = Reader::new(bytes);
        let mode = match r.u8()? {
            0 => Mode::Greedy,
            1 => Mode::Exact,
            2 => Mode::Annealing,
            3 => Mode::Directional(Side::Left),
            4 => Mode::Directional(Side::Right),
            _ => return Err(Malformed::Field("mode")),
        };
        let flags = r.u8()?;
        if flags > 3 {
            return Err(Malformed::Field("flags"));
        }
        let (hops, hop_limit) = (r.u8()?, r.u8()?);
        if hop_limit > HOP_LIMIT_MAX || hops > hop_limit {
            return Err(Malformed::Field("hop limit"));
        }
        Ok(Routed {
            mode,
            crossed: flags & 2 != 0,
            hops,
            hop_limit,
            protocol: Protocol::of(r.u8()?)?,
            source: r.id()?,
            destination: r.id()?,
            via: if flags & 1 != 0 { Some(r.id()?) } else { None },
            payload: r.rest(),
        })
    }

    /// The message as bytes.
    pub fn emit(&self) -> Vec<u8> {
        let mut b = Vec::with_capacity(HEADER_LEN + 20 + self.payload.len());
        let mode = match self.mode {
            Mode::Greedy => 0,
            Mode::Exact => 1,
            Mode::Annealing => 2,
            Mode::Directional(Side::Left) => 3,
            Mode::Directional(Side::Right) => 4,
        };
        let flags = u8::from(self.via.is_some()) | u8::from(self.crossed) << 1;
        b.extend([mode, flags, self.hops, self.hop_limit, self.protocol as u8]);
        b.extend_from_slice(self.source.as_bytes());
        b.extend_from_slice(self.destination.as_bytes());
        b.extend(self.via.iter().flat_map(|id| id.as_bytes()));
        b.extend_from_slice(self.payload);
        b
    }
}

impl Protocol {
    fn of(byte: u8) -> Result<Protocol, Malformed> {
        use Protocol::*;
        const ALL: [Protocol; 11] = [
            ConnectRequest,
            ConnectReply,
            Dht,
            Tunnel,
            Ping,
            Pong,
            NeighboursQuery,
            NeighboursAnswer,
            WhoIsNearest,
            IAmNearest,
            Notices,
        ];
        ALL.into_iter().find(|&p| p as u8 == byte).ok_or(Malformed::Field("protocol"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_message_survives_the_round_trip_and_its_truncations_are_refused() {
        let id = |n| NodeId::from_bytes([n; 20]);
        for via in [None, Some(id(3))] {
            let message = Routed {
                mode: Mode::Directional(Side::Right),
                crossed: true,
                hops: 2,
                hop_limit: 9,
                protocol: Protocol::Dht,
                source: id(1),
                destination: id(2),
                via,
                payload: b"",
            };
            let bytes = message.emit();
            assert_eq!(Routed::parse(&bytes), Ok(message));
            assert!((0..bytes.len()).all(|n| Routed::parse(&bytes[..n]).is_err()));
        }
    }

    proptest! {
        #[test]
        fn hostile_bytes_parse_to_what_they_emit_or_not_at_all(b in prop::collection::vec(any::<u8>(), 0..120), mode in 0u8..6, protocol in 0u8..13) {
            let mut b = b;
            for (i, v) in [mode, 0, 0, 9, protocol].into_iter().enumerate() {
                if let Some(x) = b.get_mut(i) { *x = v }
            }
            if let Ok(message) = Routed::parse(&b) {
                prop_assert_eq!(message.emit(), b);
            }
        }
    }
}
