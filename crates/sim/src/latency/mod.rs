//! Delay matrices: how long a message takes from node i to node j of a simulated network.
//!
//! A [`DelayMatrix`] holds the round-trip time of every ordered pair in whole microseconds, as the
//! published sets do (King, PlanetLab, WonderNetwork), and answers with half of it. It comes from a
//! file ([`DelayMatrix::read`]), from the King-like generator ([`DelayMatrix::king_like`]) or from a
//! function; [`DelayMatrix::statistics`] tells how it compares with what is published.
//!
//! Invariants: 1 to [`NODES_MAX`] nodes; every known round trip lies between 1 µs and
//! [`RTT_US_MAX`]; every pair has a delay. A pair that was not measured takes the measurement of the
//! other direction, and when that is missing too the median of the matrix. A node reaches itself in
//! no time.

mod king_like;
mod read;
mod statistics;

use std::time::Duration;

use rand::Rng;

pub use read::{MatrixError, ReadError};
pub use statistics::MatrixStatistics;

/// Most nodes of a matrix: its square of 4-byte entries is then 1.6 GB, and while it is made up to
/// three times that, which a workstation holds.
pub const NODES_MAX: usize = 20_000;

/// Longest round trip, 100 s: longer than any published measurement (65.5 s), and small enough that
/// sums of several never overflow 32 bits.
pub const RTT_US_MAX: u32 = 100_000_000;

/// Round trip of unmeasured pairs when nothing at all was measured: about the median of King.
const RTT_US_UNKNOWN: u32 = 160_000;

/// Environment variable that names a file with a matrix, for measured sets: the repository carries none.
pub const FILE_VARIABLE: &str = "WARREN_MATRIX";

/// Marks an entry without measurement. Zero is free for it: a real round trip takes time.
const MISSING: u32 = 0;

/// The round-trip times among a set of nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DelayMatrix {
    nodes: usize,
    /// Row by row, from i to j; `MISSING` on the diagonal and where nothing was measured.
    rtt_us: Vec<u32>,
    /// Stands in for pairs measured in neither direction.
    rtt_us_fallback: u32,
}

/// A subset was asked for that is empty or larger than its matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cannot draw {wanted} nodes from a delay matrix of {available}")]
pub struct SubsetError {
    /// Number of nodes asked for.
    pub wanted: usize,
    /// Number of nodes of the matrix.
    pub available: usize,
}

impl DelayMatrix {
    /// Makes a matrix in which every pair has the same round-trip time.
    ///
    /// # Panics
    /// Unless `nodes` lies between 1 and [`NODES_MAX`].
    pub fn uniform(nodes: usize, rtt: Duration) -> Self {
        let rtt_us = u32::try_from(rtt.as_micros()).unwrap_or(RTT_US_MAX);
        Self::from_rtt_fn(nodes, |_, _| Some(rtt_us))
    }

    /// Makes a matrix from the round-trip time in microseconds of each ordered pair of different
    /// nodes, `None` where it is unknown; values are clamped to 1 µs .. [`RTT_US_MAX`].
    ///
    /// Pairs are asked for row by row: (0,1), (0,2), ..., (1,0), (1,2), ...
    ///
    /// # Panics
    /// Unless `nodes` lies between 1 and [`NODES_MAX`].
    pub fn from_rtt_fn(nodes: usize, mut rtt_us: impl FnMut(usize, usize) -> Option<u32>) -> Self {
        assert!((1..=NODES_MAX).contains(&nodes), "a delay matrix has 1 to {NODES_MAX} nodes");
        let mut entries = Vec::with_capacity(nodes * nodes);
        for i in 0..nodes {
            entries.extend((0..nodes).map(|j| match (i != j).then(|| rtt_us(i, j)).flatten() {
                Some(us) => us.clamp(1, RTT_US_MAX),
                None => MISSING,
            }));
        }
        let mut measured: Vec<u32> = entries.iter().copied().filter(|&us| us != MISSING).collect();
        let rtt_us_fallback =
            statistics::nearest_rank(&mut measured, 0.5).unwrap_or(RTT_US_UNKNOWN);
        Self { nodes, rtt_us: entries, rtt_us_fallback }
    }

    /// Draws `nodes` different nodes at random, in random order: the reference simulator likewise
    /// drew anew for each run. Unmeasured pairs keep the stand-in of the whole matrix.
    pub fn subset<R: Rng + ?Sized>(&self, nodes: usize, rng: &mut R) -> Result<Self, SubsetError> {
        if nodes == 0 || nodes > self.nodes {
            return Err(SubsetError { wanted: nodes, available: self.nodes });
        }
        let drawn = rand::seq::index::sample(rng, self.nodes, nodes).into_vec();
        let entries = drawn.iter().flat_map(|&i| drawn.iter().map(move |&j| self.entry(i, j)));
        Ok(Self { nodes, rtt_us: entries.collect(), rtt_us_fallback: self.rtt_us_fallback })
    }

    /// Returns the number of nodes; indexes run from 0 to one less.
    pub fn nodes(&self) -> usize {
        self.nodes
    }

    /// Returns the measured round-trip time from `i` to `j` in microseconds, if there is one.
    ///
    /// # Panics
    /// If an index is not below [`DelayMatrix::nodes`].
    pub fn measured_rtt_us(&self, i: usize, j: usize) -> Option<u32> {
        Some(self.entry(i, j)).filter(|&us| us != MISSING)
    }

    /// Returns the round-trip time from `i` to `j` in microseconds, measured or else the stand-in
    /// that the module's invariants name; 0 for `i == j`.
    ///
    /// # Panics
    /// If an index is not below [`DelayMatrix::nodes`].
    pub fn rtt_us(&self, i: usize, j: usize) -> u32 {
        if i == j {
            return 0;
        }
        self.measured_rtt_us(i, j)
            .or_else(|| self.measured_rtt_us(j, i))
            .unwrap_or(self.rtt_us_fallback)
    }

    /// Returns the time one message takes from `i` to `j`: half of the round trip, rounded up to
    /// whole microseconds so that no message between two nodes arrives when it was sent.
    ///
    /// # Panics
    /// If an index is not below [`DelayMatrix::nodes`].
    pub fn one_way(&self, i: usize, j: usize) -> Duration {
        Duration::from_micros(u64::from(self.rtt_us(i, j).div_ceil(2)))
    }

    fn entry(&self, i: usize, j: usize) -> u32 {
        assert!(i < self.nodes && j < self.nodes, "node index beyond the delay matrix");
        self.rtt_us[i * self.nodes + j]
    }
}

/// Index of the pair of different nodes `i` and `j`, in either order, among the pairs above the
/// diagonal of a square of `size`, row by row: (0,1), (0,2), ..., (1,2), ...
fn triangle_index(size: usize, i: usize, j: usize) -> usize {
    let (low, high) = (i.min(j), i.max(j));
    low * size - low * (low + 1) / 2 + (high - low - 1)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn one_way_is_half_of_the_round_trip_rounded_up() {
        let matrix = DelayMatrix::uniform(3, Duration::from_micros(2001));
        assert_eq!(matrix.one_way(0, 2), Duration::from_micros(1001));
        assert_eq!(matrix.one_way(1, 1), Duration::ZERO);
        assert_eq!(DelayMatrix::uniform(2, Duration::ZERO).one_way(0, 1), Duration::from_micros(1));
    }

    #[test]
    fn unmeasured_pairs_take_the_other_direction_then_the_median() {
        // 0 -> 1 is known in one direction only, 0 and 2 in neither.
        let matrix = DelayMatrix::from_rtt_fn(3, |i, j| match (i, j) {
            (1, 0) => Some(10),
            (1, 2) => Some(30),
            (2, 1) => Some(50),
            _ => None,
        });
        assert_eq!(matrix.measured_rtt_us(0, 1), None);
        assert_eq!(matrix.rtt_us(0, 1), 10);
        assert_eq!(matrix.rtt_us(0, 2), 30);
        assert_eq!((matrix.rtt_us(1, 2), matrix.rtt_us(2, 1)), (30, 50));
    }

    #[test]
    fn a_matrix_without_measurements_still_has_delays() {
        assert_eq!(DelayMatrix::from_rtt_fn(2, |_, _| None).rtt_us(0, 1), RTT_US_UNKNOWN);
    }

    #[test]
    fn triangle_indexes_count_the_pairs_row_by_row() {
        let pairs = (0..7).flat_map(|i| (i + 1..7).map(move |j| (i, j)));
        for (index, (i, j)) in pairs.enumerate() {
            assert_eq!((triangle_index(7, i, j), triangle_index(7, j, i)), (index, index));
        }
    }

    #[test]
    fn subset_draws_different_nodes_and_keeps_their_delays() {
        let tag = |i: usize, j: usize| (1000 * i + j) as u32;
        let matrix = DelayMatrix::from_rtt_fn(50, |i, j| Some(tag(i, j)));
        let draw =
            |seed| matrix.subset(20, &mut ChaCha8Rng::seed_from_u64(seed)).expect("20 <= 50");

        let subset = draw(1);
        assert_eq!(subset, draw(1));
        assert_ne!(subset, draw(2));
        let mut origins: Vec<u32> = (1..20).map(|j| subset.rtt_us(0, j) % 1000).collect();
        origins.push(subset.rtt_us(1, 0) % 1000);
        for i in 0..20 {
            for j in (0..20).filter(|&j| j != i) {
                let origin = |k: usize| origins[(k + 19) % 20] as usize;
                assert_eq!(subset.rtt_us(i, j), tag(origin(i), origin(j)));
            }
        }
        origins.sort_unstable();
        origins.dedup();
        assert_eq!(origins.len(), 20);
    }

    #[test]
    fn subset_larger_than_the_matrix_is_refused() {
        let matrix = DelayMatrix::uniform(3, Duration::from_millis(1));
        for wanted in [0, 4] {
            let drawn = matrix.subset(wanted, &mut ChaCha8Rng::seed_from_u64(1));
            assert_eq!(drawn, Err(SubsetError { wanted, available: 3 }));
        }
    }
}
