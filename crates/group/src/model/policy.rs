//! What an administrator of a group may set, within which limits.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use pki::{
    BOOTSTRAP_MAX, HostPort, LEASE_DEFAULT, LEASE_MAX, LEASE_MIN, LIFE_DEFAULT, LIFE_MAX, LIFE_MIN,
    MTU_MAX, MTU_MIN, StalePolicy,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::refusal::Refusal;

/// Usual number of nodes per member: phone, laptop and a few machines.
pub const QUOTA_DEFAULT: u32 = 8;
/// Most nodes per member: bounds what one leaked blob can enrol.
pub const QUOTA_MAX: u32 = 1000;

/// Who is let in without being looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Approval {
    /// Nobody: an administrator decides on each request.
    #[default]
    Manual,
    /// Everybody who asks.
    Automatic,
    /// Everybody, while the group has fewer members than this.
    AutomaticUpTo(u32),
}

impl Approval {
    /// Returns whether a request is granted at once when the group has so many members.
    pub const fn admits(self, members: u32) -> bool {
        match self {
            Self::Manual => false,
            Self::Automatic => true,
            Self::AutomaticUpTo(limit) => members < limit,
        }
    }
}

/// The policies of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Policies {
    /// Who is let in without being looked at.
    pub approval: Approval,
    /// Most nodes of one member, 1 to 1000.
    #[schema(minimum = 1, maximum = 1000)]
    pub quota: u32,
    /// How long a certificate lives, in seconds, one to thirty days.
    #[schema(minimum = 86_400, maximum = 2_592_000)]
    pub certificate_life_seconds: u64,
    /// What members do about new links while their list of revocations is out of date.
    #[schema(value_type = String, example = "lenient")]
    pub stale_policy: StalePolicy,
    /// Inner MTU in bytes, 1280 to 9000.
    #[schema(minimum = 1280, maximum = 9000)]
    pub mtu: u16,
    /// How long a virtual address is leased, in seconds, 60 to 86,400.
    #[schema(minimum = 60, maximum = 86_400)]
    pub lease_seconds: u32,
    /// Nodes to join by, at most 64.
    #[schema(value_type = Vec<String>, max_items = 64)]
    pub bootstrap: Vec<HostPort>,
}

impl Default for Policies {
    fn default() -> Self {
        Self {
            approval: Approval::default(),
            quota: QUOTA_DEFAULT,
            certificate_life_seconds: LIFE_DEFAULT.as_secs(),
            stale_policy: StalePolicy::default(),
            mtu: MTU_MIN,
            lease_seconds: LEASE_DEFAULT,
            bootstrap: Vec::new(),
        }
    }
}

/// What is changed of a group's policies; what is not named stays as it is when the change is made, so that
/// two administrators who change different things do not undo each other's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyChanges {
    /// Who is let in without being looked at.
    pub approval: Option<Approval>,
    /// Most nodes of one member, 1 to 1000.
    #[schema(minimum = 1, maximum = 1000)]
    pub quota: Option<u32>,
    /// How long a certificate lives, in seconds, one to thirty days.
    #[schema(minimum = 86_400, maximum = 2_592_000)]
    pub certificate_life_seconds: Option<u64>,
    /// What members do about new links while their list of revocations is out of date.
    #[schema(value_type = Option<String>, example = "lenient")]
    pub stale_policy: Option<StalePolicy>,
    /// Inner MTU in bytes, 1280 to 9000.
    #[schema(minimum = 1280, maximum = 9000)]
    pub mtu: Option<u16>,
    /// How long a virtual address is leased, in seconds, 60 to 86,400.
    #[schema(minimum = 60, maximum = 86_400)]
    pub lease_seconds: Option<u32>,
    /// Nodes to join by, at most 64.
    #[schema(value_type = Option<Vec<String>>, max_items = 64)]
    pub bootstrap: Option<Vec<HostPort>>,
}

impl PolicyChanges {
    /// Returns the policies with the changes made.
    pub fn made_to(&self, policies: &Policies) -> Policies {
        Policies {
            approval: self.approval.unwrap_or(policies.approval),
            quota: self.quota.unwrap_or(policies.quota),
            certificate_life_seconds: self
                .certificate_life_seconds
                .unwrap_or(policies.certificate_life_seconds),
            stale_policy: self.stale_policy.unwrap_or(policies.stale_policy),
            mtu: self.mtu.unwrap_or(policies.mtu),
            lease_seconds: self.lease_seconds.unwrap_or(policies.lease_seconds),
            bootstrap: self.bootstrap.clone().unwrap_or_else(|| policies.bootstrap.clone()),
        }
    }
}

impl From<Policies> for PolicyChanges {
    /// Names all of them.
    fn from(policies: Policies) -> Self {
        Self {
            approval: Some(policies.approval),
            quota: Some(policies.quota),
            certificate_life_seconds: Some(policies.certificate_life_seconds),
            stale_policy: Some(policies.stale_policy),
            mtu: Some(policies.mtu),
            lease_seconds: Some(policies.lease_seconds),
            bootstrap: Some(policies.bootstrap),
        }
    }
}

impl Policies {
    /// Returns a short text that is another one after any change: what a form was filled in for.
    pub fn fingerprint(&self) -> String {
        let text = serde_json::to_vec(self).expect("policies are numbers and texts");
        digest(&SHA256, &text).as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Returns how long a certificate lives.
    pub const fn certificate_life(&self) -> Duration {
        Duration::from_secs(self.certificate_life_seconds)
    }

    /// Checks every limit.
    pub fn check(&self) -> Result<(), Refusal> {
        let rules = [
            ((1..=QUOTA_MAX).contains(&self.quota), "quota must be 1 to 1000 nodes"),
            (
                (LIFE_MIN..=LIFE_MAX).contains(&self.certificate_life()),
                "certificate_life_seconds must be 86400 to 2592000 (1 to 30 days)",
            ),
            ((MTU_MIN..=MTU_MAX).contains(&self.mtu), "mtu must be 1280 to 9000 bytes"),
            (
                (LEASE_MIN..=LEASE_MAX).contains(&self.lease_seconds),
                "lease_seconds must be 60 to 86400",
            ),
            (self.bootstrap.len() <= BOOTSTRAP_MAX, "bootstrap has at most 64 addresses"),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            Some((_, rule)) => Err(Refusal::Setting(rule)),
            None => Ok(()),
        }
    }
}
