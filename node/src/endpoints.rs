//! Which of the host's addresses are offered to peers, and when they may have changed.
//!
//! Never offered: an address of the own device or within the virtual network, for a link through the
//! tunnel would carry itself (checklist X23); link-local addresses, which mean nothing elsewhere;
//! loopback, unless there is nothing else, as for several nodes on one offline machine.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
};
use pki::Ipv4Subnet;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Most endpoints offered: a host with more addresses is reachable by a few of them.
const ENDPOINTS_MAX: usize = 8;

// Bits of the rtnetlink multicast groups (`linux/rtnetlink.h`, RTMGRP_*).
const GROUP_LINK: u32 = 0x1;
const GROUP_IPV4_IFADDR: u32 = 0x10;
const GROUP_IPV6_IFADDR: u32 = 0x100;

/// What must not be offered.
#[derive(Clone, Debug)]
pub struct Excluded {
    /// Name of the own device.
    pub device: Option<String>,
    /// The group's IPv4 addresses.
    pub ipv4: Option<Ipv4Subnet>,
    /// An address of the group's IPv6 prefix of 48 bits.
    pub ipv6: Option<Ipv6Addr>,
}

impl Excluded {
    fn covers(&self, interface: &str, ip: IpAddr) -> bool {
        let prefix = |ip: Ipv6Addr| u128::from(ip) >> 80;
        self.device.as_deref() == Some(interface)
            || match ip {
                IpAddr::V4(ip) => self.ipv4.is_some_and(|subnet| subnet.contains(ip)),
                IpAddr::V6(ip) => self.ipv6.is_some_and(|ours| prefix(ours) == prefix(ip)),
            }
    }
}

/// The endpoints of this host for a socket bound to `bound`.
pub fn local(bound: SocketAddr, excluded: &Excluded) -> io::Result<Vec<SocketAddr>> {
    let addresses = getifaddrs()?.filter_map(|interface| {
        let address = interface.address?;
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::from(v4.ip()));
        let ip = v4.or_else(|| address.as_sockaddr_in6().map(|v6| v6.ip().into()))?;
        Some((interface.interface_name, ip))
    });
    Ok(offered(addresses, bound, excluded))
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
        .filter(|(interface, ip)| reaches_us(*ip) && !excluded.covers(interface, *ip))
        .map(|(_, ip)| ip)
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

/// Tells when addresses or links of the host change.
#[derive(Debug)]
pub struct Changes {
    netlink: AsyncFd<OwnedFd>,
}

impl Changes {
    /// Starts to listen; needs no privilege.
    pub fn watch() -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let netlink =
            socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)?;
        let groups = GROUP_LINK | GROUP_IPV4_IFADDR | GROUP_IPV6_IFADDR;
        bind(netlink.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
        Ok(Self { netlink: AsyncFd::register_with_interest(netlink, Interest::READABLE)? })
    }

    /// Waits for the next change; those that came together count as one.
    pub async fn next(&self) -> io::Result<()> {
        let mut ready = self.netlink.readable().await?;
        // What changed is read from the system afterwards; here it is enough that something did. A
        // full queue is a change as well.
        let mut discarded = [0; 8192];
        while recv(self.netlink.as_raw_fd(), &mut discarded, MsgFlags::empty()).is_ok() {}
        ready.clear_ready();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excluded() -> Excluded {
        Excluded {
            device: Some("warren0".into()),
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
            ("warren0", "203.0.113.9"),
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

    #[test]
    fn this_host_has_an_endpoint() {
        let none = Excluded { device: None, ipv4: None, ipv6: None };
        assert!(!local("[::]:7415".parse().unwrap(), &none).unwrap().is_empty());
    }
}
