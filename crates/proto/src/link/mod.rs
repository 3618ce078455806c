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
//! - a session ends when its peer is no longer acceptable: by time or by a notice.
//!
//! | file | question |
//! |---|---|
//! | `dial` | how is a node probed |
//! | `table` | which slot is what |
//! | `session` | what is a live session |
//! | `liveness` | does the other end live |
//! | `admission` | how many strangers are served at once |

use crate::NodeId;
use crate::lane::{Delta, Slot};
use crate::path::Path;
use crate::rng::Rng;
use crate::session::admission::admit;
use crate::session::gate::{Gate, open_invite, open_probe};
use crate::session::handshake::{self, By, Handshake, Outcome};
use crate::session::suite::{Failure, Peer, Suite};
use crate::session::token::{Token, TokenMint};
use crate::session::{Index, LaneId};
use crate::time::{Instant, Now};
use crate::timer::Timers;
use crate::wire::control::{CloseReason, Control, Welcome};
use crate::wire::frame::{Header, Kind};
use crate::wire::hello;
use crate::wire::probe::{Invite, Probe, ProbeReply};
use admission::Admission;
use dial::{Dial, Reason};
use liveness::{Due, Liveness};
use session::{
    CHALLENGE_PAUSE, Challenge, GREETING_PAUSE, HOLDER_PATIENCE, Origin, REKEY_AFTER, RETIRE_AFTER,
    Session, Stage,
};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use table::{Shaking, State, Table};

mod admission;
pub mod dial;
pub mod liveness;
pub mod session;
mod table;

pub use crate::overlay::Instance;

/// Dials under way at most; more are refused at once and may be asked for again.
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

/// Our end of one overlay.
struct End {
    suite: Box<dyn Suite>,
    gates: Vec<Arc<Gate>>,
}

/// The links of a node.
pub struct Links {
    ends: Vec<End>,
    table: Table,
    admission: Admission,
    mint: TokenMint,
    incarnation: u64,
    generation: u32,
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
    /// No links yet. One suite and its gates per overlay; no gates means the public one.
    pub fn new(ends: Vec<(Box<dyn Suite>, Vec<Gate>)>, rng: &mut Rng, now: Instant) -> Links {
        let end = |(suite, gates): (Box<dyn Suite>, Vec<Gate>)| {
            let gates = if gates.is_empty() { vec![Gate::public()] } else { gates };
            End { suite, gates: gates.into_iter().map(Arc::new).collect() }
        };
        Links {
            ends: ends.into_iter().map(end).collect(),
            table: Table::default(),
            admission: Admission::default(),
            mint: TokenMint::new(rng, now),
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
            half_open: self.admission.total(),
            servers: self.table.servers(),
            timers: self.timers.len(),
        }
    }

    /// When [`Links::handle_timeout`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.deadline()
    }

    /// The virtual address that our welcomes announce; peers that are linked already are told.
    pub fn announce(&mut self, ipv4: Option<Ipv4Addr>, cx: &mut Context<'_>) {
        self.ipv4 = ipv4;
        for slot in self.table.current_slots() {
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
            let Some(session) = self.table.session(slot) else { continue };
            let (instance, path) = (session.instance, session.path);
            let why = Failure::Refused(refusal);
            cx.effects.push(Effect::Refused { instance, path, why, by: By::Us });
            self.send_at(slot, &Control::Close(CloseReason::Refused).emit(), cx);
            self.end(slot, Some(CloseReason::Refused), cx);
        }
    }

    /// A lane heard a session or sent by it.
    pub fn handle_activity(
        &mut self,
        slot: Slot,
        heard: Option<Instant>,
        sent: Option<Instant>,
        cx: &mut Context<'_>,
    ) {
        let Some(session) = self.table.session_mut(slot) else { return };
        if let Some(at) = heard {
            session.liveness.heard(at);
        }
        if let Some(at) = sent {
            session.liveness.data_sent(at, cx.now.instant);
        }
        self.plan(slot);
    }

    /// An authentic frame of this session came by another path than its own.
    pub fn handle_roamed(&mut self, slot: Slot, path: Path, cx: &mut Context<'_>) {
        let Some(session) = self.table.session_mut(slot) else { return };
        let recent = session.challenge.is_some_and(|c| cx.now.instant - c.at < CHALLENGE_PAUSE);
        if path == session.path || recent {
            return;
        }
        let data = cx.rng.bytes();
        session.challenge = Some(Challenge { path, data, at: cx.now.instant });
        self.transmit_control(slot, path, &Control::PathChallenge(data).emit(), cx);
    }

    /// A datagram to this endpoint was answered by ICMP: nobody listens there.
    pub fn handle_unreachable(&mut self, to: SocketAddr, cx: &mut Context<'_>) {
        let path = Path::Direct(to);
        for slot in self.table.current_slots() {
            if let Some(session) = self.table.session_mut(slot).filter(|s| s.path == path) {
                session.liveness.suspect(cx.now.instant);
                self.run_session(slot, cx);
            }
        }
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
            Some(Kind::ProbeReply) => self.handle_reply(path, bytes, cx),
            Some(Kind::Invite) => self.handle_invite(path, within, bytes, cx),
            Some(Kind::HelloClear | Kind::HelloSealed) => {
                self.handle_hello(path, within, bytes, cx);
            }
            Some(Kind::Frame) => self.handle_frame(path, bytes, cx),
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
}

/// Dialling.
impl Links {
    fn begin_dial(
        &mut self,
        instance: Instance,
        target: Option<NodeId>,
        paths: Vec<Path>,
        reason: Reason,
        cx: &mut Context<'_>,
    ) {
        let failed = |paths| Effect::DialFailed { instance, target, paths };
        if self.table.dials() >= DIALS_MAX || paths.is_empty() {
            cx.effects.push(failed(paths));
            return;
        }
        let Some((slot, index)) = self.table.allocate(cx.rng) else {
            cx.effects.push(failed(paths));
            return;
        };
        let end = &self.ends[instance.0 as usize];
        let probe = Probe { dialler: index, id: end.suite.node_id(), target };
        let nonce = cx.rng.bytes();
        let datagram = end.gates[0].seal_probe(&probe, nonce);
        let dial = Dial::new(instance, target, reason, paths, nonce, datagram, cx.now.instant);
        self.table.put_dial(slot, index, dial);
        self.run_dial(slot, cx);
    }

    fn run_dial(&mut self, slot: Slot, cx: &mut Context<'_>) {
        let Some(dial) = self.table.dial_mut(slot) else { return };
        let instance = dial.instance;
        loop {
            match dial.poll(cx.now.instant) {
                Ok(Some(path)) => {
                    let bytes = dial.datagram.clone();
                    cx.effects.push(Effect::Transmit { instance, path, bytes });
                }
                Ok(None) => break self.timers.set(slot, dial.deadline()),
                Err(dial::TimedOut) => break self.fail_dial(slot, cx),
            }
        }
    }

    /// Gives a dial or handshake up.
    fn fail_dial(&mut self, slot: Slot, cx: &mut Context<'_>) {
        self.timers.cancel(slot);
        let Some(state) = self.table.remove(slot) else { return };
        let (instance, target, paths, reason) = match state {
            State::Dial(dial) => (dial.instance, dial.target, dial.paths, dial.reason),
            State::Shaking(shaking) => {
                self.admission.leave(&shaking.path, shaking.admitted);
                let reason = shaking.reason.unwrap_or(Reason::Rekey);
                (shaking.instance, shaking.target, vec![shaking.path], reason)
            }
            State::Session(_) => unreachable!("a session is ended, not failed"),
        };
        if reason == Reason::Link {
            cx.effects.push(Effect::DialFailed { instance, target, paths });
        }
    }

    fn handle_probe(
        &mut self,
        path: Path,
        within: Option<Instance>,
        bytes: &[u8],
        cx: &mut Context<'_>,
    ) {
        let opened = self.ends_of(within).find_map(|(instance, end)| {
            open_probe(&end.gates, bytes).map(|opened| (instance, opened))
        });
        let Some((instance, opened)) = opened else {
            self.counters.silence += 1;
            return;
        };
        let end = &self.ends[instance.0 as usize];
        let me = end.suite.node_id();
        let probe = opened.message;
        if probe.target.is_some_and(|target| target != me) || probe.id == me {
            self.counters.silence += 1;
            return;
        }
        let token = self.mint.mint(&path, probe.dialler, cx.now.instant);
        let reply = ProbeReply { dialler: probe.dialler, token };
        let bytes = end.gates[opened.gate].seal_reply(&reply, &opened.nonce).to_vec();
        self.counters.probes_answered += 1;
        // Nothing else goes there before it is proven, even if we dial the same node: with the reply that node
        // can do what is left to do, and whoever repeats its probe from elsewhere makes us send nothing more.
        cx.effects.push(Effect::Transmit { instance, path, bytes });
    }

    fn handle_reply(&mut self, path: Path, bytes: &[u8], cx: &mut Context<'_>) {
        let Ok((claimed, _, _)) = ProbeReply::parse(bytes) else {
            self.counters.malformed += 1;
            return;
        };
        let slot = Slot(claimed.dialler.slot());
        let Some((index, dial)) = self.table.dial_at(slot) else { return };
        let end = &self.ends[dial.instance.0 as usize];
        let reply = end.gates[0].open_reply(bytes, &dial.nonce);
        let Some(reply) = reply.filter(|r| r.dialler == index && dial.invited.is_none()) else {
            return;
        };
        let me = end.suite.node_id();
        if dial.target.is_none_or(|target| me < target) {
            let (target, reason) = (dial.target, Some(dial.reason));
            let start =
                Start { path, token: reply.token, inviter: None, target, reason, admitted: false };
            self.start_client(slot, dial.instance, start, cx);
            return;
        }
        let token = self.mint.mint(&path, index, cx.now.instant);
        let invite = Invite { dialler: index, id: me, proof: reply.token, token };
        let datagram = end.gates[0].seal_invite(&invite, cx.rng.bytes());
        if let Some(dial) = self.table.dial_mut(slot) {
            dial.invite(path, datagram, cx.now.instant);
        }
        self.run_dial(slot, cx);
    }

    fn handle_invite(
        &mut self,
        path: Path,
        within: Option<Instance>,
        bytes: &[u8],
        cx: &mut Context<'_>,
    ) {
        let opened = self.ends_of(within).find_map(|(instance, end)| {
            open_invite(&end.gates, bytes).map(|opened| (instance, opened.message))
        });
        let proven = opened.filter(|(_, invite)| {
            self.mint.check(&invite.proof, &path, invite.dialler, cx.now.instant)
        });
        let Some((instance, invite)) = proven else {
            self.counters.silence += 1;
            return;
        };
        // Its repetition, or our own dial of the same node, is under way already.
        if self.table.shaking_with(instance, invite.id).is_some() {
            return;
        }
        let own = self.table.dialling(instance, invite.id);
        let reason = own.and_then(|slot| self.table.dial_mut(slot)).map(|dial| dial.reason);
        let target = Some(invite.id);
        let inviter = Some(invite.dialler);
        // Our own dial has its place already; a stranger who invites us costs as much as one who says hello.
        let admitted = own.is_none();
        if admitted && !self.admission.enter(&path) {
            self.counters.half_open_limit += 1;
            return;
        }
        let Some(slot) = own.or_else(|| Some(self.table.allocate(cx.rng)?.0)) else {
            self.counters.half_open_limit += 1;
            return self.admission.leave(&path, admitted);
        };
        let start = Start { path, token: invite.token, inviter, target, reason, admitted };
        self.start_client(slot, instance, start, cx);
    }

    fn ends_of(&self, within: Option<Instance>) -> impl Iterator<Item = (Instance, &End)> {
        let all = self.ends.iter().enumerate().map(|(n, end)| (Instance(n as u8), end));
        all.filter(move |(instance, _)| within.is_none_or(|within| within == *instance))
    }
}

/// How a handshake starts as client.
struct Start {
    path: Path,
    token: Token,
    inviter: Option<Index>,
    target: Option<NodeId>,
    reason: Option<Reason>,
    admitted: bool,
}

/// Handshakes.
impl Links {
    fn start_client(&mut self, slot: Slot, instance: Instance, start: Start, cx: &mut Context<'_>) {
        let end = &mut self.ends[instance.0 as usize];
        let Some(local) = self.table.index(slot) else { return };
        let exchange = match end.suite.client(start.target, cx.now) {
            Ok(exchange) => exchange,
            Err(refusal) => {
                let (path, why) = (start.path, Failure::Refused(refusal));
                cx.effects.push(Effect::Refused { instance, path, why, by: By::Us });
                self.admission.leave(&start.path, start.admitted);
                return self.fail_dial(slot, cx);
            }
        };
        let dial = handshake::Dial {
            path: start.path,
            token: start.token,
            gate: Arc::clone(&end.gates[0]),
            local,
            inviter: start.inviter,
            rtt: None,
        };
        let shaking = Shaking {
            instance,
            target: start.target,
            reason: start.reason,
            path: start.path,
            is_server: false,
            admitted: start.admitted,
            handshake: Box::new(Handshake::client(exchange, dial, cx.now.instant)),
        };
        self.table.put_shaking(slot, shaking);
        self.run_handshake(slot, cx);
    }

    fn handle_hello(
        &mut self,
        path: Path,
        within: Option<Instance>,
        bytes: &mut [u8],
        cx: &mut Context<'_>,
    ) {
        let Ok(header) = hello::Header::parse(bytes) else {
            self.counters.malformed += 1;
            return;
        };
        let known = match header.receiver {
            Some(receiver) => {
                Some(Slot(receiver.slot())).filter(|&slot| self.table.index(slot) == Some(receiver))
            }
            None => self.table.server_for(path, header.sender),
        };
        let slot = match known.map(|slot| (slot, self.table.get(slot))) {
            Some((slot, Some(State::Shaking(_) | State::Session(_)))) => slot,
            Some((_, Some(State::Dial(_)))) | None => {
                match self.start_server(path, within, bytes, cx) {
                    Some(slot) => slot,
                    None => return,
                }
            }
            Some((_, None)) => return,
        };
        match self.table.get_mut(slot) {
            Some(State::Shaking(shaking)) => {
                shaking.handshake.handle(bytes, cx.now.instant);
                self.run_handshake(slot, cx);
            }
            Some(State::Session(session)) => {
                if let Some(handshake) = &mut session.handshake {
                    handshake.handle(bytes, cx.now.instant);
                }
                self.run_session(slot, cx);
            }
            Some(State::Dial(_)) | None => {}
        }
    }

    /// Makes a server for a client's first datagram, if its token and gate are good and there is room.
    fn start_server(
        &mut self,
        path: Path,
        within: Option<Instance>,
        bytes: &[u8],
        cx: &mut Context<'_>,
    ) -> Option<Slot> {
        let now = cx.now.instant;
        let mut admitted = None;
        for n in 0..self.ends.len() {
            let instance = Instance(n as u8);
            if within.is_none_or(|within| within == instance) {
                let gates = &self.ends[n].gates;
                if let Ok(hello) = admit(bytes, &path, &mut self.mint, gates, now) {
                    admitted = Some((instance, hello));
                    break;
                }
            }
        }
        let Some((instance, hello)) = admitted else {
            self.counters.silence += 1;
            return None;
        };
        // Whoever probes chooses the index that its token is for: only one that we invited this path with counts.
        let invited = match hello.invited.map(|index| self.table.inviting(index, path)) {
            None => None,
            Some(Some((slot, dial))) if dial.instance == instance => {
                Some((slot, dial.target, Some(dial.reason)))
            }
            Some(_) => {
                self.counters.silence += 1;
                return None;
            }
        };
        let admitted = invited.is_none();
        if admitted && !self.admission.enter(&path) {
            self.counters.half_open_limit += 1;
            return None;
        }
        let (target, reason) = invited.map_or((None, None), |(_, target, reason)| (target, reason));
        let exchange = self.ends[n_of(instance)].suite.server(target, cx.now).ok();
        let place = exchange.and_then(|exchange| {
            let slot = match invited {
                Some((slot, ..)) => slot,
                None => self.table.allocate(cx.rng)?.0,
            };
            Some((exchange, slot, self.table.index(slot)?))
        });
        let Some((exchange, slot, local)) = place else {
            self.admission.leave(&path, admitted);
            return None;
        };
        let handshake = Handshake::server(exchange, &hello, &path, local, now);
        let shaking = Shaking {
            instance,
            target,
            reason,
            path,
            is_server: true,
            admitted,
            handshake: Box::new(handshake),
        };
        self.table.put_shaking(slot, shaking);
        self.table.note_server(path, hello.client, slot);
        Some(slot)
    }

    fn run_handshake(&mut self, slot: Slot, cx: &mut Context<'_>) {
        let now = cx.now.instant;
        let Some(State::Shaking(shaking)) = self.table.get_mut(slot) else { return };
        let (instance, path) = (shaking.instance, shaking.path);
        while let Some(bytes) = shaking.handshake.poll_transmit(now) {
            cx.effects.push(Effect::Transmit { instance, path, bytes });
        }
        match shaking.handshake.poll_outcome(now) {
            None => self.timers.set(slot, shaking.handshake.deadline()),
            Some(Outcome::Established(established)) => {
                let Some(State::Shaking(shaking)) = self.table.take(slot) else { return };
                self.establish(slot, shaking, *established, cx);
            }
            Some(Outcome::Refused { why, by }) => {
                cx.effects.push(Effect::Refused { instance, path, why, by });
                // A server that refused repeats the reason for as long as the client asks.
                if by == By::Us && !shaking.handshake.is_over() {
                    self.timers.set(slot, shaking.handshake.deadline());
                    if let Some(Reason::Link) = shaking.reason.take() {
                        let (target, paths) = (shaking.target, vec![path]);
                        cx.effects.push(Effect::DialFailed { instance, target, paths });
                    }
                } else {
                    self.fail_dial(slot, cx);
                }
            }
            Some(Outcome::TimedOut) => self.fail_dial(slot, cx),
        }
    }

    fn establish(
        &mut self,
        slot: Slot,
        shaking: Shaking,
        established: crate::session::suite::Established,
        cx: &mut Context<'_>,
    ) {
        self.admission.leave(&shaking.path, shaking.admitted);
        let Shaking { instance, path, is_server, handshake, .. } = shaking;
        let (Some(index), Some(remote)) = (self.table.index(slot), handshake.peer_index()) else {
            return;
        };
        let me = self.suite(instance).node_id();
        let peer: &Peer = &established.peer;
        let (client, server) = if is_server { (peer.id, me) } else { (me, peer.id) };
        let lower_client = client < server;
        let origin = Origin { instance, path, index, remote, lower_client, handshake };
        let liveness = Liveness::new(me < peer.id, cx.rng.u32(), cx.now.instant);
        let rekey_after = cx.rng.jitter(REKEY_AFTER, 0.1);
        // The client's number orders sessions of the same role; the server learns it from the welcome.
        if !is_server {
            self.generation += 1;
        }
        let mut session = Session::new(origin, established, liveness, rekey_after, cx.now.instant);
        session.rank.1 = if is_server { 0 } else { self.generation };
        self.table.put_session(slot, session);
        self.run_session(slot, cx);
    }
}

fn n_of(instance: Instance) -> usize {
    instance.0 as usize
}

/// Sessions.
impl Links {
    fn handle_frame(&mut self, path: Path, bytes: &mut [u8], cx: &mut Context<'_>) {
        let Ok(header) = Header::parse(bytes) else {
            self.counters.malformed += 1;
            return;
        };
        let slot = Slot(header.receiver.slot());
        let Some(session) = self.table.session_mut(slot) else {
            self.counters.unknown_session += 1;
            return;
        };
        if header.lane != LaneId::CONTROL {
            // A data frame that overtook the news of its session: TCP and ping repeat it.
            self.counters.unknown_session += 1;
            return;
        }
        let plaintext = match session.open(&header, bytes, cx.now.instant) {
            Ok(plaintext) => plaintext,
            Err(crate::session::keys::OpenError::Replay) => {
                self.counters.replayed += 1;
                return;
            }
            Err(_) => {
                self.counters.forged += 1;
                return;
            }
        };
        session.liveness.heard(cx.now.instant);
        session.handshake = None;
        let message = plaintext.to_vec();
        if path != session.path {
            self.handle_roamed(slot, path, cx);
        }
        self.handle_control(slot, path, &message, cx);
        if self.table.session(slot).is_some() {
            self.run_session(slot, cx);
        }
    }

    fn handle_control(&mut self, slot: Slot, path: Path, bytes: &[u8], cx: &mut Context<'_>) {
        let Ok(message) = Control::parse(bytes) else {
            self.counters.malformed += 1;
            return;
        };
        let now = cx.now.instant;
        let Some(session) = self.table.session_mut(slot) else { return };
        match message {
            Control::Ping(nonce) => {
                self.transmit_control(slot, path, &Control::Pong(nonce).emit(), cx);
            }
            Control::Pong(nonce) => session.liveness.ponged(nonce, now),
            Control::Welcome(welcome) => self.handle_welcome(slot, welcome, cx),
            Control::Close(reason) => {
                if reason == CloseReason::IdInUse {
                    let instance = session.instance;
                    cx.effects.push(Effect::IdInUse(instance));
                }
                self.end(slot, Some(reason), cx);
            }
            Control::PathChallenge(data) => {
                self.transmit_control(slot, path, &Control::PathResponse(data).emit(), cx);
            }
            Control::PathResponse(data) => {
                let answered = session.challenge.filter(|c| c.path == path && c.data == data);
                if answered.is_some() {
                    session.challenge = None;
                    session.path = path;
                    let (instance, peer) = (session.instance, session.peer.id);
                    cx.effects.push(Effect::Delta(Delta::SetPath { slot, path }));
                    cx.effects.push(Effect::Moved { instance, peer, path });
                }
            }
            Control::Status(_) | Control::Routed(_) | Control::Address(_) => {
                if session.is_current() {
                    let (instance, peer) = (session.instance, session.peer.id);
                    let message = bytes.to_vec();
                    cx.effects.push(Effect::Control { instance, peer, message });
                }
            }
        }
    }

    fn handle_welcome(&mut self, slot: Slot, welcome: Welcome, cx: &mut Context<'_>) {
        let now = cx.now.instant;
        let Some(session) = self.table.session_mut(slot) else { return };
        if session.welcome.replace(welcome).is_some() {
            // It repeats itself because ours was lost.
            self.greet(slot, cx);
            return;
        }
        session.rank.1 = session.rank.1.max(welcome.generation);
        self.greet(slot, cx);
        let Some(session) = self.table.session(slot) else { return };
        let (instance, peer, rank, path) =
            (session.instance, session.peer.id, session.rank, session.path);
        let Some(holder_slot) = self.table.current(instance, peer) else {
            return self.make_current(slot, cx);
        };
        let Some(holder) = self.table.session_mut(holder_slot) else { return };
        let same_process =
            holder.welcome.is_some_and(|held| held.incarnation == welcome.incarnation);
        if same_process && holder.rank > rank {
            self.send_at(slot, &Control::Close(CloseReason::Replaced).emit(), cx);
            self.end(slot, Some(CloseReason::Replaced), cx);
        } else if same_process || holder.path == path {
            // The same process with newer keys, or a new process where the old one was.
            self.make_current(slot, cx);
        } else {
            holder.liveness.suspect(now);
            self.run_session(holder_slot, cx);
            if let Some(session) = self.table.session_mut(slot) {
                session.stage = Stage::Contending { until: now + HOLDER_PATIENCE };
            }
        }
    }

    /// Sends our welcome.
    fn greet(&mut self, slot: Slot, cx: &mut Context<'_>) {
        let Some(session) = self.table.session(slot) else { return };
        let notices =
            self.suite(session.instance).trust().map_or(0, |trust| trust.ledger().number());
        let welcome = Welcome {
            incarnation: self.incarnation,
            generation: session.rank.1,
            notices,
            observed: match session.path {
                Path::Direct(endpoint) => endpoint,
                Path::Overlay(_) => SocketAddr::from(([0, 0, 0, 0], 0)),
            },
            ipv4: self.ipv4,
        };
        self.send_at(slot, &Control::Welcome(welcome).emit(), cx);
    }

    fn make_current(&mut self, slot: Slot, cx: &mut Context<'_>) {
        let Some(session) = self.table.session_mut(slot) else { return };
        let (instance, peer) = (session.instance, session.peer.id);
        session.stage = Stage::Current;
        if let Some(for_lane) = session.for_lane() {
            let session = Box::new(for_lane);
            cx.effects.push(Effect::Delta(Delta::AddSession { slot, session }));
        }
        let former = self.table.set_current(instance, peer, slot);
        if let Some(former) = former.and_then(|former| self.table.session_mut(former)) {
            former.stage = Stage::Retiring { until: cx.now.instant + RETIRE_AFTER };
        }
        former.into_iter().for_each(|former| self.plan(former));
        self.counters.sessions_up += 1;
        cx.effects.push(Effect::Up { instance, peer, slot, former });
        // Whoever else was dialling the same node has what it wanted.
        if let Some(dial) = self.table.dialling(instance, peer) {
            self.timers.cancel(dial);
            self.table.remove(dial);
        }
    }

    /// Does everything that is due for a session.
    fn run_session(&mut self, slot: Slot, cx: &mut Context<'_>) {
        let now = cx.now.instant;
        self.run_lingering_handshake(slot, cx);
        let Some(session) = self.table.session_mut(slot) else { return };
        match session.stage {
            Stage::Greeting { again_at } if again_at <= now => {
                session.stage = Stage::Greeting { again_at: now + GREETING_PAUSE };
                self.greet(slot, cx);
            }
            Stage::Contending { until } => {
                let (instance, peer, since) = (session.instance, session.peer.id, session.since);
                let holder = self.table.current(instance, peer);
                let holder = holder.and_then(|slot| self.table.session(slot));
                if holder.is_some_and(|holder| holder.liveness.heard_at() > since) {
                    self.send_at(slot, &Control::Close(CloseReason::IdInUse).emit(), cx);
                    return self.end(slot, Some(CloseReason::IdInUse), cx);
                } else if until <= now || holder.is_none() {
                    self.make_current(slot, cx);
                }
            }
            Stage::Retiring { until } if until <= now => return self.end(slot, None, cx),
            _ => {}
        }
        let Some(session) = self.table.session_mut(slot) else { return };
        if !matches!(session.stage, Stage::Retiring { .. }) {
            loop {
                let Some(session) = self.table.session_mut(slot) else { return };
                match session.liveness.poll(now) {
                    Due::Wait(_) => break,
                    Due::Ping(nonce) => {
                        let ping = Control::Ping(nonce).emit();
                        self.send_at(slot, &ping, cx);
                    }
                    Due::Dead => {
                        self.counters.sessions_dead += 1;
                        return self.end(slot, None, cx);
                    }
                }
            }
            self.run_keys(slot, cx);
        }
        self.plan(slot);
    }

    /// Repeats lost handshake flights until the first frame opened; hears of a late refusal.
    fn run_lingering_handshake(&mut self, slot: Slot, cx: &mut Context<'_>) {
        let now = cx.now.instant;
        let Some(session) = self.table.session_mut(slot) else { return };
        let (instance, path) = (session.instance, session.path);
        let Some(handshake) = &mut session.handshake else { return };
        while let Some(bytes) = handshake.poll_transmit(now) {
            cx.effects.push(Effect::Transmit { instance, path, bytes });
        }
        match handshake.poll_outcome(now) {
            Some(Outcome::Refused { why, by }) => {
                cx.effects.push(Effect::Refused { instance, path, why, by });
                self.end(slot, Some(CloseReason::Refused), cx);
            }
            Some(Outcome::TimedOut) => self.end(slot, None, cx),
            Some(Outcome::Established(_)) | None => {}
        }
    }

    /// Next epoch, new handshake, end of the certificate.
    fn run_keys(&mut self, slot: Slot, cx: &mut Context<'_>) {
        let now = cx.now.instant;
        let Some(session) = self.table.session_mut(slot) else { return };
        let (instance, peer, path) = (session.instance, session.peer.id, session.path);
        let expired = session.peer.not_after.is_some_and(|end| end < cx.now.unix);
        if session.epoch_at <= now {
            let goes_on = session.next_epoch(now);
            cx.effects.push(Effect::Delta(Delta::Epoch { slot }));
            if !goes_on {
                session.rekey_at = now;
            }
            if expired {
                self.rejudge(cx);
                return;
            }
        }
        let Some(session) = self.table.session_mut(slot) else { return };
        if session.rekey_at <= now {
            session.rekey_at = now + cx.rng.jitter(Duration::from_secs(60), 0.5);
            if self.table.dialling(instance, peer).is_none() {
                self.begin_dial(instance, Some(peer), vec![path], Reason::Rekey, cx);
            }
        }
    }

    fn send_at(&mut self, slot: Slot, message: &[u8], cx: &mut Context<'_>) {
        if let Some(path) = self.table.session(slot).map(|session| session.path) {
            self.transmit_control(slot, path, message, cx);
        }
    }

    fn transmit_control(&mut self, slot: Slot, path: Path, message: &[u8], cx: &mut Context<'_>) {
        let Some(session) = self.table.session_mut(slot) else { return };
        if let Ok(bytes) = session.seal(message) {
            let instance = session.instance;
            cx.effects.push(Effect::Transmit { instance, path, bytes });
        }
    }

    fn plan(&mut self, slot: Slot) {
        if let Some(session) = self.table.session(slot) {
            self.timers.set(slot, session.deadline());
        }
    }

    /// Forgets a session.
    fn end(&mut self, slot: Slot, reason: Option<CloseReason>, cx: &mut Context<'_>) {
        self.timers.cancel(slot);
        let Some(State::Session(session)) = self.table.remove(slot) else { return };
        let (instance, peer, path) = (session.instance, session.peer.id, session.path);
        cx.effects.push(Effect::Delta(Delta::RemoveSession { slot }));
        match session.stage {
            Stage::Current => {
                cx.effects.push(Effect::Down { instance, peer, slot, path, reason });
            }
            Stage::Greeting { .. } => {
                let (target, paths) = (Some(peer), vec![path]);
                cx.effects.push(Effect::DialFailed { instance, target, paths });
            }
            Stage::Contending { .. } | Stage::Retiring { .. } => {}
        }
    }
}
