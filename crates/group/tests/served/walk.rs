//! The walk through the API in `docs/operations.md`: the very lines that stand there, run by a shell.

use std::path::Path;
use std::process::Command;

use pki::Handed;
use serde_json::Value;

use crate::newcomer::Newcomer;
use crate::server::Server;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operations.md");
/// The heading of the walk.
const HEADING: &str = "### The API, step by step\n";
/// What stands there for the service's address, and for its directory.
const EXAMPLES: [&str; 2] = ["https://vpn.example.org:8443", "/var/lib/warren-groupd"];

/// The lines of the section that a shell is meant to run, up to that command and after it.
fn lines(until: &str) -> (String, String) {
    let document = std::fs::read_to_string(DOCUMENT).expect("is in the tree");
    let section = document.split_once(HEADING).expect("has the section").1;
    let section = section.split("\n## ").next().unwrap_or(section);
    let section = section.split("\n### ").next().unwrap_or(section);
    let blocks = section.split("```sh\n").skip(1);
    let blocks = blocks.map(|block| block.split("```").next().expect("has an end"));
    let all = blocks.collect::<Vec<_>>().join("\n");
    let (before, after) = all.split_once(until).expect("names the command");
    let after = after.split_once('\n').expect("has a line after it").1;
    (before.to_owned(), after.to_owned())
}

/// Runs lines in a directory; returns what they print.
fn run(server: &Server, folder: &Path, lines: &str) -> String {
    let (here, place) =
        (format!("https://localhost:{}", server.address.port()), server.folder.path());
    let place = place.to_str().expect("text");
    let lines = lines.replace(EXAMPLES[0], &here).replace(EXAMPLES[1], place);
    let programs = Path::new(env!("CARGO_BIN_EXE_warren-groupd")).parent().expect("a directory");
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").expect("is set"));
    let mut shell = Command::new("bash");
    shell.args(["-euo", "pipefail", "-c", &lines]).current_dir(folder).env("PATH", path);
    shell.env("WARREN_GROUPD_CONFIG", server.folder.path().join("groupd.yaml"));
    let output = shell.output().expect("starts");
    let failed = String::from_utf8_lossy(&output.stderr);
    let said = String::from_utf8(output.stdout).expect("is text");
    assert!(output.status.success(), "{failed}\n{said}\nin\n{lines}");
    said
}

#[test]
fn ns_wb_05_the_walk_in_the_handbook_goes_from_the_account_to_the_blob_and_out_again() {
    let server = Server::start();
    let folder = tempfile::tempdir().expect("a scratch directory");
    let (before, after) = lines("warren up --blob team.yaml");
    let said = run(&server, folder.path(), &before);
    assert!(said.contains("\"name\": \"team\"") && said.contains("\"bo\""), "{said}");
    let text = std::fs::read_to_string(folder.path().join("team.yaml")).expect("was downloaded");
    let blob = Handed::parse(&text).expect("is a blob");
    let token = blob.enrolment().expect("says where to ask").token.expose().to_string();
    let grant = Newcomer::new(&server, &token).enrol("team");
    let joins_by: Vec<_> = grant.bootstrap.iter().map(ToString::to_string).collect();
    assert_eq!(joins_by, ["boot.example.org:7415"]);

    // The variables of the first lines are still there in the reader's shell.
    let settings: String = before
        .lines()
        .take_while(|line| !line.is_empty())
        .fold(String::new(), |all, line| all + line + "\n");
    let said = run(&server, folder.path(), &(settings + &after));
    assert!(said.contains("\"notice\": 1"), "{said}");
    let left = &said[said.rfind("\n[\n").expect("ends with a list")..];
    let left: Value = serde_json::from_str(left).expect("is JSON");
    assert_eq!(left, serde_json::json!(["ana"]), "{said}");
}
