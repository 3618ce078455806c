//! The whole site out of one database and into another: also the way from SQLite to PostgreSQL.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, BufWriter, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::config::Config;
use crate::seal::MasterKey;
use crate::service::Service;
use crate::store::Store;
use crate::store::transfer;

/// Writes the site to a new file of mode 0600.
pub async fn export(service: &Service, to: &Path) -> Result<u64> {
    let file = private(to)?;
    let rows = transfer::export(service.store(), BufWriter::new(&file)).await?;
    file.sync_all().context("cannot write the file")?;
    Ok(rows)
}

/// Reads a site into the database of the settings, which must be empty; its master key must be the
/// one of the site.
pub async fn import(config: &Config, from: &Path) -> Result<u64> {
    let file = File::open(from).with_context(|| format!("cannot open {}", from.display()))?;
    read_into(config, &config.database(), BufReader::new(file)).await
}

/// Copies the site to another database, which must be empty: one command from SQLite to PostgreSQL.
pub async fn copy_to(service: &Service, url: &str) -> Result<u64> {
    let config = service.config();
    let path = config.state_dir.join("copy.new");
    let mut file = private(&path)?;
    // It goes with this process, whatever happens.
    std::fs::remove_file(&path).context("cannot remove the file in between")?;
    transfer::export(service.store(), BufWriter::new(&file)).await?;
    file.seek(SeekFrom::Start(0)).context("cannot read what was written")?;
    read_into(config, url, BufReader::new(file)).await
}

async fn read_into(config: &Config, url: &str, lines: impl std::io::BufRead) -> Result<u64> {
    let path = config.master_key();
    if !path.exists() {
        bail!("{} does not exist: bring the master key of the site first", path.display());
    }
    let master = MasterKey::load(&path)?;
    let store = Store::open(url).await?;
    let mut other = false;
    let accept = |check: &str| {
        other = check != master.check();
        !other
    };
    let read = transfer::import(&store, lines, accept).await;
    store.close().await;
    if other {
        bail!("{} is not the master key of that site: bring the right one", path.display());
    }
    Ok(read?)
}

fn private(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(0o600);
    let name = path.display();
    options.open(path).with_context(|| format!("cannot make {name}: it must not exist yet"))
}
