//! The settings of `warren-groupd`: one YAML file, every key with a default but the public address.
//!
//! Unknown keys are errors. The whole file is read and checked before anything is opened or bound.

use std::net::{Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use pki::enrolment::ServiceUrl;
use serde::Deserialize;

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

/// All settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What nodes and people call the service: `https://vpn.example.org:8443`.
    pub url: ServiceUrl,
    /// Where to listen; all addresses on port 8443.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
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
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the configuration {}", path.display()))?;
        let config: Self = pki::yaml::from_str(&text)
            .with_context(|| format!("the configuration {} is not usable", path.display()))?;
        config.check()?;
        Ok(config)
    }

    /// Usual settings for an address and a directory.
    pub fn new(url: ServiceUrl, state_dir: impl Into<PathBuf>) -> Self {
        Self {
            url,
            listen: default_listen(),
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

    fn check(&self) -> Result<()> {
        if !(60..=30 * 24 * 3600).contains(&self.head_life_seconds) {
            bail!("head_life_seconds must be 60 to 2592000");
        }
        if !(1..=4000).contains(&self.audit_days) {
            bail!("audit_days must be 1 to 4000");
        }
        Ok(())
    }
}

fn default_listen() -> SocketAddr {
    (Ipv6Addr::UNSPECIFIED, 8443).into()
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
