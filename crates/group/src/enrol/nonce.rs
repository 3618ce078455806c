//! Was this nonce ours, and lately: a time with an HMAC over it, so that nothing is kept.
//!
//! A nonce may be used more than once within its time. Who replays a renewal gets the certificate
//! that its node has asked for, which is of no use without the node's key.

use std::time::Duration;

use aws_lc_rs::hmac::{self, HMAC_SHA256};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pki::UnixTime;
use pki::enrolment::Nonce;

/// How long a nonce is good: a slow connection and a second try.
const LIFE: Duration = Duration::from_secs(300);
const TIME_LEN: usize = 8;
const LABEL: &[u8] = b"warren renewal nonce v1";

/// Draws nonces and knows them again.
pub struct Nonces(hmac::Key);

impl Nonces {
    /// Nonces under a key of this service; all replicas have the same one.
    pub fn new(key: &[u8; 32]) -> Self {
        Self(hmac::Key::new(HMAC_SHA256, key))
    }

    /// Draws a nonce.
    pub fn draw(&self, now: UnixTime) -> Nonce {
        let time = now.0.to_be_bytes();
        let tag = hmac::sign(&self.0, &signed(time));
        let text = URL_SAFE_NO_PAD.encode([&time[..], tag.as_ref()].concat());
        text.parse().expect("base64url of 40 bytes is a nonce")
    }

    /// Returns whether a nonce is one of ours and still good.
    pub fn is_good(&self, nonce: &Nonce, now: UnixTime) -> bool {
        let Ok(bytes) = URL_SAFE_NO_PAD.decode(nonce.as_str()) else { return false };
        let Some((time, tag)) = bytes.split_first_chunk::<TIME_LEN>() else { return false };
        let drawn = UnixTime(u64::from_be_bytes(*time));
        let ours = hmac::verify(&self.0, &signed(*time), tag).is_ok();
        ours && drawn <= now + LIFE && now < drawn + LIFE
    }
}

fn signed(time: [u8; TIME_LEN]) -> Vec<u8> {
    [LABEL, &time].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_wb_12_a_nonce_is_ours_and_lives_five_minutes() {
        let (ours, theirs) = (Nonces::new(&[1; 32]), Nonces::new(&[2; 32]));
        let now = UnixTime(1_800_000_000);
        let nonce = ours.draw(now);
        assert!(ours.is_good(&nonce, now) && ours.is_good(&nonce, now + LIFE / 2));
        assert!(!ours.is_good(&nonce, now + LIFE), "too old");
        assert!(!theirs.is_good(&nonce, now), "of another service");
        let later = ours.draw(now + LIFE);
        let mut bytes = URL_SAFE_NO_PAD.decode(nonce.as_str()).expect("base64url");
        let other = URL_SAFE_NO_PAD.decode(later.as_str()).expect("base64url");
        bytes[..TIME_LEN].copy_from_slice(&other[..TIME_LEN]);
        let forged: Nonce = URL_SAFE_NO_PAD.encode(bytes).parse().expect("a nonce");
        assert!(!ours.is_good(&forged, now + LIFE), "the time is part of what is signed");
        assert!(!ours.is_good(&"short".parse().expect("a nonce"), now));
    }
}
