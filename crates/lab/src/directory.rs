//! The directory of a lab: logs and scratch files, named by process id. Keys and blobs are among them, so it is
//! open to nobody else.
//!
//! A process that is killed cannot clean up; the next lab on the machine does it, as soon as no
//! process has that id any more. Set [`KEEP`] to look at the logs after a test.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};

/// Environment variable; when set, the directory stays.
const KEEP: &str = "WARREN_LAB_KEEP";

/// Directories are called `warren-lab-<pid>-<number>`.
const PREFIX: &str = "warren-lab-";

/// Directories of this process, for [`remove_directories`].
static LIVE: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// How often a directory is tried to be removed in which daemons still write.
const REMOVALS_MAX: usize = 10;

/// Removes the directories of all labs of this process: for a process that ends by a signal and drops nothing.
/// End it right afterwards; its daemons and namespaces go with it.
pub fn remove_directories() {
    let live = std::mem::take(&mut *LIVE.lock().unwrap_or_else(PoisonError::into_inner));
    if std::env::var_os(KEEP).is_some() {
        return;
    }
    for path in live {
        // It is there for as long as somebody makes a file in it between two looks.
        let _ = (0..REMOVALS_MAX).find(|_| fs::remove_dir_all(&path).is_ok() || !path.exists());
    }
}

#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
}

impl Directory {
    pub(crate) fn create() -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let parent = std::env::temp_dir();
        remove_leftovers(&parent);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self::create_at(parent.join(format!("{PREFIX}{}-{number}", std::process::id())))
    }

    /// The name is this process's: what is there was left by another that had the same id.
    fn create_at(path: PathBuf) -> Result<Self> {
        let _ = fs::remove_dir_all(&path);
        DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("cannot make {}", path.display()))?;
        LIVE.lock().unwrap_or_else(PoisonError::into_inner).push(path.clone());
        Ok(Self { path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        LIVE.lock().unwrap_or_else(PoisonError::into_inner).retain(|path| *path != self.path);
        if std::env::var_os(KEEP).is_some() {
            // Under its old name the next lab would remove it.
            let kept = self.path.with_extension("kept");
            match fs::rename(&self.path, &kept) {
                Ok(()) => eprintln!("lab files kept in {}", kept.display()),
                Err(error) => eprintln!("cannot keep {}: {error}", self.path.display()),
            }
        } else if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("cannot remove {}: {error}", self.path.display());
        }
    }
}

/// Removes directories of labs whose process is gone.
fn remove_leftovers(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let is_dead = name
            .to_str()
            .and_then(owner)
            .is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists());
        if is_dead {
            // Another lab may be removing it as well, or it belongs to another user.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// The process id in a directory name.
fn owner(name: &str) -> Option<u32> {
    let (pid, number) = name.strip_prefix(PREFIX)?.split_once('-')?;
    number.parse::<u32>().ok()?;
    pid.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_lab_owner_reads_only_names_of_labs() {
        assert_eq!(owner("warren-lab-17-0"), Some(17));
        assert_eq!(owner("warren-lab-17"), None);
        assert_eq!(owner("warren-lab-17-0.kept"), None);
        assert_eq!(owner("other-17-0"), None);
    }

    #[test]
    fn unit_lab_what_an_earlier_process_of_the_same_id_left_is_replaced() {
        let parent = Directory::create().unwrap();
        let left = parent.path().join("left");
        fs::create_dir_all(left.join("logs")).unwrap();
        let directory = Directory::create_at(left.clone()).unwrap();
        assert_eq!(fs::read_dir(&left).unwrap().count(), 0);
        drop(directory);
        assert!(!left.exists());
    }

    #[test]
    fn unit_lab_leftovers_of_dead_processes_are_removed() {
        let directory = Directory::create().unwrap();
        // Process ids stop at 2^22, so this one belongs to nobody.
        let dead = directory.path().join("warren-lab-4194305-0");
        let alive = directory.path().join(format!("{PREFIX}{}-7", std::process::id()));
        fs::create_dir(&dead).unwrap();
        fs::create_dir(&alive).unwrap();

        remove_leftovers(directory.path());

        assert!(!dead.exists());
        assert!(alive.exists());
    }
}
