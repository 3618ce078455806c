//! Small networks on one machine, in which tests and the demo run real daemons.
//!
//! A [`Lab`] makes [`Host`]s, each with its own network namespace, and [`Switch`]es to plug them
//! into. Programs run inside a host as ordinary child processes; sockets and closures can be made
//! there too. Links can be cut, made lossy and listened to, and a host can be a router with one of
//! three kinds of NAT.
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! let lab = lab::Lab::new()?;
//! let lan = lab.switch()?;
//! let alice = lab.host("alice")?;
//! let bob = lab.host("bob")?;
//! alice.attach(&lan, &["10.0.0.1/24", "fd00::1/64"])?;
//! bob.attach(&lan, &["10.0.0.2/24", "fd00::2/64"])?;
//! let mut server = bob.command("iperf3");
//! server.arg("-s");
//! let server = bob.spawn(server)?;
//! assert!(alice.command("iperf3").args(["-c", "10.0.0.2", "-t", "1"]).status()?.success());
//! println!("{}", server.log());
//! # Ok(())
//! # }
//! ```
//!
//! An [`Authority`] and [`Node`]s make a group: the program `warren`, run in the hosts as a user would run it. A
//! [`Service`] is the program `warren-groupd`. A [`Forward`] leads a browser on this machine to it.
//!
//! What always holds:
//! - Namespaces have no name in the file system: each lives as long as a thread of this process
//!   and the programs inside it. Parallel labs cannot collide and nothing can be left behind.
//! - A program started in a host dies with the lab, even when the test process is killed.
//! - Files live in one directory per lab, named by process id, removed on drop; what a killed
//!   process left is removed by the next lab.
//!
//! Needs Linux, the programs `ip`, `nsenter` and `setpriv` (and `nft` for faults and NAT), and
//! either root or a user namespace, see [`in_user_namespace`].

mod authority;
mod capture;
mod daemon;
mod directory;
mod eventually;
mod faults;
mod forward;
mod host;
mod namespace;
mod nat;
mod node;
mod run;
mod service;
mod switch;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use anyhow::Result;

pub use authority::{Authority, Member};
pub use capture::{Capture, Packet};
pub use daemon::Daemon;
pub use directory::remove_directories;
pub use eventually::{eventually, once_within};
pub use forward::Forward;
pub use host::Host;
pub use nat::Nat;
pub use node::{Node, PATIENCE, metric};
pub use service::{Account, Service};
pub use switch::Switch;

use directory::Directory;

/// A set of hosts and switches that share one directory for logs.
///
/// Hosts and switches may outlive the `Lab` value: the directory goes with the last of them.
#[derive(Debug)]
pub struct Lab {
    directory: Arc<Directory>,
}

impl Lab {
    /// Makes an empty lab and removes what labs of dead processes left on disk.
    pub fn new() -> Result<Self> {
        Ok(Self { directory: Arc::new(Directory::create()?) })
    }

    /// Adds a host that has only a loopback interface.
    pub fn host(&self, name: &str) -> Result<Host> {
        Host::new(name, Arc::clone(&self.directory))
    }

    /// Adds a host that forwards packets between its interfaces.
    ///
    /// Attach it to two switches, and give the hosts behind it a route:
    /// `host.ip("route add default via 10.0.0.254")`.
    pub fn router(&self, name: &str) -> Result<Host> {
        let router = self.host(name)?;
        router.forward()?;
        Ok(router)
    }

    /// Adds an Ethernet switch without hosts.
    pub fn switch(&self) -> Result<Switch> {
        Switch::new()
    }

    /// The directory of the lab; daemons' logs are in it and tests may put their files there.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }
}

/// A command that runs `program` in a new user namespace in which a lab can be made without root.
///
/// The whole process that uses the lab has to be started so, because a process with threads cannot
/// move into a user namespace: `unshare --user --map-root-user cargo test -p warren-lab`.
pub fn in_user_namespace(program: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--", program]);
    command
}
