//! The kernel's device and its twin behave alike, seen through the trait.

use super::*;
use crate::checksum::{Checksum, Sum};
use crate::ip::Layout;
use crate::poller::Poller;
use crate::testing::{in_own_network, ip, open};
use crate::writer::Writer;
use std::net::UdpSocket;
use std::time::Duration;

const MINE: [u8; 4] = [10, 9, 0, 2];
const PEER: [u8; 4] = [10, 9, 0, 1];

fn icmp(from: [u8; 4], to: [u8; 4], kind: u8) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, 1, 0, 0];
    packet.extend(from);
    packet.extend(to);
    packet.extend([kind, 0, 0, 0, 0xab, 0xcd, 0, 1]);
    packet.extend(b"payload of an echo request");
    let total = packet.len();
    crate::ip::write_total_len(&mut packet, crate::ip::Version::V4, total);
    let sum = Sum::default().add_bytes(&packet[20..]).finish();
    crate::ip::write_u16(&mut packet, 22, sum);
    packet
}

/// Sends an echo request into the device and waits for the reply.
fn is_answered(device: &mut impl Device) -> bool {
    let poller = Poller::new().expect("poller");
    let idle = UdpSocket::bind("127.0.0.1:0").expect("bind");
    let mut request = icmp(MINE, PEER, 8);
    let mut writer = Writer::new(device);
    writer.push(&mut request, Checksum::Complete);
    assert_eq!(writer.finish().packets, 1);
    let mut buffer = ReadBuffer::default();
    for _ in 0..400 {
        poller.wait(device, &idle, Some(Duration::from_millis(50))).expect("wait");
        while let Some(packet) = device.read(&mut buffer).expect("read") {
            let reply = packet.first();
            // The host may say other things too, such as router solicitations.
            if reply[0] == 0x45 && reply[9] == 1 && reply[20] == 0 {
                let layout = Layout::parse(reply).expect("well formed");
                assert_eq!(layout.addresses(reply), [PEER, MINE].concat());
                assert_eq!(reply[24..], icmp(MINE, PEER, 8)[24..]);
                return true;
            }
        }
    }
    false
}

#[test]
fn unit_vn_12_the_memory_device_answers_through_the_trait() {
    let (mut device, mut twin) = MemoryDevice::pair(Offloads::ALL).expect("pair");
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let poller = Poller::new().expect("poller");
            let idle = UdpSocket::bind("127.0.0.1:0").expect("bind");
            poller.wait(&twin, &idle, Some(Duration::from_secs(20))).expect("wait");
            let mut buffer = ReadBuffer::default();
            let request = twin.read(&mut buffer).expect("read").expect("a packet");
            assert_eq!(request.first(), icmp(MINE, PEER, 8));
            twin.write(&Header::default(), &icmp(PEER, MINE, 0), &[]).expect("write");
        });
        assert!(is_answered(&mut device));
    });
}

#[test]
fn unit_vn_12_the_kernel_device_answers_through_the_trait() {
    for offload in [true, false] {
        in_own_network(|| {
            let mut tun = open("warren-t", offload);
            ip(&["link", "set", "lo", "up"]);
            ip(&["addr", "add", "10.9.0.1/24", "dev", "warren-t"]);
            ip(&["link", "set", "warren-t", "up"]);
            assert!(is_answered(&mut tun));
        });
    }
}

#[test]
fn bytes_that_are_no_packet_are_invalid_data_and_the_next_is_read() {
    let (mut device, mut twin) = MemoryDevice::pair(Offloads::ALL).expect("pair");
    twin.write(&Header::default(), b"garbage", &[]).expect("write");
    twin.write(&Header::default(), &icmp(PEER, MINE, 0), &[]).expect("write");
    let mut buffer = ReadBuffer::default();
    let error = device.read(&mut buffer).expect_err("garbage");
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert!(device.read(&mut buffer).expect("read").is_some());
    assert!(device.read(&mut buffer).expect("read").is_none());
}
