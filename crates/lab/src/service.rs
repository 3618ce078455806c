//! A group service on a host of its own: the program `warren-groupd`, run and asked as people run and ask it.
//!
//! Accounts are made by `warren-groupd admin`; everything else goes through the JSON API, by `curl` on the service's
//! host. The program is named by its path. The lab's network is its own, so `curl` does not look at the certificate:
//! whether nodes do is for tests to ask.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use serde_json::{Value, json};

use crate::daemon::Daemon;
use crate::eventually::eventually;
use crate::host::Host;
use crate::node::PATIENCE;
use crate::run::succeed;

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
    url: String,
    daemon: Option<Daemon>,
}

/// Somebody with an account, who has logged in.
#[derive(Clone, Debug)]
pub struct Account {
    /// The name of the account.
    pub name: String,
    /// File with the cookie of the session.
    cookies: PathBuf,
    /// What shows that a request comes from a page of the session.
    proof: String,
}

impl Service {
    /// Starts the service on `host`, which has this address, with its files in `folder`.
    pub fn start(program: &Path, host: Host, address: Ipv4Addr, folder: PathBuf) -> Result<Self> {
        std::fs::create_dir(&folder).with_context(|| format!("{}", folder.display()))?;
        let url = format!("https://{address}:{PORT}");
        let state = folder.join("state");
        let settings = format!("url: {url}\nstate_dir: {}\n", state.display());
        let program = program.to_owned();
        let mut service = Self { host, program, folder, url, daemon: None };
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
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What it has logged since it was last started.
    pub fn log(&self) -> String {
        self.daemon.as_ref().map(Daemon::log).unwrap_or_default()
    }

    /// Makes an account and logs in.
    pub fn account(&self, name: &str) -> Result<Account> {
        let password = format!("the secret of {name}");
        let mut create = self.host.command(&self.program);
        create.arg("--config").arg(self.settings());
        create.args(["admin", "create-user", name, "--password-stdin"]);
        succeed(create, &format!("{password}\n"))?;

        let cookies = self.folder.join(format!("{name}.cookies"));
        let mut log_in = self.request("POST", "/api/v1/session");
        log_in.arg("--cookie-jar").arg(&cookies);
        let me = object(&answer(log_in, &json!({ "name": name, "password": password }))?)?;
        let proof = me["csrf"].as_str().context("no proof against forged requests")?.to_owned();
        Ok(Account { name: name.to_owned(), cookies, proof })
    }

    /// Makes a group; nodes join by `bootstrap`.
    pub fn create(&self, by: &Account, group: &str, ipv4: &str, bootstrap: &[&str]) -> Result<()> {
        let policies = json!({ "bootstrap": bootstrap });
        let wish = json!({ "name": group, "subnet": ipv4, "policies": policies });
        self.post(by, "/api/v1/groups", &wish).map(drop)
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

    /// Revokes a user.
    pub fn revoke(&self, by: &Account, group: &str, user: &Account) -> Result<()> {
        let wish = json!({ "user": user.name, "reason": "as the lab says" });
        self.post(by, &format!("/api/v1/groups/{group}/revocations"), &wish).map(drop)
    }

    /// The newest entries of a group's audit log.
    pub fn audit(&self, by: &Account, group: &str) -> Result<Vec<Value>> {
        let found = self.get(by, &format!("/api/v1/groups/{group}/audit?limit={AUDIT_ENTRIES}"))?;
        Ok(found["items"].as_array().context("no audit log")?.clone())
    }

    fn get(&self, by: &Account, place: &str) -> Result<Value> {
        object(&output(&mut self.request_of(by, "GET", place))?)
    }

    fn post(&self, by: &Account, place: &str, body: &Value) -> Result<String> {
        answer(self.request_of(by, "POST", place), body)
    }

    fn request_of(&self, by: &Account, method: &str, place: &str) -> Command {
        let mut request = self.request(method, place);
        request.arg("--cookie").arg(&by.cookies);
        request.args(["-H", &format!("X-CSRF-Token: {}", by.proof)]);
        request
    }

    fn request(&self, method: &str, place: &str) -> Command {
        let mut curl = self.host.command("curl");
        curl.args(["-s", "-S", "--fail-with-body", "--insecure", "-X", method]);
        curl.arg(format!("{}{place}", self.url));
        curl
    }

    fn settings(&self) -> PathBuf {
        self.folder.join("groupd.yaml")
    }
}

/// Sends JSON.
fn answer(mut request: Command, body: &Value) -> Result<String> {
    request.args(["-H", "Content-Type: application/json", "--data", &body.to_string()]);
    output(&mut request)
}

fn output(request: &mut Command) -> Result<String> {
    let output = request.output().context("cannot start curl")?;
    let text = String::from_utf8(output.stdout).context("the answer is not in UTF-8")?;
    if !output.status.success() {
        bail!("{}{text}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(text)
}

fn object(text: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|error| anyhow!("{error}: {text}"))
}
