//! A copy of the database while it is used: consistent, and useless without the master key.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::config::Config;
use crate::service::Service;
use crate::store::Kind;

/// Copies the database to a new file of mode 0600.
pub async fn backup(service: &Service, to: &Path) -> Result<()> {
    if service.store().kind() == Kind::Postgres {
        bail!("this is a copy of SQLite; back up PostgreSQL with pg_dump");
    }
    if to.exists() {
        bail!("{} exists: choose another name, a backup is never written over", to.display());
    }
    // Made by us first, so that it is never open to others.
    let made = std::fs::File::create_new(to).context("cannot make the file")?;
    made.set_permissions(Permissions::from_mode(0o600))
        .context("cannot close the file to others")?;
    service
        .store()
        .copy_to(to)
        .await
        .with_context(|| format!("cannot copy to {}", to.display()))?;
    made.sync_all().context("cannot write the file")
}

/// What a restored copy needs besides, and what for.
pub fn belongs_to_it(config: &Config) -> Vec<(PathBuf, &'static str)> {
    let mut files = vec![(config.master_key(), "without it the copy is useless")];
    if config.tls.is_none() {
        let key = config.state_dir.join("tls.key");
        files.push((key, "blobs pin it, so without it every node needs a new blob"));
    }
    files
}
