//! The session table: which slot is a dial, a handshake or a session, and how each is found.

use super::Instance;
use super::dial::{Dial, Reason};
use super::session::Session;
use crate::NodeId;
use crate::lane::Slot;
use crate::path::Path;
use crate::rng::Rng;
use crate::session::handshake::Handshake;
use crate::session::{Index, LaneId};
use std::collections::BTreeMap;

/// Slots in use at most: sessions, handshakes and dials. Bounds the memory of all of them together.
pub(super) const SLOTS_MAX: usize = 65_536;
const _: () = assert!(SLOTS_MAX <= Index::SLOTS_MAX);

/// A handshake under way.
#[derive(Debug)]
pub struct Shaking {
    pub instance: Instance,
    pub target: Option<NodeId>,
    /// Why we dialled; none if the other end did.
    pub reason: Option<Reason>,
    pub path: Path,
    pub is_server: bool,
    /// Whether it holds a place of the admission: a stranger asked for it.
    pub admitted: bool,
    pub handshake: Box<Handshake>,
}

/// What a slot holds.
#[derive(Debug)]
pub enum State {
    Dial(Dial),
    Shaking(Shaking),
    Session(Box<Session>),
}

#[derive(Debug)]
struct Entry {
    index: Index,
    /// None while the slot is reserved or being changed.
    state: Option<State>,
}

/// All slots of a node.
#[derive(Debug, Default)]
pub struct Table {
    entries: slab::Slab<Entry>,
    current: BTreeMap<(Instance, NodeId), Slot>,
    dials: BTreeMap<Slot, Option<(Instance, NodeId)>>,
    /// Servers in a handshake, by path and index of their client: a repeated hello names no receiver.
    servers: BTreeMap<(Path, Index), Slot>,
}

impl Table {
    /// Takes a free slot and draws its index.
    pub fn allocate(&mut self, rng: &mut Rng) -> Option<(Slot, Index)> {
        if self.entries.len() >= SLOTS_MAX {
            return None;
        }
        let slot = self.entries.vacant_key();
        // Zero is no index: a salt of 1 to 255 keeps slot 0 from being one.
        let salt = 1 + rng.below(255) as u8;
        let index = Index::new(slot, LaneId::FIRST_DATA, salt);
        self.entries.insert(Entry { index, state: None });
        Some((Slot(slot), index))
    }

    pub fn index(&self, slot: Slot) -> Option<Index> {
        self.entries.get(slot.0).map(|entry| entry.index)
    }

    pub fn get(&self, slot: Slot) -> Option<&State> {
        self.entries.get(slot.0)?.state.as_ref()
    }

    pub fn get_mut(&mut self, slot: Slot) -> Option<&mut State> {
        self.entries.get_mut(slot.0)?.state.as_mut()
    }

    pub fn session(&self, slot: Slot) -> Option<&Session> {
        match self.get(slot)? {
            State::Session(session) => Some(session),
            _ => None,
        }
    }

    pub fn session_mut(&mut self, slot: Slot) -> Option<&mut Session> {
        match self.get_mut(slot)? {
            State::Session(session) => Some(session),
            _ => None,
        }
    }

    pub fn dial_mut(&mut self, slot: Slot) -> Option<&mut Dial> {
        match self.get_mut(slot)? {
            State::Dial(dial) => Some(dial),
            _ => None,
        }
    }

    pub fn dial_at(&self, slot: Slot) -> Option<(Index, &Dial)> {
        match self.get(slot)? {
            State::Dial(dial) => Some((self.index(slot)?, dial)),
            _ => None,
        }
    }

    /// The dial that invited the far end of `path` to start a handshake under this index.
    pub fn inviting(&self, index: Index, path: Path) -> Option<(Slot, &Dial)> {
        let slot = Slot(index.slot());
        let (own, dial) = self.dial_at(slot)?;
        (own == index && dial.invited == Some(path)).then_some((slot, dial))
    }

    pub fn sessions(&self) -> impl Iterator<Item = (Slot, &Session)> {
        self.entries.iter().filter_map(|(slot, entry)| match &entry.state {
            Some(State::Session(session)) => Some((Slot(slot), &**session)),
            _ => None,
        })
    }

    pub fn current(&self, instance: Instance, peer: NodeId) -> Option<Slot> {
        self.current.get(&(instance, peer)).copied()
    }

    pub fn current_slots(&self) -> Vec<Slot> {
        self.current.values().copied().collect()
    }

    /// Makes this the session with the peer and returns the one that was.
    pub fn set_current(&mut self, instance: Instance, peer: NodeId, slot: Slot) -> Option<Slot> {
        self.current.insert((instance, peer), slot).filter(|&former| former != slot)
    }

    /// The dial of this node, if one is under way.
    pub fn dialling(&self, instance: Instance, peer: NodeId) -> Option<Slot> {
        let sought = Some((instance, peer));
        self.dials.iter().find(|(_, target)| **target == sought).map(|(&slot, _)| slot)
    }

    /// The handshake with this node in which we are the client, if one is under way.
    pub fn shaking_with(&self, instance: Instance, peer: NodeId) -> Option<Slot> {
        self.entries.iter().find_map(|(slot, entry)| match &entry.state {
            Some(State::Shaking(shaking))
                if !shaking.is_server
                    && shaking.instance == instance
                    && shaking.target == Some(peer) =>
            {
                Some(Slot(slot))
            }
            _ => None,
        })
    }

    /// Slots in use.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Handshakes that a repeated hello is looked up in.
    pub fn servers(&self) -> usize {
        self.servers.len()
    }

    /// Dials under way.
    pub fn dials(&self) -> usize {
        self.dials.len()
    }

    pub fn server_for(&self, path: Path, client: Index) -> Option<Slot> {
        self.servers.get(&(path, client)).copied()
    }

    pub fn note_server(&mut self, path: Path, client: Index, slot: Slot) {
        self.servers.insert((path, client), slot);
    }

    pub fn put_dial(&mut self, slot: Slot, index: Index, dial: Dial) {
        debug_assert_eq!(self.index(slot), Some(index));
        self.dials.insert(slot, dial.target.map(|target| (dial.instance, target)));
        self.put(slot, State::Dial(dial));
    }

    pub fn put_shaking(&mut self, slot: Slot, shaking: Shaking) {
        self.dials.remove(&slot);
        self.put(slot, State::Shaking(shaking));
    }

    pub fn put_session(&mut self, slot: Slot, session: Session) {
        self.put(slot, State::Session(Box::new(session)));
    }

    /// Takes what a slot holds, to put something else there.
    pub fn take(&mut self, slot: Slot) -> Option<State> {
        self.entries.get_mut(slot.0)?.state.take()
    }

    /// Frees a slot.
    pub fn remove(&mut self, slot: Slot) -> Option<State> {
        let state = self.entries.try_remove(slot.0)?.state;
        self.dials.remove(&slot);
        self.servers.retain(|_, server| *server != slot);
        if let Some(State::Session(session)) = &state {
            let key = (session.instance, session.peer.id);
            if self.current.get(&key) == Some(&slot) {
                self.current.remove(&key);
            }
        }
        state
    }

    fn put(&mut self, slot: Slot, state: State) {
        if let Some(entry) = self.entries.get_mut(slot.0) {
            entry.state = Some(state);
        }
    }
}
