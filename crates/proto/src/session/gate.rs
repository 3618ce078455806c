//! The gate before a handshake: a key that members of a group share and outsiders lack.
//!
//! Probes and invitations are sealed under it, so that no onlooker learns node IDs; every clear datagram of a
//! handshake's client carries a MAC under it, so that outsiders get silence and cost no TLS work. It
//! authenticates nobody: that is the handshake's task. A group accepts the keys of several generations of its
//! secret, newest first. The public overlay uses a fixed key that everybody knows, so that there is one
//! format and one code path.
//!
//! In a group by a pre-shared key there is no certificate that the handshake could ask for, and the gate does
//! what is left to do: a server's clear datagrams count only from a holder of the key, so nobody on the path
//! learns who calls, and the secrets of a session are mixed with the key ([`Gate::bind`]), so that no frame
//! opens without it.

use super::keys::TrafficSecrets;
use super::token::Token;
use crate::wire::frame::{Kind, TAG_LEN};
use crate::wire::hello;
use crate::wire::probe::{Invite, NONCE_LEN, Probe, ProbeReply, REPLY_TAG_LEN, envelope};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::{hkdf, hmac};
use pki::{GroupSecret, PreSharedKey};
use std::fmt;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Most generations of the group secret that are tried: bounds the work that one probe causes.
pub const GATES_MAX: usize = 64;

/// The keys of one generation.
pub struct Gate {
    probe: LessSafeKey,
    hello: hmac::Key,
    reply: hmac::Key,
    bound: Option<Bound>,
}

/// What a gate does besides where a pre-shared key stands in for certificates.
struct Bound {
    /// Makes the checks of a server's clear datagrams.
    server: hmac::Key,
    /// Goes into the secrets of every session.
    session: hkdf::Salt,
}

impl Gate {
    /// The gate of whoever knows `secret`.
    pub fn new(secret: &[u8; 32]) -> Self {
        let prk = hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, secret);
        let derive = |label: &[u8]| {
            let mut key = Zeroizing::new([0; 32]);
            prk.expand(&[label], hkdf::HKDF_SHA256)
                .and_then(|okm| okm.fill(&mut *key))
                .expect("32 bytes are less than HKDF can give");
            key
        };
        let probe = UnboundKey::new(&AES_256_GCM, &*derive(b"warren gate probe"))
            .expect("the cipher takes keys of 32 bytes");
        Gate {
            probe: LessSafeKey::new(probe),
            hello: hmac::Key::new(hmac::HMAC_SHA256, &*derive(b"warren gate hello")),
            reply: hmac::Key::new(hmac::HMAC_SHA256, &*derive(b"warren gate reply")),
            bound: None,
        }
    }

    /// The gate of one generation of a group's secret.
    pub fn group(secret: &GroupSecret) -> Self {
        Gate::new(&secret.derive(b"warren gate"))
    }

    /// The gate of one key of a group that has no authority.
    pub fn pre_shared(key: &PreSharedKey, group: &str) -> Self {
        let server = key.derive(group, b"warren gate server");
        let session = key.derive(group, b"warren session");
        let bound = Bound {
            server: hmac::Key::new(hmac::HMAC_SHA256, &*server),
            session: hkdf::Salt::new(hkdf::HKDF_SHA256, &*session),
        };
        Gate { bound: Some(bound), ..Gate::new(&key.derive(group, b"warren gate")) }
    }

    /// The gate of the public overlay, which keeps nobody out.
    pub fn public() -> Self {
        Gate::new(b"warren public overlay, open gate")
    }

    /// The datagram of a probe. `nonce` must be random: a key must not see one twice.
    pub fn seal_probe(&self, probe: &Probe, nonce: [u8; NONCE_LEN]) -> Vec<u8> {
        self.seal(Kind::Probe, &probe.emit(), nonce)
    }

    /// The datagram of an invitation; as for [`Gate::seal_probe`].
    pub fn seal_invite(&self, invite: &Invite, nonce: [u8; NONCE_LEN]) -> Vec<u8> {
        self.seal(Kind::Invite, &invite.emit(), nonce)
    }

    /// The answer to the probe that carried `nonce`.
    pub fn seal_reply(&self, reply: &ProbeReply, nonce: &[u8; NONCE_LEN]) -> [u8; ProbeReply::LEN] {
        reply.emit(|clear| self.reply_tag(nonce, clear))
    }

    /// Whether `datagram` answers the probe that carried `nonce`, and what it says.
    pub fn open_reply(&self, datagram: &[u8], nonce: &[u8; NONCE_LEN]) -> Option<ProbeReply> {
        let (reply, clear, tag) = ProbeReply::parse(datagram).ok()?;
        verify_slices_are_equal(&self.reply_tag(nonce, clear), tag).ok()?;
        Some(reply)
    }

    /// The MAC of a clear datagram of a client; the field that will hold it does not count.
    pub(super) fn hello_mac(&self, datagram: &[u8]) -> [u8; hello::GATE_LEN] {
        let mut context = hmac::Context::with_key(&self.hello);
        context.update(&datagram[..hello::GATE_AT]);
        context.update(&datagram[hello::GATE_AT + hello::GATE_LEN..]);
        truncated(&context.sign())
    }

    /// Whether a clear datagram of a client, already parsed as such, carries our MAC.
    pub(super) fn admits(&self, datagram: &[u8]) -> bool {
        let mac = &datagram[hello::GATE_AT..hello::GATE_AT + hello::GATE_LEN];
        verify_slices_are_equal(&self.hello_mac(datagram), mac).is_ok()
    }

    /// The check of a server's clear datagram: who does not see the path cannot know the token, so a blind
    /// forger cannot spoil a dial; with a pre-shared key, nobody can who does not have it. Four bytes,
    /// because a ServerHello leaves no more in 1,200.
    pub(super) fn server_check(&self, token: &Token, datagram: &[u8]) -> [u8; hello::CHECK_LEN] {
        let mut context = match &self.bound {
            Some(bound) => {
                let mut context = hmac::Context::with_key(&bound.server);
                context.update(&token.0);
                context
            }
            None => hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &token.0)),
        };
        context.update(&datagram[..hello::HEADER_LEN]);
        context.update(&datagram[hello::HEADER_LEN + hello::CHECK_LEN..]);
        truncated(&context.sign())
    }

    /// Mixes the pre-shared key, where there is one, into what a handshake behind this gate yielded: the
    /// frames of the session then prove that both ends have it.
    pub(super) fn bind(&self, secrets: &mut TrafficSecrets) {
        if let Some(bound) = &self.bound {
            secrets.send = secrets.send.mixed_with(&bound.session);
            secrets.receive = secrets.receive.mixed_with(&bound.session);
        }
    }

    fn seal(&self, kind: Kind, plaintext: &[u8], nonce: [u8; NONCE_LEN]) -> Vec<u8> {
        let mut datagram = Vec::with_capacity(1 + NONCE_LEN + plaintext.len() + TAG_LEN);
        datagram.push(kind as u8);
        datagram.extend_from_slice(&nonce);
        datagram.extend_from_slice(plaintext);
        let tag = self
            .probe
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from([kind as u8]),
                &mut datagram[1 + NONCE_LEN..],
            )
            .expect("sealing fails only beyond 2^36 bytes");
        datagram.extend_from_slice(tag.as_ref());
        datagram
    }

    fn reply_tag(&self, nonce: &[u8; NONCE_LEN], clear: &[u8]) -> [u8; REPLY_TAG_LEN] {
        let mut context = hmac::Context::with_key(&self.reply);
        context.update(nonce);
        context.update(clear);
        truncated(&context.sign())
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gate(..)")
    }
}

/// A message that one of the accepted gates opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened<T> {
    /// Which of the gates, counted from the newest: answers go through the same.
    pub gate: usize,
    /// The nonce, which a reply is bound to.
    pub nonce: [u8; NONCE_LEN],
    /// What was said.
    pub message: T,
}

/// Opens a probe under the first of `gates` that fits; [`GATES_MAX`] are tried.
pub fn open_probe(gates: &[Arc<Gate>], datagram: &[u8]) -> Option<Opened<Probe>> {
    open(gates, Kind::Probe, datagram, |plaintext| Probe::parse(plaintext).ok())
}

/// Opens an invitation; as [`open_probe`].
pub fn open_invite(gates: &[Arc<Gate>], datagram: &[u8]) -> Option<Opened<Invite>> {
    open(gates, Kind::Invite, datagram, |plaintext| Invite::parse(plaintext).ok())
}

fn open<T>(
    gates: &[Arc<Gate>],
    kind: Kind,
    datagram: &[u8],
    parse: impl Fn(&[u8]) -> Option<T>,
) -> Option<Opened<T>> {
    let (nonce, sealed) = envelope(kind, datagram).ok()?;
    let mut scratch = Vec::with_capacity(sealed.len());
    gates.iter().take(GATES_MAX).enumerate().find_map(|(index, gate)| {
        scratch.clear();
        scratch.extend_from_slice(sealed);
        let plaintext = gate
            .probe
            .open_in_place(
                Nonce::assume_unique_for_key(nonce),
                Aad::from([kind as u8]),
                &mut scratch,
            )
            .ok()?;
        Some(Opened { gate: index, nonce, message: parse(plaintext)? })
    })
}

fn truncated<const N: usize>(tag: &hmac::Tag) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&tag.as_ref()[..N]);
    out
}

/// What attackers have who know a part of a pre-shared group's secrets, as none does.
#[cfg(test)]
impl Gate {
    /// Lets the hellos of the group in, and has nothing else of its key.
    pub(super) fn impostor(key: &PreSharedKey, group: &str) -> Self {
        Gate { bound: None, ..Gate::pre_shared(key, group) }
    }

    /// Has all of the key but what goes into the secrets of sessions.
    pub(super) fn without_session_key(key: &PreSharedKey, group: &str) -> Self {
        let mut gate = Gate::pre_shared(key, group);
        if let Some(bound) = &mut gate.bound {
            bound.session = hkdf::Salt::new(hkdf::HKDF_SHA256, &[0; 32]);
        }
        gate
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NodeId;
    use crate::session::Index;

    fn gates() -> Vec<Arc<Gate>> {
        let secret = |generation| GroupSecret { generation, key: [1; 32] };
        [2, 1].map(|generation| Arc::new(Gate::group(&secret(generation)))).to_vec()
    }

    fn probe() -> Probe {
        Probe { dialler: Index(5), id: NodeId::from_bytes([3; 20]), target: None }
    }

    #[test]
    fn a_probe_opens_under_an_accepted_generation_and_shows_no_id() {
        let gates = gates();
        let datagram = gates[1].seal_probe(&probe(), [9; NONCE_LEN]);
        let opened = open_probe(&gates, &datagram).expect("the second gate fits");
        assert_eq!((opened.gate, opened.message, opened.nonce), (1, probe(), [9; NONCE_LEN]));
        assert_eq!(open_probe(&gates[..1], &datagram), None);
        assert_eq!(open_probe(&[Arc::new(Gate::public())], &datagram), None);
        assert!(!datagram.windows(4).any(|window| window == [3; 4]));
        for bit in 0..datagram.len() * 8 {
            let mut bent = datagram.clone();
            bent[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open_probe(&gates, &bent), None);
        }
    }

    #[test]
    fn a_reply_is_smaller_than_the_probe_and_bound_to_it() {
        let gate = Gate::public();
        let reply = ProbeReply { dialler: Index(5), token: Token([6; 16]) };
        let datagram = gate.seal_reply(&reply, &[9; NONCE_LEN]);
        assert_eq!(datagram.len(), 34);
        assert!(datagram.len() <= gate.seal_probe(&probe(), [9; NONCE_LEN]).len());
        assert_eq!(gate.open_reply(&datagram, &[9; NONCE_LEN]), Some(reply));
        assert_eq!(gate.open_reply(&datagram, &[8; NONCE_LEN]), None);
        assert_eq!(Gate::new(&[1; 32]).open_reply(&datagram, &[9; NONCE_LEN]), None);
    }

    #[test]
    fn an_invitation_is_not_a_probe() {
        let gates = gates();
        let invite = Invite {
            dialler: Index(5),
            id: NodeId::from_bytes([3; 20]),
            proof: Token([1; 16]),
            token: Token([2; 16]),
        };
        let mut datagram = gates[0].seal_invite(&invite, [9; NONCE_LEN]);
        assert_eq!(open_invite(&gates, &datagram).map(|opened| opened.message), Some(invite));
        assert_eq!(open_probe(&gates, &datagram), None);
        datagram[0] = Kind::Probe as u8;
        assert_eq!(open_probe(&gates, &datagram), None);
    }
}
