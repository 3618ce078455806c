//! Which long links a node draws: a replaceable policy (checklist SC-01, SC-04).
//!
//! The default is Symphony's harmonic law: the distance of a shortcut is log-uniform between one mean gap
//! and half the ring, on a random side, with the natural logarithm throughout.

use crate::NodeId;
use crate::ring::{self, Arc, Side};
use crate::rng::Rng;
use std::fmt;

/// Decides how many outgoing shortcuts a node wants and where they lead.
pub trait ShortcutPolicy: fmt::Debug + Send {
    /// Outgoing shortcuts wanted at this estimated size.
    fn wanted(&self, size: f64) -> usize;
    /// The point whose nearest node becomes the next shortcut; `drawn` counts the draws so far.
    fn draw(&self, me: NodeId, size: f64, drawn: usize, rng: &mut Rng) -> NodeId;
}

/// Symphony: distances with density proportional to 1/distance.
#[derive(Clone, Copy, Debug, Default)]
pub struct Harmonic;

impl ShortcutPolicy for Harmonic {
    fn wanted(&self, size: f64) -> usize {
        (0.5 * size.max(1.0).log2()).ceil() as usize
    }

    fn draw(&self, me: NodeId, size: f64, _drawn: usize, rng: &mut Rng) -> NodeId {
        let side = if rng.unit() < 0.5 { Side::Left } else { Side::Right };
        ring::offset(me, harmonic(size, rng.unit()), side)
    }
}

/// The arc that quantile `p` of the harmonic law on [1/size, 1/2] of the ring has.
pub fn harmonic(size: f64, p: f64) -> Arc {
    let (shortest, longest) = (1.0 / size.max(2.0), 0.5f64);
    Arc::from_share(shortest * (longest / shortest).powf(p))
}

/// Fixed distances: 1/2, 1/4, 1/8 … of the ring, clockwise (the fingers of Chord).
#[derive(Clone, Copy, Debug, Default)]
pub struct Fingers;

impl ShortcutPolicy for Fingers {
    fn wanted(&self, size: f64) -> usize {
        size.max(1.0).log2().ceil() as usize
    }

    fn draw(&self, me: NodeId, size: f64, drawn: usize, _rng: &mut Rng) -> NodeId {
        let finger = drawn % self.wanted(size).max(1);
        ring::offset(me, Arc::power_of_two(159 - finger.min(159)), Side::Right)
    }
}
