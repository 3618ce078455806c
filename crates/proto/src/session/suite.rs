//! The seam behind which public-key cryptography sits: TLS for the daemon, a null suite for simulations.
//!
//! A [`Suite`] belongs to one overlay instance of a node: it knows who the node is there and whom it believes.
//! An [`Exchange`] is one handshake in progress. It speaks in two byte streams, clear and sealed, and knows
//! nothing of datagrams, loss and time: that is [`handshake`](super::handshake)'s part, the same for every
//! suite.
//!
//! What must hold: an exchange yields [`Established`] only for a peer that proved its key and was judged
//! (identity is known before any data is handled); the two secrets are bound to both node IDs, both indexes
//! and the purpose of the suite, so that keys of one session mean nothing in another.

use super::Index;
use super::keys::TrafficSecrets;
use crate::NodeId;
use crate::time::{Now, UnixTime};
use crate::wire::frame::TAG_LEN;
use pki::{Member, Refusal, Trust};

/// The identity of a node in one overlay, and whom it believes.
pub trait Suite: Send {
    /// Who this node is.
    fn node_id(&self) -> NodeId;

    /// Starts a handshake as client; with `expect`, any other node is refused. Fails if the node's own
    /// certificate would be refused: its user shall read that reason first.
    fn client(&mut self, expect: Option<NodeId>, now: Now) -> Result<Box<dyn Exchange>, Refusal>;

    /// Starts a handshake as server; otherwise as [`Suite::client`].
    fn server(&mut self, expect: Option<NodeId>, now: Now) -> Result<Box<dyn Exchange>, Refusal>;

    /// Judges a peer of a session that is up again: because of time, or of a notice.
    fn rejudge(&self, peer: &Peer, now: UnixTime) -> Result<(), Refusal>;

    /// Signs a record of the DHT.
    fn sign(&self, bytes: &[u8]) -> Vec<u8>;

    /// Whether `owner`, whose certificate this is, signed `bytes` and may still do so.
    fn verify(
        &self,
        certificate: &[u8],
        owner: NodeId,
        bytes: &[u8],
        signature: &[u8],
        now: UnixTime,
    ) -> bool;

    /// This node's certificate or public key, for others to [`Suite::verify`] with.
    fn certificate(&self) -> &[u8];

    /// Puts a renewed certificate of the same key and node in the place of the present one.
    fn renew(&mut self, certificate: &[u8], now: UnixTime) -> Result<(), Refusal>;

    /// The authorities and revocations of the group, where there is one.
    fn trust(&self) -> Option<&Trust>;

    /// The same, to add revocations. Handshakes in progress judge by what was known when they started:
    /// [`Suite::rejudge`] their peers, as those of all sessions, once they are established.
    fn trust_mut(&mut self) -> Option<&mut Trust>;
}

/// One of the two streams of a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Not encrypted.
    Clear = 0,
    /// Encrypted under the handshake keys.
    Sealed = 1,
}

/// One side of a handshake in progress.
pub trait Exchange: Send {
    /// Appends what this side says next to the two streams.
    fn write(&mut self, clear: &mut Vec<u8>, sealed: &mut Vec<u8>);

    /// Takes the next bytes of a stream of the other side. The caller feeds no clear bytes once
    /// [`Exchange::can_seal`] and no sealed ones before.
    fn read(&mut self, level: Level, bytes: &[u8]) -> Result<(), Failure>;

    /// Whether the handshake keys are there.
    fn can_seal(&self) -> bool;

    /// Encrypts `body` in place; a number must not come twice. `None` before the keys are there.
    fn seal(&self, number: u16, header: &[u8], body: &mut [u8]) -> Option<[u8; TAG_LEN]>;

    /// Decrypts ciphertext and tag in place; `None` if they are not the other side's.
    fn open<'a>(&self, number: u16, header: &[u8], sealed: &'a mut [u8]) -> Option<&'a [u8]>;

    /// The outcome, once: after the other side was judged and this side has said everything. Indexes are
    /// those of the session's ends.
    fn finish(&mut self, client: Index, server: Index) -> Option<Established>;
}

/// Who is at the other end of a session.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its node ID.
    pub id: NodeId,
    /// When its certificate, and with it the session, ends.
    pub not_after: Option<UnixTime>,
    /// What its certificate says; none in the public overlay.
    pub member: Option<Box<Member>>,
    /// Certificate or public key in DER.
    pub certificate: Vec<u8>,
}

/// What a handshake yields.
#[derive(Clone, Debug)]
pub struct Established {
    /// Who is at the other end.
    pub peer: Peer,
    /// The start of both key chains.
    pub secrets: TrafficSecrets,
}

/// Why a handshake came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// One side does not accept the other.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The messages do not fit together.
    #[error("the handshake broke off: {0}; compare the versions of both sides")]
    Protocol(&'static str),
}

impl Failure {
    /// Code on the wire of everything that is not a [`Refusal`].
    const PROTOCOL: u8 = 0;

    /// Code and detail on the wire.
    pub(super) fn to_wire(self) -> (u8, u64) {
        match self {
            Failure::Refused(refusal) => (refusal.code(), refusal.detail()),
            Failure::Protocol(_) => (Self::PROTOCOL, 0),
        }
    }

    /// What the other side reported.
    pub(super) fn from_wire(code: u8, detail: u64) -> Failure {
        match Refusal::from_code(code, detail) {
            Some(refusal) => Failure::Refused(refusal),
            None if code == Self::PROTOCOL => Failure::Protocol("so the peer says"),
            None => Failure::Protocol("for a reason of the peer that is newer than this version"),
        }
    }
}
