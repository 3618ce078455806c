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

/// Slots in use at most: sessions, handshakes and dials. Bounds the memory of all of them together. Each overlay
/// has a share, so that peers of one cannot keep out those of another.
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
    instance: Instance,
    /// None while the slot is reserved or being changed.
    state: Option<State>,
}

/// All slots of a node.
#[derive(Debug)]
pub struct Table {
    entries: slab::Slab<Entry>,
    /// Slots in use, of each overlay.
    in_use: Vec<usize>,
    current: BTreeMap<(Instance, NodeId), Slot>,
    dials: BTreeMap<Slot, (Instance, Option<NodeId>)>,
    /// Servers in a handshake, by path and index of their client: a repeated hello names no receiver.
    servers: BTreeMap<(Path, Index), Slot>,
}

impl Table {
    /// The empty table of a node with so many overlays.
    pub fn new(overlays: usize) -> Table {
        Table {
            entries: slab::Slab::new(),
            in_use: vec![0; overlays],
            current: BTreeMap::new(),
            dials: BTreeMap::new(),
            servers: BTreeMap::new(),
        }
    }

    /// Takes a free slot for an overlay and draws its index.
    pub fn allocate(&mut self, instance: Instance, rng: &mut Rng) -> Option<(Slot, Index)> {
        let share = SLOTS_MAX / self.in_use.len();
        let in_use = self.in_use.get_mut(instance.0 as usize).filter(|in_use| **in_use < share)?;
        *in_use += 1;
        let slot = self.entries.vacant_key();
        // Zero is no index: a salt of 1 to 255 keeps slot 0 from being one.
        let salt = 1 + rng.below(255) as u8;
        let index = Index::new(slot, LaneId::FIRST_DATA, salt);
        self.entries.insert(Entry { index, instance, state: None });
        Some((Slot(slot), index))
    }

    pub fn index(&self, slot: Slot) -> Option<Index> {
        self.entries.get(slot.0).map(|entry| entry.index)
    }

    /// The overlay that a slot is for.
    pub fn instance(&self, slot: Slot) -> Option<Instance> {
        self.entries.get(slot.0).map(|entry| entry.instance)
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
        let invited = dial.invited.as_ref().is_some_and(|(to, _)| *to == path);
        (own == index && invited).then_some((slot, dial))
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

    /// The current sessions, of one overlay or of all.
    pub fn current_slots(&self, of: Option<Instance>) -> Vec<Slot> {
        let is_of = |instance: Instance| of.is_none_or(|of| of == instance);
        let of_it = self.current.iter().filter(|((instance, _), _)| is_of(*instance));
        of_it.map(|(_, &slot)| slot).collect()
    }

    /// Makes this the session with the peer and returns the one that was.
    pub fn set_current(&mut self, instance: Instance, peer: NodeId, slot: Slot) -> Option<Slot> {
        self.current.insert((instance, peer), slot).filter(|&former| former != slot)
    }

    /// The dial of this node, if one is under way.
    pub fn dialling(&self, instance: Instance, peer: NodeId) -> Option<Slot> {
        let sought = (instance, Some(peer));
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

    /// Dials under way in one overlay.
    pub fn dials_of(&self, instance: Instance) -> usize {
        self.dials.values().filter(|(of, _)| *of == instance).count()
    }

    pub fn server_for(&self, path: Path, client: Index) -> Option<Slot> {
        self.servers.get(&(path, client)).copied()
    }

    pub fn note_server(&mut self, path: Path, client: Index, slot: Slot) {
        self.servers.insert((path, client), slot);
    }

    pub fn put_dial(&mut self, slot: Slot, index: Index, dial: Dial) {
        debug_assert_eq!(self.index(slot), Some(index));
        self.dials.insert(slot, (dial.instance, dial.target));
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
        let Entry { instance, state, .. } = self.entries.try_remove(slot.0)?;
        self.in_use[instance.0 as usize] -= 1;
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
