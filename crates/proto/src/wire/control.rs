//! Control messages: the plaintext of lane 0, spoken between two ends of one session.
//!
//! ```text
//! Ping          01 | nonce 4
//! Pong          02 | nonce 4
//! Welcome       03 | incarnation 8 | generation 4 | notices 8 | observed endpoint | IPv4 4 (0 = none)
//! Status        04 | flags 1 (bit 0: keep this link) | n left 1 | n right 1 | IDs 20 each, nearest first
//! Routed        05 | routed message (see `wire::routed`)
//! Close         06 | reason 1
//! PathChallenge 07 | data 8 | zeros
//! PathResponse  08 | data 8
//! Address       09 | IPv4 4 (0 = none)
//! Standing      0a | notices 8 | head 8 | secret 4 (see `wire::news`)
//! NewsAsk       0b | as Standing
//! News          0c | flags 1 (bit 0: another follows) | items (see `wire::news`)
//! Broadcast     0d | hops 1 | end of the arc 20 | payload, 1 to 512 bytes
//! ```
//! An endpoint is `4 | address 4 | port 2` or `6 | address 16 | port 2`.

use super::news::{Items, Standing};
use super::{Malformed, Reader};
use crate::NodeId;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Neighbours per side that a [`Status`] lists at most.
pub const STATUS_PER_SIDE_MAX: usize = 4;
/// Longest payload of a broadcast in bytes: a notice or head.
pub const BROADCAST_LEN_MAX: usize = pki::NOTICE_LEN_MAX;

/// Why a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum CloseReason {
    /// The node leaves the overlay.
    Leaving = 1,
    /// Neither end needs the link any more.
    Unneeded = 2,
    /// Another live node holds the sender's ID.
    IdInUse = 3,
    /// The peer's certificate is revoked or expired.
    Refused = 4,
    /// A newer session of the same two nodes took over.
    Replaced = 5,
}

/// What each end says first on a new session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// Drawn at the start of the process: tells a restart or a copy from the same running node.
    pub incarnation: u64,
    /// Counts the handshakes that the TLS client of this session began: orders its sessions.
    pub generation: u32,
    /// Number of the newest revocation notice known.
    pub notices: u64,
    /// From where the sender receives the other end's datagrams (its reflexive endpoint).
    pub observed: SocketAddr,
    /// The virtual IPv4 address that the sender claims; the receiver looks the lease up itself.
    pub ipv4: Option<Ipv4Addr>,
}

/// A node's nearest linked neighbours, nearest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Whether the sender wants the link kept.
    pub keep: bool,
    /// Counter-clockwise neighbours.
    pub left: Vec<NodeId>,
    /// Clockwise neighbours.
    pub right: Vec<NodeId>,
}

/// A control message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Control<'a> {
    /// Keep-alive and round-trip measurement.
    Ping(u32),
    /// Answers the ping of this nonce.
    Pong(u32),
    /// The first message of each end.
    Welcome(Welcome),
    /// Neighbours of the sender.
    Status(Status),
    /// A message on its way through the overlay.
    Routed(&'a [u8]),
    /// The session is over.
    Close(CloseReason),
    /// Asks the peer to prove that it receives at the address this was sent to, and datagrams of this length.
    PathChallenge {
        /// What is to be echoed.
        data: [u8; 8],
        /// Zeros behind it.
        padding: usize,
    },
    /// Echoes a challenge, to the address it came from.
    PathResponse([u8; 8]),
    /// The sender's virtual IPv4 address changed.
    Address(Option<Ipv4Addr>),
    /// What the sender knows of its authority.
    Standing(Standing),
    /// The same, and the wish to be told what is beyond.
    NewsAsk(Standing),
    /// Answers an ask, in one or several messages.
    News {
        /// Whether another message of this answer follows.
        more: bool,
        /// Notices, heads and group secrets.
        items: Items<'a>,
    },
    /// A message for all nodes on an arc of the ring: the receiver and those from it clockwise to `until`,
    /// which is left out.
    Broadcast {
        /// Hops taken so far.
        hops: u8,
        /// Where the arc ends; the receiver itself for the whole ring.
        until: NodeId,
        /// What all shall have.
        payload: &'a [u8],
    },
}

impl<'a> Control<'a> {
    /// Parses the plaintext of a control frame.
    pub fn parse(bytes: &'a [u8]) -> Result<Control<'a>, Malformed> {
        let mut r = Reader::new(bytes);
        let message = match r.u8()? {
            1 => Control::Ping(r.u32()?),
            2 => Control::Pong(r.u32()?),
            3 => Control::Welcome(Welcome {
                incarnation: r.u64()?,
                generation: r.u32()?,
                notices: r.u64()?,
                observed: endpoint(&mut r)?,
                ipv4: ipv4(&mut r)?,
            }),
            4 => Control::Status(status(&mut r)?),
            5 => Control::Routed(r.rest()),
            6 => Control::Close(match r.u8()? {
                1 => CloseReason::Leaving,
                2 => CloseReason::Unneeded,
                3 => CloseReason::IdInUse,
                4 => CloseReason::Refused,
                5 => CloseReason::Replaced,
                _ => return Err(Malformed::Field("close reason")),
            }),
            7 => {
                let (data, padding) = (r.array()?, r.rest());
                if padding.iter().any(|&byte| byte != 0) {
                    return Err(Malformed::Field("padding"));
                }
                Control::PathChallenge { data, padding: padding.len() }
            }
            8 => Control::PathResponse(r.array()?),
            9 => Control::Address(ipv4(&mut r)?),
            10 => Control::Standing(Standing::parse(&mut r)?),
            11 => Control::NewsAsk(Standing::parse(&mut r)?),
            12 => {
                let more = super::record::flag(&mut r, "news flags")?;
                Control::News { more, items: Items::parse(r.rest())? }
            }
            13 => {
                let (hops, until, payload) = (r.u8()?, r.id()?, r.rest());
                if !(1..=BROADCAST_LEN_MAX).contains(&payload.len()) {
                    return Err(Malformed::Field("broadcast length"));
                }
                Control::Broadcast { hops, until, payload }
            }
            _ => return Err(Malformed::Field("control type")),
        };
        r.finish()?;
        Ok(message)
    }

    /// The message as bytes.
    pub fn emit(&self) -> Vec<u8> {
        let mut b = Vec::with_capacity(16);
        match self {
            Control::Ping(nonce) => tagged(&mut b, 1, &nonce.to_be_bytes()),
            Control::Pong(nonce) => tagged(&mut b, 2, &nonce.to_be_bytes()),
            Control::Welcome(w) => {
                tagged(&mut b, 3, &w.incarnation.to_be_bytes());
                b.extend_from_slice(&w.generation.to_be_bytes());
                b.extend_from_slice(&w.notices.to_be_bytes());
                emit_endpoint(&mut b, w.observed);
                b.extend_from_slice(&w.ipv4.unwrap_or(Ipv4Addr::UNSPECIFIED).octets());
            }
            Control::Status(s) => {
                debug_assert!(s.left.len().max(s.right.len()) <= STATUS_PER_SIDE_MAX);
                b.extend([4, u8::from(s.keep), s.left.len() as u8, s.right.len() as u8]);
                s.left.iter().chain(&s.right).for_each(|id| b.extend_from_slice(id.as_bytes()));
            }
            Control::Routed(message) => tagged(&mut b, 5, message),
            Control::Close(reason) => b.extend([6, *reason as u8]),
            Control::PathChallenge { data, padding } => {
                tagged(&mut b, 7, data);
                b.resize(b.len() + padding, 0);
            }
            Control::PathResponse(data) => tagged(&mut b, 8, data),
            Control::Address(a) => {
                tagged(&mut b, 9, &a.unwrap_or(Ipv4Addr::UNSPECIFIED).octets());
            }
            Control::Standing(standing) => {
                b.push(10);
                standing.emit(&mut b);
            }
            Control::NewsAsk(standing) => {
                b.push(11);
                standing.emit(&mut b);
            }
            Control::News { more, items } => {
                b.extend([12, u8::from(*more)]);
                b.extend_from_slice(items.as_bytes());
            }
            Control::Broadcast { hops, until, payload } => {
                b.extend([13, *hops]);
                b.extend_from_slice(until.as_bytes());
                b.extend_from_slice(payload);
            }
        }
        b
    }
}

fn tagged(b: &mut Vec<u8>, tag: u8, body: &[u8]) {
    b.reserve_exact(1 + body.len());
    b.push(tag);
    b.extend_from_slice(body);
}

fn status(r: &mut Reader<'_>) -> Result<Status, Malformed> {
    let flags = r.u8()?;
    let (left, right) = (r.u8()? as usize, r.u8()? as usize);
    if flags > 1 || left > STATUS_PER_SIDE_MAX || right > STATUS_PER_SIDE_MAX {
        return Err(Malformed::Field("status"));
    }
    let mut ids = |n: usize| (0..n).map(|_| r.id()).collect::<Result<Vec<_>, _>>();
    Ok(Status { keep: flags == 1, left: ids(left)?, right: ids(right)? })
}

fn ipv4(r: &mut Reader<'_>) -> Result<Option<Ipv4Addr>, Malformed> {
    let a = Ipv4Addr::from(r.array::<4>()?);
    Ok((!a.is_unspecified()).then_some(a))
}

/// Reads an endpoint.
pub fn endpoint(r: &mut Reader<'_>) -> Result<SocketAddr, Malformed> {
    let ip: IpAddr = match r.u8()? {
        4 => r.array::<4>()?.into(),
        6 => r.array::<16>()?.into(),
        _ => return Err(Malformed::Field("address family")),
    };
    Ok(SocketAddr::new(ip, r.u16()?))
}

/// Writes an endpoint.
pub fn emit_endpoint(b: &mut Vec<u8>, endpoint: SocketAddr) {
    match endpoint.ip() {
        IpAddr::V4(a) => tagged(b, 4, &a.octets()),
        IpAddr::V6(a) => tagged(b, 6, &a.octets()),
    }
    b.extend_from_slice(&endpoint.port().to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn examples() -> Vec<Control<'static>> {
        let id = |n| NodeId::from_bytes([n; 20]);
        let observed = "[2001:db8::7]:7415".parse().expect("an endpoint");
        vec![
            Control::Ping(7),
            Control::Pong(9),
            Control::Welcome(Welcome {
                incarnation: 5,
                generation: 1,
                notices: 3,
                observed,
                ipv4: Some(Ipv4Addr::new(10, 9, 0, 7)),
            }),
            Control::Status(Status { keep: true, left: vec![id(1), id(2)], right: vec![id(3)] }),
            Control::Routed(b"abc"),
            Control::Close(CloseReason::IdInUse),
            Control::PathChallenge { data: [1; 8], padding: 0 },
            Control::PathResponse([2; 8]),
            Control::Address(None),
            Control::Standing(Standing { notices: 7, head: 8, secret: 9 }),
            Control::NewsAsk(Standing::default()),
            Control::News { more: true, items: Items::parse(b"\0\x01a").expect("a list") },
            Control::Broadcast { hops: 3, until: id(4), payload: b"n" },
        ]
    }

    #[test]
    fn every_message_survives_the_round_trip() {
        for message in examples() {
            assert_eq!(Control::parse(&message.emit()), Ok(message));
        }
    }

    #[test]
    fn every_truncation_is_refused() {
        for message in examples().iter().filter(|m| !matches!(m, Control::Routed(_))) {
            let bytes = message.emit();
            // Without its items an answer is an empty one.
            let empty = matches!(message, Control::News { .. }).then_some(2);
            for n in (0..bytes.len()).filter(|n| Some(*n) != empty) {
                assert!(Control::parse(&bytes[..n]).is_err(), "{message:?} cut to {n}");
            }
        }
    }

    #[test]
    fn a_challenge_may_be_padded_with_zeros() {
        let padded = Control::PathChallenge { data: [1; 8], padding: 300 };
        let mut bytes = padded.emit();
        assert_eq!((bytes.len(), Control::parse(&bytes)), (309, Ok(padded)));
        bytes[200] = 1;
        assert_eq!(Control::parse(&bytes), Err(Malformed::Field("padding")));
    }

    proptest! {
        #[test]
        fn hostile_bytes_parse_to_what_they_emit_or_not_at_all(b in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(message) = Control::parse(&b) {
                prop_assert_eq!(message.emit(), b);
            }
        }
    }
}
