//! How a group goes from one authority to the next while its members run.
//!
//! | stage | members | signs |
//! |---|---|---|
//! | *announced* | pin it beside the present one, with their next renewal | nothing |
//! | *took over*, [`ANNOUNCED`] later | pin both | everything; group secrets anew, the former key is wiped |
//! | *former one forgotten*, [`OVERLAP`] later | pin the new one | everything |
//!
//! What must hold: nobody is shown a signature of an authority that his last grant did not name. Certificates live
//! for [`ANNOUNCED`] at most, so all that are valid at the take-over were granted after the announcement; and
//! what the former authority has signed is over when it is forgotten.

use std::time::Duration;

use pki::{
    CertificateAuthority, ISSUERS_MAX, IssuerId, LIFE_MAX, NOTICE_LIFE, RENEWAL_GRACE, UnixTime,
};

use super::Service;
use crate::authority::AuthorityError;
use crate::error::Result;
use crate::model::{Caller, Event, Refusal};
use crate::store::chain::{self, Stage, StoredAuthority};
use crate::store::{self, Locked, StoreError, Write};

/// From the announcement to the take-over: the longest life of a certificate.
pub const ANNOUNCED: Duration = LIFE_MAX;
/// From the take-over until the former authority is forgotten: its notices are over then, and no certificate of it
/// signs a renewal any more. A day more, so that the heads signed meanwhile have let go of its notices.
pub const OVERLAP: Duration = Duration::from_secs(NOTICE_LIFE.as_secs() + 24 * 3600);

const _: () = assert!(LIFE_MAX.as_secs() + RENEWAL_GRACE.as_secs() <= OVERLAP.as_secs());

impl Service {
    /// Announces a new authority of a group; returns its ID and when it takes over.
    pub async fn rotate_authority(
        &self,
        caller: &Caller,
        group: &str,
        now: UnixTime,
    ) -> Result<(IssuerId, UnixTime)> {
        let mut tx = self.0.store.begin().await?;
        let locked = store::lock_group(&mut tx, group, caller, now).await?;
        let locked = locked.ok_or(Refusal::NotFound("group"))?;
        let present = chain::authorities(&mut tx, locked.facts.id).await?;
        if present.iter().any(|authority| authority.stage == Stage::Next) {
            return Err(Refusal::RotationUnderWay.into());
        }
        if present.len() >= ISSUERS_MAX {
            return Err(Refusal::TooMany("authorities that members still need").into());
        }
        let signer = CertificateAuthority::create(&locked.facts.name, now);
        let signer = signer.map_err(AuthorityError::from)?;
        let (issuer, from) = (signer.id(), now + ANNOUNCED);
        let event = Event::AuthorityAnnounced {
            issuer,
            from,
            certificate: signer.certificate().to_pem(),
            sealed_key: self.seal_key(signer.certificate(), signer.key()),
        };
        store::apply(&mut tx, &locked, &event).await?;
        tx.commit().await.map_err(StoreError::from)?;
        Ok((issuer, from))
    }

    /// Does what is due of changes that are under way; returns how much.
    pub(super) async fn turn_authorities(&self, now: UnixTime, limit: i64) -> Result<u64> {
        let due = chain::authorities_due(&mut *self.0.store.read().await?, now, limit).await?;
        let mut turned = 0;
        for group in due {
            let mut tx = self.0.store.begin().await?;
            let locked = store::lock_group(&mut tx, &group, &Caller::service(), now).await?;
            let Some(locked) = locked else { continue };
            self.turn(tx, &locked, now).await?;
            turned += 1;
        }
        Ok(turned)
    }

    /// Takes the next step in a group, whose head is signed anew for it.
    async fn turn(&self, mut tx: Write, locked: &Locked, now: UnixTime) -> Result<()> {
        let (id, name) = (locked.facts.id, locked.facts.name.as_str());
        let present = chain::authorities(&mut tx, id).await?;
        let signs = present.first().ok_or(StoreError::Corrupt("authority"))?;
        let due = |stage| move |one: &&StoredAuthority| one.stage == stage && one.due <= now;
        let next = present.iter().find(due(Stage::Next));
        if let Some(next) = next {
            let (issuer, former) = (id_of(next)?, id_of(signs)?);
            let took_over = Event::AuthorityTookOver { issuer, former, until: now + OVERLAP };
            store::apply(&mut tx, locked, &took_over).await?;
        }
        // What is in memory is the former one, or pins too many.
        self.0.authorities.forget(id);
        let mut authority = self.take_up(&mut tx, id, name).await?;
        if next.is_some() {
            let settings = chain::settings(&mut tx, name).await?;
            let settings = settings.ok_or(StoreError::Corrupt("group"))?;
            for secret in self.open_secrets(&mut tx, &settings, now).await? {
                let signed = authority.sign_again(&secret);
                let sealed = self.seal_secret(id, &signed);
                chain::set_secret(&mut tx, id, signed.secret.generation, &sealed).await?;
            }
        }
        let head = authority.head(now, self.config().head_life())?;
        chain::set_head(&mut tx, id, &head).await?;
        // Only now: the head has let go of the notices that it signed.
        for former in present.iter().filter(due(Stage::Former)) {
            let issuer = id_of(former)?;
            store::apply(&mut tx, locked, &Event::AuthorityForgotten { issuer }).await?;
        }
        tx.commit().await.map_err(StoreError::from)?;
        self.announce_change(id, true);
        Ok(())
    }
}

fn id_of(stored: &StoredAuthority) -> Result<IssuerId> {
    Ok(stored.issuer.parse().map_err(|_| StoreError::Corrupt("issuer"))?)
}
