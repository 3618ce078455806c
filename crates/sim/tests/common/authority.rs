//! A group with an authority in a simulated world, and what an attacker on the way can tell apart.

use pki::{CertificateAuthority, GroupSecret, Keyring, Revoked, SignedSecret, Trust, UnixTime};
use proto::NodeId;
use proto::wire::control::Control;
use proto::wire::frame::{HEADER_LEN, Kind, TAG_LEN};
use proto::wire::routed::{Protocol, Routed};
use warren_sim::population::Population;
use warren_sim::world::{HostId, World};

/// When the authority was made: before any world begins.
const MADE: UnixTime = UnixTime(1_760_000_000);

/// By what a revocation travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// The bounded broadcast.
    Broadcast,
    /// What peers tell each other of their knowledge.
    Links,
    /// The hash table, with everything else that is in it.
    Table,
    /// What announcers tell subscribers.
    Event,
}

/// What a datagram of a direct session carries. The null suite leaves the plaintext readable; what goes through
/// a session over the overlay is not looked into.
pub fn carrier(datagram: &[u8]) -> Option<Carrier> {
    let is_control = Kind::of(datagram) == Some(Kind::Frame) && datagram.get(1) == Some(&0);
    let end = datagram.len().checked_sub(TAG_LEN).filter(|_| is_control)?;
    match Control::parse(datagram.get(HEADER_LEN..end)?).ok()? {
        Control::Broadcast { .. } => Some(Carrier::Broadcast),
        Control::Standing(_) | Control::NewsAsk(_) | Control::News { .. } => Some(Carrier::Links),
        Control::Routed(routed) => match Routed::parse(routed).ok()?.protocol {
            Protocol::Dht => Some(Carrier::Table),
            Protocol::Notices => Some(Carrier::Event),
            _ => None,
        },
        _ => None,
    }
}

/// The authority of a group, and what it has signed so far.
pub struct Group {
    /// Who signs.
    pub authority: CertificateAuthority,
    /// What all believe in.
    pub trust: Trust,
    secret: SignedSecret,
}

impl Group {
    /// A new group.
    pub fn new() -> Group {
        let authority = CertificateAuthority::create("team", MADE).expect("a good name");
        let pinned = [authority.certificate().clone()];
        let trust = Trust::new("team", &pinned, None).expect("own authority");
        let secret = authority.sign_secret(GroupSecret { generation: 1, key: [1; 32] }, MADE);
        Group { authority, trust, secret }
    }

    /// So many members.
    pub fn population(&self, nodes: usize) -> Population {
        Population::new(nodes).with_authority(self.trust.clone(), self.keyring())
    }

    /// What each of them holds of the group secret.
    pub fn keyring(&self) -> Keyring {
        let mut keyring = Keyring::default();
        keyring.take(self.secret.clone(), &self.trust).expect("own secret");
        keyring
    }

    /// Signs that this is out, and the next group secret.
    pub fn revoke(&mut self, what: Revoked, now: UnixTime) -> (String, Vec<SignedSecret>) {
        let ledger = self.trust.ledger_mut();
        self.authority.revoke(what, ledger, now).expect("the chain goes on");
        let generation = ledger.generation();
        let secret = GroupSecret { generation, key: [generation as u8; 32] };
        (ledger.to_text(), vec![self.authority.sign_secret(secret, now)])
    }
}

/// Has a member pass on what the authority signed.
pub fn announce(world: &mut World, from: HostId, (text, secrets): (String, Vec<SignedSecret>)) {
    world.with(from, |node, now| node.announce(&text, secrets, &[], now).expect("own notices"));
}

/// Hosts whose node has a session with this one.
pub fn linked_with(world: &World, id: NodeId) -> Vec<HostId> {
    let has = |node: &proto::Node| node.peers(world.now()).iter().any(|peer| peer.id == id);
    world.live().filter(|(_, node)| node.id() != id && has(node)).map(|(host, _)| host).collect()
}

/// How many notices the host's node knows.
pub fn notices(world: &World, host: HostId) -> u64 {
    let trust = world.node(host).and_then(|node| node.trust()).expect("runs and has one");
    trust.ledger().number()
}
