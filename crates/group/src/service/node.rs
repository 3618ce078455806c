//! Nodes: their IDs, their certificates, their list.

use std::net::Ipv6Addr;
use std::time::Duration;

use pki::enrolment::{Grant, KeyAnswer, KeyRequest, RenewalRequest, Token};
use pki::{Certificate, HostPort, Request, Salt, UnixTime};

use super::run::Shown;
use super::{Service, find};
use crate::error::Result;
use crate::model::{Actor, Caller, Command, Event, GroupId, Refusal, SiteEvent, UserId};
use crate::store::read::Sighting;
use crate::store::{self, Page, Paged, StoreError};
use crate::view::NodeView;

/// Renewal is due after this part of a certificate's life: the other two thirds outlast an outage.
const RENEW_AFTER: u32 = 3;

/// Bytes of an IPv6 address that are the same in a whole group; the rest is of the node's ID.
const PREFIX6_LEN: usize = 6;

/// The answer to a request for a certificate.
#[derive(Debug)]
pub enum CertificateAnswer {
    /// Here it is.
    Granted(Box<Grant>),
    /// An administrator has still to decide; ask again after a [`Changed`](super::Changed).
    Pending {
        /// The group to wait for.
        group: GroupId,
    },
}

impl Service {
    /// Tells a node the ID of its key. The same key gets the same answer.
    pub async fn name_node(
        &self,
        caller: &Caller,
        token: &Token,
        asked: &KeyRequest,
        now: UnixTime,
    ) -> Result<KeyAnswer> {
        let group = self.group_of_bearer(caller, token, now).await?;
        let spki = asked.public_key.clone();
        let command = Command::NameNode { spki, host: asked.host.clone(), salt: Salt::random() };
        let shown = Shown { token: Some(token.hash()), ..Shown::default() };
        let done = self.run_showing(caller, &group, &command, shown, now).await?;
        let drawn = done.events.iter().find_map(|event| match event {
            Event::NodeNamed { salt, .. } => Some(*salt),
            _ => None,
        });
        let salt = match drawn {
            Some(salt) => salt,
            None => {
                let id = done.group.ok_or(StoreError::Corrupt("group"))?;
                let mut db = self.0.store.read().await?;
                let salt = store::load::salt_of(&mut db, id, &asked.public_key).await?;
                salt.ok_or(StoreError::Corrupt("node"))?
            }
        };
        Ok(KeyAnswer::new(group, salt, &asked.public_key))
    }

    /// Signs the certificate of a node, by a token.
    pub async fn certify(
        &self,
        caller: &Caller,
        token: &Token,
        request: &Request,
        now: UnixTime,
    ) -> Result<CertificateAnswer> {
        let group = self.group_of_bearer(caller, token, now).await?;
        let Some((named, node)) = request.identity() else {
            return self.refuse(caller, &group, Refusal::IdMismatch, now).await;
        };
        if named != group {
            return self.refuse(caller, &group, Refusal::TokenForeign, now).await;
        }
        let command = Command::Certify { node };
        let shown = Shown { token: Some(token.hash()), request: Some(request), certificate: None };
        let done = self.run_showing(caller, &group, &command, shown, now).await?;
        Ok(match done.certificate {
            Some(certificate) => {
                CertificateAnswer::Granted(self.grant(&group, certificate, now).await?.into())
            }
            None => CertificateAnswer::Pending {
                group: done.group.ok_or(StoreError::Corrupt("group"))?,
            },
        })
    }

    /// Renews a certificate by the key of the old one. The caller has checked the nonce.
    pub async fn renew(
        &self,
        caller: &Caller,
        renewal: &RenewalRequest,
        now: UnixTime,
    ) -> Result<Grant> {
        let member = renewal.certificate.unverified();
        let member = member.map_err(|_| Refusal::CertificateUnknown)?;
        if !renewal.is_proven() {
            return self.refuse(caller, &member.group, Refusal::CertificateUnknown, now).await;
        }
        let caller = Caller { actor: Actor::Node(member.node_id), source: caller.source.clone() };
        let command = Command::Renew { node: member.node_id, serial: member.serial };
        let shown = Shown {
            token: None,
            request: Some(&renewal.request),
            certificate: Some(&renewal.certificate),
        };
        let done = self.run_showing(&caller, &member.group, &command, shown, now).await;
        let done = done.map_err(|error| match error.refusal() {
            Some(Refusal::NotFound(_)) => Refusal::CertificateUnknown.into(),
            _ => error,
        })?;
        let certificate = done.certificate.ok_or(StoreError::Corrupt("certificate"))?;
        self.grant(&member.group, certificate, now).await
    }

    /// The nodes to join by as they are named now, for the bearer of a token of the group. A token whose time
    /// is over is good enough, as for notices: nodes that it enrolled may have lost everybody.
    pub async fn bootstrap(&self, token: &Token) -> Result<Vec<HostPort>> {
        let group = self.group_of(token.hash()).await?.ok_or(Refusal::TokenUnknown)?;
        let mut db = self.0.store.read().await?;
        Ok(find(&mut db, &group).await?.policies.bootstrap)
    }

    /// Lists nodes in the order in which they came, for members: those of one user, or all.
    pub async fn nodes(
        &self,
        caller: &Caller,
        group: &str,
        of: Option<UserId>,
        page: &Page,
    ) -> Result<Paged<NodeView>> {
        let mut db = self.0.store.read().await?;
        let settings = find(&mut db, group).await?;
        self.member_reads(&mut db, caller, settings.id).await?;
        Ok(store::read::nodes(&mut db, settings.id, of, page).await?)
    }

    /// Finds nodes by virtual address or ID, for administrators: the way back to a user.
    pub async fn find_nodes(
        &self,
        caller: &Caller,
        group: &str,
        address_or_id: &str,
    ) -> Result<Vec<NodeView>> {
        let mut db = self.0.store.read().await?;
        let settings = find(&mut db, group).await?;
        self.administrator_reads(&mut db, caller, settings.id).await?;
        if let Ok(address) = address_or_id.parse::<Ipv6Addr>() {
            // An IPv6 address ends with the first half of its owner's ID.
            let half = &address.octets()[PREFIX6_LEN..];
            let digits: String = half.iter().map(|byte| format!("{byte:02x}")).collect();
            return Ok(store::read::nodes_that_begin(&mut db, settings.id, &digits).await?);
        }
        Ok(store::read::find_nodes(&mut db, settings.id, address_or_id).await?)
    }

    /// Remembers what the daemon beside the service sees of the nodes.
    pub async fn see(&self, group: &str, sightings: &[Sighting], now: UnixTime) -> Result<()> {
        let mut tx = self.0.store.begin().await?;
        let settings = find(&mut tx, group).await?;
        for sighting in sightings {
            store::read::see(&mut tx, settings.id, sighting, now).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Everything that a member is given with a certificate.
    async fn grant(&self, group: &str, certificate: Certificate, now: UnixTime) -> Result<Grant> {
        let mut db = self.0.store.read().await?;
        let settings = find(&mut db, group).await?;
        let stored = store::chain::authorities(&mut db, settings.id).await?;
        let secrets = self.open_secrets(&mut db, &settings, now).await?;
        let life: Duration = settings.policies.certificate_life();
        Ok(Grant {
            certificate,
            ca: stored.into_iter().map(|authority| authority.certificate).collect(),
            root: None,
            network: settings.network(),
            bootstrap: settings.policies.bootstrap.clone(),
            secrets,
            notices: store::chain::text_after(&mut db, settings.id, 0).await?,
            stale_policy: settings.policies.stale_policy,
            renew_at: now + life / RENEW_AFTER,
        })
    }

    /// Finds the group of a token; one that nobody was given leaves a line in the site's log.
    async fn group_of_bearer(
        &self,
        caller: &Caller,
        token: &Token,
        now: UnixTime,
    ) -> Result<String> {
        if let Some(group) = self.group_of(token.hash()).await? {
            return Ok(group);
        }
        let refusal = Refusal::TokenUnknown;
        self.note(caller, &SiteEvent::EnrolmentRefused { code: refusal.code() }, now).await?;
        Err(refusal.into())
    }

    /// Refuses a node before the model was asked, with the same line in the log.
    async fn refuse<T>(
        &self,
        caller: &Caller,
        group: &str,
        refusal: Refusal,
        now: UnixTime,
    ) -> Result<T> {
        let mut tx = self.0.store.begin().await?;
        match store::lock_group(&mut tx, group, caller, now).await? {
            Some(locked) => {
                let event = Event::EnrolmentRefused { code: refusal.code(), token: None };
                store::apply(&mut tx, &locked, &event).await?;
            }
            None => {
                let origin = store::load::origin(&mut tx, caller, now).await?;
                let event = SiteEvent::EnrolmentRefused { code: refusal.code() };
                store::note_site(&mut tx, &origin, &event).await?;
            }
        }
        tx.commit().await?;
        Err(refusal.into())
    }
}
