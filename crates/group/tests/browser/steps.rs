//! What people do at the pages, and what their machines do meanwhile.

use pki::Handed;

use crate::chromium::Browser;
use crate::client::password;
use crate::newcomer::Newcomer;
use crate::server::Server;

/// Signs a new user up.
pub async fn sign_up(browser: &Browser, name: &str) {
    browser.open("/signup").await;
    browser.fill("name", name).await;
    browser.fill("password", &password(name)).await;
    browser.press("Sign up").await;
    browser.expect("Your account is ready").await;
}

/// Logs a user in.
pub async fn log_in(browser: &Browser, name: &str) {
    browser.open("/login").await;
    browser.fill("name", name).await;
    browser.fill("password", &password(name)).await;
    browser.press("Log in").await;
    browser.expect("Your groups").await;
}

/// Ends the session.
pub async fn log_out(browser: &Browser) {
    browser.press("Log out").await;
    browser.expect("You are logged out").await;
}

/// Makes a group.
pub async fn create(browser: &Browser, group: &str, subnet: &str) {
    browser.open("/groups/new").await;
    browser.fill("name", group).await;
    browser.fill("subnet", subnet).await;
    browser.press("Create group").await;
    browser.expect("The group is ready").await;
}

/// Finds a group and asks to join it.
pub async fn ask(browser: &Browser, group: &str, reason: &str) {
    browser.open("/").await;
    browser.fill("name", group).await;
    browser.press("Find").await;
    browser.fill("reason", reason).await;
    browser.press("Ask to join").await;
    browser.expect("Your request was sent").await;
}

/// Enrols a node by a blob, as `warren up` would.
pub fn enrol(server: &Server, blob: &str, host: &'static str) {
    let handed = Handed::parse(blob).expect("is a blob");
    let token = handed.enrolment().expect("says where to ask").token.expose().to_string();
    let mut node = Newcomer { host, ..Newcomer::new(server, &token) };
    node.enrol("team");
}
