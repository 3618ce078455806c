//! Who gives a command, and from where.

use std::fmt;
use std::net::IpAddr;

use pki::NodeId;
use serde::{Deserialize, Serialize};

use super::id::UserId;

/// Who wants something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// A person with an account.
    User(UserId),
    /// A node, known by its key.
    Node(NodeId),
    /// Somebody who is not known yet: a sign-up, or a bearer of a token.
    Stranger,
    /// Whoever has the machine: the admin command line.
    Operator,
    /// The service itself, because time has passed.
    Service,
}

/// Where a command came from, as coarse as an audit needs it: a /24 or /48, or the local machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Source(String);

impl Source {
    /// The machine that the service runs on.
    pub fn local() -> Self {
        Self("local".to_owned())
    }

    /// Keeps the network of an address.
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(v4) => {
                let [a, b, c, _] = v4.octets();
                format!("{a}.{b}.{c}.0/24")
            }
            IpAddr::V6(v6) => {
                let [a, b, c, ..] = v6.segments();
                format!("{a:x}:{b:x}:{c:x}::/48")
            }
        })
    }

    /// Takes back what [`Display`](fmt::Display) wrote.
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A command's origin: what the audit log names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Who.
    pub actor: Actor,
    /// From where.
    pub source: Source,
}

impl Caller {
    /// A user at an address.
    pub fn user(user: UserId, address: IpAddr) -> Self {
        Self { actor: Actor::User(user), source: Source::of(address) }
    }

    /// Somebody unknown at an address.
    pub fn stranger(address: IpAddr) -> Self {
        Self { actor: Actor::Stranger, source: Source::of(address) }
    }

    /// The admin command line.
    pub fn operator() -> Self {
        Self { actor: Actor::Operator, source: Source::local() }
    }

    /// The service itself.
    pub fn service() -> Self {
        Self { actor: Actor::Service, source: Source::local() }
    }
}
