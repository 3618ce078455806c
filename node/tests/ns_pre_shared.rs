//! Groups by a pre-shared key: no authority and no blob, one file that all nodes have.

mod common;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use common::net::{Node, PATIENCE, PORT, took, underlay};
use common::{Group, Member, WARREN, fails, text, warren, works};
use lab::{Lab, Switch, eventually};
use serde_json::Value;

const USAGE: i32 = 2;
const IDENTITY: i32 = 3;
const HOST: i32 = 4;

/// A folder with keys and configurations.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Result<Self> {
        Ok(Self(tempfile::tempdir()?))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Draws a key.
    fn key(&self, name: &str) -> Result<String> {
        works(&mut warren(&["psk", "generate", "--out", text(&self.path(name))]));
        Ok(std::fs::read_to_string(self.path(name))?)
    }

    /// The configuration of a node with the key file `key`, which joins by this host 192.0.2.x.
    fn config(&self, name: &str, key: &str, bootstrap: u8) -> Result<PathBuf> {
        let (path, boot) = (self.path(&format!("{name}.yaml")), underlay(bootstrap));
        let network = "{group: home, ipv4: 10.42.0.0/24}";
        let joins = format!("['{boot}:{PORT}']");
        let settings = format!("psk_file: {key}\nnetwork: {network}\nbootstrap: {joins}\n");
        std::fs::write(&path, settings)?;
        Ok(path)
    }

    /// A command that starts a daemon, and ends at once where its input is bad.
    fn start(&self, config: &Path) -> Command {
        let state = self.path("state");
        let state = ["--state-dir", text(&state), "--metrics", "off"];
        let mut command = warren(&["bootstrap", "--config", text(config)]);
        command.args(state);
        command
    }
}

/// Hosts on a switch.
struct Net {
    lab: Lab,
    lan: Switch,
    home: Home,
}

impl Net {
    fn new() -> Result<Self> {
        let lab = Lab::new()?;
        Ok(Self { lan: lab.switch()?, lab, home: Home::new()? })
    }

    /// A host 192.0.2.`last` that joins by 192.0.2.1.
    fn node(&self, name: &str, last: u8, key: &str) -> Result<Node> {
        let host = self.lab.host(name)?;
        host.attach(&self.lan, &[&format!("{}/24", underlay(last))])?;
        self.home.config(name, key, 1)?;
        let path = |end: &str| self.home.path(&format!("{name}{end}"));
        // There is no request and no certificate.
        let member = Member { state: path(""), request: path(".req"), certificate: path(".pem") };
        Ok(Node::new(Path::new(WARREN), host, member))
    }

    fn start(&self, node: &mut Node, verb: &str) -> Result<()> {
        let config = self.home.path(&format!("{}.yaml", node.name()));
        let mut command = node.host.command(WARREN);
        command.args([verb, "--config", text(&config), "--state-dir", text(&node.member.state)]);
        let daemon = node.host.spawn(command)?;
        daemon.wait_for_log("started", PATIENCE)?;
        node.daemon = Some(daemon);
        Ok(())
    }

    fn restart(&self, node: &mut Node, verb: &str) -> Result<()> {
        node.stop()?;
        self.start(node, verb)
    }
}

/// The line on the standard error of a question that the daemon does not answer.
fn refused(node: &Node, words: &[&str]) -> Result<String> {
    let output = node.question(words).output()?;
    ensure!(!output.status.success(), "{words:?} was answered");
    Ok(String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn ns_se_04_two_nodes_with_a_shared_key_reach_each_other_and_a_third_with_another_does_not()
-> Result<()> {
    let net = Net::new()?;
    let key = net.home.key("home.psk")?;
    net.home.key("other.psk")?;
    let (mut alice, mut bob) = (net.node("alice", 1, "home.psk")?, net.node("bob", 2, "home.psk")?);
    let mut mallory = net.node("mallory", 3, "other.psk")?;
    for node in [&mut alice, &mut bob, &mut mallory] {
        net.start(node, "up")?;
    }
    let (alices, bobs) = (alice.ipv4()?, bob.ipv4()?);
    ensure!(alices.starts_with("10.42.0.") && alices != bobs, "{alices} and {bobs}");
    alice.reach(&bobs)?;
    bob.reach(&alices)?;
    alice.reach(&bob.ipv6()?)?;

    let status = alice.ask(&["status"])?;
    ensure!(status["group"] == "home" && status["overlay"] == "private", "{status}");
    ensure!(status["entry"] == "pre_shared_key", "{status}");
    for nothing in ["user", "certificate_not_after", "notices"] {
        ensure!(status[nothing] == Value::Null, "{nothing}: {status}");
    }
    let peers = alice.peers()?;
    let [peer] = &peers[..] else { anyhow::bail!("one peer: {peers:?}") };
    ensure!(peer["node_id"] == bob.id()?.as_str() && peer["user"] == Value::Null, "{peer}");
    ensure!(peer["entry"] == "pre_shared_key" && peer["path"] == "direct", "{peer}");
    let shown = alice.question(&["peers"]).output()?.stdout;
    ensure!(String::from_utf8(shown)?.contains("(shared key)"), "the table of peers");

    mallory.wait_for_log(
        "no answer: wrong group, another key or UDP blocked; give both the same key and group name",
    )?;
    ensure!(mallory.peers()?.is_empty() && mallory.ask(&["status"])?["ipv4"] == Value::Null, "in");
    ensure!(mallory.ping(&alices).is_err(), "mallory reaches alice");
    ensure!(alice.metric("warren_strangers_ignored_total")? > 0.0, "the silence is counted");
    ensure!(alice.log().matches("refused").count() == 0, "{}", alice.log());
    for node in [&alice, &bob, &mallory] {
        ensure!(!node.log().contains(&key.trim()[6..]), "the key is in the log");
    }

    // Nobody can be revoked.
    let notices = net.home.path("notices.txt");
    std::fs::write(&notices, "")?;
    for words in [&["notices", "announce", text(&notices)][..], &["notices", "status"]] {
        let line = refused(&alice, words)?;
        ensure!(line.contains("no authority: nobody can be revoked"), "{line}");
    }
    Ok(())
}

#[test]
fn ns_se_04_the_key_is_changed_node_by_node_and_the_old_one_is_out() -> Result<()> {
    let net = Net::new()?;
    let (old, new) = (net.home.key("old.psk")?, net.home.key("new.psk")?);
    std::fs::copy(net.home.path("old.psk"), net.home.path("home.psk"))?;
    let mut boot = net.node("boot", 1, "home.psk")?;
    let (mut alice, mut bob) = (net.node("alice", 2, "home.psk")?, net.node("bob", 3, "home.psk")?);
    net.start(&mut boot, "bootstrap")?;
    net.start(&mut alice, "up")?;
    net.start(&mut bob, "up")?;
    let (id, bobs) = (alice.id()?, bob.ipv4()?);
    alice.reach(&bobs)?;
    for keys in [format!("{old}# the next one\n{new}"), new] {
        std::fs::write(net.home.path("home.psk"), keys)?;
        net.restart(&mut alice, "up")?;
        took("alice reaches bob", || alice.reach(&bobs))?;
        net.restart(&mut boot, "bootstrap")?;
        net.restart(&mut bob, "up")?;
        took("alice reaches bob again", || alice.reach(&bobs))?;
    }
    ensure!(alice.id()? == id && bob.ipv4()? == bobs, "ID and address stay");
    let mut late = net.node("late", 4, "old.psk")?;
    net.start(&mut late, "up")?;
    late.wait_for_log("no answer")?;
    ensure!(late.peers()?.is_empty(), "the old key still counts");
    Ok(())
}

#[test]
fn ns_se_04_a_node_is_in_its_group_by_key_and_in_the_public_overlay() -> Result<()> {
    let net = Net::new()?;
    net.home.key("home.psk")?;
    let (mut alice, mut bob) = (net.node("alice", 1, "home.psk")?, net.node("bob", 2, "home.psk")?);
    for node in [&mut alice, &mut bob] {
        let config = net.home.path(&format!("{}.yaml", node.name()));
        let besides = format!("public: {{bootstrap: ['{}:{PORT}']}}\n", underlay(1));
        std::fs::write(&config, std::fs::read_to_string(&config)? + &besides)?;
        net.start(node, "up")?;
    }
    bob.reach(&alice.ipv4()?)?;
    eventually(PATIENCE, || {
        let status = bob.ask(&["status"])?;
        let overlays = status["overlays"].as_array().context("overlays")?;
        let shown: Vec<_> = overlays.iter().map(|one| (&one["entry"], &one["peers"])).collect();
        let peer = Value::from(1);
        let expected = [(&Value::from("pre_shared_key"), &peer), (&Value::from("open"), &peer)];
        ensure!(shown == expected, "{status}");
        Ok(())
    })
}

#[test]
fn unit_se_04_a_bad_key_file_ends_with_a_line_that_says_what_to_do() -> Result<()> {
    let home = Home::new()?;
    let key = home.key("home.psk")?;
    let config = home.config("node", "home.psk", 1)?;
    let refused = |text: &str, mode: u32| -> Result<(i32, String)> {
        let path = home.path("home.psk");
        std::fs::write(&path, text)?;
        std::fs::set_permissions(&path, Permissions::from_mode(mode))?;
        Ok(fails(&mut home.start(&config)))
    };
    for (text, mode, expected, says) in [
        (&key[..40], 0o600, IDENTITY, "line 1: expected wpsk1_ and 48 characters"),
        ("swordfish\n", 0o600, IDENTITY, "keys are drawn, not thought of"),
        (&key.replacen(&key[20..22], "-_", 1)[..], 0o600, IDENTITY, "a character of it is wrong"),
        ("\n", 0o600, IDENTITY, "there is no key in it"),
        (&format!("{key}{key}")[..], 0o600, IDENTITY, "line 2: this key stands further up"),
        (&key[..], 0o644, HOST, "has mode 0644: others on this host can read or change the key"),
        (&key[..], 0o620, HOST, "chmod 600"),
    ] {
        let (code, line) = refused(text, mode)?;
        ensure!(code == expected && line.contains(says), "{says}: {code} {line}");
        ensure!(!line.contains(&key[6..20]) && !line.contains("swordfish"), "{line}");
    }
    let absent = home.config("node", "nowhere.psk", 1)?;
    let (code, line) = fails(&mut home.start(&absent));
    ensure!(code == HOST && line.contains("name the file of the key with psk_file"), "{line}");
    ensure!(!home.path("state/key.pem").exists(), "a key was made in vain");
    Ok(())
}

#[test]
fn unit_se_04_its_directory_is_not_run_as_a_public_node_by_mistake() -> Result<()> {
    let home = Home::new()?;
    let key = home.path("state/key.pem");
    std::fs::create_dir(home.path("state"))?;
    std::fs::write(&key, pki::PrivateKey::generate().to_pkcs8_pem().as_bytes())?;
    std::fs::set_permissions(&key, Permissions::from_mode(0o600))?;
    let words = ["bootstrap", "--metrics", "off", "--listen", "127.0.0.1:0", "--state-dir"];
    let (code, line) = fails(warren(&words).arg(home.path("state")));
    ensure!(code == IDENTITY && line.contains("start it with --config FILE"), "{code} {line}");
    Ok(())
}

#[test]
fn unit_se_04_a_key_that_a_shell_wrote_where_others_read_is_told() -> Result<()> {
    let home = Home::new()?;
    let path = home.path("by-shell.psk");
    let written = std::fs::File::create(&path)?;
    std::fs::set_permissions(&path, Permissions::from_mode(0o644))?;
    let output = warren(&["psk", "generate"]).stdout(written).output()?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && told.contains("mode 0644"), "{told}");
    ensure!(told.contains("chmod 600") && told.contains("--out"), "{told}");
    Ok(())
}

#[test]
fn unit_se_04_what_belongs_to_a_group_with_an_authority_is_refused() -> Result<()> {
    let (home, group) = (Home::new()?, Group::new());
    home.key("home.psk")?;
    let (config, ana) = (home.config("node", "home.psk", 1)?, group.member("ana", &[]));
    let (code, line) = fails(home.start(&config).arg("--certificate").arg(&ana.certificate));
    ensure!(code == USAGE && line.contains("which has no authority"), "{code} {line}");
    let (code, line) = fails(home.start(&config).arg("--blob").arg(group.blob(&[])));
    ensure!(code == USAGE && line.contains("a blob or a pre-shared key, not both"), "{line}");
    let (code, line) = fails(home.start(&config).args(["--notices", "notices.txt"]));
    ensure!(code == USAGE && line.contains("to put somebody out, change the key"), "{line}");
    std::fs::create_dir_all(home.path("state"))?;
    std::fs::copy(&ana.certificate, home.path("state/certificate.pem"))?;
    let (code, line) = fails(&mut home.start(&config));
    ensure!(code == IDENTITY && line.contains("--state-dir of its own"), "{code} {line}");
    // The key is named by a file only.
    let (code, _) = fails_to_parse(&["up", "--psk-file", "home.psk"])?;
    ensure!(code == USAGE, "{code}");
    Ok(())
}

fn fails_to_parse(arguments: &[&str]) -> Result<(i32, String)> {
    let output = warren(arguments).output()?;
    let code = output.status.code().context("no signal")?;
    Ok((code, String::from_utf8_lossy(&output.stderr).into_owned()))
}
