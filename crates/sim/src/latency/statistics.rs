//! The figures by which delay matrices are compared with each other and with what is published:
//! size of the delays, and how often the triangle inequality fails.
//!
//! Shares are estimated from random samples with a fixed seed, so the same matrix always gives the
//! same figures; for them the mean of both directions counts, and unmeasured pairs are left out.
//! "Faster via one relay" depends on the number of nodes, as every node is tried as the relay.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::DelayMatrix;

/// Random triples for the share of violated triangles: standard error below 0.12 points.
const TRIANGLES_SAMPLED: u32 = 200_000;
/// Random pairs for the relay shares: standard error below 0.8 points; each costs one pass over all nodes.
const PAIRS_SAMPLED: u32 = 4_000;
/// Seed of the samples; part of the definition of the estimated figures.
const SEED: u64 = 1;
/// A two-hop path is "a fifth faster" when it takes at most this share of the direct round trip.
const FIFTH_FASTER: f64 = 0.8;

/// Summary of a [`DelayMatrix`]: round trips in microseconds, shares between 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct MatrixStatistics {
    /// Number of nodes.
    pub nodes: usize,
    /// Share of the ordered pairs without measurement.
    pub missing_share: f64,
    /// Median of the measured round trips.
    pub rtt_us_median: u32,
    /// Mean of the measured round trips.
    pub rtt_us_mean: f64,
    /// 95th percentile of the measured round trips.
    pub rtt_us_p95: u32,
    /// Share of node triples whose longest side is longer than the other two together.
    pub triangles_violated_share: f64,
    /// Share of pairs for which the best two-hop path is faster than the direct one.
    pub relay_faster_share: f64,
    /// Share of pairs for which the best two-hop path takes at most 80 % of the direct round trip.
    pub relay_fifth_faster_share: f64,
}

impl DelayMatrix {
    /// Computes the summary; a share without anything to sample (fewer than three nodes) is 0.
    pub fn statistics(&self) -> MatrixStatistics {
        let pairs = self.nodes() * (self.nodes() - 1);
        let mut measured: Vec<u32> = (0..self.nodes())
            .flat_map(|i| (0..self.nodes()).filter_map(move |j| self.measured_rtt_us(i, j)))
            .collect();
        let sum: u64 = measured.iter().map(|&us| u64::from(us)).sum();
        let mut rng = ChaCha8Rng::seed_from_u64(SEED);
        let triangles_violated_share = self.triangles_violated_share(&mut rng);
        let (relay_faster_share, relay_fifth_faster_share) = self.relay_shares(&mut rng);
        MatrixStatistics {
            nodes: self.nodes(),
            missing_share: ratio(pairs - measured.len(), pairs),
            rtt_us_mean: if measured.is_empty() { 0.0 } else { sum as f64 / measured.len() as f64 },
            rtt_us_median: nearest_rank(&mut measured, 0.5).unwrap_or(0),
            rtt_us_p95: nearest_rank(&mut measured, 0.95).unwrap_or(0),
            triangles_violated_share,
            relay_faster_share,
            relay_fifth_faster_share,
        }
    }

    fn triangles_violated_share(&self, rng: &mut ChaCha8Rng) -> f64 {
        let (mut violated, mut complete) = (0, 0);
        for _ in 0..TRIANGLES_SAMPLED {
            let [a, b, c] = [0; 3].map(|_| rng.random_range(0..self.nodes()));
            let sides = (self.mean_rtt_us(a, b), self.mean_rtt_us(b, c), self.mean_rtt_us(a, c));
            if let (Some(ab), Some(bc), Some(ac)) = sides {
                complete += 1;
                let longest = ab.max(bc).max(ac);
                violated += usize::from(2.0 * longest > ab + bc + ac);
            }
        }
        ratio(violated, complete)
    }

    fn relay_shares(&self, rng: &mut ChaCha8Rng) -> (f64, f64) {
        let (mut faster, mut fifth_faster, mut pairs) = (0, 0, 0);
        for _ in 0..PAIRS_SAMPLED {
            let [a, b] = [0; 2].map(|_| rng.random_range(0..self.nodes()));
            let Some(direct) = self.mean_rtt_us(a, b) else { continue };
            let two_hops = (0..self.nodes())
                .filter_map(|relay| Some(self.mean_rtt_us(a, relay)? + self.mean_rtt_us(relay, b)?))
                .fold(f64::INFINITY, f64::min);
            pairs += 1;
            faster += usize::from(two_hops < direct);
            fifth_faster += usize::from(two_hops <= FIFTH_FASTER * direct);
        }
        (ratio(faster, pairs), ratio(fifth_faster, pairs))
    }

    /// Mean of the measured directions; `None` for a node with itself, too.
    fn mean_rtt_us(&self, i: usize, j: usize) -> Option<f64> {
        match (self.measured_rtt_us(i, j), self.measured_rtt_us(j, i)) {
            (Some(there), Some(back)) => Some((f64::from(there) + f64::from(back)) / 2.0),
            (one, other) => one.or(other).map(f64::from),
        }
    }
}

/// Returns the value at `quantile` (0 to 1) by the nearest-rank rule; reorders the values.
pub(super) fn nearest_rank(values: &mut [u32], quantile: f64) -> Option<u32> {
    let last = values.len().checked_sub(1)?;
    let rank = (quantile * values.len() as f64).ceil() as usize;
    Some(*values.select_nth_unstable(rank.saturating_sub(1).min(last)).1)
}

fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn equal_delays_violate_nothing() {
        let statistics = DelayMatrix::uniform(20, Duration::from_millis(40)).statistics();
        assert_eq!(statistics.rtt_us_median, 40_000);
        assert_eq!(statistics.rtt_us_mean, 40_000.0);
        assert_eq!(statistics.rtt_us_p95, 40_000);
        assert_eq!(statistics.triangles_violated_share, 0.0);
        assert_eq!(statistics.relay_faster_share, 0.0);
        assert_eq!(statistics.missing_share, 0.0);
    }

    #[test]
    fn one_slow_side_violates_every_triangle_with_it() {
        let slow = |i, j| (i, j) == (0, 1) || (i, j) == (1, 0);
        let matrix = DelayMatrix::from_rtt_fn(3, |i, j| Some(if slow(i, j) { 100 } else { 30 }));
        let statistics = matrix.statistics();
        assert_eq!(statistics.triangles_violated_share, 1.0);
        assert!((statistics.relay_faster_share - 1.0 / 3.0).abs() < 0.04);
        assert_eq!(statistics.relay_faster_share, statistics.relay_fifth_faster_share);
    }

    #[test]
    fn nothing_to_measure_gives_zeros() {
        let lone = DelayMatrix::uniform(1, Duration::from_millis(1)).statistics();
        assert_eq!((lone.rtt_us_median, lone.rtt_us_mean, lone.missing_share), (0, 0.0, 0.0));
        assert_eq!(DelayMatrix::from_rtt_fn(2, |_, _| None).statistics().missing_share, 1.0);
    }

    #[test]
    fn nearest_rank_picks_a_value_of_the_set() {
        let mut values: Vec<u32> = (1..=100).rev().collect();
        assert_eq!(nearest_rank(&mut values, 0.5), Some(50));
        assert_eq!(nearest_rank(&mut values, 0.95), Some(95));
        assert_eq!(nearest_rank(&mut values, 1.0), Some(100));
        assert_eq!(nearest_rank(&mut [7], 0.0), Some(7));
        assert_eq!(nearest_rank(&mut [], 0.5), None);
    }
}
