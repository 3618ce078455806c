//! Drives the core: one input at a time, then everything the node wants done, then the next input.
//!
//! Inputs are punts of the lane, the node's deadline, questions of local clients, changes of the host's
//! addresses, and signals. Everything here runs on one thread; nothing but the wait between two inputs takes
//! time.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use packetio::Udp;
use proto::lane::Drops;
use proto::node::api::{Answer, Event, Output, Ticket};
use proto::path::Path;
use proto::time::Instant;
use proto::vpn::{self, DeviceAddresses};
use proto::{Node, NodeId};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

use crate::api::{self, Question, Reply, Request};
use crate::clock::Clock;
use crate::config::Config;
use crate::device::VirtualDevice;
use crate::endpoints::{self, Excluded};
use crate::failure::Failure;
use crate::identity::{self, Identity};
use crate::known::Known;
use crate::lane::{LaneHandle, Punt, Traffic};
use crate::metrics::Snapshot;
use crate::state::{Lease, StateDir};

/// Commands that wait for their answer; more are refused.
const COMMANDS_MAX: usize = 256;
/// Punts handled before other inputs get their turn.
const PUNTS_PER_TURN: usize = 64;
/// How much of a peer's ID names it: fewer digits are too easily somebody else's.
const ID_START_MIN: usize = 4;

/// Everything the daemon has opened.
pub struct Driver {
    /// The core.
    pub node: Node,
    /// The clocks it is told.
    pub clock: Clock,
    /// Settings.
    pub config: Config,
    /// Who the node is.
    pub identity: Identity,
    /// The socket, for control datagrams.
    pub udp: Udp,
    /// Where it is bound.
    pub listen: SocketAddr,
    /// Orders to the data lane.
    pub lane: LaneHandle,
    /// What the lane does not decide.
    pub punts: mpsc::Receiver<Punt>,
    /// Questions of clients.
    pub questions: mpsc::Receiver<Question>,
    /// Addresses that are never offered.
    pub excluded: Excluded,
    /// The virtual device, if there is one.
    pub device: Option<VirtualDevice>,
    /// What is kept over a restart.
    pub state: Arc<StateDir>,
    /// Peers to remember.
    pub known: Known,
}

/// State of the loop.
struct Running {
    deadline: Instant,
    commands: HashMap<Ticket, Waiter>,
    next_ticket: u64,
    drops: Drops,
    traffic: Traffic,
    control_send_drops: u64,
    /// What the device shall have.
    addresses: Option<DeviceAddresses>,
    /// Why the node must stop, once it must.
    stop: Option<Failure>,
}

/// Who waits for the answer to a command.
struct Waiter {
    /// The node that the command is about.
    node: NodeId,
    reply: oneshot::Sender<Reply>,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    reload: Signal,
}

impl Driver {
    /// Runs until a signal or a reason to stop; then leaves the ring and closes everything.
    pub async fn run(mut self) -> Result<(), Failure> {
        let mut signals = Signals::new().map_err(Failure::host)?;
        let changes = endpoints::watch().map_err(Failure::host)?;
        let mut running = Running::new();
        self.offer_endpoints();
        self.node.handle_timeout(self.clock.now());
        self.drain(&mut running);
        self.set_up_device(&running).await?;
        let ended = loop {
            if let Some(failure) = running.stop.take() {
                break Err(failure);
            }
            tokio::select! {
                punt = self.punts.recv() => match punt {
                    Some(punt) => self.handle_punts(punt, &mut running),
                    None => break Ok(()),
                },
                () = until(self.clock, running.deadline) => {
                    self.node.handle_timeout(self.clock.now());
                }
                Some(question) = self.questions.recv() => self.answer(question, &mut running),
                () = changes.notified() => self.offer_endpoints(),
                _ = signals.reload.recv() => self.reload(&mut running),
                _ = signals.terminate.recv() => break Ok(()),
                _ = signals.interrupt.recv() => break Ok(()),
            }
            self.drain(&mut running);
            self.set_up_device(&running).await?;
            self.known.save_soon();
        };
        self.close(running).await.and(ended)
    }

    /// Does what the node wants until it waits.
    fn drain(&mut self, running: &mut Running) {
        let mut lane_has_work = false;
        loop {
            match self.node.poll() {
                Output::Datagram { to, bytes } => {
                    if let Err(error) = self.udp.send_one(to, &bytes) {
                        running.control_send_drops += 1;
                        tracing::trace!(%to, %error, "control datagram not sent");
                    }
                }
                Output::Lane(input) => {
                    self.lane.order(input);
                    lane_has_work = true;
                }
                Output::Device(addresses) => running.addresses = Some(addresses),
                Output::Answer(ticket, answer) => running.finish(ticket, answer),
                Output::Event(event) => self.note(event, running),
                Output::Wait(deadline) => {
                    running.deadline = deadline;
                    break;
                }
            }
        }
        if lane_has_work {
            self.lane.wake();
        }
    }

    /// Gives the device the addresses that the node wants it to have.
    async fn set_up_device(&mut self, running: &Running) -> Result<(), Failure> {
        let (Some(device), Some(addresses)) = (&mut self.device, running.addresses) else {
            return Ok(());
        };
        let (ipv6, prefix) = addresses.ipv6;
        let ipv4 = addresses.ipv4.map(|(ip, prefix)| (IpAddr::V4(ip), prefix));
        let wanted: Vec<_> = ipv4.into_iter().chain([(IpAddr::V6(ipv6), prefix)]).collect();
        device.set(&wanted, addresses.mtu).await.map_err(|error| {
            Failure::host(format!(
                "cannot set addresses of {}: {error}: run as root or grant CAP_NET_ADMIN",
                self.config.device
            ))
        })
    }

    /// Handles a punt and those that came with it.
    fn handle_punts(&mut self, first: Punt, running: &mut Running) {
        let mut next = Some(first);
        for _ in 0..PUNTS_PER_TURN {
            let Some(punt) = next else { return };
            self.handle_punt(punt, running);
            self.drain(running);
            next = self.punts.try_recv().ok();
        }
        if let Some(punt) = next {
            self.handle_punt(punt, running);
        }
    }

    fn handle_punt(&mut self, punt: Punt, running: &mut Running) {
        let now = self.clock.now();
        match punt {
            Punt::Datagram { from, mut bytes } => self.node.handle_datagram(from, &mut bytes, now),
            Punt::Frame { path, bytes } => self.node.handle_outgoing_frame(path, bytes, now),
            Punt::Unrouted(packet) => self.node.handle_unrouted(&packet, now),
            Punt::Unproven { peer, packet } => self.node.handle_unproven(peer, &packet, now),
            Punt::Unreachable(to) => self.node.handle_unreachable(to, now),
            Punt::Report(report, traffic) => {
                running.drops.add(&report.drops);
                running.traffic = traffic;
                self.node.handle_report(&report, now);
            }
        }
    }

    fn note(&mut self, event: Event, running: &mut Running) {
        match event {
            Event::Joined { after, .. } => tracing::info!(?after, "joined"),
            Event::LinkUp { peer, member, path, .. } => {
                let user = member.map(|(user, _)| user);
                tracing::info!(%peer, user, ?path, "link up");
                if let Path::Direct(endpoint) = path {
                    self.known.linked(peer, endpoint);
                }
            }
            Event::LinkDown { peer, reason, .. } => tracing::info!(%peer, reason, "link down"),
            Event::Refused { path, why, by_us: true } => {
                tracing::warn!(?path, "peer refused: {why}");
            }
            Event::Refused { path, why, by_us: false } => {
                tracing::warn!(?path, "refused by the peer: {why}");
            }
            Event::NoAnswer { endpoint } => tracing::warn!(%endpoint, "no answer; is it running?"),
            Event::Vpn(event) => self.note_vpn(event),
            Event::IdInUse => {
                running.stop = Some(Failure::identity(
                    "another running node has this node's key: give each node a state directory \
                     and a certificate of its own",
                ));
            }
        }
    }

    fn offer_endpoints(&mut self) {
        match endpoints::local(self.listen, &self.excluded) {
            Ok(local) => self.node.handle_endpoints(local, self.clock.now()),
            Err(error) => tracing::warn!(%error, "cannot read the host's addresses"),
        }
    }

    fn note_vpn(&self, event: vpn::Event) {
        match event {
            vpn::Event::Leased(ipv4) => {
                tracing::info!(%ipv4, "{event}");
                let node = self.node.id();
                if let Err(error) = self.state.set_lease(Lease { node, ipv4 }) {
                    tracing::warn!(%error, "lease not saved");
                }
            }
            _ => tracing::warn!("{event}"),
        }
    }

    /// Reads the notices file again; sessions that a notice concerns end.
    fn reload(&mut self, running: &mut Running) {
        let Some(path) = &self.config.notices else {
            return tracing::info!("nothing to read again: no notices file is configured");
        };
        let news = match identity::read_notices(&mut self.identity.trust, path) {
            Ok(news) => news,
            Err(failure) => return tracing::warn!("{failure}"),
        };
        let now = self.clock.now();
        let text = self.identity.trust.ledger().to_text();
        if let Err(error) = self.node.take_notices(&text, now) {
            tracing::warn!(%error, "notices not taken");
        }
        if let Err(error) = self.state.set_notices(&text) {
            tracing::warn!(%error, "notices not saved");
        }
        tracing::info!(news, number = self.identity.trust.ledger().number(), "notices read");
        if let Err(refusal) = self.identity.trust.rejudge(&self.identity.member, now.unix) {
            running.stop = Some(Failure::identity(format!("own certificate: {refusal}")));
        }
    }

    fn answer(&mut self, question: Question, running: &mut Running) {
        match question {
            // Whoever asked and left needs no answer.
            Question::Snapshot(reply) => drop(reply.send(self.snapshot(running))),
            Question::Request(request, reply) => match request {
                Request::Status => drop(reply.send(Reply::of(&self.status(running)))),
                Request::Peers => drop(reply.send(Reply::of(&self.peers()))),
                Request::Ping { to } => match self.find(&to) {
                    Ok(id) => {
                        let ticket = running.begin(id, reply);
                        if let Some(ticket) = ticket {
                            self.node.ping(ticket, id, self.clock.now());
                        }
                    }
                    Err(error) => drop(reply.send(Reply::Error(error))),
                },
                Request::Crawl => {
                    let ticket = running.begin(self.node.id(), reply);
                    if let Some(ticket) = ticket {
                        self.node.crawl(ticket, self.clock.now());
                    }
                }
            },
        }
    }

    /// The node that a user means.
    fn find(&self, name: &str) -> Result<NodeId, String> {
        if let Ok(id) = name.parse() {
            return Ok(id);
        }
        let start = name.to_ascii_lowercase();
        let peers = self.node.peers(self.clock.now());
        let mut named = peers.iter().filter(|peer| peer.id.to_string().starts_with(&start));
        match (start.len() >= ID_START_MIN, named.next(), named.next()) {
            (true, Some(peer), None) => Ok(peer.id),
            (true, Some(_), Some(_)) => Err(format!("{name} is the start of several node ids")),
            _ => Err(format!(
                "{name} is neither a node id nor that of a linked peer: see warren peers"
            )),
        }
    }

    fn status(&self, running: &Running) -> api::Status {
        let status = self.node.status();
        api::Status {
            version: env!("CARGO_PKG_VERSION").into(),
            node_id: status.id,
            group: self.identity.member.group.clone(),
            user: self.identity.member.user.clone(),
            certificate_not_after: self.identity.member.not_after.as_secs(),
            notices: self.identity.trust.ledger().number(),
            joined: status.joined,
            left: status.left,
            right: status.right,
            nodes_estimate: status.size_estimate,
            peers: self.node.peers(self.clock.now()).len(),
            listen: self.listen,
            endpoints: status.endpoints,
            device: self.excluded.device.clone(),
            ipv4: running.addresses.and_then(|addresses| addresses.ipv4).map(|(ip, _)| ip),
            ipv6: running.addresses.map(|addresses| addresses.ipv6.0),
            uptime_seconds: self.clock.instant().saturating_since(Instant::ZERO).as_secs_f64(),
        }
    }

    fn peers(&self) -> Vec<api::Peer> {
        let peers = self.node.peers(self.clock.now()).into_iter();
        peers
            .map(|peer| api::Peer {
                node_id: peer.id,
                user: peer.member.map(|(user, _)| user),
                path: peer.path.class().into(),
                endpoint: match peer.path {
                    Path::Direct(endpoint) => Some(endpoint),
                    _ => None,
                },
                purposes: peer.purposes.iter().map(ToString::to_string).collect(),
                rtt_ms: peer.rtt.map(|rtt| rtt.as_secs_f64() * 1e3),
                age_seconds: peer.age.as_secs_f64(),
                silent_seconds: peer.silent.as_secs_f64(),
            })
            .collect()
    }

    fn snapshot(&self, running: &Running) -> Snapshot {
        let status = self.node.status();
        let peers = self.node.peers(self.clock.now());
        let direct = peers.iter().filter(|peer| matches!(peer.path, Path::Direct(_))).count();
        Snapshot {
            joined: status.joined,
            ready: status.joined && (self.device.is_none() || running.has_ipv4()),
            peers: (direct, peers.len() - direct),
            nodes_estimate: status.size_estimate,
            certificate_not_after: self.identity.member.not_after.as_secs(),
            counters: self.node.counters(),
            drops: running.drops,
            traffic: running.traffic,
            control_send_drops: running.control_send_drops,
        }
    }

    /// Leaves the ring and closes what is open. Goodbyes are sent at once, so nothing is waited for.
    async fn close(mut self, mut running: Running) -> Result<(), Failure> {
        self.node.leave(self.clock.now());
        self.drain(&mut running);
        self.known.save_now();
        if let Some(device) = &mut self.device
            && let Err(error) = device.clear().await
        {
            // The kernel does the same when the device closes.
            tracing::debug!(%error, "addresses not taken back");
        }
        if self.config.ephemeral {
            self.state.forget_lease()?;
        }
        let socket = self.config.socket();
        // Gone already, if the user removed it.
        let _ = std::fs::remove_file(socket);
        let stopped = self.lane.stop();
        tracing::info!("left");
        stopped.map_err(|error: io::Error| Failure::host(format!("the data lane ended: {error}")))
    }
}

impl Running {
    fn new() -> Self {
        Self {
            deadline: Instant::FAR_FUTURE,
            commands: HashMap::new(),
            next_ticket: 0,
            drops: Drops::default(),
            traffic: Traffic::default(),
            control_send_drops: 0,
            addresses: None,
            stop: None,
        }
    }

    fn has_ipv4(&self) -> bool {
        self.addresses.is_some_and(|addresses| addresses.ipv4.is_some())
    }

    /// Remembers who asked; `None`, and the asker is told, if too many wait.
    fn begin(&mut self, node: NodeId, reply: oneshot::Sender<Reply>) -> Option<Ticket> {
        // Those who left are not waited for any more.
        self.commands.retain(|_, waiter| !waiter.reply.is_closed());
        if self.commands.len() >= COMMANDS_MAX {
            let _ = reply.send(Reply::Error("too many commands under way: try again".into()));
            return None;
        }
        self.next_ticket += 1;
        let ticket = Ticket(self.next_ticket);
        self.commands.insert(ticket, Waiter { node, reply });
        Some(ticket)
    }

    fn finish(&mut self, ticket: Ticket, answer: Answer) {
        let Some(Waiter { node, reply }) = self.commands.remove(&ticket) else { return };
        let text = match answer {
            Answer::Pong { rtt, hops, path } => Reply::of(&api::Pong {
                node_id: node,
                rtt_ms: rtt.as_secs_f64() * 1e3,
                hops,
                path: path.into(),
            }),
            Answer::Crawl(report) => Reply::of(&api::Crawl {
                consistent: report.consistent(),
                complete: report.complete,
                silent: report.silent,
                nodes: report
                    .nodes
                    .iter()
                    .map(|node| api::CrawledNode { node_id: node.id, consistent: node.consistent })
                    .collect(),
            }),
            Answer::Failed(why) => Reply::Error(why),
        };
        // Whoever asked and left needs no answer.
        let _ = reply.send(text);
    }
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            reload: signal(SignalKind::hangup())?,
        })
    }
}

async fn until(clock: Clock, deadline: Instant) {
    match clock.to_monotonic(deadline) {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
