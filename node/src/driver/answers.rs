//! Answers to local clients and to the metrics server, from what the node tells of itself.

use std::net::IpAddr;
use std::time::Duration;

use pki::{SignedSecret, UnixTime};
use proto::NodeId;
use proto::node::AnnounceError;
use proto::overlay::Instance;
use proto::path::Path;
use proto::time::Instant;
use proto::vpn::address::{PREFIX6_LEN, Place};
use tokio::sync::oneshot;

use super::Driver;
use super::commands::About;
use crate::api::{self, Question, Reply, Request};
use crate::metrics::{MembershipSnapshot, OverlaySnapshot, Snapshot};
use crate::overlays::Kind;

/// How much of a peer's ID names it: fewer digits are too easily somebody else's.
const ID_START_MIN: usize = 4;

/// Whom a ping is for.
enum Target {
    Node(NodeId),
    Address(IpAddr),
}

impl Driver {
    /// Answers at once, or makes it a command of the node.
    pub(super) fn answer(&mut self, question: Question) {
        match question {
            // Whoever asked and left needs no answer.
            Question::Snapshot(reply) => drop(reply.send(self.snapshot())),
            Question::Request(Request::Status, reply) => {
                drop(reply.send(Reply::of(&self.status())));
            }
            Question::Request(Request::Peers, reply) => drop(reply.send(Reply::of(&self.peers()))),
            Question::Request(Request::Announce { notices, secrets, victims }, reply) => {
                drop(reply.send(self.announce(&notices, secrets, &victims)));
            }
            Question::Request(Request::Acknowledgements { number }, reply) => {
                match self.node.trust() {
                    Some(trust) => {
                        let number = number.unwrap_or(trust.ledger().number());
                        self.walk(About::Notice(number), reply);
                    }
                    None => {
                        let why = AnnounceError::NoAuthority.to_string();
                        drop(reply.send(Reply::Error(why)));
                    }
                }
            }
            Question::Request(Request::Ring, reply) => self.walk(About::Ring, reply),
            Question::Request(Request::Holder { address }, reply) => {
                if let Some(ticket) = self.work.commands.begin(About::Holder, reply) {
                    self.node.holder(ticket, address, self.clock.now());
                }
            }
            Question::Request(Request::Ping { to, public }, reply) => {
                let within = self.overlays.chosen(public).map_err(Reply::Usage);
                match within.and_then(|within| Ok((within, self.find(within, &to)?))) {
                    Ok((within, target)) => self.ping(within, target, reply),
                    Err(why) => drop(reply.send(why)),
                }
            }
            Question::Request(request, reply) => match self.overlays.chosen(request.is_public()) {
                Ok(within) => self.command(within, request, reply),
                Err(why) => drop(reply.send(Reply::Usage(why))),
            },
        }
    }

    fn ping(&mut self, within: Instance, target: Target, reply: oneshot::Sender<Reply>) {
        let Some(ticket) = self.work.commands.begin(About::Itself, reply) else { return };
        let now = self.clock.now();
        match target {
            Target::Node(id) => self.node.ping(ticket, within, id, now),
            Target::Address(ip) => self.node.ping_address(ticket, ip, now),
        }
    }

    /// Gives the node a command that it answers later.
    fn command(&mut self, within: Instance, request: Request, reply: oneshot::Sender<Reply>) {
        let Some(ticket) = self.work.commands.begin(About::Itself, reply) else { return };
        let now = self.clock.now();
        match request {
            Request::DhtGet { name, .. } => self.node.get(ticket, within, name.as_bytes(), now),
            Request::DhtPut { name, value, ttl_seconds, .. } => {
                let (name, value) = (name.as_bytes(), value.as_bytes());
                let ttl = Duration::from_secs(ttl_seconds.into());
                self.node.put(ticket, within, name, value, ttl, now);
            }
            Request::Crawl { .. } => self.node.crawl(ticket, within, now),
            Request::Status
            | Request::Peers
            | Request::Ping { .. }
            | Request::Announce { .. }
            | Request::Acknowledgements { .. }
            | Request::Ring
            | Request::Holder { .. } => {}
        }
    }

    /// Walks the ring, to tell it or to count who knows a notice.
    fn walk(&mut self, about: About, reply: oneshot::Sender<Reply>) {
        match self.overlays.chosen(false) {
            Ok(within) => {
                if let Some(ticket) = self.work.commands.begin(about, reply) {
                    self.node.crawl(ticket, within, self.clock.now());
                }
            }
            Err(why) => drop(reply.send(Reply::Error(why))),
        }
    }

    /// Takes what the authority said and tells everybody.
    fn announce(
        &mut self,
        notices: &str,
        secrets: Vec<SignedSecret>,
        victims: &[api::Victim],
    ) -> Reply {
        let victims: Vec<_> = victims.iter().map(|v| (v.node, v.notice)).collect();
        match self.node.announce(notices, secrets, &victims, self.clock.now()) {
            Ok(()) => Reply::of(&api::Announced {
                number: self.node.trust().map_or(0, |trust| trust.ledger().number()),
                generation: self.node.keyring().generation(),
            }),
            Err(error) => Reply::Error(error.to_string()),
        }
    }

    /// Whom a user means.
    fn find(&self, within: Instance, name: &str) -> Result<Target, Reply> {
        if let Ok(id) = name.parse() {
            if id != self.node.overlay(within).me() {
                self.check_joined(within)?;
            }
            return Ok(Target::Node(id));
        }
        if let Ok(ip) = name.parse() {
            return self.at_address(within, ip);
        }
        let start = name.to_ascii_lowercase();
        let peers = self.node.peers(self.clock.now());
        let mut named = peers
            .iter()
            .filter(|peer| peer.instance == within && peer.id.to_string().starts_with(&start));
        match (start.len() >= ID_START_MIN, named.next(), named.next()) {
            (true, Some(peer), None) => Ok(Target::Node(peer.id)),
            (true, Some(_), Some(_)) => Err(Reply::Usage(format!(
                "{name} is the start of several node ids: give more digits"
            ))),
            (false, Some(_), _) => Err(Reply::Usage(format!(
                "{name} is too short for the start of a node id: give {ID_START_MIN} digits or more"
            ))),
            _ => Err(Reply::Usage(format!(
                "{name} is neither a node id of 40 digits, nor the first {ID_START_MIN} or more of a \
                 linked peer's, nor an address: see warren peers"
            ))),
        }
    }

    /// The member that a virtual address can belong to.
    fn at_address(&self, within: Instance, ip: IpAddr) -> Result<Target, Reply> {
        let vpn = self.node.vpn().filter(|_| self.overlays.kind(within) == Kind::Private);
        let Some(vpn) = vpn else {
            let why = "this node has no virtual addresses in this overlay: give a node id";
            return Err(Reply::Usage(why.into()));
        };
        let local = vpn.local();
        match local.place(ip) {
            Place::Own => Ok(Target::Node(self.node.overlay(within).me())),
            Place::Member => self.check_joined(within).map(|()| Target::Address(ip)),
            Place::Service | Place::NotUnicast => {
                Err(Reply::Usage(format!("{ip} is no node's: the network keeps it for itself")))
            }
            Place::Outside => {
                let ipv6 = local.network6();
                let ipv4 = local.subnet.map(|s| format!("{}/{} or ", s.network(), s.prefix()));
                Err(Reply::Usage(format!(
                    "{ip} is not of the group's network: give an address in {}{ipv6}/{PREFIX6_LEN}",
                    ipv4.unwrap_or_default()
                )))
            }
        }
    }

    /// Whether other nodes can be reached at all.
    fn check_joined(&self, within: Instance) -> Result<(), Reply> {
        match self.node.status(within).joined {
            true => Ok(()),
            false => Err(Reply::Error("this node has not joined: see warren status".into())),
        }
    }

    fn status(&self) -> api::Status {
        let member = self.identity.as_ref().map(|identity| &identity.member);
        let overlays: Vec<_> =
            self.overlays.iter().map(|(at, kind)| self.place(at, kind)).collect();
        let notices = self.node.trust().map(|trust| trust.ledger().number());
        api::Status {
            version: env!("CARGO_PKG_VERSION").into(),
            first: overlays[0].clone(),
            overlays,
            group: self.config.network().ok().map(|network| network.group.clone()),
            user: member.map(|member| member.user.clone()),
            certificate_not_after: member.map(|member| member.not_after.as_secs()),
            notices,
            fork: self.work.fork,
            listen: self.listen,
            device: self.device.as_ref().map(|_| self.config.device.clone()),
            ipv4: self.work.addresses.and_then(|addresses| addresses.ipv4).map(|(ip, _)| ip),
            ipv6: self.work.addresses.map(|addresses| addresses.ipv6.0),
            trouble: self.work.trouble.as_ref().or(self.work.address_trouble.as_ref()).cloned(),
            service: self.keeper.as_ref().map(|keeper| api::ServiceStatus::from(keeper.report())),
            uptime_seconds: self.clock.instant().saturating_since(Instant::ZERO).as_secs_f64(),
        }
    }

    /// The node in one of its overlays.
    fn place(&self, instance: Instance, overlay: Kind) -> api::Overlay {
        let status = self.node.status(instance);
        let peers = self.node.peers(self.clock.now());
        api::Overlay {
            overlay,
            entry: self.overlays.entry(instance),
            node_id: status.id,
            joined: status.joined,
            left: status.left,
            right: status.right,
            nodes_estimate: status.size_estimate,
            peers: peers.iter().filter(|peer| peer.instance == instance).count(),
            endpoints: status.endpoints,
        }
    }

    fn peers(&self) -> Vec<api::Peer> {
        let peers = self.node.peers(self.clock.now()).into_iter();
        peers
            .map(|peer| {
                let (user, group) = peer.member.unzip();
                api::Peer {
                    overlay: self.overlays.kind(peer.instance),
                    entry: self.overlays.entry(peer.instance),
                    node_id: peer.id,
                    user,
                    group,
                    addresses: peer.addresses,
                    path: peer.path.class().into(),
                    endpoint: match peer.path {
                        Path::Direct(endpoint) => Some(endpoint),
                        _ => None,
                    },
                    datagram_max: peer.datagram_max,
                    purposes: peer.purposes.iter().map(ToString::to_string).collect(),
                    rtt_ms: peer.rtt.map(|rtt| rtt.as_secs_f64() * 1e3),
                    age_seconds: peer.age.as_secs_f64(),
                    silent_seconds: peer.silent.as_secs_f64(),
                }
            })
            .collect()
    }

    fn membership_snapshot(&self) -> Option<MembershipSnapshot> {
        let ledger = self.node.trust()?.ledger();
        Some(MembershipSnapshot {
            certificate_not_after: self.identity.as_ref()?.member.not_after.as_secs(),
            notices: ledger.number(),
            notices_fresh_until: ledger.fresh_until().map_or(0, UnixTime::as_secs),
            notices_stale: self.is_list_stale(),
            notices_fork: self.work.fork.unwrap_or(0),
            subscriptions: self.node.watch().subscribed(),
            news: self.node.counters(Instance(0)).news,
        })
    }

    fn snapshot(&self) -> Snapshot {
        let peers = self.node.peers(self.clock.now());
        let ipv4 = self.work.addresses.and_then(|addresses| addresses.ipv4);
        let joined = self.node.status(Instance(0)).joined;
        let overlay = |(instance, overlay)| {
            let here = || peers.iter().filter(move |peer| peer.instance == instance);
            let direct = here().filter(|peer| matches!(peer.path, Path::Direct(_))).count();
            let status = self.node.status(instance);
            OverlaySnapshot {
                overlay,
                joined: status.joined,
                peers: (direct, here().count() - direct),
                nodes_estimate: status.size_estimate,
                records: self.node.dht(instance).held().0,
                counters: self.node.counters(instance),
            }
        };
        Snapshot {
            ready: joined
                && self.work.trouble.is_none()
                && (self.device.is_none() || ipv4.is_some()),
            overlays: self.overlays.iter().map(overlay).collect(),
            membership: self.membership_snapshot(),
            links: self.node.links().counters(),
            drops: self.work.drops,
            traffic: self.work.traffic,
            control_send_drops: self.work.control_send_drops,
        }
    }
}
