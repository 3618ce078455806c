//! How long a round trip takes, learnt from samples (RFC 6298 section 2, RFC 9002 section 5.3).
//!
//! A sample is the time from a question to its answer. Of a question that was sent twice nobody knows which
//! time it was that was answered, so that is none (Karn's algorithm): who asks sees to it.

use std::time::Duration;

/// The smoothed round-trip time and its variation; unknown before the first sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rtt {
    smoothed_and_variation: Option<(Duration, Duration)>,
}

impl From<Duration> for Rtt {
    fn from(sample: Duration) -> Rtt {
        let mut rtt = Rtt::default();
        rtt.learn(sample);
        rtt
    }
}

impl Rtt {
    /// Takes one more sample.
    pub fn learn(&mut self, sample: Duration) {
        self.smoothed_and_variation = Some(match self.smoothed_and_variation {
            None => (sample, sample / 2),
            Some((smoothed, variation)) => {
                ((smoothed * 7 + sample) / 8, (variation * 3 + smoothed.abs_diff(sample)) / 4)
            }
        });
    }

    /// The smoothed round-trip time.
    pub fn smoothed(&self) -> Option<Duration> {
        self.smoothed_and_variation.map(|(smoothed, _)| smoothed)
    }

    /// How long to wait for an answer before asking again.
    pub fn timeout(&self) -> Option<Duration> {
        self.smoothed_and_variation.map(|(smoothed, variation)| smoothed + variation * 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_smoothed_by_an_eighth_and_their_variation_by_a_quarter() {
        let ms = Duration::from_millis;
        let mut rtt = Rtt::default();
        assert_eq!((rtt.smoothed(), rtt.timeout()), (None, None));
        rtt.learn(ms(80));
        assert_eq!((rtt.smoothed(), rtt.timeout()), (Some(ms(80)), Some(ms(80 + 4 * 40))));
        rtt.learn(ms(160));
        assert_eq!((rtt.smoothed(), rtt.timeout()), (Some(ms(90)), Some(ms(90 + 4 * 50))));
    }
}
