//! Answers to local clients and to the metrics server, from what the node tells of itself.

use std::net::IpAddr;
use std::time::Duration;

use pki::UnixTime;
use proto::NodeId;
use proto::path::Path;
use proto::time::Instant;

use super::{Driver, GROUP};
use crate::api::{self, Question, Reply, Request};
use crate::metrics::Snapshot;

/// How much of a peer's ID names it: fewer digits are too easily somebody else's.
const ID_START_MIN: usize = 4;

impl Driver {
    /// Answers at once, or makes it a command of the node.
    pub(super) fn answer(&mut self, question: Question) {
        match question {
            // Whoever asked and left needs no answer.
            Question::Snapshot(reply) => drop(reply.send(self.snapshot())),
            Question::Request(request, reply) => match request {
                Request::Status => drop(reply.send(Reply::of(&self.status()))),
                Request::Peers => drop(reply.send(Reply::of(&self.peers()))),
                Request::Ping { to } => match self.find(&to) {
                    Ok(id) => {
                        if let Some(ticket) = self.work.commands.begin(id, reply) {
                            self.node.ping(ticket, GROUP, id, self.clock.now());
                        }
                    }
                    Err(error) => drop(reply.send(Reply::Error(error))),
                },
                Request::DhtGet { name } => {
                    if let Some(ticket) = self.work.commands.begin(self.node.id(), reply) {
                        self.node.get(ticket, GROUP, name.as_bytes(), self.clock.now());
                    }
                }
                Request::DhtPut { name, value, ttl_seconds } => {
                    if let Some(ticket) = self.work.commands.begin(self.node.id(), reply) {
                        let (name, value) = (name.as_bytes(), value.as_bytes());
                        let ttl = Duration::from_secs(ttl_seconds.into());
                        self.node.put(ticket, GROUP, name, value, ttl, self.clock.now());
                    }
                }
                Request::Crawl => {
                    if let Some(ticket) = self.work.commands.begin(self.node.id(), reply) {
                        self.node.crawl(ticket, GROUP, self.clock.now());
                    }
                }
            },
        }
    }

    /// The node that a user means.
    fn find(&self, name: &str) -> Result<NodeId, String> {
        if let Ok(id) = name.parse() {
            return Ok(id);
        }
        if let Ok(ip) = name.parse::<IpAddr>() {
            let owner = self.node.vpn().and_then(|vpn| vpn.holder(ip));
            return owner.ok_or_else(|| {
                format!("no session with the owner of {ip}: send it a packet first, or give its id")
            });
        }
        let start = name.to_ascii_lowercase();
        let peers = self.node.peers(self.clock.now());
        let mut named = peers.iter().filter(|peer| peer.id.to_string().starts_with(&start));
        match (start.len() >= ID_START_MIN, named.next(), named.next()) {
            (true, Some(peer), None) => Ok(peer.id),
            (true, Some(_), Some(_)) => Err(format!("{name} is the start of several node ids")),
            _ => Err(format!(
                "{name} is neither a node id, nor the start of one among the linked peers, nor an \
                 address: see warren peers"
            )),
        }
    }

    fn status(&self) -> api::Status {
        let status = self.node.status(GROUP);
        api::Status {
            version: env!("CARGO_PKG_VERSION").into(),
            node_id: status.id,
            group: self.identity.member.group.clone(),
            user: self.identity.member.user.clone(),
            certificate_not_after: self.identity.member.not_after.as_secs(),
            notices: self.node.trust().map_or(0, |trust| trust.ledger().number()),
            joined: status.joined,
            left: status.left,
            right: status.right,
            nodes_estimate: status.size_estimate,
            peers: self.node.peers(self.clock.now()).len(),
            listen: self.listen,
            endpoints: status.endpoints,
            device: self.excluded.device.clone(),
            ipv4: self.work.addresses.and_then(|addresses| addresses.ipv4).map(|(ip, _)| ip),
            ipv6: self.work.addresses.map(|addresses| addresses.ipv6.0),
            service: self.keeper.as_ref().map(|keeper| api::ServiceStatus::from(keeper.report())),
            uptime_seconds: self.clock.instant().saturating_since(Instant::ZERO).as_secs_f64(),
        }
    }

    fn peers(&self) -> Vec<api::Peer> {
        let peers = self.node.peers(self.clock.now()).into_iter();
        peers
            .map(|peer| api::Peer {
                node_id: peer.id,
                user: peer.member.map(|(user, _)| user),
                path: peer.path.class().into(),
                endpoint: match peer.path {
                    Path::Direct(endpoint) => Some(endpoint),
                    _ => None,
                },
                purposes: peer.purposes.iter().map(ToString::to_string).collect(),
                rtt_ms: peer.rtt.map(|rtt| rtt.as_secs_f64() * 1e3),
                age_seconds: peer.age.as_secs_f64(),
                silent_seconds: peer.silent.as_secs_f64(),
            })
            .collect()
    }

    fn snapshot(&self) -> Snapshot {
        let status = self.node.status(GROUP);
        let peers = self.node.peers(self.clock.now());
        let direct = peers.iter().filter(|peer| matches!(peer.path, Path::Direct(_))).count();
        let ipv4 = self.work.addresses.and_then(|addresses| addresses.ipv4);
        Snapshot {
            joined: status.joined,
            ready: status.joined && (self.device.is_none() || ipv4.is_some()),
            peers: (direct, peers.len() - direct),
            nodes_estimate: status.size_estimate,
            certificate_not_after: self.identity.member.not_after.as_secs(),
            notices: self.node.trust().map_or(0, |trust| trust.ledger().number()),
            notices_fresh_until: self
                .node
                .trust()
                .and_then(|trust| trust.ledger().fresh_until())
                .map_or(0, UnixTime::as_secs),
            notices_stale: self.is_list_stale(),
            counters: self.node.counters(GROUP),
            drops: self.work.drops,
            traffic: self.work.traffic,
            control_send_drops: self.work.control_send_drops,
        }
    }
}
