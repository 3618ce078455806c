//! Which thing is meant: numbers of users, groups, requests and tokens, each a type of its own.
//!
//! Users and groups are numbered over the whole site. Requests, tokens and nodes are numbered
//! within their group, so that two groups never wait for each other.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Defines a number that cannot be taken for another.
macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident,)+) => {$(
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
            utoipa::ToSchema,
        )]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl From<i64> for $name {
            fn from(number: i64) -> Self {
                Self(number)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIntError;

            fn from_str(text: &str) -> Result<Self, ParseIntError> {
                text.parse().map(Self)
            }
        }
    )+};
}

ids! {
    /// A person with an account.
    UserId,
    /// A group; its name may be used again after it was deleted, its number is not.
    GroupId,
    /// A request to join, within its group.
    RequestId,
    /// A token, within its group.
    TokenId,
}

/// A user as the audit log and the pages show it: names do not change and are not used again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Named {
    /// The account.
    pub id: UserId,
    /// Its name.
    pub name: String,
}
