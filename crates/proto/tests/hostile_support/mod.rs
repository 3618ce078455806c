//! What the tests of hostile input share.
//!
//! | file | question |
//! |---|---|
//! | `formats` | what must hold for any bytes |
//! | `corpus` | what do valid messages look like |
//! | `lane` | what can a member do to a lane |
//! | `mutate` | how are they bent |
//! | `member` | what can a member do that is not honest |
//! | `rate` | how fast is it |
//! | `world` | two nodes with a live link, and strangers |

// Each test file uses its part.
#![allow(dead_code)]

pub mod corpus;
pub mod formats;
pub mod lane;
pub mod member;
pub mod mutate;
pub mod rate;
pub mod world;

/// Mutated messages per format or node, unless [`ITERATIONS_VARIABLE`] says otherwise.
const ITERATIONS: usize = 100_000;
/// The environment variable that asks for more.
const ITERATIONS_VARIABLE: &str = "WARREN_HOSTILE_ITERATIONS";

/// How many mutated messages a test tries.
pub fn iterations() -> usize {
    match std::env::var(ITERATIONS_VARIABLE) {
        Ok(text) => text.parse().expect("the number of iterations is a number"),
        Err(_) => ITERATIONS,
    }
}
