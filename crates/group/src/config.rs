//! The settings of `warren-groupd`: one YAML file, every key with a default but the public address.
//!
//! Unknown keys are errors. The whole file is read and checked before anything is opened or bound.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use pki::enrolment::{PINS_MAX, Pin, ServiceUrl};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// The settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// There is no file.
    #[error(
        "there is no configuration {0}: write one (`url: https://HOST:8443` is enough), or name another file \
         with --config"
    )]
    Missing(String),
    /// The file cannot be read.
    #[error("cannot read the configuration {path}: {error}; run this as the user of the service")]
    Unreadable {
        /// Which.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// It is not what it should be.
    #[error("the configuration {path} is not usable: {error}")]
    Malformed {
        /// Which.
        path: String,
        /// Where, and what is expected there.
        error: pki::yaml::YamlError,
    },
    /// A setting is outside its limits.
    #[error("the configuration is not usable: {0}")]
    Rule(String),
}

/// Who may do something on the site.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Whoever {
    /// Everybody.
    #[default]
    Everybody,
    /// Administrators of the site.
    SiteAdministrators,
}

/// A certificate of the operator's, instead of the one that the service makes itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// File with the chain as PEM, the server's own certificate first.
    pub certificate: PathBuf,
    /// File with its key as PEM.
    pub key: PathBuf,
    /// Whether the roots of the web verify it. Blobs carry no pin then, so that the key may change
    /// with each renewal.
    #[serde(default)]
    pub public: bool,
}

/// An OpenID provider by which people may log in.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Oidc {
    /// Its address, as it calls itself.
    pub issuer: String,
    /// What it calls this service.
    pub client_id: String,
    /// File with the secret that it has given to this service, if it has.
    #[serde(default)]
    pub client_secret_file: Option<PathBuf>,
    /// What the button says.
    #[serde(default = "default_oidc_name")]
    pub name: String,
    /// File with the roots that its certificate is verified by, as PEM; those of this host otherwise.
    #[serde(default)]
    pub roots: Option<PathBuf>,
}

/// All settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What nodes and people call the service: `https://vpn.example.org:8443`.
    pub url: ServiceUrl,
    /// Where to listen; all addresses on port 8443.
    #[serde(default = "default_listen", deserialize_with = "address")]
    pub listen: SocketAddr,
    /// Where `/healthz`, `/readyz` and `/metrics` are, in plain HTTP; 127.0.0.1:9416.
    #[serde(default = "default_operations", deserialize_with = "address")]
    pub operations: SocketAddr,
    /// The certificate; without it, the service makes one and blobs pin its key.
    #[serde(default)]
    pub tls: Option<Tls>,
    /// Keys that blobs pin besides the one in use: of other replicas, or one to come; at most 3.
    #[serde(default)]
    pub also_pinned: Vec<Pin>,
    /// An OpenID provider beside local accounts.
    #[serde(default)]
    pub oidc: Option<Oidc>,
    /// Sockets of the `warren` daemons that tell members of revocations, by group.
    #[serde(default)]
    pub daemons: HashMap<String, PathBuf>,
    /// Where database, master key and certificate are, unless these say otherwise.
    #[serde(default = "default_state_dir")]
    pub state_dir: PathBuf,
    /// `sqlite:PATH` or `postgres://USER@HOST/NAME`; `sqlite:group.db` in the state directory.
    #[serde(default)]
    pub database: Option<String>,
    /// File with the master key; `master.key` in the state directory.
    #[serde(default)]
    pub master_key: Option<PathBuf>,
    /// Who may sign up without being invited.
    #[serde(default)]
    pub who_signs_up: Whoever,
    /// Who may make groups.
    #[serde(default)]
    pub who_makes_groups: Whoever,
    /// How long the word that no newer notice exists is good, in seconds: an hour.
    #[serde(default = "default_head_life")]
    pub head_life_seconds: u64,
    /// How long the audit log is kept, in days: 400.
    #[serde(default = "default_audit_days")]
    pub audit_days: u32,
}

impl Config {
    /// Reads the file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let name = || path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => ConfigError::Missing(name()),
            _ => ConfigError::Unreadable { path: name(), error },
        })?;
        let config: Self = pki::yaml::from_str(&text)
            .map_err(|error| ConfigError::Malformed { path: name(), error })?;
        config.check()?;
        Ok(config)
    }

    /// Usual settings for an address and a directory.
    pub fn new(url: ServiceUrl, state_dir: impl Into<PathBuf>) -> Self {
        Self {
            url,
            listen: default_listen(),
            operations: default_operations(),
            tls: None,
            also_pinned: Vec::new(),
            oidc: None,
            daemons: HashMap::new(),
            state_dir: state_dir.into(),
            database: None,
            master_key: None,
            who_signs_up: Whoever::default(),
            who_makes_groups: Whoever::default(),
            head_life_seconds: default_head_life(),
            audit_days: default_audit_days(),
        }
    }

    /// Returns the address of the database.
    pub fn database(&self) -> String {
        let usual = || format!("sqlite:{}", self.state_dir.join("group.db").display());
        self.database.clone().unwrap_or_else(usual)
    }

    /// Returns the file of the master key.
    pub fn master_key(&self) -> PathBuf {
        self.master_key.clone().unwrap_or_else(|| self.state_dir.join("master.key"))
    }

    /// Returns how long a head is good.
    pub const fn head_life(&self) -> Duration {
        Duration::from_secs(self.head_life_seconds)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let issuer = self.oidc.as_ref().map(|oidc| oidc.issuer.as_str());
        let rules = [
            (
                issuer.is_none_or(|issuer| issuer.starts_with("https://")),
                "the issuer of oidc must be an https address".to_owned(),
            ),
            (
                self.also_pinned.len() < PINS_MAX,
                format!("also_pinned has at most {} keys", PINS_MAX - 1),
            ),
            (
                (60..=30 * 24 * 3600).contains(&self.head_life_seconds),
                "head_life_seconds must be 60 to 2592000".to_owned(),
            ),
            ((1..=4000).contains(&self.audit_days), "audit_days must be 1 to 4000".to_owned()),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            Some((_, rule)) => Err(ConfigError::Rule(rule)),
            None => Ok(()),
        }
    }
}

/// Reads where to listen.
fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    const EXPECTED: &str = "listen and operations are ADDRESS:PORT, such as \"[::]:8443\" for all \
        addresses, or 127.0.0.1:8443";
    String::deserialize(deserializer)?.parse().map_err(|_| D::Error::custom(EXPECTED))
}

fn default_listen() -> SocketAddr {
    (Ipv6Addr::UNSPECIFIED, 8443).into()
}

fn default_oidc_name() -> String {
    "OpenID".to_owned()
}

fn default_operations() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 9416).into()
}

fn default_state_dir() -> PathBuf {
    "/var/lib/warren-groupd".into()
}

const fn default_head_life() -> u64 {
    3600
}

const fn default_audit_days() -> u32 {
    400
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_keys_are_errors_and_the_rest_has_defaults() {
        let read = |text| pki::yaml::from_str::<Config>(text);
        let config = read("url: https://vpn.example.org:8443\n").expect("is enough");
        assert_eq!(config.database(), "sqlite:/var/lib/warren-groupd/group.db");
        assert_eq!(config.head_life(), Duration::from_secs(3600));
        let error = read("url: https://vpn.example.org\nlistn: x\n").expect_err("misspelt");
        assert!(error.to_string().contains("listn"), "{error}");
        assert!(read("url: http://vpn.example.org\n").is_err(), "no plain HTTP");
    }
}
