//! The public overlay: nodes without a group, and members that take part in it besides, over one socket each.

mod common;

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use common::net::{Net, Node, PATIENCE, PORT, run, underlay};
use common::{Group, Member, Quiet as _, WARREN, fails, text};
use lab::{Lab, eventually};
use serde_json::Value;

/// The hosts 192.0.2.x of the two public nodes.
const PUBLIC: [u8; 2] = [10, 11];

/// A host with a state directory and nothing of a group.
fn public_node(net: &Net, last: u8) -> Result<Node> {
    let name = format!("public{last}");
    let member = Member::at(&net.group.path(""), &name);
    Ok(Node::new(Path::new(WARREN), net.host(&name, last)?, member))
}

/// Starts a public node; it joins by the first one.
fn start_public(node: &mut Node) -> Result<()> {
    let first = format!("{}:{PORT}", underlay(PUBLIC[0]));
    let mut command = node.host.command(WARREN);
    command.args(["bootstrap", "--state-dir", text(&node.member.state), "--bootstrap", &first]);
    let daemon = node.host.spawn(command)?;
    daemon.wait_for_log("started", PATIENCE)?;
    node.daemon = Some(daemon);
    Ok(())
}

/// Settings of a member that takes part in the public overlay besides.
fn besides(group: &Group) -> Result<std::path::PathBuf> {
    let config = group.path("public.yaml");
    std::fs::write(
        &config,
        format!("public: {{bootstrap: ['{}:{PORT}']}}\n", underlay(PUBLIC[0])),
    )?;
    Ok(config)
}

/// Waits until a crawl meets so many nodes, each with the right neighbours.
fn whole(node: &Node, question: &[&str], nodes: usize) -> Result<()> {
    eventually(PATIENCE, || {
        let crawl = node.ask(question)?;
        let met = crawl["nodes"].as_array().context("nodes")?.len();
        let is_whole = crawl["complete"] == true && crawl["consistent"] == nodes && met == nodes;
        ensure!(is_whole, "{question:?}: {crawl}");
        Ok(())
    })
    .with_context(|| node.log())
}

fn id_in(node: &Node, place: usize) -> Result<String> {
    let status = node.ask(&["status"])?;
    Ok(status["overlays"][place]["node_id"].as_str().context("an id")?.to_owned())
}

#[test]
fn ns_po_08_public_nodes_learn_nothing_of_the_members_beside_them() -> Result<()> {
    let net = Net::new()?;
    let mut publics = [public_node(&net, PUBLIC[0])?, public_node(&net, PUBLIC[1])?];
    let capture = publics[0].host.capture("eth0")?;
    publics.iter_mut().try_for_each(start_public)?;
    let (blob, config) = (net.blob(&[2]), besides(&net.group)?);
    let names = ["alice", "bob", "carol"];
    let mut members = Vec::new();
    for (last, name) in (2..).zip(names) {
        let mut member = net.node(name, last, &[])?;
        member.start_with("up", &blob, &["--config", text(&config)])?;
        members.push(member);
    }
    whole(&members[0], &["crawl"], 3)?;
    whole(&members[1], &["crawl", "--public"], 5)?;
    whole(&publics[1], &["crawl"], 5)?;
    let bobs = members[1].ipv4()?;
    members[0].reach(&bobs)?;

    let alices = [id_in(&members[0], 0)?, id_in(&members[0], 1)?];
    ensure!(alices[0] != alices[1], "one ID in both overlays");
    let alice_public = ["ping", "--public", &id_in(&members[2], 1)?].map(str::to_owned);
    members[0].ask(&alice_public.each_ref().map(String::as_str))?;
    let shown = members[0].peers()?;
    let strangers = shown.iter().filter(|peer| peer["overlay"] == "public");
    ensure!(strangers.clone().count() == 4, "{shown:?}");
    ensure!(strangers.clone().all(|peer| peer["user"] == Value::Null), "{shown:?}");

    for public in &publics {
        knows_nobody(public, &[&names[..], &[&bobs, &alices[0]]].concat())?;
    }
    ensure!(names.iter().all(|name| !capture.contains(name.as_bytes())), "a name on the wire");
    values_stay_where_they_were_put(&members[0], &publics[1], &alices[1])?;

    // The members need no public node.
    publics.iter_mut().try_for_each(Node::kill)?;
    whole(&members[2], &["crawl"], 3)?;
    members[2].reach(&bobs)
}

/// Nothing that this public node shows, keeps or logs contains any of these words.
fn knows_nobody(public: &Node, words: &[&str]) -> Result<()> {
    let status = public.ask(&["status"])?;
    ensure!(status["group"] == Value::Null && status["user"] == Value::Null, "{status}");
    ensure!(status["overlays"].as_array().map(Vec::len) == Some(1), "{status}");
    ensure!(public.metric("warren_dht_records{overlay=\"public\"}")? == 0.0, "a record");
    run(public.host.command("curl").args(["-s", "-f", "http://127.0.0.1:9415/readyz"]))?;
    let peers = Value::from(public.peers()?);
    for text in [status.to_string(), peers.to_string(), public.log()] {
        ensure!(!words.iter().any(|word| text.contains(word)), "{words:?} in {text}");
    }
    Ok(())
}

/// What a member puts into the public table is signed by its public ID, and not in the private table.
fn values_stay_where_they_were_put(member: &Node, public: &Node, id: &str) -> Result<()> {
    member.ask(&["dht", "put", "--public", "greeting", "hello"])?;
    let found = public.ask(&["dht", "get", "greeting"])?;
    let value = &found["values"][0];
    ensure!(value["value"] == "hello" && value["owner"] == id, "{found}");
    let private = member.ask(&["dht", "get", "greeting"]).map_err(|error| error.to_string());
    let line = private.expect_err("is not there");
    ensure!(line.contains("nobody keeps a value under greeting"), "{line}");
    Ok(())
}

#[test]
fn ns_po_08_a_public_node_keeps_key_and_peers_of_its_own_over_a_restart() -> Result<()> {
    let net = Net::new()?;
    let mut publics = [public_node(&net, PUBLIC[0])?, public_node(&net, PUBLIC[1])?];
    publics.iter_mut().try_for_each(start_public)?;
    whole(&publics[1], &["crawl"], 2)?;
    let id = publics[0].id()?;
    let peers = publics[0].member.state.join("public-overlay-peers.json");
    publics[0].stop()?;
    ensure!(peers.exists(), "no peers remembered");
    // It is the node of its own list, so only its peers lead back.
    start_public(&mut publics[0])?;
    ensure!(publics[0].id()? == id, "another key");
    whole(&publics[0], &["crawl"], 2)
}

#[test]
fn unit_po_08_the_key_of_a_group_is_refused_in_the_public_overlay() -> Result<()> {
    let group = Group::new();
    let (ana, config) = (group.member("ana", &[]), besides(&group)?);
    std::fs::copy(ana.state.join("key.pem"), ana.state.join("public-overlay-key.pem"))?;
    let mut command = common::warren(&["bootstrap", "--config", text(&config)]);
    let blob = group.blob(&[]);
    command.args(&ana.start("bootstrap", &blob)[1..]);
    let (code, line) = fails(&mut command);
    ensure!(code == 3 && line.contains("public-overlay-key.pem"), "{code} {line}");
    Ok(())
}

#[test]
fn unit_po_08_a_members_files_are_not_run_as_a_public_node_by_mistake() -> Result<()> {
    let group = Group::new();
    let ana = group.member("ana", &[]);
    let bare = |state: &Path| {
        let options = ["bootstrap", "--metrics", "off", "--state-dir", text(state)];
        common::warren(&options)
    };
    let (code, line) = fails(bare(&ana.state).arg("--certificate").arg(&ana.certificate));
    ensure!(code == 2 && line.contains("--blob"), "{code} {line}");
    std::fs::copy(&ana.certificate, ana.state.join("certificate.pem"))?;
    let (code, line) = fails(&mut bare(&ana.state));
    ensure!(code == 3 && line.contains("--blob"), "{code} {line}");
    ensure!(!ana.state.join("public-overlay-key.pem").exists(), "a key was made");
    Ok(())
}

#[test]
fn ns_po_08_a_node_in_no_public_overlay_says_so() -> Result<()> {
    let lab = Lab::new()?;
    let (host, group) = (lab.host("ana")?, Group::new());
    let ana = group.member("ana", &[]);
    let blob = group.blob(&[]);
    let mut command = host.command(WARREN);
    command.args(ana.start("bootstrap", &blob));
    let daemon = host.spawn(command)?;
    daemon.wait_for_log("started", PATIENCE)?;
    let mut crawl = common::warren(&["crawl", "--public", "--state-dir", text(&ana.state)]);
    let (code, line) = fails(&mut crawl);
    ensure!(code == 2 && line.contains("set public in its configuration"), "{code} {line}");
    let ping = |name| fails(&mut common::warren(&["ping", name, "--state-dir", text(&ana.state)]));
    let (code, line) = ping("nobody");
    ensure!(code == 2 && line.contains("neither a node id"), "{code} {line}");
    Ok(())
}
