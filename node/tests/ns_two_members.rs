//! Two members on one network: they get addresses and reach each other, and nothing else of the host moves.

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use common::net::{Net, Node, PATIENCE};
use common::{Group, Quiet as _, WARREN, text};
use lab::{Packet, eventually, once_within};
use nix::sys::signal::Signal::SIGHUP;
use serde_json::{Value, json};

/// Alice and Bob on one switch, with fixed addresses; Bob joins by Alice.
struct Pair {
    group: Group,
    blob: PathBuf,
    alice: Node,
    bob: Node,
}

impl Pair {
    fn new() -> Result<Self> {
        Self::with_addresses(true)
    }

    /// Members whose certificates fix no address.
    fn leasing() -> Result<Self> {
        Self::with_addresses(false)
    }

    fn with_addresses(are_fixed: bool) -> Result<Self> {
        let net = Net::new()?;
        let node = |name: &str, last: u8| -> Result<Node> {
            let host = net.lab.host(name)?;
            let (v4, v6) = (format!("192.0.2.{last}/24"), format!("2001:db8::{last}/64"));
            host.attach(&net.lan, &[&v4, &v6])?;
            let fixed = ["--ipv4", &format!("10.42.0.{last}")];
            let options = if are_fixed { &fixed[..] } else { &[] };
            Ok(Node::new(Path::new(WARREN), host, net.group.member(name, options)))
        };
        let (alice, bob) = (node("alice", 2)?, node("bob", 3)?);
        Ok(Self { alice, bob, blob: net.blob(&[2]), group: net.group })
    }
}

#[test]
fn ns_se_07_programs_are_told_the_ring_and_who_holds_an_address() -> Result<()> {
    let mut pair = Pair::leasing()?;
    pair.alice.start("up", &pair.blob)?;
    pair.bob.start("up", &pair.blob)?;
    let address = pair.bob.ipv4()?;
    let (alice, bob) = (pair.alice.id()?, pair.bob.id()?);
    let ask = |request: &Value| -> Result<Value> {
        let mut socket = UnixStream::connect(pair.alice.member.state.join("warren.sock"))?;
        writeln!(socket, "{request}")?;
        let mut line = String::new();
        BufReader::new(socket).read_line(&mut line)?;
        let mut reply: Value = serde_json::from_str(&line)?;
        Ok(reply["ok"].take())
    };
    let ring = eventually(PATIENCE, || {
        let ring = ask(&json!({ "command": "ring" }))?;
        let bobs =
            ring["nodes"].as_array().and_then(|nodes| nodes.iter().find(|n| n["node_id"] == bob));
        ensure!(bobs.is_some_and(|node| node["ipv4"] == address.as_str()), "{ring}");
        Ok(ring)
    })?;
    let alices =
        ring["nodes"].as_array().and_then(|nodes| nodes.iter().find(|n| n["node_id"] == alice));
    ensure!(alices.is_some_and(|node| node["links"] == json!([bob])), "{ring}");
    eventually(PATIENCE, || {
        let holder = ask(&json!({ "command": "holder", "address": address }))?;
        ensure!(holder["node_id"] == bob, "{holder}");
        Ok(())
    })?;
    let nobody = ask(&json!({ "command": "holder", "address": "10.42.0.250" }))?;
    ensure!(nobody["node_id"].is_null(), "{nobody}");
    Ok(())
}

#[test]
fn ns_vn_01_unmodified_programs_work() -> Result<()> {
    let mut pair = Pair::new()?;
    pair.alice.start("up", &pair.blob)?;
    pair.bob.start("up", &pair.blob)?;
    pair.bob.reach("10.42.0.2")?;
    pair.alice.reach("10.42.0.3")?;
    let ipv6 = pair.alice.ipv6()?;
    pair.bob.reach(&ipv6)?;
    // Large transfers by TCP, which use the segmentation offloads, in both directions.
    let listener = pair.alice.host.run(|| TcpListener::bind("10.42.0.2:9000"))??;
    let bob = pair.bob.host.run(|| TcpStream::connect("10.42.0.2:9000"))??;
    let (alice, _) = listener.accept()?;
    transfer(&alice, &bob)?;
    transfer(&bob, &alice)?;
    Ok(())
}

/// Sends 16 MiB that no offload can have mixed up unnoticed.
fn transfer(mut from: &TcpStream, mut to: &TcpStream) -> Result<()> {
    let sent: Vec<u8> =
        (0u32..4 << 20).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    to.set_read_timeout(Some(PATIENCE))?;
    let mut received = vec![0; sent.len()];
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| from.write_all(&sent));
        to.read_exact(&mut received)?;
        sender.join().expect("the sender does not panic")
    })?;
    ensure!(received == sent, "the bytes changed on the way");
    Ok(())
}

#[test]
fn ns_ad_01_members_lease_addresses_and_keep_them_over_a_restart() -> Result<()> {
    let mut pair = Pair::leasing()?;
    pair.alice.start("up", &pair.blob)?;
    pair.bob.start("up", &pair.blob)?;
    let alices = pair.alice.ipv4()?;
    let bobs = pair.bob.ipv4()?;
    assert_ne!(alices, bobs);
    pair.bob.reach(&alices)?;
    pair.alice.reach(&bobs)?;
    pair.bob.stop()?;
    pair.bob.start("up", &pair.blob)?;
    assert_eq!(pair.bob.ipv4()?, bobs);
    pair.bob.reach(&alices)
}

#[test]
fn ns_ad_04_a_second_claimant_of_a_static_address_is_told() -> Result<()> {
    let mut pair = Pair::leasing()?;
    let claim = ["--address", "10.42.0.77"];
    pair.alice.start_with("up", &pair.blob, &claim)?;
    pair.bob.start_with("up", &pair.blob, &claim)?;
    // Who comes first has it; a node alone has no ring to lease from.
    const TOLD: &str = "virtual address 10.42.0.77 is held by another node; choose";
    eventually(PATIENCE, || {
        ensure!(pair.alice.log().contains(TOLD) || pair.bob.log().contains(TOLD), "nobody is told");
        Ok(())
    })?;
    let holds = |node: &Node| node.status("ipv4").is_ok_and(|ip| ip == "10.42.0.77");
    // The other is told as late that it may hold it.
    eventually(PATIENCE, || {
        let held = [holds(&pair.alice), holds(&pair.bob)];
        ensure!(held[0] != held[1], "{held:?}: {}\n{}", pair.alice.log(), pair.bob.log());
        Ok(())
    })
}

#[test]
fn ns_dh_01_a_value_put_by_one_node_is_read_by_the_other() -> Result<()> {
    let mut pair = Pair::new()?;
    pair.alice.start("bootstrap", &pair.blob)?;
    pair.bob.start("bootstrap", &pair.blob)?;
    eventually(PATIENCE, || pair.bob.ask(&["dht", "put", "greeting", "hello"]))?;
    let found = eventually(PATIENCE, || pair.alice.ask(&["dht", "get", "greeting"]))?;
    assert_eq!(found["values"][0]["value"], "hello");
    let none = pair.alice.question(&["dht", "get", "something else", "--json"]).output()?;
    assert_eq!(none.status.code(), Some(1));
    assert_eq!(none.stderr, b"warren: nobody keeps a value under something else\n");
    let none: Value = serde_json::from_slice(&none.stdout)?;
    assert_eq!((&none["values"], &none["complete"]), (&json!([]), &true.into()));
    Ok(())
}

#[test]
fn ns_vn_02_nothing_leaves_in_clear() -> Result<()> {
    const MARKER: &[u8] = b"a marker that nobody else would send";
    /// First byte of a frame of a session (docs/protocol.md).
    const FRAME: u8 = 0x20;
    let mut pair = Pair::new()?;
    pair.alice.start("up", &pair.blob)?;
    pair.bob.start("up", &pair.blob)?;
    pair.bob.reach("10.42.0.2")?;
    let capture = pair.bob.host.capture("eth0")?;
    let send = |text: &[u8], from: &'static str, to: &'static str| -> Result<()> {
        let socket = pair.alice.host.run(move || UdpSocket::bind(to))??;
        socket.set_read_timeout(Some(PATIENCE))?;
        pair.bob.host.run(move || UdpSocket::bind(from))??.send_to(text, to)?;
        let mut received = [0; 100];
        let len = socket.recv(&mut received)?;
        assert_eq!(&received[..len], text);
        Ok(())
    };
    let seen = |text: &[u8]| {
        eventually(PATIENCE, || {
            ensure!(capture.contains(text), "{} not captured", String::from_utf8_lossy(text));
            Ok(())
        })
    };
    // The capture sees what goes in clear beside the tunnel,
    send(MARKER, "192.0.2.3:0", "192.0.2.2:9000")?;
    seen(MARKER)?;
    capture.clear();
    // and, as packets are captured in order, has all of the tunnel once it has what came after.
    send(MARKER, "10.42.0.3:0", "10.42.0.2:9000")?;
    send(b"later", "192.0.2.3:0", "192.0.2.2:9000")?;
    seen(b"later")?;
    assert!(!capture.contains(MARKER));
    let carries = |packet: &Packet| {
        let headers = 14 + 20 + 8;
        packet.bytes.len() >= headers + MARKER.len() && packet.bytes[headers] == FRAME
    };
    assert!(capture.packets().iter().any(carries), "no sealed packet was captured");
    Ok(())
}

#[test]
fn ns_vn_01_a_packet_that_is_too_long_is_answered_at_once() -> Result<()> {
    let mut pair = Pair::new()?;
    pair.alice.start("up", &pair.blob)?;
    pair.bob.start("up", &pair.blob)?;
    pair.bob.reach("10.42.0.2")?;
    let ping = |len: usize, address: &str| {
        let len = len.to_string();
        let words = ["-c", "1", "-W", "1", "-M", "do", "-s", &len, address];
        pair.bob.host.command("ping").args(words).output()
    };
    let ipv6 = pair.alice.ipv6()?;
    // 1,280 less 28 and 48 bytes of headers.
    for (len, address, answer) in [
        (1252, "10.42.0.2", "Frag needed and DF set (mtu = 1280)"),
        (1232, &ipv6, "Packet too big: mtu=1280"),
    ] {
        eventually(PATIENCE, || {
            ensure!(ping(len, address)?.status.success(), "{len} bytes to {address}");
            Ok(())
        })?;
        let refused = |by: &str| -> Result<()> {
            let output = ping(len + 1, address)?;
            let text = String::from_utf8([output.stdout, output.stderr].concat())?;
            ensure!(text.contains(by), "{address}: {text}");
            Ok(())
        };
        // The kernel knows what the device takes; where somebody has widened that, the daemon answers by ICMP.
        pair.bob.host.ip("link set dev warren0 mtu 1280")?;
        refused("mtu")?;
        pair.bob.host.ip("link set dev warren0 mtu 1500")?;
        refused(answer)?;
    }
    Ok(())
}

#[test]
fn ns_n6_members_that_share_only_ipv6_reach_each_other_by_both_versions() -> Result<()> {
    let mut pair = Pair::new()?;
    pair.alice.host.ip("address flush dev eth0 scope global")?;
    pair.bob.host.ip("address del 192.0.2.3/24 dev eth0")?;
    pair.alice.host.ip("address add 2001:db8::2/64 dev eth0 nodad")?;
    let blob = pair.group.blob(&["[2001:db8::2]:7415"]);
    pair.alice.start("up", &blob)?;
    pair.bob.start("up", &blob)?;
    pair.bob.reach("10.42.0.2")?;
    let ipv6 = pair.alice.ipv6()?;
    pair.bob.reach(&ipv6)
}

#[test]
fn ns_x23_no_link_runs_through_the_tunnel() -> Result<()> {
    let mut pair = Pair::new()?;
    pair.alice.start("up", &pair.blob)?;
    let blob = pair.group.blob(&["192.0.2.2:7415", "10.42.0.2:7415"]);
    pair.bob.start("up", &blob)?;
    pair.bob.reach("10.42.0.2")?;
    let peers = pair.bob.ask(&["peers"])?;
    let endpoint = peers[0]["endpoint"].as_str().unwrap_or_default();
    assert!(!endpoint.starts_with("10.42."), "{peers}");
    let status = pair.bob.ask(&["status"])?;
    let offered = status["endpoints"].to_string();
    assert!(offered.contains("192.0.2.3") && !offered.contains("10.42."), "{offered}");
    assert!(!offered.contains("\"[fd"), "{offered}");
    Ok(())
}

/// Members as most are: neither has an address before they meet, as nobody leases one alone.
#[test]
fn ns_jo_01_the_first_reply_comes_within_a_second_where_addresses_are_leased() -> Result<()> {
    for by in ["ipv6", "ipv4"] {
        once_within(Duration::from_secs(1), || {
            let mut pair = Pair::leasing()?;
            pair.alice.start("up", &pair.blob)?;
            let start = Instant::now();
            pair.bob.start("up", &pair.blob)?;
            let started = start.elapsed();
            eventually(PATIENCE, || match by {
                "ipv6" => pair.bob.ping(&pair.alice.ipv6()?),
                _ => pair.bob.ping(&pair.alice.status("ipv4")?),
            })?;
            println!("first reply by {by}; the start took {started:?}");
            Ok(start.elapsed())
        })?;
    }
    Ok(())
}

#[test]
fn ns_ad_06_only_the_vpn_subnet_moves() -> Result<()> {
    let mut pair = Pair::new()?;
    let before = pair.alice.host.network()?;
    pair.alice.start("up", &pair.blob)?;
    eventually(PATIENCE, || {
        ensure!(
            pair.alice.host.network()?.iter().any(|line| line.contains("10.42.0.2")),
            "not yet"
        );
        Ok(())
    })?;
    let during = pair.alice.host.network()?;
    assert!(before.iter().all(|line| during.contains(line)), "{before:#?}\n{during:#?}");
    for line in during.iter().filter(|line| !before.contains(line)) {
        assert!(line.contains("warren0"), "moved: {line}");
        let is_own =
            ["10.42.0.", "fd", "fe80", "ff00", "warren0: <"].iter().any(|s| line.contains(s));
        assert!(is_own, "{line}");
    }
    pair.alice.stop()?;
    eventually(PATIENCE, || {
        let after = pair.alice.host.network()?;
        ensure!(after == before, "{after:#?}\n{before:#?}");
        Ok(())
    })
}

#[test]
fn ns_op_01_the_commands_show_peer_path_and_ring() -> Result<()> {
    let mut pair = Pair::new()?;
    pair.alice.start("bootstrap", &pair.blob)?;
    pair.bob.start("bootstrap", &pair.blob)?;
    pair.bob.wait_joined()?;
    let alice = pair.alice.id()?;
    let peers = pair.bob.ask(&["peers"])?;
    assert_eq!(peers[0]["node_id"], alice.as_str());
    assert_eq!((&peers[0]["user"], &peers[0]["path"]), (&"alice".into(), &"direct".into()));
    for node in [&pair.alice, &pair.bob] {
        // On a busy machine the handshake measures nothing, but the first ping does.
        eventually(PATIENCE, || {
            let rtt = node.ask(&["peers"])?[0]["rtt_ms"].as_f64();
            ensure!(rtt.is_some_and(|ms| (0.0..1_000.0).contains(&ms)), "{rtt:?}");
            Ok(())
        })?;
    }
    let pong = pair.bob.ask(&["ping", &alice[..8]])?;
    assert_eq!((&pong["node_id"], &pong["path"]), (&alice.into(), &"direct".into()));
    let unknown = pair.bob.ask(&["ping", "00000000"]);
    assert!(unknown.is_err_and(|error| error.to_string().contains("see warren peers")));
    let crawl = pair.bob.ask(&["crawl"])?;
    assert_eq!((&crawl["consistent"], &crawl["complete"]), (&2.into(), &true.into()));
    Ok(())
}

#[test]
fn ns_op_01_a_ping_that_cannot_work_says_why() -> Result<()> {
    let mut pair = Pair::new()?;
    pair.bob.start("up", &pair.blob)?;
    let refused = |to: &str| {
        let output = pair.bob.question(&["ping", to]).output()?;
        anyhow::Ok((output.status.code(), String::from_utf8(output.stderr)?))
    };
    let nobody = "7".repeat(40);
    for to in ["10.42.0.2", &nobody] {
        let why = "warren: this node has not joined: see warren status\n";
        assert_eq!(refused(to)?, (Some(1), why.into()), "{to}");
    }
    let (code, why) = refused("192.0.2.2")?;
    assert!(code == Some(2) && why.contains("an address in 10.42.0.0/24 or fd"), "{code:?} {why}");
    let (code, why) = refused("10.42.0.1")?;
    assert!(code == Some(2) && why.contains("10.42.0.1 is no node's"), "{code:?} {why}");

    pair.alice.start("up", &pair.blob)?;
    let own = eventually(PATIENCE, || {
        ensure!(pair.bob.ask(&["status"])?["joined"] == true, "not joined");
        pair.bob.ask(&["ping", "10.42.0.3"])
    })?;
    assert_eq!(own["node_id"], pair.bob.ask(&["status"])?["node_id"]);
    let alices = pair.alice.ask(&["status"])?;
    let pong = eventually(PATIENCE, || pair.bob.ask(&["ping", "10.42.0.2"]))?;
    assert_eq!(pong["node_id"], alices["node_id"]);
    let known = &pair.bob.ask(&["peers"])?[0]["addresses"];
    assert_eq!((&known[0], &known[1]), (&"10.42.0.2".into(), &alices["ipv6"]));
    let (code, why) = refused("10.42.0.99")?;
    assert_eq!((code, why.as_str()), (Some(1), "warren: no node has this address\n"));
    let (code, why) = refused(&nobody)?;
    assert!(code == Some(1) && why.contains("no answer"), "{code:?} {why}");
    Ok(())
}

#[test]
fn ns_a_restart_rejoins_without_the_bootstrap_list() -> Result<()> {
    let mut pair = Pair::new()?;
    pair.alice.start("bootstrap", &pair.blob)?;
    pair.bob.start("bootstrap", &pair.blob)?;
    pair.bob.wait_for_log("link up")?;
    pair.bob.stop()?;
    let blob = pair.group.blob(&[]);
    pair.bob.start("bootstrap", &blob)?;
    pair.bob.wait_for_log("link up")
}

#[test]
fn ns_a_notice_read_on_sighup_cuts_a_live_session() -> Result<()> {
    let mut pair = Pair::new()?;
    let notices = pair.group.path("ca/notices.txt");
    std::fs::write(&notices, "")?;
    pair.alice.start_with("bootstrap", &pair.blob, &["--notices", text(&notices)])?;
    pair.bob.start_with("bootstrap", &pair.blob, &["--notices", text(&notices)])?;
    pair.bob.wait_for_log("link up")?;
    pair.group.revoke("bob");
    pair.alice.daemon.as_mut().context("it runs")?.signal(SIGHUP)?;
    pair.alice.wait_for_log("link down")?;
    eventually(PATIENCE, || {
        ensure!(pair.alice.peers()?.is_empty(), "still linked");
        Ok(())
    })?;
    // By the peer's word it is refused; by the authority's it is out.
    pair.bob.wait_for_log("refused by the peer: the certificate is revoked by notice 1")?;
    let bob = pair.bob.daemon.as_mut().context("it runs")?;
    bob.signal(SIGHUP)?;
    let status = bob.wait_exit(PATIENCE)?;
    ensure!(status.code() == Some(3), "{status}: {}", bob.log());
    Ok(())
}

#[test]
fn ns_a_second_daemon_is_told_who_runs() -> Result<()> {
    let mut pair = Pair::new()?;
    pair.alice.start("bootstrap", &pair.blob)?;
    let mut second = pair.alice.host.command(WARREN);
    second.args(pair.alice.member.start("bootstrap", &pair.blob));
    let (code, line) = common::fails(&mut second);
    assert_eq!(code, 4);
    let pid = pair.alice.daemon.as_ref().context("it runs")?.pid();
    assert!(line.contains(&format!("already running (pid {pid})")), "{line}");
    Ok(())
}
