//! Members on one network: hosts on a switch, each with a daemon that is started, asked and ended.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use lab::{Daemon, Host, Lab, Switch, eventually};
use serde_json::Value;

use super::{Group, Member, WARREN, fake_clock, text};

/// How long anything may take on a machine that runs many tests at a time.
pub const PATIENCE: Duration = Duration::from_secs(20);
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
        Ok(Node { host, member: self.group.member(name, sign_options), daemon: None })
    }

    /// Like [`Net::node`], with the virtual address 10.42.0.`last` in the certificate.
    pub fn pinned(&self, name: &str, last: u8) -> Result<Node> {
        self.node(name, last, &["--ipv4", &format!("10.42.0.{last}")])
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

/// A host with what a member needs, and its daemon while that runs.
pub struct Node {
    pub host: Host,
    pub member: Member,
    pub daemon: Option<Daemon>,
}

impl Node {
    fn arguments(&self, command: &str, blob: &Path) -> [String; 7] {
        let Member { state, certificate, .. } = &self.member;
        let (state, certificate) = (text(state), text(certificate));
        [command, "--blob", text(blob), "--state-dir", state, "--certificate", certificate]
            .map(str::to_owned)
    }

    /// The command that runs the daemon.
    pub fn command(&self, command: &str, blob: &Path, options: &[&str]) -> Command {
        let mut daemon = self.host.command(WARREN);
        daemon.args(self.arguments(command, blob)).args(options);
        daemon
    }

    /// The same with a wall clock that is off by `offset`.
    pub fn command_at(&self, offset: &str, command: &str, blob: &Path) -> Command {
        let mut daemon = self.host.command("env");
        daemon.args(fake_clock(offset)).arg(WARREN);
        daemon.args(self.arguments(command, blob));
        daemon
    }

    /// Starts the daemon as `up` or `bootstrap`.
    pub fn start(&mut self, command: &str, blob: &Path) -> Result<()> {
        self.start_with(command, blob, &[])
    }

    pub fn start_with(&mut self, command: &str, blob: &Path, options: &[&str]) -> Result<()> {
        let daemon = self.host.spawn(self.command(command, blob, options))?;
        daemon.wait_for_log("started", PATIENCE)?;
        self.daemon = Some(daemon);
        Ok(())
    }

    /// Ends the daemon as a service manager does, and demands that it ends well.
    pub fn stop(&mut self) -> Result<()> {
        let mut daemon = self.daemon.take().context("no daemon runs")?;
        daemon.terminate()?;
        let status = daemon.wait_exit(PATIENCE)?;
        ensure!(status.success(), "{status}: {}", daemon.log());
        Ok(())
    }

    /// Ends the daemon as a crash does.
    pub fn kill(&mut self) -> Result<()> {
        let mut daemon = self.daemon.take().context("no daemon runs")?;
        daemon.kill()?;
        daemon.wait_exit(PATIENCE)?;
        Ok(())
    }

    pub fn log(&self) -> String {
        self.daemon.as_ref().map(Daemon::log).unwrap_or_default()
    }

    /// Waits until the daemon's log contains a text.
    pub fn wait_for_log(&self, text: &str) -> Result<()> {
        self.daemon
            .as_ref()
            .context("no daemon runs")?
            .wait_for_log(text, PATIENCE)
            .with_context(|| self.log())
    }

    /// Asks the daemon and returns its JSON answer.
    pub fn ask(&self, question: &[&str]) -> Result<Value> {
        let mut command = self.host.command(WARREN);
        command.args(question).args(["--json", "--state-dir", text(&self.member.state)]);
        let output = command.output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// A text of the daemon's status.
    pub fn status(&self, key: &str) -> Result<String> {
        let status = self.ask(&["status"])?;
        status[key].as_str().map(str::to_owned).ok_or_else(|| anyhow!("no {key}: {status}"))
    }

    pub fn id(&self) -> Result<String> {
        self.status("node_id")
    }

    /// The virtual IPv4 address, once there is one.
    pub fn ipv4(&self) -> Result<String> {
        eventually(PATIENCE, || self.status("ipv4")).with_context(|| self.log())
    }

    pub fn ipv6(&self) -> Result<String> {
        self.status("ipv6")
    }

    /// Waits for a place in the ring.
    pub fn wait_joined(&self) -> Result<()> {
        eventually(PATIENCE, || {
            ensure!(
                self.ask(&["status"])?["joined"] == true,
                "{} has not joined",
                self.host.name()
            );
            Ok(())
        })
        .with_context(|| self.log())
    }

    /// The sessions: IDs and ages in seconds.
    pub fn peers(&self) -> Result<Vec<Value>> {
        Ok(self.ask(&["peers"])?.as_array().context("a list of peers")?.clone())
    }

    /// The session with a node, if there is one.
    pub fn peer(&self, id: &str) -> Result<Option<Value>> {
        Ok(self.peers()?.into_iter().find(|peer| peer["node_id"] == id))
    }

    /// One ping that is answered within a second.
    pub fn ping(&self, address: &str) -> Result<()> {
        let ping = self.host.command("ping").args(["-c", "1", "-W", "1", address]).output()?;
        ensure!(ping.status.success(), "{}", String::from_utf8_lossy(&ping.stdout));
        Ok(())
    }

    /// Waits until an address answers.
    pub fn reach(&self, address: &str) -> Result<()> {
        eventually(PATIENCE, || self.ping(address)).with_context(|| self.log())
    }

    /// A counter or gauge by its name, with labels if it has any.
    pub fn metric(&self, name: &str) -> Result<f64> {
        let url = "http://127.0.0.1:9415/metrics";
        let text = run(self.host.command("curl").args(["-s", "-f", url]))?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.with_context(|| format!("no metric {name}"))?.parse().context("a number")
    }

    /// Packets that the daemon gave to the virtual device, as the kernel counts them.
    pub fn packets_written(&self) -> Result<u64> {
        let text = run(self.host.command("cat").arg("/proc/net/dev"))?;
        let line = text.lines().find_map(|line| line.trim().strip_prefix("warren0:"));
        let packets = line.and_then(|line| line.split_whitespace().nth(1));
        packets.context("no device warren0")?.parse().context("a number")
    }

    /// Packets that went no further for a reason.
    pub fn drops(&self, reason: &str) -> Result<f64> {
        self.metric(&format!("warren_packet_drops_total{{reason=\"{reason}\"}}"))
    }
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
