//! What a lane knows of sessions, routes and sources. Only deltas change what it says; packets change what
//! it counts.

use super::delta::{Delta, NewSession, Slot};
use super::piece::Waiting;
use super::report::{SessionReport, Tally};
use crate::NodeId;
use crate::bounds::Fill;
use crate::path::Path;
use crate::session::keys::{DataReceiver, Sender};
use crate::session::{Epoch, Index, LaneId};
use crate::vpn::verdict::Owner;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Addresses that one session's peer is known to own or not to own; the oldest is forgotten first, and then
/// asked for again. A member has one address per version.
const SOURCES_MAX: usize = 8;

/// The epoch in which a session is given to a lane.
const FIRST_EPOCH: Epoch = Epoch(0);

/// The table of one lane. Routes and sessions are as many as the node makes, which bounds both.
#[derive(Debug, Default)]
pub(super) struct Table {
    sessions: Vec<Option<Box<Session>>>,
    /// A search tree, so that no choice of addresses makes a look-up slow.
    routes: BTreeMap<IpAddr, Slot>,
    /// Sessions that counted something since the last report, each once. Never longer than `sessions`, and
    /// room is made with a session, so that counting does not allocate.
    busy: Vec<Slot>,
}

/// One session, as this lane sees it.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) index: Index,
    pub(super) path: Path,
    /// The longest frame that the path carries, as far as the node knows.
    pub(super) limit: usize,
    /// Boxed, because few paths need it.
    pub(super) waiting: Option<Box<Waiting>>,
    pub(super) sender: Sender,
    pub(super) receiver: DataReceiver,
    pub(super) tally: Tally,
    pub(super) peer: NodeId,
    sources: Vec<(IpAddr, Owner)>,
    is_busy: bool,
}

impl Table {
    pub(super) fn apply(&mut self, delta: Delta, lane: LaneId) {
        match delta {
            Delta::AddSession { slot, session } => self.add(slot, *session, lane),
            Delta::Epoch { slot } => {
                // At the end of a chain the sender stays in its last epoch until the session is replaced.
                let _ = self.get_mut(slot).map(|session| session.sender.advance());
            }
            Delta::SetPath { slot, path } => {
                if let Some(session) = self.get_mut(slot) {
                    (session.path, session.limit) = (path, path.datagram_max());
                }
            }
            Delta::SetLimit { slot, limit } => {
                if let Some(session) = self.get_mut(slot) {
                    session.limit = limit;
                }
            }
            Delta::RemoveSession { slot } => self.remove(slot),
            Delta::Route { destination, slot } => {
                self.routes.insert(destination, slot);
            }
            Delta::Unroute { destination } => {
                self.routes.remove(&destination);
            }
            Delta::AllowSource { slot, source } => self.note(slot, source, Owner::Peer),
            Delta::ForbidSource { slot, source } => self.note(slot, source, Owner::Stranger),
            Delta::ForgetSource { slot, source } => self.note(slot, source, Owner::Unknown),
            Delta::Local(_) => {}
        }
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut Session> {
        self.sessions.get_mut(slot.0)?.as_deref_mut()
    }

    /// The session to which packets for this address go.
    pub(super) fn route(&self, destination: IpAddr) -> Option<Slot> {
        self.routes.get(&destination).copied()
    }

    /// All sessions: slot, peer and path.
    pub(super) fn sessions(&self) -> impl Iterator<Item = (Slot, NodeId, Path)> + '_ {
        let all = self.sessions.iter().enumerate();
        all.filter_map(|(slot, s)| s.as_ref().map(|s| (Slot(slot), s.peer, s.path)))
    }

    /// All routes.
    pub(super) fn routes(&self) -> impl Iterator<Item = (IpAddr, Slot)> + '_ {
        self.routes.iter().map(|(&ip, &slot)| (ip, slot))
    }

    /// How full its bounded places are.
    pub(super) fn fills(&self) -> [Fill; 2] {
        let all = self.sessions.iter().flatten();
        let sources = all.map(|session| session.sources.len()).max().unwrap_or(0);
        [
            Fill::new("sessions of a lane", self.sessions.len(), Index::SLOTS_MAX),
            Fill::new("sources known of a session", sources, SOURCES_MAX),
        ]
    }

    /// The other end of a session.
    pub(super) fn peer(&self, slot: Slot) -> Option<NodeId> {
        self.sessions.get(slot.0)?.as_ref().map(|session| session.peer)
    }

    /// Whose this address is, as far as the session's peer is concerned.
    pub(super) fn owner(&self, slot: Slot, source: IpAddr) -> Owner {
        let session = self.sessions.get(slot.0).and_then(|s| s.as_deref());
        session
            .and_then(|s| s.sources.iter().find(|(ip, _)| *ip == source))
            .map_or(Owner::Unknown, |&(_, owner)| owner)
    }

    pub(super) fn sent(&mut self, slot: Slot, bytes: usize) {
        self.count(slot, |tally| {
            tally.sent_frames += 1;
            tally.sent_bytes += bytes as u64;
        });
    }

    pub(super) fn received(&mut self, slot: Slot, bytes: usize) {
        self.count(slot, |tally| {
            tally.received_frames += 1;
            tally.received_bytes += bytes as u64;
        });
    }

    /// What every session counted since the last call, and starts anew.
    pub(super) fn take_tallies(&mut self) -> Vec<SessionReport> {
        let mut busy = std::mem::take(&mut self.busy);
        let reports = busy.drain(..).filter_map(|slot| {
            let session = self.get_mut(slot)?;
            session.is_busy = false;
            Some(SessionReport {
                slot,
                peer: session.peer,
                tally: std::mem::take(&mut session.tally),
                frames_in_epoch: session.sender.frames_in_epoch(),
            })
        });
        let reports = reports.collect();
        self.busy = busy;
        reports
    }

    fn count(&mut self, slot: Slot, add: impl FnOnce(&mut Tally)) {
        let Some(Some(session)) = self.sessions.get_mut(slot.0) else { return };
        add(&mut session.tally);
        if !std::mem::replace(&mut session.is_busy, true) {
            self.busy.push(slot);
        }
    }

    fn add(&mut self, slot: Slot, new: NewSession, lane: LaneId) {
        if slot.0 >= Index::SLOTS_MAX {
            return;
        }
        self.remove(slot);
        if self.sessions.len() <= slot.0 {
            self.sessions.resize_with(slot.0 + 1, || None);
            self.busy.reserve(self.sessions.len() - self.busy.len());
        }
        let NewSession { peer, index, receiver, secrets, path } = new;
        let cipher = secrets.cipher;
        self.sessions[slot.0] = Some(Box::new(Session {
            index,
            path,
            limit: path.datagram_max(),
            waiting: None,
            sender: Sender::new(secrets.send, FIRST_EPOCH, lane, receiver, cipher),
            receiver: DataReceiver::new(secrets.receive, FIRST_EPOCH, index, cipher),
            tally: Tally::default(),
            peer,
            sources: Vec::new(),
            is_busy: false,
        }));
    }

    fn remove(&mut self, slot: Slot) {
        let Some(place) = self.sessions.get_mut(slot.0) else { return };
        if place.take().is_some() {
            self.busy.retain(|&busy| busy != slot);
            self.routes.retain(|_, route| *route != slot);
        }
    }

    fn note(&mut self, slot: Slot, source: IpAddr, owner: Owner) {
        let Some(session) = self.get_mut(slot) else { return };
        session.sources.retain(|(ip, _)| *ip != source);
        if owner == Owner::Unknown {
            return;
        }
        if session.sources.len() == SOURCES_MAX {
            session.sources.remove(0);
        }
        session.sources.push((source, owner));
    }
}
