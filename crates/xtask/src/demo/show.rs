//! The steps of the demo, each of which checks what it shows.

use super::group::Group;
use super::screen::Screen;
use anyhow::{Context, Result, ensure};
use lab::Node;
use serde_json::Value;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// How long the whole group may take to join.
const JOIN_MAX: Duration = Duration::from_secs(20);
/// How long the ring may take to close a gap: keep-alive, three misses, and one repair round.
const REPAIR_MAX: Duration = Duration::from_secs(60);
const DOWNLOAD_BYTES: usize = 20_000_000;

/// The table fills until every node has joined and every member has both addresses.
pub fn join(group: &mut Group, screen: &mut Screen) -> Result<()> {
    screen.title("Joining: certificates, ring neighbours, virtual addresses");
    let began = Instant::now();
    loop {
        let rows: Vec<Row> = group.nodes.iter().map(Row::of).collect();
        screen.draw(table(&rows));
        if rows.iter().zip(0..).all(|(row, n)| row.joined && (n < 2 || row.ipv4.is_some())) {
            break;
        }
        ensure!(began.elapsed() < JOIN_MAX, "not everybody joined within {JOIN_MAX:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
    screen.passed(&format!("all joined after {:.1} s", began.elapsed().as_secs_f64()));
    Ok(())
}

/// Every member pings every other one, by IPv4 and IPv6.
pub fn ping_every_pair(group: &mut Group, screen: &mut Screen) -> Result<()> {
    screen.title("Pinging every pair over the VPN, IPv4 and IPv6");
    let addresses: Vec<(&Node, Vec<IpAddr>)> =
        group.members().map(|node| (node, Row::of(node).addresses())).collect();
    let mut running = Vec::new();
    for (from, _) in &addresses {
        for (to, ips) in addresses.iter().filter(|(to, _)| to.name() != from.name()) {
            for ip in ips {
                let mut ping = from.host.command("ping");
                ping.args(["-n", "-q", "-c", "2", "-i", "0.2", "-W", "3", &ip.to_string()]);
                ping.stdout(std::process::Stdio::null());
                running.push((from.name(), to.name(), *ip, ping.spawn()?));
            }
        }
    }
    let total = running.len();
    ensure!(total > 0, "no two members have addresses");
    let mut lost = Vec::new();
    for (from, to, ip, mut ping) in running {
        if !ping.wait()?.success() {
            lost.push(format!("{from} -> {to} ({ip})"));
        }
    }
    ensure!(lost.is_empty(), "{} of {total} pings were lost: {}", lost.len(), lost.join(", "));
    screen.passed(&format!("{total} of {total} answered"));
    Ok(())
}

/// One member serves a file, another downloads it.
pub fn download(group: &mut Group, screen: &mut Screen) -> Result<()> {
    screen.title("Downloading a file over the VPN with curl");
    let mut members = group.members();
    let (server, client) = (members.next(), members.nth(2));
    let (server, client) = server.zip(client).context("too few members")?;
    let directory = tempfile::tempdir()?;
    let content: Vec<u8> = (0..DOWNLOAD_BYTES).map(|n| (n * 7 + n / 251) as u8).collect();
    std::fs::write(directory.path().join("file"), &content)?;
    let mut web = server.host.command("python3");
    web.args(["-m", "http.server", "8000", "--directory"]).arg(directory.path());
    let web = server.host.spawn(web)?;
    let address = Row::of(server).ipv4.context("the server has no address")?;
    let copy = directory.path().join("copy");
    let mut curl = client.host.command("curl");
    curl.args(["--silent", "--show-error", "--fail", "--retry", "20", "--retry-delay", "0"]);
    curl.args(["--retry-connrefused", "--max-time", "20", "--write-out", "%{speed_download}"]);
    curl.arg("--output").arg(&copy).arg(format!("http://{address}:8000/file"));
    let output = curl.output()?;
    drop(web);
    ensure!(output.status.success(), "curl: {}", String::from_utf8_lossy(&output.stderr));
    ensure!(std::fs::read(&copy)? == content, "the copy differs from the file");
    let speed: f64 = String::from_utf8_lossy(&output.stdout).parse().unwrap_or_default();
    let (from, to) = (server.name(), client.name());
    let megabytes = DOWNLOAD_BYTES / 1_000_000;
    screen.passed(&format!(
        "{megabytes} MB from {from} to {to}, identical, at {:.0} Mbit/s",
        speed * 8.0 / 1e6
    ));
    Ok(())
}

/// One node is killed without notice; the ring closes the gap, and everybody else still answers.
pub fn lose_a_node(group: &mut Group, screen: &mut Screen) -> Result<()> {
    let victim = group.nodes.len() - 2;
    let name = group.nodes[victim].name().to_owned();
    screen.title(&format!("Killing {name}; the ring repairs itself"));
    let id = Row::of(&group.nodes[victim]).id;
    group.nodes[victim].kill()?;
    let began = Instant::now();
    loop {
        let running = group.nodes.iter().filter(|node| node.daemon.is_some());
        let rows: Vec<Row> = running.map(Row::of).collect();
        screen.draw(table(&rows));
        if !rows.iter().any(|row| row.neighbours.contains(&id)) {
            break;
        }
        ensure!(began.elapsed() < REPAIR_MAX, "the ring is not whole after {REPAIR_MAX:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
    screen.passed(&format!("nobody's neighbour after {:.1} s", began.elapsed().as_secs_f64()));
    let asked = group.members().next().context("no member is left")?;
    let expected = group.nodes.len() - 1;
    loop {
        let report = asked.ask(&["crawl"])?;
        let (nodes, consistent) = (count(&report, "nodes"), count(&report, "consistent"));
        if (nodes, consistent) == (expected, expected) {
            break;
        }
        ensure!(
            began.elapsed() < REPAIR_MAX,
            "a crawl finds {nodes} of {expected} nodes, {consistent} with the right neighbours"
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    screen.passed(&format!(
        "a crawl finds {expected} nodes, each with the right two neighbours on both sides, after {:.1} s",
        began.elapsed().as_secs_f64()
    ));
    ping_every_pair(group, screen)
}

/// What to try at the running demo.
pub fn how_to_look_further(group: &Group, screen: &Screen) {
    let _ = screen;
    let Some(node) = group.members().next() else { return };
    println!("\nThe network is still up. In another terminal, for example at {}:", node.name());
    for question in ["status", "peers", "crawl"] {
        println!("  {}", node.by_hand(question));
    }
    println!("  {} curl -s http://127.0.0.1:9415/metrics", node.host.enter_command());
    println!("\nPress Enter to stop.");
}

/// A crawl tells nodes as a list or as a number.
fn count(report: &Value, field: &str) -> usize {
    match &report[field] {
        Value::Array(list) => list.len(),
        other => other.as_u64().unwrap_or_default() as usize,
    }
}

/// A line of the table.
struct Row {
    name: String,
    joined: bool,
    id: String,
    ipv4: Option<IpAddr>,
    ipv6: Option<IpAddr>,
    neighbours: String,
    peers: usize,
    problem: Option<String>,
}

impl Row {
    fn of(node: &Node) -> Row {
        let ask = |question: &str| node.ask(&[question]);
        let (status, peers, problem) = match ask("status").and_then(|s| Ok((s, ask("peers")?))) {
            Ok((status, peers)) => (status, peers, None),
            Err(error) => (Value::Null, Value::Null, Some(error.to_string())),
        };
        let text = |field: &str| status[field].as_str().unwrap_or("-").to_owned();
        let short = |field: &str| text(field).chars().take(8).collect::<String>();
        Row {
            name: node.name().to_owned(),
            joined: status["joined"].as_bool().unwrap_or(false),
            id: short("node_id"),
            ipv4: text("ipv4").parse().ok(),
            ipv6: text("ipv6").parse().ok(),
            neighbours: format!("{} | {}", short("left"), short("right")),
            peers: peers.as_array().map_or(0, Vec::len),
            problem: problem.filter(|_| node.daemon.is_none()),
        }
    }

    fn addresses(&self) -> Vec<IpAddr> {
        self.ipv4.into_iter().chain(self.ipv6).collect()
    }
}

fn table(rows: &[Row]) -> Vec<String> {
    let mut lines = vec![format!(
        "  {:6} {:8} {:7} {:15} {:39} {:5} left | right",
        "node", "id", "joined", "IPv4", "IPv6", "peers"
    )];
    lines.extend(rows.iter().map(|row| {
        let ip = |ip: Option<IpAddr>| ip.map_or("-".into(), |ip| ip.to_string());
        let (ipv4, ipv6) = (ip(row.ipv4), ip(row.ipv6));
        let joined = if row.joined { "yes" } else { "…" };
        let tail = row.problem.as_deref().unwrap_or(&row.neighbours);
        format!(
            "  {:6} {:8} {:7} {:15} {:39} {:5} {tail}",
            row.name, row.id, joined, ipv4, ipv6, row.peers
        )
    }));
    lines
}
