//! Walks the ring and checks every node against its neighbours (paper section 6.2; checklist OP-01).
//!
//! The walk goes clockwise from this node: each node is asked for its neighbours, and its nearest right one
//! is asked next, until the walk is back. Afterwards each node's first and second neighbours on both sides
//! are compared with the ring as walked. O(N) questions, each O(log N) hops. Whoever asks while a walk is under way
//! gets what that one finds: a second one would cost the ring as much again, and find the same.

use super::{Context, Effect, Overlay, Timer};
use crate::NodeId;
use crate::bounds::Fill;
use crate::wire::connect::Purpose;
use crate::wire::control::{Control, Status};
use crate::wire::routed::{Mode, Protocol, Routed};
use crate::wire::{Malformed, Reader};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

/// Nodes that one crawl visits at most.
const NODES_MAX: usize = 100_000;
/// Those who wait for one walk at most: as many as a driver has commands under way.
const WAITING_MAX: usize = 256;
/// Times that a silent node is asked, and how long each answer is waited for: a message of six hops at 5 %
/// loss is lost every fourth time.
const TRIES: u32 = 5;
const PATIENCE: Duration = Duration::from_secs(2);
/// Shortcuts that an answer lists at most: as many as a node of a network of 65,536 draws.
const FAR_MAX: usize = 8;

/// A node as the crawl met it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visited {
    /// The node.
    pub id: NodeId,
    /// Its neighbours counter-clockwise, nearest first.
    pub left: Vec<NodeId>,
    /// Its neighbours clockwise, nearest first.
    pub right: Vec<NodeId>,
    /// Its shortcuts that are not among these, at most eight.
    pub far: Vec<NodeId>,
    /// Its virtual IPv4 address, as it says.
    pub ipv4: Option<Ipv4Addr>,
    /// Number of the newest revocation notice that it knows, as it says.
    pub notices: u64,
    /// When it learned of that notice, in seconds since 1970, as it says; 0 if before its start.
    pub noticed_at: u64,
    /// Whether its first and second neighbours on both sides are the ring's.
    pub consistent: bool,
}

/// The ring as walked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The nodes in ring order, the crawling one first.
    pub nodes: Vec<Visited>,
    /// Nodes that somebody named as a neighbour and that did not answer.
    pub silent: Vec<NodeId>,
    /// Whether the walk came back to its start.
    pub complete: bool,
    /// Questions asked.
    pub questions: u64,
}

impl Report {
    /// How many nodes say that they know the notice of this number, and when the last of them learned of it, in
    /// seconds since 1970: of a newer one, if they know one.
    pub fn acknowledged(&self, notice: u64) -> (usize, u64) {
        let those = self.nodes.iter().filter(|node| node.notices >= notice);
        those.fold((0, 0), |(n, last), node| (n + 1, last.max(node.noticed_at)))
    }

    /// Nodes whose neighbours are right.
    pub fn consistent(&self) -> usize {
        self.nodes.iter().filter(|n| n.consistent).count()
    }
}

/// A crawl under way.
#[derive(Debug)]
pub struct Crawl {
    /// Who waits for it.
    ids: Vec<u64>,
    visited: Vec<Visited>,
    silent: Vec<NodeId>,
    asking: NodeId,
    token: u32,
    tries: u32,
    questions: u64,
}

impl Crawl {
    /// How far it is from the most that it may visit.
    pub(super) fn fill(&self) -> Fill {
        Fill::new("nodes that a crawl visited", self.visited.len(), NODES_MAX)
    }
}

impl Overlay {
    /// Starts a crawl, or waits for the one under way; [`Effect::Crawled`] with this `id` ends it. Returns
    /// whether there was room to wait.
    pub fn crawl(&mut self, id: u64, cx: &mut Context<'_>) -> bool {
        if let Some(Crawl { ids, .. }) = &mut self.crawl {
            let has_room = ids.len() < WAITING_MAX;
            ids.extend(has_room.then_some(id));
            return has_room;
        }
        let own = self.status(true);
        let (notices, noticed_at) = self.noticed;
        let me = Visited {
            id: self.me,
            far: self.far(&own),
            left: own.left,
            right: own.right,
            ipv4: self.ipv4,
            notices,
            noticed_at,
            consistent: false,
        };
        let crawl = Crawl {
            ids: vec![id],
            visited: vec![me],
            silent: Vec::new(),
            asking: self.me,
            token: 0,
            tries: 0,
            questions: 0,
        };
        self.crawl = Some(crawl);
        self.crawl_on(cx);
        true
    }

    /// Asks the next node, or ends the crawl.
    fn crawl_on(&mut self, cx: &mut Context<'_>) {
        let Some(crawl) = &mut self.crawl else { return };
        let here = &crawl.visited[crawl.visited.len() - 1];
        match here.right.iter().find(|id| !crawl.silent.contains(id)) {
            Some(&next) if next != self.me && crawl.visited.len() < NODES_MAX => {
                crawl.asking = next;
                crawl.tries = 0;
                self.crawl_is_due(cx);
            }
            back => {
                let complete = back.is_none_or(|&id| id == self.me);
                self.end_crawl(complete, cx);
            }
        }
    }

    /// Puts the question, again if need be; a node that stays silent is passed over.
    pub(super) fn crawl_is_due(&mut self, cx: &mut Context<'_>) {
        let Some(crawl) = &mut self.crawl else { return };
        if crawl.tries == TRIES {
            crawl.silent.push(crawl.asking);
            self.crawl_on(cx);
            return;
        }
        crawl.tries += 1;
        crawl.questions += 1;
        crawl.token = cx.rng.u32();
        let (node, token) = (crawl.asking, crawl.token.to_be_bytes());
        self.timers.set(Timer::Crawl, cx.now.instant + PATIENCE);
        self.send(Mode::Exact, Protocol::NeighboursQuery, node, &token, cx);
    }

    pub(super) fn handle_neighbours_query(&mut self, message: Routed<'_>, cx: &mut Context<'_>) {
        let mut answer = message.payload.to_vec();
        answer.truncate(4);
        answer.extend_from_slice(&self.noticed.0.to_be_bytes());
        answer.extend_from_slice(&self.noticed.1.to_be_bytes());
        answer.extend(self.ipv4.map_or([0; 4], |ip| ip.octets()));
        let near = self.status(true);
        let far = self.far(&near);
        answer.push(far.len() as u8);
        answer.extend(far.iter().flat_map(|id| *id.as_bytes()));
        answer.extend(Control::Status(near).emit());
        self.send(Mode::Exact, Protocol::NeighboursAnswer, message.source, &answer, cx);
    }

    pub(super) fn handle_neighbours_answer(&mut self, message: Routed<'_>, cx: &mut Context<'_>) {
        let Some(crawl) = &mut self.crawl else { return };
        let Ok((token, visited)) = parse(message.source, message.payload) else {
            self.counters.dropped_malformed += 1;
            return;
        };
        if token == crawl.token && message.source == crawl.asking {
            crawl.visited.push(visited);
            self.timers.cancel(Timer::Crawl);
            self.crawl_on(cx);
        }
    }

    /// The shortcuts that an answer lists besides these neighbours.
    fn far(&self, near: &Status) -> Vec<NodeId> {
        let far = self.peers().filter(|(_, peer)| peer.purposes.has(Purpose::Shortcut));
        let far = far.map(|(id, _)| id);
        far.filter(|id| !near.left.contains(id) && !near.right.contains(id)).take(FAR_MAX).collect()
    }

    fn end_crawl(&mut self, complete: bool, cx: &mut Context<'_>) {
        let Some(crawl) = self.crawl.take() else { return };
        let mut nodes = crawl.visited;
        judge(&mut nodes, complete);
        let (silent, questions) = (crawl.silent, crawl.questions);
        let report = Report { nodes, silent, complete, questions };
        let told = crawl.ids.into_iter().map(|id| Effect::Crawled(id, report.clone()));
        cx.effects.extend(told);
    }
}

/// Parses an answer: its token, and what the node says of itself.
fn parse(id: NodeId, payload: &[u8]) -> Result<(u32, Visited), Malformed> {
    let mut r = Reader::new(payload);
    let token = r.u32()?;
    let (notices, noticed_at) = (r.u64()?, r.u64()?);
    let ipv4 = Some(Ipv4Addr::from(r.array()?)).filter(|ip| !ip.is_unspecified());
    let count = usize::from(r.u8()?);
    if count > FAR_MAX {
        return Err(Malformed::Field("shortcuts"));
    }
    let far = (0..count).map(|_| Ok(NodeId::from_bytes(r.array()?)));
    let far = far.collect::<Result<_, Malformed>>()?;
    let Control::Status(Status { left, right, .. }) = Control::parse(r.rest())? else {
        return Err(Malformed::Field("status"));
    };
    let visited = Visited { id, left, right, far, ipv4, notices, noticed_at, consistent: false };
    Ok((token, visited))
}

/// Marks the nodes whose first and second neighbours are those of the ring as walked. An incomplete walk
/// says nothing of the nodes at its ends.
fn judge(nodes: &mut [Visited], complete: bool) {
    let ring: Vec<NodeId> = nodes.iter().map(|n| n.id).collect();
    let place: BTreeMap<NodeId, usize> = ring.iter().enumerate().map(|(n, &id)| (id, n)).collect();
    let n = ring.len();
    let depth = 2.min(n - 1);
    for node in nodes.iter_mut() {
        let at = place[&node.id];
        let right = (1..=depth).map(|k| ring[(at + k) % n]);
        let left = (1..=depth).map(|k| ring[(at + n - k) % n]);
        node.consistent = complete
            && node.right.iter().copied().take(depth).eq(right)
            && node.left.iter().copied().take(depth).eq(left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> NodeId {
        let mut b = [0; 20];
        b[0] = n;
        NodeId::from_bytes(b)
    }

    fn ring(n: u8) -> Vec<Visited> {
        let at = |k: u8| id(k % n);
        (0..n)
            .map(|k| Visited {
                id: id(k),
                left: vec![at(k + n - 1), at(k + n - 2)],
                right: vec![at(k + 1), at(k + 2)],
                far: Vec::new(),
                ipv4: None,
                notices: 0,
                noticed_at: 0,
                consistent: false,
            })
            .collect()
    }

    #[test]
    fn unit_rv_05_nodes_that_know_a_notice_are_counted_with_the_time_of_the_last() {
        let mut nodes = ring(4);
        for (node, (notices, at)) in nodes.iter_mut().zip([(3, 70), (2, 99), (4, 80), (0, 0)]) {
            (node.notices, node.noticed_at) = (notices, at);
        }
        let report = Report { nodes, ..Report::default() };
        assert_eq!(report.acknowledged(3), (2, 80));
        assert_eq!(report.acknowledged(5), (0, 0));
    }

    #[test]
    fn unit_op_01_an_answer_tells_address_shortcuts_and_neighbours_and_no_more_than_these() {
        let status = Status { keep: true, left: vec![id(1)], right: vec![id(3)] };
        let answer = |shortcuts: u8| {
            let mut bytes = [&[7; 4][..], &5u64.to_be_bytes(), &9u64.to_be_bytes()].concat();
            bytes.extend([10, 42, 0, 9, shortcuts]);
            bytes.extend((0..shortcuts).flat_map(|n| *id(100 + n).as_bytes()));
            bytes.extend(Control::Status(status.clone()).emit());
            bytes
        };
        let (token, node) = parse(id(2), &answer(2)).unwrap();
        assert_eq!(token.to_be_bytes(), [7; 4]);
        assert_eq!((node.notices, node.noticed_at), (5, 9));
        assert_eq!(node.ipv4, Some([10, 42, 0, 9].into()));
        assert_eq!(node.far, vec![id(100), id(101)]);
        assert_eq!((node.left, node.right), (vec![id(1)], vec![id(3)]));
        assert!(parse(id(2), &answer(FAR_MAX as u8)).is_ok());
        assert_eq!(parse(id(2), &answer(FAR_MAX as u8 + 1)), Err(Malformed::Field("shortcuts")));
        assert!((0..answer(2).len()).all(|end| parse(id(2), &answer(2)[..end]).is_err()));
    }

    #[test]
    fn unit_op_01_exactly_the_stale_node_is_reported() {
        let mut nodes = ring(6);
        judge(&mut nodes, true);
        assert!(nodes.iter().all(|n| n.consistent));
        nodes[3].left[1] = id(5);
        judge(&mut nodes, true);
        let wrong: Vec<_> = nodes.iter().filter(|n| !n.consistent).map(|n| n.id).collect();
        assert_eq!(wrong, vec![id(3)]);
    }
}
