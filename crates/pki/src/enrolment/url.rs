//! Where the group service is: an `https` address and nothing else.
//!
//! `http` cannot be written down: a value of this type is always reached over TLS.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::blob::HostPort;

/// Longest address in bytes.
const URL_LEN_MAX: usize = 1024;
const SCHEME: &str = "https://";
const PORT_DEFAULT: u16 = 443;

/// The text is no address of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected https://HOST, https://HOST:PORT or either with a path; http is not spoken")]
pub struct ParseUrlError;

/// The address of a service.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ServiceUrl {
    server: HostPort,
    path: String,
}

impl ServiceUrl {
    /// Returns name or address, and TCP port.
    pub fn server(&self) -> &HostPort {
        &self.server
    }

    /// Returns host and port as HTTP names them: without the port where it is the usual one.
    pub fn authority(&self) -> String {
        let full = self.server.to_string();
        match full.strip_suffix(":443") {
            Some(host) => host.to_owned(),
            None => full,
        }
    }

    /// Returns the path below this address; `path` starts with a slash.
    pub fn path_to(&self, path: &str) -> String {
        format!("{}{path}", self.path)
    }
}

impl FromStr for ServiceUrl {
    type Err = ParseUrlError;

    fn from_str(text: &str) -> Result<Self, ParseUrlError> {
        if text.len() > URL_LEN_MAX {
            return Err(ParseUrlError);
        }
        let rest = text.strip_prefix(SCHEME).ok_or(ParseUrlError)?;
        let (server, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let named = server.parse::<HostPort>();
        let server = named.or_else(|_| format!("{server}:{PORT_DEFAULT}").parse());
        let path = path.trim_end_matches('/');
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-._~%".contains(&b);
        let plain = path.bytes().all(plain);
        match server {
            Ok(server) if plain => Ok(Self { server, path: path.to_owned() }),
            _ => Err(ParseUrlError),
        }
    }
}

impl fmt::Display for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}{}", self.authority(), self.path)
    }
}

impl fmt::Debug for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for ServiceUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ServiceUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
