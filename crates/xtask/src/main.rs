//! Tasks of the repository that are more than a line of shell: `cargo xtask <task>`.

mod bench;
mod demo;
mod tidy;

use anyhow::Result;
use clap::Parser;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Tasks of the repository")]
enum Task {
    /// Measure what the daemon costs and carries.
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Build, lay a small network on this machine, and show the VPN at work in it.
    Demo,
    /// Check what compiler and lints do not: file sizes, headers, purity of the core, test table.
    Tidy,
}

fn main() -> Result<()> {
    match Task::parse() {
        Task::Bench(bench) => bench::run(&bench),
        Task::Demo => demo::run(),
        Task::Tidy => tidy::run(),
    }
}
