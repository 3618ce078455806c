//! Revocation: who is out, how nodes and other tools learn it.

use std::collections::HashMap;
use std::time::Duration;

use pki::enrolment::Token;
use pki::{Member, NodeId, Revoked, Roles, Salt, SignedSecret, UnixTime};

use super::{Service, find};
use crate::error::Result;
use crate::model::{Caller, Command, GroupId, Refusal};
use crate::store::{self, Page, Paged, StoreError};
use crate::view::RevocationView;

/// What the daemon beside the service shall pass on for a group.
#[derive(Debug)]
pub struct Announcement {
    /// The number of the newest notice.
    pub number: u64,
    /// The chain, in the text form of [`Ledger::to_text`](pki::Ledger::to_text).
    pub notices: String,
    /// Generations of the group secret, newest first.
    pub secrets: Vec<SignedSecret>,
    /// The nodes that are out by what was not passed on yet, each with the number of the notice.
    pub victims: Vec<(u64, NodeId)>,
}

/// The chain of a group, as one of its nodes asks for it.
#[derive(Debug)]
pub struct Notices {
    /// The group.
    pub group: GroupId,
    /// The head and the notices after the one that was named, as text.
    pub text: String,
    /// The number of the newest.
    pub newest: u64,
}

impl Service {
    /// Revokes a certificate, a node, or a member with the membership and all nodes and tokens; returns the
    /// number of the notice.
    pub async fn revoke(
        &self,
        caller: &Caller,
        group: &str,
        what: Revoked,
        reason: String,
        now: UnixTime,
    ) -> Result<u64> {
        let done = self.run(caller, group, &Command::Revoke { what, reason }, now).await?;
        Ok(done.notice.ok_or(StoreError::Corrupt("notice"))?)
    }

    /// Lists revocations, the newest first, for members.
    pub async fn revocations(
        &self,
        caller: &Caller,
        group: &str,
        page: &Page,
    ) -> Result<Paged<RevocationView>> {
        let mut db = self.0.store.read().await?;
        let settings = find(&mut db, group).await?;
        self.member_reads(&mut db, caller, settings.id).await?;
        Ok(store::read::revocations(&mut db, settings.id, page).await?)
    }

    /// The head and the notices after one, as text, for the bearer of a token of the group. A token
    /// whose time is over is good enough here: nodes that it enrolled still need the news.
    pub async fn notices(&self, token: &Token, after: u64) -> Result<Notices> {
        let group = self.group_of(token.hash()).await?.ok_or(Refusal::TokenUnknown)?;
        let mut db = self.0.store.read().await?;
        let settings = find(&mut db, &group).await?;
        let newest = store::read::newest_notice(&mut db, settings.id).await?;
        let text = store::chain::text_after(&mut db, settings.id, after).await?;
        Ok(Notices { group: settings.id, text, newest })
    }

    /// The X.509 list of an authority, DER, for everybody.
    pub async fn crl(&self, issuer: &str, now: UnixTime) -> Result<Vec<u8>> {
        let mut db = self.0.store.read().await?;
        let group = store::chain::group_of_issuer(&mut db, issuer).await?;
        let group = group.ok_or(Refusal::NotFound("revocation list"))?;
        let settings = find(&mut db, &group).await?;
        let authority = self.take_up(&mut db, settings.id, &group).await?;
        let rows = store::chain::unexpired(&mut db, settings.id, now).await?;
        let issued: Vec<Member> = rows.into_iter().map(|row| member(row, &group)).collect();
        let crl = authority.crl(&issued, now, now + self.config().head_life());
        self.0.authorities.put_back(settings.id, authority);
        Ok(crl?.der().to_vec())
    }

    /// Announces notices that another process has signed since the last call: the operator's command,
    /// or a replica. Those of this process may be among them; who looks for nothing new goes on waiting.
    pub async fn hear_others(&self, known: &mut HashMap<GroupId, u32>) -> Result<()> {
        let counts = store::chain::notice_counts(&mut *self.0.store.read().await?).await?;
        for (group, count) in counts {
            if known.insert(group, count) != Some(count) {
                self.announce_change(group, true);
            }
        }
        Ok(())
    }

    /// The groups for which the daemon beside the service has something to pass on.
    pub async fn groups_to_announce(&self) -> Result<Vec<String>> {
        let mut db = self.0.store.read().await?;
        Ok(store::chain::groups_unannounced(&mut db).await?)
    }

    /// What the daemon beside the service has still to pass on for a group; nothing: `None`.
    pub async fn announcement(&self, group: &str, now: UnixTime) -> Result<Option<Announcement>> {
        let mut db = self.0.store.read().await?;
        let settings = find(&mut db, group).await?;
        let waiting = store::chain::unannounced(&mut db, settings.id).await?;
        let Some(newest) = waiting.last() else { return Ok(None) };
        Ok(Some(Announcement {
            number: newest.number,
            notices: store::chain::text_after(&mut db, settings.id, 0).await?,
            secrets: self.open_secrets(&mut db, &settings, now).await?,
            victims: waiting
                .into_iter()
                .flat_map(|notice| notice.victims.into_iter().map(move |id| (notice.number, id)))
                .collect(),
        }))
    }

    /// Remembers that the notices up to one were passed on.
    pub async fn set_announced(&self, group: &str, up_to: u64, now: UnixTime) -> Result<()> {
        let mut tx = self.0.store.begin().await?;
        let settings = find(&mut tx, group).await?;
        store::chain::set_announced(&mut tx, settings.id, up_to, now).await?;
        Ok(tx.commit().await?)
    }
}

/// What the writer of the list looks at: serial, node, user, issuer and times.
fn member(row: store::chain::CertificateRow, group: &str) -> Member {
    const BACKDATE: Duration = pki::BACKDATE;
    Member {
        node_id: row.node,
        user: row.user,
        group: group.to_owned(),
        roles: Roles::NONE,
        serial: row.serial,
        issuer: row.issuer,
        not_before: row.issued - BACKDATE,
        not_after: row.not_after,
        salt: Salt::from_bytes([0; Salt::LEN]),
        ipv4: None,
        host: None,
        spki: Vec::new(),
    }
}
