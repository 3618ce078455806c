//! Whether everybody is linked with its true ring neighbours (paper section 3).

use proto::NodeId;
use proto::ring::Side;

use super::{Findings, Topology};

/// Neighbours per side that must be linked: the first and, for when it dies, the second.
const DEPTH: usize = 2;
/// Most neighbours per side in a small network, where log N allows too few.
const KEPT_MIN: usize = 4;

/// Every node is linked with its first and second live neighbours on both sides, and with nobody between.
pub fn ring_is_consistent(topology: &Topology) -> Findings {
    let mut findings =
        Findings::new("first and second ring neighbours are linked", topology.moment);
    for (place, member) in topology.members.iter().enumerate() {
        for side in Side::BOTH {
            let wanted = topology.neighbours(place, side, DEPTH);
            let linked: Vec<NodeId> = member.side(side).into_iter().take(DEPTH).collect();
            let (id, host) = (member.id, member.host.index());
            findings.check((wanted != linked).then_some(|| {
                format!("{id:?} on host {host}, {side:?}: has {linked:?}, should have {wanted:?}")
            }));
        }
    }
    findings
}

/// Every node holds at least two true neighbours per side and counts at most max(4, log2 N) per side as such.
pub fn near_neighbours_are_within_bounds(topology: &Topology) -> Findings {
    let mut findings =
        Findings::new("2 to max(4, log2 N) near neighbours per side", topology.moment);
    let most = KEPT_MIN.max((topology.len() as f64).log2().ceil() as usize);
    for (place, member) in topology.members.iter().enumerate() {
        // A neighbour counts on the side where it is nearer; in a small ring all are on both.
        let mut held = [0; 2];
        for &near in &member.near {
            let rank = |side| member.side(side).iter().position(|&peer| peer == near);
            held[usize::from(rank(Side::Right) < rank(Side::Left))] += 1;
        }
        let is_short = Side::BOTH.into_iter().any(|side| {
            let wanted = topology.neighbours(place, side, DEPTH);
            wanted.iter().any(|id| !member.near.contains(id))
        });
        let is_wrong = is_short || held.iter().any(|&held| held > most);
        findings.check(is_wrong.then_some(|| {
            format!("{:?} holds {} on its left and {} on its right", member.id, held[0], held[1])
        }));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::topology::perfect_ring;
    use super::*;

    #[test]
    fn unit_ov_02_a_perfect_ring_is_consistent() {
        for n in [1, 2, 3, 5, 40] {
            let mut topology = perfect_ring(n);
            for member in &mut topology.members {
                let me = member.id;
                member.peers.retain(|&peer| peer != me);
                member.peers.dedup();
            }
            ring_is_consistent(&topology).assert_clean();
        }
    }

    #[test]
    fn unit_ov_02_a_missing_or_dead_second_neighbour_is_found() {
        let mut topology = perfect_ring(10);
        topology.members[3].peers.remove(0);
        assert!((ring_is_consistent(&topology).share_clean() - 0.95).abs() < 1e-9);

        let mut topology = perfect_ring(10);
        topology.members.remove(5);
        // Two on each side of it miss somebody, on one side each.
        assert!((ring_is_consistent(&topology).share_clean() - 14.0 / 18.0).abs() < 1e-9);
    }

    #[test]
    fn unit_nb_01_too_many_or_too_few_neighbours_are_found() {
        let mut topology = perfect_ring(30);
        near_neighbours_are_within_bounds(&topology).assert_clean();
        topology.members[0].near.remove(0);
        let everybody: Vec<NodeId> = topology.members.iter().map(|m| m.id).collect();
        let crowded = &mut topology.members[9];
        crowded.peers = everybody.into_iter().filter(|&id| id != crowded.id).collect();
        crowded.near = crowded.peers.clone();
        let findings = near_neighbours_are_within_bounds(&topology);
        assert!((findings.share_clean() - 28.0 / 30.0).abs() < 1e-9, "{findings}");
    }
}
