//! What a daemon beside the service lets the pages show: the ring with its links, who has which address,
//! who knows of a revocation.

use std::sync::{Arc, Mutex};

use pki::{Handed, NodeId};
use serde_json::json;
use thirtyfour::By;

use crate::chromium::Browser;
use crate::double::Double;
use crate::newcomer::Newcomer;
use crate::server::Server;
use crate::steps::{create, sign_up};

/// Machines of the group.
const HOSTS: [&str; 7] =
    ["ana-laptop", "ana-desk", "cache-1", "cache-of-the-northern-office", "gate", "meter", "nas"];

/// What the double of the daemon knows.
#[derive(Default)]
struct Ring {
    nodes: Vec<NodeId>,
    /// How many of them know of the first notice.
    informed: usize,
}

/// A daemon that walks the nodes in their order, each linked with the next two.
fn daemon(ring: Arc<Mutex<Ring>>) -> Double {
    Double::start(move |request| {
        let ring = ring.lock().expect("no panic");
        let count = ring.nodes.len();
        let at = |place: usize| ring.nodes[place % count];
        let node = |place: usize| {
            json!({
                "node_id": at(place), "ipv4": format!("10.42.0.{}", place + 2),
                "notices": u8::from(place < ring.informed), "noticed_at": 1_795_628_358u64,
                "links": [at(place + 1), at(place + 2)],
            })
        };
        match request["command"].as_str() {
            Some("ring") => {
                let nodes: Vec<_> = (0..count).map(node).collect();
                Ok(json!({ "nodes": nodes, "complete": true }))
            }
            Some("holder") => {
                let address = request["address"].as_str().expect("a text");
                let place = (0..count).find(|place| address == format!("10.42.0.{}", place + 2));
                Ok(json!({ "node_id": place.map(at) }))
            }
            _ => Ok(json!({ "number": 1 })),
        }
    })
}

#[tokio::test]
async fn ns_wb_16_the_live_ring_an_address_and_the_news_of_a_revocation_are_seen_in_a_browser() {
    let ring = Arc::new(Mutex::new(Ring::default()));
    let daemon = daemon(Arc::clone(&ring));
    let server = Server::start_with(&daemon.settings("team"));
    let browser = Browser::start(server.address, "live").await;
    sign_up(&browser, "ana").await;
    create(&browser, "team", "10.42.0.0/16").await;
    browser.press_and_stay("Download blob").await;
    let blob = browser.downloaded("team.yaml").await;
    let handed = Handed::parse(&blob).expect("is a blob");
    let token = handed.enrolment().expect("says where to ask").token.expose().to_string();
    let mut nodes: Vec<NodeId> = HOSTS
        .iter()
        .map(|host| {
            let grant = Newcomer { host, ..Newcomer::new(&server, &token) }.enrol("team");
            grant.certificate.unverified().expect("own output").node_id
        })
        .collect();
    nodes.sort();
    ring.lock().expect("no panic").nodes = nodes;

    // The page that begins the walk may be too early for it.
    browser.open_until("/groups/team", "7 nodes answered").await;
    browser.open_until("/groups/team", "10.42.0.8").await;
    let paths = browser.driver.find_all(By::Css(".ring-frame .path")).await;
    assert_eq!(paths.expect("can be counted").len(), 14, "each link is drawn once");
    browser.look("group").await;
    browser.write("#find", "10.42.0.4").await;
    browser.press("Find").await;
    browser.expect("Nodes with 10.42.0.4").await;
    browser.expect_no("10.42.0.5").await;
    browser.look("found").await;
    browser.open("/groups/team?find=10.42.9.9").await;
    browser.expect("No node has or had that address").await;
    browser.look("not-found").await;

    browser.open("/groups/team").await;
    browser.follow("nas").await;
    browser.look("node").await;
    browser.follow("Revoke this node").await;
    browser.press("Revoke").await;
    ring.lock().expect("no panic").informed = 4;
    browser.expect("4 of 7 live members have acknowledged").await;
    browser.look("under-way").await;
    ring.lock().expect("no panic").informed = 7;
    // Nobody loads the page again: it does so by itself.
    browser.expect("everybody knows").await;
    browser.expect("2026-11-25 17:39 UTC").await;
    browser.look("everybody").await;
}
