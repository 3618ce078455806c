//! The group of the demo: its network, its authority, and its nodes.

use anyhow::{Result, ensure};
use lab::{Authority, Host, Lab, Node, Switch};
use std::path::PathBuf;

/// Names of the members; the first two nodes are for joining by.
const NODES: [&str; 7] = ["boot1", "boot2", "ana", "ben", "cleo", "dan", "eva"];
/// How many of them have no virtual network.
const BOOTSTRAPS: usize = 2;
const PORT: u16 = 7415;

/// Everything of the demo.
pub struct Group {
    pub nodes: Vec<Node>,
    _network: (Lab, Host, [Switch; 2]),
}

impl Group {
    /// Lays the network, makes the group and starts all daemons.
    pub fn start() -> Result<Group> {
        let warren = binary()?;
        let lab = Lab::new()?;
        let authority = Authority::create(&warren, lab.directory(), "demo", &[])?;
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
            nodes.push(Node::new(&warren, host, authority.certify(name, &[])?));
        }
        let endpoint = |n: usize| format!("10.0.{}.{}:{PORT}", n % 2, n + 1);
        let blob = authority.blob(&(0..BOOTSTRAPS).map(endpoint).collect::<Vec<_>>())?;
        for (n, node) in nodes.iter_mut().enumerate() {
            node.launch(if n < BOOTSTRAPS { "bootstrap" } else { "up" }, &blob, &[])?;
        }
        Ok(Group { nodes, _network: (lab, router, sites) })
    }

    /// The nodes with a virtual network whose daemon runs.
    pub fn members(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().skip(BOOTSTRAPS).filter(|node| node.daemon.is_some())
    }
}

/// The daemon, built beside this program.
fn binary() -> Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name("warren");
    ensure!(path.exists(), "{} is missing: run `cargo build -p warren-node`", path.display());
    Ok(path)
}
