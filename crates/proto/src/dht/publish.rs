//! Values live while their owner lives: it signs and writes them again before they expire.
//!
//! The first refresh comes when a third of the time to live is left, so that failures of some minutes do no
//! harm; after a failure it is tried again soon. An exclusive key is renewed through `create`'s protocol; who
//! meets a better owner there has lost the key and says so.

use super::client::Task;
use super::create::Rival;
use super::{CommandError, Context, Dht, Effect, Event, OpId, Timer};
use crate::time::UnixTime;
use crate::wire::record::{Intent, Key, Record};
use std::collections::BTreeMap;
use std::time::Duration;

/// Most values that one node publishes, below what a replica takes of one owner: 32 are its subscriptions to
/// revocations, the others those of its users.
pub(super) const PUBLISHED_MAX: usize = 80;
/// Shortest time to live: a refresh must fit into its last third.
pub const TTL_MIN: Duration = Duration::from_secs(30);
/// Share of the time to live after which a value is refreshed, and how much chance moves that.
const REFRESH_AT: f64 = 0.65;
const REFRESH_JITTER: f64 = 0.1;
/// Pauses before an exclusive key is renewed for the first times: a ring that grows hands its replicas on faster than
/// they are copied, and who has just joined is in such a ring.
const EARLY: [Duration; 3] =
    [Duration::from_secs(2), Duration::from_secs(4), Duration::from_secs(15)];
/// A failed refresh is repeated after this share of the time to live, but not sooner than `RETRY_MIN`.
const RETRY_SHARE: u32 = 24;
const RETRY_MIN: Duration = Duration::from_secs(2);
/// That of an exclusive key is repeated so soon: who could not renew it may have lost it, where it could not ask.
const RETRY_EXCLUSIVE: Duration = Duration::from_secs(3);
/// Lets the other replicas decide as well before they are asked.
const NOTICE_PAUSE: Duration = Duration::from_millis(500);

/// What this node keeps alive.
pub(super) type Published = BTreeMap<Key, Publication>;

#[derive(Debug)]
pub(super) struct Publication {
    pub(super) payload: Vec<u8>,
    pub(super) ttl: Duration,
    /// When what the replicas have expires.
    pub(super) expiry: UnixTime,
    /// How often it was written.
    pub(super) writes: usize,
}

/// How a refresh, or the first write, ended.
#[derive(Debug)]
pub(super) enum Refreshed {
    Kept(UnixTime),
    Failed,
    Lost(Record),
}

impl Dht {
    /// Writes a value into this node's slot under a key, once: it ends with its time to live.
    pub fn put_once(
        &mut self,
        op: OpId,
        key: Key,
        payload: Vec<u8>,
        ttl: Duration,
        cx: &mut Context<'_>,
    ) -> Result<(), CommandError> {
        self.check_value(&payload, ttl)?;
        let record = self.sign(key, payload, ttl, Intent::Write, cx);
        let task = Task::put(record, cx);
        self.start(Some(op), task, cx);
        Ok(())
    }

    /// Keeps a value in this node's slot alive no longer. It is not taken back: it ends with its time to live.
    pub fn let_lapse(&mut self, key: Key) {
        debug_assert!(!key.is_exclusive(), "a key that others want is released");
        self.client.published.remove(&key);
        self.timers.cancel(Timer::Refresh(key));
    }

    /// Writes a published value again.
    pub(super) fn refresh(&mut self, key: Key, cx: &mut Context<'_>) {
        let Some(p) = self.client.published.get(&key) else { return };
        if self.client.is_writing(key) {
            return self.timers.set(Timer::Refresh(key), cx.now.instant + RETRY_MIN);
        }
        if key.is_exclusive() && p.expiry <= cx.now.unix {
            self.client.published.remove(&key);
            cx.effects.push(Effect::Event(Event::Lost { key, winner: None }));
            return;
        }
        let (payload, ttl) = (p.payload.clone(), p.ttl);
        let task = match key.is_exclusive() {
            false => Task::put(self.sign(key, payload, ttl, Intent::Write, cx), cx),
            true => Task::create(self.sign(key, payload, ttl, Intent::Renew, cx), Rival::Held, cx),
        };
        self.start(None, task, cx);
    }

    /// Plans the next refresh.
    pub(super) fn note_refresh(&mut self, key: Key, how: Refreshed, cx: &mut Context<'_>) {
        let Some(p) = self.client.published.get_mut(&key) else { return };
        let wait = match how {
            Refreshed::Kept(expiry) => {
                p.expiry = expiry;
                let early = EARLY.get(p.writes).filter(|_| key.is_exclusive());
                p.writes += 1;
                let regular = p.ttl.mul_f64(REFRESH_AT);
                cx.rng.jitter(early.map_or(regular, |&early| early.min(regular)), REFRESH_JITTER)
            }
            Refreshed::Failed => {
                let pause = match key.is_exclusive() {
                    true => RETRY_EXCLUSIVE,
                    false => (p.ttl / RETRY_SHARE).max(RETRY_MIN),
                };
                cx.rng.jitter(pause, REFRESH_JITTER)
            }
            Refreshed::Lost(winner) => {
                self.client.published.remove(&key);
                self.timers.cancel(Timer::Refresh(key));
                let winner = Some(winner);
                cx.effects.push(Effect::Event(Event::Lost { key, winner }));
                return;
            }
        };
        self.timers.set(Timer::Refresh(key), cx.now.instant + wait);
    }

    /// A replica says that another record won an exclusive key of ours. One voice proves nothing: a refresh
    /// asks them all.
    pub(super) fn handle_notice(&mut self, winner: &Record, cx: &mut Context<'_>) {
        let is_ours = self.client.published.contains_key(&winner.key);
        if is_ours && winner.owner != self.me && winner.key.is_exclusive() {
            self.timers.set_earlier(Timer::Refresh(winner.key), cx.now.instant + NOTICE_PAUSE);
        }
    }
}
