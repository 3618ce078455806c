//! `warren-sim`: the real protocol core in virtual time, many nodes in one process.
//!
//! - [`world`]: hosts, network and clock around [`proto::Node`];
//! - [`population`]: who lives in a world;
//! - [`check`]: what must hold in a world, and where it does not;
//! - [`scenario`]: files that say what happens, and the tables that come of them;
//! - [`story`]: runs with an end that must be good, told with many seeds;
//! - [`latency`]: delay matrices, measured (files) or generated (King-like);
//! - [`hash`]: the running hash by which two runs prove that they were equal;
//! - [`stats`]: means, intervals and the goodness-of-fit tests that the row tests use;
//! - [`report`]: result tables as text, JSON and CSV.
//!
//! There is no protocol logic here: what a node does is decided in the core, which does not know that time
//! is virtual.
//!
//! Nothing here reads a clock or a global random source: the same seed gives the same result.

#![warn(clippy::iter_over_hash_type)]

pub mod check;
pub mod hash;
pub mod latency;
pub mod population;
pub mod report;
pub mod scenario;
pub mod stats;
pub mod story;
pub mod world;
