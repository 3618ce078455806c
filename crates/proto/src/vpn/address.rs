//! Virtual addresses: which belong to the network, which can belong to a node, which is whose.
//!
//! IPv6 needs no allocation: `fd`, 40 bits of the hash of the group name, the top 80 bits of the node ID
//! (the shape of RFC 4193, with the 16-bit subnet and the interface part taken by the ID). IPv4 is a subnet
//! of the group's choice, in which the network address, base + 1 (the service address) and the broadcast
//! address belong to nobody.

use crate::NodeId;
use crate::rng::Rng;
use aws_lc_rs::digest::{SHA256, digest};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Bytes of an IPv6 address that are the same in the whole group: a /48.
const PREFIX6_BYTES: usize = 6;
/// Bits of that prefix.
pub const PREFIX6_LEN: u8 = 48;
/// Bytes of a node ID that its IPv6 address carries. IDs that agree in them would share an address; among
/// a million nodes the chance of one such pair is 4e-13.
const ID_BYTES: usize = 10;

/// The IPv6 address of a node in a group.
pub fn ipv6_of(group: &str, id: NodeId) -> Ipv6Addr {
    let hash = digest(&SHA256, group.as_bytes());
    let mut octets = [0; 16];
    octets[0] = 0xfd;
    octets[1..PREFIX6_BYTES].copy_from_slice(&hash.as_ref()[..PREFIX6_BYTES - 1]);
    octets[PREFIX6_BYTES..].copy_from_slice(&id.as_bytes()[..ID_BYTES]);
    octets.into()
}

/// The point of the ring at which the owner of an IPv6 address is: its ID with the unknown half zero.
pub fn point_of(ip: Ipv6Addr) -> NodeId {
    let mut id = [0; 20];
    id[..ID_BYTES].copy_from_slice(&ip.octets()[PREFIX6_BYTES..]);
    NodeId::from_bytes(id)
}

/// Whether the node is the one that an IPv6 address with this [`point_of`] stands for.
pub fn is_at(point: NodeId, id: NodeId) -> bool {
    id.as_bytes()[..ID_BYTES] == point.as_bytes()[..ID_BYTES]
}

/// Whether the node of this ID owns an IPv6 address of its group.
pub fn owns_ipv6(id: NodeId, ip: Ipv6Addr) -> bool {
    id.as_bytes()[..ID_BYTES] == ip.octets()[PREFIX6_BYTES..]
}

/// The IPv4 addresses of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet {
    base: u32,
    prefix: u8,
}

impl Subnet {
    /// Shortest prefix: a group has no use for more than the 16 million addresses of 10.0.0.0/8.
    pub const PREFIX_MIN: u8 = 8;
    /// Longest prefix that leaves an address for a node.
    pub const PREFIX_MAX: u8 = 30;

    /// The subnet that `ip` is in; `None` if the prefix is out of range.
    pub fn new(ip: Ipv4Addr, prefix: u8) -> Option<Subnet> {
        let in_range = (Self::PREFIX_MIN..=Self::PREFIX_MAX).contains(&prefix);
        in_range.then(|| Subnet { base: u32::from(ip) & (u32::MAX << (32 - prefix)), prefix })
    }

    /// The first address.
    pub fn network(self) -> Ipv4Addr {
        self.base.into()
    }

    /// Bits that all addresses share.
    pub fn prefix(self) -> u8 {
        self.prefix
    }

    /// The last address.
    pub fn broadcast(self) -> Ipv4Addr {
        (self.base | !(u32::MAX << (32 - self.prefix))).into()
    }

    /// The address at which the network itself answers: base + 1.
    pub fn service(self) -> Ipv4Addr {
        (self.base + 1).into()
    }

    /// Whether the address lies in the subnet.
    pub fn contains(self, ip: Ipv4Addr) -> bool {
        u32::from(ip) & (u32::MAX << (32 - self.prefix)) == self.base
    }

    /// Number of addresses that a node can have.
    pub fn host_count(self) -> usize {
        (1usize << (32 - self.prefix)) - 3
    }

    /// The `n`-th address that a node can have, counted round.
    pub fn host(self, n: usize) -> Ipv4Addr {
        (self.base + 2 + (n % self.host_count()) as u32).into()
    }

    /// Whether a node can have this address.
    pub fn is_host(self, ip: Ipv4Addr) -> bool {
        self.contains(ip) && u32::from(ip) >= self.base + 2 && ip != self.broadcast()
    }

    /// Some address that a node can have.
    pub fn random_host(self, rng: &mut Rng) -> Ipv4Addr {
        self.host(rng.below(self.host_count()))
    }
}

/// What this node knows of itself in the virtual network, the same at the node, its lanes and its device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Local {
    /// The group's IPv4 addresses; none in a group that uses IPv6 only.
    pub subnet: Option<Subnet>,
    /// Our IPv4 address, once there is one.
    pub ipv4: Option<Ipv4Addr>,
    /// Our IPv6 address; its first 48 bits are those of the whole group.
    pub ipv6: Ipv6Addr,
    /// The longest packet that the virtual network carries, in bytes.
    pub mtu: u16,
}

/// Where an address stands in the virtual network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It is ours.
    Own,
    /// It can be another member's.
    Member,
    /// It is the network's own: base + 1.
    Service,
    /// It names no single host: multicast, broadcast, the network, nothing.
    NotUnicast,
    /// It is not in the virtual network.
    Outside,
}

impl Local {
    /// The IPv6 address of another node of the group.
    pub fn ipv6_of(&self, id: NodeId) -> Ipv6Addr {
        let mut octets = self.ipv6.octets();
        octets[PREFIX6_BYTES..].copy_from_slice(&id.as_bytes()[..ID_BYTES]);
        octets.into()
    }

    /// Whether `ip` is part of the virtual network: no endpoint of a node, or the network would be carried
    /// by itself (checklist X23).
    pub fn is_inside(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(ip) => self.subnet.is_some_and(|subnet| subnet.contains(ip)),
            IpAddr::V6(ip) => split(ip).0 == split(self.ipv6).0,
        }
    }

    /// Where `ip` stands.
    pub fn place(&self, ip: IpAddr) -> Place {
        match ip {
            IpAddr::V4(ip) => self.place_v4(ip),
            IpAddr::V6(ip) => self.place_v6(ip),
        }
    }

    /// The first of the IPv6 addresses of the group.
    pub fn network6(&self) -> Ipv6Addr {
        (u128::from(self.ipv6) - split(self.ipv6).1).into()
    }

    fn place_v4(&self, ip: Ipv4Addr) -> Place {
        if ip.is_multicast() || ip.is_broadcast() || ip.is_unspecified() {
            return Place::NotUnicast;
        }
        match self.subnet {
            Some(subnet) if subnet.contains(ip) => match ip {
                _ if Some(ip) == self.ipv4 => Place::Own,
                _ if ip == subnet.service() => Place::Service,
                _ if subnet.is_host(ip) => Place::Member,
                _ => Place::NotUnicast,
            },
            _ => Place::Outside,
        }
    }

    fn place_v6(&self, ip: Ipv6Addr) -> Place {
        if ip.is_multicast() || ip.is_unspecified() {
            return Place::NotUnicast;
        }
        let (prefix, host) = split(ip);
        match host {
            _ if ip == self.ipv6 => Place::Own,
            _ if prefix != split(self.ipv6).0 => Place::Outside,
            0 => Place::NotUnicast,
            1 => Place::Service,
            _ => Place::Member,
        }
    }
}

/// The group's part and the node's part of an IPv6 address.
fn split(ip: Ipv6Addr) -> (u128, u128) {
    let host_bits = 128 - u32::from(PREFIX6_LEN);
    let bits = u128::from(ip);
    (bits >> host_bits, bits & ((1 << host_bits) - 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_ipv6_address_leads_back_to_its_node(id in any::<[u8; 20]>(), group in "[a-z]{1,20}") {
            let id = NodeId::from_bytes(id);
            let ip = ipv6_of(&group, id);
            prop_assert_eq!(ip.octets()[0], 0xfd);
            prop_assert!(owns_ipv6(id, ip));
            prop_assert!(point_of(ip).as_bytes().starts_with(&id.as_bytes()[..10]));
        }

        #[test]
        fn every_host_of_a_subnet_is_a_host_and_nothing_else_is(ip: u32, prefix in 8u8..=30, n: usize) {
            let subnet = Subnet::new(ip.into(), prefix).expect("a good prefix");
            prop_assert!(subnet.is_host(subnet.host(n)));
            prop_assert!(!subnet.is_host(subnet.network()));
            prop_assert!(!subnet.is_host(subnet.service()));
            prop_assert!(!subnet.is_host(subnet.broadcast()));
            prop_assert!(subnet.contains(ip.into()));
        }
    }

    #[test]
    fn a_class_c_network_has_253_hosts() {
        let subnet = Subnet::new(Ipv4Addr::new(10, 1, 2, 77), 24).expect("a good prefix");
        assert_eq!(subnet.host_count(), 253);
        assert_eq!(subnet.host(0), Ipv4Addr::new(10, 1, 2, 2));
        assert_eq!(subnet.host(252), Ipv4Addr::new(10, 1, 2, 254));
        assert_eq!(subnet.broadcast(), Ipv4Addr::new(10, 1, 2, 255));
    }

    #[test]
    fn prefixes_that_leave_nobody_an_address_are_refused() {
        for prefix in [0, 7, 31, 32, 33] {
            assert_eq!(Subnet::new(Ipv4Addr::new(10, 0, 0, 0), prefix), None);
        }
    }
}
