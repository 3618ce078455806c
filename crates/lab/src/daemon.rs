//! A program that runs in the background of a host until it is dropped.
//!
//! Both output streams go to one file, so that nothing is lost when the program is killed. When a
//! test fails, the end of that file is printed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::directory::Directory;
use crate::eventually::eventually;

/// How long a dropped daemon may take to end by itself before it is killed.
const GRACE: Duration = Duration::from_secs(2);

/// How many lines of a log are printed when a test fails.
const LINES_PRINTED: usize = 40;

/// A running program, see [`crate::Host::spawn`]. It ends with its host at the latest.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    log: PathBuf,
    /// Keeps the log until the daemon is dropped.
    _directory: Arc<Directory>,
}

impl Daemon {
    /// Starts `command`. The calling thread must live as long as the daemon shall.
    pub(crate) fn start(
        mut command: Command,
        log: PathBuf,
        directory: Arc<Directory>,
    ) -> Result<Self> {
        let output =
            File::create(&log).with_context(|| format!("cannot make {}", log.display()))?;
        let errors = output.try_clone().context("cannot share the log")?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        Ok(Self { child, log, _directory: directory })
    }

    /// The program's process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks the program to end (SIGTERM).
    pub fn terminate(&mut self) -> Result<()> {
        self.signal(Signal::SIGTERM)
    }

    /// Ends the program at once (SIGKILL).
    pub fn kill(&mut self) -> Result<()> {
        self.signal(Signal::SIGKILL)
    }

    /// Sends a signal; does nothing when the program has ended.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        // A child that has not been waited for keeps its id, so this cannot hit a stranger.
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        let pid = i32::try_from(self.child.id()).context("process id out of range")?;
        match kill(Pid::from_raw(pid), signal) {
            Err(Errno::ESRCH) => Ok(()),
            result => result.with_context(|| format!("cannot send {signal} to {pid}")),
        }
    }

    /// Whether the program has not ended yet.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Waits for the program to end by itself or by a signal sent before.
    pub fn wait_exit(&mut self, timeout: Duration) -> Result<ExitStatus> {
        eventually(timeout, || self.child.try_wait()?.ok_or_else(|| anyhow!("still running")))
    }

    /// Waits until the log contains `text`.
    pub fn wait_for_log(&self, text: &str, timeout: Duration) -> Result<()> {
        eventually(timeout, || {
            ensure!(self.log().contains(text), "the log does not contain {text:?}");
            Ok(())
        })
    }

    /// Everything the program has written so far.
    pub fn log(&self) -> String {
        fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// The file in which [`Daemon::log`] is.
    pub fn log_path(&self) -> &Path {
        &self.log
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let is_gone = self.terminate().is_ok() && self.wait_exit(GRACE).is_ok();
        if !is_gone {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            let end = &lines[lines.len().saturating_sub(LINES_PRINTED)..];
            eprintln!("end of {}:\n{}", self.log.display(), end.join("\n"));
        }
    }
}
