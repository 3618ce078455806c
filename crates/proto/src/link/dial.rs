//! A dial: probing all endpoints of a node at once until one answers.
//!
//! The same probe goes to every path, paced, again with growing pauses, for [`DIAL_MAX`]. The first answer
//! wins. If the node that answers has the lower ID, it is invited to start the handshake; else we do.

use super::Instance;
use crate::NodeId;
use crate::path::Path;
use crate::time::Instant;
use crate::wire::probe::NONCE_LEN;
use std::time::Duration;

/// How long a dial goes on without any answer: three of the longest round trips that occur (800 ms).
pub const DIAL_MAX: Duration = Duration::from_secs(3);
/// Pause between two probes of one round, as the pacing of RFC 8445 (section 14.2).
const PACE: Duration = Duration::from_millis(20);
/// First pause between two rounds; doubles.
const ROUND_FIRST: Duration = Duration::from_millis(150);
/// Paths that one dial tries at most.
pub const PATHS_MAX: usize = 10;

/// Why a dial was begun, which decides who hears of its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The overlay wants a link.
    Link,
    /// The keys of a live session are to be renewed.
    Rekey,
}

/// A dial under way.
#[derive(Debug)]
pub struct Dial {
    /// For which overlay.
    pub instance: Instance,
    /// Whom, if that is known.
    pub target: Option<NodeId>,
    /// Why.
    pub reason: Reason,
    /// Where.
    pub paths: Vec<Path>,
    /// Binds replies to this dial.
    pub nonce: [u8; NONCE_LEN],
    /// The probe or, once answered, the invitation that is repeated.
    pub datagram: Vec<u8>,
    /// The one path that answered, when an invitation is out.
    pub invited: Option<Path>,
    begun: Instant,
    next: usize,
    round: u32,
    at: Instant,
}

impl Dial {
    /// A dial that sends its first probe at once.
    pub fn new(
        instance: Instance,
        target: Option<NodeId>,
        reason: Reason,
        mut paths: Vec<Path>,
        nonce: [u8; NONCE_LEN],
        datagram: Vec<u8>,
        now: Instant,
    ) -> Self {
        paths.truncate(PATHS_MAX);
        Dial {
            instance,
            target,
            reason,
            paths,
            nonce,
            datagram,
            invited: None,
            begun: now,
            next: 0,
            round: 0,
            at: now,
        }
    }

    /// Adds a path that became known while dialling; it is probed next.
    pub fn add_path(&mut self, path: Path, now: Instant) {
        if self.paths.len() < PATHS_MAX && !self.paths.contains(&path) {
            self.paths.insert(self.next, path);
            self.at = now;
        }
    }

    /// The node on this path answered and shall start the handshake: repeats the invitation from now on.
    pub fn invite(&mut self, path: Path, datagram: Vec<u8>, now: Instant) {
        if self.invited.is_none() {
            (self.paths, self.next, self.round) = (vec![path], 0, 0);
            (self.datagram, self.invited, self.at) = (datagram, Some(path), now);
        }
    }

    /// When [`Dial::poll`] is due.
    pub fn deadline(&self) -> Instant {
        self.at
    }

    /// The next path to send [`Dial::datagram`] to, if it is time; an error once the dial has failed.
    pub fn poll(&mut self, now: Instant) -> Result<Option<Path>, TimedOut> {
        if self.at > now {
            return Ok(None);
        }
        if now - self.begun >= DIAL_MAX {
            return Err(TimedOut);
        }
        let Some(&path) = self.paths.get(self.next) else { return Err(TimedOut) };
        self.next += 1;
        self.at = now + PACE;
        if self.next == self.paths.len() {
            self.next = 0;
            self.at = (now + ROUND_FIRST * (1 << self.round.min(5))).min(self.begun + DIAL_MAX);
            self.round += 1;
        }
        Ok(Some(path))
    }
}

/// Nobody answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedOut;

#[cfg(test)]
mod tests {
    use super::*;

    fn path(port: u16) -> Path {
        Path::Direct(([10, 0, 0, 1], port).into())
    }

    #[test]
    fn every_path_is_probed_in_paced_rounds_until_time_is_up() {
        let paths = vec![path(1), path(2)];
        let mut dial =
            Dial::new(Instance(0), None, Reason::Link, paths, [0; 12], vec![], Instant::ZERO);
        let mut sent = Vec::new();
        loop {
            match dial.poll(dial.deadline()) {
                Ok(Some(path)) => sent.push(path),
                Ok(None) => unreachable!("polled at its deadline"),
                Err(TimedOut) => break,
            }
        }
        assert_eq!(dial.deadline(), Instant::ZERO + DIAL_MAX);
        assert_eq!(sent[..4], [path(1), path(2), path(1), path(2)]);
        assert!((8..=12).contains(&sent.len()), "{} probes", sent.len());
    }
}
