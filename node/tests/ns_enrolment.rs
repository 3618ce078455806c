//! Nodes that get and keep their membership by way of a group service. The service is a double that says what
//! a test wants and writes down what it receives.

mod common;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use common::net::{Node, PATIENCE, PORT, refused, run, took, underlay};
use common::service::{self, Service};
use common::{Group, Member, WARREN, text};
use lab::{Lab, Switch, eventually};
use pki::enrolment::{ANSWER_LEN_MAX, Code, Pin, REQUEST_LEN_MAX};
use pki::{CertificateAuthority, StalePolicy};

/// The host of the service, and its port.
const SERVICE: u8 = 200;
const SERVICE_PORT: u16 = 8443;

/// A service on a host of its own, and nodes beside it.
struct Site {
    service: Service,
    lan: Switch,
    lab: Lab,
}

impl Site {
    /// The nodes join by the host 192.0.2.1.
    fn new() -> Result<Self> {
        let lab = Lab::new()?;
        let lan = lab.switch()?;
        let host = lab.host("service")?;
        host.attach(&lan, &[&format!("{}/24", underlay(SERVICE))])?;
        let address = format!("{}:{SERVICE_PORT}", underlay(SERVICE));
        let bootstrap = format!("{}:{PORT}", underlay(1));
        let service = Service::start(Some(&host), &address, &[&bootstrap])?;
        Ok(Self { service, lan, lab })
    }

    /// A host 192.0.2.`last` without key and certificate.
    fn node(&self, last: u8) -> Result<Node> {
        let name = format!("node{last}");
        let host = self.lab.host(&name)?;
        host.attach(&self.lan, &[&format!("{}/24", underlay(last))])?;
        Ok(Node::new(Path::new(WARREN), host, Member::at(self.lab.directory(), &name)))
    }

    /// Writes what a user is handed.
    fn blob(&self, text: &str) -> Result<PathBuf> {
        let path = self.lab.directory().join("blob.yaml");
        std::fs::write(&path, text)?;
        Ok(path)
    }

    /// Starts a daemon with nothing but the blob.
    fn start(&self, node: &mut Node, command: &str) -> Result<()> {
        self.spawn(node, command)?;
        node.wait_for_log("started")
    }

    fn spawn(&self, node: &mut Node, command: &str) -> Result<()> {
        let blob = self.blob(&self.service.invitation()?)?;
        node.launch_enrolling(command, &blob, &[])
    }

    /// Runs a daemon by a blob that it is refused with; returns exit code and the line for the user.
    fn refused(&self, node: &Node, blob: &str) -> Result<(i32, String)> {
        refused(node, &self.blob(blob)?, &[])
    }
}

#[test]
fn ns_wb_08_the_blob_is_the_whole_command() -> Result<()> {
    let site = Site::new()?;
    let (mut boot, mut ana, mut ben) = (site.node(1)?, site.node(2)?, site.node(3)?);
    // From a file below; from standard input and from the environment, as containers like it, here.
    let blob = site.blob(&site.service.invitation()?)?;
    let mut piped = boot.host.command("sh");
    piped.args(["-c", "exec \"$0\" bootstrap --blob - --state-dir \"$1\" < \"$2\"", WARREN]);
    piped.args([text(&boot.member.state), text(&blob)]);
    boot.daemon = Some(boot.host.spawn(piped)?);
    boot.wait_for_log("started")?;
    let began = Instant::now();
    took("enrolled, joined, with an address after", || {
        site.start(&mut ana, "up")?;
        ana.ipv4().map(drop)
    })?;
    ensure!(began.elapsed() < Duration::from_secs(60));
    let mut from_environment = ben.host.command(WARREN);
    from_environment.env("WARREN_BLOB_YAML", site.service.invitation()?);
    from_environment.args(["up", "--blob-env", "--state-dir", text(&ben.member.state)]);
    ben.daemon = Some(ben.host.spawn(from_environment)?);
    ben.wait_for_log("started")?;
    let address = ben.ipv4()?;
    ensure!(address.starts_with("10.42.0."), "{address}: the subnet comes with the certificate");
    ana.reach(&address)?;
    ensure!(ana.id()? != ben.id()?, "one blob, a certificate of its own for each");
    for file in ["key.pem", "grant.json", "certificate.pem", "secrets.yaml"] {
        use std::os::unix::fs::PermissionsExt;
        let mode = ana.member.state.join(file).metadata()?.permissions().mode() & 0o777;
        ensure!(mode == 0o600, "{file}: {mode:o}");
    }
    let token = site.service.state().token.expose();
    ensure!(!ana.log().contains(&token[4..]), "the token is in the log");
    Ok(())
}

#[test]
fn ns_ad_07_a_node_that_knows_the_group_name_alone_gets_the_subnet_with_its_certificate()
-> Result<()> {
    let site = Site::new()?;
    site.service.state().network.ipv4 = "10.77.0.0/24".parse()?;
    let (mut boot, mut ana) = (site.node(1)?, site.node(2)?);
    let blob = site.service.invitation()?;
    ensure!(blob.contains("group: team") && !blob.contains("ipv4"), "{blob}");
    site.start(&mut boot, "bootstrap")?;
    site.start(&mut ana, "up")?;
    let address = ana.ipv4()?;
    ensure!(address.starts_with("10.77.0."), "{address}");
    let show = |words: &[&str]| run(ana.host.command("ip").args(words));
    let shown = show(&["-4", "-o", "address", "show", "warren0"])?;
    ensure!(shown.contains(&format!("inet {address}/24")), "the whole subnet: {shown}");
    let routes = show(&["-4", "route", "show", "dev", "warren0"])?;
    ensure!(routes.starts_with("10.77.0.0/24"), "{routes}");
    Ok(())
}

#[test]
fn ns_wb_09_another_server_is_sent_nothing() -> Result<()> {
    let site = Site::new()?;
    let node = site.node(2)?;
    let good = site.service.invitation()?;
    let other = good.replace(&site.service.pin.to_string(), &Pin::of_spki(b"other").to_string());
    let (code, line) = site.refused(&node, &other)?;
    ensure!(code == 6 && line.contains("none of the pinned ones; nothing was sent"), "{line}");
    ensure!(line.contains(&site.service.pin.to_string()), "the key that was seen: {line}");
    // Without a pin its certificate must be one of the web.
    let unpinned: Vec<_> = good.lines().filter(|line| !line.contains("sha256:")).collect();
    let unpinned = unpinned.join("\n").replace("pins:", "pins: []");
    let (code, line) = site.refused(&node, &unpinned)?;
    ensure!(code == 6 && line.contains("does not trust its certificate"), "{line}");
    let received = site.service.state().received.clone();
    ensure!(received.is_empty(), "{received:?}");
    // Nor is there a way to ask without TLS.
    let (code, line) = site.refused(&node, &good.replace("https://", "http://"))?;
    ensure!(code == 3 && line.contains("http is not spoken"), "{line}");
    Ok(())
}

#[test]
fn ns_wb_09_each_refusal_has_its_line_and_exit_code() -> Result<()> {
    let site = Site::new()?;
    let node = site.node(2)?;
    let good = site.service.invitation()?;
    let mut lines = Vec::new();
    for (code, expected, says) in [
        (Code::TokenUnknown, 7, "not known there or was ended: download a new blob"),
        (Code::TokenExpired, 8, "has expired: download a new blob"),
        (Code::TokenUsedUp, 9, "used up: download a new blob for this node"),
        (Code::TokenForeign, 10, "of another group: download a blob of this group"),
        (Code::RequestDenied, 11, "request to join was denied: because the test says so"),
        (Code::MembershipEnded, 11, "membership has ended: because the test says so"),
        (Code::NodeRevoked, 11, "this node is revoked: because the test says so"),
        (Code::QuotaExceeded, 12, "all certificates that a member may have are in use"),
    ] {
        site.service.state().denial = Some(code);
        let (exit, line) = site.refused(&node, &good)?;
        ensure!(exit == expected && line.contains(says), "{code}: {exit}, {line}");
        ensure!(!lines.contains(&line), "{line} is told for two reasons");
        lines.push(line);
    }
    Ok(())
}

#[test]
fn ns_wb_09_a_start_that_cannot_work_costs_no_place_of_the_quota() -> Result<()> {
    let (site, group) = (Site::new()?, Group::new());
    let node = site.node(2)?;
    let blob = site.blob(&site.service.invitation()?)?;
    let other = group.member("other", &["--ipv4", "10.42.0.7"]);
    let port = format!("{}:{PORT}", underlay(77));
    for (options, code, says) in [
        (["--certificate", text(&other.certificate)], 3, "not for this node's key"),
        (["--notices", "/nowhere/notices.txt"], 2, "name a file that is there"),
        (["--listen", &port], 4, "this host has no such address"),
    ] {
        let (exit, line) = refused(&node, &blob, &options)?;
        ensure!(exit == code && line.contains(says), "{exit}: {line}");
    }
    // With its own key as well: the address that the certificate fixes is not the one that is wanted.
    std::fs::copy(other.state.join("key.pem"), node.member.state.join("key.pem"))?;
    let both = ["--certificate", text(&other.certificate), "--address", "10.42.0.8"];
    let (exit, line) = refused(&node, &blob, &both)?;
    ensure!(exit == 2 && line.contains("the certificate fixes address 10.42.0.7"), "{line}");
    let received = site.service.state().received.clone();
    ensure!(received.is_empty(), "the service heard of it: {received:?}");
    Ok(())
}

#[test]
fn ns_wb_09_answers_that_make_no_sense_end_with_a_line() -> Result<()> {
    let site = Site::new()?;
    let mut node = site.node(2)?;
    let good = site.service.invitation()?;
    for (status, body, says) in [
        (200, vec![b' '; ANSWER_LEN_MAX + 1], "longer than 16777216 bytes"),
        (200, b"{}".to_vec(), "not the expected JSON at line 1"),
        (200, b"\xff\x00<html>".to_vec(), "not the expected JSON at line 1"),
        (202, Vec::new(), "nobody needs to decide that"),
        (403, vec![b'x'; REQUEST_LEN_MAX + 1], "longer than 16384 bytes"),
        (403, b"<html>no</html>".to_vec(), "status 403 Forbidden without a reason"),
    ] {
        site.service.state().nonsense = Some((status, body));
        let (exit, line) = site.refused(&node, &good)?;
        ensure!(exit == 12 && line.contains(says), "{status}: {exit}, {line}");
    }
    // A proxy whose service is down is waited for.
    site.service.state().nonsense = Some((502, b"<html>later</html>".to_vec()));
    site.spawn(&mut node, "bootstrap")?;
    node.wait_for_log("status 502 Bad Gateway; trying again")?;
    site.service.state().nonsense = None;
    node.wait_for_log("started")
}

#[test]
fn ns_wb_05_a_node_waits_for_approval_and_joins_within_seconds() -> Result<()> {
    let site = Site::new()?;
    let (mut boot, mut ana) = (site.node(1)?, site.node(2)?);
    site.start(&mut boot, "bootstrap")?;
    site.service.state().is_approved = false;
    site.spawn(&mut ana, "up")?;
    ana.wait_for_log("waiting until an administrator of the group approves")?;
    eventually(PATIENCE, || {
        let asked = site.service.count("/enrol/v1/certificate");
        ensure!(asked >= 3, "asked {asked} times");
        Ok(())
    })?;
    site.service.state().is_approved = true;
    took("virtual address after approval in", || ana.ipv4().map(drop))?;
    let log = ana.log();
    ensure!(log.matches("waiting until").count() == 1, "told once: {log}");
    Ok(())
}

#[test]
fn ns_wb_12_a_running_node_renews_by_itself() -> Result<()> {
    let site = Site::new()?;
    site.service.state().renew_after = Duration::ZERO;
    let (mut boot, mut ana) = (site.node(1)?, site.node(2)?);
    site.start(&mut boot, "bootstrap")?;
    site.start(&mut ana, "bootstrap")?;
    let id = ana.id()?;
    eventually(PATIENCE * 2, || {
        ensure!(ana.log().matches("certificate renewed").count() >= 2, "{}", ana.log());
        Ok(())
    })?;
    ensure!(ana.id()? == id, "the id stays");
    // The renewals were signed by the node and carried no token: one for the first certificate.
    ensure!(site.service.count("/enrol/v1/certificate") == 2, "one for each node");
    let status = ana.ask(&["status"])?;
    ensure!(
        status["service"]["renewal_due"].is_u64() && status["service"]["last_contact"].is_u64()
    );
    Ok(())
}

#[test]
fn ns_wb_12_running_members_follow_their_group_to_another_authority() -> Result<()> {
    let site = Site::new()?;
    site.service.state().renew_after = Duration::ZERO;
    let (mut boot, mut ana, mut ben) = (site.node(1)?, site.node(2)?, site.node(3)?);
    site.start(&mut boot, "bootstrap")?;
    site.start(&mut ana, "bootstrap")?;
    ana.wait_joined()?;
    // With their next renewal members pin the new authority as well; then it signs.
    let next = CertificateAuthority::create("team", service::now())?;
    let both = [site.service.state().authority.certificate().clone(), next.certificate().clone()];
    site.service.state().trust.repin(&both)?;
    for member in [&boot, &ana] {
        eventually(PATIENCE * 2, || {
            ensure!(member.log().contains("authorities of the group taken"), "{}", member.log());
            Ok(())
        })?;
    }
    site.service.state().authority = next;
    site.start(&mut ben, "bootstrap")?;
    ben.wait_joined()?;
    let bens = ben.id()?;
    eventually(PATIENCE, || {
        ensure!(boot.peer(&bens)?.is_some() && ana.peer(&bens)?.is_some(), "{}", ana.log());
        Ok(())
    })?;
    // Its notices count, and the members' own certificates are renewed by it.
    site.service.state().revoke("user2")?;
    ana.wait_for_log("notices taken")?;
    eventually(PATIENCE, || {
        ensure!(ana.peer(&bens)?.is_none() && ana.peer(&boot.id()?)?.is_some(), "{}", ana.log());
        Ok(())
    })?;
    let renewed = ana.log().matches("certificate renewed").count();
    eventually(PATIENCE * 2, || {
        ensure!(ana.log().matches("certificate renewed").count() > renewed, "{}", ana.log());
        Ok(())
    })?;
    for member in [&boot, &ana] {
        let log = member.log();
        ensure!(!log.contains("unknown authority") && !log.contains("not signed by"), "{log}");
    }
    Ok(())
}

#[test]
fn ns_rv_01_a_service_restored_from_an_old_backup_shows_as_a_fork() -> Result<()> {
    let site = Site::new()?;
    let mut node = site.node(1)?;
    site.service.state().renew_after = Duration::ZERO;
    site.start(&mut node, "bootstrap")?;
    let backup = site.service.state().trust.clone();
    site.service.state().revoke("user7")?;
    node.wait_for_log("notices taken")?;
    ensure!(node.ask(&["status"])?["fork"].is_null() && node.metric("warren_notices_fork")? == 0.0);

    let mut state = site.service.state();
    state.trust = backup;
    state.revoke("user8")?;
    state.revoke("user9")?;
    drop(state);
    node.wait_for_log("signed two histories of notices")?;
    ensure!(node.metric("warren_notices_fork")? >= 1.0);
    let shown = run(&mut node.question(&["status"]))?;
    ensure!(shown.contains("restored from an old backup"), "{shown}");
    ensure!(node.ask(&["status"])?["notices"] == 1, "it keeps to the history that it knew");
    let renewed = node.log().matches("certificate renewed").count();
    eventually(PATIENCE, || {
        let now = node.log().matches("certificate renewed").count();
        ensure!(now > renewed, "the membership ends with it: {}", node.log());
        Ok(())
    })
}

#[test]
fn ns_rv_07_a_strict_group_admits_nobody_while_its_list_is_stale() -> Result<()> {
    const HOUR: Duration = Duration::from_secs(3600);
    let site = Site::new()?;
    site.service.state().stale_policy = StalePolicy::Strict;
    site.service.state().sign_head(HOUR, 2 * HOUR)?;
    let (mut boot, mut ana, mut ben) = (site.node(1)?, site.node(2)?, site.node(3)?);
    site.start(&mut boot, "bootstrap")?;
    site.start(&mut ana, "bootstrap")?;
    ana.wait_joined()?;
    ensure!(boot.metric("warren_notices_stale")? == 0.0);

    // The tolerance is five minutes: this list is taken for good for some seconds more.
    site.service.state().sign_head(pki::CLOCK_TOLERANCE, Duration::from_secs(3))?;
    ana.wait_for_log("list of revocations is out of date: no new links")?;
    ensure!(ana.metric("warren_notices_stale")? == 1.0);
    site.start(&mut ben, "bootstrap")?;
    let told = "the revocation list is out of date since";
    ben.wait_for_log(told).or_else(|_| boot.wait_for_log(told))?;
    ensure!(ben.peers()?.is_empty(), "admitted");
    ensure!(ana.peers()?.len() == 1, "links that were there stay");

    site.service.state().sign_head(Duration::ZERO, HOUR)?;
    ben.wait_joined()?;
    ana.wait_for_log("list of revocations is up to date again")
}

#[test]
fn ns_wb_08_a_device_joins_by_a_code() -> Result<()> {
    let site = Site::new()?;
    let mut node = site.node(1)?;
    site.service.state().blob = site.service.invitation()?;
    let url = format!("https://{}", site.service.address);
    let join = |more: &[&str]| {
        let mut command = node.host.command(WARREN);
        command.args(["join", &url, "team", "--state-dir", text(&node.member.state)]);
        command.args(more);
        node.host.spawn(command)
    };
    // Without a pin: nothing is sent, and the key is shown.
    let pin = site.service.pin.to_string();
    let mut unpinned = join(&[])?;
    ensure!(unpinned.wait_exit(PATIENCE)?.code() == Some(6), "{}", unpinned.log());
    ensure!(unpinned.log().contains(&format!("--pin {pin}")), "{}", unpinned.log());
    ensure!(site.service.state().received.is_empty());

    site.service.state().is_approved = false;
    let mut joining = join(&["--pin", &pin])?;
    joining.wait_for_log("open https://vpn.example.org/device and confirm the code", PATIENCE)?;
    site.service.state().is_approved = true;
    let status = joining.wait_exit(PATIENCE)?;
    ensure!(status.success(), "{}", joining.log());
    ensure!(joining.log().contains("now start: warren up --state-dir"), "{}", joining.log());

    let mut command = node.host.command(WARREN);
    command.args(["bootstrap", "--state-dir", text(&node.member.state)]);
    node.daemon = Some(node.host.spawn(command)?);
    node.wait_for_log("started")?;

    let mut denied = site.node(2)?;
    site.service.state().denial = Some(Code::DeviceDenied);
    let mut command = denied.host.command(WARREN);
    command.args(["join", &url, "team", "--pin", &pin]);
    command.args(["--state-dir", text(&denied.member.state)]);
    denied.daemon = Some(denied.host.spawn(command)?);
    let daemon = denied.daemon.as_mut().context("it was started")?;
    ensure!(daemon.wait_exit(PATIENCE)?.code() == Some(11), "{}", daemon.log());
    Ok(())
}
