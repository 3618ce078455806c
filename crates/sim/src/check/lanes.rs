//! Whether the lane of a node sends and receives by the sessions that the node has, and by no others.
//!
//! Holds at any time: the lane obeys each change before the next input.

use std::collections::BTreeMap;
use std::net::IpAddr;

use proto::NodeId;
use proto::lane::{Lane, Slot};
use proto::link::session::Session;
use proto::node::Node;
use proto::path::Path;

use super::Findings;
use crate::world::World;

/// Each session and each route of a lane is one of its node, with the right peer, and the other way round.
pub fn lanes_agree_with_sessions(world: &World) -> Findings {
    let mut findings =
        Findings::new("the lane has the sessions and routes of its node", world.into());
    for (host, node) in world.live() {
        if let Some(lane) = world.lane(host) {
            compare(node, lane, &mut findings);
        }
    }
    findings
}

fn compare(node: &Node, lane: &Lane, findings: &mut Findings) {
    let id = node.id();
    let held: BTreeMap<Slot, (NodeId, Path)> =
        lane.sessions().map(|(slot, peer, path)| (slot, (peer, path))).collect();
    for (slot, &(peer, path)) in &held {
        let session = node.links().session_at(*slot).map(|s| (s.peer.id, s.path));
        findings.check((session != Some((peer, path))).then_some(|| {
            format!("{id:?}: {slot:?} of the lane is {peer:?} by {path:?}, of the node {session:?}")
        }));
    }
    let of_network = |s: &Session| Some(s.instance) == node.vpn_over();
    for (slot, session) in node.links().sessions().filter(|(_, s)| of_network(s)) {
        let peer = session.peer.id;
        let is_held = held.get(&slot).is_some_and(|&(held, _)| held == peer);
        findings.check((!is_held).then_some(|| {
            format!("{id:?}: the session with {peer:?} in {slot:?} is not in the lane")
        }));
    }
    compare_routes(node, lane, &held, findings);
}

fn compare_routes(
    node: &Node,
    lane: &Lane,
    held: &BTreeMap<Slot, (NodeId, Path)>,
    findings: &mut Findings,
) {
    let Some(vpn) = node.vpn() else { return };
    let id = node.id();
    let routes: BTreeMap<IpAddr, Slot> = lane.routes().collect();
    for (ip, slot) in &routes {
        let (peer, holder) = (held.get(slot).map(|&(peer, _)| peer), vpn.holder(*ip));
        let of_id = peer.map(|peer| IpAddr::V6(vpn.local().ipv6_of(peer)));
        let is_wrong = peer.is_none() || peer != holder || ip.is_ipv6() && of_id != Some(*ip);
        findings.check(is_wrong.then_some(|| {
            format!(
                "{id:?}: packets to {ip} go by {slot:?} to {peer:?}, the address is {holder:?}'s"
            )
        }));
    }
    for (ip, holder) in vpn.holders() {
        let is_holders = |s: &Session| s.peer.id == holder && Some(s.instance) == node.vpn_over();
        let current = node.links().sessions().find(|(_, s)| is_holders(s));
        let slot = current.map(|(slot, _)| slot);
        let is_wrong = slot.is_none() || routes.get(&ip).copied() != slot;
        findings.check(is_wrong.then_some(|| {
            format!("{id:?}: {ip} was granted to {holder:?} and the lane has no route by {slot:?}")
        }));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proto::lane::Delta;

    use super::*;
    use crate::latency::DelayMatrix;
    use crate::population::Population;
    use crate::world::{HostId, WorldConfig};

    fn members() -> (World, HostId, Vec<(IpAddr, Slot)>) {
        let mut world = World::new(WorldConfig::new(1, DelayMatrix::king_like(5, 1)));
        let hosts = Population::new(5).with_network("lab", None).settle(&mut world);
        world.run_for(Duration::from_secs(20));
        let routes = world.lane(hosts[2]).expect("it has a lane").routes().collect();
        (world, hosts[2], routes)
    }

    #[test]
    fn unit_sm_a_lane_that_follows_its_node_is_right() {
        let (world, _, routes) = members();
        let findings = lanes_agree_with_sessions(&world);
        findings.assert_clean();
        assert!(routes.len() >= 4 && findings.checked() >= 5 * 4 * 4, "{findings}");
    }

    #[test]
    fn unit_sm_a_route_or_session_too_few_or_too_many_or_wrong_is_found() {
        type Wrong = fn(&[(IpAddr, Slot)]) -> Delta;
        let wrong: [(&str, Wrong); 4] = [
            ("has no route", |routes| Delta::Unroute { destination: routes[0].0 }),
            ("packets to", |routes| Delta::Route { destination: routes[0].0, slot: routes[1].1 }),
            ("go by", |routes| Delta::Route {
                destination: [10, 9, 9, 9].into(),
                slot: routes[0].1,
            }),
            ("is not in the lane", |routes| Delta::RemoveSession { slot: routes[0].1 }),
        ];
        for (said, delta) in wrong {
            let (mut world, host, routes) = members();
            world.meddle(host, |lane| lane.apply(delta(&routes)));
            let text = lanes_agree_with_sessions(&world).to_string();
            let id = world.id(host).expect("it runs");
            assert!(text.contains(said) && text.contains(&format!("{id:?}")), "{text}");
        }
    }
}
