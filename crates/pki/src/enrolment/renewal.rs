//! The renewal: a node asks with the certificate it has, and proves that it holds its key.
//!
//! The proof is a signature over what is asked and over a nonce of the service, so that it cannot be
//! kept and shown again. No token is needed, so a stolen blob renews nothing and an ended token
//! stops no member.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::json::messages;
use crate::certificate::Certificate;
use crate::key::{self, PrivateKey, SIGNATURE_LEN};
use crate::pem::{from_base64, to_base64};
use crate::request::Request;

/// Keeps these signatures apart from all others of the same key.
const SIGNATURE_LABEL: &[u8] = b"warren renewal v1\0";
/// Longest nonce in bytes: a time and an HMAC in base64url, with room.
const NONCE_LEN_MAX: usize = 128;

/// What the service wants to see signed: base64url, good for some minutes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Nonce(String);

impl Nonce {
    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The text is no nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 1 to {NONCE_LEN_MAX} characters of base64url")]
pub struct ParseNonceError;

impl FromStr for Nonce {
    type Err = ParseNonceError;

    fn from_str(text: &str) -> Result<Self, ParseNonceError> {
        let fits = (1..=NONCE_LEN_MAX).contains(&text.len());
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        (fits && plain).then(|| Self(text.to_owned())).ok_or(ParseNonceError)
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Nonce {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Nonce {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// `POST /enrol/v1/renewal`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenewalRequest {
    /// What is asked for; carries the node ID.
    pub request: Request,
    /// The certificate to renew.
    pub certificate: Certificate,
    /// The nonce that was signed.
    pub nonce: Nonce,
    #[serde(serialize_with = "write_signature", deserialize_with = "read_signature")]
    signature: [u8; SIGNATURE_LEN],
}

messages!(REQUEST_LEN_MAX: RenewalRequest);

impl RenewalRequest {
    /// Signs a request for renewal with the node's key.
    pub fn sign(
        key: &PrivateKey,
        request: Request,
        certificate: Certificate,
        nonce: Nonce,
    ) -> Self {
        let mut signature = [0; SIGNATURE_LEN];
        signature.copy_from_slice(&key.sign(&to_be_signed(&request, &nonce)));
        Self { request, certificate, nonce, signature }
    }

    /// Returns whether the holder of the certificate's key has signed, and asks for this key again.
    ///
    /// Whether the certificate is good is for [`Trust`](crate::Trust::judge_renewal) to say.
    pub fn is_proven(&self) -> bool {
        let Ok(member) = self.certificate.unverified() else { return false };
        let message = to_be_signed(&self.request, &self.nonce);
        member.spki == self.request.spki() && key::verify(&member.spki, &message, &self.signature)
    }
}

/// The hash has a fixed length, so where the nonce starts is never in doubt.
fn to_be_signed(request: &Request, nonce: &Nonce) -> Vec<u8> {
    let hash = digest(&SHA256, request.der());
    [SIGNATURE_LABEL, hash.as_ref(), nonce.0.as_bytes()].concat()
}

fn write_signature<S: Serializer>(
    signature: &[u8; SIGNATURE_LEN],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&to_base64(signature))
}

fn read_signature<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<[u8; SIGNATURE_LEN], D::Error> {
    let bytes = from_base64(&String::deserialize(deserializer)?);
    let signature = bytes.and_then(|bytes| bytes.try_into().ok());
    signature.ok_or_else(|| serde::de::Error::custom("a signature is 64 bytes in base64"))
}
