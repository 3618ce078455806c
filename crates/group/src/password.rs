//! Passwords: argon2id with the parameters that OWASP asks for, a few at a time.
//!
//! A hash takes 19 MiB and some tens of milliseconds, so a flood of log-ins would take all memory
//! and all cores. No more than [`AT_ONCE`] run; the others wait, and the log-in limits of the HTTP
//! side keep that line short.

use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

/// Memory of one hash in KiB (OWASP password storage cheat sheet: 19 MiB, 2 passes, 1 lane).
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// Hashes at one time: 38 MiB, and never more than two cores.
pub const AT_ONCE: usize = 2;

/// Hashes passwords and verifies them.
#[derive(Clone, Debug)]
pub struct Passwords {
    turns: Arc<Semaphore>,
    /// The hash of nothing anybody knows: verified where there is no account, to take the same time.
    decoy: Arc<str>,
}

impl Passwords {
    /// Makes the line; draws the decoy.
    pub fn new() -> Self {
        let mut nothing = Zeroizing::new([0; 32]);
        aws_lc_rs::rand::fill(&mut *nothing)
            .expect("the system generator cannot fail once it is seeded");
        Self { turns: Arc::new(Semaphore::new(AT_ONCE)), decoy: hash(&*nothing).into() }
    }

    /// Hashes a password.
    pub async fn hash(&self, password: Zeroizing<String>) -> String {
        self.in_turn(move || hash(password.as_bytes())).await
    }

    /// Verifies a password; without a stored hash it takes as long and fails.
    pub async fn verify(&self, stored: Option<String>, password: Zeroizing<String>) -> bool {
        let known = stored.is_some();
        let stored = stored.unwrap_or_else(|| self.decoy.to_string());
        let right = self.in_turn(move || {
            let stored = PasswordHash::new(&stored);
            stored.is_ok_and(|s| argon2().verify_password(password.as_bytes(), &s).is_ok())
        });
        right.await && known
    }

    async fn in_turn<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let turn = self.turns.clone().acquire_owned().await.expect("nobody closes the line");
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        done.await.expect("hashing does not panic")
    }
}

impl Default for Passwords {
    fn default() -> Self {
        Self::new()
    }
}

fn argon2() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).expect("constants within limits");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

fn hash(password: &[u8]) -> String {
    argon2().hash_password(password).expect("a salt is drawn, the length is bounded").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(password: &str) -> Zeroizing<String> {
        Zeroizing::new(password.to_owned())
    }

    #[tokio::test]
    async fn the_right_password_verifies_and_no_other() {
        let passwords = Passwords::new();
        let stored = passwords.hash(text("correct horse")).await;
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert!(passwords.verify(Some(stored.clone()), text("correct horse")).await);
        assert!(!passwords.verify(Some(stored), text("wrong horse")).await);
        assert!(!passwords.verify(None, text("correct horse")).await);
        assert!(!passwords.verify(Some("junk".to_owned()), text("correct horse")).await);
    }
}
