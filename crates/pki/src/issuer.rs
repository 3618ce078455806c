//! An authority as others see it: the certificate of a group CA or of a root.
//!
//! Members pin it beforehand; a handshake never carries it. Its subject has OU = group (a root's
//! has [`ROOT_UNIT`]) and it may sign certificates and revocation lists.

use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime as ChainTime};
use webpki::EndEntityCert;

use crate::certificate::Certificate;
use crate::error::Error;
use crate::id::IssuerId;
use crate::key::{Algorithm, verify_x509};
use crate::profile::{only_text, parse_x509, read_issuer};
use crate::refusal::Refusal;
use crate::unix_time::UnixTime;

/// OU of a root; the space keeps it out of the names a group may take.
pub(crate) const ROOT_UNIT: &str = "warren root";

/// The public half of an authority.
#[derive(Clone, Debug)]
pub(crate) struct Issuer {
    pub(crate) id: IssuerId,
    pub(crate) unit: String,
    pub(crate) spki: Vec<u8>,
    pub(crate) not_after: UnixTime,
    pub(crate) certificate: Certificate,
    anchor: TrustAnchor<'static>,
}

impl Issuer {
    /// Reads an authority's certificate; whoever calls decides that it is the right one.
    pub(crate) fn new(certificate: &Certificate) -> Result<Self, Error> {
        let der = CertificateDer::from(certificate.der());
        let x509 = parse_x509(&der).map_err(|_| Error::Authority("not X.509"))?;
        let usage = x509.key_usage().ok().flatten();
        let signs = usage.is_some_and(|u| u.value.key_cert_sign() && u.value.crl_sign());
        if !x509.is_ca() || !signs {
            return Err(Error::Authority("it may not sign certificates and revocation lists"));
        }
        let unit = only_text(x509.subject().iter_organizational_unit())
            .ok_or(Error::Authority("its subject has not one organisational unit"))?;
        let spki = x509.public_key().raw;
        Algorithm::of_spki(spki).ok_or(Error::Authority("its key is neither P-256 nor Ed25519"))?;
        let anchor = webpki::anchor_from_trusted_cert(&der)
            .map_err(|_| Error::Authority("it cannot anchor a chain"))?;
        Ok(Self {
            id: IssuerId::of_key(spki),
            unit: unit.to_owned(),
            spki: spki.to_vec(),
            not_after: UnixTime::from_asn1(x509.validity().not_after.timestamp()),
            certificate: certificate.clone(),
            anchor: anchor.to_owned(),
        })
    }

    /// Verifies that this authority signed the leaf for use between members, at `time`.
    pub(crate) fn verify_leaf(&self, leaf: &[u8], time: UnixTime) -> Result<(), Refusal> {
        let leaf = CertificateDer::from(leaf);
        let chain = EndEntityCert::try_from(&leaf).map_err(refusal)?;
        let time = ChainTime::since_unix_epoch(std::time::Duration::from_secs(time.0));
        let anchors = std::slice::from_ref(&self.anchor);
        let algorithms = [webpki::aws_lc_rs::ECDSA_P256_SHA256, webpki::aws_lc_rs::ED25519];
        let usage = webpki::KeyUsage::client_auth();
        chain
            .verify_for_usage(&algorithms, anchors, &[], time, usage, None, None)
            .map_err(refusal)?;
        Ok(())
    }

    /// Returns whether this authority signed the certificate of `other`.
    pub(crate) fn has_signed(&self, other: &Self) -> bool {
        let Ok(x509) = parse_x509(other.certificate.der()) else { return false };
        let signature = &x509.signature_value.data;
        read_issuer(&x509) == Ok(self.id)
            && verify_x509(&self.spki, x509.tbs_certificate.as_ref(), signature)
    }
}

/// Says in our words what the chain verifier found; times were checked before.
fn refusal(error: webpki::Error) -> Refusal {
    use webpki::Error as E;
    match error {
        E::UnknownIssuer => Refusal::UnknownIssuer,
        E::InvalidSignatureForPublicKey | E::SignatureAlgorithmMismatch => Refusal::BadSignature,
        E::InvalidCertValidity => Refusal::Malformed("validity"),
        E::UnsupportedCriticalExtension => Refusal::Malformed("unknown critical extension"),
        E::BadDer | E::BadDerTime | E::TrailingData(_) => Refusal::Malformed("not DER"),
        _ => Refusal::Malformed("chain"),
    }
}
