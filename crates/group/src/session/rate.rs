//! How often may somebody ask: a bound on requests per asker and kind.
//!
//! How it works: the generic cell rate algorithm. For each asker one instant is kept, the earliest at
//! which all its requests so far would have come had they kept to the rate. It may be ahead of the
//! clock by the burst that is allowed. An asker whose instant has passed is forgotten.
//!
//! What must hold: the table is bounded. Askers that find it full share one entry.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Most askers that one limit tells apart: 10 MB at the most.
const ASKERS_MAX: usize = 65_536;

/// A limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Time per request in the long run.
    pub every: Duration,
    /// Requests at once after a long silence.
    pub burst: u32,
}

/// Askers under one limit.
#[derive(Debug)]
pub struct Limiter<K> {
    rate: Rate,
    askers: Mutex<Askers<K>>,
}

#[derive(Debug)]
struct Askers<K> {
    due: HashMap<K, Instant>,
    overflow: Option<Instant>,
}

impl<K: Eq + Hash> Limiter<K> {
    /// Nobody has asked yet.
    pub fn new(rate: Rate) -> Self {
        let askers = Askers { due: HashMap::new(), overflow: None };
        Self { rate, askers: Mutex::new(askers) }
    }

    /// Counts a request, or says how long to wait.
    pub fn take(&self, asker: K, now: Instant) -> Result<(), Duration> {
        let mut askers = self.askers.lock().unwrap_or_else(PoisonError::into_inner);
        if askers.due.len() >= ASKERS_MAX && !askers.due.contains_key(&asker) {
            askers.due.retain(|_, due| *due > now);
        }
        let full = askers.due.len() >= ASKERS_MAX && !askers.due.contains_key(&asker);
        let due = match full {
            true => askers.overflow.get_or_insert(now),
            false => askers.due.entry(asker).or_insert(now),
        };
        let earliest = (*due).max(now);
        let ahead = self.rate.every * self.rate.burst.saturating_sub(1);
        match (earliest - now).checked_sub(ahead).filter(|wait| !wait.is_zero()) {
            Some(wait) => Err(wait),
            None => {
                *due = earliest + self.rate.every;
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { every: Duration::from_secs(2), burst: 3 };

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let limiter = Limiter::new(RATE);
        let start = Instant::now();
        for _ in 0..3 {
            assert_eq!(limiter.take("a", start), Ok(()));
        }
        assert_eq!(limiter.take("a", start), Err(Duration::from_secs(2)));
        assert_eq!(limiter.take("b", start), Ok(()), "others are not held up");
        let later = start + Duration::from_secs(2);
        assert_eq!(limiter.take("a", later), Ok(()));
        assert!(limiter.take("a", later).is_err());
        let much_later = start + Duration::from_secs(60);
        for _ in 0..3 {
            assert_eq!(limiter.take("a", much_later), Ok(()), "silence is rewarded");
        }
    }

    #[test]
    fn the_table_is_bounded_and_the_rest_share_one_entry() {
        let limiter = Limiter::new(RATE);
        let start = Instant::now();
        for asker in 0..ASKERS_MAX + 3 {
            assert_eq!(limiter.take(asker, start), Ok(()));
        }
        assert!(limiter.take(usize::MAX, start).is_err(), "the shared entry is used up");
        let later = start + Duration::from_secs(10);
        assert_eq!(limiter.take(usize::MAX, later), Ok(()));
        assert_eq!(limiter.askers.lock().expect("no panic").due.len(), 1, "the rest is forgotten");
    }
}
