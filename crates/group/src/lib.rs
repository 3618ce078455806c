//! The group service: accounts, approval, certificates, revocation (paper section 4.1).
//!
//! How it works: [`Service`](service::Service) is the one door. API, pages and command line call
//! it with a [`Caller`](model::Caller) and the time; it loads what the command may know, lets the
//! pure [`model`] decide and the pure [`authority`] sign, and stores events and changes in one
//! transaction. [`view`] is what it shows.
//!
//! What must hold: what was acknowledged is on disk. CA keys and group secrets are in the database
//! only sealed ([`seal`]). Nothing here reads a clock but [`http::now`].
//!
//! | module | question |
//! |---|---|
//! | `model` | which rules hold |
//! | `authority` | what does the CA key sign |
//! | `store` | where is it kept |
//! | `service` | how are commands carried out |
//! | `view` | what is shown |
//! | `seal`, `password` | how are secrets kept |
//! | `serve` | how do requests come in |
//! | `http` | which route is a request for, and who asks |
//! | `session` | who is logged in, and who tries to |
//! | `oidc` | how does an OpenID provider vouch for somebody |
//! | `api` | what do people's programs ask |
//! | `web` | how does it look in a browser |
//! | `enrol` | what do nodes ask |
//! | `daemon` | how do members hear of a revocation |
//! | `run` | how do these come together |
//! | `config` | which settings are there |
//! | `admin` | what can whoever has the machine do |

pub mod admin;
pub mod api;
pub mod authority;
pub mod config;
pub mod daemon;
pub mod enrol;
pub mod error;
pub mod http;
pub mod model;
pub mod oidc;
pub mod password;
pub mod run;
pub mod seal;
pub mod serve;
pub mod service;
pub mod session;
pub mod store;
pub mod view;
pub mod web;
