//! How many messages a second a test tries: the only clock here, and nothing depends on it.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

use std::time::Instant;

/// Runs from its making on.
pub struct Stopwatch(Instant);

impl Stopwatch {
    pub fn start() -> Stopwatch {
        Stopwatch(Instant::now())
    }

    /// So many a second, if there were `count` since the start.
    pub fn rate(&self, count: usize) -> f64 {
        count as f64 / self.0.elapsed().as_secs_f64()
    }
}
