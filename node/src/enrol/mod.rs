//! How a node gets and keeps its membership by way of a group service.
//!
//! How it works: before the daemon opens anything, [`start`] makes sure that there is a certificate:
//! kept from an earlier run, or asked for. What the service grants is kept in the state directory as
//! one file, and completes the blob; so a restart needs no service. While the daemon runs, [`keeper`]
//! renews in time and waits for revocations, and [`directions`] asks by whom to join while nobody is
//! linked; both hand what they hear to the driver.
//!
//! What must hold: no byte of HTTP, hence no token, goes to a server whose key is not the right one
//! ([`tls`]). What the service says is checked as if a stranger had said it. When to ask is decided
//! by machines without clock and network ([`flow`], [`backoff`]).
//!
//! | file | question |
//! |---|---|
//! | `tls` | is this the right server |
//! | `client` | how does a question get there and the answer back |
//! | `service` | which questions are there |
//! | `trouble` | what does the user read when it does not work |
//! | `flow` | what is asked next, and when |
//! | `backoff` | how long is waited after a failure |
//! | `start` | how does a node become a member |
//! | `keeper` | how does it stay one |
//! | `directions` | by which nodes does it join, as the service says now |
//! | `join` | how does a user get the blob without a browser at hand |

pub mod backoff;
pub mod client;
pub mod directions;
pub mod flow;
pub mod join;
pub mod keeper;
pub mod service;
pub mod start;
pub mod tls;
pub mod trouble;
