//! How an operation runs: asks the points of a key, asks again, judges, ends within [`OP_TIME_MAX`];
//! only a read of many values takes longer, while they come, and [`READ_TIME_MAX`] at most.
//!
//! `drive` is the one place that moves an operation on; it is called after each answer and when time has
//! passed. The caller hears of the end as soon as it is certain; the operation then goes on in silence until
//! the other points have answered too, so that all eight replicas get the value.

use super::ask::Asked;
use super::certificates::proves;
use super::create::{self, Next, Rival, Stage, Vote};
use super::get::Get;
use super::publish::{PUBLISHED_MAX, Publication, Published, Refreshed, TTL_MIN};
use super::{
    CommandError, Context, Dht, Effect, Failure, GiveWay, OpId, Outcome, TTL_MAX, Timer, send,
};
use crate::NodeId;
use crate::bounds::Fill;
use crate::rtt::Rtt;
use crate::time::Instant;
use crate::wire::dht::{Body, Message};
use crate::wire::record::{Intent, Key, PAYLOAD_MAX, Record};
use std::collections::BTreeMap;
use std::time::Duration;

/// Longest time of an operation; acceptance demands a decision within ten seconds.
pub const OP_TIME_MAX: Duration = Duration::from_secs(10);
/// Longest time of a read to which values still come, since a replica can invent them: 600 pages over a path of 100 ms.
const READ_TIME_MAX: Duration = Duration::from_secs(60);
/// Most operations at a time; a node has a handful.
pub const OPS_MAX: usize = 128;
/// Most operations of the node's own beside them: refreshes of what it published, and the rest withdrawals,
/// which may be left out since what is not withdrawn expires.
const OWN_OPS_MAX: usize = 2 * PUBLISHED_MAX;
/// When a replica that was not ready is asked again: it needs some round trips.
const NOT_READY_PAUSE: Duration = Duration::from_millis(300);
/// Time within which a majority must have committed. Votes of a longer time are of owners that a changing ring had
/// one after the other: two such majorities need not share any.
const VOTE_LIFE: Duration = Duration::from_secs(2);
/// Pause before a create begins again: the others withdraw meanwhile.
const START_OVER_PAUSE: Duration = Duration::from_millis(300);

#[derive(Debug, Default)]
pub(super) struct Client {
    pub(super) ops: BTreeMap<u64, Op>,
    pub(super) published: Published,
    pub(super) rtt: Rtt,
    next_op: u64,
    seq: u64,
}

#[derive(Debug)]
pub(super) struct Op {
    /// Who is to be told; `None` for own work, and once told.
    tell: Option<OpId>,
    started: Instant,
    pub(super) task: Task,
}

#[derive(Debug)]
pub(super) enum Task {
    Put { record: Record, asked: Asked<Vote>, noted: bool },
    Get(Get),
    Create { record: Record, asked: Asked<Vote>, stage: Stage, rival: Rival, won: bool },
    Withdraw { record: Record, asked: Asked<()> },
}

impl Client {
    /// How full the table of operations is.
    pub(super) fn fill(&self) -> Fill {
        Fill::new("operations", self.ops.len(), OPS_MAX + OWN_OPS_MAX)
    }

    /// Whether a write of this key is under way.
    pub(super) fn is_writing(&self, key: Key) -> bool {
        self.ops.values().any(|op| match &op.task {
            Task::Put { record, noted, .. } => record.key == key && !noted,
            Task::Create { record, won, .. } => record.key == key && !won,
            Task::Get(_) | Task::Withdraw { .. } => false,
        })
    }
}

impl Task {
    pub(super) fn put(record: Record, cx: &mut Context<'_>) -> Task {
        Task::Put { record, asked: Asked::new(cx.rng.u64(), cx.now.instant), noted: false }
    }

    pub(super) fn create(record: Record, rival: Rival, cx: &mut Context<'_>) -> Task {
        let asked = Asked::new(cx.rng.u64(), cx.now.instant);
        Task::Create { record, asked, stage: Stage::Reserve, rival, won: false }
    }

    fn withdraw(record: Record, cx: &mut Context<'_>) -> Task {
        Task::Withdraw { record, asked: Asked::new(cx.rng.u64(), cx.now.instant) }
    }

    fn id(&self) -> u64 {
        match self {
            Task::Put { asked, .. } => asked.id(),
            Task::Get(get) => get.asked.id(),
            Task::Create { asked, .. } => asked.id(),
            Task::Withdraw { asked, .. } => asked.id(),
        }
    }
}

/// Commands.
impl Dht {
    /// Writes a value into this node's slot under a key and keeps it alive until [`Dht::release`].
    pub fn put(
        &mut self,
        op: OpId,
        key: Key,
        payload: Vec<u8>,
        ttl: Duration,
        cx: &mut Context<'_>,
    ) -> Result<(), CommandError> {
        self.check_command(key, !key.is_exclusive(), &payload, ttl)?;
        let record = self.sign(key, payload.clone(), ttl, Intent::Write, cx);
        let expiry = record.expiry;
        self.client.published.insert(key, Publication { payload, ttl, expiry, writes: 0 });
        let task = Task::put(record, cx);
        self.start(Some(op), task, cx);
        Ok(())
    }

    /// Takes an exclusive key and, if it is won, keeps it until [`Dht::release`] or [`super::Event::Lost`].
    pub fn create(
        &mut self,
        op: OpId,
        key: Key,
        payload: Vec<u8>,
        ttl: Duration,
        way: GiveWay,
        cx: &mut Context<'_>,
    ) -> Result<(), CommandError> {
        self.check_command(key, key.is_exclusive(), &payload, ttl)?;
        if self.client.is_writing(key) {
            return Err(CommandError::Busy);
        }
        let rival = match self.client.published.get_mut(&key) {
            Some(p) => {
                (p.payload, p.ttl) = (payload.clone(), ttl);
                Rival::Held
            }
            None if way == GiveWay::ToOne => Rival::Any,
            None => Rival::Most,
        };
        let record = self.sign(key, payload, ttl, rival.intent(), cx);
        let task = Task::create(record, rival, cx);
        self.start(Some(op), task, cx);
        Ok(())
    }

    /// Reads what is under a key.
    pub fn get(&mut self, op: OpId, key: Key, cx: &mut Context<'_>) -> Result<(), CommandError> {
        self.start_get(op, key, false, cx)
    }

    /// The same for a key whose values are worth acting on before all replicas have answered: each is told
    /// with [`Effect::Found`] as soon as it is verified.
    pub fn get_as_found(
        &mut self,
        op: OpId,
        key: Key,
        cx: &mut Context<'_>,
    ) -> Result<(), CommandError> {
        self.start_get(op, key, true, cx)
    }

    fn start_get(
        &mut self,
        op: OpId,
        key: Key,
        as_found: bool,
        cx: &mut Context<'_>,
    ) -> Result<(), CommandError> {
        if self.client.ops.len() >= OPS_MAX {
            return Err(CommandError::Busy);
        }
        let task = Task::Get(Get::new(key, as_found, cx));
        self.start(Some(op), task, cx);
        Ok(())
    }

    /// Takes back what this node wrote under a key, and keeps it alive no longer.
    pub fn release(
        &mut self,
        op: OpId,
        key: Key,
        cx: &mut Context<'_>,
    ) -> Result<(), CommandError> {
        if self.client.ops.len() >= OPS_MAX {
            return Err(CommandError::Busy);
        }
        self.abandon_writes(key, cx);
        let ttl = self.client.published.remove(&key).map_or(TTL_MIN, |p| p.ttl);
        self.timers.cancel(Timer::Refresh(key));
        let withdrawal = self.sign(key, Vec::new(), ttl, Intent::Withdraw, cx);
        let task = Task::withdraw(withdrawal, cx);
        self.start(Some(op), task, cx);
        Ok(())
    }

    fn check_command(
        &self,
        key: Key,
        is_right_kind: bool,
        payload: &[u8],
        ttl: Duration,
    ) -> Result<(), CommandError> {
        if !is_right_kind {
            return Err(CommandError::WrongKind);
        }
        let published = &self.client.published;
        if published.len() >= PUBLISHED_MAX && !published.contains_key(&key) {
            return Err(CommandError::Busy);
        }
        self.check_value(payload, ttl)
    }

    /// Whether a write of this value may begin.
    pub(super) fn check_value(&self, payload: &[u8], ttl: Duration) -> Result<(), CommandError> {
        if payload.len() > PAYLOAD_MAX {
            Err(CommandError::PayloadTooLong)
        } else if !(TTL_MIN..=TTL_MAX).contains(&ttl) {
            Err(CommandError::Ttl)
        } else if self.client.ops.len() >= OPS_MAX {
            Err(CommandError::Busy)
        } else {
            Ok(())
        }
    }

    /// Ends the writes of a key that is being released.
    fn abandon_writes(&mut self, key: Key, cx: &mut Context<'_>) {
        let (ended, kept) =
            std::mem::take(&mut self.client.ops).into_iter().partition(|(_, op)| match &op.task {
                Task::Put { record, .. } | Task::Create { record, .. } => record.key == key,
                Task::Get(_) | Task::Withdraw { .. } => false,
            });
        self.client.ops = kept;
        let ended: BTreeMap<u64, Op> = ended;
        for (number, op) in ended {
            self.timers.cancel(Timer::Op(number));
            if let Some(op) = op.tell {
                cx.effects.push(Effect::Done { op, outcome: Outcome::Released });
            }
        }
    }
}

/// The course of an operation.
impl Dht {
    pub(super) fn start(&mut self, tell: Option<OpId>, task: Task, cx: &mut Context<'_>) {
        let number = self.client.next_op;
        self.client.next_op += 1;
        self.client.ops.insert(number, Op { tell, started: cx.now.instant, task });
        self.drive(number, cx);
    }

    /// Signs a value of this node with a sequence number above all before, also those of a former life.
    pub(super) fn sign(
        &mut self,
        key: Key,
        payload: Vec<u8>,
        ttl: Duration,
        intent: Intent,
        cx: &mut Context<'_>,
    ) -> Record {
        self.client.seq = self.client.seq.saturating_add(1).max(cx.now.unix.0 << 16);
        let (owner, seq, expiry) = (self.me, self.client.seq, cx.now.unix + ttl);
        let signature = Vec::new();
        let mut record = Record { key, owner, seq, expiry, intent, payload, signature };
        record.signature = cx.signer.sign(&record.signed_bytes());
        record
    }

    /// Gives a record a new sequence number, and the time to live that it has left.
    fn sign_again(&mut self, record: &mut Record, cx: &mut Context<'_>) {
        let ttl = Duration::from_secs(record.expiry.0.saturating_sub(cx.now.unix.0));
        let payload = std::mem::take(&mut record.payload);
        *record = self.sign(record.key, payload, ttl, record.intent, cx);
    }

    /// Finds the operation that a reply belongs to and takes it in.
    pub(super) fn handle_reply(
        &mut self,
        message: u64,
        from: NodeId,
        reply: Body,
        cx: &mut Context<'_>,
    ) {
        let id = Asked::<()>::id_of(message);
        let found = self.client.ops.iter_mut().find(|(_, op)| op.task.id() == id);
        let Some((&number, op)) = found else { return };
        let now = cx.now.instant;
        let retry_at = now + NOT_READY_PAUSE;
        let index = (message & 7) as u8;
        let known_seq = self.client.seq;
        let mut newer_seq = None;
        // Which number comes next is our own word only, or one replica could drive it to where no other follows.
        let mut see_own = |winner: &Record| {
            let is_own = winner.owner == self.me;
            if is_own && winner.seq > known_seq && proves(cx.signer.certificate(), winner, cx) {
                newer_seq = Some(winner.seq);
            }
            is_own
        };
        let rtt = match (&mut op.task, reply) {
            (Task::Put { asked, .. }, Body::NotReady) => asked.not_ready(index, retry_at),
            (Task::Create { asked, .. }, Body::NotReady) => asked.not_ready(index, retry_at),
            (Task::Withdraw { asked, .. }, Body::NotReady) => asked.not_ready(index, retry_at),
            (Task::Put { asked, .. }, Body::Stored) => asked.answer(message, from, Vote::Yes, now),
            (Task::Put { asked, .. }, Body::Conflict { winner, .. }) => {
                see_own(&winner);
                asked.answer(message, from, Vote::Yes, now)
            }
            (Task::Put { asked, .. }, Body::Refused(refusal)) => {
                asked.answer(message, from, Vote::against(refusal), now)
            }
            (Task::Create { asked, stage, .. }, reply) => {
                let vote = match (*stage, reply) {
                    (Stage::Reserve, Body::Granted) | (Stage::Commit, Body::Committed) => Vote::Yes,
                    (_, Body::Conflict { winner, committed }) => {
                        match (see_own(&winner), committed) {
                            (true, _) => Vote::No,
                            (false, true) => Vote::Taken(winner),
                            (false, false) => Vote::Outranked(winner),
                        }
                    }
                    (_, Body::Refused(refusal)) => Vote::against(refusal),
                    (_, Body::Unclaimed) => Vote::No,
                    _ => return,
                };
                asked.answer(message, from, vote, now)
            }
            (Task::Withdraw { asked, .. }, Body::Withdrawn | Body::Refused(_)) => {
                asked.answer(message, from, (), now)
            }
            (Task::Get(get), Body::Values { ready, more, digest, records }) => {
                let page =
                    get.take_page(from, ready, more, digest, records, &mut self.certificates, cx);
                get.asked.answer(message, from, page, now)
            }
            _ => return,
        };
        if let Some(Some(rtt)) = rtt {
            self.client.rtt.learn(rtt);
        }
        // What a former life of this node wrote must not count for newer than what it writes now.
        if let Some(seq) = newer_seq {
            self.client.seq = seq;
            self.start_anew(number, cx);
        }
        self.drive(number, cx);
    }

    /// Signs the record of an operation again and asks everybody.
    fn start_anew(&mut self, number: u64, cx: &mut Context<'_>) {
        let Some(mut op) = self.client.ops.remove(&number) else { return };
        let (Task::Put { record, .. } | Task::Create { record, .. }) = &mut op.task else { return };
        self.sign_again(record, cx);
        match &mut op.task {
            Task::Put { asked, .. } => *asked = Asked::new(cx.rng.u64(), cx.now.instant),
            Task::Create { asked, stage, .. } => {
                *asked = Asked::new(cx.rng.u64(), cx.now.instant);
                *stage = Stage::Reserve;
            }
            Task::Get(_) | Task::Withdraw { .. } => {}
        }
        self.client.ops.insert(number, op);
    }

    /// Moves an operation on: judges what has been answered, then asks whom it has to ask.
    pub(super) fn drive(&mut self, number: u64, cx: &mut Context<'_>) {
        let Some(mut op) = self.client.ops.remove(&number) else { return };
        self.timers.cancel(Timer::Op(number));
        let now = cx.now.instant;
        let time_out = match &op.task {
            Task::Get(get) => (get.progress + OP_TIME_MAX).min(op.started + READ_TIME_MAX),
            _ => op.started + OP_TIME_MAX,
        };
        let goes_on = match &mut op.task {
            Task::Create { .. } => self.drive_create(&mut op, cx),
            Task::Put { .. } => self.drive_put(&mut op, cx),
            Task::Get(_) => self.drive_get(&mut op, now >= time_out, cx),
            Task::Withdraw { record, asked } => {
                let end = asked.waiting() == 0 || now >= time_out;
                ask_due(asked, record.key, now, &self.client.rtt, cx, |_| {
                    Body::Withdraw(record.clone())
                });
                if end {
                    tell(&mut op.tell, Outcome::Released, cx);
                }
                !end
            }
        };
        if goes_on {
            let due = op.task.deadline().map_or(time_out, |at| at.min(time_out));
            self.timers.set(Timer::Op(number), due);
            self.client.ops.insert(number, op);
        }
    }

    fn drive_put(&mut self, op: &mut Op, cx: &mut Context<'_>) -> bool {
        let Task::Put { record, asked, noted } = &mut op.task else { return false };
        let now = cx.now.instant;
        ask_due(asked, record.key, now, &self.client.rtt, cx, |_| Body::Put(record.clone()));
        let replicas = asked.count(|vote| *vote == Vote::Yes);
        let is_stored = replicas * 2 > asked.electorate();
        let end = asked.waiting() == 0 || now >= op.started + OP_TIME_MAX;
        if !*noted && (is_stored || end) {
            *noted = true;
            let (key, expiry) = (record.key, record.expiry);
            let how = if is_stored { Refreshed::Kept(expiry) } else { Refreshed::Failed };
            let outcome = match is_stored {
                true => Outcome::Stored { replicas },
                false => Outcome::Failed(failure(asked)),
            };
            tell(&mut op.tell, outcome, cx);
            self.note_refresh(key, how, cx);
        }
        !end
    }

    fn drive_create(&mut self, op: &mut Op, cx: &mut Context<'_>) -> bool {
        let now = cx.now.instant;
        let time_out = now >= op.started + OP_TIME_MAX;
        loop {
            let Task::Create { record, asked, stage, rival, won } = &mut op.task else {
                return false;
            };
            let key = record.key;
            let ttl = Duration::from_secs(record.expiry.0.saturating_sub(cx.now.unix.0));
            if let Stage::Pause(until) = *stage {
                if !time_out && now < until {
                    return true;
                }
                self.sign_again(record, cx);
                *asked = Asked::new(cx.rng.u64(), now);
                *stage = Stage::Reserve;
            }
            let body = match stage {
                Stage::Commit => Body::Commit,
                _ => Body::Reserve,
            };
            ask_due(asked, key, now, &self.client.rtt, cx, |_| body(record.clone()));
            if *won {
                return asked.waiting() > 0 && !time_out;
            }
            let next = create::judge(asked, *rival, *stage);
            let is_stale = now >= asked.begun() + VOTE_LIFE;
            match next {
                Next::Proceed if *stage == Stage::Reserve => {
                    *stage = Stage::Commit;
                    *asked = Asked::new(cx.rng.u64(), now);
                    continue;
                }
                // By now the key may have other owners, who voted for somebody else.
                Next::Proceed if is_stale && !time_out => {
                    *asked = Asked::new(cx.rng.u64(), now);
                    continue;
                }
                Next::Proceed if !is_stale => {
                    *won = true;
                    let (payload, expiry) = (record.payload.clone(), record.expiry);
                    let publication = Publication { payload, ttl, expiry, writes: 0 };
                    self.client.published.entry(key).or_insert(publication);
                    self.note_refresh(key, Refreshed::Kept(expiry), cx);
                    tell(&mut op.tell, Outcome::Created(record.clone()), cx);
                    return asked.waiting() > 0 && !time_out;
                }
                Next::Lose(winner) => {
                    // A claim that nobody is known to have noted is left to end by itself.
                    if *rival != Rival::Any || asked.count(|vote| *vote == Vote::Yes) > 0 {
                        self.give_up(key, ttl, cx);
                    }
                    self.note_refresh(key, Refreshed::Lost(winner.clone()), cx);
                    tell(&mut op.tell, Outcome::Taken(winner), cx);
                    return false;
                }
                Next::Wait if !time_out => return true,
                // Clocks that differ now differ in the next round as well.
                Next::StartOver if !time_out && !create::clocks_differ(asked) => {
                    *stage = Stage::Pause(now + cx.rng.jitter(START_OVER_PAUSE, 0.5));
                    if *rival != Rival::Held {
                        self.give_up(key, ttl, cx);
                    }
                    return true;
                }
                Next::Proceed | Next::Wait | Next::StartOver => {
                    let failure = failure(asked);
                    if *rival != Rival::Held {
                        self.give_up(key, ttl, cx);
                    }
                    self.note_refresh(key, Refreshed::Failed, cx);
                    tell(&mut op.tell, Outcome::Failed(failure), cx);
                    return false;
                }
            }
        }
    }

    /// Takes back claims and commits of a create that cannot win.
    fn give_up(&mut self, key: Key, ttl: Duration, cx: &mut Context<'_>) {
        if self.client.ops.len() >= OPS_MAX + OWN_OPS_MAX - PUBLISHED_MAX {
            self.counts.overflows += 1;
            return;
        }
        let withdrawal = self.sign(key, Vec::new(), ttl.max(TTL_MIN), Intent::Withdraw, cx);
        let task = Task::withdraw(withdrawal, cx);
        self.start(None, task, cx);
    }

    fn drive_get(&mut self, op: &mut Op, time_out: bool, cx: &mut Context<'_>) -> bool {
        let Task::Get(get) = &mut op.task else { return false };
        get.ask_certificates(&self.client.rtt, cx);
        get.turn_pages(cx.now.instant);
        let (key, rtt, now) = (get.key, &self.client.rtt, cx.now.instant);
        while let Some((i, id)) = get.asked.next_due(now, rtt) {
            let message = Message { id, body: get.question(i) }.emit();
            cx.effects.push(Effect::ToNearest { point: key.point(i), message });
        }
        if let Some(op) = op.tell {
            let found = get.fresh.drain(..).map(|record| Effect::Found { op, record });
            cx.effects.extend(found);
        }
        match get.outcome(op.started, time_out, now) {
            Some(Outcome::Failed(Failure::NoMajority))
                if !time_out && get.ask_answered_again(now) =>
            {
                true
            }
            Some(outcome) => {
                tell(&mut op.tell, outcome, cx);
                false
            }
            None => true,
        }
    }

    /// Gives a certificate to a reading operation that asked for it.
    pub(super) fn offer_to_get(
        &mut self,
        number: u64,
        owner: NodeId,
        certificate: &[u8],
        cx: &Context<'_>,
    ) {
        if let Some(Op { task: Task::Get(get), .. }) = self.client.ops.get_mut(&number) {
            get.offer(owner, certificate, &mut self.certificates, cx);
        }
    }

    /// Numbers of the reading operations that lack the certificate of an owner.
    pub(super) fn gets_waiting_for(&self, owner: NodeId) -> Vec<u64> {
        let lacks = |op: &Op| matches!(&op.task, Task::Get(get) if get.lacks(owner));
        self.client.ops.iter().filter(|(_, op)| lacks(op)).map(|(&number, _)| number).collect()
    }
}

impl Task {
    fn deadline(&self) -> Option<Instant> {
        match self {
            Task::Create { stage: Stage::Pause(until), .. } => Some(*until),
            Task::Create { asked, .. } => asked.deadline(),
            Task::Put { asked, .. } => asked.deadline(),
            Task::Get(get) => get.deadline(),
            Task::Withdraw { asked, .. } => asked.deadline(),
        }
    }
}

/// Asks every point that is due. All eight messages of an operation carry different hints.
fn ask_due<A: Clone>(
    asked: &mut Asked<A>,
    key: Key,
    now: Instant,
    rtt: &Rtt,
    cx: &mut Context<'_>,
    body: impl Fn(u8) -> Body,
) {
    while let Some((i, id)) = asked.next_due(now, rtt) {
        let message = Message { id, body: body(i) }.emit();
        cx.effects.push(Effect::ToNearest { point: key.point(i), message });
    }
}

/// Why there was no majority.
fn failure(asked: &Asked<Vote>) -> Failure {
    match asked.owners().len() {
        0 => Failure::NoAnswer,
        _ if create::clocks_differ(asked) => Failure::ClocksDiffer,
        _ => Failure::NoMajority,
    }
}

fn tell(whom: &mut Option<OpId>, outcome: Outcome, cx: &mut Context<'_>) {
    if let Some(op) = whom.take() {
        cx.effects.push(Effect::Done { op, outcome });
    }
}

/// Asks one node for a certificate; the answer needs no id.
pub(super) fn ask_certificate(owner: NodeId, of: NodeId, cx: &mut Context<'_>) {
    send(cx, of, 0, Body::CertificateGet(owner));
}
