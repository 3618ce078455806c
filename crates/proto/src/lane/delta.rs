//! How a node changes the table of its lanes. A lane obeys and answers nothing.

use crate::NodeId;
use crate::path::Path;
use crate::session::Index;
use crate::session::keys::TrafficSecrets;
use crate::vpn::address::Local;
use std::net::IpAddr;

/// The place of a session in the node's session table and in the tables of its lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub usize);

/// One change of a lane's table.
#[derive(Clone, Debug)]
pub enum Delta {
    /// Our addresses and subnet, at first and when they change. Before the first nothing passes.
    Local(Local),
    /// A session was made. Each session is given to a lane once in its life: given again, its counters
    /// would start again under the same keys.
    AddSession {
        /// Its place; a session that is there already is replaced.
        slot: Slot,
        /// What it is.
        session: Box<NewSession>,
    },
    /// The session goes to the next epoch of its key chain.
    Epoch {
        /// Which session.
        slot: Slot,
    },
    /// The session's frames go this way from now on, and none is longer than [`Path::datagram_max`] of it.
    SetPath {
        /// Which session.
        slot: Slot,
        /// The way.
        path: Path,
    },
    /// The session's path carries frames up to this length.
    SetLimit {
        /// Which session.
        slot: Slot,
        /// The length in bytes.
        limit: usize,
    },
    /// The session is over; routes to it and sources of it go with it.
    RemoveSession {
        /// Which session.
        slot: Slot,
    },
    /// Packets for this address go to this session.
    Route {
        /// The address of a member.
        destination: IpAddr,
        /// Its session.
        slot: Slot,
    },
    /// Packets for this address are given to the node again.
    Unroute {
        /// The address.
        destination: IpAddr,
    },
    /// The session's peer owns this address.
    AllowSource {
        /// Which session.
        slot: Slot,
        /// The address.
        source: IpAddr,
    },
    /// The session's peer does not own this address.
    ForbidSource {
        /// Which session.
        slot: Slot,
        /// The address.
        source: IpAddr,
    },
    /// Whether the session's peer owns this address must be asked again.
    ForgetSource {
        /// Which session.
        slot: Slot,
        /// The address.
        source: IpAddr,
    },
}

/// What a lane needs of a session.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// The other end.
    pub peer: NodeId,
    /// Our name for the session and this lane: what arrives under it is opened here.
    pub index: Index,
    /// The peer's name for the session and the lane that we send to.
    pub receiver: Index,
    /// Keys of epoch 0.
    pub secrets: TrafficSecrets,
    /// How the peer is reached.
    pub path: Path,
}
