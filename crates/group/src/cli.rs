//! The command line of `warren-groupd`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use pki::{NodeId, Revoked, Serial};

/// The group service of Warren: accounts, approval, certificates, revocation.
#[derive(Debug, Parser)]
#[command(name = "warren-groupd", version, after_help = crate::failure::EXIT_CODES)]
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
    /// List the accounts by name.
    ListUsers {
        /// A JSON object for each, one a line.
        #[arg(long)]
        json: bool,
    },
    /// List the groups by name.
    ListGroups {
        /// A JSON object for each, one a line.
        #[arg(long)]
        json: bool,
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
    /// Revoke a certificate, a node, or a member: the membership ends as well.
    Revoke {
        /// The group.
        group: String,
        #[command(flatten)]
        what: RevokeWhat,
        /// For the audit log and the list of revocations.
        #[arg(long)]
        reason: String,
        /// Wait until all live members know it, at most so many seconds.
        #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "60")]
        wait: Option<u64>,
    },
    /// Announce a new authority of a group: members pin it with their renewals, in 30 days it takes over, and
    /// 61 days later they forget the present one.
    RotateCa {
        /// The group.
        group: String,
    },
    /// Write the whole site to a new file, as lines of JSON.
    Export {
        /// The new file.
        to: PathBuf,
    },
    /// Read a whole site into the database of the settings, which must be empty.
    Import {
        /// What `export` wrote.
        from: PathBuf,
    },
    /// Copy the whole site to another database, which must be empty: from SQLite to PostgreSQL.
    CopyTo {
        /// sqlite:PATH or postgres://USER@HOST/NAME
        #[arg(env = "WARREN_GROUPD_COPY_TO", hide_env_values = true)]
        url: String,
    },
    /// Look whether what the database holds is consistent.
    Check,
    /// Write the audit log to standard output, as lines of JSON, the newest entry first.
    Audit {
        /// Of this group; without it that of the site.
        #[arg(long)]
        group: Option<String>,
    },
}

/// Whom to revoke: one of them.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct RevokeWhat {
    /// This user: membership, tokens, and all nodes until now.
    #[arg(long)]
    pub user: Option<String>,
    /// All certificates of this node.
    #[arg(long)]
    pub node: Option<NodeId>,
    /// This certificate.
    #[arg(long)]
    pub serial: Option<Serial>,
}

impl RevokeWhat {
    /// What the notice names.
    pub fn revoked(&self) -> Revoked {
        let user = self.user.clone().map(Revoked::User);
        let named = user.or(self.node.map(Revoked::Node)).or(self.serial.map(Revoked::Serial));
        named.expect("the command line has one of them")
    }
}

/// Where a password comes from.
#[derive(Debug, Args)]
pub struct Password {
    /// Read the password from standard input, one line.
    #[arg(long)]
    pub password_stdin: bool,
}

#[cfg(test)]
mod tests {
    use clap::error::ErrorKind;

    use super::*;

    #[test]
    fn exactly_one_thing_is_revoked() {
        let refused = |words: &str| {
            let line = format!("warren-groupd admin revoke team --reason lost {words}");
            Cli::try_parse_from(line.split_whitespace()).map_err(|error| error.kind()).err()
        };
        assert_eq!(refused("--user bob"), None);
        assert_eq!(refused(""), Some(ErrorKind::MissingRequiredArgument));
        let serial = "40000000000000000000000000000000";
        assert_eq!(
            refused(&format!("--user bob --serial {serial}")),
            Some(ErrorKind::ArgumentConflict)
        );
    }
}
