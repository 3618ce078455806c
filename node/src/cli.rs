//! The command line: every command, what it needs, and its help.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use pki::enrolment::{Pin, ServiceUrl};
use pki::{HostPort, Ipv4Subnet, NodeId, Roles, Serial};

use crate::config::{MetricsAddress, parse_listen};
use crate::failure::EXIT_CODES;

/// Peer-to-peer group VPN.
#[derive(Debug, Parser)]
#[command(name = "warren", version, after_help = EXIT_CODES, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon: join the group and carry its virtual network (foreground)
    Up(Start),
    /// Run the daemon without virtual network, TUN device or privileges: a node that others join by. With a blob
    /// it is a member of the group, without one a node of the public overlay
    Bootstrap(Start),
    /// Show this node: identity, addresses, whether it has joined
    Status(Ask),
    /// Show the linked peers, how each is reached and how far it is
    Peers(Ask),
    /// Ping a member over the overlay; names the class of the path
    Ping(Ping),
    /// Get or put values in the distributed hash table
    #[command(subcommand)]
    Dht(Dht),
    /// Walk the whole ring and check first and second neighbours of every node
    Crawl(AskIn),
    /// Join a group by a code that is confirmed in the browser, here or on another machine
    Join(Join),
    /// Tell all members of a revocation, or count who has heard
    #[command(subcommand)]
    Notices(Notices),
    /// Make this node's key, if there is none, and write a certificate request for `ca sign`
    Request(MakeRequest),
    /// Hold the authority of a group, with no server at all
    #[command(subcommand)]
    Ca(Ca),
    /// Make the key of a group that has no authority
    #[command(subcommand)]
    Psk(Psk),
}

/// How to run the daemon. Flags win over the file.
#[derive(Debug, Default, Args)]
pub struct Start {
    /// Configuration file (YAML); names the blob or contains it
    #[arg(long, value_name = "FILE", env = "WARREN_CONFIG")]
    pub config: Option<PathBuf>,
    /// Blob of the group: the one file that a user is handed; `-` reads standard input
    #[arg(long, value_name = "FILE", env = "WARREN_BLOB")]
    pub blob: Option<PathBuf>,
    /// Variable of the environment with the text of the blob [default name: WARREN_BLOB_YAML]
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "WARREN_BLOB_YAML")]
    pub blob_env: Option<String>,
    /// Certificate of this node as `ca sign` wrote it; kept in the state directory from then on
    #[arg(long, value_name = "FILE")]
    pub certificate: Option<PathBuf>,
    #[command(flatten)]
    pub overrides: Overrides,
}

/// Settings of the configuration file that can be given as flags.
#[derive(Clone, Debug, Default, Args)]
pub struct Overrides {
    /// Directory for key, certificate, lease and known peers [default: /var/lib/warren]
    #[arg(long, value_name = "DIR", env = "WARREN_STATE_DIR")]
    pub state_dir: Option<PathBuf>,
    /// UDP address and port of the node; port 0 takes any [default: [::]:7415]
    #[arg(long, value_name = "ADDRESS", value_parser = parse_listen)]
    pub listen: Option<SocketAddr>,
    /// Name of the TUN device [default: warren0]
    #[arg(long, value_name = "NAME")]
    pub device: Option<String>,
    /// Address of /metrics, /healthz and /readyz, or `off` [default: 127.0.0.1:9415]
    #[arg(long, value_name = "ADDRESS|off")]
    pub metrics: Option<MetricsAddress>,
    /// Unix socket of the local API [default: warren.sock in the state directory]
    #[arg(long, value_name = "PATH", env = "WARREN_SOCKET")]
    pub socket: Option<PathBuf>,
    /// Give the virtual address back on exit
    #[arg(long)]
    pub ephemeral: bool,
    /// Fixed virtual IPv4 address in the place of any free one
    #[arg(long, value_name = "IPV4")]
    pub address: Option<Ipv4Addr>,
    /// File of revocation notices, one a line; read at start and on SIGHUP
    #[arg(long, value_name = "FILE")]
    pub notices: Option<PathBuf>,
    /// Further node to join by, beside those in the blob; may be given again
    #[arg(long, value_name = "HOST:PORT")]
    pub bootstrap: Vec<HostPort>,
    /// What is logged, e.g. `info` or `warren=debug,warn` [default: info]
    #[arg(long, value_name = "FILTER", env = "WARREN_LOG")]
    pub log: Option<String>,
    /// Form of the log [default: text]
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
}

/// Form of log lines.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// How to talk to a running daemon.
#[derive(Debug, Args)]
pub struct Ask {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Unix socket of the daemon [default: warren.sock in the state directory]
    #[arg(long, value_name = "PATH", env = "WARREN_SOCKET")]
    pub socket: Option<PathBuf>,
    /// State directory of the daemon [default: /var/lib/warren]
    #[arg(long, value_name = "DIR", env = "WARREN_STATE_DIR")]
    pub state_dir: Option<PathBuf>,
}

/// How to talk to a running daemon, and about which of its overlays.
#[derive(Debug, Args)]
pub struct AskIn {
    /// In the public overlay, of a node that is in its group's as well
    #[arg(long)]
    pub public: bool,
    #[command(flatten)]
    pub ask: Ask,
}

/// `warren ping`.
#[derive(Debug, Args)]
pub struct Ping {
    /// Whom: a node ID, 40 digits; the start of a linked peer's, 4 digits or more; or a virtual address
    pub member: String,
    #[command(flatten)]
    pub within: AskIn,
}

/// `warren dht`.
#[derive(Debug, Subcommand)]
pub enum Dht {
    /// Print the values under a name
    Get {
        /// Name of the values
        name: String,
        #[command(flatten)]
        within: AskIn,
    },
    /// Store a value under a name, signed by this node
    Put {
        /// Name of the value
        name: String,
        /// The value, at most 512 bytes
        value: String,
        /// How long it is kept, in seconds
        #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
        ttl: u32,
        #[command(flatten)]
        within: AskIn,
    },
}

/// `warren join`.
#[derive(Debug, Args)]
pub struct Join {
    /// Address of the group service, https://…
    pub url: ServiceUrl,
    /// Group to join
    pub group: String,
    /// Key of the service, as its page or administrator shows it, if this host does not trust its certificate;
    /// may be given again
    #[arg(long, value_name = "sha256:HEX")]
    pub pin: Vec<Pin>,
    /// Start the daemon once the code is confirmed
    #[arg(long)]
    pub up: bool,
    #[command(flatten)]
    pub overrides: Overrides,
}

/// `warren notices`.
#[derive(Debug, Subcommand)]
pub enum Notices {
    /// Give the daemon a file of notices, which it passes on to everybody at once
    Announce {
        /// The file, as `ca revoke` wrote it
        file: PathBuf,
        /// Blob with the group secrets that go with it, as `ca blob` wrote it
        #[arg(long, value_name = "FILE")]
        blob: Option<PathBuf>,
        /// A node that the newest notice puts out without naming it, as `ca revoke` says; may be repeated
        #[arg(long, value_name = "ID")]
        victim: Vec<NodeId>,
        #[command(flatten)]
        ask: Ask,
    },
    /// Count the live nodes that have a notice, and say since when the last one has it
    Status {
        /// Number of the notice [default: the newest]
        #[arg(long)]
        number: Option<u64>,
        #[command(flatten)]
        ask: Ask,
    },
}

/// `warren request`.
#[derive(Debug, Args)]
pub struct MakeRequest {
    /// State directory, where the key stays [default: /var/lib/warren]
    #[arg(long, value_name = "DIR", env = "WARREN_STATE_DIR")]
    pub state_dir: Option<PathBuf>,
    /// Name to suggest to the signer
    #[arg(long)]
    pub name: Option<String>,
    /// Where to write the request; standard output if not given
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// `warren psk`.
#[derive(Debug, Subcommand)]
pub enum Psk {
    /// Draw a key for `psk_file` of the configuration; the same file goes to every node of the group
    Generate {
        /// Where to write it: a file that is not there yet, of mode 0600. Standard output if not given, which a
        /// shell's `>` puts into a file that others can read
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

/// `warren ca`.
#[derive(Debug, Subcommand)]
pub enum Ca {
    /// Make the authority of a new group in a directory
    Init {
        /// Directory of the authority
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// Name of the group
        #[arg(long)]
        group: String,
        /// Virtual addresses to lease
        #[arg(long, value_name = "NETWORK", default_value = "10.42.0.0/16")]
        ipv4: Ipv4Subnet,
        /// Longest packet in the virtual network, 1280 to 9000 bytes; above 1280 only if every network between
        /// members carries 81 bytes more
        #[arg(long, value_name = "BYTES", default_value_t = pki::MTU_MIN)]
        mtu: u16,
        /// How long an address stays with a node that is gone, 60 to 86400 seconds
        #[arg(long, value_name = "SECONDS", default_value_t = pki::LEASE_DEFAULT)]
        lease_seconds: u32,
    },
    /// Sign a request file into a member certificate; the same key keeps its node ID
    Sign {
        /// Directory of the authority
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// Request file of `warren request`
        request: PathBuf,
        /// Who answers for the node; the name in the request if not given
        #[arg(long)]
        user: Option<String>,
        /// Roles, separated by commas: gateway, relay, service
        #[arg(long, value_name = "ROLES", default_value = "member")]
        role: Roles,
        /// How long the certificate lives, 1 to 30 days
        #[arg(long, default_value_t = 7)]
        days: u16,
        /// Virtual IPv4 address to fix
        #[arg(long)]
        ipv4: Option<Ipv4Addr>,
        /// Host name to fix
        #[arg(long)]
        host: Option<String>,
        /// Sign although the node or the user was revoked: lets it in again
        #[arg(long)]
        again: bool,
        /// Where to write the certificate; standard output if not given
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Revoke a certificate, a node or a user; writes notices.txt for `warren notices announce`
    Revoke {
        /// Directory of the authority
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        #[command(flatten)]
        what: RevokeWhat,
        /// Revoke although no certificate of it was signed here
        #[arg(long)]
        unknown: bool,
    },
    /// Show the authority and what it has signed and revoked
    Show {
        /// Directory of the authority
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Write the blob that members are handed
    Blob {
        /// Directory of the authority
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// Node to join by; may be given again
        #[arg(long, value_name = "HOST:PORT")]
        bootstrap: Vec<HostPort>,
        /// Certificate to enclose, for one member
        #[arg(long, value_name = "FILE")]
        certificate: Option<PathBuf>,
        /// Where to write the blob; standard output if not given
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

/// Whom to revoke: one of them.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct RevokeWhat {
    /// One certificate, by its serial number
    #[arg(long, value_name = "HEX")]
    pub serial: Option<Serial>,
    /// All certificates of a node issued until now
    #[arg(long, value_name = "NODE ID")]
    pub node: Option<NodeId>,
    /// All certificates of a user issued until now
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn exactly_one_thing_is_revoked() {
        let parse = |words: &str| Cli::try_parse_from(words.split(' ')).is_ok();
        assert!(parse("warren ca revoke --dir d --user ana"));
        assert!(!parse("warren ca revoke --dir d"));
        assert!(!parse(
            "warren ca revoke --dir d --user ana --serial 40000000000000000000000000000000"
        ));
    }
}
