//! The suite of simulations: the messages of TLS by number and size, none of its work, no chance of its own.
//!
//! Each side believes the ID that the other announces. Secrets mix the nonces of both sides, which come from
//! the seeded generator, so a run repeats bit by bit; frames carry a checksum ([`Cipher::Null`]), so damage
//! and replays are still noticed. Never constructed by the daemon.

use super::Index;
use super::aead::{Cipher, Key, checksum};
use super::keys::{ChainSecret, TrafficSecrets};
use super::suite::{Established, Exchange, Failure, Level, Peer, Suite};
use crate::NodeId;
use crate::rng::Rng;
use crate::time::{Now, UnixTime};
use crate::wire::frame::TAG_LEN;
use pki::{IssuerId, Member, Refusal, Roles, SIGNATURE_LEN, Salt, Serial, Trust};
use std::sync::Arc;

/// Sizes of the four messages in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    client_clear: usize,
    server_clear: usize,
    client_sealed: usize,
    server_sealed: usize,
}

impl Sizes {
    /// What the TLS suite sends with member certificates; its tests compare.
    pub const GROUP: Sizes =
        Sizes { client_clear: 1_382, server_clear: 1_178, client_sealed: 658, server_sealed: 698 };
    /// What the TLS suite sends with raw public keys.
    pub const PUBLIC: Sizes =
        Sizes { client_clear: 1_394, server_clear: 1_178, client_sealed: 234, server_sealed: 286 };

    fn get(self, side: Side, level: Level) -> usize {
        match (side, level) {
            (Side::Client, Level::Clear) => self.client_clear,
            (Side::Server, Level::Clear) => self.server_clear,
            (Side::Client, Level::Sealed) => self.client_sealed,
            (Side::Server, Level::Sealed) => self.server_sealed,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Client,
    Server,
}

impl Side {
    fn other(self) -> Side {
        match self {
            Side::Client => Side::Server,
            Side::Server => Side::Client,
        }
    }
}

/// A node that announces `id`.
#[derive(Debug)]
pub struct NullSuite {
    id: NodeId,
    not_after: Option<UnixTime>,
    trust: Option<Arc<Trust>>,
    sizes: Sizes,
    purpose: u64,
    rng: Rng,
}

impl NullSuite {
    /// The suite of a node. Both ends of a session need the same `purpose`, which tells overlays apart.
    pub fn new(id: NodeId, sizes: Sizes, purpose: &[u8], rng: &mut Rng) -> Self {
        let purpose = half(&checksum(0, 0, purpose, &[]));
        NullSuite { id, not_after: None, trust: None, sizes, purpose, rng: Rng::new(rng.bytes()) }
    }

    /// Gives the node an identity that ends.
    #[must_use]
    pub fn with_not_after(mut self, not_after: UnixTime) -> Self {
        self.not_after = Some(not_after);
        self
    }

    /// Makes the node a member of a group whose notices it heeds. Certificates are not shown: a member's are
    /// made up from its ID by [`imagine`].
    #[must_use]
    pub fn with_trust(mut self, trust: Trust) -> Self {
        self.trust = Some(Arc::new(trust));
        self
    }

    fn exchange(
        &mut self,
        side: Side,
        expect: Option<NodeId>,
        now: Now,
    ) -> Result<Box<dyn Exchange>, Refusal> {
        check_time(self.not_after, now.unix)?;
        let trust = self.trust.clone();
        trust.as_ref().map_or(Ok(()), |trust| trust.admit(&imagine(self.id, trust), now.unix))?;
        Ok(Box::new(NullExchange {
            trust,
            side,
            id: self.id,
            not_after: self.not_after,
            expect,
            sizes: self.sizes,
            purpose: self.purpose,
            now: now.unix,
            nonce: self.rng.u64(),
            keys: None,
            peer_nonce: None,
            peer: None,
            said: [false; 2],
            heard: [Vec::new(), Vec::new()],
            finished: false,
        }))
    }
}

/// The certificate that a node of a simulated group would have: of its own user, issued long ago.
pub fn imagine(id: NodeId, trust: &Trust) -> Member {
    let mut serial = [0; 16];
    serial.copy_from_slice(&id.as_bytes()[..16]);
    Member {
        node_id: id,
        user: id.to_string(),
        group: trust.group().to_owned(),
        roles: Roles::NONE,
        serial: Serial::from_bytes(serial),
        issuer: IssuerId::from_bytes([0; 20]),
        not_before: UnixTime(0),
        not_after: FOREVER,
        salt: Salt::from_bytes([0; 16]),
        ipv4: None,
        host: None,
        spki: Vec::new(),
    }
}

fn check_time(not_after: Option<UnixTime>, now: UnixTime) -> Result<(), Refusal> {
    match not_after {
        Some(since) if since < now => Err(Refusal::Expired { since }),
        _ => Ok(()),
    }
}

impl Suite for NullSuite {
    fn node_id(&self) -> NodeId {
        self.id
    }

    fn client(&mut self, expect: Option<NodeId>, now: Now) -> Result<Box<dyn Exchange>, Refusal> {
        self.exchange(Side::Client, expect, now)
    }

    fn server(&mut self, expect: Option<NodeId>, now: Now) -> Result<Box<dyn Exchange>, Refusal> {
        self.exchange(Side::Server, expect, now)
    }

    fn rejudge(&self, peer: &Peer, now: UnixTime) -> Result<(), Refusal> {
        check_time(peer.not_after, now)?;
        match (&self.trust, &peer.member) {
            (Some(trust), Some(member)) => trust.rejudge(member, now),
            _ => Ok(()),
        }
    }

    fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        signature(self.id, bytes)
    }

    fn verify(
        &self,
        certificate: &[u8],
        owner: NodeId,
        bytes: &[u8],
        signed: &[u8],
        _: UnixTime,
    ) -> bool {
        certificate == owner.as_bytes() && signed == signature(owner, bytes)
    }

    fn certificate(&self) -> &[u8] {
        self.id.as_bytes()
    }

    fn renew(&mut self, _: &[u8], _: UnixTime) -> Result<(), Refusal> {
        Ok(())
    }

    fn trust(&self) -> Option<&Trust> {
        self.trust.as_deref()
    }

    fn trust_mut(&mut self) -> Option<&mut Trust> {
        self.trust.as_mut().map(Arc::make_mut)
    }
}

/// A stand-in of the length of a true signature.
fn signature(id: NodeId, bytes: &[u8]) -> Vec<u8> {
    let mut signature = checksum(0, 0, id.as_bytes(), bytes).to_vec();
    signature.resize(SIGNATURE_LEN, 0);
    signature
}

struct NullExchange {
    side: Side,
    id: NodeId,
    not_after: Option<UnixTime>,
    /// What was known when the handshake began.
    trust: Option<Arc<Trust>>,
    expect: Option<NodeId>,
    sizes: Sizes,
    purpose: u64,
    now: UnixTime,
    nonce: u64,
    /// Handshake keys: ours, theirs.
    keys: Option<(Key, Key)>,
    peer_nonce: Option<u64>,
    peer: Option<Peer>,
    said: [bool; 2],
    heard: [Vec<u8>; 2],
    finished: bool,
}

impl NullExchange {
    /// Nonces of client and server.
    fn nonces(&self) -> Option<[u64; 2]> {
        let peer = self.peer_nonce?;
        Some(match self.side {
            Side::Client => [self.nonce, peer],
            Side::Server => [peer, self.nonce],
        })
    }

    fn say(&mut self, level: Level, fields: &[u8], out: &mut Vec<u8>) {
        let end = out.len() + self.sizes.get(self.side, level);
        out.extend_from_slice(fields);
        out.resize(end, 0);
        self.said[level as usize] = true;
    }

    fn hear_nonce(&mut self, message: &[u8]) {
        self.peer_nonce = Some(half(message));
        if let Some([client, server]) = self.nonces() {
            let key = |side: Side| {
                let key = checksum(client, server, &[side as u8], &self.purpose.to_be_bytes());
                Key::Null(half(&key))
            };
            self.keys = Some((key(self.side), key(self.side.other())));
        }
    }

    fn hear_identity(&mut self, message: &[u8]) -> Result<(), Failure> {
        let mut r = crate::wire::Reader::new(message);
        let fields = r.id().and_then(|id| Ok((id, r.u64()?)));
        let (id, not_after) = fields.map_err(|_| Failure::Protocol("short identity"))?;
        let not_after = Some(UnixTime(not_after)).filter(|end| *end != FOREVER);
        if self.expect.is_some_and(|expected| expected != id) {
            return Err(Refusal::WrongNode.into());
        }
        check_time(not_after, self.now)?;
        let certificate = id.as_bytes().to_vec();
        let member = self.trust.as_ref().map(|trust| Box::new(imagine(id, trust)));
        if let (Some(trust), Some(member)) = (&self.trust, &member) {
            trust.admit(member, self.now)?;
        }
        self.peer = Some(Peer { id, not_after, member, certificate });
        Ok(())
    }
}

/// An identity without an end on the wire.
const FOREVER: UnixTime = UnixTime(u64::MAX);

impl Exchange for NullExchange {
    fn write(&mut self, clear: &mut Vec<u8>, sealed: &mut Vec<u8>) {
        // The client speaks first; then each side speaks when the other has said its part.
        let clear_due = self.side == Side::Client || self.peer_nonce.is_some();
        if clear_due && !self.said[0] {
            self.say(Level::Clear, &self.nonce.to_be_bytes(), clear);
        }
        let sealed_due = match self.side {
            Side::Client => self.peer.is_some(),
            Side::Server => self.keys.is_some(),
        };
        if sealed_due && !self.said[1] {
            let mut fields = self.id.as_bytes().to_vec();
            fields.extend(self.not_after.unwrap_or(FOREVER).0.to_be_bytes());
            self.say(Level::Sealed, &fields, sealed);
        }
    }

    fn read(&mut self, level: Level, bytes: &[u8]) -> Result<(), Failure> {
        let expected = self.sizes.get(self.side.other(), level);
        let heard = &mut self.heard[level as usize];
        heard.extend_from_slice(bytes);
        if heard.len() > expected {
            return Err(Failure::Protocol("more than one message"));
        }
        if heard.len() < expected {
            return Ok(());
        }
        let message = heard.clone();
        match level {
            Level::Clear => self.hear_nonce(&message),
            Level::Sealed => self.hear_identity(&message)?,
        }
        Ok(())
    }

    fn can_seal(&self) -> bool {
        self.keys.is_some()
    }

    fn seal(&self, number: u16, header: &[u8], body: &mut [u8]) -> Option<[u8; TAG_LEN]> {
        Some(self.keys.as_ref()?.0.seal(u64::from(number), header, body))
    }

    fn open<'a>(&self, number: u16, header: &[u8], sealed: &'a mut [u8]) -> Option<&'a [u8]> {
        self.keys.as_ref()?.1.open(u64::from(number), header, sealed).ok().map(|body| &*body)
    }

    fn finish(&mut self, client: Index, server: Index) -> Option<Established> {
        let nonces = self.nonces()?;
        if self.finished || !self.said[1] {
            return None;
        }
        let peer = self.peer.clone()?;
        self.finished = true;
        let (c, s) = match self.side {
            Side::Client => (self.id, peer.id),
            Side::Server => (peer.id, self.id),
        };
        let secret = |side: Side| {
            let mut context = vec![side as u8];
            context.extend_from_slice(c.as_bytes());
            context.extend_from_slice(s.as_bytes());
            context.extend_from_slice(&client.0.to_be_bytes());
            context.extend_from_slice(&server.0.to_be_bytes());
            let mut secret = [0; 32];
            let sum = checksum(nonces[0] ^ self.purpose, nonces[1], &context, &[]);
            secret[..16].copy_from_slice(&sum);
            ChainSecret::new(secret)
        };
        let secrets = TrafficSecrets {
            send: secret(self.side),
            receive: secret(self.side.other()),
            cipher: Cipher::Null,
        };
        Some(Established { peer, secrets })
    }
}

/// The first eight bytes as a number; zero if there are fewer.
fn half(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}
