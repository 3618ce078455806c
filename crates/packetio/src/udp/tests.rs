//! Sockets of this kernel: batches, offloads, both IP versions, errors by ICMP.

use super::*;
use std::time::{Duration, Instant};

fn bind(addr: &str) -> Udp {
    Udp::bind(addr.parse().expect("address"), &UdpOptions::default()).expect("bind")
}

fn push(batch: &mut SendBatch, to: SocketAddr, datagram: &[u8]) -> Push {
    batch.push(to, datagram.len(), |region| {
        region.copy_from_slice(datagram);
        Some(datagram.len())
    })
}

/// How long anything may take on a busy machine: even the loopback interface delivers when the kernel has time for it.
const PATIENCE: Duration = Duration::from_secs(20);

/// Receives until `count` datagrams are there.
fn receive(udp: &Udp, count: usize) -> Vec<(SocketAddr, Vec<u8>)> {
    let mut batch = RecvBatch::default();
    let mut all = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    while all.len() < count && Instant::now() < deadline {
        udp.recv(&mut batch).expect("receive");
        all.extend(batch.datagrams().map(|(from, datagram)| (from, datagram.to_vec())));
    }
    all
}

fn datagrams(count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|index| vec![index as u8; if index + 1 == count { 77 } else { 1200 }]).collect()
}

fn round_trip(addr: &str, options: &UdpOptions) -> SendReport {
    let sender = Udp::bind(addr.parse().expect("address"), options).expect("bind");
    let receiver = bind(addr);
    let to = receiver.local_addr().expect("address");
    let mut batch = SendBatch::default();
    let sent = datagrams(50);
    for datagram in &sent {
        assert_eq!(push(&mut batch, to, datagram), Push::Added);
    }
    let report = sender.send(&mut batch);
    assert!(batch.is_empty());
    let from = sender.local_addr().expect("address");
    let expected: Vec<_> = sent.into_iter().map(|datagram| (from, datagram)).collect();
    assert_eq!(receive(&receiver, 50), expected);
    report
}

#[test]
fn equal_datagrams_travel_as_one_message() {
    for addr in ["127.0.0.1:0", "[::1]:0"] {
        let report = round_trip(addr, &UdpOptions::default());
        let bytes = 49 * 1200 + 77;
        let expected = SendReport { datagrams: 50, bytes, messages: 1, ..SendReport::default() };
        assert_eq!(report, expected);
    }
}

#[test]
fn without_offload_the_same_datagrams_arrive() {
    let options = UdpOptions { gso: Gso::Off, gro: false, ..UdpOptions::default() };
    for addr in ["127.0.0.1:0", "[::1]:0"] {
        let report = round_trip(addr, &options);
        assert_eq!((report.datagrams, report.messages), (50, 50));
    }
}

#[test]
fn received_datagrams_come_put_together() {
    let (sender, receiver) = (bind("127.0.0.1:0"), bind("127.0.0.1:0"));
    assert!(sender.gso() && receiver.gro());
    let mut batch = SendBatch::default();
    for datagram in datagrams(40) {
        push(&mut batch, receiver.local_addr().expect("address"), &datagram);
    }
    sender.send(&mut batch);
    let (mut batch, deadline) = (RecvBatch::default(), Instant::now() + PATIENCE);
    let messages = loop {
        let messages = receiver.recv(&mut batch).expect("receive");
        if messages > 0 || Instant::now() > deadline {
            break messages;
        }
    };
    assert_eq!((messages, batch.datagrams().count()), (1, 40));
}

#[test]
fn a_dual_stack_socket_speaks_plain_ipv4() {
    let (dual, v4) = (bind("[::]:0"), bind("127.0.0.1:0"));
    let port = dual.local_addr().expect("address").port();
    let v4_addr = v4.local_addr().expect("address");
    let dual_as_v4 = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    v4.send_one(dual_as_v4, b"to dual").expect("send");
    assert_eq!(receive(&dual, 1), [(v4_addr, b"to dual".to_vec())]);
    dual.send_one(v4_addr, b"alone").expect("send");
    assert_eq!(receive(&v4, 1), [(dual_as_v4, b"alone".to_vec())]);
    let mut batch = SendBatch::default();
    push(&mut batch, v4_addr, b"one");
    push(&mut batch, v4_addr, b"two");
    assert_eq!(dual.send(&mut batch).messages, 1);
    let expected = [(dual_as_v4, b"one".to_vec()), (dual_as_v4, b"two".to_vec())];
    assert_eq!(receive(&v4, 2), expected);
}

#[test]
fn options_reach_the_kernel() {
    crate::testing::in_own_network(|| {
        // In a user namespace nobody gets buffers past the limits of the system.
        let may_force = |udp: &Udp| {
            sys::set_option(udp.as_fd(), libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, 1 << 20).is_ok()
        };
        let buffer_len = if may_force(&bind("127.0.0.1:0")) { 8 << 20 } else { 64 << 10 };
        let options = UdpOptions { mark: Some(0x7415), buffer_len, ..UdpOptions::default() };
        let udp = Udp::bind((Ipv4Addr::LOCALHOST, 0).into(), &options).expect("bind");
        let socket = socket2::SockRef::from(&udp);
        assert_eq!(socket.mark().expect("mark"), 0x7415);
        // Linux doubles the number for its own bookkeeping.
        assert_eq!(socket.recv_buffer_size().expect("size"), 2 * buffer_len);
        assert_eq!(socket.send_buffer_size().expect("size"), 2 * buffer_len);
        assert!(!socket.reuse_address().expect("option") && !socket.reuse_port().expect("option"));
    });
}

#[test]
fn warm_batches_are_sent_and_received_without_allocating() {
    for (addr, gso) in [("127.0.0.1:0", Gso::On), ("[::1]:0", Gso::On), ("[::1]:0", Gso::Off)] {
        let options = UdpOptions { gso, ..UdpOptions::default() };
        let sender = Udp::bind(addr.parse().expect("address"), &options).expect("bind");
        let receivers = [bind(addr), bind(addr)];
        let to = receivers.each_ref().map(|udp| udp.local_addr().expect("address"));
        let (mut out, mut batch) = (SendBatch::default(), RecvBatch::default());
        const BYTES: usize = 53 * 1200 + 7 * 77;
        let (mut bytes, deadline) = (0, Instant::now() + PATIENCE);
        let used = allocation_counter::measure(|| {
            // Runs of equal size, a shorter one and another destination: several messages.
            for n in 0..60 {
                let len = if n % 9 == 0 { 77 } else { 1200 };
                assert_eq!(push(&mut out, to[usize::from(n > 40)], &[7; 1200][..len]), Push::Added);
            }
            assert_eq!(sender.send(&mut out).datagrams, 60);
            while bytes < BYTES && Instant::now() < deadline {
                for udp in &receivers {
                    udp.recv(&mut batch).expect("receive");
                    bytes += batch.datagrams().map(|(_, datagram)| datagram.len()).sum::<usize>();
                }
            }
        });
        assert_eq!((bytes, used.count_total), (BYTES, 0), "{addr} {gso:?}");
    }
}

#[test]
fn a_taken_port_is_an_error() {
    for (first, second) in [("127.0.0.1", "127.0.0.1"), ("[::]", "[::]"), ("[::]", "0.0.0.0")] {
        let taken = bind(&format!("{first}:0"));
        let port = taken.local_addr().expect("address").port();
        let addr = format!("{second}:{port}").parse().expect("address");
        let error = Udp::bind(addr, &UdpOptions::default()).expect_err("taken");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}

/// Runs `body` where nobody else binds a port that it has closed.
fn alone(body: impl FnOnce() + Send) {
    crate::testing::in_own_network(|| {
        crate::testing::ip(&["link", "set", "lo", "up"]);
        body();
    });
}

/// Collects the first error about a datagram.
fn first_error(udp: &Udp) -> Option<(SocketAddr, Unreachable)> {
    let deadline = Instant::now() + PATIENCE;
    let mut first = None;
    while first.is_none() && Instant::now() < deadline {
        udp.recv_errors(|to, why| first = first.or(Some((to, why)))).expect("error queue");
    }
    first
}

#[test]
fn a_closed_port_is_told_with_its_address() {
    alone(|| {
        for (local, remote) in
            [("127.0.0.1:0", "127.0.0.1:0"), ("[::1]:0", "[::1]:0"), ("[::]:0", "127.0.0.1:0")]
        {
            let udp = bind(local);
            let closed = bind(remote).local_addr().expect("address");
            udp.send_one(closed, b"anybody there?").expect("send");
            assert_eq!(first_error(&udp), Some((closed, Unreachable::Port)), "{local}");
        }
    });
}

#[test]
fn an_error_about_one_destination_does_not_drop_datagrams_to_another() {
    alone(|| {
        let (udp, open) = (bind("127.0.0.1:0"), bind("127.0.0.1:0"));
        let closed = bind("127.0.0.1:0").local_addr().expect("address");
        let to = open.local_addr().expect("address");
        let mut batch = SendBatch::default();
        for _ in 0..20 {
            push(&mut batch, closed, b"lost");
            push(&mut batch, to, b"found");
        }
        let report = udp.send(&mut batch);
        assert_eq!((report.datagrams, report.unreachable), (40, 0));
        assert_eq!(receive(&open, 20).len(), 20);
        udp.send_one(closed, b"lost").expect("send");
        udp.send_one(to, b"found").expect("send");
        assert_eq!(receive(&open, 1).len(), 1);
        assert!(receive_nothing(&udp));
    });
}

fn receive_nothing(udp: &Udp) -> bool {
    let mut batch = RecvBatch::default();
    udp.recv(&mut batch).expect("pending errors are not errors of the receive") == 0
}

#[test]
fn a_datagram_beyond_the_interface_s_mtu_is_counted_and_the_rest_is_sent() {
    // A segment longer than the MTU makes Linux refuse the whole message, which must not be taken
    // for a lack of GSO.
    crate::testing::in_own_network(|| {
        crate::testing::ip(&["link", "set", "lo", "mtu", "1500", "up"]);
        let (udp, open) = (bind("127.0.0.1:0"), bind("127.0.0.1:0"));
        let to = open.local_addr().expect("address");
        let mut batch = SendBatch::default();
        push(&mut batch, to, &[1; 2000]);
        push(&mut batch, to, &[2; 2000]);
        push(&mut batch, to, &[3; 100]);
        let report = udp.send(&mut batch);
        assert_eq!((report.too_big, report.datagrams, report.gso_fallbacks), (2, 1, 0));
        assert!(udp.gso());
        assert_eq!(receive(&open, 1)[0].1, [3; 100]);
        let (to, why) = first_error(&udp).expect("an error");
        assert_eq!((to.ip(), why), (Ipv4Addr::LOCALHOST.into(), Unreachable::TooBig { mtu: 1500 }));
    });
}

#[test]
fn a_kernel_that_refuses_to_segment_gets_single_datagrams_from_then_on() {
    let (udp, open) = (bind("127.0.0.1:0"), bind("127.0.0.1:0"));
    // Without checksums Linux does not segment (EINVAL), and sends all the same.
    sys::set_option(udp.as_fd(), libc::SOL_SOCKET, libc::SO_NO_CHECK, 1).expect("option");
    let clone = udp.try_clone().expect("clone");
    let mut batch = SendBatch::default();
    for (fallbacks, messages) in [(1, 5), (0, 5)] {
        datagrams(5).iter().for_each(|datagram| {
            push(&mut batch, open.local_addr().expect("address"), datagram);
        });
        let report = udp.send(&mut batch);
        assert_eq!(
            (report.gso_fallbacks, report.messages, report.datagrams),
            (fallbacks, messages, 5)
        );
        assert_eq!(receive(&open, 5).len(), 5);
    }
    assert!(!udp.gso() && !clone.gso());
}

#[test]
fn no_route_is_counted() {
    crate::testing::in_own_network(|| {
        let udp = bind("[::]:0");
        let mut batch = SendBatch::default();
        push(&mut batch, "192.0.2.1:7".parse().expect("address"), b"a");
        push(&mut batch, "[2001:db8::1]:7".parse().expect("address"), b"b");
        assert_eq!(udp.send(&mut batch).unreachable, 2);
    });
}

#[test]
fn two_threads_share_a_socket() {
    let (udp, open) = (bind("127.0.0.1:0"), bind("127.0.0.1:0"));
    let to = open.local_addr().expect("address");
    std::thread::scope(|scope| {
        scope.spawn(|| (0..100).for_each(|_| udp.send_one(to, b"control").expect("send")));
        let mut batch = SendBatch::default();
        (0..60).for_each(|_| assert_eq!(push(&mut batch, to, b"data"), Push::Added));
        assert_eq!(udp.try_clone().expect("clone").send(&mut batch).datagrams, 60);
    });
    assert_eq!(receive(&open, 160).len(), 160);
}
