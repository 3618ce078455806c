//! The steps of the demo, each of which checks what it shows.

use super::ask::ask;
use super::group::{GROUP, Group, Place};
use super::is_watched;
use super::screen::Screen;
use super::table::{Row, table};
use anyhow::{Context, Result, ensure};
use lab::{Account, Node};
use serde_json::Value;
use std::net::IpAddr;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

/// How long the whole group may take to enrol and join.
const JOIN_MAX: Duration = Duration::from_secs(30);
/// How long the ring may take to close a gap: keep-alive, three misses, and one repair round.
const REPAIR_MAX: Duration = Duration::from_secs(60);
/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(100);
/// How many seconds a pair is pinged: the first packet waits until its address is found and a session is there.
const PING_SECONDS_MAX: &str = "10";
const DOWNLOAD_BYTES: usize = 20_000_000;

/// Everybody has an account, and is a member of the group.
pub fn accounts(group: &mut Group, screen: &mut Screen) -> Result<()> {
    screen.title("Accounts and a group, by the API of the service");
    group.sign_up()?;
    // Without anybody to use them they would be dead before they are read.
    if is_watched() {
        logins(group).iter().for_each(|line| screen.tell(line));
    }
    group.found()?;
    let names: Vec<_> = group.accounts.iter().map(|account| account.name.as_str()).collect();
    let (ana, others) = names.split_first().context("nobody has an account")?;
    let others = others.join(", ");
    screen.passed(&format!("{ana} made the group {GROUP}; {others} asked to join, {ana} approved"));
    Ok(())
}

/// The table fills until every node has enrolled and joined, and every member has both addresses.
pub fn join(group: &mut Group, screen: &mut Screen) -> Result<()> {
    screen.title("Joining with the blob alone: certificates, ring neighbours, virtual addresses");
    let began = Instant::now();
    group.start_nodes()?;
    let places = group.running();
    loop {
        let rows: Vec<Row> = places.iter().map(Row::of).collect();
        screen.draw(table(&rows));
        let is_there =
            |(row, place): (&Row, &Place)| row.joined && row.ipv4.is_some() == place.is_member;
        if rows.iter().zip(&places).all(is_there) {
            break;
        }
        ensure!(began.elapsed() < JOIN_MAX, "not everybody joined within {JOIN_MAX:?}");
        std::thread::sleep(PAUSE);
    }
    let seconds = began.elapsed().as_secs_f64();
    screen.passed(&format!("all enrolled, joined, and have their addresses after {seconds:.1} s"));
    Ok(())
}

/// Every member pings every other one, by IPv4 and IPv6.
pub fn ping_every_pair(group: &mut Group, screen: &mut Screen) -> Result<()> {
    screen.title("Pinging every pair over the VPN, IPv4 and IPv6");
    let addresses: Vec<(&Node, Vec<IpAddr>)> =
        group.members().map(|node| (node, row(node).addresses())).collect();
    let began = Instant::now();
    let mut running = Vec::new();
    for (from, _) in &addresses {
        for (to, ips) in addresses.iter().filter(|(to, _)| to.name() != from.name()) {
            for ip in ips {
                let mut ping = from.host.command("ping");
                // One a second until the first answer, or the first word of a router or of the host.
                ping.args(["-n", "-c", "1", "-w", PING_SECONDS_MAX, &ip.to_string()]);
                ping.stdout(Stdio::piped()).stderr(Stdio::piped());
                running.push((from.name(), to.name(), *ip, ping.spawn()?));
            }
        }
    }
    let total = running.len();
    ensure!(total > 0, "no two members have addresses");
    let mut lost = Vec::new();
    for (from, to, ip, ping) in running {
        let output = ping.wait_with_output()?;
        if !output.status.success() {
            lost.push(format!("{from} -> {to} ({ip}): {}", said(&output)));
        }
    }
    ensure!(lost.is_empty(), "{} of {total} pings were lost: {}", lost.len(), lost.join(", "));
    let seconds = began.elapsed().as_secs_f64();
    screen.passed(&format!("{total} of {total} answered within {seconds:.1} s"));
    Ok(())
}

/// What `ping` said besides its heading, in one line.
fn said(ping: &Output) -> String {
    let text = [&ping.stderr[..], &ping.stdout[..]].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    let lines = text.lines().map(str::trim);
    let told = lines
        .filter(|line| !line.is_empty() && !line.starts_with("PING ") && !line.starts_with("---"));
    told.collect::<Vec<_>>().join("; ")
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
    let address = row(server).ipv4.context("the server has no address")?;
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
    let id = row(&group.nodes[victim]).id;
    group.nodes[victim].kill()?;
    let began = Instant::now();
    let places = group.running();
    loop {
        let rows: Vec<Row> = places.iter().map(Row::of).collect();
        screen.draw(table(&rows));
        if !rows.iter().any(|row| row.neighbours.contains(&id)) {
            break;
        }
        ensure!(began.elapsed() < REPAIR_MAX, "the ring is not whole after {REPAIR_MAX:?}");
        std::thread::sleep(PAUSE);
    }
    screen.passed(&format!("nobody's neighbour after {:.1} s", began.elapsed().as_secs_f64()));
    let (asked, expected) = (&places[0].state, places.len());
    loop {
        let report = ask(asked, "crawl")?;
        let (nodes, consistent) = (count(&report, "nodes"), count(&report, "consistent"));
        if (nodes, consistent) == (expected, expected) {
            break;
        }
        ensure!(
            began.elapsed() < REPAIR_MAX,
            "a crawl finds {nodes} of {expected} nodes, {consistent} with the right neighbours"
        );
        std::thread::sleep(PAUSE);
    }
    screen.passed(&format!(
        "a crawl finds {expected} nodes, each with the right two neighbours on both sides, after {:.1} s",
        began.elapsed().as_secs_f64()
    ));
    ping_every_pair(group, screen)
}

/// What to try at the running demo.
pub fn how_to_look_further(group: &Group) {
    println!("\nThe site is still up. In a browser of this machine:");
    logins(group).iter().for_each(|line| println!("  {line}"));
    let Some(node) = group.members().next() else { return };
    println!("In another terminal, for example at the node {}:", node.name());
    for question in ["status", "peers", "crawl", "notices status"] {
        println!("  {}", node.by_hand(question));
    }
    println!("  {} curl -s http://127.0.0.1:9415/metrics", node.host.enter_command());
    println!("\nPress any key to stop.");
}

/// Where the service is for a browser of this machine, and who may log in there.
fn logins(group: &Group) -> Vec<String> {
    let mut lines = vec![format!(
        "https://{}   (the browser warns: the certificate is the service's own)",
        group.browser.address()
    )];
    let line = |(n, account): (usize, &Account)| {
        let role = if n == 0 { "administrator of the group" } else { "user" };
        format!("  {:5} password {}   {role}", account.name, account.password())
    };
    lines.extend(group.accounts.iter().take(2).enumerate().map(line));
    lines
}

/// What a node says of itself.
fn row(node: &Node) -> Row {
    let (name, state) = (node.name().to_owned(), node.member.state.clone());
    Row::of(&Place { name, state, is_member: true })
}

/// A crawl tells nodes as a list or as a number.
fn count(report: &Value, field: &str) -> usize {
    match &report[field] {
        Value::Array(list) => list.len(),
        other => other.as_u64().unwrap_or_default() as usize,
    }
}
