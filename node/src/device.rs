//! The addresses of the virtual device, set by rtnetlink.
//!
//! Setting an address also makes the kernel route its subnet to the device; nothing else of the host's
//! routes or rules is touched (checklist AD-06). The device is not persistent: when the daemon ends,
//! however that comes, the kernel removes it with its addresses and routes.

use std::net::IpAddr;

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
        for (ip, prefix) in wanted.iter().filter(|address| !self.addresses.contains(address)) {
            self.handle.address().add(self.index, *ip, *prefix).execute().await?;
        }
        for address in self.addresses.iter().filter(|address| !wanted.contains(address)) {
            self.remove(*address).await?;
        }
        self.addresses = wanted.to_vec();
        Ok(())
    }

    /// Takes all addresses, and with them the routes, from the device.
    pub async fn clear(&mut self) -> Result<(), rtnetlink::Error> {
        for address in std::mem::take(&mut self.addresses) {
            self.remove(address).await?;
        }
        Ok(())
    }

    async fn remove(&self, (ip, prefix): Subnetted) -> Result<(), rtnetlink::Error> {
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
        self.handle.address().del(message).execute().await
    }
}
