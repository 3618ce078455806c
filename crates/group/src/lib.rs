//! The group service: accounts, approval, certificates, revocation (paper section 4.1).
//!
//! How it works: [`Service`](service::Service) is the one door. API, pages and command line call
//! it with a [`Caller`](model::Caller) and the time; it loads what the command may know, lets the
//! pure [`model`] decide and the pure [`authority`] sign, and stores events and changes in one
//! transaction. [`view`] is what it shows.
//!
//! What must hold: what was acknowledged is on disk. CA keys and group secrets are in the database
//! only sealed ([`seal`]). Nothing here reads a clock but `main`.
//!
//! | module | question |
//! |---|---|
//! | `model` | which rules hold |
//! | `authority` | what does the CA key sign |
//! | `store` | where is it kept |
//! | `service` | how do these come together |
//! | `view` | what is shown |
//! | `seal`, `password` | how are secrets kept |
//! | `config` | which settings are there |
//! | `admin` | what can whoever has the machine do |

pub mod admin;
pub mod authority;
pub mod config;
pub mod error;
pub mod model;
pub mod password;
pub mod seal;
pub mod service;
pub mod store;
pub mod view;
