//! The service as a real process, over TLS, as groups and their nodes see it.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::newcomer::Newcomer;
use crate::server::Server;
use pki::enrolment::{
    DeviceAnswer, DeviceRequest, DeviceTokenAnswer, DeviceTokenRequest, Grant, KeyAnswer, Message,
    NonceAnswer, Pin, RenewalRequest,
};
use pki::{Handed, PrivateKey, Request, Serial};
use serde_json::{Value, json};

pub const TEAM: &str = "/api/v1/groups/team";

/// Makes a group; `approval` is a policy.
pub fn create(admin: &mut Client, name: &str, policies: Value) {
    let group = json!({ "name": name, "subnet": "10.42.0.0/16", "policies": policies });
    admin.post("/api/v1/groups", &group).expect(201);
}

/// Asks to join, and returns the number of the request.
fn ask_to_join(user: &mut Client, group: &str, reason: &str) -> i64 {
    let place = format!("/api/v1/groups/{group}/requests");
    let asked = user.post(&place, &json!({ "reason": reason })).expect(201);
    asked.json()["request"].as_i64().expect("a number")
}

fn approve(admin: &mut Client, group: &str, request: i64) {
    let place = format!("/api/v1/groups/{group}/requests/{request}/approve");
    admin.post(&place, &json!({ "note": "welcome" })).expect(204);
}

/// Lets somebody in.
pub fn admit(admin: &mut Client, user: &mut Client, group: &str) {
    let request = ask_to_join(user, group, "I work here");
    approve(admin, group, request);
}

/// Downloads a blob, and returns the file and the token in it.
pub fn blob(user: &mut Client, group: &str, options: &Value) -> (Handed, String) {
    let place = format!("/api/v1/groups/{group}/blob");
    let answer = user.post(&place, options).expect(200);
    assert_eq!(answer.header("content-type"), Some("application/yaml"));
    let handed = Handed::parse(&answer.body).expect("is a blob");
    let token = handed.enrolment().expect("says where to ask").token.expose().to_string();
    (handed, token)
}

#[test]
fn ns_wb_02_who_makes_a_group_administers_it() {
    let server = Server::start();
    let (mut ana, mut bo) = (server.client().sign_up("ana"), server.client().sign_up("bo"));
    create(&mut ana, "team", json!({}));
    let shown = ana.get(TEAM).expect(200).json();
    assert_eq!(shown["standing"]["state"], "administrator");
    assert_eq!(shown["administrators"][0]["name"], "ana");
    let seen = bo.get(TEAM).expect(200).json();
    assert_eq!(seen["standing"]["state"], "outside");
    assert!(seen.get("policies").is_none() && seen.get("administrators").is_none());
    bo.send("PATCH", TEAM, "application/json", r#"{"quota":1}"#).refused(403, "not_administrator");
    let taken = json!({ "name": "team", "subnet": "10.43.0.0/16" });
    bo.post("/api/v1/groups", &taken).refused(409, "name_taken");
    let changed = ana.send("PATCH", TEAM, "application/json", r#"{"quota":1}"#).expect(200).json();
    assert_eq!(
        (&changed["policies"]["quota"], &changed["policies"]["mtu"]),
        (&json!(1), &json!(1280))
    );
}

#[test]
fn ns_wb_03_the_reason_is_shown_to_administrators_alone() {
    let server = Server::start();
    let [mut ana, mut bo, mut cleo] =
        ["ana", "bo", "cleo"].map(|name| server.client().sign_up(name));
    create(&mut ana, "team", json!({}));
    admit(&mut ana, &mut cleo, "team");
    ask_to_join(&mut bo, "team", "the green door");
    let place = format!("{TEAM}/requests");
    assert!(ana.get(&place).expect(200).body.contains("the green door"));
    assert!(bo.get(&format!("{TEAM}/request")).expect(200).body.contains("the green door"));
    cleo.get(&place).refused(403, "not_administrator");
    for hidden in ["", "/members", "/nodes", "/revocations"] {
        let body = cleo.get(&format!("{TEAM}{hidden}")).expect(200).body;
        assert!(!body.contains("the green door"), "{hidden}: {body}");
    }
}

#[test]
fn ns_wb_04_a_second_administrator_approves_and_the_last_one_stays() {
    let server = Server::start();
    let [mut ana, mut bo, mut cleo] =
        ["ana", "bo", "cleo"].map(|name| server.client().sign_up(name));
    create(&mut ana, "team", json!({}));
    let demote = format!("{TEAM}/members/ana/demote");
    ana.post(&demote, &json!({})).refused(409, "last_administrator");
    ana.post(&format!("{TEAM}/leave"), &json!({})).refused(409, "last_administrator");
    admit(&mut ana, &mut bo, "team");
    let request = ask_to_join(&mut cleo, "team", "I work here too");
    let judge = format!("{TEAM}/requests/{request}/approve");
    bo.post(&judge, &json!({})).refused(403, "not_administrator");
    ana.post(&format!("{TEAM}/members/bo/promote"), &json!({})).expect(204);
    bo.post(&judge, &json!({})).expect(204);
    ana.post(&demote, &json!({})).expect(204);
    assert_eq!(ana.get(TEAM).expect(200).json()["standing"]["state"], "member");
}

#[test]
fn ns_wb_04_two_administrators_who_change_settings_at_once_lose_nothing() {
    let server = Server::start();
    let [mut ana, mut bo] = ["ana", "bo"].map(|name| server.client().sign_up(name));
    create(&mut ana, "team", json!({}));
    admit(&mut ana, &mut bo, "team");
    ana.post(&format!("{TEAM}/members/bo/promote"), &json!({})).expect(204);
    let patch = |client: &mut Client, change: Value| {
        client.send("PATCH", TEAM, "application/json", &change.to_string()).expect(200)
    };
    for n in 1..=20 {
        std::thread::scope(|both| {
            both.spawn(|| patch(&mut ana, json!({ "quota": n })));
            both.spawn(|| patch(&mut bo, json!({ "lease_seconds": 60 + n })));
        });
        let policies = ana.get(TEAM).expect(200).json()["policies"].clone();
        assert_eq!((&policies["quota"], &policies["lease_seconds"]), (&json!(n), &json!(60 + n)));
    }

    // A form shows all settings: it is not saved over what its reader has not seen.
    const FORM: &str = "/groups/team/settings";
    let open = |client: &mut Client| {
        let page = client.get(FORM).expect(200).body;
        let seen =
            page.split("name=\"seen\" value=\"").nth(1).and_then(|rest| rest.split('"').next());
        seen.expect("the form says what it is about").to_owned()
    };
    let save = |client: &mut Client, seen: &str, quota: u32| {
        let form = format!("approval=manual&limit=&quota={quota}&days=7&bootstrap=&seen={seen}");
        client.send("POST", FORM, "application/x-www-form-urlencoded", &form)
    };
    let (anas, bos) = (open(&mut ana), open(&mut bo));
    save(&mut ana, &anas, 3).expect(303);
    let refused = save(&mut bo, &bos, 5).expect(409).body;
    assert!(refused.contains("Somebody else has changed these settings meanwhile"), "{refused}");
    assert_eq!(ana.get(TEAM).expect(200).json()["policies"]["quota"], 3);
    let seen = open(&mut bo);
    save(&mut bo, &seen, 5).expect(303);
}

#[test]
fn ns_wb_05_the_denied_gets_no_blob_and_the_approved_does() {
    let server = Server::start();
    let [mut ana, mut bo, mut cleo] =
        ["ana", "bo", "cleo"].map(|name| server.client().sign_up(name));
    create(&mut ana, "team", json!({}));
    let denied = ask_to_join(&mut bo, "team", "let me in");
    let granted = ask_to_join(&mut cleo, "team", "let me in");
    let place = format!("{TEAM}/blob");
    bo.post(&place, &json!({})).refused(403, "not_member");
    let note = json!({ "note": "we do not know you" });
    ana.post(&format!("{TEAM}/requests/{denied}/deny"), &note).expect(204);
    approve(&mut ana, "team", granted);
    bo.post(&place, &json!({})).refused(403, "request_denied");
    let told = bo.get(&format!("{TEAM}/request")).expect(200).json();
    assert_eq!((&told["state"], &told["note"]), (&json!("denied"), &json!("we do not know you")));
    cleo.post(&place, &json!({})).expect(200);
}

#[test]
fn ns_wb_06_each_blob_has_a_token_of_its_own_and_the_pin_of_the_server() {
    let server = Server::start();
    let [mut ana, mut bo] = ["ana", "bo"].map(|name| server.client().sign_up(name));
    create(&mut ana, "team", json!({}));
    server.client().post(&format!("{TEAM}/blob"), &json!({})).refused(401, "not_logged_in");
    admit(&mut ana, &mut bo, "team");
    let (first, token) = blob(&mut ana, "team", &json!({ "full": true }));
    let (_, other) = blob(&mut bo, "team", &json!({}));
    assert_ne!(token, other);
    assert!(matches!(first, Handed::Blob(_)), "network, authorities and secret are in it");
    let pem = std::fs::read_to_string(server.folder.path().join("tls.crt")).expect("is there");
    let der = pem.lines().filter(|line| !line.starts_with("---")).collect::<String>();
    let der = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, der);
    let pin = Pin::of_certificate(&der.expect("is PEM")).expect("a certificate");
    assert_eq!(first.enrolment().expect("is there").pins, [pin]);
    let listed = ana.get(&format!("{TEAM}/tokens")).expect(200).body;
    assert!(!listed.contains(&token) && !listed.contains("wt1_"), "{listed}");
}

#[test]
fn ns_wb_09_each_bad_token_has_its_refusal_and_its_line_in_the_log() {
    let server = Server::start();
    let [mut ana, mut bo] = ["ana", "bo"].map(|name| server.client().sign_up(name));
    create(&mut ana, "team", json!({}));
    create(&mut bo, "other", json!({}));
    let refused = |token: &str, status, code: &str| {
        Newcomer::new(&server, token).name().refused(status, code);
    };
    let unknown = pki::enrolment::Token::random().expose();
    refused(&unknown, 401, "token_unknown");
    refused("no token at all", 401, "token_unknown");
    let (_, ended) = blob(&mut ana, "team", &json!({ "label": "ended" }));
    let id = ana.get(&format!("{TEAM}/tokens")).expect(200).json()["items"][0]["id"].clone();
    ana.delete(&format!("{TEAM}/tokens/{id}")).expect(204);
    refused(&ended, 401, "token_unknown");
    let (_, once) = blob(&mut ana, "team", &json!({ "reusable": false }));
    Newcomer::new(&server, &once).enrol("team");
    refused(&once, 401, "token_used_up");
    let (_, foreign) = blob(&mut bo, "other", &json!({}));
    let mut newcomer = Newcomer::new(&server, &foreign);
    let named = newcomer.name().expect(200);
    let named = KeyAnswer::from_json(named.body.as_bytes()).expect("a name");
    newcomer.certify("team", &named).refused(403, "token_foreign");
    let log = ana.get(&format!("{TEAM}/audit?event=enrolment_refused")).expect(200).body;
    for code in ["token_ended", "token_used_up"] {
        assert!(log.contains(code), "{code}: {log}");
    }
}

#[test]
fn ns_wb_10_the_certificate_has_the_id_the_user_and_the_group() {
    let server = Server::start();
    let mut ana = server.client().sign_up("ana");
    create(&mut ana, "team", json!({}));
    let (_, token) = blob(&mut ana, "team", &json!({}));
    let mut newcomer = Newcomer::new(&server, &token);
    let first = newcomer.name().expect(200).body;
    assert_eq!(newcomer.name().expect(200).body, first, "one key has one ID");
    let named = KeyAnswer::from_json(first.as_bytes()).expect("a name");
    let grant = newcomer.enrol("team");
    let member = grant.trust().expect("fits").judge(grant.certificate.der(), now()).expect("good");
    assert_eq!((member.user.as_str(), member.group.as_str()), ("ana", "team"));
    assert_eq!(member.node_id, named.node_id);
    let mut other = Newcomer::new(&server, &token);
    other.name().expect(200);
    other.certify("team", &named).refused(422, "id_mismatch");
}

/// A device that shows its code, and what it asks until it is let in.
fn begin(server: &Server) -> (Newcomer, DeviceAnswer, DeviceTokenRequest) {
    let mut device = Newcomer::new(server, "");
    let asked = DeviceRequest::new("team", Some("kiosk")).expect("a group");
    let begun = device.post("/enrol/v1/device", &asked).expect(200);
    let begun = DeviceAnswer::from_json(begun.body.as_bytes()).expect("a code");
    let poll = DeviceTokenRequest { device_code: begun.device_code.clone() };
    (device, begun, poll)
}

#[test]
fn ns_wb_08_of_two_users_who_confirm_a_device_at_once_one_is_told_that_it_is_theirs() {
    let server = Server::start();
    let [mut ana, mut bo] = ["ana", "bo"].map(|name| server.client().sign_up(name));
    create(&mut ana, "team", json!({}));
    admit(&mut ana, &mut bo, "team");
    for _ in 0..8 {
        let (_, begun, _) = begin(&server);
        let place = format!("/api/v1/devices/{}/confirm", begun.user_code);
        let confirm = |user: &mut Client| user.post(&place, &json!({ "reason": "" })).status;
        let mut said = std::thread::scope(|scope| {
            let anas = scope.spawn(|| confirm(&mut ana));
            [confirm(&mut bo), anas.join().expect("no panic")]
        });
        said.sort_unstable();
        assert_eq!(said, [204, 404]);
    }
}

#[test]
fn ns_wb_08_a_device_that_got_no_invitation_gets_it_with_the_same_code_later() {
    let server = Server::start();
    let [mut ana, mut bo] = ["ana", "bo"].map(|name| server.client().sign_up(name));
    create(&mut ana, "team", json!({}));
    let (mut device, begun, poll) = begin(&server);
    let place = format!("/api/v1/devices/{}/confirm", begun.user_code);
    bo.post(&place, &json!({ "reason": "my kiosk" })).expect(204);
    let requests = ana.get(&format!("{TEAM}/requests")).expect(200).json();
    let deny = format!("{TEAM}/requests/{}/deny", requests["items"][0]["id"]);
    ana.post(&deny, &json!({ "note": "not yet" })).expect(204);
    for _ in 0..2 {
        device.post("/enrol/v1/device/token", &poll).refused(403, "request_denied");
    }
    admit(&mut ana, &mut bo, "team");
    device.post("/enrol/v1/device/token", &poll).expect(200);
    device.post("/enrol/v1/device/token", &poll).refused(403, "device_expired");
}

#[test]
fn ns_wb_10_a_node_that_waits_is_answered_when_it_is_approved() {
    let server = Server::start();
    let [mut ana, mut bo] = ["ana", "bo"].map(|name| server.client().sign_up(name));
    create(&mut ana, "team", json!({}));
    let (mut device, begun, poll) = begin(&server);
    device.post("/enrol/v1/device/token", &poll).expect(202);

    let place = format!("/api/v1/devices/{}", begun.user_code);
    assert!(begun.verification_url.to_string().ends_with(&begun.user_code.to_string()));
    let seen = bo.get(&place).expect(200).json();
    assert_eq!((&seen["group"], &seen["host"]), (&json!("team"), &json!("kiosk")));
    bo.post(&format!("{place}/confirm"), &json!({ "reason": "my kiosk" })).expect(204);
    let handed = device.post("/enrol/v1/device/token", &poll).expect(200);
    let handed = DeviceTokenAnswer::from_json(handed.body.as_bytes()).expect("a blob");
    device.post("/enrol/v1/device/token", &poll).refused(403, "device_expired");
    let handed = Handed::parse(&handed.blob).expect("an invitation");
    let token = handed.enrolment().expect("says where to ask").token.expose().to_string();

    let mut node = Newcomer::new(&server, &token);
    let named = KeyAnswer::from_json(node.name().expect(200).body.as_bytes()).expect("a name");
    node.certify("team", &named).expect(202);
    node.client.headers.push(("Prefer", "wait=30".to_owned()));
    let start = Instant::now();
    let waiting = std::thread::spawn(move || node.certify("team", &named));
    server.wait_until_it_holds_a_question();
    let requests = ana.get(&format!("{TEAM}/requests")).expect(200).json();
    approve(&mut ana, "team", requests["items"][0]["id"].as_i64().expect("a number"));
    let answer = waiting.join().expect("no panic").expect(200);
    Grant::from_json(answer.body.as_bytes()).expect("a grant");
    assert!(start.elapsed() < Duration::from_secs(25), "{:?}", start.elapsed());
}

#[test]
fn ns_wb_12_one_blob_serves_several_machines_and_a_key_renews_without_it() {
    let server = Server::start();
    let mut ana = server.client().sign_up("ana");
    create(&mut ana, "team", json!({ "quota": 2 }));
    let (_, token) = blob(&mut ana, "team", &json!({}));
    let mut laptop = Newcomer::new(&server, &token);
    let first = laptop.enrol("team");
    Newcomer::new(&server, &token).enrol("team");
    Newcomer::new(&server, &token).name().refused(403, "quota_exceeded");

    laptop.client.bearer = None;
    let nonce = laptop.client.get("/enrol/v1/nonce").expect(200);
    let nonce = NonceAnswer::from_json(nonce.body.as_bytes()).expect("a nonce").nonce;
    let id = first.certificate.unverified().expect("own output").node_id;
    let request = |key: &PrivateKey| Request::for_node(key, "team", id).expect("writes");
    let certificate = first.certificate.clone();
    let forged = "AAAAAAAAAAAAAAAAAAAA".parse().expect("a nonce");
    let key = laptop.key.clone();
    let wrong = RenewalRequest::sign(&key, request(&key), certificate.clone(), forged);
    laptop.post("/enrol/v1/renewal", &wrong).refused(403, "nonce_expired");
    let thief = PrivateKey::generate();
    let wrong = RenewalRequest::sign(&thief, request(&thief), certificate.clone(), nonce.clone());
    laptop.post("/enrol/v1/renewal", &wrong).refused(403, "certificate_unknown");
    let right = RenewalRequest::sign(&key, request(&key), certificate, nonce);
    let renewed = laptop.post("/enrol/v1/renewal", &right).expect(200);
    let renewed = Grant::from_json(renewed.body.as_bytes()).expect("a grant");
    let serial = |grant: &Grant| grant.certificate.unverified().expect("own output").serial;
    assert_ne!(serial(&first), serial(&renewed));
}

#[test]
fn ns_wb_14_one_site_hosts_groups_that_know_nothing_of_each_other() {
    let server = Server::start();
    let [mut ana, mut bo] = ["ana", "bo"].map(|name| server.client().sign_up(name));
    create(&mut ana, "team", json!({}));
    create(&mut bo, "other", json!({}));
    let (_, ours) = blob(&mut ana, "team", &json!({}));
    let (_, theirs) = blob(&mut bo, "other", &json!({}));
    let ours = Newcomer::new(&server, &ours).enrol("team");
    let theirs = Newcomer::new(&server, &theirs).enrol("other");
    let judged = |by: &Grant, of: &Grant| {
        by.trust().expect("fits").judge(of.certificate.der(), now()).is_ok()
    };
    assert!(judged(&ours, &ours) && judged(&theirs, &theirs));
    assert!(!judged(&ours, &theirs) && !judged(&theirs, &ours));
    let issuer = |of: &Grant| of.certificate.unverified().expect("own output").issuer;
    assert_ne!(issuer(&ours), issuer(&theirs), "or one group's key would sign for the other");
    for hidden in ["/members", "/nodes", "/revocations", "/audit", "/requests"] {
        let answer = bo.get(&format!("{TEAM}{hidden}"));
        assert_eq!(answer.status, 403, "{hidden}: {answer:?}");
    }
}

#[test]
fn ns_wb_16_a_revoked_member_is_out_and_the_list_says_so() {
    let server = Server::start();
    let [mut ana, mut bo] = ["ana", "bo"].map(|name| server.client().sign_up(name));
    create(&mut ana, "team", json!({}));
    admit(&mut ana, &mut bo, "team");
    let (_, token) = blob(&mut bo, "team", &json!({}));
    let mut node = Newcomer::new(&server, &token);
    let grant = node.enrol("team");
    let member = grant.certificate.unverified().expect("own output");
    let place = format!("{TEAM}/revocations");
    let wish = json!({ "user": "bo", "reason": "a lost laptop" });
    bo.post(&place, &wish).refused(403, "not_administrator");

    let mut waiting = Newcomer::new(&server, &token);
    waiting.client.headers.push(("Prefer", "wait=30".to_owned()));
    let held = std::thread::spawn(move || waiting.client.get("/enrol/v1/notices?after=0"));
    server.wait_until_it_holds_a_question();
    let notice = ana.post(&place, &wish).expect(201).json()["notice"].as_u64();
    assert_eq!(notice, Some(1));
    let news = held.join().expect("no panic").expect(200).json();
    let mut trust = grant.trust().expect("fits");
    trust.ledger_mut().take_text(news["notices"].as_str().expect("text")).expect("is signed");
    assert_eq!(trust.ledger().is_revoked(&member), Some(1));
    node.name().refused(403, "membership_ended");
    Newcomer::new(&server, &token).name().refused(403, "membership_ended");
    bo.post(&format!("{TEAM}/blob"), &json!({})).refused(403, "not_member");
    let wish = json!({ "reason": "has left the firm" });
    ana.post(&format!("{TEAM}/members/bo/remove"), &wish).refused(404, "not_found");
    let shown = ana.get(&format!("{place}/1")).expect(200).json();
    assert_eq!(shown["reason"], "a lost laptop");
}

#[test]
fn ns_rv_01_a_revocation_by_the_operators_command_wakes_a_node_that_waits() {
    let server = Server::start();
    let mut ana = server.client().sign_up("ana");
    create(&mut ana, "team", json!({}));
    let (_, token) = blob(&mut ana, "team", &json!({}));
    let member = Newcomer::new(&server, &token).enrol("team").certificate;
    let node = member.unverified().expect("own output").node_id.to_string();
    let mut waiting = Newcomer::new(&server, &token);
    waiting.client.headers.push(("Prefer", "wait=30".to_owned()));
    let asked = Instant::now();
    let held = std::thread::spawn(move || waiting.client.get("/enrol/v1/notices?after=0"));
    server.wait_until_it_holds_a_question();
    let revoke = ["admin", "revoke", "team", "--node", &node, "--reason", "lost"];
    assert_eq!(server.admin(&revoke, ""), "notice 1\n");
    let news = held.join().expect("no panic").expect(200).json();
    let lines = news["notices"].as_str().expect("text").lines().count();
    assert_eq!(lines, 2, "head and notice: {news}");
    assert!(asked.elapsed() < Duration::from_secs(20), "not woken: {:?}", asked.elapsed());
}

#[test]
fn ns_rv_01_openssl_verifies_the_list_and_finds_the_serial_in_it() {
    let server = Server::start();
    let mut ana = server.client().sign_up("ana");
    create(&mut ana, "team", json!({}));
    let (_, token) = blob(&mut ana, "team", &json!({}));
    let grant = Newcomer::new(&server, &token).enrol("team");
    let serial: Serial = grant.certificate.unverified().expect("own output").serial;
    let wish = json!({ "serial": serial.to_string(), "reason": "a test" });
    ana.post(&format!("{TEAM}/revocations"), &wish).expect(201);
    let issuer = ana.get(TEAM).expect(200).json()["issuer"].as_str().expect("text").to_owned();
    let url = format!("https://localhost:{}/crl/{issuer}.crl", server.address.port());
    let folder = server.folder.path();
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).current_dir(folder).output();
        let output = output.expect("is installed by make deps");
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        assert!(output.status.success(), "{program} {arguments:?}: {text}");
        text
    };
    let fetches: Vec<_> = (0..8)
        .map(|_| {
            let (mut client, place) = (server.client(), format!("/crl/{issuer}.crl"));
            std::thread::spawn(move || client.get(&place).expect(200).body)
        })
        .collect();
    let mut lists = fetches.into_iter().map(|fetch| fetch.join().expect("no panic"));
    let first = lists.next().expect("some were fetched");
    assert!(lists.all(|list| list == first), "each has a signature of its own");
    run("curl", &["-sSf", "--cacert", "tls.crt", "-o", "team.crl", &url]);
    std::fs::write(folder.join("ca.pem"), grant.ca[0].to_pem()).expect("writes");
    let verify =
        ["crl", "-inform", "DER", "-in", "team.crl", "-CAfile", "ca.pem", "-noout", "-text"];
    let text = run("openssl", &verify);
    assert!(text.contains("verify OK"), "{text}");
    let shown = text.to_lowercase().replace(':', "");
    assert!(shown.contains(&serial.to_string().to_lowercase()), "{serial}: {text}");
}

#[test]
fn ns_se_07_an_address_leads_back_to_the_user() {
    let server = Server::start();
    let [mut ana, mut bo] = ["ana", "bo"].map(|name| server.client().sign_up(name));
    create(&mut ana, "team", json!({}));
    admit(&mut ana, &mut bo, "team");
    let (_, token) = blob(&mut bo, "team", &json!({}));
    let grant = Newcomer::new(&server, &token).enrol("team");
    let member = grant.certificate.unverified().expect("own output");
    let place = format!("{TEAM}/nodes?find={}", member.node_id);
    let found = ana.get(&place).expect(200).json()["items"][0].clone();
    assert_eq!(found["user"]["name"], "bo");
    assert_eq!(found["node"], member.node_id.to_string());
    assert_eq!(found["serial"], member.serial.to_string());
    assert!(found["issued"].as_u64().is_some_and(|issued| issued <= now().0));
    bo.get(&place).refused(403, "not_administrator");
}

fn now() -> pki::UnixTime {
    group::http::now()
}
