//! What the operator reads when a command fails: one line, and an exit code like those of `warren`.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | the command did not work |
//! | 2 | command line or configuration is wrong |
//! | 3 | master key or certificate is not accepted |
//! | 4 | the host does not allow it: port, permission, file, another process |
//! | 5 | PostgreSQL does not answer, or refuses |

use std::process::ExitCode;

use group::config::ConfigError;
use group::error::{Error, HostError};
use group::serve::CertificateError;
use group::store::StoreError;

/// The exit codes as `--help` tells them.
pub const EXIT_CODES: &str = "Exit codes: 0 done; 1 it did not work; 2 command line or \
configuration is wrong; 3 master key or certificate is not accepted; 4 the host does not allow it \
(port, permission, file, another process); 5 PostgreSQL does not answer, or refuses.";

/// Prints the line and returns the code for the shell.
pub fn report(error: &anyhow::Error) -> ExitCode {
    let message = format!("{error:#}");
    let words: Vec<&str> = message.split_whitespace().collect();
    eprintln!("warren-groupd: {}", words.join(" "));
    ExitCode::from(code(error))
}

fn code(error: &anyhow::Error) -> u8 {
    if error.is::<ConfigError>() {
        2
    } else if error.is::<CertificateError>() {
        3
    } else if error.is::<HostError>() {
        4
    } else if let Some(error) = error.downcast_ref::<StoreError>() {
        of_store(error)
    } else {
        match error.downcast_ref::<Error>() {
            Some(Error::Store(error)) => of_store(error),
            Some(Error::MasterKey(_) | Error::OtherMasterKey) => 3,
            Some(Error::StateDir { .. }) => 4,
            _ => 1,
        }
    }
}

const fn of_store(error: &StoreError) -> u8 {
    match error {
        StoreError::Url | StoreError::Database(sqlx::Error::Configuration(_)) => 2,
        StoreError::File(_) => 4,
        StoreError::Server { .. } => 5,
        StoreError::Database(_)
        | StoreError::Newer(_)
        | StoreError::Migration(_)
        | StoreError::Corrupt(_)
        | StoreError::Disk(_) => 1,
    }
}
