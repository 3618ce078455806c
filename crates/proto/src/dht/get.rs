//! Reading a key: pages from all replicas, united, each value verified.
//!
//! A validly signed value counts whoever delivers it. What one replica alone could hide or invent needs more
//! than half of the distinct owners that answer and are ready: that nothing is there, and who holds an exclusive
//! key.
//! Replicas that hold the same say so by equal digests; of those only one is read to the end.

use super::ask::{Asked, patience};
use super::certificates::{Certificates, Verdict};
use super::client::ask_certificate;
use super::{Context, Failure, Outcome};
use crate::NodeId;
use crate::rtt::Rtt;
use crate::time::Instant;
use crate::wire::dht::{Body, VALUES_BYTES_MAX};
use crate::wire::record::{Key, REPLICAS, Record};
use std::collections::BTreeMap;
use std::time::Duration;

/// Most values that one read gives: 1,024 of the longest are 660 KB.
const VALUES_MAX: usize = 1_024;
/// After this time the reader no longer waits for the last points, if more than half of the eight answered.
const SETTLE: Duration = Duration::from_secs(2);
/// Pause before replicas that disagree are asked again, and how often it doubles: a write and its copies are
/// there after some round trips, or after the seconds that replicas in a ring that grows take to be ready.
const AGAIN_PAUSE: Duration = Duration::from_millis(300);
const AGAIN_DOUBLINGS: u32 = 2;
/// How often a certificate is asked for before the values it would prove are dropped.
const CERTIFICATE_TRIES: u8 = 3;

#[derive(Debug)]
pub(super) struct Get {
    pub(super) key: Key,
    pub(super) asked: Asked<Page>,
    /// When the last new value came.
    pub(super) progress: Instant,
    found: BTreeMap<NodeId, Record>,
    /// Values that were found since the caller was told last, if it wants to be told.
    pub(super) fresh: Vec<Record>,
    tells: bool,
    /// How often all were asked again because they disagreed.
    rounds: u32,
    /// Values whose owner's certificate is on its way.
    unverified: BTreeMap<NodeId, Unverified>,
}

/// What a replica has said so far.
#[derive(Clone, Debug)]
pub(super) struct Page {
    ready: bool,
    more: bool,
    digest: u64,
    last: Option<NodeId>,
    /// The owners named in the first page: of an exclusive key at most one.
    holder: Option<NodeId>,
}

#[derive(Debug)]
struct Unverified {
    record: Record,
    from: NodeId,
    tries: u8,
    ask_at: Instant,
}

impl Get {
    pub(super) fn new(key: Key, tells: bool, cx: &mut Context<'_>) -> Get {
        let asked = Asked::new(cx.rng.u64(), cx.now.instant);
        Get {
            key,
            asked,
            progress: cx.now.instant,
            found: BTreeMap::new(),
            fresh: Vec::new(),
            tells,
            rounds: 0,
            unverified: BTreeMap::new(),
        }
    }

    /// What to ask a point: the page after the last one it gave.
    pub(super) fn question(&self, index: u8) -> Body {
        let page = self.asked.answer_of(index).map(|(_, page)| page);
        let after = page.filter(|page| page.more).and_then(|page| page.last);
        Body::Get { key: self.key, after, budget: VALUES_BYTES_MAX as u16 }
    }

    pub(super) fn lacks(&self, owner: NodeId) -> bool {
        self.unverified.contains_key(&owner)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let certificates = self.unverified.values().map(|u| u.ask_at);
        certificates.chain(self.asked.deadline()).min()
    }

    /// Takes the values of a page.
    #[allow(clippy::too_many_arguments)] // the fields of one message
    pub(super) fn take_page(
        &mut self,
        from: NodeId,
        ready: bool,
        more: bool,
        digest: u64,
        records: Vec<Record>,
        certificates: &mut Certificates,
        cx: &Context<'_>,
    ) -> Page {
        let last = records.last().map(|r| r.owner);
        let page = Page { ready, more: more && last.is_some(), digest, last, holder: last };
        for record in records {
            let is_wanted = record.key == self.key
                && !record.is_withdrawn()
                && record.is_live(cx.now.unix)
                && self.found.get(&record.owner).is_none_or(|f| f.seq < record.seq)
                && self.found.len() + self.unverified.len() < VALUES_MAX;
            if !is_wanted {
                continue;
            }
            self.progress = cx.now.instant;
            if certificates.check(&record, cx) == Verdict::Valid {
                self.find(record);
            } else {
                let ask_at = cx.now.instant;
                let unverified = Unverified { record, from, tries: 0, ask_at };
                self.unverified.entry(unverified.record.owner).or_insert(unverified);
            }
        }
        page
    }

    /// Takes the certificate of an owner.
    pub(super) fn offer(
        &mut self,
        owner: NodeId,
        certificate: &[u8],
        certificates: &mut Certificates,
        cx: &Context<'_>,
    ) {
        if let Some(u) = self.unverified.remove(&owner) {
            // A value that even the owner's certificate does not prove is dropped.
            if certificates.offer(certificate, &u.record, cx) {
                self.find(u.record);
            }
        }
    }

    fn find(&mut self, record: Record) {
        if self.tells && !self.found.contains_key(&record.owner) {
            self.fresh.push(record.clone());
        }
        self.found.insert(record.owner, record);
    }

    /// Asks for the certificates that are lacking. Each that comes is [offered](Get::offer): what is here has been
    /// judged by those that were known.
    pub(super) fn ask_certificates(&mut self, rtt: &Rtt, cx: &mut Context<'_>) {
        let now = cx.now.instant;
        self.unverified.retain(|&owner, u| {
            if u.ask_at > now {
                return true;
            }
            if u.tries >= CERTIFICATE_TRIES {
                return false;
            }
            u.ask_at = now + patience(rtt, u.tries);
            u.tries += 1;
            ask_certificate(owner, u.from, cx);
            true
        });
    }

    /// Lets one replica of each digest go on to its next page.
    pub(super) fn turn_pages(&mut self, now: Instant) {
        for i in 0..REPLICAS {
            let Some((_, page)) = self.asked.answer_of(i) else { continue };
            let is_next = page.more && !self.asked.is_waiting(i) && !self.asked.is_lost(i);
            if is_next && !self.is_read_elsewhere(page.digest) && self.found.len() < VALUES_MAX {
                self.asked.ask_again(i, now);
            }
        }
    }

    /// Asks all that answered once more, after a pause that grows; says whether there are any.
    pub(super) fn ask_answered_again(&mut self, now: Instant) -> bool {
        let answered: Vec<u8> = (0..REPLICAS).filter(|&i| self.asked.is_answered(i)).collect();
        let at = now + AGAIN_PAUSE * (1 << self.rounds.min(AGAIN_DOUBLINGS));
        answered.iter().for_each(|&i| self.asked.ask_again(i, at));
        self.rounds += 1;
        !answered.is_empty()
    }

    /// Whether a replica that holds the same is read to its end, or being read.
    fn is_read_elsewhere(&self, digest: u64) -> bool {
        (0..REPLICAS).any(|i| {
            let page = self.asked.answer_of(i).map(|(_, page)| page);
            page.is_some_and(|p| p.digest == digest && (!p.more || self.asked.is_waiting(i)))
        })
    }

    /// Whether a majority names one holder of an exclusive key, whatever the points still waited for say:
    /// each brings at most one more owner.
    fn is_decided(&self) -> bool {
        let votes = self.asked.count(|p| p.ready) + self.asked.waiting();
        self.key.is_exclusive() && self.found.values().any(|record| self.names(record) * 2 > votes)
    }

    /// Owners that speak for the key and name this record's owner as its holder.
    fn names(&self, record: &Record) -> usize {
        self.asked.count(|p| p.ready && p.holder == Some(record.owner))
    }

    /// What the read has come to, if it is at its end. That nothing is there counts before the time is out only
    /// if most of those who answer are ready and none has a value: else it is perhaps just being written, or
    /// copied to those who are new to the key.
    pub(super) fn outcome(
        &self,
        started: Instant,
        time_out: bool,
        now: Instant,
    ) -> Option<Outcome> {
        let answered = (0..REPLICAS).filter(|&i| self.asked.answer_of(i).is_some()).count();
        let pages = self.asked.owners();
        let reading =
            (0..REPLICAS).any(|i| self.asked.is_waiting(i) && self.asked.answer_of(i).is_some());
        let settled = self.asked.waiting() == 0
            || self.is_decided()
            || now >= started + SETTLE && answered * 2 > REPLICAS.into() && !reading;
        if !time_out && (!settled || !self.unverified.is_empty()) {
            return None;
        }
        let ready = self.asked.count(|p| p.ready);
        let is_majority = |n: usize| n * 2 > ready;
        let counts = |record: &&Record| !self.key.is_exclusive() || is_majority(self.names(record));
        let found: Vec<&Record> = self.found.values().filter(counts).collect();
        let all_read = pages.values().all(|p| !p.more || self.is_read_elsewhere(p.digest));
        let complete = all_read && !reading && self.unverified.is_empty();
        let is_undoubted =
            ready * 2 > pages.len() && pages.values().all(|page| page.holder.is_none());
        Some(if !found.is_empty() {
            Outcome::Values { records: found.into_iter().cloned().collect(), complete }
        } else if is_majority(self.asked.count(|p| p.ready && p.holder.is_none() && p.digest == 0))
            && (time_out || is_undoubted)
        {
            Outcome::Absent
        } else if pages.is_empty() {
            Outcome::Failed(Failure::NoAnswer)
        } else {
            Outcome::Failed(Failure::NoMajority)
        })
    }
}
