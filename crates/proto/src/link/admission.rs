//! How many strangers are served at once: bounds the handshakes that are half open, in all and per network,
//! so that one network cannot keep all others out. Each overlay of a node has a share of the places, so that
//! strangers of one cannot keep out those of another.

use crate::path::Path;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// Half-open handshakes of a node in all: about 16 MB of TLS state at the worst.
pub const HALF_OPEN_MAX: usize = 1_024;
/// Half-open handshakes per IPv4 /24 or IPv6 /56: what one site needs after a power cut, a few at a time.
pub const HALF_OPEN_PER_NETWORK_MAX: usize = 8;

/// Counts half-open handshakes that strangers asked for: by a hello, or by inviting us to send one.
#[derive(Debug)]
pub struct Admission {
    places: usize,
    total: usize,
    networks: BTreeMap<[u8; 8], usize>,
}

impl Admission {
    /// The share of one of so many overlays.
    pub fn share_of(overlays: usize) -> Admission {
        Admission { places: HALF_OPEN_MAX / overlays, total: 0, networks: BTreeMap::new() }
    }

    /// Takes a place for a handshake on this path, if there is one.
    pub fn enter(&mut self, path: &Path) -> bool {
        let of_network = self.networks.entry(network(path)).or_default();
        if self.total >= self.places || *of_network >= HALF_OPEN_PER_NETWORK_MAX {
            if *of_network == 0 {
                self.networks.remove(&network(path));
            }
            return false;
        }
        *of_network += 1;
        self.total += 1;
        true
    }

    /// Places taken.
    pub fn total(&self) -> usize {
        self.total
    }

    /// Places taken by the network that has most.
    pub fn most_of_a_network(&self) -> usize {
        self.networks.values().copied().max().unwrap_or(0)
    }

    /// Gives the place back, if the handshake had one.
    pub fn leave(&mut self, path: &Path, had_place: bool) {
        if !had_place {
            return;
        }
        self.total -= 1;
        if let Some(n) = self.networks.get_mut(&network(path)) {
            *n -= 1;
            if *n == 0 {
                self.networks.remove(&network(path));
            }
        }
    }
}

/// The network that a path leads to: /24, /56, or the first bytes of a node ID.
fn network(path: &Path) -> [u8; 8] {
    let mut key = [0; 8];
    match path {
        Path::Direct(SocketAddr::V4(a)) => {
            key[0] = 4;
            key[1..4].copy_from_slice(&a.ip().octets()[..3]);
        }
        Path::Direct(SocketAddr::V6(a)) => {
            key[0] = 6;
            key[1..].copy_from_slice(&a.ip().octets()[..7]);
        }
        Path::Overlay(id) => key[1..].copy_from_slice(&id.as_bytes()[..7]),
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(a: u8, b: u8) -> Path {
        Path::Direct(([10, a, b, 1], 7415).into())
    }

    #[test]
    fn one_network_cannot_keep_others_out() {
        let mut admission = Admission::share_of(1);
        let taken = (0..20).filter(|_| admission.enter(&path(0, 0))).count();
        assert_eq!(taken, HALF_OPEN_PER_NETWORK_MAX);
        assert!(admission.enter(&path(0, 1)));
        admission.leave(&path(0, 0), true);
        assert!(admission.enter(&path(0, 0)));
    }

    #[test]
    fn two_overlays_share_the_places_of_the_node() {
        let mut admission = Admission::share_of(2);
        let all = (0..=255).flat_map(|a| (0..8).map(move |b| path(a, b)));
        assert_eq!(all.filter(|path| admission.enter(path)).count(), HALF_OPEN_MAX / 2);
    }

    #[test]
    fn the_total_is_bounded_and_everything_is_given_back() {
        let mut admission = Admission::share_of(1);
        let all: Vec<Path> = (0..=255).flat_map(|a| (0..8).map(move |b| path(a, b))).collect();
        let taken: Vec<&Path> = all.iter().filter(|path| admission.enter(path)).collect();
        assert_eq!(taken.len(), HALF_OPEN_MAX);
        taken.into_iter().for_each(|path| admission.leave(path, true));
        assert!(admission.networks.is_empty() && admission.total == 0);
    }
}
