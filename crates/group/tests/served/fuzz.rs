//! Requests that a fuzzer makes from the API's own description: none breaks the service, and every
//! answer is as the document says.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::server::Server;

/// Where `make` installs the fuzzer.
const FUZZER: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/schemathesis/bin/schemathesis");
/// Tries per operation; `make fuzz-api N=1000` makes more.
const TRIES: &str = "30";
/// What must hold for each answer.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
    response_headers_conformance,response_schema_conformance,unsupported_method,ignored_auth";

#[test]
#[ignore = "takes some minutes, and a fuzzer that `make fuzz-api` installs"]
fn ns_wb_01_the_api_holds_against_requests_made_from_its_document() {
    assert!(Path::new(FUZZER).exists(), "run `make fuzz-api`, which installs the fuzzer");
    let server = Server::start();
    let mut ana = server.client().sign_up("ana");
    server.admin(&["admin", "promote", "ana"], "");
    ana.post("/api/v1/groups", &json!({ "name": "team", "subnet": "10.42.0.0/16" })).expect(201);
    let token = ana.post("/api/v1/me/tokens", &json!({ "label": "fuzzer" })).expect(201);
    let token = token.json()["token"].as_str().expect("text").to_owned();
    let tries = std::env::var("WARREN_FUZZ_API").unwrap_or_else(|_| TRIES.to_owned());
    let place = format!("https://localhost:{}/api/v1/openapi.json", server.address.port());
    let fuzzed = Command::new(FUZZER)
        .args(["--no-color", "run", &place, "--max-examples", &tries, "--checks", CHECKS])
        .args(["--phases", "examples,coverage,fuzzing", "--rate-limit", "40/s", "--seed", "1"])
        .args(["--generation-database", "none", "--warnings", "off"])
        .args(["--header", &format!("Authorization: Bearer {token}"), "--tls-verify"])
        .arg(server.folder.path().join("tls.crt"))
        .current_dir(server.folder.path())
        .status();
    assert!(fuzzed.expect("starts").success(), "see above");
    let log = server.log();
    assert!(!log.contains("panicked") && !log.contains("a request has failed"), "{log}");
}
