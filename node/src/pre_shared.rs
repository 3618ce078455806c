//! How is a group kept by a shared key alone: the command that draws one, the file that holds it, and who a node
//! of such a group is.
//!
//! ```yaml
//! psk_file: home.psk              # `warren psk generate --out home.psk`; relative to this file
//! network: { group: home, ipv4: 10.42.0.0/24 }
//! bootstrap: ["boot.example.org:7415"]
//! ```
//!
//! There is no authority: nobody signs, nobody has a user's name, nobody can be put out but by another key. The
//! key stands in a file of its own, never in an argument or in the configuration, and a file that others on the
//! host can read is refused.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use pki::{NodeId, PreSharedKey, PrivateKey};
use proto::node::api::Access;
use proto::session::tls::TlsSuite;
use zeroize::Zeroizing;

use crate::cli::Psk;
use crate::config::Config;
use crate::failure::Failure;
use crate::identity::fast_cipher;
use crate::request::write_out;
use crate::state::StateDir;

/// Longest file of keys that is read, in bytes: four keys, with room for comments.
const FILE_LEN_MAX: u64 = 16 * 1024;

/// Runs one of the commands.
pub fn run(command: &Psk) -> Result<(), Failure> {
    let Psk::Generate { out } = command;
    let line = Zeroizing::new(format!("{}\n", &*PreSharedKey::random().expose()));
    match out {
        None => {
            write_out(None, &line)?;
            warn_of_open_output();
            Ok(())
        }
        Some(path) => {
            write_new(path, line.as_bytes())?;
            println!("{} holds a new key: pass it on as a password", path.display());
            Ok(())
        }
    }
}

/// Tells a user whose shell has put the key into a file that others can read.
fn warn_of_open_output() {
    let Ok(output) = std::io::stdout().as_fd().try_clone_to_owned() else { return };
    let mode = File::from(output).metadata().ok().filter(|file| file.is_file());
    if let Some(mode) = mode.map(|file| file.mode() & 0o7777).filter(|mode| mode & 0o077 != 0) {
        eprintln!(
            "warren: the key went to a file of mode {mode:04o}, which others on this host can \
             read: chmod 600 it before it is used, or name the file with --out"
        );
    }
}

/// Writes a file of mode 0600 that was not there: a key that is in use is not lost by a slip.
fn write_new(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    opened.and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all())).map_err(
        |error| {
            let hint = match error.kind() {
                io::ErrorKind::AlreadyExists => "name another file, or remove it first",
                _ => "name a file in a directory that this user can write",
            };
            Failure::host(format!("cannot write {}: {error}: {hint}", path.display()))
        },
    )
}

/// Reads the keys of a group, the one to dial with first.
fn read(path: &Path) -> Result<Vec<PreSharedKey>, Failure> {
    let place = path.display();
    let failed = |error: io::Error| {
        Failure::host(format!(
            "cannot read {place}: {error}: name the file of the key with psk_file, and run as its \
             owner"
        ))
    };
    let file = File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(Failure::host(format!(
            "{place} has mode {mode:04o}: others on this host can read or change the key of the \
             group: chmod 600 it, and if others are on this host, change the key"
        )));
    }
    let mut text = Zeroizing::new(String::new());
    let read = file.take(FILE_LEN_MAX).read_to_string(&mut text);
    read.map_err(failed)?;
    PreSharedKey::all_from_text(&text).map_err(|error| {
        Failure::identity(format!(
            "{place}: {error}: copy the file again from another node, or make a new key for all \
             with warren psk generate"
        ))
    })
}

/// A node's identity in a group by a pre-shared key: a key pair of its own, made at the first start.
#[derive(Clone, Debug)]
pub struct PreSharedIdentity {
    group: String,
    keys: Vec<PreSharedKey>,
    key: PrivateKey,
}

impl PreSharedIdentity {
    /// Reads the keys of the group and makes the node's own if there is none.
    pub fn establish(
        config: &Config,
        file: &Path,
        certificate: Option<&Path>,
        state: &StateDir,
    ) -> Result<Self, Failure> {
        if certificate.is_some() {
            return Err(Failure::usage(
                "--certificate is of no use in a group by a pre-shared key, which has no \
                 authority: leave it out, or start with the blob of the group that the certificate \
                 is for",
            ));
        }
        if state.certificate()?.is_some() || state.grant()?.is_some() {
            return Err(Failure::identity(
                "the state directory is that of a member with a certificate: give this group a \
                 --state-dir of its own",
            ));
        }
        let keys = read(file)?;
        let key = match state.key()? {
            Some(kept) => kept,
            None => {
                let made = PrivateKey::generate();
                state.set_key(&made)?;
                made
            }
        };
        Ok(Self { group: config.network()?.group.clone(), keys, key })
    }

    /// Who the node is: the hash of its key.
    pub fn node_id(&self) -> NodeId {
        NodeId::self_certified(self.key.spki())
    }

    /// The handshake side of the identity, and whom the node answers.
    pub fn enter(&self) -> Result<(TlsSuite, Access), Failure> {
        let suite = TlsSuite::pre_shared(self.key.clone(), &self.group, fast_cipher());
        let access = Access::PreShared { group: self.group.clone(), keys: self.keys.clone() };
        Ok((suite.map_err(Failure::identity)?, access))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn unit_se_04_a_key_is_drawn_into_a_closed_file_and_never_over_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("home.psk");
        let generate = Psk::Generate { out: Some(path.clone()) };
        run(&generate).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let keys = read(&path).unwrap();
        assert_eq!(keys.len(), 1);
        let failure = run(&generate).unwrap_err().to_string();
        assert!(failure.contains("remove it first"), "{failure}");
        assert_eq!(read(&path).unwrap(), keys, "the first key is still there");
    }

    #[test]
    fn unit_se_04_a_file_that_others_can_read_or_change_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("home.psk");
        run(&Psk::Generate { out: Some(path.clone()) }).unwrap();
        for mode in [0o640, 0o604, 0o620, 0o602, 0o644] {
            std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let failure = read(&path).unwrap_err().to_string();
            assert!(failure.contains(&format!("{mode:04o}")), "{failure}");
        }
        std::fs::set_permissions(&path, Permissions::from_mode(0o400)).unwrap();
        read(&path).unwrap();
    }
}
