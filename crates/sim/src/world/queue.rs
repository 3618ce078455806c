//! What is going to happen, in the order in which it will: by time, then by when it was scheduled.
//!
//! The sequence number makes the order total, so two runs that schedule alike also happen alike.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use proto::time::Instant;

/// Events of the future.
#[derive(Debug)]
pub(super) struct Queue<E> {
    heap: BinaryHeap<Reverse<Scheduled<E>>>,
    sequence: u64,
}

#[derive(Debug)]
struct Scheduled<E> {
    at: Instant,
    sequence: u64,
    event: E,
}

impl<E> Queue<E> {
    pub(super) fn new() -> Self {
        Self { heap: BinaryHeap::new(), sequence: 0 }
    }

    /// Schedules an event behind all others of the same time.
    pub(super) fn push(&mut self, at: Instant, event: E) {
        self.sequence += 1;
        self.heap.push(Reverse(Scheduled { at, sequence: self.sequence, event }));
    }

    /// Takes the next event unless it lies after `limit`.
    pub(super) fn pop_until(&mut self, limit: Instant) -> Option<(Instant, E)> {
        self.heap.peek().filter(|next| next.0.at <= limit)?;
        self.heap.pop().map(|Reverse(next)| (next.at, next.event))
    }

    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }
}

impl<E> Ord for Scheduled<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

impl<E> PartialOrd for Scheduled<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> PartialEq for Scheduled<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<E> Eq for Scheduled<E> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_sm_04_events_of_one_time_happen_in_the_order_they_were_scheduled() {
        let at = Instant::from_micros;
        let mut queue = Queue::new();
        for (time, name) in [(20, 'c'), (10, 'a'), (20, 'd'), (10, 'b'), (30, 'e')] {
            queue.push(at(time), name);
        }
        let order: Vec<_> = std::iter::from_fn(|| queue.pop_until(at(20))).collect();
        assert_eq!(order, [(at(10), 'a'), (at(10), 'b'), (at(20), 'c'), (at(20), 'd')]);
        assert_eq!(queue.len(), 1);
    }
}
