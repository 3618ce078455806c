//! The X.509 revocation list for outside tools, derived from the ledger.
//!
//! A list matches serials only, while notices also name nodes, users and authorities; so the
//! authority goes through what it issued and lists every certificate that a notice covers. Members
//! do not use it: their look-up in the [`Ledger`] covers more and costs four hash-table probes.

use rcgen::{CertificateRevocationListParams, KeyIdMethod, RevokedCertParams, SerialNumber};

use crate::authority::CertificateAuthority;
use crate::error::Error;
use crate::id::Serial;
use crate::ledger::Ledger;
use crate::notice::Revoked;
use crate::pem;
use crate::profile::Member;
use crate::unix_time::UnixTime;

/// A signed X.509 revocation list (RFC 5280 section 5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crl(Vec<u8>);

impl Crl {
    /// Returns the DER bytes.
    pub fn der(&self) -> &[u8] {
        &self.0
    }

    /// Writes PEM.
    pub fn to_pem(&self) -> String {
        pem::encode("X509 CRL", &self.0).to_string()
    }
}

/// Signs the list of revoked certificates that have not yet expired.
///
/// `issued` is what the authority knows to have issued. Certificates revoked by their serial are
/// listed in any case. The list's own number is the time, which grows with each list.
pub fn crl<'a>(
    authority: &CertificateAuthority,
    ledger: &Ledger,
    issued: impl IntoIterator<Item = &'a Member>,
    now: UnixTime,
    next_update: UnixTime,
) -> Result<Crl, Error> {
    let covered = issued
        .into_iter()
        .filter(|member| member.issuer == authority.id() && now <= member.not_after)
        .filter_map(|member| Some((member.serial, ledger.is_revoked(member)?)));
    let named = ledger.notices().filter_map(|notice| match notice.subject {
        Revoked::Serial(serial) => Some((serial, notice.number)),
        Revoked::Node(_) | Revoked::User(_) | Revoked::Issuer(_) => None,
    });
    let mut listed: Vec<(Serial, u64)> = covered.chain(named).collect();
    listed.sort_unstable();
    listed.dedup_by_key(|(serial, _)| *serial);
    let revoked_certs = listed.into_iter().map(|(serial, number)| {
        let since = ledger.get(number).map_or(now, |notice| notice.issued_before);
        RevokedCertParams {
            serial_number: SerialNumber::from_slice(serial.as_bytes()),
            revocation_time: since.min(now).to_calendar(),
            reason_code: None,
            invalidity_date: None,
        }
    });
    let params = CertificateRevocationListParams {
        this_update: now.to_calendar(),
        next_update: next_update.to_calendar(),
        crl_number: SerialNumber::from(now.as_secs()),
        issuing_distribution_point: None,
        revoked_certs: revoked_certs.collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    Ok(Crl(params.signed_by(&authority.x509_issuer()?)?.der().to_vec()))
}

#[cfg(test)]
mod tests;
