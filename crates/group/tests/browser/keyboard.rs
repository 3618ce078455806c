//! The way through the pages by keyboard alone: every stop shows that it has the focus.

use thirtyfour::prelude::*;

use crate::chromium::Browser;
use crate::client::password;
use crate::server::Server;

/// More stops than any page of these tests has.
const STOPS_MAX: usize = 60;

/// Somebody whose hands stay on the keys.
struct Typist<'a>(&'a Browser);

impl Typist<'_> {
    async fn press(&self, key: impl Into<TypingData>) {
        let keys = self.0.driver.action_chain().send_keys(key);
        keys.perform().await.expect("takes keys");
    }

    /// Goes from stop to stop until one has this ID or text.
    async fn reach(&self, wanted: &str) {
        let mut seen = Vec::new();
        for _ in 0..STOPS_MAX {
            self.press(Key::Tab).await;
            let stop = self.0.driver.active_element().await.expect("there is one");
            let text = stop.prop("textContent").await.expect("is read").unwrap_or_default();
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            if stop.tag_name().await.expect("is read") != "body" {
                let outline = stop.css_value("outline-style").await.expect("is read");
                assert_ne!(outline, "none", "{text:?} does not show that it has the focus");
            }
            if text == wanted || stop.id().await.expect("is read").as_deref() == Some(wanted) {
                return;
            }
            seen.push(text);
        }
        panic!("{wanted:?} is not among the stops: {seen:?}");
    }

    /// Goes to a field and types.
    async fn fill(&self, id: &str, text: &str) {
        self.reach(id).await;
        self.press(text).await;
    }

    /// Goes to a link or button and presses it.
    async fn follow(&self, text: &str) {
        self.reach(text).await;
        self.press(Key::Enter).await;
    }

    async fn sign_up(&self, name: &str) {
        self.0.open("/signup").await;
        self.fill("name", name).await;
        self.fill("password", &password(name)).await;
        self.press(Key::Enter).await;
        self.0.expect("Your account is ready").await;
    }

    async fn log_out(&self) {
        self.follow("Log out").await;
        self.0.expect("You are logged out").await;
    }
}

#[tokio::test]
async fn ns_wb_01_the_keyboard_alone_is_enough_from_sign_up_to_removal() {
    let server = Server::start();
    let browser = Browser::start(server.address, "keyboard").await;
    let typist = Typist(&browser);

    // The first stop leads past the bar to the content.
    browser.open("/login").await;
    typist.reach("Skip to the content").await;
    browser.look("skip").await;
    typist.press(Key::Enter).await;
    typist.reach("name").await;

    typist.sign_up("ana").await;
    typist.follow("Create a group").await;
    browser.expect("Subnet").await;
    typist.fill("name", "team").await;
    typist.follow("Create group").await;
    browser.expect("The group is ready").await;
    typist.log_out().await;

    typist.sign_up("ben").await;
    typist.fill("name", "team").await;
    typist.press(Key::Enter).await;
    browser.expect("You are not a member").await;
    typist.fill("reason", "I run the caches.").await;
    typist.follow("Ask to join").await;
    browser.expect("Your request was sent").await;
    typist.log_out().await;

    typist.fill("name", "ana").await;
    typist.fill("password", &password("ana")).await;
    typist.follow("Log in").await;
    browser.expect("Your groups").await;
    typist.follow("1 request").await;
    browser.expect("I run the caches.").await;
    typist.follow("Approve ben").await;
    browser.expect("The request was approved").await;
    typist.follow("Members").await;
    browser.expect("Promote").await;
    typist.follow("Remove ben").await;
    browser.expect("Remove ben?").await;
    typist.fill("reason", "A test.").await;
    typist.follow("Remove").await;
    browser.expect("was removed").await;
}
