//! The master key: what makes a stolen database useless.
//!
//! CA keys and group secrets are in the database under AES-256-GCM. The key for that is derived
//! from a file of mode 0600 beside the database. Each sealed text is bound to its purpose, so that
//! nobody who can write to the database gives a sealed text another meaning. Other keys of the
//! service (nonces, cookies) derive from the same file, so that all replicas have the same ones.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Separates our derivations from any other use of HKDF with the same key.
const HKDF_SALT: &[u8] = b"warren group service v1";
const NONCE_LEN: usize = 12;

/// The master key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    /// The file cannot be read or written.
    #[error("cannot use the master key {path}: {error}")]
    File {
        /// Which.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// Others can read it.
    #[error("the master key {0} can be read by others: chmod 600 it, and ask who has read it")]
    Open(String),
    /// It is not a key.
    #[error("{0} holds no master key: expected 32 bytes in base64; restore it from the backup")]
    Malformed(String),
}

/// A sealed text does not open: other master key, other purpose, or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a sealed value does not open: it was changed, or the master key is another one")]
pub struct SealError;

/// The key that all others of the service come from. Wiped when dropped, never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct MasterKey([u8; 32]);

impl MasterKey {
    /// Draws a key.
    pub fn random() -> Self {
        let mut key = [0; 32];
        aws_lc_rs::rand::fill(&mut key)
            .expect("the system generator cannot fail once it is seeded");
        Self(key)
    }

    /// Reads the key from its file, which nobody else may read.
    pub fn load(path: &Path) -> Result<Self, MasterKeyError> {
        let name = path.display().to_string();
        let cannot = |error| MasterKeyError::File { path: name.clone(), error };
        let mode = fs::metadata(path).map_err(cannot)?.mode();
        if mode & 0o077 != 0 {
            return Err(MasterKeyError::Open(name));
        }
        let text = Zeroizing::new(fs::read_to_string(path).map_err(cannot)?);
        let bytes = STANDARD.decode(text.trim()).map(Zeroizing::new);
        let key = bytes.ok().and_then(|bytes| bytes.as_slice().try_into().ok());
        key.map(Self).ok_or(MasterKeyError::Malformed(name))
    }

    /// Draws a key and writes it to a new file.
    pub fn create(path: &Path) -> Result<Self, MasterKeyError> {
        let key = Self::random();
        key.write(path)
            .map_err(|error| MasterKeyError::File { path: path.display().to_string(), error })?;
        Ok(key)
    }

    /// Writes the file under another name first, so that a half-written key never has its name.
    fn write(&self, path: &Path) -> io::Result<()> {
        let text = Zeroizing::new(STANDARD.encode(self.0) + "\n");
        let fresh = path.with_extension("new");
        // One that a crash left, or that leads elsewhere, is not written into.
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        // Fails where the name is taken: a key is never written over.
        fs::hard_link(&fresh, path)?;
        fs::remove_file(&fresh)?;
        path.parent().map_or(Ok(()), |folder| {
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            fs::File::open(folder)?.sync_all()
        })
    }

    /// Derives a key for one use by HKDF-SHA256 (RFC 5869); the label names the use.
    pub fn derive(&self, label: &str) -> Zeroizing<[u8; 32]> {
        const FITS: &str = "32 bytes are within what HKDF can give";
        let mut key = Zeroizing::new([0; 32]);
        let pseudorandom = Salt::new(HKDF_SHA256, HKDF_SALT).extract(&self.0);
        let info = [label.as_bytes()];
        pseudorandom.expand(&info, HKDF_SHA256).expect(FITS).fill(&mut *key).expect(FITS);
        key
    }

    /// Returns a text that tells this key from others and tells nothing else: the database keeps it.
    pub fn check(&self) -> String {
        STANDARD.encode(&self.derive("check")[..16])
    }

    /// Seals bytes for one purpose, as text.
    pub fn seal(&self, purpose: &str, plain: &[u8]) -> String {
        let mut bytes = plain.to_vec();
        let nonce = self
            .sealer()
            .seal_in_place_append_tag(Aad::from(purpose), &mut bytes)
            .expect("sealing fails only without randomness");
        STANDARD.encode([&nonce.as_ref()[..], &bytes].concat())
    }

    /// Opens what was sealed for this purpose.
    pub fn open(&self, purpose: &str, sealed: &str) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let bytes = STANDARD.decode(sealed).map_err(|_| SealError)?;
        let (nonce, body) = bytes.split_at_checked(NONCE_LEN).ok_or(SealError)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError)?;
        let mut body = Zeroizing::new(body.to_vec());
        let opened = self.sealer().open_in_place(nonce, Aad::from(purpose), &mut body);
        let length = opened.map_err(|_| SealError)?.len();
        body.truncate(length);
        Ok(body)
    }

    /// A fresh nonce of 96 bits per text: 2^32 texts before a repeat is likely to one in 2^32.
    fn sealer(&self) -> RandomizedNonceKey {
        RandomizedNonceKey::new(&AES_256_GCM, &*self.derive("seal"))
            .expect("32 bytes are a key of this cipher")
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_is_sealed_opens_for_its_purpose_under_its_key_only() {
        let (key, other) = (MasterKey::random(), MasterKey::random());
        let sealed = key.seal("ca 1", b"secret");
        assert_eq!(key.open("ca 1", &sealed).expect("own output").as_slice(), b"secret");
        assert_ne!(key.seal("ca 1", b"secret"), sealed, "nonces do not repeat");
        assert_eq!(key.open("ca 2", &sealed).err(), Some(SealError));
        assert_eq!(other.open("ca 1", &sealed).err(), Some(SealError));
        assert_eq!(key.open("ca 1", "AAAA").err(), Some(SealError));
        let other_first = if sealed.starts_with('A') { 'B' } else { 'A' };
        let changed = format!("{other_first}{}", &sealed[1..]);
        assert_eq!(key.open("ca 1", &changed).err(), Some(SealError));
    }

    #[test]
    fn the_file_is_private_and_is_never_written_over() {
        let folder = tempfile::tempdir().expect("a scratch directory");
        let path = folder.path().join("master.key");
        let key = MasterKey::create(&path).expect("writes");
        assert_eq!(fs::metadata(&path).expect("is there").mode() & 0o777, 0o600);
        assert_eq!(MasterKey::load(&path).expect("own output").check(), key.check());
        assert!(MasterKey::create(&path).is_err());
        assert_eq!(MasterKey::load(&path).expect("still there").check(), key.check());
        fs::set_permissions(&path, Permissions::from_mode(0o640)).expect("is ours");
        assert!(matches!(MasterKey::load(&path), Err(MasterKeyError::Open(_))));
    }

    #[test]
    fn a_new_key_goes_through_no_link() {
        let folder = tempfile::tempdir().expect("a scratch directory");
        let precious = folder.path().join("precious");
        fs::write(&precious, "as it was").expect("is ours");
        std::os::unix::fs::symlink(&precious, folder.path().join("master.new")).expect("is ours");
        MasterKey::create(&folder.path().join("master.key")).expect("writes");
        assert_eq!(fs::read(&precious).expect("is there"), b"as it was");
    }

    #[test]
    fn debug_shows_no_secret() {
        assert_eq!(format!("{:?}", MasterKey::random()), "MasterKey(..)");
    }
}
