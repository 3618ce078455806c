//! TUN devices of this kernel, with and without offloads, and what a user reads when none is to be had.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use super::*;
use crate::checksum::Checksum;
use crate::testing::{in_own_network, ip, open};
use crate::writer::Writer;

fn options(name: &str) -> TunOptions {
    TunOptions { name: Some(name.into()), mtu: 1400, offload: true }
}

#[test]
fn a_device_has_name_index_mtu_and_offloads() {
    in_own_network(|| {
        let tun = open("warren-a", true);
        assert_eq!(tun.name(), "warren-a");
        assert_eq!(tun.index(), sys::interface_index("warren-a").expect("index"));
        assert!(tun.offloads().checksum && tun.offloads().read_tcp && tun.offloads().write_tcp);
        let shown = std::process::Command::new("ip").args(["link", "show", "warren-a"]).output();
        let shown = String::from_utf8(shown.expect("`make deps` installs the ip program").stdout)
            .expect("text");
        assert!(shown.contains("mtu 1400"), "{shown}");
    });
}

#[test]
fn errors_say_what_to_do() {
    in_own_network(|| {
        let long = Tun::open(&options("a-name-beyond-fifteen"));
        assert!(matches!(long, Err(OpenError::NameTooLong(_))));
        assert!(matches!(Tun::open(&options("a/b")), Err(OpenError::NameInvalid(_))));
        let _tun = open("warren-b", true);
        assert!(matches!(Tun::open(&options("warren-b")), Err(OpenError::NameBusy(_))));
        assert!(matches!(Tun::open(&options("lo")), Err(OpenError::NameBusy(_))));
    });
    let explain = |errno| explain(io::Error::from_raw_os_error(errno), &options("x")).to_string();
    assert!(explain(libc::EPERM).contains("CAP_NET_ADMIN"));
    assert!(explain(libc::ENOENT).contains("/dev/net/tun"));
}

/// How long anything may take on a busy machine; a thread that waits for longer fails, and its test with it.
const PATIENCE: Duration = Duration::from_secs(20);

/// Carries packets between two devices until `done`, split and put together as a tunnel would.
/// Returns whether any was split, and any put together.
fn carry(left: &mut Tun, right: &mut Tun, done: impl Fn() -> bool) -> (bool, bool) {
    let mut buffer = ReadBuffer::default();
    let (mut split, mut merged) = (false, false);
    let deadline = Instant::now() + PATIENCE;
    while !done() && Instant::now() < deadline {
        for leftward in [false, true] {
            let (from, to) =
                if leftward { (&mut *right, &mut *left) } else { (&mut *left, &mut *right) };
            while let Some(packet) = from.read(&mut buffer).expect("read") {
                split |= packet.segment_count() > 1;
                let mut copies = Vec::new();
                let mut segments = packet.segments();
                while let Some(segment) = segments.next_segment() {
                    assert!(segment.len() <= 1400);
                    let mut copy = vec![0; segment.len()];
                    segment.copy_to(&mut copy);
                    copies.push((copy, segment.checksum));
                }
                let mut writer = Writer::new(to);
                for (copy, checksum) in &mut copies {
                    writer.push(copy, *checksum);
                }
                let report = writer.finish();
                assert_eq!((report.refused, report.merge_fallbacks), (0, 0));
                merged |= report.writes < report.packets;
            }
        }
    }
    (split, merged)
}

/// Makes a host with a device, runs `work` in its namespace, and hands the device out.
fn host<'s, T: Send + 's>(
    scope: &'s std::thread::Scope<'s, '_>,
    addr: &'static str,
    work: impl FnOnce() -> T + Send + 's,
) -> (Tun, std::thread::ScopedJoinHandle<'s, T>) {
    let (give, take) = std::sync::mpsc::channel();
    let thread = scope.spawn(move || {
        in_own_network(|| {
            let tun = open("warren-c", true);
            ip(&["link", "set", "lo", "up"]);
            ip(&["addr", "add", addr, "dev", "warren-c"]);
            ip(&["link", "set", "warren-c", "up"]);
            give.send(tun).expect("the other thread waits");
            work()
        })
    });
    (take.recv().expect("the thread gives a device"), thread)
}

#[test]
fn tcp_crosses_two_devices_in_super_packets_unchanged() {
    let sent: Vec<u8> = (0..4_000_000_u32).map(|n| (n / 7) as u8).collect();
    std::thread::scope(|scope| {
        let (ready, go) = std::sync::mpsc::channel();
        let (mut left, server) = host(scope, "10.9.0.1/24", move || {
            let listener = TcpListener::bind("10.9.0.1:7").expect("bind");
            // The accepted stream has it from the listener. It runs while the other host is made.
            let patience = Some(2 * PATIENCE);
            socket2::SockRef::from(&listener).set_read_timeout(patience).expect("timeout");
            ready.send(()).expect("the client waits");
            let mut received = Vec::new();
            let (mut stream, _) = listener.accept().expect("accept");
            stream.read_to_end(&mut received).expect("read");
            received
        });
        let (mut right, _client) = host(scope, "10.9.0.2/24", {
            let sent = &sent;
            move || {
                go.recv().expect("the server listens");
                let to = "10.9.0.1:7".parse().expect("address");
                let mut stream = TcpStream::connect_timeout(&to, PATIENCE).expect("connect");
                stream.set_write_timeout(Some(PATIENCE)).expect("timeout");
                stream.write_all(sent).expect("write");
            }
        });
        let (split, merged) = carry(&mut left, &mut right, || server.is_finished());
        assert!(split && merged, "offload is in use");
        let received = server.join().expect("thread");
        assert!(received == sent, "{} of {} bytes", received.len(), sent.len());
    });
}

#[test]
fn udp_batches_cross_two_devices_in_super_packets_unchanged() {
    let count = 40;
    std::thread::scope(|scope| {
        let (ready, go) = std::sync::mpsc::channel();
        let (mut left, receiver) = host(scope, "10.9.0.1/24", move || {
            let socket = UdpSocket::bind("10.9.0.1:7").expect("bind");
            // It runs while the other host is made.
            socket.set_read_timeout(Some(2 * PATIENCE)).expect("timeout");
            ready.send(()).expect("the sender waits");
            let mut buffer = [0; 2000];
            (0..count)
                .map(|_| {
                    let len = socket.recv(&mut buffer).expect("a datagram");
                    (len, buffer[0])
                })
                .collect::<Vec<_>>()
        });
        let (mut right, _sender) = host(scope, "10.9.0.2/24", move || {
            go.recv().expect("the receiver listens");
            let options = crate::udp::UdpOptions::default();
            let udp = crate::udp::Udp::bind("10.9.0.2:0".parse().expect("address"), &options);
            let mut batch = crate::udp::SendBatch::default();
            for index in 0..count {
                let push = batch.push("10.9.0.1:7".parse().expect("address"), 1200, |region| {
                    region.fill(index);
                    Some(region.len())
                });
                assert_eq!(push, crate::udp::Push::Added);
            }
            assert_eq!(udp.expect("bind").send(&mut batch).datagrams, u64::from(count));
        });
        let uso = right.offloads().read_udp;
        let (split, merged) = carry(&mut left, &mut right, || receiver.is_finished());
        assert_eq!((split, merged), (uso, uso));
        let received = receiver.join().expect("thread");
        let expected: Vec<_> = (0..count).map(|index| (1200, index)).collect();
        assert_eq!(received, expected);
    });
}

#[test]
fn a_half_done_checksum_is_completed_by_the_kernel() {
    in_own_network(|| {
        let mut tun = open("warren-d", true);
        ip(&["addr", "add", "10.0.0.2/24", "dev", "warren-d"]);
        ip(&["link", "set", "warren-d", "up"]);
        let socket = UdpSocket::bind("10.0.0.2:0").expect("bind");
        socket.set_read_timeout(Some(PATIENCE)).expect("timeout");
        let port = socket.local_addr().expect("address").port();
        let spec = crate::testing::Spec::udp(crate::ip::Version::V4, b"hello");
        for checksum in [Checksum::Partial, Checksum::Complete] {
            let mut packet = spec.partial();
            crate::ip::write_u16(&mut packet, 22, port);
            if checksum == Checksum::Complete {
                crate::ip::complete_checksum(&mut packet);
            }
            let mut writer = Writer::new(&mut tun);
            writer.push(&mut packet, checksum);
            assert_eq!(writer.finish().packets, 1);
            let mut buffer = [0; 100];
            let len = socket.recv(&mut buffer).expect("the datagram");
            assert_eq!(&buffer[..len], b"hello");
        }
    });
}
