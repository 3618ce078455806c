//! The messages of `/enrol/v1`, but for grant and renewal: requests are strict, answers tolerant.
//!
//! | question | answer |
//! |---|---|
//! | `POST key` [`KeyRequest`] | [`KeyAnswer`] |
//! | `POST certificate` [`CertificateRequest`] | [`Grant`](super::Grant), or 202 [`Pending`] |
//! | `GET nonce` | [`NonceAnswer`] |
//! | `POST renewal` [`RenewalRequest`](super::RenewalRequest) | [`Grant`](super::Grant) |
//! | `GET notices?after=N` | [`NoticesAnswer`] |
//! | `GET bootstrap` | [`BootstrapAnswer`] |
//! | `POST device` [`DeviceRequest`] | [`DeviceAnswer`] |
//! | `POST device/token` [`DeviceTokenRequest`] | [`DeviceTokenAnswer`], or 202 [`Pending`] |
//!
//! Every other answer is a [`Denial`](super::Denial).

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use super::grant::read_bootstrap;
use super::json::messages;
use super::renewal::Nonce;
use super::secret_text::DeviceCode;
use super::url::ServiceUrl;
use super::user_code::UserCode;
use crate::blob::HostPort;
use crate::error::Error;
use crate::id::{NodeId, Salt};
use crate::key::{Algorithm, PrivateKey};
use crate::name::{check_group, check_host};
use crate::pem::{from_base64, to_base64};
use crate::request::Request;

/// Longest time that the service holds a question, in seconds: routers forget a silent connection
/// after a minute or so.
pub const WAIT_MAX_SECONDS: u32 = 30;
/// Longest time that a device is told to wait or to stay between two questions, in seconds.
const DEVICE_SECONDS_MAX: u32 = 3600;

/// Asks for the ID of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRequest {
    /// The node's key, as DER SubjectPublicKeyInfo of a kind we take.
    #[serde(serialize_with = "write_spki", deserialize_with = "read_spki")]
    pub public_key: Vec<u8>,
    /// What the node calls itself, for its owner's list.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "read_host")]
    pub host: Option<String>,
}

impl KeyRequest {
    /// Asks for this key; a host name that the service would refuse is left out.
    pub fn new(key: &PrivateKey, host: Option<&str>) -> Self {
        let host = host.map(str::to_ascii_lowercase).filter(|host| check_host(host).is_ok());
        Self { public_key: key.spki().to_vec(), host }
    }
}

/// The ID of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyAnswer {
    /// What was drawn for the key.
    pub salt: Salt,
    /// What follows from both.
    pub node_id: NodeId,
    /// The group that the token is of.
    #[serde(deserialize_with = "read_group")]
    pub group: String,
}

impl KeyAnswer {
    /// Makes the answer for a key.
    pub fn new(group: impl Into<String>, salt: Salt, spki: &[u8]) -> Self {
        Self { salt, node_id: NodeId::salted(&salt, spki), group: group.into() }
    }

    /// Returns whether the ID is the one that this key has with that salt.
    pub fn is_for(&self, spki: &[u8]) -> bool {
        NodeId::salted(&self.salt, spki) == self.node_id
    }
}

/// Asks for the certificate of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateRequest {
    /// Carries the node ID.
    pub request: Request,
}

/// Says that somebody has still to decide.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    state: PendingState,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PendingState {
    #[default]
    Pending,
}

/// What to sign for a renewal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NonceAnswer {
    /// Good for some minutes.
    pub nonce: Nonce,
}

/// New revocations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoticesAnswer {
    /// The head and the notices after the one that was named, in the text form of
    /// [`Ledger`](crate::Ledger::to_text).
    pub notices: String,
}

/// Nodes to join by, as the group names them now: those of a grant may be days old.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootstrapAnswer {
    /// All of them.
    #[serde(deserialize_with = "read_bootstrap")]
    pub bootstrap: Vec<HostPort>,
}

/// Asks for a blob that the user will hand over in the browser (RFC 8628).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceRequest {
    /// The group to join.
    #[serde(deserialize_with = "read_group")]
    pub group: String,
    /// What the device calls itself, so that its user knows it again.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "read_host")]
    pub host: Option<String>,
}

impl DeviceRequest {
    /// Asks for this group; a host name that the service would refuse is left out.
    pub fn new(group: &str, host: Option<&str>) -> Result<Self, Error> {
        check_group(group)?;
        let host = host.map(str::to_ascii_lowercase).filter(|host| check_host(host).is_ok());
        Ok(Self { group: group.to_owned(), host })
    }
}

/// What the device shows and how it waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceAnswer {
    /// The device's own secret.
    pub device_code: DeviceCode,
    /// What the user compares.
    pub user_code: UserCode,
    /// Where the user goes.
    pub verification_url: ServiceUrl,
    /// Seconds between two questions.
    #[serde(deserialize_with = "read_seconds")]
    pub interval: u32,
    /// Seconds until nobody needs to wait any more.
    #[serde(deserialize_with = "read_seconds")]
    pub expires_in: u32,
}

/// Asks whether the user has decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceTokenRequest {
    /// The device's own secret.
    pub device_code: DeviceCode,
}

/// The user has said yes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceTokenAnswer {
    /// The blob as YAML, for [`Blob::parse`](crate::Blob::parse).
    pub blob: Zeroizing<String>,
}

impl fmt::Debug for DeviceTokenAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceTokenAnswer").finish_non_exhaustive()
    }
}

messages!(REQUEST_LEN_MAX: KeyRequest, CertificateRequest, DeviceRequest, DeviceTokenRequest);
messages!(REQUEST_LEN_MAX: KeyAnswer, Pending, NonceAnswer, DeviceAnswer);
messages!(ANSWER_LEN_MAX: NoticesAnswer, BootstrapAnswer, DeviceTokenAnswer);

fn write_spki<S: Serializer>(spki: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&to_base64(spki))
}

fn read_spki<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let spki = from_base64(&String::deserialize(deserializer)?);
    let known = spki.filter(|spki| Algorithm::of_spki(spki).is_some());
    known.ok_or_else(|| D::Error::custom("expected a P-256 or Ed25519 key in base64"))
}

fn read_host<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let host = Option::<String>::deserialize(deserializer)?;
    host.as_deref().map_or(Ok(()), check_host).map_err(D::Error::custom)?;
    Ok(host)
}

fn read_group<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let group = String::deserialize(deserializer)?;
    check_group(&group).map_err(D::Error::custom)?;
    Ok(group)
}

fn read_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let seconds = u32::deserialize(deserializer)?;
    let fits = (1..=DEVICE_SECONDS_MAX).contains(&seconds);
    fits.then_some(seconds).ok_or_else(|| D::Error::custom("expected 1 to 3600 seconds"))
}
