//! What goes into a node and what comes out: the whole contract between core and driver.
//!
//! The driver calls one of the `handle_*` methods or a command of [`crate::Node`] and then
//! [`crate::Node::poll`] until it returns [`Output::Wait`]; only then comes the next input. It calls
//! [`crate::Node::handle_timeout`] at the time of the last `Wait`, never needs to call it earlier, and may
//! always call it later.

use crate::NodeId;
use crate::lane::Delta;
use crate::news;
use crate::overlay::Instance;
use crate::overlay::shortcut::ShortcutPolicy;
use crate::path::Path;
use crate::session::suite::{Failure, Suite};
use crate::time::Instant;
use crate::vpn;
use crate::wire::record::{Key, Record};
use pki::{Keyring, PreSharedKey};
use std::net::SocketAddr;
use std::time::Duration;

/// Names a command, chosen by the driver; the answer repeats it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Everything a node is made from.
pub struct Config {
    /// The overlays it takes part in, at least one, all over one socket. An [`Instance`] is a place in this list.
    pub overlays: Vec<OverlayConfig>,
    /// The virtual network; a bootstrap node has none.
    pub vpn: Option<VpnConfig>,
}

/// A virtual network and the overlay that carries it. No other overlay hears of it.
pub struct VpnConfig {
    /// The overlay, whose members are those of the network.
    pub over: Instance,
    /// The network.
    pub network: vpn::Config,
}

/// One overlay of a node.
pub struct OverlayConfig {
    /// Identity and trust: who we are, and whom we accept.
    pub suite: Box<dyn Suite>,
    /// Whom we answer at all.
    pub access: Access,
    /// Endpoints to dial while nobody is linked.
    pub bootstrap: Vec<SocketAddr>,
    /// Nodes linked in an earlier run, dialled beside the bootstrap endpoints.
    pub known: Vec<(NodeId, SocketAddr)>,
    /// Which shortcuts are drawn.
    pub shortcuts: Box<dyn ShortcutPolicy>,
}

/// Whose first datagrams an overlay answers. This keeps out floods and onlookers; who a peer is, is for the suite
/// to say.
#[derive(Debug)]
pub enum Access {
    /// Everybody's: a public overlay.
    Public,
    /// Those of holders of any of these keys, at least one; dials use the first. Sessions are keyed with them as
    /// well: nobody else needs to be kept out by the suite.
    PreShared {
        /// The name of the group: one key means another in each.
        group: String,
        /// The keys.
        keys: Vec<PreSharedKey>,
    },
    /// Those of holders of any of these generations, at least one; members pass newer ones on.
    Members(Keyring),
}

/// Why a configuration is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A node without an overlay would be nobody, and a network needs one of the node's own.
    #[error("a node needs an overlay, and a virtual network one of them")]
    NoOverlay,
    /// A group overlay without a secret would answer nobody.
    #[error("a group overlay needs a group secret, or a pre-shared key")]
    NoSecret,
    /// The virtual network cannot be as configured.
    #[error(transparent)]
    Vpn(#[from] vpn::ConfigError),
}

/// What the driver is asked to do, in order.
#[derive(Debug)]
pub enum Output {
    /// Send this datagram from the node's UDP port.
    Datagram {
        /// Where to.
        to: SocketAddr,
        /// At most [`Path::datagram_max`](crate::path::Path::datagram_max), but for tries of a path for more: these
        /// are as long as the frame of the network's longest packet.
        bytes: Vec<u8>,
    },
    /// Give this to the data lane.
    Lane(LaneInput),
    /// Set the addresses of the virtual device.
    Device(vpn::DeviceAddresses),
    /// A command is answered.
    Answer(Ticket, Answer),
    /// Something that a log, a user or a test wants to know.
    Event(Event),
    /// Nothing more to do before this time or the next input.
    Wait(Instant),
}

/// What a data lane is given by its node.
#[derive(Debug)]
pub enum LaneInput {
    /// Change the table.
    Delta(Delta),
    /// Treat this packet as if the device had just given it: it waited for its session.
    Outbound(Vec<u8>),
    /// Write this packet to the device: it waited for the proof of its source.
    Deliver(Vec<u8>),
    /// Treat this datagram as if it had been received: it came through the overlay.
    Datagram {
        /// The path it came by.
        from: Path,
        /// The frame.
        bytes: Vec<u8>,
    },
}

/// How a command ended.
#[derive(Clone, Debug)]
pub enum Answer {
    /// The ping came back.
    Pong {
        /// Who answered.
        node: NodeId,
        /// Round-trip time.
        rtt: Duration,
        /// Hops that the ping took.
        hops: u8,
        /// Path class of the link to the peer, if there is one; else it went through the overlay.
        path: &'static str,
    },
    /// Values found.
    Values {
        /// The records, each verified.
        records: Vec<Record>,
        /// Whether every answering replica was read to the end; an absence is then sure.
        complete: bool,
    },
    /// The value is stored.
    Stored {
        /// Under this key.
        key: Key,
        /// Nodes that keep it.
        replicas: usize,
    },
    /// The ring as walked.
    Crawl(crate::overlay::crawl::Report),
    /// It did not work; the text says why and what to do.
    Failed(String),
}

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// Both ring neighbours are linked and know of nobody nearer.
    Joined {
        /// Which overlay.
        instance: Instance,
        /// Since the node was made.
        after: Duration,
    },
    /// A session is up.
    LinkUp {
        /// Which overlay.
        instance: Instance,
        /// The peer.
        peer: NodeId,
        /// Its user and group, if it has a certificate.
        member: Option<(String, String)>,
        /// How it is reached.
        path: Path,
    },
    /// A session goes another way, which the peer has proved to be its own.
    LinkMoved {
        /// Which overlay.
        instance: Instance,
        /// The peer.
        peer: NodeId,
        /// How it is reached now.
        path: Path,
    },
    /// A session is over.
    LinkDown {
        /// Which overlay.
        instance: Instance,
        /// The peer.
        peer: NodeId,
        /// Why.
        reason: &'static str,
    },
    /// A peer was refused, by us or by it.
    Refused {
        /// In which overlay.
        instance: Instance,
        /// By which path it came.
        path: Path,
        /// The reason, which says what to do.
        why: Failure,
        /// Whether we refused (else the peer did).
        by_us: bool,
    },
    /// Nobody answered at a bootstrap endpoint.
    NoAnswer {
        /// The endpoint.
        endpoint: SocketAddr,
    },
    /// A peer says that another live node holds our ID. A member must stop then; in a public overlay anybody can
    /// say so.
    IdInUse {
        /// In which overlay.
        instance: Instance,
    },
    /// News of the group's authority; the driver keeps [`crate::Node::trust`] and [`crate::Node::keyring`].
    News(news::Event),
    /// Something in the virtual network.
    Vpn(vpn::Event),
}
