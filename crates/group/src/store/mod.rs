//! The store: SQLite inside the process, or PostgreSQL for several replicas; one set of tables and
//! queries for both.
//!
//! How it works: a command runs in one transaction ([`Store::begin`]) that first locks the row of
//! its group (or of the site), so commands of one group come one after the other on both databases,
//! and in PostgreSQL those of two groups do not wait for each other. SQLite has one writer anyway;
//! readers see the last commit and wait for nobody (write-ahead log).
//!
//! What must hold: what was answered survives a crash of the process and of the machine: a commit waits
//! for the disk (`synchronous=FULL`), or its command does (`durable`). Every statement is text from this folder; values are only ever bound.
//!
//! | file | question |
//! |---|---|
//! | `durable` | when is a commit on disk, if many wait for that together |
//! | `column` | how a column becomes a value |
//! | `load` | what may a command know |
//! | `apply`, `apply_site` | how does an event change the tables |
//! | `read`, `page` | what do the pages and the API show |
//! | `chain` | how are authorities, secrets and notices kept |
//! | `server` | why does PostgreSQL not let us in |
//! | `session` | how are sessions and API tokens kept |
//! | `device` | how are devices kept that wait for their user's word |
//! | `transfer` | how does a whole site get from one database to another |
//! | `check` | what must never be in the tables |

mod apply;
pub mod apply_site;
pub mod chain;
pub mod check;
mod column;
pub mod detail;
pub mod device;
mod durable;
pub mod load;
mod page;
pub mod read;
mod server;
pub mod session;
pub mod transfer;

use std::borrow::Cow;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyConnection, AnyPool, SqlSafeStr, Transaction};

use durable::Log;

pub use apply::apply;
pub use apply_site::{SITE, apply_site, note_site};
pub use load::{Locked, Origin, load, lock_group, lock_site};
pub use page::{Cursor, PAGE_DEFAULT, PAGE_MAX, Page, Paged};

/// Connections to PostgreSQL for commands, and as many for reading: what a small server allows
/// several replicas.
const CONNECTIONS: u32 = 8;
/// Connections that read SQLite beside the one that writes.
const SQLITE_READERS: u32 = 4;
/// How long a command waits for a connection or a lock before it fails.
const PATIENCE: Duration = Duration::from_secs(10);

/// The database fails, or holds what it cannot hold.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It says no.
    #[error("the database: {0}")]
    Database(#[from] sqlx::Error),
    /// Its server does not answer, or does not let us in.
    #[error("PostgreSQL at {at}: {why}")]
    Server {
        /// Host and port, or the directory of the socket.
        at: String,
        /// What is wrong, and what to do.
        why: String,
    },
    /// Its tables have a step that this program does not know.
    #[error(
        "the database was used by a newer warren-groupd (its tables have step {0}): start that one, or \
         restore the backup from before"
    )]
    Newer(i64),
    /// Its tables do not become those of this version.
    #[error("the tables cannot be brought up to date: {0}")]
    Migration(MigrateError),
    /// A value is not what was once written.
    #[error("the database holds a bad {0}; restore a backup")]
    Corrupt(&'static str),
    /// Neither SQLite nor PostgreSQL.
    #[error("the database must be sqlite:PATH or postgres://USER@HOST/NAME")]
    Url,
    /// What was committed may not be on disk.
    #[error("the disk of the database: {0}")]
    Disk(std::io::Error),
    /// Its file cannot be made.
    #[error("cannot open the database file: {0}: run this as the user of the service, who owns it")]
    File(std::io::Error),
}

/// Which database it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// In the process.
    Sqlite,
    /// A server.
    Postgres,
}

/// A transaction that writes.
pub type Write = Transaction<'static, Any>;
/// A connection that reads.
pub type Read = PoolConnection<Any>;
/// What both are underneath.
pub type Connection = AnyConnection;

/// The database.
#[derive(Clone, Debug)]
pub struct Store {
    kind: Kind,
    writers: AnyPool,
    readers: AnyPool,
    /// Of SQLite.
    log: Option<Arc<Log>>,
}

impl Store {
    /// Opens the database, makes it if it is a file that does not exist, and brings its tables up to
    /// date.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        sqlx::any::install_default_drivers();
        let (kind, url) = prepare(url)?;
        let log = url.strip_prefix("sqlite:").map(|path| Arc::new(Log::of(path)));
        if kind == Kind::Postgres {
            server::check(&url).await?;
        }
        let options: AnyConnectOptions = url.parse()?;
        let (most_writers, most_readers) = match kind {
            Kind::Sqlite => (1, SQLITE_READERS),
            Kind::Postgres => (CONNECTIONS, CONNECTIONS),
        };
        let writers = pool(kind, most_writers).connect_with(options.clone()).await?;
        migrations().run(&writers).await.map_err(|error| match error {
            MigrateError::VersionMissing(step) => StoreError::Newer(step),
            error => StoreError::Migration(error),
        })?;
        let readers = pool(kind, most_readers).connect_lazy_with(options);
        Ok(Self { kind, writers, readers, log })
    }

    /// Returns which database it is.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Starts a transaction that writes. It is rolled back where it is dropped.
    pub async fn begin(&self) -> Result<Write, StoreError> {
        Ok(match self.kind {
            // A read that wants to write later would fail where somebody wrote in between.
            Kind::Sqlite => {
                self.writers.begin_with("PRAGMA synchronous = FULL; BEGIN IMMEDIATE").await?
            }
            Kind::Postgres => self.writers.begin().await?,
        })
    }

    /// The same for a transaction that ends with [`Store::commit_together`]: see `durable` for what may do so.
    pub async fn begin_together(&self) -> Result<Write, StoreError> {
        Ok(match self.kind {
            Kind::Sqlite => {
                self.writers.begin_with("PRAGMA synchronous = NORMAL; BEGIN IMMEDIATE").await?
            }
            Kind::Postgres => self.writers.begin().await?,
        })
    }

    /// Commits, lets the next one write, and waits for the disk together with others.
    pub async fn commit_together(&self, tx: Write) -> Result<(), StoreError> {
        tx.commit().await?;
        match &self.log {
            Some(log) => log.sync().await.map_err(StoreError::Disk),
            None => Ok(()),
        }
    }

    /// Takes a connection that reads.
    pub async fn read(&self) -> Result<Read, StoreError> {
        Ok(self.readers.acquire().await?)
    }

    /// Starts a transaction that reads: all of it sees one state.
    pub async fn snapshot(&self) -> Result<Write, StoreError> {
        Ok(match self.kind {
            Kind::Sqlite => self.readers.begin().await?,
            Kind::Postgres => {
                let statement = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
                self.readers.begin_with(statement).await?
            }
        })
    }

    /// Waits until all connections are closed.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writers.close().await;
    }

    /// Copies a SQLite database while it is in use.
    pub async fn copy_to(&self, path: &Path) -> Result<(), StoreError> {
        let mut connection = self.readers.acquire().await?;
        let path = path.to_str().ok_or(StoreError::Url)?;
        sqlx::query("VACUUM INTO $1").bind(path).execute(&mut *connection).await?;
        Ok(())
    }
}

/// Returns whether a transaction failed because of another one, and may be tried again.
pub fn is_collision(error: &StoreError) -> bool {
    // Serialization failure and deadlock of PostgreSQL; busy and busy snapshot of SQLite.
    const CODES: [&str; 4] = ["40001", "40P01", "5", "517"];
    let StoreError::Database(sqlx::Error::Database(error)) = error else { return false };
    error.code().is_some_and(|code| CODES.contains(&&*code))
}

/// Returns whether something is there already that must be unique.
pub fn is_duplicate(error: &StoreError) -> bool {
    let StoreError::Database(sqlx::Error::Database(error)) = error else { return false };
    error.is_unique_violation()
}

/// Tells the databases apart; a new SQLite file is private from the start.
fn prepare(url: &str) -> Result<(Kind, String), StoreError> {
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        return Ok((Kind::Postgres, url.to_owned()));
    }
    let path = url.strip_prefix("sqlite:").ok_or(StoreError::Url)?;
    if path.is_empty() || path.contains('?') {
        return Err(StoreError::Url);
    }
    let made = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
    made.map_err(StoreError::File)?;
    Ok((Kind::Sqlite, url.to_owned()))
}

fn pool(kind: Kind, most: u32) -> AnyPoolOptions {
    let options = AnyPoolOptions::new().max_connections(most).acquire_timeout(PATIENCE);
    options.after_connect(move |connection, _| {
        Box::pin(async move {
            let settings: &[&str] = match kind {
                Kind::Sqlite => &[
                    "PRAGMA journal_mode = WAL",
                    "PRAGMA synchronous = FULL",
                    "PRAGMA foreign_keys = ON",
                    "PRAGMA busy_timeout = 10000",
                ],
                Kind::Postgres => &["SET lock_timeout = '10s'", "SET statement_timeout = '30s'"],
            };
            for setting in settings.iter().copied() {
                sqlx::query(setting).execute(&mut *connection).await?;
            }
            Ok(())
        })
    })
}

fn migrations() -> Migrator {
    let all = [
        ("tables", include_str!("../../migrations/0001_tables.sql")),
        ("sessions", include_str!("../../migrations/0002_sessions.sql")),
        ("rotation", include_str!("../../migrations/0003_rotation.sql")),
    ];
    let migration = |(index, (name, sql)): (usize, (&'static str, &'static str))| {
        let version = index as i64 + 1;
        let kind = MigrationType::Simple;
        Migration::new(version, Cow::Borrowed(name), kind, sql.into_sql_str(), false)
    };
    let migrations = all.into_iter().enumerate().map(migration).collect();
    Migrator { migrations: Cow::Owned(migrations), ..Migrator::DEFAULT }
}
