//! The data lane: one OS thread that owns device, receive side of the socket, and a `proto` lane.
//!
//! ```text
//! device -> Lane::outbound -> Lane::seal, in place in the send batch -> one send
//! socket -> Lane::inbound, in place in the receive batch -> Writer -> device
//! node   -> orders: table changes, packets that waited -> the same two ways
//! what the lane does not decide -> punts -> node
//! ```
//!
//! Who owns what: the thread owns the device, the batches and the `proto` lane with its keys and windows. The
//! socket is shared; control datagrams leave it from the driver's thread. Orders come by a bounded queue and a
//! wake-up; the driver waits when it is full, which is safe because this thread never waits for the driver.
//! Punts go by bounded queues, one for peers and one for everybody else ([`punts`]); what finds its queue full is
//! dropped and counted. Packets that stay in the lane cost no allocation, lock, log or queue; a frame for a path
//! through the overlay does not stay: it is a punt.

mod punts;

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant as Monotonic};

use packetio::{
    Device, Packet, Poller, Push, ReadBuffer, RecvBatch, SendBatch, SendReport, Udp, Unreachable,
    Waker, WriteReport, Writer, ip, vnet,
};
use proto::NodeId;
use proto::lane::{Checksum, Flow, Inbound, Lane, Outbound, Report};
use proto::node::api::LaneInput;
use proto::path::Path;
use proto::session::LaneId;
use proto::vpn::verdict::Mode;

use crate::clock::Clock;
pub use punts::Punted;
use punts::{Punts, queues};

/// Orders that wait for the lane.
const ORDERS_MAX: usize = 1024;
/// Device reads, receive batches and orders per turn, so that no direction starves another.
const READS_PER_TURN: usize = 64;
const BATCHES_PER_TURN: usize = 4;
const ORDERS_PER_TURN: usize = 256;
/// How often the node is told who was heard.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// What the lane cannot decide, or what the node must know.
#[derive(Debug)]
pub enum Punt {
    /// A datagram that is not a frame of one of the lane's sessions.
    Datagram { from: SocketAddr, bytes: Vec<u8> },
    /// A packet to a member without a session.
    Unrouted(Vec<u8>),
    /// A packet whose source is not known to be the peer's.
    Unproven { peer: NodeId, packet: Vec<u8> },
    /// A sealed frame for a path that is not a socket address.
    Frame { path: Path, bytes: Vec<u8> },
    /// ICMP says that nobody listens there.
    Unreachable(SocketAddr),
    /// ICMP or the kernel says that a datagram to there was too long.
    TooBig(IpAddr),
    /// What was counted since the report before.
    Report(Report, Traffic),
}

/// What the lane moved; totals since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Datagrams sent, and their bytes.
    pub sent: (u64, u64),
    /// Datagrams that the kernel did not take.
    pub send_drops: u64,
    /// Datagrams received, and their bytes.
    pub received: (u64, u64),
    /// Packets written to the device, and their bytes.
    pub written: (u64, u64),
    /// Packets that the device did not take.
    pub write_drops: u64,
    /// What the device gave and is no IP packet.
    pub read_drops: u64,
    /// Punts dropped because the node was busy.
    pub punt_drops: u64,
}

impl Traffic {
    fn add_send(&mut self, report: &SendReport) {
        self.sent.0 += report.datagrams;
        self.sent.1 += report.bytes;
        self.send_drops += report.would_block
            + report.unreachable
            + report.too_big
            + report.permission
            + report.other;
    }

    fn add_write(&mut self, report: &WriteReport) {
        self.written.0 += report.packets;
        self.written.1 += report.bytes;
        self.write_drops += report.refused + report.dropped;
    }
}

enum Order {
    Input(LaneInput),
    Peers(HashSet<SocketAddr>),
    Stop,
}

/// The driver's end of a running lane.
pub struct LaneHandle {
    orders: SyncSender<Order>,
    waker: Waker,
    thread: JoinHandle<io::Result<()>>,
}

impl LaneHandle {
    /// Gives the lane an order; the next [`LaneHandle::wake`] makes it look.
    pub fn order(&self, input: LaneInput) {
        self.send(Order::Input(input));
    }

    /// Tells the lane where peers are: what comes from there is not held up by strangers.
    pub fn set_peers(&self, peers: HashSet<SocketAddr>) {
        self.send(Order::Peers(peers));
    }

    fn send(&self, order: Order) {
        if let Err(TrySendError::Full(order)) = self.orders.try_send(order) {
            // A lost table change would never be repaired. A lane that has ended takes nothing, and
            // its end is noticed by the closed queue of punts.
            self.waker.wake();
            let _ = self.orders.send(order);
        }
    }

    /// Makes the lane look at its orders.
    pub fn wake(&self) {
        self.waker.wake();
    }

    /// Ends the lane and returns why it ended by itself, if it did. The device closes.
    pub fn stop(self) -> io::Result<()> {
        let _ = self.orders.try_send(Order::Stop);
        drop(self.orders);
        self.waker.wake();
        self.thread.join().unwrap_or_else(|_| Err(io::Error::other("the data lane panicked")))
    }
}

/// Starts the lane's thread. The queues of punts close when the lane ends.
pub fn start<D: Device + Send + 'static>(
    device: D,
    udp: Udp,
    clock: Clock,
) -> io::Result<(LaneHandle, Punted)> {
    let poller = Poller::new()?;
    let waker = poller.waker();
    let (orders, inbox) = sync_channel(ORDERS_MAX);
    let (punts, punted) = queues();
    let mut worker = Worker {
        lane: Lane::new(LaneId::FIRST_DATA, Mode::Split),
        device,
        udp,
        clock,
        orders: inbox,
        outgoing: SendBatch::default(),
        punts,
        traffic: Traffic::default(),
    };
    let thread = thread::Builder::new().name("lane".into()).spawn(move || worker.run(&poller))?;
    Ok((LaneHandle { orders, waker, thread }, punted))
}

struct Worker<D> {
    lane: Lane,
    device: D,
    udp: Udp,
    clock: Clock,
    orders: Receiver<Order>,
    outgoing: SendBatch,
    punts: Punts,
    traffic: Traffic,
}

impl<D: Device> Worker<D> {
    fn run(&mut self, poller: &Poller) -> io::Result<()> {
        let mut buffer = ReadBuffer::default();
        let mut incoming = RecvBatch::default();
        let mut report_at = Monotonic::now() + REPORT_INTERVAL;
        let mut more_orders = false;
        loop {
            let wait = report_at.saturating_duration_since(Monotonic::now());
            let wait = if more_orders { Duration::ZERO } else { wait };
            let ready = poller.wait(&self.device, &self.udp, Some(wait))?;
            if ready.woken || more_orders {
                match self.obey() {
                    Turn::Done => more_orders = false,
                    Turn::More => more_orders = true,
                    Turn::Stop => return Ok(()),
                }
            }
            if ready.udp {
                self.receive(&mut incoming)?;
            }
            if ready.device {
                self.transmit(&mut buffer)?;
            }
            if ready.udp_errors {
                self.collect_errors()?;
            }
            if Monotonic::now() >= report_at {
                report_at = Monotonic::now() + REPORT_INTERVAL;
                self.punts.report(&mut self.lane, self.traffic);
            }
        }
    }

    /// Carries out what the node wants.
    fn obey(&mut self) -> Turn {
        for _ in 0..ORDERS_PER_TURN {
            match self.orders.try_recv() {
                Ok(Order::Input(input)) => self.carry_out(input),
                Ok(Order::Peers(peers)) => self.punts.set_peers(peers),
                Ok(Order::Stop) | Err(TryRecvError::Disconnected) => return Turn::Stop,
                Err(TryRecvError::Empty) => {
                    self.flush();
                    return Turn::Done;
                }
            }
        }
        self.flush();
        Turn::More
    }

    fn carry_out(&mut self, input: LaneInput) {
        match input {
            LaneInput::Delta(delta) => self.lane.apply(delta),
            LaneInput::Outbound(mut packet) => {
                if let Ok(packet) = Packet::parse(&vnet::Header::default(), &mut packet) {
                    self.dispatch(packet);
                }
            }
            LaneInput::Deliver(mut packet) => {
                let mut writer = Writer::new(&mut self.device);
                writer.push(&mut packet, packetio::Checksum::Complete);
                self.traffic.add_write(&writer.finish());
            }
            LaneInput::Datagram { from, mut bytes } => {
                let mut writer = Writer::new(&mut self.device);
                let now = self.clock.instant();
                match self.lane.inbound(from, &mut bytes, now) {
                    Inbound::Packet { packet, checksum } | Inbound::Joined { packet, checksum } => {
                        writer.push(packet, to_io(checksum));
                    }
                    Inbound::Unproven { peer, packet } => {
                        self.punts.push(Punt::Unproven { peer, packet: packet.to_vec() });
                    }
                    // The node knew it for a frame of this lane: its session has just ended.
                    Inbound::Punt | Inbound::Piece | Inbound::Drop(_) => {}
                }
                self.traffic.add_write(&writer.finish());
            }
        }
    }

    fn receive(&mut self, batch: &mut RecvBatch) -> io::Result<()> {
        for _ in 0..BATCHES_PER_TURN {
            self.udp.recv(batch)?;
            let now = self.clock.instant();
            let mut writer = Writer::new(&mut self.device);
            for (from, datagram) in batch.datagrams() {
                self.traffic.received.0 += 1;
                self.traffic.received.1 += datagram.len() as u64;
                // The borrow of a packet lasts until it is written; that of a punt must not. So the
                // packet is remembered by its place in the datagram.
                let start = datagram.as_ptr().addr();
                let (range, checksum) =
                    match self.lane.inbound(Path::Direct(from), &mut *datagram, now) {
                        Inbound::Packet { packet, checksum } => {
                            let offset = packet.as_ptr().addr() - start;
                            (offset..offset + packet.len(), checksum)
                        }
                        Inbound::Unproven { peer, packet } => {
                            self.punts.push(Punt::Unproven { peer, packet: packet.to_vec() });
                            continue;
                        }
                        Inbound::Punt => {
                            self.punts.push(Punt::Datagram { from, bytes: datagram.to_vec() });
                            continue;
                        }
                        // It must be written before the next datagram, and after those before it.
                        Inbound::Joined { packet, checksum } => {
                            self.traffic.add_write(&writer.finish());
                            let mut alone = Writer::new(&mut self.device);
                            alone.push(packet, to_io(checksum));
                            self.traffic.add_write(&alone.finish());
                            writer = Writer::new(&mut self.device);
                            continue;
                        }
                        Inbound::Piece | Inbound::Drop(_) => continue,
                    };
                writer.push(&mut datagram[range], to_io(checksum));
            }
            self.traffic.add_write(&writer.finish());
            if !batch.is_full() {
                break;
            }
        }
        Ok(())
    }

    fn transmit(&mut self, buffer: &mut ReadBuffer) -> io::Result<()> {
        for _ in 0..READS_PER_TURN {
            match self.device.read(buffer) {
                Ok(Some(packet)) => self.dispatch(packet),
                Ok(None) => break,
                // Not an IP packet: the lane's verdict would be the same.
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    self.traffic.read_drops += 1;
                }
                Err(error) => return Err(error),
            }
        }
        self.flush();
        Ok(())
    }

    /// Seals a packet, or does what else the lane says.
    fn dispatch(&mut self, mut packet: Packet<'_>) {
        let now = self.clock.instant();
        match self.lane.outbound(packet.first(), packet.segment_len_max(), now) {
            Outbound::Seal(flow) => match flow.path() {
                Path::Direct(to) => self.seal(flow, to, &mut packet),
                path => self.seal_for_overlay(flow, path, &mut packet),
            },
            Outbound::Unrouted => {
                let mut segments = packet.segments();
                while let Some(segment) = segments.next_segment() {
                    let mut bytes = vec![0; segment.len()];
                    segment.copy_to(&mut bytes);
                    if segment.checksum == packetio::Checksum::Partial {
                        ip::complete_checksum(&mut bytes);
                    }
                    self.punts.push(Punt::Unrouted(bytes));
                }
            }
            Outbound::Answer(answer) => {
                let written = self.device.write(&vnet::Header::default(), &answer, &[]);
                self.traffic.write_drops += u64::from(written.is_err());
            }
            Outbound::Drop(_) => {}
        }
    }

    fn seal(&mut self, flow: Flow, to: SocketAddr, packet: &mut Packet<'_>) {
        let Self { lane, outgoing, udp, traffic, .. } = self;
        let mut segments = packet.segments();
        while let Some(segment) = segments.next_segment() {
            let (parts, checksum) = ([segment.head, segment.body], from_io(segment.checksum));
            for &piece in flow.pieces(segment.len()) {
                let len = piece.frame_len(segment.len());
                let mut write =
                    |region: &mut [u8]| lane.seal(flow, piece, parts, checksum, region).ok();
                if outgoing.push(to, len, &mut write) == Push::Full {
                    traffic.add_send(&udp.send(outgoing));
                    outgoing.push(to, len, &mut write);
                }
            }
        }
    }

    fn seal_for_overlay(&mut self, flow: Flow, path: Path, packet: &mut Packet<'_>) {
        let mut segments = packet.segments();
        while let Some(segment) = segments.next_segment() {
            let (parts, checksum) = ([segment.head, segment.body], from_io(segment.checksum));
            for &piece in flow.pieces(segment.len()) {
                let mut bytes = vec![0; piece.frame_len(segment.len())];
                if let Ok(len) = self.lane.seal(flow, piece, parts, checksum, &mut bytes) {
                    bytes.truncate(len);
                    self.punts.push(Punt::Frame { path, bytes });
                }
            }
        }
    }

    fn flush(&mut self) {
        if !self.outgoing.is_empty() {
            self.traffic.add_send(&self.udp.send(&mut self.outgoing));
        }
    }

    fn collect_errors(&mut self) -> io::Result<()> {
        let punts = &mut self.punts;
        self.udp.recv_errors(|to, why| match why {
            Unreachable::Port => punts.push(Punt::Unreachable(to)),
            Unreachable::TooBig { .. } => punts.push(Punt::TooBig(to.ip())),
            _ => {}
        })
    }
}

enum Turn {
    Done,
    More,
    Stop,
}

fn to_io(checksum: Checksum) -> packetio::Checksum {
    match checksum {
        Checksum::Complete => packetio::Checksum::Complete,
        Checksum::Partial => packetio::Checksum::Partial,
    }
}

fn from_io(checksum: packetio::Checksum) -> Checksum {
    match checksum {
        packetio::Checksum::Complete => Checksum::Complete,
        packetio::Checksum::Partial => Checksum::Partial,
    }
}

#[cfg(test)]
mod tests;
