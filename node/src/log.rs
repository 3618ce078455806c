//! Structured logs to standard error, as text or one JSON object a line.
//!
//! What is logged must not hold secrets: keys, tokens and the blob have `Debug` forms without them.

use std::io;

use tracing_subscriber::filter::{LevelFilter, ParseError, Targets};
use tracing_subscriber::prelude::*;

use crate::cli::LogFormat;
use crate::failure::Failure;

/// Starts logging for the rest of the process.
pub fn start(filter: &str, format: LogFormat) -> Result<(), Failure> {
    let filter = parse(filter).map_err(|error| {
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

/// Reads a filter. The library takes a word that is no level for the name of a module, and a daemon whose user
/// wrote `inof` would be silent.
fn parse(filter: &str) -> Result<Targets, String> {
    let is_level = |word: &str| word.parse::<LevelFilter>().is_ok();
    match filter.split(',').find(|word| !word.contains('=') && !is_level(word)) {
        Some(word) => Err(format!("{word:?} is no level")),
        None => filter.parse().map_err(|error: ParseError| error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_no_level_is_refused() {
        for filter in ["info", "off", "DEBUG", "warren=debug", "warn,proto=trace,warren=info"] {
            assert!(parse(filter).is_ok(), "{filter}");
        }
        for filter in ["inof", "info,blah", "warren=inof", "warn,,info=x"] {
            assert!(parse(filter).is_err(), "{filter}");
        }
    }
}
