//! What waits for the node: two bounded queues, so that strangers cannot crowd out the peers.
//!
//! A session lives by its control frames. So what comes from the address of a peer waits in a queue of its own,
//! and so does the lane's report; everything else shares the other. When a queue is full, what would go in is
//! dropped and counted.

use std::collections::HashSet;
use std::net::SocketAddr;

use tokio::sync::mpsc::{self, Receiver, Sender};

use super::{Punt, Traffic};
use proto::lane::Lane;

/// Punts that wait for the node in each queue: some milliseconds of its work.
const PUNTS_MAX: usize = 1024;

/// The lane's end.
pub struct Punts {
    of_peers: Sender<Punt>,
    of_anybody: Sender<Punt>,
    peers: HashSet<SocketAddr>,
    dropped: u64,
}

/// The node's end.
pub struct Punted {
    pub(super) of_peers: Receiver<Punt>,
    of_anybody: Receiver<Punt>,
    peers_are_next: bool,
}

/// Makes the queues.
pub fn queues() -> (Punts, Punted) {
    let (to_peers, of_peers) = mpsc::channel(PUNTS_MAX);
    let (to_anybody, of_anybody) = mpsc::channel(PUNTS_MAX);
    let punts =
        Punts { of_peers: to_peers, of_anybody: to_anybody, peers: HashSet::new(), dropped: 0 };
    (punts, Punted { of_peers, of_anybody, peers_are_next: true })
}

impl Punts {
    /// From now on these are the addresses of peers.
    pub fn set_peers(&mut self, peers: HashSet<SocketAddr>) {
        self.peers = peers;
    }

    /// Hands over what the lane does not decide.
    pub fn push(&mut self, punt: Punt) {
        let queue = match &punt {
            Punt::Datagram { from, .. } if self.peers.contains(from) => &self.of_peers,
            _ => &self.of_anybody,
        };
        self.dropped += u64::from(queue.try_send(punt).is_err());
    }

    /// Hands over what was counted, if there is room: else it counts on.
    pub fn report(&mut self, lane: &mut Lane, traffic: Traffic) {
        if let Ok(place) = self.of_peers.try_reserve() {
            let traffic = Traffic { punt_drops: self.dropped, ..traffic };
            place.send(Punt::Report(lane.report(), traffic));
        }
    }
}

impl Punted {
    /// Waits for the next punt; none comes after the lane has ended.
    pub async fn recv(&mut self) -> Option<Punt> {
        tokio::select! {
            punt = self.of_peers.recv() => punt,
            punt = self.of_anybody.recv() => punt,
        }
    }

    /// The next punt that is there, of each queue in turn.
    pub fn try_recv(&mut self) -> Option<Punt> {
        let Self { of_peers, of_anybody, peers_are_next } = self;
        let (first, second) =
            if *peers_are_next { (of_peers, of_anybody) } else { (of_anybody, of_peers) };
        *peers_are_next = !*peers_are_next;
        first.try_recv().or_else(|_| second.try_recv()).ok()
    }
}
