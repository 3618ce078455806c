//! What a daemon says: one question over its socket. The socket is a file, so it is asked from here, without a
//! program in the daemon's namespace; that keeps a table of eight nodes live on a small machine.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// How long an answer is waited for: a crawl takes longest.
const PATIENCE: Duration = Duration::from_secs(20);

/// Asks the daemon whose state is in `state`.
pub fn ask(state: &Path, command: &str) -> Result<Value> {
    let mut stream = UnixStream::connect(state.join("warren.sock")).context("no daemon")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("{}\n", json!({ "command": command })).as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    let mut answer: Value = serde_json::from_str(&line).context("the daemon's answer")?;
    match answer["error"].as_str() {
        Some(error) => bail!("{error}"),
        None => Ok(answer["ok"].take()),
    }
}
