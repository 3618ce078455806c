//! The simulated world: hosts with an address each, a network between them, and one virtual clock.
//!
//! On every host runs the real core, [`proto::Node`] with its lane, driven as the daemon drives it; the
//! world adds nothing to the protocol. It carries datagrams with the delays of a matrix, loses some, starts
//! and kills hosts, cuts the network in parts, and puts down what everybody sent. Two worlds of the same
//! configuration that are given the same commands do the same things, which their [`EventHash`]es prove.
//!
//! | file | question |
//! |---|---|
//! | `queue` | what happens next |
//! | `network` | does a datagram arrive, and when |
//! | `process` | how are a node and its lane driven |
//! | `traffic` | how much did a host send and receive |
//!
//! What must always hold: time never goes back; a node is given an input only when it has said what it
//! waits for; nothing is delivered to a host that does not run.

mod network;
mod process;
mod queue;
mod traffic;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use proto::lane::{Drops, Lane};
use proto::node::api::{Answer, Config, Event, Ticket};
use proto::overlay::Instance;
use proto::rng::Rng;
use proto::time::{Instant, Now};
use proto::vpn::DeviceAddresses;
use proto::{Node, NodeId, UnixTime};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::hash::EventHash;
use crate::latency::DelayMatrix;
use network::{Interceptor, Network};
use process::{Outbox, Process};
use queue::Queue;

pub use network::IpVersion;
pub use traffic::{Flow, Traffic, Volume};

/// The overlay whose known peers survive a restart.
const INSTANCE: Instance = Instance(0);
/// Wall time at the origin of virtual time: 1 January 2026, an arbitrary day of valid certificates.
const EPOCH: UnixTime = UnixTime(1_767_225_600);
/// How often [`World::run_while`] looks at its condition, in virtual time.
const LOOK_PAUSE: Duration = Duration::from_millis(100);
/// How often a lane reports to its node.
const REPORT_PAUSE: Duration = Duration::from_secs(1);

/// A host of the world, numbered from 0 in the order in which they were added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(u32);

impl HostId {
    /// The host of this number.
    pub fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number as an index into lists of hosts and the delay matrix.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a world is made from.
#[derive(Debug)]
pub struct WorldConfig {
    /// All chance comes from it: that of the network and that of every node.
    pub seed: u64,
    /// Delays between the hosts, of which there can be as many as it has nodes.
    pub matrix: DelayMatrix,
    /// Share of datagrams that is lost, 0 to 1.
    pub loss: f64,
    /// Longest extra delay of a datagram; it is uniform from nothing to this.
    pub jitter: Duration,
    /// Which addresses the hosts have.
    pub addresses: IpVersion,
}

impl WorldConfig {
    /// A network with these delays and no faults.
    pub fn new(seed: u64, matrix: DelayMatrix) -> Self {
        let (loss, jitter, addresses) = (0.0, Duration::ZERO, IpVersion::V4);
        Self { seed, matrix, loss, jitter, addresses }
    }
}

/// What a host's node is made from, at each start: its state directory, as it were. The arguments are the
/// peers that it knew at the end of its last life, and chance.
pub type MakeConfig = Box<dyn Fn(Vec<(NodeId, SocketAddr)>, &mut Rng) -> Config>;

/// What time came that a world was not to run beyond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not within {limit:?} of virtual time (seed {seed})")]
pub struct TimedOut {
    limit: Duration,
    seed: u64,
}

enum Happening {
    Start(HostId),
    Wake(HostId),
    Report { host: HostId, life: u32 },
    Datagram { from: HostId, to: HostId, bytes: Vec<u8> },
    Unreachable { host: HostId, to: SocketAddr },
}

/// A machine and what runs on it.
struct Host {
    make: MakeConfig,
    address: SocketAddr,
    process: Option<Box<Process>>,
    /// Whether the machine answers for a closed port.
    is_standing: bool,
    /// Counts the starts.
    life: u32,
    id: Option<NodeId>,
    known: Vec<(NodeId, SocketAddr)>,
    traffic: Traffic,
}

/// Hosts, network and clock.
pub struct World {
    seed: u64,
    now: Instant,
    rng: ChaCha8Rng,
    network: Network,
    hosts: Vec<Host>,
    hosts_by_id: BTreeMap<NodeId, HostId>,
    queue: Queue<Happening>,
    outbox: Outbox,
    answers: BTreeMap<Ticket, (Instant, Answer)>,
    last_ticket: u64,
    hash: EventHash,
    events: u64,
}

impl World {
    /// A world without hosts at the origin of time.
    pub fn new(config: WorldConfig) -> Self {
        let WorldConfig { seed, matrix, loss, jitter, addresses } = config;
        Self {
            seed,
            now: Instant::ZERO,
            rng: ChaCha8Rng::seed_from_u64(seed),
            network: Network::new(matrix, addresses, loss, jitter),
            hosts: Vec::new(),
            hosts_by_id: BTreeMap::new(),
            queue: Queue::new(),
            outbox: Outbox::default(),
            answers: BTreeMap::new(),
            last_ticket: 0,
            hash: EventHash::new(),
            events: 0,
        }
    }

    /// Adds a host whose node is made by `make` at each start. It is off.
    ///
    /// # Panics
    /// If the delay matrix has no node left for it.
    pub fn add_node(
        &mut self,
        make: impl Fn(Vec<(NodeId, SocketAddr)>, &mut Rng) -> Config + 'static,
    ) -> HostId {
        let room = self.network.hosts_max();
        assert!(self.hosts.len() < room, "the delay matrix has room for {room} hosts only");
        let host = HostId(self.hosts.len() as u32);
        self.hosts.push(Host {
            make: Box::new(make),
            address: self.network.address(host),
            process: None,
            is_standing: false,
            life: 0,
            id: None,
            known: Vec::new(),
            traffic: Traffic::default(),
        });
        host
    }

    /// Draws random bytes, for whoever adds nodes.
    pub fn draw<const N: usize>(&mut self) -> [u8; N] {
        self.rng.random()
    }

    /// Starts the host's node at this time, which must not have passed; if it runs then, nothing happens.
    pub fn start_at(&mut self, host: HostId, at: Instant) {
        self.queue.push(at.max(self.now), Happening::Start(host));
    }

    /// Starts the host's node now: the same identity and what it remembered, a new life.
    pub fn restart(&mut self, host: HostId) {
        self.end(host, true);
        self.start(host);
    }

    /// The peers that the host's node knew are lost, as with its state directory: to be told between two lives.
    pub fn forget(&mut self, host: HostId) {
        self.hosts[host.index()].known.clear();
    }

    /// The machine is gone: nobody is told, and nothing answers for it.
    pub fn kill(&mut self, host: HostId) {
        self.end(host, false);
    }

    /// The process is gone, the machine stands: datagrams are answered by ICMP *port unreachable*.
    pub fn crash(&mut self, host: HostId) {
        self.end(host, true);
    }

    /// The node says goodbye and ends; the machine stands.
    pub fn leave(&mut self, host: HostId) {
        self.with(host, |node, now| node.leave(now));
        self.end(host, true);
    }

    /// Cuts the network: datagrams pass within a group only. Hosts that no group names are in the first.
    pub fn partition(&mut self, groups: &[Vec<HostId>]) {
        self.network.partition(groups);
    }

    /// Ends the partition.
    pub fn heal(&mut self) {
        self.network.heal();
    }

    /// Lets no datagram pass between two hosts.
    pub fn block(&mut self, a: HostId, b: HostId) {
        self.network.block(a, b);
    }

    /// Ends what [`World::block`] began.
    pub fn unblock(&mut self, a: HostId, b: HostId) {
        self.network.unblock(a, b);
    }

    /// Puts an attacker, or a broken router, into the network: it sees every datagram with both hosts, and what
    /// it says yes to does not arrive. It takes the place of an earlier one.
    pub fn intercept(&mut self, drops: impl FnMut(HostId, HostId, &[u8]) -> bool + 'static) {
        self.network.interceptor = Some(Interceptor(Box::new(drops)));
    }

    /// Sets the share of datagrams that is lost.
    pub fn set_loss(&mut self, loss: f64) {
        self.network.loss = loss;
    }

    /// Lets everything happen up to this time, which is then the present.
    pub fn run_until(&mut self, end: Instant) {
        while let Some((at, happening)) = self.queue.pop_until(end) {
            self.now = at;
            self.happen(happening);
        }
        self.now = self.now.max(end);
    }

    /// Lets time pass.
    pub fn run_for(&mut self, duration: Duration) {
        self.run_until(self.now + duration);
    }

    /// Lets time pass while the condition holds, which is looked at ten times a second of virtual time; an
    /// error if it still holds after `limit`. Returns the time that passed.
    pub fn run_while(
        &mut self,
        mut condition: impl FnMut(&World) -> bool,
        limit: Duration,
    ) -> Result<Duration, TimedOut> {
        let begun = self.now;
        while condition(self) {
            if self.now - begun >= limit {
                return Err(TimedOut { limit, seed: self.seed });
            }
            self.run_for(LOOK_PAUSE);
        }
        Ok(self.now - begun)
    }

    /// Gives a host's node something; for commands that answer, see [`World::ask`].
    pub fn with(&mut self, host: HostId, act: impl FnOnce(&mut Node, Now)) {
        self.input(host, |process, _, now| act(&mut process.node, now));
    }

    /// Gives a host's node a command under a new ticket.
    pub fn command(&mut self, host: HostId, act: impl FnOnce(&mut Node, Ticket, Now)) -> Ticket {
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        self.with(host, |node, now| act(node, ticket, now));
        ticket
    }

    /// Takes the answer to a command, and when it came.
    pub fn take_answer(&mut self, ticket: Ticket) -> Option<(Instant, Answer)> {
        self.answers.remove(&ticket)
    }

    /// Gives a host's node a command and lets time pass until it is answered.
    pub fn ask(
        &mut self,
        host: HostId,
        limit: Duration,
        act: impl FnOnce(&mut Node, Ticket, Now),
    ) -> Result<Answer, TimedOut> {
        let ticket = self.command(host, act);
        self.run_while(|world| !world.answers.contains_key(&ticket), limit)?;
        let (_, answer) = self.take_answer(ticket).expect("waited for just now");
        Ok(answer)
    }

    /// A program on the host gives an IP packet to the virtual device.
    pub fn send_packet(&mut self, host: HostId, packet: Vec<u8>) {
        self.input(host, |process, outbox, now| process.handle_packet(packet, outbox, now));
    }

    /// Takes the IP packets that came out of the host's virtual device.
    pub fn received(&mut self, host: HostId) -> Vec<Vec<u8>> {
        let process = self.hosts[host.index()].process.as_mut();
        process.map_or_else(Vec::new, |process| std::mem::take(&mut process.packets))
    }

    /// Puts `hop` on the way of the frames that the host's lane sends through the overlay in its present
    /// life: it is given what overlay hops see of them, and what it changes arrives changed.
    pub fn tap_tunnel(&mut self, host: HostId, hop: impl FnMut(&mut Vec<u8>) + 'static) {
        if let Some(process) = &mut self.hosts[host.index()].process {
            process.hop = Some(Box::new(hop));
        }
    }

    /// What the host's lane dropped in its present life, as of its last report.
    pub fn drops(&self, host: HostId) -> Drops {
        self.process(host).map_or_else(Drops::default, |process| process.drops)
    }

    /// The addresses of the host's virtual device.
    pub fn device(&self, host: HostId) -> Option<&DeviceAddresses> {
        self.process(host)?.device.as_ref()
    }

    /// What the host's node told of its present life.
    pub fn events_of(&self, host: HostId) -> &[(Instant, Event)] {
        self.process(host).map_or(&[], |process| &process.events)
    }

    /// The host's node, if it runs.
    pub fn node(&self, host: HostId) -> Option<&Node> {
        self.process(host).map(|process| &process.node)
    }

    /// The host's lane, if its node runs and has a virtual network.
    pub fn lane(&self, host: HostId) -> Option<&Lane> {
        self.process(host)?.lane()
    }

    /// Does something to the host's lane behind its node's back: plants what checks must find.
    pub fn meddle(&mut self, host: HostId, act: impl FnOnce(&mut Lane)) {
        let process = self.hosts[host.index()].process.as_deref_mut();
        process.and_then(Process::lane_mut).map(act);
    }

    /// The hosts whose nodes run.
    pub fn live(&self) -> impl Iterator<Item = (HostId, &Node)> {
        self.hosts().filter_map(|host| Some((host, self.node(host)?)))
    }

    /// All hosts.
    pub fn hosts(&self) -> impl Iterator<Item = HostId> + use<> {
        (0..self.hosts.len() as u32).map(HostId)
    }

    /// The ID that the host's node has or had.
    pub fn id(&self, host: HostId) -> Option<NodeId> {
        self.hosts[host.index()].id
    }

    /// The host whose node has or had this ID.
    pub fn host_of(&self, id: NodeId) -> Option<HostId> {
        self.hosts_by_id.get(&id).copied()
    }

    /// The endpoint of the host's node.
    pub fn address(&self, host: HostId) -> SocketAddr {
        self.hosts[host.index()].address
    }

    /// What the host sent and received since it was added.
    pub fn traffic(&self, host: HostId) -> Traffic {
        self.hosts[host.index()].traffic
    }

    /// The present.
    pub fn now(&self) -> Now {
        let seconds = self.now.saturating_since(Instant::ZERO).as_secs();
        Now { instant: self.now, unix: UnixTime(EPOCH.0 + seconds) }
    }

    /// The seed that this world was made from.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The hash over everything that happened.
    pub fn hash(&self) -> EventHash {
        self.hash
    }

    /// How much happened.
    pub fn events(&self) -> u64 {
        self.events
    }

    fn process(&self, host: HostId) -> Option<&Process> {
        self.hosts[host.index()].process.as_deref()
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Start(host) => self.start(host),
            Happening::Wake(host) => self.wake(host),
            Happening::Report { host, life } => self.report(host, life),
            Happening::Datagram { from, to, bytes } => self.arrive(from, to, bytes),
            Happening::Unreachable { host, to } => {
                self.record(4, host, &[]);
                self.input(host, |process, _, now| process.node.handle_unreachable(to, now));
            }
        }
    }

    fn start(&mut self, host: HostId) {
        let now = self.now();
        let seed = self.rng.random();
        let entry = &mut self.hosts[host.index()];
        if entry.process.is_some() {
            return;
        }
        let config = (entry.make)(std::mem::take(&mut entry.known), &mut Rng::new(seed));
        let process = Process::start(config, self.rng.random(), entry.address, now)
            .expect("the configuration was made for this world and is valid");
        entry.life += 1;
        entry.is_standing = true;
        let (id, life, has_lane) = (process.node.id(), entry.life, process.has_lane());
        entry.id = Some(id);
        entry.process = Some(Box::new(process));
        self.hosts_by_id.insert(id, host);
        self.record(1, host, id.as_bytes());
        if has_lane {
            self.queue.push(self.now + REPORT_PAUSE, Happening::Report { host, life });
        }
        self.input(host, |_, _, _| {});
    }

    fn end(&mut self, host: HostId, is_standing: bool) {
        let entry = &mut self.hosts[host.index()];
        entry.is_standing = is_standing;
        if let Some(process) = entry.process.take() {
            entry.known = process.node.overlay(INSTANCE).known_endpoints();
        }
    }

    fn wake(&mut self, host: HostId) {
        let now = self.now;
        let Some(process) = &mut self.hosts[host.index()].process else { return };
        // Another one, earlier or of a former life, has taken its place.
        if process.scheduled != now {
            return;
        }
        process.scheduled = Instant::FAR_FUTURE;
        if process.wake <= now {
            self.record(2, host, &[]);
            self.input(host, |process, _, now| process.handle_timeout(now));
        } else {
            self.schedule(host);
        }
    }

    fn report(&mut self, host: HostId, life: u32) {
        if self.hosts[host.index()].life == life && self.process(host).is_some() {
            self.queue.push(self.now + REPORT_PAUSE, Happening::Report { host, life });
            self.input(host, |process, _, now| process.report_lane(now));
        }
    }

    fn arrive(&mut self, from: HostId, to: HostId, bytes: Vec<u8>) {
        let source = self.hosts[from.index()].address;
        let host = &mut self.hosts[to.index()];
        if host.process.is_some() {
            host.traffic.received.count(&bytes, headers_len(source));
            self.record(3, to, &bytes);
            self.input(to, |process, _, now| process.handle_datagram(source, bytes, now));
        } else if host.is_standing
            && let Some(delay) = self.network.carry(to, from, &mut self.rng)
        {
            let unreachable = Happening::Unreachable { host: from, to: host.address };
            self.queue.push(self.now + delay, unreachable);
        }
    }

    /// Gives a process one input, takes its outputs and plans its next timeout.
    fn input(&mut self, host: HostId, act: impl FnOnce(&mut Process, &mut Outbox, Now)) {
        let now = self.now();
        let Some(process) = &mut self.hosts[host.index()].process else { return };
        let mut outbox = std::mem::take(&mut self.outbox);
        act(process, &mut outbox, now);
        process.drain(&mut outbox, now);
        self.schedule(host);
        for (to, bytes) in outbox.datagrams.drain(..) {
            self.send(host, to, bytes);
        }
        let answers = outbox.answers.drain(..);
        self.answers.extend(answers.map(|(ticket, answer)| (ticket, (now.instant, answer))));
        self.outbox = outbox;
    }

    fn schedule(&mut self, host: HostId) {
        if let Some(process) = &mut self.hosts[host.index()].process
            && process.wake < process.scheduled
        {
            process.scheduled = process.wake.max(self.now);
            self.queue.push(process.scheduled, Happening::Wake(host));
        }
    }

    fn send(&mut self, from: HostId, to: SocketAddr, bytes: Vec<u8>) {
        self.hosts[from.index()].traffic.sent.count(&bytes, headers_len(to));
        let Some(to) = self.network.host_at(to).filter(|to| to.index() < self.hosts.len()) else {
            return;
        };
        if self.network.intercepts(from, to, &bytes) {
            return;
        }
        if let Some(delay) = self.network.carry(from, to, &mut self.rng) {
            self.queue.push(self.now + delay, Happening::Datagram { from, to, bytes });
        }
    }

    fn record(&mut self, kind: u64, host: HostId, bytes: &[u8]) {
        self.events += 1;
        let hash = self.hash.add_u64(self.now.as_micros()).add_u64(kind).add_u64(host.0.into());
        hash.add_bytes(bytes);
    }
}

fn headers_len(address: SocketAddr) -> usize {
    if address.is_ipv4() { traffic::HEADERS_LEN_V4 } else { traffic::HEADERS_LEN_V6 }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World")
            .field("seed", &self.seed)
            .field("now", &self.now)
            .field("hosts", &self.hosts.len())
            .field("queued", &self.queue.len())
            .field("events", &self.events)
            .finish_non_exhaustive()
    }
}
