//! What is there in the demo: a network of two sites, a group service, accounts, and the nodes of a group.

use anyhow::{Context, Result, ensure};
use lab::{Account, Forward, Host, Lab, Member, Node, Service, Switch};
use std::net::Ipv4Addr;
use std::path::PathBuf;

/// The group.
pub const GROUP: &str = "demo";
/// Who makes and administers it.
const ADMINISTRATOR: &str = "ana";
/// The hosts of the nodes, and whose each is. The first two are for joining by.
const NODES: [(&str, &str); 7] = [
    ("boot1", ADMINISTRATOR),
    ("boot2", ADMINISTRATOR),
    ("ana", ADMINISTRATOR),
    ("ben", "ben"),
    ("cleo", "cleo"),
    ("dan", "dan"),
    ("eva", "eva"),
];
/// How many of them have no virtual network.
const BOOTSTRAPS: usize = 2;
/// UDP port of the daemons.
const PORT: u16 = 7415;
/// Where the service is.
const SERVICE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 100);
/// The addresses of the virtual network.
const SUBNET: &str = "10.42.0.0/24";

/// Everything of the demo.
pub struct Group {
    pub service: Service,
    /// Where a browser of this machine reaches the service.
    pub browser: Forward,
    /// The administrator and then the others; empty until they are made.
    pub accounts: Vec<Account>,
    pub nodes: Vec<Node>,
    warren: PathBuf,
    _router: (Host, [Switch; 2]),
    lab: Lab,
}

/// A daemon that runs, to be asked.
pub struct Place {
    pub name: String,
    pub state: PathBuf,
    /// Whether it has a virtual network.
    pub is_member: bool,
}

impl Group {
    /// Lays the network and starts the service. No daemon runs yet.
    pub fn start() -> Result<Group> {
        let (warren, groupd) = (program("warren")?, program("warren-groupd")?);
        let lab = Lab::new()?;
        let router = lab.router("router")?;
        let sites = [lab.switch()?, lab.switch()?];
        for (n, site) in sites.iter().enumerate() {
            router.attach(site, &[&format!("10.0.{n}.254/24"), &format!("fd00:{n}::fe/64")])?;
        }
        let mut nodes = Vec::new();
        for (n, (name, _)) in NODES.into_iter().enumerate() {
            let (site, last) = (n % 2, n + 1);
            let host = host(&lab, name, site, &sites[site], &format!("10.0.{site}.{last}"))?;
            host.ip(&format!("address add fd00:{site}::{last}/64 dev eth0 nodad"))?;
            nodes.push(Node::new(&warren, host, Member::at(lab.directory(), name)));
        }
        let host = host(&lab, "service", 0, &sites[0], &SERVICE.to_string())?;
        let folder = lab.directory().join("groupd");
        let service = Service::start_beside(&groupd, host, SERVICE, folder, GROUP)?;
        let browser = Forward::open(&service.host, service.address())?;
        let accounts = Vec::new();
        Ok(Group { service, browser, accounts, nodes, warren, _router: (router, sites), lab })
    }

    /// Makes an account for everybody who has a node, at the same time.
    pub fn sign_up(&mut self) -> Result<()> {
        let mut names: Vec<_> = NODES.iter().map(|(_, user)| *user).collect();
        names.dedup();
        let service = &self.service;
        let made: Vec<Result<Account>> = std::thread::scope(|scope| {
            let each = names.iter().map(|name| scope.spawn(|| service.account(name)));
            let running: Vec<_> = each.collect();
            let joined = running.into_iter().map(|made| made.join());
            joined.map(|made| made.unwrap_or_else(|_| anyhow::bail!("no account"))).collect()
        });
        self.accounts = made.into_iter().collect::<Result<_>>()?;
        Ok(())
    }

    /// The administrator makes the group; everybody else asks to join and is approved.
    pub fn found(&self) -> Result<()> {
        let (ana, others) = self.accounts.split_first().context("nobody has an account")?;
        let endpoint = |n: usize| format!("10.0.{}.{}:{PORT}", n % 2, n + 1);
        let bootstrap: Vec<_> = (0..BOOTSTRAPS).map(endpoint).collect();
        let bootstrap: Vec<_> = bootstrap.iter().map(String::as_str).collect();
        self.service.create(ana, GROUP, SUBNET, &bootstrap)?;
        for other in others {
            self.service.ask_to_join(other, GROUP)?;
        }
        let waiting = self.service.requests(ana, GROUP)?;
        ensure!(waiting.len() == others.len(), "{} requests wait", waiting.len());
        waiting.into_iter().try_for_each(|n| self.service.judge(ana, GROUP, n, "approve"))
    }

    /// Everybody downloads a blob and starts a node with it; one runs beside the service.
    pub fn start_nodes(&mut self) -> Result<()> {
        for account in &self.accounts {
            let blob = self.service.blob(account, GROUP, &serde_json::json!({}))?;
            std::fs::write(self.blob(&account.name), blob)?;
        }
        let blobs: Vec<_> = NODES.iter().map(|(_, user)| self.blob(user)).collect();
        for (n, (node, blob)) in self.nodes.iter_mut().zip(&blobs).enumerate() {
            node.launch_enrolling(if n < BOOTSTRAPS { "bootstrap" } else { "up" }, blob, &[])?;
        }
        let blob = self.blob(ADMINISTRATOR);
        self.service.run_beside(&self.warren, &blob)
    }

    /// The nodes with a virtual network whose daemon runs.
    pub fn members(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().skip(BOOTSTRAPS).filter(|node| node.daemon.is_some())
    }

    /// All daemons that run, the one beside the service last.
    pub fn running(&self) -> Vec<Place> {
        let place = |(n, node): (usize, &Node)| Place {
            name: node.name().to_owned(),
            state: node.member.state.clone(),
            is_member: n >= BOOTSTRAPS,
        };
        let nodes = self.nodes.iter().enumerate().filter(|(_, node)| node.daemon.is_some());
        let (name, state) = ("service".to_owned(), self.service.beside());
        nodes.map(place).chain([Place { name, state, is_member: false }]).collect()
    }

    fn blob(&self, user: &str) -> PathBuf {
        self.lab.directory().join(format!("{user}.yaml"))
    }
}

/// A host in a site that reaches the other one.
fn host(lab: &Lab, name: &str, site: usize, switch: &Switch, address: &str) -> Result<Host> {
    let host = lab.host(name)?;
    host.attach(switch, &[&format!("{address}/24")])?;
    host.ip(&format!("route add default via 10.0.{site}.254"))?;
    Ok(host)
}

/// A program that was built beside this one.
fn program(name: &str) -> Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    let build = "run `cargo build -p warren-node -p warren-group`";
    ensure!(path.exists(), "{} is missing: {build}", path.display());
    Ok(path)
}
