//! The chain of revocations as one node knows it, and the set that is looked up.
//!
//! Notices arrive from three carriers in any order and any number of times. The ledger takes the
//! next one of the chain, knows the old ones again, reports a gap for later ones and a fork for two
//! histories. Each notice is verified once; a look-up afterwards is four hash-table probes.
//!
//! Notices whose time is over are dropped from the front: by the authority when it looks at its clock
//! ([`Ledger::prune`]), and by all others on the word of its head, which names the first that is still
//! in force. A member's own clock would forget revocations when it is wrong. A new node starts at that
//! first one.
//!
//! One thing overrides the order: the root's word that an authority is out counts at once and
//! wherever it stands, since a thief of that authority's key could otherwise keep it from the chain
//! by signing a notice of the same number. What else the thief put into the chain stays there: a
//! group whose authority was ended gets a new one and with it a new ledger.
//!
//! Invariant: `notices` are consecutive, `base` is the number before the first of them, and each
//! but the first follows from the one before.

use std::collections::{HashMap, VecDeque};

use crate::id::IssuerId;
use crate::issuer::Issuer;
use crate::notice::{Head, Notice, Revoked, genesis};
use crate::pem::{from_base64, to_base64};
use crate::profile::Member;
use crate::unix_time::UnixTime;

/// Most notices kept: 270 a day over the 60 days that one stays in force; about 5 MB.
pub const NOTICES_MAX: usize = 16_384;

/// Why a notice or head was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// It is not of the wire format.
    #[error("not a notice or head")]
    Malformed,
    /// None of the group's authorities signed it.
    #[error("not signed by an authority of this group")]
    BadSignature,
    /// It is in order, but its signer may not say this.
    #[error("only the root revokes an authority, and a revoked authority says nothing more")]
    NotAuthorised,
    /// Notices are missing before it: fetch these, then offer it again.
    #[error("notices {from} to {to} are missing")]
    Gap {
        /// First missing number.
        from: u64,
        /// Last missing number.
        to: u64,
    },
    /// The authority signed two histories: its key is in two hands.
    #[error("two different histories from notice {number} on; the authority's key may be stolen")]
    Fork {
        /// Where they part.
        number: u64,
    },
    /// No room is left.
    #[error("the ledger is full")]
    Full,
}

/// What became of a good notice or head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was news: pass it on, judge live sessions again.
    New,
    /// It was known, or is too old to matter.
    Known,
}

/// A line of a notices file was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {error}")]
pub struct LineError {
    /// Number of the line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub error: LedgerError,
}

/// Verified notices of one group, in order.
#[derive(Clone, Debug)]
pub struct Ledger {
    group: String,
    signers: Vec<Signer>,
    base: u64,
    notices: VecDeque<Notice>,
    /// Hash that the next notice must name; `None` when a head let us start in the middle.
    tail_hash: Option<[u8; 32]>,
    head: Option<Head>,
    /// The root's notices about our authorities, one each at most, in or beside the chain.
    endings: Vec<Notice>,
    /// What is out, with the moment before which and the notice that says so.
    revoked: HashMap<Revoked, (UnixTime, u64)>,
}

#[derive(Clone, Debug)]
struct Signer {
    id: IssuerId,
    spki: Vec<u8>,
    is_root: bool,
}

impl Signer {
    fn new(issuer: &Issuer, is_root: bool) -> Self {
        Self { id: issuer.id, spki: issuer.spki.clone(), is_root }
    }
}

impl Ledger {
    /// Starts an empty ledger.
    pub(crate) fn new(group: &str, issuers: &[Issuer], root: Option<&Issuer>) -> Self {
        let issuing = issuers.iter().map(|issuer| Signer::new(issuer, false));
        Self {
            group: group.to_owned(),
            signers: issuing.chain(root.map(|root| Signer::new(root, true))).collect(),
            base: 0,
            notices: VecDeque::new(),
            tail_hash: Some(genesis(group)),
            head: None,
            endings: Vec::new(),
            revoked: HashMap::new(),
        }
    }

    /// Returns whether a root stands above the authorities.
    pub(crate) fn has_root(&self) -> bool {
        self.signers.iter().any(|signer| signer.is_root)
    }

    /// From now on these authorities sign; what others have signed stays.
    pub(crate) fn set_issuers(&mut self, issuers: &[Issuer]) {
        self.signers.retain(|signer| signer.is_root);
        self.signers.extend(issuers.iter().map(|issuer| Signer::new(issuer, false)));
    }

    /// Returns the number of the newest notice, 0 for none.
    pub fn number(&self) -> u64 {
        self.base + self.notices.len() as u64
    }

    /// Returns the generation of the group secret that the newest notice started.
    pub fn generation(&self) -> u32 {
        u32::try_from(self.number()).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// Returns the newest head.
    pub fn head(&self) -> Option<&Head> {
        self.head.as_ref()
    }

    /// Returns the notices known and needed, but missing: fetch them.
    pub fn missing(&self) -> Option<(u64, u64)> {
        let newest = self.head.as_ref()?.number;
        (newest > self.number()).then_some((self.number() + 1, newest))
    }

    /// Returns until when the ledger is known to be complete.
    pub fn fresh_until(&self) -> Option<UnixTime> {
        let head = self.head.as_ref()?;
        (head.number <= self.number()).then_some(head.next_update)
    }

    /// Returns the notice with this number while it is kept.
    pub fn get(&self, number: u64) -> Option<&Notice> {
        let index = number.checked_sub(self.base + 1)?;
        self.notices.get(usize::try_from(index).ok()?)
    }

    /// Returns the kept notices in order.
    pub fn notices(&self) -> impl ExactSizeIterator<Item = &Notice> + DoubleEndedIterator {
        self.notices.iter()
    }

    /// Returns the number of a notice that revokes this member.
    pub fn is_revoked(&self, member: &Member) -> Option<u64> {
        let whole = |subject| self.revoked.get(&subject).map(|(_, number)| *number);
        let earlier = |subject| {
            let (issued_before, number) = self.revoked.get(&subject)?;
            (member.issued() < *issued_before).then_some(*number)
        };
        whole(Revoked::Serial(member.serial))
            .or_else(|| self.ending_of(member.issuer))
            .or_else(|| earlier(Revoked::Node(member.node_id)))
            .or_else(|| earlier(Revoked::User(member.user.clone())))
    }

    /// Whether the authority signed this notice, and may say so; wherever in the chain it stands.
    pub fn is_genuine(&self, notice: &Notice) -> bool {
        self.verify(notice).is_ok()
    }

    /// Verifies and takes the next notice.
    pub fn append(&mut self, notice: Notice) -> Result<Outcome, LedgerError> {
        if notice.number <= self.base || self.get(notice.number) == Some(&notice) {
            return Ok(Outcome::Known);
        }
        self.verify(&notice)?;
        let Revoked::Issuer(issuer) = notice.subject else { return self.link(notice) };
        let known = self.ending_of(issuer).is_some();
        if !known && self.signers.iter().any(|signer| signer.id == issuer) {
            self.endings.push(notice.clone());
            // A thief's head could name a number that no honest one will reach.
            self.head.take_if(|head| head.signer == issuer);
        }
        let beside = if known { Outcome::Known } else { Outcome::New };
        Ok(self.link(notice).unwrap_or(beside))
    }

    /// Verifies and takes a head; a head that is ahead makes [`missing`](Self::missing) tell what
    /// to fetch.
    pub fn observe(&mut self, head: Head) -> Result<Outcome, LedgerError> {
        let rank = |head: &Head| (head.number, head.issued, head.next_update);
        if self.head.as_ref().is_some_and(|known| rank(known) >= rank(&head)) {
            return Ok(Outcome::Known);
        }
        let signer = self.signer(head.signer)?;
        if !head.is_signed_by(&self.group, &signer.spki) {
            return Err(LedgerError::BadSignature);
        }
        if self.ending_of(head.signer).is_some() {
            return Err(LedgerError::NotAuthorised);
        }
        let known = if head.number == self.number() {
            self.tail_hash
        } else {
            self.get(head.number).map(Notice::hash)
        };
        if known.is_some_and(|known| known != head.hash) {
            return Err(LedgerError::Fork { number: head.number });
        }
        if head.first > self.number() + 1 {
            self.start_at(&head);
        } else {
            self.drop_before(head.first);
        }
        self.head = Some(head);
        Ok(Outcome::New)
    }

    /// Takes a notice or head in wire form.
    pub fn take_bytes(&mut self, bytes: &[u8]) -> Result<Outcome, LedgerError> {
        if let Some(notice) = Notice::from_bytes(bytes) {
            return self.append(notice);
        }
        self.observe(Head::from_bytes(bytes).ok_or(LedgerError::Malformed)?)
    }

    /// Takes the lines of a notices file: base64 of one notice or head each; empty lines and lines
    /// that start with `#` are skipped. Returns how many were new; stops at the first bad line.
    pub fn take_text(&mut self, text: &str) -> Result<usize, LineError> {
        let mut news = 0;
        for (index, line) in text.lines().map(str::trim).enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let bytes = from_base64(line).ok_or(LedgerError::Malformed);
            let outcome = bytes.and_then(|bytes| self.take_bytes(&bytes));
            let outcome = outcome.map_err(|error| LineError { line: index + 1, error })?;
            news += usize::from(outcome == Outcome::New);
        }
        Ok(news)
    }

    /// Writes the notices file: the head first, so that a reader may start in the middle.
    pub fn to_text(&self) -> String {
        let head = self.head.iter().map(Head::to_bytes);
        let beside = self.endings.iter().filter(|end| self.get(end.number) != Some(end));
        let lines = head.chain(self.notices.iter().chain(beside).map(Notice::to_bytes));
        lines.map(|bytes| to_base64(&bytes) + "\n").collect()
    }

    /// Drops notices from the front whose time is over; returns how many.
    pub fn prune(&mut self, now: UnixTime) -> usize {
        let in_force = self.notices.iter().find(|notice| notice.valid_until >= now);
        self.drop_before(in_force.map_or(self.number() + 1, |notice| notice.number))
    }

    /// Returns what the authority needs to go on: newest number, its hash, first number in force.
    pub(crate) fn tip(&self) -> Result<(u64, [u8; 32], u64), LedgerError> {
        match (self.missing(), self.tail_hash) {
            (None, Some(hash)) => Ok((self.number(), hash, self.base + 1)),
            (Some((from, to)), _) => Err(LedgerError::Gap { from, to }),
            (None, None) => Err(LedgerError::Gap { from: self.base, to: self.base }),
        }
    }

    /// Appends a verified notice if it is the next one.
    fn link(&mut self, notice: Notice) -> Result<Outcome, LedgerError> {
        let next = self.number() + 1;
        if notice.number > next {
            return Err(LedgerError::Gap { from: next, to: notice.number - 1 });
        }
        let hash = notice.hash();
        let follows = self.tail_hash.is_none_or(|tail| tail == notice.previous);
        if notice.number < next || !follows || self.head_contradicts(notice.number, &hash) {
            return Err(LedgerError::Fork { number: notice.number });
        }
        if self.notices.len() == NOTICES_MAX {
            return Err(LedgerError::Full);
        }
        self.tail_hash = Some(hash);
        index(&mut self.revoked, &notice);
        self.notices.push_back(notice);
        Ok(Outcome::New)
    }

    /// Checks who signed a notice and whether they may say so.
    fn verify(&self, notice: &Notice) -> Result<(), LedgerError> {
        let signer = self.signer(notice.signer)?;
        if !notice.is_signed_by(&self.group, &signer.spki) {
            return Err(LedgerError::BadSignature);
        }
        let oversteps = matches!(notice.subject, Revoked::Issuer(_)) && !signer.is_root;
        let ended = self.ending_of(notice.signer).is_some_and(|end| end <= notice.number);
        if oversteps || ended { Err(LedgerError::NotAuthorised) } else { Ok(()) }
    }

    /// Returns the keys whose word counts: those of authorities that the root did not end.
    pub(crate) fn keys_in_force(&self) -> impl Iterator<Item = &[u8]> {
        let in_force = |signer: &&Signer| self.ending_of(signer.id).is_none();
        self.signers.iter().filter(in_force).map(|signer| signer.spki.as_slice())
    }

    fn signer(&self, id: IssuerId) -> Result<&Signer, LedgerError> {
        self.signers.iter().find(|signer| signer.id == id).ok_or(LedgerError::BadSignature)
    }

    /// Returns the number of the notice by which the root ended an authority.
    fn ending_of(&self, issuer: IssuerId) -> Option<u64> {
        let ending = self.endings.iter().find(|end| end.subject == Revoked::Issuer(issuer))?;
        Some(ending.number)
    }

    fn head_contradicts(&self, number: u64, hash: &[u8; 32]) -> bool {
        self.head.as_ref().is_some_and(|head| head.number == number && head.hash != *hash)
    }

    /// Drops the notices before number `first`; returns how many.
    fn drop_before(&mut self, first: u64) -> usize {
        let over = first.saturating_sub(self.base + 1).min(self.notices.len() as u64);
        if over > 0 {
            self.notices.drain(..over as usize);
            self.base += over;
            self.revoked.clear();
            for notice in &self.notices {
                index(&mut self.revoked, notice);
            }
        }
        over as usize
    }

    /// Forgets everything, to start with what the head says is in force.
    fn start_at(&mut self, head: &Head) {
        self.base = head.first - 1;
        self.notices.clear();
        self.revoked.clear();
        self.tail_hash = (head.number == self.base).then_some(head.hash);
    }
}

fn index(revoked: &mut HashMap<Revoked, (UnixTime, u64)>, notice: &Notice) {
    let latest = (notice.issued_before, notice.number);
    let entry = revoked.entry(notice.subject.clone()).or_insert(latest);
    *entry = (*entry).max(latest);
}

#[cfg(test)]
mod tests;
