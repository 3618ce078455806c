//! The service as a real process, over TLS.

mod client;
mod daemons;
mod double;
mod fuzz;
mod large;
mod newcomer;
mod nodes;
mod people;
mod provider;
mod server;
