//! A host: a network namespace with interfaces, faults and programs.

use std::ffi::OsStr;
use std::net::IpAddr;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Result, anyhow};

use crate::capture::Capture;
use crate::daemon::Daemon;
use crate::directory::Directory;
use crate::faults::{Direction, Faults};
use crate::namespace::Namespace;
use crate::nat::Nat;
use crate::run::converse;
use crate::switch::{Port, Switch};

/// One machine of the lab.
#[derive(Debug)]
pub struct Host {
    name: String,
    namespace: Namespace,
    directory: Arc<Directory>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The cable of `eth<index>`.
    cables: Vec<Port>,
    faults: Faults,
    daemons: usize,
}

impl Host {
    pub(crate) fn new(name: &str, directory: Arc<Directory>) -> Result<Self> {
        let namespace = Namespace::new(name)?;
        let state = Mutex::default();
        Ok(Self { name: name.to_owned(), namespace, directory, state })
    }

    /// The name given by [`crate::Lab::host`].
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Adds an interface with `addresses` ("10.0.0.1/24"), plugged into `switch`; returns its name.
    ///
    /// The first is `eth0`, the next `eth1`, and so on. It carries packets from then on.
    pub fn attach(&self, switch: &Switch, addresses: &[&str]) -> Result<String> {
        let mut state = self.state();
        let interface = interface(state.cables.len());
        let port = switch.plug(&self.namespace, &interface)?;
        for address in addresses {
            self.ip(&format!("address add {address} dev {interface}"))?;
        }
        self.ip(&format!("link set {interface} up"))?;
        self.namespace.wait_carrier(&interface)?;
        port.namespace.wait_carrier(&port.name)?;
        state.cables.push(port);
        if state.faults != Faults::default() {
            self.apply_faults(&state)?;
        }
        Ok(interface)
    }

    /// Runs `ip` inside the host: `host.ip("route add default via 10.0.0.254")`.
    pub fn ip(&self, line: &str) -> Result<()> {
        self.namespace.ip(line)
    }

    /// Its devices, addresses, routes and rules, sorted, without what counts down.
    pub fn network(&self) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        for what in
            ["-4 route show table all", "-6 route show table all", "rule", "-o address", "-o link"]
        {
            let mut ip = self.command("ip");
            ip.args(what.split_whitespace());
            lines.extend(converse(ip, "")?.lines().map(str::to_owned));
        }
        lines.sort();
        Ok(lines)
    }

    /// Loads nftables rules inside the host.
    pub fn nft(&self, rules: &str) -> Result<()> {
        self.namespace.nft(rules)
    }

    /// A command that runs `program` inside the host.
    ///
    /// The child's process id is the program's. It is killed when the thread that started it ends,
    /// so start what has to live longer with [`Host::spawn`].
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        self.namespace.command(program)
    }

    /// Starts `command`, which [`Host::command`] made, in the background.
    ///
    /// Its output goes to a file of the lab's directory.
    pub fn spawn(&self, command: Command) -> Result<Daemon> {
        let number = {
            let mut state = self.state();
            state.daemons += 1;
            state.daemons
        };
        let log = self.directory.path().join(format!("{}-{number}.log", self.name));
        let directory = Arc::clone(&self.directory);
        self.run(move || Daemon::start(command, log, directory))?
    }

    /// Runs `job` on a thread inside the host; sockets it makes stay there.
    ///
    /// Jobs of one host run one after another, so they must not wait for each other.
    pub fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        self.namespace.run(job)
    }

    /// Begins to record all packets of `interface`, both directions.
    pub fn capture(&self, interface: &str) -> Result<Capture> {
        let interface = interface.to_owned();
        Capture::start(self.run(move || Capture::open(&interface))??)
    }

    /// Silently drops all packets between this host and `other`, both directions.
    pub fn drop_traffic_with(&self, other: IpAddr) -> Result<()> {
        let mut state = self.state();
        state.faults.blocked.insert(other);
        self.apply_faults(&state)
    }

    /// Ends [`Host::drop_traffic_with`] for `other`.
    pub fn restore_traffic_with(&self, other: IpAddr) -> Result<()> {
        let mut state = self.state();
        state.faults.blocked.remove(&other);
        self.apply_faults(&state)
    }

    /// Drops this share of the packets in each direction at random; 0 ends it.
    pub fn set_loss_percent(&self, percent: u8) -> Result<()> {
        let mut state = self.state();
        state.faults.loss_percent = percent.min(100);
        self.apply_faults(&state)
    }

    /// Pulls or plugs the cable of `interface`: the interface stays, its carrier goes.
    pub fn set_carrier(&self, interface: &str, is_up: bool) -> Result<()> {
        let state = self.state();
        let port = interface
            .strip_prefix("eth")
            .and_then(|index| state.cables.get(index.parse::<usize>().ok()?))
            .ok_or_else(|| anyhow!("{} has no interface {interface}", self.name))?;
        let verb = if is_up { "up" } else { "down" };
        port.namespace.ip(&format!("link set {} {verb}", port.name))
    }

    /// Makes the host translate IPv4 addresses of everything it forwards out of `outside`.
    ///
    /// New connections from outside are dropped, except where `nat` lets them in.
    pub fn translate(&self, outside: &str, nat: Nat) -> Result<()> {
        self.nft(&nat.rules(outside))
    }

    /// A shell command with which a person can look into the running host.
    pub fn enter_command(&self) -> String {
        let into_user = match is_in_user_namespace() {
            true => format!("--user=/proc/{}/ns/user --preserve-credentials ", std::process::id()),
            false => String::new(),
        };
        format!("nsenter {into_user}--net={}", self.namespace.path())
    }

    pub(crate) fn forward(&self) -> Result<()> {
        self.namespace.sysctl("ipv4/ip_forward", "1")?;
        self.namespace.sysctl("ipv6/conf/all/forwarding", "1")
    }

    /// Packets are dropped where they enter a cable's far end, so that no sender sees an error.
    fn apply_faults(&self, state: &State) -> Result<()> {
        let faults = &state.faults;
        for (index, port) in state.cables.iter().enumerate() {
            self.nft(&faults.rules(&interface(index), Direction::FromOther))?;
            port.namespace.nft(&faults.rules(&port.name, Direction::ToOther))?;
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether this process runs as root of its own: whoever enters needs the same namespace.
fn is_in_user_namespace() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_whitespace().nth(2) != Some("4294967295")
}

fn interface(index: usize) -> String {
    format!("eth{index}")
}
