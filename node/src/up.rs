//! `warren up` and `warren bootstrap`: from the command line to a running daemon.
//!
//! First everything is read and judged, then everything is opened, then the node runs.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use packetio::{Device, MemoryDevice, Offloads, OpenError, Tun, TunOptions, Udp, UdpOptions};
use proto::Node;
use proto::node::api::{Config as NodeConfig, VpnConfig};
use proto::overlay::Instance;
use proto::vpn;
use proto::vpn::address::{Subnet, ipv6_of};
use proto::vpn::lease::AddressPolicy;
use proto::vpn::verdict::Mode;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};

use crate::api;
use crate::bootstrap::{self, Names};
use crate::cli::Start;
use crate::clock::Clock;
use crate::config::{Config, Role};
use crate::device::VirtualDevice;
use crate::driver::{Driver, Work};
use crate::endpoints::Excluded;
use crate::enrol;
use crate::enrol::keeper::Keeper;
use crate::failure::Failure;
use crate::identity::{Identities, InGroup, check_address};
use crate::lane::{self, LaneHandle, Punted};
use crate::log;
use crate::metrics;
use crate::notify;
use crate::overlays::{Kind, Overlays};
use crate::state::StateDir;

/// Changed lists of bootstrap endpoints that wait for the driver; further ones wait where they come from.
const MOVED_MAX: usize = 2;
/// How long the end waits for a write of known peers that is under way, and no longer for a resolver that is silent.
const END_PATIENCE: Duration = Duration::from_secs(2);

/// Runs the daemon until it is told to end.
pub fn run(start: &Start, role: Role) -> Result<(), Failure> {
    let mut config = Config::load(start, role)?;
    log::start(&config.log, config.log_format)?;
    let state = Arc::new(StateDir::open(&config.state_dir)?);
    let clock = Clock::start();
    let certificate_file = start.certificate.clone();
    let runtime = runtime()?;
    let ended = runtime.block_on(async move {
        let given = certificate_file.as_deref();
        if config.enrolment().is_some() {
            judge_host(&config, role).await?;
        }
        let membership = enrol::start::membership(&mut config, given, &state, clock).await?;
        let identities = Identities::establish(&config, given, &state, clock.now().unix)?;
        let certified = identities.group.as_ref().and_then(InGroup::certified);
        let keeper = match (membership, certified) {
            (Some(membership), Some(identity)) => {
                Some(Keeper::start(membership, identity, Arc::clone(&state), clock)?)
            }
            _ => None,
        };
        let ready = Ready { config, certificate_file, identities, keeper, state, clock };
        open(ready, role).await?.run().await
    });
    runtime.shutdown_timeout(END_PATIENCE);
    ended
}

/// Judges whether the host has what the node will need, before a service counts it: opened, and closed again.
async fn judge_host(config: &Config, role: Role) -> Result<(), Failure> {
    drop(bind_udp(config.listen)?);
    if let Some(address) = config.metrics.0 {
        drop(metrics::bind(address).await?);
    }
    if role == Role::Member {
        drop(open_tun(&config.device, pki::MTU_MIN)?);
    }
    Ok(())
}

/// Makes the event loop: one thread.
pub fn runtime() -> Result<Runtime, Failure> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().map_err(|error| Failure::host(format!("cannot start: {error}")))
}

/// What is read and judged before anything is opened.
struct Ready {
    config: Config,
    certificate_file: Option<PathBuf>,
    identities: Identities,
    keeper: Option<Keeper>,
    state: Arc<StateDir>,
    clock: Clock,
}

/// Opens sockets and device and makes the node.
async fn open(ready: Ready, role: Role) -> Result<Driver, Failure> {
    let Ready { config, certificate_file, identities, keeper, state, clock } = ready;
    let excluded = excluded(&config, identities.group.as_ref())?;
    let vpn = match (role, &identities.group) {
        (Role::Member, Some(identity)) => Some(virtual_network(&config, identity, &state)?),
        _ => None,
    };
    let udp = bind_udp(config.listen)?;
    let listen = udp.local_addr().map_err(Failure::host)?;
    let (driver, questions) = mpsc::channel(api::QUESTIONS_MAX);
    let socket = api::bind(&config.socket())?;
    if let Some(address) = config.metrics.0 {
        let listener = metrics::bind(address).await?;
        tokio::spawn(metrics::serve(listener, driver.clone()));
    }
    tokio::spawn(api::serve(socket, driver));
    let mut device = None;
    let (lane, punts) = match role {
        Role::Member => {
            let tun = open_tun(&config.device, config.network()?.mtu)?;
            device = Some(VirtualDevice::new(tun.index()).map_err(Failure::host)?);
            start_lane(tun, &udp, clock)?
        }
        Role::Bootstrap => {
            let (nothing, _) = MemoryDevice::pair(Offloads::default()).map_err(Failure::host)?;
            start_lane(nothing, &udp, clock)?
        }
    };
    let overlays = Overlays::load(&identities, &state);
    let mut names = bootstrap::names(&config);
    let [group, public] = &mut names;
    // Who knows nodes of an earlier run starts with those and with addresses, while names are looked up.
    let look_up = async |names: &mut Names| {
        if overlays.knows_nobody(names.of) {
            names.look_up().await;
        }
    };
    tokio::join!(look_up(group), look_up(public));
    let joined_by = [
        bootstrap::others(names[0].endpoints(), listen, &excluded).await.map_err(Failure::host)?,
        bootstrap::others(names[1].endpoints(), listen, &excluded).await.map_err(Failure::host)?,
    ];
    let is_alone = names[0].is_empty() && overlays.knows_nobody(Kind::Private);
    let trouble = (role == Role::Member && identities.group.is_some() && is_alone).then(|| {
        let hint = match keeper {
            Some(_) => "name one in the settings of the group at its service, which this node asks",
            None => "get a blob of a group that names some",
        };
        let text = format!(
            "no node to join by is named, so this one waits until others call it: name one with \
             --bootstrap HOST:PORT, or {hint}"
        );
        tracing::warn!("{text}");
        text
    });
    let node = make_node(&identities, &overlays, &joined_by, vpn, clock)?;
    let (watchers, moved) = mpsc::channel(MOVED_MAX);
    let [group, public] = names;
    let ((names, renamed), (_, fixed)) = (watch::channel(Vec::new()), watch::channel(Vec::new()));
    tokio::spawn(group.watch(renamed, watchers.clone()));
    tokio::spawn(public.watch(fixed, watchers));
    notify::ready();
    tracing::info!(node = %node.id(), %listen, version = env!("CARGO_PKG_VERSION"), "started");
    Ok(Driver {
        node,
        clock,
        config,
        certificate_file,
        identity: identities.group.as_ref().and_then(InGroup::certified).cloned(),
        keeper,
        udp,
        listen,
        lane,
        punts,
        questions,
        names,
        moved,
        excluded,
        device,
        state,
        overlays,
        work: Work::new(trouble),
    })
}

fn make_node(
    identities: &Identities,
    overlays: &Overlays,
    [group, public]: &[Vec<SocketAddr>; 2],
    vpn: Option<vpn::Config>,
    clock: Clock,
) -> Result<Node, Failure> {
    let overlays = overlays.configure(identities, |kind| match kind {
        Kind::Private => group.clone(),
        Kind::Public => public.clone(),
    })?;
    let mut seed = [0; 32];
    aws_lc_rs::rand::fill(&mut seed)
        .map_err(|_| Failure::host("the system has no randomness to give"))?;
    // The group's overlay comes first.
    let vpn = vpn.map(|network| VpnConfig { over: Instance(0), network });
    let parts = NodeConfig { overlays, vpn };
    Node::new(parts, seed, clock.now()).map_err(Failure::usage)
}

/// The virtual network of a member. An address that the certificate fixes beats any other.
fn virtual_network(
    config: &Config,
    identity: &InGroup,
    state: &StateDir,
) -> Result<vpn::Config, Failure> {
    let (network, id) = (config.network()?, identity.node_id());
    check_address(identity.pinned(), config.address)?;
    let address = match (identity.pinned(), config.address) {
        (Some(fixed), _) => AddressPolicy::Pinned(fixed),
        (None, Some(address)) => AddressPolicy::Static(address),
        (None, None) => AddressPolicy::Lease { preferred: state.lease(id) },
    };
    Ok(vpn::Config {
        group: network.group.clone(),
        id,
        subnet: Subnet::new(network.ipv4.base(), network.ipv4.prefix()),
        address,
        lease: Duration::from_secs(network.lease_seconds.into()),
        mode: Mode::Split,
        mtu: network.mtu,
    })
}

fn bind_udp(address: SocketAddr) -> Result<Udp, Failure> {
    Udp::bind(address, &UdpOptions::default()).map_err(|error| {
        let hint = match error.kind() {
            std::io::ErrorKind::AddrInUse => "the port is taken: stop the other program, or choose",
            std::io::ErrorKind::AddrNotAvailable => "this host has no such address: choose",
            _ => "choose",
        };
        Failure::host(format!("cannot listen on {address} ({error}): {hint} another with --listen"))
    })
}

fn open_tun(name: &str, mtu: u16) -> Result<Tun, Failure> {
    let options = TunOptions { name: Some(name.to_owned()), mtu, offload: true };
    Tun::open(&options).map_err(|error| {
        // The chain of causes tells what the system said.
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
        let text = format!("{error}{}", cause.unwrap_or_default());
        match error {
            OpenError::NameTooLong(_) | OpenError::NameInvalid(_) => {
                Failure::usage(format!("{text} (--device NAME)"))
            }
            OpenError::NameBusy(_) => Failure::host(format!("{text} (--device NAME)")),
            _ => Failure::host(text),
        }
    })
}

fn start_lane<D: Device + Send + 'static>(
    device: D,
    udp: &Udp,
    clock: Clock,
) -> Result<(LaneHandle, Punted), Failure> {
    let started = udp.try_clone().and_then(|udp| lane::start(device, udp, clock));
    started.map_err(|error| Failure::host(format!("cannot start the data lane: {error}")))
}

fn excluded(config: &Config, identity: Option<&InGroup>) -> Result<Excluded, Failure> {
    let Some(identity) = identity else {
        return Ok(Excluded { ipv4: None, ipv6: None });
    };
    let network = config.network()?;
    Ok(Excluded {
        ipv4: Some(network.ipv4),
        ipv6: Some(ipv6_of(&network.group, identity.node_id())),
    })
}
