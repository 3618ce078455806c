//! What pages and API show: plain values, read from the store for somebody who may see them.

use pki::{Ipv4Subnet, NodeId, Serial, UnixTime};
use serde::Serialize;

use crate::model::{Ended, Named, Policies, RequestId, RequestState, Role, TokenId, UserId, What};

/// An account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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
    pub created: UnixTime,
}

/// A group, for everybody who is logged in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GroupSummary {
    /// Its name.
    pub name: String,
    /// Its addresses.
    pub subnet: Ipv4Subnet,
    /// How many members it has.
    pub members: u32,
    /// What the asker is to it.
    pub standing: StandingView,
    /// How many requests wait; 0 for those who do not decide.
    pub pending: u32,
}

/// What somebody is to a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GroupView {
    /// Name, size, and what the asker is to it.
    #[serde(flatten)]
    pub summary: GroupSummary,
    /// Its policies.
    pub policies: Policies,
    /// Those who decide, at most 100 of them.
    pub administrators: Vec<Named>,
    /// Since when it is there.
    pub created: UnixTime,
    /// The key of its authority.
    pub issuer: String,
    /// The number of its newest notice.
    pub notices: u64,
    /// Until when its list of revocations is good.
    pub next_update: UnixTime,
}

/// A request to join.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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
    pub asked: UnixTime,
    /// When it was decided.
    pub decided: Option<UnixTime>,
    /// By whom.
    pub decided_by: Option<String>,
    /// What the asker was told.
    pub note: String,
}

/// A member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MemberView {
    /// Who.
    pub user: Named,
    /// As what.
    pub role: Role,
    /// Since when.
    pub since: UnixTime,
    /// How many nodes count.
    pub nodes: u32,
}

/// A token, without its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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
    pub created: UnixTime,
    /// Until when.
    pub expires: UnixTime,
    /// When it last enrolled a node.
    pub last_used: Option<UnixTime>,
    /// Why it counts no more.
    pub ended: Option<Ended>,
}

/// A node with its newest certificate: the way from an address back to a user (row SE-07).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeView {
    /// Its place on the ring.
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
    pub last_seen: Option<UnixTime>,
    /// Since when it is known.
    pub created: UnixTime,
    /// Whether it goes when its certificate expires.
    pub ephemeral: bool,
    /// The serial of its certificate.
    pub serial: Option<Serial>,
    /// When that was issued.
    pub issued: Option<UnixTime>,
    /// Until when it is good.
    pub not_after: Option<UnixTime>,
    /// Why it counts no more.
    pub ended: Option<Ended>,
}

/// A revocation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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
    pub at: UnixTime,
    /// The nodes that are out by it.
    pub victims: Vec<NodeId>,
    /// When the daemon beside the service has passed it on.
    pub announced: Option<UnixTime>,
}

/// An entry of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditView {
    /// Its number in the log of the group, or of the site.
    pub number: i64,
    /// When.
    pub at: UnixTime,
    /// Who.
    pub actor: String,
    /// From where.
    pub source: String,
    /// What kind of event.
    pub event: String,
    /// The whole event.
    pub details: serde_json::Value,
}
