//! Whether every bounded table and queue of the core holds no more than it may. Holds at any time.

use proto::NodeId;
use proto::bounds::Fill;
use proto::lane::Lane;

use super::{Findings, Moment};
use crate::world::World;

/// No bounded place of any node or lane is overfull; [`proto::bounds`] says which places there are.
pub fn queues_are_within_bounds(world: &World) -> Findings {
    let fills = world.live().flat_map(|(host, node)| {
        let lane = world.lane(host).into_iter().flat_map(Lane::fills);
        node.fills().chain(lane).map(|fill| (node.id(), fill))
    });
    judge(world.into(), fills)
}

fn judge(moment: Moment, fills: impl Iterator<Item = (NodeId, Fill)>) -> Findings {
    let mut findings = Findings::new("queues and tables are within their bounds", moment);
    for (id, Fill { place, used, most }) in fills {
        findings.check(
            (used > most).then_some(|| format!("{id:?}: {place}: {used}, at most {most} allowed")),
        );
    }
    findings
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::latency::DelayMatrix;
    use crate::population::Population;
    use crate::world::WorldConfig;

    #[test]
    fn unit_sm_an_overfull_queue_is_found_and_named() {
        let mut world = World::new(WorldConfig::new(2, DelayMatrix::king_like(4, 1)));
        Population::new(4).with_network("lab", None).settle(&mut world);
        world.run_for(Duration::from_secs(10));
        queues_are_within_bounds(&world).assert_clean();

        let (_, node) = world.live().nth(2).expect("four live");
        let links = node.fills().find(|fill| fill.place == "links").expect("it is listed");
        assert!(links.used > 0, "{links:?}");
        let planted = Fill { used: links.most + 1, ..links };
        let fills = node.fills().chain([planted]).map(|fill| (node.id(), fill));
        let text = judge((&world).into(), fills).to_string();
        let id = node.id();
        assert!(text.contains("(seed 2, 10.000 s)"), "{text}");
        assert!(text.contains(&format!("{id:?}: links: 257, at most 256")), "{text}");
    }
}
