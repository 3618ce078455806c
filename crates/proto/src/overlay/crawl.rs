//! Walks the ring and checks every node against its neighbours (paper section 6.2; checklist OP-01).
//!
//! The walk goes clockwise from this node: each node is asked for its neighbours, and its nearest right one
//! is asked next, until the walk is back. Afterwards each node's first and second neighbours on both sides
//! are compared with the ring as walked. O(N) questions, each O(log N) hops. Whoever asks while a walk is under way
//! gets what that one finds: a second one would cost the ring as much again, and find the same.
//!
//! A node on the way can name any other as the next, and answer for it. So a walk goes forward only, and meets no more
//! nodes on its way than there can be.

use super::{Context, Effect, Overlay, Timer};
use crate::NodeId;
use crate::bounds::Fill;
use crate::ring;
use crate::wire::connect::Purpose;
use crate::wire::control::Status;
use crate::wire::crawl::{Answer, FAR_MAX, Query};
use crate::wire::routed::{Mode, Protocol, Routed};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

/// Nodes that one crawl visits at most.
const NODES_MAX: usize = 100_000;
/// Nodes that a part of the ring may have for each that the estimated size of the network puts there, which may be a
/// few times too low; and some more, as the first ones may be near each other by chance.
const NODES_PER_EXPECTED: f64 = 16.0;
const NODES_SPARE: f64 = 64.0;
/// Those who wait for one walk at most: as many as a driver has commands under way.
const WAITING_MAX: usize = 256;
/// Times that a silent node is asked, and how long each answer is waited for: a message of six hops at 5 %
/// loss is lost every fourth time.
const TRIES: u32 = 5;
const PATIENCE: Duration = Duration::from_secs(2);

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

impl Visited {
    fn new(id: NodeId, answer: Answer) -> Visited {
        let Answer { notices, noticed_at, ipv4, far, near, .. } = answer;
        let Status { left, right, .. } = near;
        Visited { id, left, right, far, ipv4, notices, noticed_at, consistent: false }
    }
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
        let me = Visited::new(self.me, self.answer(0));
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
        let (here, visited) = (&crawl.visited[crawl.visited.len() - 1], crawl.visited.len());
        let expected = self.size * ring::clockwise(self.me, here.id).share();
        let has_room = (visited as f64) < NODES_SPARE + NODES_PER_EXPECTED * expected;
        let may_go_on = has_room && visited < NODES_MAX;
        match here.right.iter().find(|id| !crawl.silent.contains(id)) {
            Some(&next) if may_go_on && ring::between(here.id, next, self.me) => {
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
        let (node, query) = (crawl.asking, Query { token: crawl.token });
        self.timers.set(Timer::Crawl, cx.now.instant + PATIENCE);
        self.send(Mode::Exact, Protocol::NeighboursQuery, node, &query.emit(), cx);
    }

    pub(super) fn handle_neighbours_query(&mut self, message: Routed<'_>, cx: &mut Context<'_>) {
        let Ok(query) = Query::parse(message.payload) else {
            self.counters.dropped_malformed += 1;
            return;
        };
        let answer = self.answer(query.token).emit();
        self.send(Mode::Exact, Protocol::NeighboursAnswer, message.source, &answer, cx);
    }

    pub(super) fn handle_neighbours_answer(&mut self, message: Routed<'_>, cx: &mut Context<'_>) {
        let Some(crawl) = &mut self.crawl else { return };
        let Ok(answer) = Answer::parse(message.payload) else {
            self.counters.dropped_malformed += 1;
            return;
        };
        if answer.token == crawl.token && message.source == crawl.asking {
            crawl.visited.push(Visited::new(message.source, answer));
            self.timers.cancel(Timer::Crawl);
            self.crawl_on(cx);
        }
    }

    /// What this node says of itself.
    fn answer(&self, token: u32) -> Answer {
        let (notices, noticed_at) = self.noticed;
        let near = self.status(true);
        Answer { token, notices, noticed_at, ipv4: self.ipv4, far: self.far(&near), near }
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
