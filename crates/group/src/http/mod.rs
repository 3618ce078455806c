//! From a request to an answer: which route it is for, who asks, what goes wrong.
//!
//! How it works: all end points stand in tables of [`Route`]s. One warp filter takes a request apart
//! into an [`Ask`], finds its route, checks that the asker may call it, and calls its handler. A
//! handler returns an answer or a [`Problem`]; each face of the service (API, nodes, pages) says how
//! a problem looks there. The tables are values, so a test compares them with the OpenAPI document.
//!
//! What must hold: who may call a route is said in its table and checked in one place
//! ([`route::Routes`]), before the handler runs. A browser's request that changes something needs
//! the proof of its session there as well.
//!
//! | file | question |
//! |---|---|
//! | `ask` | what was asked |
//! | `json` | what does a body of JSON say, and what is wrong with it |
//! | `route` | which end points are there, and who may call them |
//! | `problem` | what goes wrong, and with which status |
//! | `reply` | how answers are written |
//! | `site` | what do all end points share |

mod ask;
mod json;
mod problem;
mod reply;
mod route;
mod site;
mod trace;

pub use ask::{Ask, CSRF_FIELD, Who, set_cookie};
pub use problem::{ErrorBody, Problem};
pub use reply::{created, empty, json, see_other, text};
pub use route::{Access, Answer, Render, Route, Routes, served};
pub use site::{Readiness, Site, now};
