//! How the authority of a group is taken up from the store, and what it signs there.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use pki::enrolment::Pin;
use pki::{Certificate, Head, NodeId, PrivateKey, Request, Revoked, SignedSecret, UnixTime};

use super::Service;
use crate::authority::{Authority, AuthorityError};
use crate::error::Result;
use crate::model::{Event, GroupId, Permit, What};
use crate::store::{self, StoreError};

/// Authorities in memory at a time: one has up to 5 MB of notices, seldom more than a few KB.
const AUTHORITIES_MAX: usize = 256;

/// Authorities that were taken up once. A command takes one out, so that no other sees it half done.
#[derive(Debug, Default)]
pub(super) struct Authorities(Mutex<HashMap<GroupId, Authority>>);

impl Authorities {
    fn take(&self, group: GroupId) -> Option<Authority> {
        self.lock().remove(&group)
    }

    /// Keeps an authority whose chain is the stored one.
    pub(super) fn put_back(&self, group: GroupId, authority: Authority) {
        let mut kept = self.lock();
        if kept.len() >= AUTHORITIES_MAX {
            kept.clear();
        }
        kept.insert(group, authority);
    }

    /// Forgets an authority in whose place another one signs.
    pub(super) fn forget(&self, group: GroupId) {
        self.lock().remove(&group);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<GroupId, Authority>> {
        self.0.lock().expect("nothing panics while it holds the lock")
    }
}

/// What was signed for a revocation.
pub(super) struct Signed {
    /// The number of the notice.
    pub notice: u64,
    /// The head that names it.
    pub head: Head,
    /// What has happened.
    pub events: Vec<Event>,
}

impl Service {
    /// Takes up the authority of a group with the chain as it is stored. The caller holds the row of
    /// the group, or only reads.
    pub(super) async fn take_up(
        &self,
        db: &mut store::Connection,
        group: GroupId,
        name: &str,
    ) -> Result<Authority> {
        let stored = store::chain::authorities(db, group).await?;
        let newest = stored.first().ok_or(StoreError::Corrupt("authority"))?;
        let mut authority = match self.0.authorities.take(group) {
            Some(kept) if kept.certificate() == &newest.certificate => kept,
            _ => {
                let key = self.open_key(&newest.certificate, &newest.sealed_key)?;
                let certificates: Vec<_> =
                    stored.iter().map(|authority| authority.certificate.clone()).collect();
                Authority::open(name, &certificates, key)?
            }
        };
        let known = authority.ledger().number();
        let head = store::chain::head(db, group).await?;
        let newer = store::chain::notices_after(db, group, known).await?;
        let text: String = std::iter::once(head).chain(newer).map(|line| line + "\n").collect();
        let taken = authority.ledger_mut().take_text(&text);
        taken.map_err(|_| StoreError::Corrupt("chain of notices"))?;
        Ok(authority)
    }

    /// Seals the key of an authority.
    pub(super) fn seal_key(&self, certificate: &Certificate, key: &PrivateKey) -> String {
        self.0.master.seal(&key_purpose(certificate), key.pkcs8_der())
    }

    fn open_key(&self, certificate: &Certificate, sealed: &str) -> Result<PrivateKey> {
        let key = self.0.master.open(&key_purpose(certificate), sealed)?;
        Ok(PrivateKey::from_pkcs8_der(&key).map_err(AuthorityError::from)?)
    }

    /// Seals a generation of the group secret.
    pub(super) fn seal_secret(&self, group: GroupId, secret: &SignedSecret) -> String {
        let purpose = secret_purpose(group, secret.secret.generation);
        self.0.master.seal(&purpose, &secret.to_bytes())
    }

    /// Reads the generations of the group secret that members may still use, newest first: those
    /// that were the newest at some time within one life of a certificate.
    pub(super) async fn open_secrets(
        &self,
        db: &mut store::Connection,
        group: &store::chain::Settings,
        now: UnixTime,
    ) -> Result<Vec<SignedSecret>> {
        let oldest = now - group.policies.certificate_life();
        let mut succeeded = UnixTime::MAX;
        let mut secrets = Vec::new();
        for kept in store::chain::secrets(db, group.id).await? {
            if succeeded < oldest {
                break;
            }
            succeeded = kept.since;
            let purpose = secret_purpose(group.id, kept.generation);
            let bytes = self.0.master.open(&purpose, &kept.sealed)?;
            secrets.push(SignedSecret::from_bytes(&bytes).ok_or(StoreError::Corrupt("secret"))?);
        }
        Ok(secrets)
    }

    /// Signs a notice with its head, and starts the next generation of the secret.
    pub(super) fn revoke_with(
        &self,
        authority: &mut Authority,
        group: GroupId,
        (what, reason, victims): (Revoked, String, Vec<NodeId>),
        now: UnixTime,
    ) -> Result<Signed> {
        let named = What::from(&what);
        let signed = authority.revoke(what, now, self.config().head_life())?;
        let (notice, bytes) = (signed.notice.number, signed.notice.to_bytes());
        let generation = signed.secret.secret.generation;
        let sealed = self.seal_secret(group, &signed.secret);
        let revoked = Event::Revoked { notice, what: named, reason, victims, bytes };
        let started = Event::SecretStarted { generation, sealed };
        Ok(Signed { notice, head: signed.head, events: vec![revoked, started] })
    }
}

/// Signs a certificate.
pub(super) fn certify(
    authority: &Authority,
    permit: &Permit,
    request: &Request,
    now: UnixTime,
) -> Result<(Certificate, Event)> {
    let (mut certificate, mut issued) = authority.certify(permit, request, now)?;
    let member = certificate.unverified().map_err(|_| StoreError::Corrupt("certificate"))?;
    if authority.ledger().is_revoked(&member).is_some() {
        // A notice covers the second in which it was signed; this certificate is of the next one.
        let later = now + Duration::from_secs(1);
        (certificate, issued) = authority.certify(permit, request, later)?;
    }
    let event = Event::CertificateIssued {
        certificate: issued,
        user: permit.node.user.clone(),
        renewal: permit.renewal,
        issuer: authority.id(),
        ephemeral: permit.node.ephemeral,
    };
    Ok((certificate, event))
}

/// What a CA key is sealed for: this certificate.
fn key_purpose(certificate: &Certificate) -> String {
    let pin = Pin::of_certificate(certificate.der()).map(|pin| pin.to_string());
    format!("ca key {}", pin.unwrap_or_default())
}

/// What a generation of a group secret is sealed for.
fn secret_purpose(group: GroupId, generation: u32) -> String {
    format!("secret {generation} of group {group}")
}
