//! The `warren` daemons beside the service: one for each group that has one, a member without
//! privileges, asked over its Unix socket.
//!
//! How it works: a revocation is on disk before anybody hears of it. Then the daemon of its group is
//! given the notices and the secrets that belong to them, and tells all members; what it has taken is
//! marked, and what it has not is tried again. Who knows a notice is counted by the same daemon.
//!
//! What must hold: the process that holds CA keys reads no bytes of the overlay. From a daemon it
//! reads bounded lines of JSON, and of these only numbers.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::Mutex;
use tokio::sync::broadcast::error::RecvError;
use utoipa::ToSchema;

use crate::http::now;
use crate::service::Service;

/// Longest time for taking an announcement: the daemon verifies some thousand signatures at most.
const ANNOUNCE_PATIENCE: Duration = Duration::from_secs(10);
/// Longest time for counting: a walk of the ring, and somebody waits at a browser.
const COUNT_PATIENCE: Duration = Duration::from_secs(20);
/// Longest answer in bytes.
const ANSWER_LEN_MAX: u64 = 64 * 1024;
/// Nodes named to a daemon as put out: as many as it tells of by way of the hash table at a time.
const VICTIMS_MAX: usize = 64;
/// How long a count is shown again, so that no page makes the ring be walked more often.
const COUNT_LIFE: Duration = Duration::from_secs(2);
/// How often what could not be announced is tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// Who knows of a revocation, as far as the group's daemon can see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KnownBy {
    /// Members that answered.
    pub live: u64,
    /// Those of them that know it.
    pub acknowledged: u64,
    /// When the last of them learned of it, in seconds since 1970; none if they knew it from the start.
    pub last_at: Option<u64>,
    /// Whether the whole ring was walked.
    pub complete: bool,
}

/// The daemons, by group.
#[derive(Default)]
pub struct Daemons {
    sockets: HashMap<String, PathBuf>,
    counts: Mutex<HashMap<(String, u64), (Instant, KnownBy)>>,
}

impl Daemons {
    /// The daemons at these sockets.
    pub fn new(sockets: &HashMap<String, PathBuf>) -> Self {
        Self { sockets: sockets.clone(), counts: Mutex::default() }
    }

    /// Passes revocations on for as long as the service runs.
    pub async fn pass_on(&self, service: &Service) -> std::convert::Infallible {
        let mut changes = service.changes();
        loop {
            for group in self.sockets.keys() {
                if let Err(error) = self.announce(service, group).await {
                    let error = format!("{error:#}");
                    tracing::warn!(group, error, "a revocation is not passed on yet");
                }
            }
            // A change of any group, or a while: another replica may have signed something.
            let changed = async {
                loop {
                    match changes.recv().await {
                        Ok(changed) if !changed.notices => {}
                        Ok(_) | Err(RecvError::Lagged(_)) => break,
                        Err(RecvError::Closed) => std::future::pending().await,
                    }
                }
            };
            let _ = tokio::time::timeout(AGAIN, changed).await;
        }
    }

    /// Gives a daemon what it has not taken yet.
    pub async fn announce(&self, service: &Service, group: &str) -> Result<()> {
        let Some(waiting) = service.announcement(group, now()).await? else { return Ok(()) };
        let Some(socket) = self.sockets.get(group) else { return Ok(()) };
        #[derive(Deserialize)]
        struct Announced {
            number: u64,
        }
        // The newest: a daemon that was away for long tells of the others by broadcast.
        let victims: Vec<Value> = waiting
            .victims
            .iter()
            .rev()
            .take(VICTIMS_MAX)
            .map(|(notice, node)| json!({ "notice": notice, "node": node }))
            .collect();
        let request = json!({
            "command": "announce", "notices": waiting.notices, "secrets": waiting.secrets,
            "victims": victims,
        });
        let Announced { number } = ask(socket, &request, ANNOUNCE_PATIENCE).await?;
        if number < waiting.number {
            bail!("the daemon has taken notice {number} and not {}", waiting.number);
        }
        service.set_announced(group, waiting.number, now()).await?;
        tracing::info!(group, notice = waiting.number, "passed on a revocation");
        Ok(())
    }

    /// Counts who knows a notice; `None` where the group has no daemon or it does not answer.
    pub async fn known_by(&self, group: &str, number: u64) -> Option<KnownBy> {
        let socket = self.sockets.get(group)?;
        // One at a time: who waits gets the count of the one before.
        let mut counts = self.counts.lock().await;
        counts.retain(|_, (at, _)| at.elapsed() < COUNT_LIFE);
        let key = (group.to_owned(), number);
        if let Some((_, known)) = counts.get(&key) {
            return Some(*known);
        }
        let request = json!({ "command": "acknowledgements", "number": number });
        match ask::<KnownBy>(socket, &request, COUNT_PATIENCE).await {
            Ok(known) => {
                counts.insert(key, (Instant::now(), known));
                Some(known)
            }
            Err(error) => {
                let error = format!("{error:#}");
                tracing::warn!(group, error, "cannot count who knows a revocation");
                None
            }
        }
    }
}

/// Asks a daemon one question.
async fn ask<T: DeserializeOwned>(socket: &Path, request: &Value, patience: Duration) -> Result<T> {
    #[derive(Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Reply {
        Ok(Value),
        Error(String),
    }
    let asked = async {
        let mut stream = UnixStream::connect(socket).await?;
        let line = serde_json::to_string(request)? + "\n";
        stream.write_all(line.as_bytes()).await?;
        let mut answer = String::new();
        BufReader::new(stream.take(ANSWER_LEN_MAX)).read_line(&mut answer).await?;
        match serde_json::from_str(&answer).context("the daemon does not answer as expected")? {
            Reply::Ok(value) => Ok(serde_json::from_value(value)?),
            Reply::Error(message) => bail!("the daemon says: {message}"),
        }
    };
    let answered = tokio::time::timeout(patience, asked).await.context("no answer in time");
    answered.flatten().with_context(|| format!("cannot ask the daemon on {}", socket.display()))
}
