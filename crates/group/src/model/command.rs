//! What can be asked for in a group, and what a command may know when it is decided.

use std::time::Duration;

use pki::enrolment::SecretHash;
use pki::{NodeId, Revoked, Salt, Serial};

use super::entity::{Ended, GroupFacts, Issued, Node, NodeCounts, Person, Request, Role, Token};
use super::event::Event;
use super::id::{RequestId, TokenId, UserId};
use super::policy::PolicyChanges;

/// A wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// To become a member.
    Ask {
        /// Why; the group's administrators and the asker read it.
        reason: String,
    },
    /// To take one's request back.
    Withdraw {
        /// Which.
        request: RequestId,
    },
    /// To decide on a request.
    Judge {
        /// Which.
        request: RequestId,
        /// Whether to grant it.
        approve: bool,
        /// For the asker.
        note: String,
    },
    /// To promote or demote a member.
    SetRole {
        /// Whom.
        user: UserId,
        /// To what.
        role: Role,
    },
    /// To put a member out.
    Remove {
        /// Whom.
        user: UserId,
        /// Why.
        reason: String,
    },
    /// To leave.
    Leave,
    /// To set policies.
    Change {
        /// To what.
        changes: PolicyChanges,
        /// The fingerprint of the policies that were looked at when all of them were chosen; with another one
        /// nothing is changed.
        seen: Option<String>,
    },
    /// To delete the group.
    Delete,
    /// To hand out a blob.
    DrawToken {
        /// What is kept of the token.
        hash: SecretHash,
        /// What it is good for.
        options: TokenOptions,
    },
    /// To end a token.
    EndToken {
        /// Which.
        token: TokenId,
    },
    /// To revoke something; a user whom that concerns is no member any more.
    Revoke {
        /// What.
        what: Revoked,
        /// Why.
        reason: String,
    },
    /// To get the salt of a key, by a token.
    NameNode {
        /// The key.
        spki: Vec<u8>,
        /// What the node calls itself.
        host: Option<String>,
        /// What the authority draws if it has not seen the key.
        salt: Salt,
    },
    /// To get a certificate, by a token.
    Certify {
        /// The ID that the request carries.
        node: NodeId,
    },
    /// To get another certificate, by the key of one that was verified.
    Renew {
        /// The ID in it.
        node: NodeId,
        /// Its serial.
        serial: Serial,
    },
    /// To forget what has had its time.
    Expire(Expired),
}

/// What a token is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenOptions {
    /// What its user calls it.
    pub label: String,
    /// Whether it may enrol more than one node.
    pub reusable: bool,
    /// Whether its nodes go when their certificates expire.
    pub ephemeral: bool,
    /// For how long.
    pub life: Duration,
}

impl Default for TokenOptions {
    /// One person's blob for several machines.
    fn default() -> Self {
        Self {
            label: String::new(),
            reusable: true,
            ephemeral: false,
            life: super::token::TOKEN_LIFE_DEFAULT,
        }
    }
}

/// What has had its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expired {
    /// A token.
    Token(Token),
    /// A node.
    Node(Node),
}

/// What a command may know: the group, who gives it, and the one thing that it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// The group.
    pub group: GroupFacts,
    /// The user who gives the command; none for operator, node and clock.
    pub actor: Option<Person>,
    /// Whether the operator or the service itself gives it: they may do what administrators may.
    pub trusted: bool,
    /// The user whom the command names, or whose token or node it is about.
    pub target: Option<Person>,
    /// The request that it names.
    pub request: Option<Request>,
    /// The token that it names or that came with it.
    pub token: Option<Token>,
    /// The node that it names, or that has the key in it.
    pub node: Option<Node>,
    /// The certificate that it names.
    pub certificate: Option<Issued>,
    /// The nodes of `target`.
    pub nodes: NodeCounts,
    /// Nodes that would be out by a revocation.
    pub victims: Vec<Node>,
}

/// What follows from a command: first what has happened, then what the authority shall do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// In order.
    pub events: Vec<Event>,
    /// In order, after the events.
    pub orders: Vec<Order>,
}

/// Work for the authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// To sign a certificate.
    Certify(Permit),
    /// To sign a notice, and to start a generation of the group secret.
    Revoke {
        /// Who or what is out.
        what: Revoked,
        /// Why.
        reason: String,
        /// The nodes that are out by it.
        victims: Vec<NodeId>,
    },
}

/// What the authority may sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permit {
    /// For whom.
    pub node: Node,
    /// For how long.
    pub life: Duration,
    /// Whether an older certificate has asked for it.
    pub renewal: bool,
}

impl Decision {
    /// Some events, and no work.
    pub fn events(events: impl Into<Vec<Event>>) -> Self {
        Self { events: events.into(), orders: Vec::new() }
    }

    /// Adds the end of a node.
    pub fn end_node(&mut self, node: &Node, why: Ended) {
        let ended = Event::NodeEnded { node: node.id, user: node.user.clone(), why };
        self.events.push(ended);
    }
}
