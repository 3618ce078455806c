//! How the watch over peers is wired to hash table, overlay and news, in the overlay that only members are in.

use super::Node;
use super::table::Asker;
use crate::NodeId;
use crate::dht::Outcome;
use crate::time::Now;
use crate::watch::{self, Answer, Effect, Linked, Question, SUBSCRIPTION_TTL, Watch};
use crate::wire::connect::Purpose;
use crate::wire::routed::{Mode, Protocol};
use std::collections::BTreeSet;
use std::time::Duration;

/// How long an announced notice stands in the hash table, as long as anything may: who links the victim later
/// hears of the notice at the greeting, or from its first honest peer.
const NOTICE_TTL: Duration = crate::dht::TTL_MAX;

impl Node {
    /// Does something with the watch; nothing in an overlay without certificates.
    pub(super) fn with_watch(
        &mut self,
        now: Now,
        f: impl FnOnce(&mut Watch, &mut watch::Context<'_>),
    ) {
        if self.members().is_none() {
            return;
        }
        let mut effects = Vec::new();
        let (now, rng) = (now.instant, &mut self.rng);
        f(&mut self.watch, &mut watch::Context { now, rng, effects: &mut effects });
        self.effects.watch.extend(effects);
    }

    pub(super) fn on_watch(&mut self, effect: Effect, now: Now) {
        let Some(members) = self.members() else { return };
        match effect {
            Effect::Ask { question, payload } => {
                let (op, key) = (self.operations.begin(Asker::Watch(question)), question.key());
                let started = self.with_dht(members, now, |dht, cx| match question {
                    Question::Subscribe(_) => dht.put(op, key, payload, SUBSCRIPTION_TTL, cx),
                    Question::Publish(_) => dht.put_once(op, key, payload, NOTICE_TTL, cx),
                    Question::Look(_) | Question::Subscribers(_) => dht.get_as_found(op, key, cx),
                });
                self.begun(op, started, now);
            }
            Effect::Lapse(key) => self.with_dht(members, now, |dht, _| dht.let_lapse(key)),
            Effect::Review => {
                let linked = self.linked_members();
                self.with_watch(now, |watch, cx| watch.review(linked, cx));
            }
            Effect::Notify { node, message } => self.with_overlay(members, now, |overlay, cx| {
                overlay.send(Mode::Exact, Protocol::Notices, node, &message, cx);
            }),
            Effect::Take(notice) => {
                self.with_news(now, |news, cx| {
                    news.take_notice(&notice, cx);
                });
            }
        }
    }

    pub(super) fn answer_watch(&mut self, question: Question, answer: Answer, now: Now) {
        self.with_watch(now, |watch, cx| watch.handle_answer(question, answer, cx));
    }

    fn linked_members(&self) -> Vec<Linked> {
        let Some(members) = self.members() else { return Vec::new() };
        let ring = self.overlay(members).peers().filter(|(_, peer)| {
            peer.purposes.has(Purpose::Near) || peer.purposes.has(Purpose::Shortcut)
        });
        let ring: BTreeSet<NodeId> = ring.map(|(id, _)| id).collect();
        let sessions = self.links.sessions().filter(|(_, session)| session.instance == members);
        sessions
            .map(|(_, session)| Linked {
                peer: session.peer.id,
                since: session.since,
                is_structured: ring.contains(&session.peer.id),
            })
            .collect()
    }
}

/// What was found has been told already.
impl From<Outcome> for Answer {
    fn from(outcome: Outcome) -> Answer {
        match outcome {
            Outcome::Stored { .. }
            | Outcome::Released
            | Outcome::Absent
            | Outcome::Values { .. } => Answer::Done,
            Outcome::Created(_) | Outcome::Taken(_) | Outcome::Failed(_) => Answer::Failed,
        }
    }
}
