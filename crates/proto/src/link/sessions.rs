//! The life of a session: control frames, the welcome that makes it current, keys, and its end.

use super::dial::Reason;
use super::liveness::Due;
use super::plpmtu::{self, Plpmtu};
use super::sent::Cause;
use super::session::{
    Challenge, GREETING_MAX, GREETING_PAUSE, HOLDER_PATIENCE, RETIRE_AFTER, SETTLED_AFTER, Stage,
};
use super::table::State;
use super::{Context, Effect, Instance, Links};
use crate::lane::{Delta, Slot};
use crate::path::Path;
use crate::rtt::Rtt;
use crate::session::LaneId;
use crate::session::handshake::Outcome;
use crate::session::keys::OpenError;
use crate::time::Instant;
use crate::wire::control::{CloseReason, Control, Welcome};
use crate::wire::frame::{Header, OVERHEAD};
use std::net::SocketAddr;
use std::time::Duration;

impl Links {
    pub(super) fn handle_frame(
        &mut self,
        path: Path,
        within: Option<Instance>,
        bytes: &mut [u8],
        cx: &mut Context<'_>,
    ) {
        let Ok(header) = Header::parse(bytes) else {
            self.counters.malformed += 1;
            return;
        };
        let slot = Slot(header.receiver.slot());
        let (fits, data) = (self.fits(slot, within), self.data);
        let Some(session) = self.table.session_mut(slot).filter(|_| fits) else {
            self.counters.unknown_session += 1;
            return;
        };
        if header.lane != LaneId::CONTROL {
            // A data frame that came before its lane had learnt of the session, as it has by now: without the
            // first packet of a connection, TCP would wait for a second.
            let is_its = session.is_current() && session.index() == header.receiver;
            if is_its && data == Some(session.instance) {
                cx.effects.push(Effect::Frame { path, bytes: bytes.to_vec() });
            } else {
                self.counters.unknown_session += 1;
            }
            return;
        }
        let plaintext = match session.open(&header, bytes, cx.now.instant) {
            Ok(plaintext) => plaintext,
            Err(OpenError::Replay) => {
                self.counters.replayed += 1;
                return;
            }
            Err(_) => {
                self.counters.forged += 1;
                return;
            }
        };
        session.liveness.heard(cx.now.instant);
        if let Some(handshake) = session.handshake.take() {
            session.liveness.measured(handshake.rtt());
        }
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
                session.liveness.pinged();
                self.transmit_control(slot, path, &Control::Pong(nonce).emit(), cx);
            }
            Control::Pong(nonce) => session.liveness.ponged(nonce, now),
            Control::Welcome(welcome) => self.handle_welcome(slot, welcome, cx),
            Control::Close(reason) => {
                let instance = session.instance;
                // Only a newcomer can be the second holder: nobody talks a settled node out of its ID.
                if reason == CloseReason::IdInUse && !self.is_settled(instance, now) {
                    cx.effects.push(Effect::IdInUse(instance));
                }
                self.end(slot, Some(reason), cx);
            }
            Control::PathChallenge { data, .. } => {
                self.transmit_control(slot, path, &Control::PathResponse(data).emit(), cx);
            }
            Control::PathResponse(data) => {
                let answered = |c: &mut Challenge| c.path == path && c.data == data;
                if let Some(challenge) = session.challenge.take_if(answered) {
                    (session.path, session.plpmtu) = (path, Plpmtu::default());
                    session.liveness.measured(Rtt::from(now - challenge.at));
                    let (instance, peer) = (session.instance, session.peer.id);
                    self.tell_lanes(instance, Delta::SetPath { slot, path }, cx);
                    cx.effects.push(Effect::Moved { instance, peer, path });
                } else if path == session.path && session.plpmtu.answered(data, now) {
                    self.tell_limit(slot, cx);
                }
            }
            Control::Status(_)
            | Control::Routed(_)
            | Control::Address(_)
            | Control::Standing(_)
            | Control::NewsAsk(_)
            | Control::News { .. }
            | Control::Broadcast { .. } => {
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
            // It answers one of ours, or repeats itself because ours was lost. An answer is never answered,
            // else the two would greet each other for ever.
            match session.greetings_out.checked_sub(1) {
                Some(fewer) => session.greetings_out = fewer,
                None => self.greet(slot, cx),
            }
            return;
        }
        session.rank.generation = session.rank.generation.max(welcome.generation);
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
    pub(super) fn greet(&mut self, slot: Slot, cx: &mut Context<'_>) {
        let Some(session) = self.table.session(slot) else { return };
        let notices =
            self.suite(session.instance).trust().map_or(0, |trust| trust.ledger().number());
        let welcome = Welcome {
            incarnation: self.incarnation,
            generation: session.rank.generation,
            notices,
            observed: match session.path {
                Path::Direct(endpoint) => endpoint,
                Path::Overlay(_) => SocketAddr::from(([0, 0, 0, 0], 0)),
            },
            ipv4: self.ipv4.filter(|_| self.data == Some(session.instance)),
        };
        self.send_at(slot, &Control::Welcome(welcome).emit(), cx);
    }

    /// Whether some peer has known us for longer than it takes to refuse a second holder of an ID.
    fn is_settled(&self, instance: Instance, now: Instant) -> bool {
        let mut own = self.sessions().filter(|(_, session)| session.instance == instance);
        own.any(|(_, session)| now - session.since > SETTLED_AFTER)
    }

    pub(super) fn make_current(&mut self, slot: Slot, cx: &mut Context<'_>) {
        let Some(session) = self.table.session_mut(slot) else { return };
        let (instance, peer) = (session.instance, session.peer.id);
        session.stage = Stage::Current;
        if let Some(for_lane) = session.for_lane() {
            let session = Box::new(for_lane);
            self.tell_lanes(instance, Delta::AddSession { slot, session }, cx);
        }
        let former = self.table.set_current(instance, peer, slot);
        if let Some(former) = former {
            self.retire(former, slot, cx);
        }
        self.counters.sessions_up += 1;
        cx.effects.push(Effect::Up { instance, peer, slot, former });
        // Whoever else was dialling the same node has what it wanted.
        if let Some(dial) = self.table.dialling(instance, peer) {
            self.timers.cancel(dial);
            self.table.remove(dial);
        }
    }

    /// Lets a session only receive from now on, because `heir` took over.
    fn retire(&mut self, former: Slot, heir: Slot, cx: &mut Context<'_>) {
        let Some(session) = self.table.session_mut(former) else { return };
        session.stage = Stage::Retiring { until: cx.now.instant + RETIRE_AFTER };
        let (path, plpmtu) = (session.path, session.plpmtu);
        self.plan(former);
        if let Some(session) = self.table.session_mut(heir).filter(|heir| heir.path == path) {
            session.plpmtu = plpmtu;
            self.tell_limit(heir, cx);
        }
    }

    /// Does everything that is due for a session.
    pub(super) fn run_session(&mut self, slot: Slot, cx: &mut Context<'_>) {
        let now = cx.now.instant;
        self.run_lingering_handshake(slot, cx);
        let Some(session) = self.table.session_mut(slot) else { return };
        match session.stage {
            Stage::Greeting { .. } if now >= session.since + GREETING_MAX => {
                return self.end(slot, None, cx);
            }
            Stage::Greeting { again_at } if again_at <= now => {
                session.stage = Stage::Greeting { again_at: now + GREETING_PAUSE };
                session.greetings_out += 1;
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
            self.run_plpmtu(slot, cx);
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
            self.counters.sent.count(Cause::Handshake, path, &bytes);
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

    /// Searches for the longest datagram of the path.
    fn run_plpmtu(&mut self, slot: Slot, cx: &mut Context<'_>) {
        let Some(session) = self.table.session_mut(slot) else { return };
        match session.plpmtu.poll(cx.now.instant) {
            plpmtu::Due::Nothing => {}
            plpmtu::Due::Probe(data) => {
                let bare = Control::PathChallenge { data, padding: 0 }.emit().len();
                let padding = self.frame_max.saturating_sub(OVERHEAD + bare);
                self.send_at(slot, &Control::PathChallenge { data, padding }.emit(), cx);
            }
            plpmtu::Due::Shrunk => self.tell_limit(slot, cx),
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
            if !goes_on {
                session.rekey_at = now;
            }
            self.tell_lanes(instance, Delta::Epoch { slot }, cx);
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

    pub(super) fn send_at(&mut self, slot: Slot, message: &[u8], cx: &mut Context<'_>) {
        if let Some(path) = self.table.session(slot).map(|session| session.path) {
            self.transmit_control(slot, path, message, cx);
        }
    }

    pub(super) fn transmit_control(
        &mut self,
        slot: Slot,
        path: Path,
        message: &[u8],
        cx: &mut Context<'_>,
    ) {
        let Some(session) = self.table.session_mut(slot) else { return };
        if let Ok(bytes) = session.seal(message) {
            let instance = session.instance;
            if let Some(cause) = Cause::of(message) {
                self.counters.sent.count(cause, path, &bytes);
            }
            cx.effects.push(Effect::Transmit { instance, path, bytes });
        }
    }

    pub(super) fn plan(&mut self, slot: Slot) {
        if let Some(session) = self.table.session(slot) {
            self.timers.set(slot, session.deadline());
        }
    }

    /// Forgets a session.
    pub(super) fn end(&mut self, slot: Slot, reason: Option<CloseReason>, cx: &mut Context<'_>) {
        self.timers.cancel(slot);
        let Some(State::Session(session)) = self.table.remove(slot) else { return };
        let (instance, peer, path) = (session.instance, session.peer.id, session.path);
        self.tell_lanes(instance, Delta::RemoveSession { slot }, cx);
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
