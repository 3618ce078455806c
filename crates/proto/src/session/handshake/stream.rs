//! One byte stream of a handshake, in both directions: what is to be sent again, and what waits for a gap.
//!
//! Offsets and acknowledgements are byte counts from the start of the stream.

use std::collections::BTreeMap;

/// Longest stream of one side in bytes; true ones are below 3 KiB. Bounds memory, and keeps offsets in 16 bits.
pub(super) const STREAM_MAX: usize = 16 * 1024;
/// Pieces of a stream that wait for an earlier one. A stream of two datagrams needs one.
const PIECES_MAX: usize = 16;

const _: () = assert!(STREAM_MAX <= u16::MAX as usize);

/// Both directions of one stream.
#[derive(Default)]
pub(super) struct Stream {
    /// Everything this side says, and how much of it was sent and acknowledged.
    pub(super) out: Vec<u8>,
    pub(super) sent: usize,
    pub(super) acked: usize,
    /// How much was sent at least once: `sent` goes back when something is sent again.
    pub(super) reached: usize,
    /// Bytes that came without a gap.
    pub(super) heard: usize,
    /// Pieces behind a gap, by offset.
    waiting: BTreeMap<usize, Vec<u8>>,
}

impl Stream {
    /// Keeps a piece until everything before it came. Offsets stay below [`STREAM_MAX`].
    pub(super) fn hold(&mut self, offset: usize, piece: &[u8]) {
        let end = offset + piece.len();
        let has_room = offset <= self.heard || self.waiting.len() < PIECES_MAX;
        if end <= self.heard || end > STREAM_MAX || !has_room {
            return;
        }
        let kept = self.waiting.entry(offset).or_default();
        if kept.len() < piece.len() {
            *kept = piece.to_vec();
        }
    }

    /// Takes the next bytes without a gap.
    pub(super) fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            let first = self.waiting.first_entry()?;
            if *first.key() > self.heard {
                return None;
            }
            let (offset, mut piece) = first.remove_entry();
            let known = self.heard - offset;
            if known < piece.len() {
                self.heard = offset + piece.len();
                return Some(piece.split_off(known));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pieces_in_any_order_give_the_stream(
            length in 1usize..3_000,
            cuts in prop::collection::vec((0usize..3_000, 1usize..1_200), 0..40),
        ) {
            let whole: Vec<u8> = (0..length).map(|at| (at * 7) as u8).collect();
            let mut stream = Stream::default();
            let mut heard = Vec::new();
            let everything = (0..length).step_by(500).map(|at| (at, 500));
            for (start, len) in cuts.into_iter().chain(everything) {
                let start = start.min(length);
                stream.hold(start, &whole[start..length.min(start + len)]);
                while let Some(piece) = stream.next() {
                    heard.extend(piece);
                }
                prop_assert!(stream.waiting.len() <= PIECES_MAX);
                prop_assert_eq!(stream.heard, heard.len());
            }
            prop_assert_eq!(heard, whole);
        }
    }

    #[test]
    fn nothing_beyond_the_limit_is_kept() {
        let mut stream = Stream::default();
        stream.hold(STREAM_MAX - 1, &[1]);
        stream.hold(STREAM_MAX, &[1]);
        stream.hold(usize::from(u16::MAX), &[1; 1_200]);
        assert_eq!(stream.waiting.len(), 1);
        (0..100).for_each(|n| stream.hold(10 + 2 * n, &[1]));
        assert_eq!(stream.waiting.len(), PIECES_MAX);
    }
}
