//! How often has this happened? The first time is told at once, repeats are counted and told now and then, so
//! that a node that tries again for days does not fill the log.

use std::time::Duration;

use proto::time::Instant;

/// Troubles told apart; those beyond share one line in each [`INTERVAL`]. A peer that invents addresses cannot
/// make the log longer than this allows.
const TROUBLES_MAX: usize = 64;
/// Shortest time between two lines about one trouble.
const INTERVAL: Duration = Duration::from_secs(300);

/// What was told and what was not.
#[derive(Debug)]
pub struct Repeats<T> {
    troubles: Vec<(T, Told)>,
    rest: Option<Told>,
}

#[derive(Clone, Copy, Debug)]
struct Told {
    at: Instant,
    untold: u64,
}

impl<T> Default for Repeats<T> {
    fn default() -> Self {
        Self { troubles: Vec::new(), rest: None }
    }
}

impl<T: PartialEq> Repeats<T> {
    /// Counts a trouble. If a line is due, returns how often it came up since the last one.
    pub fn note(&mut self, trouble: T, now: Instant) -> Option<u64> {
        if let Some((_, told)) = self.troubles.iter_mut().find(|(known, _)| *known == trouble) {
            return told.again(now);
        }
        let told = Told { at: now, untold: 0 };
        if self.troubles.len() == TROUBLES_MAX {
            // Nothing is lost with one that had a line long ago and did not come up since.
            self.troubles.retain(|(_, told)| told.untold > 0 || !told.is_due(now));
        }
        if self.troubles.len() < TROUBLES_MAX {
            self.troubles.push((trouble, told));
            return Some(0);
        }
        match &mut self.rest {
            Some(told) => told.again(now),
            none => {
                *none = Some(told);
                Some(0)
            }
        }
    }

    /// Forgets troubles that are over: should one come again, it is told at once.
    pub fn forget(&mut self, mut is_over: impl FnMut(&T) -> bool) {
        self.troubles.retain(|(trouble, _)| !is_over(trouble));
    }
}

impl Told {
    fn is_due(&self, now: Instant) -> bool {
        now.saturating_since(self.at) >= INTERVAL
    }

    fn again(&mut self, now: Instant) -> Option<u64> {
        self.untold += 1;
        if !self.is_due(now) {
            return None;
        }
        self.at = now;
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn the_first_is_told_and_repeats_are_counted_until_a_line_is_due() {
        let mut repeats = Repeats::default();
        assert_eq!(repeats.note("no answer", at(0)), Some(0));
        let told: Vec<_> = (1..30).filter_map(|n| repeats.note("no answer", at(n * 30))).collect();
        assert_eq!(told, [10, 10], "at 300 s and at 600 s");
        assert_eq!(repeats.note("refused", at(900)), Some(0), "another trouble has its own line");
    }

    #[test]
    fn a_trouble_that_was_over_is_told_at_once_when_it_comes_again() {
        let mut repeats = Repeats::default();
        repeats.note("no answer", at(0));
        repeats.forget(|trouble| *trouble == "no answer");
        assert_eq!(repeats.note("no answer", at(1)), Some(0));
    }

    #[test]
    fn troubles_beyond_the_table_share_a_line() {
        let mut repeats = Repeats::default();
        let many = 0..TROUBLES_MAX + 100;
        let lines = many.clone().filter(|&n| repeats.note(n, at(0)).is_some()).count();
        assert_eq!((lines, repeats.troubles.len()), (TROUBLES_MAX + 1, TROUBLES_MAX));
        assert_eq!(repeats.note(TROUBLES_MAX + 5, at(300)), Some(0), "old ones make room");
    }
}
