//! Structured logs to standard error, as text or one JSON object a line.
//!
//! What is logged must not hold secrets: keys, tokens and the blob have `Debug` forms without them.

use std::io;

use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

use crate::cli::LogFormat;
use crate::failure::Failure;

/// Starts logging for the rest of the process.
pub fn start(filter: &str, format: LogFormat) -> Result<(), Failure> {
    let filter: Targets = filter.parse().map_err(|error| {
        Failure::usage(format!("log filter {filter:?}: {error}: use one like info or warren=debug"))
    })?;
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let registry = tracing_subscriber::registry();
    let started = match format {
        LogFormat::Text => registry.with(lines.with_filter(filter)).try_init(),
        LogFormat::Json => registry.with(lines.json().with_filter(filter)).try_init(),
    };
    started.map_err(|error| Failure::command(format!("cannot start logging: {error}")))
}
