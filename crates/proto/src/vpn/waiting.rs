//! Packets that wait: for a session to their destination, or for the proof of their source.
//!
//! Dropping them would make every first connection slow, keeping them for long would deliver what nobody
//! waits for any more (checklist X17). So: 64 packets or 2 s per key, whichever is less, and few keys; the
//! oldest make room.

use crate::bounds::Fill;
use crate::time::Instant;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Packets that wait under one key: a burst of a starting TCP connection is 10, a UDP one rarely more.
pub const PACKETS_MAX: usize = 64;
/// How long a packet waits: after that its sender has sent it again.
pub const WAIT_MAX: Duration = Duration::from_secs(2);
/// Keys under which packets wait. With packets of 1,280 bytes all of them hold 5 MB.
pub const KEYS_MAX: usize = 64;

/// Packets that wait under keys of one kind.
#[derive(Debug)]
pub(super) struct Waiting<K>(BTreeMap<K, VecDeque<(Instant, Vec<u8>)>>);

impl<K> Default for Waiting<K> {
    fn default() -> Self {
        Waiting(BTreeMap::new())
    }
}

impl<K: Ord + Copy> Waiting<K> {
    /// Lets a packet wait and returns how many older ones were dropped for it.
    pub(super) fn push(&mut self, key: K, packet: &[u8], now: Instant) -> usize {
        let mut dropped = 0;
        if self.0.len() == KEYS_MAX && !self.0.contains_key(&key) {
            let oldest = self.0.iter().min_by_key(|(_, queue)| queue.front().map(|&(at, _)| at));
            let oldest = oldest.map(|(&key, _)| key);
            dropped += oldest.and_then(|key| self.0.remove(&key)).map_or(0, |queue| queue.len());
        }
        let queue = self.0.entry(key).or_default();
        if queue.len() == PACKETS_MAX {
            queue.pop_front();
            dropped += 1;
        }
        queue.push_back((now, packet.to_vec()));
        dropped
    }

    /// How many keys there are, and packets under the one that has most.
    pub(super) fn fills(&self, keys: &'static str, packets: &'static str) -> [Fill; 2] {
        let most = self.0.values().map(VecDeque::len).max().unwrap_or(0);
        [Fill::new(keys, self.0.len(), KEYS_MAX), Fill::new(packets, most, PACKETS_MAX)]
    }

    /// Takes the packets of a key, oldest first.
    pub(super) fn take(&mut self, key: K) -> impl Iterator<Item = Vec<u8>> + use<K> {
        self.0.remove(&key).into_iter().flatten().map(|(_, packet)| packet)
    }

    /// The keys under which packets wait.
    pub(super) fn keys(&self) -> impl Iterator<Item = K> + '_ {
        self.0.keys().copied()
    }

    /// Whether packets wait under this key.
    pub(super) fn contains(&self, key: K) -> bool {
        self.0.contains_key(&key)
    }

    /// Drops the packets that waited too long and returns how many.
    pub(super) fn expire(&mut self, now: Instant) -> usize {
        let mut dropped = 0;
        self.0.retain(|_, queue| {
            while queue.front().is_some_and(|&(at, _)| now >= at + WAIT_MAX) {
                queue.pop_front();
                dropped += 1;
            }
            !queue.is_empty()
        });
        dropped
    }

    /// When [`Waiting::expire`] has something to drop.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.0.values().filter_map(|queue| queue.front()).map(|&(at, _)| at + WAIT_MAX).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn a_full_queue_drops_its_oldest() {
        let mut waiting = Waiting::default();
        let dropped: usize = (0..70u8).map(|n| waiting.push('a', &[n], at(0))).sum();
        assert_eq!(dropped, 6);
        let kept: Vec<u8> = waiting.take('a').flatten().collect();
        assert_eq!(kept, (6..70).collect::<Vec<_>>());
        assert!(!waiting.contains('a'));
    }

    #[test]
    fn packets_wait_two_seconds_each() {
        let mut waiting = Waiting::default();
        waiting.push('a', &[1], at(0));
        waiting.push('a', &[2], at(1));
        assert_eq!(waiting.deadline(), Some(at(2)));
        assert_eq!(waiting.expire(at(2)), 1);
        assert_eq!(waiting.deadline(), Some(at(3)));
        assert_eq!(waiting.expire(at(3)), 1);
        assert_eq!(waiting.deadline(), None);
    }

    #[test]
    fn the_number_of_keys_is_bounded() {
        let mut waiting = Waiting::default();
        let dropped: usize = (0..100u64).map(|n| waiting.push(n, &[0], at(n))).sum();
        assert_eq!(dropped, 100 - KEYS_MAX);
        assert_eq!(waiting.keys().next(), Some(36));
    }
}
