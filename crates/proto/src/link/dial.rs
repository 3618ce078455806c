//! A dial: probing all endpoints of a node at once until one answers.
//!
//! The same probe goes to every path, paced, again with growing pauses, for [`DIAL_MAX`]. The first answer
//! wins. From the second round on, probes under older generations of the group secret go along: a peer that
//! has not got the newest yet would be silent to it. If the node that answers has the lower ID, it is invited to start the handshake; else we do.

use super::Instance;
use crate::NodeId;
use crate::path::Path;
use crate::rtt::Rtt;
use crate::session::gate::Gate;
use crate::time::Instant;
use crate::wire::probe::NONCE_LEN;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How long a dial goes on without any answer: three of the longest round trips that occur (800 ms).
pub const DIAL_MAX: Duration = Duration::from_secs(3);
/// Pause between two probes of one round, as the pacing of RFC 8445 (section 14.2).
const PACE: Duration = Duration::from_millis(20);
/// First pause between two rounds; doubles.
const ROUND_FIRST: Duration = Duration::from_millis(150);
/// Paths that one dial tries at most.
pub const PATHS_MAX: usize = 10;
/// Older generations of the group secret that are tried in each round but the first, and in all: a node that
/// is online lags by one or two, and who has been away dials with what it has, which everybody takes.
const OLDER_PER_ROUND: usize = 4;
/// Generations that one dial tries at most.
pub const GATES_TRIED_MAX: usize = 1 + 4 * OLDER_PER_ROUND;

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
    /// The probe under each generation of the group secret, the newest first.
    pub probes: Vec<SealedProbe>,
    /// The one path that answered, with the invitation that is repeated there.
    pub invited: Option<(Path, Vec<u8>)>,
    /// When each path was asked; none if more than once, since an answer does not say to which time it is.
    asked: BTreeMap<Path, Option<Instant>>,
    begun: Instant,
    next: usize,
    round: u32,
    at: Instant,
}

/// A probe under one gate.
#[derive(Debug)]
pub struct SealedProbe {
    /// The gate.
    pub gate: Arc<Gate>,
    /// Binds the reply to it.
    pub nonce: [u8; NONCE_LEN],
    /// The datagram.
    pub datagram: Vec<u8>,
}

/// A path's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// The path.
    pub path: Path,
    /// Counts the rounds, from 0.
    round: usize,
}

impl Dial {
    /// A dial that sends its first probe at once.
    pub fn new(
        instance: Instance,
        target: Option<NodeId>,
        reason: Reason,
        mut paths: Vec<Path>,
        probes: Vec<SealedProbe>,
        now: Instant,
    ) -> Self {
        paths.truncate(PATHS_MAX);
        Dial {
            instance,
            target,
            reason,
            paths,
            probes,
            invited: None,
            asked: BTreeMap::new(),
            begun: now,
            next: 0,
            round: 0,
            at: now,
        }
    }

    /// Adds a path that became known while dialling; it is probed next. An invitation is for its own path alone.
    pub fn add_path(&mut self, path: Path, now: Instant) {
        let has_room = self.invited.is_none() && self.paths.len() < PATHS_MAX;
        if has_room && !self.paths.contains(&path) {
            self.paths.insert(self.next, path);
            self.at = now;
        }
    }

    /// The node on this path answered and shall start the handshake: repeats the invitation from now on.
    pub fn invite(&mut self, path: Path, datagram: Vec<u8>, now: Instant) {
        if self.invited.is_none() {
            (self.paths, self.next, self.round) = (vec![path], 0, 0);
            (self.invited, self.at) = (Some((path, datagram)), now);
            self.asked.clear();
        }
    }

    /// What goes out at a path's turn.
    pub fn datagrams(&self, turn: Turn) -> impl Iterator<Item = &[u8]> {
        let older = match turn.round {
            0 => 0..0,
            round => 1 + (round - 1) * OLDER_PER_ROUND..1 + round * OLDER_PER_ROUND,
        };
        let is_due = move |n: usize| n == 0 || older.contains(&n);
        let invitation = self.invited.iter().map(|(_, datagram)| datagram.as_slice());
        let probes = self.probes.iter().enumerate().filter(move |(n, _)| is_due(*n));
        let probes = probes.map(|(_, probe)| probe.datagram.as_slice());
        invitation.chain(probes.filter(|_| self.invited.is_none()))
    }

    /// What an answer that came just now by `path` tells of its round trip.
    pub fn rtt(&self, path: Path, now: Instant) -> Rtt {
        let asked_at = self.asked.get(&path).copied().flatten();
        asked_at.map_or(Rtt::default(), |asked_at| Rtt::from(now - asked_at))
    }

    /// When [`Dial::poll`] is due.
    pub fn deadline(&self) -> Instant {
        self.at
    }

    /// The next path to send [`Dial::datagrams`] to, if it is time; an error once the dial has failed.
    pub fn poll(&mut self, now: Instant) -> Result<Option<Turn>, TimedOut> {
        if self.at > now {
            return Ok(None);
        }
        if now - self.begun >= DIAL_MAX {
            return Err(TimedOut);
        }
        let Some(&path) = self.paths.get(self.next) else { return Err(TimedOut) };
        let turn = Turn { path, round: self.round as usize };
        self.asked.entry(path).and_modify(|once| *once = None).or_insert(Some(now));
        self.next += 1;
        self.at = now + PACE;
        if self.next == self.paths.len() {
            self.next = 0;
            self.at = (now + ROUND_FIRST * (1 << self.round.min(5))).min(self.begun + DIAL_MAX);
            self.round += 1;
        }
        Ok(Some(turn))
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

    fn dial(paths: Vec<Path>, generations: u8) -> Dial {
        let probe = |n| SealedProbe {
            gate: Arc::new(Gate::public()),
            nonce: [n; NONCE_LEN],
            datagram: vec![n],
        };
        let probes = (0..generations).map(probe).collect();
        Dial::new(Instance(0), None, Reason::Link, paths, probes, Instant::ZERO)
    }

    #[test]
    fn older_generations_are_tried_from_the_second_round_on() {
        let mut dial = dial(vec![path(1)], 7);
        let mut rounds = Vec::new();
        while let Ok(turn) = dial.poll(dial.deadline()) {
            let turn = turn.expect("polled at its deadline");
            rounds.push(dial.datagrams(turn).map(|datagram| datagram[0]).collect::<Vec<u8>>());
        }
        assert_eq!(rounds[..3], [vec![0], vec![0, 1, 2, 3, 4], vec![0, 5, 6]]);
        assert!(rounds[3..].iter().all(|round| round == &[0]), "{rounds:?}");
    }

    #[test]
    fn an_answer_tells_the_round_trip_of_a_path_that_was_asked_once() {
        let at = |ms: u64| Instant::from_micros(ms * 1_000);
        let mut dial = dial(vec![path(1), path(2)], 1);
        let rtt = |dial: &Dial, port, ms| dial.rtt(path(port), at(ms)).smoothed();
        let ms = |ms| Some(Duration::from_millis(ms));
        for now in [0, 20] {
            assert!(dial.poll(at(now)).is_ok_and(|turn| turn.is_some()));
        }
        assert_eq!([1, 2, 3].map(|port| rtt(&dial, port, 60)), [ms(60), ms(40), None]);
        let again = dial.deadline();
        assert!(dial.poll(again).is_ok_and(|turn| turn.is_some()));
        assert_eq!([1, 2].map(|port| rtt(&dial, port, 260)), [None, ms(240)]);

        dial.invite(path(1), vec![9], at(300));
        assert!(dial.poll(at(300)).is_ok_and(|turn| turn.is_some()));
        assert_eq!([1, 2].map(|port| rtt(&dial, port, 350)), [ms(50), None]);
    }

    #[test]
    fn every_path_is_probed_in_paced_rounds_until_time_is_up() {
        let mut dial = dial(vec![path(1), path(2)], 1);
        let mut sent = Vec::new();
        loop {
            match dial.poll(dial.deadline()) {
                Ok(Some(turn)) => sent.push(turn.path),
                Ok(None) => unreachable!("polled at its deadline"),
                Err(TimedOut) => break,
            }
        }
        assert_eq!(dial.deadline(), Instant::ZERO + DIAL_MAX);
        assert_eq!(sent[..4], [path(1), path(2), path(1), path(2)]);
        assert!((8..=12).contains(&sent.len()), "{} probes", sent.len());
    }
}
