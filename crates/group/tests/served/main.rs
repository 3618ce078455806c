//! The service as a real process, over TLS.

mod client;
mod nodes;
mod people;
mod provider;
mod server;
