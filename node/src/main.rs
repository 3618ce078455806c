//! `warren`: the daemon and command line that drive the core.
#![allow(dead_code)]
mod ca;
mod cli;
mod clock;
mod config;
mod device;
mod endpoints;
mod failure;
mod log;
mod request;
mod state;
fn main() {}
