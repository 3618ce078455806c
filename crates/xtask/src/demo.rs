//! `make demo`: a site with a group service and seven machines, in namespaces of this one, shown at work.
//!
//! Lays two networks joined by a router, starts `warren-groupd`, and then does what people would: makes accounts and a
//! group, asks to join and approves, starts nodes with nothing but the blob, looks at the table, pings every pair,
//! downloads a file, loses a node, and revokes a member. Ends with the status of its checks; at a terminal it first
//! waits, so that one can look further, also at the pages of the service with the browser of this machine.
//!
//! | file | question |
//! |---|---|
//! | `group` | what is there: network, service, accounts, nodes |
//! | `show` | what is shown, step by step, and checked |
//! | `revoke` | how long is a member accepted that was revoked |
//! | `table` | who is there, as a table |
//! | `ask` | what does a daemon say |
//! | `screen` | how is it printed |
//! | `key` | when may it end |

mod ask;
mod group;
mod key;
mod revoke;
mod screen;
mod show;
mod table;

use anyhow::{Context, Result};
use group::Group;
use nix::sys::signal::{SigSet, Signal};
use screen::Screen;
use std::fs::File;
use std::io::IsTerminal;
use std::time::Instant;

/// A part of the demo: its name in the summary, and what it does.
type Step = (&'static str, fn(&mut Group, &mut Screen) -> Result<()>);

/// All parts after the service is there, in order.
const STEPS: [Step; 6] = [
    ("accounts", show::accounts),
    ("join", show::join),
    ("ping", show::ping_every_pair),
    ("download", show::download),
    ("loss of a node", show::lose_a_node),
    ("revocation", revoke::revoke_a_member),
];

/// Runs the demo.
pub fn run() -> Result<()> {
    check_device()?;
    leave_on_signal()?;
    let began = Instant::now();
    let mut screen = Screen::new();
    screen.title(
        "A group service, two bootstrap nodes and five members, in namespaces of this machine",
    );
    let mut group = Group::start()?;
    let (seconds, place) = (began.elapsed().as_secs_f64(), group.service.url());
    screen.passed(&format!("network laid, warren-groupd serves {place} after {seconds:.1} s"));
    let mut failed = Vec::new();
    for (name, step) in STEPS {
        if let Err(error) = step(&mut group, &mut screen) {
            failed.push(name);
            screen.failed(&error);
        }
    }
    screen.title(&format!("Done in {:.1} s", began.elapsed().as_secs_f64()));
    summarize(&failed);
    if is_watched() {
        show::how_to_look_further(&group);
        key::wait(std::io::stdin()).context("cannot wait for a key")?;
    }
    drop(group);
    if !failed.is_empty() {
        std::process::exit(1);
    }
    Ok(())
}

/// Whether somebody sits before it, for whom the site stays up after the checks.
fn is_watched() -> bool {
    std::io::stdin().is_terminal()
}

/// Tells how the checks came out.
fn summarize(failed: &[&str]) {
    let names: Vec<_> = STEPS.iter().map(|(name, _)| *name).collect();
    let (all, passed) = (STEPS.len(), STEPS.len() - failed.len());
    println!("{passed} of {all} checks passed: {}", names.join(", "));
    if !failed.is_empty() {
        eprintln!("failed: {}", failed.join(", "));
    }
    if !is_watched() {
        println!(
            "Next: `make demo` at a terminal keeps the site up to look at; README.md makes a group"
        );
    }
}

/// Members that cannot make their device would only be waited for.
fn check_device() -> Result<()> {
    const DEVICE: &str = "/dev/net/tun";
    let opened = File::options().read(true).write(true).open(DEVICE);
    opened
        .map(drop)
        .with_context(|| format!("cannot open {DEVICE}: run as root, or `chmod 0666 {DEVICE}`"))
}

/// Ctrl-C or a closed terminal ends the demo; daemons die with it, and namespaces with them.
fn leave_on_signal() -> Result<()> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    signals.add(Signal::SIGHUP);
    signals.thread_block()?;
    std::thread::spawn(move || {
        if signals.wait().is_ok() {
            key::restore();
            eprintln!("\nstopped");
            lab::remove_directories();
            std::process::exit(130);
        }
    });
    Ok(())
}
