//! The TLS listener: takes connections within bounds, serves them, and drains when it is told to end.
//!
//! How it works: one task accepts; each connection is a task of its own. On the word to end, the
//! listener closes, connections finish the request they are at, requests that are held are answered
//! at once, and what is left after [`DRAIN_PATIENCE`] is cut.
//!
//! | file | question |
//! |---|---|
//! | `tls` | which certificate does the server show |
//! | `gate` | how many connections are served at once |
//! | `connection` | what happens on one connection |
//! | `headers` | what does every answer tell the browser |
//! | `traffic` | what is counted |
//! | `operations` | what does monitoring see |
//! | `notify` | how does systemd learn that the service is ready |

mod connection;
mod gate;
mod headers;
mod notify;
mod operations;
mod tls;
mod traffic;

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tower_service::Service;
use warp::http::Request;
use warp::reply::Response as Answer;

use connection::Shared;
use gate::Gate;

pub use connection::{BODY_LEN_MAX, Body, Peer};
pub use notify::ready;
pub use operations::{Health, serve_operations};
pub use tls::{CertificateError, CertificateFiles, LiveCertificate, server_config};
pub use traffic::Traffic;

/// How long connections have to finish when the service ends: requests take less, and service
/// managers kill after half a minute or more.
pub const DRAIN_PATIENCE: Duration = Duration::from_secs(15);
/// Pause after a connection could not be taken, which means that the process is out of files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Says when no further requests are to be taken; cheap to copy.
#[derive(Clone, Debug)]
pub struct Draining(watch::Receiver<bool>);

impl Draining {
    /// Makes the two ends.
    pub fn new() -> (watch::Sender<bool>, Self) {
        let (sender, receiver) = watch::channel(false);
        (sender, Self(receiver))
    }

    /// Returns whether it was said.
    pub fn has_begun(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits for it.
    pub async fn begun(&self) {
        // Without its sender the service is at its end.
        let _ = self.0.clone().wait_for(|draining| *draining).await;
    }
}

/// A port that speaks TLS.
pub struct Server {
    /// Where connections come in.
    pub listener: TcpListener,
    /// The TLS side.
    pub tls: TlsAcceptor,
    /// When to end.
    pub draining: Draining,
    /// What is counted.
    pub traffic: Arc<Traffic>,
}

impl Server {
    /// Serves until draining begins, and then until all connections have ended or their time is over.
    pub async fn run<S>(self, service: S)
    where
        S: Service<Request<Body>, Response = Answer, Error = Infallible> + Clone + Send + Sync,
        S: 'static,
        S::Future: Send,
    {
        let Self { listener, tls, draining, traffic } = self;
        let gate = Gate::default();
        let counted = Arc::clone(&traffic);
        let shared =
            Arc::new(Shared { tls, service, draining: draining.clone(), traffic: counted });
        let mut connections = JoinSet::new();
        let mut end = std::pin::pin!(draining.begun());
        loop {
            let accepted = tokio::select! {
                () = end.as_mut() => break,
                Some(_) = connections.join_next() => continue,
                accepted = listener.accept() => accepted,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot take a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Some(place) = gate.enter(peer.ip()) else {
                traffic.connections_refused.inc();
                continue;
            };
            traffic.connections.set(i64::try_from(gate.count()).unwrap_or(i64::MAX));
            connections.spawn(served(place, connection::serve(stream, peer, Arc::clone(&shared))));
        }
        drop(listener);
        drain(connections).await;
    }
}

/// Keeps the place of a connection until it has ended.
async fn served(place: gate::Place, connection: impl Future<Output = ()>) {
    connection.await;
    drop(place);
}

async fn drain(mut connections: JoinSet<()>) {
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN_PATIENCE, all).await.is_err() {
        tracing::warn!(left = connections.len(), "connections did not end in time and are cut");
    }
}
