//! Commands of the driver, and the questions that wait for an answer from afar.

use super::Node;
use super::api::{Answer, Output, Ticket};
use crate::NodeId;
use crate::bounds::Fill;
use crate::overlay::Instance;
use crate::ring;
use crate::time::{Instant, Now};
use crate::vpn::address::is_at;
use crate::vpn::{self, Op, Whose};
use crate::wire::routed::{Mode, Protocol};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

/// Questions under way at most; more are answered with a failure.
const QUESTIONS_MAX: usize = 1_024;
/// How long a ping is waited for: the longest round trips of an overlay of 1,000 nodes are below this.
const PING_PATIENCE: Duration = Duration::from_secs(5);
/// How long the nearest node has to answer before it is asked again, and how often it is asked. Packets
/// wait for it for 2 s.
const NEAREST_PATIENCE: Duration = Duration::from_millis(700);
const NEAREST_TRIES: u32 = 3;
/// After so many tries another node than the one sought is believed to be the nearest: at the longest delays
/// the answer of the one sought comes after that of its neighbour, and after the first try has ended.
const NEAREST_TRIES_ABSENT: u32 = 2;

/// Questions to nodes afar that wait for their answer, by the token that the answer repeats.
#[derive(Debug, Default)]
pub struct Questions(BTreeMap<[u8; 8], Question>);

#[derive(Debug)]
struct Question {
    asked_at: Instant,
    /// The overlay that it is asked in, and where alone an answer counts.
    within: Instance,
    subject: Subject,
}

#[derive(Debug)]
enum Subject {
    Ping { ticket: Ticket, node: NodeId },
    Nearest { op: Op, point: NodeId, tries: u32, best: Option<NodeId> },
}

impl Question {
    fn due_at(&self) -> Instant {
        self.asked_at
            + match self.subject {
                Subject::Ping { .. } => PING_PATIENCE,
                Subject::Nearest { .. } => NEAREST_PATIENCE,
            }
    }
}

impl Questions {
    /// How full the table is.
    pub fn fill(&self) -> Fill {
        Fill::new("questions to nodes afar", self.0.len(), QUESTIONS_MAX)
    }

    /// When the first of them is to be repeated or given up.
    pub fn deadline(&self) -> Option<Instant> {
        self.0.values().map(Question::due_at).min()
    }
}

impl Node {
    /// Pings a node through the overlay, or over its link if there is one.
    pub fn ping(&mut self, ticket: Ticket, within: Instance, node: NodeId, now: Now) {
        self.ask(within, Subject::Ping { ticket, node }, now);
        self.settle(now);
    }

    /// Pings the owner of an address of the virtual network, which is looked up if it is not known.
    pub fn ping_address(&mut self, ticket: Ticket, ip: IpAddr, now: Now) {
        match &mut self.vpn {
            Some(network) => network.vpn.seek(ticket.0, ip, now.instant),
            None => {
                self.answer(ticket, Answer::Failed("no virtual network: give a node id".into()))
            }
        }
        self.settle(now);
    }

    /// Goes on with a ping, now that it is known whose the address is.
    pub(super) fn ping_owner(&mut self, over: Instance, ticket: Ticket, whose: Whose, now: Now) {
        let why = match whose {
            Whose::Node(node) => return self.ask(over, Subject::Ping { ticket, node }, now),
            Whose::Nobody => "no node has this address",
            Whose::Unknown => "the overlay did not say whose address this is: try again",
        };
        self.answer(ticket, Answer::Failed(why.into()));
    }

    /// Asks for a session with this node because traffic will flow to it.
    pub fn connect(&mut self, within: Instance, node: NodeId, now: Now) {
        self.with_overlay(within, now, |overlay, cx| overlay.connect(node, cx));
        self.settle(now);
    }

    /// Walks the ring and checks every node against its neighbours. A walk under way answers this one as well.
    pub fn crawl(&mut self, ticket: Ticket, within: Instance, now: Now) {
        let mut has_room = false;
        self.with_overlay(within, now, |overlay, cx| has_room = overlay.crawl(ticket.0, cx));
        if !has_room {
            let why = "too many wait for the walk that is under way: try again";
            self.answer(ticket, Answer::Failed(why.to_owned()));
        }
        self.settle(now);
    }

    /// Leaves all overlays; the driver sends what is still to be sent and drops the node.
    pub fn leave(&mut self, now: Now) {
        for instance in self.instances() {
            self.with_overlay(instance, now, |overlay, cx| overlay.leave(cx));
        }
        self.settle(now);
    }

    /// Asks which node is nearest to a point, for the virtual network.
    pub(super) fn ask_nearest(&mut self, over: Instance, op: Op, point: NodeId, now: Now) {
        self.ask(over, Subject::Nearest { op, point, tries: 1, best: None }, now);
    }

    fn ask(&mut self, within: Instance, subject: Subject, now: Now) {
        if self.questions.0.len() >= QUESTIONS_MAX {
            return self.give_up(subject, "too many questions under way: try again", now);
        }
        let token = self.rng.bytes();
        self.put_question(token, within, subject, now);
    }

    /// Asks, again with the same token: an answer to an earlier try counts as well.
    fn put_question(&mut self, token: [u8; 8], within: Instance, subject: Subject, now: Now) {
        let (mode, protocol, to) = match subject {
            Subject::Ping { node, .. } => (Mode::Exact, Protocol::Ping, node),
            Subject::Nearest { point, .. } => (Mode::Annealing, Protocol::WhoIsNearest, point),
        };
        self.questions.0.insert(token, Question { asked_at: now.instant, within, subject });
        self.with_overlay(within, now, |overlay, cx| {
            overlay.send(mode, protocol, to, &token, cx);
        });
    }

    pub(super) fn handle_pong(
        &mut self,
        within: Instance,
        source: NodeId,
        hops: u8,
        payload: &[u8],
        now: Now,
    ) {
        let Ok(token) = <[u8; 8]>::try_from(payload) else { return };
        let is_answered = |question: &Question| {
            question.within == within
                && matches!(question.subject, Subject::Ping { node, .. } if node == source)
        };
        if !self.questions.0.get(&token).is_some_and(is_answered) {
            return;
        }
        if let Some(Question { asked_at, subject: Subject::Ping { ticket, .. }, .. }) =
            self.questions.0.remove(&token)
        {
            let rtt = now.instant - asked_at;
            let link = self.links.session(within, source);
            let path = link.map_or("overlay", |(_, session)| session.path.class());
            self.answer(ticket, Answer::Pong { node: source, rtt, hops, path });
        }
    }

    /// Both nodes that flank the point answer, and in spite of missing links: a node may itself be nearer than
    /// all its peers though the node sought is another. The one whose ID begins as the point does is it; of
    /// others the nearest that answers in time.
    pub(super) fn handle_nearest(
        &mut self,
        within: Instance,
        source: NodeId,
        payload: &[u8],
        now: Now,
    ) {
        let Ok(token) = <[u8; 8]>::try_from(payload) else { return };
        let question = self.questions.0.get_mut(&token).filter(|q| q.within == within);
        let Some(question) = question else { return };
        let Subject::Nearest { op, point, best, .. } = &mut question.subject else { return };
        let nearer = best.is_none_or(|best| ring::nearer(*point, source, best) == Ordering::Less);
        if nearer {
            *best = Some(source);
        }
        if is_at(*point, source) {
            let op = *op;
            self.questions.0.remove(&token);
            self.answer_nearest(op, source, now);
        }
    }

    fn answer_nearest(&mut self, op: Op, node: NodeId, now: Now) {
        self.with_vpn(|vpn| vpn.handle_answer(op, &vpn::Answer::Nearest(node), now.instant));
    }

    pub(super) fn run_questions(&mut self, now: Now) {
        let late: Vec<[u8; 8]> = self
            .questions
            .0
            .iter()
            .filter(|(_, question)| question.due_at() <= now.instant)
            .map(|(&token, _)| token)
            .collect();
        for token in late {
            let Some(Question { within, subject, .. }) = self.questions.0.remove(&token) else {
                continue;
            };
            let me = self.overlay(within).me();
            match subject {
                Subject::Nearest { op, tries, best: Some(node), .. }
                    if tries >= NEAREST_TRIES_ABSENT && node != me =>
                {
                    self.answer_nearest(op, node, now);
                }
                Subject::Nearest { op, point, tries, best } if tries < NEAREST_TRIES => {
                    let subject = Subject::Nearest { op, point, tries: tries + 1, best };
                    self.put_question(token, within, subject, now);
                }
                Subject::Nearest { op, best: Some(node), .. } => {
                    self.answer_nearest(op, node, now);
                }
                subject => {
                    self.give_up(subject, "no answer: is the node running in this overlay?", now);
                }
            }
        }
    }

    fn give_up(&mut self, subject: Subject, why: &str, now: Now) {
        match subject {
            Subject::Ping { ticket, .. } => self.answer(ticket, Answer::Failed(why.to_owned())),
            Subject::Nearest { op, .. } => self.with_vpn(|vpn| {
                vpn.handle_answer(op, &vpn::Answer::Unavailable, now.instant);
            }),
        }
    }

    pub(super) fn answer(&mut self, ticket: Ticket, answer: Answer) {
        self.outputs.push_back(Output::Answer(ticket, answer));
    }
}
