//! The request for a certificate: a public key with proof that the asker holds the private one.
//!
//! PKCS#10 (RFC 2986), so that other tools can write and read it. The key, the common name and a
//! subject alternative name of ours are read. The common name is a wish, the authority decides. The
//! alternative name carries the node ID, where the salt was drawn beforehand, as in an enrolment:
//! then node and authority are sure to mean the same. A request without it is for an authority that
//! draws the salt when it signs.

use rcgen::{CertificateParams, DistinguishedName, DnType, SanType};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;

use crate::error::Error;
use crate::id::{NodeId, Salt};
use crate::key::{Algorithm, PrivateKey, X509Signer, X509Subject, verify_x509};
use crate::name::{check_group, check_user};
use crate::pem;
use crate::profile::{URI_SCHEME, only_text, parse_uri, uri};

const LABEL: &str = "CERTIFICATE REQUEST";
/// Longest request that is looked at, in bytes: ours are below 600.
const REQUEST_LEN_MAX: usize = 4096;

/// A request whose signature was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    der: Vec<u8>,
    spki: Vec<u8>,
    algorithm: Algorithm,
    name: Option<String>,
    identity: Option<(String, NodeId)>,
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

    /// Writes a request for this key that carries the ID it has in the group.
    pub fn for_node(key: &PrivateKey, group: &str, id: NodeId) -> Result<Self, Error> {
        check_group(group)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = vec![SanType::URI(uri(group, &id).try_into()?)];
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
        let identity = read_identity(&request)?;
        Ok(Self { der: der.to_vec(), spki: spki.to_vec(), algorithm, name, identity })
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

    /// Returns the group and node ID that the request carries; nothing vouches for them.
    pub fn identity(&self) -> Option<(&str, NodeId)> {
        self.identity.as_ref().map(|(group, id)| (group.as_str(), *id))
    }

    /// Checks that the request carries this group, and the ID that its key has there with the salt
    /// that was drawn for it.
    pub fn check_identity(&self, group: &str, salt: &Salt) -> Result<NodeId, Error> {
        let right = NodeId::salted(salt, &self.spki);
        match self.identity() {
            Some((named, _)) if named != group => Err(Error::Request("it is for another group")),
            Some((_, id)) if id == right => Ok(id),
            Some(_) => Err(Error::Request("its node ID is not the one of its key")),
            None => Err(Error::Request("it carries no node ID")),
        }
    }

    /// Lends the key to the certificate writer.
    pub(crate) fn subject_key(&self) -> X509Subject<'_> {
        X509Subject { spki: &self.spki, algorithm: self.algorithm }
    }
}

impl Serialize for Request {
    /// Writes PEM.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_pem())
    }
}

impl<'de> Deserialize<'de> for Request {
    /// Reads PEM and verifies the signature.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// Reads our name among the alternative names; other tools may ask for more, which nobody gets.
fn read_identity(
    request: &X509CertificationRequest<'_>,
) -> Result<Option<(String, NodeId)>, Error> {
    const MALFORMED: Error = Error::Request("its warren:// name is not one group and node ID");
    let names = request.requested_extensions().into_iter().flatten().filter_map(|found| {
        let ParsedExtension::SubjectAlternativeName(names) = found else { return None };
        Some(names.general_names.iter())
    });
    let mut ours = names.flatten().filter_map(|name| match name {
        GeneralName::URI(text) if text.starts_with(URI_SCHEME) => Some(*text),
        _ => None,
    });
    let Some(text) = ours.next() else { return Ok(None) };
    if ours.next().is_some() {
        return Err(MALFORMED);
    }
    let (group, id) = parse_uri(text).ok_or(MALFORMED)?;
    Ok(Some((group.to_owned(), id)))
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
    fn unit_wb_10_a_request_carries_the_node_id_that_its_key_has() {
        let (key, salt) = (PrivateKey::generate(), Salt::random());
        let id = NodeId::salted(&salt, key.spki());
        let request = Request::for_node(&key, "team", id).expect("writes");
        let read = Request::parse(&request.to_pem()).expect("own output");
        assert_eq!(read.identity(), Some(("team", id)));
        assert_eq!(read.check_identity("team", &salt), Ok(id));

        let why = |request: &Request, group: &str, salt: &Salt| match request
            .check_identity(group, salt)
        {
            Err(Error::Request(why)) => why,
            other => panic!("{other:?}"),
        };
        assert_eq!(why(&request, "club", &salt), "it is for another group");
        let other = "its node ID is not the one of its key";
        assert_eq!(why(&request, "team", &Salt::random()), other);
        let foreign = Request::for_node(&PrivateKey::generate(), "team", id).expect("writes");
        assert_eq!(why(&foreign, "team", &salt), other);
        let bare = Request::new(&key, Some("ana")).expect("writes");
        assert_eq!(why(&bare, "team", &salt), "it carries no node ID");
    }

    #[test]
    fn a_name_of_ours_is_read_strictly_and_others_are_passed_over() {
        let key = PrivateKey::generate();
        let id = NodeId::self_certified(key.spki());
        let ask = |names: &[&str]| {
            let mut params = CertificateParams::default();
            let uri = |name: &&str| SanType::URI(name.to_string().try_into().expect("ascii"));
            params.subject_alt_names = names.iter().map(uri).collect();
            Request::from_der(params.serialize_request(&X509Signer(&key)).expect("writes").der())
        };
        let ours = format!("warren://team/{id}");
        let other = "https://example.org";
        assert_eq!(ask(&[other]).expect("is read").identity(), None);
        assert_eq!(ask(&[other, &ours]).expect("is read").identity(), Some(("team", id)));
        let upper = ours.to_uppercase().replacen("WARREN", "warren", 1);
        for bad in [&[&ours[..], &ours][..], &["warren://team/12"], &["warren://team"], &[&upper]] {
            assert!(ask(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn keys_and_requests_of_openssl_are_read() {
        let folder = tempfile::tempdir().expect("a scratch directory");
        let folder = folder.path();
        for kind in ["ED25519", "EC -pkeyopt ec_paramgen_curve:P-256"] {
            let make = format!("genpkey -algorithm {kind} -out key");
            let ask = "req -new -key key -subj /CN=ana -out request";
            for arguments in [&make, ask] {
                let (success, text) = openssl(folder, arguments);
                assert!(success, "openssl {arguments}: {text}");
            }
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
