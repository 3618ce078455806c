//! The request for a certificate: a public key with proof that the asker holds the private one.
//!
//! PKCS#10 (RFC 2986), so that other tools can write and read it. Only the key and the common name
//! are read; the name is a wish, the authority decides. Node ID and salt are not asked for: the
//! authority draws the salt once it has seen the key.

use rcgen::{CertificateParams, DistinguishedName, DnType};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

use crate::error::Error;
use crate::key::{Algorithm, PrivateKey, X509Signer, X509Subject, verify_x509};
use crate::name::check_user;
use crate::pem;
use crate::profile::only_text;

const LABEL: &str = "CERTIFICATE REQUEST";
/// Longest request that is looked at, in bytes: ours are below 400.
const REQUEST_LEN_MAX: usize = 4096;

/// A request whose signature was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    der: Vec<u8>,
    spki: Vec<u8>,
    algorithm: Algorithm,
    name: Option<String>,
}

impl Request {
    /// Writes a request for this key, with the user name its holder wishes for; a P-256 signature
    /// draws a nonce.
    pub fn new(key: &PrivateKey, name: Option<&str>) -> Result<Self, Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        if let Some(name) = name {
            check_user(name)?;
            params.distinguished_name.push(DnType::CommonName, name);
        }
        Self::from_der(params.serialize_request(&X509Signer(key))?.der())
    }

    /// Reads PEM and verifies the signature.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Self::from_der(&pem::decode_one(LABEL, text).ok_or(Error::Pem(LABEL))?)
    }

    /// Reads DER and verifies the signature.
    pub fn from_der(der: &[u8]) -> Result<Self, Error> {
        if der.len() > REQUEST_LEN_MAX {
            return Err(Error::Request("too long"));
        }
        let Ok(([], request)) = X509CertificationRequest::from_der(der) else {
            return Err(Error::Request("not one PKCS#10 request"));
        };
        let body = &request.certification_request_info;
        let spki = body.subject_pki.raw;
        let algorithm = Algorithm::of_spki(spki)
            .ok_or(Error::Request("its key is neither P-256 nor Ed25519"))?;
        if !verify_x509(spki, body.raw, &request.signature_value.data) {
            return Err(Error::Request("it is not signed by the key it carries"));
        }
        let name = only_text(body.subject.iter_common_name()).filter(|n| check_user(n).is_ok());
        let name = name.map(str::to_owned);
        Ok(Self { der: der.to_vec(), spki: spki.to_vec(), algorithm, name })
    }

    /// Returns the DER bytes.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Writes PEM.
    pub fn to_pem(&self) -> String {
        pem::encode(LABEL, &self.der).to_string()
    }

    /// Returns the key to certify, as DER SubjectPublicKeyInfo.
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// Returns the user name its holder wishes for; nothing vouches for it.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Lends the key to the certificate writer.
    pub(crate) fn subject_key(&self) -> X509Subject<'_> {
        X509Subject { spki: &self.spki, algorithm: self.algorithm }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::openssl;
    use proptest::prelude::*;

    #[test]
    fn requests_round_trip_for_both_kinds_of_key() {
        for algorithm in [Algorithm::P256, Algorithm::Ed25519] {
            let key = PrivateKey::generate_for(algorithm);
            let request = Request::new(&key, Some("ana")).expect("writes");
            let read = Request::parse(&request.to_pem()).expect("own output");
            assert_eq!(read, request);
            assert_eq!((read.spki(), read.name()), (key.spki(), Some("ana")));
        }
    }

    #[test]
    fn a_request_without_name_is_fine() {
        let request = Request::new(&PrivateKey::generate(), None).expect("writes");
        assert_eq!(request.name(), None);
    }

    #[test]
    fn keys_and_requests_of_openssl_are_read() {
        let folder = tempfile::tempdir().expect("a scratch directory");
        let folder = folder.path();
        for kind in ["ED25519", "EC -pkeyopt ec_paramgen_curve:P-256"] {
            let Some((made, text)) =
                openssl(folder, &format!("genpkey -algorithm {kind} -out key"))
            else {
                println!("skipped: openssl is not installed");
                return;
            };
            assert!(made, "{text}");
            let asked = openssl(folder, "req -new -key key -subj /CN=ana -out request");
            assert!(asked.is_some_and(|(asked, _)| asked));
            let read = |name| std::fs::read_to_string(folder.join(name)).expect("was written");
            let key = PrivateKey::from_pkcs8_pem(&read("key")).expect("a good key");
            let request = Request::parse(&read("request")).expect("a good request");
            assert_eq!((request.spki(), request.name()), (key.spki(), Some("ana")));
        }
    }

    proptest! {
        #[test]
        fn a_changed_request_never_panics_and_never_changes_key(at in 0usize..1000, xor in 1u8..) {
            let key = PrivateKey::generate();
            let mut der = Request::new(&key, Some("ana")).expect("writes").der().to_vec();
            let at = at % der.len();
            der[at] ^= xor;
            if let Ok(read) = Request::from_der(&der) {
                prop_assert_eq!(read.spki(), key.spki());
            }
        }
    }
}
