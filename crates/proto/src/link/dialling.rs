//! From an endpoint to the start of a handshake: dials, probes, replies and invitations.

use super::dial::{DIAL_MAX, Dial, GATES_TRIED_MAX, Reason, SealedProbe, TimedOut};
use super::handshaking::Start;
use super::sent::Cause;
use super::session::Session;
use super::table::State;
use super::{Context, DIALS_MAX, Effect, End, Instance, Links};
use crate::NodeId;
use crate::lane::Slot;
use crate::path::Path;
use crate::rtt::Rtt;
use crate::session::gate::{Gate, open_invite, open_probe};
use crate::wire::probe::{Invite, Probe, ProbeReply};
use std::sync::Arc;

impl Links {
    pub(super) fn begin_dial(
        &mut self,
        instance: Instance,
        target: Option<NodeId>,
        paths: Vec<Path>,
        reason: Reason,
        cx: &mut Context<'_>,
    ) {
        let has_room =
            self.table.dials_of(instance) < DIALS_MAX / self.ends.len() && !paths.is_empty();
        let place = if has_room { self.table.allocate(instance, cx.rng) } else { None };
        let Some((slot, index)) = place else {
            if reason == Reason::Link {
                cx.effects.push(Effect::DialFailed { instance, target, paths });
            }
            return;
        };
        let end = &self.ends[instance.0 as usize];
        let probe = Probe { dialler: index, id: end.suite.node_id(), target };
        let seal = |gate: &Arc<Gate>| {
            let nonce = cx.rng.bytes();
            let datagram = gate.seal_probe(&probe, nonce);
            SealedProbe { gate: Arc::clone(gate), nonce, datagram }
        };
        let probes = end.gates.iter().take(GATES_TRIED_MAX).map(seal).collect();
        let dial = Dial::new(instance, target, reason, paths, probes, cx.now.instant);
        self.table.put_dial(slot, index, dial);
        self.run_dial(slot, cx);
    }

    pub(super) fn run_dial(&mut self, slot: Slot, cx: &mut Context<'_>) {
        let Some(dial) = self.table.dial_mut(slot) else { return };
        let instance = dial.instance;
        loop {
            match dial.poll(cx.now.instant) {
                Ok(Some(turn)) => {
                    let path = turn.path;
                    for bytes in dial.datagrams(turn).map(<[u8]>::to_vec) {
                        self.counters.sent.count(Cause::Handshake, path, &bytes);
                        cx.effects.push(Effect::Transmit { instance, path, bytes });
                    }
                }
                Ok(None) => break self.timers.set(slot, dial.deadline()),
                Err(TimedOut) => break self.fail_dial(slot, cx),
            }
        }
    }

    /// Gives a dial or handshake up.
    pub(super) fn fail_dial(&mut self, slot: Slot, cx: &mut Context<'_>) {
        self.timers.cancel(slot);
        let Some(state) = self.table.remove(slot) else { return };
        let (instance, target, paths, reason) = match state {
            State::Dial(dial) => (dial.instance, dial.target, dial.paths, dial.reason),
            State::Shaking(shaking) => {
                let admission = &mut self.end_mut(shaking.instance).admission;
                admission.leave(&shaking.path, shaking.admitted);
                let reason = shaking.reason.unwrap_or(Reason::Rekey);
                (shaking.instance, shaking.target, vec![shaking.path], reason)
            }
            State::Session(_) => unreachable!("a session is ended, not failed"),
        };
        if reason == Reason::Link {
            cx.effects.push(Effect::DialFailed { instance, target, paths });
        }
    }

    pub(super) fn handle_probe(
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
        let end = self.end_mut(instance);
        let me = end.suite.node_id();
        let probe = opened.message;
        if probe.target.is_some_and(|target| target != me) || probe.id == me {
            self.counters.silence += 1;
            return;
        }
        let token = end.mint.mint(&path, probe.dialler, cx.now.instant);
        let reply = ProbeReply { dialler: probe.dialler, token };
        let bytes = end.gates[opened.gate].seal_reply(&reply, &opened.nonce).to_vec();
        self.counters.probes_answered += 1;
        self.counters.sent.count(Cause::Handshake, path, &bytes);
        // Nothing else goes there before it is proven, even if we dial the same node: with the reply that node
        // can do what is left to do, and whoever repeats its probe from elsewhere makes us send nothing more.
        cx.effects.push(Effect::Transmit { instance, path, bytes });
    }

    pub(super) fn handle_reply(
        &mut self,
        path: Path,
        within: Option<Instance>,
        bytes: &[u8],
        cx: &mut Context<'_>,
    ) {
        let Ok((claimed, _, _)) = ProbeReply::parse(bytes) else {
            self.counters.malformed += 1;
            return;
        };
        let slot = Slot(claimed.dialler.slot());
        if !self.fits(slot, within) {
            return;
        }
        let Some((index, dial)) = self.table.dial_at(slot) else { return };
        let opened = dial.probes.iter().find_map(|probe| {
            Some((Arc::clone(&probe.gate), probe.gate.open_reply(bytes, &probe.nonce)?))
        });
        let opened = opened.filter(|(_, r)| r.dialler == index && dial.invited.is_none());
        let Some((gate, reply)) = opened else { return };
        let rtt = dial.rtt(path, cx.now.instant);
        let end = &mut self.ends[dial.instance.0 as usize];
        let me = end.suite.node_id();
        if dial.target.is_none_or(|target| me < target) {
            let (target, reason) = (dial.target, Some(dial.reason));
            let token = reply.token;
            let (inviter, admitted) = (None, false);
            let start = Start { path, token, inviter, target, gate, reason, admitted, rtt };
            self.start_client(slot, dial.instance, start, cx);
            return;
        }
        let token = end.mint.mint(&path, index, cx.now.instant);
        let invite = Invite { dialler: index, id: me, proof: reply.token, token };
        let datagram = gate.seal_invite(&invite, cx.rng.bytes());
        if let Some(dial) = self.table.dial_mut(slot) {
            dial.invite(path, datagram, cx.now.instant);
        }
        self.run_dial(slot, cx);
    }

    pub(super) fn handle_invite(
        &mut self,
        path: Path,
        within: Option<Instance>,
        bytes: &[u8],
        cx: &mut Context<'_>,
    ) {
        let opened = self.ends_of(within).find_map(|(instance, end)| {
            let opened = open_invite(&end.gates, bytes)?;
            Some((instance, opened.message, Arc::clone(&end.gates[opened.gate])))
        });
        let proven = opened.filter(|(instance, invite, _)| {
            let mint = &mut self.end_mut(*instance).mint;
            mint.check(&invite.proof, &path, invite.dialler, cx.now.instant)
        });
        // The inviter may lag behind: it is answered by the gate that it knows.
        let Some((instance, invite, gate)) = proven else {
            self.counters.silence += 1;
            return;
        };
        // Its repetition, or our own dial of the same node, is under way already or led to a session just now:
        // invitations are repeated until the inviter has one.
        let is_fresh = |s: &Session| cx.now.instant - s.since < DIAL_MAX;
        let has_led = |s: &Session| s.instance == instance && s.peer.id == invite.id && is_fresh(s);
        if self.table.shaking_with(instance, invite.id).is_some()
            || self.table.sessions().any(|(_, session)| has_led(session))
        {
            return;
        }
        let own = self.table.dialling(instance, invite.id);
        let reason = own.and_then(|slot| self.table.dial_mut(slot)).map(|dial| dial.reason);
        let target = Some(invite.id);
        let inviter = Some(invite.dialler);
        // Our own dial has its place already; a stranger who invites us costs as much as one who says hello.
        let admitted = own.is_none();
        if admitted && !self.end_mut(instance).admission.enter(&path) {
            self.counters.half_open_limit += 1;
            return;
        }
        let Some(slot) = own.or_else(|| Some(self.table.allocate(instance, cx.rng)?.0)) else {
            self.counters.half_open_limit += 1;
            return self.end_mut(instance).admission.leave(&path, admitted);
        };
        let token = invite.token;
        let rtt = Rtt::default();
        let start = Start { path, token, inviter, target, gate, reason, admitted, rtt };
        self.start_client(slot, instance, start, cx);
    }

    pub(super) fn ends_of(
        &self,
        within: Option<Instance>,
    ) -> impl Iterator<Item = (Instance, &End)> {
        let all = self.ends.iter().enumerate().map(|(n, end)| (Instance(n as u8), end));
        all.filter(move |(instance, _)| within.is_none_or(|within| within == *instance))
    }
}
