//! May this packet pass? The one function that decides, for both directions (checklist VN-09, VN-10).
//!
//! Every packet has a near end, which must be this node, and a far end, which must be the member at the
//! other end of the session: source and destination of a packet that leaves, the other way round for one
//! that arrives. The two directions share one table, so that no mode can open one of them by accident
//! (checklist X11).
//!
//! | near end is | far end is | owner of the far address | verdict |
//! |---|---|---|---|
//! | own | member | the session's peer | pass |
//! | own | member | not known yet | unproven |
//! | own | member | somebody else or nobody | not the owner's |
//! | own | own, service, not unicast, outside | any | by the far end |
//! | anything else | any | any | foreign source, or not for us |
//!
//! Invariant: nothing passes whose near end is not ours or whose far end is not proven to be the peer's.

use super::address::{Local, Place};
use crate::lane::Reason;
use crate::wire::Malformed;
use crate::wire::ip::Header;

/// What the virtual network is used for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Only packets between members; everything else goes by the physical network (the default).
    #[default]
    Split,
}

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From our device to a session.
    Outbound,
    /// From a session to our device.
    Inbound,
}

/// Whose the far address is, as the tables tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The session's peer: by its ID, its certificate or its lease.
    Peer,
    /// The tables do not know yet.
    Unknown,
    /// Not the session's peer.
    Stranger,
}

/// What may be done with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Seal it for the peer, or write it to the device.
    Pass,
    /// Hold it until the owner of the far address is known.
    Unproven,
    /// Neither, ever.
    Reject(Reason),
}

/// Decides. `owner` is asked only about an address that can be a member's.
pub fn verdict(
    mode: Mode,
    direction: Direction,
    packet: &Result<Header, Malformed>,
    local: &Local,
    owner: impl FnOnce(&Header) -> Owner,
) -> Verdict {
    let Mode::Split = mode;
    let Ok(header) = packet else { return Verdict::Reject(Reason::Malformed) };
    let (near, far, not_ours) = match direction {
        Direction::Outbound => (header.source, header.destination, Reason::ForeignSource),
        Direction::Inbound => (header.destination, header.source, Reason::NotForUs),
    };
    match (local.place(far), local.place(near)) {
        (Place::NotUnicast, _) | (_, Place::NotUnicast) => Verdict::Reject(Reason::NotUnicast),
        (Place::Outside, _) => Verdict::Reject(Reason::OutsideSubnet),
        (Place::Own, _) => Verdict::Reject(Reason::OwnAddress),
        (Place::Service, _) => Verdict::Reject(Reason::ServiceAddress),
        (Place::Member, Place::Own) => match owner(header) {
            Owner::Peer => Verdict::Pass,
            Owner::Unknown => Verdict::Unproven,
            Owner::Stranger => Verdict::Reject(Reason::NotTheOwner),
        },
        (Place::Member, _) => Verdict::Reject(not_ours),
    }
}

#[cfg(test)]
mod tests;
