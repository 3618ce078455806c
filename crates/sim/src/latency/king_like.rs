//! The King-like generator: synthetic round-trip times fitted to what is published about the MIT
//! "King" set of 1,740 DNS servers. Never call its output "the King data".
//!
//! Nodes lie around metros of the world. The round trip of two nodes is a fixed part, the light in
//! the fibre between them times a path inflation that each pair of metros draws once, and the access
//! delay of both; a last factor of each pair roughens it. Inflation and access delays make relays
//! pay off as often as they do in King. Fitted to: median 159 ms and mean 180 ms (Dabek et al.,
//! "Vivaldi", SIGCOMM 2004), 85 % of pairs faster via one relay, 22 % by a fifth, measurements up to
//! 800 ms (Ledlie et al., "Network Coordinates in the Wild", NSDI 2007, section 3).
//!
//! The regional shares are an assumption. The large access delays stand in for slow DNS servers; for
//! VPN nodes they act like slow home lines. Delays do not change over time.
//!
//! The same seed gives the same matrix on one platform. Logarithms and sines may differ in the last
//! bit on another; rounding to whole microseconds hides nearly all of that, not provably all.

use std::f64::consts::TAU;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{DelayMatrix, NODES_MAX, triangle_index};

/// Constant part of every round trip.
const FIXED_MS: f64 = 0.7;
/// Round trip of light in 100 km of fibre.
const FIBRE_MS_PER_100_KM: f64 = 1.0;
/// How much longer paths are than the great circle.
const INFLATION: f64 = 1.76;
/// Log-normal spread of the inflation, one draw per pair of metros (none inside a metro).
const METRO_SIGMA: f64 = 0.125;
/// Log-normal spread of the whole round trip, one draw per pair of nodes.
const PAIR_SIGMA: f64 = 0.063;
/// Median access delay of a node, part of every round trip with it.
const ACCESS_MS: f64 = 11.5;
/// Log-normal spread of the access delay.
const ACCESS_SIGMA: f64 = 1.4;
/// Share of nodes with a further, exponential access delay.
const SLOW_SHARE: f64 = 0.04;
/// Mean of that further access delay.
const SLOW_MS: f64 = 120.0;
/// Standard deviation of the nodes' places around their metro, in degrees.
const SCATTER_DEG: f64 = 0.7;
/// Longest round trip: King dropped measurements above it.
const CAP_MS: f64 = 800.0;
/// Mean radius of the earth.
const EARTH_KM: f64 = 6371.0;
/// Keeps the scatter in longitude finite near the poles.
const COS_LATITUDE_MIN: f64 = 0.2;

/// Latitude and longitude in degrees, and weight inside the region.
type Metro = (f64, f64, f64);

/// Share of all nodes, and the metros of the region.
const REGIONS: [(f64, &[Metro]); 6] = [
    (0.56, &NORTH_AMERICA),
    (0.31, &EUROPE),
    (0.06, &ASIA),
    (0.03, &OCEANIA),
    (0.03, &SOUTH_AMERICA),
    (0.01, &AFRICA),
];

const NORTH_AMERICA: [Metro; 18] = [
    (40.7, -74.0, 10.0),  // New York
    (38.9, -77.0, 9.0),   // Washington
    (42.4, -71.1, 6.0),   // Boston
    (33.7, -84.4, 5.0),   // Atlanta
    (41.9, -87.6, 7.0),   // Chicago
    (32.8, -96.8, 5.0),   // Dallas
    (29.8, -95.4, 3.0),   // Houston
    (39.7, -105.0, 3.0),  // Denver
    (34.1, -118.2, 7.0),  // Los Angeles
    (37.5, -122.2, 10.0), // San Francisco
    (47.6, -122.3, 4.0),  // Seattle
    (45.0, -93.3, 2.0),   // Minneapolis
    (43.7, -79.4, 4.0),   // Toronto
    (45.5, -73.6, 2.0),   // Montreal
    (49.3, -123.1, 2.0),  // Vancouver
    (25.8, -80.2, 2.0),   // Miami
    (33.4, -112.1, 2.0),  // Phoenix
    (19.4, -99.1, 1.0),   // Mexico City
];

const EUROPE: [Metro; 17] = [
    (51.5, -0.1, 8.0), // London
    (48.9, 2.4, 5.0),  // Paris
    (50.1, 8.7, 8.0),  // Frankfurt
    (52.4, 4.9, 6.0),  // Amsterdam
    (59.3, 18.1, 3.0), // Stockholm
    (55.7, 12.6, 2.0), // Copenhagen
    (60.2, 24.9, 2.0), // Helsinki
    (47.4, 8.5, 3.0),  // Zurich
    (45.5, 9.2, 4.0),  // Milan
    (40.4, -3.7, 2.0), // Madrid
    (52.2, 21.0, 2.0), // Warsaw
    (50.1, 14.4, 2.0), // Prague
    (48.2, 16.4, 2.0), // Vienna
    (47.5, 19.0, 1.0), // Budapest
    (55.8, 37.6, 2.0), // Moscow
    (41.0, 29.0, 1.0), // Istanbul
    (32.1, 34.8, 1.0), // Tel Aviv
];

const ASIA: [Metro; 9] = [
    (35.7, 139.7, 7.0), // Tokyo
    (34.7, 135.5, 2.0), // Osaka
    (37.6, 127.0, 4.0), // Seoul
    (25.0, 121.5, 3.0), // Taipei
    (22.3, 114.2, 3.0), // Hong Kong
    (1.35, 103.8, 2.0), // Singapore
    (39.9, 116.4, 2.0), // Beijing
    (19.1, 72.9, 1.0),  // Mumbai
    (13.8, 100.5, 1.0), // Bangkok
];

const OCEANIA: [Metro; 3] = [
    (-33.9, 151.2, 3.0), // Sydney
    (-37.8, 145.0, 2.0), // Melbourne
    (-36.8, 174.8, 1.0), // Auckland
];

const SOUTH_AMERICA: [Metro; 4] = [
    (-23.6, -46.6, 3.0), // Sao Paulo
    (-34.6, -58.4, 2.0), // Buenos Aires
    (-33.5, -70.7, 1.0), // Santiago
    (4.7, -74.1, 1.0),   // Bogota
];

const AFRICA: [Metro; 1] = [(-26.2, 28.0, 1.0)]; // Johannesburg

struct Site {
    metro: usize,
    latitude: f64,
    longitude: f64,
    access_ms: f64,
}

impl DelayMatrix {
    /// Generates a symmetric, complete King-like matrix; the same seed gives the same matrix.
    ///
    /// # Panics
    /// Unless `nodes` lies between 1 and [`NODES_MAX`].
    pub fn king_like(nodes: usize, seed: u64) -> Self {
        assert!((1..=NODES_MAX).contains(&nodes), "a delay matrix has 1 to {NODES_MAX} nodes");
        let mut draws = Draws { rng: ChaCha8Rng::seed_from_u64(seed), spare_normal: None };
        // Each metro with its share of all nodes.
        let metros: Vec<(Metro, f64)> = REGIONS
            .iter()
            .flat_map(|&(share, metros)| {
                let weights: f64 = metros.iter().map(|metro| metro.2).sum();
                metros.iter().map(move |&metro| (metro, share * metro.2 / weights))
            })
            .collect();
        let inflations: Vec<f64> = (0..metros.len() * (metros.len() - 1) / 2)
            .map(|_| draws.log_normal(METRO_SIGMA))
            .collect();
        let inflation = |a: &Site, b: &Site| match a.metro == b.metro {
            true => 1.0,
            false => inflations[triangle_index(metros.len(), a.metro, b.metro)],
        };
        let sites: Vec<Site> = (0..nodes).map(|_| draw_site(&metros, &mut draws)).collect();
        let mut upper_us = Vec::with_capacity(nodes * nodes.saturating_sub(1) / 2);
        for (i, a) in sites.iter().enumerate() {
            for b in &sites[i + 1..] {
                let ms = rtt_ms(a, b, inflation(a, b), &mut draws);
                upper_us.push((ms * 1000.0).round() as u32);
            }
        }
        Self::from_rtt_fn(nodes, |i, j| Some(upper_us[triangle_index(nodes, i, j)]))
    }
}

fn draw_site(metros: &[(Metro, f64)], draws: &mut Draws) -> Site {
    let mut left = draws.unit();
    let metro = metros
        .iter()
        .position(|&(_, share)| {
            left -= share;
            left <= 0.0
        })
        .unwrap_or(metros.len() - 1); // the shares sum up to 1 but for rounding
    let (latitude, longitude, _) = metros[metro].0;
    let latitude = (latitude + SCATTER_DEG * draws.normal()).to_radians();
    let scatter_longitude = SCATTER_DEG / latitude.cos().max(COS_LATITUDE_MIN);
    let longitude = (longitude + scatter_longitude * draws.normal()).to_radians();
    let mut access_ms = ACCESS_MS * draws.log_normal(ACCESS_SIGMA);
    if draws.unit() < SLOW_SHARE {
        access_ms += SLOW_MS * draws.exponential();
    }
    Site { metro, latitude, longitude, access_ms }
}

fn rtt_ms(a: &Site, b: &Site, inflation: f64, draws: &mut Draws) -> f64 {
    let path_ms = FIBRE_MS_PER_100_KM * INFLATION * inflation * km(a, b) / 100.0;
    let smooth_ms = FIXED_MS + path_ms + a.access_ms + b.access_ms;
    (smooth_ms * draws.log_normal(PAIR_SIGMA)).min(CAP_MS)
}

/// Great-circle distance by the haversine formula.
fn km(a: &Site, b: &Site) -> f64 {
    let square_sine = |angle: f64| (angle / 2.0).sin().powi(2);
    let h = square_sine(a.latitude - b.latitude)
        + a.latitude.cos() * b.latitude.cos() * square_sine(a.longitude - b.longitude);
    2.0 * EARTH_KM * h.clamp(0.0, 1.0).sqrt().asin()
}

/// Random values, made from whole 64-bit draws so that no other crate's sampling rules enter.
struct Draws {
    rng: ChaCha8Rng,
    spare_normal: Option<f64>,
}

impl Draws {
    /// Uniform in (0, 1]: a logarithm of it is finite.
    fn unit(&mut self) -> f64 {
        const STEPS: f64 = (1_u64 << 53) as f64;
        ((self.rng.next_u64() >> 11) + 1) as f64 / STEPS
    }

    /// Standard normal, by Box and Muller's transform, which yields two at a time.
    fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare_normal.take() {
            return spare;
        }
        let radius = (-2.0 * self.unit().ln()).sqrt();
        let (sine, cosine) = (TAU * self.unit()).sin_cos();
        self.spare_normal = Some(radius * sine);
        radius * cosine
    }

    /// Log-normal with median 1.
    fn log_normal(&mut self, sigma: f64) -> f64 {
        (sigma * self.normal()).exp()
    }

    /// Exponential with mean 1.
    fn exponential(&mut self) -> f64 {
        -self.unit().ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_matrix_lies_near_the_published_figures() {
        let near = |value: f64, published: f64| (value / published - 1.0).abs() < 0.15;
        for seed in 1..=3 {
            let king = DelayMatrix::king_like(400, seed).statistics();
            assert!(near(f64::from(king.rtt_us_median), 160_000.0), "seed {seed}: {king:?}");
            assert!(near(king.rtt_us_mean, 179_000.0), "seed {seed}: {king:?}");
            assert!((0.10..0.22).contains(&king.triangles_violated_share), "seed {seed}: {king:?}");
            assert!(king.relay_faster_share > 0.70, "seed {seed}: {king:?}");
            assert_eq!(king.missing_share, 0.0);
        }
    }

    #[test]
    fn same_seed_gives_the_same_symmetric_matrix() {
        let matrix = DelayMatrix::king_like(60, 7);
        assert_eq!(matrix, DelayMatrix::king_like(60, 7));
        assert_ne!(matrix, DelayMatrix::king_like(60, 8));
        for i in 0..60 {
            for j in 0..i {
                assert_eq!(matrix.rtt_us(i, j), matrix.rtt_us(j, i));
                assert!((700 / 2..=800_000).contains(&matrix.rtt_us(i, j)));
            }
        }
    }

    #[test]
    fn distance_of_london_and_new_york() {
        let site = |latitude: f64, longitude: f64| Site {
            metro: 0,
            latitude: latitude.to_radians(),
            longitude: longitude.to_radians(),
            access_ms: 0.0,
        };
        assert!((km(&site(51.5, -0.1), &site(40.7, -74.0)) - 5570.0).abs() < 15.0);
    }

    #[test]
    fn draws_have_the_moments_of_their_distributions() {
        let mut draws = Draws { rng: ChaCha8Rng::seed_from_u64(1), spare_normal: None };
        let normal: Vec<f64> = (0..50_000).map(|_| draws.normal()).collect();
        let exponential: Vec<f64> = (0..50_000).map(|_| draws.exponential()).collect();
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let squares: Vec<f64> = normal.iter().map(|x| x * x).collect();
        assert!(mean(&normal).abs() < 0.02);
        assert!((mean(&squares) - 1.0).abs() < 0.03);
        assert!((mean(&exponential) - 1.0).abs() < 0.02);
    }
}
