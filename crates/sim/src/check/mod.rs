//! What must hold in a world, and where it does not.
//!
//! A [`Topology`] is a picture of all live nodes of one overlay and their links, taken without disturbing
//! anything. The checks are pure functions of it; each returns [`Findings`], which print the first
//! violations and the seed that leads there again.
//!
//! | file | question |
//! |---|---|
//! | `topology` | who is linked with whom |
//! | `ring` | is everybody linked with its true ring neighbours |
//! | `routes` | does a message from anywhere reach everywhere, and by how many hops |
//! | `bounds` | do tables agree with each other and stay within their bounds |

mod bounds;
mod ring;
mod routes;
mod topology;

use std::fmt;

pub use bounds::{bounds_hold, links_are_mutual};
pub use ring::{near_neighbours_are_within_bounds, ring_is_consistent};
pub use routes::{Routes, every_live_pair_is_routable, routes};
pub use topology::{Member, Topology};

/// Violations that are described; the others are only counted.
const DESCRIBED: usize = 5;

/// What a check found.
#[derive(Clone, Debug)]
pub struct Findings {
    /// What ought to hold.
    rule: &'static str,
    seed: u64,
    checked: usize,
    violated: usize,
    first: Vec<String>,
}

impl Findings {
    fn new(rule: &'static str, seed: u64) -> Self {
        Self { rule, seed, checked: 0, violated: 0, first: Vec::new() }
    }

    /// Counts one case; `violation` says what is wrong with it, if anything is.
    fn check(&mut self, violation: Option<impl FnOnce() -> String>) {
        self.checked += 1;
        let Some(describe) = violation else { return };
        self.violated += 1;
        if self.first.len() < DESCRIBED {
            self.first.push(describe());
        }
    }

    /// Whether the rule holds everywhere.
    pub fn is_clean(&self) -> bool {
        self.violated == 0
    }

    /// Share of the cases in which the rule holds; 1 if there are none.
    pub fn share_clean(&self) -> f64 {
        1.0 - self.violated as f64 / self.checked.max(1) as f64
    }

    /// Cases that were looked at.
    pub fn checked(&self) -> usize {
        self.checked
    }

    /// Fails the test that calls it unless the rule holds everywhere.
    ///
    /// # Panics
    /// With the first violations and the seed, if there are any.
    #[track_caller]
    pub fn assert_clean(&self) {
        assert!(self.is_clean(), "{self}");
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, seed, checked, violated, first } = self;
        write!(f, "{rule}: {violated} of {checked} violate it (seed {seed})")?;
        first.iter().try_for_each(|violation| write!(f, "\n  {violation}"))?;
        if *violated > first.len() {
            write!(f, "\n  and {} more", violated - first.len())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_sm_findings_describe_the_first_violations_and_the_seed() {
        let mut findings = Findings::new("numbers are small", 7);
        for n in 0..100 {
            findings.check((n >= 90).then_some(|| format!("{n} is not")));
        }
        let text = findings.to_string();
        assert!(text.starts_with("numbers are small: 10 of 100 violate it (seed 7)\n  90 is not"));
        assert!(text.ends_with("\n  and 5 more"), "{text}");
        assert!((findings.share_clean() - 0.9).abs() < 1e-12);
    }
}
