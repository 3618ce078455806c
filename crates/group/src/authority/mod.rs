//! The authority of one group: signs certificates, notices, heads and lists. It reads no clock and
//! no table; what it has signed is the caller's to store.
//!
//! What must hold: it signs only by a [`Permit`] or an order that the [model](crate::model) gave. Its
//! chain of notices is the stored one: the caller appends what it signs, or throws it away.

use std::time::Duration;

use pki::{
    Certificate, CertificateAuthority, Crl, GroupSecret, Head, IssuerId, Ledger, LedgerError,
    Member, Notice, PrivateKey, Request, Revoked, SignOptions, SignedSecret, Trust, UnixTime,
};

use crate::model::{Issued, Permit, Refusal};

/// Something is wrong with the authority itself, not with what is asked of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    /// Certificates or keys do not fit, or the authority has expired.
    #[error(transparent)]
    Pki(#[from] pki::Error),
    /// The chain of notices does not take the next one.
    #[error("the chain of notices: {0}")]
    Ledger(#[from] LedgerError),
}

/// A notice with what goes with it.
#[derive(Debug)]
pub struct Revocation {
    /// The notice.
    pub notice: Notice,
    /// The head that names it as the newest.
    pub head: Head,
    /// The generation of the group secret that begins with it.
    pub secret: SignedSecret,
}

/// The CA key of a group, with the chain of notices it has signed.
#[derive(Debug)]
pub struct Authority {
    signer: CertificateAuthority,
    trust: Trust,
}

impl Authority {
    /// Makes the authority of a new group, with the first head and the first secret.
    pub fn found(
        group: &str,
        now: UnixTime,
        head_life: Duration,
    ) -> Result<(Self, Head, SignedSecret), AuthorityError> {
        let signer = CertificateAuthority::create(group, now)?;
        let trust = Trust::new(group, &[signer.certificate().clone()], None)?;
        let mut authority = Self { signer, trust };
        let head = authority.head(now, head_life)?;
        let secret = authority.next_secret(now);
        Ok((authority, head, secret))
    }

    /// Takes up a stored authority. `certificates` are all that members pin, the one of the key
    /// first; the chain follows by [`ledger_mut`](Self::ledger_mut).
    pub fn open(
        group: &str,
        certificates: &[Certificate],
        key: PrivateKey,
    ) -> Result<Self, AuthorityError> {
        let own = certificates.first().ok_or(pki::Error::Authority("a group has one to four"))?;
        let signer = CertificateAuthority::new(own.clone(), key)?;
        Ok(Self { signer, trust: Trust::new(group, certificates, None)? })
    }

    /// Returns its ID.
    pub fn id(&self) -> IssuerId {
        self.signer.id()
    }

    /// Returns its certificate.
    pub fn certificate(&self) -> &Certificate {
        self.signer.certificate()
    }

    /// Returns its key, to seal it.
    pub fn key(&self) -> &PrivateKey {
        self.signer.key()
    }

    /// Returns the chain of notices.
    pub fn ledger(&self) -> &Ledger {
        self.trust.ledger()
    }

    /// Returns the chain of notices, to take in stored ones.
    pub fn ledger_mut(&mut self) -> &mut Ledger {
        self.trust.ledger_mut()
    }

    /// Signs a certificate for a node whose request carries its ID.
    pub fn certify(
        &self,
        permit: &Permit,
        request: &Request,
        now: UnixTime,
    ) -> Result<(Certificate, Issued), AuthorityError> {
        let node = &permit.node;
        let options = SignOptions {
            life: permit.life,
            host: node.host.clone(),
            salt: Some(node.salt),
            ..SignOptions::new(node.user.name.clone())
        };
        let certificate = self.signer.sign(request, &options, now)?;
        let member = certificate.unverified().map_err(|_| pki::Error::Certificate("own output"))?;
        let issued = Issued {
            serial: member.serial,
            node: member.node_id,
            issued: now,
            not_after: member.not_after,
        };
        Ok((certificate, issued))
    }

    /// Judges the certificate that asks for its renewal, and that the request is for its key. The
    /// caller has proof that the asker holds the key.
    pub fn judge_renewal(
        &self,
        certificate: &Certificate,
        request: &Request,
        now: UnixTime,
    ) -> Result<Member, Refusal> {
        let member =
            self.trust.judge_renewal(certificate.der(), now).map_err(|refusal| match refusal {
                pki::Refusal::Revoked { .. } => Refusal::NodeRevoked,
                pki::Refusal::Expired { .. } => Refusal::CertificateTooOld,
                _ => Refusal::CertificateUnknown,
            })?;
        let same_key = request.spki() == member.spki;
        same_key.then_some(member).ok_or(Refusal::CertificateUnknown)
    }

    /// Signs the next notice, the head that names it, and starts the next generation of the secret.
    pub fn revoke(
        &mut self,
        what: Revoked,
        now: UnixTime,
        head_life: Duration,
    ) -> Result<Revocation, AuthorityError> {
        let notice = self.signer.revoke(what, self.trust.ledger_mut(), now)?;
        let head = self.head(now, head_life)?;
        let secret = self.next_secret(now);
        Ok(Revocation { notice, head, secret })
    }

    /// Draws and signs the generation of the group secret that the newest notice starts.
    fn next_secret(&self, now: UnixTime) -> SignedSecret {
        let generation = self.ledger().generation();
        self.signer.sign_secret(GroupSecret::random(generation), now)
    }

    /// Signs a generation that a former authority has signed, for members who will not know that one.
    pub fn sign_again(&self, secret: &SignedSecret) -> SignedSecret {
        self.signer.sign_secret(secret.secret.clone(), secret.issued)
    }

    /// Signs the word that the newest notice is the newest; forgets those that are over.
    pub fn head(&mut self, now: UnixTime, life: Duration) -> Result<Head, AuthorityError> {
        self.trust.ledger_mut().prune(now);
        Ok(self.signer.head(self.trust.ledger_mut(), now, now + life)?)
    }

    /// Signs the X.509 list of what is revoked among the certificates given.
    pub fn crl<'a>(
        &self,
        issued: impl IntoIterator<Item = &'a Member>,
        now: UnixTime,
        next_update: UnixTime,
    ) -> Result<Crl, AuthorityError> {
        Ok(pki::crl(&self.signer, self.trust.ledger(), issued, now, next_update)?)
    }
}

#[cfg(test)]
mod tests;
