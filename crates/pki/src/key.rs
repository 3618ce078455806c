//! Key pairs and signatures: P-256 or Ed25519, nothing else.
//!
//! A signature outside TLS and X.509 is always 64 bytes: `r ‖ s` with the lower of the two
//! possible `s` for P-256, RFC 8032 for Ed25519. So there is one encoding of each signature, and
//! nobody without the key can turn signed bytes into other signed bytes with the same meaning.
//! Private keys are wiped when dropped and never printed.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED,
    ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    UnparsedPublicKey, VerificationAlgorithm,
};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::pem;

/// Length of every signature made by [`PrivateKey::sign`].
pub const SIGNATURE_LEN: usize = 64;

/// DER of a P-256 SubjectPublicKeyInfo up to the 65 bytes of the uncompressed point (RFC 5480).
const P256_SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// DER of an Ed25519 SubjectPublicKeyInfo up to the 32 bytes of the key (RFC 8410).
const ED25519_SPKI_PREFIX: [u8; 12] =
    [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Order of P-256's base point (FIPS 186-5), big endian.
const P256_ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];
/// Half of [`P256_ORDER`], rounded down: the largest `s` we make or accept.
const P256_HALF_ORDER: [u8; 32] = [
    0x7f, 0xff, 0xff, 0xff, 0x80, 0x00, 0x00, 0x00, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xde, 0x73, 0x7d, 0x56, 0xd3, 0x8b, 0xcf, 0x42, 0x79, 0xdc, 0xe5, 0x61, 0x7e, 0x31, 0x92, 0xa8,
];

/// The kind of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// ECDSA over P-256 with SHA-256: the default, every TLS library and hardware token has it.
    #[default]
    P256,
    /// Ed25519.
    Ed25519,
}

impl Algorithm {
    /// Recognises the kind of a public key, or `None` when it is one we do not take.
    pub fn of_spki(spki: &[u8]) -> Option<Self> {
        split_spki(spki).map(|(algorithm, _)| algorithm)
    }
}

/// Verifies a signature made by [`PrivateKey::sign`]; false for any malformed input.
pub fn verify(spki: &[u8], message: &[u8], signature: &[u8]) -> bool {
    if signature.len() != SIGNATURE_LEN {
        return false;
    }
    match split_spki(spki) {
        Some((Algorithm::P256, point)) => {
            signature[32..] <= P256_HALF_ORDER[..]
                && verify_with(&ECDSA_P256_SHA256_FIXED, point, message, signature)
        }
        Some((Algorithm::Ed25519, point)) => verify_with(&ED25519, point, message, signature),
        None => false,
    }
}

/// Verifies a signature in the encoding of X.509 and TLS: DER for P-256.
pub(crate) fn verify_x509(spki: &[u8], message: &[u8], signature: &[u8]) -> bool {
    match split_spki(spki) {
        Some((Algorithm::P256, point)) => {
            verify_with(&ECDSA_P256_SHA256_ASN1, point, message, signature)
        }
        Some((Algorithm::Ed25519, point)) => verify_with(&ED25519, point, message, signature),
        None => false,
    }
}

/// A private key with its public half. Clones share one copy of the secret.
#[derive(Clone)]
pub struct PrivateKey(Arc<Inner>);

struct Inner {
    pair: Pair,
    pkcs8: Zeroizing<Vec<u8>>,
    spki: Vec<u8>,
}

enum Pair {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl PrivateKey {
    /// Draws a P-256 key from the operating system's generator.
    pub fn generate() -> Self {
        Self::generate_for(Algorithm::default())
    }

    /// Draws a key of the given kind from the operating system's generator.
    pub fn generate_for(algorithm: Algorithm) -> Self {
        const SEEDED: &str = "the system generator cannot fail once it is seeded";
        const ENCODES: &str = "a fresh key has an encoding";
        match algorithm {
            Algorithm::P256 => {
                let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect(SEEDED);
                let pkcs8 = pair.to_pkcs8v1().expect(ENCODES);
                Self::assemble(Pair::P256(pair), pkcs8.as_ref())
            }
            Algorithm::Ed25519 => {
                let pair = Ed25519KeyPair::generate().expect(SEEDED);
                let pkcs8 = pair.to_pkcs8v1().expect(ENCODES);
                Self::assemble(Pair::Ed25519(pair), pkcs8.as_ref())
            }
        }
    }

    /// Reads an unencrypted PKCS#8 key.
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, Error> {
        if let Ok(pair) = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der) {
            return Ok(Self::assemble(Pair::P256(pair), der));
        }
        let pair = Ed25519KeyPair::from_pkcs8(der).map_err(|_| Error::Key)?;
        Ok(Self::assemble(Pair::Ed25519(pair), der))
    }

    /// Reads the `PRIVATE KEY` block of a PEM text.
    pub fn from_pkcs8_pem(text: &str) -> Result<Self, Error> {
        let der = pem::decode_one("PRIVATE KEY", text).ok_or(Error::Pem("PRIVATE KEY"))?;
        Self::from_pkcs8_der(&der)
    }

    /// Returns the key as PKCS#8, for rustls and for hardware-free storage.
    pub fn pkcs8_der(&self) -> &[u8] {
        &self.0.pkcs8
    }

    /// Writes the key as PEM; the text wipes itself.
    pub fn to_pkcs8_pem(&self) -> Zeroizing<String> {
        pem::encode("PRIVATE KEY", &self.0.pkcs8)
    }

    /// Returns the DER SubjectPublicKeyInfo.
    pub fn spki(&self) -> &[u8] {
        &self.0.spki
    }

    /// Returns the kind of the key.
    pub fn algorithm(&self) -> Algorithm {
        match self.0.pair {
            Pair::P256(_) => Algorithm::P256,
            Pair::Ed25519(_) => Algorithm::Ed25519,
        }
    }

    /// Signs in the one fixed 64-byte form that [`verify`] takes; P-256 draws a nonce.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        match &self.0.pair {
            Pair::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Pair::P256(pair) => {
                let signature = pair.sign(&SystemRandom::new(), message).expect(SIGNS);
                let mut bytes = signature.as_ref().to_vec();
                take_lower_s(&mut bytes[32..]);
                bytes
            }
        }
    }

    /// Signs in the encoding of X.509.
    fn sign_x509(&self, message: &[u8]) -> Vec<u8> {
        match &self.0.pair {
            Pair::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Pair::P256(_) => {
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &self.0.pkcs8)
                    .expect("the encoding was read or written by this type");
                pair.sign(&SystemRandom::new(), message).expect(SIGNS).as_ref().to_vec()
            }
        }
    }

    fn assemble(pair: Pair, pkcs8: &[u8]) -> Self {
        let spki = match &pair {
            Pair::P256(pair) => [&P256_SPKI_PREFIX[..], pair.public_key().as_ref()].concat(),
            Pair::Ed25519(pair) => [&ED25519_SPKI_PREFIX[..], pair.public_key().as_ref()].concat(),
        };
        Self(Arc::new(Inner { pair, pkcs8: Zeroizing::new(pkcs8.to_vec()), spki }))
    }
}

const SIGNS: &str = "signing fails only without memory or randomness";

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateKey").field("algorithm", &self.algorithm()).finish_non_exhaustive()
    }
}

/// Lends a key to the certificate writer.
pub(crate) struct X509Signer<'a>(pub(crate) &'a PrivateKey);

impl rcgen::PublicKeyData for X509Signer<'_> {
    fn der_bytes(&self) -> &[u8] {
        raw_point(self.0.spki())
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        x509_algorithm(self.0.algorithm())
    }
}

impl rcgen::SigningKey for X509Signer<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(self.0.sign_x509(message))
    }
}

/// Lends a public key, already recognised, to the certificate writer.
pub(crate) struct X509Subject<'a> {
    pub(crate) spki: &'a [u8],
    pub(crate) algorithm: Algorithm,
}

impl rcgen::PublicKeyData for X509Subject<'_> {
    fn der_bytes(&self) -> &[u8] {
        raw_point(self.spki)
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        x509_algorithm(self.algorithm)
    }
}

fn x509_algorithm(algorithm: Algorithm) -> &'static rcgen::SignatureAlgorithm {
    match algorithm {
        Algorithm::P256 => &rcgen::PKCS_ECDSA_P256_SHA256,
        Algorithm::Ed25519 => &rcgen::PKCS_ED25519,
    }
}

fn raw_point(spki: &[u8]) -> &[u8] {
    split_spki(spki).expect("the key was recognised when it was read").1
}

fn split_spki(spki: &[u8]) -> Option<(Algorithm, &[u8])> {
    if let Some(point) = spki.strip_prefix(&P256_SPKI_PREFIX) {
        return (point.len() == 65 && point[0] == 4).then_some((Algorithm::P256, point));
    }
    let point = spki.strip_prefix(&ED25519_SPKI_PREFIX)?;
    (point.len() == 32).then_some((Algorithm::Ed25519, point))
}

fn verify_with(
    algorithm: &'static dyn VerificationAlgorithm,
    point: &[u8],
    message: &[u8],
    signature: &[u8],
) -> bool {
    UnparsedPublicKey::new(algorithm, point).verify(message, signature).is_ok()
}

/// Replaces `s` by `order - s` when that is lower; both sign the same message.
fn take_lower_s(s: &mut [u8]) {
    if *s > P256_HALF_ORDER[..] {
        subtract_from_order(s);
    }
}

/// Turns one of the two possible `s` of a P-256 signature into the other.
pub(crate) fn subtract_from_order(s: &mut [u8]) {
    let mut borrow = 0;
    for (digit, order) in s.iter_mut().zip(P256_ORDER).rev() {
        let difference = i16::from(order) - i16::from(*digit) - borrow;
        borrow = i16::from(difference < 0);
        *digit = difference.rem_euclid(256) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [Algorithm; 2] = [Algorithm::P256, Algorithm::Ed25519];

    #[test]
    fn signatures_verify_under_the_right_key_and_message_only() {
        for algorithm in BOTH {
            let (key, other) =
                (PrivateKey::generate_for(algorithm), PrivateKey::generate_for(algorithm));
            let signature = key.sign(b"message");
            assert_eq!(signature.len(), SIGNATURE_LEN);
            assert!(verify(key.spki(), b"message", &signature));
            assert!(!verify(key.spki(), b"massage", &signature));
            assert!(!verify(other.spki(), b"message", &signature));
            assert!(!verify(&key.spki()[1..], b"message", &signature));
            assert!(!verify(key.spki(), b"message", &signature[1..]));
        }
    }

    #[test]
    fn the_other_s_of_a_p256_signature_is_refused() {
        let key = PrivateKey::generate();
        // Half of all raw signatures have the higher s: twenty runs meet both branches.
        for _ in 0..20 {
            let low = key.sign(b"message");
            assert!(verify(key.spki(), b"message", &low));
            let mut high = low.clone();
            subtract_from_order(&mut high[32..]);
            assert!(verify_with(&ECDSA_P256_SHA256_FIXED, &key.spki()[26..], b"message", &high));
            assert!(!verify(key.spki(), b"message", &high));
        }
    }

    #[test]
    fn keys_round_trip_as_pem_and_der() {
        for algorithm in BOTH {
            let key = PrivateKey::generate_for(algorithm);
            let read = PrivateKey::from_pkcs8_pem(&key.to_pkcs8_pem()).expect("own output");
            assert_eq!((read.spki(), read.algorithm()), (key.spki(), algorithm));
            assert!(PrivateKey::from_pkcs8_der(key.pkcs8_der()).is_ok());
        }
        assert_eq!(PrivateKey::from_pkcs8_der(b"junk").err(), Some(Error::Key));
    }

    #[test]
    fn debug_shows_no_secret() {
        let text = format!("{:?}", PrivateKey::generate());
        assert_eq!(text, "PrivateKey { algorithm: P256, .. }");
    }
}
