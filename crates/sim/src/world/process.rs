//! A running node, driven as the daemon drives it.
//!
//! After each input all outputs are taken until the node says what it waits for. Datagrams and answers go to
//! the caller; everything else stays here.

use std::net::SocketAddr;

use proto::Node;
use proto::node::api::{Answer, Config, Event, Output, Ticket};
use proto::time::{Instant, Now};

/// Events kept per node; later ones are counted by nobody. Tests look at the first minutes of a life.
const EVENTS_KEPT: usize = 4_096;
/// Times in a row that a node may want its timeout at one instant before it counts as spinning.
const TIMEOUTS_PER_INSTANT: u32 = 1_000;

/// One life of a node, from its start to its end.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) node: Node,
    /// When the node wants its timeout.
    pub(super) wake: Instant,
    /// When the queue will wake it; later than `wake` only while an input is handled.
    pub(super) scheduled: Instant,
    last_timeout: (Instant, u32),
    pub(super) events: Vec<(Instant, Event)>,
}

/// What leaves a process.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    pub(super) datagrams: Vec<(SocketAddr, Vec<u8>)>,
    pub(super) answers: Vec<(Ticket, Answer)>,
}

impl Process {
    pub(super) fn start(config: Config, seed: [u8; 32], address: SocketAddr, now: Now) -> Self {
        let mut node = Node::new(config, seed, now);
        node.handle_endpoints(vec![address], now);
        Self {
            node,
            wake: now.instant,
            scheduled: Instant::FAR_FUTURE,
            last_timeout: (now.instant, 0),
            events: Vec::new(),
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Now) {
        let (last, times) = self.last_timeout;
        let times = if last == now.instant { times + 1 } else { 0 };
        assert!(times < TIMEOUTS_PER_INSTANT, "a node spins at {last:?}: its deadline stays due");
        self.last_timeout = (now.instant, times);
        self.node.handle_timeout(now);
    }

    /// Takes everything the node has to give, until it waits.
    pub(super) fn drain(&mut self, outbox: &mut Outbox, now: Now) {
        loop {
            match self.node.poll() {
                Output::Datagram { to, bytes } => outbox.datagrams.push((to, bytes)),
                // Changes of the table of a data lane, which a node without a device has not.
                Output::Lane(_) => {}
                Output::Answer(ticket, answer) => outbox.answers.push((ticket, answer)),
                Output::Event(event) => {
                    if self.events.len() < EVENTS_KEPT {
                        self.events.push((now.instant, event));
                    }
                }
                Output::Wait(until) => {
                    self.wake = until;
                    return;
                }
            }
        }
    }
}
