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
//! | `links` | do both ends of a link hold it |
//! | `lanes` | does a lane have the sessions and routes of its node |
//! | `queues` | do all bounded tables and queues stay within their bounds |
//! | `replicas` | is every value of the hash table where it belongs |
//!
//! [`always`] and [`at_rest`] are all of them together, by when they must hold.

mod lanes;
mod links;
mod queues;
mod replicas;
mod ring;
mod routes;
mod topology;

use std::fmt;

use proto::overlay::Instance;
use proto::time::Instant;

use crate::world::World;

pub use lanes::lanes_agree_with_sessions;
pub use links::links_are_mutual;
pub use queues::queues_are_within_bounds;
pub use replicas::replicas_are_placed;
pub use ring::{near_neighbours_are_within_bounds, ring_is_consistent};
pub use routes::{Routes, every_live_pair_is_routable, routes};
pub use topology::{Member, Topology};

/// Everything that holds at any time; empty if it does.
pub fn always(world: &World) -> Vec<Findings> {
    let all = [queues_are_within_bounds(world), lanes_agree_with_sessions(world)];
    all.into_iter().filter(|findings| !findings.is_clean()).collect()
}

/// Everything that holds once nothing has happened for some minutes; empty if it does. Messages are walked
/// from everywhere to everywhere only when all else is right.
pub fn at_rest(world: &World, instance: Instance) -> Vec<Findings> {
    let topology = Topology::of(world, instance);
    let all = [
        ring_is_consistent(&topology),
        near_neighbours_are_within_bounds(&topology),
        links_are_mutual(&topology),
        replicas_are_placed(world, instance),
    ];
    let mut violated: Vec<_> = all.into_iter().filter(|findings| !findings.is_clean()).collect();
    if violated.is_empty() {
        let routes = every_live_pair_is_routable(&topology);
        violated.extend(Some(routes).filter(|findings| !findings.is_clean()));
    }
    violated
}

/// When a picture was taken, and of which world: with the seed one comes there again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The seed of the world.
    pub seed: u64,
    /// Virtual time.
    pub at: Instant,
}

impl From<&World> for Moment {
    fn from(world: &World) -> Self {
        Moment { seed: world.seed(), at: world.now().instant }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}, {:.3} s", self.seed, self.at.as_micros() as f64 / 1e6)
    }
}

/// Violations that are described; the others are only counted.
const DESCRIBED: usize = 5;

/// What a check found.
#[derive(Clone, Debug)]
pub struct Findings {
    /// What ought to hold.
    rule: &'static str,
    moment: Moment,
    checked: usize,
    violated: usize,
    first: Vec<String>,
}

impl Findings {
    fn new(rule: &'static str, moment: Moment) -> Self {
        Self { rule, moment, checked: 0, violated: 0, first: Vec::new() }
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
        let Self { rule, moment, checked, violated, first } = self;
        write!(f, "{rule}: {violated} of {checked} violate it ({moment})")?;
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
        let mut findings =
            Findings::new("numbers are small", Moment { seed: 7, at: Instant::ZERO });
        for n in 0..100 {
            findings.check((n >= 90).then_some(|| format!("{n} is not")));
        }
        let text = findings.to_string();
        assert!(
            text.starts_with(
                "numbers are small: 10 of 100 violate it (seed 7, 0.000 s)\n  90 is not"
            )
        );
        assert!(text.ends_with("\n  and 5 more"), "{text}");
        assert!((findings.share_clean() - 0.9).abs() < 1e-12);
    }
}
