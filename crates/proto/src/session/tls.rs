//! The suite of the daemon: TLS 1.3 by rustls in its QUIC mode, without QUIC (RFC 8446, RFC 9001 section 4).
//!
//! That mode gives handshake messages without the record layer and the handshake keys to seal them with; our
//! frames take their keys from the exporter. Key agreement is X25519MLKEM768, else X25519. Both sides
//! present one certificate: that of the group, or, in the public overlay and in a group by a pre-shared key, a
//! raw public key (RFC 7250) whose hash is the node ID. SNI, tickets and resumption are off: a resumed handshake would skip the verifier.
//!
//! The configuration is made anew for each handshake. It costs some microseconds, and in return the verifier
//! holds what this one handshake needs (whom to expect, what time it is, which revocations are known)
//! without a lock or a global. The library draws its own randomness; its clock is the caller's.

mod exchange;
mod verifier;

use super::aead::Cipher;
use super::suite::{Exchange, Peer, Suite};
use crate::NodeId;
use crate::time::{Now, UnixTime};
use exchange::{Side, TlsExchange};
use pki::{Certificate, Member, PrivateKey, Refusal, Trust};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, cipher_suite, kx_group};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::quic::{ClientConnection, Connection, ServerConnection, Version};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::time_provider::TimeProvider;
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use verifier::{Belief, Verifier};

/// The protocol that both sides must name (RFC 7301): the version of everything above TLS.
const ALPN: &[u8] = b"warren/1";
/// What the exporter context starts with, so that secrets of two overlays are never equal.
const PURPOSE_GROUP: &[u8] = b"group ";
const PURPOSE_PRE_SHARED: &[u8] = b"pre-shared ";
const PURPOSE_PUBLIC: &[u8] = b"public ";
/// Goes before every record that is signed, so that no other signature of the key passes for one.
const RECORD_CONTEXT: &[u8] = b"warren record v1\0";

/// A node's key and certificate, and whom it believes.
pub struct TlsSuite {
    id: NodeId,
    key: PrivateKey,
    certified: Arc<CertifiedKey>,
    certificate: Vec<u8>,
    belief: Belief,
    purpose: Vec<u8>,
    /// What our own certificate says, once we judged it.
    own: Option<Member>,
    provider: Arc<CryptoProvider>,
    preferred: Cipher,
}

impl TlsSuite {
    /// The suite of a member of a group. `preferred` is the cipher that this machine is fast with. The
    /// certificate must be of this key; whether it is valid is judged at each handshake, since it may be
    /// renewed meanwhile.
    pub fn group(
        key: PrivateKey,
        certificate: &Certificate,
        trust: Trust,
        preferred: Cipher,
    ) -> Result<Self, Refusal> {
        let member = certificate.unverified()?;
        if member.spki != key.spki() {
            return Err(Refusal::IdMismatch);
        }
        let der = certificate.der().to_vec();
        let purpose = [PURPOSE_GROUP, trust.group().as_bytes(), b"\0"].concat();
        Self::new(member.node_id, key, der, Belief::Group(Arc::new(trust)), purpose, preferred)
    }

    /// The suite of a node of the public overlay, whose key is its certificate.
    pub fn public(key: PrivateKey, preferred: Cipher) -> Result<Self, Refusal> {
        Self::raw(key, PURPOSE_PUBLIC.to_vec(), preferred)
    }

    /// The suite of a node of a group by a pre-shared key: its key is its certificate, and the gate
    /// (`Access::PreShared`) sees to it that no session comes to be without the key of the group.
    pub fn pre_shared(key: PrivateKey, group: &str, preferred: Cipher) -> Result<Self, Refusal> {
        Self::raw(key, [PURPOSE_PRE_SHARED, group.as_bytes(), b"\0"].concat(), preferred)
    }

    fn raw(key: PrivateKey, purpose: Vec<u8>, preferred: Cipher) -> Result<Self, Refusal> {
        let spki = key.spki().to_vec();
        Self::new(NodeId::self_certified(&spki), key, spki, Belief::RawKey, purpose, preferred)
    }

    fn new(
        id: NodeId,
        key: PrivateKey,
        certificate: Vec<u8>,
        belief: Belief,
        purpose: Vec<u8>,
        preferred: Cipher,
    ) -> Result<Self, Refusal> {
        let provider = Arc::new(provider(preferred));
        let certified = Arc::new(certify(&provider, &key, &certificate)?);
        let own = None;
        Ok(TlsSuite { id, key, certified, certificate, belief, purpose, own, provider, preferred })
    }

    /// Judges our own certificate, in full the first time.
    fn judge_own(&mut self, now: UnixTime) -> Result<(), Refusal> {
        let Belief::Group(trust) = &self.belief else { return Ok(()) };
        match &self.own {
            Some(own) => trust.rejudge(own, now),
            None => {
                self.own = Some(trust.judge(&self.certificate, now)?);
                Ok(())
            }
        }
    }

    fn verifier(&self, expect: Option<NodeId>, now: UnixTime) -> Arc<Verifier> {
        let algorithms = self.provider.signature_verification_algorithms;
        Arc::new(Verifier::new(self.belief.clone(), expect, now, algorithms))
    }

    fn exchange(
        &self,
        side: Side,
        verifier: Arc<Verifier>,
        connection: Connection,
    ) -> Box<dyn Exchange> {
        Box::new(TlsExchange::new(side, self.id, self.purpose.clone(), verifier, connection))
    }
}

impl Suite for TlsSuite {
    fn node_id(&self) -> NodeId {
        self.id
    }

    fn client(&mut self, expect: Option<NodeId>, now: Now) -> Result<Box<dyn Exchange>, Refusal> {
        self.judge_own(now.unix)?;
        let verifier = self.verifier(expect, now.unix);
        let config = self.client_config(&verifier, now.unix);
        let connection = config.and_then(|config| {
            // Never sent: SNI is off, and whom we expect the verifier knows.
            let name = ServerName::IpAddress(std::net::Ipv4Addr::UNSPECIFIED.into());
            ClientConnection::new(Arc::new(config), Version::V1, name, Vec::new())
        });
        Ok(self.exchange(Side::Client, verifier, connection.map_err(own_fault)?.into()))
    }

    fn server(&mut self, expect: Option<NodeId>, now: Now) -> Result<Box<dyn Exchange>, Refusal> {
        self.judge_own(now.unix)?;
        let verifier = self.verifier(expect, now.unix);
        let connection = self
            .server_config(&verifier, now.unix)
            .and_then(|config| ServerConnection::new(Arc::new(config), Version::V1, Vec::new()));
        Ok(self.exchange(Side::Server, verifier, connection.map_err(own_fault)?.into()))
    }

    fn rejudge(&self, peer: &Peer, now: UnixTime) -> Result<(), Refusal> {
        match (&self.belief, &peer.member) {
            (Belief::Group(trust), Some(member)) => trust.rejudge(member, now),
            (Belief::Group(_), None) => Err(Refusal::NoCertificate),
            (Belief::RawKey, _) => Ok(()),
        }
    }

    fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        self.key.sign(&[RECORD_CONTEXT, bytes].concat())
    }

    fn verify(
        &self,
        certificate: &[u8],
        owner: NodeId,
        bytes: &[u8],
        signature: &[u8],
        now: UnixTime,
    ) -> bool {
        let message = [RECORD_CONTEXT, bytes].concat();
        match &self.belief {
            Belief::Group(trust) => trust
                .judge_as(certificate, owner, now)
                .is_ok_and(|member| pki::verify(&member.spki, &message, signature)),
            Belief::RawKey => {
                NodeId::self_certified(certificate) == owner
                    && pki::verify(certificate, &message, signature)
            }
        }
    }

    fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    fn renew(&mut self, certificate: &[u8], now: UnixTime) -> Result<(), Refusal> {
        let Belief::Group(trust) = &self.belief else {
            return Err(Refusal::Malformed("a raw key is not renewed"));
        };
        let own = trust.judge_as(certificate, self.id, now)?;
        if own.spki != self.key.spki() {
            return Err(Refusal::IdMismatch);
        }
        self.certified = Arc::new(certify(&self.provider, &self.key, certificate)?);
        self.certificate = certificate.to_vec();
        self.own = Some(own);
        Ok(())
    }

    fn trust(&self) -> Option<&Trust> {
        match &self.belief {
            Belief::Group(trust) => Some(trust),
            Belief::RawKey => None,
        }
    }

    fn trust_mut(&mut self) -> Option<&mut Trust> {
        match &mut self.belief {
            Belief::Group(trust) => Some(Arc::make_mut(trust)),
            Belief::RawKey => None,
        }
    }
}

impl TlsSuite {
    fn client_config(
        &self,
        verifier: &Arc<Verifier>,
        now: UnixTime,
    ) -> Result<ClientConfig, rustls::Error> {
        let builder = ClientConfig::builder_with_details(self.provider.clone(), clock(now))
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(verifier.clone());
        let mut config = match self.belief {
            Belief::Group(_) => {
                let one = SingleCertAndKey::from(CertifiedKey::clone(&self.certified));
                builder.with_client_cert_resolver(Arc::new(one))
            }
            Belief::RawKey => {
                let raw = AlwaysResolvesClientRawPublicKeys::new(self.certified.clone());
                builder.with_client_cert_resolver(Arc::new(raw))
            }
        };
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.enable_sni = false;
        config.resumption = Resumption::disabled();
        Ok(config)
    }

    fn server_config(
        &self,
        verifier: &Arc<Verifier>,
        now: UnixTime,
    ) -> Result<ServerConfig, rustls::Error> {
        let builder = ServerConfig::builder_with_details(self.provider.clone(), clock(now))
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(verifier.clone());
        let mut config = match self.belief {
            Belief::Group(_) => {
                let one = SingleCertAndKey::from(CertifiedKey::clone(&self.certified));
                builder.with_cert_resolver(Arc::new(one))
            }
            Belief::RawKey => {
                let raw = AlwaysResolvesServerRawPublicKeys::new(self.certified.clone());
                builder.with_cert_resolver(Arc::new(raw))
            }
        };
        config.alpn_protocols = vec![ALPN.to_vec()];
        // The slower machine decides: without AES in hardware it is the one that suffers.
        config.ignore_client_order = self.preferred == Cipher::ChaCha20Poly1305;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }
}

impl fmt::Debug for TlsSuite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSuite").field("id", &self.id).finish_non_exhaustive()
    }
}

/// TLS 1.3 with 256-bit ciphers, the preferred one first, and hybrid key agreement.
fn provider(preferred: Cipher) -> CryptoProvider {
    let mut suites =
        vec![cipher_suite::TLS13_AES_256_GCM_SHA384, cipher_suite::TLS13_CHACHA20_POLY1305_SHA256];
    if preferred == Cipher::ChaCha20Poly1305 {
        suites.reverse();
    }
    CryptoProvider {
        cipher_suites: suites,
        kx_groups: vec![kx_group::X25519MLKEM768, kx_group::X25519],
        ..aws_lc_rs::default_provider()
    }
}

fn certify(
    provider: &CryptoProvider,
    key: &PrivateKey,
    certificate: &[u8],
) -> Result<CertifiedKey, Refusal> {
    let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.pkcs8_der().to_vec()));
    let signer = provider.key_provider.load_private_key(der).map_err(own_fault)?;
    Ok(CertifiedKey::new(vec![CertificateDer::from(certificate.to_vec())], signer))
}

/// The library does not take our own key or settings.
fn own_fault(_: rustls::Error) -> Refusal {
    Refusal::Malformed("our own key does not work with tls")
}

/// The caller's time for the library.
#[derive(Debug)]
struct Clock(UnixTime);

fn clock(now: UnixTime) -> Arc<Clock> {
    Arc::new(Clock(now))
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<rustls::pki_types::UnixTime> {
        Some(rustls::pki_types::UnixTime::since_unix_epoch(Duration::from_secs(self.0.as_secs())))
    }
}

#[cfg(test)]
mod tests;
