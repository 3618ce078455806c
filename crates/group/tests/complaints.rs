//! What the operator of the real `warren-groupd` reads when something is wrong, and sees of what is there.

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use common::postgres::Postgres;
use common::{admit, config, group, user};
use group::model::Policies;
use group::service::Service;
use serde_json::Value;

fn groupd(file: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_warren-groupd"));
    command.arg("--config").arg(file).args(args).output().expect("starts")
}

/// Settings in a directory, which is the state directory as well.
fn settings(folder: &Path, more: &str) -> std::path::PathBuf {
    let file = folder.join("groupd.yaml");
    let text = format!("url: https://vpn.example.org\nstate_dir: {}\n{more}", folder.display());
    fs::write(&file, text).expect("is ours");
    file
}

/// The one line, after the program's name, and the exit code.
fn complaint(output: &Output) -> (String, i32) {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(said.lines().count(), 1, "one line: {said}");
    let line = said.trim_end().strip_prefix("warren-groupd: ").expect("its name");
    (line.to_owned(), output.status.code().expect("no signal"))
}

fn check(file: &Path) -> (String, i32) {
    complaint(&groupd(file, &["admin", "check"]))
}

#[test]
fn bad_settings_are_told_in_one_line_with_what_is_expected() {
    let folder = tempfile::tempdir().expect("a scratch directory");
    let missing = folder.path().join("none.yaml");
    let (said, code) = check(&missing);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("there is no configuration") && said.contains("--config"), "{said}");
    for (setting, expected) in [
        ("listen: \"8443\"", "ADDRESS:PORT, such as \"[::]:8443\""),
        ("operations: localhost", "ADDRESS:PORT, such as \"[::]:8443\""),
        ("listn: \"[::]:8443\"", "listn"),
        ("head_life_seconds: 1", "head_life_seconds must be 60 to 2592000"),
        ("database: mysql://x", "sqlite:PATH or postgres://USER@HOST/NAME"),
    ] {
        let (said, code) = check(&settings(folder.path(), setting));
        assert_eq!(code, 2, "{setting}: {said}");
        assert!(said.contains(expected), "{setting}: {said}");
    }
    let line = check(&settings(folder.path(), "listen: \"8443\"")).0;
    assert!(line.contains("line 3"), "{line}");
    let (said, code) = check(&settings(&folder.path().join(""), "master_key: /dev/null"));
    assert_eq!(code, 3, "{said}");
}

#[test]
fn what_the_host_does_not_allow_has_its_own_exit_code() {
    let folder = tempfile::tempdir().expect("a scratch directory");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("is bound");
    let file = settings(folder.path(), &format!("listen: {address}\noperations: 127.0.0.1:0\n"));
    let output = groupd(&file, &["serve"]);
    let said = String::from_utf8_lossy(&output.stderr);
    let line = said.lines().last().expect("a line");
    assert!(line.contains("Address already in use"), "{said}");
    assert!(line.contains("set `listen` and `operations`"), "{said}");
    assert_eq!(output.status.code(), Some(4), "{said}");
    let no_folder = settings(folder.path(), "database: sqlite:/nowhere/group.db");
    let (said, code) = check(&no_folder);
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("cannot open the database file"), "{said}");
}

#[test]
fn a_database_server_that_is_down_or_refuses_is_told_at_once_and_why() {
    let folder = tempfile::tempdir().expect("a scratch directory");
    let at = |url: &str| {
        let (said, code) = check(&settings(folder.path(), &format!("database: \"{url}\"")));
        assert_eq!(code, 5, "{said}");
        assert!(!said.contains("hunter2"), "{said}");
        said
    };
    let down = at("postgres://warren:hunter2@127.0.0.1:1/site");
    assert!(down.starts_with("PostgreSQL at 127.0.0.1:1: "), "{down}");
    assert!(down.contains("is it running"), "{down}");
    let server = Postgres::start();
    let there = server.database("site");
    let absent = at(&there.replace("/site?", "/other?"));
    assert!(absent.contains("make it (createdb -O warren other)"), "{absent}");
    let stranger = at(&there.replace("//warren@", "//eve:hunter2@"));
    assert!(stranger.contains("check user and password in `database`"), "{stranger}");
}

#[tokio::test]
async fn the_operator_sees_which_accounts_and_groups_there_are() {
    let folder = tempfile::tempdir().expect("a scratch directory");
    let file = settings(folder.path(), "");
    let list = |args: &[&str]| {
        let output = groupd(&file, args);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("is text")
    };
    assert!(list(&["admin", "list-users"]).contains("`admin create-user NAME` makes one"));
    let none = list(&["admin", "list-groups"]);
    assert!(none.contains("people make them at https://vpn.example.org"), "{none}");
    assert_eq!(list(&["admin", "list-groups", "--json"]), "");

    let service = Service::open(config(folder.path())).await.expect("opens");
    let [ana, bob] = [user(&service, "ana").await, user(&service, "bob").await];
    for name in ["team", "lab"] {
        group(&service, ana, name, Policies::default()).await;
    }
    admit(&service, ana, bob, "team").await;
    service.close().await;
    let users = list(&["admin", "list-users"]);
    assert_eq!(users.lines().count(), 3, "{users}");
    assert!(users.starts_with("USER  STATE   LOG-IN  ROLE  SINCE"), "{users}");
    assert!(users.contains("\nbob   active  OpenID"), "{users}");
    let groups = list(&["admin", "list-groups"]);
    assert!(groups.contains("\nlab    10.42.0.0/16  1        1"), "{groups}");
    assert!(groups.contains("\nteam   10.42.0.0/16  2        1"), "{groups}");
    let rows = list(&["admin", "list-groups", "--json"]);
    let rows: Vec<Value> =
        rows.lines().map(|line| serde_json::from_str(line).expect("is JSON")).collect();
    assert_eq!((rows.len(), &rows[1]["name"], &rows[1]["members"]), (2, &"team".into(), &2.into()));
    let users = list(&["admin", "list-users", "--json"]);
    assert!(!users.contains("argon2") && users.lines().count() == 2, "{users}");
}
