//! The members that we have a session with: which addresses each was granted or denied, and whether it is
//! still needed.

use super::waiting::PACKETS_MAX;
use crate::NodeId;
use crate::bounds::Fill;
use crate::lane::Slot;
use crate::time::Instant;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

/// Addresses remembered as denied to one peer; the lowest is forgotten first, and then asked for again.
const DENIED_MAX: usize = 8;

/// What is known of a peer from its handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its ID.
    pub id: NodeId,
    /// The IPv4 address that its certificate pins.
    pub pinned: Option<Ipv4Addr>,
}

/// A peer with a session.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) slot: Slot,
    pub(super) pinned: Option<Ipv4Addr>,
    /// Addresses that it owns: routed to it, and allowed as sources.
    pub(super) granted: BTreeSet<IpAddr>,
    /// Addresses that it used and does not own.
    pub(super) denied: BTreeSet<IpAddr>,
    /// When its session last carried a packet.
    pub(super) active_at: Instant,
    /// Whether we asked for the session to be kept.
    pub(super) wanted: bool,
    /// Whether it was told to the user that it sends with addresses of others.
    pub(super) told: bool,
    /// Packets given back to the lane though it had just said that it has no session, and when.
    bounced: (Instant, usize),
}

impl Member {
    /// Remembers that the peer does not own this address, and says which other it forgot for that.
    pub(super) fn deny(&mut self, ip: IpAddr) -> Option<IpAddr> {
        let is_full = self.denied.len() == DENIED_MAX && !self.denied.contains(&ip);
        let forgotten = if is_full { self.denied.pop_first() } else { None };
        self.denied.insert(ip);
        forgotten
    }

    /// Whether a packet may go back to a lane that has been told of the session: at most a queue full at
    /// one time, so that a lane that never learns of it does not keep the node busy for ever.
    pub(super) fn may_bounce(&mut self, now: Instant) -> bool {
        if self.bounced.0 != now {
            self.bounced = (now, 0);
        }
        self.bounced.1 += 1;
        self.bounced.1 <= PACKETS_MAX
    }
}

/// All peers with a session.
#[derive(Debug, Default)]
pub(super) struct Peers {
    members: BTreeMap<NodeId, Member>,
    by_slot: BTreeMap<Slot, NodeId>,
    /// Who was granted an address; each at most one peer.
    holders: BTreeMap<IpAddr, NodeId>,
}

impl Peers {
    /// Notes a session and returns the addresses that the peer had by the session before, which this one
    /// replaces.
    pub(super) fn insert(&mut self, slot: Slot, peer: &Peer, now: Instant) -> BTreeSet<IpAddr> {
        self.remove(slot);
        let former = self.members.remove(&peer.id);
        let (granted, wanted) = former.map_or((BTreeSet::new(), false), |member| {
            self.by_slot.remove(&member.slot);
            (member.granted, member.wanted)
        });
        let member = Member {
            slot,
            pinned: peer.pinned,
            granted: granted.clone(),
            denied: BTreeSet::new(),
            active_at: now,
            wanted,
            told: false,
            bounced: (Instant::ZERO, 0),
        };
        self.members.insert(peer.id, member);
        self.by_slot.insert(slot, peer.id);
        granted
    }

    /// Forgets a session, unless another replaced it; returns whose it was and the addresses it had.
    pub(super) fn remove(&mut self, slot: Slot) -> Option<(NodeId, BTreeSet<IpAddr>)> {
        let id = self.by_slot.remove(&slot)?;
        let granted = self.members.remove(&id)?.granted;
        for ip in &granted {
            self.holders.remove(ip);
        }
        Some((id, granted))
    }

    pub(super) fn get(&mut self, id: NodeId) -> Option<&mut Member> {
        self.members.get_mut(&id)
    }

    /// The addresses that a peer was granted, IPv4 first.
    pub(super) fn addresses_of(&self, id: NodeId) -> impl Iterator<Item = IpAddr> + '_ {
        self.members.get(&id).into_iter().flat_map(|member| member.granted.iter().copied())
    }

    /// All granted addresses and who was granted them.
    pub(super) fn holders(&self) -> impl Iterator<Item = (IpAddr, NodeId)> + '_ {
        self.holders.iter().map(|(&ip, &id)| (ip, id))
    }

    pub(super) fn fill(&self) -> Fill {
        let most = self.members.values().map(|member| member.denied.len()).max().unwrap_or(0);
        Fill::new("addresses denied to a peer", most, DENIED_MAX)
    }

    /// The peer at the other end of a session.
    pub(super) fn at(&self, slot: Slot) -> Option<NodeId> {
        self.by_slot.get(&slot).copied()
    }

    /// The peer that was granted an address.
    pub(super) fn holder(&self, ip: IpAddr) -> Option<NodeId> {
        self.holders.get(&ip).copied()
    }

    /// Whether packets go to or come from this address: its holder's session is kept for that.
    pub(super) fn is_used(&self, ip: IpAddr) -> bool {
        let holder = self.holders.get(&ip).and_then(|id| self.members.get(id));
        holder.is_some_and(|member| member.wanted)
    }

    /// Grants an address to a peer; says by which session it is reached.
    pub(super) fn grant(&mut self, id: NodeId, ip: IpAddr) -> Option<Slot> {
        let member = self.members.get_mut(&id)?;
        member.granted.insert(ip);
        member.denied.remove(&ip);
        self.holders.insert(ip, id);
        Some(member.slot)
    }

    /// Takes an address from whoever was granted it; says whose session that is.
    pub(super) fn revoke(&mut self, ip: IpAddr) -> Option<Slot> {
        let member = self.members.get_mut(&self.holders.remove(&ip)?)?;
        member.granted.remove(&ip);
        Some(member.slot)
    }

    /// Takes back the denials of an address; says by which sessions they were.
    pub(super) fn pardon(&mut self, ip: IpAddr) -> Vec<Slot> {
        let denied = self.members.values_mut().filter(|member| member.denied.contains(&ip));
        denied
            .map(|member| {
                member.denied.remove(&ip);
                member.slot
            })
            .collect()
    }
}
