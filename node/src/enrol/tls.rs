//! Is this the right server: decided inside the TLS handshake, before a byte of HTTP is sent.
//!
//! With pins the key alone counts: neither names nor dates nor authorities of the web are asked, so
//! a service with a certificate of its own is as good as any. Without pins the certificate must be
//! good for its name under the roots of this host.

use std::sync::Arc;

use pki::enrolment::Pin;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::TLS13;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError};
use rustls::{RootCertStore, SignatureScheme};

/// The server's key is not one that we take.
#[derive(Debug, thiserror::Error)]
#[error("the key of the server is {presented}")]
pub struct Stranger {
    /// What it showed.
    pub presented: Pin,
    /// Whether pins were compared, or else the roots of this host.
    pub was_pinned: bool,
}

impl Stranger {
    /// Finds the reason in what a failed handshake returns.
    pub fn in_error(error: &std::io::Error) -> Option<&Self> {
        let tls = error.get_ref()?.downcast_ref::<Error>()?;
        match tls {
            Error::InvalidCertificate(CertificateError::Other(other)) => other.0.downcast_ref(),
            _ => None,
        }
    }
}

/// Makes the configuration of a client that believes these pins or, if there are none, the roots of
/// this host.
pub fn client_config(pins: &[Pin]) -> Result<ClientConfig, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let web = if pins.is_empty() { web_verifier(&provider) } else { None };
    let verifier = Verifier { pins: pins.to_vec(), web, provider: Arc::clone(&provider) };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// The roots of this host; `None` where there are none.
fn web_verifier(provider: &Arc<CryptoProvider>) -> Option<Arc<WebPkiServerVerifier>> {
    let found = rustls_native_certs::load_native_certs();
    if let Some(error) = found.errors.first() {
        tracing::debug!(%error, "not all roots of this host can be read");
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    let builder =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    builder.build().ok()
}

#[derive(Debug)]
struct Verifier {
    pins: Vec<Pin>,
    web: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let presented = Pin::of_certificate(end_entity)
            .ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))?;
        let is_right = if self.pins.is_empty() {
            self.web.as_ref().is_some_and(|web| {
                let (leaf, others) = (end_entity, intermediates);
                web.verify_server_cert(leaf, others, server_name, ocsp_response, now).is_ok()
            })
        } else {
            self.pins.contains(&presented)
        };
        if is_right {
            return Ok(ServerCertVerified::assertion());
        }
        let stranger = Stranger { presented, was_pinned: !self.pins.is_empty() };
        let reason = CertificateError::Other(OtherError(Arc::new(stranger)));
        Err(Error::InvalidCertificate(reason))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
