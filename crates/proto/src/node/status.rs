//! What a node tells of itself: plain values for status output, metrics and tests.

use super::Node;
use crate::NodeId;
use crate::bounds::Fill;
use crate::dht;
use crate::link;
use crate::news;
use crate::overlay::{self, Instance};
use crate::path::Path;
use crate::time::Now;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// The node in one of its overlays.
#[derive(Clone, Debug)]
pub struct Status {
    /// Its ID.
    pub id: NodeId,
    /// Whether it has a place in the ring: it has joined, and some neighbour is linked now.
    pub joined: bool,
    /// Next node counter-clockwise.
    pub left: Option<NodeId>,
    /// Next node clockwise.
    pub right: Option<NodeId>,
    /// Estimated number of nodes.
    pub size_estimate: f64,
    /// Where it may be dialled: own addresses and those that peers see.
    pub endpoints: Vec<SocketAddr>,
}

/// One current session.
#[derive(Clone, Debug)]
pub struct PeerStatus {
    /// The overlay in which it is a peer.
    pub instance: Instance,
    /// The peer.
    pub id: NodeId,
    /// User and group of its certificate.
    pub member: Option<(String, String)>,
    /// Its addresses in the virtual network that packets to and from it may have, IPv4 first.
    pub addresses: Vec<IpAddr>,
    /// How it is reached.
    pub path: Path,
    /// The longest datagram that it carries, as far as is known, in bytes.
    pub datagram_max: usize,
    /// Why the overlay keeps the link; empty if only the peer wants it or traffic alone uses it.
    pub purposes: Vec<&'static str>,
    /// Smoothed round-trip time.
    pub rtt: Option<Duration>,
    /// Age of the session with its present keys.
    pub age: Duration,
    /// Time since the last authentic frame.
    pub silent: Duration,
}

/// Everything that is counted by the core.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    /// About datagrams and sessions, of all overlays.
    pub links: link::Counters,
    /// About routed messages.
    pub overlay: overlay::Counters,
    /// About the hash table.
    pub dht: dht::Counts,
    /// About news of the group's authority.
    pub news: news::Counters,
}

/// How much of what is bounded is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Of the session table and what hangs on it.
    pub links: link::Footprint,
    /// Outputs that the driver has not taken yet.
    pub outputs: usize,
}

impl Node {
    /// The node in one of its overlays.
    pub fn status(&self, instance: Instance) -> Status {
        let overlay = self.overlay(instance);
        let (left, right) = overlay.neighbours();
        Status {
            id: overlay.me(),
            joined: overlay.is_joined() && left.is_some(),
            left,
            right,
            size_estimate: overlay.size_estimate(),
            endpoints: self.endpoints.offered(instance),
        }
    }

    /// Its current sessions in all overlays.
    pub fn peers(&self, now: Now) -> Vec<PeerStatus> {
        let purposes = |instance, id| {
            let mut peers = self.overlay(instance).peers();
            peers.find(|(peer, _)| *peer == id).map(|(_, peer)| peer.purposes.names())
        };
        let addresses = |instance, id| {
            let vpn = self.vpn().filter(|_| self.vpn_over() == Some(instance));
            vpn.into_iter().flat_map(|vpn| vpn.addresses_of(id)).collect()
        };
        self.links
            .sessions()
            .map(|(_, session)| PeerStatus {
                instance: session.instance,
                id: session.peer.id,
                member: session.peer.member.as_ref().map(|m| (m.user.clone(), m.group.clone())),
                addresses: addresses(session.instance, session.peer.id),
                path: session.path,
                datagram_max: self.links.datagram_max(session),
                purposes: purposes(session.instance, session.peer.id).unwrap_or_default(),
                rtt: session.liveness.rtt(),
                age: now.instant - session.since,
                silent: now.instant - session.liveness.heard_at(),
            })
            .collect()
    }

    /// What the core counted, about messages and hash table in one of the overlays.
    pub fn counters(&self, instance: Instance) -> Counters {
        Counters {
            links: self.links.counters(),
            overlay: self.overlay(instance).counters(),
            dht: self.dht(instance).counts(),
            news: self.news.counters(),
        }
    }

    /// Every bounded place of the node and how full it is.
    pub fn fills(&self) -> impl Iterator<Item = Fill> + '_ {
        let operations = self.operations.fill(self.overlays.len());
        let own = [self.questions.fill(), operations, self.news.fill()];
        let overlays = self.overlays.iter().flat_map(overlay::Overlay::fills);
        let dhts = self.dhts.iter().flat_map(dht::Dht::fills);
        let vpn = self.vpn.iter().flat_map(|network| network.vpn.fills());
        let own = own.into_iter().chain(self.watch.fills());
        self.links.fills().into_iter().chain(own).chain(overlays).chain(dhts).chain(vpn)
    }

    /// How much of what is bounded is in use.
    pub fn footprint(&self) -> Footprint {
        Footprint { links: self.links.footprint(), outputs: self.outputs.len() }
    }
}
