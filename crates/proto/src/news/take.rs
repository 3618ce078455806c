//! Whether an item is good and news, and what follows from that.

use super::{Context, Effect, Event, News, USELESS_MAX};
use crate::NodeId;
use crate::time::Instant;
use crate::wire::news::Items;
use pki::{Head, Ledger, LedgerError, Notice, Outcome, SecretError, SignedSecret};
use std::time::Duration;

/// Broadcasts remembered. While there is no room for another, nothing is passed on but news: a member may repeat what
/// the authority once said, which is much, and each time the whole ring works.
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
    /// What came after it is known. Nobody looked whether it is good.
    Old,
    /// It is not of our authority.
    Refused,
}

impl News {
    /// Takes a notice, head or group secret in wire form.
    pub fn take(&mut self, item: &[u8], cx: &mut Context<'_>) -> Taken {
        let Some(secret) = SignedSecret::from_bytes(item) else {
            return self.take_notice(item, cx);
        };
        let taken = match self.take_secret(secret, cx) {
            Ok(true) => Taken::New,
            Ok(false) => Taken::Good,
            Err(_) => Taken::Refused,
        };
        self.count(taken)
    }

    /// Takes an item that a peer sent, if it has not sent too many that were no news.
    pub(super) fn take_from(
        &mut self,
        peer: NodeId,
        item: &[u8],
        take: fn(&mut News, &[u8], &mut Context<'_>) -> Taken,
        cx: &mut Context<'_>,
    ) -> Taken {
        self.open_window(cx.now.instant);
        let Some(entry) = self.peers.get_mut(&peer).filter(|peer| peer.useless < USELESS_MAX)
        else {
            self.counters.unread += 1;
            return Taken::Refused;
        };
        entry.useless += 1;
        let taken = take(self, item, cx);
        if taken == Taken::New
            && let Some(entry) = self.peers.get_mut(&peer)
        {
            entry.useless -= 1;
        }
        taken
    }

    fn count(&mut self, taken: Taken) -> Taken {
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
        for item in items.iter() {
            self.take_notice(item, cx);
        }
    }

    /// A peer hands on a broadcast for the arc from here to `until`.
    pub fn handle_broadcast(
        &mut self,
        from: NodeId,
        (payload, until, hops): (&[u8], NodeId, u8),
        cx: &mut Context<'_>,
    ) {
        let taken = self.take_from(from, payload, News::take_notice, cx);
        if matches!(taken, Taken::Refused | Taken::Old) {
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
        if self.may_pass(payload, taken == Taken::New, cx.now.instant) {
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

    /// Takes a notice or head; from wherever it came.
    pub fn take_notice(&mut self, item: &[u8], cx: &mut Context<'_>) -> Taken {
        let taken = self.judge_notice(item, cx);
        self.count(taken)
    }

    fn judge_notice(&mut self, item: &[u8], cx: &mut Context<'_>) -> Taken {
        // Known ones are many in a broadcast. To look first spares a copy of the ledger, which handshakes share.
        let is_known = |ledger: &Ledger| match Notice::from_bytes(item) {
            Some(notice) => ledger.get(notice.number) == Some(&notice),
            None => ledger.head().is_some_and(|head| head.to_bytes() == item),
        };
        if cx.ledger().is_some_and(is_known) {
            return Taken::Good;
        }
        let Some(trust) = cx.suite.trust_mut() else { return Taken::Refused };
        match trust.ledger_mut().take_bytes(item) {
            Ok(Outcome::New) => {
                self.note_notices(cx);
                Taken::New
            }
            Ok(Outcome::Known) => Taken::Old,
            Err(LedgerError::Gap { .. }) => Taken::Good,
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
    fn may_pass(&mut self, payload: &[u8], is_new: bool, now: Instant) -> bool {
        self.passed.retain(|passed| now.saturating_since(passed.since) < PASSED_WINDOW);
        if let Some(passed) = self.passed.iter_mut().find(|passed| passed.payload == payload) {
            passed.times += 1;
            return passed.times <= PASS_TIMES;
        }
        let has_room = self.passed.len() < PASSED_MAX;
        if has_room {
            self.passed.push(Passed { payload: payload.to_vec(), since: now, times: 1 });
        }
        has_room || is_new
    }
}
