//! The hash table of one overlay: where a value is kept, and who may write it (paper section 4; Brunet's Dht).
//!
//! A [`Dht`] is client and replica at once. It knows nothing of sockets, sessions or the routing table: the
//! overlay hands it messages with [`Dht::handle`], tells it the ring neighbours with [`Dht::neighbours`], and
//! carries out the [`Effect`]s: route to the node nearest to a point, or to one node. A node may be its own
//! replica; the overlay loops such messages back.
//!
//! | file | question it answers |
//! |---|---|
//! | `create` | how one owner gets an exclusive key, and why never two do |
//! | `client`, `get`, `publish` | how an operation runs; how values outlive their time while the owner lives |
//! | `ask` | how the eight points of a key are asked, and what a majority is |
//! | `replica` | what a replica answers |
//! | `store`, `certificates` | what a replica holds, within which limits |
//! | `rehome` | how records follow their range when the ring changes |
//!
//! Invariants: nothing is stored or reported that its owner did not sign; every table has a limit; without
//! operations and changes of the ring a node sends a few messages each five minutes.

mod ask;
mod certificates;
mod client;
mod create;
mod get;
mod publish;
mod rehome;
mod replica;
mod store;
#[cfg(test)]
mod tests;

pub use client::OPS_MAX;
pub use publish::TTL_MIN;
pub use store::{Limits, TTL_MAX};

use crate::NodeId;
use crate::bounds::Fill;
use crate::rng::Rng;
use crate::time::{Instant, Now, UnixTime};
use crate::timer::Timers;
use crate::wire::dht::{Body, Message};
use crate::wire::record::{Key, Record};
use certificates::Certificates;
use client::Client;
use rehome::Rehome;
use replica::Pending;
use std::time::Duration;
use store::Store;

/// Judges signatures of other nodes.
pub trait Verifier {
    /// Whether `certificate` is good at `now`, belongs to `owner`, and `signature` over `bytes` is its own.
    fn verify(
        &self,
        certificate: &[u8],
        owner: NodeId,
        bytes: &[u8],
        signature: &[u8],
        now: UnixTime,
    ) -> bool;

    /// Whether `payload` is a revocation notice of the group's authority that may stand under `key`, which is
    /// of [`crate::wire::record::Kind::Revocation`]; never in an overlay without an authority.
    fn is_revocation(&self, key: Key, payload: &[u8]) -> bool;
}

/// Signs for this node.
pub trait Signer {
    /// This node's certificate, at most [`crate::wire::dht::CERTIFICATE_MAX`] bytes.
    fn certificate(&self) -> &[u8];
    /// Signature over `bytes`, at most [`crate::wire::record::SIGNATURE_MAX`] bytes.
    fn sign(&self, bytes: &[u8]) -> Vec<u8>;
}

/// What the machine may use during one call.
pub struct Context<'a> {
    /// The time.
    pub now: Now,
    /// The source of chance.
    pub rng: &'a mut Rng,
    /// Judges records of others.
    pub verifier: &'a dyn Verifier,
    /// Signs own records.
    pub signer: &'a dyn Signer,
    /// Takes what is to be done.
    pub effects: &'a mut Vec<Effect>,
}

/// Names an operation; chosen by whoever starts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId(pub u64);

/// When a create gives way to another owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GiveWay {
    /// When most replicas say that another one holds the key: for who wants this key and no other.
    ToMost,
    /// When the first replica says so: for who has other keys to choose from and no time to lose. One replica
    /// that lies can keep it from the keys of which it has a point, and no more.
    ToOne,
}

/// What a node keeps of one record, to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Where it belongs.
    pub key: Key,
    /// Who wrote it.
    pub owner: NodeId,
    /// Which of its owner's records it is.
    pub seq: u64,
}

/// What the overlay is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Route a message to the node nearest to a point.
    ToNearest {
        /// The point.
        point: NodeId,
        /// The message.
        message: Vec<u8>,
    },
    /// Route a message to exactly this node.
    ToNode {
        /// The node.
        node: NodeId,
        /// The message.
        message: Vec<u8>,
    },
    /// An operation has ended.
    Done {
        /// Which one.
        op: OpId,
        /// How.
        outcome: Outcome,
    },
    /// A read that tells at once has found another value; it goes on.
    Found {
        /// Which one.
        op: OpId,
        /// The value, verified.
        record: Record,
    },
    /// Something happened that nobody asked for.
    Event(Event),
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// `put`: this many distinct nodes keep the value.
    Stored {
        /// Nodes that confirmed it so far.
        replicas: usize,
    },
    /// `get`: the values, one per owner. Of an exclusive key it is the one that a majority named.
    Values {
        /// Verified records in order of their owners.
        records: Vec<Record>,
        /// All pages of all answering replicas were read.
        complete: bool,
    },
    /// `get`: more than half of the distinct owners that speak for the key hold nothing.
    Absent,
    /// `create`: the key is held with this record until it expires, and renewed before.
    Created(Record),
    /// `create`: this record of another owner is in the way, as the replicas say.
    Taken(Record),
    /// `release`: the record counts no longer.
    Released,
    /// There was no majority in time.
    Failed(Failure),
}

/// Why an operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// No replica answered.
    #[error("no replica answered")]
    NoAnswer,
    /// Replicas answered, but too few agreed.
    #[error("too few replicas agreed")]
    NoMajority,
    /// Replicas answered that the record has expired or lives too long.
    #[error("the clocks of this host and of the nodes that keep the value differ by hours")]
    ClocksDiffer,
}

/// Why an operation does not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The payload is longer than [`crate::wire::record::PAYLOAD_MAX`].
    #[error("the value is too long: at most {} bytes", crate::wire::record::PAYLOAD_MAX)]
    PayloadTooLong,
    /// `put` needs a slot key, `create` an exclusive one.
    #[error("the key is of another kind")]
    WrongKind,
    /// The time to live is shorter than [`TTL_MIN`] or longer than [`TTL_MAX`].
    #[error("a value lives {} to {} seconds", TTL_MIN.as_secs(), TTL_MAX.as_secs())]
    Ttl,
    /// Too many operations or published values.
    #[error("too many operations or published values: try again later")]
    Busy,
}

/// Something that nobody asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// This node holds the exclusive key no longer.
    Lost {
        /// Which key.
        key: Key,
        /// The record that holds it now, as a majority of replicas says; `None` if the own one expired
        /// because no majority could be reached.
        winner: Option<Record>,
    },
}

/// What was counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages that could not be parsed.
    pub malformed: u64,
    /// Records whose signature the known certificate of their owner did not prove.
    pub forged: u64,
    /// Messages dropped because a table was full.
    pub overflows: u64,
    /// Records copied to other replicas.
    pub copies: u64,
    /// Two committed owners of one key that met in a merge.
    pub merges: u64,
    /// Ranges that this node began to speak for though it could not copy them in time.
    pub uncopied: u64,
}

/// Settings of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Config {
    /// What the replica takes at most.
    pub limits: Limits,
}

/// How often expired records and claims are looked for. What has expired is never answered with.
pub const SWEEP: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// A point of an operation is to be asked or has kept silent too long.
    Op(u64),
    /// A published value is to be renewed.
    Refresh(Key),
    /// A comparison is to be asked again or given up.
    Compare(u64),
    /// Another eighth of the ring is to be compared with.
    Check,
    /// Expired records are to be forgotten.
    Sweep,
}

/// The hash table machine of one node in one overlay.
#[derive(Debug)]
pub struct Dht {
    me: NodeId,
    store: Store,
    certificates: Certificates,
    pending: Pending,
    client: Client,
    rehome: Rehome,
    timers: Timers<Timer>,
    counts: Counts,
}

impl Dht {
    /// A machine with nothing stored, alone in its ring.
    pub fn new(me: NodeId, config: Config) -> Self {
        Dht {
            me,
            store: Store::new(config.limits),
            certificates: Certificates::default(),
            pending: Pending::default(),
            client: Client::default(),
            rehome: Rehome::default(),
            timers: Timers::default(),
            counts: Counts::default(),
        }
    }

    /// Takes a message that `from` sent to this node or to a point nearest to it.
    pub fn handle(&mut self, from: NodeId, message: &[u8], cx: &mut Context<'_>) {
        match Message::parse(message) {
            Ok(message) => self.dispatch(from, message, cx),
            Err(_) => self.counts.malformed += 1,
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, cx: &mut Context<'_>) {
        while let Some(timer) = self.timers.expire(cx.now.instant) {
            match timer {
                Timer::Op(op) => self.drive(op, cx),
                Timer::Refresh(key) => self.refresh(key, cx),
                Timer::Compare(task) => self.drive_comparison(task, cx),
                Timer::Check => self.check_next_layer(cx),
                Timer::Sweep => self.sweep(cx),
            }
        }
    }

    /// When [`Dht::handle_timeout`] is to be called.
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.deadline()
    }

    /// What was counted so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The records kept here that count at `now`: as a replica, or for a while after it was one.
    pub fn kept(&self, now: UnixTime) -> impl Iterator<Item = Kept> + '_ {
        let all = self.store.entries.values().flat_map(|entry| entry.held.values());
        all.map(|held| &held.record)
            .filter(move |r| r.is_live(now) && !r.is_withdrawn())
            .map(|r| Kept { key: r.key, owner: r.owner, seq: r.seq })
    }

    /// The keys under which this node has written something that it keeps alive, as far as the replicas know.
    pub fn published(&self) -> impl Iterator<Item = Key> + '_ {
        let published = self.client.published.keys().copied();
        published.filter(|&key| !self.client.is_writing(key))
    }

    /// How full its bounded places are.
    pub fn fills(&self) -> impl Iterator<Item = Fill> {
        let own = [
            self.certificates.fill(),
            self.pending.fill(),
            self.rehome.fill(),
            self.client.fill(),
            Fill::new("published values", self.client.published.len(), publish::PUBLISHED_MAX),
        ];
        self.store.fills().into_iter().chain(own)
    }

    /// Records held as a replica, and their bytes.
    pub fn held(&self) -> (usize, usize) {
        self.store.size()
    }

    fn dispatch(&mut self, from: NodeId, message: Message, cx: &mut Context<'_>) {
        let Message { id, body } = message;
        match body {
            Body::Put(_)
            | Body::Reserve(_)
            | Body::Commit(_)
            | Body::Withdraw(_)
            | Body::Copy(_) => {
                self.handle_record(from, Message { id, body }, cx);
            }
            Body::Get { key, after, budget } => {
                let reply = self.page(key, after, budget, cx.now.unix);
                send(cx, from, id, reply);
            }
            Body::CertificateGet(owner) => self.give_certificate(from, id, owner, cx),
            Body::NeedCertificate => self.give_certificate(from, id, self.me, cx),
            Body::Certificate { owner, certificate } => {
                self.handle_certificate(owner, &certificate, cx);
            }
            Body::Compare { range, digest, owned } => {
                let reply = self.compare(range, digest, owned, cx.now.unix);
                send(cx, from, id, reply);
            }
            Body::List { range, after } => {
                let reply = self.list(range, after, cx.now.unix);
                send(cx, from, id, reply);
            }
            Body::Want(names) => self.give_copies(from, &names, cx),
            Body::Notice(winner) => self.handle_notice(&winner, cx),
            Body::Same { upto } => self.handle_compared(id, from, upto, true, cx),
            Body::Differ { upto } => self.handle_compared(id, from, upto, false, cx),
            Body::Listing { more, names } => self.handle_listing(id, from, more, &names, cx),
            Body::NotReady if self.rehome.is_comparing(id) => {}
            reply => self.handle_reply(id, from, reply, cx),
        }
    }

    fn sweep(&mut self, cx: &mut Context<'_>) {
        let now = cx.now;
        self.store.forget(|r| !r.is_live(now.unix));
        self.store.drop_all_stale_claims(now.instant);
        self.pending.forget_old(now.instant);
        self.drop_grace_copies(now.instant);
        if self.store.size().0 > 0 || self.store.claims.all() > 0 || !self.pending.is_empty() {
            self.timers.set(Timer::Sweep, now.instant + SWEEP);
        }
    }

    /// Makes sure that a sweep comes, now that there is something to sweep.
    fn sweep_later(&mut self, now: Instant) {
        if self.timers.get(Timer::Sweep).is_none() {
            self.timers.set(Timer::Sweep, now + SWEEP);
        }
    }
}

fn send(cx: &mut Context<'_>, node: NodeId, id: u64, body: Body) {
    let message = Message { id, body }.emit();
    cx.effects.push(Effect::ToNode { node, message });
}
