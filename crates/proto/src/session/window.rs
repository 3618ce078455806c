//! Which counters of one key were seen: the sliding bitmap of RFC 6479.
//!
//! The bitmap is a ring of 64-bit words. Moving forward clears whole words instead of shifting bits, at the
//! price of one word that is never fully usable: 33 words guarantee 2,048 counters behind the newest.
//! How many there are depends on what a window is for: [`DATA_WORDS`], [`CONTROL_WORDS`].
//!
//! Invariant: no counter is accepted twice, and none that is [`Window::SPAN`] or more behind the newest.

/// Words for a data lane. Lanes and paths reorder by some hundreds of frames at a Gbit/s; fewer than 2,048 would
/// drop frames that are merely late.
pub const DATA_WORDS: usize = 32 + 1;
/// Words for the control lane, which sends some frames at a time: 256 counters.
pub const CONTROL_WORDS: usize = 4 + 1;

/// The counters seen under one key.
#[derive(Clone, Debug)]
pub struct Window<const WORDS: usize> {
    /// One above the newest counter seen; 0 before the first.
    next: u64,
    seen: [u64; WORDS],
}

impl<const WORDS: usize> Window<WORDS> {
    /// Counters behind the newest that can still be accepted: one word is the one in which the newest moves.
    pub const SPAN: u64 = (WORDS as u64 - 1) * 64;

    /// A window that has seen nothing.
    pub const fn new() -> Self {
        Window { next: 0, seen: [0; WORDS] }
    }

    /// Whether `counter` would be accepted: neither seen nor too old.
    pub fn accepts(&self, counter: u64) -> bool {
        if counter >= self.next {
            return counter < u64::MAX;
        }
        self.next - 1 - counter < Self::SPAN && self.seen[Self::word(counter)] & bit(counter) == 0
    }

    /// Marks `counter` as seen, if it is acceptable. Call it only for a frame that authenticated: a forged
    /// counter would otherwise push the window past the true ones.
    #[must_use]
    pub fn accept(&mut self, counter: u64) -> bool {
        if !self.accepts(counter) {
            return false;
        }
        if counter >= self.next {
            let newest = self.next.saturating_sub(1) / 64;
            let steps = (counter / 64 - newest).min(WORDS as u64);
            for step in 1..=steps {
                self.seen[((newest + step) % WORDS as u64) as usize] = 0;
            }
            self.next = counter + 1;
        }
        self.seen[Self::word(counter)] |= bit(counter);
        true
    }

    fn word(counter: u64) -> usize {
        (counter / 64 % WORDS as u64) as usize
    }
}

impl<const WORDS: usize> Default for Window<WORDS> {
    fn default() -> Self {
        Self::new()
    }
}

fn bit(counter: u64) -> u64 {
    1 << (counter % 64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::test_runner::TestCaseResult;
    use std::collections::BTreeSet;

    /// Steps that meet words, the edge of the window and far jumps.
    fn step() -> impl Strategy<Value = i64> {
        prop_oneof![-3i64..4, -70i64..70, -270i64..270, -2_060i64..2_060, -10_000i64..10_000]
    }

    fn agrees_with_a_set<const WORDS: usize>(start: u64, steps: &[i64]) -> TestCaseResult {
        let (mut window, mut seen, mut at) = (Window::<WORDS>::new(), BTreeSet::new(), start);
        for &step in steps {
            at = at.saturating_add_signed(step);
            let newest = seen.last().copied();
            let is_near = newest.is_none_or(|n| at + Window::<WORDS>::SPAN > n);
            let expected = !seen.contains(&at) && is_near;
            prop_assert_eq!(window.accepts(at), expected);
            prop_assert_eq!(window.accept(at), expected, "counter {} newest {:?}", at, newest);
            if expected {
                seen.insert(at);
            }
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn the_window_agrees_with_a_set(start in 0u64..5_000, steps in prop::collection::vec(step(), 1..400)) {
            agrees_with_a_set::<DATA_WORDS>(start, &steps)?;
            agrees_with_a_set::<CONTROL_WORDS>(start, &steps)?;
        }
    }

    #[test]
    fn a_late_counter_is_accepted_up_to_the_span_and_not_beyond() {
        let mut window = Window::<DATA_WORDS>::new();
        assert!(window.accept(Window::<DATA_WORDS>::SPAN));
        assert!(window.accept(1));
        assert!(!window.accepts(0));
    }

    #[test]
    fn the_last_counter_of_all_is_never_accepted() {
        let mut window = Window::<CONTROL_WORDS>::new();
        assert!(window.accept(u64::MAX - 1));
        assert!(!window.accept(u64::MAX));
        assert!(!window.accept(u64::MAX - 1));
    }
}
