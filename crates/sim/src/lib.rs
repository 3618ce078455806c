//! The parts of `warren-sim` around the simulated world: where delays come from, how results are
//! judged and how they are written down.
//!
//! - [`latency`]: delay matrices, measured (files) or generated (King-like);
//! - [`hash`]: the running hash by which two runs prove that they were equal;
//! - [`stats`]: means, intervals and the goodness-of-fit tests that the row tests use;
//! - [`report`]: result tables as text, JSON and CSV.
//!
//! Nothing here reads a clock or a global random source: the same seed gives the same result.

pub mod hash;
pub mod latency;
pub mod report;
pub mod stats;
