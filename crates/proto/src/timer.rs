//! Keyed timers: at most one per key, set again or cancelled by key, drained in order of time.
//!
//! Every machine of a node keeps its own `Timers`; the node's single deadline is the earliest of them.

use crate::time::Instant;
use std::collections::{BTreeMap, BTreeSet};

/// Pending timers of one machine.
#[derive(Debug)]
pub struct Timers<K> {
    due: BTreeSet<(Instant, K)>,
    at: BTreeMap<K, Instant>,
}

impl<K: Ord + Copy> Default for Timers<K> {
    fn default() -> Self {
        Timers { due: BTreeSet::new(), at: BTreeMap::new() }
    }
}

impl<K: Ord + Copy> Timers<K> {
    /// Sets the timer of `key` to `at`, whatever it was.
    pub fn set(&mut self, key: K, at: Instant) {
        self.cancel(key);
        self.due.insert((at, key));
        self.at.insert(key, at);
    }

    /// Sets the timer of `key` unless it would fire earlier already.
    pub fn set_earlier(&mut self, key: K, at: Instant) {
        if self.at.get(&key).is_none_or(|&old| at < old) {
            self.set(key, at);
        }
    }

    /// Forgets the timer of `key`.
    pub fn cancel(&mut self, key: K) {
        if let Some(at) = self.at.remove(&key) {
            self.due.remove(&(at, key));
        }
    }

    /// When the timer of `key` fires, if it is set.
    pub fn get(&self, key: K) -> Option<Instant> {
        self.at.get(&key).copied()
    }

    /// Timers that are set.
    pub fn len(&self) -> usize {
        self.at.len()
    }

    /// Whether none is set.
    pub fn is_empty(&self) -> bool {
        self.at.is_empty()
    }

    /// The earliest time at which [`Timers::expire`] has something to give.
    pub fn deadline(&self) -> Option<Instant> {
        self.due.first().map(|&(at, _)| at)
    }

    /// Takes the earliest timer that is due at `now`.
    pub fn expire(&mut self, now: Instant) -> Option<K> {
        let &(at, key) = self.due.first()?;
        if at > now {
            return None;
        }
        self.cancel(key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_fires_once_in_order_and_can_be_moved_or_cancelled() {
        let at = Instant::from_micros;
        let mut t = Timers::default();
        t.set('a', at(30));
        t.set('b', at(20));
        t.set('c', at(10));
        t.set('a', at(5));
        t.set_earlier('b', at(25));
        t.cancel('c');
        assert_eq!(t.deadline(), Some(at(5)));
        assert_eq!(t.expire(at(4)), None);
        assert_eq!(t.expire(at(100)), Some('a'));
        assert_eq!(t.expire(at(100)), Some('b'));
        assert_eq!(t.expire(at(100)), None);
        assert_eq!(t.deadline(), None);
    }
}
