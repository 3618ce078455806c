//! The service as a real process, over TLS, as browsers and programs of people see it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::client::password;
use crate::server::Server;
use serde_json::json;

#[test]
fn ns_wb_01_sign_up_log_in_and_log_out() {
    let server = Server::start();
    let mut ana = server.client().sign_up("ana");
    let me = ana.get("/api/v1/me").expect(200);
    assert_eq!(me.json()["user"]["name"], "ana");
    let (cookie, proof) = (ana.cookie.clone(), ana.csrf.clone());
    ana.delete("/api/v1/session").expect(204);
    ana.get("/api/v1/me").refused(401, "not_logged_in");

    let mut again = server.client();
    let wrong = json!({ "name": "ana", "password": "not her secret" });
    again.post("/api/v1/session", &wrong).refused(401, "login_wrong");
    let nobody = json!({ "name": "nobody", "password": password("ana") });
    again.post("/api/v1/session", &nobody).refused(401, "login_wrong");
    let right = json!({ "name": "ana", "password": password("ana") });
    again.post("/api/v1/session", &right).expect(200);
    assert!(again.cookie != cookie && again.csrf != proof, "each session has a key of its own");
    again.get("/api/v1/me").expect(200);
}

#[test]
fn ns_wb_11_plain_http_gets_one_line_and_nothing_else() {
    let server = Server::start();
    let mut stream = TcpStream::connect(server.address).expect("connects");
    let request = "POST /api/v1/session HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}";
    stream.write_all(request.as_bytes()).expect("writes");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("is text");
    let (head, body) = text.split_once("\r\n\r\n").expect("has head and body");
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
    assert_eq!(body.lines().count(), 1, "{body}");
    assert!(body.contains("HTTPS only"), "{body}");
    let metrics = server.operations("/metrics").expect("answers");
    assert!(metrics.contains("warren_group_plain_http_total 1"), "{metrics}");
}

#[test]
fn ns_wb_01_only_pages_of_ours_change_something() {
    let server = Server::start();
    let mut ana = server.client().sign_up("ana");
    let group = json!({ "name": "team", "subnet": "10.42.0.0/16" });
    let proof = ana.csrf.take();
    ana.post("/api/v1/groups", &group).refused(403, "csrf_wrong");
    ana.csrf = Some("guess".to_owned());
    ana.post("/api/v1/groups", &group).refused(403, "csrf_wrong");
    ana.csrf = proof;
    ana.headers = vec![("Origin", "https://evil.example".to_owned())];
    ana.post("/api/v1/groups", &group).refused(403, "csrf_wrong");
    ana.headers = Vec::new();
    ana.post("/api/v1/groups", &group).expect(201);
    let mut forged = server.client();
    forged.headers = vec![("Sec-Fetch-Site", "cross-site".to_owned())];
    let login = json!({ "name": "ana", "password": password("ana") });
    forged.post("/api/v1/session", &login).refused(403, "csrf_wrong");
    let mut by_form = server.client();
    let form = "name=ana&password=the+secret+of+ana";
    let answer = by_form.send("POST", "/api/v1/session", "application/x-www-form-urlencoded", form);
    answer.refused(403, "csrf_wrong");
    let answer = by_form.send("POST", "/api/v1/session", "", &login.to_string());
    let said = answer.json()["message"].as_str().expect("is text").to_owned();
    assert!(said.contains("Content-Type: application/json"), "{said}");
    answer.refused(415, "unsupported_media_type");
    by_form.headers = vec![("Origin", "https://evil.example".to_owned())];
    let untyped = by_form.send("POST", "/api/v1/session", "", &login.to_string());
    untyped.refused(403, "csrf_wrong");
}

#[test]
fn ns_wb_01_a_program_acts_for_its_user_and_makes_no_keys() {
    let server = Server::start();
    let mut ana = server.client().sign_up("ana");
    let made = ana.post("/api/v1/me/tokens", &json!({ "label": "backup" })).expect(201).json();
    let mut program = server.client();
    program.bearer = made["token"].as_str().map(str::to_owned);
    assert_eq!(program.get("/api/v1/me").expect(200).json()["user"]["name"], "ana");
    let group = json!({ "name": "team", "subnet": "10.42.0.0/16" });
    program.post("/api/v1/groups", &group).expect(201);
    program.post("/api/v1/me/tokens", &json!({ "label": "more" })).refused(403, "session_needed");
    program.delete("/api/v1/groups/team").refused(403, "session_needed");
    let listed = ana.get("/api/v1/me/tokens").expect(200);
    assert!(!listed.body.contains("wa1_") && listed.body.contains("backup"), "{listed:?}");
    ana.delete(&format!("/api/v1/me/tokens/{}", made["id"])).expect(204);
    program.get("/api/v1/me").refused(401, "not_logged_in");
}

#[test]
fn ns_wb_01_guessing_is_slowed_down_alike_for_names_that_nobody_has() {
    let server = Server::start();
    server.client().sign_up("ana");
    let waits = ["ana", "nobody"].map(|name| {
        let mut guesser = server.client();
        let wrong = json!({ "name": name, "password": "not the secret" });
        let answers = std::iter::repeat_with(|| guesser.post("/api/v1/session", &wrong)).take(8);
        let answers: Vec<_> = answers.map(|answer| (answer.status, answer.body)).collect();
        assert_eq!(answers[0].0, 401);
        assert!(answers.iter().any(|(status, _)| *status == 429), "{name}: {answers:?}");
        answers.iter().position(|(status, _)| *status == 429)
    });
    assert_eq!(waits[0], waits[1]);
}

#[test]
fn ns_wb_01_a_new_password_ends_all_other_sessions() {
    let server = Server::start();
    let mut ana = server.client().sign_up("ana");
    let mut elsewhere = server.client();
    let login = json!({ "name": "ana", "password": password("ana") });
    elsewhere.post("/api/v1/session", &login).expect(200);
    let wrong = json!({ "old": "not the secret", "new": "another good secret" });
    ana.post("/api/v1/me/password", &wrong).refused(401, "login_wrong");
    let change = json!({ "old": password("ana"), "new": "another good secret" });
    ana.post("/api/v1/me/password", &change).expect(200);
    ana.get("/api/v1/me").expect(200);
    elsewhere.get("/api/v1/me").refused(401, "not_logged_in");
    elsewhere.post("/api/v1/session", &login).refused(401, "login_wrong");
}

#[test]
fn ns_wb_01_every_answer_is_hardened_and_every_problem_is_json() {
    let server = Server::start();
    let mut client = server.client();
    client.get("/api/v1/nothing").refused(404, "not_found");
    let answer = client.send("PUT", "/api/v1/session", "", "");
    assert_eq!(answer.header("allow"), Some("POST, DELETE"));
    answer.refused(405, "method_not_allowed");
    client.send("POST", "/api/v1/session", "text/plain", "x").refused(403, "csrf_wrong");
    let answer = client.post("/api/v1/session", &json!({ "name": 7 }));
    let said = answer.json()["message"].as_str().expect("is text").to_owned();
    assert_eq!(said, "field `name`: expected text, not a number");
    answer.refused(400, "malformed");
    let long = json!({ "name": "x".repeat(70_000), "password": "x" });
    client.post("/api/v1/session", &long).refused(413, "too_long");
    let answer = client.get("/api/v1/openapi.json").expect(200);
    for (name, part) in [
        ("content-security-policy", "default-src 'none'"),
        ("strict-transport-security", "max-age="),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "same-origin"),
        ("cache-control", "no-store"),
    ] {
        assert!(answer.header(name).is_some_and(|value| value.contains(part)), "{name}");
    }
}

#[test]
fn ns_wb_09_a_changed_certificate_is_taken_up_without_a_restart() {
    let server = Server::start();
    server.client().get("/api/v1/openapi.json").expect(200);
    let other = Server::start();
    for name in ["tls.key", "tls.crt"] {
        let (from, to) = (other.folder.path().join(name), server.folder.path().join(name));
        std::fs::copy(from, to).expect("copies");
    }
    let start = Instant::now();
    while server.client().connect().is_err() {
        assert!(start.elapsed() < Duration::from_secs(60), "not taken up: {}", server.log());
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn ns_wb_01_the_service_ends_when_told_and_remembers_who_is_logged_in() {
    let mut server = Server::start();
    let mut ana = server.client().sign_up("ana");
    server.terminate();
    assert!(server.wait(), "{}", server.log());
    server.restart();
    assert_eq!(ana.get("/api/v1/me").expect(200).json()["user"]["name"], "ana");
    let made = server.admin(&["admin", "create-user", "bo", "--password-stdin"], &password("bo"));
    assert!(!made.contains(&password("bo")), "{made}");
    let login = json!({ "name": "bo", "password": password("bo") });
    server.client().post("/api/v1/session", &login).expect(200);
}
