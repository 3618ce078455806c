//! The group of the demo: its network, its authority, and its daemons.

use anyhow::{Context, Result, bail, ensure};
use lab::{Daemon, Host, Lab, Switch};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Names of the members; the first two nodes are for joining by.
const NODES: [&str; 7] = ["boot1", "boot2", "ana", "ben", "cleo", "dan", "eva"];
/// How many of them have no virtual network.
const BOOTSTRAPS: usize = 2;
const PORT: u16 = 7415;

/// A node: a host with a daemon.
pub struct Node {
    pub name: &'static str,
    pub host: Host,
    pub daemon: Option<Daemon>,
    state: PathBuf,
}

/// Everything of the demo.
pub struct Group {
    pub nodes: Vec<Node>,
    warren: PathBuf,
    _network: (Lab, Host, [Switch; 2]),
}

impl Group {
    /// Lays the network, makes the group and starts all daemons.
    pub fn start() -> Result<Group> {
        let warren = binary()?;
        let lab = Lab::new()?;
        let router = lab.router("router")?;
        let sites = [lab.switch()?, lab.switch()?];
        for (n, site) in sites.iter().enumerate() {
            router.attach(site, &[&format!("10.0.{n}.254/24"), &format!("fd00:{n}::fe/64")])?;
        }
        let mut nodes = Vec::new();
        for (n, name) in NODES.into_iter().enumerate() {
            let (site, last) = (n % 2, n + 1);
            let host = lab.host(name)?;
            let (ipv4, ipv6) =
                (format!("10.0.{site}.{last}/24"), format!("fd00:{site}::{last}/64"));
            host.attach(&sites[site], &[&ipv4, &ipv6])?;
            host.ip(&format!("route add default via 10.0.{site}.254"))?;
            let state = lab.directory().join(name);
            nodes.push(Node { name, host, daemon: None, state });
        }
        let directory = lab.directory().to_owned();
        let mut group = Group { nodes, warren, _network: (lab, router, sites) };
        group.certify(&directory)?;
        for n in 0..group.nodes.len() {
            group.start_node(n)?;
        }
        Ok(group)
    }

    /// Makes the authority, a certificate for each node, and the blob.
    fn certify(&self, directory: &Path) -> Result<()> {
        let (ca, blob) = (directory.join("ca"), blob_in(directory));
        let path = |path: &Path| path.to_string_lossy().into_owned();
        self.offline(&["ca", "init", "--dir", &path(&ca), "--group", "demo"])?;
        for node in &self.nodes {
            let request = directory.join(format!("{}.csr", node.name));
            let (state, request) = (path(&node.state), path(&request));
            let certificate = path(&node.state.join("given.pem"));
            self.offline(&["request", "--state-dir", &state, "--out", &request])?;
            self.offline(&[
                "ca",
                "sign",
                "--dir",
                &path(&ca),
                &request,
                "--user",
                node.name,
                "--out",
                &certificate,
            ])?;
        }
        let endpoint = |n: usize| format!("10.0.{}.{}:{PORT}", n % 2, n + 1);
        let (first, second, blob) = (endpoint(0), endpoint(1), path(&blob));
        self.offline(&[
            "ca",
            "blob",
            "--dir",
            &path(&ca),
            "--bootstrap",
            &first,
            "--bootstrap",
            &second,
            "--out",
            &blob,
        ])
    }

    fn offline(&self, arguments: &[&str]) -> Result<()> {
        let output = Command::new(&self.warren).args(arguments).output()?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "warren {}: {error}", arguments.join(" "));
        Ok(())
    }

    /// Starts the daemon of a node.
    pub fn start_node(&mut self, n: usize) -> Result<()> {
        let directory = self._network.0.directory().to_owned();
        let node = &mut self.nodes[n];
        let mut command = node.host.command(&self.warren);
        command.arg(if n < BOOTSTRAPS { "bootstrap" } else { "up" });
        command.arg("--blob").arg(blob_in(&directory));
        command.arg("--state-dir").arg(&node.state);
        command.arg("--certificate").arg(node.state.join("given.pem"));
        node.daemon = Some(node.host.spawn(command)?);
        Ok(())
    }

    /// The nodes with a virtual network whose daemon runs.
    pub fn members(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().skip(BOOTSTRAPS).filter(|node| node.daemon.is_some())
    }

    /// Asks a node's daemon and returns its JSON answer.
    pub fn ask(&self, node: &Node, question: &[&str]) -> Result<Value> {
        let mut command = node.host.command(&self.warren);
        command.args(question).arg("--json").arg("--state-dir").arg(&node.state);
        let output = command.output()?;
        if !output.status.success() {
            bail!("{}: {}", node.name, String::from_utf8_lossy(&output.stderr).trim());
        }
        serde_json::from_slice(&output.stdout).context("the daemon's answer is not JSON")
    }

    /// How to run a command of the daemon at a node by hand.
    pub fn by_hand(&self, node: &Node, question: &str) -> String {
        let (enter, warren) = (node.host.enter_command(), self.warren.display());
        format!("{enter} {warren} {question} --state-dir {}", node.state.display())
    }
}

fn blob_in(directory: &Path) -> PathBuf {
    directory.join("demo.yaml")
}

/// The daemon, built beside this program.
fn binary() -> Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name("warren");
    ensure!(path.exists(), "{} is missing: run `cargo build -p warren-node`", path.display());
    Ok(path)
}
