//! The local API: newline-delimited JSON over a Unix socket, for root and the daemon's own user only.
//!
//! Each line of a client is a [`Request`], each line back a [`Reply`]. The socket's mode is 0600, and the
//! credentials of each peer are checked besides (`SO_PEERCRED`), because the mode of a socket is not looked at
//! everywhere.

use std::fs::Permissions;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream as StdStream;
use std::path::Path;
use std::sync::Arc;

use pki::{NodeId, SignedSecret, UnixTime};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::enrol::keeper::Report;
use crate::failure::Failure;
use crate::metrics::Snapshot;
use crate::overlays::{Entry, Kind};

/// Clients served at a time; more wait.
const CLIENTS_MAX: usize = 32;
/// Longest request in bytes: an announcement of 2,000 notices with 64 group secrets.
const REQUEST_LEN_MAX: u64 = 1 << 20;
/// Questions that wait for the driver; askers wait for room.
pub const QUESTIONS_MAX: usize = 64;

/// What a user does about two histories of notices.
pub const FORK_ADVICE: &str = "the authority signed two histories of notices: its service was \
restored from an old backup, or its key is in two hands; ask its administrator";

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// This node.
    Status,
    /// Its sessions.
    Peers,
    /// Ping a node over the overlay.
    Ping {
        /// Node ID, start of a linked peer's ID, or virtual address.
        to: String,
        /// In the public overlay, not the node's first.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        public: bool,
    },
    /// Look up the values under a name in the hash table.
    DhtGet {
        /// The name.
        name: String,
        /// In the public overlay, not the node's first.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        public: bool,
    },
    /// Store a value under a name, in this node's own slot there.
    DhtPut {
        /// The name.
        name: String,
        /// The value.
        value: String,
        /// How long it outlives the node.
        ttl_seconds: u32,
        /// In the public overlay, not the node's first.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        public: bool,
    },
    /// Walk the ring.
    Crawl {
        /// In the public overlay, not the node's first.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        public: bool,
    },
    /// Take revocation notices and group secrets, and tell all members.
    Announce {
        /// Notices and heads in text form, a line each.
        notices: String,
        /// Generations of the group secret.
        #[serde(default)]
        secrets: Vec<SignedSecret>,
        /// Nodes that are out by these notices, besides those that a notice names itself.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        victims: Vec<Victim>,
    },
    /// Walk the ring and count who knows a notice.
    Acknowledgements {
        /// Its number; that of the newest that this node knows if not given.
        #[serde(default)]
        number: Option<u64>,
    },
    /// Walk the ring of the group and tell its nodes with their links, for pictures of it.
    Ring,
    /// Look up who holds a virtual IPv4 address of the group.
    Holder {
        /// The address.
        address: Ipv4Addr,
    },
}

impl Request {
    /// Whether the public overlay is meant and not the node's first.
    pub fn is_public(&self) -> bool {
        match self {
            Request::Status
            | Request::Peers
            | Request::Announce { .. }
            | Request::Acknowledgements { .. }
            | Request::Ring
            | Request::Holder { .. } => false,
            Request::Ping { public, .. }
            | Request::DhtGet { public, .. }
            | Request::DhtPut { public, .. }
            | Request::Crawl { public } => *public,
        }
    }
}

/// A node that a notice puts out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Victim {
    /// The node.
    pub node: NodeId,
    /// Number of the notice; that of the newest if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice: Option<u64>,
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The value asked for.
    Ok(serde_json::Value),
    /// Why there is none, and what to do.
    Error(String),
    /// What is wrong with the request.
    Usage(String),
}

impl Reply {
    /// Wraps an answer.
    pub fn of<T: Serialize>(value: &T) -> Self {
        match serde_json::to_value(value) {
            Ok(value) => Reply::Ok(value),
            Err(error) => Reply::Error(error.to_string()),
        }
    }
}

/// Answer to [`Request::Status`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Version of the daemon.
    pub version: String,
    /// The node in its first overlay, the one that it is known by.
    #[serde(flatten)]
    pub first: Overlay,
    /// The node in each of its overlays.
    pub overlays: Vec<Overlay>,
    /// The group; none of a public node.
    pub group: Option<String>,
    /// Who answers for the node; none without a certificate, as all that it says.
    pub user: Option<String>,
    /// When the certificate ends, in seconds since 1970.
    pub certificate_not_after: Option<u64>,
    /// Number of the newest revocation notice.
    pub notices: Option<u64>,
    /// Number of the notice from which on the authority has signed two histories; none if that was not seen.
    pub fork: Option<u64>,
    /// UDP address of the node.
    pub listen: SocketAddr,
    /// Virtual device, if there is one.
    pub device: Option<String>,
    /// Virtual IPv4 address.
    pub ipv4: Option<Ipv4Addr>,
    /// Virtual IPv6 address.
    pub ipv6: Option<Ipv6Addr>,
    /// Why nobody is linked, or else what is wrong with the virtual IPv4 address, as far as is known.
    pub trouble: Option<String>,
    /// The group service, if there is one.
    pub service: Option<ServiceStatus>,
    /// Time since the start.
    pub uptime_seconds: f64,
}

/// The node in one overlay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Overlay {
    /// Which.
    pub overlay: Kind,
    /// By what nodes get in.
    pub entry: Entry,
    /// The node's ID there.
    pub node_id: NodeId,
    /// Whether it has a place in the ring.
    pub joined: bool,
    /// Next node counter-clockwise.
    pub left: Option<NodeId>,
    /// Next node clockwise.
    pub right: Option<NodeId>,
    /// Estimated number of nodes.
    pub nodes_estimate: f64,
    /// Sessions.
    pub peers: usize,
    /// Where it may be dialled.
    pub endpoints: Vec<SocketAddr>,
}

/// How it stands with the group service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// Host and port.
    pub server: String,
    /// When the certificate is renewed, in seconds since 1970.
    pub renewal_due: Option<u64>,
    /// When it last answered, in seconds since 1970.
    pub last_contact: Option<u64>,
    /// What was wrong since then.
    pub trouble: Option<String>,
}

impl From<&Report> for ServiceStatus {
    fn from(report: &Report) -> Self {
        Self {
            server: report.service.clone(),
            renewal_due: report.renewal_due.map(UnixTime::as_secs),
            last_contact: report.last_contact.map(UnixTime::as_secs),
            trouble: report.trouble.clone(),
        }
    }
}

/// One entry of the answer to [`Request::Peers`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Peer {
    /// The overlay in which it is a peer.
    pub overlay: Kind,
    /// By what it got in there.
    pub entry: Entry,
    /// The peer.
    pub node_id: NodeId,
    /// Who answers for it, if it got in by certificate.
    pub user: Option<String>,
    /// The group that its certificate is for, if it has one.
    pub group: Option<String>,
    /// Its virtual addresses, as far as they were looked up, IPv4 first.
    pub addresses: Vec<IpAddr>,
    /// Class of the path: `direct` or `overlay`.
    pub path: String,
    /// Its endpoint, if the path is direct.
    pub endpoint: Option<SocketAddr>,
    /// The longest datagram that the path carries, as far as is known, in bytes; longer packets go in two pieces.
    pub datagram_max: usize,
    /// Why the overlay keeps the link; empty if traffic alone, or only the peer, wants it.
    pub purposes: Vec<String>,
    /// Round-trip time.
    pub rtt_ms: Option<f64>,
    /// Age of the session.
    pub age_seconds: f64,
    /// Time since something was heard.
    pub silent_seconds: f64,
}

/// Answer to [`Request::Ping`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pong {
    /// Who answered.
    pub node_id: NodeId,
    /// Round-trip time.
    pub rtt_ms: f64,
    /// Overlay hops that the ping took.
    pub hops: u8,
    /// Class of the path.
    pub path: String,
}

/// Answer to [`Request::DhtGet`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Values {
    /// The values, each verified.
    pub values: Vec<Value>,
    /// Whether every answering replica was read to the end; an absence is then sure.
    pub complete: bool,
}

/// A value of the hash table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Value {
    /// Who wrote it.
    pub owner: NodeId,
    /// The value; bytes that are no UTF-8 are replaced.
    pub value: String,
    /// When it ends, in seconds since 1970.
    pub expiry: u64,
}

/// Answer to [`Request::DhtPut`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stored {
    /// Nodes that keep it.
    pub replicas: usize,
}

/// Answer to [`Request::Crawl`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Crawl {
    /// Nodes met, in ring order.
    pub nodes: Vec<CrawledNode>,
    /// Nodes that were named as neighbours and did not answer.
    pub silent: Vec<NodeId>,
    /// Nodes whose first and second neighbours on both sides are right.
    pub consistent: usize,
    /// Whether the walk came back to its start.
    pub complete: bool,
}

/// A node as a crawl met it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CrawledNode {
    /// The node.
    pub node_id: NodeId,
    /// Whether its neighbours are right.
    pub consistent: bool,
    /// Number of the newest revocation notice that it knows.
    pub notices: u64,
}

/// Answer to [`Request::Announce`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Announced {
    /// Number of the newest notice.
    pub number: u64,
    /// Newest generation of the group secret.
    pub generation: u32,
}

/// Answer to [`Request::Acknowledgements`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Acknowledgements {
    /// Number of the notice.
    pub number: u64,
    /// Nodes that answered, this one included.
    pub live: usize,
    /// Those of them that say that they know the notice.
    pub acknowledged: usize,
    /// When the last of those learned of it, in seconds since 1970, as they say; of a newer notice if they
    /// know one. None if all knew it when they started.
    pub last_at: Option<u64>,
    /// Whether the whole ring was walked.
    pub complete: bool,
}

/// Answer to [`Request::Ring`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ring {
    /// Nodes met, in ring order.
    pub nodes: Vec<RingNode>,
    /// Whether the walk came back to its start.
    pub complete: bool,
}

/// A node as a walk met it; all but its ID is what it says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RingNode {
    /// The node.
    pub node_id: NodeId,
    /// Its virtual IPv4 address; ask for its [`Request::Holder`] before it counts.
    pub ipv4: Option<Ipv4Addr>,
    /// Number of the newest revocation notice that it knows.
    pub notices: u64,
    /// When it learned of that notice, in seconds since 1970; none if before its start.
    pub noticed_at: Option<u64>,
    /// Nodes that it has a direct link with: neighbours clockwise, and shortcuts.
    pub links: Vec<NodeId>,
}

/// Answer to [`Request::Holder`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Holder {
    /// Who has leased the address, as it signed and the hash table keeps; none if nobody has.
    pub node_id: Option<NodeId>,
    /// Whether every answering replica was read to the end; an absence is then sure.
    pub complete: bool,
}

/// A question to the driver, with the way back.
#[derive(Debug)]
pub enum Question {
    /// From a client of the local API.
    Request(Request, oneshot::Sender<Reply>),
    /// From the metrics server.
    Snapshot(oneshot::Sender<Snapshot>),
}

/// Binds the socket; a leftover of a dead daemon is replaced.
pub fn bind(path: &Path) -> Result<UnixListener, Failure> {
    let place = path.display();
    if StdStream::connect(path).is_ok() {
        return Err(Failure::host(format!(
            "another daemon answers on {place}: stop it, or choose another with --socket PATH"
        )));
    }
    // Only a socket that nobody answers on is removed, never a file of the user's.
    let is_socket = std::fs::symlink_metadata(path)
        .is_ok_and(|file| std::os::unix::fs::FileTypeExt::is_socket(&file.file_type()));
    if is_socket {
        let _ = std::fs::remove_file(path);
    }
    let bound = UnixListener::bind(path).and_then(|listener| {
        std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
        Ok(listener)
    });
    bound.map_err(|error| {
        Failure::host(format!("cannot make socket {place}: {error}: choose one with --socket PATH"))
    })
}

/// Serves clients until the driver is gone.
pub async fn serve(listener: UnixListener, driver: mpsc::Sender<Question>) {
    let room = Arc::new(Semaphore::new(CLIENTS_MAX));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) if is_allowed(&stream) => {
                let driver = driver.clone();
                tokio::spawn(async move {
                    if let Err(error) = serve_client(stream, &driver).await {
                        tracing::debug!(%error, "local client left");
                    }
                    drop(permit);
                });
            }
            Ok(_) => tracing::warn!("local client of another user refused"),
            Err(error) => {
                tracing::warn!(%error, "local API cannot accept");
                // Out of descriptors: a pause instead of a busy loop.
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

/// Root and the user that the daemon runs as.
fn is_allowed(stream: &UnixStream) -> bool {
    let own = nix::unistd::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| may_ask(peer.uid(), own))
}

fn may_ask(uid: u32, own: u32) -> bool {
    uid == 0 || uid == own
}

async fn serve_client(stream: UnixStream, driver: &mpsc::Sender<Question>) -> std::io::Result<()> {
    let (input, mut output) = stream.into_split();
    let mut input = BufReader::new(input);
    loop {
        let mut line = String::new();
        if (&mut input).take(REQUEST_LEN_MAX).read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let reply = match serde_json::from_str(&line) {
            Ok(request) => ask(request, driver).await,
            Err(error) => Reply::Error(format!("not a request: {error}")),
        };
        let mut text = serde_json::to_vec(&reply)?;
        text.push(b'\n');
        output.write_all(&text).await?;
    }
}

async fn ask(request: Request, driver: &mpsc::Sender<Question>) -> Reply {
    let (sender, reply) = oneshot::channel();
    let ends = || Reply::Error("the daemon is ending".into());
    if driver.send(Question::Request(request, sender)).await.is_err() {
        return ends();
    }
    reply.await.unwrap_or_else(|_| ends())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::UnixStream as Client;

    #[test]
    fn requests_have_a_stable_form() {
        let text = r#"{"command":"ping","to":"10.42.0.7"}"#;
        let request: Request = serde_json::from_str(text).unwrap();
        assert_eq!(request, Request::Ping { to: "10.42.0.7".into(), public: false });
        assert_eq!(serde_json::to_string(&request).unwrap(), text);
        assert!(serde_json::from_str::<Request>(r#"{"command":"ping","of":"x"}"#).is_err());
    }

    #[test]
    fn only_root_and_the_own_user_may_ask() {
        assert!(may_ask(0, 1000) && may_ask(1000, 1000));
        assert!(!may_ask(1001, 1000) && !may_ask(1000, 0));
    }

    #[tokio::test]
    async fn a_leftover_socket_is_replaced_and_a_live_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        drop(bind(&path).unwrap());
        let _live = bind(&path).unwrap();
        assert!(bind(&path).unwrap_err().to_string().contains("--socket"));
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let file = folder.path().join("file");
        std::fs::write(&file, "precious").unwrap();
        assert!(bind(&file).is_err());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
    }

    #[tokio::test]
    async fn a_client_gets_one_line_per_line_and_bad_lines_do_not_end_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let (driver, mut questions) = mpsc::channel(1);
        tokio::spawn(serve(bind(&path).unwrap(), driver));
        tokio::spawn(async move {
            while let Some(Question::Request(request, reply)) = questions.recv().await {
                let _ = reply.send(Reply::of(&format!("{request:?}")));
            }
        });
        let mut client = Client::connect(&path).await.unwrap();
        client.write_all(b"nonsense\n{\"command\":\"peers\"}\n").await.unwrap();
        let mut lines = BufReader::new(client).lines();
        let first = lines.next_line().await.unwrap().unwrap();
        assert!(first.starts_with(r#"{"error":"not a request"#), "{first}");
        assert_eq!(lines.next_line().await.unwrap().unwrap(), r#"{"ok":"Peers"}"#);
    }
}
