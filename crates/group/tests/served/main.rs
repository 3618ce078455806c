//! The service as a real process, over TLS.

mod client;
mod fuzz;
mod nodes;
mod people;
mod provider;
mod server;
