//! How records follow their range of the ring when neighbours come, go or merge.
//!
//! A node owns the points nearest to it: from half-way to its left neighbour to half-way to its right one.
//! All of copying is one conversation, the *comparison* of an arc between two replicas: digests first; if
//! they differ, names; then each side gets what it lacks; then digests again. It is started
//! - with a *new* neighbour, over the whole arc between the two: it took a part of ours, or both come from
//!   rings that merge. Our own part is *not ready* meanwhile;
//! - with the owners of what lies beyond a new neighbour, and was ours before (merge of whole arcs);
//! - with the seven other eighths of the ring when a neighbour is gone and we inherit a part of its range,
//!   which is *not ready* meanwhile: all points of a key agree in their low 157 bits, so each eighth holds
//!   the same;
//! - with one eighth after the other for some time after a change, and every five minutes for ever. At rest
//!   that is two short messages.
//!
//! What a node owns no longer it keeps for a while as a grace copy, in case the new owner fails.

use super::ask::{TRIES_MAX, patience};
use super::store::holds_point_of;
use super::{Context, Dht, Effect, Timer, send};
use crate::NodeId;
use crate::bounds::Fill;
use crate::ring::{self, Arc, Side};
use crate::rtt::Rtt;
use crate::time::{Instant, UnixTime};
use crate::wire::dht::{Body, LISTING_MAX, Listed, Message, Name, Range, TAG_MASK, WANT_MAX};
use crate::wire::record::{Key, REPLICAS, layer};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::time::Duration;

/// Comparisons at a time: two neighbours that go at once are fourteen, with those of the change before.
const COMPARISONS_MAX: usize = 48;
/// A range is ready after this time whatever became of the comparison, or a dead neighbour would block it.
const NOT_READY_MAX: Duration = Duration::from_secs(4);
/// Any other comparison ends after this time, or who answers in tiny steps would hold its place for ever: time for
/// some thousand names. What was missed comes with the next checks.
const COMPARISON_TIME_MAX: Duration = Duration::from_secs(60);
/// A comparison ends after so many rounds on one part, even if the two still differ (values being written).
const ROUNDS_MAX: u8 = 3;
/// Copies sent in answer to one page: bounds what one message causes.
const COPIES_PER_PAGE: usize = 2 * LISTING_MAX;
/// Time for copies and certificates to arrive before digests are compared again.
const COPY_TIME: Duration = Duration::from_millis(600);
/// How often an eighth is compared at rest, and how soon after a change.
const CHECK_AT_REST: Duration = Duration::from_secs(300);
const CHECK_AFTER_CHANGE: Duration = Duration::from_secs(10);
/// Checks after a change: each other eighth twice, since neighbours of the failed take time to notice.
const CHECKS_AFTER_CHANGE: u8 = 14;
/// How long a node keeps what it owns no longer.
const GRACE: Duration = Duration::from_secs(600);

/// What a node may say about a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Territory {
    /// It owns a point of it and has what belongs there.
    Own,
    /// It owns a point of it, but has not copied all yet.
    NotReady,
    /// It owns no point of it.
    Foreign,
}

#[derive(Debug, Default)]
pub(super) struct Rehome {
    sides: Option<Sides>,
    /// Whether the ring was right around us once: who has just come may know nodes only that are far.
    has_place: bool,
    comparisons: BTreeMap<u64, Comparison>,
    checks_soon: u8,
    next_layer: u8,
    last_change: Option<Instant>,
}

/// The ring neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sides {
    left: NodeId,
    right: NodeId,
}

impl Sides {
    fn get(self, side: Side) -> NodeId {
        match side {
            Side::Left => self.left,
            Side::Right => self.right,
        }
    }
}

/// With whom an arc is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum With {
    /// With this node, whatever it owns.
    Node(NodeId),
    /// With the owners of the arc moved on by so many eighths, one after the other.
    Layer(u8),
}

#[derive(Debug)]
struct Comparison {
    with: With,
    /// What is left to compare, in our own eighth.
    range: Range,
    /// End of the part that is compared now: the other side may own no more.
    upto: NodeId,
    /// Something was asked for in this round.
    wants: bool,
    /// Our own part of the range is not ready while this goes on.
    guards: bool,
    give_up_at: Instant,
    step: Step,
    rounds: u8,
    tries: u8,
    retry_at: Instant,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Compare,
    /// The two differ; the names after `after` are asked for.
    List {
        peer: NodeId,
        after: Option<Name>,
    },
}

impl Rehome {
    pub(super) fn territory(&self, me: NodeId, key: Key) -> Territory {
        if !holds_point_of(self.own(me), key) {
            return Territory::Foreign;
        }
        if self.sides.is_some() && !self.has_place {
            return Territory::NotReady;
        }
        let mut guarded = self.comparisons.values().filter(|c| c.guards);
        match guarded.any(|c| holds_point_of(c.range, key)) {
            true => Territory::NotReady,
            false => Territory::Own,
        }
    }

    pub(super) fn is_comparing(&self, id: u64) -> bool {
        self.comparisons.contains_key(&id)
    }

    pub(super) fn fill(&self) -> Fill {
        Fill::new("comparisons", self.comparisons.len(), COMPARISONS_MAX)
    }

    fn own(&self, me: NodeId) -> Range {
        owned(me, self.sides)
    }
}

/// The range that a node between these neighbours owns.
fn owned(me: NodeId, sides: Option<Sides>) -> Range {
    match sides {
        None => Range { from: me, to: me },
        Some(s) => Range { from: boundary(s.left, me), to: boundary(me, s.right) },
    }
}

/// The first point clockwise from `a` that is nearer to `b`; a point half-way is.
fn boundary(a: NodeId, b: NodeId) -> NodeId {
    let zero = NodeId::from_bytes([0; 20]);
    let gap = ring::offset(zero, ring::clockwise(a, b), Side::Right);
    let (mut half, mut carry) = (*gap.as_bytes(), 0);
    let is_odd = half[19] & 1 == 1;
    for byte in &mut half {
        (*byte, carry) = (*byte >> 1 | carry << 7, *byte & 1);
    }
    let half = ring::clockwise(zero, NodeId::from_bytes(half));
    let middle = ring::offset(a, half, Side::Right);
    if is_odd { ring::offset(middle, Arc::power_of_two(0), Side::Right) } else { middle }
}

/// The changes of the ring.
impl Dht {
    /// The ring is right around us for the first time: from now on this node speaks for its part of it.
    pub fn handle_joined(&mut self) {
        self.rehome.has_place = true;
    }

    /// Says who the nearest nodes on either side are; both are `None` when this node is alone.
    pub fn neighbours(
        &mut self,
        left: Option<NodeId>,
        right: Option<NodeId>,
        cx: &mut Context<'_>,
    ) {
        let sides = left.or(right).zip(right.or(left)).map(|(left, right)| Sides { left, right });
        let before = self.rehome.sides;
        if sides == before {
            return;
        }
        self.rehome.sides = sides;
        self.rehome.last_change = Some(cx.now.instant);
        self.rehome.checks_soon = CHECKS_AFTER_CHANGE;
        self.sweep_later(cx.now.instant);
        self.plan_check(cx);
        let Some(sides) = sides else { return };
        for side in Side::BOTH {
            self.handle_neighbour(side, sides.get(side), before, cx);
        }
    }

    fn handle_neighbour(
        &mut self,
        side: Side,
        new: NodeId,
        before: Option<Sides>,
        cx: &mut Context<'_>,
    ) {
        let me = self.me;
        // Towards larger IDs the arc from us comes first, towards smaller ones it comes last.
        let span = |near: NodeId, far: NodeId| match side {
            Side::Right => Range { from: near, to: far },
            Side::Left => Range { from: far, to: near },
        };
        let edge = |neighbour: NodeId| match side {
            Side::Right => boundary(me, neighbour),
            Side::Left => boundary(neighbour, me),
        };
        let Some(old) = before.map(|s| s.get(side)) else {
            // Alone before: everything was ours.
            self.compare_with(With::Node(new), span(me, new), true, cx);
            return self.compare_with(With::Layer(0), Range { from: new, to: me }, false, cx);
        };
        match ring::arc(me, new, side).cmp(&ring::arc(me, old, side)) {
            Ordering::Equal => {}
            Ordering::Less => {
                self.compare_with(With::Node(new), span(me, new), true, cx);
                let lost_from = ring::arc(me, edge(old), side);
                if lost_from > ring::arc(me, new, side) {
                    self.compare_with(With::Layer(0), span(new, edge(old)), false, cx);
                }
            }
            Ordering::Greater => {
                for eighth in 1..REPLICAS {
                    let inherited = span(edge(old), edge(new));
                    self.compare_with(With::Layer(eighth), inherited, true, cx);
                }
            }
        }
    }

    /// Compares what is ours with the next eighth of the ring.
    pub(super) fn check_next_layer(&mut self, cx: &mut Context<'_>) {
        self.rehome.checks_soon = self.rehome.checks_soon.saturating_sub(1);
        self.rehome.next_layer = self.rehome.next_layer % (REPLICAS - 1) + 1;
        if self.rehome.sides.is_some() {
            let (own, next) = (self.rehome.own(self.me), self.rehome.next_layer);
            self.compare_with(With::Layer(next), own, false, cx);
            self.timers.cancel(Timer::Check);
            self.plan_check(cx);
        }
    }

    fn plan_check(&mut self, cx: &mut Context<'_>) {
        let soon = self.rehome.checks_soon > 0;
        let wait = if soon { CHECK_AFTER_CHANGE } else { CHECK_AT_REST };
        let at = cx.now.instant + cx.rng.jitter(wait, 0.2);
        self.timers.set_earlier(Timer::Check, at);
    }

    /// Forgets what has not been ours for some time.
    pub(super) fn drop_grace_copies(&mut self, now: Instant) {
        if self.rehome.last_change.is_some_and(|at| now >= at + GRACE) {
            let own = self.rehome.own(self.me);
            self.store.forget(|r| !holds_point_of(own, r.key));
            self.rehome.last_change = None;
        }
    }
}

/// The asking side of a comparison.
impl Dht {
    fn compare_with(&mut self, with: With, range: Range, guards: bool, cx: &mut Context<'_>) {
        let comparisons = &mut self.rehome.comparisons;
        if with == With::Node(self.me) || comparisons.len() >= COMPARISONS_MAX {
            self.counts.overflows += u64::from(comparisons.len() >= COMPARISONS_MAX);
            return;
        }
        let (id, now) = (cx.rng.u64(), cx.now.instant);
        let give_up_at = now + if guards { NOT_READY_MAX } else { COMPARISON_TIME_MAX };
        let (step, rounds, tries) = (Step::Compare, 0, 0);
        let c = Comparison {
            with,
            range,
            upto: range.to,
            wants: false,
            guards,
            give_up_at,
            step,
            rounds,
            tries,
            retry_at: now,
        };
        comparisons.insert(id, c);
        self.compare_next_part(id, range.from, cx);
    }

    /// Asks what the comparison has to ask next, or gives it up.
    pub(super) fn drive_comparison(&mut self, id: u64, cx: &mut Context<'_>) {
        let Some(c) = self.rehome.comparisons.get_mut(&id) else { return };
        let now = cx.now;
        if now.instant >= c.give_up_at {
            self.counts.uncopied += u64::from(c.guards);
            return self.end_comparison(id);
        }
        if now.instant >= c.retry_at {
            if c.tries >= TRIES_MAX {
                return self.end_comparison(id);
            }
            c.retry_at = now.instant + patience(&Rtt::default(), c.tries);
            c.tries += 1;
            match c.step {
                Step::Compare => {
                    let digest = self.store.digest(c.part(), now.unix);
                    let owned = matches!(c.with, With::Layer(_));
                    let body = Body::Compare { range: c.there(), digest, owned };
                    match c.with {
                        With::Node(node) => send(cx, node, id, body),
                        With::Layer(_) => {
                            let (point, message) = (c.there().from, Message { id, body }.emit());
                            cx.effects.push(Effect::ToNearest { point, message });
                        }
                    }
                }
                Step::List { peer, after } => {
                    send(cx, peer, id, Body::List { range: c.there(), after });
                }
            }
        }
        self.timers.set(Timer::Compare(id), c.retry_at.min(c.give_up_at));
    }

    /// Goes on behind `upto`, where the other owner's part ends.
    fn compare_next_part(&mut self, id: u64, upto: NodeId, cx: &mut Context<'_>) {
        let Some(c) = self.rehome.comparisons.get_mut(&id) else { return };
        // Of our own eighth nothing is ours to get there: only what we hold is worth a visit.
        let next = match c.with {
            With::Layer(0) => self.store.next_point(upto),
            With::Layer(_) | With::Node(_) => Some(upto),
        };
        let (from, to) = (c.range.from, c.range.to);
        let left =
            next.filter(|&next| upto != to && (next == upto || ring::between(upto, next, to)));
        debug_assert!(upto == from || upto == to || ring::between(from, upto, to));
        match left {
            None => self.end_comparison(id),
            Some(next) => {
                (c.range.from, c.upto, c.rounds) = (next, to, 0);
                (c.step, c.tries, c.retry_at) = (Step::Compare, 0, cx.now.instant);
                self.drive_comparison(id, cx);
            }
        }
    }

    fn end_comparison(&mut self, id: u64) {
        self.rehome.comparisons.remove(&id);
        self.timers.cancel(Timer::Compare(id));
    }

    /// Takes the answer to a comparison of digests; `upto` says how far the other side can tell.
    pub(super) fn handle_compared(
        &mut self,
        id: u64,
        from: NodeId,
        upto: NodeId,
        same: bool,
        cx: &mut Context<'_>,
    ) {
        let Some(c) = self.rehome.comparisons.get_mut(&id) else { return };
        if !matches!(c.step, Step::Compare) {
            return;
        }
        let upto = layer(upto, REPLICAS - c.layer());
        let is_inside = upto == c.upto || ring::between(c.range.from, upto, c.upto);
        if !is_inside {
            return;
        }
        (c.tries, c.retry_at) = (0, cx.now.instant);
        if same || c.rounds >= ROUNDS_MAX {
            return self.compare_next_part(id, upto, cx);
        } else if upto == c.upto {
            c.rounds += 1;
            (c.step, c.wants) = (Step::List { peer: from, after: None }, false);
        } else {
            c.upto = upto;
        }
        self.drive_comparison(id, cx);
    }

    /// Takes a page of the names that the other side holds: sends what it lacks, asks for what we lack.
    pub(super) fn handle_listing(
        &mut self,
        id: u64,
        from: NodeId,
        more: bool,
        names: &[Listed],
        cx: &mut Context<'_>,
    ) {
        let Some(c) = self.rehome.comparisons.get_mut(&id) else { return };
        let Step::List { peer, after } = c.step else { return };
        if peer != from {
            return;
        }
        let more = more && !names.is_empty();
        let last = names.last().map(|l| l.name).filter(|_| more);
        let (part, own) = (c.part(), owned(self.me, self.rehome.sides));
        let theirs_to_own = c.owned_by_peer(self.me);
        let theirs: BTreeMap<Name, u64> = names.iter().map(|l| (l.name, l.tag)).collect();
        let mut ours = Vec::new();
        for held in self.store.on_arc(part, after, cx.now.unix) {
            let name = Name { key: held.record.key, owner: held.record.owner };
            let is_lacking = theirs.get(&name) != Some(&(held.tag & TAG_MASK));
            if is_lacking && holds_point_of(theirs_to_own, name.key) {
                ours.push(held.record.clone());
            }
            if Some(name) == last || ours.len() >= COPIES_PER_PAGE {
                break;
            }
        }
        let lacks = |l: &&Listed| {
            holds_point_of(own, l.name.key)
                && self.store.get(l.name).is_none_or(|held| held.tag & TAG_MASK != l.tag)
        };
        let wanted: Vec<Name> = names.iter().filter(lacks).map(|l| l.name).collect();
        self.counts.copies += ours.len() as u64;
        for record in ours {
            send(cx, from, 0, Body::Copy(record));
        }
        let is_wanting = !wanted.is_empty();
        if is_wanting {
            debug_assert!(wanted.len() <= WANT_MAX);
            send(cx, from, 0, Body::Want(wanted));
        }
        c.tries = 0;
        c.wants |= is_wanting;
        if last.is_some() {
            c.step = Step::List { peer, after: last };
            c.retry_at = cx.now.instant;
        } else if matches!(c.with, With::Node(_) | With::Layer(0)) && !c.wants {
            // The two do not own the same: their digests need not agree.
            let upto = c.upto;
            return self.compare_next_part(id, upto, cx);
        } else {
            c.step = Step::Compare;
            c.retry_at = cx.now.instant + COPY_TIME;
        }
        self.drive_comparison(id, cx);
    }
}

impl Comparison {
    fn layer(&self) -> u8 {
        match self.with {
            With::Node(_) => 0,
            With::Layer(n) => n,
        }
    }

    /// What is compared now.
    fn part(&self) -> Range {
        Range { from: self.range.from, to: self.upto }
    }

    /// The same as the other side sees it.
    fn there(&self) -> Range {
        let n = self.layer();
        Range { from: layer(self.range.from, n), to: layer(self.upto, n) }
    }

    /// What of it the other side is to keep.
    fn owned_by_peer(&self, me: NodeId) -> Range {
        let Range { from, to } = self.part();
        match self.with {
            With::Layer(_) => self.part(),
            With::Node(_) if from == me => Range { from: boundary(me, to), to },
            With::Node(_) => Range { from, to: boundary(from, me) },
        }
    }
}

/// The asked side of a comparison.
impl Dht {
    /// Compares digests of an arc; of an arc that is to be owned only up to the end of what is ours.
    pub(super) fn compare(&self, range: Range, digest: u64, owned: bool, now: UnixTime) -> Body {
        let own = self.rehome.own(self.me);
        let is_all = own.from == own.to;
        let starts_here = range.from == own.from || ring::between(own.from, range.from, own.to);
        if owned && !is_all && !starts_here {
            return Body::NotReady;
        }
        let ends_here = range.from != range.to
            && ring::clockwise(range.from, range.to) <= ring::clockwise(range.from, own.to);
        // Beyond our own part another one is to be asked.
        let upto = if owned && !is_all && !ends_here { own.to } else { range.to };
        match self.store.digest(Range { from: range.from, to: upto }, now) == digest {
            true => Body::Same { upto },
            false => Body::Differ { upto },
        }
    }

    /// A page of the names of what is here on an arc.
    pub(super) fn list(&self, range: Range, after: Option<Name>, now: UnixTime) -> Body {
        let mut held = self.store.on_arc(range, after, now);
        let listed = |h: &super::store::Held| Listed {
            name: Name { key: h.record.key, owner: h.record.owner },
            tag: h.tag & TAG_MASK,
        };
        let names = held.by_ref().take(LISTING_MAX).map(listed).collect();
        Body::Listing { more: held.next().is_some(), names }
    }

    /// Sends copies of what another replica asks for.
    pub(super) fn give_copies(&mut self, to: NodeId, names: &[Name], cx: &mut Context<'_>) {
        for record in names.iter().filter_map(|&name| self.store.get(name)).map(|h| &h.record) {
            self.counts.copies += 1;
            send(cx, to, 0, Body::Copy(record.clone()));
        }
    }
}
