//! The settings of a group's virtual network, the same for all members.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::name::check_group;

/// Smallest and usual inner MTU in bytes: what IPv6 requires (RFC 8200 section 5) and every path,
/// nested and relayed ones too, can carry.
pub const MTU_MIN: u16 = 1280;
/// Largest inner MTU in bytes: a jumbo frame.
pub const MTU_MAX: u16 = 9000;
/// Usual lease of a virtual address in seconds.
pub const LEASE_DEFAULT: u32 = 3600;
/// Shortest lease in seconds: shorter ones cost more messages than they free addresses.
pub const LEASE_MIN: u32 = 60;
/// Longest lease in seconds: a day, for which members keep what is in the hash table.
pub const LEASE_MAX: u32 = 24 * 3600;

/// Settings of a virtual network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Name of the group.
    #[serde(deserialize_with = "group")]
    pub group: String,
    /// Addresses to lease, e.g. `10.42.0.0/16`.
    pub ipv4: Ipv4Subnet,
    /// Inner MTU in bytes, 1280 to 9000.
    #[serde(default = "default_mtu", deserialize_with = "mtu")]
    pub mtu: u16,
    /// How long an address is leased, in seconds, 60 to 86,400.
    #[serde(default = "default_lease", deserialize_with = "lease")]
    pub lease_seconds: u32,
}

impl Network {
    /// A network with the usual MTU and lease.
    pub fn new(group: impl Into<String>, ipv4: Ipv4Subnet) -> Self {
        Self { group: group.into(), ipv4, mtu: MTU_MIN, lease_seconds: LEASE_DEFAULT }
    }
}

/// An IPv4 network of 6 to 16,777,214 hosts.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ipv4Subnet {
    base: Ipv4Addr,
    prefix: u8,
}

/// The text is not the address of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an IPv4 network like 10.42.0.0/16, prefix 8 to 29, host bits zero")]
pub struct ParseSubnetError;

impl Ipv4Subnet {
    /// Makes a network; the host bits must be zero.
    pub fn new(base: Ipv4Addr, prefix: u8) -> Result<Self, ParseSubnetError> {
        let subnet = Self { base, prefix };
        let in_range = (8..=29).contains(&prefix);
        let aligned = in_range && base.to_bits() & !subnet.mask() == 0;
        if aligned { Ok(subnet) } else { Err(ParseSubnetError) }
    }

    /// Returns the first address.
    pub const fn base(self) -> Ipv4Addr {
        self.base
    }

    /// Returns the number of leading bits that all addresses share.
    pub const fn prefix(self) -> u8 {
        self.prefix
    }

    /// Returns the address reserved for the group's own services: the one after the first.
    pub const fn service(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.base.to_bits() + 1)
    }

    /// Returns the last address.
    pub const fn broadcast(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.base.to_bits() | !self.mask())
    }

    /// Returns whether the address lies within.
    pub const fn contains(self, address: Ipv4Addr) -> bool {
        address.to_bits() & self.mask() == self.base.to_bits()
    }

    /// Returns whether a member may have this address.
    pub fn is_host(self, address: Ipv4Addr) -> bool {
        let reserved = [self.base, self.service(), self.broadcast()];
        self.contains(address) && !reserved.contains(&address)
    }

    const fn mask(self) -> u32 {
        u32::MAX << (32 - self.prefix)
    }
}

impl fmt::Display for Ipv4Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

impl fmt::Debug for Ipv4Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Ipv4Subnet {
    type Err = ParseSubnetError;

    fn from_str(text: &str) -> Result<Self, ParseSubnetError> {
        let (base, prefix) = text.split_once('/').ok_or(ParseSubnetError)?;
        let base = base.parse().map_err(|_| ParseSubnetError)?;
        Self::new(base, prefix.parse().map_err(|_| ParseSubnetError)?)
    }
}

impl Serialize for Ipv4Subnet {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Ipv4Subnet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

pub(crate) fn default_mtu() -> u16 {
    MTU_MIN
}

pub(crate) fn default_lease() -> u32 {
    LEASE_DEFAULT
}

pub(crate) fn group<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    check_group(&name).map_err(D::Error::custom)?;
    Ok(name)
}

pub(crate) fn mtu<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    let mtu = u16::deserialize(deserializer)?;
    let in_range = (MTU_MIN..=MTU_MAX).contains(&mtu);
    in_range.then_some(mtu).ok_or_else(|| D::Error::custom("mtu must be 1280 to 9000 bytes"))
}

pub(crate) fn lease<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let lease = u32::deserialize(deserializer)?;
    let in_range = (LEASE_MIN..=LEASE_MAX).contains(&lease);
    in_range.then_some(lease).ok_or_else(|| D::Error::custom("lease_seconds must be 60 to 86400"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subnets_parse_strictly() {
        let subnet: Ipv4Subnet = "10.42.0.0/16".parse().expect("a network");
        assert_eq!(subnet.to_string(), "10.42.0.0/16");
        for bad in ["10.42.0.1/16", "10.42.0.0", "10.42.0.0/33", "0.0.0.0/0", "10.0.0.0/30", "x/8"]
        {
            assert_eq!(bad.parse::<Ipv4Subnet>(), Err(ParseSubnetError), "{bad}");
        }
    }

    #[test]
    fn reserved_addresses_are_no_hosts() {
        let subnet: Ipv4Subnet = "10.42.0.0/29".parse().expect("a network");
        let hosts = (0..=8).filter(|last| subnet.is_host(Ipv4Addr::new(10, 42, 0, *last)));
        assert_eq!(hosts.collect::<Vec<_>>(), [2, 3, 4, 5, 6]);
        assert_eq!(subnet.service(), Ipv4Addr::new(10, 42, 0, 1));
    }
}
