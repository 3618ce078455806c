//! The lane's thread between two devices in memory.

use super::*;
use std::net::UdpSocket;

use packetio::{MemoryDevice, Offloads, UdpOptions};
use proto::lane::{Delta, Reason};
use proto::vpn::address::{Local, Subnet};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

struct Bench {
    lane: LaneHandle,
    punts: mpsc::Receiver<Punt>,
    host: MemoryDevice,
    peer: UdpSocket,
    udp: Udp,
}

/// A lane whose device and network ends the test holds.
fn bench() -> Bench {
    let udp = Udp::bind("127.0.0.1:0".parse().unwrap(), &UdpOptions::default()).unwrap();
    let (device, host) = MemoryDevice::pair(Offloads::default()).unwrap();
    let (lane, punts) = start(device, udp.try_clone().unwrap(), Clock::start()).unwrap();
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    Bench { lane, punts, host, peer, udp }
}

impl Bench {
    fn give_addresses(&self) {
        self.lane.order(LaneInput::Delta(Delta::Local(Local {
            subnet: Subnet::new([10, 42, 0, 0].into(), 24),
            ipv4: Some([10, 42, 0, 2].into()),
            ipv6: "fd00::2".parse().unwrap(),
            mtu: 1280,
        })));
        self.lane.wake();
    }

    async fn punt(&mut self) -> Punt {
        loop {
            match timeout(PATIENCE, self.punts.recv()).await.unwrap().unwrap() {
                Punt::Report(..) => {}
                punt => return punt,
            }
        }
    }

    async fn report(&mut self) -> (Report, Traffic) {
        loop {
            if let Punt::Report(report, traffic) =
                timeout(PATIENCE, self.punts.recv()).await.unwrap().unwrap()
            {
                return (report, traffic);
            }
        }
    }
}

/// An IPv4 packet of 28 bytes with UDP and no checksum.
fn packet(source: [u8; 4], destination: [u8; 4]) -> Vec<u8> {
    let mut packet = vec![0; 28];
    packet[0] = 0x45;
    packet[3] = 28;
    packet[8] = 64;
    packet[9] = 17;
    packet[12..16].copy_from_slice(&source);
    packet[16..20].copy_from_slice(&destination);
    packet[25] = 8;
    packet
}

#[tokio::test]
async fn what_is_no_frame_of_the_lane_goes_to_the_node_with_its_source() {
    let mut bench = bench();
    let hello = [proto::wire::frame::Kind::HelloClear as u8, 1, 2, 3];
    bench.peer.send_to(&hello, bench.udp.local_addr().unwrap()).unwrap();
    let Punt::Datagram { from, bytes } = bench.punt().await else { panic!("a datagram") };
    assert_eq!((from, &bytes[..]), (bench.peer.local_addr().unwrap(), &hello[..]));
    bench.lane.stop().unwrap();
}

#[tokio::test]
async fn a_packet_without_a_session_goes_to_the_node_and_never_to_the_network() {
    let mut bench = bench();
    bench.give_addresses();
    let to_member = packet([10, 42, 0, 2], [10, 42, 0, 3]);
    loop {
        // The addresses may come after the packet: then it is dropped.
        bench.host.write(&vnet::Header::default(), &to_member, &[]).unwrap();
        if let Ok(Some(punt)) = timeout(Duration::from_millis(50), bench.punts.recv()).await {
            let Punt::Unrouted(bytes) = punt else { continue };
            assert_eq!(bytes, to_member);
            break;
        }
    }
    bench.peer.set_nonblocking(true).unwrap();
    assert!(bench.peer.recv(&mut [0; 2000]).is_err());
    bench.lane.stop().unwrap();
}

#[tokio::test]
async fn before_it_has_addresses_a_lane_drops_what_the_host_sends() {
    let mut bench = bench();
    let packet = packet([10, 42, 0, 2], [10, 42, 0, 3]);
    bench.host.write(&vnet::Header::default(), &packet, &[]).unwrap();
    let (report, _) = bench.report().await;
    assert_eq!(report.drops.of(Reason::ForeignSource), 1);
    bench.lane.stop().unwrap();
}

#[tokio::test]
async fn a_node_that_is_busy_costs_punts_and_nothing_else() {
    let mut bench = bench();
    let to = bench.udp.local_addr().unwrap();
    let hello = [proto::wire::frame::Kind::HelloClear as u8; 100];
    let started = std::time::Instant::now();
    // The kernel drops some too, so more are sent until the lane had to.
    loop {
        for _ in 0..2 * PUNTS_MAX {
            bench.peer.send_to(&hello, to).unwrap();
        }
        let (_, traffic) = bench.report().await;
        if traffic.punt_drops > 0 {
            assert!(traffic.received.0 > PUNTS_MAX as u64, "{traffic:?}");
            break;
        }
        assert!(started.elapsed() < 4 * PATIENCE, "{traffic:?}");
    }
    // Where they are taken, another comes through.
    let another = [hello[0], 7];
    loop {
        bench.peer.send_to(&another, to).unwrap();
        let Punt::Datagram { bytes, .. } = bench.punt().await else { panic!("a datagram") };
        if bytes[..] == another {
            break;
        }
    }
    bench.lane.stop().unwrap();
}

#[tokio::test]
async fn orders_beyond_the_queue_are_waited_for_and_none_is_lost() {
    let bench = bench();
    for _ in 0..3 * ORDERS_MAX {
        bench.give_addresses();
    }
    bench.lane.stop().unwrap();
}

#[tokio::test]
async fn a_lane_that_ends_closes_its_punts() {
    let Bench { lane, mut punts, .. } = bench();
    lane.stop().unwrap();
    while punts.recv().await.is_some() {}
}
