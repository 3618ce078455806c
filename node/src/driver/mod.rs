//! Drives the core: one input at a time, then everything the node wants done, then the next input.
//!
//! Inputs are punts of the lane, the node's deadline, questions of local clients, changes of addresses, and
//! signals. Everything here runs on one thread. Nothing but the wait between two inputs takes time, and, some
//! times a day, the writing of a small file: a lease, a certificate, a grant. What comes often or is long is
//! written elsewhere (`crate::saving`).
//!
//! | file | question |
//! |---|---|
//! | `mod` | what comes in next, and where does what comes out go |
//! | `events` | what happened |
//! | `membership` | what changes about certificate, secrets and revocations |
//! | `repeats` | was that told before |
//! | `answers`, `commands` | what is answered to clients, at once or later |

mod answers;
mod commands;
mod events;
mod membership;
mod repeats;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use packetio::Udp;
use pki::HostPort;
use proto::Node;
use proto::lane::Drops;
use proto::node::api::Output;
use proto::path::Path;
use proto::time::Instant;
use proto::vpn::DeviceAddresses;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::api::Question;
use crate::bootstrap::Moved;
use crate::clock::Clock;
use crate::config::Config;
use crate::device::VirtualDevice;
use crate::endpoints::{self, Excluded};
use crate::enrol::keeper::Keeper;
use crate::failure::Failure;
use crate::identity::Identity;
use crate::known::Known;
use crate::lane::{LaneHandle, Punt, Punted, Traffic};
use crate::overlays::Overlays;
use crate::saving::Saving;
use crate::state::StateDir;
use commands::Commands;
use events::Trouble;
use repeats::Repeats;

/// Punts handled before other inputs get their turn.
const PUNTS_PER_TURN: usize = 64;
/// Shortest time between two writes of the notices, or of the group secrets: what a crash can lose. A member that
/// was away takes thousands of notices one by one, and each write holds all.
const SAVE_INTERVAL: Duration = Duration::from_secs(1);
/// How long after a change of the host its device is looked after: who takes an address away is let finish, and two
/// programs that disagree do not keep each other busy.
const RESTORE_AFTER: Duration = Duration::from_secs(1);
/// How long an ephemeral member stays to give its address back: some round trips.
const RELEASE_PATIENCE: Duration = Duration::from_millis(500);

/// Everything the daemon has opened.
pub struct Driver {
    /// The core.
    pub node: Node,
    /// The clocks it is told.
    pub clock: Clock,
    /// Settings.
    pub config: Config,
    /// The file that the node's certificate was named by, to be read again.
    pub certificate_file: Option<PathBuf>,
    /// Who the node is in its group, if it is in one.
    pub identity: Option<Identity>,
    /// What comes from the group service, if there is one.
    pub keeper: Option<Keeper>,
    /// The socket, for control datagrams.
    pub udp: Udp,
    /// Where it is bound.
    pub listen: SocketAddr,
    /// Orders to the data lane.
    pub lane: LaneHandle,
    /// What the lane does not decide.
    pub punts: Punted,
    /// Questions of clients.
    pub questions: mpsc::Receiver<Question>,
    /// Tells those who look them up which bootstrap nodes the group has now.
    pub names: watch::Sender<Vec<HostPort>>,
    /// Bootstrap endpoints that are others than before.
    pub moved: mpsc::Receiver<Moved>,
    /// Addresses that are never offered.
    pub excluded: Excluded,
    /// The virtual device, if there is one.
    pub device: Option<VirtualDevice>,
    /// What is kept over a restart.
    pub state: Arc<StateDir>,
    /// Which overlays it takes part in.
    pub overlays: Overlays,
    /// What the loop works on.
    pub work: Work,
}

/// State of the loop.
#[derive(Default)]
pub struct Work {
    /// When the node wants to be called; `None` is at once.
    deadline: Option<Instant>,
    commands: Commands,
    drops: Drops,
    traffic: Traffic,
    control_send_drops: u64,
    troubles: Repeats<Trouble>,
    /// Where the last refusal was: that a dial there failed is no news.
    refused_last: Option<Path>,
    /// Whether the lane is to be told anew where the peers are.
    links_changed: bool,
    /// Addresses that the node wants to have.
    addresses: Option<DeviceAddresses>,
    /// Whether the device does not have them yet.
    device_is_behind: bool,
    /// Since when the addresses of the device are to be looked after.
    host_changed: Option<Instant>,
    /// Whether the list of revocations was out of date when that was last looked at.
    was_stale: bool,
    /// From which notice on the authority has signed two histories, once that was seen.
    fork: Option<u64>,
    /// Notices and group secrets on their way to the disk.
    notices: Saving,
    secrets: Saving,
    /// Why nobody is linked, as far as is known; forgotten with the next link.
    trouble: Option<String>,
    /// What is wrong with the virtual IPv4 address; forgotten once one is held.
    address_trouble: Option<String>,
    /// Why the node must stop, once it must.
    stop: Option<Failure>,
}

impl Work {
    /// The state at the start, with why nobody will be linked if that is known already.
    pub fn new(trouble: Option<String>) -> Self {
        Self { trouble, ..Self::default() }
    }
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
        self.offer_endpoints().await;
        let ended = loop {
            self.drain();
            if let Err(failure) = self.set_up_device().await {
                break Err(failure);
            }
            self.restore_addresses().await;
            self.overlays.all_known().for_each(Known::save_soon);
            self.save_news_soon();
            self.note_staleness();
            self.tell_fork();
            if let Some(keeper) = &self.keeper {
                keeper.set_alone(!self.is_linked());
            }
            if let Some(failure) = self.work.stop.take() {
                break Err(failure);
            }
            tokio::select! {
                punt = self.punts.recv() => match punt {
                    Some(punt) => self.handle_punts(punt),
                    None => break Ok(()),
                },
                () = until(self.clock, self.work.deadline) => {
                    self.node.handle_timeout(self.clock.now());
                }
                Some(question) = self.questions.recv() => self.answer(question),
                update = Keeper::next(&mut self.keeper) => self.handle_update(update),
                () = changes.notified() => {
                    self.offer_endpoints().await;
                    self.work.host_changed.get_or_insert(self.clock.instant());
                }
                Some(moved) = self.moved.recv() => self.handle_moved(moved).await,
                _ = signals.reload.recv() => self.reload(),
                _ = signals.terminate.recv() => break Ok(()),
                _ = signals.interrupt.recv() => break Ok(()),
            }
        };
        self.close().await.and(ended)
    }

    /// Does what the node wants until it waits.
    fn drain(&mut self) {
        let mut lane_has_work = false;
        loop {
            match self.node.poll() {
                // A link through the tunnel would carry itself (checklist X23).
                Output::Datagram { to, .. } if self.excluded.covers(to.ip()) => {
                    self.work.control_send_drops += 1;
                }
                Output::Datagram { to, bytes } => {
                    if let Err(error) = self.udp.send_one(to, &bytes) {
                        self.work.control_send_drops += 1;
                        tracing::trace!(%to, %error, "control datagram not sent");
                    }
                }
                Output::Lane(input) => {
                    self.lane.order(input);
                    lane_has_work = true;
                }
                Output::Device(addresses) => {
                    self.work.addresses = Some(addresses);
                    self.work.device_is_behind = true;
                }
                Output::Answer(ticket, answer) => self.work.commands.finish(ticket, answer),
                Output::Event(event) => self.note(event),
                Output::Wait(deadline) => {
                    self.work.deadline = Some(deadline);
                    break;
                }
            }
        }
        if std::mem::take(&mut self.work.links_changed) {
            let direct =
                self.node.links().sessions().filter_map(|(_, session)| match session.path {
                    Path::Direct(endpoint) => Some(endpoint),
                    _ => None,
                });
            self.lane.set_peers(direct.collect());
            lane_has_work = true;
        }
        if lane_has_work {
            self.lane.wake();
        }
    }

    /// Gives the device the addresses that the node wants it to have.
    async fn set_up_device(&mut self) -> Result<(), Failure> {
        let (Some(device), Some(addresses)) = (&mut self.device, self.work.addresses) else {
            return Ok(());
        };
        if !std::mem::take(&mut self.work.device_is_behind) {
            return Ok(());
        }
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

    /// Gives the device back what another program took from it, if the host changed.
    async fn restore_addresses(&mut self) {
        let (Some(device), Some(since)) = (&self.device, self.work.host_changed) else { return };
        if self.clock.instant().saturating_since(since) < RESTORE_AFTER {
            return;
        }
        self.work.host_changed = None;
        let text = match device.restore().await {
            Ok(false) => return,
            Ok(true) => {
                "another program took the addresses of the virtual device: set again".into()
            }
            Err(error) => format!("cannot set the addresses of the virtual device again: {error}"),
        };
        if let Some(repeats) = self.is_news(Trouble::Addresses) {
            tracing::warn!(repeats, "{text}");
        }
    }

    /// Handles a punt and those that came with it.
    fn handle_punts(&mut self, first: Punt) {
        let mut next = Some(first);
        for _ in 0..PUNTS_PER_TURN {
            let Some(punt) = next else { return };
            self.handle_punt(punt);
            self.drain();
            next = self.punts.try_recv();
        }
        if let Some(punt) = next {
            self.handle_punt(punt);
        }
    }

    fn handle_punt(&mut self, punt: Punt) {
        let now = self.clock.now();
        match punt {
            Punt::Datagram { from, .. } if self.excluded.covers(from.ip()) => {}
            Punt::Datagram { from, mut bytes } => self.node.handle_datagram(from, &mut bytes, now),
            Punt::Frame { path, bytes } => self.node.handle_outgoing_frame(path, bytes, now),
            Punt::Unrouted(packet) => self.node.handle_unrouted(&packet, now),
            Punt::Unproven { peer, packet } => self.node.handle_unproven(peer, &packet, now),
            Punt::Unreachable(to) => self.node.handle_unreachable(to, now),
            Punt::TooBig(to) => self.node.handle_too_big(to, now),
            Punt::Report(report, traffic) => {
                self.work.drops.add(&report.drops);
                self.work.traffic = traffic;
                self.node.handle_report(&report, now);
                self.work.drops.add(&self.node.take_drops());
            }
        }
    }

    /// Gives the virtual address back, while there are links to do it by.
    async fn give_lease_back(&mut self) -> Result<(), Failure> {
        self.node.release_lease(self.clock.now());
        let end = tokio::time::Instant::now() + RELEASE_PATIENCE;
        loop {
            self.drain();
            tokio::select! {
                Some(punt) = self.punts.recv() => self.handle_punts(punt),
                () = until(self.clock, self.work.deadline) => {
                    self.node.handle_timeout(self.clock.now());
                }
                () = tokio::time::sleep_until(end) => break,
            }
        }
        self.state.forget_lease()
    }

    /// Leaves the ring and closes what is open. Goodbyes are sent at once, so nothing is waited for.
    async fn close(mut self) -> Result<(), Failure> {
        for peer in self.node.peers(self.clock.now()) {
            // A path may have become direct since the link came up.
            if let Path::Direct(endpoint) = peer.path {
                self.overlays.known(peer.instance).linked(peer.id, endpoint);
            }
        }
        for known in self.overlays.all_known() {
            known.save_now().await;
        }
        if self.config.ephemeral {
            self.give_lease_back().await?;
        }
        self.node.leave(self.clock.now());
        self.drain();
        if let Some(device) = &mut self.device
            && let Err(error) = device.clear().await
        {
            // The kernel does the same when the device closes.
            tracing::debug!(%error, "addresses not taken back");
        }
        let socket = self.config.socket();
        // Gone already, if the user removed it.
        let _ = std::fs::remove_file(socket);
        self.save_news_now().await;
        let stopped = self.lane.stop();
        tracing::info!("left");
        stopped.map_err(|error: io::Error| match error.raw_os_error() {
            Some(errno) if errno == Errno::EBADFD as i32 => Failure::host(format!(
                "{} is gone: another program removed it; start the daemon again",
                self.config.device
            )),
            _ => Failure::host(format!("the data lane ended: {error}")),
        })
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

async fn until(clock: Clock, deadline: Option<Instant>) {
    match clock.to_monotonic(deadline.unwrap_or(Instant::ZERO)) {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
