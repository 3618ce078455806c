//! How a member learns what the group's authority said, and passes it on (paper section 4.1).
//!
//! The authority signs notices, heads and generations of the group secret (`pki::notice`, `pki::keyring`).
//! They prove themselves, so any way will do by which they come: a file, the group service, a broadcast, the
//! hash table. `News` makes sure that they also travel over every link:
//!
//! ```text
//! link up, or news ----- Standing ----->        what I know
//!                  <----- NewsAsk ------        I know less: tell me
//!                  --- News, News, … --->       in pages; then, if that was not all, the next ask
//! ```
//! What must always hold:
//! - nothing is kept, used or passed on that the authority did not sign;
//! - a group secret goes only to a peer whose session stands, by a node that knows the revocation which the
//!   secret was made for: so whom it leaves out does not get it from an honest member;
//! - every table, answer and retry has a bound, and a peer that claims more than it delivers is not asked for
//!   ever.
//!
//! | file | question |
//! |---|---|
//! | `mod` | who knows less than whom |
//! | `take` | is it good, and is it news |

mod take;
#[cfg(test)]
mod tests;

use crate::NodeId;
use crate::bounds::Fill;
use crate::rng::Rng;
use crate::session::suite::Suite;
use crate::time::{Instant, Now};
use crate::timer::Timers;
use crate::wire::control::Control;
use crate::wire::news::{Items, Standing, lists};
use pki::{Keyring, Ledger, UnixTime};
use std::collections::BTreeMap;
use std::time::Duration;
use take::{PASSED_MAX, Passed};

/// Messages of one answer: some forty notices. A member that was away for a month fetches 8,000 in 200 rounds.
const PAGES_MAX: usize = 8;
/// Asks of one peer that are answered within [`WINDOW`]; 2,000 notices a second.
const SERVED_MAX: u8 = 50;
/// Items of one peer that are read within [`WINDOW`] though they are no news: each may cost a signature, and the copy
/// of a ledger. Honest ones come when pages are lost or late: some 80, if each ask goes wrong.
const USELESS_MAX: u8 = 128;
const WINDOW: Duration = Duration::from_secs(1);
/// How long an answer is waited for, and how often the same peer is asked without learning anything.
const ASK_PATIENCE: Duration = Duration::from_millis(500);
const ASK_TRIES: u32 = 4;
/// Pause between news and the word to peers that may not have it: a broadcast reaches most of them meanwhile.
const TELL_PAUSE: Duration = Duration::from_millis(250);
/// Pause before a peer is told again that did not answer, and how often it is told.
const TELL_AGAIN: Duration = Duration::from_secs(1);
const TELL_TRIES: u8 = 4;

/// What `News` asks of its node, to be done in order.
#[derive(Debug, PartialEq, Eq)]
pub enum Effect {
    /// Send a control message to a peer.
    Send {
        /// The peer.
        peer: NodeId,
        /// A `wire::control` message.
        message: Vec<u8>,
    },
    /// Somebody may be out: judge all sessions again.
    Rejudge,
    /// The group secrets changed: take [`News::keyring`] for the gates.
    Secrets,
    /// Pass a broadcast on.
    Spread {
        /// The notice or head.
        payload: Vec<u8>,
        /// Where the arc ends.
        until: NodeId,
        /// Hops taken so far.
        hops: u8,
    },
    /// The driver shall know, and keep what is new.
    Event(Event),
}

/// What happened to what we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Notices or heads were news.
    Notices {
        /// Number of the newest notice now.
        number: u64,
    },
    /// A generation of the group secret was news.
    Secret {
        /// The newest.
        generation: u32,
    },
    /// The authority signed two histories or two secrets of one number: its key is in two hands.
    Fork {
        /// Of the notice, or of the generation.
        number: u64,
    },
}

/// What is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Items that were new.
    pub taken: u64,
    /// Items that no authority of the group signed, or that are nothing we know.
    pub refused: u64,
    /// Asks answered.
    pub served: u64,
    /// Asks not answered because the peer asked too often.
    pub overserved: u64,
    /// Items not read because their peer had sent too many that were no news.
    pub unread: u64,
    /// Broadcasts passed on.
    pub spread: u64,
    /// Broadcasts not passed on because they came too often.
    pub repeated: u64,
    /// Messages that somebody sent who found this node among those who want to hear of a revocation.
    pub notified: u64,
}

/// What `News` may use while it handles one input.
pub struct Context<'a> {
    /// The time.
    pub now: Now,
    /// The node's generator.
    pub rng: &'a mut Rng,
    /// Whom the node believes. It has a [`pki::Trust`], or there is no news.
    pub suite: &'a mut dyn Suite,
    /// Where effects go.
    pub effects: &'a mut Vec<Effect>,
}

impl Context<'_> {
    fn ledger(&self) -> Option<&Ledger> {
        self.suite.trust().map(pki::Trust::ledger)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// The peer that was asked is silent.
    Ask,
    /// Peers are to be told.
    Tell,
}

/// Kept small: there is one for each session.
#[derive(Debug, Default)]
struct Peer {
    /// What it said, or proved by what it sent, that it knows.
    knows: Standing,
    /// How often we told it what we know now.
    told: u8,
    /// How often it asked in this [`WINDOW`].
    served: u8,
    /// How many items it sent in this [`WINDOW`] that were no news.
    useless: u8,
}

#[derive(Debug)]
struct Ask {
    peer: NodeId,
    /// What we knew when we asked.
    from: Standing,
    tries: u32,
}

/// What one member knows, and what it knows of its peers' knowledge.
#[derive(Debug, Default)]
pub struct News {
    keyring: Keyring,
    peers: BTreeMap<NodeId, Peer>,
    /// What this node knew when it last looked: that is what peers were told.
    stood: Standing,
    /// When the window began in which asks and items of peers are counted.
    window_since: Option<Instant>,
    ask: Option<Ask>,
    passed: Vec<Passed>,
    /// Since when messages of announcers are counted, and how many there were.
    notified: Option<(Instant, u32)>,
    /// When the newest notice came, and its number.
    taken: (u64, UnixTime),
    timers: Timers<Timer>,
    counters: Counters,
}

impl News {
    /// Knows these group secrets and nobody.
    pub fn new(keyring: Keyring) -> News {
        News { keyring, ..News::default() }
    }

    /// The generations of the group secret that are taken.
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// How full the memory of broadcasts is.
    pub fn fill(&self) -> Fill {
        Fill::new("broadcasts remembered", self.passed.len(), PASSED_MAX)
    }

    /// What was counted.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// When this node learned of the newest notice; none for what it knew when it was made.
    pub fn taken_at(&self, ledger: &Ledger) -> Option<UnixTime> {
        (self.taken.0 > 0 && self.taken.0 == ledger.number()).then_some(self.taken.1)
    }

    /// When [`News::handle_timeout`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.deadline()
    }

    /// What this node knows.
    pub fn standing(&self, ledger: Option<&Ledger>) -> Standing {
        Standing {
            notices: ledger.map_or(0, Ledger::number),
            head: ledger.and_then(Ledger::head).map_or(0, |head| head.issued.as_secs()),
            secret: self.keyring.generation(),
        }
    }

    /// What this node knows; if that is other than before, nobody was told of it yet.
    fn stand(&mut self, ledger: Option<&Ledger>) -> Standing {
        let mine = self.standing(ledger);
        if std::mem::replace(&mut self.stood, mine) != mine {
            self.peers.values_mut().for_each(|peer| peer.told = 0);
        }
        mine
    }

    /// A session with a peer is up, whose welcome named the newest notice that it knows. One end speaks first.
    pub fn handle_up(
        &mut self,
        peer: NodeId,
        notices: u64,
        speaks_first: bool,
        cx: &mut Context<'_>,
    ) {
        let mine = self.stand(cx.ledger());
        let entry = self.peers.entry(peer).or_default();
        entry.knows.notices = entry.knows.notices.max(notices);
        entry.told = 0;
        if speaks_first {
            self.tell(peer, mine, cx);
        }
        self.ask_if_behind(cx);
    }

    /// The session with a peer is over.
    pub fn handle_down(&mut self, peer: NodeId, cx: &mut Context<'_>) {
        self.peers.remove(&peer);
        self.ask.take_if(|ask| ask.peer == peer);
        self.ask_if_behind(cx);
    }

    /// A peer says what it knows.
    pub fn handle_standing(&mut self, peer: NodeId, knows: Standing, cx: &mut Context<'_>) {
        let mine = self.stand(cx.ledger());
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        entry.knows = knows;
        // It shall know that we have it, or what we have beyond; once, else two would tell each other for ever.
        if entry.told == 0 && !mine.is_behind(knows) {
            self.tell(peer, mine, cx);
        }
        self.ask_if_behind(cx);
    }

    /// A peer knows no more than this and wants the rest.
    pub fn handle_ask(&mut self, peer: NodeId, knows: Standing, cx: &mut Context<'_>) {
        self.open_window(cx.now.instant);
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        entry.knows = knows;
        if entry.served == SERVED_MAX {
            self.counters.overserved += 1;
            return;
        }
        entry.served += 1;
        self.counters.served += 1;
        self.answer(peer, knows, cx);
        self.ask_if_behind(cx);
    }

    /// Counts from the start what peers ask and send, if the time has come.
    fn open_window(&mut self, now: Instant) {
        if self.window_since.is_none_or(|since| now.saturating_since(since) >= WINDOW) {
            self.window_since = Some(now);
            self.peers.values_mut().for_each(|peer| (peer.served, peer.useless) = (0, 0));
        }
    }

    fn answer(&self, peer: NodeId, knows: Standing, cx: &mut Context<'_>) {
        let Some(ledger) = cx.ledger() else { return };
        let mut pages = lists(self.beyond(knows, ledger));
        pages.truncate(PAGES_MAX);
        let last = pages.len().saturating_sub(1);
        for (n, page) in pages.iter().enumerate() {
            let Ok(items) = Items::parse(page) else { continue };
            let message = Control::News { more: n < last, items }.emit();
            cx.effects.push(Effect::Send { peer, message });
        }
    }

    /// What a member that stands there lacks: the head first, so that it may start in the middle.
    fn beyond(&self, knows: Standing, ledger: &Ledger) -> Vec<Vec<u8>> {
        let head = ledger.head().filter(|head| {
            head.issued.as_secs() > knows.head || head.first > knows.notices.saturating_add(1)
        });
        let notices = ledger.notices().filter(|notice| notice.number > knows.notices);
        // Room is for one answer; generations stand before notices, of which there may be many.
        let secrets = self.keyring.all().iter().filter(|signed| {
            let generation = signed.secret.generation;
            generation > knows.secret && generation <= ledger.generation()
        });
        head.map(pki::Head::to_bytes)
            .into_iter()
            .chain(secrets.map(|signed| signed.to_bytes().to_vec()))
            .chain(notices.take(PAGES_MAX * 16).map(pki::Notice::to_bytes))
            .collect()
    }

    /// A peer answers an ask, or part of it.
    pub fn handle_news(
        &mut self,
        peer: NodeId,
        more: bool,
        items: Items<'_>,
        cx: &mut Context<'_>,
    ) {
        if !self.peers.contains_key(&peer) {
            return;
        }
        for item in items.iter() {
            // What is not good is counted, and the rest of the page counts.
            let _ = self.take_from(peer, item, News::take, cx);
        }
        if more {
            return;
        }
        let mine = self.stand(cx.ledger());
        let asked = self.ask.take_if(|ask| ask.peer == peer);
        let learned = asked.as_ref().is_none_or(|ask| ask.from != mine);
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        if mine.is_behind(entry.knows) && !learned {
            // It has nothing that we lack, whatever it said.
            entry.knows = mine;
        } else if asked.is_some() && !mine.is_behind(entry.knows) {
            self.tell(peer, mine, cx);
        }
        self.ask_if_behind(cx);
    }

    /// The time has come that [`News::deadline`] named.
    pub fn handle_timeout(&mut self, cx: &mut Context<'_>) {
        while let Some(timer) = self.timers.expire(cx.now.instant) {
            match timer {
                Timer::Ask => self.ask_again(cx),
                Timer::Tell => self.tell_all(cx),
            }
        }
    }

    /// Asks whoever knows most, unless somebody is being asked.
    fn ask_if_behind(&mut self, cx: &mut Context<'_>) {
        if self.ask.is_some() {
            return;
        }
        let mine = self.stand(cx.ledger());
        let ahead = self.peers.iter().filter(|(_, peer)| mine.is_behind(peer.knows));
        let best = ahead.max_by_key(|(_, peer)| {
            let Standing { notices, head, secret } = peer.knows;
            (notices, head, secret)
        });
        if let Some((&peer, _)) = best {
            self.put_ask(Ask { peer, from: mine, tries: 1 }, cx);
        } else {
            self.timers.cancel(Timer::Ask);
        }
    }

    fn put_ask(&mut self, ask: Ask, cx: &mut Context<'_>) {
        let message = Control::NewsAsk(ask.from).emit();
        cx.effects.push(Effect::Send { peer: ask.peer, message });
        self.timers.set(Timer::Ask, cx.now.instant + ASK_PATIENCE);
        self.ask = Some(ask);
    }

    fn ask_again(&mut self, cx: &mut Context<'_>) {
        let Some(ask) = self.ask.take() else { return };
        let mine = self.stand(cx.ledger());
        if let Some(entry) = self.peers.get_mut(&ask.peer)
            && mine.is_behind(entry.knows)
        {
            // Part of an answer is progress, and the rest is asked for from there.
            let tries = if mine == ask.from { ask.tries + 1 } else { 1 };
            if tries <= ASK_TRIES {
                return self.put_ask(Ask { peer: ask.peer, from: mine, tries }, cx);
            }
            entry.knows = mine;
        }
        self.ask_if_behind(cx);
    }

    /// Plans to tell those peers that do not say that they know.
    fn tell_soon(&mut self, cx: &mut Context<'_>) {
        let at = cx.now.instant + cx.rng.jitter(TELL_PAUSE, 0.5);
        self.timers.set_earlier(Timer::Tell, at);
    }

    fn tell_all(&mut self, cx: &mut Context<'_>) {
        let mine = self.stand(cx.ledger());
        let lacks = |peer: &Peer| peer.knows.is_behind(mine) && peer.told < TELL_TRIES;
        let lacking: Vec<NodeId> =
            self.peers.iter().filter(|(_, peer)| lacks(peer)).map(|(&id, _)| id).collect();
        lacking.iter().for_each(|&peer| self.tell(peer, mine, cx));
        if !lacking.is_empty() {
            self.timers.set(Timer::Tell, cx.now.instant + cx.rng.jitter(TELL_AGAIN, 0.25));
        }
    }

    fn tell(&mut self, peer: NodeId, mine: Standing, cx: &mut Context<'_>) {
        if let Some(entry) = self.peers.get_mut(&peer) {
            entry.told = entry.told.saturating_add(1);
            cx.effects.push(Effect::Send { peer, message: Control::Standing(mine).emit() });
        }
    }
}
