//! Connect requests and replies: how two nodes that are not linked agree to dial each other at once.
//!
//! ```text
//! token 4 | purpose 1 | flags 1 | n endpoints 1 | [answer via 20] | [IPv4 4] | endpoints
//! ```
//! Flag bit 0: an *answer via* is present. Flag bit 1, in replies: accepted. Flag bit 2: an IPv4 address is
//! present. Both messages carry the sender's endpoints, so that both sides dial at the same time (which is the
//! hole punch).

use super::control::{emit_endpoint, endpoint};
use super::{Malformed, Reader};
use crate::NodeId;
use std::net::{Ipv4Addr, SocketAddr};

/// Endpoints that one message lists at most.
pub const ENDPOINTS_MAX: usize = 8;

/// Why a link is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Purpose {
    /// Ring neighbour.
    Near = 1,
    /// Long link across the ring.
    Shortcut = 2,
    /// Traffic flows between the two ends.
    OnDemand = 3,
}

/// A request or a reply; they differ in the meaning of two fields only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    /// Chosen by the asker; the reply repeats it.
    pub token: u32,
    /// Why the asker wants the link.
    pub purpose: Purpose,
    /// In a reply: whether the sender dials too.
    pub accepted: bool,
    /// In a request: the node through which the asker is reached while it has no place in the ring.
    pub answer_via: Option<NodeId>,
    /// In a request for traffic: the virtual address that the asker says it has.
    pub ipv4: Option<Ipv4Addr>,
    /// Where the sender may be dialled.
    pub endpoints: Vec<SocketAddr>,
}

impl Connect {
    /// Parses a request or reply.
    pub fn parse(bytes: &[u8]) -> Result<Connect, Malformed> {
        let mut r = Reader::new(bytes);
        let token = r.u32()?;
        let purpose = match r.u8()? {
            1 => Purpose::Near,
            2 => Purpose::Shortcut,
            3 => Purpose::OnDemand,
            _ => return Err(Malformed::Field("purpose")),
        };
        let flags = r.u8()?;
        let endpoints = r.u8()? as usize;
        if flags > 7 || endpoints > ENDPOINTS_MAX {
            return Err(Malformed::Field("connect"));
        }
        let message = Connect {
            token,
            purpose,
            accepted: flags & 2 != 0,
            answer_via: if flags & 1 != 0 { Some(r.id()?) } else { None },
            ipv4: if flags & 4 != 0 { Some(r.array()?.into()) } else { None },
            endpoints: (0..endpoints).map(|_| endpoint(&mut r)).collect::<Result<_, _>>()?,
        };
        r.finish()?;
        Ok(message)
    }

    /// The message as bytes.
    pub fn emit(&self) -> Vec<u8> {
        debug_assert!(self.endpoints.len() <= ENDPOINTS_MAX);
        let mut b = Vec::with_capacity(64);
        b.extend_from_slice(&self.token.to_be_bytes());
        let flags = u8::from(self.answer_via.is_some())
            | u8::from(self.accepted) << 1
            | u8::from(self.ipv4.is_some()) << 2;
        b.extend([self.purpose as u8, flags, self.endpoints.len() as u8]);
        b.extend(self.answer_via.iter().flat_map(|id| id.as_bytes()));
        b.extend(self.ipv4.iter().flat_map(|ip| ip.octets()));
        self.endpoints.iter().for_each(|&e| emit_endpoint(&mut b, e));
        b
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_message_survives_the_round_trip_and_its_truncations_are_refused() {
        let message = Connect {
            token: 77,
            purpose: Purpose::OnDemand,
            accepted: true,
            answer_via: Some(NodeId::from_bytes([9; 20])),
            ipv4: Some([10, 42, 0, 9].into()),
            endpoints: ["10.0.0.1:7415", "[fd00::1]:7415"]
                .map(|e| e.parse().expect("an endpoint"))
                .to_vec(),
        };
        let bytes = message.emit();
        assert_eq!(Connect::parse(&bytes), Ok(message));
        assert!((0..bytes.len()).all(|n| Connect::parse(&bytes[..n]).is_err()));
    }

    proptest! {
        #[test]
        fn hostile_bytes_parse_to_what_they_emit_or_not_at_all(b in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(message) = Connect::parse(&b) {
                prop_assert_eq!(message.emit(), b);
            }
        }
    }
}
