//! The real `warren-groupd` as its operator uses it: accounts, backup and restore, and the way from
//! SQLite to PostgreSQL.

mod common;

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::postgres::Postgres;
use common::{NOW, by, config, enrol, password, team_with_bob, token};
use group::config::Config;
use group::service::Service;
use pki::Revoked;

/// Runs the program with settings for a directory and perhaps another database.
fn groupd(folder: &Path, database: Option<&str>, args: &[&str], input: &str) -> Output {
    let file = folder.join("groupd.yaml");
    let mut text = format!("url: https://vpn.example.org\nstate_dir: {}\n", folder.display());
    if let Some(database) = database {
        text += &format!("database: \"{database}\"\n");
    }
    fs::write(&file, text).expect("is ours");
    let mut child = Command::new(env!("CARGO_BIN_EXE_warren-groupd"))
        .arg("--config")
        .arg(&file)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    child.stdin.take().expect("is piped").write_all(input.as_bytes()).expect("it reads");
    child.wait_with_output().expect("ends")
}

fn out(output: Output) -> String {
    let (said, failed) = (output.stdout, output.stderr);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&failed));
    String::from_utf8(said).expect("is text")
}

fn complaint(output: Output) -> String {
    assert!(!output.status.success(), "should fail");
    let said = String::from_utf8(output.stderr).expect("is text");
    assert_eq!(said.trim().lines().count(), 1, "one line: {said}");
    said
}

/// A site with two members, a node that is in and one that is out.
async fn sample(folder: &Path) {
    let service = Service::open(config(folder)).await.expect("opens");
    let ([ana, _], blob) = team_with_bob(&service).await;
    enrol(&service, &blob, "team", NOW).await.expect("enrols");
    let (_, grant) = enrol(&service, &blob, "team", NOW).await.expect("enrols");
    let node = grant.certificate.unverified().expect("own output").node_id;
    let lost = "lost".to_owned();
    service.revoke(&by(ana), "team", Revoked::Node(node), lost, NOW).await.expect("decides");
    service.close().await;
}

/// The site goes on: its chain grows, its authority signs.
async fn goes_on(config: Config) {
    let service = Service::open(config).await.expect("opens");
    assert_eq!(service.check().await.expect("reads"), Vec::<String>::new());
    let bob = service.user_named("bob").await.expect("reads").expect("is there").id;
    let blob = token(&service, bob, "team").await;
    let (_, grant) = enrol(&service, &blob, "team", NOW).await.expect("enrols");
    assert_eq!(grant.trust().expect("one chain").ledger().number(), 1);
    assert_eq!(grant.secrets[0].secret.generation, 2);
    service.close().await;
}

#[tokio::test]
async fn accounts_are_made_with_a_drawn_password_or_one_from_standard_input() {
    let folder = tempfile::tempdir().expect("a scratch directory");
    let drawn = out(groupd(folder.path(), None, &["admin", "create-user", "ana"], ""));
    let drawn = drawn.lines().next().and_then(|line| line.strip_prefix("password: "));
    let drawn = drawn.expect("is shown").to_owned();
    let args = ["admin", "create-user", "bob", "--password-stdin"];
    assert_eq!(out(groupd(folder.path(), None, &args, "a long enough one\n")), "");
    out(groupd(folder.path(), None, &["admin", "promote", "ana"], ""));
    let again = complaint(groupd(folder.path(), None, &["admin", "create-user", "ana"], ""));
    assert!(again.contains("the name is taken; choose another"), "{again}");
    let nobody = complaint(groupd(folder.path(), None, &["admin", "promote", "eve"], ""));
    assert!(nobody.contains("admin create-user makes one"), "{nobody}");

    let service = Service::open(config(folder.path())).await.expect("opens");
    let ana = service.check_password("ana", password(&drawn)).await.expect("reads");
    assert!(ana.expect("the password that was shown").site_admin);
    let bob = service.check_password("bob", password("a long enough one")).await.expect("reads");
    assert!(!bob.expect("the password that was given").site_admin);
    service.close().await;
    let log = out(groupd(folder.path(), None, &["admin", "audit"], ""));
    assert!(log.lines().next().expect("an entry").contains("site_admin_changed"), "{log}");
    assert!(!log.contains("argon2"), "the log holds no hashes");
    let mode =
        |name: &str| fs::metadata(folder.path().join(name)).expect("is there").mode() & 0o777;
    assert_eq!((mode("group.db"), mode("master.key")), (0o600, 0o600));
}

#[tokio::test]
async fn a_backup_made_while_the_service_writes_is_restored_with_the_master_key_only() {
    let [old, new] = [0; 2].map(|_| tempfile::tempdir().expect("a scratch directory"));
    sample(old.path()).await;
    let running = Service::open(config(old.path())).await.expect("opens");
    let copy = old.path().join("copy.db");
    let said = out(groupd(old.path(), None, &["backup", copy.to_str().expect("text")], ""));
    assert!(said.contains("master.key") && said.contains("tls.key"), "{said}");
    assert_eq!(fs::metadata(&copy).expect("is there").mode() & 0o777, 0o600);
    running.close().await;

    fs::copy(&copy, new.path().join("group.db")).expect("is ours");
    let bare = complaint(groupd(new.path(), None, &["admin", "check"], ""));
    assert!(bare.contains("restore the one from its backup"), "{bare}");
    fs::copy(old.path().join("master.key"), new.path().join("master.key")).expect("is ours");
    assert_eq!(out(groupd(new.path(), None, &["admin", "check"], "")), "consistent\n");
    goes_on(config(new.path())).await;
    let twice = complaint(groupd(old.path(), None, &["backup", copy.to_str().expect("text")], ""));
    assert!(twice.contains("never written over"), "{twice}");
}

#[tokio::test]
async fn a_site_is_exported_and_imported_whole() {
    let [old, new] = [0; 2].map(|_| tempfile::tempdir().expect("a scratch directory"));
    sample(old.path()).await;
    let file = old.path().join("site.jsonl");
    out(groupd(old.path(), None, &["admin", "export", file.to_str().expect("text")], ""));
    let text = fs::read_to_string(&file).expect("is ours");

    let import = ["admin", "import", file.to_str().expect("text")];
    let keyless = complaint(groupd(new.path(), None, &import, ""));
    assert!(keyless.contains("bring the master key"), "{keyless}");
    fs::copy(old.path().join("master.key"), new.path().join("master.key")).expect("is ours");
    let (cut, _) = text.trim_end().rsplit_once('\n').expect("several lines");
    fs::write(&file, cut).expect("is ours");
    let short = complaint(groupd(new.path(), None, &import, ""));
    assert!(short.contains("is not what an export writes"), "{short}");
    fs::write(&file, &text).expect("is ours");
    out(groupd(new.path(), None, &import, ""));
    let again = new.path().join("again.jsonl");
    out(groupd(new.path(), None, &["admin", "export", again.to_str().expect("text")], ""));
    assert_eq!(fs::read_to_string(again).expect("is ours"), text, "nothing is lost or added");
    let full = complaint(groupd(new.path(), None, &import, ""));
    assert!(full.contains("import into an empty one"), "{full}");
    goes_on(config(new.path())).await;
}

#[tokio::test]
async fn an_export_of_an_older_version_is_imported_and_one_of_a_newer_is_named() {
    let [old, new] = [0; 2].map(|_| tempfile::tempdir().expect("a scratch directory"));
    sample(old.path()).await;
    let file = old.path().join("site.jsonl");
    let name = file.to_str().expect("text");
    out(groupd(old.path(), None, &["admin", "export", name], ""));
    let today = fs::read_to_string(&file).expect("is ours");
    // Before a group could go to another authority.
    let cut = |line: &str| match line.starts_with("{\"table\":\"authorities\"") {
        true => {
            line.strip_suffix(",\"signs\",0]}").map(|row| format!("{row}]}}")).expect("ends so")
        }
        false => line.replace(" stage #due", ""),
    };
    let before: String = today.lines().map(|line| cut(line) + "\n").collect();
    assert!(!before.contains("stage") && !before.contains("\"signs\""), "{before}");
    fs::copy(old.path().join("master.key"), new.path().join("master.key")).expect("is ours");
    let import = ["admin", "import", name];
    fs::write(&file, today.replace(" #due\"", " #due shade\"")).expect("is ours");
    let newer = complaint(groupd(new.path(), None, &import, ""));
    assert!(
        newer.contains("written by a newer warren-groupd: it has a column \"shade\""),
        "{newer}"
    );
    fs::write(&file, before).expect("is ours");
    out(groupd(new.path(), None, &import, ""));
    let again = new.path().join("again.jsonl");
    out(groupd(new.path(), None, &["admin", "export", again.to_str().expect("text")], ""));
    assert_eq!(fs::read_to_string(again).expect("is ours"), today);
    goes_on(config(new.path())).await;
}

#[tokio::test]
async fn a_database_of_each_older_version_is_brought_up_to_date_at_the_start() {
    const TO_2: &str = "ALTER TABLE authorities DROP COLUMN stage;
        ALTER TABLE authorities DROP COLUMN due;
        DELETE FROM _sqlx_migrations WHERE version = 3;";
    const TO_1: &str = "DROP TABLE sessions; DROP TABLE api_tokens; DROP TABLE devices;
        DELETE FROM _sqlx_migrations WHERE version = 2;";
    let folder = tempfile::tempdir().expect("a scratch directory");
    sample(folder.path()).await;
    let place = format!("sqlite:{}", folder.path().join("group.db").display());
    for back in [&[TO_2][..], &[TO_2, TO_1]] {
        let db = sqlx::AnyPool::connect(&place).await.expect("opens");
        for step in back {
            sqlx::raw_sql(*step).execute(&db).await.expect("undoes what a version has added");
        }
        db.close().await;
        goes_on(config(folder.path())).await;
    }
    let db = sqlx::AnyPool::connect(&place).await.expect("opens");
    const OF_A_NEWER: &str = "INSERT INTO _sqlx_migrations SELECT 9, description, installed_on,
        success, checksum, execution_time FROM _sqlx_migrations WHERE version = 3";
    sqlx::raw_sql(OF_A_NEWER).execute(&db).await.expect("adds a step");
    db.close().await;
    let newer = complaint(groupd(folder.path(), None, &["admin", "check"], ""));
    assert!(newer.contains("used by a newer warren-groupd"), "{newer}");
    assert!(newer.matches("step 9").count() == 1, "{newer}");
}

#[tokio::test]
async fn a_user_who_is_revoked_by_the_command_is_no_member_any_more() {
    let folder = tempfile::tempdir().expect("a scratch directory");
    sample(folder.path()).await;
    let revoke = ["admin", "revoke", "team", "--user", "bob", "--reason", "left", "--wait"];
    let begun = Instant::now();
    let done = groupd(folder.path(), None, &revoke, "");
    let told = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(told.contains("no daemon of team is named") && told.lines().count() == 1, "{told}");
    assert_eq!(out(done), "notice 2\nbob is no member of team any more\n");
    assert!(begun.elapsed() < Duration::from_secs(30), "it has waited for nobody");
    let again = complaint(groupd(folder.path(), None, &revoke, ""));
    assert!(again.contains("nothing to revoke"), "{again}");
    let log = out(groupd(folder.path(), None, &["admin", "audit", "--group", "team"], ""));
    assert!(log.contains("member_removed"), "{log}");
}

#[tokio::test]
async fn a_new_authority_is_announced_by_a_command_and_travels_with_the_site() {
    let [old, new] = [0; 2].map(|_| tempfile::tempdir().expect("a scratch directory"));
    sample(old.path()).await;
    let rotate = |folder: &Path, group| groupd(folder, None, &["admin", "rotate-ca", group], "");
    let said = out(rotate(old.path(), "team"));
    assert!(said.contains("is announced to members and takes over on"), "{said}");
    assert!(complaint(rotate(old.path(), "team")).contains("was announced already"));
    assert!(complaint(rotate(old.path(), "nobody")).contains("no such group"));
    let file = old.path().join("site.jsonl");
    let file = file.to_str().expect("text");
    out(groupd(old.path(), None, &["admin", "export", file], ""));
    fs::copy(old.path().join("master.key"), new.path().join("master.key")).expect("is ours");
    out(groupd(new.path(), None, &["admin", "import", file], ""));
    assert!(complaint(rotate(new.path(), "team")).contains("was announced already"));
    out(groupd(new.path(), None, &["admin", "check"], ""));
}

#[tokio::test]
async fn one_command_moves_a_site_from_sqlite_to_postgresql() {
    let folder = tempfile::tempdir().expect("a scratch directory");
    sample(folder.path()).await;
    let server = Postgres::start();
    let url = server.database("site");
    out(groupd(folder.path(), None, &["admin", "copy-to", &url], ""));
    let (before, after) = (folder.path().join("before"), folder.path().join("after"));
    out(groupd(folder.path(), None, &["admin", "export", before.to_str().expect("text")], ""));
    let there = ["admin", "export", after.to_str().expect("text")];
    out(groupd(folder.path(), Some(&url), &there, ""));
    let read = |path| fs::read_to_string(path).expect("is ours");
    assert_eq!(read(after), read(before), "nothing is lost or added");
    goes_on(Config { database: Some(url), ..config(folder.path()) }).await;
}
