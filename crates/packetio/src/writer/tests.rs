//! What is written to a device, and what is refused.

use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd};

use super::*;
use crate::device::{MemoryDevice, Offloads, ReadBuffer};
use crate::ip::Version;
use crate::split::Packet;
use crate::testing::{Spec, is_right, split};
use proptest::prelude::*;

/// Refuses super-packets as Linux 6.6.44 did.
struct Stubborn(MemoryDevice);

impl AsFd for Stubborn {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Device for Stubborn {
    fn read<'b>(&mut self, buffer: &'b mut ReadBuffer) -> io::Result<Option<Packet<'b>>> {
        self.0.read(buffer)
    }

    fn write(&mut self, header: &Header, first: &[u8], rest: &[IoSlice<'_>]) -> io::Result<()> {
        match header.gso {
            crate::vnet::Gso::None => self.0.write(header, first, rest),
            _ => Err(io::Error::from_raw_os_error(libc::EINVAL)),
        }
    }

    fn offloads(&self) -> Offloads {
        self.0.offloads()
    }

    fn stop_merging(&mut self) {
        self.0.stop_merging();
    }
}

fn segments() -> Vec<Vec<u8>> {
    let spec = Spec::tcp(Version::V4, &[5; 4000]);
    split(&spec.super_header(1000), &spec.partial())
}

fn write(device: &mut impl Device, packets: &mut [Vec<u8>], checksum: Checksum) -> WriteReport {
    let mut writer = Writer::new(device);
    packets.iter_mut().for_each(|packet| writer.push(packet, checksum));
    writer.finish()
}

#[test]
fn a_batch_is_written_and_read_without_allocating() {
    let (mut device, mut twin) = MemoryDevice::pair(Offloads::ALL).expect("pair");
    let (mut packets, mut buffer, mut room) = (segments(), ReadBuffer::default(), [0; 2_000]);
    let mut read = 0;
    let used = allocation_counter::measure(|| {
        assert_eq!(write(&mut device, &mut packets, Checksum::Partial).writes, 1);
        let packet = twin.read(&mut buffer).expect("read").expect("a packet");
        let mut segments = packet.segments();
        while let Some(segment) = segments.next_segment() {
            segment.copy_to(&mut room[..segment.len()]);
            read += 1;
        }
    });
    assert_eq!((read, used.count_total), (4, 0));
}

#[test]
fn segments_of_a_flow_cost_one_write() {
    let (mut device, mut twin) = MemoryDevice::pair(Offloads::ALL).expect("pair");
    let report = write(&mut device, &mut segments(), Checksum::Partial);
    let bytes = 4 * 1040;
    assert_eq!(report, WriteReport { packets: 4, bytes, writes: 1, ..WriteReport::default() });
    let mut buffer = ReadBuffer::default();
    let packet = twin.read(&mut buffer).expect("read").expect("a packet");
    assert_eq!(packet.first(), Spec::tcp(Version::V4, &[5; 4000]).partial());
    assert_eq!(packet.segment_count(), 4);
}

#[test]
fn a_plain_device_gets_single_packets_with_complete_checksums() {
    let (mut device, mut twin) = MemoryDevice::pair(Offloads::default()).expect("pair");
    let report = write(&mut device, &mut segments(), Checksum::Partial);
    assert_eq!((report.packets, report.writes), (4, 4));
    let mut buffer = ReadBuffer::default();
    while let Some(packet) = twin.read(&mut buffer).expect("read") {
        assert!(is_right(packet.first()));
    }
}

#[test]
fn a_device_that_refuses_a_super_packet_gets_no_more() {
    let (device, _twin) = MemoryDevice::pair(Offloads::ALL).expect("pair");
    let mut device = Stubborn(device);
    let report = write(&mut device, &mut segments(), Checksum::Partial);
    assert_eq!((report.dropped, report.merge_fallbacks), (4, 1));
    let report = write(&mut device, &mut segments(), Checksum::Partial);
    assert_eq!((report.packets, report.writes, report.dropped), (4, 4, 0));
}

#[test]
fn what_is_no_packet_is_refused() {
    let (mut device, _twin) = MemoryDevice::pair(Offloads::ALL).expect("pair");
    let mut icmp = Spec::udp(Version::V4, b"ping").partial();
    icmp[9] = 1;
    let mut long = Spec::udp(Version::V4, b"ping").partial();
    long.push(0);
    let report =
        write(&mut device, &mut [Vec::new(), vec![0x45; 19], icmp, long], Checksum::Partial);
    assert_eq!(report, WriteReport { refused: 4, ..WriteReport::default() });
}

#[test]
fn a_device_that_nobody_reads_drops_and_counts() {
    let (mut device, _twin) = MemoryDevice::pair(Offloads::ALL).expect("pair");
    let mut dropped = 0;
    for _ in 0..1000 {
        dropped += write(&mut device, &mut segments(), Checksum::Partial).dropped;
    }
    assert!(dropped > 0);
}

proptest! {
    #[test]
    fn garbage_never_panics(
        mut packets in proptest::collection::vec(
            proptest::collection::vec(any::<u8>(), 0..120), 0..10),
        versions in proptest::collection::vec(any::<(bool, bool)>(), 10),
        partial in any::<bool>(),
    ) {
        for (packet, (v6, tcp)) in packets.iter_mut().zip(versions) {
            if packet.len() >= 40 {
                let len = packet.len() as u16;
                let protocol = if tcp { 6 } else { 17 };
                packet[0] = if v6 { 0x60 } else { 0x45 };
                packet[if v6 { 6 } else { 9 }] = protocol;
                packet[if v6 { 4..6 } else { 2..4 }]
                    .copy_from_slice(&(if v6 { len - 40 } else { len }).to_be_bytes());
            }
        }
        let (mut device, _twin) = MemoryDevice::pair(Offloads::ALL).expect("pair");
        let checksum = if partial { Checksum::Partial } else { Checksum::Complete };
        let count = packets.len() as u64;
        let report = write(&mut device, &mut packets, checksum);
        prop_assert_eq!(report.packets + report.refused + report.dropped, count);
    }
}
