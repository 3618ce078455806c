//! What a member is given: the answer to a good request, first and at each renewal.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::json::messages;
use crate::blob::{BOOTSTRAP_MAX, HostPort};
use crate::certificate::Certificate;
use crate::error::Error;
use crate::keyring::{GENERATIONS_MAX, Keyring, SecretError, SignedSecret};
use crate::network::{self, Ipv4Subnet, Network};
use crate::trust::{ISSUERS_MAX, StalePolicy, Trust};
use crate::unix_time::UnixTime;

/// Everything that a node needs to be a member until `renew_at` and beyond.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Grant {
    /// The node's certificate.
    pub certificate: Certificate,
    /// The group's authorities.
    #[serde(deserialize_with = "read_authorities")]
    pub ca: Vec<Certificate>,
    /// The root above them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<Certificate>,
    /// Settings of the virtual network.
    #[serde(deserialize_with = "TolerantNetwork::deserialize")]
    pub network: Network,
    /// Nodes to join by.
    #[serde(deserialize_with = "read_bootstrap")]
    pub bootstrap: Vec<HostPort>,
    /// Generations of the group secret, the newest first.
    #[serde(deserialize_with = "read_secrets")]
    pub secrets: Vec<SignedSecret>,
    /// Revocations so far, in the text form of [`Ledger`](crate::Ledger::to_text).
    pub notices: String,
    /// What to do while the list of revocations is out of date.
    #[serde(default)]
    pub stale_policy: StalePolicy,
    /// When the node shall ask for its renewal, before jitter.
    pub renew_at: UnixTime,
}

messages!(ANSWER_LEN_MAX: Grant);

impl Grant {
    /// Pins the authorities of the group, which must be the named one, and takes in the notices.
    pub fn trust(&self) -> Result<Trust, Error> {
        let mut trust = Trust::new(&self.network.group, &self.ca, self.root.as_ref())?;
        trust.set_stale_policy(self.stale_policy);
        let taken = trust.ledger_mut().take_text(&self.notices);
        taken.map_err(|_| Error::Authority("it has not signed the notices that came with it"))?;
        Ok(trust)
    }

    /// Takes in the generations of the group secret; the newest is to be used, older ones are only
    /// accepted.
    pub fn keyring(&self, trust: &Trust) -> Result<Keyring, SecretError> {
        let mut keyring = Keyring::default();
        for signed in &self.secrets {
            keyring.take(signed.clone(), trust)?;
        }
        Ok(keyring)
    }
}

/// A network in which unknown settings are passed over: a newer service may name some.
#[derive(Deserialize)]
#[serde(remote = "Network")]
struct TolerantNetwork {
    #[serde(deserialize_with = "network::group")]
    group: String,
    ipv4: Ipv4Subnet,
    #[serde(default = "network::default_mtu", deserialize_with = "network::mtu")]
    mtu: u16,
    #[serde(default = "network::default_lease", deserialize_with = "network::lease")]
    lease_seconds: u32,
}

fn read_authorities<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<Certificate>, D::Error> {
    bounded(d, 1, ISSUERS_MAX, "a group has one to four authorities")
}

pub(super) fn read_bootstrap<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<HostPort>, D::Error> {
    bounded(d, 0, BOOTSTRAP_MAX, "at most 64 bootstrap addresses")
}

fn read_secrets<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<SignedSecret>, D::Error> {
    const RULE: &str = "one to 64 group secrets, the newest first";
    let secrets: Vec<SignedSecret> = bounded(d, 1, GENERATIONS_MAX, RULE)?;
    let in_order =
        secrets.is_sorted_by(|newer, older| newer.secret.generation > older.secret.generation);
    in_order.then_some(secrets).ok_or_else(|| D::Error::custom(RULE))
}

fn bounded<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
    min: usize,
    max: usize,
    rule: &str,
) -> Result<Vec<T>, D::Error> {
    let all = Vec::deserialize(deserializer)?;
    (min..=max).contains(&all.len()).then_some(all).ok_or_else(|| D::Error::custom(rule))
}
