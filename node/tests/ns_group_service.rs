//! The real `warren` with the real `warren-groupd`: from an account to a ping, to the end of a membership.
//!
//! What a service never does (nonsense, outages in the middle) is in `ns_enrolment`, with a double. The program of the
//! service is looked for beside `warren`: `cargo test -p warren-node -p warren-group` and `--workspace` build both.

mod common;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, ensure};
use common::net::{Node, PATIENCE, PORT, took, underlay};
use common::{Member, WARREN, text};
use lab::{Account, Lab, Service, Switch, eventually};
use serde_json::json;

/// The host of the service.
const SERVICE: u8 = 200;
/// The address of an approved node is there within this time.
const ADDRESS_AFTER_APPROVAL: Duration = Duration::from_secs(5);

/// A site with one group, `team`, of which ana is the administrator. Nodes join by the host 192.0.2.1.
struct Site {
    service: Service,
    ana: Account,
    lan: Switch,
    lab: Lab,
}

impl Site {
    fn new() -> Result<Self> {
        let program = Path::new(WARREN).with_file_name("warren-groupd");
        ensure!(program.exists(), "first: cargo build -p warren-group (no {})", program.display());
        let lab = Lab::new()?;
        let lan = lab.switch()?;
        let host = lab.host("service")?;
        host.attach(&lan, &[&format!("{}/24", underlay(SERVICE))])?;
        let folder = lab.directory().join("service-files");
        let service = Service::start(&program, host, underlay(SERVICE), folder)?;
        let ana = service.account("ana")?;
        service.create(&ana, "team", "10.42.0.0/24", &[&bootstrap(1)])?;
        Ok(Self { service, ana, lan, lab })
    }

    /// A member of the group.
    fn member(&self, name: &str) -> Result<Account> {
        let account = self.service.account(name)?;
        self.service.admit(&self.ana, &account, "team")?;
        Ok(account)
    }

    /// A host 192.0.2.`last` with nothing on it.
    fn node(&self, last: u8) -> Result<Node> {
        let name = format!("node{last}");
        let host = self.lab.host(&name)?;
        host.attach(&self.lan, &[&format!("{}/24", underlay(last))])?;
        let member = Member::at(self.lab.directory(), &name);
        Ok(Node::new(Path::new(WARREN), host, member))
    }

    /// Downloads a usual blob of a group.
    fn blob(&self, by: &Account, group: &str) -> Result<PathBuf> {
        self.keep(&format!("{}-{group}", by.name), &self.service.blob(by, group, &json!({}))?)
    }

    fn keep(&self, name: &str, blob: &str) -> Result<PathBuf> {
        let path = self.lab.directory().join(format!("{name}.yaml"));
        std::fs::write(&path, blob)?;
        Ok(path)
    }

    /// Starts a daemon with nothing but the blob.
    fn start(&self, node: &mut Node, blob: &Path) -> Result<()> {
        node.launch_enrolling("up", blob, &[])?;
        node.wait_for_log("started")
    }

    /// Runs `warren join`, whose code a user confirms who is no member; returns the number of the request.
    fn join(&self, node: &mut Node, user: &Account) -> Result<i64> {
        let blob = self.service.blob(&self.ana, "team", &json!({}))?;
        let pin =
            blob.split_whitespace().find(|word| word.contains("sha256:")).context("no pin")?;
        let mut join = node.host.command(WARREN);
        let pin = pin.trim_matches(['"', '\'']);
        join.args(["join", &self.service.url(), "team", "--up", "--pin", pin]);
        join.args(["--state-dir", text(&node.member.state)]);
        node.daemon = Some(node.host.spawn(join)?);
        let place = format!("{}/device/", self.service.url());
        node.wait_for_log(&place)?;
        let log = node.log();
        let code = log.split(&place).nth(1).and_then(|rest| rest.split_whitespace().next());
        self.service.confirm(user, code.context("no code")?)?;
        node.wait_for_log("waiting until an administrator of the group approves")?;
        let requests = self.service.requests(&self.ana, "team")?;
        ensure!(requests.len() == 1, "{requests:?}");
        Ok(requests[0])
    }

    /// What the audit log of a group says of nodes that were refused.
    fn refusals(&self, by: &Account, group: &str) -> Result<String> {
        let entries = self.service.audit(by, group)?;
        let refused = entries.iter().filter(|entry| entry["event"] == "enrolment_refused");
        Ok(refused.map(|entry| entry["details"].to_string()).collect())
    }

    /// Runs a daemon that must end by itself; returns exit code and the line for the user.
    fn refused(&self, node: &Node, blob: &str) -> Result<(i32, String)> {
        let blob = self.keep("refused", blob)?;
        let mut command = node.host.command(WARREN);
        command.args(["bootstrap", "--blob", text(&blob), "--metrics", "off"]);
        command.args(["--state-dir", text(&node.member.state)]);
        let mut daemon = node.host.spawn(command)?;
        let status = daemon.wait_exit(PATIENCE).with_context(|| daemon.log())?;
        let log = daemon.log();
        let told = log.lines().find(|line| line.starts_with("warren: ")).context("no line")?;
        Ok((status.code().context("it was killed")?, told.to_owned()))
    }
}

fn bootstrap(last: u8) -> String {
    format!("{}:{PORT}", underlay(last))
}

#[test]
fn ns_wb_12_nodes_with_one_downloaded_blob_get_certificates_of_their_own() -> Result<()> {
    let site = Site::new()?;
    let (mut first, mut second) = (site.node(1)?, site.node(2)?);
    let blob = site.blob(&site.ana, "team")?;
    site.start(&mut first, &blob)?;
    took("second node with the same blob has its address after", || {
        site.start(&mut second, &blob)?;
        second.ipv4().map(drop)
    })?;
    let address = second.ipv4()?;
    ensure!(address.starts_with("10.42.0."), "{address}");
    first.reach(&address)?;
    ensure!(first.id()? != second.id()?, "each has its own ID");
    let certificate =
        |node: &Node| std::fs::read_to_string(node.member.state.join("certificate.pem"));
    ensure!(certificate(&first)? != certificate(&second)?, "each has its own certificate");
    Ok(())
}

#[test]
fn ns_wb_08_a_device_that_waits_has_its_address_seconds_after_the_real_approval() -> Result<()> {
    let site = Site::new()?;
    let (mut boot, mut node) = (site.node(1)?, site.node(2)?);
    site.start(&mut boot, &site.blob(&site.ana, "team")?)?;
    let ben = site.service.account("ben")?;
    let request = site.join(&mut node, &ben)?;
    site.service.judge(&site.ana, "team", request, "approve")?;
    let approved = Instant::now();
    let address = node.ipv4()?;
    println!("virtual address {:?} after approval", approved.elapsed());
    ensure!(approved.elapsed() < ADDRESS_AFTER_APPROVAL, "{:?}", approved.elapsed());
    boot.reach(&address)
}

#[test]
fn ns_ov_01_members_restart_and_ping_while_the_real_service_is_gone() -> Result<()> {
    let mut site = Site::new()?;
    let (mut first, mut second) = (site.node(1)?, site.node(2)?);
    let blob = site.blob(&site.ana, "team")?;
    site.start(&mut first, &blob)?;
    site.start(&mut second, &blob)?;
    second.ipv4()?;
    let id = second.id()?;
    site.service.stop()?;
    first.stop()?;
    second.stop()?;
    site.start(&mut first, &blob)?;
    site.start(&mut second, &blob)?;
    first.reach(&second.ipv4()?)?;
    ensure!(second.id()? == id, "the ID stays");
    Ok(())
}

#[test]
fn ns_rv_01_a_revocation_at_the_real_service_cuts_by_https_alone() -> Result<()> {
    let site = Site::new()?;
    let ben = site.member("ben")?;
    let (mut first, mut second, mut bens) = (site.node(1)?, site.node(2)?, site.node(3)?);
    let blob = site.blob(&site.ana, "team")?;
    site.start(&mut first, &blob)?;
    site.start(&mut second, &blob)?;
    site.start(&mut bens, &site.blob(&ben, "team")?)?;
    let (address, id) = (bens.ipv4()?, bens.id()?);
    second.reach(&address)?;
    // The revoked one is kept from reading that it is: the others have to cut it.
    bens.host.drop_traffic_with(underlay(SERVICE).into())?;
    site.service.revoke(&site.ana, "team", &ben)?;
    took("revoked member is cut after", || {
        eventually(PATIENCE, || {
            for node in [&first, &second] {
                ensure!(node.peer(&id)?.is_none(), "still linked");
            }
            Ok(())
        })
    })?;
    second.wait_for_log("revoked by notice 1")?;
    ensure!(second.ping(&address).is_err(), "a revoked node answers");
    Ok(())
}

#[test]
fn ns_wb_14_members_of_two_groups_of_a_real_service_cannot_connect() -> Result<()> {
    let site = Site::new()?;
    let ben = site.service.account("ben")?;
    // The other group is told to join by a node of the first.
    site.service.create(&ben, "other", "10.42.0.0/24", &[&bootstrap(1)])?;
    let (mut ours, mut theirs) = (site.node(1)?, site.node(2)?);
    site.start(&mut ours, &site.blob(&site.ana, "team")?)?;
    site.start(&mut theirs, &site.blob(&ben, "other")?)?;
    theirs.wait_for_log(&bootstrap(1))?;
    std::thread::sleep(ADDRESS_AFTER_APPROVAL);
    ensure!(ours.peers()?.is_empty() && theirs.peers()?.is_empty(), "they are linked");
    Ok(())
}

#[test]
fn ns_wb_09_bad_tokens_of_a_real_service_are_told_apart_at_both_ends() -> Result<()> {
    let site = Site::new()?;
    let ana = &site.ana;
    let blob = |options| site.service.blob(ana, "team", &options);
    let good = blob(json!({}))?;

    let pin = good.find("sha256:").context("no pin")? + "sha256:".len();
    let digit = if good[pin..].starts_with('0') { "1" } else { "0" };
    let other = format!("{}{digit}{}", &good[..pin], &good[pin + 1..]);
    let (code, line) = site.refused(&site.node(2)?, &other)?;
    ensure!(code == 6 && line.contains("nothing was sent"), "another server: {code}, {line}");

    let token = good.find("wt1_").context("no token")? + "wt1_".len();
    let letter = if good[token..].starts_with('A') { "B" } else { "A" };
    let unknown = format!("{}{letter}{}", &good[..token], &good[token + 1..]);
    let (code, line) = site.refused(&site.node(3)?, &unknown)?;
    ensure!(code == 7, "unknown: {code}, {line}");

    let once = blob(json!({ "reusable": false }))?;
    let mut first = site.node(1)?;
    site.start(&mut first, &site.keep("once", &once)?)?;
    let (code, line) = site.refused(&site.node(5)?, &once)?;
    ensure!(code == 9, "used up: {code}, {line}");

    site.service.create(ana, "other", "10.43.0.0/24", &[])?;
    let foreign = site.service.blob(ana, "other", &json!({}))?;
    let foreign = foreign.replace("group: other", "group: team");
    let (code, line) = site.refused(&site.node(6)?, &foreign)?;
    ensure!(code == 10, "foreign: {code}, {line}");

    let team = site.refusals(ana, "team")?;
    ensure!(team.matches("token_used_up").count() == 1, "{team}");
    let other = site.refusals(ana, "other")?;
    ensure!(other.matches("token_foreign").count() == 1, "{other}");
    Ok(())
}

#[test]
#[ignore = "takes a minute: no token lives shorter"]
fn ns_wb_09_an_expired_token_of_a_real_service_is_told_at_both_ends() -> Result<()> {
    let site = Site::new()?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let life = Duration::from_secs(62);
    let expires = (now + life).as_secs();
    let blob = site.service.blob(&site.ana, "team", &json!({ "expires": expires }))?;
    std::thread::sleep(life);
    let (code, line) = site.refused(&site.node(2)?, &blob)?;
    ensure!(code == 8 && line.contains("has expired"), "{code}, {line}");
    let told = site.refusals(&site.ana, "team")?;
    ensure!(told.matches("token_expired").count() == 1, "{told}");
    Ok(())
}

#[test]
fn ns_wb_05_a_device_whose_user_is_denied_ends_with_that_word() -> Result<()> {
    let site = Site::new()?;
    let ben = site.service.account("ben")?;
    let mut node = site.node(2)?;
    let request = site.join(&mut node, &ben)?;
    site.service.judge(&site.ana, "team", request, "deny")?;
    let daemon = node.daemon.as_mut().context("it was started")?;
    let status = daemon.wait_exit(PATIENCE).with_context(|| daemon.log())?;
    ensure!(status.code() == Some(11), "{status}: {}", daemon.log());
    let audit = site.service.audit(&site.ana, "team")?;
    ensure!(audit.iter().any(|entry| entry["details"].to_string().contains("request_denied")));
    Ok(())
}
