//! What the virtual network asks of the world: three things of the overlay (a hash table, connections,
//! packets; checklist DH-06), and of the driver a device.

use super::address::Local;
use super::address::PREFIX6_LEN;
use crate::NodeId;
use crate::lane::Delta;
use crate::rng::Rng;
use crate::time::Instant;
use std::collections::VecDeque;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// Names something asked of the overlay; the answer repeats it. A publication keeps its name until it is
/// released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Op(pub u64);

/// What is to be done, in order.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Store a value under the key of `name` if nobody else has, and keep it stored until released: the hash
    /// table renews it at a third of `ttl`, as it moves it on churn anyway. Answered by
    /// [`Answer::Created`], [`Answer::Taken`], [`Answer::ClocksDiffer`] or [`Answer::Unavailable`], and
    /// later perhaps by [`super::Vpn::handle_lost`].
    Create {
        /// Names the publication.
        op: Op,
        /// What the key is derived from.
        name: String,
        /// The value.
        payload: Vec<u8>,
        /// How long the value outlives its owner.
        ttl: Duration,
        /// Whether another name would do as well: then one voice that this one is taken is enough.
        others_do: bool,
    },
    /// Remove what was created, or give up creating it.
    Release {
        /// The publication.
        op: Op,
    },
    /// Look up who stored under the key of `name`. Answered by [`Answer::Found`] or [`Answer::Unavailable`].
    Get {
        /// Names the question.
        op: Op,
        /// What the key is derived from.
        name: String,
    },
    /// Ask which node is nearest to a point of the ring. Answered by [`Answer::Nearest`] or
    /// [`Answer::Unavailable`].
    ResolveNearest {
        /// Names the question.
        op: Op,
        /// The point.
        point: NodeId,
    },
    /// Make a session with this node, and keep it until [`Effect::Disconnect`] or until it is lost. Told
    /// again, it changes nothing. Answered by [`super::Vpn::handle_session_up`] or [`super::Vpn::handle_unreachable`].
    Connect {
        /// The peer.
        node: NodeId,
    },
    /// The virtual network needs the session with this node no longer.
    Disconnect {
        /// The peer.
        node: NodeId,
    },
    /// Tell whose an address is, to who asked with [`super::Vpn::seek`].
    Sought {
        /// Names who asked.
        seeker: u64,
        /// What is known.
        whose: Whose,
    },
    /// Change the table of the lanes.
    Delta(Delta),
    /// Treat this packet as if the device had just given it: it waited for its session.
    Outbound(Vec<u8>),
    /// Write this packet to the device: it waited for the proof of its source, or tells of an error.
    Deliver(Vec<u8>),
    /// Set the addresses of the device.
    Device(DeviceAddresses),
    /// Something that a log, a user or a test wants to know.
    Event(Event),
}

/// Whose an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// This node's.
    Node(NodeId),
    /// Nobody's, as the overlay says.
    Nobody,
    /// The overlay did not say, or too many ask.
    Unknown,
}

/// How the overlay answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The value is stored by a majority, and ours.
    Created,
    /// Somebody else has it.
    Taken,
    /// The values found, each verified; an empty list can be believed.
    Found(Vec<Found>),
    /// The node nearest to the point.
    Nearest(NodeId),
    /// Too few nodes answered to say.
    Unavailable,
    /// Those that answered do not believe the value's expiry.
    ClocksDiffer,
}

/// One value of the hash table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Whose signature it bears.
    pub owner: NodeId,
    /// The address that the owner's certificate pins, if it is known.
    pub pinned: Option<Ipv4Addr>,
    /// How long it still lives.
    pub life: Duration,
}

/// Addresses of the virtual device, each with its prefix length: setting them routes the subnet to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceAddresses {
    /// IPv4, once there is a lease.
    pub ipv4: Option<(Ipv4Addr, u8)>,
    /// IPv6.
    pub ipv6: (Ipv6Addr, u8),
    /// The longest packet, in bytes.
    pub mtu: u16,
}

impl From<&Local> for DeviceAddresses {
    fn from(local: &Local) -> Self {
        let ipv4 = local.ipv4.zip(local.subnet).map(|(ip, subnet)| (ip, subnet.prefix()));
        DeviceAddresses { ipv4, ipv6: (local.ipv6, PREFIX6_LEN), mtu: local.mtu }
    }
}

/// Something that happened in the virtual network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The IPv4 address is ours.
    Leased(Ipv4Addr),
    /// Another node holds the address that the configuration asks for.
    Taken(Ipv4Addr),
    /// A merge of two parts of the network found the address with another node, which keeps it.
    Lost(Ipv4Addr),
    /// Another node leased the address that our certificate pins; ours beats it.
    Contested(Ipv4Addr),
    /// No free address was found.
    SubnetFull,
    /// The nodes that would keep our address do not believe its expiry.
    ClocksDiffer,
    /// A peer sent with an address that is not its own; told once per session.
    Spoofed {
        /// The peer.
        peer: NodeId,
        /// The address.
        source: IpAddr,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Leased(ip) => write!(f, "virtual address {ip} is ours"),
            Event::Taken(ip) => write!(
                f,
                "virtual address {ip} is held by another node; choose another or stop that node"
            ),
            Event::Lost(ip) => write!(f, "virtual address {ip} went to another node in a merge"),
            Event::Contested(ip) => {
                write!(f, "pinned virtual address {ip} is also leased by another node")
            }
            Event::SubnetFull => f.write_str("no free virtual address found; widen the subnet"),
            Event::ClocksDiffer => f.write_str(
                "the members that keep virtual addresses refuse ours, as their clocks and this host's differ \
                 by hours; set the clock that is wrong",
            ),
            Event::Spoofed { peer, source } => {
                write!(f, "node {peer} sends with the address {source}, which is not its own")
            }
        }
    }
}

/// Effects not taken yet, and the names of what was asked.
#[derive(Debug, Default)]
pub(super) struct Effects {
    pub(super) queue: VecDeque<Effect>,
    ops: u64,
}

impl Effects {
    pub(super) fn push(&mut self, effect: Effect) {
        self.queue.push_back(effect);
    }

    pub(super) fn new_op(&mut self) -> Op {
        self.ops += 1;
        Op(self.ops)
    }
}

/// What a machine of the virtual network may use.
pub(super) struct Context<'a> {
    pub(super) now: Instant,
    pub(super) rng: &'a mut Rng,
    pub(super) effects: &'a mut Effects,
}
