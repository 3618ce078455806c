//! A handshake over datagrams: the two streams of an [`Exchange`] in pieces, with acknowledgements and a timer.
//!
//! Each side cuts what its exchange says into datagrams that the path carries. Every datagram acknowledges, by
//! byte count, what arrived of both streams without a gap; a timer sends everything unacknowledged again.
//! A reliable transport this simple is enough for two flights of at most two datagrams each; the
//! bounds below keep it small against an attacker as well.
//! The last piece of a flight is answered at once: by that, unless it was sent twice, a side knows the round trip.
//!
//! # Life
//!
//! 1. The dialler has a path token ([`probe`](crate::wire::probe)) and makes a [`Handshake::client`].
//! 2. The other node asks [`admit`](super::admission::admit) about the first datagram. Without a good token and gate MAC it stays
//!    silent and keeps nothing: it never sends to an address that has not proved itself. With both it makes
//!    a [`Handshake::server`] and hands it that datagram.
//! 3. Each yields an [`Outcome`]. **A client is established before the server has judged it**, so
//!    [`Outcome::Established`] can be followed by a refusal: a session is up when its first frame opens. Both
//!    sides send one at once. The owner keeps the handshake until then, because it still repeats what
//!    was lost, and drops it with the first frame that opens; else it ends in [`Outcome::TimedOut`].
//!
//! A refusal under the handshake keys comes from the other end and is believed. One in clear could be anybody
//! on the path: it is only noted, and told instead of a time-out.
//!
//! # Invariants
//!
//! Clear bytes are not fed once the handshake keys are there (TLS itself does not tell the two streams
//! apart). No number seals twice: after 65,536 datagrams the side falls silent. Streams, pieces that wait
//! and datagrams that wait are bounded. A forged datagram changes nothing, except that whoever sees the path
//! can spoil the clear part, as with any handshake.

mod stream;

use super::Index;
use super::admission::Hello;
use super::gate::Gate;
use super::suite::{Established, Exchange, Failure, Level};
use super::token::Token;
use crate::path::Path;
use crate::rtt::Rtt;
use crate::time::Instant;
use crate::wire::hello::{self, Cover, HEADER_LEN, Header};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use stream::{STREAM_MAX, Stream};

/// How long a handshake may take, with everything after it until the first frame: enough for nearly all over a
/// path that loses 40 % (the tests print how long they take).
pub const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);
/// First wait for an acknowledgement: above most round trips, so that little is sent twice.
const RESEND_FIRST: Duration = Duration::from_millis(200);
/// Longest wait for an acknowledgement: it doubles up to here.
const RESEND_MAX: Duration = Duration::from_secs(1);
/// Doublings after which that is reached in any case.
const DOUBLINGS_MAX: u32 = 3;
/// How long an acknowledgement waits for something to travel with.
const ACK_DELAY: Duration = Duration::from_millis(20);
/// Sealed datagrams kept until the keys are there; dropping those that overtake a ServerHello costs a timer.
const EARLY_MAX: usize = 4;

/// What a client needs to know of its dial.
#[derive(Clone, Debug)]
pub struct Dial {
    /// Where the datagrams go.
    pub path: Path,
    /// The token that the far end gave.
    pub token: Token,
    /// The gate of the overlay.
    pub gate: Arc<Gate>,
    /// Our index for the session.
    pub local: Index,
    /// The index of the node that invited us, if one did.
    pub inviter: Option<Index>,
    /// What is known of the round trip by the probe.
    pub rtt: Rtt,
}

/// What became of a handshake.
#[derive(Debug)]
pub enum Outcome {
    /// This side is done and knows the other; see the module about when a session is up.
    Established(Box<Established>),
    /// One side does not accept the other.
    Refused {
        /// The reason.
        why: Failure,
        /// Whether it is ours or the other side's.
        by: By,
    },
    /// No answer, or no frame, in [`HANDSHAKE_TIME_MAX`].
    TimedOut,
}

/// A side of a handshake, as seen from one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// This node.
    Us,
    /// The other node.
    Peer,
}

/// One side of a handshake.
pub struct Handshake {
    exchange: Box<dyn Exchange>,
    role: Role,
    token: Token,
    gate: Arc<Gate>,
    datagram_max: usize,
    local: Index,
    peer: Option<Index>,
    /// Number of the next datagram; none are left after the last.
    number: Option<u16>,
    streams: [Stream; 2],
    early: Vec<Vec<u8>>,
    state: State,
    outcome: Option<Outcome>,
    /// A refusal in clear, which proves nothing.
    rumour: Option<Failure>,
    rtt: Rtt,
    timed: Option<Timed>,
    /// How often in a row everything was sent again.
    resends: u32,
    resend_at: Instant,
    ack_at: Instant,
    limit: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Client { invited: bool },
    Server,
}

/// The last piece of a flight: the other side answers it at once, with its own flight or an acknowledgement.
struct Timed {
    level: Level,
    end: usize,
    sent_at: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Running,
    Established,
    /// We refused, and answer whatever still comes with the reason.
    Refusing(Failure),
    Over,
}

impl Handshake {
    /// Starts as client.
    pub fn client(exchange: Box<dyn Exchange>, dial: Dial, now: Instant) -> Self {
        let role = Role::Client { invited: dial.inviter.is_some() };
        let mut client =
            Self::new(exchange, role, dial.token, dial.gate, &dial.path, dial.local, now);
        (client.peer, client.rtt) = (dial.inviter, dial.rtt);
        client.advance(now);
        client
    }

    /// Starts as server for a client that [`admit`](super::admission::admit) let in. `local` is the index that it was invited with, or a
    /// new one. The caller then hands the same datagram to [`Handshake::handle`].
    pub fn server(
        exchange: Box<dyn Exchange>,
        hello: &Hello,
        path: &Path,
        local: Index,
        rtt: Rtt,
        now: Instant,
    ) -> Self {
        let gate = Arc::clone(&hello.gate);
        let mut server = Self::new(exchange, Role::Server, hello.token, gate, path, local, now);
        (server.peer, server.rtt) = (Some(hello.client), rtt);
        server
    }

    fn new(
        exchange: Box<dyn Exchange>,
        role: Role,
        token: Token,
        gate: Arc<Gate>,
        path: &Path,
        local: Index,
        now: Instant,
    ) -> Self {
        Handshake {
            exchange,
            role,
            token,
            gate,
            datagram_max: path.datagram_max(),
            local,
            peer: None,
            number: Some(0),
            streams: Default::default(),
            early: Vec::new(),
            state: State::Running,
            outcome: None,
            rumour: None,
            rtt: Rtt::default(),
            timed: None,
            resends: 0,
            resend_at: Instant::FAR_FUTURE,
            ack_at: Instant::FAR_FUTURE,
            limit: now + HANDSHAKE_TIME_MAX,
        }
    }

    /// The index of the other end, once known.
    pub fn peer_index(&self) -> Option<Index> {
        self.peer
    }

    /// What is known of the round trip, never by a flight that was sent twice.
    pub fn rtt(&self) -> Rtt {
        self.rtt
    }

    /// Whether nothing will come of it any more.
    pub fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// When [`Handshake::poll_transmit`] or [`Handshake::poll_outcome`] have something to give though nothing
    /// comes in.
    pub fn deadline(&self) -> Instant {
        match self.state {
            State::Over => Instant::FAR_FUTURE,
            _ => self.limit.min(self.resend_at).min(self.ack_at),
        }
    }

    /// Takes a handshake datagram for this session; it is decrypted in place.
    pub fn handle(&mut self, datagram: &mut [u8], now: Instant) {
        self.expire(now);
        if self.state == State::Over {
            return;
        }
        let Ok(header) = Header::parse(datagram) else { return };
        if !self.is_addressed(&header) {
            return;
        }
        let (level, piece) = match (header.cover, self.role) {
            (Cover::Client { .. }, Role::Server) if self.gate.admits(datagram) => {
                (Level::Clear, &datagram[header.cover.piece_at()..])
            }
            (Cover::Server, Role::Client { .. }) if self.is_checked(datagram) => {
                (Level::Clear, &datagram[header.cover.piece_at()..])
            }
            (Cover::Sealed, _) if self.exchange.can_seal() => {
                let (clear, sealed) = datagram.split_at_mut(HEADER_LEN);
                let Some(piece) = self.exchange.open(header.number, clear, sealed) else { return };
                (Level::Sealed, piece)
            }
            (Cover::Sealed, Role::Client { .. }) if self.early.len() < EARLY_MAX => {
                return self.early.push(datagram.to_vec());
            }
            _ => return,
        };
        self.peer = Some(header.sender);
        if header.refused {
            return self.hear_refusal(level, piece);
        }
        if !piece.is_empty() {
            self.ack_at = self.ack_at.min(now + ACK_DELAY);
        }
        if matches!(self.state, State::Refusing(_)) {
            return;
        }
        self.streams[level as usize].hold(usize::from(header.offset), piece);
        self.hear_acks(header.acks, now);
        self.advance(now);
        self.replay_early(now);
    }

    /// The next datagram to send. Drain it after every call that changes the handshake and at the deadline.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Vec<u8>> {
        self.expire(now);
        match self.state {
            State::Over => return None,
            State::Refusing(why) => return self.transmit_refusal(why, now),
            State::Running | State::Established => {}
        }
        if now >= self.resend_at {
            self.streams.iter_mut().for_each(|stream| stream.sent = stream.acked);
            self.timed = None;
            self.resends += 1;
            self.resend_at = Instant::FAR_FUTURE;
        }
        for level in [Level::Clear, Level::Sealed] {
            let stream = &self.streams[level as usize];
            if stream.sent < stream.out.len() {
                return self.transmit_piece(level, now);
            }
        }
        if now >= self.ack_at { self.transmit(self.level(), false, 0, &[]) } else { None }
    }

    /// What became of the handshake; each outcome comes once, and another may follow.
    pub fn poll_outcome(&mut self, now: Instant) -> Option<Outcome> {
        self.expire(now);
        self.outcome.take()
    }

    /// Whether a datagram names both ends of this session, as far as they are known.
    fn is_addressed(&self, header: &Header) -> bool {
        let to_us = match header.receiver {
            Some(receiver) => receiver == self.local,
            None => matches!(header.cover, Cover::Client { .. }),
        };
        to_us && self.peer.is_none_or(|peer| peer == header.sender)
    }

    fn is_checked(&self, datagram: &[u8]) -> bool {
        let check = &datagram[HEADER_LEN..HEADER_LEN + hello::CHECK_LEN];
        verify_slices_are_equal(&self.gate.server_check(&self.token, datagram), check).is_ok()
    }

    fn hear_refusal(&mut self, level: Level, piece: &[u8]) {
        let Ok((code, detail)) = hello::parse_refusal(piece) else { return };
        let why = Failure::from_wire(code, detail);
        match (level, self.state) {
            (_, State::Refusing(_)) => {}
            (Level::Clear, _) => self.rumour = Some(why),
            (Level::Sealed, _) => {
                self.state = State::Over;
                self.outcome = Some(Outcome::Refused { why, by: By::Peer });
            }
        }
    }

    fn hear_acks(&mut self, acks: [u16; 2], now: Instant) {
        let mut progress = false;
        for (stream, ack) in self.streams.iter_mut().zip(acks) {
            let ack = usize::from(ack);
            if (stream.acked + 1..=stream.out.len()).contains(&ack) {
                stream.acked = ack;
                stream.sent = stream.sent.max(ack);
                progress = true;
            }
        }
        let answered = |timed: &mut Timed| usize::from(acks[timed.level as usize]) >= timed.end;
        if let Some(timed) = self.timed.take_if(answered) {
            self.rtt.learn(now - timed.sent_at);
        }
        if progress {
            // A wait that was too short stays doubled until a round trip is known (Karn's algorithm).
            if self.rtt.smoothed().is_some() {
                self.resends = 0;
            }
            let idle = self.streams.iter().all(|stream| stream.acked == stream.out.len());
            self.resend_at = if idle { Instant::FAR_FUTURE } else { now + self.resend_after() };
        }
    }

    /// Feeds the exchange what came and takes what it says.
    fn advance(&mut self, now: Instant) {
        if let Err(why) = self.converse() {
            self.state = State::Refusing(why);
            self.outcome = Some(Outcome::Refused { why, by: By::Us });
            self.resend_at = Instant::FAR_FUTURE;
            self.ack_at = now;
            return;
        }
        let Some(peer) = self.peer else { return };
        let (client, server) = match self.role {
            Role::Client { .. } => (self.local, peer),
            Role::Server => (peer, self.local),
        };
        if let Some(mut established) = self.exchange.finish(client, server) {
            self.gate.bind(&mut established.secrets);
            self.state = State::Established;
            self.outcome = Some(Outcome::Established(Box::new(established)));
            if self.role == Role::Server {
                // The client repeats its last flight until it hears of it.
                self.ack_at = now;
            }
        }
    }

    fn converse(&mut self) -> Result<(), Failure> {
        loop {
            let [clear, sealed] = &mut self.streams;
            self.exchange.write(&mut clear.out, &mut sealed.out);
            if clear.out.len().max(sealed.out.len()) > STREAM_MAX {
                return Err(Failure::Protocol("a flight is too long"));
            }
            let level = self.level();
            let Some(piece) = self.streams[level as usize].next() else { return Ok(()) };
            self.exchange.read(level, &piece)?;
        }
    }

    fn replay_early(&mut self, now: Instant) {
        if self.exchange.can_seal() {
            for mut datagram in std::mem::take(&mut self.early) {
                self.handle(&mut datagram, now);
            }
        }
    }

    /// The stream in which the conversation goes on.
    fn level(&self) -> Level {
        if self.exchange.can_seal() { Level::Sealed } else { Level::Clear }
    }

    /// How long to wait for an acknowledgement now.
    fn resend_after(&self) -> Duration {
        let first = RESEND_FIRST.max(self.rtt.smoothed().unwrap_or_default() * 3 / 2);
        (first * (1 << self.resends.min(DOUBLINGS_MAX))).min(RESEND_MAX.max(first))
    }

    fn expire(&mut self, now: Instant) {
        if self.state == State::Over || now < self.limit {
            return;
        }
        let refusing = matches!(self.state, State::Refusing(_));
        self.state = State::Over;
        if !refusing {
            self.outcome = Some(match self.rumour {
                Some(why) => Outcome::Refused { why, by: By::Peer },
                None => Outcome::TimedOut,
            });
        }
    }

    fn transmit_piece(&mut self, level: Level, now: Instant) -> Option<Vec<u8>> {
        let room = self.datagram_max - self.cover(level).overhead();
        let stream = &mut self.streams[level as usize];
        let start = stream.sent;
        let end = stream.out.len().min(start + room);
        stream.sent = end;
        let piece = stream.out[start..end].to_vec();
        if end == stream.out.len() && end > stream.reached {
            self.timed = Some(Timed { level, end, sent_at: now });
        }
        stream.reached = stream.reached.max(end);
        self.resend_at = now + self.resend_after();
        self.transmit(level, false, start, &piece)
    }

    fn transmit_refusal(&mut self, why: Failure, now: Instant) -> Option<Vec<u8>> {
        if now < self.ack_at {
            return None;
        }
        let (code, detail) = why.to_wire();
        self.transmit(self.level(), true, 0, &hello::emit_refusal(code, detail))
    }

    fn cover(&self, level: Level) -> Cover {
        match (level, self.role) {
            (Level::Sealed, _) => Cover::Sealed,
            (Level::Clear, Role::Client { invited }) => Cover::Client { invited },
            (Level::Clear, Role::Server) => Cover::Server,
        }
    }

    fn transmit(
        &mut self,
        level: Level,
        refused: bool,
        offset: usize,
        piece: &[u8],
    ) -> Option<Vec<u8>> {
        self.ack_at = Instant::FAR_FUTURE;
        let number = self.number?;
        self.number = number.checked_add(1);
        let cover = self.cover(level);
        let header = Header {
            cover,
            refused,
            receiver: self.peer,
            sender: self.local,
            number,
            offset: offset as u16,
            acks: [self.streams[0].heard as u16, self.streams[1].heard as u16],
        };
        let mut datagram = Vec::with_capacity(cover.overhead() + piece.len());
        datagram.extend_from_slice(&header.emit());
        datagram.resize(cover.piece_at(), 0);
        datagram.extend_from_slice(piece);
        match cover {
            Cover::Client { .. } => {
                datagram[HEADER_LEN..hello::GATE_AT].copy_from_slice(&self.token.0);
                let mac = self.gate.hello_mac(&datagram);
                datagram[hello::GATE_AT..cover.piece_at()].copy_from_slice(&mac);
            }
            Cover::Server => {
                let check = self.gate.server_check(&self.token, &datagram);
                datagram[HEADER_LEN..cover.piece_at()].copy_from_slice(&check);
            }
            Cover::Sealed => {
                let (clear, body) = datagram.split_at_mut(HEADER_LEN);
                let tag = self.exchange.seal(number, clear, body)?;
                datagram.extend_from_slice(&tag);
            }
        }
        Some(datagram)
    }
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake")
            .field("role", &self.role)
            .field("state", &self.state)
            .field("local", &self.local)
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(super) mod tests;
