//! The service and the daemon beside it: who is told, who knows, who is where.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use pki::NodeId;
use pki::enrolment::Grant;
use serde_json::{Value, json};

use crate::client::Client;
use crate::double::Double;
use crate::newcomer::Newcomer;
use crate::nodes::{TEAM, admit, blob, create};
use crate::server::Server;

/// A node as a daemon tells it.
fn walked(id: &NodeId, ipv4: Option<&str>, notices: u64, since: Option<u64>) -> Value {
    json!({
        "node_id": id, "ipv4": ipv4, "notices": notices, "noticed_at": since, "links": [],
    })
}

/// A service with that daemon beside it; its administrator, and the token of a blob.
fn beside(daemon: &Double) -> (Server, Client, String) {
    let server = Server::start_with(&daemon.settings("team"));
    let mut ana = server.client().sign_up("ana");
    create(&mut ana, "team", json!({}));
    let (_, token) = blob(&mut ana, "team", &json!({}));
    (server, ana, token)
}

/// Enrols a node and revokes it.
fn lose(server: &Server, admin: &mut Client, token: &str) -> Grant {
    lose_of("team", server, admin, token)
}

fn lose_of(group: &str, server: &Server, admin: &mut Client, token: &str) -> Grant {
    let grant = Newcomer::new(server, token).enrol(group);
    let member = grant.certificate.unverified().expect("own output");
    let wish = json!({ "node": member.node_id.to_string(), "reason": "lost" });
    admin.post(&format!("/api/v1/groups/{group}/revocations"), &wish).expect(201);
    grant
}

#[test]
fn ns_wb_16_a_daemon_that_hangs_holds_up_no_other_group() {
    /// Less than the service waits for a daemon.
    const SOON: Duration = Duration::from_secs(8);
    let [(hang, hangs), (tell, told)] = [(); 2].map(|()| std::sync::mpsc::channel());
    let hung = Double::start(move |request| {
        if request["command"] == "announce" {
            let _ = hang.send(());
            std::thread::sleep(4 * SOON);
        }
        Err("busy".to_owned())
    });
    let sound = Double::start(move |request| {
        if request["command"] == "announce" {
            let _ = tell.send(());
        }
        Ok(json!({ "number": 1, "generation": 2, "nodes": [], "complete": true }))
    });
    let server = Server::start_with(&Double::all(&[("other", &hung), ("team", &sound)]));
    let mut ana = server.client().sign_up("ana");
    for group in ["other", "team"] {
        create(&mut ana, group, json!({}));
    }
    let (_, others) = blob(&mut ana, "other", &json!({}));
    let (_, token) = blob(&mut ana, "team", &json!({}));
    lose_of("other", &server, &mut ana, &others);
    hangs.recv_timeout(Duration::from_secs(30)).expect("is told");
    lose(&server, &mut ana, &token);
    told.recv_timeout(SOON).expect("is told while the other hangs");
}

#[test]
fn ns_wb_16_the_daemon_of_the_group_is_told_and_counts_who_knows() {
    let (told, heard) = std::sync::mpsc::channel();
    let daemon = Double::start(move |request| match request["command"].as_str() {
        Some("announce") => {
            let _ = told.send(request.clone());
            Ok(json!({ "number": 2, "generation": 3 }))
        }
        Some("ring") => {
            let node = |id: u8| walked(&NodeId::from_bytes([id; NodeId::LEN]), None, 2, Some(7));
            Ok(json!({ "nodes": [node(1), node(2), node(3)], "complete": true }))
        }
        other => Err(format!("what is {other:?}?")),
    });
    let (server, mut ana, token) = beside(&daemon);
    let grant = lose(&server, &mut ana, &token);
    let member = grant.certificate.unverified().expect("own output");
    let told = heard.recv_timeout(Duration::from_secs(30)).expect("is told");
    assert_eq!(told["command"], "announce");
    let mut trust = grant.trust().expect("fits");
    trust.ledger_mut().take_text(told["notices"].as_str().expect("text")).expect("is signed");
    assert_eq!(trust.ledger().is_revoked(&member), Some(1));
    let victim = json!({ "notice": 1, "node": member.node_id.to_string() });
    assert_eq!(told["victims"], json!([victim]), "whose links are to hear of it");
    assert!(told["secrets"].as_array().is_some_and(|secrets| !secrets.is_empty()), "{told}");
    let shown = ana.get(&format!("{TEAM}/revocations/1")).expect(200).json();
    assert_eq!(
        shown["known_by"],
        json!({ "live": 3, "acknowledged": 3, "last_at": 7, "complete": true })
    );

    let again = Newcomer::new(&server, &token).enrol("team");
    let serial = again.certificate.unverified().expect("own output").serial.to_string();
    let revoke = ["admin", "revoke", "team", "--serial", &serial, "--reason", "a test", "--wait"];
    let said = server.admin(&revoke, "");
    assert_eq!(said, "notice 2\nknown by 3 of 3 live members\n");
}

#[test]
fn ns_wb_16_a_walk_from_before_a_revocation_does_not_count_who_knows_it() {
    let heard = Arc::new(AtomicU64::new(0));
    let knows = Arc::clone(&heard);
    let daemon = Double::start(move |_| {
        let node = walked(&NodeId::from_bytes([1; NodeId::LEN]), None, knows.load(SeqCst), Some(7));
        Ok(json!({ "number": 1, "nodes": [node], "complete": true }))
    });
    let (server, mut ana, token) = beside(&daemon);
    let grant = Newcomer::new(&server, &token).enrol("team");
    let node = grant.certificate.unverified().expect("own output").node_id.to_string();
    let before = ana.get(&format!("{TEAM}/ring")).expect(200).json();
    assert_eq!(before["nodes"][0]["notices"], 0);
    ana.post(&format!("{TEAM}/revocations"), &json!({ "node": node, "reason": "lost" }))
        .expect(201);
    heard.store(1, SeqCst);
    let known = ana.get(&format!("{TEAM}/revocations/1")).expect(200).json()["known_by"].clone();
    assert_eq!((&known["acknowledged"], &known["live"]), (&json!(1), &json!(1)), "{known}");
}

#[test]
fn ns_wb_16_the_page_of_a_revocation_shows_who_knows_it_and_looks_again_until_all_do() {
    let (say, said) = std::sync::mpsc::channel();
    let knows = std::sync::Mutex::new((said, 0));
    let daemon = Double::start(move |_| {
        let mut knows = knows.lock().expect("no panic");
        while let Ok(number) = knows.0.try_recv() {
            knows.1 = number;
        }
        let node = |id: u8, notices| {
            walked(&NodeId::from_bytes([id; NodeId::LEN]), None, notices, Some(1_795_628_358))
        };
        Ok(json!({ "number": 9, "nodes": [node(1, 1), node(2, knows.1)], "complete": true }))
    });
    let (server, mut ana, token) = beside(&daemon);
    lose(&server, &mut ana, &token);

    let page = page_with(&mut ana, "1 of 2 live members have acknowledged");
    assert!(page.contains("http-equiv=\"refresh\""), "{page}");
    say.send(1).expect("is heard");
    let page = page_with(&mut ana, "2 of 2 live members have acknowledged");
    assert!(page.contains("everybody knows") && page.contains("2026-11-25 17:39 UTC"), "{page}");
    assert!(!page.contains("http-equiv=\"refresh\""), "{page}");
}

/// Loads the page of the first revocation until it says something.
fn page_with(client: &mut Client, words: &str) -> String {
    let start = std::time::Instant::now();
    loop {
        let page = client.get("/groups/team/revocations/1").expect(200).body;
        if page.contains(words) {
            return page;
        }
        assert!(start.elapsed() < crate::server::PATIENCE, "no {words:?} in {page}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn ns_se_07_a_virtual_address_counts_after_the_hash_table_said_whose_it_is() {
    let ring = std::sync::Arc::new(std::sync::Mutex::new((Vec::new(), None)));
    let known = std::sync::Arc::clone(&ring);
    let daemon = Double::start(move |request| {
        let (nodes, holder) = &*known.lock().expect("no panic");
        match request["command"].as_str() {
            Some("ring") => Ok(json!({ "nodes": nodes, "complete": true })),
            Some("holder") if request["address"] == "10.42.0.9" => Ok(json!({ "node_id": holder })),
            _ => Ok(json!({ "node_id": null })),
        }
    });
    let server = Server::start_with(&daemon.settings("team"));
    let [mut ana, mut bo, mut eve] = ["ana", "bo", "eve"].map(|name| server.client().sign_up(name));
    create(&mut ana, "team", json!({}));
    let [bos, eves] = [&mut bo, &mut eve].map(|user| {
        admit(&mut ana, user, "team");
        let (_, token) = blob(user, "team", &json!({}));
        let grant = Newcomer::new(&server, &token).enrol("team");
        grant.certificate.unverified().expect("own output")
    });

    // Both say that the address is theirs; the hash table has it for bo's node.
    let address = Some("10.42.0.9");
    let nodes = [&bos, &eves].map(|member| walked(&member.node_id, address, 0, None));
    *ring.lock().expect("no panic") = (nodes.to_vec(), Some(bos.node_id));
    let seen = ana.get(&format!("{TEAM}/ring")).expect(200).json();
    let seen: Vec<_> = seen["nodes"].as_array().expect("a list").clone();
    assert!(seen.iter().all(|node| node.get("ipv4").is_none()), "nothing that is not proven");
    let start = std::time::Instant::now();
    let nodes = loop {
        let nodes = ana.get(&format!("{TEAM}/nodes")).expect(200).json()["items"].clone();
        if nodes[0]["address"] == "10.42.0.9" {
            break nodes;
        }
        assert!(start.elapsed() < crate::server::PATIENCE, "{nodes}");
        std::thread::sleep(Duration::from_millis(500));
        ana.get("/groups/team").expect(200);
    };
    assert!(nodes[0]["last_seen"].is_u64() && nodes[1]["last_seen"].is_u64(), "{nodes}");
    assert!(nodes[1]["address"].is_null(), "eve's node has it not: {nodes}");

    // From the address back to user, ID, certificate and time: by API and by page, also by IPv6.
    let found =
        ana.get(&format!("{TEAM}/nodes?find=10.42.0.9")).expect(200).json()["items"].clone();
    assert_eq!(found.as_array().map(Vec::len), Some(1), "{found}");
    assert_eq!((&found[0]["user"]["name"], &found[0]["node"]), (&json!("bo"), &json!(bos.node_id)));
    let page = ana.get("/groups/team?find=10.42.0.9").expect(200).body;
    let table = page.split("<tbody").nth(1).expect("a table");
    for part in [">bo<", &bos.node_id.to_string(), &bos.serial.to_string(), "UTC</time>"] {
        assert!(table.contains(part), "no {part} in {table}");
    }
    assert!(!table.contains(">eve<"), "{table}");
    let id = eves.node_id.to_string();
    let half: Vec<&str> = (0..5).map(|part| &id[4 * part..4 * part + 4]).collect();
    let ipv6 = format!("fd00:1234:5678:{}", half.join(":"));
    let found = ana.get(&format!("{TEAM}/nodes?find={ipv6}")).expect(200).json()["items"].clone();
    assert_eq!(found[0]["user"]["name"], "eve");
    bo.get("/groups/team?find=10.42.0.9").expect(403);

    // The address has gone to eve's node a moment ago: who has it now comes first.
    ring.lock().expect("no panic").1 = Some(eves.node_id);
    let found =
        ana.get(&format!("{TEAM}/nodes?find=10.42.0.9")).expect(200).json()["items"].clone();
    assert_eq!(
        (&found[0]["user"]["name"], &found[1]["user"]["name"]),
        (&json!("eve"), &json!("bo"))
    );
}

#[test]
fn ns_wb_16_a_daemon_that_hangs_holds_no_page_up() {
    let daemon = Double::start(|_| {
        loop {
            std::thread::park();
        }
    });
    let (server, mut ana, token) = beside(&daemon);
    Newcomer::new(&server, &token).enrol("team");
    let begun = std::time::Instant::now();
    let page = ana.get("/groups/team").expect(200).body;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(page.contains("no daemon of the group answers") && page.contains("class=\"dot\""));
}
