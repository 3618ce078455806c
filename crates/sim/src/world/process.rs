//! A running node: the core and its data lane, driven as the daemon drives them.
//!
//! After each input all outputs are taken until the node says what it waits for. What a lane gives back to
//! the node meanwhile waits its turn. Datagrams go to the caller; everything else stays here.

use std::collections::VecDeque;
use std::net::SocketAddr;

use proto::lane::{Checksum, Drops, Inbound, Lane, Outbound};
use proto::node::api::{Answer, Config, Event, LaneInput, Output, Ticket};
use proto::path::Path;
use proto::session::LaneId;
use proto::time::{Instant, Now};
use proto::vpn::DeviceAddresses;
use proto::{Node, NodeId};

/// Events kept per node; later ones are counted by nobody. Tests look at the first minutes of a life.
const EVENTS_KEPT: usize = 4_096;
/// Packets kept that nobody has taken from the device; a full device drops.
const PACKETS_KEPT: usize = 4_096;
/// Times in a row that a node may want its timeout at one instant before it counts as spinning.
const TIMEOUTS_PER_INSTANT: u32 = 1_000;

/// What lies on the way of the frames that a host sends through the overlay: it sees, and may change, what
/// the hops do, the sealed frame of the two ends.
pub(super) type Hop = Box<dyn FnMut(&mut Vec<u8>)>;

/// One life of a node, from its start to its end.
pub(super) struct Process {
    pub(super) node: Node,
    lane: Option<Lane>,
    pending: VecDeque<Pending>,
    /// When the node wants its timeout.
    pub(super) wake: Instant,
    /// When the queue will wake it; later than `wake` only while an input is handled.
    pub(super) scheduled: Instant,
    last_timeout: (Instant, u32),
    pub(super) device: Option<DeviceAddresses>,
    pub(super) packets: Vec<Vec<u8>>,
    /// What the lane dropped.
    pub(super) drops: Drops,
    pub(super) hop: Option<Hop>,
    pub(super) events: Vec<(Instant, Event)>,
}

/// What leaves a process.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    pub(super) datagrams: Vec<(SocketAddr, Vec<u8>)>,
    pub(super) answers: Vec<(Ticket, Answer)>,
}

/// What a lane has for its node.
#[derive(Debug)]
enum Pending {
    Unrouted(Vec<u8>),
    Unproven(NodeId, Vec<u8>),
    OutgoingFrame(Path, Vec<u8>),
}

impl Process {
    pub(super) fn start(
        config: Config,
        seed: [u8; 32],
        address: SocketAddr,
        now: Now,
    ) -> Result<Self, proto::node::api::ConfigError> {
        let lane = config.vpn.as_ref().map(|vpn| Lane::new(LaneId::FIRST_DATA, vpn.network.mode));
        let mut node = Node::new(config, seed, now)?;
        node.handle_endpoints(vec![address], now);
        Ok(Self {
            node,
            lane,
            pending: VecDeque::new(),
            wake: now.instant,
            scheduled: Instant::FAR_FUTURE,
            last_timeout: (now.instant, 0),
            device: None,
            packets: Vec::new(),
            drops: Drops::default(),
            hop: None,
            events: Vec::new(),
        })
    }

    /// Whether the process has a lane, which reports each second.
    pub(super) fn has_lane(&self) -> bool {
        self.lane.is_some()
    }

    pub(super) fn lane(&self) -> Option<&Lane> {
        self.lane.as_ref()
    }

    pub(super) fn lane_mut(&mut self) -> Option<&mut Lane> {
        self.lane.as_mut()
    }

    pub(super) fn handle_timeout(&mut self, now: Now) {
        let (last, times) = self.last_timeout;
        let times = if last == now.instant { times + 1 } else { 0 };
        assert!(times < TIMEOUTS_PER_INSTANT, "a node spins at {last:?}: its deadline stays due");
        self.last_timeout = (now.instant, times);
        self.node.handle_timeout(now);
    }

    /// A datagram arrived at the UDP port.
    pub(super) fn handle_datagram(&mut self, from: SocketAddr, mut bytes: Vec<u8>, now: Now) {
        if !self.lane_takes(Path::Direct(from), &mut bytes, now) {
            self.node.handle_datagram(from, &mut bytes, now);
        }
    }

    /// A program of the host gave a packet to the device.
    pub(super) fn handle_packet(&mut self, packet: Vec<u8>, outbox: &mut Outbox, now: Now) {
        let Some(lane) = &mut self.lane else { return };
        match lane.outbound(&packet, packet.len(), now.instant) {
            Outbound::Seal(flow) => {
                for &piece in flow.pieces(packet.len()) {
                    let mut frame = vec![0; piece.frame_len(packet.len())];
                    let parts = [&packet[..], &[]];
                    let sealed = lane.seal(flow, piece, parts, Checksum::Complete, &mut frame);
                    match (sealed, flow.path()) {
                        (Ok(_), Path::Direct(to)) => outbox.datagrams.push((to, frame)),
                        (Ok(_), path) => {
                            self.pending.push_back(Pending::OutgoingFrame(path, frame));
                        }
                        (Err(_), _) => {}
                    }
                }
            }
            Outbound::Unrouted => self.pending.push_back(Pending::Unrouted(packet)),
            Outbound::Answer(answer) => self.deliver(answer.to_vec()),
            Outbound::Drop(_) => {}
        }
    }

    /// A second has passed.
    pub(super) fn report_lane(&mut self, now: Now) {
        if let Some(lane) = &mut self.lane {
            let report = lane.report();
            self.drops.add(&report.drops);
            self.node.handle_report(&report, now);
        }
    }

    /// Takes everything the node has to give, until it waits.
    pub(super) fn drain(&mut self, outbox: &mut Outbox, now: Now) {
        loop {
            match self.node.poll() {
                Output::Datagram { to, bytes } => outbox.datagrams.push((to, bytes)),
                Output::Lane(input) => self.obey(input, outbox, now),
                Output::Device(addresses) => self.device = Some(addresses),
                Output::Answer(ticket, answer) => outbox.answers.push((ticket, answer)),
                Output::Event(event) => {
                    if self.events.len() < EVENTS_KEPT {
                        self.events.push((now.instant, event));
                    }
                }
                Output::Wait(until) => match self.pending.pop_front() {
                    Some(pending) => self.give(pending, now),
                    None => {
                        self.wake = until;
                        return;
                    }
                },
            }
        }
    }

    fn give(&mut self, pending: Pending, now: Now) {
        match pending {
            Pending::Unrouted(packet) => self.node.handle_unrouted(&packet, now),
            Pending::Unproven(peer, packet) => self.node.handle_unproven(peer, &packet, now),
            Pending::OutgoingFrame(path, mut frame) => {
                if let Some(hop) = &mut self.hop {
                    hop(&mut frame);
                }
                self.node.handle_outgoing_frame(path, frame, now);
            }
        }
    }

    /// The lane does what its node says.
    fn obey(&mut self, input: LaneInput, outbox: &mut Outbox, now: Now) {
        match input {
            LaneInput::Delta(delta) => {
                if let Some(lane) = &mut self.lane {
                    lane.apply(delta);
                }
            }
            LaneInput::Outbound(packet) => self.handle_packet(packet, outbox, now),
            LaneInput::Deliver(packet) => self.deliver(packet),
            LaneInput::Datagram { from, mut bytes } => {
                // What neither of the two knows is lost, as in the daemon.
                self.lane_takes(from, &mut bytes, now);
            }
        }
    }

    /// Whether the datagram was the lane's.
    fn lane_takes(&mut self, from: Path, bytes: &mut [u8], now: Now) -> bool {
        let Some(lane) = &mut self.lane else { return false };
        match lane.inbound(from, bytes, now.instant) {
            Inbound::Punt => return false,
            Inbound::Packet { packet, .. } | Inbound::Joined { packet, .. } => {
                let packet = packet.to_vec();
                self.deliver(packet);
            }
            Inbound::Unproven { peer, packet } => {
                self.pending.push_back(Pending::Unproven(peer, packet.to_vec()));
            }
            Inbound::Piece | Inbound::Drop(_) => {}
        }
        true
    }

    fn deliver(&mut self, packet: Vec<u8>) {
        if self.packets.len() < PACKETS_KEPT {
            self.packets.push(packet);
        }
    }
}
