//! A group of any number of members, each a process in a namespace of its own.
//!
//! All have a TUN device and join by the first two. The network below the VPN is IPv4 only, so that every
//! datagram has the same headers.

use anyhow::{Context, Result, bail, ensure};
use lab::{Daemon, Host, Lab, Switch};
use serde_json::Value;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// UDP port of the daemons.
pub const PORT: u16 = 7415;
/// Members that everybody joins by.
const BOOTSTRAPS: usize = 2;
const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 254);
/// Members for whom the network below has addresses.
const MEMBERS_MAX: usize = 250;

/// The network below the VPN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Below {
    /// Members reach each other over one switch.
    Switch,
    /// Members reach each other over a router. The kernel keeps one table of neighbours for all namespaces
    /// of the machine, 1,024 by default: too few for a hundred members that all know twenty others.
    Router,
}

/// A member: a host with a daemon.
pub struct Member {
    pub host: Host,
    /// Its address below the VPN.
    pub address: Ipv4Addr,
    pub daemon: Option<Daemon>,
    state: PathBuf,
}

/// The members and the network below the VPN.
pub struct Group {
    pub members: Vec<Member>,
    warren: PathBuf,
    lab: Lab,
    _network: (Switch, Option<Host>),
}

impl Group {
    /// Lays the network and certifies the members. No daemon runs yet.
    pub fn new(size: usize, below: Below, mtu: u16) -> Result<Group> {
        ensure!((2..=MEMBERS_MAX).contains(&size), "a group has 2 to {MEMBERS_MAX} members here");
        let warren = binary()?;
        let lab = Lab::new()?;
        let switch = lab.switch()?;
        let router = (below == Below::Router).then(|| router(&lab, &switch)).transpose()?;
        let mut members = Vec::new();
        for n in 0..size {
            let host = lab.host(&format!("m{n}"))?;
            let address = Ipv4Addr::new(10, 0, 0, u8::try_from(n + 1)?);
            match below {
                Below::Switch => host.attach(&switch, &[&format!("{address}/24")])?,
                Below::Router => host.attach(&switch, &[&format!("{address}/32")])?,
            };
            if below == Below::Router {
                host.ip(&format!("route add {ROUTER} dev eth0"))?;
                host.ip(&format!("route add default via {ROUTER}"))?;
            }
            let state = lab.directory().join(host.name());
            members.push(Member { host, address, daemon: None, state });
        }
        let group = Group { members, warren, lab, _network: (switch, router) };
        group.certify(mtu)?;
        Ok(group)
    }

    /// Starts the daemon of a member.
    pub fn start(&mut self, n: usize) -> Result<()> {
        let blob = self.blob();
        let member = &mut self.members[n];
        let mut command = member.host.command(&self.warren);
        command.args(["up", "--log", "warn", "--blob"]).arg(blob);
        command.arg("--state-dir").arg(&member.state);
        command.arg("--certificate").arg(member.state.join("given.pem"));
        member.daemon = Some(member.host.spawn(command)?);
        Ok(())
    }

    /// The daemon's answer to `warren status`.
    pub fn status(&self, n: usize) -> Result<Value> {
        let member = &self.members[n];
        let mut command = member.host.command(&self.warren);
        command.args(["status", "--json", "--state-dir"]).arg(&member.state);
        let output = command.output()?;
        if !output.status.success() {
            let error = String::from_utf8_lossy(&output.stderr);
            bail!("{}: {}", member.host.name(), error.trim());
        }
        serde_json::from_slice(&output.stdout).context("the daemon's answer is not JSON")
    }

    /// Makes the authority, a certificate for each member, and the blob.
    fn certify(&self, mtu: u16) -> Result<()> {
        let directory = text(&self.lab.directory().join("ca"));
        let mtu = mtu.to_string();
        self.offline(&["ca", "init", "--dir", &directory, "--group", "bench", "--mtu", &mtu])?;
        for member in &self.members {
            let state = text(&member.state);
            let request = text(&member.state.with_extension("csr"));
            let certificate = text(&member.state.join("given.pem"));
            self.offline(&["request", "--state-dir", &state, "--out", &request])?;
            let sign = ["ca", "sign", "--dir", &directory, &request, "--user", member.host.name()];
            self.offline(&[&sign[..], &["--out", &certificate]].concat())?;
        }
        let bootstraps: Vec<String> = self.members[..BOOTSTRAPS]
            .iter()
            .map(|member| format!("--bootstrap={}:{PORT}", member.address))
            .collect();
        let mut arguments = vec!["ca", "blob", "--dir", &directory];
        arguments.extend(bootstraps.iter().map(String::as_str));
        let blob = text(&self.blob());
        arguments.extend(["--out", &blob]);
        self.offline(&arguments)
    }

    fn blob(&self) -> PathBuf {
        self.lab.directory().join("bench.yaml")
    }

    fn offline(&self, arguments: &[&str]) -> Result<()> {
        let output = Command::new(&self.warren).args(arguments).output()?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "warren {}: {error}", arguments.join(" "));
        Ok(())
    }
}

/// A router that keeps quiet about the shorter way that hosts of one switch have.
fn router(lab: &Lab, switch: &Switch) -> Result<Host> {
    let router = lab.router("router")?;
    router.run(|| std::fs::write("/proc/sys/net/ipv4/conf/all/send_redirects", "0"))??;
    router.run(|| std::fs::write("/proc/sys/net/ipv4/conf/default/send_redirects", "0"))??;
    router.attach(switch, &[&format!("{ROUTER}/24")])?;
    Ok(router)
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// The daemon as it is released, built into the same target directory as this program.
fn binary() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let target = own.ancestors().nth(2).context("this program is in no target directory")?;
    let path = target.join("release/warren");
    ensure!(
        path.exists(),
        "{} is missing: run `cargo build --release -p warren-node`",
        path.display()
    );
    Ok(path)
}
