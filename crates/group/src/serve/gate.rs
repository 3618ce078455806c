//! How many connections are served at once, in all and from one network.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::model::Source;

/// Most connections at once. Each may keep some tens of KiB, and a node that waits for its approval
/// or for notices holds one.
pub const CONNECTIONS_MAX: usize = 8192;
/// Most connections from one network (/24 or /48): one of them cannot take all; many members behind
/// one router still fit.
pub const CONNECTIONS_PER_SOURCE_MAX: usize = 1024;

/// Counts connections.
#[derive(Clone, Debug, Default)]
pub struct Gate {
    inside: Arc<Mutex<Inside>>,
}

#[derive(Debug, Default)]
struct Inside {
    all: usize,
    by_source: HashMap<Source, usize>,
}

/// A place inside; dropping it makes room.
#[derive(Debug)]
pub struct Place {
    inside: Arc<Mutex<Inside>>,
    source: Source,
}

impl Gate {
    /// Lets a connection in, if there is room.
    pub fn enter(&self, address: IpAddr) -> Option<Place> {
        let source = Source::of(address);
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        let from_there = inside.by_source.get(&source).copied().unwrap_or(0);
        if inside.all >= CONNECTIONS_MAX || from_there >= CONNECTIONS_PER_SOURCE_MAX {
            return None;
        }
        inside.all += 1;
        inside.by_source.insert(source.clone(), from_there + 1);
        Some(Place { inside: Arc::clone(&self.inside), source })
    }

    /// Returns how many are inside.
    pub fn count(&self) -> usize {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner).all
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        inside.all -= 1;
        if let Some(count) = inside.by_source.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                inside.by_source.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_network_cannot_take_every_place() {
        let gate = Gate::default();
        let noisy: IpAddr = "192.0.2.7".parse().expect("an address");
        let neighbour: IpAddr = "192.0.2.99".parse().expect("an address");
        let quiet: IpAddr = "198.51.100.1".parse().expect("an address");
        let mut places: Vec<_> =
            (0..CONNECTIONS_PER_SOURCE_MAX).filter_map(|_| gate.enter(noisy)).collect();
        assert_eq!(places.len(), CONNECTIONS_PER_SOURCE_MAX);
        assert!(gate.enter(noisy).is_none() && gate.enter(neighbour).is_none());
        assert!(gate.enter(quiet).is_some());
        places.pop();
        assert!(gate.enter(neighbour).is_some(), "a place that was left is free");
        drop(places);
        assert_eq!(gate.count(), 0);
        assert!(gate.inside.lock().expect("no panic").by_source.is_empty());
    }
}
