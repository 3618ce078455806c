//! The command line's side of the local API: asks one question and prints the answer.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pki::UnixTime;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::api::{
    Acknowledgements, Announced, Crawl, FORK_ADVICE, Overlay, Peer, Pong, Reply, Request,
    ServiceStatus, Status, Stored, Values,
};
use crate::cli::Ask;
use crate::config::{STATE_DIR_DEFAULT, socket_path};
use crate::failure::Failure;
use crate::overlays::Entry;
use crate::request::write_out;

/// How long an answer is waited for: a crawl of a large ring takes longest.
const PATIENCE: Duration = Duration::from_secs(300);
/// Longest answer in bytes: a crawl of 100,000 nodes.
const REPLY_LEN_MAX: u64 = 16 << 20;

/// Asks and prints.
pub fn run(request: &Request, ask: &Ask) -> Result<(), Failure> {
    let state_dir = ask.state_dir.clone().unwrap_or_else(|| PathBuf::from(STATE_DIR_DEFAULT));
    let value = exchange(request, &socket_path(ask.socket.as_deref(), &state_dir))?;
    let nothing = nothing_found(request, &value)?;
    let text = if ask.json {
        serde_json::to_string_pretty(&value).map_err(Failure::command)? + "\n"
    } else {
        render(request, value)?
    };
    write_out(None, &text)?;
    nothing.map_or(Ok(()), Err)
}

/// A name without a value is an answer, and a failure for scripts.
fn nothing_found(request: &Request, value: &Value) -> Result<Option<Failure>, Failure> {
    let Request::DhtGet { name, .. } = request else { return Ok(None) };
    let found: Values = read(value.clone())?;
    let sure = if found.complete { "" } else { "; not all replicas answered: try again" };
    let line = format!("nobody keeps a value under {name}{sure}");
    Ok(found.values.is_empty().then(|| Failure::command(line)))
}

fn exchange(request: &Request, socket: &Path) -> Result<Value, Failure> {
    let place = socket.display();
    let refused = || {
        Failure::host(format!("the daemon on {place} refused: run as root or as the daemon's user"))
    };
    let fail = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::PermissionDenied => {
            Failure::host(format!("no permission for {place}: run as root or as the daemon's user"))
        }
        // It hangs up without a look at the question.
        std::io::ErrorKind::BrokenPipe | std::io::ErrorKind::ConnectionReset => refused(),
        _ => Failure::no_daemon(format!(
            "no daemon answers on {place} ({error}): start one with warren up, or name its \
             --socket or --state-dir"
        )),
    };
    let stream = UnixStream::connect(socket).map_err(fail)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(fail)?;
    let mut line = serde_json::to_vec(request).map_err(Failure::command)?;
    line.push(b'\n');
    (&stream).write_all(&line).map_err(fail)?;
    let mut answer = String::new();
    BufReader::new(stream.take(REPLY_LEN_MAX)).read_line(&mut answer).map_err(fail)?;
    if answer.is_empty() {
        return Err(refused());
    }
    match serde_json::from_str(&answer).map_err(unreadable)? {
        Reply::Ok(value) => Ok(value),
        Reply::Error(message) => Err(Failure::command(message)),
        Reply::Usage(message) => Err(Failure::usage(message)),
    }
}

fn render(request: &Request, value: Value) -> Result<String, Failure> {
    Ok(match request {
        Request::Status => render_status(&read(value)?),
        Request::Peers => render_peers(&read::<Vec<Peer>>(value)?),
        Request::Ping { .. } => {
            let Pong { node_id, rtt_ms, hops, path } = read(value)?;
            let unit = if hops == 1 { "hop" } else { "hops" };
            format!("pong from {node_id}: {rtt_ms:.2} ms, {hops} {unit}, path {path}\n")
        }
        Request::DhtGet { .. } => render_values(&read(value)?),
        Request::DhtPut { .. } => {
            let Stored { replicas } = read(value)?;
            format!("stored by {replicas} nodes\n")
        }
        Request::Crawl { .. } => render_crawl(&read(value)?),
        Request::Announce { .. } => {
            let Announced { number, generation } = read(value)?;
            format!("announced: newest notice {number}, group secret {generation}\n")
        }
        Request::Acknowledgements { .. } => render_acknowledgements(&read(value)?),
        // For programs: the group service draws it.
        Request::Ring | Request::Holder { .. } => value.to_string() + "\n",
    })
}

fn read<T: DeserializeOwned>(value: Value) -> Result<T, Failure> {
    serde_json::from_value(value).map_err(unreadable)
}

fn unreadable(error: serde_json::Error) -> Failure {
    Failure::command(format!("the daemon is of another version ({error}): restart it"))
}

fn render_status(status: &Status) -> String {
    let until = status.certificate_not_after.map(|end| pki::UnixTime(end).to_string());
    // What a node of this kind does not have has no row; a device may be without its address for a while.
    let has_device = status.device.is_some();
    let address = |ip: Option<String>| has_device.then(|| ip.unwrap_or_else(|| "none".into()));
    let may_be = [
        ("group", status.group.clone()),
        ("user", status.user.clone()),
        ("certificate until", until),
        ("notices", status.notices.map(|number| number.to_string())),
        ("fork", status.fork.map(|number| format!("from notice {number} on: {FORK_ADVICE}"))),
        ("group service", status.service.as_ref().map(render_service)),
        ("device", status.device.clone()),
        ("virtual ipv4", address(status.ipv4.map(|ip| ip.to_string()))),
        ("virtual ipv6", address(status.ipv6.map(|ip| ip.to_string()))),
    ];
    let there = may_be.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let mut rows: Vec<_> = there.collect();
    rows.extend([
        ("listen", status.listen.to_string()),
        ("uptime", format!("{:.0} s", status.uptime_seconds)),
        ("version", status.version.clone()),
    ]);
    rows.extend(status.trouble.clone().map(|trouble| ("trouble", trouble)));
    status.overlays.iter().for_each(|overlay| rows.extend(overlay_rows(overlay)));
    rows.iter().map(|(name, value)| format!("{name:<18} {value}\n")).collect()
}

fn overlay_rows(overlay: &Overlay) -> [(&'static str, String); 9] {
    let or_none = |id: Option<pki::NodeId>| id.map_or_else(|| "none".into(), |id| id.to_string());
    let endpoints: Vec<String> = overlay.endpoints.iter().map(ToString::to_string).collect();
    [
        ("overlay", overlay.overlay.name().into()),
        ("  entry", overlay.entry.name().into()),
        ("  node", overlay.node_id.to_string()),
        ("  joined", if overlay.joined { "yes" } else { "no" }.into()),
        ("  peers", overlay.peers.to_string()),
        ("  nodes (estimate)", format!("{:.0}", overlay.nodes_estimate)),
        ("  left neighbour", or_none(overlay.left)),
        ("  right neighbour", or_none(overlay.right)),
        ("  endpoints", endpoints.join(" ")),
    ]
}

fn render_service(service: &ServiceStatus) -> String {
    let at = |seconds: Option<u64>| match seconds {
        Some(seconds) => pki::UnixTime(seconds).to_string(),
        None => "not yet".into(),
    };
    let ServiceStatus { server, renewal_due, last_contact, trouble } = service;
    let (due, contact) = (at(*renewal_due), at(*last_contact));
    let trouble = trouble.as_ref().map(|text| format!("; {text}")).unwrap_or_default();
    format!("{server}, renewal due {due}, last contact {contact}{trouble}")
}

fn render_peers(peers: &[Peer]) -> String {
    let mut text = format!(
        "{:<40}  {:<7}  {:<12}  {:<10}  {:<15}  {:<8}  {:>9}  {:<22}  {}\n",
        "NODE", "OVERLAY", "USER", "GROUP", "ADDRESS", "PATH", "RTT", "ENDPOINT", "WHY"
    );
    for peer in peers {
        let rtt = peer.rtt_ms.map_or("-".into(), |ms| format!("{ms:.2} ms"));
        let endpoint = peer.endpoint.map_or("-".into(), |endpoint| endpoint.to_string());
        let user = match (&peer.user, peer.entry) {
            (Some(user), _) => user,
            (None, Entry::PreSharedKey) => "(shared key)",
            (None, _) => "-",
        };
        let group = peer.group.as_deref().unwrap_or("-");
        let why = if peer.purposes.is_empty() { "-".into() } else { peer.purposes.join(",") };
        let address = peer.addresses.first().map_or("-".into(), ToString::to_string);
        let Peer { node_id, path, .. } = peer;
        let node_id = node_id.to_string();
        let overlay = peer.overlay.name();
        text += &format!(
            "{node_id:<40}  {overlay:<7}  {user:<12}  {group:<10}  {address:<15}  {path:<8}  {rtt:>9}  {endpoint:<22}  {why}\n"
        );
    }
    text
}

fn render_values(found: &Values) -> String {
    let line = |value: &crate::api::Value| format!("{}  {}\n", value.owner, value.value);
    let mut text: String = found.values.iter().map(line).collect();
    if !found.values.is_empty() && !found.complete {
        text += "not all replicas answered: there may be more\n";
    }
    text
}

fn render_acknowledgements(answer: &Acknowledgements) -> String {
    let Acknowledgements { number, live, acknowledged, last_at, complete } = answer;
    if *number == 0 {
        return "no notice yet: nobody was revoked\n".into();
    }
    let last = last_at.map_or(String::new(), |at| format!(", the last since {}", UnixTime(at)));
    let partly = if *complete { "" } else { "; the walk was not completed" };
    format!("{acknowledged} of {live} live nodes have notice {number}{last}{partly}\n")
}

fn render_crawl(crawl: &Crawl) -> String {
    let (nodes, consistent) = (crawl.nodes.len(), crawl.consistent);
    let whole = if crawl.complete { "whole ring" } else { "walk not completed" };
    let mut text = format!("{nodes} nodes, {consistent} with the right neighbours, {whole}\n");
    for node in crawl.nodes.iter().filter(|node| !node.consistent) {
        text += &format!("wrong neighbours: {}\n", node.node_id);
    }
    for id in &crawl.silent {
        text += &format!("silent: {id}\n");
    }
    text
}
