//! Links: from an endpoint to a live, authenticated session, and to its end.
//!
//! `Links` owns the session table of a node, shared by all its overlays, and everything a datagram can mean
//! before it is a control message: probes, invitations, handshakes, control frames. It knows neither ring nor
//! DHT: it is told whom to dial and says who is linked.
//!
//! ```text
//! dial -> probe -> reply -> [invite] -> handshake -> welcome <-> welcome -> current -> … -> retiring | dead
//! ```
//! What must always hold:
//! - no state and no reply larger than the question before the asker proved its path by a token;
//! - at most one current session per overlay and peer ID; a second live holder of an ID is refused;
//! - a session moves to another path only after that path answered a challenge;
//! - a session ends when its peer is no longer acceptable: by time or by a notice;
//! - overlays share socket and table and nothing else: a datagram belongs to the overlay whose gate, token or
//!   session it fits, and what peers of one overlay can fill up is not missing in another.
//!
//! | file | question |
//! |---|---|
//! | `dialling`, `dial` | how does an endpoint become a path with a token |
//! | `handshaking` | how does that become a session |
//! | `sessions`, `session` | what is a live session, and what is due for it |
//! | `table` | which slot is what |
//! | `liveness` | does the other end live, and how far is it |
//! | `plpmtu` | how long a datagram does its path carry |
//! | `admission` | how many strangers are served at once |
//! | `sent` | what is control traffic made of |

use crate::NodeId;
use crate::bounds::Fill;
use crate::lane::{Delta, SessionReport, Slot, frame_len};
use crate::path::Path;
use crate::rng::Rng;
use crate::session::gate::Gate;
use crate::session::handshake::By;
use crate::session::keys::EPOCH_FRAMES_MAX;
use crate::session::suite::{Failure, Suite};
use crate::session::token::TokenMint;
use crate::time::{Instant, Now};
use crate::timer::Timers;
use crate::wire::control::{CloseReason, Control};
use crate::wire::frame::Kind;
use admission::{Admission, HALF_OPEN_MAX, HALF_OPEN_PER_NETWORK_MAX};
use dial::Reason;
use sent::Sent;
use session::{CHALLENGE_PAUSE, Challenge, Session};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use table::{State, Table};

mod admission;
pub mod dial;
mod dialling;
mod handshaking;
pub mod liveness;
pub mod plpmtu;
pub mod sent;
pub mod session;
mod sessions;
mod table;

pub use crate::overlay::Instance;

/// Dials under way at most, shared evenly by the overlays; more are refused at once and may be asked for again.
const DIALS_MAX: usize = 256;

/// What `Links` asks of its node.
#[derive(Debug)]
pub enum Effect {
    /// Send this datagram by this path.
    Transmit {
        /// The overlay that an overlay path belongs to.
        instance: Instance,
        /// Where to.
        path: Path,
        /// The datagram.
        bytes: Vec<u8>,
    },
    /// Change the lanes' tables.
    Delta(Delta),
    /// Let a lane open this frame, after the changes before it.
    Frame {
        /// The path it came by.
        path: Path,
        /// The frame.
        bytes: Vec<u8>,
    },
    /// A session with this peer is current. `former` is the one it replaces, if any.
    Up {
        /// The overlay.
        instance: Instance,
        /// The peer.
        peer: NodeId,
        /// The session.
        slot: Slot,
        /// The session that it takes over from.
        former: Option<Slot>,
    },
    /// The current session with this peer is over.
    Down {
        /// The overlay.
        instance: Instance,
        /// The peer.
        peer: NodeId,
        /// The session.
        slot: Slot,
        /// The path it had.
        path: Path,
        /// The reason given by either end; none if the peer fell silent.
        reason: Option<CloseReason>,
    },
    /// The session uses another path now.
    Moved {
        /// The overlay.
        instance: Instance,
        /// The peer.
        peer: NodeId,
        /// The path.
        path: Path,
    },
    /// The peer sent a control message that is not the link's own business.
    Control {
        /// The overlay.
        instance: Instance,
        /// The peer.
        peer: NodeId,
        /// The message.
        message: Vec<u8>,
    },
    /// A dial gave no link.
    DialFailed {
        /// The overlay.
        instance: Instance,
        /// Whom, if that was known.
        target: Option<NodeId>,
        /// Where.
        paths: Vec<Path>,
    },
    /// A node was refused, by us or by it.
    Refused {
        /// The overlay.
        instance: Instance,
        /// By which path.
        path: Path,
        /// The reason.
        why: Failure,
        /// Whose.
        by: By,
    },
    /// A live node holds our ID.
    IdInUse(Instance),
}

/// What `Links` may use while it handles one input.
#[derive(Debug)]
pub struct Context<'a> {
    /// The time.
    pub now: Now,
    /// The node's generator.
    pub rng: &'a mut Rng,
    /// Where effects go.
    pub effects: &'a mut Vec<Effect>,
}

/// What is counted about datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Probes answered.
    pub probes_answered: u64,
    /// Probes, invitations and hellos of strangers, met with silence.
    pub silence: u64,
    /// Handshakes refused because too many were half open.
    pub half_open_limit: u64,
    /// Control frames that did not open.
    pub forged: u64,
    /// Control frames seen before.
    pub replayed: u64,
    /// Datagrams that are nothing we know.
    pub malformed: u64,
    /// Frames for a session that is not there.
    pub unknown_session: u64,
    /// Sessions that came up.
    pub sessions_up: u64,
    /// Sessions that ended because the peer fell silent.
    pub sessions_dead: u64,
    /// Control datagrams sent, by cause.
    pub sent: Sent,
}

/// How much of what is bounded is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Slots of the session table: sessions, handshakes and dials.
    pub slots: usize,
    /// Dials under way.
    pub dials: usize,
    /// Handshakes under way that strangers asked for.
    pub half_open: usize,
    /// Servers, in their handshake or in the session that it gave.
    pub servers: usize,
    /// Timers that are set.
    pub timers: usize,
}

/// Our end of one overlay. Tokens and places for strangers are its own.
struct End {
    suite: Box<dyn Suite>,
    gates: Vec<Arc<Gate>>,
    mint: TokenMint,
    admission: Admission,
}

/// The links of a node.
pub struct Links {
    ends: Vec<End>,
    /// The overlay whose sessions the lanes carry, if any.
    data: Option<Instance>,
    /// The longest frame that lanes have to send.
    frame_max: usize,
    table: Table,
    incarnation: u64,
    generation: u32,
    /// The virtual address that is told in that overlay.
    ipv4: Option<Ipv4Addr>,
    timers: Timers<Slot>,
    counters: Counters,
}

impl std::fmt::Debug for Links {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Links").field("table", &self.table).finish_non_exhaustive()
    }
}

impl Links {
    /// No links yet. One suite and its gates, at least one, per overlay. `data` is the overlay whose sessions
    /// the lanes carry, with the inner MTU; those of all others carry control messages only.
    pub fn new(
        ends: Vec<(Box<dyn Suite>, Vec<Gate>)>,
        data: Option<(Instance, u16)>,
        rng: &mut Rng,
        now: Instant,
    ) -> Links {
        let overlays = ends.len();
        let end = |(suite, gates): (Box<dyn Suite>, Vec<Gate>)| {
            debug_assert!(!gates.is_empty(), "an end answers somebody");
            let gates = gates.into_iter().map(Arc::new).collect();
            let mint = TokenMint::new(rng, now);
            End { suite, gates, mint, admission: Admission::share_of(overlays) }
        };
        Links {
            ends: ends.into_iter().map(end).collect(),
            data: data.map(|(instance, _)| instance),
            frame_max: frame_len(data.map_or(0, |(_, mtu)| mtu).into()),
            table: Table::new(overlays),
            incarnation: rng.u64(),
            generation: 0,
            ipv4: None,
            timers: Timers::default(),
            counters: Counters::default(),
        }
    }

    /// The suite of an overlay.
    pub fn suite(&self, instance: Instance) -> &dyn Suite {
        &*self.ends[instance.0 as usize].suite
    }

    /// The suite of an overlay, to give it notices or a renewed certificate.
    pub fn suite_mut(&mut self, instance: Instance) -> &mut dyn Suite {
        &mut *self.ends[instance.0 as usize].suite
    }

    /// Changes whose first datagrams an overlay answers: the newest gate first, at least one. Dials under way
    /// go on with theirs.
    pub fn set_gates(&mut self, instance: Instance, gates: Vec<Gate>) {
        debug_assert!(!gates.is_empty(), "an end answers somebody");
        self.ends[instance.0 as usize].gates = gates.into_iter().map(Arc::new).collect();
    }

    /// The current session with a peer.
    pub fn session(&self, instance: Instance, peer: NodeId) -> Option<(Slot, &Session)> {
        let slot = self.table.current(instance, peer)?;
        Some((slot, self.table.session(slot)?))
    }

    /// The session in a slot.
    pub fn session_at(&self, slot: Slot) -> Option<&Session> {
        self.table.session(slot)
    }

    /// All current sessions.
    pub fn sessions(&self) -> impl Iterator<Item = (Slot, &Session)> {
        self.table.sessions().filter(|(_, session)| session.is_current())
    }

    /// What was counted.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// How much of what is bounded is in use.
    pub fn footprint(&self) -> Footprint {
        Footprint {
            slots: self.table.len(),
            dials: self.table.dials(),
            half_open: self.ends.iter().map(|end| end.admission.total()).sum(),
            servers: self.table.servers(),
            timers: self.timers.len(),
        }
    }

    /// How full its bounded places are.
    pub fn fills(&self) -> [Fill; 4] {
        let admissions = || self.ends.iter().map(|end| &end.admission);
        let half_open = admissions().map(Admission::total).sum();
        let busiest = admissions().map(Admission::most_of_a_network).max().unwrap_or(0);
        [
            Fill::new("sessions, handshakes and dials", self.table.len(), table::SLOTS_MAX),
            Fill::new("dials", self.table.dials(), DIALS_MAX),
            Fill::new("half-open handshakes", half_open, HALF_OPEN_MAX),
            Fill::new("half-open handshakes of a network", busiest, HALF_OPEN_PER_NETWORK_MAX),
        ]
    }

    /// When [`Links::handle_timeout`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.deadline()
    }

    /// The virtual address that our welcomes announce; peers that are linked already are told. It stays in the
    /// overlay whose sessions the lanes carry.
    pub fn announce(&mut self, ipv4: Option<Ipv4Addr>, cx: &mut Context<'_>) {
        self.ipv4 = ipv4;
        let Some(data) = self.data else { return };
        for slot in self.table.current_slots(Some(data)) {
            self.send_at(slot, &Control::Address(ipv4).emit(), cx);
        }
    }

    /// Dials a node at all these paths at once, unless it is linked directly or being dialled already.
    pub fn dial(
        &mut self,
        instance: Instance,
        target: Option<NodeId>,
        paths: Vec<Path>,
        cx: &mut Context<'_>,
    ) {
        if let Some(peer) = target {
            // A session through the overlay is no link: a direct one shall replace it.
            let direct = |s: &Session| matches!(s.path, Path::Direct(_));
            let tunnels = paths.iter().all(|path| matches!(path, Path::Overlay(_)));
            if self.session(instance, peer).is_some_and(|(_, s)| direct(s) || tunnels) {
                return;
            }
            if let Some(slot) = self.table.dialling(instance, peer) {
                if let Some(dial) = self.table.dial_mut(slot) {
                    paths.iter().for_each(|&path| dial.add_path(path, cx.now.instant));
                }
                self.run_dial(slot, cx);
                return;
            }
        }
        self.begin_dial(instance, target, paths, Reason::Link, cx);
    }

    /// Sends a control message to a linked peer; false if there is no current session.
    pub fn send(
        &mut self,
        instance: Instance,
        peer: NodeId,
        message: &[u8],
        cx: &mut Context<'_>,
    ) -> bool {
        let Some(slot) = self.table.current(instance, peer) else { return false };
        self.send_at(slot, message, cx);
        true
    }

    /// Ends the current session with a peer and tells it why.
    pub fn close(
        &mut self,
        instance: Instance,
        peer: NodeId,
        reason: CloseReason,
        cx: &mut Context<'_>,
    ) {
        if let Some(slot) = self.table.current(instance, peer) {
            self.send_at(slot, &Control::Close(reason).emit(), cx);
            self.end(slot, Some(reason), cx);
        }
    }

    /// Judges every session again: after a notice, a renewal, or because time passed.
    pub fn rejudge(&mut self, cx: &mut Context<'_>) {
        let refused: Vec<(Slot, pki::Refusal)> = self
            .table
            .sessions()
            .filter_map(|(slot, s)| {
                let verdict = self.suite(s.instance).rejudge(&s.peer, cx.now.unix);
                Some((slot, verdict.err()?))
            })
            .collect();
        for (slot, refusal) in refused {
            self.refuse(slot, refusal, cx);
        }
    }

    /// Ends a session whose peer is not acceptable any more.
    fn refuse(&mut self, slot: Slot, refusal: pki::Refusal, cx: &mut Context<'_>) {
        let Some(session) = self.table.session(slot) else { return };
        let (instance, path) = (session.instance, session.path);
        let why = Failure::Refused(refusal);
        cx.effects.push(Effect::Refused { instance, path, why, by: By::Us });
        self.send_at(slot, &Control::Close(CloseReason::Refused).emit(), cx);
        self.end(slot, Some(CloseReason::Refused), cx);
    }

    /// A lane heard a session or sent by it.
    pub fn handle_activity(&mut self, report: &SessionReport, cx: &mut Context<'_>) {
        let SessionReport { slot, peer, ref tally, frames_in_epoch } = *report;
        let now = cx.now.instant;
        let session = self.table.session_mut(slot);
        let Some(session) = session.filter(|session| session.peer.id == peer) else { return };
        if let Some(at) = tally.last_heard {
            session.liveness.heard(at);
        }
        if let Some(at) = tally.last_sent {
            session.liveness.data_sent(at, now);
        }
        if tally.long {
            session.plpmtu.wanted(cx.rng, now);
        }
        let epoch_is_full = frames_in_epoch >= EPOCH_FRAMES_MAX;
        if epoch_is_full {
            session.epoch_at = now;
        }
        self.plan(slot);
        if let Some(path) = tally.roamed {
            self.handle_roamed(slot, path, cx);
        }
        if epoch_is_full {
            self.run_session(slot, cx);
        }
    }

    /// An authentic frame of this session came by another path than its own. Only a change of address counts: a
    /// peer that wraps its frames into messages of the overlay would have its link carried by itself.
    pub fn handle_roamed(&mut self, slot: Slot, path: Path, cx: &mut Context<'_>) {
        let Some(session) = self.table.session_mut(slot) else { return };
        let recent = session.challenge.is_some_and(|c| cx.now.instant - c.at < CHALLENGE_PAUSE);
        let (Path::Direct(from), Path::Direct(to)) = (session.path, path) else { return };
        if from == to || recent {
            return;
        }
        let data = cx.rng.bytes();
        session.challenge = Some(Challenge { path, data, at: cx.now.instant });
        self.transmit_control(slot, path, &Control::PathChallenge { data, padding: 0 }.emit(), cx);
    }

    /// A datagram to this endpoint was answered by ICMP: nobody listens there.
    pub fn handle_unreachable(&mut self, to: SocketAddr, cx: &mut Context<'_>) {
        for slot in self.slots_at(|endpoint| endpoint == to) {
            if let Some(session) = self.table.session_mut(slot) {
                session.liveness.suspect(cx.now.instant);
                self.run_session(slot, cx);
            }
        }
    }

    /// A datagram to this host was too long for a network on the way, says ICMP.
    pub fn handle_too_big(&mut self, to: IpAddr, cx: &mut Context<'_>) {
        for slot in self.slots_at(|endpoint| endpoint.ip() == to) {
            let Some(session) = self.table.session_mut(slot) else { continue };
            if session.plpmtu.refused(cx.rng, cx.now.instant) {
                self.tell_limit(slot, cx);
            }
            self.run_session(slot, cx);
        }
    }

    /// The current sessions that go straight to such an endpoint.
    fn slots_at(&self, is_such: impl Fn(SocketAddr) -> bool) -> Vec<Slot> {
        let path = |slot| self.table.session(slot).map(|session| session.path);
        let is_there = |path| matches!(path, Path::Direct(endpoint) if is_such(endpoint));
        let mut slots = self.table.current_slots(None);
        slots.retain(|&slot| path(slot).is_some_and(is_there));
        slots
    }

    /// A datagram that no data lane knew came by `path`, in the overlay `within` if the path is one.
    pub fn handle_datagram(
        &mut self,
        path: Path,
        within: Option<Instance>,
        bytes: &mut [u8],
        cx: &mut Context<'_>,
    ) {
        match Kind::of(bytes) {
            Some(Kind::Probe) => self.handle_probe(path, within, bytes, cx),
            Some(Kind::ProbeReply) => self.handle_reply(path, within, bytes, cx),
            Some(Kind::Invite) => self.handle_invite(path, within, bytes, cx),
            Some(Kind::HelloClear | Kind::HelloSealed) => {
                self.handle_hello(path, within, bytes, cx);
            }
            Some(Kind::Frame) => self.handle_frame(path, within, bytes, cx),
            None => self.counters.malformed += 1,
        }
    }

    /// The time has come that [`Links::deadline`] named.
    pub fn handle_timeout(&mut self, cx: &mut Context<'_>) {
        while let Some(slot) = self.timers.expire(cx.now.instant) {
            match self.table.get(slot) {
                Some(State::Dial(_)) => self.run_dial(slot, cx),
                Some(State::Shaking(_)) => self.run_handshake(slot, cx),
                Some(State::Session(_)) => self.run_session(slot, cx),
                None => {}
            }
        }
    }

    fn end_mut(&mut self, instance: Instance) -> &mut End {
        &mut self.ends[instance.0 as usize]
    }

    /// Changes the lanes' tables, if they carry the sessions of this overlay.
    fn tell_lanes(&self, instance: Instance, delta: Delta, cx: &mut Context<'_>) {
        if self.data == Some(instance) {
            cx.effects.push(Effect::Delta(delta));
        }
    }

    /// The longest datagram that the path of a session carries, as far as is known, in bytes.
    pub fn datagram_max(&self, session: &Session) -> usize {
        match session.plpmtu.is_full() {
            true => self.frame_max,
            false => session.path.datagram_max(),
        }
    }

    /// Tells the lanes how long a frame the path of a session carries.
    fn tell_limit(&self, slot: Slot, cx: &mut Context<'_>) {
        let Some(session) = self.table.session(slot) else { return };
        let (instance, limit) = (session.instance, self.datagram_max(session));
        self.tell_lanes(instance, Delta::SetLimit { slot, limit }, cx);
    }

    /// Whether a slot is for the overlay that a datagram came through, if it came through one.
    fn fits(&self, slot: Slot, within: Option<Instance>) -> bool {
        within.is_none_or(|within| self.table.instance(slot) == Some(within))
    }
}
