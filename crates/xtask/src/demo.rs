//! `make demo`: a whole network on this machine, shown at work.
//!
//! Lays two networks joined by a router in namespaces, makes a group with the offline
//! authority, starts two bootstrap nodes and five members, and then does what a user would: looks at the
//! table, pings every pair, downloads a file, loses a node, and looks again. Ends with the status of its
//! checks; at a terminal it first waits, so that one can look further.

mod group;
mod screen;
mod show;

use anyhow::{Context, Result};
use group::Group;
use nix::sys::signal::{SigSet, Signal};
use screen::Screen;
use std::fs::File;
use std::io::{IsTerminal, Read};
use std::time::Instant;

/// Runs the demo.
pub fn run() -> Result<()> {
    check_device()?;
    leave_on_signal()?;
    let began = Instant::now();
    let mut screen = Screen::new();
    screen.title("A group of two bootstrap nodes and five members, in namespaces of this machine");
    let mut group = Group::start()?;
    let mut failed = 0;
    for step in [show::join, show::ping_every_pair, show::download, show::lose_a_node] {
        if let Err(error) = step(&mut group, &mut screen) {
            failed += 1;
            screen.failed(&error);
        }
    }
    screen.title(&format!("Done in {:.1} s", began.elapsed().as_secs_f64()));
    if std::io::stdin().is_terminal() {
        show::how_to_look_further(&group, &screen);
        let _ = std::io::stdin().read(&mut [0]);
    }
    drop(group);
    println!("{} of 4 checks passed: join, ping, download, loss of a node", 4 - failed);
    println!(
        "Next: `make demo` at a terminal keeps the network up to look at; README.md makes a group"
    );
    if failed > 0 {
        std::process::exit(1);
    }
    Ok(())
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
            eprintln!("\nstopped");
            lab::remove_directories();
            std::process::exit(130);
        }
    });
    Ok(())
}
