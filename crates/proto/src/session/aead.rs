//! What seals bytes: AES-256-GCM, ChaCha20-Poly1305, or the checksum that stands in for them in simulations.
//!
//! Nonces are counters: a key must never seal two messages under the same number. Its owner keeps that promise
//! (see [`keys`](super::keys)).

use crate::wire::frame::TAG_LEN;
use aws_lc_rs::aead::{
    AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey,
};
use std::fmt;

/// How the frames of a session are sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cipher {
    /// AES-256-GCM, where the processor has it.
    Aes256Gcm,
    /// ChaCha20-Poly1305, elsewhere.
    ChaCha20Poly1305,
    /// No secrecy: the plaintext and a checksum. Only the null suite of simulations chooses it.
    Null,
}

/// A key of one cipher.
pub(super) enum Key {
    Aead(LessSafeKey),
    Null(u64),
}

/// The bytes were not sealed by the holder of the key, or not under this number and header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Forged;

impl Key {
    pub(super) fn new(cipher: Cipher, secret: &[u8; 32]) -> Key {
        let algorithm = match cipher {
            Cipher::Aes256Gcm => &AES_256_GCM,
            Cipher::ChaCha20Poly1305 => &CHACHA20_POLY1305,
            Cipher::Null => {
                let [a, b, c, d, e, f, g, h, ..] = *secret;
                return Key::Null(u64::from_le_bytes([a, b, c, d, e, f, g, h]));
            }
        };
        Key::Aead(LessSafeKey::new(
            UnboundKey::new(algorithm, secret).expect("both ciphers take keys of 32 bytes"),
        ))
    }

    /// Encrypts `body` in place and returns the tag over it and `header`.
    pub(super) fn seal(&self, number: u64, header: &[u8], body: &mut [u8]) -> [u8; TAG_LEN] {
        match self {
            Key::Aead(key) => {
                let tag = key
                    .seal_in_place_separate_tag(nonce(number), Aad::from(header), body)
                    .expect("sealing fails only beyond 2^36 bytes");
                let mut out = [0; TAG_LEN];
                out.copy_from_slice(tag.as_ref());
                out
            }
            Key::Null(key) => checksum(*key, number, header, body),
        }
    }

    /// Decrypts `sealed`, ciphertext and tag, in place.
    pub(super) fn open<'a>(
        &self,
        number: u64,
        header: &[u8],
        sealed: &'a mut [u8],
    ) -> Result<&'a mut [u8], Forged> {
        match self {
            Key::Aead(key) => {
                key.open_in_place(nonce(number), Aad::from(header), sealed).map_err(|_| Forged)
            }
            Key::Null(key) => {
                let (body, tag) = sealed.split_last_chunk_mut::<TAG_LEN>().ok_or(Forged)?;
                if *tag == checksum(*key, number, header, body) { Ok(body) } else { Err(Forged) }
            }
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

fn nonce(number: u64) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    bytes[NONCE_LEN - 8..].copy_from_slice(&number.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

/// 16 bytes that change with every byte of the input and with its length. Not a MAC: it finds accidents and
/// tests' tampering, in 0.2 us for a full frame.
pub(super) fn checksum(key: u64, number: u64, header: &[u8], body: &[u8]) -> [u8; 16] {
    let seed = mix(key ^ 0x9e37_79b9_7f4a_7c15, number);
    let sum = absorb(absorb(seed, header), body);
    let mut out = [0; 16];
    out[..8].copy_from_slice(&sum.to_le_bytes());
    out[8..].copy_from_slice(&mix(sum, key).to_le_bytes());
    out
}

/// Four sums side by side, so that one multiplication does not wait for another.
fn absorb(seed: u64, bytes: &[u8]) -> u64 {
    let mut sums = [seed, !seed, seed.rotate_left(16), seed.rotate_left(32)];
    let mut add = |block: &[u8; 32]| {
        for (sum, word) in sums.iter_mut().zip(block.as_chunks::<8>().0) {
            *sum = mix(*sum, u64::from_le_bytes(*word));
        }
    };
    let (blocks, rest) = bytes.as_chunks::<32>();
    blocks.iter().for_each(&mut add);
    let mut last = [0; 32];
    last[..rest.len()].copy_from_slice(rest);
    add(&last);
    sums.iter().fold(bytes.len() as u64, |all, sum| mix(all.rotate_left(7), *sum))
}

fn mix(a: u64, b: u64) -> u64 {
    let x = (a ^ b).wrapping_mul(0xff51_afd7_ed55_8ccd);
    (x ^ (x >> 32)).wrapping_add(0x2545_f491_4f6c_dd1d)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cipher_notices_a_change_of_any_byte_number_or_key() {
        for cipher in [Cipher::Aes256Gcm, Cipher::ChaCha20Poly1305, Cipher::Null] {
            let (key, other) = (Key::new(cipher, &[7; 32]), Key::new(cipher, &[8; 32]));
            let mut sealed = b"the quick brown fox".to_vec();
            let tag = key.seal(5, b"header", &mut sealed);
            sealed.extend(tag);
            let open = |key: &Key, number, header: &[u8], bytes: &[u8]| {
                key.open(number, header, &mut bytes.to_vec()).map(|plain| plain.to_vec())
            };
            assert_eq!(
                open(&key, 5, b"header", &sealed).as_deref(),
                Ok(&b"the quick brown fox"[..])
            );
            assert_eq!(open(&key, 6, b"header", &sealed), Err(Forged));
            assert_eq!(open(&key, 5, b"headeR", &sealed), Err(Forged));
            assert_eq!(open(&other, 5, b"header", &sealed), Err(Forged));
            for bit in 0..sealed.len() * 8 {
                let mut bent = sealed.clone();
                bent[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(open(&key, 5, b"header", &bent), Err(Forged), "{cipher:?} bit {bit}");
            }
            assert_eq!(open(&key, 5, b"header", &sealed[..15]), Err(Forged));
        }
    }
}
