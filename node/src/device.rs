//! The addresses of the virtual device, set by rtnetlink.
//!
//! Setting an address also makes the kernel route its subnet to the device; nothing else of the host's
//! routes or rules is touched (checklist AD-06). Another program of the host may change the addresses as well: what
//! it takes away is set again, and what is already as it should be is no error. The device is not persistent: when the daemon ends,
//! however that comes, the kernel removes it with its addresses and routes.

use std::net::IpAddr;

use nix::errno::Errno;
use rtnetlink::{AddressMessageBuilder, Handle, LinkUnspec};

/// An address and the length of its subnet's prefix.
pub type Subnetted = (IpAddr, u8);

/// The virtual device of this node.
pub struct VirtualDevice {
    handle: Handle,
    index: u32,
    addresses: Vec<Subnetted>,
}

impl VirtualDevice {
    /// Takes the device with this interface index, which is down and has no address.
    pub fn new(index: u32) -> std::io::Result<Self> {
        let (connection, handle, _) = rtnetlink::new_connection()?;
        tokio::spawn(connection);
        Ok(Self { handle, index, addresses: Vec::new() })
    }

    /// Gives the device exactly these addresses and this MTU, and sets it up.
    pub async fn set(&mut self, wanted: &[Subnetted], mtu: u16) -> Result<(), rtnetlink::Error> {
        let link = LinkUnspec::new_with_index(self.index).mtu(u32::from(mtu)).up().build();
        self.handle.link().set(link).execute().await?;
        for address in wanted {
            self.add(*address).await?;
        }
        for address in self.addresses.iter().filter(|address| !wanted.contains(address)) {
            self.remove(*address).await?;
        }
        self.addresses = wanted.to_vec();
        Ok(())
    }

    /// Sets the device up again and gives it the addresses that another program took from it; returns whether any were
    /// missing, as those of IPv6 are when it was down.
    pub async fn restore(&self) -> Result<bool, rtnetlink::Error> {
        let link = LinkUnspec::new_with_index(self.index).up().build();
        self.handle.link().set(link).execute().await?;
        let mut were_missing = false;
        for address in &self.addresses {
            were_missing |= self.add(*address).await?;
        }
        Ok(were_missing)
    }

    /// Takes all addresses, and with them the routes, from the device.
    pub async fn clear(&mut self) -> Result<(), rtnetlink::Error> {
        for address in std::mem::take(&mut self.addresses) {
            self.remove(address).await?;
        }
        Ok(())
    }

    /// Adds an address; returns whether it was missing.
    async fn add(&self, (ip, prefix): Subnetted) -> Result<bool, rtnetlink::Error> {
        let added = self.handle.address().add(self.index, ip, prefix).execute().await;
        unless(added, Errno::EEXIST)
    }

    /// Removes an address; returns whether it was there.
    async fn remove(&self, (ip, prefix): Subnetted) -> Result<bool, rtnetlink::Error> {
        let message = match ip {
            IpAddr::V4(ip) => AddressMessageBuilder::<std::net::Ipv4Addr>::new()
                .address(ip, prefix)
                .index(self.index)
                .build(),
            IpAddr::V6(ip) => AddressMessageBuilder::<std::net::Ipv6Addr>::new()
                .address(ip, prefix)
                .index(self.index)
                .build(),
        };
        let removed = self.handle.address().del(message).execute().await;
        unless(removed, Errno::EADDRNOTAVAIL)
    }
}

/// Whether something was done; this error means that it was so already.
fn unless(done: Result<(), rtnetlink::Error>, errno: Errno) -> Result<bool, rtnetlink::Error> {
    match done {
        Err(rtnetlink::Error::NetlinkError(error)) if error.raw_code() == -(errno as i32) => {
            Ok(false)
        }
        done => done.map(|()| true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::net::if_::if_nametoindex;

    /// Sets addresses one after another and removes them in between as another program would.
    fn taken_and_set_again() {
        let ip = |line: &str| {
            let done = std::process::Command::new("ip").args(line.split(' ')).status();
            assert!(done.expect("ip runs").success(), "ip {line}");
        };
        let address = |last| (IpAddr::from([10, 42, 0, last]), 24);
        ip("tuntap add dev warren9 mode tun");
        crate::up::runtime().expect("a runtime").block_on(async {
            let index = if_nametoindex("warren9").expect("is there");
            let mut device = VirtualDevice::new(index).expect("netlink");
            device.set(&[address(1)], 1280).await.expect("set");
            assert!(!device.restore().await.expect("looked after"), "nothing is missing");
            ip("addr flush dev warren9");
            assert!(device.restore().await.expect("restored"));
            ip("addr del 10.42.0.1/24 dev warren9");
            ip("addr add 10.42.0.2/24 dev warren9");
            device.set(&[address(2)], 1280).await.expect("the one is gone, the other is there");
            ip("addr flush dev warren9");
            device.clear().await.expect("nothing is left to take");
        });
    }

    #[test]
    fn ns_ad_06_addresses_that_others_set_or_take_away_end_no_daemon() {
        let lab = lab::Lab::new().expect("a lab");
        let host = lab.host("ana").expect("a host");
        host.run(taken_and_set_again).expect("runs");
    }
}
