//! What an attacker on the wire sees and what its packets change: nothing.

mod common;

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};

use anyhow::{Context as _, Result, ensure};
use common::net::{Net, PATIENCE, PORT, run, underlay};
use lab::{Host, Packet, eventually};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, bind, setsockopt, socket, sockopt,
};
use std::os::fd::AsRawFd as _;

/// First byte of a frame of a session (docs/protocol.md).
const FRAME: u8 = 0x20;

#[test]
fn ns_se_01_injected_and_replayed_datagrams_only_count_as_rejected() -> Result<()> {
    const MARKER: &str = "a marker that nobody else would send";
    let net = Net::new()?;
    let (mut alice, mut bob) = (net.pinned("alice", 2)?, net.pinned("bob", 3)?);
    let mallory = net.host("mallory", 66)?;
    let blob = net.blob(&[2]);
    let capture = bob.host.capture("eth0")?;
    alice.start("up", &blob)?;
    bob.start("up", &blob)?;
    bob.reach("10.42.0.2")?;
    let hex: String = MARKER.bytes().map(|byte| format!("{byte:02x}")).collect();
    run(bob.host.command("ping").args([
        "-c",
        "5",
        "-i",
        "0.05",
        "-s",
        "100",
        "-p",
        &hex[..32],
        "10.42.0.2",
    ]))?;
    let data =
        || -> Vec<Vec<u8>> { capture.packets().iter().filter_map(from_bob).collect::<Vec<_>>() };
    // The wire holds the five pings, sealed, and neither marker nor names.
    eventually(PATIENCE, || {
        let long =
            data().iter().filter(|datagram| datagram.len() > 150 && datagram[0] == FRAME).count();
        ensure!(long >= 5, "{long} of the pings captured");
        Ok(())
    })?;
    ensure!(!capture.contains(&MARKER.as_bytes()[..16]), "the marker is on the wire");
    ensure!(!capture.contains(b"bob") && !capture.contains(b"alice"), "a name is on the wire");

    let before = Picture::of(&alice)?;
    let recorded = data();
    let frames = recorded.iter().filter(|datagram| datagram[0] == FRAME).count() as f64;
    let sender = spoofing(&mallory, underlay(3))?;
    let to = SocketAddr::from((underlay(2), PORT));
    let inject = |datagram: &[u8]| sender.send_to(datagram, to).context("cannot inject");

    for datagram in &recorded {
        inject(datagram)?;
    }
    let rejected = |name: &str| -> Result<f64> {
        Ok(alice.drops(name)?
            + alice.metric(&format!(
                "warren_control_{}_total",
                if name == "replay" { "replayed" } else { "forged" }
            ))?)
    };
    let stale = || {
        Ok::<_, anyhow::Error>(
            rejected("replay")? + rejected("forged")? + alice.drops("wrong_epoch")?,
        )
    };
    eventually(PATIENCE, || {
        ensure!(stale()? >= frames, "{} of {frames} replayed frames rejected", stale()?);
        Ok(())
    })?;

    let forged = rejected("forged")?;
    let mut flipped = 0.0;
    for datagram in recorded.iter().filter(|datagram| datagram[0] == FRAME) {
        // One bit of the counter, of the ciphertext, and of the tag.
        for at in [15, 20, datagram.len() - 1] {
            let mut changed = datagram.clone();
            changed[at] ^= 0x80;
            inject(&changed)?;
            flipped += 1.0;
        }
    }
    eventually(PATIENCE, || {
        let now = rejected("forged")? + rejected("replay")?;
        ensure!(now >= forged + flipped, "{now} of {} forged frames rejected", forged + flipped);
        Ok(())
    })?;
    for first in 0..=u8::MAX {
        inject(&[first; 60])?;
    }
    eventually(PATIENCE, || {
        ensure!(alice.metric("warren_datagrams_malformed_total")? > 0.0, "nothing malformed");
        Ok(())
    })?;
    let after = Picture::of(&alice)?;
    ensure!(before == after, "{before:?}\n{after:?}");
    bob.reach("10.42.0.2")?;
    ensure!(Picture::of(&alice)?.links == before.links);
    Ok(())
}

/// Everything of a node that an attacker might want to change.
#[derive(Debug, PartialEq)]
struct Picture {
    links: Vec<(String, String)>,
    sessions_up: f64,
    sessions_dead: f64,
    packets_written: u64,
}

impl Picture {
    fn of(node: &common::net::Node) -> Result<Self> {
        let peers = node.peers()?;
        let links = peers.iter().map(|p| (p["node_id"].to_string(), p["endpoint"].to_string()));
        Ok(Self {
            links: links.collect(),
            sessions_up: node.metric("warren_sessions_up_total")?,
            sessions_dead: node.metric("warren_sessions_dead_total")?,
            packets_written: node.packets_written()?,
        })
    }
}

/// The UDP payload of a frame that Bob sent to Alice.
fn from_bob(packet: &Packet) -> Option<Vec<u8>> {
    const HEADERS_LEN: usize = 14 + 20 + 8;
    let addresses = packet.bytes.get(14 + 12..14 + 20)?;
    let is_udp = packet.bytes[12..14] == [8, 0] && packet.bytes[14 + 9] == 17;
    (is_udp && addresses == [192, 0, 2, 3, 192, 0, 2, 2])
        .then(|| packet.bytes[HEADERS_LEN..].to_vec())
}

/// A socket inside `host` that sends with another host's address and Warren's port.
fn spoofing(host: &Host, address: Ipv4Addr) -> Result<UdpSocket> {
    host.run(move || {
        let none = SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Inet, SockType::Datagram, none, None)?;
        setsockopt(&socket, sockopt::IpTransparent, &true)?;
        bind(socket.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(address, PORT)))?;
        Ok(UdpSocket::from(socket))
    })?
}

#[test]
fn ns_vn_10_a_packet_with_another_members_address_is_dropped_and_logged_once() -> Result<()> {
    let net = Net::new()?;
    // An honest daemon sends no such packets, so an authority that lost its records has fixed Bob's address for
    // Mallory too.
    let mut mallory = net.node("mallory", 66, &["--ipv4", "10.42.0.3"])?;
    std::fs::remove_dir_all(net.group.path("ca/issued"))?;
    std::fs::create_dir(net.group.path("ca/issued"))?;
    let (alice, bob) = net.linked_pair()?;
    mallory.start("up", &net.blob(&[2]))?;
    mallory.reach(&alice.ipv6()?)?;

    let words = ["-c", "5", "-i", "0.05", "-W", "1", "10.42.0.2"];
    let ping = mallory.host.command("ping").args(words).output()?;
    ensure!(!ping.status.success(), "a spoofed ping was answered");
    eventually(PATIENCE, || {
        let dropped = alice.drops("not_the_owner")?;
        ensure!(dropped >= 5.0, "{dropped} of 5 counted");
        Ok(())
    })?;
    let told = alice.log().matches("sends with the address 10.42.0.3").count();
    ensure!(told == 1, "told {told} times: {}", alice.log());
    // The traffic of the true owner is not hurt.
    bob.reach("10.42.0.2")?;
    alice.reach("10.42.0.3")
}

#[test]
fn ns_vn_10_a_node_does_not_send_what_is_not_from_its_host() -> Result<()> {
    let net = Net::new()?;
    let (alice, bob) = net.linked_pair()?;
    bob.host.ip("address add 10.42.0.4/32 dev warren0")?;
    let words = ["-c", "3", "-i", "0.05", "-W", "1", "-I", "10.42.0.4", "10.42.0.2"];
    let ping = bob.host.command("ping").args(words).output()?;
    ensure!(!ping.status.success(), "a spoofed ping was answered");
    eventually(PATIENCE, || {
        ensure!(bob.drops("foreign_source")? >= 3.0, "not counted");
        Ok(())
    })?;
    ensure!(alice.drops("not_the_owner")? == 0.0, "it was sent all the same");
    bob.reach("10.42.0.2")
}
