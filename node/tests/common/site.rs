//! A real group service with one group, and hosts for its members' nodes.
//!
//! The program of the service is looked for beside `warren`: `cargo test -p warren-node -p warren-group` and
//! `--workspace` build both.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use lab::{Account, Lab, Service, Switch};
use serde_json::json;

use super::net::{Node, PORT, refused, underlay};
use super::{Member, WARREN, text};

/// The host of the service.
const SERVICE: u8 = 200;
/// Keeps a host from the service, both ways, and from nothing else on its host.
pub const NO_SERVICE: &str = "table inet no_service {
    chain arriving { type filter hook input priority 0; tcp sport 8443 drop; }
    chain leaving { type filter hook output priority 0; tcp dport 8443 drop; }
}";

/// A site with one group, `team`, of which ana is the administrator. Nodes join by the host 192.0.2.1.
pub struct Site {
    pub service: Service,
    pub ana: Account,
    pub lab: Lab,
    lan: Switch,
}

impl Site {
    pub fn new() -> Result<Self> {
        Self::started("")
    }

    /// The same with a `warren` beside the service that tells the members of revocations.
    pub fn with_daemon() -> Result<Self> {
        let mut site = Self::started("team")?;
        let blob = site.blob(&site.ana, "team")?;
        site.service.run_beside(Path::new(WARREN), &blob)?;
        Ok(site)
    }

    fn started(group_of_daemon: &str) -> Result<Self> {
        let program = Path::new(WARREN).with_file_name("warren-groupd");
        ensure!(program.exists(), "first: cargo build -p warren-group (no {})", program.display());
        let lab = Lab::new()?;
        let lan = lab.switch()?;
        let host = lab.host("service")?;
        host.attach(&lan, &[&format!("{}/24", underlay(SERVICE))])?;
        let folder = lab.directory().join("service-files");
        let (address, group) = (underlay(SERVICE), group_of_daemon);
        let service = Service::start_beside(&program, host, address, folder, group)?;
        let ana = service.account("ana")?;
        service.create(&ana, "team", "10.42.0.0/24", &[&bootstrap(1)])?;
        Ok(Self { service, ana, lab, lan })
    }

    /// A member of the group.
    pub fn member(&self, name: &str) -> Result<Account> {
        let account = self.service.account(name)?;
        self.service.admit(&self.ana, &account, "team")?;
        Ok(account)
    }

    /// A host 192.0.2.`last` with nothing on it.
    pub fn node(&self, last: u8) -> Result<Node> {
        let name = format!("node{last}");
        let host = self.lab.host(&name)?;
        host.attach(&self.lan, &[&format!("{}/24", underlay(last))])?;
        let member = Member::at(self.lab.directory(), &name);
        Ok(Node::new(Path::new(WARREN), host, member))
    }

    /// Downloads a usual blob of a group.
    pub fn blob(&self, by: &Account, group: &str) -> Result<PathBuf> {
        self.keep(&format!("{}-{group}", by.name), &self.service.blob(by, group, &json!({}))?)
    }

    pub fn keep(&self, name: &str, blob: &str) -> Result<PathBuf> {
        let path = self.lab.directory().join(format!("{name}.yaml"));
        std::fs::write(&path, blob)?;
        Ok(path)
    }

    /// Starts a daemon with nothing but the blob.
    pub fn start(&self, node: &mut Node, blob: &Path) -> Result<()> {
        node.launch_enrolling("up", blob, &[])?;
        node.wait_for_log("started")
    }

    /// Runs `warren join`, whose code a user confirms who is no member; returns the number of the request.
    pub fn join(&self, node: &mut Node, user: &Account) -> Result<i64> {
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
    pub fn refusals(&self, by: &Account, group: &str) -> Result<String> {
        let entries = self.service.audit(by, group)?;
        let refused = entries.iter().filter(|entry| entry["event"] == "enrolment_refused");
        Ok(refused.map(|entry| entry["details"].to_string()).collect())
    }

    /// Runs a daemon by a blob that it is refused with; returns exit code and the line for the user.
    pub fn refused(&self, node: &Node, blob: &str) -> Result<(i32, String)> {
        refused(node, &self.keep("refused", blob)?, &[])
    }
}

pub fn bootstrap(last: u8) -> String {
    format!("{}:{PORT}", underlay(last))
}
