//! The rules of groups, as pure functions: commands in, events out.
//!
//! How it works: the [service](crate::service) loads what a command may know into a [`Context`],
//! [`decide`] says what follows, and the store writes the events to the audit log and into the
//! tables, in one transaction. Work for the CA key comes out as [`Order`]s.
//!
//! What must hold: a group always has an administrator. Every node belongs to a member whom an
//! administrator, or the policy an administrator has set, let in. A key has one node ID for ever.
//!
//! | file | question |
//! |---|---|
//! | `id`, `actor` | who and which |
//! | `entity` | what a group consists of |
//! | `policy` | what an administrator may set |
//! | `command`, `event` | what can be asked for, and what has happened |
//! | `decide` | joining, roles, leaving, revoking |
//! | `token` | who may hand out and end tokens |
//! | `enrolling` | how a key gets an ID and certificates |
//! | `account` | what holds for accounts and names |
//! | `refusal` | why not |

pub mod account;
mod actor;
mod command;
mod decide;
mod enrolling;
mod entity;
mod event;
mod id;
mod policy;
mod refusal;
pub mod token;

pub use actor::{Actor, Caller, Source};
pub use command::{Command, Context, Decision, Expired, Order, Permit, TokenOptions};
pub use decide::{NOTICES_FOR_MEMBERS, PENDING_MAX, TEXT_CHARS_MAX, decide};
pub use enrolling::{DRAWS_PER_QUOTA, may_have_blob};
pub use entity::{
    Ended, GroupFacts, Issued, Node, NodeCounts, Person, Request, RequestState, Role, Standing,
    Token,
};
pub use event::{Event, Login, SiteEvent, What};
pub use id::{GroupId, Named, RequestId, TokenId, UserId};
pub use policy::{Approval, Policies, PolicyChanges, QUOTA_DEFAULT, QUOTA_MAX};
pub use refusal::Refusal;
