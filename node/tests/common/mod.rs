//! A group made with the command line alone, for tests that run the real binary.

// Each test program uses its own part of this.
#![allow(dead_code, clippy::unwrap_used)]

pub mod net;
pub mod service;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The program under test.
pub const WARREN: &str = env!("CARGO_BIN_EXE_warren");

/// A group with an offline authority in a scratch directory.
pub struct Group {
    folder: tempfile::TempDir,
}

impl Group {
    pub fn new() -> Self {
        Self::named("team")
    }

    pub fn named(name: &str) -> Self {
        let group = Self { folder: tempfile::tempdir().unwrap() };
        let ca = group.path("ca");
        let ipv4 = ["--ipv4", "10.42.0.0/24"];
        works(warren(&["ca", "init", "--dir", text(&ca), "--group", name]).args(ipv4));
        group
    }

    /// A path in the scratch directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes a member's state directory with key and request, and has the request signed.
    pub fn member(&self, name: &str, sign_options: &[&str]) -> Member {
        let (state, request) = (self.path(name), self.path(&format!("{name}.req")));
        let certificate = self.path(&format!("{name}.pem"));
        let make = ["request", "--state-dir", text(&state), "--name", name];
        works(warren(&make).args(["--out", text(&request)]));
        let sign =
            ["ca", "sign", "--dir", text(&self.path("ca")), text(&request)].map(str::to_owned);
        works(
            Command::new(WARREN).args(sign).args(["--out", text(&certificate)]).args(sign_options),
        );
        Member { state, request, certificate }
    }

    /// Writes a blob.
    pub fn blob(&self, bootstrap: &[&str]) -> PathBuf {
        let path = self.path("blob.yaml");
        let mut command = warren(&["ca", "blob", "--dir", text(&self.path("ca"))]);
        command.args(["--out", text(&path)]);
        for node in bootstrap {
            command.args(["--bootstrap", node]);
        }
        works(&mut command);
        path
    }

    /// Revokes a user.
    pub fn revoke(&self, user: &str) {
        works(&mut warren(&["ca", "revoke", "--dir", text(&self.path("ca")), "--user", user]));
    }
}

/// Files of one member.
pub struct Member {
    pub state: PathBuf,
    pub request: PathBuf,
    pub certificate: PathBuf,
}

impl Member {
    /// The arguments with which this member's daemon starts.
    pub fn start(&self, command: &str, blob: &Path) -> Vec<String> {
        let words = [command, "--blob", text(blob), "--state-dir", text(&self.state)];
        let more = ["--certificate", text(&self.certificate), "--metrics", "off"];
        words.into_iter().chain(more).map(str::to_owned).collect()
    }
}

pub fn warren(arguments: &[&str]) -> Command {
    let mut command = Command::new(WARREN);
    command.args(arguments);
    command
}

/// Runs a command that must succeed and returns what it printed.
pub fn works(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a command that must fail with one line on standard error; returns exit code and line.
pub fn fails(command: &mut Command) -> (i32, String) {
    let Output { status, stderr, .. } = command.output().unwrap();
    let errors = String::from_utf8(stderr).unwrap();
    assert_eq!(errors.lines().count(), 1, "one line for the user: {errors}");
    let line = errors.trim_end().to_owned();
    assert!(line.starts_with("warren: "), "{line}");
    println!("{line}");
    (status.code().unwrap(), line)
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Variables for `env` that move a program's wall clock, by libfaketime: `"-1d"`, `"+25h"`. Its monotonic clock
/// stays as it is.
pub fn fake_clock(offset: &str) -> [String; 3] {
    // The loader knows what `$LIB` is on this machine.
    let library = "LD_PRELOAD=/usr/$LIB/faketime/libfaketimeMT.so.1".to_owned();
    [library, format!("FAKETIME={offset}"), "FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned()]
}
