//! Who may be at the other end: the question TLS asks in the middle of a handshake, answered by the trust
//! of a group, or by the hash of a raw public key.
//!
//! One verifier serves one handshake. It answers with our own [`Refusal`], so that both users read the same
//! reason, and keeps what it learned. Nothing of web certificates (names, roots, chains) takes part:
//! members send their leaf alone, the authorities are pinned.

use crate::NodeId;
use crate::time::UnixTime;
use pki::{Algorithm, Member, Refusal, Trust};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    WebPkiSupportedAlgorithms, verify_tls13_signature, verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};
use std::sync::{Arc, OnceLock};

/// What makes a node believe another.
#[derive(Clone, Debug)]
pub(super) enum Belief {
    /// A certificate of the group, judged with what was known when the handshake started.
    Group(Arc<Trust>),
    /// Any raw key; its hash is the ID. Who may come is for the gate to say.
    RawKey,
}

/// The verifier of one handshake, for either side.
#[derive(Debug)]
pub(super) struct Verifier {
    belief: Belief,
    expect: Option<NodeId>,
    now: UnixTime,
    algorithms: WebPkiSupportedAlgorithms,
    /// Written once, by the only certificate of the handshake.
    judged: OnceLock<(NodeId, Option<Member>)>,
}

impl Verifier {
    pub(super) fn new(
        belief: Belief,
        expect: Option<NodeId>,
        now: UnixTime,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Self {
        Verifier { belief, expect, now, algorithms, judged: OnceLock::new() }
    }

    /// Who was accepted. The proof that the peer holds the key comes after this: TLS is done only with both.
    pub(super) fn judged(&self) -> Option<(NodeId, Option<Member>)> {
        self.judged.get().cloned()
    }

    fn judge(&self, certificate: &[u8], others: &[CertificateDer<'_>]) -> Result<(), Refusal> {
        if !others.is_empty() {
            return Err(Refusal::Malformed("more than one certificate"));
        }
        let (id, member) = match &self.belief {
            Belief::Group(trust) => {
                let member = trust.judge(certificate, self.now)?;
                (member.node_id, Some(member))
            }
            Belief::RawKey => {
                Algorithm::of_spki(certificate).ok_or(Refusal::Malformed("kind of key"))?;
                (NodeId::self_certified(certificate), None)
            }
        };
        if self.expect.is_some_and(|expected| expected != id) {
            return Err(Refusal::WrongNode);
        }
        self.judged.set((id, member)).map_err(|_| Refusal::Malformed("a second certificate"))
    }

    fn check_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match self.belief {
            Belief::Group(_) => {
                verify_tls13_signature(message, certificate, signed, &self.algorithms)
            }
            Belief::RawKey => {
                let spki = SubjectPublicKeyInfoDer::from(certificate.as_ref());
                verify_tls13_signature_with_raw_key(message, &spki, signed, &self.algorithms)
            }
        }
    }

    fn schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::ED25519]
    }
}

/// Carries our reason through the library's error.
fn refused(refusal: Refusal) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refusal))))
}

/// TLS 1.2 is not offered, so its signatures never come.
fn no_tls12() -> Error {
    Error::General("tls 1.2 is off".into())
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.judge(end_entity, intermediates).map_err(refused)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }

    fn requires_raw_public_keys(&self) -> bool {
        matches!(self.belief, Belief::RawKey)
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: rustls::pki_types::UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.judge(end_entity, intermediates).map_err(refused)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }

    fn requires_raw_public_keys(&self) -> bool {
        matches!(self.belief, Belief::RawKey)
    }
}
