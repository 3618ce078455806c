//! A certificate as bytes: DER inside, PEM in files.

use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::Error;
use crate::pem;
use crate::profile::{self, Member};
use crate::refusal::Refusal;

const LABEL: &str = "CERTIFICATE";

/// Longest certificate that is looked at, in bytes: a member's is about 600, and a handshake
/// flight is capped at 16 KB.
pub const CERTIFICATE_LEN_MAX: usize = 4096;

/// One X.509 certificate, syntactically sound and nothing more: only
/// [`Trust::judge`](crate::Trust::judge) says whether to believe it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Certificate(CertificateDer<'static>);

impl Certificate {
    /// Reads one DER certificate and nothing behind it.
    pub fn from_der(der: &[u8]) -> Result<Self, Error> {
        profile::parse_x509(der).map_err(|_| Error::Certificate("not one X.509 certificate"))?;
        Ok(Self(der.to_vec().into()))
    }

    /// Reads the only `CERTIFICATE` block of a PEM text.
    pub fn from_pem(text: &str) -> Result<Self, Error> {
        Self::from_der(&pem::decode_one(LABEL, text).ok_or(Error::Pem(LABEL))?)
    }

    /// Reads every `CERTIFICATE` block of a PEM text, at least one.
    pub fn all_from_pem(text: &str) -> Result<Vec<Self>, Error> {
        let blocks = pem::decode_all(LABEL, text).ok_or(Error::Pem(LABEL))?;
        blocks.iter().map(|der| Self::from_der(der)).collect()
    }

    /// Returns the DER bytes.
    pub fn der(&self) -> &[u8] {
        &self.0
    }

    /// Returns the DER bytes in the type that rustls takes.
    pub fn as_rustls(&self) -> &CertificateDer<'static> {
        &self.0
    }

    /// Writes PEM.
    pub fn to_pem(&self) -> String {
        pem::encode(LABEL, self.der()).to_string()
    }

    /// Reads what a member certificate claims, believing all of it: for showing, never for
    /// admitting.
    pub fn unverified(&self) -> Result<Member, Refusal> {
        profile::read(self.der())
    }
}

impl Serialize for Certificate {
    /// Writes PEM.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_pem())
    }
}

impl<'de> Deserialize<'de> for Certificate {
    /// Reads PEM.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_pem(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
