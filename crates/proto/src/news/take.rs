//! Whether an item is good and news, and what follows from that.

use super::{Context, Effect, Event, News};
use crate::NodeId;
use crate::time::Instant;
use crate::wire::news::Items;
use pki::{Head, LedgerError, Notice, Outcome, SecretError, SignedSecret};
use std::time::Duration;

/// Broadcasts remembered, the oldest is forgotten.
pub(super) const PASSED_MAX: usize = 64;
/// How often one notice or head is passed on within [`PASSED_WINDOW`]. Once is enough while the ring stands
/// still, and who announces may repeat it; more is somebody who makes the whole ring work for one message.
const PASS_TIMES: u32 = 4;
const PASSED_WINDOW: Duration = Duration::from_secs(60);
/// Messages of announcers that are read within [`NOTIFIED_WINDOW`]: any member can send such to any other, and
/// each may cost five signatures.
const NOTIFIED_MAX: u32 = 50;
const NOTIFIED_WINDOW: Duration = Duration::from_secs(1);

/// A broadcast that was passed on.
#[derive(Debug)]
pub(super) struct Passed {
    payload: Vec<u8>,
    since: Instant,
    times: u32,
}

/// What became of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is news.
    New,
    /// It is good and was known, or what comes before it is missing.
    Good,
    /// It is not of our authority.
    Refused,
}

impl News {
    /// Takes a notice, head or group secret in wire form.
    pub fn take(&mut self, item: &[u8], cx: &mut Context<'_>) -> Taken {
        let taken = match SignedSecret::from_bytes(item) {
            Some(secret) => match self.take_secret(secret, cx) {
                Ok(true) => Taken::New,
                Ok(false) => Taken::Good,
                Err(_) => Taken::Refused,
            },
            None => self.take_notice(item, cx),
        };
        self.counters.taken += u64::from(taken == Taken::New);
        self.counters.refused += u64::from(taken == Taken::Refused);
        taken
    }

    /// Somebody passes a revocation on to those who want to hear of it (`watch`). Who it is does not count.
    pub fn handle_notified(&mut self, items: Items<'_>, cx: &mut Context<'_>) {
        let now = cx.now.instant;
        let running =
            self.notified.filter(|(since, _)| now.saturating_since(*since) < NOTIFIED_WINDOW);
        let (since, messages) = running.unwrap_or((now, 0));
        self.notified = Some((since, messages + 1));
        if messages >= NOTIFIED_MAX {
            return;
        }
        self.counters.notified += 1;
        items.iter().for_each(|item| self.take_from_afar(item, cx));
    }

    /// Takes a notice or head that came from no peer: there is nobody to be asked for what is missing before it.
    pub fn take_from_afar(&mut self, item: &[u8], cx: &mut Context<'_>) {
        let taken = self.take_notice(item, cx);
        self.counters.taken += u64::from(taken == Taken::New);
        self.counters.refused += u64::from(taken == Taken::Refused);
    }

    /// A peer hands on a broadcast for the arc from here to `until`.
    pub fn handle_broadcast(
        &mut self,
        from: NodeId,
        (payload, until, hops): (&[u8], NodeId, u8),
        cx: &mut Context<'_>,
    ) {
        if self.take(payload, cx) == Taken::Refused {
            return;
        }
        // Who sends a notice has it; what is missing before it can be had there.
        if let Some(entry) = self.peers.get_mut(&from) {
            if let Some(notice) = Notice::from_bytes(payload) {
                entry.knows.notices = entry.knows.notices.max(notice.number);
            } else if let Some(head) = Head::from_bytes(payload) {
                entry.knows.head = entry.knows.head.max(head.issued.as_secs());
            }
        }
        if self.may_pass(payload, cx.now.instant) {
            self.counters.spread += 1;
            cx.effects.push(Effect::Spread { payload: payload.to_vec(), until, hops });
        } else {
            self.counters.repeated += 1;
        }
        self.ask_if_behind(cx);
    }

    /// Takes a generation of the group secret; says whether it is news.
    pub fn take_secret(
        &mut self,
        secret: SignedSecret,
        cx: &mut Context<'_>,
    ) -> Result<bool, SecretError> {
        let Some(trust) = cx.suite.trust() else { return Ok(false) };
        let taken = self.keyring.take(secret, trust);
        match taken {
            Ok(true) => {
                self.keyring.prune(cx.now.unix);
                cx.effects.push(Effect::Secrets);
                let generation = self.keyring.generation();
                cx.effects.push(Effect::Event(Event::Secret { generation }));
                self.tell_soon(cx);
            }
            Err(SecretError::Conflict { generation }) => {
                let number = generation.into();
                cx.effects.push(Effect::Event(Event::Fork { number }));
            }
            Ok(false) | Err(SecretError::BadSignature { .. }) => {}
        }
        taken
    }

    fn take_notice(&mut self, item: &[u8], cx: &mut Context<'_>) -> Taken {
        // Known ones are many in a broadcast. To look first spares a copy of the ledger, which handshakes share.
        let notice = Notice::from_bytes(item);
        let known = notice.is_some_and(|notice| {
            cx.ledger().is_some_and(|ledger| ledger.get(notice.number) == Some(&notice))
        });
        if known {
            return Taken::Good;
        }
        let Some(trust) = cx.suite.trust_mut() else { return Taken::Refused };
        match trust.ledger_mut().take_bytes(item) {
            Ok(Outcome::New) => {
                self.note_notices(cx);
                Taken::New
            }
            Ok(Outcome::Known) | Err(LedgerError::Gap { .. }) => Taken::Good,
            Err(LedgerError::Fork { number }) => {
                cx.effects.push(Effect::Event(Event::Fork { number }));
                Taken::Refused
            }
            Err(_) => Taken::Refused,
        }
    }

    /// Notes that the ledger changed, by whatever way.
    pub fn note_notices(&mut self, cx: &mut Context<'_>) {
        let Some(ledger) = cx.ledger() else { return };
        let number = ledger.number();
        if number != self.taken.0 {
            self.taken = (number, cx.now.unix);
        }
        cx.effects.push(Effect::Rejudge);
        cx.effects.push(Effect::Event(Event::Notices { number }));
        self.tell_soon(cx);
    }

    /// Whether a good broadcast may be passed on once more.
    fn may_pass(&mut self, payload: &[u8], now: Instant) -> bool {
        self.passed.retain(|passed| now.saturating_since(passed.since) < PASSED_WINDOW);
        if let Some(passed) = self.passed.iter_mut().find(|passed| passed.payload == payload) {
            passed.times += 1;
            return passed.times <= PASS_TIMES;
        }
        if self.passed.len() == PASSED_MAX {
            self.passed.pop_front();
        }
        self.passed.push_back(Passed { payload: payload.to_vec(), since: now, times: 1 });
        true
    }
}
