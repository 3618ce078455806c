//! How is a daemon asked: one line of JSON there, one bounded line back, within a time.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

/// Longest answer in bytes: the ring of some 15,000 members.
const ANSWER_LEN_MAX: u64 = 8 << 20;

/// Asks a daemon one question.
pub(super) async fn ask<T: DeserializeOwned>(
    socket: &Path,
    request: &Value,
    patience: Duration,
) -> Result<T> {
    #[derive(Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Reply<T> {
        Ok(T),
        Error(String),
    }
    let asked = async {
        let mut stream = UnixStream::connect(socket).await?;
        let line = serde_json::to_string(request)? + "\n";
        stream.write_all(line.as_bytes()).await?;
        let mut answer = String::new();
        BufReader::new(stream.take(ANSWER_LEN_MAX)).read_line(&mut answer).await?;
        match serde_json::from_str(&answer).context("the daemon does not answer as expected")? {
            Reply::Ok(value) => Ok(value),
            Reply::Error(message) => bail!("the daemon says: {message}"),
        }
    };
    let answered = tokio::time::timeout(patience, asked).await.context("no answer in time");
    answered.flatten().with_context(|| format!("cannot ask the daemon on {}", socket.display()))
}
