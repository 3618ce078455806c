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

    // The lane tells what it moved once a second.
    let before = eventually(PATIENCE, || {
        let picture = Picture::of(&alice)?;
        let told = picture.metric("warren_device_packets_written_total")?;
        ensure!(told == picture.packets_written as f64, "{told} packets told");
        Ok(picture)
    })?;
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
    let injected = recorded.len() as f64 + flipped + 256.0;
    let after = eventually(PATIENCE, || {
        let picture = Picture::of(&alice)?;
        let heard = |picture: &Picture| picture.metric("warren_datagrams_received_total");
        ensure!(heard(&picture)? >= heard(&before)? + injected, "not all was heard");
        Ok(picture)
    })?;
    before.is_still(&after)?;
    // A probe that is heard again is answered by nothing but 34 bytes, once.
    let grown = |name: &str| Ok::<_, anyhow::Error>(after.metric(name)? - before.metric(name)?);
    let answers = grown("warren_probes_answered_total")?;
    let bytes = grown("warren_control_sent_bytes_total{cause=\"handshake\"}")?;
    ensure!(
        answers <= recorded.len() as f64 && bytes <= 34.0 * answers,
        "{answers}: {bytes} bytes"
    );
    bob.reach("10.42.0.2")?;
    ensure!(Picture::of(&alice)?.links == before.links);
    Ok(())
}

/// What counts while nothing but hostile datagrams comes in: those that were heard and rejected; what the node
/// does by itself as time passes; probes that are heard again, which the test looks at.
const ALLOWED: [&str; 15] = [
    "warren_datagrams_received_total",
    "warren_datagrams_received_bytes_total",
    "warren_control_forged_total",
    "warren_control_replayed_total",
    "warren_datagrams_malformed_total",
    "warren_strangers_ignored_total",
    "warren_packet_drops_total{reason=\"malformed\"}",
    "warren_packet_drops_total{reason=\"replay\"}",
    "warren_packet_drops_total{reason=\"wrong_epoch\"}",
    "warren_packet_drops_total{reason=\"forged\"}",
    // The host's own multicast.
    "warren_packet_drops_total{reason=\"not_unicast\"}",
    "warren_routed_",
    "warren_dht_copies_total",
    "warren_dht_records",
    "warren_probes_answered_total",
];
/// What it sends then, of its own accord or in answer to such a probe.
const CAUSES: [&str; 7] = ["handshake", "keep_alive", "status", "connect", "dht", "query", "news"];

/// Everything of a node that an attacker might want to change.
#[derive(Debug)]
struct Picture {
    links: Vec<(String, String)>,
    packets_written: u64,
    metrics: String,
}

impl Picture {
    fn of(node: &common::net::Node) -> Result<Self> {
        let peers = node.peers()?;
        let links = peers.iter().map(|p| (p["node_id"].to_string(), p["endpoint"].to_string()));
        Ok(Self {
            links: links.collect(),
            packets_written: node.packets_written()?,
            metrics: node.metrics()?,
        })
    }

    fn metric(&self, name: &str) -> Result<f64> {
        lab::metric(&self.metrics, name)
    }

    /// Demands that nothing has changed but what is allowed.
    fn is_still(&self, after: &Self) -> Result<()> {
        ensure!(self.links == after.links, "{:?} {:?}", self.links, after.links);
        ensure!(self.packets_written == after.packets_written, "packets were written");
        let is_own = |line: &str| {
            let of = |cause: &&str| line.contains(&format!("{{cause=\"{cause}\"}}"));
            line.starts_with("warren_control_sent_") && CAUSES.iter().any(of)
        };
        let is_allowed =
            |line: &str| is_own(line) || ALLOWED.iter().any(|name| line.starts_with(name));
        let counted = |metrics: &str| -> Vec<String> {
            metrics.lines().filter(|line| !is_allowed(line)).map(str::to_owned).collect()
        };
        let (before, after) = (counted(&self.metrics), counted(&after.metrics));
        let changed: Vec<_> = after.iter().filter(|line| !before.contains(line)).collect();
        ensure!(changed.is_empty() && before.len() == after.len(), "{changed:?}");
        Ok(())
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
