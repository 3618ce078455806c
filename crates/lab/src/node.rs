//! A node of a group: a host, the files of a member, and the daemon `warren` while it runs.
//!
//! A node is started, asked in JSON and ended as a user or a service manager would do it. How it came by its
//! identity does not matter here: [`crate::Authority`] is one way, and further arguments of the daemon another.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use serde_json::Value;

use crate::authority::Member;
use crate::daemon::Daemon;
use crate::eventually::eventually;
use crate::host::Host;

/// How long anything may take on a machine that runs many tests at a time.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// Where the daemon shows its metrics.
const METRICS: &str = "http://127.0.0.1:9415/metrics";

/// A host with what a member needs, and its daemon while that runs.
#[derive(Debug)]
pub struct Node {
    /// The host; the network below the VPN is attached to it.
    pub host: Host,
    /// Its files.
    pub member: Member,
    /// The daemon, while it runs.
    pub daemon: Option<Daemon>,
    warren: PathBuf,
}

impl Node {
    /// A node on which no daemon runs yet; `warren` is the program.
    pub fn new(warren: &Path, host: Host, member: Member) -> Self {
        Self { host, member, daemon: None, warren: warren.to_owned() }
    }

    /// The name of its host.
    pub fn name(&self) -> &str {
        self.host.name()
    }

    /// The command that runs the daemon: `verb` is `up` or `bootstrap`.
    pub fn command(&self, verb: &str, blob: &Path, options: &[&str]) -> Command {
        let mut daemon = self.host.command(&self.warren);
        daemon.args(self.member.arguments(verb, blob)).args(options);
        daemon
    }

    /// Starts the daemon and does not wait for it.
    pub fn launch(&mut self, verb: &str, blob: &Path, options: &[&str]) -> Result<()> {
        self.daemon = Some(self.host.spawn(self.command(verb, blob, options))?);
        Ok(())
    }

    /// Starts a daemon that has nothing but the blob of a group service, and does not wait for it.
    pub fn launch_enrolling(&mut self, verb: &str, blob: &Path, options: &[&str]) -> Result<()> {
        let mut daemon = self.host.command(&self.warren);
        daemon.arg(verb).arg("--blob").arg(blob).arg("--state-dir").arg(&self.member.state);
        daemon.args(options);
        self.daemon = Some(self.host.spawn(daemon)?);
        Ok(())
    }

    /// Starts the daemon and waits until it says so.
    pub fn start_with(&mut self, verb: &str, blob: &Path, options: &[&str]) -> Result<()> {
        self.launch(verb, blob, options)?;
        self.wait_for_log("started")
    }

    /// The same without options.
    pub fn start(&mut self, verb: &str, blob: &Path) -> Result<()> {
        self.start_with(verb, blob, &[])
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

    /// What the daemon has logged.
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

    /// A command that asks the daemon.
    pub fn question(&self, words: &[&str]) -> Command {
        let mut command = self.host.command(&self.warren);
        command.args(words).arg("--state-dir").arg(&self.member.state);
        command
    }

    /// The same for a person who types it.
    pub fn by_hand(&self, words: &str) -> String {
        let (enter, warren) = (self.host.enter_command(), self.warren.display());
        format!("{enter} {warren} {words} --state-dir {}", self.member.state.display())
    }

    /// Asks the daemon and returns its JSON answer.
    pub fn ask(&self, words: &[&str]) -> Result<Value> {
        let output = self.question(words).arg("--json").output()?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{}: {}", self.name(), error.trim());
        serde_json::from_slice(&output.stdout).context("the daemon's answer is not JSON")
    }

    /// A text of the daemon's status.
    pub fn status(&self, key: &str) -> Result<String> {
        let status = self.ask(&["status"])?;
        status[key].as_str().map(str::to_owned).ok_or_else(|| anyhow!("no {key}: {status}"))
    }

    /// The node ID.
    pub fn id(&self) -> Result<String> {
        self.status("node_id")
    }

    /// The virtual IPv4 address, once there is one.
    pub fn ipv4(&self) -> Result<String> {
        eventually(PATIENCE, || self.status("ipv4")).with_context(|| self.log())
    }

    /// The virtual IPv6 address.
    pub fn ipv6(&self) -> Result<String> {
        self.status("ipv6")
    }

    /// Waits for a place in the ring.
    pub fn wait_joined(&self) -> Result<()> {
        eventually(PATIENCE, || {
            ensure!(self.ask(&["status"])?["joined"] == true, "{} has not joined", self.name());
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

    /// One ping that is answered within a second: on a busy machine it may not be, see [`Node::reach`].
    pub fn ping(&self, address: &str) -> Result<()> {
        let ping = self.host.command("ping").args(["-c", "1", "-W", "1", address]).output()?;
        ensure!(ping.status.success(), "{}", String::from_utf8_lossy(&ping.stdout));
        Ok(())
    }

    /// Waits until an address answers.
    pub fn reach(&self, address: &str) -> Result<()> {
        eventually(PATIENCE, || self.ping(address)).with_context(|| self.log())
    }

    /// The page of metrics.
    pub fn metrics(&self) -> Result<String> {
        let output = self.host.command("curl").args(["-s", "-f", METRICS]).output()?;
        ensure!(output.status.success(), "{}: no metrics: {}", self.name(), output.status);
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// A counter or gauge by its name, with labels if it has any.
    pub fn metric(&self, name: &str) -> Result<f64> {
        metric(&self.metrics()?, name)
    }

    /// Packets that went no further for a reason.
    pub fn drops(&self, reason: &str) -> Result<f64> {
        self.metric(&format!("warren_packet_drops_total{{reason=\"{reason}\"}}"))
    }

    /// Packets that the daemon gave to the virtual device, as the kernel counts them.
    pub fn packets_written(&self) -> Result<u64> {
        let output = self.host.command("cat").arg("/proc/net/dev").output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().find_map(|line| line.trim().strip_prefix("warren0:"));
        let packets = line.and_then(|line| line.split_whitespace().nth(1));
        packets.context("no device warren0")?.parse().context("a number")
    }
}

/// A counter or gauge on a page of metrics, by its name, with labels if it has any.
pub fn metric(page: &str, name: &str) -> Result<f64> {
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.with_context(|| format!("no metric {name}"))?.parse().context("a number")
}
