//! Which of the host's addresses are offered to peers, and when they may have changed.
//!
//! Never offered: an address of a TUN device, whoever made it, or within the virtual network, for a link
//! through the tunnel would carry itself (checklist X23), and a public node beside a member would tell
//! strangers the member's virtual addresses; link-local addresses, which mean nothing elsewhere;
//! loopback, unless there is nothing else, as for several nodes on one offline machine.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use futures_util::StreamExt as _;
use nix::ifaddrs::getifaddrs;
use pki::Ipv4Subnet;
use rtnetlink::MulticastGroup;
use rtnetlink::packet_route::link::{InfoKind, LinkAttribute, LinkInfo, LinkMessage};
use tokio::sync::Notify;

/// Most endpoints offered: a host with more addresses is reachable by a few of them.
const ENDPOINTS_MAX: usize = 8;

/// What must not be offered.
#[derive(Clone, Debug)]
pub struct Excluded {
    /// The group's IPv4 addresses.
    pub ipv4: Option<Ipv4Subnet>,
    /// An address of the group's IPv6 prefix of 48 bits.
    pub ipv6: Option<Ipv6Addr>,
}

impl Excluded {
    /// Whether the address belongs to the virtual network.
    pub fn covers(&self, ip: IpAddr) -> bool {
        let prefix = |ip: Ipv6Addr| u128::from(ip) >> 80;
        match ip {
            IpAddr::V4(ip) => self.ipv4.is_some_and(|subnet| subnet.contains(ip)),
            IpAddr::V6(ip) => self.ipv6.is_some_and(|ours| prefix(ours) == prefix(ip)),
        }
    }
}

/// The endpoints of this host for a socket bound to `bound`.
pub async fn local(bound: SocketAddr, excluded: &Excluded) -> io::Result<Vec<SocketAddr>> {
    // Read first: a device that comes in between has no address yet.
    let tunnels = tunnels().await?;
    let addresses = getifaddrs()?.filter_map(|interface| {
        let address = interface.address?;
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::from(v4.ip()));
        let ip = v4.or_else(|| address.as_sockaddr_in6().map(|v6| v6.ip().into()))?;
        Some((interface.interface_name, ip))
    });
    let outside = addresses.filter(|(interface, _)| !tunnels.contains(interface));
    Ok(offered(outside, bound, excluded))
}

/// Names of all TUN and TAP devices. Needs no privilege.
async fn tunnels() -> io::Result<BTreeSet<String>> {
    let (connection, handle, _) = rtnetlink::new_connection()?;
    let connection = tokio::spawn(connection);
    let mut links = std::pin::pin!(handle.link().get().execute());
    let mut tunnels = BTreeSet::new();
    while let Some(link) = links.next().await {
        tunnels.extend(tunnel(&link.map_err(io::Error::other)?));
    }
    connection.abort();
    Ok(tunnels)
}

/// The name of a device that a program carries the packets of.
fn tunnel(link: &LinkMessage) -> Option<String> {
    let is_kind = |info: &LinkInfo| matches!(info, LinkInfo::Kind(InfoKind::Tun));
    let is_tunnel = link.attributes.iter().any(|attribute| match attribute {
        LinkAttribute::LinkInfo(infos) => infos.iter().any(is_kind),
        _ => false,
    });
    let name = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name.clone()),
        _ => None,
    });
    name.filter(|_| is_tunnel)
}

fn offered(
    addresses: impl Iterator<Item = (String, IpAddr)>,
    bound: SocketAddr,
    excluded: &Excluded,
) -> Vec<SocketAddr> {
    let reaches_us = |ip: IpAddr| match bound.ip() {
        IpAddr::V6(all) if all.is_unspecified() => true,
        IpAddr::V4(all) if all.is_unspecified() => ip.is_ipv4(),
        one => one == ip,
    };
    let usable = addresses
        .map(|(_, ip)| ip)
        .filter(|ip| reaches_us(*ip) && !excluded.covers(*ip))
        .filter(|ip| !is_link_local(*ip));
    let (loopback, mut global): (Vec<_>, Vec<_>) = usable.partition(IpAddr::is_loopback);
    if global.is_empty() {
        global = loopback;
    }
    global.sort_unstable();
    global.dedup();
    global.truncate(ENDPOINTS_MAX);
    global.into_iter().map(|ip| SocketAddr::new(ip, bound.port())).collect()
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

/// Tells when addresses or links of the host change; changes that come together count as one. Needs no
/// privilege.
pub fn watch() -> io::Result<Arc<Notify>> {
    let groups = [MulticastGroup::Link, MulticastGroup::Ipv4Ifaddr, MulticastGroup::Ipv6Ifaddr];
    let (connection, handle, mut messages) = rtnetlink::new_multicast_connection(&groups)?;
    tokio::spawn(connection);
    let changed = Arc::new(Notify::new());
    let watcher = Arc::clone(&changed);
    tokio::spawn(async move {
        // What changed is read from the system afterwards; here it is enough that something did.
        let _connected = handle;
        while messages.recv().await.is_ok() {
            watcher.notify_one();
        }
    });
    Ok(changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excluded() -> Excluded {
        Excluded {
            ipv4: Some("10.42.0.0/16".parse().unwrap()),
            ipv6: Some("fd11:2233:4455::9".parse().unwrap()),
        }
    }

    fn offers(addresses: &[(&str, &str)], bound: &str) -> Vec<String> {
        let parsed = addresses.iter().map(|(name, ip)| ((*name).into(), ip.parse().unwrap()));
        let endpoints = offered(parsed, bound.parse().unwrap(), &excluded());
        endpoints.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn unit_x23_addresses_of_the_virtual_network_are_never_offered() {
        let addresses = [
            ("lo", "127.0.0.1"),
            ("eth0", "192.0.2.1"),
            ("eth0", "fe80::1"),
            ("eth0", "2001:db8::1"),
            ("warren0", "10.42.3.4"),
            ("other", "10.42.9.9"),
            ("other", "fd11:2233:4455:6677::1"),
        ];
        assert_eq!(offers(&addresses, "[::]:7415"), ["192.0.2.1:7415", "[2001:db8::1]:7415"]);
    }

    #[test]
    fn loopback_is_offered_only_where_there_is_nothing_else() {
        let offline = [("lo", "127.0.0.1"), ("eth0", "169.254.1.1")];
        assert_eq!(offers(&offline, "[::]:1"), ["127.0.0.1:1"]);
    }

    #[test]
    fn only_addresses_that_the_socket_is_bound_to_are_offered() {
        let addresses = [("eth0", "192.0.2.1"), ("eth1", "192.0.2.2"), ("eth0", "2001:db8::1")];
        assert_eq!(offers(&addresses, "192.0.2.2:1"), ["192.0.2.2:1"]);
        assert_eq!(offers(&addresses, "0.0.0.0:1"), ["192.0.2.1:1", "192.0.2.2:1"]);
    }

    /// What a node of no group offers: a public node knows of no virtual network.
    fn offered_by_a_public_node() -> Vec<SocketAddr> {
        let none = Excluded { ipv4: None, ipv6: None };
        let bound = "[::]:7415".parse().unwrap();
        crate::up::runtime().unwrap().block_on(local(bound, &none)).unwrap()
    }

    #[test]
    fn this_host_has_an_endpoint() {
        assert!(!offered_by_a_public_node().is_empty());
    }

    #[test]
    fn ns_x23_addresses_of_tunnels_of_other_programs_are_never_offered() {
        let lab = lab::Lab::new().unwrap();
        let host = lab.host("ana").unwrap();
        host.attach(&lab.switch().unwrap(), &["192.0.2.7/24"]).unwrap();
        host.ip("tuntap add dev other mode tun").unwrap();
        host.ip("addr add 10.99.0.1/16 dev other").unwrap();
        host.ip("link set other up").unwrap();
        let offered = host.run(offered_by_a_public_node).unwrap();
        assert_eq!(offered, ["192.0.2.7:7415".parse().unwrap()]);
    }
}
