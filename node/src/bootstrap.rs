//! Where the bootstrap nodes are: their names are looked up at the start, and again while the node runs.
//!
//! At boot the network may come up after the daemon, and a pool of bootstrap nodes moves to other addresses in
//! time. So a name that is not found is tried again at growing pauses, and all names now and then. What a name
//! last meant stays until it means something else: a failed look-up takes nothing away. A group service may name
//! others while the node runs.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use pki::HostPort;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::config::Config;
use crate::endpoints::{self, Excluded};
use crate::overlays::Kind;

/// How long a look-up may take: a node that knows nobody to rejoin by waits so long at the start, and goes on with
/// the names that were found.
const PATIENCE: Duration = Duration::from_secs(2);
/// First and longest pause before names that were not found are tried again.
const AGAIN_FIRST: Duration = Duration::from_secs(3);
const AGAIN_LAST: Duration = Duration::from_secs(60);
/// Pause between look-ups of names that were found: an address that changed matters only to who lost all links.
const REFRESH: Duration = Duration::from_secs(300);

/// The bootstrap nodes of one overlay.
#[derive(Debug)]
pub struct Names {
    /// The overlay.
    pub of: Kind,
    names: Vec<Name>,
}

#[derive(Debug)]
struct Name {
    name: HostPort,
    /// What it meant when it was last found.
    endpoints: Vec<SocketAddr>,
    /// Whether the last look-up failed; none before the first.
    is_missing: Option<bool>,
}

/// Bootstrap endpoints of an overlay that are others than before.
#[derive(Debug)]
pub struct Moved {
    /// The overlay.
    pub of: Kind,
    /// All of its bootstrap endpoints.
    pub endpoints: Vec<SocketAddr>,
}

/// The bootstrap nodes that the settings name, of the group's overlay and of the public one.
pub fn names(config: &Config) -> [Names; 2] {
    let of_public = config.public.iter().flat_map(|public| &public.bootstrap);
    [Names::new(Kind::Private, of_group(config)), Names::new(Kind::Public, of_public.cloned())]
}

/// The bootstrap nodes of the group: those that it names itself come first.
pub fn of_group(config: &Config) -> Vec<HostPort> {
    let of_blob = config.blob.iter().flat_map(|blob| &blob.bootstrap);
    let mut named = Vec::new();
    for name in of_blob.chain(&config.bootstrap) {
        if !named.contains(name) {
            named.push(name.clone());
        }
    }
    named
}

impl Names {
    fn new(of: Kind, names: impl IntoIterator<Item = HostPort>) -> Self {
        Self { of, names: names.into_iter().map(Name::new).collect() }
    }

    /// Whether none is named.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// What the names meant when they were last found, each endpoint once.
    pub fn endpoints(&self) -> Vec<SocketAddr> {
        let all = self.names.iter().flat_map(|name| &name.endpoints);
        let mut seen = BTreeSet::new();
        all.filter(|endpoint| seen.insert(**endpoint)).copied().collect()
    }

    /// Takes other names; what those among them meant that were there before stays.
    fn rename(&mut self, names: Vec<HostPort>) {
        let mut former = std::mem::take(&mut self.names);
        let known = |name: HostPort| match former.iter().position(|known| known.name == name) {
            Some(n) => former.swap_remove(n),
            None => Name::new(name),
        };
        self.names = names.into_iter().map(known).collect();
    }

    /// Looks all names up at a time. What cannot be found is told once.
    pub async fn look_up(&mut self) {
        let mut lookups = JoinSet::new();
        for (n, Name { name, .. }) in self.names.iter().enumerate() {
            let name = name.clone();
            lookups.spawn(async move { (n, look_up(&name).await) });
        }
        while let Some(done) = lookups.join_next().await {
            // A look-up that broke off counts as not made.
            if let Ok((n, found)) = done {
                self.names[n].take(found);
            }
        }
    }

    /// Looks the names up again and again, those that nobody has looked up yet and others that are named at once,
    /// until nobody listens. Addresses need no looking up.
    pub async fn watch(
        mut self,
        mut renamed: watch::Receiver<Vec<HostPort>>,
        moved: mpsc::Sender<Moved>,
    ) {
        let mut again = AGAIN_FIRST;
        let mut is_new = self.names.iter().any(|name| name.is_missing.is_none());
        loop {
            let is_whole = self.names.iter().all(|name| name.is_missing == Some(false));
            let pause = match (is_new, is_whole) {
                (true, _) => Duration::ZERO,
                (false, true) => REFRESH,
                (false, false) => again,
            };
            let is_fixed = self.names.iter().all(Name::is_address);
            let starts_over = std::mem::take(&mut is_new) || is_whole;
            again = if starts_over { AGAIN_FIRST } else { (again * 2).min(AGAIN_LAST) };
            let mut names = None;
            tokio::select! {
                () = tokio::time::sleep(pause), if !is_fixed => {}
                named = next(&mut renamed) => names = Some(named),
                () = moved.closed() => return,
            }
            let former: BTreeSet<_> = self.endpoints().into_iter().collect();
            if let Some(names) = names {
                self.rename(names);
                again = AGAIN_FIRST;
            }
            self.look_up().await;
            let endpoints = self.endpoints();
            let is_same = endpoints.iter().copied().collect::<BTreeSet<_>>() == former;
            if !is_same && moved.send(Moved { of: self.of, endpoints }).await.is_err() {
                return;
            }
        }
    }
}

/// The names as they are named next; for ever if nobody names any.
async fn next(renamed: &mut watch::Receiver<Vec<HostPort>>) -> Vec<HostPort> {
    match renamed.changed().await {
        Ok(()) => renamed.borrow_and_update().clone(),
        Err(_) => std::future::pending().await,
    }
}

impl Name {
    fn new(name: HostPort) -> Self {
        let address = name.host.parse().map(|ip: IpAddr| SocketAddr::new(ip, name.port)).ok();
        let is_missing = address.map(|_| false);
        Self { name, endpoints: address.into_iter().collect(), is_missing }
    }

    fn is_address(&self) -> bool {
        self.name.host.parse::<IpAddr>().is_ok()
    }

    fn take(&mut self, found: Result<Vec<SocketAddr>, String>) {
        let Name { name, endpoints, is_missing } = self;
        let was_missing = is_missing.replace(found.is_err());
        match found {
            Ok(mut found) => {
                // Resolvers turn the order around; that is no news.
                found.sort_unstable();
                found.dedup();
                if was_missing == Some(true) {
                    tracing::info!(%name, "bootstrap name found");
                }
                *endpoints = found;
            }
            Err(error) if was_missing != Some(true) => tracing::warn!(
                %name,
                error,
                "bootstrap name not found, and tried again until it is: is it right, and does this \
                 host's DNS work?"
            ),
            Err(error) => tracing::debug!(%name, error, "bootstrap name not found"),
        }
    }
}

/// The endpoints that are not this node's own, as a bootstrap node gets the same blob as everybody, and are
/// reached below the virtual network and not through it.
pub async fn others(
    mut endpoints: Vec<SocketAddr>,
    listen: SocketAddr,
    excluded: &Excluded,
) -> io::Result<Vec<SocketAddr>> {
    if endpoints.is_empty() {
        return Ok(endpoints);
    }
    let local = endpoints::local(listen, excluded).await?;
    let is_us =
        |to: &SocketAddr| local.contains(to) || to.ip().is_loopback() && to.port() == listen.port();
    for inside in endpoints.iter().filter(|to| excluded.covers(to.ip())) {
        tracing::warn!(
            endpoint = %inside,
            "a bootstrap node has an address of the virtual network, so packets to it would go \
             through the tunnel that they are to make: give the group another network"
        );
    }
    endpoints.retain(|to| !is_us(to) && !excluded.covers(to.ip()));
    Ok(endpoints)
}

async fn look_up(HostPort { host, port }: &HostPort) -> Result<Vec<SocketAddr>, String> {
    match tokio::time::timeout(PATIENCE, tokio::net::lookup_host((host.as_str(), *port))).await {
        Ok(Ok(found)) => Ok(found.collect()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no answer in time".into()),
    }
}
