//! What a crawl asks a node, and what the node says of itself.
//!
//! ```text
//! query   token 4
//! answer  token 4 | notices 8 | since 8 | IPv4 4 | n far 1 | far, 20 each | near: `Control::Status`
//! ```
//! An IPv4 address of zero is none.

use super::control::{Control, Status};
use super::{Malformed, Reader};
use crate::NodeId;
use std::net::Ipv4Addr;

/// Shortcuts that an answer lists at most: as many as a node of a network of 65,536 draws.
pub const FAR_MAX: usize = 8;

/// A question for a node's place in the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query {
    /// Chosen by the asker; the answer repeats it.
    pub token: u32,
}

impl Query {
    /// Parses a query.
    pub fn parse(bytes: &[u8]) -> Result<Query, Malformed> {
        let mut r = Reader::new(bytes);
        let query = Query { token: r.u32()? };
        r.finish()?;
        Ok(query)
    }

    /// The query as bytes.
    pub fn emit(self) -> [u8; 4] {
        self.token.to_be_bytes()
    }
}

/// A node's place in the ring, as it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// That of the query.
    pub token: u32,
    /// Number of the newest revocation notice that it knows.
    pub notices: u64,
    /// When it learned of that notice, in seconds since 1970; 0 if before its start.
    pub noticed_at: u64,
    /// Its virtual IPv4 address.
    pub ipv4: Option<Ipv4Addr>,
    /// Its shortcuts that are not neighbours, at most [`FAR_MAX`].
    pub far: Vec<NodeId>,
    /// Its neighbours.
    pub near: Status,
}

impl Answer {
    /// Parses an answer.
    pub fn parse(bytes: &[u8]) -> Result<Answer, Malformed> {
        let mut r = Reader::new(bytes);
        let token = r.u32()?;
        let (notices, noticed_at) = (r.u64()?, r.u64()?);
        let ipv4 = Some(Ipv4Addr::from(r.array()?)).filter(|ip| !ip.is_unspecified());
        let count = usize::from(r.u8()?);
        if count > FAR_MAX {
            return Err(Malformed::Field("shortcuts"));
        }
        let far = (0..count).map(|_| r.id()).collect::<Result<_, _>>()?;
        let Control::Status(near) = Control::parse(r.rest())? else {
            return Err(Malformed::Field("status"));
        };
        Ok(Answer { token, notices, noticed_at, ipv4, far, near })
    }

    /// The answer as bytes.
    pub fn emit(&self) -> Vec<u8> {
        debug_assert!(self.far.len() <= FAR_MAX);
        let mut b = self.token.to_be_bytes().to_vec();
        b.extend_from_slice(&self.notices.to_be_bytes());
        b.extend_from_slice(&self.noticed_at.to_be_bytes());
        b.extend(self.ipv4.unwrap_or(Ipv4Addr::UNSPECIFIED).octets());
        b.push(self.far.len() as u8);
        self.far.iter().for_each(|id| b.extend_from_slice(id.as_bytes()));
        b.extend(Control::Status(self.near.clone()).emit());
        b
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(n: u8) -> NodeId {
        NodeId::from_bytes([n; 20])
    }

    fn answer() -> Answer {
        Answer {
            token: 0x0707_0707,
            notices: 5,
            noticed_at: 9,
            ipv4: Some([10, 42, 0, 9].into()),
            far: vec![id(100), id(101)],
            near: Status { keep: true, left: vec![id(1)], right: vec![id(3)] },
        }
    }

    #[test]
    fn unit_op_01_an_answer_tells_address_shortcuts_and_neighbours_and_no_more_than_these() {
        let mut bytes = [&[7; 4][..], &5u64.to_be_bytes(), &9u64.to_be_bytes()].concat();
        bytes.extend([10, 42, 0, 9, 2]);
        bytes.extend([[100; 20], [101; 20]].concat());
        bytes.extend(Control::Status(answer().near).emit());
        assert_eq!(answer().emit(), bytes);
        let too_many = [&[0; 24][..], &[FAR_MAX as u8 + 1]].concat();
        assert_eq!(Answer::parse(&too_many), Err(Malformed::Field("shortcuts")));
        let ping = [&[0; 25][..], &Control::Ping(7).emit()].concat();
        assert_eq!(Answer::parse(&ping), Err(Malformed::Field("status")));
    }

    #[test]
    fn messages_survive_the_round_trip_and_their_truncations_are_refused() {
        let query = Query { token: 77 };
        assert_eq!(Query::parse(&query.emit()), Ok(query));
        assert!((0..4).all(|n| Query::parse(&query.emit()[..n]).is_err()));
        assert_eq!(Query::parse(&[0; 5]), Err(Malformed::Trailing));
        let alone = Answer { ipv4: None, far: Vec::new(), ..answer() };
        let full = Answer { far: vec![id(9); FAR_MAX], ..answer() };
        for answer in [answer(), alone, full] {
            let bytes = answer.emit();
            assert_eq!(Answer::parse(&bytes), Ok(answer));
            assert!((0..bytes.len()).all(|n| Answer::parse(&bytes[..n]).is_err()));
        }
    }

    proptest! {
        #[test]
        fn hostile_bytes_parse_to_what_they_emit_or_not_at_all(
            head in any::<[u8; 24]>(), far in 0u8..10, rest in prop::collection::vec(any::<u8>(), 0..160),
            (keep, left, right) in (0u8..3, 0u8..6, 0u8..6),
        ) {
            let near = [&[4, keep, left, right][..], &rest].concat();
            for bytes in [[&head[..], &[far], &rest].concat(), [&head[..], &[0], &near].concat(), rest] {
                if let Ok(answer) = Answer::parse(&bytes) {
                    prop_assert_eq!(answer.emit(), bytes);
                }
            }
        }
    }
}
