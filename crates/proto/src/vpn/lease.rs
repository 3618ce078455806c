//! How a node comes by its IPv4 address (paper section 4; checklist AD-02 to AD-05).
//!
//! A lease is a value that the node created in the hash table under the name `dhcp:<group>:<address>`: only
//! one node can. The node tries the address of its last run, then random ones: one, and as long as all are
//! taken more and more at once, since in a subnet that is nearly full one after the other takes long. The hash table renews the
//! value for as long as the node lives; the group says how long a lease outlives its owner. If two parts of a
//! network merge and both had leased an address, the hash table says who lost it, and that node leases anew.
//!
//! A static address is leased like any other but never exchanged for another. An address that the
//! certificate pins is ours whatever the hash table says; it is stored there so that others find us.

use super::Config;
use super::address::Subnet;
use super::effect::{Answer, Context, Effect, Event, Op};
use crate::NodeId;
use crate::bounds::Fill;
use crate::time::Instant;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

/// How long a lease outlives its owner where the group does not say. A laptop that sleeps through a lunch keeps its
/// address; an address of a node that is gone is free again within the hour.
pub const LEASE_LIFE: Duration = Duration::from_secs(3_600);
/// Addresses tried before the subnet counts as full. A random choice among addresses of which nine in ten
/// are taken fails this often with probability e^-108.
pub const TRIES_MAX: usize = 1_024;
/// Addresses tried at once at most. In a subnet of which four fifths are taken, one of 2 + 4 + 8 is free with
/// probability 0.96; those created beside the first are given back at once.
const CLAIMS_MAX: usize = 8;
/// Pause before a refused address or a full subnet is tried again.
pub const REFUSED_PAUSE: Duration = Duration::from_secs(60);
/// First and longest pause after the hash table did not answer.
const UNAVAILABLE_PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Where the IPv4 address comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressPolicy {
    /// Any free address, preferably this one.
    Lease {
        /// The address of the last run.
        preferred: Option<Ipv4Addr>,
    },
    /// This one or none.
    Static(Ipv4Addr),
    /// The one in our certificate.
    Pinned(Ipv4Addr),
}

/// The name under which the owner of an address is stored.
pub fn name_of(group: &str, address: Ipv4Addr) -> String {
    format!("dhcp:{group}:{address}")
}

/// The lease of one node.
#[derive(Debug)]
pub(super) struct Lease {
    group: String,
    id: NodeId,
    subnet: Subnet,
    policy: AddressPolicy,
    /// How long it outlives us.
    life: Duration,
    state: State,
    /// Addresses found taken in this round.
    taken: BTreeSet<Ipv4Addr>,
    /// Addresses to try at once next time.
    width: usize,
    /// Times in a row that the hash table did not answer.
    failures: u32,
    /// Whether the user was told that the address is refused.
    told: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    /// The overlay is not up.
    Idle,
    /// The hash table was asked for one or more, and has not answered.
    Claiming { claims: Vec<(Op, Ipv4Addr)> },
    /// Ours.
    Held { op: Op, address: Ipv4Addr },
    /// Waiting for the next try.
    Pausing { until: Instant, address: Option<Ipv4Addr> },
}

impl Lease {
    pub(super) fn new(config: &Config, subnet: Subnet) -> Self {
        Lease {
            group: config.group.clone(),
            id: config.id,
            subnet,
            policy: config.address,
            life: config.lease,
            state: State::Idle,
            taken: BTreeSet::new(),
            width: 1,
            failures: 0,
            told: false,
        }
    }

    /// The address that may be used now.
    pub(super) fn address(&self) -> Option<Ipv4Addr> {
        match (self.policy, &self.state) {
            (AddressPolicy::Pinned(address), _) => Some(address),
            (_, &State::Held { address, .. }) => Some(address),
            _ => None,
        }
    }

    /// Starts, once the overlay can be asked; does nothing if it did.
    pub(super) fn start(&mut self, cx: &mut Context<'_>) {
        if self.state == State::Idle {
            let preferred = match self.policy {
                AddressPolicy::Lease { preferred } => {
                    preferred.filter(|&ip| self.subnet.is_host(ip))
                }
                AddressPolicy::Static(_) | AddressPolicy::Pinned(_) => None,
            };
            self.claim(preferred, cx);
        }
    }

    /// Gives the address back: for members that come once.
    pub(super) fn release(&mut self, cx: &mut Context<'_>) {
        let former = std::mem::replace(&mut self.state, State::Idle);
        let ops = match former {
            State::Held { op, .. } => vec![op],
            State::Claiming { claims } => claims.into_iter().map(|(op, _)| op).collect(),
            State::Idle | State::Pausing { .. } => Vec::new(),
        };
        ops.into_iter().for_each(|op| cx.effects.push(Effect::Release { op }));
    }

    /// Takes the answer to a claim; says whether it was one.
    pub(super) fn handle_answer(&mut self, op: Op, answer: &Answer, cx: &mut Context<'_>) -> bool {
        let State::Claiming { claims } = &mut self.state else { return false };
        let Some(at) = claims.iter().position(|(asked, _)| *asked == op) else { return false };
        let (_, address) = claims.swap_remove(at);
        match answer {
            Answer::Created => self.hold(op, address, cx),
            Answer::Taken => self.refused(address, cx),
            Answer::ClocksDiffer => {
                self.tell(Event::ClocksDiffer, cx);
                self.unavailable(op, address, cx);
            }
            _ => self.unavailable(op, address, cx),
        }
        true
    }

    /// The hash table gave our address to another node.
    pub(super) fn handle_lost(&mut self, op: Op, cx: &mut Context<'_>) {
        match self.state {
            State::Held { op: held, address } if held == op => {
                cx.effects.push(Effect::Event(Event::Lost(address)));
                self.state = State::Claiming { claims: Vec::new() };
                self.width = 2;
                self.refused(address, cx);
            }
            _ => {}
        }
    }

    pub(super) fn fill(&self) -> Fill {
        Fill::new("addresses found taken", self.taken.len(), TRIES_MAX)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Pausing { until, .. } => Some(until),
            _ => None,
        }
    }

    pub(super) fn handle_timeout(&mut self, cx: &mut Context<'_>) {
        match self.state {
            State::Pausing { until, address } if until <= cx.now => self.claim(address, cx),
            _ => {}
        }
    }

    /// Asks for `address`, or else for the next ones that the policy allows.
    fn claim(&mut self, address: Option<Ipv4Addr>, cx: &mut Context<'_>) {
        let (addresses, others_do) = match (self.policy, address) {
            (AddressPolicy::Static(address) | AddressPolicy::Pinned(address), _)
            | (AddressPolicy::Lease { .. }, Some(address)) => (vec![address], false),
            (AddressPolicy::Lease { .. }, None) => (self.untried(cx), true),
        };
        if addresses.is_empty() {
            self.taken.clear();
            self.tell(Event::SubnetFull, cx);
            return self.pause(REFUSED_PAUSE, None, cx);
        }
        let mut claims = Vec::new();
        for address in addresses {
            let op = cx.effects.new_op();
            claims.push((op, address));
            cx.effects.push(Effect::Create {
                op,
                name: name_of(&self.group, address),
                payload: self.id.as_bytes().to_vec(),
                ttl: self.life,
                others_do,
            });
        }
        self.state = State::Claiming { claims };
    }

    /// Random addresses that were not found taken: the first such from a random one on, `width` of them.
    fn untried(&mut self, cx: &mut Context<'_>) -> Vec<Ipv4Addr> {
        let count = self.subnet.host_count();
        let width = self.width.min(count.min(TRIES_MAX).saturating_sub(self.taken.len()));
        self.width = (self.width * 2).min(CLAIMS_MAX);
        let mut chosen = BTreeSet::new();
        for _ in 0..width {
            let start = cx.rng.below(count);
            let mut all = (start..start + count).map(|n| self.subnet.host(n));
            chosen.extend(all.find(|ip| !self.taken.contains(ip) && !chosen.contains(ip)));
        }
        chosen.into_iter().collect()
    }

    /// Whether nothing that was asked for is still to be answered.
    fn is_answered(&self) -> bool {
        !matches!(&self.state, State::Claiming { claims } if !claims.is_empty())
    }

    fn hold(&mut self, op: Op, address: Ipv4Addr, cx: &mut Context<'_>) {
        if let State::Claiming { claims } = &self.state {
            claims.iter().for_each(|&(op, _)| cx.effects.push(Effect::Release { op }));
        }
        self.state = State::Held { op, address };
        self.taken.clear();
        self.width = 1;
        self.failures = 0;
        self.told = false;
        cx.effects.push(Effect::Event(Event::Leased(address)));
    }

    fn refused(&mut self, address: Ipv4Addr, cx: &mut Context<'_>) {
        self.failures = 0;
        match self.policy {
            AddressPolicy::Lease { .. } => {
                self.taken.insert(address);
                if self.is_answered() {
                    self.claim(None, cx);
                }
            }
            AddressPolicy::Static(_) => {
                self.tell(Event::Taken(address), cx);
                self.pause(REFUSED_PAUSE, None, cx);
            }
            AddressPolicy::Pinned(_) => {
                self.tell(Event::Contested(address), cx);
                self.pause(REFUSED_PAUSE, None, cx);
            }
        }
    }

    /// The address of the last run is worth the wait. Another's key may be tied between two rings that met, for as
    /// long as both ask for it.
    fn unavailable(&mut self, op: Op, address: Ipv4Addr, cx: &mut Context<'_>) {
        cx.effects.push(Effect::Release { op });
        if !self.is_answered() {
            return;
        }
        let (first, longest) = UNAVAILABLE_PAUSE;
        let pause = (first * (1 << self.failures.min(8))).min(longest);
        self.failures = self.failures.saturating_add(1);
        self.width = 1;
        self.pause(pause, Some(address).filter(|_| self.is_preferred(address)), cx);
    }

    fn is_preferred(&self, address: Ipv4Addr) -> bool {
        matches!(self.policy, AddressPolicy::Lease { preferred } if preferred == Some(address))
    }

    fn pause(&mut self, pause: Duration, address: Option<Ipv4Addr>, cx: &mut Context<'_>) {
        let until = cx.now + cx.rng.jitter(pause, 0.25);
        self.state = State::Pausing { until, address };
    }

    /// Tells a refusal once, until an address was held in between.
    fn tell(&mut self, event: Event, cx: &mut Context<'_>) {
        if !std::mem::replace(&mut self.told, true) {
            cx.effects.push(Effect::Event(event));
        }
    }
}

#[cfg(test)]
mod tests;
