//! How long a datagram the path of a session carries (DPLPMTUD, RFC 8899).
//!
//! Every path carries [`Path::datagram_max`](crate::path::Path::datagram_max) bytes. One longer size matters: that
//! of a frame around the longest packet of the members' network. While a session carries long packets, that size is
//! tried by path challenges: first, to find it; then again and again, because a path may change and say nothing.
//! Until a challenge is answered, and while none is, lanes cut such packets in two (`lane::piece`). ICMP may say
//! that a datagram was too long, but so may anybody: it ends the size that was found and begins the search for it.

use crate::rng::Rng;
use crate::time::Instant;
use std::time::Duration;

/// Challenges of one search (RFC 8899 5.1.2, MAX_PROBES).
const PROBES_MAX: u32 = 3;
/// Pause between them (PROBE_TIMER).
const PROBE_PAUSE: Duration = Duration::from_secs(1);
/// Pause after a search that found the full size (CONFIRMATION_TIMER).
const CONFIRM_AFTER: Duration = Duration::from_secs(5);
/// Pause after a search that found nothing (PMTU_RAISE_TIMER).
const RAISE_AFTER: Duration = Duration::from_secs(600);

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing.
    Nothing,
    /// Send a path challenge of full size with this data.
    Probe([u8; 8]),
    /// The path does not carry the full size any more.
    Shrunk,
}

/// What is known of the path of one session.
#[derive(Clone, Copy, Debug)]
pub struct Plpmtu {
    is_full: bool,
    search: Search,
}

#[derive(Clone, Copy, Debug)]
enum Search {
    /// None, and none before this time.
    Idle { until: Instant },
    /// So many challenges were sent; each has the same data.
    Probing { data: [u8; 8], sent: u32, next_at: Instant },
}

impl Default for Plpmtu {
    /// A path of which nothing is known.
    fn default() -> Self {
        Plpmtu { is_full: false, search: Search::Idle { until: Instant::ZERO } }
    }
}

impl Plpmtu {
    /// Whether the path carries the full size.
    pub fn is_full(&self) -> bool {
        self.is_full
    }

    /// The session carries long packets.
    pub fn wanted(&mut self, rng: &mut Rng, now: Instant) {
        match self.search {
            Search::Idle { until } if until <= now => self.begin(rng, now),
            Search::Idle { .. } | Search::Probing { .. } => {}
        }
    }

    /// Somebody says that a datagram was too long. Returns whether the path is taken for shorter than it was.
    pub fn refused(&mut self, rng: &mut Rng, now: Instant) -> bool {
        let was_full = std::mem::take(&mut self.is_full);
        if was_full {
            self.begin(rng, now);
        }
        was_full
    }

    /// A challenge with this data was answered. Returns whether the path is taken for longer than it was.
    pub fn answered(&mut self, answer: [u8; 8], now: Instant) -> bool {
        match self.search {
            Search::Probing { data, .. } if data == answer => {
                self.search = Search::Idle { until: now + CONFIRM_AFTER };
                !std::mem::replace(&mut self.is_full, true)
            }
            Search::Idle { .. } | Search::Probing { .. } => false,
        }
    }

    /// When [`Plpmtu::poll`] is due.
    pub fn deadline(&self) -> Instant {
        match self.search {
            Search::Idle { .. } => Instant::FAR_FUTURE,
            Search::Probing { next_at, .. } => next_at,
        }
    }

    /// What to do now.
    pub fn poll(&mut self, now: Instant) -> Due {
        match &mut self.search {
            Search::Probing { data, sent, next_at } if *next_at <= now => {
                if *sent < PROBES_MAX {
                    *sent += 1;
                    *next_at = now + PROBE_PAUSE;
                    return Due::Probe(*data);
                }
                self.search = Search::Idle { until: now + RAISE_AFTER };
                if std::mem::take(&mut self.is_full) { Due::Shrunk } else { Due::Nothing }
            }
            Search::Idle { .. } | Search::Probing { .. } => Due::Nothing,
        }
    }

    fn begin(&mut self, rng: &mut Rng, now: Instant) {
        self.search = Search::Probing { data: rng.bytes(), sent: 0, next_at: now };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    fn rng() -> Rng {
        Rng::new([1; 32])
    }

    fn probe(plpmtu: &mut Plpmtu, now: Instant) -> [u8; 8] {
        match plpmtu.poll(now) {
            Due::Probe(data) => data,
            other => panic!("{other:?} instead of a challenge"),
        }
    }

    /// Answers no challenge until the search is over; returns how many were sent and what was said at the end.
    fn fail(plpmtu: &mut Plpmtu) -> (u32, Due) {
        let mut sent = 0;
        loop {
            match plpmtu.poll(plpmtu.deadline()) {
                Due::Probe(_) => sent += 1,
                end => return (sent, end),
            }
        }
    }

    #[test]
    fn the_full_size_is_searched_for_when_it_is_wanted_and_found_by_an_answer() {
        let (mut plpmtu, mut rng) = (Plpmtu::default(), rng());
        assert_eq!(plpmtu.deadline(), Instant::FAR_FUTURE);
        plpmtu.wanted(&mut rng, at(5));
        assert_eq!(plpmtu.deadline(), at(5));
        let data = probe(&mut plpmtu, at(5));
        plpmtu.wanted(&mut rng, at(5));
        assert!(!plpmtu.answered([8; 8], at(5)), "an answer to another challenge");
        assert!(plpmtu.answered(data, at(5)) && plpmtu.is_full());
        assert!(!plpmtu.answered(data, at(5)), "answered twice");
        plpmtu.wanted(&mut rng, at(9));
        assert_eq!(plpmtu.deadline(), Instant::FAR_FUTURE);
    }

    #[test]
    fn a_path_that_stays_short_is_tried_again_after_ten_minutes() {
        let (mut plpmtu, mut rng) = (Plpmtu::default(), rng());
        plpmtu.wanted(&mut rng, at(0));
        assert_eq!(fail(&mut plpmtu), (3, Due::Nothing));
        plpmtu.wanted(&mut rng, at(602));
        assert_eq!(plpmtu.deadline(), Instant::FAR_FUTURE);
        plpmtu.wanted(&mut rng, at(603));
        assert_eq!(plpmtu.deadline(), at(603));
    }

    #[test]
    fn a_path_that_became_short_is_noticed_with_and_without_icmp() {
        let (mut full, mut rng) = (Plpmtu::default(), rng());
        full.wanted(&mut rng, at(0));
        let data = probe(&mut full, at(0));
        assert!(full.answered(data, at(0)));

        let mut silent = full;
        silent.wanted(&mut rng, at(5));
        assert!(silent.is_full(), "a question is no answer");
        assert_eq!(fail(&mut silent), (3, Due::Shrunk));
        assert!(!silent.is_full());

        let mut told = full;
        assert!(told.refused(&mut rng, at(1)) && !told.is_full());
        assert!(!told.refused(&mut rng, at(1)), "once");
        let data = probe(&mut told, at(1));
        assert!(told.answered(data, at(1)), "ICMP lied");
    }
}
