//! The hash tables of a node: its overlays carry their messages, its virtual network and its driver use them.

use super::Node;
use super::api::{Answer, Ticket};
use crate::NodeId;
use crate::bounds::Fill;
use crate::dht::{self, Dht, GiveWay, OpId, Outcome, Signer, Verifier};
use crate::overlay::Instance;
use crate::session::suite::Suite;
use crate::time::Now;
use crate::vpn::{self, Op, lease::name_of};
use crate::watch::{self, Question};
use crate::wire::record::{Key, Kind, Record};
use crate::wire::routed::{Mode, Protocol};
use pki::{Notice, Trust, UnixTime};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

/// Names of the virtual network and of users lie in domains of their own.
const VPN_DOMAIN: &str = "vpn";
const USER_DOMAIN: &str = "user";

/// Who waits for which operation, and what the virtual network has published.
#[derive(Debug, Default)]
pub struct Operations {
    last: u64,
    waiting: BTreeMap<OpId, Asker>,
    published: BTreeMap<Op, Key>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Asker {
    Vpn(Op),
    Driver(Ticket, Key),
    Watch(Question),
}

impl Operations {
    /// How full the table is: whoever waits, waits for an operation.
    pub fn fill(&self, overlays: usize) -> Fill {
        Fill::new("askers of the hash table", self.waiting.len(), overlays * dht::OPS_MAX)
    }

    pub(super) fn begin(&mut self, asker: Asker) -> OpId {
        self.last += 1;
        let op = OpId(self.last);
        self.waiting.insert(op, asker);
        op
    }
}

/// What the virtual network wants to have for itself.
pub(super) struct Lease<'a> {
    pub name: &'a str,
    pub payload: Vec<u8>,
    pub ttl: Duration,
    pub way: GiveWay,
}

/// The suite of an overlay as the hash table sees it.
struct Signatures<'a>(&'a dyn Suite);

impl Verifier for Signatures<'_> {
    fn verify(
        &self,
        certificate: &[u8],
        owner: NodeId,
        bytes: &[u8],
        signature: &[u8],
        now: UnixTime,
    ) -> bool {
        self.0.verify(certificate, owner, bytes, signature, now)
    }

    fn is_revocation(&self, key: Key, payload: &[u8]) -> bool {
        let Some(ledger) = self.0.trust().map(Trust::ledger) else { return false };
        let notice = Notice::from_bytes(payload);
        notice.is_some_and(|n| watch::may_stand(&n, key) && ledger.is_genuine(&n))
    }
}

/// The hash table keeps a lease for as long as a group may ask.
const _: () = assert!(dht::TTL_MIN.as_secs() <= pki::LEASE_MIN as u64);
const _: () = assert!(pki::LEASE_MAX as u64 <= dht::TTL_MAX.as_secs());

impl Signer for Signatures<'_> {
    fn certificate(&self) -> &[u8] {
        self.0.certificate()
    }

    fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        self.0.sign(bytes)
    }
}

impl Node {
    /// Stores a value under a name, in this node's own slot there, and keeps it for as long as the node lives.
    pub fn put(
        &mut self,
        ticket: Ticket,
        within: Instance,
        name: &[u8],
        payload: &[u8],
        ttl: Duration,
        now: Now,
    ) {
        let key = Key::derive(Kind::Slot, USER_DOMAIN, name);
        let op = self.operations.begin(Asker::Driver(ticket, key));
        let started =
            self.with_dht(within, now, |dht, cx| dht.put(op, key, payload.to_vec(), ttl, cx));
        self.begun(op, started, now);
        self.settle(now);
    }

    /// Looks up the values under a name.
    pub fn get(&mut self, ticket: Ticket, within: Instance, name: &[u8], now: Now) {
        let key = Key::derive(Kind::Slot, USER_DOMAIN, name);
        let op = self.operations.begin(Asker::Driver(ticket, key));
        let started = self.with_dht(within, now, |dht, cx| dht.get(op, key, cx));
        self.begun(op, started, now);
        self.settle(now);
    }

    /// Looks up who holds a virtual IPv4 address of the members' group: the owner of the first record.
    pub fn holder(&mut self, ticket: Ticket, address: Ipv4Addr, now: Now) {
        let Some((members, trust)) = self.members().zip(self.trust()) else {
            let why = "this node is no member of a group: ask one of its members";
            return self.answer(ticket, Answer::Failed(why.into()));
        };
        let name = name_of(trust.group(), address);
        let key = Key::derive(Kind::Exclusive, VPN_DOMAIN, name.as_bytes());
        let op = self.operations.begin(Asker::Driver(ticket, key));
        let started = self.with_dht(members, now, |dht, cx| dht.get(op, key, cx));
        self.begun(op, started, now);
        self.settle(now);
    }

    /// Gives the virtual address back before leaving: for members that come once.
    pub fn release_lease(&mut self, now: Now) {
        self.with_vpn(|vpn| vpn.release(now.instant));
        self.settle(now);
    }

    pub(super) fn with_dht<T>(
        &mut self,
        instance: Instance,
        now: Now,
        f: impl FnOnce(&mut Dht, &mut dht::Context<'_>) -> T,
    ) -> T {
        let signatures = Signatures(self.links.suite(instance));
        let mut effects = Vec::new();
        let mut cx = dht::Context {
            now,
            rng: &mut self.rng,
            verifier: &signatures,
            signer: &signatures,
            effects: &mut effects,
        };
        let result = f(&mut self.dhts[instance.0 as usize], &mut cx);
        self.effects.dhts.extend(effects.into_iter().map(|effect| (instance, effect)));
        result
    }

    pub(super) fn create_for_vpn(&mut self, over: Instance, op: Op, lease: Lease<'_>, now: Now) {
        let Lease { name, payload, ttl, way } = lease;
        let key = Key::derive(Kind::Exclusive, VPN_DOMAIN, name.as_bytes());
        self.operations.published.insert(op, key);
        let id = self.operations.begin(Asker::Vpn(op));
        let started =
            self.with_dht(over, now, |dht, cx| dht.create(id, key, payload, ttl, way, cx));
        self.begun(id, started, now);
    }

    pub(super) fn get_for_vpn(&mut self, over: Instance, op: Op, name: &str, now: Now) {
        let key = Key::derive(Kind::Exclusive, VPN_DOMAIN, name.as_bytes());
        let id = self.operations.begin(Asker::Vpn(op));
        let started = self.with_dht(over, now, |dht, cx| dht.get_as_found(id, key, cx));
        self.begun(id, started, now);
    }

    pub(super) fn release_for_vpn(&mut self, over: Instance, op: Op, now: Now) {
        if let Some(key) = self.operations.published.remove(&op) {
            self.operations.last += 1;
            let id = OpId(self.operations.last);
            // Nobody waits for it, and what is not released in time expires.
            let _ = self.with_dht(over, now, |dht, cx| dht.release(id, key, cx));
        }
    }

    pub(super) fn begun(&mut self, op: OpId, started: Result<(), dht::CommandError>, now: Now) {
        let Err(error) = started else { return };
        match self.operations.waiting.remove(&op) {
            Some(Asker::Driver(ticket, _)) => {
                self.answer(ticket, Answer::Failed(error.to_string()));
            }
            Some(Asker::Vpn(op)) => self.answer_vpn(op, vpn::Answer::Unavailable, now),
            Some(Asker::Watch(question)) => {
                self.answer_watch(question, watch::Answer::Failed, now);
            }
            None => {}
        }
    }

    pub(super) fn on_dht(&mut self, instance: Instance, effect: dht::Effect, now: Now) {
        match effect {
            dht::Effect::ToNearest { point, message } => {
                self.with_overlay(instance, now, |overlay, cx| {
                    overlay.send(Mode::Greedy, Protocol::Dht, point, &message, cx);
                });
            }
            dht::Effect::ToNode { node, message } => {
                self.with_overlay(instance, now, |overlay, cx| {
                    overlay.send(Mode::Exact, Protocol::Dht, node, &message, cx);
                });
            }
            dht::Effect::Done { op, outcome } => match self.operations.waiting.remove(&op) {
                Some(Asker::Vpn(op)) => {
                    let answer = self.for_vpn(instance, outcome, now);
                    self.answer_vpn(op, answer, now);
                }
                Some(Asker::Driver(ticket, key)) => self.answer(ticket, for_driver(outcome, key)),
                Some(Asker::Watch(question)) => self.answer_watch(question, outcome.into(), now),
                None => {}
            },
            dht::Effect::Found { op, record } => match self.operations.waiting.get(&op) {
                Some(&Asker::Watch(question)) => {
                    self.with_watch(now, |watch, cx| watch.handle_found(question, record, cx));
                }
                Some(&Asker::Vpn(op)) => {
                    self.with_vpn(|vpn| vpn.handle_named(op, record.owner, now.instant));
                }
                Some(Asker::Driver(..)) | None => {}
            },
            dht::Effect::Event(dht::Event::Lost { key, .. }) => {
                if self.vpn_over() != Some(instance) {
                    return;
                }
                let lost = self.operations.published.iter().find(|(_, k)| **k == key);
                if let Some(op) = lost.map(|(&op, _)| op) {
                    self.operations.published.remove(&op);
                    self.with_vpn(|vpn| vpn.handle_lost(op, now.instant));
                }
            }
        }
    }

    fn for_vpn(&self, over: Instance, outcome: Outcome, now: Now) -> vpn::Answer {
        match outcome {
            Outcome::Created(_) => vpn::Answer::Created,
            Outcome::Taken(_) => vpn::Answer::Taken,
            Outcome::Absent => vpn::Answer::Found(Vec::new()),
            Outcome::Values { records, .. } => vpn::Answer::Found(
                records.iter().map(|record| self.found(over, record, now)).collect(),
            ),
            Outcome::Failed(dht::Failure::ClocksDiffer) => vpn::Answer::ClocksDiffer,
            Outcome::Stored { .. } | Outcome::Released | Outcome::Failed(_) => {
                vpn::Answer::Unavailable
            }
        }
    }

    fn found(&self, over: Instance, record: &Record, now: Now) -> vpn::Found {
        let owner = record.owner;
        let session = self.links.session(over, owner);
        let member = session.and_then(|(_, session)| session.peer.member.as_ref());
        let life = Duration::from_secs(record.expiry.as_secs().saturating_sub(now.unix.as_secs()));
        vpn::Found { owner, pinned: member.and_then(|member| member.ipv4), life }
    }

    fn answer_vpn(&mut self, op: Op, answer: vpn::Answer, now: Now) {
        let is_failed = matches!(
            answer,
            vpn::Answer::Taken | vpn::Answer::Unavailable | vpn::Answer::ClocksDiffer
        );
        if is_failed {
            self.operations.published.remove(&op);
        }
        self.with_vpn(|vpn| vpn.handle_answer(op, &answer, now.instant));
    }
}

fn for_driver(outcome: Outcome, key: Key) -> Answer {
    match outcome {
        Outcome::Stored { replicas } => Answer::Stored { key, replicas },
        Outcome::Values { records, complete } => Answer::Values { records, complete },
        Outcome::Absent => Answer::Values { records: Vec::new(), complete: true },
        Outcome::Failed(failure @ dht::Failure::ClocksDiffer) => {
            Answer::Failed(format!("{failure}: set the clock that is wrong"))
        }
        Outcome::Failed(failure) => {
            Answer::Failed(format!("{failure}: has the node joined? try again"))
        }
        Outcome::Created(_) | Outcome::Taken(_) | Outcome::Released => {
            Answer::Failed("unexpected outcome".into())
        }
    }
}
