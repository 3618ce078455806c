//! The command line of `warren-groupd`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// The group service of Warren: accounts, approval, certificates, revocation.
#[derive(Debug, Parser)]
#[command(name = "warren-groupd", version)]
pub struct Cli {
    /// File with the settings.
    #[arg(
        long,
        global = true,
        env = "WARREN_GROUPD_CONFIG",
        default_value = "/etc/warren/groupd.yaml",
        value_name = "FILE"
    )]
    pub config: PathBuf,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the service.
    Serve,
    /// Manage accounts and data with the rights of whoever has the machine.
    #[command(subcommand)]
    Admin(Admin),
    /// Copy the SQLite database to a new file while it is in use.
    Backup {
        /// The new file.
        to: PathBuf,
    },
}

/// With the rights of whoever has the machine.
#[derive(Debug, Subcommand)]
pub enum Admin {
    /// Make an account; its password is drawn and shown once.
    CreateUser {
        /// Name of the account.
        name: String,
        /// Where to write to.
        #[arg(long)]
        email: Option<String>,
        #[command(flatten)]
        password: Password,
    },
    /// Set a new password; it is drawn and shown once.
    SetPassword {
        /// Name of the account.
        name: String,
        #[command(flatten)]
        password: Password,
    },
    /// Make somebody an administrator of the site.
    Promote {
        /// Name of the account.
        name: String,
        /// The other way round.
        #[arg(long)]
        demote: bool,
    },
}

/// Where a password comes from.
#[derive(Debug, Args)]
pub struct Password {
    /// Read the password from standard input, one line.
    #[arg(long)]
    pub password_stdin: bool,
}
