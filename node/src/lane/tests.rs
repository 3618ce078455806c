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
    punts: Punted,
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
        let first = async {
            loop {
                match self.punts.recv().await.unwrap() {
                    Punt::Report(..) => {}
                    punt => return punt,
                }
            }
        };
        timeout(PATIENCE, first).await.unwrap()
    }

    /// Waits for a report that says so; one of the next few does.
    async fn reported(&mut self, says: impl Fn(&Report, &Traffic) -> bool) {
        let mut reports = 0;
        while reports < 3 {
            let punt = timeout(PATIENCE, self.punts.recv()).await.unwrap().unwrap();
            let Punt::Report(report, traffic) = punt else { continue };
            if says(&report, &traffic) {
                return;
            }
            reports += 1;
        }
        panic!("not reported");
    }
}

/// A frame of the control lane, as far as the data lane looks at it.
fn control_frame() -> [u8; 40] {
    let mut frame = [0; 40];
    frame[0] = proto::wire::frame::Kind::Frame as u8;
    frame
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
    bench.reported(|report, _| report.drops.of(Reason::ForeignSource) == 1).await;
    bench.lane.stop().unwrap();
}

#[tokio::test]
async fn a_flood_of_strangers_holds_up_neither_a_peer_nor_the_report() {
    let mut bench = bench();
    bench.lane.set_peers(HashSet::from([bench.peer.local_addr().unwrap()]));
    bench.lane.wake();
    let to = bench.udp.local_addr().unwrap();
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    let hello = [proto::wire::frame::Kind::HelloClear as u8; 100];
    let ping = control_frame();
    let end = Monotonic::now() + PATIENCE;
    let (mut is_flooded, mut is_heard) = (false, false);
    while !is_heard {
        assert!(Monotonic::now() < end, "flooded: {is_flooded}");
        for _ in 0..64 {
            stranger.send_to(&hello, to).unwrap();
        }
        bench.peer.send_to(&ping, to).unwrap();
        // Nobody reads what strangers send.
        while let Ok(punt) = bench.punts.of_peers.try_recv() {
            match punt {
                Punt::Report(_, traffic) => is_flooded |= traffic.punt_drops > 0,
                Punt::Datagram { bytes, .. } => is_heard |= is_flooded && bytes == ping,
                other => panic!("{other:?}"),
            }
        }
    }
    bench.lane.stop().unwrap();
}

#[tokio::test]
async fn what_was_counted_while_a_report_found_no_room_is_in_the_next() {
    let mut bench = bench();
    bench.lane.set_peers(HashSet::from([bench.peer.local_addr().unwrap()]));
    bench.lane.wake();
    let to = bench.udp.local_addr().unwrap();
    let ping = control_frame();
    let packet = packet([10, 42, 0, 2], [10, 42, 0, 3]);
    // The queue of the report is full for longer than it takes until one is due.
    let end = Monotonic::now() + 2 * REPORT_INTERVAL;
    bench.host.write(&vnet::Header::default(), &packet, &[]).unwrap();
    while Monotonic::now() < end {
        bench.peer.send_to(&ping, to).unwrap();
    }
    bench.reported(|report, _| report.drops.of(Reason::ForeignSource) == 1).await;
    bench.lane.stop().unwrap();
}

#[tokio::test]
async fn what_the_device_gives_and_is_no_packet_is_counted() {
    let mut bench = bench();
    bench.host.write(&vnet::Header::default(), &[0; 40], &[]).unwrap();
    bench.reported(|_, traffic| traffic.read_drops == 1).await;
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
