//! Who this node is and whom it believes: key, certificate and trust, from blob, files and state.
//!
//! Everything is judged here, before the node opens a socket, so that a user reads the reason at once and not
//! peers' refusals later.

use std::net::Ipv4Addr;
use std::path::Path;

use pki::{Blob, Certificate, Keyring, LineError, Member, NodeId, PrivateKey, Trust, UnixTime};
use proto::node::api::Access;
use proto::session::aead::Cipher;
use proto::session::tls::TlsSuite;

use crate::advice;
use crate::ca::read_certificate;
use crate::config::{Config, read_text};
use crate::failure::Failure;
use crate::overlays::Kind;
use crate::pre_shared::PreSharedIdentity;
use crate::state::StateDir;

/// Who the node is in each of the overlays that it takes part in.
#[derive(Clone, Debug)]
pub struct Identities {
    /// In its group.
    pub group: Option<InGroup>,
    /// In the public overlay.
    pub public: Option<PublicIdentity>,
}

impl Identities {
    /// Puts the identities together that the configuration asks for.
    pub fn establish(
        config: &Config,
        certificate: Option<&Path>,
        state: &StateDir,
        now: UnixTime,
    ) -> Result<Self, Failure> {
        let group = match (&config.psk_file, &config.blob, certificate) {
            (Some(file), _, _) => {
                let identity = PreSharedIdentity::establish(config, file, certificate, state)?;
                Some(InGroup::ByKey(identity))
            }
            (None, Some(_), _) => {
                let identity = Identity::establish(config, certificate, state, now)?;
                Some(InGroup::ByCertificate(Box::new(identity)))
            }
            (None, None, Some(_)) => return Err(Config::no_blob()),
            (None, None, None) if state.certificate()?.is_some() => {
                return Err(Failure::identity(
                    "the state directory is that of a member: give the group's file with --blob \
                     FILE, or run the public node with a --state-dir of its own",
                ));
            }
            // A public node has no key but that for the public overlay.
            (None, None, None) if state.key()?.is_some() => {
                return Err(Failure::identity(
                    "the state directory is that of a node of a group: start it with --config FILE \
                     if that names the pre-shared key, or with --blob FILE; or run the public node \
                     with a --state-dir of its own",
                ));
            }
            (None, None, None) => None,
        };
        let public =
            config.public.as_ref().map(|_| PublicIdentity::establish(state)).transpose()?;
        Ok(Self { group, public })
    }
}

/// A node's identity in its group, by what the others let it in.
#[derive(Clone, Debug)]
pub enum InGroup {
    /// By a certificate of the group's authority.
    ByCertificate(Box<Identity>),
    /// By a key that all of the group share.
    ByKey(PreSharedIdentity),
}

impl InGroup {
    /// What the authority certified, where there is one.
    pub fn certified(&self) -> Option<&Identity> {
        match self {
            Self::ByCertificate(identity) => Some(identity),
            Self::ByKey(_) => None,
        }
    }

    /// The node's ID.
    pub fn node_id(&self) -> NodeId {
        match self {
            Self::ByCertificate(identity) => identity.member.node_id,
            Self::ByKey(identity) => identity.node_id(),
        }
    }

    /// The virtual address that a certificate fixes.
    pub fn pinned(&self) -> Option<Ipv4Addr> {
        self.certified().and_then(|identity| identity.member.ipv4)
    }

    /// The handshake side of the identity, and whom the node answers.
    pub fn enter(&self) -> Result<(TlsSuite, Access), Failure> {
        match self {
            Self::ByCertificate(identity) => {
                Ok((identity.suite()?, Access::Members(identity.keyring.clone())))
            }
            Self::ByKey(identity) => identity.enter(),
        }
    }
}

/// A node's identity in the public overlay: a key that is not that of its group, made at the first start.
#[derive(Clone, Debug)]
pub struct PublicIdentity {
    key: PrivateKey,
}

impl PublicIdentity {
    fn establish(state: &StateDir) -> Result<Self, Failure> {
        let key = match state.key_of(Kind::Public)? {
            Some(kept) => kept,
            None => {
                let made = PrivateKey::generate();
                state.set_key_of(Kind::Public, &made)?;
                made
            }
        };
        if state.key()?.is_some_and(|group| group.spki() == key.spki()) {
            return Err(Failure::identity(
                "the key for the public overlay is the group's, which would show who the member \
                 is: remove public-overlay-key.pem from the state directory; the next start makes \
                 another",
            ));
        }
        Ok(Self { key })
    }

    /// The handshake side of the identity.
    pub fn suite(&self) -> Result<TlsSuite, Failure> {
        TlsSuite::public(self.key.clone(), fast_cipher()).map_err(Failure::identity)
    }
}

/// A node's identity in a group with an authority.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The certificate, read.
    pub member: Member,
    /// Authorities and revocations of the group as they were at the start; the node knows the present ones.
    pub trust: Trust,
    /// Generations of what all members share, as they were at the start.
    pub keyring: Keyring,
    key: PrivateKey,
    certificate: Certificate,
}

impl Identity {
    /// Puts the identity together, judges it, and keeps in the state directory what is new.
    pub fn establish(
        config: &Config,
        certificate: Option<&Path>,
        state: &StateDir,
        now: UnixTime,
    ) -> Result<Self, Failure> {
        let blob = config.blob()?;
        let mut trust = trust(blob, config.notices.as_deref(), state)?;
        let key = key(blob, state)?;
        let given = certificate.map(read_certificate).transpose()?;
        let certificate = choose(&key, given, blob, state)?;
        let member = trust
            .judge(certificate.der(), now)
            .map_err(|refusal| Failure::identity(advice::on_own(refusal, now)))?;
        // Only now: a node with an old list starts, and waits for a new one.
        trust.set_stale_policy(config.stale_policy.unwrap_or_default());
        state.set_certificate(&certificate)?;
        state.set_notices(&trust.ledger().to_text())?;
        let keyring = keyring(blob, &trust, state, now)?;
        state.set_secrets(keyring.all())?;
        Ok(Self { member, trust, keyring, key, certificate })
    }

    /// The certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The handshake side of the identity.
    fn suite(&self) -> Result<TlsSuite, Failure> {
        let trust = self.trust.clone();
        TlsSuite::group(self.key.clone(), &self.certificate, trust, fast_cipher())
            .map_err(Failure::identity)
    }
}

/// What the user reads when a notices file is not good.
pub fn bad_notices(path: &Path, error: &LineError) -> Failure {
    let place = path.display();
    Failure::identity(format!("{place}: {error}: copy notices.txt from the authority again"))
}

fn keyring(
    blob: &Blob,
    trust: &Trust,
    state: &StateDir,
    now: UnixTime,
) -> Result<Keyring, Failure> {
    let mut keyring = blob.keyring(trust).map_err(Failure::identity)?;
    for signed in state.secrets()? {
        // Those of an earlier authority no longer fit; then the blob's count.
        if let Err(error) = keyring.take(signed, trust) {
            tracing::warn!(%error, "group secret of an earlier run ignored");
        }
    }
    keyring.prune(now);
    Ok(keyring)
}

fn trust(blob: &Blob, notices: Option<&Path>, state: &StateDir) -> Result<Trust, Failure> {
    let mut trust = blob.trust().map_err(Failure::identity)?;
    if let Some(text) = state.notices()? {
        // Those of an earlier authority no longer fit; then the blob's and the file's count.
        if let Err(error) = trust.ledger_mut().take_text(&text) {
            tracing::warn!(%error, "notices of an earlier run ignored");
        }
    }
    if let Some(path) = notices {
        let taken = trust.ledger_mut().take_text(&read_text(path)?);
        taken.map_err(|error| bad_notices(path, &error))?;
    }
    Ok(trust)
}

fn key(blob: &Blob, state: &StateDir) -> Result<PrivateKey, Failure> {
    match (state.key()?, &blob.key) {
        (Some(kept), Some(given)) if kept.spki() != given.spki() => Err(another_key()),
        (Some(kept), _) => Ok(kept),
        (None, Some(given)) => {
            state.set_key(given)?;
            Ok(given.clone())
        }
        (None, None) => Err(Failure::identity(
            "this node has no key yet: run warren request with this --state-dir, have the request \
             signed with warren ca sign, and start with --certificate FILE",
        )),
    }
}

/// The certificate of this key that lasts longest; one that the user names must be of this key.
fn choose(
    key: &PrivateKey,
    given: Option<Certificate>,
    blob: &Blob,
    state: &StateDir,
) -> Result<Certificate, Failure> {
    let read = |certificate: Certificate| {
        let member = certificate.unverified().map_err(Failure::identity)?;
        Ok::<_, Failure>((member, certificate))
    };
    let was_given = given.is_some();
    let sources = [given, blob.certificate.clone(), state.certificate()?];
    let all = sources.into_iter().flatten().map(read).collect::<Result<Vec<_>, _>>()?;
    let is_ours = |member: &Member| member.spki == key.spki();
    if (was_given || all.len() == 1) && all.first().is_some_and(|(member, _)| !is_ours(member)) {
        return Err(another_certificate());
    }
    let ours = all.into_iter().filter(|(member, _)| is_ours(member));
    let (_, longest) = ours.max_by_key(|(member, _)| member.not_after).ok_or_else(|| {
        Failure::identity(
            "this node has no certificate yet: have its request signed with warren ca sign, and \
             start with --certificate FILE",
        )
    })?;
    Ok(longest)
}

/// What the user reads when blob and state directory are of two nodes.
pub fn another_key() -> Failure {
    Failure::identity(
        "the state directory holds the key of another node than the blob: choose another with \
         --state-dir DIR",
    )
}

/// What the user reads when a certificate is another node's.
pub fn another_certificate() -> Failure {
    Failure::identity(
        "the certificate is not for this node's key: sign the request that this node made, or \
         choose the --state-dir where its key is",
    )
}

/// An address that a certificate fixes is the only one that the node can have.
pub fn check_address(fixed: Option<Ipv4Addr>, wanted: Option<Ipv4Addr>) -> Result<(), Failure> {
    match (fixed, wanted) {
        (Some(fixed), Some(other)) if fixed != other => Err(Failure::usage(format!(
            "the certificate fixes address {fixed}: remove --address {other}, or request a \
             certificate without a fixed address"
        ))),
        _ => Ok(()),
    }
}

/// The cipher that this machine has instructions for.
pub fn fast_cipher() -> Cipher {
    #[cfg(target_arch = "x86_64")]
    let has_aes = std::arch::is_x86_feature_detected!("aes");
    #[cfg(target_arch = "aarch64")]
    let has_aes = std::arch::is_aarch64_feature_detected!("aes");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let has_aes = false;
    if has_aes { Cipher::Aes256Gcm } else { Cipher::ChaCha20Poly1305 }
}
