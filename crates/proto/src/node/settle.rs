//! Carries the effects of one machine to the next until all are quiet.

use super::Node;
use super::api::{Answer, Event, LaneInput, Output, Ticket};
use super::endpoints::is_dialable;
use super::table::Lease;
use crate::NodeId;
use crate::dht::GiveWay;
use crate::link;
use crate::overlay::{self, Instance};
use crate::path::Path;
use crate::session::LaneId;
use crate::session::handshake::By;
use crate::time::Now;
use crate::vpn;
use crate::wire::control::{CloseReason, Control};
use crate::wire::frame::Header;
use crate::wire::news::Items;
use crate::wire::routed::{Mode, Protocol};
use std::net::SocketAddr;

impl Node {
    pub(super) fn settle(&mut self, now: Now) {
        loop {
            if let Some(effect) = self.effects.links.pop_front() {
                self.on_link(effect, now);
            } else if let Some((instance, effect)) = self.effects.overlays.pop_front() {
                self.on_overlay(instance, effect, now);
            } else if let Some((instance, effect)) = self.effects.dhts.pop_front() {
                self.on_dht(instance, effect, now);
            } else if let Some(effect) = self.effects.news.pop_front() {
                self.on_news(effect, now);
            } else if let Some(effect) = self.effects.watch.pop_front() {
                self.on_watch(effect, now);
            } else if let Some((over, effect)) = self.poll_vpn() {
                self.on_vpn(over, effect, now);
            } else {
                return;
            }
        }
    }

    fn poll_vpn(&mut self) -> Option<(Instance, vpn::Effect)> {
        let network = self.vpn.as_mut()?;
        Some((network.over, network.vpn.poll()?))
    }

    fn on_link(&mut self, effect: link::Effect, now: Now) {
        use link::Effect;
        match effect {
            Effect::Transmit { path: Path::Direct(to), bytes, .. } => {
                self.outputs.push_back(Output::Datagram { to, bytes });
            }
            Effect::Transmit { instance, path: Path::Overlay(node), bytes } => {
                self.with_overlay(instance, now, |overlay, cx| {
                    overlay.send(Mode::Exact, Protocol::Tunnel, node, &bytes, cx);
                });
            }
            Effect::Delta(delta) => self.outputs.push_back(Output::Lane(LaneInput::Delta(delta))),
            Effect::Frame { path, bytes } => {
                let input = LaneInput::Datagram { from: path, bytes };
                self.outputs.push_back(Output::Lane(input));
            }
            Effect::Up { instance, peer, former, .. } => {
                self.on_up(instance, peer, former.is_none(), now);
            }
            Effect::Down { instance, peer, slot, reason, .. } => {
                self.with_vpn_over(instance, |vpn| vpn.handle_session_down(slot));
                self.with_overlay(instance, now, |overlay, cx| {
                    overlay.handle_unlinked(peer, reason, cx);
                });
                if self.members() == Some(instance) {
                    self.with_news(now, |news, cx| news.handle_down(peer, cx));
                    self.with_watch(now, |watch, cx| watch.handle_down(peer, cx));
                }
                let reason = match reason {
                    Some(CloseReason::Leaving) if self.overlay(instance).is_leaving() => {
                        "this node leaves"
                    }
                    reason => describe(reason),
                };
                self.event(Event::LinkDown { instance, peer, reason });
            }
            Effect::Moved { instance, peer, path } => {
                if let Path::Direct(endpoint) = path {
                    self.overlays[instance.0 as usize].handle_moved(peer, endpoint, now.instant);
                }
                self.event(Event::LinkMoved { instance, peer, path });
            }
            Effect::Control { instance, peer, message } => {
                self.on_control(instance, peer, &message, now);
            }
            Effect::DialFailed { instance, target: Some(target), paths } if tunnels(&paths) => {
                self.with_vpn_over(instance, |vpn| vpn.handle_unreachable(target, now.instant));
            }
            Effect::DialFailed { instance, target: Some(target), .. } => {
                self.with_overlay(instance, now, |overlay, cx| {
                    overlay.handle_dial_failed(target, cx);
                });
            }
            Effect::DialFailed { target: None, paths, .. } => {
                for path in paths {
                    if let Path::Direct(endpoint) = path {
                        self.event(Event::NoAnswer { endpoint });
                    }
                }
            }
            Effect::Refused { instance, path, why, by } => {
                self.event(Event::Refused { instance, path, why, by_us: by == By::Us });
            }
            Effect::IdInUse(instance) => self.event(Event::IdInUse { instance }),
        }
    }

    fn on_up(&mut self, instance: Instance, peer: NodeId, is_new: bool, now: Now) {
        let Some((slot, session)) = self.links.session(instance, peer) else { return };
        let pinned = session.peer.member.as_ref().and_then(|member| member.ipv4);
        let (path, welcome) = (session.path, session.welcome);
        let member = session.peer.member.as_ref().map(|m| (m.user.clone(), m.group.clone()));
        if let Path::Direct(endpoint) = path {
            if welcome.is_some_and(|welcome| self.endpoints.observed(instance, welcome.observed)) {
                self.offer_endpoints();
            }
            self.with_overlay(instance, now, |overlay, cx| {
                overlay.handle_linked(peer, endpoint, cx);
            });
        } else {
            // A link that was is replaced by a session through the overlay, which is none.
            self.with_overlay(instance, now, |overlay, cx| {
                overlay.handle_unlinked(peer, None, cx);
            });
        }
        if self.members() == Some(instance) {
            let first = self.overlay(instance).me() < peer;
            let notices = welcome.map_or(0, |welcome| welcome.notices);
            self.with_news(now, |news, cx| news.handle_up(peer, notices, first, cx));
            if is_new {
                self.with_watch(now, |watch, cx| watch.handle_up(peer, cx));
            }
        }
        let announced = welcome.and_then(|welcome| welcome.ipv4);
        let facts = vpn::Peer { id: peer, pinned };
        self.with_vpn_over(instance, |vpn| {
            vpn.handle_session_up(slot, &facts, announced, now.instant);
        });
        if is_new {
            self.event(Event::LinkUp { instance, peer, member, path });
        }
    }

    fn on_control(&mut self, instance: Instance, peer: NodeId, message: &[u8], now: Now) {
        match Control::parse(message) {
            Ok(Control::Status(status)) => self.with_overlay(instance, now, |overlay, cx| {
                overlay.handle_status(peer, status, cx);
            }),
            Ok(Control::Routed(bytes)) => self.with_overlay(instance, now, |overlay, cx| {
                overlay.handle_routed(peer, bytes, cx);
            }),
            Ok(Control::Address(ipv4)) => {
                self.with_vpn_over(instance, |vpn| {
                    vpn.handle_announced(peer, ipv4, now.instant);
                });
            }
            Ok(message) if self.members() == Some(instance) => {
                self.on_news_message(peer, message, now)
            }
            _ => {}
        }
    }

    fn on_overlay(&mut self, instance: Instance, effect: overlay::Effect, now: Now) {
        use overlay::Effect;
        match effect {
            Effect::Send { peer, message } => self.with_links(now, |links, cx| {
                links.send(instance, peer, &message, cx);
            }),
            Effect::Dial { target, endpoints } => self.dial(instance, target, endpoints, now),
            Effect::Claimed(ip) => {
                self.with_vpn_over(instance, |vpn| vpn.handle_claimed(ip, now.instant));
            }
            Effect::DialEndpoint(endpoint) => {
                let paths = vec![Path::Direct(endpoint)];
                self.with_links(now, |links, cx| links.dial(instance, None, paths, cx));
            }
            Effect::Close { peer, reason } => {
                self.with_links(now, |links, cx| links.close(instance, peer, reason, cx));
            }
            Effect::Deliver { source, protocol, hops, payload, .. } => {
                self.on_delivered(instance, source, protocol, hops, payload, now);
            }
            Effect::Neighbours { left, right } => {
                self.with_dht(instance, now, |dht, cx| dht.neighbours(left, right, cx));
            }
            Effect::Joined => {
                let after = now.instant - self.started;
                self.event(Event::Joined { instance, after });
                self.with_dht(instance, now, |dht, _| dht.handle_joined());
                self.with_vpn_over(instance, |vpn| vpn.handle_joined(now.instant));
            }
            Effect::ConnectFailed(node) => {
                let paths = vec![Path::Overlay(node)];
                self.with_links(now, |links, cx| links.dial(instance, Some(node), paths, cx));
            }
            Effect::Crawled(id, report) => {
                self.outputs.push_back(Output::Answer(Ticket(id), Answer::Crawl(report)));
            }
        }
    }

    fn dial(&mut self, instance: Instance, target: NodeId, to: Vec<SocketAddr>, now: Now) {
        let local = self.vpn().map(|vpn| *vpn.local());
        // A VPN that forms links through its own subnet would carry itself.
        let outside = |to: &SocketAddr| local.is_none_or(|local| !local.is_inside(to.ip()));
        let dialable = to.into_iter().filter(is_dialable).filter(outside);
        let paths: Vec<Path> = dialable.map(Path::Direct).collect();
        let linked = self.links.session(instance, target).map(|(_, session)| session.path);
        if let Some(Path::Direct(endpoint)) = linked {
            self.with_overlay(instance, now, |overlay, cx| {
                overlay.handle_linked(target, endpoint, cx);
            });
        } else {
            self.with_links(now, |links, cx| links.dial(instance, Some(target), paths, cx));
        }
    }

    fn on_delivered(
        &mut self,
        instance: Instance,
        source: NodeId,
        protocol: Protocol,
        hops: u8,
        mut payload: Vec<u8>,
        now: Now,
    ) {
        match protocol {
            Protocol::Pong => self.handle_pong(instance, source, hops, &payload, now),
            Protocol::IAmNearest => self.handle_nearest(instance, source, &payload, now),
            Protocol::Dht => {
                self.with_dht(instance, now, |dht, cx| dht.handle(source, &payload, cx));
            }
            Protocol::Notices if self.members() == Some(instance) => {
                if let Ok(items) = Items::parse(&payload) {
                    self.with_news(now, |news, cx| news.handle_notified(items, cx));
                }
            }
            Protocol::Tunnel => {
                let from = Path::Overlay(source);
                let for_lane = Header::parse(&payload).is_ok_and(|h| h.lane != LaneId::CONTROL);
                if for_lane && self.vpn_over() == Some(instance) {
                    let input = LaneInput::Datagram { from, bytes: payload };
                    self.outputs.push_back(Output::Lane(input));
                } else {
                    self.with_links(now, |links, cx| {
                        links.handle_datagram(from, Some(instance), &mut payload, cx);
                    });
                }
            }
            _ => {}
        }
    }

    fn on_vpn(&mut self, over: Instance, effect: vpn::Effect, now: Now) {
        use vpn::Effect;
        let lane = match effect {
            Effect::Create { op, name, payload, ttl, others_do } => {
                let way = if others_do { GiveWay::ToOne } else { GiveWay::ToMost };
                let lease = Lease { name: &name, payload, ttl, way };
                return self.create_for_vpn(over, op, lease, now);
            }
            Effect::Release { op } => return self.release_for_vpn(over, op, now),
            Effect::Get { op, name } => return self.get_for_vpn(over, op, &name, now),
            Effect::ResolveNearest { op, point } => {
                return self.ask_nearest(over, op, point, now);
            }
            Effect::Connect { node } => {
                return self.with_overlay(over, now, |overlay, cx| overlay.connect(node, cx));
            }
            Effect::Disconnect { node } => return self.disconnect(over, node, now),
            Effect::Sought { seeker, whose } => {
                return self.ping_owner(over, Ticket(seeker), whose, now);
            }
            Effect::Device(addresses) => {
                let ipv4 = addresses.ipv4.map(|(ip, _)| ip);
                self.with_links(now, |links, cx| links.announce(ipv4, cx));
                self.overlays[over.0 as usize].handle_address(ipv4);
                return self.outputs.push_back(Output::Device(addresses));
            }
            Effect::Event(event) => return self.event(Event::Vpn(event)),
            Effect::Delta(delta) => LaneInput::Delta(delta),
            Effect::Outbound(packet) => LaneInput::Outbound(packet),
            Effect::Deliver(packet) => LaneInput::Deliver(packet),
        };
        self.outputs.push_back(Output::Lane(lane));
    }

    /// The virtual network needs a session no longer: a link stays for the overlay's reasons, a session
    /// through the overlay has no other.
    fn disconnect(&mut self, instance: Instance, node: NodeId, now: Now) {
        self.with_overlay(instance, now, |overlay, cx| overlay.release(node, cx));
        let path = self.links.session(instance, node).map(|(_, session)| session.path);
        if let Some(Path::Overlay(_)) = path {
            let reason = CloseReason::Unneeded;
            self.with_links(now, |links, cx| links.close(instance, node, reason, cx));
        }
    }

    /// Tells the overlays where we may be dialled.
    pub(super) fn offer_endpoints(&mut self) {
        for instance in self.instances() {
            let offered = self.endpoints.offered(instance);
            self.overlays[instance.0 as usize].handle_endpoints(offered);
        }
    }
}

/// Whether a dial went through the overlay only: the last resort.
fn tunnels(paths: &[Path]) -> bool {
    paths.iter().all(|path| matches!(path, Path::Overlay(_)))
}

fn describe(reason: Option<CloseReason>) -> &'static str {
    match reason {
        None => "no answer",
        Some(CloseReason::Leaving) => "the peer left",
        Some(CloseReason::Unneeded) => "not needed any more",
        Some(CloseReason::IdInUse) => "another live node holds the ID",
        Some(CloseReason::Refused) => "not accepted any more",
        Some(CloseReason::Replaced) => "replaced by a newer session",
    }
}
