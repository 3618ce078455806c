//! Where a routed message goes next: pure functions of the linked peers (paper section 3).
//!
//! Greedy routing comes strictly nearer to the destination with every hop, by the order of
//! [`ring::nearer`]; directional routing comes strictly nearer on its side; so neither loops. Exact and
//! annealing messages may take one step away from the goal, never back where they came from, which finds
//! the way round links that are missing; before and after it they are greedy.

use crate::NodeId;
use crate::ring::{self, Arc, Side};
use crate::wire::routed::{Mode, Routed};
use std::cmp::Ordering;

/// What to do with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It ends here.
    Deliver,
    /// It goes to this linked peer.
    Forward(NodeId),
    /// It goes to this linked peer though that is further away, which it may do once.
    Cross(NodeId),
    /// It ends here, and a copy that crossed goes to this linked peer on the other side.
    DeliverAndCross(NodeId),
    /// Nobody nearer is known and it must not end here.
    Drop,
}

/// Decides at `me` with these linked peers; `from` is the peer that handed the message on, if any did.
pub fn decide(
    me: NodeId,
    peers: &[NodeId],
    from: Option<NodeId>,
    message: &Routed<'_>,
) -> Decision {
    let linked = |id: NodeId| peers.binary_search(&id).is_ok();
    match message.via.filter(|&via| via != me) {
        Some(via) if linked(via) => return Decision::Forward(via),
        Some(via) => {
            return nearest(via, peers.iter().copied())
                .filter(|&p| ring::nearer(via, p, me) == Ordering::Less)
                .map_or(Decision::Drop, Decision::Forward);
        }
        None => {}
    }
    let destination = message.destination;
    // A node that asks for its own position must reach its flanks, not an old session to itself.
    let to_itself = message.source == destination;
    if linked(destination) && !to_itself {
        return Decision::Forward(destination);
    }
    let candidates = || peers.iter().copied().filter(move |&p| !(to_itself && p == destination));
    let better = nearest(destination, candidates())
        .filter(|&p| ring::nearer(destination, p, me) == Ordering::Less);
    match message.mode {
        Mode::Exact if destination == me => Decision::Deliver,
        Mode::Exact => match better.filter(|&p| Some(p) != from) {
            Some(p) => Decision::Forward(p),
            None if message.crossed => Decision::Drop,
            None => nearest(destination, candidates().filter(|&p| Some(p) != from))
                .map_or(Decision::Drop, Decision::Cross),
        },
        Mode::Greedy => better.map_or(Decision::Deliver, Decision::Forward),
        Mode::Annealing => {
            let other_side = side_of(destination, me).opposite();
            match better.filter(|&p| Some(p) != from) {
                Some(p) => Decision::Forward(p),
                None if message.crossed => Decision::Deliver,
                None => candidates()
                    .filter(|&p| Some(p) != from && side_of(destination, p) == other_side)
                    .min_by(|&a, &b| ring::nearer(destination, a, b))
                    .map_or(Decision::Deliver, Decision::DeliverAndCross),
            }
        }
        Mode::Directional(side) => {
            let away = |p: NodeId| ring::arc(destination, p, side);
            candidates()
                .filter(|&p| p != destination)
                .min_by_key(|&p| away(p))
                .filter(|&p| me == destination || away(p) < away(me))
                .map_or_else(|| deliver_unless(me == destination), Decision::Forward)
        }
    }
}

/// The linked peer nearest to `point`.
pub fn nearest(point: NodeId, peers: impl Iterator<Item = NodeId>) -> Option<NodeId> {
    peers.min_by(|&a, &b| ring::nearer(point, a, b))
}

/// On which side of `point` the node lies, by the shorter way round.
fn side_of(point: NodeId, node: NodeId) -> Side {
    let right: Arc = ring::arc(point, node, Side::Right);
    if right <= ring::arc(point, node, Side::Left) { Side::Right } else { Side::Left }
}

fn deliver_unless(origin: bool) -> Decision {
    if origin { Decision::Drop } else { Decision::Deliver }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::routed::Protocol;

    fn id(n: u8) -> NodeId {
        let mut b = [0; 20];
        b[0] = n;
        NodeId::from_bytes(b)
    }

    fn message(mode: Mode, source: u8, destination: u8) -> Routed<'static> {
        Routed {
            mode,
            crossed: false,
            hops: 0,
            hop_limit: 9,
            protocol: Protocol::Ping,
            source: id(source),
            destination: id(destination),
            via: None,
            payload: b"",
        }
    }

    #[test]
    fn unit_nb_02_exact_is_never_delivered_to_another_node() {
        let peers = [id(10), id(30)];
        let absent = message(Mode::Exact, 1, 21);
        assert_eq!(decide(id(20), &peers, Some(id(10)), &absent), Decision::Cross(id(30)));
        let crossed = Routed { crossed: true, ..absent };
        assert_eq!(decide(id(30), &[id(20), id(40)], Some(id(20)), &crossed), Decision::Drop);
        assert_eq!(decide(id(20), &peers, None, &message(Mode::Exact, 1, 20)), Decision::Deliver);
    }

    #[test]
    fn unit_nb_02_greedy_is_delivered_at_the_nearest() {
        let peers = [id(10), id(30)];
        assert_eq!(decide(id(20), &peers, None, &message(Mode::Greedy, 1, 21)), Decision::Deliver);
        let far = message(Mode::Greedy, 1, 29);
        assert_eq!(decide(id(20), &peers, None, &far), Decision::Forward(id(30)));
    }

    #[test]
    fn annealing_reaches_both_flanks() {
        let join = message(Mode::Annealing, 25, 25);
        let left = decide(id(24), &[id(10), id(30)], Some(id(10)), &join);
        assert_eq!(left, Decision::DeliverAndCross(id(30)));
        let crossed = Routed { crossed: true, ..join };
        let right = decide(id(30), &[id(24), id(40)], Some(id(24)), &crossed);
        assert_eq!(right, Decision::Deliver);
    }

    #[test]
    fn directional_finds_the_next_node_of_its_side() {
        let right = message(Mode::Directional(Side::Right), 25, 25);
        assert_eq!(decide(id(25), &[id(10), id(90)], None, &right), Decision::Forward(id(90)));
        assert_eq!(decide(id(90), &[id(25), id(40)], None, &right), Decision::Forward(id(40)));
        assert_eq!(decide(id(40), &[id(25), id(90)], None, &right), Decision::Deliver);
    }

    #[test]
    fn a_via_is_passed_first_and_hands_the_message_to_its_own_link() {
        let answer = Routed { via: Some(id(60)), ..message(Mode::Exact, 10, 25) };
        assert_eq!(decide(id(20), &[id(24), id(50)], None, &answer), Decision::Forward(id(50)));
        assert_eq!(decide(id(60), &[id(25), id(26)], None, &answer), Decision::Forward(id(25)));
    }

    #[test]
    fn a_request_for_the_own_position_is_not_sent_to_an_old_session_of_the_same_id() {
        let join = message(Mode::Annealing, 25, 25);
        let decision = decide(id(24), &[id(25), id(30)], None, &join);
        assert_eq!(decision, Decision::DeliverAndCross(id(30)));
    }
}
