//! What happens to one packet: the data plane of a node, as an object that its driver calls for each packet.
//!
//! The daemon runs a lane on a thread of its own, beside the thread of the node; the simulator calls it
//! inline. Control decides, a lane looks up: its table is a copy that only [`Delta`]s change.
//!
//! ```text
//! device -> Lane::outbound -> verdict -> Lane::seal per segment and piece -> socket (or, over an overlay path, node)
//! socket -> Lane::inbound  -> open -> join pieces -> verdict -> device
//! ```
//! What a lane does not understand goes unopened to the node ([`Inbound::Punt`]), and so does a packet whose
//! far end the table does not know ([`Outbound::Unrouted`], [`Inbound::Unproven`]). Once a second the driver
//! takes a [`Report`] to the node.
//!
//! Invariants: a packet from the device leaves sealed or not at all; a packet reaches the device only by the
//! [`verdict`]; nothing on the packet path allocates, locks or logs; a lane never moves a path.

use crate::NodeId;
use crate::bounds::Fill;
use crate::path::Path;
use crate::session::keys::{OpenError, SealError};
use crate::session::{Index, LaneId};
use crate::time::Instant;
use crate::vpn::address::Local;
use crate::vpn::verdict::{Direction, Mode, Owner, Verdict, verdict};
use crate::wire::frame::{self, Kind, OVERHEAD};
use crate::wire::ip::icmp::{Answer, Problem};
use crate::wire::ip::{self, Header};
use std::net::IpAddr;
use std::time::Duration;

mod counters;
mod delta;
mod piece;
mod report;
mod table;

pub use counters::{Drops, Reason};
pub use delta::{Delta, NewSession, Slot};
pub use piece::Piece;
use piece::{Content, Waiting};
pub use report::{Report, SessionReport, Tally};
use table::Table;

/// ICMP errors that a lane writes in one second: a program that floods an address outside learns it all the
/// same (RFC 4443 2.4 (f)).
const ANSWERS_PER_SECOND: u32 = 100;
const SECOND: Duration = Duration::from_secs(1);

/// State of the transport checksum of a packet inside a seal. The seal proves more than the checksum does, so
/// a sender need not complete it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Checksum {
    /// The packet is as it should be on a wire.
    Complete = 0,
    /// The checksum field of the TCP or UDP header holds the sum of the pseudo header only.
    Partial = 1,
}

/// Length of the frame around a packet of this length.
pub const fn frame_len(packet_len: usize) -> usize {
    OVERHEAD + CONTENT_LEN + packet_len
}

/// Length of the content byte.
const CONTENT_LEN: usize = 1;

/// What to do with a packet from the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outbound {
    /// [`Lane::seal`] each of its segments.
    Seal(Flow),
    /// Give it to the node, cut into packets with complete checksums: its destination has no session yet.
    Unrouted,
    /// Drop it and write this to the device; counted.
    Answer(Answer),
    /// Drop it; counted.
    Drop(Reason),
}

/// Proof that a packet may be sealed, for the segments of that packet only: the next change of the table
/// ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    slot: Slot,
    index: Index,
    path: Path,
    limit: usize,
}

impl Flow {
    /// Where the sealed frames go.
    pub fn path(&self) -> Path {
        self.path
    }

    /// The frames that carry a packet of this length there, to be sealed in this order and nothing in between.
    pub fn pieces(&self, packet_len: usize) -> &'static [Piece] {
        Piece::of(packet_len, self.limit)
    }
}

/// What to do with a datagram that was received.
#[derive(Debug, PartialEq, Eq)]
pub enum Inbound<'a> {
    /// Write the packet to the device.
    Packet {
        /// The packet, byte for byte as it left the peer's host.
        packet: &'a mut [u8],
        /// Whether its checksum is done.
        checksum: Checksum,
    },
    /// Write the packet to the device before the next datagram: its second piece has come, and the lane holds
    /// the two joined until then.
    Joined {
        /// The packet.
        packet: &'a mut [u8],
        /// Whether its checksum is done.
        checksum: Checksum,
    },
    /// Nothing: it is one piece of a packet, and the other has not come.
    Piece,
    /// Give the datagram to the node as it is: it is not a frame of a session of this lane.
    Punt,
    /// Give the packet to the node: it was opened, but not proven to come from its source.
    Unproven {
        /// The other end of the session it came by.
        peer: NodeId,
        /// The packet, its checksum complete.
        packet: &'a mut [u8],
    },
    /// Drop it; counted.
    Drop(Reason),
}

/// The data plane of one thread.
#[derive(Debug)]
pub struct Lane {
    id: LaneId,
    mode: Mode,
    local: Option<Local>,
    table: Table,
    /// The last packet that came in two pieces.
    joined: Vec<u8>,
    drops: Drops,
    answers: Allowance,
}

impl Lane {
    /// A lane with an empty table: until [`Delta::Local`] nothing passes.
    pub fn new(id: LaneId, mode: Mode) -> Self {
        let (local, table, joined) = (None, Table::default(), Vec::new());
        let (drops, answers) = (Drops::default(), Allowance::default());
        Lane { id, mode, local, table, joined, drops, answers }
    }

    /// Obeys its node.
    pub fn apply(&mut self, delta: Delta) {
        match delta {
            Delta::Local(local) => self.local = Some(local),
            other => self.table.apply(other, self.id),
        }
    }

    /// Its sessions, to look at: slot, peer and path.
    pub fn sessions(&self) -> impl Iterator<Item = (Slot, NodeId, Path)> + '_ {
        self.table.sessions()
    }

    /// Its routes, to look at: destination and session.
    pub fn routes(&self) -> impl Iterator<Item = (IpAddr, Slot)> + '_ {
        self.table.routes()
    }

    /// How full its bounded places are.
    pub fn fills(&self) -> [Fill; 2] {
        self.table.fills()
    }

    /// Decides on a packet or super-packet from the device that starts with `head`, at least its IP header
    /// and the first 8 bytes behind it. `longest` is the length of the longest packet it becomes.
    pub fn outbound(&mut self, head: &[u8], longest: usize, now: Instant) -> Outbound {
        let Some(local) = self.local else { return self.no(Reason::ForeignSource) };
        let header = Header::parse(head);
        let mut route = None;
        let decided = verdict(self.mode, Direction::Outbound, &header, &local, |header| {
            route = self.table.route(header.destination);
            if route.is_some() { Owner::Peer } else { Owner::Unknown }
        });
        let slot = match decided {
            Verdict::Pass | Verdict::Unproven if longest > usize::from(local.mtu) => {
                return self.refuse(
                    head,
                    &header,
                    Reason::TooBig,
                    Problem::TooBig { mtu: local.mtu },
                    now,
                );
            }
            Verdict::Pass => route,
            Verdict::Unproven => return Outbound::Unrouted,
            Verdict::Reject(reason @ Reason::OutsideSubnet) => {
                return self.refuse(head, &header, reason, Problem::Prohibited, now);
            }
            Verdict::Reject(reason @ Reason::ServiceAddress) => {
                return self.refuse(head, &header, reason, Problem::NoSuchHost, now);
            }
            Verdict::Reject(reason) => return self.no(reason),
        };
        match slot.and_then(|slot| Some((slot, self.table.get_mut(slot)?))) {
            Some((slot, session)) => {
                session.tally.last_sent = Some(now);
                let &mut table::Session { index, path, limit, .. } = session;
                Outbound::Seal(Flow { slot, index, path, limit })
            }
            None => Outbound::Unrouted,
        }
    }

    /// Seals a piece of a packet of a flow, the packet's bytes in two parts, to the front of `out`, and returns
    /// the length of the frame, [`Piece::frame_len`] of the packet. What fails is counted.
    pub fn seal(
        &mut self,
        flow: Flow,
        piece: Piece,
        parts: [&[u8]; 2],
        checksum: Checksum,
        out: &mut [u8],
    ) -> Result<usize, Reason> {
        let sealed = match self.table.get_mut(flow.slot) {
            Some(session) if session.index == flow.index => {
                let packet_len = parts.iter().map(|part| part.len()).sum();
                session.tally.long |= frame_len(packet_len) > session.path.datagram_max();
                let content = Content { checksum, piece }.emit();
                let [head, body] = piece.cut(parts);
                session.sender.seal_into(out, &[&content, head, body]).map_err(
                    |error| match error {
                        SealError::Exhausted => Reason::KeyExhausted,
                        SealError::TooSmall => Reason::NoRoom,
                    },
                )
            }
            _ => Err(Reason::SessionGone),
        };
        match sealed {
            Ok(len) => self.table.sent(flow.slot, len - OVERHEAD - CONTENT_LEN),
            Err(reason) => self.drops.count(reason),
        }
        sealed
    }

    /// Opens a datagram that came by `from` and decides on the packet in it.
    pub fn inbound<'a>(
        &'a mut self,
        from: Path,
        datagram: &'a mut [u8],
        now: Instant,
    ) -> Inbound<'a> {
        let Lane { mode, local, table, joined, drops, .. } = self;
        let decided = match open(table, joined, from, datagram, now) {
            Ok(Some(opened)) => judge(*mode, *local, table, opened),
            Ok(None) => Ok(Inbound::Piece),
            Err(None) => Ok(Inbound::Punt),
            Err(Some(reason)) => Err(reason),
        };
        decided.unwrap_or_else(|reason| {
            drops.count(reason);
            Inbound::Drop(reason)
        })
    }

    /// What was counted since the last report.
    pub fn report(&mut self) -> Report {
        let drops = std::mem::take(&mut self.drops);
        Report { drops, sessions: self.table.take_tallies() }
    }

    fn no(&mut self, reason: Reason) -> Outbound {
        self.drops.count(reason);
        Outbound::Drop(reason)
    }

    /// Drops a packet and tells the program that sent it.
    fn refuse(
        &mut self,
        head: &[u8],
        header: &Result<Header, crate::wire::Malformed>,
        reason: Reason,
        problem: Problem,
        now: Instant,
    ) -> Outbound {
        self.drops.count(reason);
        let answer = header.ok().and_then(|header| Answer::to(head, &header, problem));
        match answer {
            Some(answer) if self.answers.take(now) => Outbound::Answer(answer),
            _ => Outbound::Drop(reason),
        }
    }
}

/// A packet that was opened.
struct Opened<'a> {
    slot: Slot,
    packet: &'a mut [u8],
    checksum: Checksum,
    /// Whether it came in two pieces.
    is_joined: bool,
}

/// Opens a datagram: `Ok(None)` if it is one piece of a packet, `Err(None)` if the datagram is the node's.
fn open<'a>(
    table: &mut Table,
    joined: &'a mut Vec<u8>,
    from: Path,
    datagram: &'a mut [u8],
    now: Instant,
) -> Result<Option<Opened<'a>>, Option<Reason>> {
    match Kind::of(datagram) {
        Some(Kind::Frame) => {}
        Some(_) => return Err(None),
        None => return Err(Some(Reason::Malformed)),
    }
    let frame = frame::Header::parse(datagram).map_err(|_| Reason::Malformed)?;
    let slot = Slot(frame.receiver.slot());
    let session = match table.get_mut(slot) {
        Some(session) if session.index == frame.receiver && frame.lane != LaneId::CONTROL => {
            session
        }
        _ => return Err(None),
    };
    let plaintext = session.receiver.open(&frame, datagram, now).map_err(|error| match error {
        OpenError::Misdirected | OpenError::BadTag => Reason::Forged,
        OpenError::Replay => Reason::Replay,
        OpenError::OldEpoch | OpenError::FarEpoch => Reason::WrongEpoch,
    })?;
    session.tally.last_heard = Some(now);
    if from != session.path {
        session.tally.roamed = Some(from);
    }
    let (content, bytes) = plaintext.split_first_mut().ok_or(Reason::Malformed)?;
    let content = Content::parse(*content).map_err(|_| Reason::Malformed)?;
    let (checksum, is_joined) = (content.checksum, content.piece != Piece::Whole);
    let is_whole =
        !is_joined || Waiting::join(&mut session.waiting, &frame, content, bytes, joined);
    table.received(slot, bytes.len());
    let packet = if is_joined { joined } else { bytes };
    Ok(is_whole.then_some(Opened { slot, packet, checksum, is_joined }))
}

/// Decides on a packet that was opened.
fn judge<'a>(
    mode: Mode,
    local: Option<Local>,
    table: &Table,
    opened: Opened<'a>,
) -> Result<Inbound<'a>, Reason> {
    let Opened { slot, packet, checksum, is_joined } = opened;
    let local = local.ok_or(Reason::NotForUs)?;
    let header = Header::parse_packet(packet);
    let decided = verdict(mode, Direction::Inbound, &header, &local, |header| {
        table.owner(slot, header.source)
    });
    let header = header.map_err(|_| Reason::Malformed)?;
    if checksum == Checksum::Partial && ip::checksum_field(packet, &header).is_none() {
        return Err(Reason::Malformed);
    }
    match decided {
        Verdict::Pass if is_joined => Ok(Inbound::Joined { packet, checksum }),
        Verdict::Pass => Ok(Inbound::Packet { packet, checksum }),
        Verdict::Unproven => {
            if checksum == Checksum::Partial {
                ip::complete_checksum(packet, &header);
            }
            let peer = table.peer(slot).ok_or(Reason::SessionGone)?;
            Ok(Inbound::Unproven { peer, packet })
        }
        Verdict::Reject(reason) => Err(reason),
    }
}

/// How many answers may still be given in the second that runs.
#[derive(Debug)]
struct Allowance {
    since: Instant,
    given: u32,
}

impl Default for Allowance {
    fn default() -> Self {
        Allowance { since: Instant::ZERO, given: 0 }
    }
}

impl Allowance {
    fn take(&mut self, now: Instant) -> bool {
        if now.saturating_since(self.since) >= SECOND {
            *self = Allowance { since: now, given: 0 };
        }
        self.given += 1;
        self.given <= ANSWERS_PER_SECOND
    }
}

#[cfg(test)]
mod tests;
