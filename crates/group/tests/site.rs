//! The service as a real process, over TLS, as browsers and programs of people see it.

#[path = "served/client.rs"]
mod client;
#[path = "served/server.rs"]
mod server;

use std::io::{Read, Write};
use std::net::TcpStream;

use client::password;
use serde_json::json;
use server::Server;

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
