//! The certificate of the server: given by the operator, or made at first start; taken up again when
//! its files change.
//!
//! How it works: every handshake asks [`LiveCertificate`] for the newest key pair. A task looks at the
//! files now and then and swaps the pair; links that stand are not touched. A pair that cannot be
//! used is reported, and the old one stays.
//!
//! What must hold: one's own key is written before its certificate, to a file that nobody else can
//! read, and is never replaced: blobs that are out there pin it.

use std::convert::Infallible;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use pki::enrolment::Pin;
use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{ServerConfig, SupportedProtocolVersion};
use time::OffsetDateTime;
use zeroize::Zeroizing;

/// How often the files are looked at: a renewed certificate has hours, and a look costs microseconds.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Life of a certificate that the service makes itself: nodes pin the key and ask for no dates, and
/// the warning that a browser shows does not come from them.
const OWN_LIFE: time::Duration = time::Duration::days(3650);
const VERSIONS: &[&SupportedProtocolVersion] = &[&TLS13];

/// The files of a certificate with its key, as PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain, the server's own certificate first.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// The certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read or written.
    #[error("cannot use {path}: {error}")]
    File {
        /// Which.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// A file is not what it should be.
    #[error("{path} holds no {what} as PEM: {error}")]
    Pem {
        /// Which.
        path: String,
        /// What it should hold.
        what: &'static str,
        /// Why not.
        error: rustls::pki_types::pem::Error,
    },
    /// Certificate and key do not fit, or are of a kind that is not spoken.
    #[error("certificate and key cannot be used together: {0}")]
    Pair(#[from] rustls::Error),
    /// The certificate has no key that could be pinned.
    #[error("the first certificate of the chain is not an X.509 certificate")]
    Certificate,
    /// The service cannot make its own.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
}

/// The key pair that handshakes use from now on.
#[derive(Debug)]
pub struct LiveCertificate {
    files: CertificateFiles,
    current: RwLock<Current>,
}

#[derive(Clone, Debug)]
struct Current {
    pair: Arc<CertifiedKey>,
    pin: Pin,
    /// What the files were like when they were read.
    stamps: [Option<Stamp>; 2],
}

/// Enough of a file's metadata to see that it has changed.
type Stamp = (u64, i64, i64, u64);

impl LiveCertificate {
    /// Loads the pair.
    pub fn load(files: CertificateFiles) -> Result<Self, CertificateError> {
        let current = RwLock::new(read(&files)?);
        Ok(Self { files, current })
    }

    /// Loads the service's own pair; makes what is missing of it. `host` is the name by which the
    /// service is reached.
    pub fn own(files: CertificateFiles, host: &str) -> Result<Self, CertificateError> {
        make_missing(&files, host)?;
        Self::load(files)
    }

    /// Returns the pin of the key that is used now.
    pub fn pin(&self) -> Pin {
        self.current().pin
    }

    /// Loads the pair again if a file has changed; returns whether it was.
    pub fn refresh(&self) -> Result<bool, CertificateError> {
        if self.current().stamps == stamps(&self.files) {
            return Ok(false);
        }
        let fresh = read(&self.files)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(true)
    }

    /// Looks at the files for as long as the service runs.
    pub async fn watch(&self) -> Infallible {
        let mut told = None;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            match self.refresh() {
                Ok(true) => tracing::info!(pin = %self.pin(), "took up the changed certificate"),
                Ok(false) => {}
                Err(error) => {
                    // Once for each change: the files may stay wrong for long.
                    let stamps = Some(stamps(&self.files));
                    if told != stamps {
                        tracing::warn!(%error, "the changed certificate is not used");
                        told = stamps;
                    }
                }
            }
        }
    }

    fn current(&self) -> Current {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ResolvesServerCert for LiveCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current().pair)
    }
}

/// Makes the TLS side of the server: version 1.3 and HTTP/1.1, nobody's certificate is asked for.
pub fn server_config(
    certificate: Arc<LiveCertificate>,
) -> Result<Arc<ServerConfig>, CertificateError> {
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
    let mut config = builder
        .with_protocol_versions(VERSIONS)?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn read(files: &CertificateFiles) -> Result<Current, CertificateError> {
    // Before the content: what changes in between is seen at the next look.
    let stamps = stamps(files);
    let certificate = fs::read(&files.certificate).map_err(cannot(&files.certificate))?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&certificate).collect();
    let chain = chain.map_err(not_pem(&files.certificate, "certificate"))?;
    let key = Zeroizing::new(fs::read(&files.key).map_err(cannot(&files.key))?);
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(not_pem(&files.key, "private key"))?;
    let first = chain.first().ok_or(CertificateError::Certificate)?;
    let pin = Pin::of_certificate(first).ok_or(CertificateError::Certificate)?;
    let pair = CertifiedKey::from_der(chain, key, &default_provider())?;
    Ok(Current { pair: Arc::new(pair), pin, stamps })
}

fn stamps(files: &CertificateFiles) -> [Option<Stamp>; 2] {
    let stamp = |path: &Path| {
        let file = fs::metadata(path).ok()?;
        Some((file.ino(), file.mtime(), file.mtime_nsec(), file.len()))
    };
    [stamp(&files.certificate), stamp(&files.key)]
}

fn make_missing(files: &CertificateFiles, host: &str) -> Result<(), CertificateError> {
    if files.certificate.exists() && files.key.exists() {
        return Ok(());
    }
    if !files.key.exists() {
        let key = KeyPair::generate()?;
        let text = Zeroizing::new(key.serialize_pem());
        write_new(&files.key, 0o600, text.as_bytes()).map_err(cannot(&files.key))?;
    }
    let text = fs::read_to_string(&files.key).map(Zeroizing::new).map_err(cannot(&files.key))?;
    let key = KeyPair::from_pem(&text)?;
    let mut names = vec![host.to_owned(), "localhost".to_owned()];
    names.dedup();
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, host);
    params.not_before = OffsetDateTime::now_utc() - time::Duration::days(1);
    params.not_after = OffsetDateTime::now_utc() + OWN_LIFE;
    let certificate = params.self_signed(&key)?;
    let path = &files.certificate;
    write_new(path, 0o644, certificate.pem().as_bytes()).map_err(cannot(path))
}

/// Writes a file under another name first, so that a half-written one never has its name.
fn write_new(path: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("new");
    let _ = fs::remove_file(&fresh);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&fresh)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&fresh, path)
}

fn cannot(path: &Path) -> impl Fn(io::Error) -> CertificateError {
    let path = path.display().to_string();
    move |error| CertificateError::File { path: path.clone(), error }
}

fn not_pem(
    path: &Path,
    what: &'static str,
) -> impl Fn(rustls::pki_types::pem::Error) -> CertificateError {
    let path = path.display().to_string();
    move |error| CertificateError::Pem { path: path.clone(), what, error }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(folder: &Path) -> CertificateFiles {
        CertificateFiles { certificate: folder.join("tls.crt"), key: folder.join("tls.key") }
    }

    #[test]
    fn unit_wb_09_the_own_key_is_made_once_and_stays_private() {
        let folder = tempfile::tempdir().expect("a scratch directory");
        let files = files(folder.path());
        let first = LiveCertificate::own(files.clone(), "vpn.example.org").expect("is made").pin();
        assert_eq!(fs::metadata(&files.key).expect("is there").mode() & 0o777, 0o600);
        let again = LiveCertificate::own(files.clone(), "vpn.example.org").expect("is read").pin();
        assert_eq!(first, again, "a restart keeps the pin");
        fs::remove_file(&files.certificate).expect("is ours");
        let renewed = LiveCertificate::own(files, "other.example.org").expect("is made").pin();
        assert_eq!(first, renewed, "a new certificate for the same key keeps the pin");
    }

    #[test]
    fn unit_wb_09_a_changed_pair_is_taken_up_and_a_bad_one_is_not() {
        let folder = tempfile::tempdir().expect("a scratch directory");
        let files = files(folder.path());
        let live = LiveCertificate::own(files.clone(), "localhost").expect("is made");
        let first = live.pin();
        assert!(!live.refresh().expect("nothing has changed"));
        let other = tempfile::tempdir().expect("a scratch directory");
        let theirs = self::files(other.path());
        let second = LiveCertificate::own(theirs.clone(), "localhost").expect("is made").pin();
        fs::copy(&theirs.key, &files.key).expect("copies");
        assert!(live.refresh().is_err(), "the key is not that of the certificate");
        assert_eq!(live.pin(), first, "the old pair stays in use");
        fs::copy(&theirs.certificate, &files.certificate).expect("copies");
        assert!(live.refresh().expect("fits now"));
        assert_eq!(live.pin(), second);
    }
}
