//! How long is waited after a failure: longer each time, and by chance, so that the members of a
//! group do not come all at once when their service is back.

use std::time::Duration;

use proto::rng::Rng;

/// Share by which a pause is changed up or down.
const JITTER: f64 = 0.5;
/// Doublings after which a pause grows no more.
const DOUBLINGS_MAX: u32 = 16;

/// Pauses of one series of tries.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    first: Duration,
    failures: u32,
}

impl Backoff {
    /// Starts with this pause, give or take half of it.
    pub fn new(first: Duration) -> Self {
        Self { first, failures: 0 }
    }

    /// Counts a failure and draws the pause after it; before jitter at most `longest`.
    pub fn fail(&mut self, longest: Duration, rng: &mut Rng) -> Duration {
        let doubled = self.first.saturating_mul(1 << self.failures.min(DOUBLINGS_MAX));
        self.failures = self.failures.saturating_add(1);
        rng.jitter(doubled.min(longest), JITTER)
    }

    /// Starts over after a success.
    pub fn succeed(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_start_over() {
        let mut rng = Rng::new([1; 32]);
        let mut backoff = Backoff::new(Duration::from_secs(2));
        for expected in [2, 4, 8, 10, 10] {
            let pause = backoff.fail(Duration::from_secs(10), &mut rng).as_secs_f64();
            assert!((0.5..1.5).contains(&(pause / f64::from(expected))), "{pause}");
        }
        backoff.succeed();
        assert!(backoff.fail(Duration::from_secs(10), &mut rng) < Duration::from_secs(3));
    }

    #[test]
    fn a_thousand_nodes_come_back_spread_over_the_longest_pause() {
        let hour = Duration::from_secs(3600);
        let pauses = (0..1000u16).map(|node| {
            let mut seed = [0; 32];
            seed[..2].copy_from_slice(&node.to_be_bytes());
            let (mut rng, mut backoff) = (Rng::new(seed), Backoff::new(Duration::from_secs(30)));
            (0..20).fold(Duration::ZERO, |_, _| backoff.fail(hour, &mut rng))
        });
        let mut by_minute = [0; 90];
        pauses.for_each(|pause| by_minute[(pause.as_secs() / 60) as usize] += 1);
        assert!(by_minute.iter().all(|&count| count < 60), "{by_minute:?}");
    }
}
