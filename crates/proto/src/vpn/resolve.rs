//! Which node owns an address: asked of the overlay, remembered until the lease ends.
//!
//! IPv6 carries the top half of its owner's ID, so its owner is the node nearest to that point of the ring,
//! if the halves agree. IPv4 is looked up in the hash table; an owner whose certificate pins the address
//! beats one that leased it. An absence is remembered for seconds only, as a lease may be taken at any time.

use super::address::{owns_ipv6, point_of};
use super::effect::{Answer, Context, Effect, Found, Op};
use super::lease::{LEASE_LIFE, name_of};
use crate::NodeId;
use crate::bounds::Fill;
use crate::time::Instant;
use crate::timer::Timers;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

/// Addresses remembered: more than the members that any node talks to within the life of a lease. 10 MB.
pub const ADDRESSES_MAX: usize = 65_536;
/// Questions on their way: bounds what a program that scans the subnet asks of the overlay.
pub const ASKS_MAX: usize = 64;
/// How long it is remembered that nobody owns an address.
pub const ABSENT_LIFE: Duration = Duration::from_secs(5);
/// The same if a member says that it does, or if the overlay did not answer.
const DOUBTED_LIFE: Duration = Duration::from_secs(1);
/// After that, a question counts as not answered.
pub const ASK_LIFE: Duration = Duration::from_secs(10);
/// Pause before an owner is asked for again after the overlay did not answer, or after somebody else used
/// the address.
const REFRESH_PAUSE: Duration = Duration::from_secs(10);
/// Unanswered questions in a row after which an owner counts as gone.
const REFRESHES_MAX: u32 = 6;

/// What is known of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lookup {
    /// Whose it is.
    Owner(NodeId),
    /// Nobody's.
    Nobody,
    /// The overlay was asked.
    Asking,
    /// Too many questions are on their way.
    Busy,
}

/// A change of what is known of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It has an owner.
    Owner(NodeId),
    /// It has none; not `proven` if the overlay did not answer.
    Nobody { proven: bool },
    /// What was known is too old.
    Forgotten,
}

#[derive(Debug)]
struct Entry {
    known: Option<Option<NodeId>>,
    asking: Option<Op>,
    asked_at: Instant,
    /// Somebody says that the address is taken.
    claimed: bool,
    failures: u32,
}

/// What is known of all addresses.
#[derive(Debug)]
pub(super) struct Resolver {
    group: String,
    entries: BTreeMap<IpAddr, Entry>,
    asks: BTreeMap<Op, IpAddr>,
    /// Fires when the question was not answered, or else when the knowledge ends.
    timers: Timers<IpAddr>,
}

impl Resolver {
    pub(super) fn new(group: String) -> Self {
        let (entries, asks) = (BTreeMap::new(), BTreeMap::new());
        Resolver { group, entries, asks, timers: Timers::default() }
    }

    pub(super) fn fills(&self) -> [Fill; 2] {
        [
            Fill::new("addresses looked up", self.entries.len(), ADDRESSES_MAX),
            Fill::new("look-ups of addresses", self.asks.len(), ASKS_MAX),
        ]
    }

    /// What is known of `ip`, or that it is being asked for.
    pub(super) fn known(&self, ip: IpAddr) -> Option<Lookup> {
        Some(match self.entries.get(&ip)?.known {
            Some(Some(node)) => Lookup::Owner(node),
            Some(None) => Lookup::Nobody,
            None => Lookup::Asking,
        })
    }

    /// Says what is known of `ip` and asks if nothing is.
    pub(super) fn look_up(&mut self, ip: IpAddr, cx: &mut Context<'_>) -> Lookup {
        match self.known(ip) {
            Some(known) => known,
            None if self.is_busy() => Lookup::Busy,
            None => {
                self.ask(ip, cx);
                Lookup::Asking
            }
        }
    }

    /// Asks again for an address whose knowledge is doubted, unless that was done just now. What is known
    /// stays until the answer. Says whether an answer is to be expected.
    pub(super) fn refresh(&mut self, ip: IpAddr, cx: &mut Context<'_>) -> bool {
        let Some(entry) = self.entries.get(&ip) else { return false };
        let is_recent = cx.now.saturating_since(entry.asked_at) < REFRESH_PAUSE;
        if entry.asking.is_none() && (is_recent || self.is_busy()) {
            return false;
        }
        if entry.asking.is_none() {
            self.ask(ip, cx);
        }
        true
    }

    /// Notes that a member says that it has an address: an answer that nobody has it, given or to come, is
    /// from before that is known everywhere.
    pub(super) fn hear_claim(&mut self, ip: IpAddr) {
        let Some(entry) = self.entries.get_mut(&ip) else { return };
        entry.claimed = true;
        if entry.known == Some(None) {
            self.timers.set_earlier(ip, entry.asked_at + DOUBTED_LIFE);
        }
    }

    /// Forgets an owner that cannot be reached: the address may be another's by now. The next packet asks.
    pub(super) fn doubt(&mut self, ip: IpAddr) {
        if self.entries.get(&ip).is_some_and(|entry| entry.asking.is_none()) {
            self.forget(ip);
        }
    }

    /// Notes an owner that is proven by other means, for as long as a lease.
    pub(super) fn learn(&mut self, ip: IpAddr, node: NodeId, now: Instant) {
        self.forget(ip);
        if self.entries.len() >= ADDRESSES_MAX {
            return;
        }
        self.entries.insert(
            ip,
            Entry {
                known: Some(Some(node)),
                asking: None,
                asked_at: now,
                claimed: true,
                failures: 0,
            },
        );
        self.timers.set(ip, now + LEASE_LIFE);
    }

    /// How many questions are under way.
    pub(super) fn under_way(&self) -> usize {
        self.asks.len()
    }

    /// The address that a question is about, while the answer is open.
    pub(super) fn asked_by(&self, op: Op) -> Option<IpAddr> {
        self.asks.get(&op).copied()
    }

    /// Takes the answer to a question, if it was asked here.
    pub(super) fn handle_answer(
        &mut self,
        op: Op,
        answer: &Answer,
        now: Instant,
    ) -> Option<(IpAddr, Change)> {
        let ip = self.asks.remove(&op)?;
        let change = match (answer, ip) {
            (Answer::Found(found), IpAddr::V4(_)) => self.found(ip, found, now),
            (Answer::Nearest(node), IpAddr::V6(v6)) if owns_ipv6(*node, v6) => {
                self.settle(ip, Some(*node), LEASE_LIFE, now)
            }
            (Answer::Nearest(_), IpAddr::V6(_)) => self.settle_absence(ip, now),
            _ => self.unanswered(ip, now)?,
        };
        Some((ip, change))
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.timers.deadline()
    }

    /// What ended by `now`. An address that is `in_use` is asked for again before it is forgotten.
    pub(super) fn expire(
        &mut self,
        in_use: impl Fn(IpAddr) -> bool,
        cx: &mut Context<'_>,
    ) -> Option<(IpAddr, Change)> {
        while let Some(ip) = self.timers.expire(cx.now) {
            let Some(entry) = self.entries.get_mut(&ip) else { continue };
            if let Some(op) = entry.asking.take() {
                self.asks.remove(&op);
                if let Some(change) = self.unanswered(ip, cx.now) {
                    return Some((ip, change));
                }
            } else if matches!(entry.known, Some(Some(_))) && in_use(ip) {
                self.ask(ip, cx);
            } else {
                self.forget(ip);
                return Some((ip, Change::Forgotten));
            }
        }
        None
    }

    fn ask(&mut self, ip: IpAddr, cx: &mut Context<'_>) {
        let op = cx.effects.new_op();
        let entry = self.entries.entry(ip).or_insert(Entry {
            known: None,
            asking: None,
            asked_at: cx.now,
            claimed: false,
            failures: 0,
        });
        entry.asked_at = cx.now;
        if let Some(former) = entry.asking.replace(op) {
            self.asks.remove(&former);
        }
        self.asks.insert(op, ip);
        self.timers.set(ip, cx.now + ASK_LIFE);
        cx.effects.push(match ip {
            IpAddr::V4(ip) => Effect::Get { op, name: name_of(&self.group, ip) },
            IpAddr::V6(ip) => Effect::ResolveNearest { op, point: point_of(ip) },
        });
    }

    /// Of several owners, which a merge of two parts of the network can leave for some seconds, the one with
    /// a pin is right, else the one that the hash table puts first.
    fn found(&mut self, ip: IpAddr, found: &[Found], now: Instant) -> Change {
        let pinned = found.iter().find(|f| f.pinned.map(IpAddr::V4) == Some(ip));
        match pinned.or(found.first()) {
            Some(f) => self.settle(ip, Some(f.owner), f.life.min(LEASE_LIFE), now),
            None => self.settle_absence(ip, now),
        }
    }

    fn settle_absence(&mut self, ip: IpAddr, now: Instant) -> Change {
        let is_doubted = self.entries.get(&ip).is_some_and(|entry| entry.claimed);
        self.settle(ip, None, if is_doubted { DOUBTED_LIFE } else { ABSENT_LIFE }, now)
    }

    fn settle(
        &mut self,
        ip: IpAddr,
        owner: Option<NodeId>,
        life: Duration,
        now: Instant,
    ) -> Change {
        if let Some(entry) = self.entries.get_mut(&ip) {
            entry.known = Some(owner);
            entry.asking = None;
            entry.failures = 0;
            self.timers.set(ip, now + life.max(DOUBTED_LIFE));
        }
        owner.map_or(Change::Nobody { proven: true }, Change::Owner)
    }

    /// An owner that is known stays so for some questions more; nobody is known in no case.
    fn unanswered(&mut self, ip: IpAddr, now: Instant) -> Option<Change> {
        let entry = self.entries.get_mut(&ip)?;
        entry.asking = None;
        entry.failures += 1;
        if matches!(entry.known, Some(Some(_))) && entry.failures < REFRESHES_MAX {
            self.timers.set(ip, now + REFRESH_PAUSE);
            return None;
        }
        entry.known = Some(None);
        self.timers.set(ip, now + DOUBTED_LIFE);
        Some(Change::Nobody { proven: false })
    }

    fn forget(&mut self, ip: IpAddr) {
        self.timers.cancel(ip);
        if let Some(op) = self.entries.remove(&ip).and_then(|entry| entry.asking) {
            self.asks.remove(&op);
        }
    }

    fn is_busy(&self) -> bool {
        self.asks.len() >= ASKS_MAX || self.entries.len() >= ADDRESSES_MAX
    }
}
