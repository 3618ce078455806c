//! Which ring neighbours a node keeps, and whom it should ask for a link (paper section 3: between two and
//! log N on each side; checklist NB-01).

use crate::NodeId;
use crate::ring::{self, Side};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// Neighbours per side that a node seeks in a large network.
pub const WANTED_PER_SIDE: usize = 2;
/// Neighbours per side that a node seeks in a small network: up to about 20 nodes are almost fully
/// connected (paper 5.1), which costs nothing there and makes every path one hop.
pub const WANTED_PER_SIDE_SMALL: usize = 4;
/// Neighbours per side that a node keeps once it has them: enough that the loss of a third of all nodes at
/// once rarely cuts the ring, and never above the paper's log N in networks of more than 16.
pub const KEPT_PER_SIDE: usize = 4;
/// Up to this estimated size a network counts as small.
pub const SMALL_NETWORK: f64 = 20.0;

/// Neighbours per side that a node seeks at this estimated network size.
pub fn wanted_per_side(size: f64) -> usize {
    if size <= SMALL_NETWORK { WANTED_PER_SIDE_SMALL } else { WANTED_PER_SIDE }
}

/// The first `n` of `ids` that one meets going round from `me` by `side`. The order of IDs is the order of
/// the ring.
pub fn nearest(me: NodeId, ids: &BTreeSet<NodeId>, side: Side, n: usize) -> Vec<NodeId> {
    let above = ids.range((Bound::Excluded(me), Bound::Unbounded));
    let below = ids.range(..me);
    match side {
        Side::Right => above.chain(below).take(n).copied().collect(),
        Side::Left => below.rev().chain(above.rev()).take(n).copied().collect(),
    }
}

/// Estimates the number of nodes from the mean gap between the nearest nodes, at least as many as are linked
/// (Symphony section 3.4; Brunet). `left` and `right` are the nearest nodes that are known of, linked or not,
/// nearest first: a gap in between would make the network look small.
pub fn estimate_size(me: NodeId, left: &[NodeId], right: &[NodeId], linked: usize) -> f64 {
    let span =
        |ids: &[NodeId], side| ids.last().map_or(0.0, |&far| ring::arc(me, far, side).share());
    let covered = span(left, Side::Left) + span(right, Side::Right);
    let known = (linked + 1) as f64;
    let gaps = (left.len() + right.len()) as f64;
    // Neighbour lists that overlap go more than once round: everybody is known then.
    if covered >= 1.0 || covered == 0.0 { known } else { (gaps / covered).max(known) }
}

/// Nodes that would be among the nearest `wanted` of a side and are not linked, each with the peer that
/// told of them.
pub fn missing(
    me: NodeId,
    linked: &[NodeId],
    told: &BTreeMap<NodeId, NodeId>,
    wanted: usize,
) -> Vec<(NodeId, NodeId)> {
    let mut out = Vec::new();
    let everybody: BTreeSet<NodeId> = linked.iter().chain(told.keys()).copied().collect();
    for side in Side::BOTH {
        for id in nearest(me, &everybody, side, wanted) {
            if let (Err(_), Some(&teller)) = (linked.binary_search(&id), told.get(&id))
                && !out.contains(&(id, teller))
            {
                out.push((id, teller));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> NodeId {
        let mut b = [0; 20];
        b[0] = n;
        NodeId::from_bytes(b)
    }

    #[test]
    fn the_size_is_estimated_from_the_mean_gap() {
        let (left, right) = ([id(28), id(24)], [id(36), id(40)]);
        assert!((estimate_size(id(32), &left, &right, 4) - 64.0).abs() < 1e-9);
        assert_eq!(estimate_size(id(32), &[id(9)], &[id(9)], 1), 2.0);
        assert_eq!(estimate_size(id(32), &[], &[], 0), 1.0);
    }

    #[test]
    fn nodes_nearer_than_the_wanted_neighbours_are_missing() {
        let linked = [id(20), id(24), id(40), id(44)];
        let told = BTreeMap::from([(id(30), id(24)), (id(60), id(44))]);
        assert_eq!(missing(id(32), &linked, &told, 2), vec![(id(30), id(24))]);
    }

    #[test]
    fn small_networks_are_meshed() {
        assert_eq!((wanted_per_side(10.0), wanted_per_side(100.0)), (4, 2));
        assert!(wanted_per_side(10.0) <= KEPT_PER_SIDE);
    }
}
