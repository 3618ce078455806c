//! The datagrams of a handshake: a header in clear, then a piece of one of two byte streams.
//!
//! ```text
//!  0      1       2          6        10       12       14          16           18
//! +------+-------+----------+--------+--------+--------+-----------+------------+---------
//! | type | flags | receiver | sender | number | offset | ack clear | ack sealed | ...
//! +------+-------+----------+--------+--------+--------+-----------+------------+---------
//! clear, by the client: | token 16 | gate MAC 16 | piece |
//! clear, by the server: | check 4 | piece |
//! sealed:               | piece, encrypted | tag 16 |
//! ```
//! Two streams, because TLS has two keys before it is done: clear (ClientHello, ServerHello) and sealed under
//! the handshake keys (everything else). `number` counts the datagrams of a side and is the nonce of the
//! sealed ones; `offset` places the piece in its stream; the acks say how far the sender has both streams of
//! the other side without a gap. The receiver is zero while its index is unknown. The header has 18 bytes and
//! the check four, so that a ServerHello with X25519MLKEM768, 1,178 bytes, fits one datagram of 1,200.
//!
//! A refusal travels as a piece of its own: `| code 1 | detail 8 |`, flagged.

use super::frame::{Kind, TAG_LEN};
use super::{Malformed, Reader};
use crate::session::Index;
use crate::session::token::Token;

/// Length of the header in bytes.
pub const HEADER_LEN: usize = 18;
/// Where the MAC of a client's clear datagram starts.
pub const GATE_AT: usize = HEADER_LEN + Token::LEN;
/// Length of that MAC in bytes.
pub const GATE_LEN: usize = 16;
/// Length of the check in a server's clear datagram in bytes.
pub const CHECK_LEN: usize = 4;

const REFUSED: u8 = 1;
const INVITED: u8 = 2;
const CLIENT: u8 = 4;

/// What protects the piece of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cover {
    /// Clear, from the client: token and gate MAC.
    Client {
        /// The client starts because it was invited: its token is bound to the receiver's index.
        invited: bool,
    },
    /// Clear, from the server: the check.
    Server,
    /// Encrypted under the handshake keys.
    Sealed,
}

/// The header of a handshake datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// How the piece is protected, and so to which stream it belongs.
    pub cover: Cover,
    /// The piece is a refusal.
    pub refused: bool,
    /// Index of the receiver, once known.
    pub receiver: Option<Index>,
    /// Index of the sender.
    pub sender: Index,
    /// Counts the datagrams of the sender.
    pub number: u16,
    /// Where in the stream the piece starts.
    pub offset: u16,
    /// Bytes of the receiver's clear and sealed stream that arrived without a gap.
    pub acks: [u16; 2],
}

impl Header {
    /// Reads the header off a datagram that is long enough to hold what its kind says.
    pub fn parse(datagram: &[u8]) -> Result<Header, Malformed> {
        let mut r = Reader::new(datagram);
        let (kind, flags) = (r.u8()?, r.u8()?);
        let cover = match (kind, flags & !REFUSED) {
            (k, CLIENT) if k == Kind::HelloClear as u8 => Cover::Client { invited: false },
            (k, f) if k == Kind::HelloClear as u8 && f == CLIENT | INVITED => {
                Cover::Client { invited: true }
            }
            (k, 0) if k == Kind::HelloClear as u8 => Cover::Server,
            (k, 0) if k == Kind::HelloSealed as u8 => Cover::Sealed,
            _ => return Err(Malformed::Field("type or flags")),
        };
        let receiver = Some(Index(r.u32()?)).filter(|index| index.0 != 0);
        let sender = Index(r.u32()?);
        if sender.0 == 0 {
            return Err(Malformed::Field("sender"));
        }
        let header = Header {
            cover,
            refused: flags & REFUSED != 0,
            receiver,
            sender,
            number: r.u16()?,
            offset: r.u16()?,
            acks: [r.u16()?, r.u16()?],
        };
        if datagram.len() < cover.overhead() {
            return Err(Malformed::Truncated);
        }
        Ok(header)
    }

    /// The header as bytes.
    pub fn emit(&self) -> [u8; HEADER_LEN] {
        let (kind, flags) = match self.cover {
            Cover::Client { invited: false } => (Kind::HelloClear, CLIENT),
            Cover::Client { invited: true } => (Kind::HelloClear, CLIENT | INVITED),
            Cover::Server => (Kind::HelloClear, 0),
            Cover::Sealed => (Kind::HelloSealed, 0),
        };
        let mut b = [0; HEADER_LEN];
        b[0] = kind as u8;
        b[1] = flags | if self.refused { REFUSED } else { 0 };
        b[2..6].copy_from_slice(&self.receiver.map_or(0, |index| index.0).to_be_bytes());
        b[6..10].copy_from_slice(&self.sender.0.to_be_bytes());
        b[10..12].copy_from_slice(&self.number.to_be_bytes());
        b[12..14].copy_from_slice(&self.offset.to_be_bytes());
        b[14..16].copy_from_slice(&self.acks[0].to_be_bytes());
        b[16..].copy_from_slice(&self.acks[1].to_be_bytes());
        b
    }
}

impl Cover {
    /// Where the piece starts.
    pub const fn piece_at(self) -> usize {
        HEADER_LEN
            + match self {
                Cover::Client { .. } => Token::LEN + GATE_LEN,
                Cover::Server => CHECK_LEN,
                Cover::Sealed => 0,
            }
    }

    /// Bytes of a datagram that are not piece.
    pub const fn overhead(self) -> usize {
        self.piece_at() + if matches!(self, Cover::Sealed) { TAG_LEN } else { 0 }
    }
}

/// The token in a clear datagram of a client.
pub fn token(datagram: &[u8]) -> Result<Token, Malformed> {
    let mut r = Reader::new(datagram);
    r.take(HEADER_LEN)?;
    Ok(Token(r.array()?))
}

/// The piece of a refusal: code and detail.
pub fn parse_refusal(piece: &[u8]) -> Result<(u8, u64), Malformed> {
    let mut r = Reader::new(piece);
    let refusal = (r.u8()?, r.u64()?);
    r.finish()?;
    Ok(refusal)
}

/// The refusal as a piece.
pub fn emit_refusal(code: u8, detail: u64) -> [u8; 9] {
    let mut piece = [code; 9];
    piece[1..].copy_from_slice(&detail.to_be_bytes());
    piece
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header() -> impl Strategy<Value = Header> {
        let cover = prop_oneof![
            any::<bool>().prop_map(|invited| Cover::Client { invited }),
            Just(Cover::Server),
            Just(Cover::Sealed),
        ];
        let indexes = (any::<u32>(), 1u32..);
        (cover, any::<bool>(), indexes, any::<[u16; 4]>()).prop_map(
            |(cover, refused, (receiver, sender), [number, offset, a, b])| Header {
                cover,
                refused,
                receiver: Some(Index(receiver)).filter(|index| index.0 != 0),
                sender: Index(sender),
                number,
                offset,
                acks: [a, b],
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_emitted_parses_to_the_same(header in header()) {
            let mut datagram = header.emit().to_vec();
            datagram.resize(header.cover.overhead(), 0);
            prop_assert_eq!(Header::parse(&datagram), Ok(header));
            datagram.pop();
            prop_assert_eq!(Header::parse(&datagram), Err(Malformed::Truncated));
        }

        #[test]
        fn hostile_bytes_are_refused_or_mean_what_they_say(
            kind in 0u8..0x22, flags in 0u8..9, rest in prop::collection::vec(any::<u8>(), 0..90),
        ) {
            let mut datagram = vec![kind, flags];
            datagram.extend(rest);
            if let Ok(header) = Header::parse(&datagram) {
                prop_assert_eq!(&header.emit()[..], &datagram[..HEADER_LEN]);
                prop_assert!(datagram.len() >= header.cover.overhead());
            }
            let _ = (token(&datagram), parse_refusal(&datagram));
        }
    }

    #[test]
    fn a_refusal_round_trips() {
        assert_eq!(parse_refusal(&emit_refusal(7, 99)), Ok((7, 99)));
        assert_eq!(parse_refusal(&[7; 10]), Err(Malformed::Trailing));
    }
}
