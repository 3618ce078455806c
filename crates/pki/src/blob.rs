//! The blob: the one file a user is handed to join a group.
//!
//! ```yaml
//! version: 1
//! network: { group: team, ipv4: 10.42.0.0/16, mtu: 1280, lease_seconds: 3600 }
//! ca: |                       # one to four authorities of the group
//!   -----BEGIN CERTIFICATE----- …
//! root: | …                   # optional: the offline root that signed them
//! bootstrap: [ "boot.example.org:7415", "[2001:db8::1]:7415" ]
//! group_secrets:              # newest first; older ones are still accepted
//!   - { generation: 1, key: <base64 of 32 bytes>, issued: 1767225600, signature: <base64> }
//! enrolment:                  # optional: how to get a certificate
//!   { url: "https://…", pins: [ "sha256:…" ], token: wt1_… }
//! certificate: | …            # optional: or have it already
//! key: | …                    # optional and seldom: the key should be born on the node
//! notices: [ <base64> ]       # optional: revocations so far
//! ```
//!
//! Unknown keys are errors, so that a misspelt setting is not silently the default. What was read
//! is usable: [`Blob::parse`] builds the [`Trust`] once to be sure.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::certificate::Certificate;
use crate::enrolment::{PINS_MAX, Pin, ServiceUrl, Token};
use crate::error::Error;
use crate::key::PrivateKey;
use crate::keyring::{GENERATIONS_MAX, Keyring, SecretError, SignedSecret};
use crate::ledger::LedgerError;
use crate::network::Network;
use crate::pem::from_base64;
use crate::trust::Trust;
use crate::yaml::{self, YamlError};

/// Most bootstrap addresses: enough for a pool in every region, few enough to try them all.
pub const BOOTSTRAP_MAX: usize = 64;

/// A blob cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlobError {
    /// It is not the YAML that is expected.
    #[error("the blob cannot be read: {0}")]
    Yaml(#[from] YamlError),
    /// Authorities, group and root do not fit together.
    #[error("the blob's authority is not usable: {0}")]
    Authority(#[from] Error),
    /// A generation of the group secret is not good.
    #[error("the blob's group secrets: {0}")]
    Secret(#[from] SecretError),
    /// A notice is not good.
    #[error("entry {entry} of the blob's notices: {error}")]
    Notice {
        /// Position in the list, from 1.
        entry: usize,
        /// What is wrong with it.
        error: LedgerError,
    },
}

/// What a node needs to join a group.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blob {
    version: Version,
    /// The virtual network.
    pub network: Network,
    /// Authorities of the group.
    #[serde(serialize_with = "write_certificates", deserialize_with = "read_certificates")]
    pub ca: Vec<Certificate>,
    /// The root above them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<Certificate>,
    /// Where to find the public overlay.
    #[serde(deserialize_with = "read_bootstrap")]
    pub bootstrap: Vec<HostPort>,
    /// What members share: at least one generation, newest first.
    #[serde(deserialize_with = "read_secrets")]
    pub group_secrets: Vec<SignedSecret>,
    /// How to get a certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enrolment: Option<Enrolment>,
    /// The certificate, where it was signed beforehand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Certificate>,
    /// Its key, where it was not made on the node.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "write_key",
        deserialize_with = "read_key"
    )]
    pub key: Option<PrivateKey>,
    /// Revocations so far, one base64 line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
}

impl Blob {
    /// A blob with the parts that every blob has.
    pub fn new(
        network: Network,
        ca: Vec<Certificate>,
        bootstrap: Vec<HostPort>,
        group_secrets: Vec<SignedSecret>,
    ) -> Self {
        Self {
            version: Version,
            network,
            ca,
            root: None,
            bootstrap,
            group_secrets,
            enrolment: None,
            certificate: None,
            key: None,
            notices: Vec::new(),
        }
    }

    /// Reads a blob and makes sure that it can be used.
    pub fn parse(text: &str) -> Result<Self, BlobError> {
        let blob: Self = yaml::from_str(text)?;
        blob.keyring(&blob.trust()?)?;
        Ok(blob)
    }

    /// Writes the blob with all its secrets; the text wipes itself.
    pub fn to_yaml(&self) -> Result<Zeroizing<String>, YamlError> {
        yaml::to_string(self)
    }

    /// Pins the authorities and takes in the notices.
    pub fn trust(&self) -> Result<Trust, BlobError> {
        let mut trust = Trust::new(&self.network.group, &self.ca, self.root.as_ref())?;
        for (index, line) in self.notices.iter().enumerate() {
            let bytes = from_base64(line.trim()).ok_or(LedgerError::Malformed);
            let taken = bytes.and_then(|bytes| trust.ledger_mut().take_bytes(&bytes));
            taken.map_err(|error| BlobError::Notice { entry: index + 1, error })?;
        }
        Ok(trust)
    }

    /// Takes in the generations of the group secret.
    pub fn keyring(&self, trust: &Trust) -> Result<Keyring, BlobError> {
        let mut keyring = Keyring::default();
        for signed in &self.group_secrets {
            keyring.take(signed.clone(), trust)?;
        }
        Ok(keyring)
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blob")
            .field("network", &self.network)
            .field("bootstrap", &self.bootstrap)
            .field("group_secrets", &self.group_secrets)
            .field("notices", &self.notices.len())
            .finish_non_exhaustive()
    }
}

/// Where and with what a node asks for its certificate.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrolment {
    /// Address of the group service.
    pub url: ServiceUrl,
    /// Keys of which the service has one; with none, its certificate is verified as on the web.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "read_pins")]
    pub pins: Vec<Pin>,
    /// The user's secret.
    pub token: Token,
}

impl fmt::Debug for Enrolment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enrolment")
            .field("url", &self.url)
            .field("pins", &self.pins)
            .finish_non_exhaustive()
    }
}

/// The address of a bootstrap node: a name or an address, and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// DNS name, IPv4 or IPv6 address, without brackets.
    pub host: String,
    /// UDP port.
    pub port: u16,
}

/// The text is not an address with a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected host:port or [ipv6]:port with a port from 1 to 65535")]
pub struct ParseHostPortError;

impl FromStr for HostPort {
    type Err = ParseHostPortError;

    fn from_str(text: &str) -> Result<Self, ParseHostPortError> {
        let (host, port) = text.rsplit_once(':').ok_or(ParseHostPortError)?;
        let port = port.parse().ok().filter(|port| *port > 0).ok_or(ParseHostPortError)?;
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = match bracketed {
            Some(inner) if inner.parse::<Ipv6Addr>().is_ok() => inner,
            None if is_host(host) => host,
            Some(_) | None => return Err(ParseHostPortError),
        };
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl Serialize for HostPort {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HostPort {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// The number of this format: 1 and no other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Version;

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(1)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u32::deserialize(deserializer)? {
            1 => Ok(Self),
            other => Err(D::Error::custom(format!("blob version {other}; this program reads 1"))),
        }
    }
}

fn is_host(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    (1..=253).contains(&name.len()) && name.bytes().all(plain)
}

fn write_certificates<S: Serializer>(
    all: &[Certificate],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&all.iter().map(Certificate::to_pem).collect::<String>())
}

fn read_certificates<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<Certificate>, D::Error> {
    Certificate::all_from_pem(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

fn read_bootstrap<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<HostPort>, D::Error> {
    let all = Vec::<HostPort>::deserialize(deserializer)?;
    let fits = all.len() <= BOOTSTRAP_MAX;
    fits.then_some(all).ok_or_else(|| D::Error::custom("at most 64 bootstrap addresses"))
}

fn read_secrets<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<SignedSecret>, D::Error> {
    let all = Vec::<SignedSecret>::deserialize(deserializer)?;
    let fits = (1..=GENERATIONS_MAX).contains(&all.len());
    fits.then_some(all).ok_or_else(|| D::Error::custom("group_secrets has 1 to 64 generations"))
}

fn read_pins<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Pin>, D::Error> {
    let all = Vec::<Pin>::deserialize(deserializer)?;
    (all.len() <= PINS_MAX).then_some(all).ok_or_else(|| D::Error::custom("at most 4 pins"))
}

fn write_key<S: Serializer>(key: &Option<PrivateKey>, serializer: S) -> Result<S::Ok, S::Error> {
    key.as_ref().map(|key| key.to_pkcs8_pem()).serialize(serializer)
}

fn read_key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PrivateKey>, D::Error> {
    let Some(text) = Option::<Zeroizing<String>>::deserialize(deserializer)? else {
        return Ok(None);
    };
    PrivateKey::from_pkcs8_pem(&text).map(Some).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests;
