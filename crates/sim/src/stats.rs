//! Statistics over samples: summaries with confidence intervals, and the goodness-of-fit tests by
//! which row tests decide whether random draws follow the law they should.
//!
//! The tests answer with a p-value: the share of honest experiments that look at least this bad. A
//! test with a fixed seed passes or fails for good, so row tests refuse below 0.01 or 0.001 and need
//! no retries. Samples are assumed finite; sources: Press et al., "Numerical Recipes" (3rd ed.),
//! sections 6.1, 6.2 and 14.3.

use std::f64::consts::PI;

/// Mean and spread of a set of samples.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Summary {
    /// Number of samples.
    pub count: usize,
    /// Arithmetic mean.
    pub mean: f64,
    /// Standard deviation of the samples (n - 1 in the denominator); 0 for a single one.
    pub standard_deviation: f64,
    /// Half width of the 95 % confidence interval of the mean, by Student's t; infinite for a
    /// single sample, which says nothing about its spread.
    pub ci95: f64,
}

impl Summary {
    /// Summarises the samples; `None` if there are none.
    pub fn of(samples: &[f64]) -> Option<Self> {
        if samples.is_empty() {
            return None;
        }
        let count = samples.len();
        let mean = samples.iter().sum::<f64>() / count as f64;
        if count == 1 {
            return Some(Self { count, mean, standard_deviation: 0.0, ci95: f64::INFINITY });
        }
        let squares: f64 = samples.iter().map(|x| (x - mean).powi(2)).sum();
        let standard_deviation = (squares / (count - 1) as f64).sqrt();
        let ci95 = student_t_975(count - 1) * standard_deviation / (count as f64).sqrt();
        Some(Self { count, mean, standard_deviation, ci95 })
    }
}

/// Returns the value at `quantile` (0 to 1), linear between neighbours (type 7 of Hyndman and Fan,
/// as numpy does); `None` if there are no samples.
pub fn percentile(samples: &[f64], quantile: f64) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    let position = quantile.clamp(0.0, 1.0) * last as f64;
    let (below, above) = (sorted[position.floor() as usize], sorted[position.ceil() as usize]);
    Some(below + (above - below) * position.fract())
}

/// Outcome of a goodness-of-fit test.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Fit {
    /// The test's statistic: largest distance (Kolmogorov-Smirnov) or chi-square.
    pub statistic: f64,
    /// Probability of a statistic at least this large if the samples follow the law.
    pub p_value: f64,
}

/// Tests samples against a continuous law given by its cumulative distribution function, after
/// Kolmogorov and Smirnov; `None` if there are no samples.
///
/// The p-value is the asymptotic one with Stephens' correction, good from about four samples on.
pub fn kolmogorov_smirnov(samples: &[f64], cdf: impl Fn(f64) -> f64) -> Option<Fit> {
    if samples.is_empty() {
        return None;
    }
    let mut sorted = samples.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let count = sorted.len() as f64;
    let distance = |(rank, &sample): (usize, &f64)| {
        let expected = cdf(sample);
        (expected - rank as f64 / count).max((rank + 1) as f64 / count - expected)
    };
    let statistic = sorted.iter().enumerate().map(distance).fold(0.0, f64::max);
    let root = count.sqrt();
    let p_value = kolmogorov_tail((root + 0.12 + 0.11 / root) * statistic);
    Some(Fit { statistic, p_value })
}

/// Tests whether counts of equally likely outcomes are uniform, after Pearson's chi-square; `None`
/// with fewer than two outcomes or nothing counted.
///
/// The p-value is asymptotic: expect at least five counts per outcome.
pub fn chi_square_uniform(counts: &[u64]) -> Option<Fit> {
    let total: u64 = counts.iter().sum();
    if counts.len() < 2 || total == 0 {
        return None;
    }
    let expected = total as f64 / counts.len() as f64;
    let statistic = counts.iter().map(|&n| (n as f64 - expected).powi(2) / expected).sum();
    let degrees = (counts.len() - 1) as f64;
    Some(Fit { statistic, p_value: gamma_tail(degrees / 2.0, statistic / 2.0) })
}

/// 97.5 % quantile of Student's t: exact to 0.001 from a table up to 10 degrees of freedom, beyond
/// by the Cornish-Fisher expansion around the normal quantile.
fn student_t_975(degrees: usize) -> f64 {
    const TABLE: [f64; 10] =
        [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228];
    const NORMAL: f64 = 1.959_964;
    if let Some(&quantile) = degrees.checked_sub(1).and_then(|index| TABLE.get(index)) {
        return quantile;
    }
    let (z, n) = (NORMAL, degrees as f64);
    let (z3, z5, z7) = (z.powi(3), z.powi(5), z.powi(7));
    z + (z3 + z) / (4.0 * n)
        + (5.0 * z5 + 16.0 * z3 + 3.0 * z) / (96.0 * n.powi(2))
        + (3.0 * z7 + 19.0 * z5 + 17.0 * z3 - 15.0 * z) / (384.0 * n.powi(3))
}

/// Upper tail of Kolmogorov's distribution: two series, each where it converges in a few terms.
fn kolmogorov_tail(z: f64) -> f64 {
    if z < 0.04 {
        return 1.0; // the series below divides by z; the tail differs from 1 by less than 1e-300
    }
    let odd = |k: i32| f64::from(2 * k - 1);
    if z < 1.18 {
        let sum: f64 = (1..=4).map(|k| (-(odd(k) * PI / z).powi(2) / 8.0).exp()).sum();
        1.0 - (2.0 * PI).sqrt() / z * sum
    } else {
        let term = |k: i32| (-2.0 * f64::from(k * k) * z * z).exp();
        2.0 * (term(1) - term(2) + term(3) - term(4))
    }
}

/// Upper regularized incomplete gamma function Q(a, x): by its series below the bend at a + 1, by
/// Lentz's continued fraction above it.
fn gamma_tail(a: f64, x: f64) -> f64 {
    /// Both converge in about the root of `a` steps: enough for a million outcomes.
    const STEPS_MAX: u32 = 10_000;
    const PRECISION: f64 = 1e-14;
    if x <= 0.0 {
        return 1.0;
    }
    let scale = (a * x.ln() - x - ln_gamma(a)).exp();
    if x < a + 1.0 {
        let (mut term, mut sum) = (1.0 / a, 1.0 / a);
        for step in 1..STEPS_MAX {
            term *= x / (a + f64::from(step));
            sum += term;
            if term < sum * PRECISION {
                break;
            }
        }
        1.0 - scale * sum
    } else {
        let mut b = x + 1.0 - a;
        let mut c = f64::MAX;
        let mut d = 1.0 / b;
        let mut fraction = d;
        for step in (1..STEPS_MAX).map(f64::from) {
            let numerator = -step * (step - a);
            b += 2.0;
            d = 1.0 / nonzero(numerator * d + b);
            c = nonzero(b + numerator / c);
            fraction *= d * c;
            if (d * c - 1.0).abs() < PRECISION {
                break;
            }
        }
        scale * fraction
    }
}

/// Keeps the continued fraction from dividing by zero.
fn nonzero(x: f64) -> f64 {
    if x.abs() < f64::MIN_POSITIVE { f64::MIN_POSITIVE } else { x }
}

/// Logarithm of the gamma function for x > 0, by Lanczos' approximation (relative error 1e-14).
fn ln_gamma(x: f64) -> f64 {
    const SHIFT: f64 = 7.0;
    const COEFFICIENTS: [f64; 9] = [
        0.999_999_999_999_809_9,
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    let x = x - 1.0;
    let terms = COEFFICIENTS.iter().enumerate().skip(1);
    let sum = COEFFICIENTS[0] + terms.map(|(k, c)| c / (x + k as f64)).sum::<f64>();
    let t = x + SHIFT + 0.5;
    0.5 * (2.0 * PI).ln() + (x + 0.5) * t.ln() - t + sum.ln()
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn near(value: f64, expected: f64, tolerance: f64) {
        assert!((value - expected).abs() <= tolerance, "{value} is not near {expected}");
    }

    fn uniform(count: usize, seed: u64) -> Vec<f64> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        (0..count).map(|_| rng.random()).collect()
    }

    #[test]
    fn summary_of_a_known_set() {
        let summary = Summary::of(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]).expect("not empty");
        assert_eq!((summary.count, summary.mean), (8, 5.0));
        near(summary.standard_deviation, 2.13809, 1e-5);
        near(summary.ci95, 2.365 * 2.13809 / 8_f64.sqrt(), 1e-4);
    }

    #[test]
    fn summaries_of_little() {
        assert_eq!(Summary::of(&[]), None);
        let one = Summary::of(&[3.0]).expect("not empty");
        assert_eq!((one.mean, one.standard_deviation, one.ci95), (3.0, 0.0, f64::INFINITY));
    }

    #[test]
    fn confidence_interval_covers_the_mean_in_95_of_100_sets() {
        let covered = (0..2000).filter(|&seed| {
            let summary = Summary::of(&uniform(12, seed)).expect("not empty");
            (summary.mean - 0.5).abs() <= summary.ci95
        });
        near(covered.count() as f64 / 2000.0, 0.95, 0.015);
    }

    #[test]
    fn student_quantiles_match_the_tables() {
        for (degrees, quantile) in
            [(1, 12.706), (10, 2.228), (11, 2.201), (30, 2.042), (120, 1.980)]
        {
            near(student_t_975(degrees), quantile, 0.001);
        }
    }

    #[test]
    fn percentiles_lie_between_neighbours() {
        let samples = [40.0, 10.0, 30.0, 20.0];
        assert_eq!(percentile(&samples, 0.0), Some(10.0));
        assert_eq!(percentile(&samples, 0.5), Some(25.0));
        assert_eq!(percentile(&samples, 1.0), Some(40.0));
        assert_eq!(percentile(&[], 0.5), None);
    }

    #[test]
    fn tails_match_the_tables() {
        // Critical values of Kolmogorov's distribution, and both series where they meet.
        near(kolmogorov_tail(1.3581), 0.05, 1e-5);
        near(kolmogorov_tail(1.6276), 0.01, 1e-5);
        near(kolmogorov_tail(0.5), 0.963945, 1e-6);
        near(kolmogorov_tail(1.18 - 1e-9), kolmogorov_tail(1.18), 1e-8);
        assert_eq!(kolmogorov_tail(0.0), 1.0);
        // Critical values of chi-square with 1, 10 and 100 degrees of freedom.
        near(gamma_tail(0.5, 3.841_459 / 2.0), 0.05, 1e-7);
        near(gamma_tail(5.0, 23.209_251 / 2.0), 0.01, 1e-7);
        near(gamma_tail(50.0, 77.929_465 / 2.0), 0.95, 1e-7);
        assert_eq!(gamma_tail(5.0, 0.0), 1.0);
    }

    #[test]
    fn kolmogorov_smirnov_tells_laws_apart() {
        let samples = uniform(2000, 1);
        let right = kolmogorov_smirnov(&samples, |x| x.clamp(0.0, 1.0)).expect("not empty");
        let wrong =
            kolmogorov_smirnov(&samples, |x| x.clamp(0.0, 1.0).powf(1.2)).expect("not empty");
        assert!(right.p_value > 0.01, "{right:?}");
        assert!(wrong.p_value < 0.001, "{wrong:?}");
        assert_eq!(kolmogorov_smirnov(&[], |x| x), None);
    }

    #[test]
    fn kolmogorov_smirnov_measures_both_sides_of_a_step() {
        let fit = kolmogorov_smirnov(&[0.1, 0.2, 0.3], |x| x).expect("not empty");
        near(fit.statistic, 0.7, 1e-12);
        let fit = kolmogorov_smirnov(&[0.8, 0.9], |x| x).expect("not empty");
        near(fit.statistic, 0.8, 1e-12);
    }

    #[test]
    fn p_values_of_honest_samples_are_uniform_themselves() {
        let mut deciles = [0; 10];
        for seed in 0..2000 {
            let fit = kolmogorov_smirnov(&uniform(50, seed), |x| x).expect("not empty");
            deciles[((fit.p_value * 10.0) as usize).min(9)] += 1;
        }
        let fit = chi_square_uniform(&deciles).expect("ten outcomes");
        assert!(fit.p_value > 0.001, "{fit:?} {deciles:?}");
    }

    #[test]
    fn chi_square_tells_a_loaded_die() {
        let fair = chi_square_uniform(&[16, 18, 16, 14, 12, 12]).expect("six outcomes");
        near(fair.statistic, 2.0, 1e-12);
        near(fair.p_value, 0.849145, 1e-6);
        let loaded = chi_square_uniform(&[100, 100, 100, 100, 100, 160]).expect("six outcomes");
        assert!(loaded.p_value < 0.001, "{loaded:?}");
        assert_eq!(chi_square_uniform(&[5]), None);
        assert_eq!(chi_square_uniform(&[0, 0]), None);
    }
}
