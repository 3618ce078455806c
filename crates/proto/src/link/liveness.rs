//! Whether the other end of a session still lives, and how far it is (paper sections 5.3 and 6.2; checklist CN-03,
//! CN-06, OP-01).
//!
//! An idle session exchanges one ping and pong each [`KEEP_ALIVE`], which also keeps NAT mappings; any frame
//! heard counts as well. The ends take turns, so that each measures the round trip. Silence after a ping, an
//! ICMP unreachable or [`UNANSWERED_MAX`] of data without an answer make the peer suspect: it is then pinged
//! each second, and [`MISSES_MAX`] misses end the session.

use crate::rtt::Rtt;
use crate::time::Instant;
use std::time::Duration;

/// Idle time after which a session is pinged: what every NAT that follows RFC 4787 keeps, and ICE's default.
pub const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How much later the end pings whose turn it is not: normally the other end's ping comes first, so that an
/// idle session costs one exchange and not two.
const OTHERS_TURN: Duration = Duration::from_secs(3);
/// How long data may go unanswered before the peer is suspect.
pub const UNANSWERED_MAX: Duration = Duration::from_secs(2);
/// Pause between pings of a suspect.
const PROBE_PAUSE: Duration = Duration::from_secs(1);
/// Pings in a row without an answer that end the session.
pub const MISSES_MAX: u32 = 3;

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing before this time.
    Wait(Instant),
    /// Send a ping with this nonce.
    Ping(u32),
    /// The peer is dead.
    Dead,
}

/// Liveness of one session.
#[derive(Debug)]
pub struct Liveness {
    first_end: bool,
    is_our_turn: bool,
    heard_at: Instant,
    probing: Option<Probing>,
    unanswered: Option<(u32, Instant)>,
    nonce: u32,
    rtt: Rtt,
}

#[derive(Debug)]
struct Probing {
    since: Instant,
    next_at: Instant,
    misses: u32,
}

impl Liveness {
    /// A session that was just heard. `first_end`: whether this node has the lower ID of the two.
    pub fn new(first_end: bool, nonce: u32, now: Instant) -> Self {
        Liveness {
            first_end,
            is_our_turn: first_end,
            heard_at: now,
            probing: None,
            unanswered: None,
            nonce,
            rtt: Rtt::default(),
        }
    }

    /// When the last authentic frame came.
    pub fn heard_at(&self) -> Instant {
        self.heard_at
    }

    /// Smoothed round-trip time, once something measured it.
    pub fn rtt(&self) -> Option<Duration> {
        self.rtt.smoothed()
    }

    /// The session has this path from now on, and so much is known of its round trip: by its handshake, or by
    /// the challenge that it moved by.
    pub fn measured(&mut self, rtt: Rtt) {
        self.rtt = rtt;
        self.unanswered = None;
    }

    /// An authentic frame came at `at`, which may be a little in the past.
    pub fn heard(&mut self, at: Instant) {
        self.heard_at = self.heard_at.max(at);
        self.probing.take_if(|probing| at >= probing.since);
    }

    /// A ping came: the next one is ours. If ours is under way to there, the first end is the one to go on.
    pub fn pinged(&mut self) {
        self.is_our_turn = self.first_end || self.unanswered.is_none();
    }

    /// The pong of `nonce` came.
    pub fn ponged(&mut self, nonce: u32, now: Instant) {
        if let Some((_, sent_at)) = self.unanswered.take_if(|(n, _)| *n == nonce) {
            self.rtt.learn(now - sent_at);
        }
    }

    /// There is a reason to doubt that the peer lives.
    pub fn suspect(&mut self, now: Instant) {
        self.probing.get_or_insert(Probing { since: now, next_at: now, misses: 0 });
    }

    /// Data was sent at `sent`: if nothing was heard for [`UNANSWERED_MAX`], the peer is suspect.
    pub fn data_sent(&mut self, sent: Instant, now: Instant) {
        if sent > self.heard_at && now - self.heard_at >= UNANSWERED_MAX {
            self.suspect(now);
        }
    }

    /// When [`Liveness::poll`] is due.
    pub fn deadline(&self) -> Instant {
        let idle_max = if self.is_our_turn { KEEP_ALIVE } else { KEEP_ALIVE + OTHERS_TURN };
        self.probing.as_ref().map_or(self.heard_at + idle_max, |p| p.next_at)
    }

    /// What to do now.
    pub fn poll(&mut self, now: Instant) -> Due {
        if self.deadline() > now {
            return Due::Wait(self.deadline());
        }
        let probing = self.probing.get_or_insert(Probing { since: now, next_at: now, misses: 0 });
        if probing.misses == MISSES_MAX {
            return Due::Dead;
        }
        probing.misses += 1;
        // A round trip may be longer than the pause between probes.
        probing.next_at = now + PROBE_PAUSE.max(self.rtt.smoothed().unwrap_or_default() * 2);
        self.nonce = self.nonce.wrapping_add(1);
        self.unanswered = Some((self.nonce, now));
        self.is_our_turn = false;
        Due::Ping(self.nonce)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1000)
    }

    #[test]
    fn an_idle_session_is_pinged_each_fifteen_seconds() {
        let mut live = Liveness::new(true, 0, at(0));
        assert_eq!(live.poll(at(14_999)), Due::Wait(at(15_000)));
        assert_eq!(live.poll(at(15_000)), Due::Ping(1));
        live.heard(at(15_040));
        live.ponged(1, at(15_040));
        assert_eq!(live.rtt(), Some(Duration::from_millis(40)));
        assert_eq!(
            live.poll(at(15_040)),
            Due::Wait(at(33_040)),
            "the next ping is the other end's"
        );
    }

    #[test]
    fn traffic_makes_pings_needless_and_the_other_end_pings_later() {
        let mut live = Liveness::new(false, 0, at(0));
        live.heard(at(14_000));
        assert_eq!(live.poll(at(18_000)), Due::Wait(at(32_000)));
    }

    #[test]
    fn the_ends_take_turns_and_each_measures_the_round_trip() {
        let mut ends = [true, false].map(|first_end| Liveness::new(first_end, 0, at(0)));
        let mut turns = Vec::new();
        let mut now = at(0);
        while turns.len() < 4 {
            now = ends[0].deadline().min(ends[1].deadline());
            let n = usize::from(ends[1].deadline() == now);
            let Due::Ping(nonce) = ends[n].poll(now) else { panic!("{:?}", ends[n]) };
            let there = now + Duration::from_millis(20);
            ends[1 - n].heard(there);
            ends[1 - n].pinged();
            let back = there + Duration::from_millis(20);
            ends[n].heard(back);
            ends[n].ponged(nonce, back);
            turns.push(n);
        }
        assert_eq!(turns, [0, 1, 0, 1]);
        assert!(now < at(4 * 15_100), "{now:?}");
        assert!(ends.iter().all(|end| end.rtt() == Some(Duration::from_millis(40))));
    }

    #[test]
    fn pings_that_cross_leave_the_next_turn_to_one_end() {
        let mut ends = [true, false].map(|first_end| Liveness::new(first_end, 0, at(0)));
        for end in &mut ends {
            end.suspect(at(1_000));
            assert_eq!(end.poll(at(1_000)), Due::Ping(1));
        }
        for end in &mut ends {
            end.heard(at(1_010));
            end.pinged();
        }
        assert_eq!(ends.map(|end| end.deadline()), [at(16_010), at(19_010)]);
    }

    #[test]
    fn another_path_has_a_round_trip_of_its_own() {
        let mut live = Liveness::new(true, 0, at(0));
        assert_eq!(live.poll(at(15_000)), Due::Ping(1));
        live.measured(Rtt::from(Duration::from_millis(10)));
        live.ponged(1, at(15_300));
        assert_eq!(live.rtt(), Some(Duration::from_millis(10)));
    }

    #[test]
    fn three_misses_end_the_session() {
        let mut live = Liveness::new(true, 0, at(0));
        let mut now = at(15_000);
        let mut pings = 0;
        while let Due::Ping(_) = live.poll(now) {
            pings += 1;
            now = live.deadline();
        }
        assert_eq!((pings, live.poll(now), now), (3, Due::Dead, at(18_000)));
    }

    #[test]
    fn unanswered_data_makes_suspect_and_an_answer_clears() {
        let mut live = Liveness::new(true, 0, at(0));
        live.data_sent(at(1_000), at(1_500));
        assert_eq!(live.deadline(), at(15_000));
        live.data_sent(at(1_900), at(2_000));
        assert_eq!(live.poll(at(2_000)), Due::Ping(1));
        live.heard(at(2_050));
        assert_eq!(live.deadline(), at(2_050) + KEEP_ALIVE + OTHERS_TURN);
    }
}
