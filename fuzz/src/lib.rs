//! What the fuzz targets share with the deterministic tests in `crates/proto/tests`.
//!
//! `cargo +nightly fuzz run TARGET` from the root of the repository runs a target until it finds something;
//! `cargo fuzz list` names them all. `make fuzz` runs the deterministic tests, which need neither.

// Each target uses its part.
#![allow(dead_code)]

pub use support::{formats, world};

#[path = "../../crates/proto/tests/hostile_support/mod.rs"]
mod support;
