//! Bounded broadcast: one message to every node, each exactly once while the ring stands still (paper section
//! 4.1; Brunet's broadcast over arcs of the ring).
//!
//! A node that has to reach an arc hands each of its peers there the part of the arc from that peer to the
//! next one, and those do the same. So all links are used, N - 1 messages reach N nodes in O(log² N) hops
//! at most, and nobody needs to remember what it has seen. The arc before the first peer is empty: it is the
//! ring neighbour. While the ring changes a node may be reached twice or not at all; whoever broadcasts has
//! other carriers besides (`news`).
//!
//! What is broadcast, and whether it is fit to be passed on, is not known here: the caller verifies first.

use super::{Context, Effect, Overlay};
use crate::NodeId;
use crate::ring::{self, Side};
use crate::wire::control::Control;

/// Hops after which a broadcast ends: above any that a whole ring needs (20 in one of 100,000).
pub const SPREAD_HOPS_MAX: u8 = 64;

impl Overlay {
    /// Passes a payload on to everybody from here clockwise to `until`, which is left out; to the whole ring
    /// if that is this node. `hops` were taken so far. Returns how many messages went out.
    pub fn spread(
        &mut self,
        payload: &[u8],
        until: NodeId,
        hops: u8,
        cx: &mut Context<'_>,
    ) -> usize {
        if hops >= SPREAD_HOPS_MAX {
            self.counters.dropped_hop_limit += 1;
            return 0;
        }
        let mut reached = self.side(Side::Right);
        reached.retain(|&peer| ring::between(self.me, peer, until));
        let ends = reached.iter().skip(1).copied().chain([until]);
        for (&peer, until) in reached.iter().zip(ends) {
            let message = Control::Broadcast { hops: hops + 1, until, payload }.emit();
            cx.effects.push(Effect::Send { peer, message });
        }
        reached.len()
    }
}
