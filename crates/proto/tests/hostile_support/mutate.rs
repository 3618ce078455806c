//! Mutated messages: the same sequence for the same seed and corpus.

use warren_proto::rng::Rng;

/// Longest message that is made: longer than anything a datagram of ours holds.
const LEN_MAX: usize = 2_048;
/// Mutations of one message at most; more of them and hardly any message would parse.
const STEPS_MAX: usize = 3;
/// One message in so many is left as it is.
const UNTOUCHED: usize = 32;
/// Values at the edges of integers and counts.
const EXTREMES: [u64; 10] =
    [0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, u32::MAX as u64, u64::MAX];

/// An endless sequence of mutated messages.
pub struct Mutator {
    corpus: Vec<Vec<u8>>,
    rng: Rng,
}

impl Mutator {
    /// Mutates messages of `corpus`, which must not be empty.
    pub fn new(corpus: Vec<Vec<u8>>, seed: u8) -> Mutator {
        assert!(!corpus.is_empty());
        Mutator { corpus, rng: Rng::new([seed; 32]) }
    }

    /// Puts the next message into `out`.
    pub fn next_into(&mut self, out: &mut Vec<u8>) {
        let first = self.rng.below(self.corpus.len());
        out.clear();
        out.extend_from_slice(&self.corpus[first]);
        if self.rng.below(UNTOUCHED) != 0 {
            for _ in 0..=self.rng.below(STEPS_MAX) {
                self.mutate(out);
            }
        }
        out.truncate(LEN_MAX);
    }

    fn mutate(&mut self, out: &mut Vec<u8>) {
        match self.rng.below(9) {
            0 | 1 => self.flip_bits(out),
            2 | 3 => self.set_field(out),
            4 => out.truncate(self.rng.below(out.len() + 1)),
            5 => self.extend(out),
            6 => self.splice(out),
            7 => self.repeat(out),
            _ => self.cut(out),
        }
    }

    fn flip_bits(&mut self, out: &mut [u8]) {
        for _ in 0..=self.rng.below(4) {
            let bit = self.rng.below(out.len() * 8);
            if let Some(byte) = out.get_mut(bit / 8) {
                *byte ^= 1 << (bit % 8);
            }
        }
    }

    /// Writes an extreme or random integer of 1 to 8 bytes somewhere, more often near the front.
    fn set_field(&mut self, out: &mut [u8]) {
        let width = 1 << self.rng.below(4);
        let reach = if self.rng.below(2) == 0 { out.len() } else { out.len().min(24) };
        let at = self.rng.below(reach);
        let value = match self.rng.below(3) {
            0 => self.rng.u64(),
            _ => EXTREMES[self.rng.below(EXTREMES.len())],
        };
        let bytes = value.to_be_bytes();
        let end = out.len().min(at + width);
        out[at.min(end)..end].copy_from_slice(&bytes[8 - (end - at.min(end))..]);
    }

    fn extend(&mut self, out: &mut Vec<u8>) {
        let more = if self.rng.below(2) == 0 { 1 } else { self.rng.below(64) };
        let fill = [0, 0xff, self.rng.u32() as u8][self.rng.below(3)];
        out.resize(out.len() + more, fill);
    }

    /// The front of one message and the back of another.
    fn splice(&mut self, out: &mut Vec<u8>) {
        let other = self.rng.below(self.corpus.len());
        let (keep, from) =
            (self.rng.below(out.len() + 1), self.rng.below(self.corpus[other].len() + 1));
        out.truncate(keep);
        out.extend_from_slice(&self.corpus[other][from..]);
    }

    /// A part of the message twice.
    fn repeat(&mut self, out: &mut Vec<u8>) {
        let start = self.rng.below(out.len());
        let end = start + self.rng.below(out.len() - start + 1);
        let part = out[start..end].to_vec();
        out.splice(end..end, part);
    }

    /// A part of the message not at all.
    fn cut(&mut self, out: &mut Vec<u8>) {
        let start = self.rng.below(out.len());
        let end = start + self.rng.below(out.len() - start + 1);
        out.drain(start..end);
    }
}
