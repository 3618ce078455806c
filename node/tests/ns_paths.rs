//! Which way a session takes: addresses that only peers can tell, and direct links made on demand.

mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use common::WARREN;
use common::net::{Net, Node, PATIENCE, PORT, run};
use lab::{Host, Nat, Packet, eventually};

#[test]
fn ns_cn_02_a_node_behind_a_nat_learns_its_outside_address_from_a_peer() -> Result<()> {
    let net = Net::new()?;
    let mut bob = net.pinned("bob", 3)?;
    let (_router, mut alice) = internet(&net, &bob)?;
    let blob = net.group.blob(&[&format!("198.51.100.2:{PORT}")]);
    alice.start("up", &blob)?;
    bob.start("up", &blob)?;
    bob.reach("10.42.0.2")?;
    alice.reach("10.42.0.3")?;

    let seen = alice.peer(&bob.id()?)?.context("a session")?["endpoint"].clone();
    ensure!(seen.as_str().is_some_and(|ip| ip.starts_with("198.51.100.254:")), "{seen}");
    eventually(PATIENCE, || {
        let endpoints = bob.ask(&["status"])?["endpoints"].clone();
        ensure!(endpoints.as_array().is_some_and(|all| all.contains(&seen)), "{endpoints}");
        Ok(())
    })
}

#[test]
fn ns_sc_03_traffic_between_members_that_are_not_linked_makes_a_direct_link() -> Result<()> {
    let net = Net::new()?;
    let strangers = Strangers::in_a_crowd(&net)?;
    let taken = strangers.meet()?;
    println!("first reply after {taken:?}");
    Ok(())
}

#[test]
#[ignore = "takes 13 minutes"]
fn ns_cn_03_an_idle_link_outlives_the_mappings_of_a_hasty_nat() -> Result<()> {
    /// The overlay makes sure of the hash table for so long after a node came, which hides the pings.
    const SETTLING: Duration = Duration::from_secs(630);
    const WATCHED: Duration = Duration::from_secs(60);
    const KEEP_ALIVE: Duration = Duration::from_secs(15);
    const TOLERANCE: Duration = Duration::from_secs(1);
    let net = Net::new()?;
    let mut bob = net.pinned("bob", 3)?;
    let (router, mut alice) = internet(&net, &bob)?;
    router.run(|| {
        for timeout in ["udp_timeout", "udp_timeout_stream"] {
            std::fs::write(format!("/proc/sys/net/netfilter/nf_conntrack_{timeout}"), "20")?;
        }
        Ok::<_, std::io::Error>(())
    })??;
    let blob = net.group.blob(&[&format!("198.51.100.2:{PORT}")]);
    alice.start("up", &blob)?;
    bob.start("up", &blob)?;
    bob.reach("10.42.0.2")?;
    let session = bob.peers()?.pop().context("a session")?;
    let start = Instant::now();
    pass(SETTLING)?;

    let pings = || -> Result<f64> {
        let name = "warren_control_sent_total{cause=\"keep_alive\"}";
        Ok(alice.metric(name)? + bob.metric(name)?)
    };
    let (capture, before) = (bob.host.capture("eth0")?, pings()?);
    pass(WATCHED)?;
    let (packets, pinged) = (capture.packets(), pings()? - before);
    let is_udp = |packet: &&Packet| packet.bytes[12..14] == [8, 0] && packet.bytes[14 + 9] == 17;
    let times: Vec<_> = packets.iter().filter(is_udp).map(|packet| packet.time).collect();
    let pauses: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    println!("{pinged} pings and answers; pauses {pauses:.1?}");
    let longest = pauses.iter().max().context("datagrams")?;
    ensure!(*longest <= KEEP_ALIVE + TOLERANCE, "silent for {longest:?}");
    // One ping and its answer where nothing was heard for so long, and none else.
    let long = pauses.iter().filter(|pause| **pause >= KEEP_ALIVE - TOLERANCE).count();
    ensure!(long > 0, "never idle: {pauses:?}");
    ensure!(pinged <= 2.0 * (long + 1) as f64, "{pinged} for {long} pauses");

    let mut traffic = bob.host.command("ping");
    traffic.args(["-i", "1", "10.42.0.2"]);
    let traffic = bob.host.spawn(traffic)?;
    // The node hears from its lane once a second that packets come in.
    traffic.wait_for_log("icmp_seq=3", PATIENCE)?;
    let before = pings()?;
    pass(WATCHED)?;
    let (pinged, replies) = (pings()? - before, traffic.log().matches("time=").count());
    ensure!(pinged == 0.0 && replies > 50, "{pinged} pings beside traffic, {replies} replies");
    let now = bob.peers()?.pop().context("a session")?;
    ensure!(now["endpoint"] == session["endpoint"]);
    let age = now["age_seconds"].as_f64().context("a number")?;
    ensure!(age > start.elapsed().as_secs_f64() - 1.0, "the session was lost: {now}");
    Ok(())
}

/// As a laptop that goes from one network to another: its sessions go with it, and so does what it was doing.
#[test]
fn ns_cn_02_a_member_that_changes_its_address_keeps_its_sessions() -> Result<()> {
    let net = Net::new()?;
    let (alice, bob) = net.linked_pair()?;
    let (id, start) = (bob.id()?, Instant::now());

    bob.host.ip("address del 192.0.2.3/24 dev eth0")?;
    bob.host.ip("address add 192.0.2.30/24 dev eth0")?;
    bob.reach("10.42.0.2")?;
    println!("a reply {:?} after the change", start.elapsed());
    eventually(PATIENCE, || {
        let session = alice.peer(&id)?.context("a session")?;
        ensure!(session["endpoint"] == format!("192.0.2.30:{PORT}"), "{session}");
        let age = session["age_seconds"].as_f64().context("a number")?;
        ensure!(age >= start.elapsed().as_secs_f64(), "another session: {session}");
        Ok(())
    })?;
    alice.reach("10.42.0.3")?;
    alice.wait_for_log("link moved")?;
    // Where it is now is where it is looked for after a crash.
    let saved = alice.member.state.join("peers.json");
    eventually(PATIENCE, || {
        let peers = std::fs::read_to_string(&saved)?;
        ensure!(peers.contains("192.0.2.30:") && !peers.contains("192.0.2.3:"), "{peers}");
        Ok(())
    })
}

/// A router whose second network becomes narrow while members talk across it. The kernel of the sender may be told
/// by ICMP, or not: many networks swallow that.
#[test]
fn ns_vn_01_a_path_that_becomes_narrow_carries_full_packets() -> Result<()> {
    /// A path is tried each 5 s, three times in 3 s.
    /// Between both: without ICMP the path is tried after 5 s, three times in 3 s.
    const TOLD_MAX: Duration = Duration::from_secs(5);
    println!("without ICMP a full packet passes after {:?}", narrow(false)?);
    // With it, a question and an answer are lost where both ends are told. A busy machine may be slow, but not always.
    let mut told = (0..3).map(|_| narrow(true)).inspect(|taken| println!("with ICMP: {taken:?}"));
    ensure!(told.any(|taken| taken.is_ok_and(|taken| taken < TOLD_MAX)), "ICMP makes it no faster");
    Ok(())
}

/// Makes the path narrow; returns when a full packet passes again.
fn narrow(icmp: bool) -> Result<Duration> {
    const WIDE: u64 = 1_313;
    let net = Net::new()?;
    let (mut alice, mut bob) = (net.pinned("alice", 2)?, net.pinned("bob", 3)?);
    let (router, far, outside) = net.router()?;
    bob.host.ip("address flush dev eth0 scope global")?;
    let inside = bob.host.attach(&far, &["198.51.100.3/24"])?;
    bob.host.ip("route add default via 198.51.100.254")?;
    alice.host.ip("route add default via 192.0.2.254")?;
    let blob = net.blob(&[2]);
    alice.start("up", &blob)?;
    bob.start("up", &blob)?;
    alice.reach("10.42.0.3")?;
    let full = || {
        let words = ["-c", "1", "-W", "1", "-M", "do", "-s", "1252", "10.42.0.3"];
        run(alice.host.command("ping").args(words))
    };
    let datagram_max = || -> Result<u64> {
        let peer = alice.peer(&bob.id()?)?.context("a session")?;
        peer["datagram_max"].as_u64().context("a number")
    };
    eventually(PATIENCE, full).context("before anything is known of the path")?;
    eventually(PATIENCE, || {
        full()?;
        let max = datagram_max()?;
        ensure!(max == WIDE, "{max}");
        Ok(())
    })?;
    eventually(PATIENCE, full).context("whole")?;

    if !icmp {
        router.nft("add table ip swallow")?;
        router.nft("add chain ip swallow out { type filter hook output priority 0; }")?;
        router.nft("add rule ip swallow out meta l4proto icmp drop")?;
    }
    let start = Instant::now();
    router.ip(&format!("link set dev {outside} mtu 1280"))?;
    bob.host.ip(&format!("link set dev {inside} mtu 1280"))?;
    eventually(PATIENCE, full)?;
    let taken = start.elapsed();
    ensure!(datagram_max()? < WIDE);
    bob.reach("10.42.0.2")?;
    Ok(taken)
}

/// Watches for some time.
fn pass(time: Duration) -> Result<()> {
    let start = Instant::now();
    eventually(time * 2, || {
        ensure!(start.elapsed() >= time, "not yet");
        Ok(())
    })
}

/// Puts a NAT between a node on the LAN and Alice, who is on the Internet.
fn internet(net: &Net, inside: &Node) -> Result<(Host, Node)> {
    let (router, internet, outside) = net.router()?;
    router.translate(&outside, Nat::PortRestricted)?;
    inside.host.ip("route add default via 192.0.2.254")?;
    let host = net.lab.host("alice")?;
    host.attach(&internet, &["198.51.100.2/24"])?;
    let member = net.group.member("alice", &["--ipv4", "10.42.0.2"]);
    Ok((router, Node::new(Path::new(WARREN), host, member)))
}

/// Two of so many members that not all are linked with each other.
struct Strangers {
    nodes: Vec<Node>,
    from: usize,
    to: usize,
    to_id: String,
}

impl Strangers {
    fn in_a_crowd(net: &Net) -> Result<Self> {
        const COUNT: u8 = 24;
        let blob = net.blob(&[2, 3]);
        let mut nodes = Vec::new();
        for last in 2..2 + COUNT {
            let mut node = net.pinned(&format!("member{last}"), last)?;
            node.start("up", &blob)?;
            nodes.push(node);
        }
        nodes.iter().try_for_each(Node::wait_joined)?;
        // From then on others find the address.
        nodes.iter().try_for_each(|node| node.wait_for_log("is ours"))?;
        let ids = nodes.iter().map(Node::id).collect::<Result<Vec<_>>>()?;
        let find = || {
            for (from, node) in nodes.iter().enumerate() {
                for (to, id) in ids.iter().enumerate().filter(|(to, _)| *to != from) {
                    if node.peer(id)?.is_none() {
                        return Ok((from, to));
                    }
                }
            }
            anyhow::bail!("all {COUNT} are linked with each other")
        };
        let (from, to) = eventually(PATIENCE, find)?;
        Ok(Self { from, to, to_id: ids[to].clone(), nodes })
    }

    /// The first packet arrives, and a direct link follows; returns when the first reply came. The limit, 5 s, holds
    /// in the simulator: here 24 daemons share a machine.
    fn meet(&self) -> Result<Duration> {
        let patience = PATIENCE.as_secs().to_string();
        let (node, start) = (&self.nodes[self.from], Instant::now());
        let address = format!("10.42.0.{}", self.to + 2);
        // Not lost on the way: it takes the overlay or waits for the link.
        run(node.host.command("ping").args(["-c", "1", "-W", &patience, &address]))?;
        let replied = start.elapsed();
        eventually(PATIENCE, || {
            let peer = node.peer(&self.to_id)?.context("not linked")?;
            ensure!(peer["path"] == "direct", "{peer}");
            Ok(replied)
        })
    }
}
