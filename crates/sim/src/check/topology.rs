//! A picture of an overlay: its live nodes in ring order, and their links.

use proto::NodeId;
use proto::overlay::Instance;
use proto::ring::{self, Side};
use proto::wire::connect::Purpose;

use super::Moment;
use crate::world::{HostId, World};
#[cfg(test)]
use proto::time::Instant;

/// A live node and its links.
#[derive(Clone, Debug)]
pub struct Member {
    /// Where it runs.
    pub host: HostId,
    /// Its ID.
    pub id: NodeId,
    /// Whether it has found its place in the ring.
    pub is_joined: bool,
    /// Its own estimate of the number of nodes.
    pub size_estimate: f64,
    /// The peers it holds for itself as ring neighbours, in order of their IDs.
    pub near: Vec<NodeId>,
    /// The shortcuts it drew, each with the estimate of the size at that time.
    pub shortcuts: Vec<(NodeId, f64)>,
    /// All linked peers, in order of their IDs.
    pub peers: Vec<NodeId>,
}

/// All live nodes of one overlay, in order of their IDs.
#[derive(Clone, Debug)]
pub struct Topology {
    /// Of which world and time.
    pub moment: Moment,
    /// The nodes.
    pub members: Vec<Member>,
}

impl Topology {
    /// Takes the picture of the overlay that all nodes have in this place.
    pub fn of(world: &World, instance: Instance) -> Self {
        Self::of_those(world, |_| Some(instance))
    }

    /// Takes the picture of an overlay that not all hosts take part in, or not all in the same place.
    pub fn of_those(world: &World, place: impl Fn(HostId) -> Option<Instance>) -> Self {
        let member = |host| {
            let overlay = world.node(host)?.overlay(place(host)?);
            let with = |purpose: Purpose| {
                overlay.peers().filter(move |(_, peer)| peer.purposes.has(purpose))
            };
            Some(Member {
                host,
                id: overlay.me(),
                is_joined: overlay.is_joined(),
                size_estimate: overlay.size_estimate(),
                near: with(Purpose::Near).map(|(id, _)| id).collect(),
                shortcuts: with(Purpose::Shortcut).map(|(id, p)| (id, p.shortcut_size)).collect(),
                peers: overlay.peers().map(|(id, _)| id).collect(),
            })
        };
        Self::new(world.into(), world.hosts().filter_map(member).collect())
    }

    /// A picture of these nodes.
    pub fn new(moment: Moment, mut members: Vec<Member>) -> Self {
        members.sort_by_key(|member| member.id);
        Self { moment, members }
    }

    /// Number of live nodes.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether nobody lives.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether every live node has found its place.
    pub fn everybody_joined(&self) -> bool {
        self.members.iter().all(|member| member.is_joined)
    }

    /// Links per node.
    pub fn degrees(&self) -> Vec<f64> {
        self.members.iter().map(|member| member.peers.len() as f64).collect()
    }

    /// The place of a live node in `members`.
    pub fn place_of(&self, id: NodeId) -> Option<usize> {
        self.members.binary_search_by_key(&id, |member| member.id).ok()
    }

    /// The true ring neighbours of the member at `place` by `side`, nearest first: `depth` of them or all
    /// others.
    pub fn neighbours(&self, place: usize, side: Side, depth: usize) -> Vec<NodeId> {
        let n = self.len();
        let at = |k| match side {
            Side::Right => (place + k) % n,
            Side::Left => (place + n - k) % n,
        };
        (1..n.min(depth + 1)).map(|k| self.members[at(k)].id).collect()
    }
}

impl Member {
    /// Its linked peers by `side`, nearest first.
    pub fn side(&self, side: Side) -> Vec<NodeId> {
        let mut peers = self.peers.clone();
        peers.sort_by_key(|&peer| ring::arc(self.id, peer, side));
        peers
    }
}

/// A ring in which everybody is linked with two neighbours on each side.
#[cfg(test)]
pub(super) fn perfect_ring(n: u8) -> Topology {
    let id = |k: u8| {
        let mut bytes = [0; 20];
        bytes[0] = (k % n) * (u8::MAX / n);
        NodeId::from_bytes(bytes)
    };
    let member = |k: u8| {
        let mut peers = vec![id(k + 2 * n - 2), id(k + n - 1), id(k + 1), id(k + 2)];
        peers.sort();
        Member {
            host: HostId::new(k.into()),
            id: id(k),
            is_joined: true,
            size_estimate: n.into(),
            near: peers.clone(),
            shortcuts: Vec::new(),
            peers,
        }
    };
    Topology::new(Moment { seed: 1, at: Instant::ZERO }, (0..n).map(member).collect())
}
