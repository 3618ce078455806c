//! Whether the hash table keeps every value where it belongs: at the node nearest to each of its eight points.
//!
//! Holds once the ring has been at rest for as long as replicas take to compare after a change, and no value
//! is being written.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use proto::NodeId;
use proto::dht::Kept;
use proto::overlay::Instance;
use proto::ring;
use proto::wire::record::{Key, REPLICAS};

use super::{Findings, Moment};
use crate::world::World;

/// What the hash table of one node has.
struct Holder {
    id: NodeId,
    kept: Vec<Kept>,
    published: Vec<Key>,
}

/// Every live value is at all distinct owners of its points, in its newest version. Copies elsewhere do not
/// count; a value that its writer keeps alive is live even if nobody has it.
pub fn replicas_are_placed(world: &World, instance: Instance) -> Findings {
    let now = world.now().unix;
    let holder = |node: &proto::Node| {
        let (id, dht) = (node.overlay(instance).me(), node.dht(instance));
        Holder { id, kept: dht.kept(now).collect(), published: dht.published().collect() }
    };
    judge(world.into(), world.live().map(|(_, node)| holder(node)).collect())
}

fn judge(moment: Moment, mut holders: Vec<Holder>) -> Findings {
    holders.sort_by_key(|holder| holder.id);
    let ids: Vec<NodeId> = holders.iter().map(|holder| holder.id).collect();
    let mut findings = Findings::new("every value is at each owner of its points", moment);
    for ((key, writer), copies) in rightful_copies(&holders, &ids) {
        let newest = copies.values().copied().max().flatten();
        for (&at, &seq) in &copies {
            let id = ids[at];
            findings.check((seq.is_none() || seq != newest).then_some(|| {
                let state = if seq.is_none() { "lacks" } else { "has an old version of" };
                format!("{id:?} {state} what {writer:?} wrote under {key:?}")
            }));
        }
    }
    findings
}

/// Of every live value the places that are to have it, each with the version that it has.
fn rightful_copies(
    holders: &[Holder],
    ids: &[NodeId],
) -> BTreeMap<(Key, NodeId), BTreeMap<usize, Option<u64>>> {
    let owners = |key: Key| -> BTreeSet<usize> {
        (0..REPLICAS).map(|point| nearest(ids, key.point(point))).collect()
    };
    let mut live: BTreeMap<(Key, NodeId), BTreeMap<usize, Option<u64>>> = BTreeMap::new();
    let nowhere = |key| owners(key).into_iter().map(|at| (at, None)).collect();
    for holder in holders {
        for &key in &holder.published {
            live.entry((key, holder.id)).or_insert_with(|| nowhere(key));
        }
    }
    for (at, holder) in holders.iter().enumerate() {
        for kept in holder.kept.iter().filter(|kept| owners(kept.key).contains(&at)) {
            let copies = live.entry((kept.key, kept.owner)).or_insert_with(|| nowhere(kept.key));
            copies.insert(at, Some(kept.seq));
        }
    }
    live
}

/// The place of the node that is nearest to a point.
fn nearest(ids: &[NodeId], point: NodeId) -> usize {
    let above = ids.partition_point(|&id| id < point) % ids.len();
    let below = (above + ids.len() - 1) % ids.len();
    match ring::nearer(point, ids[below], ids[above]) {
        Ordering::Less => below,
        _ => above,
    }
}

#[cfg(test)]
mod tests {
    use proto::time::Instant;
    use proto::wire::record::Kind;

    use super::*;

    fn id(n: u8) -> NodeId {
        let mut bytes = [7; 20];
        bytes[0] = n;
        NodeId::from_bytes(bytes)
    }

    fn moment() -> Moment {
        Moment { seed: 3, at: Instant::ZERO }
    }

    /// Sixteen nodes, each of which has what it should of three values.
    fn ring() -> Vec<Holder> {
        let ids: Vec<NodeId> = (0..16).map(|n| id(n * 16)).collect();
        let keys = [1u8, 2, 3].map(|n| Key::derive(Kind::Slot, "test", &[n]));
        let mut holders: Vec<Holder> =
            ids.iter().map(|&id| Holder { id, kept: Vec::new(), published: Vec::new() }).collect();
        for key in keys {
            for at in (0..REPLICAS).map(|point| nearest(&ids, key.point(point))) {
                holders[at].kept.push(Kept { key, owner: id(16), seq: 5 });
            }
        }
        holders[1].published = keys.to_vec();
        holders
    }

    fn first_with_a_copy(holders: &mut [Holder]) -> &mut Holder {
        holders.iter_mut().find(|holder| !holder.kept.is_empty()).expect("somebody has it")
    }

    #[test]
    fn unit_dh_05_values_in_their_places_are_right_and_copies_elsewhere_do_no_harm() {
        let mut holders = ring();
        let copy = first_with_a_copy(&mut holders).kept[0];
        let stranger = holders.iter_mut().find(|holder| !holder.kept.contains(&copy));
        stranger.expect("not all have it").kept.push(Kept { seq: 4, ..copy });
        let findings = judge(moment(), holders);
        findings.assert_clean();
        assert_eq!(findings.checked(), 3 * 8);
    }

    #[test]
    fn unit_dh_05_a_missing_an_old_and_a_lost_value_are_found() {
        let mut holders = ring();
        first_with_a_copy(&mut holders).kept.remove(0);
        let text = judge(moment(), holders).to_string();
        assert!(text.contains("1 of 24") && text.contains("lacks"), "{text}");

        let mut holders = ring();
        first_with_a_copy(&mut holders).kept[0].seq = 4;
        let text = judge(moment(), holders).to_string();
        assert!(text.contains("1 of 24") && text.contains("an old version"), "{text}");

        // Only a stale holder has what its writer keeps alive.
        let mut holders = ring();
        let lost = first_with_a_copy(&mut holders).kept[0];
        holders.iter_mut().for_each(|holder| holder.kept.retain(|kept| kept.key != lost.key));
        let ids: Vec<NodeId> = holders.iter().map(|holder| holder.id).collect();
        let is_foreign =
            |at: &usize| (0..REPLICAS).all(|p| nearest(&ids, lost.key.point(p)) != *at);
        let stale = (0..16).find(is_foreign).expect("eight nodes have no point of it");
        holders[stale].kept.push(lost);
        let text = judge(moment(), holders).to_string();
        assert!(text.contains("8 of 24"), "{text}");
    }
}
