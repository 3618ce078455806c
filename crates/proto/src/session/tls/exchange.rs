//! One TLS handshake as an [`Exchange`]: bytes of two levels in and out, traffic secrets at the end.
//!
//! The library gives the handshake keys between the messages of the two levels, and does not itself tell
//! apart from which level a message came; the caller of [`Exchange::read`] does. Its keys for QUIC packets
//! are ignored. Secrets come from the exporter (RFC 8446, section 7.5) with both ends in the context.

use super::ALPN;
use super::verifier::Verifier;
use crate::NodeId;
use crate::session::Index;
use crate::session::aead::Cipher;
use crate::session::keys::{ChainSecret, TrafficSecrets};
use crate::session::suite::{Established, Exchange, Failure, Level, Peer};
use crate::wire::frame::TAG_LEN;
use pki::Refusal;
use rustls::CipherSuite;
use rustls::quic::{Connection, KeyChange, PacketKey};
use std::sync::Arc;
use zeroize::Zeroize;

/// Exporter label of the traffic secrets.
const EXPORTER: &[u8] = b"EXPORTER-warren-traffic-1";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Server,
}

pub(super) struct TlsExchange {
    side: Side,
    id: NodeId,
    purpose: Vec<u8>,
    verifier: Arc<Verifier>,
    connection: Connection,
    /// Handshake keys: ours, theirs.
    keys: Option<(Box<dyn PacketKey>, Box<dyn PacketKey>)>,
    finished: bool,
}

impl TlsExchange {
    pub(super) fn new(
        side: Side,
        id: NodeId,
        purpose: Vec<u8>,
        verifier: Arc<Verifier>,
        connection: Connection,
    ) -> Self {
        TlsExchange { side, id, purpose, verifier, connection, keys: None, finished: false }
    }

    /// The secrets of the frames from the client and from the server.
    fn export(&self, peer: NodeId, client: Index, server: Index) -> Option<[ChainSecret; 2]> {
        let (client_id, server_id) = match self.side {
            Side::Client => (self.id, peer),
            Side::Server => (peer, self.id),
        };
        let mut context = self.purpose.clone();
        context.extend_from_slice(client_id.as_bytes());
        context.extend_from_slice(server_id.as_bytes());
        context.extend_from_slice(&client.0.to_be_bytes());
        context.extend_from_slice(&server.0.to_be_bytes());
        let mut both =
            self.connection.export_keying_material([0; 64], EXPORTER, Some(&context)).ok()?;
        let secrets = [0, 32].map(|at| {
            let mut secret = [0; 32];
            secret.copy_from_slice(&both[at..at + 32]);
            ChainSecret::new(secret)
        });
        both.zeroize();
        Some(secrets)
    }
}

impl Exchange for TlsExchange {
    fn write(&mut self, clear: &mut Vec<u8>, sealed: &mut Vec<u8>) {
        loop {
            let out = if self.keys.is_none() { &mut *clear } else { &mut *sealed };
            let before = out.len();
            match self.connection.write_hs(out) {
                Some(KeyChange::Handshake { keys }) => {
                    self.keys = Some((keys.local.packet, keys.remote.packet));
                }
                // The keys of QUIC's own packets; ours come from the exporter.
                Some(KeyChange::OneRtt { .. }) => {}
                None if out.len() == before => return,
                None => {}
            }
        }
    }

    fn read(&mut self, level: Level, bytes: &[u8]) -> Result<(), Failure> {
        debug_assert_eq!(level == Level::Sealed, self.can_seal());
        self.connection.read_hs(bytes).map_err(failure)?;
        // A side that names no protocol passes the library's own check.
        if !self.connection.is_handshaking() && self.connection.alpn_protocol() != Some(ALPN) {
            return Err(Failure::Protocol("the peer names no protocol"));
        }
        Ok(())
    }

    fn can_seal(&self) -> bool {
        self.keys.is_some()
    }

    fn seal(&self, number: u16, header: &[u8], body: &mut [u8]) -> Option<[u8; TAG_LEN]> {
        let (ours, _) = self.keys.as_ref()?;
        let tag = ours.encrypt_in_place(u64::from(number), header, body).ok()?;
        tag.as_ref().try_into().ok()
    }

    fn open<'a>(&self, number: u16, header: &[u8], sealed: &'a mut [u8]) -> Option<&'a [u8]> {
        let (_, theirs) = self.keys.as_ref()?;
        theirs.decrypt_in_place(u64::from(number), header, sealed).ok()
    }

    fn finish(&mut self, client: Index, server: Index) -> Option<Established> {
        if self.finished || self.connection.is_handshaking() {
            return None;
        }
        let certificate = self.connection.peer_certificates()?.first()?.to_vec();
        let (id, member) = self.verifier.judged()?;
        let cipher = match self.connection.negotiated_cipher_suite()?.suite() {
            CipherSuite::TLS13_AES_256_GCM_SHA384 => Cipher::Aes256Gcm,
            _ => Cipher::ChaCha20Poly1305,
        };
        let [from_client, from_server] = self.export(id, client, server)?;
        let (send, receive) = match self.side {
            Side::Client => (from_client, from_server),
            Side::Server => (from_server, from_client),
        };
        self.finished = true;
        let not_after = member.as_ref().map(|member| member.not_after);
        let peer = Peer { id, not_after, member: member.map(Box::new), certificate };
        Some(Established { peer, secrets: TrafficSecrets { send, receive, cipher } })
    }
}

/// What an error of the library means to both users.
fn failure(error: rustls::Error) -> Failure {
    use rustls::{CertificateError, Error, OtherError};
    match error {
        Error::InvalidCertificate(CertificateError::Other(OtherError(ref inner))) => {
            match inner.downcast_ref::<Refusal>() {
                Some(refusal) => Failure::Refused(*refusal),
                None => Failure::Protocol("the certificate cannot be used"),
            }
        }
        Error::NoCertificatesPresented => Failure::Refused(Refusal::NoCertificate),
        Error::InvalidCertificate(_) => Failure::Protocol("no proof of the certificate's key"),
        Error::NoApplicationProtocol | Error::PeerIncompatible(_) => {
            Failure::Protocol("no common version")
        }
        _ => Failure::Protocol("unexpected tls message"),
    }
}
