//! The holder of a group's CA key: signs requests, revokes, and says what is the newest notice.
//!
//! It lives in the group service or offline, never on a node. It keeps no state beside its key:
//! what was issued and revoked is the caller's to store, and the [`Ledger`] comes as an argument.
//! A [`Root`] may stand above the authorities of several groups; its key stays in a drawer.

use std::net::Ipv4Addr;
use std::time::Duration;

use rcgen::SerialNumber;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer as X509Issuer, KeyUsagePurpose};

use crate::certificate::Certificate;
use crate::error::Error;
use crate::extension::Roles;
use crate::id::{IssuerId, NodeId, Salt, Serial};
use crate::issuer::{Issuer, ROOT_UNIT};
use crate::key::{PrivateKey, X509Signer};
use crate::keyring::SignedSecret;
use crate::ledger::{Ledger, LedgerError};
use crate::name::{check_group, check_host, check_user};
use crate::notice::{Head, Notice, Revoked};
use crate::profile::{self, BACKDATE, Member};
use crate::request::Request;
use crate::secret::GroupSecret;
use crate::trust::{CLOCK_TOLERANCE, RENEWAL_GRACE};
use crate::unix_time::UnixTime;

/// Shortest life of a member certificate: a renewal each eight hours is load enough.
pub const LIFE_MIN: Duration = days(1);
/// Longest life of a member certificate: the upper bound of how long a revocation that nobody
/// delivers stays without effect.
pub const LIFE_MAX: Duration = days(30);
/// Usual life of a member certificate: renewed from one third on, it outlasts four days without
/// the group service.
pub const LIFE_DEFAULT: Duration = days(7);
/// Life of a group's authority: blobs pin it, so it changes rarely.
pub const AUTHORITY_LIFE: Duration = days(3650);
/// Life of a root.
pub const ROOT_LIFE: Duration = days(7300);
/// How long a notice stays in force: the longest life of a certificate issued just before it, and
/// the time such a certificate may still sign its renewal.
pub const NOTICE_LIFE: Duration = days(60);

const _: () = assert!(
    NOTICE_LIFE.as_secs() >= LIFE_MAX.as_secs() + RENEWAL_GRACE.as_secs(),
    "a revoked certificate would come back to life"
);

/// What the authority decides about a new member.
#[derive(Clone, Debug)]
pub struct SignOptions {
    /// Who answers for the node.
    pub user: String,
    /// What it may do.
    pub roles: Roles,
    /// How long the certificate lives, [`LIFE_MIN`] to [`LIFE_MAX`].
    pub life: Duration,
    /// Virtual address to fix.
    pub ipv4: Option<Ipv4Addr>,
    /// Host name to fix.
    pub host: Option<String>,
    /// The salt of the certificate that is renewed, so that the node ID stays; `None` draws one.
    pub salt: Option<Salt>,
}

impl SignOptions {
    /// A plain member for the usual time.
    pub fn new(user: impl Into<String>) -> Self {
        Self {
            user: user.into(),
            roles: Roles::NONE,
            life: LIFE_DEFAULT,
            ipv4: None,
            host: None,
            salt: None,
        }
    }

    /// What a renewal of this member's certificate has in it.
    pub fn renewal(member: &Member) -> Self {
        Self {
            user: member.user.clone(),
            roles: member.roles,
            life: LIFE_DEFAULT,
            ipv4: member.ipv4,
            host: member.host.clone(),
            salt: Some(member.salt),
        }
    }
}

/// The authority of one group.
#[derive(Debug)]
pub struct CertificateAuthority {
    key: PrivateKey,
    issuer: Issuer,
}

impl CertificateAuthority {
    /// Makes a self-signed authority: draws a key and a serial.
    pub fn create(group: &str, now: UnixTime) -> Result<Self, Error> {
        check_group(group)?;
        let key = PrivateKey::generate();
        let name = format!("{group} group CA");
        let params = authority_params(group, &name, now, AUTHORITY_LIFE, 0);
        let der = params.self_signed(&X509Signer(&key))?;
        Self::new(Certificate::from_der(der.der())?, key)
    }

    /// Takes up an authority from its certificate and key, which must belong together.
    pub fn new(certificate: Certificate, key: PrivateKey) -> Result<Self, Error> {
        let issuer = Issuer::new(&certificate)?;
        check_group(&issuer.unit)?;
        if issuer.spki != key.spki() {
            return Err(Error::Authority("the key is not the one in the certificate"));
        }
        Ok(Self { key, issuer })
    }

    /// Takes up an authority from two PEM texts.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, Error> {
        Self::new(Certificate::from_pem(certificate)?, PrivateKey::from_pkcs8_pem(key)?)
    }

    /// Returns the group.
    pub fn group(&self) -> &str {
        &self.issuer.unit
    }

    /// Returns the ID that its certificates name as issuer.
    pub fn id(&self) -> IssuerId {
        self.issuer.id
    }

    /// Returns the certificate that members pin.
    pub fn certificate(&self) -> &Certificate {
        &self.issuer.certificate
    }

    /// Returns the key, to store it.
    pub fn key(&self) -> &PrivateKey {
        &self.key
    }

    /// Signs a request. Draws a serial and, unless a renewal keeps one, the salt: after the key is
    /// known, so that nobody chooses an own node ID.
    pub fn sign(
        &self,
        request: &Request,
        options: &SignOptions,
        now: UnixTime,
    ) -> Result<Certificate, Error> {
        check_user(&options.user)?;
        options.host.as_deref().map_or(Ok(()), check_host)?;
        if !(LIFE_MIN..=LIFE_MAX).contains(&options.life) {
            return Err(Error::Life);
        }
        if now >= self.issuer.not_after {
            return Err(Error::AuthorityExpired);
        }
        let salt = options.salt.unwrap_or_else(Salt::random);
        let member = Member {
            node_id: NodeId::salted(&salt, request.spki()),
            user: options.user.clone(),
            group: self.group().to_owned(),
            roles: options.roles,
            serial: Serial::random(),
            issuer: self.id(),
            not_before: now - BACKDATE,
            not_after: (now + options.life).min(self.issuer.not_after),
            salt,
            ipv4: options.ipv4,
            host: options.host.clone(),
            spki: request.spki().to_vec(),
        };
        let params = profile::to_params(&member)?;
        let signed = params.signed_by(&request.subject_key(), &self.x509_issuer()?)?;
        Certificate::from_der(signed.der())
    }

    /// Signs the next notice of the chain and appends it to the ledger. It covers what was issued
    /// up to and including `now`.
    pub fn revoke(
        &self,
        what: Revoked,
        ledger: &mut Ledger,
        now: UnixTime,
    ) -> Result<Notice, LedgerError> {
        sign_next(&self.key, self.group(), what, ledger, now)
    }

    /// Signs the word that the ledger's newest notice is the newest, good until `next_update`.
    pub fn head(
        &self,
        ledger: &mut Ledger,
        now: UnixTime,
        next_update: UnixTime,
    ) -> Result<Head, LedgerError> {
        let tip = ledger.tip()?;
        let head = Head::sign(self.group(), &self.key, tip, (now, next_update));
        ledger.observe(head.clone())?;
        Ok(head)
    }

    /// Signs a generation of the group secret, for members to pass on. Its number is that of the
    /// newest notice plus one ([`Ledger::generation`]).
    pub fn sign_secret(&self, secret: GroupSecret, issued: UnixTime) -> SignedSecret {
        SignedSecret::sign(self.group(), &self.key, secret, issued)
    }

    /// Lends key and name to the writer of certificates and lists.
    pub(crate) fn x509_issuer(&self) -> Result<X509Issuer<'static, X509Signer<'_>>, Error> {
        let certificate = self.certificate().as_rustls();
        Ok(X509Issuer::from_ca_cert_der(certificate, X509Signer(&self.key))?)
    }
}

/// The offline root above the authorities of groups.
#[derive(Debug)]
pub struct Root {
    key: PrivateKey,
    issuer: Issuer,
}

impl Root {
    /// Makes a root: draws a key and a serial.
    pub fn create(name: &str, now: UnixTime) -> Result<Self, Error> {
        check_user(name)?;
        let key = PrivateKey::generate();
        let params = authority_params(ROOT_UNIT, name, now, ROOT_LIFE, 1);
        let der = params.self_signed(&X509Signer(&key))?;
        Self::new(Certificate::from_der(der.der())?, key)
    }

    /// Takes up a root from its certificate and key, which must belong together.
    pub fn new(certificate: Certificate, key: PrivateKey) -> Result<Self, Error> {
        let issuer = Issuer::new(&certificate)?;
        if issuer.spki != key.spki() || issuer.unit != ROOT_UNIT {
            return Err(Error::Authority("the key is not that of this root"));
        }
        Ok(Self { key, issuer })
    }

    /// Returns the certificate that blobs may carry.
    pub fn certificate(&self) -> &Certificate {
        &self.issuer.certificate
    }

    /// Returns the key, to store it.
    pub fn key(&self) -> &PrivateKey {
        &self.key
    }

    /// Certifies the key in the request as the authority of a group; draws a serial.
    pub fn issue_group_ca(
        &self,
        request: &Request,
        group: &str,
        now: UnixTime,
    ) -> Result<Certificate, Error> {
        check_group(group)?;
        let name = format!("{group} group CA");
        let mut params = authority_params(group, &name, now, AUTHORITY_LIFE, 0);
        params.not_after = params.not_after.min(self.issuer.not_after.to_calendar());
        let certificate = self.certificate().as_rustls();
        let issuer = X509Issuer::from_ca_cert_der(certificate, X509Signer(&self.key))?;
        Certificate::from_der(params.signed_by(&request.subject_key(), &issuer)?.der())
    }

    /// Ends an authority of a group: nothing it signed counts any more.
    pub fn revoke_issuer(
        &self,
        group: &str,
        issuer: IssuerId,
        ledger: &mut Ledger,
        now: UnixTime,
    ) -> Result<Notice, LedgerError> {
        sign_next(&self.key, group, Revoked::Issuer(issuer), ledger, now)
    }
}

fn sign_next(
    key: &PrivateKey,
    group: &str,
    what: Revoked,
    ledger: &mut Ledger,
    now: UnixTime,
) -> Result<Notice, LedgerError> {
    if matches!(&what, Revoked::User(user) if check_user(user).is_err()) {
        return Err(LedgerError::Malformed);
    }
    let (number, previous, _) = ledger.tip()?;
    let issued_before = now + Duration::from_secs(1);
    let times = (issued_before, issued_before + NOTICE_LIFE + CLOCK_TOLERANCE);
    let notice = Notice::sign(group, key, (number + 1, previous), what, times);
    ledger.append(notice.clone())?;
    Ok(notice)
}

const fn days(n: u64) -> Duration {
    Duration::from_secs(n * 24 * 3600)
}

fn authority_params(
    unit: &str,
    name: &str,
    now: UnixTime,
    life: Duration,
    authorities_below: u8,
) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_before = (now - BACKDATE).to_calendar();
    params.not_after = (now + life).to_calendar();
    params.serial_number = Some(SerialNumber::from_slice(Serial::random().as_bytes()));
    params.distinguished_name = profile::subject(unit, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(authorities_below));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    params
}

#[cfg(test)]
mod tests;
