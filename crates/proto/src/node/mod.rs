//! The node: all machines of one participant, wired together.
//!
//! `Node` decides nothing itself. It hands each input to the machine it concerns, carries the effects of one
//! machine to the next until all are quiet, and collects what the driver shall do.
//!
//! ```text
//! datagram -> Links -> Overlay -> Dht -> Vpn
//!    ^          |         |        |      |
//!    +----------+---------+--------+------+--> Output
//! ```

pub mod api;
mod command;
mod endpoints;
mod membership;
mod settle;
mod status;
mod table;
mod watching;

use crate::NodeId;
use crate::dht::{self, Dht};
use crate::lane::{Drops, Report};
use crate::link::{self, Links};
use crate::news::{self, News};
use crate::overlay::{self, Instance, Overlay};
use crate::path::Path;
use crate::rng::Rng;
use crate::session::gate::Gate;
use crate::time::{Instant, Now};
use crate::vpn::Vpn;
use crate::watch::{self, Watch};
use api::{Access, Config, ConfigError, Event, Output};
use command::Questions;
use endpoints::Endpoints;
pub use membership::AnnounceError;
use pki::Keyring;
pub use status::{Counters, Footprint, PeerStatus, Status};
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use table::Operations;

/// One participant. See [`api`] for the contract with its driver.
#[derive(Debug)]
pub struct Node {
    started: Instant,
    rng: Rng,
    links: Links,
    overlays: Vec<Overlay>,
    dhts: Vec<Dht>,
    operations: Operations,
    endpoints: Endpoints,
    questions: Questions,
    news: News,
    watch: Watch,
    vpn: Option<Network>,
    effects: Effects,
    outputs: VecDeque<Output>,
}

/// The virtual network, and the overlay that carries it.
#[derive(Debug)]
struct Network {
    over: Instance,
    vpn: Vpn,
}

/// Effects that wait to be carried to the next machine.
#[derive(Debug, Default)]
struct Effects {
    links: VecDeque<link::Effect>,
    overlays: VecDeque<(Instance, overlay::Effect)>,
    dhts: VecDeque<(Instance, dht::Effect)>,
    news: VecDeque<news::Effect>,
    watch: VecDeque<watch::Effect>,
}

impl Node {
    /// A node that starts to dial at its first [`Node::handle_timeout`], which is due at once.
    pub fn new(config: Config, seed: [u8; 32], now: Now) -> Result<Node, ConfigError> {
        let mut rng = Rng::new(seed);
        let mut ends = Vec::new();
        let mut overlays = Vec::new();
        let mut dhts = Vec::new();
        let mut keyring = Keyring::default();
        for overlay in config.overlays {
            let me = overlay.suite.node_id();
            let gates = match overlay.access {
                Access::Public => vec![Gate::public()],
                Access::PreShared { keys, .. } if keys.is_empty() => {
                    return Err(ConfigError::NoSecret);
                }
                Access::PreShared { group, keys } => {
                    keys.iter().map(|key| Gate::pre_shared(key, &group)).collect()
                }
                Access::Members(known) if known.generation() == 0 => {
                    return Err(ConfigError::NoSecret);
                }
                Access::Members(known) => {
                    keyring = known;
                    keyring.secrets().map(Gate::group).collect()
                }
            };
            ends.push((overlay.suite, gates));
            let (policy, known) = (overlay.shortcuts, &overlay.known);
            dhts.push(Dht::new(me, dht::Config::default()));
            overlays.push(Overlay::new(me, policy, overlay.bootstrap, known, now.instant));
        }
        let data = config.vpn.as_ref().map(|vpn| (vpn.over, vpn.network.mtu));
        if data.map_or(0, |(over, _)| over.0 as usize) >= overlays.len() {
            return Err(ConfigError::NoOverlay);
        }
        let endpoints = Endpoints::new(overlays.len());
        let links = Links::new(ends, data, &mut rng, now.instant);
        let has_trust = |&at: &usize| links.suite(Instance(at as u8)).trust().is_some();
        let members = (0..overlays.len()).find(has_trust).unwrap_or_default();
        let watch = Watch::new(overlays[members].me());
        let own_rng = Rng::new(rng.bytes());
        let network = config.vpn.map(|config| {
            Ok::<_, ConfigError>(Network {
                over: config.over,
                vpn: Vpn::new(config.network, own_rng)?,
            })
        });
        let mut node = Node {
            started: now.instant,
            rng,
            links,
            overlays,
            dhts,
            operations: Operations::default(),
            endpoints,
            questions: Questions::default(),
            news: News::new(keyring),
            watch,
            vpn: network.transpose()?,
            effects: Effects::default(),
            outputs: VecDeque::new(),
        };
        node.tell_overlay_of_notices();
        node.settle(now);
        Ok(node)
    }

    /// A datagram came that the lane did not know: a probe, a handshake or a control frame.
    pub fn handle_datagram(&mut self, from: SocketAddr, bytes: &mut [u8], now: Now) {
        let path = Path::Direct(from);
        self.with_links(now, |links, cx| links.handle_datagram(path, None, bytes, cx));
        self.settle(now);
    }

    /// The lane has no session for this packet from the device, whose checksum is complete.
    pub fn handle_unrouted(&mut self, packet: &[u8], now: Now) {
        self.with_vpn(|vpn| vpn.handle_unrouted(packet, now.instant));
        self.settle(now);
    }

    /// The lane opened this packet, its checksum complete, and does not know whether its source is `peer`'s.
    pub fn handle_unproven(&mut self, peer: NodeId, packet: &[u8], now: Now) {
        self.with_vpn(|vpn| vpn.handle_unproven(peer, packet, now.instant));
        self.settle(now);
    }

    /// The lane sealed this frame for a session that runs through the overlay.
    pub fn handle_outgoing_frame(&mut self, path: Path, frame: Vec<u8>, now: Now) {
        let Some(instance) = self.vpn_over() else { return };
        self.effects.links.push_back(link::Effect::Transmit { instance, path, bytes: frame });
        self.settle(now);
    }

    /// What a lane counted since its last report, with who was heard.
    pub fn handle_report(&mut self, report: &Report, now: Now) {
        for session in &report.sessions {
            self.with_links(now, |links, cx| links.handle_activity(session, cx));
        }
        self.with_vpn(|vpn| vpn.handle_report(report, now.instant));
        self.settle(now);
    }

    /// ICMP says that nobody listens at this endpoint.
    pub fn handle_unreachable(&mut self, to: SocketAddr, now: Now) {
        self.with_links(now, |links, cx| links.handle_unreachable(to, cx));
        self.settle(now);
    }

    /// ICMP says that a datagram to this host was too long for a network on the way.
    pub fn handle_too_big(&mut self, to: IpAddr, now: Now) {
        self.with_links(now, |links, cx| links.handle_too_big(to, cx));
        self.settle(now);
    }

    /// The endpoints of this host on its networks, as they are now.
    pub fn handle_endpoints(&mut self, local: Vec<SocketAddr>, now: Now) {
        self.endpoints.set_local(local);
        self.offer_endpoints();
        self.settle(now);
    }

    /// The endpoints to join by, as their names are looked up now.
    pub fn handle_bootstrap(&mut self, within: Instance, endpoints: Vec<SocketAddr>, now: Now) {
        self.overlays[within.0 as usize].handle_bootstrap(endpoints, now.instant);
        self.settle(now);
    }

    /// The time has come that the last [`Output::Wait`] named.
    pub fn handle_timeout(&mut self, now: Now) {
        self.with_links(now, |links, cx| links.handle_timeout(cx));
        for instance in self.instances() {
            self.with_overlay(instance, now, |overlay, cx| overlay.handle_timeout(cx));
            self.with_dht(instance, now, |dht, cx| dht.handle_timeout(cx));
        }
        self.run_questions(now);
        self.with_news(now, |news, cx| news.handle_timeout(cx));
        self.with_watch(now, |watch, cx| watch.handle_timeout(cx));
        self.with_vpn(|vpn| vpn.handle_timeout(now.instant));
        self.settle(now);
    }

    /// The next thing to do; [`Output::Wait`] when there is nothing more.
    pub fn poll(&mut self) -> Output {
        self.outputs.pop_front().unwrap_or_else(|| Output::Wait(self.deadline()))
    }

    /// The node's ID in its first overlay, the one that it is known by.
    pub fn id(&self) -> NodeId {
        self.overlays[0].me()
    }

    /// One of its overlays, to look at.
    pub fn overlay(&self, instance: Instance) -> &Overlay {
        &self.overlays[instance.0 as usize]
    }

    /// The hash table of one of its overlays, to look at.
    pub fn dht(&self, instance: Instance) -> &Dht {
        &self.dhts[instance.0 as usize]
    }

    /// Its links, to look at.
    pub fn links(&self) -> &Links {
        &self.links
    }

    /// Whose end it wants to hear of, to look at.
    pub fn watch(&self) -> &Watch {
        &self.watch
    }

    /// Its virtual network, to look at.
    pub fn vpn(&self) -> Option<&Vpn> {
        self.vpn.as_ref().map(|network| &network.vpn)
    }

    /// Packets that its virtual network let go no further, since the last call; the lanes report their own.
    pub fn take_drops(&mut self) -> Drops {
        self.vpn.as_mut().map(|network| network.vpn.take_drops()).unwrap_or_default()
    }

    fn deadline(&self) -> Instant {
        self.overlays
            .iter()
            .filter_map(Overlay::deadline)
            .chain(self.dhts.iter().filter_map(Dht::deadline))
            .chain(self.links.deadline())
            .chain(self.news.deadline())
            .chain(self.watch.deadline())
            .chain(self.questions.deadline())
            .chain(self.vpn().and_then(Vpn::deadline))
            .min()
            .unwrap_or(Instant::FAR_FUTURE)
    }

    fn with_links(&mut self, now: Now, f: impl FnOnce(&mut Links, &mut link::Context<'_>)) {
        let mut effects = Vec::new();
        f(&mut self.links, &mut link::Context { now, rng: &mut self.rng, effects: &mut effects });
        self.effects.links.extend(effects);
    }

    fn with_overlay(
        &mut self,
        instance: Instance,
        now: Now,
        f: impl FnOnce(&mut Overlay, &mut overlay::Context<'_>),
    ) {
        let mut effects = Vec::new();
        f(
            &mut self.overlays[instance.0 as usize],
            &mut overlay::Context { now, rng: &mut self.rng, effects: &mut effects },
        );
        self.effects.overlays.extend(effects.into_iter().map(|effect| (instance, effect)));
    }

    /// Does something with the news of the authority; nothing in an overlay without certificates.
    fn with_news(&mut self, now: Now, f: impl FnOnce(&mut News, &mut news::Context<'_>)) {
        let Some(members) = self.members() else { return };
        let mut effects = Vec::new();
        let (suite, rng) = (self.links.suite_mut(members), &mut self.rng);
        f(&mut self.news, &mut news::Context { now, rng, suite, effects: &mut effects });
        self.effects.news.extend(effects);
    }

    fn with_vpn(&mut self, f: impl FnOnce(&mut Vpn)) {
        if let Some(network) = &mut self.vpn {
            f(&mut network.vpn);
        }
    }

    /// Tells the virtual network what happened in an overlay, if that overlay carries it.
    fn with_vpn_over(&mut self, instance: Instance, f: impl FnOnce(&mut Vpn)) {
        if self.vpn_over() == Some(instance) {
            self.with_vpn(f);
        }
    }

    /// The overlay that carries its virtual network: lanes have the sessions of no other.
    pub fn vpn_over(&self) -> Option<Instance> {
        self.vpn.as_ref().map(|network| network.over)
    }

    fn instances(&self) -> impl Iterator<Item = Instance> + use<> {
        (0..self.overlays.len() as u8).map(Instance)
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }
}

#[cfg(test)]
mod tests;
