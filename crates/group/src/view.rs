//! What pages and API show: plain values, read from the store for somebody who may see them.

use pki::{Ipv4Subnet, NodeId, Serial, UnixTime};
use serde::Serialize;
use utoipa::ToSchema;

use crate::model::{Ended, Named, Policies, RequestId, RequestState, Role, TokenId, UserId, What};

/// An account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct UserView {
    /// Its number.
    pub id: UserId,
    /// Its name.
    pub name: String,
    /// Where to write to.
    pub email: Option<String>,
    /// Whether it administers the site.
    pub site_admin: bool,
    /// Whether it may be used.
    pub enabled: bool,
    /// Whether it logs in by a password; else by an OpenID provider.
    pub has_password: bool,
    /// Since when it is there.
    #[schema(value_type = u64)]
    pub created: UnixTime,
}

/// A group, for everybody who is logged in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct GroupSummary {
    /// Its name.
    pub name: String,
    /// Its addresses.
    #[schema(value_type = String)]
    pub subnet: Ipv4Subnet,
    /// How many members it has.
    pub members: u32,
    /// What the asker is to it.
    pub standing: StandingView,
    /// How many requests wait; 0 for those who do not decide.
    pub pending: u32,
}

/// A group, for whoever has the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GroupRow {
    /// Its name.
    pub name: String,
    /// Its addresses.
    pub subnet: Ipv4Subnet,
    /// How many members it has.
    pub members: u32,
    /// How many of them decide.
    pub administrators: u32,
    /// How many nodes they have.
    pub nodes: u32,
    /// How many requests wait.
    pub pending: u32,
    /// Since when it is there.
    pub created: UnixTime,
}

/// What somebody is to a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum StandingView {
    /// Nothing.
    Outside,
    /// Has asked to join.
    Asked {
        /// By this request.
        request: RequestId,
    },
    /// Was denied, and may ask again.
    Denied,
    /// A member.
    Member,
    /// A member who decides.
    Administrator,
}

/// The page of a group, for members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct GroupView {
    /// Name, size, and what the asker is to it.
    #[serde(flatten)]
    pub summary: GroupSummary,
    /// Its policies.
    pub policies: Policies,
    /// Those who decide, at most 100 of them.
    pub administrators: Vec<Named>,
    /// Since when it is there.
    #[schema(value_type = u64)]
    pub created: UnixTime,
    /// The key of its authority.
    pub issuer: String,
    /// The number of its newest notice.
    pub notices: u64,
    /// Until when its list of revocations is good.
    #[schema(value_type = u64)]
    pub next_update: UnixTime,
}

/// A request to join.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct RequestView {
    /// Its number.
    pub id: RequestId,
    /// The group.
    pub group: String,
    /// Who asks.
    pub user: Named,
    /// Why.
    pub reason: String,
    /// How it stands.
    pub state: RequestState,
    /// Since when.
    #[schema(value_type = u64)]
    pub asked: UnixTime,
    /// When it was decided.
    #[schema(value_type = Option<u64>)]
    pub decided: Option<UnixTime>,
    /// By whom.
    pub decided_by: Option<String>,
    /// What the asker was told.
    pub note: String,
}

/// A member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct MemberView {
    /// Who.
    pub user: Named,
    /// As what.
    pub role: Role,
    /// Since when.
    #[schema(value_type = u64)]
    pub since: UnixTime,
    /// How many nodes count.
    pub nodes: u32,
}

/// A token, without its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct TokenView {
    /// Its number.
    pub id: TokenId,
    /// Whose.
    pub user: Named,
    /// What its user calls it.
    pub label: String,
    /// Whether it may enrol more than one node.
    pub reusable: bool,
    /// Whether its nodes go when their certificates expire.
    pub ephemeral: bool,
    /// Since when.
    #[schema(value_type = u64)]
    pub created: UnixTime,
    /// Until when.
    #[schema(value_type = u64)]
    pub expires: UnixTime,
    /// When it last enrolled a node.
    #[schema(value_type = Option<u64>)]
    pub last_used: Option<UnixTime>,
    /// Why it counts no more.
    pub ended: Option<Ended>,
}

/// A node with its newest certificate: the way from an address back to a user (row SE-07).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct NodeView {
    /// Its place on the ring.
    #[schema(value_type = String)]
    pub node: NodeId,
    /// Whose.
    pub user: Named,
    /// What it calls itself.
    pub host: Option<String>,
    /// Its virtual address, as far as the daemon beside the service has seen it.
    pub address: Option<String>,
    /// How it is reached, likewise.
    pub path: Option<String>,
    /// When it was last seen, likewise.
    #[schema(value_type = Option<u64>)]
    pub last_seen: Option<UnixTime>,
    /// Since when it is known.
    #[schema(value_type = u64)]
    pub created: UnixTime,
    /// Whether it goes when its certificate expires.
    pub ephemeral: bool,
    /// The serial of its certificate.
    #[schema(value_type = Option<String>)]
    pub serial: Option<Serial>,
    /// When that was issued.
    #[schema(value_type = Option<u64>)]
    pub issued: Option<UnixTime>,
    /// Until when it is good.
    #[schema(value_type = Option<u64>)]
    pub not_after: Option<UnixTime>,
    /// Why it counts no more.
    pub ended: Option<Ended>,
}

/// A revocation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct RevocationView {
    /// The number of its notice.
    pub number: u64,
    /// Who or what is out.
    pub what: What,
    /// Why.
    pub reason: String,
    /// Who said so.
    pub by: String,
    /// When.
    #[schema(value_type = u64)]
    pub at: UnixTime,
    /// The nodes that are out by it.
    #[schema(value_type = Vec<String>)]
    pub victims: Vec<NodeId>,
    /// When the daemon beside the service has passed it on.
    #[schema(value_type = Option<u64>)]
    pub announced: Option<UnixTime>,
}

/// An entry of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AuditView {
    /// Its number in the log of the group, or of the site.
    pub number: i64,
    /// When.
    #[schema(value_type = u64)]
    pub at: UnixTime,
    /// Who.
    pub actor: String,
    /// From where.
    pub source: String,
    /// What kind of event.
    pub event: String,
    /// The whole event.
    #[schema(value_type = Object)]
    pub details: serde_json::Value,
}
