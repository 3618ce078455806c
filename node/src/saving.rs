//! When something is written to the state directory without holding up the driver: on another thread, one write
//! at a time, not too often, and again if it failed.

use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use tokio::task::{JoinError, JoinHandle};

use crate::failure::Failure;

/// How long after a failed write the next one is tried: a full disk is not emptied in seconds, and each try is
/// a line in the log.
const RETRY_INTERVAL: Duration = Duration::from_secs(60);

/// The writes of one file. What is not written yet is the caller's, who gives it when asked.
#[derive(Debug, Default)]
pub struct Saving {
    is_dirty: bool,
    running: Option<JoinHandle<Result<(), Failure>>>,
    /// No write begins before.
    next: Option<Instant>,
}

impl Saving {
    /// Notes that there is something new.
    pub fn mark(&mut self) {
        self.is_dirty = true;
    }

    /// Begins to write what is new, unless a write runs or one began within the last `interval`.
    pub fn begin<W>(&mut self, interval: Duration, write: impl FnOnce() -> W)
    where
        W: FnOnce() -> Result<(), Failure> + Send + 'static,
    {
        if let Some(running) = &mut self.running {
            let Some(done) = running.now_or_never() else { return };
            self.running = None;
            self.note(done);
        }
        let now = Instant::now();
        if self.is_dirty && self.next.is_none_or(|at| at <= now) {
            self.is_dirty = false;
            self.next = Some(now + interval);
            self.running = Some(tokio::task::spawn_blocking(write()));
        }
    }

    /// Writes what is new now, after the write that runs.
    pub async fn finish<W>(&mut self, write: impl FnOnce() -> W)
    where
        W: FnOnce() -> Result<(), Failure>,
    {
        if let Some(running) = self.running.take() {
            let done = running.await;
            self.note(done);
        }
        if std::mem::take(&mut self.is_dirty) {
            self.note(Ok(write()()));
        }
    }

    fn note(&mut self, done: Result<Result<(), Failure>, JoinError>) {
        let error: &dyn std::fmt::Display = match &done {
            Ok(Ok(())) => return,
            Ok(Err(failure)) => failure,
            Err(panicked) => panicked,
        };
        tracing::warn!(%error, "not saved");
        self.is_dirty = true;
        self.next = Some(Instant::now() + RETRY_INTERVAL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
    use std::sync::{Arc, Mutex, mpsc};

    #[tokio::test]
    async fn much_that_is_new_is_few_writes_and_never_two_at_once() {
        let (go, gate) = mpsc::channel::<()>();
        let (gate, written) = (Arc::new(Mutex::new(gate)), Arc::new(AtomicU32::new(0)));
        let write = || {
            let (gate, written) = (Arc::clone(&gate), Arc::clone(&written));
            move || {
                let Ok(held) = gate.try_lock() else {
                    written.fetch_add(1000, SeqCst); // Another write runs.
                    return Ok(());
                };
                held.recv().expect("the test lets it go on");
                written.fetch_add(1, SeqCst);
                Ok(())
            }
        };
        let mut saving = Saving::default();
        for _ in 0..1000 {
            saving.mark();
            saving.begin(Duration::ZERO, write);
        }
        (0..2).for_each(|_| go.send(()).expect("is waited for"));
        saving.finish(write).await;
        assert_eq!(written.load(SeqCst), 2, "the first, and one for all that came while it ran");
    }

    #[tokio::test]
    async fn writes_keep_their_distance() {
        let mut saving = Saving::default();
        let begin = |saving: &mut Saving| {
            saving.mark();
            saving.begin(Duration::from_secs(3600), || || Ok(()));
        };
        begin(&mut saving);
        saving.running.take().expect("the first begins").await.expect("no panic").expect("written");
        begin(&mut saving);
        assert!(saving.running.is_none() && saving.is_dirty);
    }

    #[tokio::test]
    async fn a_write_that_failed_is_made_again() {
        let mut saving = Saving::default();
        saving.mark();
        saving.begin(Duration::ZERO, || || Err(Failure::host("no space left")));
        let mut written = false;
        saving
            .finish(|| {
                || {
                    written = true;
                    Ok(())
                }
            })
            .await;
        assert!(written);
    }
}
