//! The certificate extension of ours: roles, salt, pinned address and host name.
//!
//! ```text
//! WarrenMember ::= SEQUENCE {
//!     roles  INTEGER (0..65535),          -- bits of `Roles`
//!     salt   OCTET STRING (SIZE (16)),
//!     ipv4   [0] IMPLICIT OCTET STRING (SIZE (4)) OPTIONAL,
//!     host   [1] IMPLICIT UTF8String (SIZE (1..63)) OPTIONAL }
//! ```
//!
//! It is not critical, so that other X.509 tools accept the certificate. Its identifier lies under
//! `2.25`, the arc that needs no registration (ITU-T X.667); the number was drawn at random.
//! A value is taken only in its one DER form: what is read encodes to the same bytes again.

use std::fmt;
use std::net::Ipv4Addr;
use std::ops::BitOr;
use std::str::FromStr;

use crate::id::Salt;
use crate::name::check_host;

/// Object identifier of the extension.
pub const EXTENSION_OID: [u64; 3] = [2, 25, 3_804_504_669_971_674_134];

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const IPV4: u8 = 0x80;
const HOST: u8 = 0x81;

/// What a member may do beyond being a member; a set of bits.
///
/// Bits without a name are kept, so that an older node carries the roles of a newer authority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Roles(u16);

impl Roles {
    /// A plain member.
    pub const NONE: Self = Self(0);
    /// May offer a way out to other networks.
    pub const GATEWAY: Self = Self(1);
    /// May be chosen as a relay by members.
    pub const RELAY: Self = Self(1 << 1);
    /// Speaks for the group service: policy and revocation notices start here.
    pub const SERVICE: Self = Self(1 << 2);

    const NAMES: [(&str, Self); 3] =
        [("gateway", Self::GATEWAY), ("relay", Self::RELAY), ("service", Self::SERVICE)];

    /// Takes the bits as they are.
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// Returns the bits.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Returns whether every role of `other` is in this set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Roles {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Display for Roles {
    /// Writes the names separated by commas, or `member` for the empty set.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Self::NAMES.iter().filter(|(_, role)| self.contains(*role));
        let names: Vec<&str> = names.map(|(name, _)| *name).collect();
        f.write_str(if names.is_empty() { "member" } else { "" })?;
        f.write_str(&names.join(","))
    }
}

/// The text names a role that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown role {0:?}; roles are gateway, relay and service")]
pub struct ParseRolesError(String);

impl FromStr for Roles {
    type Err = ParseRolesError;

    fn from_str(text: &str) -> Result<Self, ParseRolesError> {
        let mut words =
            text.split(',').map(str::trim).filter(|word| !matches!(*word, "" | "member"));
        words.try_fold(Self::NONE, |roles, word| {
            let known = Self::NAMES.iter().find(|(name, _)| *name == word);
            let (_, role) = known.ok_or_else(|| ParseRolesError(word.to_owned()))?;
            Ok(roles | *role)
        })
    }
}

/// The content of the extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MemberExtension {
    pub(crate) roles: Roles,
    pub(crate) salt: Salt,
    pub(crate) ipv4: Option<Ipv4Addr>,
    pub(crate) host: Option<String>,
}

impl MemberExtension {
    /// Encodes the one DER form; at most 101 bytes, so every length is one byte.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        let [high, low] = self.roles.0.to_be_bytes();
        match (high, low) {
            (0, 0..0x80) => put(&mut body, INTEGER, &[low]),
            (0, _) | (1..0x80, _) => put(&mut body, INTEGER, &[high, low]),
            _ => put(&mut body, INTEGER, &[0, high, low]),
        }
        put(&mut body, OCTET_STRING, self.salt.as_bytes());
        if let Some(address) = self.ipv4 {
            put(&mut body, IPV4, &address.octets());
        }
        if let Some(host) = &self.host {
            put(&mut body, HOST, host.as_bytes());
        }
        let mut der = Vec::with_capacity(body.len() + 2);
        put(&mut der, SEQUENCE, &body);
        der
    }

    /// Decodes the one DER form, or `None`.
    pub(crate) fn decode(der: &[u8]) -> Option<Self> {
        let mut outer = der;
        let mut body = take(&mut outer, SEQUENCE)?;
        let roles = take(&mut body, INTEGER)?;
        let roles = match *roles {
            [low] | [0, low] => u16::from(low),
            [high, low] | [0, high, low] => u16::from_be_bytes([high, low]),
            _ => return None,
        };
        let salt = take(&mut body, OCTET_STRING)?.try_into().ok()?;
        let ipv4 = match take(&mut body, IPV4) {
            Some(octets) => Some(Ipv4Addr::from(<[u8; 4]>::try_from(octets).ok()?)),
            None => None,
        };
        let host = match take(&mut body, HOST) {
            Some(name) => Some(String::from_utf8(name.to_vec()).ok()?),
            None => None,
        };
        if host.as_deref().is_some_and(|host| check_host(host).is_err()) {
            return None;
        }
        let read = Self { roles: Roles(roles), salt: Salt::from_bytes(salt), ipv4, host };
        (read.encode() == der).then_some(read)
    }
}

fn put(out: &mut Vec<u8>, tag: u8, value: &[u8]) {
    debug_assert!(value.len() < 0x80, "a longer value needs the long form of a length");
    out.extend_from_slice(&[tag, value.len() as u8]);
    out.extend_from_slice(value);
}

/// Takes one element with this tag off the front, or leaves the input as it is.
fn take<'a>(input: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    let [first, length, rest @ ..] = *input else { return None };
    if *first != tag || *length >= 0x80 {
        return None;
    }
    let (value, rest) = rest.split_at_checked(usize::from(*length))?;
    *input = rest;
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(
            roles: u16,
            salt: [u8; 16],
            ipv4: Option<u32>,
            host in proptest::option::of("[a-z0-9]{1,63}"),
        ) {
            let extension = MemberExtension {
                roles: Roles(roles),
                salt: Salt::from_bytes(salt),
                ipv4: ipv4.map(Ipv4Addr::from),
                host,
            };
            prop_assert_eq!(MemberExtension::decode(&extension.encode()), Some(extension));
        }

        #[test]
        fn what_is_read_has_one_form(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            if let Some(read) = MemberExtension::decode(&bytes) {
                prop_assert_eq!(read.encode(), bytes);
            }
        }
    }

    #[test]
    fn roles_have_names() {
        let roles: Roles = "gateway, relay".parse().expect("two known names");
        assert_eq!(roles, Roles::GATEWAY | Roles::RELAY);
        assert_eq!(roles.to_string(), "gateway,relay");
        assert_eq!(Roles::NONE.to_string().parse(), Ok(Roles::NONE));
        assert!("gatway".parse::<Roles>().is_err());
    }
}
