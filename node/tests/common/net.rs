//! Members on one network: hosts on a switch, each with a daemon that is started, asked and ended.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use lab::{Host, Lab, Switch, eventually};
pub use lab::{Node, PATIENCE};

use super::{Group, WARREN, fake_clock, text};

/// The UDP port of every node.
pub const PORT: u16 = 7415;

/// A group whose nodes are hosts on one switch.
pub struct Net {
    pub lab: Lab,
    pub lan: Switch,
    pub group: Group,
}

impl Net {
    pub fn new() -> Result<Self> {
        let lab = Lab::new()?;
        Ok(Self { lan: lab.switch()?, lab, group: Group::new() })
    }

    /// A host 192.0.2.`last` with key and certificate; it has no IPv6 underneath.
    pub fn node(&self, name: &str, last: u8, sign_options: &[&str]) -> Result<Node> {
        let host = self.host(name, last)?;
        Ok(Node::new(Path::new(WARREN), host, self.group.member(name, sign_options)))
    }

    /// Like [`Net::node`], with the virtual address 10.42.0.`last` in the certificate.
    pub fn pinned(&self, name: &str, last: u8) -> Result<Node> {
        self.node(name, last, &["--ipv4", &format!("10.42.0.{last}")])
    }

    /// Alice, 10.42.0.2, and Bob, 10.42.0.3, who has joined by her and reaches her.
    pub fn linked_pair(&self) -> Result<(Node, Node)> {
        let (mut alice, mut bob) = (self.pinned("alice", 2)?, self.pinned("bob", 3)?);
        let blob = self.blob(&[2]);
        alice.start("up", &blob)?;
        bob.start("up", &blob)?;
        bob.reach("10.42.0.2")?;
        Ok((alice, bob))
    }

    /// A router, 192.0.2.254 on the LAN and 198.51.100.254 on the switch behind it, with its interface there.
    pub fn router(&self) -> Result<(Host, Switch, String)> {
        let (router, beyond) = (self.lab.router("router")?, self.lab.switch()?);
        router.attach(&self.lan, &["192.0.2.254/24"])?;
        let outside = router.attach(&beyond, &["198.51.100.254/24"])?;
        Ok((router, beyond, outside))
    }

    /// A host 192.0.2.`last` that is not in the group.
    pub fn host(&self, name: &str, last: u8) -> Result<Host> {
        let host = self.lab.host(name)?;
        host.attach(&self.lan, &[&format!("{}/24", underlay(last))])?;
        Ok(host)
    }

    /// Writes the blob, with these hosts 192.0.2.x to join by.
    pub fn blob(&self, bootstrap: &[u8]) -> PathBuf {
        let nodes: Vec<_> = bootstrap.iter().map(|n| format!("{}:{PORT}", underlay(*n))).collect();
        self.group.blob(&nodes.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

/// The address of a host underneath the virtual network.
pub fn underlay(last: u8) -> Ipv4Addr {
    [192, 0, 2, last].into()
}

/// The command that runs a node's daemon with a wall clock that is off by `offset`.
pub fn command_at(node: &Node, offset: &str, verb: &str, blob: &Path) -> Command {
    let mut daemon = node.host.command("env");
    daemon.args(fake_clock(offset)).arg(WARREN).args(node.member.arguments(verb, blob));
    daemon
}

/// Runs a node's daemon, by this blob, that must end by itself; returns exit code and the one line for the user.
pub fn refused(node: &Node, blob: &Path, options: &[&str]) -> Result<(i32, String)> {
    let mut command = node.host.command(WARREN);
    command.args(["bootstrap", "--blob", text(blob), "--metrics", "off"]);
    command.args(["--state-dir", text(&node.member.state)]).args(options);
    let mut daemon = node.host.spawn(command)?;
    let status = daemon.wait_exit(PATIENCE).with_context(|| daemon.log())?;
    let log = daemon.log();
    let told: Vec<_> = log.lines().filter(|line| line.starts_with("warren: ")).collect();
    ensure!(told.len() == 1, "one line for the user: {log}");
    Ok((status.code().context("it was killed")?, told[0].to_owned()))
}

/// Runs a command that must succeed and returns what it printed.
pub fn run(command: &mut Command) -> Result<String> {
    let output = command.output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{command:?}: {errors}{printed}");
    Ok(printed)
}

/// Prints how long something took, for the record.
pub fn took<T>(what: &str, action: impl FnOnce() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    let result = action();
    println!("{what}: {:?}", start.elapsed());
    result
}

/// Waits until none of these nodes has a link with another one.
pub fn cut(nodes: &[&Node], id: &str) -> Result<()> {
    cut_within(PATIENCE, nodes, id)
}

/// The same with a bound.
pub fn cut_within(bound: Duration, nodes: &[&Node], id: &str) -> Result<()> {
    eventually(bound, || {
        for node in nodes {
            ensure!(node.peer(id)?.is_none(), "{} is still linked", node.name());
        }
        Ok(())
    })
}

/// The time of day at which a line was logged first, in seconds.
pub fn logged_at(log: &str, text: &str) -> Result<f64> {
    let line = log.lines().find(|line| line.contains(text)).context("no such line")?;
    let time = line.split('T').nth(1).and_then(|rest| rest.split('Z').next()).context("no time")?;
    let parts: Vec<f64> = time.split(':').map(str::parse).collect::<Result<_, _>>()?;
    Ok(parts.iter().fold(0.0, |sum, part| sum * 60.0 + part))
}
