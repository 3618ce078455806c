//! Whom to believe: everything a member needs to judge a peer without asking anybody.
//!
//! [`Trust::judge`] is the one decision about identity, in both directions of a handshake:
//!
//! 1. read the [profile](crate::profile) strictly;
//! 2. find the pinned authority by its key identifier and verify its signature;
//! 3. bind: group of subject, URI and authority agree, node ID = hash(salt ‖ key);
//! 4. [`Trust::rejudge`]: validity with five minutes of tolerance, then the
//!    [ledger](crate::ledger) of revocations.
//!
//! Live sessions repeat only step 4, at each notice. A session ends at `not_after` by itself.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::certificate::Certificate;
use crate::error::Error;
use crate::id::NodeId;
use crate::issuer::{Issuer, ROOT_UNIT};
use crate::keyring::SignedSecret;
use crate::ledger::Ledger;
use crate::name::check_group;
use crate::profile::{self, Member};
use crate::refusal::Refusal;
use crate::unix_time::UnixTime;

/// How far the clocks of two members may differ; every phone and server with NTP is far below.
pub const CLOCK_TOLERANCE: Duration = Duration::from_secs(5 * 60);
/// How long an expired certificate may still sign its own renewal: one longest life.
pub const RENEWAL_GRACE: Duration = Duration::from_secs(30 * 24 * 3600);
/// Most authorities of one group at a time: one, its successor, and room for an emergency.
pub const ISSUERS_MAX: usize = 4;

/// What to do with new links while the signed list of revocations is out of date.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StalePolicy {
    /// Admit; the caller warns and counts.
    #[default]
    Lenient,
    /// Refuse.
    Strict,
}

/// The pinned authorities of a group and the revocations known so far.
#[derive(Clone, Debug)]
pub struct Trust {
    group: String,
    issuers: Vec<Issuer>,
    ledger: Ledger,
    stale: StalePolicy,
}

impl Trust {
    /// Pins the authorities of a group. Where a root is given it must have signed each of them;
    /// it alone can revoke an authority.
    pub fn new(
        group: &str,
        authorities: &[Certificate],
        root: Option<&Certificate>,
    ) -> Result<Self, Error> {
        check_group(group)?;
        let issuers = issuers_of(group, authorities)?;
        let root = root.map(Issuer::new).transpose()?;
        if let Some(root) = &root {
            if root.unit != ROOT_UNIT || !root.has_signed(root) {
                return Err(Error::Authority("the root is not one"));
            }
            if !issuers.iter().all(|issuer| root.has_signed(issuer)) {
                return Err(Error::Authority("the root has not signed it"));
            }
        }
        let ledger = Ledger::new(group, &issuers, root.as_ref());
        Ok(Self { group: group.to_owned(), issuers, ledger, stale: StalePolicy::default() })
    }

    /// Puts these authorities in the place of the pinned ones, as a group does that goes from one to
    /// the next. What is revoked stays so, whoever signed it. Returns whether they are others.
    ///
    /// Who may say so is for the caller to know. With a root it is the root, which is not asked
    /// here: such a group pins at the start.
    pub fn repin(&mut self, authorities: &[Certificate]) -> Result<bool, Error> {
        let issuers = issuers_of(&self.group, authorities)?;
        let known: Vec<_> = self.authorities().collect();
        if known == authorities.iter().collect::<Vec<_>>() {
            return Ok(false);
        }
        if self.ledger.has_root() {
            return Err(Error::Authority("a group with a root pins at the start"));
        }
        self.ledger.set_issuers(&issuers);
        self.issuers = issuers;
        Ok(true)
    }

    /// Chooses what to do while the list of revocations is out of date.
    pub fn set_stale_policy(&mut self, policy: StalePolicy) {
        self.stale = policy;
    }

    /// Returns the group.
    pub fn group(&self) -> &str {
        &self.group
    }

    /// Returns the certificates of the pinned authorities.
    pub fn authorities(&self) -> impl Iterator<Item = &Certificate> {
        self.issuers.iter().map(|issuer| &issuer.certificate)
    }

    /// Returns the known revocations.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Returns the known revocations, to add some.
    pub fn ledger_mut(&mut self) -> &mut Ledger {
        &mut self.ledger
    }

    /// Decides whether the holder of this certificate is a member now.
    ///
    /// The caller has proof that the peer holds the key (TLS), or demands it afterwards.
    pub fn judge(&self, leaf_der: &[u8], now: UnixTime) -> Result<Member, Refusal> {
        let member = self.identify(leaf_der, now)?;
        self.admit(&member, now)?;
        Ok(member)
    }

    /// Decides whether a member whose certificate was read may have a new link: step 4, and whether
    /// the list of revocations is fresh enough to say so.
    pub fn admit(&self, member: &Member, now: UnixTime) -> Result<(), Refusal> {
        self.rejudge(member, now)?;
        self.check_fresh(now)
    }

    /// As [`judge`](Self::judge), for a peer that was called by its ID.
    pub fn judge_as(
        &self,
        leaf_der: &[u8],
        expected: NodeId,
        now: UnixTime,
    ) -> Result<Member, Refusal> {
        let member = self.judge(leaf_der, now)?;
        if member.node_id == expected { Ok(member) } else { Err(Refusal::WrongNode) }
    }

    /// Decides whether this certificate may still sign its own renewal: like
    /// [`judge`](Self::judge), but [`RENEWAL_GRACE`] longer.
    pub fn judge_renewal(&self, leaf_der: &[u8], now: UnixTime) -> Result<Member, Refusal> {
        let member = self.identify(leaf_der, now)?;
        check_validity(&member, now, RENEWAL_GRACE)?;
        self.check_revoked(&member)?;
        Ok(member)
    }

    /// Decides again about a member that was admitted: has time or a notice ended it?
    pub fn rejudge(&self, member: &Member, now: UnixTime) -> Result<(), Refusal> {
        check_validity(member, now, CLOCK_TOLERANCE)?;
        self.check_revoked(member)
    }

    /// Returns whether an authority in force signed this generation of the group secret.
    pub(crate) fn has_signed(&self, secret: &SignedSecret) -> bool {
        self.ledger.keys_in_force().any(|spki| secret.is_signed_by(&self.group, spki))
    }

    /// Steps 1 to 3: who signed for whom, at whatever time.
    fn identify(&self, leaf_der: &[u8], now: UnixTime) -> Result<Member, Refusal> {
        let mut member = profile::read(leaf_der)?;
        let Some(issuer) = self.issuers.iter().find(|issuer| issuer.id == member.issuer) else {
            let foreign = member.group != self.group;
            return Err(if foreign { Refusal::WrongGroup } else { Refusal::UnknownIssuer });
        };
        if member.not_before > member.not_after {
            return Err(Refusal::Malformed("validity"));
        }
        // The chain verifier knows no tolerance: it is asked about the nearest valid moment, and
        // the times are judged apart.
        issuer.verify_leaf(leaf_der, now.clamp(member.not_before, member.not_after))?;
        if member.group != self.group {
            return Err(Refusal::WrongGroup);
        }
        if NodeId::salted(&member.salt, &member.spki) != member.node_id {
            return Err(Refusal::IdMismatch);
        }
        member.not_after = member.not_after.min(issuer.not_after);
        Ok(member)
    }

    fn check_revoked(&self, member: &Member) -> Result<(), Refusal> {
        match self.ledger.is_revoked(member) {
            Some(notice) => Err(Refusal::Revoked { notice }),
            None => Ok(()),
        }
    }

    fn check_fresh(&self, now: UnixTime) -> Result<(), Refusal> {
        let due = self.ledger.fresh_until().unwrap_or_default();
        match self.stale {
            StalePolicy::Strict if due + CLOCK_TOLERANCE < now => {
                Err(Refusal::StaleNotices { since: due })
            }
            StalePolicy::Strict | StalePolicy::Lenient => Ok(()),
        }
    }
}

fn issuers_of(group: &str, authorities: &[Certificate]) -> Result<Vec<Issuer>, Error> {
    if !(1..=ISSUERS_MAX).contains(&authorities.len()) {
        return Err(Error::Authority("a group has one to four"));
    }
    let issuers = authorities.iter().map(Issuer::new).collect::<Result<Vec<_>, _>>()?;
    if issuers.iter().any(|issuer| issuer.unit != group) {
        return Err(Error::Authority("it is for another group"));
    }
    Ok(issuers)
}

fn check_validity(member: &Member, now: UnixTime, grace: Duration) -> Result<(), Refusal> {
    if now + CLOCK_TOLERANCE < member.not_before {
        return Err(Refusal::NotYetValid { from: member.not_before });
    }
    if member.not_after + grace < now {
        return Err(Refusal::Expired { since: member.not_after });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
