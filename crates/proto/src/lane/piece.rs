//! A packet in one frame or, where the path carries no frame that long, in two.
//!
//! The content byte in front says which of the two it is: bit 0 is the state of the checksum, bits 1 and 2 are
//! the [`Piece`]. The last piece is sealed right after the first, by the same lane: their counters are
//! neighbours, which is all that a receiver needs to join them, and a counter is never used twice.

use super::{CONTENT_LEN, Checksum, frame_len};
use crate::wire::Malformed;
use crate::wire::frame::Header;
use std::ops::Range;

/// What of a packet is in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Piece {
    /// All of it.
    Whole = 0,
    /// Its first half, the longer one.
    First = 1,
    /// Its second half.
    Last = 2,
}

impl Piece {
    /// The frames that carry a packet of this length where none may be longer than `limit`. A packet that two
    /// frames do not carry goes whole: who sets such an MTU promises paths for it.
    pub(super) fn of(packet_len: usize, limit: usize) -> &'static [Piece] {
        let fits = |piece: Piece| piece.frame_len(packet_len) <= limit;
        if fits(Piece::Whole) || !fits(Piece::First) {
            &[Piece::Whole]
        } else {
            &[Piece::First, Piece::Last]
        }
    }

    /// Length of the frame around this piece of a packet of this length.
    pub fn frame_len(self, packet_len: usize) -> usize {
        frame_len(self.range(packet_len).len())
    }

    /// This piece of a packet that lies in two parts.
    pub(super) fn cut(self, [head, body]: [&[u8]; 2]) -> [&[u8]; 2] {
        let Range { start, end } = self.range(head.len() + body.len());
        let in_body = |at: usize| at.saturating_sub(head.len());
        let in_head = |at: usize| at.min(head.len());
        [&head[in_head(start)..in_head(end)], &body[in_body(start)..in_body(end)]]
    }

    fn range(self, packet_len: usize) -> Range<usize> {
        let half = packet_len.div_ceil(2);
        match self {
            Piece::Whole => 0..packet_len,
            Piece::First => 0..half,
            Piece::Last => half..packet_len,
        }
    }
}

/// The content byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) checksum: Checksum,
    pub(super) piece: Piece,
}

impl Content {
    pub(super) fn emit(self) -> [u8; CONTENT_LEN] {
        [self.checksum as u8 | (self.piece as u8) << 1]
    }

    pub(super) fn parse(byte: u8) -> Result<Content, Malformed> {
        let checksum = if byte & 1 == 0 { Checksum::Complete } else { Checksum::Partial };
        let piece = match byte >> 1 {
            0 => Piece::Whole,
            1 => Piece::First,
            2 => Piece::Last,
            _ => return Err(Malformed::Field("content")),
        };
        Ok(Content { checksum, piece })
    }
}

/// The piece of a session that came last, as long as its packet is not whole. Its memory is used for the next.
#[derive(Debug)]
pub(super) struct Waiting {
    /// The header of the first of the two.
    first: Header,
    content: Content,
    bytes: Vec<u8>,
}

impl Waiting {
    /// Joins a piece with the one that waits, in `packet`, or else lets it wait in its place. Returns whether the
    /// packet is whole.
    pub(super) fn join(
        place: &mut Option<Box<Waiting>>,
        header: &Header,
        content: Content,
        piece: &[u8],
        packet: &mut Vec<u8>,
    ) -> bool {
        let before = u64::from(content.piece == Piece::Last);
        let first = Header { counter: header.counter.wrapping_sub(before), ..*header };
        let waiting = place.as_deref().filter(|waiting| waiting.first == first);
        if let Some(other) = waiting.filter(|other| other.content.checksum == content.checksum) {
            let (head, tail) = match content.piece {
                Piece::Last => (&*other.bytes, piece),
                Piece::Whole | Piece::First => (piece, &*other.bytes),
            };
            packet.clear();
            packet.extend_from_slice(head);
            packet.extend_from_slice(tail);
            return true;
        }
        let new = || Box::new(Waiting { first, content, bytes: Vec::new() });
        let waiting = place.get_or_insert_with(new);
        (waiting.first, waiting.content) = (first, content);
        waiting.bytes.clear();
        waiting.bytes.extend_from_slice(piece);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{Epoch, Index, LaneId};
    use proptest::prelude::*;

    fn header(counter: u64) -> Header {
        Header { lane: LaneId::FIRST_DATA, epoch: Epoch(0), receiver: Index(1), counter }
    }

    proptest! {
        #[test]
        fn two_pieces_make_the_packet_in_either_order(
            packet in prop::collection::vec(any::<u8>(), 1..3000), at in 0usize..3000, swapped: bool,
        ) {
            let parts = packet.split_at(at.min(packet.len()));
            let pieces = [(7, Piece::First), (8, Piece::Last)].map(|(counter, piece)| {
                let bytes = piece.cut([parts.0, parts.1]).concat();
                prop_assert_eq!(piece.frame_len(packet.len()), frame_len(bytes.len()));
                Ok((header(counter), Content { checksum: Checksum::Partial, piece }, bytes))
            });
            let mut pieces = pieces.into_iter().collect::<Result<Vec<_>, _>>()?;
            if swapped {
                pieces.reverse();
            }
            let (mut place, mut joined) = (None, Vec::new());
            let mut whole = false;
            for (header, content, bytes) in pieces {
                prop_assert!(!whole);
                whole = Waiting::join(&mut place, &header, content, &bytes, &mut joined);
            }
            prop_assert!(whole);
            prop_assert_eq!(joined, packet);
        }
    }

    #[test]
    fn pieces_of_two_packets_are_never_joined() {
        let first = Content { checksum: Checksum::Complete, piece: Piece::First };
        let last = Content { piece: Piece::Last, ..first };
        let partial = Content { checksum: Checksum::Partial, ..last };
        let other_lane = Header { lane: LaneId::new(2).expect("a lane"), ..header(8) };
        let other_epoch = Header { epoch: Epoch(1), ..header(8) };
        for (header, content) in [
            (header(9), last),
            (header(7), last),
            (header(8), partial),
            (other_lane, last),
            (other_epoch, last),
            (self::header(0), last),
        ] {
            let (mut place, mut joined) = (None, Vec::new());
            assert!(!Waiting::join(&mut place, &self::header(7), first, b"ab", &mut joined));
            assert!(!Waiting::join(&mut place, &header, content, b"cd", &mut joined));
        }
    }

    #[test]
    fn a_packet_is_cut_only_where_that_helps() {
        assert_eq!(Piece::of(1_000, 1_200), [Piece::Whole]);
        assert_eq!(Piece::of(1_200 - frame_len(0), 1_200), [Piece::Whole]);
        assert_eq!(Piece::of(1_201 - frame_len(0), 1_200), [Piece::First, Piece::Last]);
        assert_eq!(Piece::of(2_334, 1_200), [Piece::First, Piece::Last]);
        assert_eq!(Piece::of(2_335, 1_200), [Piece::Whole]);
    }

    #[test]
    fn every_content_byte_parses_to_what_it_says_or_not_at_all() {
        for byte in 0..=u8::MAX {
            match Content::parse(byte) {
                Ok(content) => assert_eq!(content.emit(), [byte]),
                Err(_) => assert!(byte > 5),
            }
        }
    }
}
