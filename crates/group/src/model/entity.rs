//! The things that a group consists of, as the model sees them.

use pki::{NodeId, Salt, Serial, UnixTime};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::id::{GroupId, Named, RequestId, TokenId};
use super::policy::Policies;

/// What a member may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Has nodes.
    Member,
    /// Decides who else has.
    Administrator,
}

/// How a request to join stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RequestState {
    /// Waits for an administrator.
    Pending,
    /// Granted.
    Approved,
    /// Refused.
    Denied,
    /// Taken back by the asker.
    Withdrawn,
}

/// Why a token or node counts no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// Its user or an administrator said so.
    ByUser,
    /// It was for one node.
    UsedUp,
    /// Its time was over.
    Expired,
    /// The membership was.
    MembershipEnded,
    /// A notice names it.
    Revoked,
}

/// A group as commands meet it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupFacts {
    /// Which.
    pub id: GroupId,
    /// Its name.
    pub name: String,
    /// Its policies.
    pub policies: Policies,
    /// How many members it has, administrators included.
    pub members: u32,
    /// How many of them are administrators.
    pub administrators: u32,
    /// How many requests wait.
    pub pending: u32,
    /// How many notices its chain keeps.
    pub notices: u32,
    /// The number for what the command makes.
    pub next: i64,
}

/// Somebody's relation to a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// None.
    Outside,
    /// Has asked to join.
    Asked(RequestId),
    /// Was denied, and has not asked again.
    Denied,
    /// Belongs to it.
    Member(Role),
}

/// A user as commands meet it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Who.
    pub user: Named,
    /// Whether the user administers the whole site.
    pub site_admin: bool,
    /// Whether the account may be used.
    pub enabled: bool,
    /// What the user is to the group.
    pub standing: Standing,
}

impl Person {
    /// Returns whether the user decides in the group.
    pub const fn is_administrator(&self) -> bool {
        matches!(self.standing, Standing::Member(Role::Administrator))
    }

    /// Returns whether the user belongs to the group.
    pub const fn is_member(&self) -> bool {
        matches!(self.standing, Standing::Member(_))
    }
}

/// A request to join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Which.
    pub id: RequestId,
    /// Whose.
    pub user: Named,
    /// How it stands.
    pub state: RequestState,
}

/// A token of somebody in a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Which.
    pub id: TokenId,
    /// The group it is of.
    pub group: GroupId,
    /// Whose.
    pub user: Named,
    /// Whether it may enrol more than one node.
    pub reusable: bool,
    /// Whether its nodes go when their certificates expire.
    pub ephemeral: bool,
    /// When it ends by itself.
    pub expires: UnixTime,
    /// Why it counts no more.
    pub ended: Option<Ended>,
}

/// A node of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its place on the ring.
    pub id: NodeId,
    /// Whose.
    pub user: Named,
    /// What the authority drew for its key.
    pub salt: Salt,
    /// Whether it goes when its certificate expires.
    pub ephemeral: bool,
    /// Its name in the group.
    pub host: Option<String>,
    /// Why it counts no more.
    pub ended: Option<Ended>,
}

/// How many nodes a user has in a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeCounts {
    /// That count against the quota.
    pub live: u32,
    /// Whose salt was drawn within the last day, whatever became of them.
    pub drawn_lately: u32,
}

/// A certificate as the authority remembers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issued {
    /// Its serial.
    pub serial: Serial,
    /// Whose.
    pub node: NodeId,
    /// From when.
    pub issued: UnixTime,
    /// Until when.
    pub not_after: UnixTime,
}
