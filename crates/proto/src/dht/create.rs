//! `create`: one owner at a time holds an exclusive key.
//!
//! **The promise**: never two owners in a connected ring; one within 10 s of a merge of two rings, and the
//! other one knows.
//!
//! # How
//! 1. *Reserve.* The client asks the owners of the eight points of the key to note its claim. A claim lives
//!    some seconds. Among claims the one of lower SHA-256(key ‖ owner) is better; a replica grants the best.
//! 2. *Commit.* Granted by more than half, the client asks all to commit. A replica commits a claim only if
//!    it is there and the best, and nothing else is committed. Committed by more than half: won.
//! 3. *Withdraw.* Who cannot win any more takes back claims and commits, with a signed withdrawal that
//!    outlives older copies of the record. The best claim begins again until all others have done so.
//!
//! Who has other keys to choose from gives way to the first replica that holds another's commit: it looks
//! elsewhere a round trip later, and need not wait for the majority.
//!
//! # Why it holds
//! - A replica holds one committed record per key, its *vote*, and only expiry, its owner or a record that stands
//!   above it removes it. A create that is not decided stands above nothing: its votes, copied to another replica,
//!   change no vote there. A *renewal* is written by who had a majority, and stands above votes for others.
//! - More than half means: of the distinct owners that answered and of the points that did not (`ask`). Two
//!   such majorities share a replica, and it commits once. They do if they are of one moment: commits count that
//!   come together within `VOTE_LIFE`, since a ring that grows has other owners soon.
//! - When points change hands, the old owner stops to answer for them before the new one starts: a replica
//!   says *not ready* for what is not its own, and for its own until it has copied it (`rehome`).
//! - Two rings may each have an owner. When they merge, replicas copy to each other and keep, of two
//!   renewals, the one of lower rank; they tell the loser, who asks a majority before it believes it. The same
//!   order decides everywhere, so one remains. Both have been renewed soon after they were created (`publish`).
//!
//! # Why somebody wins
//! The best claim is refused only by commits of worse ones. These had a majority, then they have won; or they
//! meet the best claim at half of the replicas, then they withdraw and the best claim's next round succeeds.

use super::ask::Asked;
use super::store::{Store, place};
use crate::NodeId;
use crate::time::{Instant, Now};
use crate::wire::dht::{Body, Name, Refusal};
use crate::wire::record::{Intent, Key, Record};
use std::time::Duration;

/// Life of a claim that is not committed: longer than reserve and commit take over a slow path, shorter than
/// an operation, so that whoever vanishes in between does not block the others.
pub(super) const CLAIM_LIFE: Duration = Duration::from_secs(4);
/// Claims noted per key. Worse ones are told at once that they lose; the best one is always among them.
const CLAIMS_PER_KEY: usize = 8;

/// A claim that is not committed yet.
#[derive(Debug)]
pub(super) struct Claim {
    rank: [u8; 32],
    until: Instant,
    record: Record,
}

/// What became of a copied record.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Merge {
    /// Nothing is left to say.
    Quiet,
    /// Of two committed records `winner` stays; this owner is to be told.
    Decided { winner: Record, loser: NodeId },
}

/// Whether of two owners' records, which met because one was copied, the first is the one to stay. Neither is, if
/// both are votes for creates that may be under way.
fn stands_above(a: &Record, b: &Record) -> bool {
    a.is_renewal() && (!b.is_renewal() || a.key.rank(a.owner) < b.key.rank(b.owner))
}

/// The replica's side.
impl Store {
    /// Notes a claim.
    pub(super) fn reserve(&mut self, record: Record, now: Now) -> Body {
        if let Some(reply) = self.committed_in_the_way(&record, now) {
            return reply;
        }
        // A renewal is granted whoever else would like the key.
        if record.is_renewal() || self.holder(record.key, now.unix).is_some() {
            return Body::Granted;
        }
        let (key, owner) = (record.key, record.owner);
        self.drop_claims(key, |c| c.until <= now.instant || c.record.owner == owner);
        if !self.has_room_for_claim(owner) {
            self.drop_all_stale_claims(now.instant);
            if !self.has_room_for_claim(owner) {
                return Body::Refused(Refusal::Full);
            }
        }
        let rank = key.rank(owner);
        let claims = &mut self.entry_mut(key).claims;
        claims.push(Claim { rank, until: now.instant + CLAIM_LIFE, record });
        claims.sort_by_key(|c| c.rank);
        let worst = if claims.len() > CLAIMS_PER_KEY { claims.pop() } else { None };
        let best = claims[0].record.clone();
        self.claims.add(owner);
        if let Some(worst) = worst {
            self.claims.remove(worst.record.owner);
        }
        if best.owner == owner {
            Body::Granted
        } else {
            Body::Conflict { winner: best, committed: false }
        }
    }

    /// Makes a claim the record that holds the key, or renews that record. A renewal needs no claim: the replica
    /// may be new to the key.
    pub(super) fn commit(&mut self, record: Record, now: Now) -> Body {
        if let Some(reply) = self.committed_in_the_way(&record, now) {
            return reply;
        }
        self.drop_stale_claims(record.key, now.instant);
        let holder = self.holder(record.key, now.unix).map(|h| h.owner);
        if holder.is_none() && !record.is_renewal() {
            let claims = self.entry(record.key).map_or(&[][..], |e| &e.claims);
            if !claims.iter().any(|c| c.record.owner == record.owner) {
                return Body::Unclaimed;
            }
            if claims[0].record.owner != record.owner {
                return Body::Conflict { winner: claims[0].record.clone(), committed: false };
            }
        }
        let (key, owner) = (record.key, record.owner);
        match self.insert(record, now.unix) {
            Ok(()) => {
                // Whose vote this was learns it when it counts.
                if let Some(other) = holder.filter(|&holder| holder != owner) {
                    self.remove(Name { key, owner: other });
                }
                self.drop_claims(key, |_| true);
                Body::Committed
            }
            Err(refusal) => Body::Refused(refusal),
        }
    }

    /// Takes back what the owner of `withdrawal` wrote: claim, committed record or value.
    pub(super) fn withdraw(&mut self, withdrawal: Record, now: Now) -> Body {
        let name = Name { key: withdrawal.key, owner: withdrawal.owner };
        self.drop_claims(name.key, |c| {
            c.record.owner == name.owner && c.record.seq < withdrawal.seq
        });
        match self.get(name).map(|h| h.record.seq) {
            // Kept in place of the record, so that an older copy cannot come back.
            Some(seq) if seq < withdrawal.seq => match self.insert(withdrawal, now.unix) {
                Ok(()) => Body::Withdrawn,
                Err(_) => {
                    self.remove(name);
                    Body::Withdrawn
                }
            },
            _ => Body::Withdrawn,
        }
    }

    /// Takes a copy that another replica held: the one place where two renewals may meet.
    pub(super) fn merge(&mut self, copy: Record, now: Now) -> Merge {
        let name = Name { key: copy.key, owner: copy.owner };
        if self.get(name).is_some_and(|h| h.record.seq >= copy.seq) {
            return Merge::Quiet;
        }
        let holder = match copy.key.is_exclusive() {
            true => self.holder(copy.key, now.unix).cloned(),
            false => None,
        };
        match holder.filter(|h| h.owner != copy.owner && !copy.is_withdrawn()) {
            None => {
                // A refusal needs no answer: the replica is full and stays as it is.
                let _full = self.insert(copy, now.unix);
                Merge::Quiet
            }
            Some(holder) if stands_above(&copy, &holder) => {
                let (winner, loser) = (copy.clone(), holder.owner);
                self.remove(Name { key: holder.key, owner: holder.owner });
                let _full = self.insert(copy, now.unix);
                Merge::Decided { winner, loser }
            }
            Some(holder) if stands_above(&holder, &copy) => {
                Merge::Decided { winner: holder, loser: copy.owner }
            }
            Some(_undecided) => Merge::Quiet,
        }
    }

    /// A committed record of another owner, or a newer one of the same. Of two renewals the one that is here stays:
    /// its copies decide.
    fn committed_in_the_way(&self, record: &Record, now: Now) -> Option<Body> {
        let stays =
            |h: &&Record| h.owner != record.owner && (h.is_renewal() || !record.is_renewal());
        let other = self.holder(record.key, now.unix).filter(stays);
        let own = self.get(Name { key: record.key, owner: record.owner }).map(|h| &h.record);
        let own = own.filter(|h| h.seq > record.seq || h.is_withdrawn() && h.seq == record.seq);
        let winner = other.or(own)?.clone();
        Some(Body::Conflict { winner, committed: true })
    }

    fn has_room_for_claim(&self, owner: NodeId) -> bool {
        self.claims.all() < self.limits.claims && self.claims.of(owner) < self.limits.per_owner
    }

    fn drop_stale_claims(&mut self, key: Key, now: Instant) {
        self.drop_claims(key, |c| c.until <= now);
    }

    fn drop_claims(&mut self, key: Key, unwanted: impl Fn(&Claim) -> bool) {
        let Some(entry) = self.entries.get_mut(&place(key)) else { return };
        for claim in entry.claims.extract_if(.., |c| unwanted(c)) {
            self.claims.remove(claim.record.owner);
        }
        self.tidy(key);
    }

    /// Forgets all claims that have outlived [`CLAIM_LIFE`].
    pub(super) fn drop_all_stale_claims(&mut self, now: Instant) {
        let with_claims = self.entries.iter().filter(|(_, e)| !e.claims.is_empty());
        let keys: Vec<Key> = with_claims.map(|((_, key), _)| *key).collect();
        keys.into_iter().for_each(|key| self.drop_stale_claims(key, now));
    }
}

/// What a replica says to a claim or commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Vote {
    /// Granted, or committed.
    Yes,
    /// A better claim is there.
    Outranked(Record),
    /// Another record is committed.
    Taken(Record),
    /// By the replica's clock the record has expired or lives too long.
    Expired,
    /// The replica refuses, for another reason.
    No,
}

impl Rival {
    /// What such a create wants with the key.
    pub(super) fn intent(self) -> Intent {
        match self {
            Rival::Held => Intent::Renew,
            Rival::Most | Rival::Any => Intent::Write,
        }
    }
}

impl Vote {
    /// What a refusal says.
    pub(super) fn against(refusal: Refusal) -> Vote {
        match refusal {
            Refusal::Expiry => Vote::Expired,
            Refusal::Forbidden | Refusal::Full => Vote::No,
        }
    }
}

/// Whether our clock and those of the replicas differ: at least half of those that answered cannot believe the
/// record's expiry. In a network of two the other one is enough, as our own replica agrees with us.
pub(super) fn clocks_differ(asked: &Asked<Vote>) -> bool {
    let expired = asked.count(|vote| *vote == Vote::Expired);
    expired > 0 && expired * 2 >= asked.owners().len()
}

/// To what signs of another owner a create gives way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rival {
    /// It holds the key already and renews: to a majority of commits, never to a claim.
    Held,
    /// To a majority.
    Most,
    /// To one commit, before it has any of its own.
    Any,
}

/// How far a create has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Reserve,
    Commit,
    /// Begins again at this time.
    Pause(Instant),
}

/// What the client does next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Wait,
    /// A majority said yes.
    Proceed,
    /// Another owner holds the key, or is about to.
    Lose(Record),
    /// No majority can come together in this round.
    StartOver,
}

/// Judges a round of reserve or commit by the votes so far. To give way early is safe: it only takes back.
pub(super) fn judge(asked: &Asked<Vote>, rival: Rival, stage: Stage) -> Next {
    let electorate = asked.electorate();
    let is_majority = |n: usize| n * 2 > electorate;
    let yes = asked.count(|v| *v == Vote::Yes);
    if is_majority(yes) {
        return Next::Proceed;
    }
    let owners = asked.owners();
    let taken_by = |owner: NodeId| asked.count(|v| matches!(v, Vote::Taken(r) if r.owner == owner));
    let winners = owners.values().filter_map(|v| match v {
        Vote::Taken(record) => Some(record),
        _ => None,
    });
    let is_enough = |n: usize| is_majority(n) || rival == Rival::Any && stage == Stage::Reserve;
    if let Some(winner) = winners.clone().find(|w| is_enough(taken_by(w.owner))) {
        return Next::Lose(winner.clone());
    }
    let may_turn_out_taken = winners.clone().any(|w| is_majority(taken_by(w.owner) + asked.open()));
    if is_majority(yes + asked.open()) || may_turn_out_taken && asked.open() > 0 {
        return Next::Wait;
    }
    let better = owners.values().filter_map(|v| match v {
        Vote::Outranked(record) => Some(record),
        _ => None,
    });
    match better.min_by_key(|r| r.key.rank(r.owner)) {
        Some(best) if rival != Rival::Held => Next::Lose(best.clone()),
        _ => Next::StartOver,
    }
}
