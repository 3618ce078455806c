//! A group service on a host of its own: the program `warren-groupd`, run and asked as people run and ask it.
//!
//! Accounts are made by `warren-groupd admin`; everything else goes through the JSON API, by `curl` on the service's
//! host. The programs are named by their paths. The lab's network is its own, so `curl` does not look at the
//! certificate: whether nodes do is for tests to ask. Passwords, proofs and bodies reach `curl` by standard input: the
//! arguments of a process are everybody's to read.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, anyhow, ensure};
use serde_json::{Value, json};

use crate::daemon::Daemon;
use crate::eventually::eventually;
use crate::host::Host;
use crate::node::PATIENCE;
use crate::run::converse;

/// The port of the service.
const PORT: u16 = 8443;
/// Where the service says that it is ready.
const READY: &str = "http://127.0.0.1:9416/readyz";
/// How many entries of an audit log are looked at.
const AUDIT_ENTRIES: u32 = 100;

/// A group service with its host.
#[derive(Debug)]
pub struct Service {
    /// The host; its network is attached to it.
    pub host: Host,
    program: PathBuf,
    folder: PathBuf,
    address: SocketAddr,
    daemon: Option<Daemon>,
    beside: Option<Daemon>,
}

/// Somebody with an account, who has logged in.
#[derive(Clone)]
pub struct Account {
    /// The name of the account.
    pub name: String,
    password: String,
    /// File with the cookie of the session.
    cookies: PathBuf,
    /// What shows that a request comes from a page of the session.
    proof: String,
}

impl Account {
    /// What the account was given to log in with.
    pub fn password(&self) -> &str {
        &self.password
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Service {
    /// Starts the service on `host`, which has this address, with its files in `folder`.
    pub fn start(program: &Path, host: Host, address: Ipv4Addr, folder: PathBuf) -> Result<Self> {
        Self::start_beside(program, host, address, folder, "")
    }

    /// The same for a service that has a daemon for this group: [`Service::run_beside`] starts it.
    pub fn start_beside(
        program: &Path,
        host: Host,
        address: Ipv4Addr,
        folder: PathBuf,
        group: &str,
    ) -> Result<Self> {
        std::fs::create_dir(&folder).with_context(|| format!("{}", folder.display()))?;
        let (program, address) = (program.to_owned(), SocketAddr::from((address, PORT)));
        let mut service = Self { host, program, folder, address, daemon: None, beside: None };
        let (url, state) = (service.url(), service.folder.join("state"));
        let mut settings = format!("url: {url}\nstate_dir: {}\n", state.display());
        if !group.is_empty() {
            let socket = service.beside().join("warren.sock");
            settings += &format!("daemons: {{ {group}: {} }}\n", socket.display());
        }
        std::fs::write(service.settings(), settings).context("cannot write the settings")?;
        service.resume()?;
        Ok(service)
    }

    /// Runs the service again after [`Service::stop`].
    pub fn resume(&mut self) -> Result<()> {
        let mut command = self.host.command(&self.program);
        command.arg("--config").arg(self.settings()).arg("serve");
        self.daemon = Some(self.host.spawn(command)?);
        eventually(PATIENCE, || {
            let ready = self.host.command("curl").args(["-s", "-f", READY]).output()?;
            ensure!(ready.status.success(), "the group service is not ready: {}", self.log());
            Ok(())
        })
    }

    /// Ends the service as a service manager does, and demands that it ends well.
    pub fn stop(&mut self) -> Result<()> {
        let mut daemon = self.daemon.take().context("no service runs")?;
        daemon.terminate()?;
        let status = daemon.wait_exit(PATIENCE)?;
        ensure!(status.success(), "{status}: {}", daemon.log());
        Ok(())
    }

    /// What nodes and people call it.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has logged since it was last started.
    pub fn log(&self) -> String {
        self.daemon.as_ref().map(Daemon::log).unwrap_or_default()
    }

    /// Runs `warren` beside the service, by this blob: what tells the members of revocations.
    pub fn run_beside(&mut self, warren: &Path, blob: &Path) -> Result<()> {
        let mut command = self.host.command(warren);
        command.arg("bootstrap").arg("--blob").arg(blob);
        command.arg("--state-dir").arg(self.beside());
        self.beside = Some(self.host.spawn(command)?);
        Ok(())
    }

    /// The state directory of the daemon beside the service.
    pub fn beside(&self) -> PathBuf {
        self.folder.join("beside")
    }

    /// Runs `warren-groupd admin` with these words; returns what it printed.
    pub fn admin(&self, words: &[&str]) -> Result<String> {
        let mut command = self.host.command(&self.program);
        command.arg("--config").arg(self.settings()).arg("admin").args(words);
        converse(command, "")
    }

    /// Makes an account and logs in.
    pub fn account(&self, name: &str) -> Result<Account> {
        let printed = self.admin(&["create-user", name])?;
        let drawn = printed.lines().find_map(|line| line.strip_prefix("password: "));
        let password = drawn.context("no password was drawn")?.to_owned();
        let cookies = self.folder.join(format!("{name}.cookies"));
        let mut log_in = self.request("POST", "/api/v1/session");
        log_in.arg("--cookie-jar").arg(&cookies);
        let login = json!({ "name": name, "password": password });
        let me = object(&converse(log_in, &body(&login))?)?;
        let proof = me["csrf"].as_str().context("no proof against forged requests")?.to_owned();
        Ok(Account { name: name.to_owned(), password, cookies, proof })
    }

    /// Makes a group; nodes join by `bootstrap`.
    pub fn create(&self, by: &Account, group: &str, ipv4: &str, bootstrap: &[&str]) -> Result<()> {
        let policies = json!({ "bootstrap": bootstrap });
        let wish = json!({ "name": group, "subnet": ipv4, "policies": policies });
        self.post(by, "/api/v1/groups", &wish).map(drop)
    }

    /// Names the nodes by which those of a group join from now on.
    pub fn name_bootstrap(&self, by: &Account, group: &str, bootstrap: &[&str]) -> Result<()> {
        let place = format!("/api/v1/groups/{group}");
        let settings = proof(by) + &body(&json!({ "bootstrap": bootstrap }));
        converse(self.request_of(by, "PATCH", &place), &settings).map(drop)
    }

    /// Asks to join; returns the number of the request.
    pub fn ask_to_join(&self, by: &Account, group: &str) -> Result<i64> {
        let place = format!("/api/v1/groups/{group}/requests");
        let asked = object(&self.post(by, &place, &json!({ "reason": "I work here" }))?)?;
        asked["request"].as_i64().context("the request has no number")
    }

    /// The requests that wait.
    pub fn requests(&self, by: &Account, group: &str) -> Result<Vec<i64>> {
        let found = self.get(by, &format!("/api/v1/groups/{group}/requests"))?;
        let items = found["items"].as_array().context("no list of requests")?;
        Ok(items.iter().filter_map(|request| request["id"].as_i64()).collect())
    }

    /// Decides about a request: `verdict` is `approve` or `deny`.
    pub fn judge(&self, by: &Account, group: &str, request: i64, verdict: &str) -> Result<()> {
        let place = format!("/api/v1/groups/{group}/requests/{request}/{verdict}");
        self.post(by, &place, &json!({ "note": "as the lab says" })).map(drop)
    }

    /// Lets somebody in.
    pub fn admit(&self, by: &Account, whom: &Account, group: &str) -> Result<()> {
        self.judge(by, group, self.ask_to_join(whom, group)?, "approve")
    }

    /// Downloads a blob; `options` are those of the API.
    pub fn blob(&self, by: &Account, group: &str, options: &Value) -> Result<String> {
        self.post(by, &format!("/api/v1/groups/{group}/blob"), options)
    }

    /// Lets the device that shows a code in, as one's own; asks to join where one is no member.
    pub fn confirm(&self, by: &Account, code: &str) -> Result<()> {
        let place = format!("/api/v1/devices/{code}/confirm");
        self.post(by, &place, &json!({ "reason": "my device" })).map(drop)
    }

    /// Revokes a user; returns the number of the notice.
    pub fn revoke(&self, by: &Account, group: &str, user: &Account) -> Result<u64> {
        let wish = json!({ "user": user.name, "reason": "has left" });
        let place = format!("/api/v1/groups/{group}/revocations");
        let revoked = object(&self.post(by, &place, &wish)?)?;
        revoked["notice"].as_u64().context("the notice has no number")
    }

    /// A revocation, and who knows of it.
    pub fn revocation(&self, by: &Account, group: &str, notice: u64) -> Result<Value> {
        self.get(by, &format!("/api/v1/groups/{group}/revocations/{notice}"))
    }

    /// The newest entries of a group's audit log.
    pub fn audit(&self, by: &Account, group: &str) -> Result<Vec<Value>> {
        let found = self.get(by, &format!("/api/v1/groups/{group}/audit?limit={AUDIT_ENTRIES}"))?;
        Ok(found["items"].as_array().context("no audit log")?.clone())
    }

    fn get(&self, by: &Account, place: &str) -> Result<Value> {
        object(&converse(self.request_of(by, "GET", place), &proof(by))?)
    }

    fn post(&self, by: &Account, place: &str, json: &Value) -> Result<String> {
        converse(self.request_of(by, "POST", place), &(proof(by) + &body(json)))
    }

    fn request_of(&self, by: &Account, method: &str, place: &str) -> Command {
        let mut request = self.request(method, place);
        request.arg("--cookie").arg(&by.cookies);
        request
    }

    fn request(&self, method: &str, place: &str) -> Command {
        let mut curl = self.host.command("curl");
        curl.args(["-s", "-S", "--fail-with-body", "--insecure", "--config", "-", "-X", method]);
        curl.arg(format!("{}{place}", self.url()));
        curl
    }

    fn settings(&self) -> PathBuf {
        self.folder.join("groupd.yaml")
    }
}

/// Settings for `curl`: what shows that the request is the account's own.
fn proof(by: &Account) -> String {
    setting("header", &format!("X-CSRF-Token: {}", by.proof))
}

/// Settings for `curl`: a body.
fn body(json: &Value) -> String {
    setting("header", "Content-Type: application/json") + &setting("data", &json.to_string())
}

/// A line of settings, as `curl --config` reads it.
fn setting(name: &str, value: &str) -> String {
    let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
    format!("{name} = \"{quoted}\"\n")
}

fn object(text: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|error| anyhow!("{error}: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_lab_settings_of_curl_are_quoted() {
        let line = setting("data", r#"{"reason":"a \"b\""}"#);
        assert_eq!(line.trim_end(), r#"data = "{\"reason\":\"a \\\"b\\\"\"}""#);
    }
}
