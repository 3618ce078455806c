//! A group made with the command line alone, for tests that run the real binary.

// Each test program uses its own part of this.
#![allow(dead_code, unused_imports, clippy::unwrap_used)]

pub mod net;
pub mod service;
pub mod site;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use lab::Authority;
pub use lab::Member;

/// The program under test.
pub const WARREN: &str = env!("CARGO_BIN_EXE_warren");

/// A group with an offline authority in a scratch directory.
pub struct Group {
    folder: tempfile::TempDir,
    authority: Authority,
}

impl Group {
    pub fn new() -> Self {
        Self::named("team")
    }

    pub fn named(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = ["--ipv4", "10.42.0.0/24"];
        let authority = Authority::create(Path::new(WARREN), folder.path(), name, &options);
        Self { authority: authority.unwrap(), folder }
    }

    /// A path in the scratch directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes a member's state directory with key and request, and has the request signed.
    pub fn member(&self, name: &str, sign_options: &[&str]) -> Member {
        self.authority.certify(name, sign_options).unwrap()
    }

    /// Writes a blob.
    pub fn blob(&self, bootstrap: &[&str]) -> PathBuf {
        self.authority.blob(bootstrap).unwrap()
    }

    /// Revokes a user.
    pub fn revoke(&self, user: &str) {
        self.authority.revoke(user).unwrap();
    }
}

/// How a member's daemon starts where others serve metrics on the same port.
pub trait Quiet {
    /// The arguments, without metrics.
    fn start(&self, command: &str, blob: &Path) -> Vec<OsString>;
}

impl Quiet for Member {
    fn start(&self, command: &str, blob: &Path) -> Vec<OsString> {
        let mut words = self.arguments(command, blob);
        words.extend(["--metrics", "off"].map(OsString::from));
        words
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
