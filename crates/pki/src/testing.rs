//! A small group for the tests of this crate.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::{
    Certificate, CertificateAuthority, Member, PrivateKey, Request, SignOptions, Trust, UnixTime,
};

/// 2026-01-01T00:00:00Z.
pub(crate) const NOW: UnixTime = UnixTime(1_767_225_600);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);

pub(crate) fn authority(group: &str) -> CertificateAuthority {
    CertificateAuthority::create(group, NOW).expect("creates")
}

pub(crate) fn trust(authority: &CertificateAuthority) -> Trust {
    Trust::new(authority.group(), &[authority.certificate().clone()], None).expect("pins")
}

pub(crate) fn issue(authority: &CertificateAuthority, user: &str, now: UnixTime) -> Certificate {
    let request = Request::new(&PrivateKey::generate(), Some(user)).expect("requests");
    authority.sign(&request, &SignOptions::new(user), now).expect("signs")
}

pub(crate) fn member(authority: &CertificateAuthority, user: &str) -> Member {
    let certificate = issue(authority, user, NOW);
    trust(authority).judge(certificate.der(), NOW).expect("is a member")
}

/// Runs the real tool in a folder and returns success and output.
pub(crate) fn openssl(folder: &Path, arguments: &str) -> (bool, String) {
    let mut command = Command::new("openssl");
    let output = command.current_dir(folder).args(arguments.split_whitespace()).output();
    let output = output.expect("openssl is installed by `make deps`");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}
