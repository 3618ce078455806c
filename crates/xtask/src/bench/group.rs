//! A group of any number of members, each a process in a namespace of its own.
//!
//! All have a TUN device and join by the first two. The network below the VPN is IPv4 only, so that every
//! datagram has the same headers.

use anyhow::{Context, Result, ensure};
pub use lab::Node as Member;
use lab::{Authority, Host, Lab, Switch};
use std::net::Ipv4Addr;
use std::path::PathBuf;

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

/// The members and the network below the VPN.
pub struct Group {
    pub members: Vec<Member>,
    blob: PathBuf,
    _network: (Lab, Switch, Option<Host>),
}

impl Group {
    /// Lays the network and certifies the members. No daemon runs yet.
    pub fn new(size: usize, below: Below, mtu: u16) -> Result<Group> {
        ensure!((2..=MEMBERS_MAX).contains(&size), "a group has 2 to {MEMBERS_MAX} members here");
        let warren = binary()?;
        let lab = Lab::new()?;
        let options = ["--mtu", &mtu.to_string()];
        let authority = Authority::create(&warren, lab.directory(), "bench", &options)?;
        let switch = lab.switch()?;
        let router = (below == Below::Router).then(|| router(&lab, &switch)).transpose()?;
        let mut members = Vec::new();
        for n in 0..size {
            let name = format!("m{n}");
            let host = lab.host(&name)?;
            let address = address(n);
            match below {
                Below::Switch => host.attach(&switch, &[&format!("{address}/24")])?,
                Below::Router => host.attach(&switch, &[&format!("{address}/32")])?,
            };
            if below == Below::Router {
                host.ip(&format!("route add {ROUTER} dev eth0"))?;
                host.ip(&format!("route add default via {ROUTER}"))?;
            }
            members.push(Member::new(&warren, host, authority.certify(&name, &[])?));
        }
        let endpoint = |n| format!("{}:{PORT}", address(n));
        let blob = authority.blob(&(0..BOOTSTRAPS).map(endpoint).collect::<Vec<_>>())?;
        Ok(Group { members, blob, _network: (lab, switch, router) })
    }

    /// Starts the daemon of a member.
    pub fn start(&mut self, n: usize) -> Result<()> {
        self.members[n].launch("up", &self.blob, &["--log", "warn"])
    }
}

/// The address of a member below the VPN.
pub fn address(n: usize) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 0, 0, 1)) + n as u32)
}

/// A router that keeps quiet about the shorter way that hosts of one switch have.
fn router(lab: &Lab, switch: &Switch) -> Result<Host> {
    let router = lab.router("router")?;
    router.run(|| std::fs::write("/proc/sys/net/ipv4/conf/all/send_redirects", "0"))??;
    router.run(|| std::fs::write("/proc/sys/net/ipv4/conf/default/send_redirects", "0"))??;
    router.attach(switch, &[&format!("{ROUTER}/24")])?;
    Ok(router)
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
