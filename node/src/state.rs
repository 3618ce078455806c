//! What a node remembers over a restart: key, certificate, group secrets, lease, known peers, notices, and
//! what a group service granted or handed over.
//!
//! One directory of mode 0700 that belongs to whoever runs the node, its secret files of mode 0600, held by one
//! process at a time through a lock file. A write is a new file, synced, renamed over the old one, and the
//! directory synced: after a crash there is the old content or the new one, never half of either. What lies
//! there under a name that is written is replaced and never written through, so that no link leads elsewhere.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::unistd::Uid;
use pki::enrolment::{Grant, Message as _, SecretHash, Token};
use pki::{Certificate, NodeId, PrivateKey, SignedSecret};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::overlays::Kind;

/// Longest file that is read back: the notices of a large group, with room.
const FILE_LEN_MAX: u64 = 16 << 20;
/// Most peers remembered: enough that some still answer after a night; one line each.
pub const KNOWN_PEERS_MAX: usize = 64;

const LOCK: &str = "lock";
const KEY: &str = "key.pem";
const PUBLIC_KEY: &str = "public-overlay-key.pem";
const REVOKED_KEY: &str = "revoked-key.pem";
const CERTIFICATE: &str = "certificate.pem";
const LEASE: &str = "lease.json";
const PEERS: &str = "peers.json";
const PUBLIC_PEERS: &str = "public-overlay-peers.json";
const NOTICES: &str = "notices.txt";
const SECRETS: &str = "secrets.yaml";
const GRANT: &str = "grant.json";
const ENROLLED_BY: &str = "enrolled-by.json";
/// Those that others must not have read.
const SECRET: [&str; 5] = [KEY, PUBLIC_KEY, REVOKED_KEY, SECRETS, GRANT];
/// What `warren join` got.
pub const BLOB: &str = "blob.yaml";

/// The virtual address of an earlier run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Whose it was: another identity has no claim to it.
    pub node: NodeId,
    /// The address.
    pub ipv4: Ipv4Addr,
}

/// A node that was linked in an earlier run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownPeer {
    /// Who.
    pub id: NodeId,
    /// Where.
    pub endpoint: SocketAddr,
}

/// The state directory, locked for this process.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    _lock: Flock<File>,
}

impl StateDir {
    /// Makes the directory if there is none, and locks it.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let fail = |error: io::Error| {
            let hint = match error.kind() {
                io::ErrorKind::PermissionDenied => {
                    ": run as its owner or choose another with --state-dir DIR"
                }
                _ => ": choose another with --state-dir DIR",
            };
            Failure::host(format!("cannot use state directory {}: {error}{hint}", path.display()))
        };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(fail)?;
        close_to_others(path, Uid::effective()).map_err(fail)?;
        let lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(OFlag::O_NOFOLLOW.bits())
            .open(path.join(LOCK))
            .map_err(fail)?;
        let lock =
            Flock::lock(lock, FlockArg::LockExclusiveNonblock).map_err(|(file, errno)| {
                if errno == Errno::EWOULDBLOCK { in_use(path, file) } else { fail(errno.into()) }
            })?;
        lock.set_len(0).map_err(fail)?;
        writeln!(&*lock, "{}", std::process::id()).map_err(fail)?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// The node's key in its group, if it has been made.
    pub fn key(&self) -> Result<Option<PrivateKey>, Failure> {
        self.key_of(Kind::Private)
    }

    /// Keeps the node's key in its group.
    pub fn set_key(&self, key: &PrivateKey) -> Result<(), Failure> {
        self.set_key_of(Kind::Private, key)
    }

    /// The node's key in an overlay, if it has been made.
    pub fn key_of(&self, of: Kind) -> Result<Option<PrivateKey>, Failure> {
        let name = key_name(of);
        let Some(text) = self.read(name)? else { return Ok(None) };
        PrivateKey::from_pkcs8_pem(&text).map(Some).map_err(|error| self.unusable(name, error))
    }

    /// Keeps the node's key in an overlay.
    pub fn set_key_of(&self, of: Kind, key: &PrivateKey) -> Result<(), Failure> {
        self.write(key_name(of), key.to_pkcs8_pem().as_bytes())
    }

    /// Puts the key that the node has in its group aside, in one step: the next one is another.
    pub fn set_key_aside(&self) -> Result<(), Failure> {
        let renamed = fs::rename(self.path.join(KEY), self.path.join(REVOKED_KEY));
        let synced = renamed.and_then(|()| File::open(&self.path)?.sync_all());
        synced.map_err(|error| self.failed(KEY, error))
    }

    /// The node's certificate, if it has one.
    pub fn certificate(&self) -> Result<Option<Certificate>, Failure> {
        let Some(text) = self.read(CERTIFICATE)? else { return Ok(None) };
        Certificate::from_pem(&text).map(Some).map_err(|error| self.unusable(CERTIFICATE, error))
    }

    /// Keeps the node's certificate.
    pub fn set_certificate(&self, certificate: &Certificate) -> Result<(), Failure> {
        self.write(CERTIFICATE, certificate.to_pem().as_bytes())
    }

    /// The virtual address that this node had; a file that cannot be read counts as none.
    pub fn lease(&self, node: NodeId) -> Option<Ipv4Addr> {
        let lease: Lease = self.read_json(LEASE)?;
        (lease.node == node).then_some(lease.ipv4)
    }

    /// Keeps the virtual address.
    pub fn set_lease(&self, lease: Lease) -> Result<(), Failure> {
        self.write_json(LEASE, &lease)
    }

    /// Forgets the virtual address.
    pub fn forget_lease(&self) -> Result<(), Failure> {
        match fs::remove_file(self.path.join(LEASE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.failed(LEASE, error)),
            _ => Ok(()),
        }
    }

    /// Nodes that were linked before; a file that cannot be read counts as none.
    pub fn known_peers(&self, of: Kind) -> Vec<KnownPeer> {
        let mut peers: Vec<KnownPeer> = self.read_json(peers_name(of)).unwrap_or_default();
        peers.truncate(KNOWN_PEERS_MAX);
        peers
    }

    /// Keeps the nodes that are linked now.
    pub fn set_known_peers(&self, of: Kind, peers: &[KnownPeer]) -> Result<(), Failure> {
        self.write_json(peers_name(of), &peers[..peers.len().min(KNOWN_PEERS_MAX)])
    }

    /// Revocation notices of earlier runs.
    pub fn notices(&self) -> Result<Option<Zeroizing<String>>, Failure> {
        self.read(NOTICES)
    }

    /// Keeps the revocation notices.
    pub fn set_notices(&self, text: &str) -> Result<(), Failure> {
        self.write(NOTICES, text.as_bytes())
    }

    /// Generations of the group secret of earlier runs.
    pub fn secrets(&self) -> Result<Vec<SignedSecret>, Failure> {
        let Some(text) = self.read(SECRETS)? else { return Ok(Vec::new()) };
        pki::yaml::from_str(&text).map_err(|error| self.unusable(SECRETS, error))
    }

    /// Keeps the generations of the group secret.
    pub fn set_secrets(&self, secrets: &[SignedSecret]) -> Result<(), Failure> {
        let text = pki::yaml::to_string(&secrets).map_err(|error| self.unusable(SECRETS, error))?;
        self.write(SECRETS, text.as_bytes())
    }

    /// What the group service granted in an earlier run, all of it or none.
    pub fn grant(&self) -> Result<Option<Grant>, Failure> {
        let Some(text) = self.read(GRANT)? else { return Ok(None) };
        let grant = Grant::from_json(text.as_bytes());
        grant.map(Some).map_err(|error| self.unusable(GRANT, error))
    }

    /// Keeps what the group service granted.
    pub fn set_grant(&self, grant: &Grant) -> Result<(), Failure> {
        self.write(GRANT, &grant.to_json())
    }

    /// The hash of the token by which the node's key was enrolled; a file that cannot be read counts as none.
    pub fn enrolled_by(&self) -> Option<SecretHash> {
        self.read_json(ENROLLED_BY).map(SecretHash::from_bytes)
    }

    /// Keeps by which token the node's key was enrolled.
    pub fn set_enrolled_by(&self, token: &Token) -> Result<(), Failure> {
        self.write_json(ENROLLED_BY, token.hash().as_bytes())
    }

    /// Keeps the blob that the next start reads.
    pub fn set_blob(&self, text: &str) -> Result<(), Failure> {
        self.write(BLOB, text.as_bytes())
    }

    fn read(&self, name: &str) -> Result<Option<Zeroizing<String>>, Failure> {
        let file = match File::open(self.path.join(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.failed(name, error)),
        };
        let failed = |error| self.failed(name, error);
        self.close_file(name, &file).map_err(failed)?;
        // A text that grew would leave pieces of itself behind.
        let len = file.metadata().map_err(failed)?.len().min(FILE_LEN_MAX);
        let mut text = Zeroizing::new(String::with_capacity(len as usize));
        let read = file.take(FILE_LEN_MAX).read_to_string(&mut text);
        read.map(|_| Some(text)).map_err(failed)
    }

    /// Takes group and others their access to a file that was copied or restored with it.
    fn close_file(&self, name: &str, file: &File) -> io::Result<()> {
        let mode = file.metadata()?.permissions().mode() & 0o7777;
        if mode & 0o077 == 0 || !SECRET.contains(&name) {
            return Ok(());
        }
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
        let path = self.path.join(name).display().to_string();
        tracing::warn!(
            path,
            "the file had mode {mode:04o} and has 0600 now: if others on this host could read it \
             before, give this node a new state directory, and revoke the old one"
        );
        Ok(())
    }

    fn read_json<T: for<'de> Deserialize<'de>>(&self, name: &str) -> Option<T> {
        let text = self.read(name).ok().flatten()?;
        serde_json::from_str(&text)
            .inspect_err(|error| tracing::warn!(file = name, %error, "state file ignored"))
            .ok()
    }

    fn write_json<T: Serialize + ?Sized>(&self, name: &str, value: &T) -> Result<(), Failure> {
        let text = serde_json::to_vec(value).map_err(|error| self.unusable(name, error))?;
        self.write(name, &text)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        write_whole(&self.path.join(name), bytes).map_err(|error| self.failed(name, error))
    }

    fn failed(&self, name: &str, error: io::Error) -> Failure {
        let path = self.path.join(name);
        let hint = match error.kind() {
            io::ErrorKind::PermissionDenied => {
                "run as its owner, and let that user read and write in this directory"
            }
            _ => {
                "is the file system full, read-only or broken? Make room, or choose another with \
                  --state-dir DIR"
            }
        };
        Failure::host(format!("{}: {error}: {hint}", path.display()))
    }

    fn unusable(&self, name: &str, error: impl std::fmt::Display) -> Failure {
        let path = self.path.join(name);
        Failure::identity(format!("{}: {error}: restore or remove the file", path.display()))
    }
}

fn key_name(of: Kind) -> &'static str {
    match of {
        Kind::Private => KEY,
        Kind::Public => PUBLIC_KEY,
    }
}

fn peers_name(of: Kind) -> &'static str {
    match of {
        Kind::Private => PEERS,
        Kind::Public => PUBLIC_PEERS,
    }
}

/// Replaces a file of mode 0600 so that a crash leaves the old or the new content.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

/// Takes group and others their access. A directory of somebody else is not ours to change, and not to use
/// either: its owner could lead what we write anywhere.
fn close_to_others(path: &Path, us: Uid) -> io::Result<()> {
    let metadata = fs::metadata(path)?;
    if metadata.uid() != us.as_raw() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    if metadata.permissions().mode() & 0o077 == 0 {
        return Ok(());
    }
    // One that was restored or copied has a key and no lock.
    let has_ours = [LOCK, KEY, PUBLIC_KEY].iter().any(|name| path.join(name).exists());
    let is_ours = has_ours || fs::read_dir(path)?.next().is_none();
    if !is_ours || metadata.permissions().mode() & 0o1000 != 0 {
        return Err(io::Error::other(
            "others may use it, and it is not a state directory that could be closed to them",
        ));
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
}

fn in_use(path: &Path, mut lock: File) -> Failure {
    let mut pid = String::new();
    // The holder wrote its process ID; without it the message is only less precise.
    let _ = lock.read_to_string(&mut pid);
    Failure::host(format!(
        "already running (pid {}) with state directory {}: stop it, or choose another with \
         --state-dir DIR",
        pid.trim(),
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_others_use_is_refused_and_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let mode = |mode| fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode));
        mode(0o755).unwrap();
        fs::write(folder.path().join("letter"), "").unwrap();
        let failure = StateDir::open(folder.path()).unwrap_err().to_string();
        assert!(
            failure.contains("others may use it") && failure.contains("--state-dir"),
            "{failure}"
        );
        let left = fs::metadata(folder.path()).unwrap().permissions().mode();
        assert_eq!(left & 0o777, 0o755);
        fs::remove_file(folder.path().join("letter")).unwrap();
        drop(StateDir::open(folder.path()).expect("an empty one is closed"));
        mode(0o755).unwrap();
        StateDir::open(folder.path()).expect("one that was ours is closed again");
    }

    #[test]
    fn a_directory_of_another_user_is_refused_even_where_it_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let owner = fs::metadata(folder.path()).unwrap().uid();
        close_to_others(folder.path(), Uid::from_raw(owner)).expect("it is ours");
        let another = close_to_others(folder.path(), Uid::from_raw(owner + 1));
        assert_eq!(another.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn what_is_written_goes_through_no_link_and_into_no_open_file() {
        let folder = tempfile::tempdir().unwrap();
        let (precious, key) = (folder.path().join("precious"), folder.path().join(KEY));
        fs::write(&precious, "as it was").unwrap();
        let fresh = folder.path().join("key.pem.new");
        std::os::unix::fs::symlink(&precious, &fresh).unwrap();
        write_whole(&key, b"first").unwrap();
        fs::write(&fresh, "of a crash").unwrap();
        fs::set_permissions(&fresh, fs::Permissions::from_mode(0o666)).unwrap();
        write_whole(&key, b"second").unwrap();
        assert_eq!(fs::read(&key).unwrap(), b"second");
        assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
        std::os::unix::fs::symlink(&precious, folder.path().join(LOCK)).unwrap();
        StateDir::open(folder.path()).expect_err("the lock is no link");
        assert_eq!(fs::read(&precious).unwrap(), b"as it was");
    }

    #[test]
    fn what_was_written_is_read_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        let key = PrivateKey::generate();
        let node = NodeId::from_bytes([7; 20]);
        let lease = Lease { node, ipv4: Ipv4Addr::new(10, 42, 0, 9) };
        let peer = KnownPeer { id: node, endpoint: "[2001:db8::1]:7415".parse().unwrap() };
        {
            let state = StateDir::open(&path).unwrap();
            assert!(state.key().unwrap().is_none());
            state.set_key(&key).unwrap();
            state.set_lease(lease).unwrap();
            state.set_known_peers(Kind::Private, &[peer]).unwrap();
        }
        let state = StateDir::open(&path).unwrap();
        assert_eq!(state.key().unwrap().unwrap().spki(), key.spki());
        assert_eq!(state.lease(node), Some(lease.ipv4));
        assert_eq!(state.lease(NodeId::from_bytes([8; 20])), None, "the identity changed");
        assert_eq!(state.known_peers(Kind::Private), [peer]);
        state.forget_lease().unwrap();
        state.forget_lease().unwrap();
        assert_eq!(state.lease(node), None);
    }

    #[test]
    fn nobody_else_can_look_into_the_directory() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let state = StateDir::open(folder.path()).unwrap();
        state.set_key(&PrivateKey::generate()).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(folder.path()), 0o700);
        assert_eq!(mode(&folder.path().join(KEY)), 0o600);
        fs::set_permissions(folder.path().join(KEY), fs::Permissions::from_mode(0o644)).unwrap();
        assert!(state.key().unwrap().is_some());
        assert_eq!(mode(&folder.path().join(KEY)), 0o600, "one that was restored is closed again");
    }

    #[test]
    fn a_second_process_is_told_who_holds_the_directory() {
        let folder = tempfile::tempdir().unwrap();
        let _held = StateDir::open(folder.path()).unwrap();
        let failure = StateDir::open(folder.path()).unwrap_err().to_string();
        let pid = std::process::id();
        assert!(failure.starts_with(&format!("already running (pid {pid})")), "{failure}");
    }

    #[test]
    fn a_broken_peers_file_costs_only_the_peers() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(folder.path()).unwrap();
        fs::write(folder.path().join(PEERS), "[{").unwrap();
        assert!(state.known_peers(Kind::Private).is_empty());
    }
}
