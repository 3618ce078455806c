//! The only source of chance in the core: a generator seeded by the driver.
//!
//! The daemon seeds it from the operating system, the simulator from its own seed. It is cryptographic
//! (ChaCha), so that what it draws (indexes, nonces of probes, ring positions) cannot be predicted.

use rand::{Rng as _, SeedableRng};
use rand_chacha::ChaCha12Rng;

/// Seeded generator of one node.
#[derive(Debug)]
pub struct Rng(ChaCha12Rng);

impl Rng {
    /// A generator that draws the same values for the same seed.
    pub fn new(seed: [u8; 32]) -> Self {
        Rng(ChaCha12Rng::from_seed(seed))
    }

    /// Uniform over all 64-bit values.
    pub fn u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform over all 32-bit values.
    pub fn u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// Uniform in `[0, 1)`.
    pub fn unit(&mut self) -> f64 {
        (self.u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform in `0..n`; 0 if `n` is 0. The bias is below n / 2^64.
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.u64()) * n as u128) >> 64) as usize
    }

    /// `N` random bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut b = [0; N];
        self.0.fill_bytes(&mut b);
        b
    }

    /// `d` changed by at most `share` up or down, uniformly: timers of many nodes do not fall in step.
    pub fn jitter(&mut self, d: std::time::Duration, share: f64) -> std::time::Duration {
        d.mul_f64(1.0 + share * (2.0 * self.unit() - 1.0))
    }
}
