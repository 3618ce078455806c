//! The kernel's TUN device (`Documentation/networking/tuntap.rst`).
//!
//! Crate `tun` makes the device; its descriptor is then driven here, because the crate does not ask
//! for the offloads. Order of attempts: virtio header with checksum, TCP and UDP offload; the same
//! without UDP (before Linux 6.2); virtio header without offload; no virtio header (gVisor). Only
//! the MTU is set here, addresses and routes are the caller's.

use std::fs::File;
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use crate::coalesce::PACKETS_MAX;
use crate::device::{Device, Offloads, ReadBuffer};
use crate::split::Packet;
use crate::sys;
use crate::vnet::Header;

/// Longest name of an interface in bytes (`IFNAMSIZ` less the final zero).
const NAME_LEN_MAX: usize = 15;

// `linux/if_tun.h`, for TUNSETOFFLOAD.
const TUN_F_CSUM: u32 = 0x01;
const TUN_F_TSO4: u32 = 0x02;
const TUN_F_TSO6: u32 = 0x04;
const TUN_F_USO4: u32 = 0x20;
const TUN_F_USO6: u32 = 0x40;

/// What device to make.
#[derive(Clone, Debug)]
pub struct TunOptions {
    /// Name of the interface; `None` lets the kernel choose (`tun0` and so on).
    pub name: Option<String>,
    /// Longest packet in bytes that the host sends into the device.
    pub mtu: u16,
    /// Whether to ask for checksum and segmentation offload.
    pub offload: bool,
}

/// Why there is no device.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The kernel has no TUN driver, or the container no device node.
    #[error(
        "no /dev/net/tun: load the kernel module `tun`, or give the container the device \
         /dev/net/tun"
    )]
    NoDriver,
    /// The process may not make network devices.
    #[error("no permission to create a TUN device: run as root or grant CAP_NET_ADMIN")]
    Permission,
    /// The name belongs to another process or to a device that is no TUN.
    #[error("interface {0} is in use: stop the other process or choose another name")]
    NameBusy(String),
    /// The name is longer than Linux allows.
    #[error("interface name {0} is too long: use at most 15 bytes")]
    NameTooLong(String),
    /// The name has characters that Linux does not allow.
    #[error("interface name {0:?} is not valid: use letters, digits, '-', '_' or '.'")]
    NameInvalid(String),
    /// Anything else.
    #[error("cannot create a TUN device")]
    Other(#[source] io::Error),
}

/// A TUN device with one queue.
#[derive(Debug)]
pub struct Tun {
    file: File,
    name: String,
    index: u32,
    /// Whether a virtio header precedes each packet.
    vnet: bool,
    offloads: Offloads,
}

impl Tun {
    /// Makes the device, or takes over a persistent one of that name. It is down and has no address.
    ///
    /// # Errors
    ///
    /// Says what the user can do about it.
    pub fn open(options: &TunOptions) -> Result<Self, OpenError> {
        if let Some(name) = &options.name {
            check_name(name)?;
        }
        if options.offload {
            match Self::create(options, true) {
                Ok(tun) => return Ok(tun),
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
                Err(error) => return Err(explain(error, options)),
            }
        }
        Self::create(options, false).map_err(|error| explain(error, options))
    }

    /// Name of the interface.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Index of the interface.
    #[must_use]
    pub fn index(&self) -> u32 {
        self.index
    }

    fn create(options: &TunOptions, vnet: bool) -> io::Result<Self> {
        let mut configuration = tun::Configuration::default();
        configuration.mtu(options.mtu);
        if let Some(name) = &options.name {
            configuration.tun_name(name);
        }
        configuration.platform_config(|platform| {
            platform.vnet_hdr(vnet);
        });
        let device = tun::create(&configuration).map_err(|error| match error {
            tun::Error::Io(error) => error,
            other => io::Error::other(other),
        })?;
        device.set_nonblock()?;
        let name = tun::AbstractDevice::tun_name(&device).map_err(io::Error::other)?;
        let file = File::from(sys::into_fd(device));
        let index = sys::interface_index(&name)?;
        let offloads = if vnet { ask_for_offloads(&file) } else { Offloads::default() };
        Ok(Self { file, name, index, vnet, offloads })
    }
}

/// Turns on what the kernel takes.
fn ask_for_offloads(file: &File) -> Offloads {
    const TCP: u32 = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
    const UDP: u32 = TUN_F_USO4 | TUN_F_USO6;
    if sys::tun_set_offload(file.as_fd(), TCP | UDP).is_ok() {
        Offloads::ALL
    } else if sys::tun_set_offload(file.as_fd(), TCP).is_ok() {
        Offloads { read_udp: false, write_udp: false, ..Offloads::ALL }
    } else {
        Offloads::default()
    }
}

fn check_name(name: &str) -> Result<(), OpenError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.len() > NAME_LEN_MAX {
        Err(OpenError::NameTooLong(name.to_owned()))
    } else if name.is_empty() || name.starts_with('.') || !name.bytes().all(allowed) {
        Err(OpenError::NameInvalid(name.to_owned()))
    } else {
        Ok(())
    }
}

fn explain(error: io::Error, options: &TunOptions) -> OpenError {
    match (error.raw_os_error(), &options.name) {
        (Some(libc::ENOENT | libc::ENODEV | libc::ENXIO), _) => OpenError::NoDriver,
        (Some(libc::EPERM | libc::EACCES), _) => OpenError::Permission,
        (Some(libc::EBUSY | libc::EEXIST), Some(name)) => OpenError::NameBusy(name.clone()),
        // The kernel says EINVAL when the name belongs to a device that is no TUN.
        (Some(libc::EINVAL), Some(name)) if sys::interface_index(name).is_ok() => {
            OpenError::NameBusy(name.clone())
        }
        _ => OpenError::Other(error),
    }
}

impl AsFd for Tun {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Device for Tun {
    fn read<'b>(&mut self, buffer: &'b mut ReadBuffer) -> io::Result<Option<Packet<'b>>> {
        buffer.fill(self.vnet, |bytes| self.file.read(bytes))
    }

    fn write(&mut self, header: &Header, first: &[u8], rest: &[IoSlice<'_>]) -> io::Result<()> {
        // Virtio header, first packet, payload of the others.
        const PARTS_MAX: usize = 1 + PACKETS_MAX;
        if rest.len() >= PACKETS_MAX {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let header = header.emit();
        let mut parts = [IoSlice::new(&[]); PARTS_MAX];
        parts[0] = IoSlice::new(&header);
        parts[1] = IoSlice::new(first);
        parts[2..2 + rest.len()].copy_from_slice(rest);
        let from = usize::from(!self.vnet);
        self.file.write_vectored(&parts[from..2 + rest.len()]).map(drop)
    }

    fn offloads(&self) -> Offloads {
        self.offloads
    }

    fn stop_merging(&mut self) {
        self.offloads.write_tcp = false;
        self.offloads.write_udp = false;
    }
}

#[cfg(test)]
mod tests;
