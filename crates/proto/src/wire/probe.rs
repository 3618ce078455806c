//! Before a handshake: probe, reply and invitation.
//!
//! ```text
//! probe, invite: | type 1 | nonce 12 | sealed fields | tag 16 |
//! probe fields:  | dialler index 4 | dialler ID 20 | 1 if a target is named | target ID 20 or zeros |
//! invite fields: | dialler index 4 | dialler ID 20 | proof 16 | token 16 |
//! probe reply:   | type 1 | reserved 1 | dialler index 4 | token 16 | tag 12 |          (34 bytes)
//! ```
//! Both forms are sealed under the gate of a group or of the public overlay
//! ([`gate`](crate::session::gate)); nothing else tells the two overlays apart.
//!
//! A dialler probes. The node that is probed answers with a path token, 34 bytes for 74, and keeps nothing.
//! The node with the lower ID becomes the TLS client; a dialler that knows no target ID does so itself. If
//! that is the dialler, it starts with the token. Else it sends an invitation: `proof` is the token it got,
//! `token` one of its own for the hello of the node that it invites. That node then sends up to 2,400 bytes of
//! hello, more than the invitation had, but to an address that has proved itself by `proof`.

use super::frame::{Kind, TAG_LEN};
use super::{Malformed, Reader};
use crate::NodeId;
use crate::session::Index;
use crate::session::token::Token;

/// Length of the nonce in bytes.
pub const NONCE_LEN: usize = 12;
/// Length of the tag of a probe reply in bytes.
pub const REPLY_TAG_LEN: usize = 12;

/// Asks the far end of a path for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The index of the dialler for the session to come.
    pub dialler: Index,
    /// The dialler.
    pub id: NodeId,
    /// Whom it wants to reach, if it knows: any other node stays silent.
    pub target: Option<NodeId>,
}

/// Gives a token to a dialler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeReply {
    /// The index in the probe.
    pub dialler: Index,
    /// What proves that the dialler receives at its address.
    pub token: Token,
}

/// Asks the far end to start the handshake as client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invite {
    /// The index of the dialler; the invited node names it as receiver of its hello.
    pub dialler: Index,
    /// The dialler, whom the invited node will expect.
    pub id: NodeId,
    /// The token that the invited node gave for this path and the dialler's index.
    pub proof: Token,
    /// The token for the hello, minted for the path and the dialler's own index.
    pub token: Token,
}

const PROBE_FIELDS_LEN: usize = 4 + 20 + 1 + 20;
const INVITE_FIELDS_LEN: usize = 4 + 20 + 16 + 16;
const REPLY_CLEAR_LEN: usize = 2 + 4 + Token::LEN;

const _: () = assert!(ProbeReply::LEN == 34);
const _: () = assert!(1 + NONCE_LEN + PROBE_FIELDS_LEN + TAG_LEN >= ProbeReply::LEN);

/// Splits a sealed message into nonce and ciphertext with tag.
pub fn envelope(kind: Kind, datagram: &[u8]) -> Result<([u8; NONCE_LEN], &[u8]), Malformed> {
    let fields = match kind {
        Kind::Probe => PROBE_FIELDS_LEN,
        Kind::Invite => INVITE_FIELDS_LEN,
        _ => return Err(Malformed::Field("type")),
    };
    let mut r = Reader::new(datagram);
    if r.u8()? != kind as u8 {
        return Err(Malformed::Field("type"));
    }
    let nonce = r.array()?;
    let sealed = r.take(fields + TAG_LEN)?;
    r.finish()?;
    Ok((nonce, sealed))
}

impl Probe {
    /// Reads the opened fields.
    pub fn parse(fields: &[u8]) -> Result<Probe, Malformed> {
        let mut r = Reader::new(fields);
        let (dialler, id) = (index(&mut r)?, r.id()?);
        let (named, target) = (r.u8()?, r.id()?);
        r.finish()?;
        let target = match named {
            0 if *target.as_bytes() == [0; 20] => None,
            1 => Some(target),
            _ => return Err(Malformed::Field("target")),
        };
        Ok(Probe { dialler, id, target })
    }

    /// The fields to seal.
    pub fn emit(&self) -> Vec<u8> {
        let target = self.target.map_or([0; 20], |target| *target.as_bytes());
        let mut fields = Vec::with_capacity(PROBE_FIELDS_LEN);
        fields.extend_from_slice(&self.dialler.0.to_be_bytes());
        fields.extend_from_slice(self.id.as_bytes());
        fields.push(u8::from(self.target.is_some()));
        fields.extend_from_slice(&target);
        fields
    }
}

impl ProbeReply {
    /// Length of the datagram in bytes.
    pub const LEN: usize = REPLY_CLEAR_LEN + REPLY_TAG_LEN;

    /// Reads a datagram: the reply, the bytes that the tag covers, the tag.
    pub fn parse(datagram: &[u8]) -> Result<(ProbeReply, &[u8], &[u8]), Malformed> {
        let mut r = Reader::new(datagram);
        let clear = r.take(REPLY_CLEAR_LEN)?;
        let tag = r.take(REPLY_TAG_LEN)?;
        r.finish()?;
        let mut r = Reader::new(clear);
        if r.u8()? != Kind::ProbeReply as u8 {
            return Err(Malformed::Field("type"));
        }
        if r.u8()? != 0 {
            return Err(Malformed::Field("reserved"));
        }
        Ok((ProbeReply { dialler: index(&mut r)?, token: Token(r.array()?) }, clear, tag))
    }

    /// The datagram; `tag` computes the tag over the bytes before it.
    pub fn emit(&self, tag: impl FnOnce(&[u8]) -> [u8; REPLY_TAG_LEN]) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        out[0] = Kind::ProbeReply as u8;
        out[2..6].copy_from_slice(&self.dialler.0.to_be_bytes());
        out[6..REPLY_CLEAR_LEN].copy_from_slice(&self.token.0);
        let tag = tag(&out[..REPLY_CLEAR_LEN]);
        out[REPLY_CLEAR_LEN..].copy_from_slice(&tag);
        out
    }
}

impl Invite {
    /// Reads the opened fields.
    pub fn parse(fields: &[u8]) -> Result<Invite, Malformed> {
        let mut r = Reader::new(fields);
        let invite = Invite {
            dialler: index(&mut r)?,
            id: r.id()?,
            proof: Token(r.array()?),
            token: Token(r.array()?),
        };
        r.finish()?;
        Ok(invite)
    }

    /// The fields to seal.
    pub fn emit(&self) -> Vec<u8> {
        let mut fields = Vec::with_capacity(INVITE_FIELDS_LEN);
        fields.extend_from_slice(&self.dialler.0.to_be_bytes());
        fields.extend_from_slice(self.id.as_bytes());
        fields.extend_from_slice(&self.proof.0);
        fields.extend_from_slice(&self.token.0);
        fields
    }
}

fn index(r: &mut Reader<'_>) -> Result<Index, Malformed> {
    match r.u32()? {
        0 => Err(Malformed::Field("index")),
        index => Ok(Index(index)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id() -> impl Strategy<Value = NodeId> {
        any::<[u8; 20]>().prop_map(NodeId::from_bytes)
    }

    proptest! {
        #[test]
        fn what_is_emitted_parses_to_the_same(
            dialler in 1u32.., id in id(), target in prop::option::of(id()),
            proof in any::<[u8; 16]>(), token in any::<[u8; 16]>(),
        ) {
            let (dialler, proof, token) = (Index(dialler), Token(proof), Token(token));
            let probe = Probe { dialler, id, target };
            prop_assert_eq!(Probe::parse(&probe.emit()), Ok(probe));
            let invite = Invite { dialler, id, proof, token };
            prop_assert_eq!(Invite::parse(&invite.emit()), Ok(invite));
            let reply = ProbeReply { dialler, token };
            let datagram = reply.emit(|_| [7; REPLY_TAG_LEN]);
            let parsed = ProbeReply::parse(&datagram);
            prop_assert_eq!(parsed, Ok((reply, &datagram[..22], &[7; REPLY_TAG_LEN][..])));
        }

        #[test]
        fn hostile_bytes_are_refused_or_mean_what_they_say(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            if let Ok(probe) = Probe::parse(&bytes) {
                prop_assert_eq!(probe.emit(), bytes.clone());
            }
            if let Ok(invite) = Invite::parse(&bytes) {
                prop_assert_eq!(invite.emit(), bytes.clone());
            }
            if let Ok((reply, _, tag)) = ProbeReply::parse(&bytes) {
                let tag = <[u8; REPLY_TAG_LEN]>::try_from(tag).expect("the parser cut it");
                prop_assert_eq!(&reply.emit(|_| tag)[..], &bytes[..]);
            }
            for kind in [Kind::Probe, Kind::Invite, Kind::Frame] {
                let _ = envelope(kind, &bytes);
            }
        }
    }

    #[test]
    fn every_cut_and_every_tail_is_refused() {
        let probe = Probe { dialler: Index(1), id: NodeId::from_bytes([2; 20]), target: None };
        let mut fields = probe.emit();
        assert!((0..fields.len()).all(|end| Probe::parse(&fields[..end]).is_err()));
        fields.push(0);
        assert_eq!(Probe::parse(&fields), Err(Malformed::Trailing));
        fields.pop();
        fields[24] = 2;
        assert_eq!(Probe::parse(&fields), Err(Malformed::Field("target")));
        fields[24] = 0;
        fields[44] = 1;
        assert_eq!(Probe::parse(&fields), Err(Malformed::Field("target")));
    }
}
