//! Who lives in a world: many nodes alike, some of which the others know from the start.
//!
//! All are members of one overlay under the null suite, whose messages have the true sizes, and of one
//! virtual network if the population has one.

use std::time::Duration;

use pki::{Keyring, Trust};
use proto::NodeId;
use proto::node::api::{Access, Config, OverlayConfig, VpnConfig};
use proto::overlay::Instance;
use proto::overlay::shortcut::{Fingers, Harmonic, ShortcutPolicy};
use proto::session::null::{NullSuite, Sizes};
use proto::vpn;
use proto::vpn::address::Subnet;
use proto::vpn::lease::{AddressPolicy, LEASE_LIFE};
use proto::vpn::verdict::Mode;
use serde::{Deserialize, Serialize};

use crate::world::{HostId, World};

/// Binds sessions to the simulated overlay.
const PURPOSE: &[u8] = b"simulated overlay";

/// Which shortcuts the nodes draw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// Symphony's harmonic law.
    #[default]
    Harmonic,
    /// Chord's fixed distances.
    Fingers,
}

/// Many nodes alike.
#[derive(Clone, Debug)]
pub struct Population {
    /// How many.
    pub nodes: usize,
    /// The first so many are the bootstrap endpoints of all others.
    pub seeds: usize,
    /// Pause between the starts of two nodes.
    pub arrival: Duration,
    /// Which shortcuts they draw.
    pub policy: Policy,
    /// The virtual network of which all are members.
    pub network: Option<VirtualNetwork>,
    /// The authority in whose notices and secrets all believe.
    pub authority: Option<Authority>,
}

/// What a simulated member knows of its authority at the start. Certificates are imagined
/// ([`proto::session::null::imagine`]); notices and secrets are signed and verified in earnest.
#[derive(Clone, Debug)]
pub struct Authority {
    /// Who signs, and the notices so far.
    pub trust: Trust,
    /// Generations of the group secret so far.
    pub keyring: Keyring,
}

/// A virtual network whose members lease their IPv4 addresses from the hash table.
#[derive(Clone, Debug)]
pub struct VirtualNetwork {
    /// Name of the group.
    pub group: String,
    /// Its IPv4 addresses; none if it uses IPv6 only.
    pub subnet: Option<Subnet>,
    /// What they ask for: any address, or all of them one and the same.
    pub address: AddressPolicy,
    /// How long a lease outlives its owner.
    pub lease: Duration,
}

impl Population {
    /// So many nodes, one of them known to all, ten starts a second.
    pub fn new(nodes: usize) -> Self {
        let (seeds, arrival, policy) = (1, Duration::from_millis(100), Policy::Harmonic);
        Self { nodes, seeds, arrival, policy, network: None, authority: None }
    }

    /// The same, as members of a virtual network.
    pub fn with_network(self, group: &str, subnet: Option<Subnet>) -> Self {
        Self { network: Some(VirtualNetwork::new(group, subnet)), ..self }
    }

    /// The same, as members of the group of this authority.
    pub fn with_authority(self, trust: Trust, keyring: Keyring) -> Self {
        Self { authority: Some(Authority { trust, keyring }), ..self }
    }

    /// Adds the nodes to the world, to start one after the other from now on.
    pub fn settle(&self, world: &mut World) -> Vec<HostId> {
        let hosts: Vec<HostId> = (0..self.nodes).map(|_| self.add(world)).collect();
        let mut at = world.now().instant;
        for &host in &hosts {
            world.start_at(host, at);
            at += self.arrival;
        }
        hosts
    }

    /// Adds one more node to the world, which is off.
    pub fn add(&self, world: &mut World) -> HostId {
        let number = world.hosts().count();
        let policy = self.policy;
        let first = world.hosts().take(self.seeds);
        let bootstrap: Vec<_> = first.map(|seed| world.address(seed)).collect();
        let id = NodeId::from_bytes(world.draw());
        let is_seed = number < self.seeds;
        let network = self.network.clone();
        let authority = self.authority.clone();
        world.add_node(move |known, rng| {
            let bare = NullSuite::new(id, Sizes::GROUP, PURPOSE, rng);
            let (suite, access) = match authority.clone() {
                Some(Authority { trust, keyring }) => {
                    (bare.with_trust(trust), Access::Members(keyring))
                }
                None => (bare, Access::Public),
            };
            let overlay = OverlayConfig {
                suite: Box::new(suite),
                access,
                bootstrap: if is_seed { Vec::new() } else { bootstrap.clone() },
                known,
                shortcuts: policy.build(),
            };
            let vpn = network.as_ref().map(|network| network.config(id));
            Config { overlays: vec![overlay], vpn }
        })
    }
}

impl VirtualNetwork {
    /// A network whose members take any address.
    pub fn new(group: &str, subnet: Option<Subnet>) -> Self {
        let address = AddressPolicy::Lease { preferred: None };
        Self { group: group.to_owned(), subnet, address, lease: LEASE_LIFE }
    }

    /// What the virtual network of this member is made from, over its first overlay.
    pub fn config(&self, id: NodeId) -> VpnConfig {
        let network = vpn::Config {
            group: self.group.clone(),
            id,
            subnet: self.subnet,
            address: self.address,
            lease: self.lease,
            mode: Mode::Split,
            mtu: vpn::MTU,
        };
        VpnConfig { over: Instance(0), network }
    }
}

impl Policy {
    fn build(self) -> Box<dyn ShortcutPolicy> {
        match self {
            Policy::Harmonic => Box::new(Harmonic),
            Policy::Fingers => Box::new(Fingers),
        }
    }
}
