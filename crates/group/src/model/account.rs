//! What holds for accounts: names, passwords, who may make groups.

use super::refusal::Refusal;

/// Longest user name: what a certificate's common name allows.
pub const USER_NAME_LEN_MAX: usize = 64;
/// Shortest password in characters (NIST SP 800-63B asks for 8 and advises more).
pub const PASSWORD_CHARS_MIN: usize = 10;
/// Longest password in characters: bounds what a log-in makes us hash.
pub const PASSWORD_CHARS_MAX: usize = 256;

/// Checks a user name. Lower case and few characters, so that no two names look alike and one can be
/// read out on the telephone.
pub fn check_user_name(name: &str) -> Result<(), Refusal> {
    let plain =
        |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
    let first = name.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let good = first && name.len() <= USER_NAME_LEN_MAX && name.bytes().all(plain);
    good.then_some(()).ok_or(Refusal::UserName)
}

/// Checks a password that somebody wants to use.
pub fn check_password(password: &str) -> Result<(), Refusal> {
    let fits = (PASSWORD_CHARS_MIN..=PASSWORD_CHARS_MAX).contains(&password.chars().count());
    fits.then_some(()).ok_or(Refusal::Password)
}
