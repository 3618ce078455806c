//! Structured logs to standard error, as text or one JSON object a line.
//!
//! What is logged must not hold secrets: keys, tokens and the blob have `Debug` forms without them.

use std::io;

use tracing_subscriber::EnvFilter;

use crate::cli::LogFormat;
use crate::failure::Failure;

/// Starts logging for the rest of the process.
pub fn start(filter: &str, format: LogFormat) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        Failure::usage(format!("log filter {filter:?}: {error}: use one like info or warren=debug"))
    })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let started = match format {
        LogFormat::Text => builder.with_ansi(false).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    started.map_err(|error| Failure::command(format!("cannot start logging: {error}")))
}
