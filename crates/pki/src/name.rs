//! Which names of groups, users and hosts are allowed.
//!
//! Group names stand in URIs, file names and DNS names; user names are free text that a terminal
//! can print; both must fit the 64 characters that X.520 allows a name attribute.

/// Longest group or host name in bytes: a DNS label (RFC 1035 section 2.3.4).
pub const LABEL_LEN_MAX: usize = 63;
/// Longest user name in bytes: the upper bound of a common name (RFC 5280 appendix A).
pub const USER_LEN_MAX: usize = 64;

/// A name breaks the rule stated in the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not a group name.
    #[error("a group name has 1 to 63 of a-z, 0-9, '-' and starts and ends with a letter or digit")]
    Group,
    /// Not a user name.
    #[error("a user name has 1 to 64 bytes, no control characters and no spaces at its ends")]
    User,
    /// Not a host name.
    #[error("a host name has 1 to 63 of a-z, 0-9, '-' and starts and ends with a letter or digit")]
    Host,
}

/// Checks a group name.
pub fn check_group(name: &str) -> Result<(), NameError> {
    is_label(name).then_some(()).ok_or(NameError::Group)
}

/// Checks the host part of a member's name in the group's DNS.
pub fn check_host(name: &str) -> Result<(), NameError> {
    is_label(name).then_some(()).ok_or(NameError::Host)
}

/// Checks a user name.
pub fn check_user(name: &str) -> Result<(), NameError> {
    let fits = (1..=USER_LEN_MAX).contains(&name.len());
    let plain = !name.chars().any(char::is_control) && name.trim() == name;
    (fits && plain).then_some(()).ok_or(NameError::User)
}

fn is_label(name: &str) -> bool {
    (1..=LABEL_LEN_MAX).contains(&name.len())
        && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        && !name.starts_with('-')
        && !name.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_dns_labels() {
        assert!(["a", "team-1", "0", &"x".repeat(63)].iter().all(|n| check_group(n).is_ok()));
        let bad = ["", "-a", "a-", "A", "a/b", "a b", "ä", &"x".repeat(64)];
        assert!(bad.iter().all(|n| check_group(n) == Err(NameError::Group)));
    }

    #[test]
    fn users_may_be_addresses_or_full_names() {
        assert!(["ana@example.org", "Jörg Müller"].iter().all(|n| check_user(n).is_ok()));
        assert!(["", " a", "a\n", "a\0b", &"x".repeat(65)].iter().all(|n| check_user(n).is_err()));
    }
}
