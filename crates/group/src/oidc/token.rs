//! Does this ID token vouch for somebody: signature, issuer, audience, times, nonce (OpenID Connect
//! Core 1.0, section 3.1.3.7). Pure.
//!
//! What must hold: the key decides which algorithm is right, not the token. Two are known, RS256 and
//! ES256; everything else is refused, `none` and shared secrets among it.

use std::time::Duration;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pki::UnixTime;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// How far the provider's clock may be from ours.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(120);

/// A token is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is not three parts of base64url with JSON in them.
    #[error("the ID token cannot be read")]
    Malformed,
    /// The provider shows no such key; it may have a new one.
    #[error("the ID token is signed by a key that the provider does not show")]
    UnknownKey,
    /// The signature is wrong.
    #[error("the signature of the ID token is wrong")]
    Signature,
    /// Another provider, another client, another time or another log-in.
    #[error("the ID token has another {0} than expected")]
    Claim(&'static str),
}

/// The keys that a provider shows (RFC 7517).
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Keys {
    keys: Vec<Key>,
}

#[derive(Clone, Debug, Deserialize)]
struct Key {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// What a token must say.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The provider.
    pub issuer: &'a str,
    /// We.
    pub client_id: &'a str,
    /// The log-in.
    pub nonce: &'a str,
}

/// What a token says of a person.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Claims {
    iss: String,
    /// The person's name at the provider; never another's.
    pub sub: String,
    aud: Audience,
    azp: Option<String>,
    exp: u64,
    iat: u64,
    nonce: Option<String>,
    /// What the person would like to be called.
    pub preferred_username: Option<String>,
    /// Where to write to.
    pub email: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
}

/// Verifies a token; returns what it says.
pub fn verify(
    token: &str,
    keys: &Keys,
    expected: Expected<'_>,
    now: UnixTime,
) -> Result<Claims, TokenError> {
    let mut parts = token.split('.');
    let (Some(header), Some(claims), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(TokenError::Malformed);
    };
    let signed = &token[..header.len() + 1 + claims.len()];
    let header: Header = read(header)?;
    let key = keys.find(&header).ok_or(TokenError::UnknownKey)?;
    key.verify(signed.as_bytes(), &bytes(signature).ok_or(TokenError::Malformed)?)?;
    let claims: Claims = read(claims)?;
    claims.check(expected, now).map_or(Ok(claims), |claim| Err(TokenError::Claim(claim)))
}

impl Keys {
    fn find(&self, header: &Header) -> Option<&Key> {
        let fits = |key: &&Key| {
            let kind = matches!(
                (header.alg.as_str(), key.kty.as_str(), key.crv.as_deref()),
                ("RS256", "RSA", _) | ("ES256", "EC", Some("P-256"))
            );
            let named = header.kid.is_none() || header.kid == key.kid;
            kind && named && key.usage.as_deref().is_none_or(|usage| usage == "sig")
        };
        let mut fitting = self.keys.iter().filter(fits);
        let first = fitting.next()?;
        // A token that names no key is only for a provider that has one.
        (header.kid.is_some() || fitting.next().is_none()).then_some(first)
    }
}

impl Key {
    fn verify(&self, signed: &[u8], signature: &[u8]) -> Result<(), TokenError> {
        let part = |text: &Option<String>| text.as_deref().and_then(bytes);
        let right = match self.kty.as_str() {
            "RSA" => {
                let (n, e) = part(&self.n).zip(part(&self.e)).ok_or(TokenError::UnknownKey)?;
                let key = RsaPublicKeyComponents { n, e };
                key.verify(&RSA_PKCS1_2048_8192_SHA256, signed, signature).is_ok()
            }
            _ => {
                let (x, y) = part(&self.x).zip(part(&self.y)).ok_or(TokenError::UnknownKey)?;
                let point = [&[4][..], &x, &y].concat();
                let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
                key.verify(signed, signature).is_ok()
            }
        };
        right.then_some(()).ok_or(TokenError::Signature)
    }
}

impl Claims {
    /// Returns the first claim that is not as expected.
    fn check(&self, expected: Expected<'_>, now: UnixTime) -> Option<&'static str> {
        let ours = match &self.aud {
            Audience::One(one) => one == expected.client_id,
            Audience::Many(many) => many.iter().any(|one| one == expected.client_id),
        };
        let several = matches!(&self.aud, Audience::Many(many) if many.len() > 1);
        let authorized = self.azp.as_deref().map_or(!several, |azp| azp == expected.client_id);
        let rules = [
            ("issuer", self.iss == expected.issuer),
            ("audience", ours && authorized),
            ("time", now < UnixTime(self.exp) + CLOCK_TOLERANCE),
            ("time", UnixTime(self.iat) <= now + CLOCK_TOLERANCE),
            ("nonce", self.nonce.as_deref() == Some(expected.nonce)),
            ("subject", !self.sub.is_empty() && self.sub.len() <= 255),
        ];
        rules.into_iter().find(|(_, holds)| !holds).map(|(claim, _)| claim)
    }
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

fn read<T: DeserializeOwned>(part: &str) -> Result<T, TokenError> {
    let bytes = bytes(part).ok_or(TokenError::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| TokenError::Malformed)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
    use serde_json::{Value, json};

    use super::*;

    const NOW: UnixTime = UnixTime(1_800_000_000);
    const EXPECTED: Expected<'_> =
        Expected { issuer: "https://id.example.org", client_id: "warren", nonce: "n1" };

    fn claims() -> Value {
        json!({ "iss": EXPECTED.issuer, "sub": "u-7", "aud": "warren", "nonce": "n1",
            "exp": NOW.0 + 300, "iat": NOW.0, "preferred_username": "ana" })
    }

    fn encode(value: &Value) -> String {
        URL_SAFE_NO_PAD.encode(value.to_string())
    }

    struct Provider(EcdsaKeyPair);

    impl Provider {
        fn new() -> Self {
            Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("draws"))
        }

        fn keys(&self) -> Keys {
            let point = self.0.public_key().as_ref();
            let [x, y] = [&point[1..33], &point[33..]].map(|part| URL_SAFE_NO_PAD.encode(part));
            let key =
                json!({ "kty": "EC", "crv": "P-256", "kid": "k1", "use": "sig", "x": x, "y": y });
            serde_json::from_value(json!({ "keys": [key] })).expect("is a set")
        }

        fn sign(&self, header: &Value, claims: &Value) -> String {
            let signed = format!("{}.{}", encode(header), encode(claims));
            let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes()).expect("signs");
            format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
        }
    }

    #[test]
    fn unit_wb_01_a_token_of_the_provider_for_this_log_in_is_believed() {
        let provider = Provider::new();
        let header = json!({ "alg": "ES256", "kid": "k1" });
        let token = provider.sign(&header, &claims());
        let said = verify(&token, &provider.keys(), EXPECTED, NOW).expect("is good");
        assert_eq!((said.sub.as_str(), said.preferred_username.as_deref()), ("u-7", Some("ana")));
    }

    #[test]
    fn unit_wb_01_any_other_token_is_refused() {
        let provider = Provider::new();
        let (good, keys) = (json!({ "alg": "ES256", "kid": "k1" }), provider.keys());
        for (claim, value) in [
            ("iss", json!("https://evil.example")),
            ("aud", json!("another")),
            ("aud", json!(["warren", "another"])),
            ("exp", json!(NOW.0 - 300)),
            ("iat", json!(NOW.0 + 300)),
            ("nonce", json!("n2")),
            ("nonce", json!(null)),
            ("sub", json!("")),
        ] {
            let mut wrong = claims();
            wrong[claim] = value;
            let refused = verify(&provider.sign(&good, &wrong), &keys, EXPECTED, NOW);
            assert!(matches!(refused, Err(TokenError::Claim(_))), "{claim}: {refused:?}");
        }
        let check = |token: &str| verify(token, &keys, EXPECTED, NOW).expect_err("is bad");
        assert_eq!(check(&Provider::new().sign(&good, &claims())), TokenError::Signature);
        for alg in ["none", "HS256", "RS256"] {
            let token = provider.sign(&json!({ "alg": alg, "kid": "k1" }), &claims());
            assert_eq!(check(&token), TokenError::UnknownKey, "{alg}");
        }
        let other = provider.sign(&json!({ "alg": "ES256", "kid": "k2" }), &claims());
        assert_eq!(check(&other), TokenError::UnknownKey);
        assert_eq!(check("a.b"), TokenError::Malformed);
    }
}
