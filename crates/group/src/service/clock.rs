//! What is due: heads, changes of authority, expired tokens and nodes, old entries. The server calls it each minute.

use std::time::Duration;

use pki::UnixTime;

use super::Service;
use crate::error::{Error, Result};
use crate::model::{Caller, Command, Expired, Refusal};
use crate::store::{self, StoreError};

/// Things of a kind that one tick does, so that it never holds the store for long.
const BATCH: i64 = 200;

/// What a tick did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TickReport {
    /// Heads that were signed.
    pub heads: u64,
    /// Steps from one authority to the next.
    pub turned: u64,
    /// Tokens and nodes that were ended.
    pub expired: u64,
    /// Rows that were dropped: old entries of the log, certificates, generations of secrets.
    pub dropped: u64,
}

impl TickReport {
    /// Returns whether it did as much as one tick may: call it again.
    pub const fn is_full(&self) -> bool {
        self.heads >= BATCH as u64 || self.turned >= BATCH as u64 || self.expired >= BATCH as u64
    }
}

impl Service {
    /// Does what is due now: a part of it where much is, so call again.
    pub async fn tick(&self, now: UnixTime) -> Result<TickReport> {
        let mut report = TickReport::default();
        // At half its life, so that members never see one that is over.
        let soon = now + self.config().head_life() / 2;
        let due = store::chain::heads_due(&mut *self.0.store.read().await?, soon, BATCH).await?;
        for group in due {
            report.dropped += self.renew_head(&group, now).await?;
            report.heads += 1;
        }
        report.turned += self.turn_authorities(now, BATCH).await?;
        report.expired += self.expire(now).await?;
        let kept = Duration::from_secs(u64::from(self.config().audit_days) * 24 * 3600);
        let mut tx = self.0.store.begin().await?;
        report.dropped += store::chain::drop_old(&mut tx, now, now - kept).await?;
        tx.commit().await?;
        Ok(report)
    }

    /// Signs the head of a group anew, and forgets notices and secrets that are over.
    async fn renew_head(&self, group: &str, now: UnixTime) -> Result<u64> {
        let mut tx = self.0.store.begin().await?;
        let locked = store::lock_group(&mut tx, group, &Caller::service(), now).await?;
        let Some(locked) = locked else { return Ok(0) };
        let id = locked.facts.id;
        let mut authority = self.take_up(&mut tx, id, group).await?;
        let head = authority.head(now, self.config().head_life())?;
        store::chain::set_head(&mut tx, id, &head).await?;
        let settings = store::chain::settings(&mut tx, group).await?;
        let settings = settings.ok_or(StoreError::Corrupt("group"))?;
        let oldest = self.open_secrets(&mut tx, &settings, now).await?;
        let oldest = oldest.last().map_or(0, |secret| secret.secret.generation);
        let dropped = store::chain::drop_secrets(&mut tx, id, oldest).await?;
        tx.commit().await?;
        self.0.authorities.put_back(id, authority);
        self.announce_change(id, true);
        Ok(dropped)
    }

    /// Ends tokens and nodes whose time is over.
    async fn expire(&self, now: UnixTime) -> Result<u64> {
        let mut db = self.0.store.read().await?;
        let tokens = store::load::expired_tokens(&mut db, now, BATCH).await?;
        let nodes = store::load::expired_nodes(&mut db, now, BATCH).await?;
        drop(db);
        let tokens = tokens.into_iter().map(|(group, token)| (group, Expired::Token(token)));
        let nodes = nodes.into_iter().map(|(group, node)| (group, Expired::Node(node)));
        let mut ended = 0;
        for (group, what) in tokens.chain(nodes) {
            match self.run(&Caller::service(), &group, &Command::Expire(what), now).await {
                Ok(_) => ended += 1,
                // The group was deleted in between.
                Err(Error::Refused(Refusal::NotFound(_))) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(ended)
    }
}
