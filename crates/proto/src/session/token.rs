//! Proof that a dialler receives at the address it sends from, without state at the node that is dialled.
//!
//! The token is an HMAC (RFC 2104) over the far end of the path and the dialler's index. Two keys rotate, so
//! a token is good for one to two [`KEY_LIFE`]. As a QUIC Retry token or a DTLS cookie it authenticates
//! nobody: it keeps forged source addresses from costing us state, work or bytes sent to others.

use super::Index;
use crate::path::Path;
use crate::rng::Rng;
use crate::time::Instant;
use aws_lc_rs::hmac;
use std::fmt;
use std::time::Duration;

/// How long a key mints. Longer than a dial with all its retries, so that a token outlives the dial it was
/// given for.
pub const KEY_LIFE: Duration = Duration::from_secs(60);

/// A path token.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Token(pub [u8; Token::LEN]);

impl Token {
    /// Length in bytes.
    pub const LEN: usize = 16;
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Makes and checks the tokens of one node.
pub struct TokenMint {
    rng: Rng,
    current: hmac::Key,
    previous: hmac::Key,
    rotate_at: Instant,
}

impl TokenMint {
    /// A mint that draws its keys from a generator seeded by `rng`.
    pub fn new(rng: &mut Rng, now: Instant) -> Self {
        let mut rng = Rng::new(rng.bytes());
        let (current, previous) = (draw(&mut rng), draw(&mut rng));
        TokenMint { rng, current, previous, rotate_at: now + KEY_LIFE }
    }

    /// The token for a dialler at the far end of `path` that asked for `index`.
    pub fn mint(&mut self, path: &Path, index: Index, now: Instant) -> Token {
        self.rotate(now);
        let tag = hmac::sign(&self.current, &message(path, index));
        let mut token = [0; Token::LEN];
        token.copy_from_slice(&tag.as_ref()[..Token::LEN]);
        Token(token)
    }

    /// Whether this node minted `token` for the same path and index not long ago.
    pub fn check(&mut self, token: &Token, path: &Path, index: Index, now: Instant) -> bool {
        self.rotate(now);
        let message = message(path, index);
        [&self.current, &self.previous].into_iter().any(|key| {
            let tag = hmac::sign(key, &message);
            aws_lc_rs::constant_time::verify_slices_are_equal(&tag.as_ref()[..Token::LEN], &token.0)
                .is_ok()
        })
    }

    fn rotate(&mut self, now: Instant) {
        if now < self.rotate_at {
            return;
        }
        let fresh = draw(&mut self.rng);
        let former = std::mem::replace(&mut self.current, fresh);
        // After two lives without a call not even the former key may be honoured.
        self.previous = if now < self.rotate_at + KEY_LIFE { former } else { draw(&mut self.rng) };
        self.rotate_at = now + KEY_LIFE;
    }
}

impl fmt::Debug for TokenMint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenMint").field("rotate_at", &self.rotate_at).finish_non_exhaustive()
    }
}

fn draw(rng: &mut Rng) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, &rng.bytes::<32>())
}

fn message(path: &Path, index: Index) -> [u8; 25] {
    let mut message = [0; 25];
    message[..21].copy_from_slice(&path.token_bytes());
    message[21..].copy_from_slice(&index.0.to_be_bytes());
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_its_path_and_index_for_one_to_two_key_lives() {
        let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
        let path = |port| Path::Direct(([10, 0, 0, 1], port).into());
        let mut mint = TokenMint::new(&mut Rng::new([1; 32]), at(0));
        let token = mint.mint(&path(1), Index(7), at(59));
        assert!(mint.check(&token, &path(1), Index(7), at(59)));
        assert!(!mint.check(&token, &path(2), Index(7), at(59)));
        assert!(!mint.check(&token, &path(1), Index(8), at(59)));
        assert!(mint.check(&token, &path(1), Index(7), at(61)));
        assert!(mint.check(&token, &path(1), Index(7), at(119)));
        assert!(!mint.check(&token, &path(1), Index(7), at(122)));
    }

    #[test]
    fn a_long_silence_forgets_both_keys() {
        let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
        let path = Path::Overlay(crate::NodeId::from_bytes([9; 20]));
        let mut mint = TokenMint::new(&mut Rng::new([1; 32]), at(0));
        let token = mint.mint(&path, Index(7), at(1));
        assert!(!mint.check(&token, &path, Index(7), at(500)));
    }
}
