//! Which node owns an address, and may this packet pass: the virtual network of one group.
//!
//! [`Vpn`] is a machine beside the overlay. Of it, it needs three things (checklist DH-06): a hash table,
//! connections to nodes, and packets that go through them. It tells the lanes by [`Effect::Delta`] which
//! addresses belong to which session, and thinks about those packets only that a lane could not decide on.
//!
//! ```text
//! lane: no session for this destination -> resolve -> connect -> route -> back to the lane
//! lane: source not known to be the peer's -> resolve -> allow -> to the device
//! ```
//! | file | question |
//! |---|---|
//! | [`address`] | which addresses are there, and whose can they be |
//! | [`verdict`](mod@verdict) | may this packet pass |
//! | [`lease`] | how does this node come by its IPv4 address |
//! | [`resolve`] | which node owns an address |
//! | [`waiting`] | which packets wait for an answer |
//! | `peers` | which members have a session, and what may each |
//! | [`effect`] | what is asked of overlay and driver |
//!
//! Invariants: an address is granted to at most one peer, and only if its ID, its certificate or a look-up of
//! our own says that it owns it; packets wait at most 2 s, in bounded queues.

use crate::NodeId;
use crate::bounds::Fill;
use crate::lane::{Delta, Drops, Reason, Report, Slot};
use crate::rng::Rng;
use crate::time::Instant;
use crate::timer::Timers;
use crate::wire::ip::Header;
use crate::wire::ip::icmp::{Answer as Icmp, Problem};
use address::{Local, Subnet, ipv6_of, owns_ipv6};
use effect::{Context, Effects};
use lease::{AddressPolicy, Lease};
use peers::Peers;
use resolve::{Change, Lookup, Resolver};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;
use verdict::{Direction, Mode, Owner, Verdict, verdict};
use waiting::Waiting;

pub mod address;
pub mod effect;
pub mod lease;
mod peers;
pub mod resolve;
pub mod verdict;
pub mod waiting;

pub use effect::{Answer, DeviceAddresses, Effect, Event, Found, Op, Whose};
pub use peers::Peer;

/// A session that carried nothing for this long is let go: more than the 5 min for which a connection of an
/// idle program is usually kept alive, and half as much again.
pub const IDLE_MAX: Duration = Duration::from_secs(450);
/// After that, a connection that was asked for is asked for again by the next packet.
const CONNECT_LIFE: Duration = Duration::from_secs(15);
/// Addresses of one peer that are looked up at a time because it sent with them: it has one per version.
const PROOFS_MAX: usize = 4;
/// Look-ups under way, whoever caused them, at which another claim begins none: claims cost their sender little.
const CLAIMED_MAX: usize = resolve::ASKS_MAX / 4;
/// Users who wait to be told whose an address is; more are told at once that it is not known.
const SEEKERS_MAX: usize = 64;
/// The inner packet size that every path carries, direct, relayed or through the overlay: what IPv6 demands.
pub const MTU: u16 = 1_280;

/// What a virtual network is made from.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name of the group.
    pub group: String,
    /// Our ID.
    pub id: NodeId,
    /// The IPv4 addresses of the group; none if it uses IPv6 only.
    pub subnet: Option<Subnet>,
    /// Where our IPv4 address comes from.
    pub address: AddressPolicy,
    /// How long a lease outlives its owner: [`pki::LEASE_MIN`] to [`pki::LEASE_MAX`] seconds.
    pub lease: Duration,
    /// What the network is used for.
    pub mode: Mode,
    /// The longest packet, in bytes; at least 1,280, or the device can have no IPv6.
    pub mtu: u16,
}

/// Why a configuration is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The static or pinned address cannot be a node's.
    #[error("address {0} is not one that a node of the group's subnet can have")]
    Address(Ipv4Addr),
    /// Less than what IPv6 demands.
    #[error("mtu {0} is below 1280")]
    Mtu(u16),
}

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// The node was asked for a connection and has not answered.
    Connect(NodeId),
    /// The session with the node may have become idle.
    Idle(NodeId),
}

/// The virtual network of one group, at one node.
#[derive(Debug)]
pub struct Vpn {
    mode: Mode,
    id: NodeId,
    local: Local,
    lease: Option<Lease>,
    resolver: Resolver,
    peers: Peers,
    /// Packets to an address, until there is a session with its owner.
    outbound: Waiting<IpAddr>,
    /// Packets from an address that a peer sent, until its owner is known.
    inbound: Waiting<(IpAddr, NodeId)>,
    /// Who asked whose an address is, until that is known.
    seekers: Vec<(IpAddr, u64)>,
    timers: Timers<Timer>,
    drops: Drops,
    rng: Rng,
    effects: Effects,
}

impl Vpn {
    /// A virtual network that has its IPv6 address, and its IPv4 address if that is pinned.
    pub fn new(config: Config, rng: Rng) -> Result<Vpn, ConfigError> {
        let lease = config.subnet.map(|subnet| Lease::new(&config, subnet));
        let Config { group, id, subnet, address, mode, mtu, .. } = config;
        if mtu < MTU {
            return Err(ConfigError::Mtu(mtu));
        }
        if let AddressPolicy::Static(ip) | AddressPolicy::Pinned(ip) = address
            && !subnet.is_some_and(|subnet| subnet.is_host(ip))
        {
            return Err(ConfigError::Address(ip));
        }
        let ipv4 = lease.as_ref().and_then(Lease::address);
        let local = Local { subnet, ipv4, ipv6: ipv6_of(&group, id), mtu };
        let mut vpn = Vpn {
            mode,
            id,
            local,
            lease,
            resolver: Resolver::new(group),
            peers: Peers::default(),
            outbound: Waiting::default(),
            inbound: Waiting::default(),
            seekers: Vec::new(),
            timers: Timers::default(),
            drops: Drops::default(),
            rng,
            effects: Effects::default(),
        };
        vpn.tell_addresses();
        Ok(vpn)
    }

    /// Our addresses.
    pub fn local(&self) -> &Local {
        &self.local
    }

    /// The node that was granted an address, if there is a session with it.
    pub fn holder(&self, ip: IpAddr) -> Option<NodeId> {
        self.peers.holder(ip)
    }

    /// The addresses that were granted to a peer with a session, IPv4 first.
    pub fn addresses_of(&self, peer: NodeId) -> impl Iterator<Item = IpAddr> + '_ {
        self.peers.addresses_of(peer)
    }

    /// All addresses that were granted to peers with a session, and to whom.
    pub fn holders(&self) -> impl Iterator<Item = (IpAddr, NodeId)> + '_ {
        self.peers.holders()
    }

    /// How full its bounded places are.
    pub fn fills(&self) -> impl Iterator<Item = Fill> + '_ {
        let outbound = self.outbound.fills("destinations waited for", "packets to a destination");
        let inbound = self.inbound.fills("sources waited for", "packets from a source");
        let own = self.resolver.fills().into_iter().chain([self.peers.fill()]);
        let seekers = Fill::new("seekers of addresses", self.seekers.len(), SEEKERS_MAX);
        let all = own.chain(outbound).chain(inbound).chain([seekers]);
        all.chain(self.lease.iter().map(Lease::fill))
    }

    /// Packets that went no further here, since the last call.
    pub fn take_drops(&mut self) -> Drops {
        std::mem::take(&mut self.drops)
    }

    /// The overlay can be asked: an IPv4 address is leased.
    pub fn handle_joined(&mut self, now: Instant) {
        self.with_lease(now, |lease, cx| lease.start(cx));
    }

    /// Gives the lease back: for members that come once. Others keep it over a restart.
    pub fn release(&mut self, now: Instant) {
        self.with_lease(now, |lease, cx| lease.release(cx));
    }

    /// The overlay answers.
    pub fn handle_answer(&mut self, op: Op, answer: &Answer, now: Instant) {
        let mut ours = false;
        self.with_lease(now, |lease, cx| ours = lease.handle_answer(op, answer, cx));
        if ours {
            return;
        }
        if let Some((ip, change)) = self.resolver.handle_answer(op, answer, now) {
            self.settle(ip, change, now);
        }
    }

    /// A replica names the owner of an address that is asked for. The answer is open until most of them have
    /// spoken; the session that packets will need is begun meanwhile.
    pub fn handle_named(&mut self, op: Op, owner: NodeId, now: Instant) {
        let Some(ip) = self.resolver.asked_by(op) else { return };
        if owner != self.id && self.peers.get(owner).is_none() && self.outbound.contains(ip) {
            self.connect(owner, now);
        }
    }

    /// Asks whose an address is, as a packet to it would: [`Effect::Sought`] tells, now or when the overlay has
    /// answered.
    pub fn seek(&mut self, seeker: u64, ip: IpAddr, now: Instant) {
        let known = self.peers.holder(ip).map(Lookup::Owner);
        let whose = match known.unwrap_or_else(|| self.look_up(ip, now)) {
            Lookup::Owner(node) => Whose::Node(node),
            Lookup::Nobody => Whose::Nobody,
            Lookup::Asking if self.seekers.len() < SEEKERS_MAX => {
                return self.seekers.push((ip, seeker));
            }
            Lookup::Asking | Lookup::Busy => Whose::Unknown,
        };
        self.effects.push(Effect::Sought { seeker, whose });
    }

    /// What was created is somebody else's now.
    pub fn handle_lost(&mut self, op: Op, now: Instant) {
        self.with_lease(now, |lease, cx| lease.handle_lost(op, cx));
    }

    /// Who asks for a session says that it has this address. Nothing is granted for that: it is looked up, and known
    /// perhaps by the time that the first packet comes.
    pub fn handle_claimed(&mut self, ip: Ipv4Addr, now: Instant) {
        if self.may_be_a_peers(ip) && self.resolver.under_way() < CLAIMED_MAX {
            self.look_up(ip.into(), now);
        }
    }

    /// A session with a member is up, whoever asked for it. `announced` is the IPv4 address that the peer
    /// says it has: a hint what to look up.
    pub fn handle_session_up(
        &mut self,
        slot: Slot,
        peer: &Peer,
        announced: Option<Ipv4Addr>,
        now: Instant,
    ) {
        let asked_for = self.timers.get(Timer::Connect(peer.id)).is_some();
        let is_new = self.peers.get(peer.id).is_none();
        self.timers.cancel(Timer::Connect(peer.id));
        let former = self.peers.insert(slot, peer, now);
        if asked_for {
            self.touch(peer.id, now);
        }
        let of_id = IpAddr::V6(self.local.ipv6_of(peer.id));
        for ip in former.into_iter().filter(|&ip| ip != of_id) {
            self.grant(peer.id, ip, now);
        }
        self.grant(peer.id, of_id, now);
        if let Some(pinned) = peer.pinned.filter(|&ip| self.may_be_a_peers(ip)) {
            self.resolver.learn(pinned.into(), peer.id, now);
            self.settle(pinned.into(), Change::Owner(peer.id), now);
        }
        let waited_for: Vec<IpAddr> = self.outbound.keys().collect();
        for ip in waited_for {
            if self.look_up(ip, now) == Lookup::Owner(peer.id) {
                self.grant(peer.id, ip, now);
            }
        }
        // Who is linked anew may be about to send; new keys are no reason to ask.
        if is_new && let Some(ip) = announced.filter(|&ip| self.may_be_a_peers(ip)) {
            self.look_up(ip.into(), now);
        }
        self.handle_announced(peer.id, announced, now);
    }

    /// A peer says that its IPv4 address is now this one: what is known of that address may be out of date. What
    /// is not known is asked for when a packet needs it.
    pub fn handle_announced(&mut self, id: NodeId, ipv4: Option<Ipv4Addr>, now: Instant) {
        let Some(ip) = ipv4.filter(|&ip| self.may_be_a_peers(ip)).map(IpAddr::V4) else { return };
        match self.resolver.known(ip) {
            Some(Lookup::Owner(owner)) if owner == id => {
                self.grant(id, ip, now);
            }
            Some(Lookup::Owner(_)) => {
                self.refresh(ip, now);
            }
            _ => self.resolver.hear_claim(ip),
        }
    }

    /// A session is over. Its routes and sources are gone from the lanes with it.
    pub fn handle_session_down(&mut self, slot: Slot) {
        if let Some((id, addresses)) = self.peers.remove(slot) {
            self.timers.cancel(Timer::Idle(id));
            addresses.into_iter().for_each(|ip| self.resolver.doubt(ip));
        }
    }

    /// A session that was asked for could not be made.
    pub fn handle_unreachable(&mut self, node: NodeId, now: Instant) {
        self.timers.cancel(Timer::Connect(node));
        let waited_for: Vec<IpAddr> = self.outbound.keys().collect();
        for ip in waited_for {
            if self.look_up(ip, now) == Lookup::Owner(node) {
                self.fail(ip);
                self.resolver.doubt(ip);
            }
        }
    }

    /// A lane has no session for this packet from the device, whose checksum is complete.
    pub fn handle_unrouted(&mut self, packet: &[u8], now: Instant) {
        let header = Header::parse_packet(packet);
        let direction = Direction::Outbound;
        let decided = verdict(self.mode, direction, &header, &self.local, |_| Owner::Unknown);
        let (Ok(header), Verdict::Unproven) = (header, decided) else {
            return self.reject(decided);
        };
        let ip = header.destination;
        if let Some(holder) = self.peers.holder(ip) {
            return self.bounce(holder, ip, packet, now);
        }
        match self.look_up(ip, now) {
            // The lease that others still remember as ours is not ours any more.
            Lookup::Owner(node) if node == self.id => self.drops.count(Reason::NoSuchHost),
            Lookup::Owner(node) => {
                self.wait_outbound(ip, packet, now);
                if !self.grant(node, ip, now) {
                    self.connect(node, now);
                }
            }
            Lookup::Asking => self.wait_outbound(ip, packet, now),
            Lookup::Nobody => {
                self.drops.count(Reason::NoSuchHost);
                self.answer_no_such_host(packet);
            }
            Lookup::Busy => self.drops.count(Reason::QueueFull),
        }
    }

    /// A lane opened this packet from a peer, its checksum complete, and does not know whether its source is
    /// the peer's.
    pub fn handle_unproven(&mut self, id: NodeId, packet: &[u8], now: Instant) {
        if self.peers.get(id).is_none() {
            return self.drops.count(Reason::SessionGone);
        }
        let header = Header::parse_packet(packet);
        let direction = Direction::Inbound;
        let decided = verdict(self.mode, direction, &header, &self.local, |_| Owner::Unknown);
        let (Ok(header), Verdict::Unproven) = (header, decided) else {
            return self.reject(decided);
        };
        let ip = header.source;
        let lookup = match ip {
            IpAddr::V6(v6) if owns_ipv6(id, v6) => Lookup::Owner(id),
            IpAddr::V6(_) => Lookup::Nobody,
            IpAddr::V4(_) => self.look_up_for(id, ip, now),
        };
        match lookup {
            Lookup::Owner(owner) if owner == id && self.grant(id, ip, now) => {
                self.effects.push(Effect::Deliver(packet.to_vec()));
            }
            // The address may have changed hands since we asked.
            Lookup::Owner(_) if self.refresh(ip, now) => self.wait_inbound(ip, id, packet, now),
            Lookup::Owner(_) => self.deny(id, ip, 1, true),
            Lookup::Nobody => self.deny(id, ip, 1, ip.is_ipv6()),
            Lookup::Asking => self.wait_inbound(ip, id, packet, now),
            Lookup::Busy => self.drops.count(Reason::QueueFull),
        }
    }

    /// A lane says which sessions carried packets.
    pub fn handle_report(&mut self, report: &Report, now: Instant) {
        for session in &report.sessions {
            if self.peers.at(session.slot) == Some(session.peer) {
                self.touch(session.peer, now);
            }
        }
    }

    /// When [`Vpn::handle_timeout`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        let lease = self.lease.as_ref().and_then(Lease::deadline);
        let waiting = [self.outbound.deadline(), self.inbound.deadline()];
        let others = [lease, self.resolver.deadline(), self.timers.deadline()];
        waiting.into_iter().chain(others).flatten().min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.with_lease(now, |lease, cx| lease.handle_timeout(cx));
        let late = self.outbound.expire(now) + self.inbound.expire(now);
        self.drops.count_many(Reason::WaitedTooLong, late);
        while let Some((ip, change)) = {
            let mut cx = Context { now, rng: &mut self.rng, effects: &mut self.effects };
            self.resolver.expire(|ip| self.peers.is_used(ip), &mut cx)
        } {
            self.settle(ip, change, now);
        }
        while let Some(timer) = self.timers.expire(now) {
            match timer {
                Timer::Connect(node) => self.effects.push(Effect::Disconnect { node }),
                Timer::Idle(node) => self.let_go_if_idle(node, now),
            }
        }
    }

    /// What to do next; to be drained after every call.
    pub fn poll(&mut self) -> Option<Effect> {
        self.effects.queue.pop_front()
    }

    fn with_lease(&mut self, now: Instant, act: impl FnOnce(&mut Lease, &mut Context<'_>)) {
        let Some(lease) = &mut self.lease else { return };
        act(lease, &mut Context { now, rng: &mut self.rng, effects: &mut self.effects });
        let ipv4 = lease.address();
        if ipv4 != self.local.ipv4 {
            self.local.ipv4 = ipv4;
            self.tell_addresses();
        }
    }

    fn tell_addresses(&mut self) {
        self.effects.push(Effect::Delta(Delta::Local(self.local)));
        self.effects.push(Effect::Device((&self.local).into()));
    }

    fn look_up(&mut self, ip: IpAddr, now: Instant) -> Lookup {
        let mut cx = Context { now, rng: &mut self.rng, effects: &mut self.effects };
        self.resolver.look_up(ip, &mut cx)
    }

    fn refresh(&mut self, ip: IpAddr, now: Instant) -> bool {
        let mut cx = Context { now, rng: &mut self.rng, effects: &mut self.effects };
        self.resolver.refresh(ip, &mut cx)
    }

    /// Looks up an address that a peer sent with, within what one peer may ask for.
    fn look_up_for(&mut self, id: NodeId, ip: IpAddr, now: Instant) -> Lookup {
        let asked_for = self.inbound.keys().filter(|&(other, by)| by == id && other != ip);
        if asked_for.count() >= PROOFS_MAX { Lookup::Busy } else { self.look_up(ip, now) }
    }

    fn may_be_a_peers(&self, ip: Ipv4Addr) -> bool {
        self.local.place(ip.into()) == address::Place::Member
    }

    /// Acts on what became known of an address.
    fn settle(&mut self, ip: IpAddr, change: Change, now: Instant) {
        let pinned = self.pinned_holder(ip);
        self.tell_seekers(ip, pinned.map_or(change, Change::Owner));
        if pinned.is_some_and(|holder| change != Change::Owner(holder)) {
            return self.deny_waiting(ip, true);
        }
        match change {
            Change::Owner(node) => {
                if self.peers.holder(ip).is_some_and(|holder| holder != node) {
                    self.revoke(ip);
                }
                let granted = self.grant(node, ip, now);
                if node == self.id {
                    self.fail(ip);
                } else if !granted && self.outbound.contains(ip) {
                    self.connect(node, now);
                }
                self.deny_waiting(ip, true);
            }
            Change::Nobody { proven } => {
                self.revoke(ip);
                self.fail(ip);
                self.deny_waiting(ip, proven);
            }
            Change::Forgotten => {
                self.revoke(ip);
                for slot in self.peers.pardon(ip) {
                    let delta = Delta::ForgetSource { slot, source: ip };
                    self.effects.push(Effect::Delta(delta));
                }
            }
        }
    }

    fn tell_seekers(&mut self, ip: IpAddr, change: Change) {
        let whose = match change {
            Change::Owner(node) => Whose::Node(node),
            Change::Nobody { proven: true } => Whose::Nobody,
            Change::Nobody { proven: false } | Change::Forgotten => Whose::Unknown,
        };
        for (_, seeker) in self.seekers.extract_if(.., |(sought, _)| *sought == ip) {
            self.effects.push(Effect::Sought { seeker, whose });
        }
    }

    /// The peer that was granted this address because its certificate pins it: it stands above what the
    /// hash table says.
    fn pinned_holder(&mut self, ip: IpAddr) -> Option<NodeId> {
        let holder = self.peers.holder(ip)?;
        let pinned = self.peers.get(holder)?.pinned.map(IpAddr::V4);
        (pinned == Some(ip)).then_some(holder)
    }

    /// Tells the lanes that a peer owns an address, and lets go what waited for that. Refuses an address
    /// that is pinned to another.
    fn grant(&mut self, id: NodeId, ip: IpAddr, now: Instant) -> bool {
        if self.pinned_holder(ip).is_some_and(|holder| holder != id) {
            return false;
        }
        if self.peers.holder(ip).is_some_and(|holder| holder != id) {
            self.revoke(ip);
        }
        let Some(slot) = self.peers.grant(id, ip) else { return false };
        self.effects.push(Effect::Delta(Delta::Route { destination: ip, slot }));
        self.effects.push(Effect::Delta(Delta::AllowSource { slot, source: ip }));
        let mut carried = false;
        for packet in self.outbound.take(ip) {
            self.effects.push(Effect::Outbound(packet));
            carried = true;
        }
        for packet in self.inbound.take((ip, id)) {
            self.effects.push(Effect::Deliver(packet));
            carried = true;
        }
        if carried {
            self.touch(id, now);
        }
        true
    }

    fn revoke(&mut self, ip: IpAddr) {
        if let Some(slot) = self.peers.revoke(ip) {
            self.effects.push(Effect::Delta(Delta::Unroute { destination: ip }));
            self.effects.push(Effect::Delta(Delta::ForgetSource { slot, source: ip }));
        }
    }

    /// Drops what waits for the proof of an address that went to nobody or to somebody else.
    fn deny_waiting(&mut self, ip: IpAddr, proven: bool) {
        let senders: Vec<NodeId> =
            self.inbound.keys().filter(|&(other, _)| other == ip).map(|(_, id)| id).collect();
        for id in senders {
            let count = self.inbound.take((ip, id)).count();
            self.deny(id, ip, count, proven);
        }
    }

    /// Drops packets that a peer sent with an address that is not its own; if that is `proven`, it is told
    /// once.
    fn deny(&mut self, id: NodeId, ip: IpAddr, packets: usize, proven: bool) {
        self.drops.count_many(Reason::NotTheOwner, packets);
        let Some(member) = self.peers.get(id) else { return };
        let slot = member.slot;
        let forgotten = member.deny(ip);
        if proven && !std::mem::replace(&mut member.told, true) {
            self.effects.push(Effect::Event(Event::Spoofed { peer: id, source: ip }));
        }
        self.effects.push(Effect::Delta(Delta::ForbidSource { slot, source: ip }));
        if let Some(source) = forgotten {
            self.effects.push(Effect::Delta(Delta::ForgetSource { slot, source }));
        }
    }

    fn wait_inbound(&mut self, ip: IpAddr, id: NodeId, packet: &[u8], now: Instant) {
        let dropped = self.inbound.push((ip, id), packet, now);
        self.drops.count_many(Reason::QueueFull, dropped);
    }

    fn wait_outbound(&mut self, ip: IpAddr, packet: &[u8], now: Instant) {
        let dropped = self.outbound.push(ip, packet, now);
        self.drops.count_many(Reason::QueueFull, dropped);
    }

    /// Gives a packet back to a lane that had no session for it, though the peer has one: the lane may not
    /// have been told yet.
    fn bounce(&mut self, holder: NodeId, ip: IpAddr, packet: &[u8], now: Instant) {
        let slot = self.peers.get(holder).and_then(|m| m.may_bounce(now).then_some(m.slot));
        match slot {
            Some(slot) => {
                self.effects.push(Effect::Delta(Delta::Route { destination: ip, slot }));
                self.effects.push(Effect::Outbound(packet.to_vec()));
            }
            None => self.drops.count(Reason::SessionGone),
        }
    }

    /// Asks for a session, unless that was done just now.
    fn connect(&mut self, node: NodeId, now: Instant) {
        if self.timers.get(Timer::Connect(node)).is_none() {
            self.timers.set(Timer::Connect(node), now + CONNECT_LIFE);
            self.effects.push(Effect::Connect { node });
        }
    }

    /// Drops the packets that wait for a session to this address, and tells the program that sent them.
    fn fail(&mut self, ip: IpAddr) {
        let packets: Vec<Vec<u8>> = self.outbound.take(ip).collect();
        self.drops.count_many(Reason::NoSuchHost, packets.len());
        if let Some(packet) = packets.first() {
            self.answer_no_such_host(packet);
        }
    }

    fn answer_no_such_host(&mut self, packet: &[u8]) {
        let header = Header::parse_packet(packet).ok();
        if let Some(icmp) = header.and_then(|h| Icmp::to(packet, &h, Problem::NoSuchHost)) {
            self.effects.push(Effect::Deliver(icmp.to_vec()));
        }
    }

    fn reject(&mut self, decided: Verdict) {
        if let Verdict::Reject(reason) = decided {
            self.drops.count(reason);
        }
    }

    /// Notes that the session with a peer is used, and asks to keep it if that is news.
    fn touch(&mut self, id: NodeId, now: Instant) {
        let Some(member) = self.peers.get(id) else { return };
        member.active_at = now;
        if !std::mem::replace(&mut member.wanted, true) {
            self.effects.push(Effect::Connect { node: id });
            self.timers.set(Timer::Idle(id), now + IDLE_MAX);
        }
    }

    fn let_go_if_idle(&mut self, node: NodeId, now: Instant) {
        let Some(member) = self.peers.get(node) else { return };
        let idle_at = member.active_at + IDLE_MAX;
        if idle_at > now {
            return self.timers.set(Timer::Idle(node), idle_at);
        }
        member.wanted = false;
        self.effects.push(Effect::Disconnect { node });
    }
}

#[cfg(test)]
mod tests;
