//! Which overlays this node takes part in: that of its group, a public one, or both over one socket.
//!
//! The group's comes first, and is the one that the node is known by. The public one has a key, an ID and known
//! peers of its own, and is told nothing of the group.

use std::net::SocketAddr;
use std::sync::Arc;

use proto::node::api::{Access, OverlayConfig};
use proto::overlay::Instance;
use proto::overlay::shortcut::Harmonic;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::identity::{Identities, InGroup};
use crate::known::Known;
use crate::state::StateDir;

/// Whose overlay it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// That of the members of a group.
    Private,
    /// Everybody's.
    Public,
}

impl Kind {
    /// The name in answers, logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Public => "public",
        }
    }
}

/// By what a node gets into an overlay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// A certificate of the group's authority.
    Certificate,
    /// The key that the nodes of a group share.
    PreSharedKey,
    /// Nothing: everybody may enter.
    Open,
}

impl Entry {
    /// The name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Certificate => "by certificate",
            Self::PreSharedKey => "by pre-shared key",
            Self::Open => "open to everybody",
        }
    }
}

/// The overlays of this node, in the order of their instances, with the peers to remember of each.
#[derive(Debug)]
pub struct Overlays(Vec<(Kind, Entry, Known)>);

impl Overlays {
    /// Those that the node has an identity in; the others have no peers.
    pub fn load(identities: &Identities, state: &Arc<StateDir>) -> Self {
        let private = identities.group.as_ref().map(|group| match group {
            InGroup::ByCertificate(_) => (Kind::Private, Entry::Certificate),
            InGroup::ByKey(_) => (Kind::Private, Entry::PreSharedKey),
        });
        let public = identities.public.is_some().then_some((Kind::Public, Entry::Open));
        let all = private.into_iter().chain(public);
        Self(all.map(|(kind, by)| (kind, by, Known::load(Arc::clone(state), kind))).collect())
    }

    /// What the node is made from; `bootstrap` gives the endpoints to join each overlay by.
    pub fn configure(
        &self,
        identities: &Identities,
        bootstrap: impl Fn(Kind) -> Vec<SocketAddr>,
    ) -> Result<Vec<OverlayConfig>, Failure> {
        let one = |(kind, _, known): &(Kind, Entry, Known)| {
            let (suite, access) = match (kind, &identities.group, &identities.public) {
                (Kind::Private, Some(group), _) => group.enter()?,
                (Kind::Public, _, Some(public)) => (public.suite()?, Access::Public),
                _ => return Ok(None),
            };
            Ok(Some(OverlayConfig {
                suite: Box::new(suite),
                access,
                bootstrap: bootstrap(*kind),
                known: known.peers().iter().map(|peer| (peer.id, peer.endpoint)).collect(),
                shortcuts: Box::new(Harmonic),
            }))
        };
        self.0.iter().filter_map(|overlay| one(overlay).transpose()).collect()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (Instance, Kind)> {
        self.0.iter().enumerate().map(|(n, (kind, ..))| (Instance(n as u8), *kind))
    }

    /// Whether there is no peer of an earlier run to rejoin by.
    pub fn knows_nobody(&self, of: Kind) -> bool {
        self.0.iter().all(|(kind, .., known)| *kind != of || known.peers().is_empty())
    }

    /// Whose an overlay is.
    pub fn kind(&self, instance: Instance) -> Kind {
        self.0[instance.0 as usize].0
    }

    /// By what a node gets into an overlay.
    pub fn entry(&self, instance: Instance) -> Entry {
        self.0[instance.0 as usize].1
    }

    /// The overlay that a user means: the public one, or the node's first.
    pub fn chosen(&self, is_public: bool) -> Result<Instance, String> {
        if !is_public {
            return Ok(Instance(0));
        }
        let public = self.iter().find(|(_, kind)| *kind == Kind::Public);
        public.map(|(instance, _)| instance).ok_or_else(|| {
            "this node is in no public overlay: set public in its configuration, or leave out \
             --public"
                .into()
        })
    }

    /// The peers to remember of an overlay.
    pub fn known(&mut self, instance: Instance) -> &mut Known {
        &mut self.0[instance.0 as usize].2
    }

    /// The peers to remember of each overlay.
    pub fn all_known(&mut self) -> impl Iterator<Item = &mut Known> {
        self.0.iter_mut().map(|(.., known)| known)
    }
}
