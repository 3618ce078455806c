//! The event of a revocation, by way of the hash table (paper section 4.1): who has a link with a member wants
//! to hear that it is out, and whoever announces that asks the table whom to tell.
//!
//! ```text
//! subscriber                     replicas of two keys of the peer            announcer
//! linked for a while: put --->   subscribers, a slot each      <--- get, at once and again when it is stored
//! then: get --------------->     notices, a slot each          <--- put, before everything else
//!           <------------- Notices, through the ring, three times -------------
//! ```
//! What must always hold:
//! - nothing that comes this way counts before the ledger has verified it (`news`);
//! - a subscription made while a notice is announced is not lost. The announcer writes the notice and then
//!   reads the subscribers; a subscriber writes itself and then reads the notices; each write is held by more
//!   than half of the replicas. Whichever write was the later one, its writer sees the other;
//! - every table and retry is bounded; what has no room has the other carriers (`news`).
//!
//! | file | question |
//! |---|---|
//! | `mod` | whose end does this node want to hear of |
//! | `alarm` | who is to be told of this end |

mod alarm;
#[cfg(test)]
mod tests;

use crate::NodeId;
use crate::bounds::Fill;
use crate::ring;
use crate::rng::Rng;
use crate::time::Instant;
use crate::timer::Timers;
use crate::wire::record::{Key, Kind, Record};
use alarm::Alarms;
use pki::{Notice, Revoked};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Subscriptions of a node at most, those included that it lets lapse: with values of users below what a
/// replica takes of one owner. A member of 10,000 has some 25 links of the ring.
pub const SUBSCRIPTIONS_MAX: usize = 32;
/// Of these, those that links outside the ring may take: such links come and go with traffic.
const ON_DEMAND_MAX: usize = 24;
/// How long a subscription lives; the table writes it again at two thirds. Each costs some 5 kB then, sent and
/// received: a member with 13 links spends 90 bit/s. Shorter costs more; longer, and more of those who are told
/// have no link any more.
pub const SUBSCRIPTION_TTL: Duration = Duration::from_secs(6 * 3_600);
/// Age from which a link is worth a subscription: those that nobody wants have ended by then.
const SETTLED: Duration = Duration::from_secs(60);
/// Subscriptions written at a time.
const WRITING_MAX: usize = 8;
/// Pause between two reviews while there is more to write, and while there is no room.
const REVIEW_SOON: Duration = Duration::from_secs(1);
const REVIEW_LATE: Duration = Duration::from_secs(900);
/// Mean delay of a review beyond its time, by chance, so that members that started at once do not write at once.
const REVIEW_SPREAD: Duration = Duration::from_secs(5);
/// Pause between a new session and the look whether its peer is out: what peers know of the authority they have
/// told each other meanwhile, and then a look finds nothing new.
const LOOK_PAUSE: Duration = Duration::from_millis(300);
/// Looks at a time, and the pause of others.
const LOOKS_MAX: usize = 8;
const LOOK_BUSY: Duration = Duration::from_secs(1);
/// Pause before a look, or a subscription, that failed is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(60);

/// Domains of the two keys of each member.
const SUBSCRIBERS_DOMAIN: &str = "revocation subscribers";
const NOTICES_DOMAIN: &str = "revocation notices";

/// Under which those who want to hear of a member's end have a slot each; it is empty, its owner says it all.
pub fn subscribers_key(member: NodeId) -> Key {
    Key::derive(Kind::Slot, SUBSCRIBERS_DOMAIN, member.as_bytes())
}

/// Under which notices stand that put a member out.
pub fn notices_key(member: NodeId) -> Key {
    Key::derive(Kind::Revocation, NOTICES_DOMAIN, member.as_bytes())
}

/// Whether a notice may stand under this key. To which node a serial or a user belongs no replica knows; a true
/// notice in a wrong place does no harm, since it tells what everybody may know.
pub fn may_stand(notice: &Notice, key: Key) -> bool {
    match notice.subject {
        Revoked::Node(id) => key == notices_key(id),
        Revoked::Serial(_) | Revoked::User(_) | Revoked::Issuer(_) => true,
    }
}

/// What is asked of the hash table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Keep this node's slot among the subscribers of a peer.
    Subscribe(NodeId),
    /// Read the notices about a peer, each told as it is found.
    Look(NodeId),
    /// Write a notice about a victim, once.
    Publish(NodeId),
    /// Read who wants to hear of a victim, each told as it is found.
    Subscribers(NodeId),
}

impl Question {
    /// The key that is asked for.
    pub fn key(self) -> Key {
        match self {
            Question::Subscribe(member) | Question::Subscribers(member) => subscribers_key(member),
            Question::Look(member) | Question::Publish(member) => notices_key(member),
        }
    }
}

/// How a question ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is written, or read: what there is was told with [`Watch::handle_found`].
    Done,
    /// It did not work.
    Failed,
}

/// What `Watch` asks of its node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Ask the hash table; [`Watch::handle_answer`] is told.
    Ask {
        /// What.
        question: Question,
        /// What is to be written.
        payload: Vec<u8>,
    },
    /// Keep what is written under this key alive no longer.
    Lapse(Key),
    /// Call [`Watch::review`].
    Review,
    /// Route notices to exactly this node.
    Notify {
        /// The node.
        node: NodeId,
        /// The list of them.
        message: Vec<u8>,
    },
    /// Hand a notice to `news`.
    Take(Vec<u8>),
}

/// What `Watch` may use while it handles one input.
#[derive(Debug)]
pub struct Context<'a> {
    /// The time.
    pub now: Instant,
    /// The node's generator.
    pub rng: &'a mut Rng,
    /// Where effects go.
    pub effects: &'a mut Vec<Effect>,
}

/// A session, as a review needs to know it.
#[derive(Clone, Copy, Debug)]
pub struct Linked {
    /// With whom.
    pub peer: NodeId,
    /// Since when, at least.
    pub since: Instant,
    /// Whether it is a link of our ring: near or shortcut.
    pub is_structured: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// Look whether this peer is out.
    Look(NodeId),
    /// See who lacks a subscription.
    Review,
    /// Tell subscribers of this victim again.
    Alarm(NodeId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subscription {
    Writing,
    Kept,
    /// Nobody writes it again. At this time no replica has it any more.
    Lapsing(Instant),
}

/// What a member wants to hear of, and what it tells others.
#[derive(Debug)]
pub struct Watch {
    me: NodeId,
    subscriptions: BTreeMap<NodeId, Subscription>,
    /// Peers whose notices are being read.
    looking: BTreeSet<NodeId>,
    alarms: Alarms,
    timers: Timers<Timer>,
}

impl Watch {
    /// Watches nobody.
    pub fn new(me: NodeId) -> Watch {
        Watch {
            me,
            subscriptions: BTreeMap::new(),
            looking: BTreeSet::new(),
            alarms: Alarms::default(),
            timers: Timers::default(),
        }
    }

    /// How full its bounded places are.
    pub fn fills(&self) -> impl Iterator<Item = Fill> + use<> {
        let own = Fill::new("subscriptions", self.subscriptions.len(), SUBSCRIPTIONS_MAX);
        [own].into_iter().chain(self.alarms.fills())
    }

    /// Whether this node's subscription to a peer is stored and kept alive.
    pub fn is_subscribed(&self, peer: NodeId) -> bool {
        self.subscriptions.get(&peer) == Some(&Subscription::Kept)
    }

    /// To how many peers that is so.
    pub fn subscribed(&self) -> usize {
        self.subscriptions.values().filter(|s| **s == Subscription::Kept).count()
    }

    /// When [`Watch::handle_timeout`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.deadline()
    }

    /// A new session with a peer is up.
    pub fn handle_up(&mut self, peer: NodeId, cx: &mut Context<'_>) {
        self.timers.set(Timer::Look(peer), cx.now + cx.rng.jitter(LOOK_PAUSE, 0.5));
        self.review_at(cx.now + SETTLED, cx);
    }

    /// The session with a peer is over.
    pub fn handle_down(&mut self, peer: NodeId, cx: &mut Context<'_>) {
        self.timers.cancel(Timer::Look(peer));
        self.looking.remove(&peer);
        if let Some(subscription) = self.subscriptions.get_mut(&peer)
            && matches!(subscription, Subscription::Writing | Subscription::Kept)
        {
            *subscription = Subscription::Lapsing(cx.now + SUBSCRIPTION_TTL);
            cx.effects.push(Effect::Lapse(subscribers_key(peer)));
        }
    }

    /// The time has come that [`Watch::deadline`] named.
    pub fn handle_timeout(&mut self, cx: &mut Context<'_>) {
        while let Some(timer) = self.timers.expire(cx.now) {
            match timer {
                Timer::Look(peer) => self.look(peer, cx),
                Timer::Review => cx.effects.push(Effect::Review),
                Timer::Alarm(victim) => self.repeat(victim, cx),
            }
        }
    }

    /// Subscribes to peers with whom there is a session, as far as there is room: to those of the ring first,
    /// and of these to the nearest. They stay linked for longest, and it is they who route for us.
    pub fn review(&mut self, mut linked: Vec<Linked>, cx: &mut Context<'_>) {
        let now = cx.now;
        self.subscriptions.retain(|_, s| !matches!(s, Subscription::Lapsing(end) if *end <= now));
        linked.sort_by(|a, b| {
            let nearer = || ring::nearer(self.me, a.peer, b.peer);
            b.is_structured.cmp(&a.is_structured).then_with(nearer)
        });
        for Linked { peer, since, is_structured } in linked {
            let present = self.subscriptions.get(&peer);
            if matches!(present, Some(Subscription::Writing | Subscription::Kept)) {
                continue;
            }
            let room = if is_structured { SUBSCRIPTIONS_MAX } else { ON_DEMAND_MAX };
            if now.saturating_since(since) < SETTLED {
                self.review_at(since + SETTLED, cx);
            } else if present.is_none() && self.subscriptions.len() >= room {
                self.review_at(now + REVIEW_LATE, cx);
            } else if self.writing() >= WRITING_MAX {
                return self.review_at(now + REVIEW_SOON, cx);
            } else {
                self.subscriptions.insert(peer, Subscription::Writing);
                cx.effects.push(ask(Question::Subscribe(peer)));
            }
        }
    }

    /// The hash table has found another value, and verified it; it looks for more.
    pub fn handle_found(&mut self, question: Question, record: Record, cx: &mut Context<'_>) {
        match question {
            Question::Look(_) => cx.effects.push(Effect::Take(record.payload)),
            Question::Subscribers(victim) => self.tell(victim, record.owner, cx),
            Question::Subscribe(_) | Question::Publish(_) => {}
        }
    }

    /// The hash table answers.
    pub fn handle_answer(&mut self, question: Question, answer: Answer, cx: &mut Context<'_>) {
        match (question, answer) {
            (Question::Subscribe(peer), Answer::Done) => {
                if let Some(subscription @ Subscription::Writing) =
                    self.subscriptions.get_mut(&peer)
                {
                    *subscription = Subscription::Kept;
                    // Who announced before could not see us; what it wrote is there.
                    self.timers.set(Timer::Look(peer), cx.now);
                }
            }
            (Question::Subscribe(peer), Answer::Failed) => {
                if self.subscriptions.get(&peer) == Some(&Subscription::Writing) {
                    self.subscriptions.remove(&peer);
                    cx.effects.push(Effect::Lapse(subscribers_key(peer)));
                    self.review_at(cx.now + RETRY_PAUSE, cx);
                }
            }
            (Question::Look(peer), Answer::Done) => {
                self.looking.remove(&peer);
            }
            (Question::Look(peer), Answer::Failed) => {
                if self.looking.remove(&peer) {
                    let again = cx.now + cx.rng.jitter(RETRY_PAUSE, 0.25);
                    self.timers.set(Timer::Look(peer), again);
                }
            }
            (Question::Publish(victim), _) => self.published(victim, cx),
            (Question::Subscribers(victim), _) => self.have_read(victim, cx),
        }
    }

    fn look(&mut self, peer: NodeId, cx: &mut Context<'_>) {
        if self.looking.len() >= LOOKS_MAX {
            let later = cx.now + cx.rng.jitter(LOOK_BUSY, 0.5);
            return self.timers.set(Timer::Look(peer), later);
        }
        self.looking.insert(peer);
        cx.effects.push(ask(Question::Look(peer)));
    }

    /// Plans a review, a little later: what many links of one moment bring is done in one.
    fn review_at(&mut self, due: Instant, cx: &mut Context<'_>) {
        let pause = cx.rng.jitter(REVIEW_SPREAD, 1.0);
        self.timers.set_earlier(Timer::Review, due + pause);
    }

    fn writing(&self) -> usize {
        self.subscriptions.values().filter(|s| **s == Subscription::Writing).count()
    }
}

fn ask(question: Question) -> Effect {
    Effect::Ask { question, payload: Vec::new() }
}
