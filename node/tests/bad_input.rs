//! Bad input ends the program at once, with one line that says what to do and the right exit code.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs::Permissions;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use common::{Group, Member, Quiet as _, WARREN, fails, fake_clock, text, warren, works};

const USAGE: i32 = 2;
const IDENTITY: i32 = 3;
const HOST: i32 = 4;
const NO_DAEMON: i32 = 5;

#[test]
fn a_certificate_of_another_key() {
    let group = Group::new();
    let (ana, bob) = (group.member("ana", &[]), group.member("bob", &[]));
    let mixed = Member { certificate: bob.certificate, ..ana };
    let (code, line) = start(&group, &mixed, &[]);
    assert_eq!(code, IDENTITY);
    assert!(line.contains("not for this node's key: sign the request"), "{line}");
}

#[test]
fn an_expired_certificate() {
    let group = Group::new();
    let ana = group.member("ana", &[]);
    let (code, line) = start_at("+9d", &group, &ana);
    assert_eq!(code, IDENTITY);
    assert!(line.contains("own certificate: it expired at"), "{line}");
    assert!(line.contains("2 days later: have the request signed again"), "{line}");
}

#[test]
fn a_clock_that_is_a_day_behind() {
    let group = Group::new();
    let ana = group.member("ana", &[]);
    let (code, line) = start_at("-1d", &group, &ana);
    assert_eq!(code, IDENTITY);
    // Certificates are valid from an hour before they are signed.
    assert!(
        line.contains("valid only from") && line.contains("the clock is 23 h behind"),
        "{line}"
    );
}

#[test]
fn a_clock_that_is_a_day_ahead() {
    let group = Group::new();
    let ana = group.member("ana", &["--days", "1"]);
    let (code, line) = start_at("+25h", &group, &ana);
    assert_eq!(code, IDENTITY);
    assert!(line.contains("if it is new, the clock is ahead: set it"), "{line}");
}

#[test]
fn a_revoked_certificate() {
    let group = Group::new();
    let ana = group.member("ana", &[]);
    group.revoke("ana");
    let (code, line) = start(&group, &ana, &[]);
    assert_eq!(code, IDENTITY);
    assert!(line.contains("revoked by notice 1; ask an administrator"), "{line}");
}

#[test]
fn a_certificate_that_only_the_notices_file_revokes() {
    let group = Group::new();
    let (ana, blob) = (group.member("ana", &[]), group.blob(&[]));
    group.revoke("ana");
    let notices = group.path("ca/notices.txt");
    let mut command = Command::new(WARREN);
    command.args(ana.start("bootstrap", &blob)).args(["--notices", text(&notices)]);
    let (code, line) = fails(&mut command);
    assert_eq!(code, IDENTITY);
    assert!(line.contains("revoked by notice 1"), "{line}");
}

#[test]
fn a_strict_policy_where_nobody_signs_lists() {
    let group = Group::new();
    let ana = group.member("ana", &[]);
    let config = group.path("strict.yaml");
    std::fs::write(&config, "stale_policy: strict\n").unwrap();
    let (code, line) = start(&group, &ana, &["--config", text(&config)]);
    assert_eq!(code, USAGE);
    assert!(line.contains("strict needs a group service"), "{line}");
}

#[test]
fn a_broken_notices_file() {
    let group = Group::new();
    let ana = group.member("ana", &[]);
    let notices = group.path("notices.txt");
    std::fs::write(&notices, "# comment\nnonsense\n").unwrap();
    let (code, line) = start(&group, &ana, &["--notices", text(&notices)]);
    assert_eq!(code, IDENTITY);
    assert!(line.contains("line 2") && line.contains("copy notices.txt"), "{line}");
}

#[test]
fn a_certificate_of_another_group() {
    let (group, other) = (Group::new(), Group::named("other"));
    let stranger = other.member("ana", &[]);
    let (code, line) = start(&group, &stranger, &[]);
    assert_eq!(code, IDENTITY);
    assert!(line.contains("for another group than the blob: take"), "{line}");
}

#[test]
fn a_certificate_of_a_foreign_authority_with_the_same_group_name() {
    let (group, impostor) = (Group::new(), Group::new());
    let stranger = impostor.member("ana", &[]);
    let (code, line) = start(&group, &stranger, &[]);
    assert_eq!(code, IDENTITY);
    assert!(line.contains("from another authority than those in the blob: take"), "{line}");
}

#[test]
fn no_key_and_no_certificate() {
    let group = Group::new();
    let (blob, state) = (group.blob(&[]), group.path("empty"));
    let start = ["up", "--blob", text(&blob), "--state-dir", text(&state)];
    let (code, line) = fails(&mut warren(&start));
    assert_eq!(code, IDENTITY);
    assert!(line.contains("run warren request"), "{line}");
    works(&mut warren(&["request", "--state-dir", text(&state)]));
    let (code, line) = fails(&mut warren(&start));
    assert_eq!(code, IDENTITY);
    assert!(line.contains("--certificate FILE"), "{line}");
}

#[test]
fn an_unknown_configuration_key() {
    let group = Group::new();
    group.blob(&[]);
    let config = group.path("config.yaml");
    std::fs::write(&config, "blob_file: blob.yaml\nlisten_port: 7415\n").unwrap();
    let (code, line) = fails(&mut warren(&["up", "--config", text(&config)]));
    assert_eq!(code, USAGE);
    assert!(line.contains("listen_port") && line.contains("line 2"), "{line}");
    assert!(line.contains("expected one of blob_file") && line.ends_with("column 1"), "{line}");
}

#[test]
fn an_unknown_key_in_the_blob() {
    let group = Group::new();
    let blob = group.blob(&[]);
    let yaml = std::fs::read_to_string(&blob).unwrap();
    std::fs::write(&blob, yaml + "\ncolour: green\n").unwrap();
    let (code, line) = fails(&mut warren(&["up", "--blob", text(&blob)]));
    assert_eq!(code, IDENTITY);
    assert!(line.contains("colour") && line.contains("ask for the group's file"), "{line}");
}

#[test]
fn no_blob_and_a_blob_that_is_not_there() {
    let (code, line) = fails(&mut warren(&["up"]));
    assert_eq!(code, USAGE);
    assert!(line.contains("--blob FILE"), "{line}");
    let (code, line) = fails(&mut warren(&["up", "--blob", "/does/not/exist"]));
    assert_eq!(code, USAGE);
    assert!(line.contains("cannot read /does/not/exist"), "{line}");
    assert!(line.contains("name a file that is there"), "{line}");
}

#[test]
fn a_virtual_address_outside_the_network() {
    let group = Group::new();
    let ana = group.member("ana", &[]);
    let (code, line) = start(&group, &ana, &["--address", "10.43.0.2"]);
    assert_eq!(code, USAGE);
    assert!(line.contains("choose another within that network"), "{line}");
}

#[test]
fn another_address_than_the_certificate_fixes() {
    let group = Group::new();
    let ana = group.member("ana", &["--ipv4", "10.42.0.7"]);
    let (ana_up, blob) = (ana, group.blob(&[]));
    let mut command = Command::new(WARREN);
    command.args(ana_up.start("up", &blob)).args(["--listen", "127.0.0.1:0"]);
    command.args(["--address", "10.42.0.8", "--device", "warrentest0"]);
    let (code, line) = fails(&mut command);
    assert_eq!(code, USAGE);
    assert!(line.contains("the certificate fixes address 10.42.0.7"), "{line}");
}

#[test]
fn a_udp_port_that_is_taken() {
    let group = Group::new();
    let ana = group.member("ana", &[]);
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let (code, line) = start(&group, &ana, &["--listen", &listen]);
    assert_eq!(code, HOST);
    assert!(line.contains("the port is taken") && line.contains("--listen"), "{line}");
}

#[test]
fn a_metrics_port_that_is_taken() {
    let group = Group::new();
    let ana = group.member("ana", &[]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let metrics = taken.local_addr().unwrap().to_string();
    let blob = group.blob(&[]);
    let mut command = Command::new(WARREN);
    command.args(ana.arguments("bootstrap", &blob)).args(["--metrics", &metrics]);
    let (code, line) = fails(command.args(["--listen", "127.0.0.1:0"]));
    assert_eq!(code, HOST);
    assert!(line.contains("--metrics"), "{line}");
}

#[test]
fn an_address_that_this_host_does_not_have() {
    let group = Group::new();
    let ana = group.member("ana", &[]);
    let (code, line) = start(&group, &ana, &["--listen", "192.0.2.77:7415"]);
    assert_eq!(code, HOST);
    assert!(line.contains("this host has no such address"), "{line}");
}

#[test]
fn a_log_filter_that_is_none() {
    let group = Group::new();
    let ana = group.member("ana", &[]);
    let (code, line) = start(&group, &ana, &["--log", "warren=loud"]);
    assert_eq!(code, USAGE);
    assert!(line.contains("warren=debug"), "{line}");
}

#[test]
fn ns_no_tun_device() {
    let group = Group::new();
    let ana = group.member("ana", &[]);
    let script = "mount -t tmpfs none /dev/net && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script, "sh", WARREN]);
    let (code, line) = start_up(&group, &ana, command);
    assert_eq!(code, HOST);
    assert!(line.contains("no /dev/net/tun: load the kernel module"), "{line}");
}

#[test]
fn ns_no_permission() {
    let group = Group::new();
    let ana = group.member("ana", &[]);
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-net_admin", "--inh-caps=-net_admin", "--", WARREN]);
    let (code, line) = start_up(&group, &ana, command);
    assert_eq!(code, HOST);
    assert!(line.contains("run as root or grant CAP_NET_ADMIN"), "{line}");
}

#[test]
fn ns_a_device_name_that_is_in_use() {
    let group = Group::new();
    let ana = group.member("ana", &[]);
    let blob = group.blob(&[]);
    let mut command = Command::new(WARREN);
    command.args(ana.start("up", &blob)).args(["--listen", "127.0.0.1:0", "--device", "lo"]);
    let (code, line) = fails(&mut command);
    assert_eq!(code, HOST);
    assert!(line.contains("lo is in use") && line.contains("--device NAME"), "{line}");
}

#[test]
fn a_device_name_that_is_too_long() {
    let group = Group::new();
    let ana = group.member("ana", &[]);
    let mut command = Command::new(WARREN);
    command.args(ana.start("up", &group.blob(&[]))).args(["--listen", "127.0.0.1:0"]);
    let (code, line) = fails(command.args(["--device", "longer-than-fifteen"]));
    assert_eq!(code, USAGE);
    assert!(line.contains("longer-than-fifteen") && line.contains("--device NAME"), "{line}");
}

#[test]
fn nobody_to_talk_to() {
    let folder = tempfile::tempdir().unwrap();
    let (code, line) = fails(&mut warren(&["status", "--state-dir", text(folder.path())]));
    assert_eq!(code, NO_DAEMON);
    assert!(line.contains("start one with warren up"), "{line}");
}

#[test]
fn a_daemon_of_another_user() {
    let folder = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(folder.path().join("warren.sock")).unwrap();
    // As it does: it judges who calls and hangs up.
    std::thread::spawn(move || listener.incoming().for_each(drop));
    let (code, line) = fails(&mut warren(&["status", "--state-dir", text(folder.path())]));
    assert_eq!(code, HOST);
    assert!(line.contains("refused: run as root or as the daemon's user"), "{line}");
}

#[test]
fn ns_a_socket_without_permission() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("warren.sock");
    let _listener = UnixListener::bind(&socket).unwrap();
    close(&socket);
    let (code, line) = fails(unprivileged().args(["status", "--socket", text(&socket)]));
    assert_eq!(code, HOST);
    assert!(line.contains("no permission for") && line.contains("the daemon's user"), "{line}");
}

#[test]
fn a_socket_that_cannot_be_made() {
    let group = Group::new();
    let ana = group.member("ana", &[]);
    let (code, line) = start(&group, &ana, &["--socket", "/does/not/exist/warren.sock"]);
    assert_eq!(code, HOST);
    assert!(line.contains("choose one with --socket PATH"), "{line}");
}

#[test]
fn ns_files_that_this_user_may_not_read() {
    let group = Group::new();
    let (blob, config) = (group.blob(&[]), group.path("config.yaml"));
    std::fs::write(&config, "").unwrap();
    for (flag, file) in [("--blob", &blob), ("--config", &config)] {
        close(file);
        let (code, line) = fails(unprivileged().args(["up", flag, text(file)]));
        assert_eq!(code, HOST);
        assert!(line.contains(&format!("cannot read {}", file.display())), "{line}");
        assert!(line.contains("run as its owner, or let this user read it"), "{line}");
    }
}

#[test]
fn a_configuration_that_is_a_directory() {
    let folder = tempfile::tempdir().unwrap();
    let (code, line) = fails(&mut warren(&["up", "--config", text(folder.path())]));
    assert_eq!(code, USAGE);
    assert!(line.contains("cannot read") && line.contains("name another file"), "{line}");
}

#[test]
fn ns_a_state_directory_without_permission() {
    let group = Group::new();
    let ana = group.member("ana", &[]);
    // The first cannot be written in, the second not even looked into.
    for (mode, remedy) in [(0o500, "read and write in this directory"), (0o000, "--state-dir DIR")]
    {
        std::fs::set_permissions(&ana.state, Permissions::from_mode(mode)).unwrap();
        let (code, line) = start_by(unprivileged(), &group, &ana);
        assert_eq!(code, HOST, "{mode:o}");
        assert!(line.contains(text(&ana.state)) && line.contains("run as its owner"), "{line}");
        assert!(line.contains(remedy), "{line}");
    }
}

#[test]
fn ns_a_key_without_permission() {
    let group = Group::new();
    let ana = group.member("ana", &[]);
    close(&ana.state.join("key.pem"));
    let (code, line) = start_by(unprivileged(), &group, &ana);
    assert_eq!(code, HOST);
    assert!(line.contains("key.pem") && line.contains("run as its owner"), "{line}");
}

#[test]
fn a_state_directory_that_is_a_file() {
    let group = Group::new();
    let ana = group.member("ana", &[]);
    let elsewhere = Member { state: ana.certificate.clone(), ..ana };
    let (code, line) = start(&group, &elsewhere, &[]);
    assert_eq!(code, HOST);
    assert!(line.contains("choose another with --state-dir DIR"), "{line}");
}

#[test]
fn a_directory_without_an_authority() {
    let folder = tempfile::tempdir().unwrap();
    let (code, line) = fails(&mut warren(&["ca", "show", "--dir", text(folder.path())]));
    assert_eq!(code, USAGE);
    assert!(line.contains("warren ca init"), "{line}");
}

#[test]
fn a_file_that_is_no_request() {
    let group = Group::new();
    let (ana, ca) = (group.member("ana", &[]), group.path("ca"));
    let sign = ["ca", "sign", "--dir", text(&ca), text(&ana.certificate)];
    let (code, line) = fails(&mut warren(&sign));
    assert_eq!(code, IDENTITY);
    assert!(line.contains("name the file that warren request wrote"), "{line}");
}

#[test]
fn a_file_that_is_no_certificate() {
    let group = Group::new();
    let ana = group.member("ana", &[]);
    let mixed = Member { certificate: ana.request.clone(), ..ana };
    let (code, line) = start(&group, &mixed, &[]);
    assert_eq!(code, IDENTITY);
    assert!(line.contains("name the file that warren ca sign wrote"), "{line}");
}

#[test]
fn a_request_that_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = warren(&["request", "--state-dir", text(folder.path())]);
    let (code, line) = fails(command.args(["--out", "/does/not/exist/ana.csr"]));
    assert_eq!(code, HOST);
    assert!(line.contains("name a file in a directory"), "{line}");
}

#[test]
fn a_blob_that_names_no_node_is_told() {
    let group = Group::new();
    let ca = group.path("ca");
    let said = |options: &[&str]| {
        let blob = warren(&["ca", "blob", "--dir", text(&ca)]).args(options).output().unwrap();
        String::from_utf8(blob.stderr).unwrap()
    };
    assert!(said(&[]).contains("names no node to join by: --bootstrap"));
    assert_eq!(said(&["--bootstrap", "192.0.2.1:7415"]), "");
}

#[test]
fn a_revocation_that_concerns_nobody() {
    let group = Group::new();
    let ca = group.path("ca");
    group.member("ana", &[]);
    let revoke = |user| warren(&["ca", "revoke", "--dir", text(&ca), "--user", user]);
    let (code, line) = fails(&mut revoke("anna"));
    assert_eq!(code, USAGE);
    assert!(line.contains("no certificate of anna was signed here: see warren ca show"), "{line}");
    assert!(!ca.join("notices.txt").exists(), "a misspelt name changes nothing");
    works(revoke("anna").arg("--unknown"));
    works(&mut revoke("ana"));
    let notices = std::fs::read_to_string(ca.join("notices.txt")).unwrap();
    let blob = std::fs::read_to_string(group.blob(&[])).unwrap();
    assert!(!notices.is_empty() && blob.contains("generation: 3"), "{blob}");
}

#[test]
fn a_request_of_somebody_who_was_revoked() {
    let group = Group::new();
    let ca = group.path("ca");
    let ana = group.member("ana", &[]);
    let request = group.path("again.csr");
    let make = ["request", "--name", "ana", "--state-dir", text(&ana.state), "--out"];
    works(warren(&make).arg(&request));
    let sign = || warren(&["ca", "sign", "--dir", text(&ca), text(&request)]);
    works(&mut sign());
    group.revoke("ana");
    let (code, line) = fails(&mut sign());
    assert_eq!(code, USAGE);
    assert!(line.contains("ana was revoked by notice 1: sign with --again"), "{line}");
    let other = group.path("other.csr");
    let fresh = group.path("other");
    let make = ["request", "--name", "ana", "--state-dir", text(&fresh), "--out"];
    works(warren(&make).arg(&other));
    let (code, _) = fails(&mut warren(&["ca", "sign", "--dir", text(&ca), text(&other)]));
    assert_eq!(code, USAGE, "a new key does not help");
    // A notice covers what is signed in the second in which it was made.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    works(sign().arg("--again"));
    works(&mut sign());
}

fn start(group: &Group, member: &Member, options: &[&str]) -> (i32, String) {
    let mut command = Command::new(WARREN);
    command.args(member.start("bootstrap", &group.blob(&[])));
    if !options.contains(&"--listen") {
        command.args(["--listen", "127.0.0.1:0"]);
    }
    fails(command.args(options))
}

/// Starts a member whose clock is off.
fn start_at(offset: &str, group: &Group, member: &Member) -> (i32, String) {
    let mut command = Command::new("env");
    command.args(fake_clock(offset)).arg(WARREN);
    start_by(command, group, member)
}

fn start_by(mut command: Command, group: &Group, member: &Member) -> (i32, String) {
    command.args(member.start("bootstrap", &group.blob(&[])));
    fails(command.args(["--listen", "127.0.0.1:0"]))
}

/// The program for a user to whom the modes of files apply, as they do not to root.
fn unprivileged() -> Command {
    let mut command = Command::new("setpriv");
    let none = "-dac_override,-dac_read_search";
    command.args([format!("--bounding-set={none}"), format!("--inh-caps={none}")]);
    command.args(["--", WARREN]);
    command
}

/// Lets nobody use a file, its owner included.
fn close(path: &Path) {
    std::fs::set_permissions(path, Permissions::from_mode(0o000)).unwrap();
}

fn start_up(group: &Group, member: &Member, mut command: Command) -> (i32, String) {
    let blob = group.blob(&[]);
    command.args(member.start("up", &blob));
    fails(command.args(["--listen", "127.0.0.1:0", "--device", "warrentest1"]))
}
