//! From a path token to a session: handshakes as client and as server.

use super::dial::Reason;
use super::liveness::Liveness;
use super::sent::Cause;
use super::session::{Origin, REKEY_AFTER, Session};
use super::table::{Shaking, State};
use super::{Context, Effect, End, Instance, Links};
use crate::NodeId;
use crate::lane::Slot;
use crate::path::Path;
use crate::rtt::Rtt;
use crate::session::Index;
use crate::session::admission::admit;
use crate::session::gate::Gate;
use crate::session::handshake::{self, By, Handshake, Outcome};
use crate::session::suite::{Established, Failure, Peer};
use crate::session::token::Token;
use crate::wire::hello;
use std::sync::Arc;

/// How a handshake starts as client.
pub(super) struct Start {
    pub path: Path,
    pub token: Token,
    pub inviter: Option<Index>,
    pub target: Option<NodeId>,
    /// The gate that the other end opened or sealed by.
    pub gate: Arc<Gate>,
    pub reason: Option<Reason>,
    /// Whether it holds a place of the admission.
    pub admitted: bool,
    /// What the reply told of the round trip.
    pub rtt: Rtt,
}

impl Links {
    pub(super) fn start_client(
        &mut self,
        slot: Slot,
        instance: Instance,
        start: Start,
        cx: &mut Context<'_>,
    ) {
        let end = &mut self.ends[instance.0 as usize];
        let Some(local) = self.table.index(slot) else { return };
        let exchange = match end.suite.client(start.target, cx.now) {
            Ok(exchange) => exchange,
            Err(refusal) => {
                let (path, why) = (start.path, Failure::Refused(refusal));
                cx.effects.push(Effect::Refused { instance, path, why, by: By::Us });
                end.admission.leave(&start.path, start.admitted);
                return self.fail_dial(slot, cx);
            }
        };
        let dial = handshake::Dial {
            path: start.path,
            token: start.token,
            gate: start.gate,
            local,
            inviter: start.inviter,
            rtt: start.rtt,
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

    pub(super) fn handle_hello(
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
        if known.is_some_and(|slot| !self.fits(slot, within)) {
            self.counters.unknown_session += 1;
            return;
        }
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
                let End { mint, gates, .. } = self.end_mut(instance);
                if let Ok(hello) = admit(bytes, &path, mint, gates, now) {
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
                Some((slot, dial.target, Some(dial.reason), dial.rtt(path, now)))
            }
            Some(_) => {
                self.counters.silence += 1;
                return None;
            }
        };
        let admitted = invited.is_none();
        if admitted && !self.end_mut(instance).admission.enter(&path) {
            self.counters.half_open_limit += 1;
            return None;
        }
        let (target, reason, rtt) =
            invited.map_or_else(Default::default, |(_, target, reason, rtt)| (target, reason, rtt));
        let exchange = self.ends[instance.0 as usize].suite.server(target, cx.now).ok();
        let place = exchange.and_then(|exchange| {
            let slot = match invited {
                Some((slot, ..)) => slot,
                None => self.table.allocate(instance, cx.rng)?.0,
            };
            Some((exchange, slot, self.table.index(slot)?))
        });
        let Some((exchange, slot, local)) = place else {
            self.end_mut(instance).admission.leave(&path, admitted);
            return None;
        };
        let handshake = Handshake::server(exchange, &hello, &path, local, rtt, now);
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

    pub(super) fn run_handshake(&mut self, slot: Slot, cx: &mut Context<'_>) {
        let now = cx.now.instant;
        let Some(State::Shaking(shaking)) = self.table.get_mut(slot) else { return };
        let (instance, path) = (shaking.instance, shaking.path);
        while let Some(bytes) = shaking.handshake.poll_transmit(now) {
            self.counters.sent.count(Cause::Handshake, path, &bytes);
            cx.effects.push(Effect::Transmit { instance, path, bytes });
        }
        match shaking.handshake.poll_outcome(now) {
            // It has said for long enough why it refused.
            None if shaking.handshake.is_over() => self.fail_dial(slot, cx),
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
        established: Established,
        cx: &mut Context<'_>,
    ) {
        self.end_mut(shaking.instance).admission.leave(&shaking.path, shaking.admitted);
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
        session.rank.generation = if is_server { 0 } else { self.generation };
        // The handshake judged by what was known when it began; a notice may have come since.
        let verdict = self.suite(instance).rejudge(&session.peer, cx.now.unix);
        self.table.put_session(slot, session);
        match verdict {
            Ok(()) => self.run_session(slot, cx),
            Err(refusal) => self.refuse(slot, refusal, cx),
        }
    }
}
