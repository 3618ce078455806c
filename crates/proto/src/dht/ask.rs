//! One question to the eight points of a key: who answered what, whom to ask again, and what most say.
//!
//! Points are asked apart, owners are counted: a node that owns several points has one voice, and its last
//! word counts. A point that does not answer counts as an owner that disagrees, because behind it may be one
//! that agreed to something else; so two majorities for different things always share an owner.

use crate::NodeId;
use crate::rtt::Rtt;
use crate::time::Instant;
use crate::wire::record::REPLICAS;
use std::collections::BTreeMap;
use std::time::Duration;

/// How often a point is asked before it counts as lost.
pub(super) const TRIES_MAX: u8 = 3;
/// First wait for an answer before round trips have been measured.
const WAIT_FIRST: Duration = Duration::from_secs(1);
/// Bounds of the measured wait: below, queueing looks like loss; above, three tries exceed an operation.
const WAIT_MIN: Duration = Duration::from_millis(400);
const WAIT_MAX: Duration = Duration::from_secs(2);

/// How long to wait for an answer after so many unanswered tries.
pub(super) fn patience(rtt: &Rtt, tries: u8) -> Duration {
    let first = rtt.timeout().map_or(WAIT_FIRST, |wait| wait.clamp(WAIT_MIN, WAIT_MAX));
    first * (1 << tries.min(2))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// To be sent at this time.
    Due(Instant),
    /// Sent and not answered.
    Sent {
        at: Instant,
        until: Instant,
    },
    Answered,
    /// Asked often enough.
    Lost,
}

#[derive(Debug)]
struct Point<A> {
    state: State,
    tries: u8,
    answer: Option<(NodeId, A)>,
}

/// A question to all points of one key.
#[derive(Debug)]
pub(super) struct Asked<A> {
    /// The id of the question; the id of a message adds the point.
    id: u64,
    /// Since when it is asked.
    begun: Instant,
    points: Box<[Point<A>; REPLICAS as usize]>,
}

impl<A: Clone> Asked<A> {
    /// A question that nobody was asked yet. `chance` makes its id unpredictable.
    pub(super) fn new(chance: u64, now: Instant) -> Self {
        let point = |_| Point { state: State::Due(now), tries: 0, answer: None };
        Asked { id: chance & !7, begun: now, points: Box::new(std::array::from_fn(point)) }
    }

    /// The id shared by all messages of a question, from the id of one.
    pub(super) fn id_of(message: u64) -> u64 {
        message & !7
    }

    pub(super) fn begun(&self) -> Instant {
        self.begun
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Takes the next point that is due to be asked: its index and the message id.
    pub(super) fn next_due(&mut self, now: Instant, rtt: &Rtt) -> Option<(u8, u64)> {
        for (i, p) in self.points.iter_mut().enumerate() {
            let due = match p.state {
                State::Due(at) => at <= now,
                State::Sent { until, .. } => until <= now,
                State::Answered | State::Lost => false,
            };
            if !due {
                continue;
            }
            if p.tries >= TRIES_MAX {
                p.state = State::Lost;
                continue;
            }
            p.state = State::Sent { at: now, until: now + patience(rtt, p.tries) };
            p.tries += 1;
            return Some((i as u8, self.id | i as u64));
        }
        None
    }

    /// Notes an answer; `None` if the point was not asked or has answered. Gives the round trip time if it
    /// is certain.
    pub(super) fn answer(
        &mut self,
        message: u64,
        from: NodeId,
        answer: A,
        now: Instant,
    ) -> Option<Option<Duration>> {
        let i = (message & 7) as usize;
        let point = &mut self.points[i];
        let State::Sent { at, .. } = point.state else { return None };
        let rtt = (point.tries == 1).then(|| now - at);
        point.state = State::Answered;
        point.answer = Some((from, answer.clone()));
        for p in self.points.iter_mut() {
            if let Some((_, a)) = p.answer.as_mut().filter(|(owner, _)| *owner == from) {
                *a = answer.clone();
            }
        }
        Some(rtt)
    }

    /// Asks a point once more at `at`; what it answered before stays until then.
    pub(super) fn ask_again(&mut self, index: u8, at: Instant) {
        let point = &mut self.points[usize::from(index)];
        point.state = State::Due(at);
        point.tries = 0;
    }

    /// The point has no answer yet and is asked again at `at`; that is no round trip to learn from.
    pub(super) fn not_ready(&mut self, index: u8, at: Instant) -> Option<Option<Duration>> {
        self.is_waiting(index).then(|| self.ask_again(index, at))?;
        Some(None)
    }

    pub(super) fn is_waiting(&self, index: u8) -> bool {
        matches!(self.points[usize::from(index)].state, State::Due(_) | State::Sent { .. })
    }

    pub(super) fn is_answered(&self, index: u8) -> bool {
        self.points[usize::from(index)].state == State::Answered
    }

    pub(super) fn is_lost(&self, index: u8) -> bool {
        self.points[usize::from(index)].state == State::Lost
    }

    pub(super) fn answer_of(&self, index: u8) -> Option<&(NodeId, A)> {
        self.points[usize::from(index)].answer.as_ref()
    }

    /// Points that may still answer.
    pub(super) fn waiting(&self) -> usize {
        (0..REPLICAS).filter(|&i| self.is_waiting(i)).count()
    }

    /// The owners that answered, each once.
    pub(super) fn owners(&self) -> BTreeMap<NodeId, &A> {
        self.points.iter().filter_map(|p| p.answer.as_ref()).map(|(id, a)| (*id, a)).collect()
    }

    /// Owners that answered, and points without answer, each as an owner of its own.
    pub(super) fn electorate(&self) -> usize {
        self.owners().len() + self.points.iter().filter(|p| p.answer.is_none()).count()
    }

    /// Owners whose answer is `yes`.
    pub(super) fn count(&self, yes: impl Fn(&A) -> bool) -> usize {
        self.owners().values().filter(|a| yes(a)).count()
    }

    /// Points without answer from which one may still come.
    pub(super) fn open(&self) -> usize {
        (0..REPLICAS).filter(|&i| self.is_waiting(i) && self.answer_of(i).is_none()).count()
    }

    /// When a point is to be asked or has kept silent for too long.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let due = |p: &Point<A>| match p.state {
            State::Due(at) | State::Sent { until: at, .. } => Some(at),
            State::Answered | State::Lost => None,
        };
        self.points.iter().filter_map(due).min()
    }
}
