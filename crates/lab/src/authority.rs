//! The authority of a group and the files of its members, made with the command line of `warren` alone.
//!
//! The program is named by its path, so that tests, demo and benchmark each run the one they were built with.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// An offline authority, with the files of the group's members beside it.
#[derive(Debug)]
pub struct Authority {
    warren: PathBuf,
    folder: PathBuf,
}

/// Files of one member: what a user is handed, and what the daemon keeps.
#[derive(Clone, Debug)]
pub struct Member {
    /// State directory, with the key.
    pub state: PathBuf,
    /// Request for a certificate.
    pub request: PathBuf,
    /// The signed certificate.
    pub certificate: PathBuf,
}

impl Authority {
    /// Makes the authority in `folder`; `options` are those of `warren ca init`.
    pub fn create(warren: &Path, folder: &Path, group: &str, options: &[&str]) -> Result<Self> {
        let authority = Self { warren: warren.to_owned(), folder: folder.to_owned() };
        let directory = authority.directory();
        let init = ["ca", "init", "--dir", text(&directory)?, "--group", group];
        authority.warren(&[&init[..], options].concat())?;
        Ok(authority)
    }

    /// The directory of `warren ca --dir`.
    pub fn directory(&self) -> PathBuf {
        self.folder.join("ca")
    }

    /// Makes key and request of a member and signs it; `options` are those of `warren ca sign`.
    pub fn certify(&self, name: &str, options: &[&str]) -> Result<Member> {
        let member = Member::at(&self.folder, name);
        let (state, request) = (text(&member.state)?, text(&member.request)?);
        self.warren(&["request", "--state-dir", state, "--name", name, "--out", request])?;
        let directory = self.directory();
        let sign = ["ca", "sign", "--dir", text(&directory)?, request];
        let out = ["--out", text(&member.certificate)?];
        self.warren(&[&sign[..], &out, options].concat())?;
        Ok(member)
    }

    /// Writes the blob that members are handed, with these nodes to join by.
    pub fn blob<S: AsRef<str>>(&self, bootstrap: &[S]) -> Result<PathBuf> {
        let (directory, blob) = (self.directory(), self.folder.join("blob.yaml"));
        let mut words = vec!["ca", "blob", "--dir", text(&directory)?, "--out", text(&blob)?];
        bootstrap.iter().for_each(|node| words.extend(["--bootstrap", node.as_ref()]));
        self.warren(&words)?;
        Ok(blob)
    }

    /// Revokes a user.
    pub fn revoke(&self, user: &str) -> Result<()> {
        let directory = self.directory();
        self.warren(&["ca", "revoke", "--dir", text(&directory)?, "--user", user])
    }

    fn warren(&self, words: &[&str]) -> Result<()> {
        let output = Command::new(&self.warren)
            .args(words)
            .output()
            .with_context(|| format!("cannot start {}", self.warren.display()))?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "warren {}: {error}", words.join(" "));
        Ok(())
    }
}

impl Member {
    /// The files of a member of this name; none of them is there yet.
    pub fn at(folder: &Path, name: &str) -> Self {
        let file = |ending: &str| folder.join(format!("{name}{ending}"));
        Self { state: file(""), request: file(".req"), certificate: file(".pem") }
    }

    /// The arguments with which this member's daemon starts: `verb` is `up` or `bootstrap`.
    pub fn arguments(&self, verb: &str, blob: &Path) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec![verb.into()];
        let files =
            [("--blob", blob), ("--state-dir", &self.state), ("--certificate", &self.certificate)];
        files.into_iter().for_each(|(flag, file)| words.extend([flag.into(), file.into()]));
        words
    }
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not in UTF-8", path.display()))
}
