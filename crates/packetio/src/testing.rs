//! Packets and networks for the tests of several modules.

use std::process::Command;

use crate::device::{Tun, TunOptions};
use crate::ip::{self, Layout, TCP, UDP, Version};
use crate::split::Packet;
use crate::sys;
use crate::vnet::{Gso, Header};

/// What to put into a packet.
#[derive(Clone, Debug)]
pub struct Spec {
    pub version: Version,
    pub protocol: u8,
    /// Bytes of TCP options, a multiple of 4.
    pub options: Vec<u8>,
    pub flags: u8,
    pub sequence: u32,
    pub identification: u16,
    pub dont_fragment: bool,
    pub payload: Vec<u8>,
}

impl Spec {
    pub fn tcp(version: Version, payload: &[u8]) -> Self {
        Self {
            version,
            protocol: TCP,
            options: Vec::new(),
            flags: 0x10,
            sequence: 0xffff_ff00,
            identification: 0xfffe,
            dont_fragment: true,
            payload: payload.to_vec(),
        }
    }

    pub fn udp(version: Version, payload: &[u8]) -> Self {
        Self { protocol: UDP, ..Self::tcp(version, payload) }
    }

    /// The packet, its transport checksum half-done.
    pub fn partial(&self) -> Vec<u8> {
        let mut packet = match self.version {
            Version::V4 => {
                let mut header = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, self.protocol, 0, 0];
                ip::write_u16(&mut header, 4, self.identification);
                header[6] = if self.dont_fragment { 0x40 } else { 0 };
                header.extend([10, 0, 0, 1, 10, 0, 0, 2]);
                header
            }
            Version::V6 => {
                let mut header = vec![0x60, 0, 0, 7, 0, 0, self.protocol, 64];
                header.extend([0xfd; 16]);
                header.extend([0xfe; 16]);
                header
            }
        };
        let start = packet.len();
        packet.extend([0x12, 0x34, 0x56, 0x78]);
        if self.protocol == TCP {
            packet.extend(self.sequence.to_be_bytes());
            packet.extend([0, 0, 0, 9, 0, self.flags, 1, 0, 0, 0, 0, 0]);
            packet[start + 12] = ((5 + self.options.len() / 4) as u8) << 4;
            packet.extend(&self.options);
        } else {
            packet.extend([0; 4]);
            ip::write_u16(&mut packet, start + 4, (8 + self.payload.len()) as u16);
        }
        packet.extend(&self.payload);
        let total = packet.len();
        ip::write_total_len(&mut packet, self.version, total);
        let layout = Layout::parse(&packet).expect("well formed");
        let pseudo = layout.pseudo_header(&packet, self.protocol, total - start);
        ip::write_u16(&mut packet, start + ip::checksum_offset(self.protocol), pseudo.fold());
        packet
    }

    /// The packet as it should be on a wire.
    pub fn complete(&self) -> Vec<u8> {
        let mut packet = self.partial();
        ip::complete_checksum(&mut packet);
        packet
    }

    /// What the kernel says of the packet as a super-packet.
    pub fn super_header(&self, segment_len: u16) -> Header {
        let packet = self.partial();
        let layout = Layout::parse(&packet).expect("well formed");
        let transport = layout.transport(&packet).expect("TCP or UDP");
        Header {
            gso: match (self.protocol, self.version) {
                (UDP, _) => Gso::Udp,
                (_, Version::V4) => Gso::Tcp4,
                (_, Version::V6) => Gso::Tcp6,
            },
            segment_len,
            header_len: transport.payload as u16,
            partial: Some((transport.start as u16, transport.checksum_offset() as u16)),
        }
    }
}

/// The packets that `packet` becomes.
pub fn split(header: &Header, packet: &[u8]) -> Vec<Vec<u8>> {
    let mut packet = packet.to_vec();
    let packet = Packet::parse(header, &mut packet).expect("well formed");
    let mut segments = packet.segments();
    let mut all = Vec::new();
    while let Some(segment) = segments.next_segment() {
        all.push([segment.head, segment.body].concat());
    }
    all
}

/// Whether IP header checksum (IPv4) and transport checksum are right.
pub fn is_right(packet: &[u8]) -> bool {
    let layout = Layout::parse(packet).expect("well formed");
    let transport = layout.transport(packet).expect("TCP or UDP");
    let header = crate::checksum::Sum::default().add_bytes(&packet[..layout.header_len]).finish();
    (layout.version == Version::V6 || header == 0)
        && ip::checksum_is_right(packet, &layout, &transport)
}

/// Runs `body` in a thread with a network namespace of its own.
pub fn in_own_network<T: Send>(body: impl FnOnce() -> T + Send) -> T {
    let run = || match sys::unshare_network() {
        Ok(()) => body(),
        Err(error) => panic!(
            "no network namespace: {error}: be root, or in a user namespace: \
             `unshare --user --map-root-user COMMAND`"
        ),
    };
    std::thread::scope(|scope| scope.spawn(run).join())
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Opens a device in the network namespace of the calling thread.
pub fn open(name: &str, offload: bool) -> Tun {
    let options = TunOptions { name: Some(name.into()), mtu: 1400, offload };
    Tun::open(&options).unwrap_or_else(|error| panic!("{error}"))
}

/// Runs the `ip` program in the namespace of the calling thread.
pub fn ip(arguments: &[&str]) {
    let status =
        Command::new("ip").args(arguments).status().expect("`make deps` installs the ip program");
    assert!(status.success(), "ip {arguments:?}");
}
