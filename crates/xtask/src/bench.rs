//! `cargo xtask bench`: what the daemon costs and carries, measured in namespaces of this machine.
//!
//! | file | question |
//! |---|---|
//! | `throughput` | what does a TCP stream reach, beside the same link without VPN |
//! | `idle` | what does a settled member send, receive and hold while nobody uses it |
//! | `enrolment` | how fast does the group service enrol nodes |
//! | `group` | how is a group of many daemons made |
//! | `traffic`, `memory`, `iperf` | how is each thing measured |
//! | `record` | where was it measured, and what was it the last time |
//!
//! Machines differ and are shared, so every figure that is judged is a ratio of two that were taken in turns,
//! or does not depend on the speed of the machine. Results go to files that the next run is compared with.

mod enrolment;
mod group;
mod idle;
mod iperf;
mod memory;
mod record;
mod throughput;
mod traffic;

use anyhow::Result;
use clap::Subcommand;

#[derive(Subcommand)]
pub enum Bench {
    /// TCP through the VPN beside the same link without it, IPv4 and IPv6, and ping.
    Throughput(throughput::Options),
    /// Traffic by cause, degree and memory of members that nobody uses.
    Idle(idle::Options),
    /// Enrolments at the group service with SQLite: how many a second, and how long each takes.
    Group,
}

/// Runs one benchmark.
pub fn run(bench: &Bench) -> Result<()> {
    match bench {
        Bench::Throughput(options) => throughput::run(options),
        Bench::Idle(options) => idle::run(options),
        Bench::Group => enrolment::run(),
    }
}
