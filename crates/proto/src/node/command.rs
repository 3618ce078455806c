//! Commands of the driver, and the questions that wait for an answer from afar.

use super::Node;
use super::api::{Answer, Output, Ticket};
use crate::NodeId;
use crate::overlay::Instance;
use crate::time::{Instant, Now};
use crate::wire::routed::{Mode, Protocol};
use std::collections::BTreeMap;
use std::time::Duration;

/// Pings under way at most; more are answered with a failure.
const PINGS_MAX: usize = 256;
/// How long a ping is waited for: the longest round trips of an overlay of 1,000 nodes are below this.
const PING_PATIENCE: Duration = Duration::from_secs(5);

/// Overlay pings that wait for their pong.
#[derive(Debug, Default)]
pub struct Pings(BTreeMap<[u8; 8], Ping>);

#[derive(Debug)]
struct Ping {
    ticket: Ticket,
    node: NodeId,
    sent_at: Instant,
}

impl Pings {
    /// When the first of them is given up.
    pub fn deadline(&self) -> Option<Instant> {
        self.0.values().map(|ping| ping.sent_at + PING_PATIENCE).min()
    }
}

impl Node {
    /// Pings a node through the overlay, or over its link if there is one.
    pub fn ping(&mut self, ticket: Ticket, node: NodeId, now: Now) {
        if self.pings.0.len() >= PINGS_MAX {
            self.answer(ticket, Answer::Failed("too many pings under way: try again".into()));
            return;
        }
        let token = self.rng.bytes();
        self.pings.0.insert(token, Ping { ticket, node, sent_at: now.instant });
        self.with_overlay(Instance(0), now, |overlay, cx| {
            overlay.send(Mode::Exact, Protocol::Ping, node, &token, cx);
        });
        self.settle(now);
    }

    /// Asks for a session with this node because traffic will flow to it.
    pub fn connect(&mut self, node: NodeId, now: Now) {
        self.with_overlay(Instance(0), now, |overlay, cx| overlay.connect(node, cx));
        self.settle(now);
    }

    /// Walks the ring and checks every node against its neighbours.
    pub fn crawl(&mut self, ticket: Ticket, now: Now) {
        self.with_overlay(Instance(0), now, |overlay, cx| overlay.crawl(ticket.0, cx));
        self.settle(now);
    }

    /// Leaves all overlays; the driver sends what is still to be sent and drops the node.
    pub fn leave(&mut self, now: Now) {
        for n in 0..self.overlays.len() {
            self.with_overlay(Instance(n as u8), now, |overlay, cx| overlay.leave(cx));
        }
        self.settle(now);
    }

    pub(super) fn handle_pong(&mut self, source: NodeId, hops: u8, payload: &[u8], now: Now) {
        let Ok(token) = <[u8; 8]>::try_from(payload) else { return };
        if self.pings.0.get(&token).is_none_or(|ping| ping.node != source) {
            return;
        }
        if let Some(ping) = self.pings.0.remove(&token) {
            let rtt = now.instant - ping.sent_at;
            let link = self.links.session(Instance(0), source);
            let path = link.map_or("overlay", |(_, session)| session.path.class());
            self.answer(ping.ticket, Answer::Pong { rtt, hops, path });
        }
    }

    pub(super) fn run_pings(&mut self, now: Now) {
        let late = |ping: &Ping| ping.sent_at + PING_PATIENCE <= now.instant;
        let lost: Vec<[u8; 8]> =
            self.pings.0.iter().filter(|(_, ping)| late(ping)).map(|(&token, _)| token).collect();
        for token in lost {
            if let Some(ping) = self.pings.0.remove(&token) {
                let node = ping.node;
                let text = format!("no answer from {node}: is it running and in this group?");
                self.answer(ping.ticket, Answer::Failed(text));
            }
        }
    }

    pub(super) fn answer(&mut self, ticket: Ticket, answer: Answer) {
        self.outputs.push_back(Output::Answer(ticket, answer));
    }
}
