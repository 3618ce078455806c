//! Hosts reach each other, can be cut off and listened to, and NATs map as their kind says.

use std::io::Write as _;
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use lab::{Forward, Host, Lab, Nat, PATIENCE, Switch, eventually};

#[test]
fn ns_lab_hosts_reach_each_other_over_both_ip_versions() -> Result<()> {
    let pair = Pair::new()?;
    reach(&pair.alice, "10.0.0.2")?;
    reach(&pair.alice, "fd00::2")?;
    assert!(!can_ping(&pair.alice, "10.0.0.3"), "nobody has this address");
    Ok(())
}

#[test]
fn ns_lab_the_network_of_an_attached_host_changes_no_more() -> Result<()> {
    let pair = Pair::new()?;
    for last in 3..23 {
        let host = pair.lab.host("another")?;
        host.attach(&pair.lan, &[&format!("10.0.0.{last}/24"), &format!("fd00::{last}/64")])?;
        let before = host.network()?;
        reach(&pair.alice, &format!("10.0.0.{last}"))?;
        reach(&pair.alice, &format!("fd00::{last}"))?;
        assert_eq!(host.network()?, before);
    }
    Ok(())
}

#[test]
fn ns_lab_a_tun_device_stays_inside_its_host() -> Result<()> {
    let pair = Pair::new()?;
    pair.alice.ip("tuntap add dev vpn0 mode tun")?;
    pair.alice.ip("link show vpn0")?;
    assert!(pair.bob.ip("link show vpn0").is_err());
    Ok(())
}

#[test]
fn ns_lab_a_port_of_this_machine_leads_into_a_host_until_it_is_dropped() -> Result<()> {
    let pair = Pair::new()?;
    let listener = pair.bob.run(|| TcpListener::bind("10.0.0.2:0"))??;
    let forward = Forward::open(&pair.bob, listener.local_addr()?)?;
    let port = forward.address();
    assert!(port.ip().is_loopback());
    for word in ["first", "second"] {
        let mut here = TcpStream::connect(port)?;
        here.write_all(word.as_bytes())?;
        here.shutdown(Shutdown::Write)?;
        let (mut there, _) = listener.accept()?;
        std::io::copy(&mut there.try_clone()?, &mut there)?;
        drop(there);
        assert_eq!(std::io::read_to_string(here)?, word);
    }
    drop(forward);
    assert!(TcpStream::connect(port).is_err(), "it still listens");
    Ok(())
}

/// A forked child holds the sockets of the whole process until it executes its program.
#[test]
fn ns_lab_a_dropped_port_is_closed_while_children_are_forked() -> Result<()> {
    let pair = Pair::new()?;
    let forking = AtomicBool::new(true);
    let still_listening = thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while forking.load(Ordering::Relaxed) {
                    let _ = pair.alice.command("true").status();
                }
            });
        }
        // A free port each: a second run of this test beside the first does not listen there.
        let listens = |_| {
            let port = Forward::open(&pair.bob, "10.0.0.2:0".parse()?)?.address();
            Ok(TcpStream::connect(port).is_ok())
        };
        let found: Result<Vec<bool>> = (0..200).map(listens).collect();
        forking.store(false, Ordering::Relaxed);
        found
    })?;
    assert!(!still_listening.contains(&true));
    Ok(())
}

#[test]
fn ns_lab_blocked_traffic_stops_until_restored() -> Result<()> {
    let pair = Pair::new()?;
    for bob in ["10.0.0.2", "fd00::2"] {
        let address: IpAddr = bob.parse()?;
        reach(&pair.alice, bob)?;

        pair.alice.drop_traffic_with(address)?;
        assert!(!can_ping(&pair.alice, bob));
        assert!(!can_ping(&pair.bob, if address.is_ipv4() { "10.0.0.1" } else { "fd00::1" }));

        pair.alice.restore_traffic_with(address)?;
        reach(&pair.alice, bob)?;
    }
    Ok(())
}

#[test]
fn ns_lab_a_sender_sees_no_error_from_blocked_traffic() -> Result<()> {
    let pair = Pair::new()?;
    pair.alice.drop_traffic_with("10.0.0.2".parse()?)?;
    let socket = udp(&pair.alice, "10.0.0.1:0")?;
    for _ in 0..5 {
        assert_eq!(socket.send_to(b"lost", "10.0.0.2:9")?, 4);
    }
    Ok(())
}

#[test]
fn ns_lab_full_loss_stops_everything_and_no_loss_restores_it() -> Result<()> {
    let pair = Pair::new()?;
    pair.bob.set_loss_percent(100)?;
    assert!(!can_ping(&pair.alice, "10.0.0.2"));
    pair.bob.set_loss_percent(0)?;
    reach(&pair.alice, "10.0.0.2")
}

#[test]
fn ns_lab_a_pulled_cable_carries_nothing() -> Result<()> {
    let pair = Pair::new()?;
    pair.bob.set_carrier("eth0", false)?;
    assert!(!can_ping(&pair.alice, "10.0.0.2"));
    pair.bob.set_carrier("eth0", true)?;
    reach(&pair.alice, "10.0.0.2")
}

#[test]
fn ns_lab_capture_sees_a_marker_and_nothing_of_other_interfaces() -> Result<()> {
    let pair = Pair::new()?;
    let at_bob = pair.bob.capture("eth0")?;
    let at_loopback = pair.bob.capture("lo")?;

    udp(&pair.alice, "10.0.0.1:0")?.send_to(b"here is the marker", "10.0.0.2:9")?;

    eventually(PATIENCE, || {
        ensure!(at_bob.contains(b"the marker"), "saw {} packets", at_bob.packet_count());
        Ok(())
    })?;
    assert!(!at_loopback.contains(b"the marker"));
    let file = pair.lab.directory().join("bob.pcap");
    at_bob.save(&file)?;
    assert!(file.metadata()?.len() > 24);
    Ok(())
}

#[test]
fn ns_lab_full_cone_nat_keeps_its_port_and_lets_strangers_in() -> Result<()> {
    let home = Home::new(Nat::FullCone)?;
    let [first, second] = home.ports_seen()?;
    assert_eq!(first, second);
    assert!(home.stranger_gets_in()?);
    Ok(())
}

#[test]
fn ns_lab_port_restricted_nat_keeps_its_port_and_keeps_strangers_out() -> Result<()> {
    let home = Home::new(Nat::PortRestricted)?;
    let [first, second] = home.ports_seen()?;
    assert_eq!(first, second);
    assert!(!home.stranger_gets_in()?);
    Ok(())
}

#[test]
fn ns_lab_early_packet_does_not_change_the_port_of_a_port_restricted_nat() -> Result<()> {
    let home = Home::new(Nat::PortRestricted)?;
    let server = udp(&home.server, "198.51.100.1:5000")?;
    let inside = udp(&home.inside, "10.0.0.1:4000")?;
    server.send_to(b"early", "198.51.100.254:4000")?;
    inside.send_to(b"punch", "198.51.100.1:5000")?;
    assert_eq!(sender(&server)?.port(), 4000);
    Ok(())
}

#[test]
fn ns_lab_symmetric_nat_uses_a_port_per_destination() -> Result<()> {
    let home = Home::new(Nat::Symmetric)?;
    let [first, second] = home.ports_seen()?;
    assert_ne!(first, second);
    assert!(!home.stranger_gets_in()?);
    Ok(())
}

/// Two hosts on one switch.
struct Pair {
    alice: Host,
    bob: Host,
    lan: Switch,
    lab: Lab,
}

impl Pair {
    fn new() -> Result<Self> {
        let lab = Lab::new()?;
        let lan = lab.switch()?;
        let alice = lab.host("alice")?;
        let bob = lab.host("bob")?;
        alice.attach(&lan, &["10.0.0.1/24", "fd00::1/64"])?;
        bob.attach(&lan, &["10.0.0.2/24", "fd00::2/64"])?;
        Ok(Self { alice, bob, lan, lab })
    }
}

/// A host behind a NAT router, and a server outside.
struct Home {
    inside: Host,
    server: Host,
    _router: Host,
    _switches: [Switch; 2],
}

impl Home {
    fn new(nat: Nat) -> Result<Self> {
        let lab = Lab::new()?;
        let switches = [lab.switch()?, lab.switch()?];
        let [internet, lan] = &switches;
        let router = lab.router("router")?;
        let outside = router.attach(internet, &["198.51.100.254/24"])?;
        router.attach(lan, &["10.0.0.254/24"])?;
        router.translate(&outside, nat)?;
        let server = lab.host("server")?;
        server.attach(internet, &["198.51.100.1/24", "198.51.100.2/24"])?;
        let inside = lab.host("inside")?;
        inside.attach(lan, &["10.0.0.1/24"])?;
        inside.ip("route add default via 10.0.0.254")?;
        Ok(Self { inside, server, _router: router, _switches: switches })
    }

    /// The ports that two servers see for the same inside socket.
    fn ports_seen(&self) -> Result<[u16; 2]> {
        let servers =
            [udp(&self.server, "198.51.100.1:5000")?, udp(&self.server, "198.51.100.2:5000")?];
        let inside = udp(&self.inside, "10.0.0.1:4000")?;
        let mut ports = [0; 2];
        for (server, port) in servers.iter().zip(&mut ports) {
            inside.send_to(b"hello", server.local_addr()?)?;
            let client = sender(server)?;
            *port = client.port();
            server.send_to(b"answer", client)?;
            assert_eq!(sender(&inside)?, server.local_addr()?);
        }
        Ok(ports)
    }

    /// Whether a packet from an address the inside socket never sent to arrives.
    fn stranger_gets_in(&self) -> Result<bool> {
        let friend = udp(&self.server, "198.51.100.1:6000")?;
        let stranger = udp(&self.server, "198.51.100.2:6000")?;
        let inside = udp(&self.inside, "10.0.0.1:4001")?;
        inside.send_to(b"hello", friend.local_addr()?)?;
        stranger.send_to(b"knock", sender(&friend)?)?;
        inside.set_read_timeout(Some(Duration::from_millis(300)))?;
        Ok(sender(&inside).is_ok())
    }
}

/// Waits until an address answers: on a busy machine one answer may take longer than a ping waits.
fn reach(host: &Host, address: &str) -> Result<()> {
    eventually(PATIENCE, || {
        ensure!(can_ping(host, address), "no answer from {address}");
        Ok(())
    })
}

fn can_ping(host: &Host, address: &str) -> bool {
    let output = host.command("ping").args(["-c1", "-W1", address]).output();
    output.is_ok_and(|output| output.status.success())
}

/// A socket inside `host`.
fn udp(host: &Host, address: &'static str) -> Result<UdpSocket> {
    let socket = host.run(move || UdpSocket::bind(address))??;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// Receives a packet and tells from where.
fn sender(socket: &UdpSocket) -> Result<SocketAddr> {
    let mut packet = [0; 64];
    Ok(socket.recv_from(&mut packet)?.1)
}
