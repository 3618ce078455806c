//! Whether a message from anywhere reaches everywhere: walks the core's own routing decision over the links
//! of all nodes, without sending anything.

use proto::overlay::route::{Decision, decide};
use proto::wire::routed::{HOP_LIMIT_MAX, Mode, Protocol, Routed};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Findings, Topology};

/// Up to this many ordered pairs all are walked: those of the 1,740 nodes of the paper, in seconds.
const PAIRS_ALL: usize = 1_740 * 1_740;
/// Pairs walked in larger networks: one unroutable pair in 60,000 is found with 95 % likelihood.
const PAIRS_SAMPLED: usize = 180_000;

/// What walking found.
#[derive(Clone, Debug)]
pub struct Routes {
    /// The pairs that are not routable.
    pub findings: Findings,
    /// Hops of those that are.
    pub hops: Vec<f64>,
}

/// Exact messages between live nodes arrive: all ordered pairs, or many at random in a large network.
pub fn every_live_pair_is_routable(topology: &Topology) -> Findings {
    routes(topology).findings
}

/// The same, with the hops that each walk took.
pub fn routes(topology: &Topology) -> Routes {
    let n = topology.len();
    let graph = Graph::of(topology);
    let mut routes = Routes {
        findings: Findings::new("every live pair is routable", topology.moment),
        hops: Vec::new(),
    };
    if n * n <= PAIRS_ALL {
        for source in 0..n {
            for destination in (0..n).filter(|&destination| destination != source) {
                graph.walk(source, destination, &mut routes);
            }
        }
    } else {
        let mut rng = ChaCha8Rng::seed_from_u64(topology.moment.seed);
        for _ in 0..PAIRS_SAMPLED {
            let source = rng.random_range(0..n);
            let destination = (source + rng.random_range(1..n)) % n;
            graph.walk(source, destination, &mut routes);
        }
    }
    routes
}

/// The links as places in the topology, `None` where the peer is dead.
struct Graph<'a> {
    topology: &'a Topology,
    links: Vec<Vec<Option<usize>>>,
}

impl<'a> Graph<'a> {
    fn of(topology: &'a Topology) -> Self {
        let places = |peers: &[_]| peers.iter().map(|&peer| topology.place_of(peer)).collect();
        let links = topology.members.iter().map(|member| places(&member.peers)).collect();
        Self { topology, links }
    }

    fn walk(&self, source: usize, destination: usize, routes: &mut Routes) {
        let members = &self.topology.members;
        let message = Routed {
            mode: Mode::Exact,
            crossed: false,
            hops: 0,
            hop_limit: HOP_LIMIT_MAX,
            protocol: Protocol::Ping,
            source: members[source].id,
            destination: members[destination].id,
            via: None,
            payload: &[],
        };
        let (mut here, mut from, mut hops) = (source, None, 0);
        let trouble = loop {
            let peers = &members[here].peers;
            match decide(members[here].id, peers, from, &message) {
                Decision::Deliver => break (here != destination).then_some("delivered"),
                Decision::Forward(peer) => {
                    let link = peers.binary_search(&peer).ok().and_then(|at| self.links[here][at]);
                    let Some(next) = link else { break Some("handed to a dead peer") };
                    if hops == u32::from(HOP_LIMIT_MAX) {
                        break Some("at the hop limit");
                    }
                    (from, here, hops) = (Some(members[here].id), next, hops + 1);
                }
                Decision::DeliverAndCross(_) | Decision::Cross(_) | Decision::Drop => {
                    break Some("dropped");
                }
            }
        };
        if trouble.is_none() {
            routes.hops.push(f64::from(hops));
        }
        routes.findings.check(trouble.map(|trouble| {
            let id = |place: usize| members[place].id;
            let (source, destination, here) = (id(source), id(destination), id(here));
            move || {
                format!("{source:?} to {destination:?}: {trouble} at {here:?} after {hops} hops")
            }
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::super::topology::perfect_ring;
    use super::*;

    #[test]
    fn unit_ov_02_a_ring_of_two_per_side_is_crossed_in_steps_of_two() {
        let Routes { findings, hops } = routes(&perfect_ring(21));
        findings.assert_clean();
        assert_eq!(findings.checked(), 21 * 20);
        assert_eq!(hops.iter().copied().fold(0.0, f64::max), 5.0);
    }

    #[test]
    fn unit_ov_02_dead_ends_are_found() {
        let mut topology = perfect_ring(21);
        topology.members.remove(7);
        let findings = every_live_pair_is_routable(&topology);
        assert!(!findings.is_clean());
        assert!(findings.to_string().contains("handed to a dead peer"), "{findings}");
    }
}
