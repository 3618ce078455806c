//! What a replica answers: it verifies before it stores, and speaks only for what is its own.

use super::certificates::Verdict;
use super::create::Merge;
use super::rehome::Territory;
use super::store::InTheWay;
use super::{Context, Dht, send};
use crate::NodeId;
use crate::bounds::Fill;
use crate::time::{Instant, UnixTime};
use crate::wire::dht::{Body, CERTIFICATE_MAX, Message, Refusal, VALUES_BYTES_MAX};
use crate::wire::record::{Key, Record};
use std::collections::VecDeque;
use std::time::Duration;

/// Messages that wait for their owner's certificate: some 170 KB. One more pushes the oldest out; its sender
/// asks again.
const PENDING_MAX: usize = 256;
/// How long a message waits: several round trips. Who sent it asks again anyway.
const PENDING_LIFE: Duration = Duration::from_secs(5);

/// Messages with a record whose owner's certificate is on its way.
#[derive(Debug, Default)]
pub(super) struct Pending(VecDeque<Waiting>);

#[derive(Debug)]
struct Waiting {
    from: NodeId,
    owner: NodeId,
    message: Message,
    until: Instant,
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn fill(&self) -> Fill {
        Fill::new("messages that wait for a certificate", self.0.len(), PENDING_MAX)
    }

    /// Whether a copy of what is under this key is here, but not proven yet.
    fn has_copy_of(&self, key: Key, now: Instant) -> bool {
        let mut copies = self.0.iter().filter(|w| w.until > now);
        copies.any(|w| matches!(&w.message.body, Body::Copy(r) if r.key == key))
    }

    pub(super) fn forget_old(&mut self, now: Instant) {
        self.0.retain(|w| w.until > now);
    }

    /// Whether another one was pushed out.
    fn push(&mut self, from: NodeId, owner: NodeId, message: Message, now: Instant) -> bool {
        self.forget_old(now);
        self.0.retain(|w| (w.from, &w.message) != (from, &message));
        let overflow = self.0.len() >= PENDING_MAX;
        if overflow {
            self.0.pop_front();
        }
        self.0.push_back(Waiting { from, owner, message, until: now + PENDING_LIFE });
        overflow
    }

    fn take(&mut self, owner: NodeId) -> Vec<(NodeId, Message)> {
        let (taken, kept): (VecDeque<Waiting>, _) =
            self.0.drain(..).partition(|w| w.owner == owner);
        self.0 = kept;
        taken.into_iter().map(|w| (w.from, w.message)).collect()
    }
}

impl Dht {
    /// Takes a message that carries a record to keep.
    pub(super) fn handle_record(&mut self, from: NodeId, message: Message, cx: &mut Context<'_>) {
        let (Body::Put(record)
        | Body::Reserve(record)
        | Body::Commit(record)
        | Body::Withdraw(record)
        | Body::Copy(record)) = &message.body
        else {
            return;
        };
        let is_copy = matches!(message.body, Body::Copy(_));
        let territory = self.rehome.territory(self.me, record.key);
        if is_copy && territory == Territory::Foreign {
            return;
        }
        if !is_copy && (territory != Territory::Own || self.is_being_copied(record.key, cx)) {
            return send(cx, from, message.id, Body::NotReady);
        }
        match self.certificates.check(record, cx) {
            Verdict::Valid => self.keep(from, message, cx),
            // The cached certificate may be an old one: the sender gets a chance to show the present one.
            verdict @ (Verdict::Unknown | Verdict::Forged) => {
                self.counts.forged += u64::from(verdict == Verdict::Forged);
                let (id, owner) = (message.id, record.owner);
                if self.pending.push(from, owner, message, cx.now.instant) {
                    self.counts.overflows += 1;
                }
                self.sweep_later(cx.now.instant);
                let ask = if is_copy { Body::CertificateGet(owner) } else { Body::NeedCertificate };
                send(cx, from, id, ask);
            }
        }
    }

    /// Whether an exclusive key seems to be free here, but only until a copy is proven that has come.
    fn is_being_copied(&self, key: Key, cx: &Context<'_>) -> bool {
        key.is_exclusive()
            && self.store.holder(key, cx.now.unix).is_none()
            && self.pending.has_copy_of(key, cx.now.instant)
    }

    /// Takes a certificate that somebody waits for.
    pub(super) fn handle_certificate(
        &mut self,
        owner: NodeId,
        certificate: &[u8],
        cx: &mut Context<'_>,
    ) {
        let waiting = self.pending.take(owner);
        let gets = self.gets_waiting_for(owner);
        if waiting.is_empty() && gets.is_empty() {
            return;
        }
        for (from, message) in waiting {
            let (Body::Put(record)
            | Body::Reserve(record)
            | Body::Commit(record)
            | Body::Withdraw(record)
            | Body::Copy(record)) = &message.body
            else {
                continue;
            };
            if self.certificates.offer(certificate, record, cx) {
                self.keep(from, message, cx);
            } else {
                self.counts.forged += 1;
                send(cx, from, message.id, Body::Refused(Refusal::Forbidden));
            }
        }
        for op in gets {
            self.offer_to_get(op, owner, certificate, cx);
            self.drive(op, cx);
        }
    }

    /// Gives the certificate of an owner, if it is here.
    pub(super) fn give_certificate(
        &mut self,
        to: NodeId,
        id: u64,
        owner: NodeId,
        cx: &mut Context<'_>,
    ) {
        let certificate = match owner == self.me {
            true => Some(cx.signer.certificate()),
            false => self.certificates.get(owner),
        };
        let Some(certificate) = certificate.filter(|c| c.len() <= CERTIFICATE_MAX) else { return };
        let certificate = certificate.to_vec();
        send(cx, to, id, Body::Certificate { owner, certificate });
    }

    /// Does with a verified record what the message asks.
    fn keep(&mut self, from: NodeId, message: Message, cx: &mut Context<'_>) {
        self.sweep_later(cx.now.instant);
        let now = cx.now;
        let reply = match message.body {
            Body::Copy(record) => return self.take_copy(record, cx),
            Body::Withdraw(record) => self.store.withdraw(record, now),
            Body::Put(r) if !r.key.is_exclusive() && !r.is_withdrawn() => {
                match self.store.put(r, now.unix) {
                    Ok(()) => Body::Stored,
                    Err(InTheWay::Record(winner)) => Body::Conflict { winner, committed: true },
                    Err(InTheWay::Refusal(refusal)) => Body::Refused(refusal),
                }
            }
            Body::Reserve(r) if r.key.is_exclusive() && !r.is_withdrawn() => {
                self.store.reserve(r, now)
            }
            Body::Commit(r) if r.key.is_exclusive() && !r.is_withdrawn() => {
                self.store.commit(r, now)
            }
            _ => Body::Refused(Refusal::Forbidden),
        };
        send(cx, from, message.id, reply);
    }

    fn take_copy(&mut self, copy: Record, cx: &mut Context<'_>) {
        if let Merge::Decided { winner, loser } = self.store.merge(copy, cx.now) {
            self.counts.merges += 1;
            send(cx, loser, 0, Body::Notice(winner));
        }
    }

    /// A page of the values under a key.
    pub(super) fn page(&self, key: Key, after: Option<NodeId>, budget: u16, now: UnixTime) -> Body {
        let ready = self.rehome.territory(self.me, key) == Territory::Own;
        let mut room = VALUES_BYTES_MAX.min(budget.into());
        let (mut digest, mut more, mut records) = (0, false, Vec::new());
        for held in self.store.live(key, now) {
            digest ^= held.tag;
            if after.is_some_and(|a| held.record.owner <= a) || more {
                continue;
            }
            match room.checked_sub(held.record.wire_len()) {
                Some(rest) => {
                    room = rest;
                    records.push(held.record.clone());
                }
                None => more = true,
            }
        }
        Body::Values { ready, more, digest, records }
    }
}
