//! When is a commit on disk, if many wait for that together?
//!
//! How it works: SQLite waits for the disk within a commit, and there is one writer, so with every command the next
//! ones wait too. Commands of nodes come many at a time. Their commits only reach the write-ahead log as the kernel
//! has it; before a command is answered it waits here until the log was synced. One sync serves all whose commits
//! came before it began, and the writer goes on meanwhile.
//!
//! What must hold: the answer waits for a sync that began after the commit. Nobody acts on what is only committed:
//! a reader may see it, and after a loss of power it may be gone, so this is not for what members are told without
//! having asked (notices, heads): two of one number would be a fork. A process that is killed loses nothing either
//! way. SQLite reads the log up to the first frame that is not whole, so what is on disk has no gaps.

use std::fs::File;
use std::io::{Error, ErrorKind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Mutex;

/// The write-ahead log of a SQLite database.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    /// How many syncs have begun.
    begun: AtomicU64,
    /// The newest sync that has ended; none once one has failed.
    ended: Mutex<Option<u64>>,
}

impl Log {
    /// The log beside this database.
    pub(super) fn of(database: &str) -> Self {
        let path = format!("{database}-wal").into();
        Self { path, begun: AtomicU64::new(0), ended: Mutex::new(Some(0)) }
    }

    /// Waits until all that was committed before this call is on disk.
    pub(super) async fn sync(&self) -> Result<(), Error> {
        let before = self.begun.load(Ordering::SeqCst);
        let mut ended = self.ended.lock().await;
        // What a failed sync was to write may be lost, and the kernel says so once only.
        let newest = ended.ok_or_else(|| {
            Error::other("the disk has failed before: restart the service when it is sound")
        })?;
        if newest > before {
            return Ok(());
        }
        let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let path = self.path.clone();
        let synced = tokio::task::spawn_blocking(move || File::open(path)?.sync_data()).await;
        match synced.map_err(Error::other).flatten() {
            // SQLite removes the log when its last connection closes, and all of it is in the database then.
            Err(error) if error.kind() != ErrorKind::NotFound => {
                *ended = None;
                Err(error)
            }
            Ok(()) | Err(_) => {
                *ended = Some(number);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::task::JoinSet;

    use super::*;

    #[tokio::test]
    async fn who_waits_while_a_sync_runs_shares_the_next_one() {
        let folder = tempfile::tempdir().expect("a scratch directory");
        let database = folder.path().join("db");
        std::fs::write(folder.path().join("db-wal"), "frames").expect("writes");
        let log = Arc::new(Log::of(database.to_str().expect("is text")));
        let mut waits = JoinSet::new();
        for _ in 0..100 {
            let log = Arc::clone(&log);
            waits.spawn(async move { log.sync().await.expect("is on disk") });
        }
        waits.join_all().await;
        // The first began before the others had committed.
        assert_eq!(log.begun.load(Ordering::SeqCst), 2);
        log.sync().await.expect("is on disk");
        assert_eq!(log.begun.load(Ordering::SeqCst), 3, "a later commit needs a later sync");
    }

    #[tokio::test]
    async fn nothing_is_taken_for_durable_after_a_sync_has_failed() {
        let folder = tempfile::tempdir().expect("a scratch directory");
        let file = folder.path().join("file");
        std::fs::write(&file, "not a folder").expect("writes");
        let log = Log::of(file.join("db").to_str().expect("is text"));
        let first = log.sync().await.expect_err("cannot be opened");
        assert!(!first.to_string().contains("before"), "{first}");
        let second = log.sync().await.expect_err("stays so");
        assert!(second.to_string().contains("before"), "{second}");
    }

    #[tokio::test]
    async fn a_log_that_sqlite_has_removed_is_in_the_database() {
        let folder = tempfile::tempdir().expect("a scratch directory");
        let log = Log::of(folder.path().join("db").to_str().expect("is text"));
        log.sync().await.expect("is on disk");
    }
}
