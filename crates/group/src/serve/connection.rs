//! One connection: TLS or a refusal, then HTTP/1.1 within bounds.
//!
//! What must hold: nothing is read from a connection without a deadline, nothing is kept without a
//! bound, and no byte of HTTP is answered outside TLS, but for the one line that says so.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Limited;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tower_service::Service;
use warp::http::{Request, Response, StatusCode};
use warp::reply::Response as Answer;

use super::Draining;
use super::headers::harden;
use super::traffic::Traffic;

/// Longest time from the first packet to the end of the TLS handshake.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(10);
/// Longest time for the head of a request, and longest silence between two requests.
const HEAD_PATIENCE: Duration = Duration::from_secs(20);
/// Longest time for one request with its body and the work on it: a long poll takes half of it.
const REQUEST_PATIENCE: Duration = Duration::from_secs(60);
/// Longest time that sent bytes stay unconfirmed: ends connections of those who do not read.
const SEND_PATIENCE: Duration = Duration::from_secs(60);
/// Longest head of a request in bytes. Cookies and a token take a few hundred.
const HEAD_LEN_MAX: usize = 16 * 1024;
/// Most lines in the head of a request.
const HEAD_LINES_MAX: usize = 64;
/// Longest body of a request in bytes: no form and no message is longer.
pub const BODY_LEN_MAX: usize = 64 * 1024;

/// First byte of a TLS record that carries a handshake (RFC 8446 section 5.1).
const TLS_HANDSHAKE: u8 = 0x16;
const PLAIN_REFUSAL: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n\
    Content-Length: 61\r\nConnection: close\r\n\r\nthis port speaks HTTPS only: start the address with https://\n";

/// Where a request came from.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// The body of a request.
pub type Body = Limited<Incoming>;

/// What all connections share.
pub struct Shared<S> {
    /// The TLS side.
    pub tls: TlsAcceptor,
    /// What answers.
    pub service: S,
    /// When no further requests are to be taken.
    pub draining: Draining,
    /// What is counted.
    pub traffic: Arc<Traffic>,
}

/// Serves one connection to its end.
pub async fn serve<S>(stream: TcpStream, peer: SocketAddr, shared: Arc<Shared<S>>)
where
    S: Service<Request<Body>, Response = Answer, Error = std::convert::Infallible> + Clone + Send,
    S: Sync + 'static,
    S::Future: Send,
{
    if let Err(error) = limit_sending(&stream) {
        tracing::debug!(%peer, %error, "cannot limit sending");
    }
    match timeout(HANDSHAKE_PATIENCE, open(stream, &shared)).await {
        Ok(Ok(Some(stream))) => speak(stream, peer, &shared).await,
        Ok(Ok(None)) => {}
        Ok(Err(error)) => {
            shared.traffic.handshakes_failed.inc();
            tracing::debug!(%peer, %error, "no TLS connection");
        }
        Err(_) => shared.traffic.handshakes_failed.inc(),
    }
}

type Tls = tokio_rustls::server::TlsStream<TcpStream>;

/// Takes up TLS; who speaks something else is told so.
async fn open<S>(mut stream: TcpStream, shared: &Shared<S>) -> io::Result<Option<Tls>> {
    let mut first = [0];
    let is_tls = stream.peek(&mut first).await? == 1 && first[0] == TLS_HANDSHAKE;
    if is_tls {
        return shared.tls.accept(stream).await.map(Some);
    }
    shared.traffic.plain.inc();
    stream.write_all(PLAIN_REFUSAL).await?;
    stream.shutdown().await?;
    // What was sent is read and thrown away: closing with unread bytes would take the refusal back.
    let mut rest = stream.take(HEAD_LEN_MAX as u64);
    tokio::io::copy(&mut rest, &mut tokio::io::sink()).await?;
    Ok(None)
}

async fn speak<S>(stream: Tls, peer: SocketAddr, shared: &Shared<S>)
where
    S: Service<Request<Body>, Response = Answer, Error = std::convert::Infallible> + Clone + Send,
    S: Sync + 'static,
    S::Future: Send,
{
    let service = service_fn(|request: Request<Incoming>| {
        let mut service = shared.service.clone();
        let traffic = Arc::clone(&shared.traffic);
        async move {
            let mut request = request.map(|body| Limited::new(body, BODY_LEN_MAX));
            request.extensions_mut().insert(Peer(peer));
            let mut answer = match timeout(REQUEST_PATIENCE, service.call(request)).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(never)) => match never {},
                Err(_) => too_slow(),
            };
            harden(&mut answer);
            traffic.count(answer.status());
            Ok::<_, std::convert::Infallible>(answer)
        }
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .max_headers(HEAD_LINES_MAX)
        .max_header_size(HEAD_LEN_MAX);
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shared.draining.begun() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a connection has ended early");
    }
}

fn too_slow() -> Answer {
    let mut answer = Response::new(Vec::new().into());
    *answer.status_mut() = StatusCode::REQUEST_TIMEOUT;
    answer
}

fn limit_sending(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    socket2::SockRef::from(stream).set_tcp_user_timeout(Some(SEND_PATIENCE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refusal_states_its_length() {
        let text = std::str::from_utf8(PLAIN_REFUSAL).expect("is ASCII");
        let (head, body) = text.split_once("\r\n\r\n").expect("has head and body");
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head} {}", body.len());
    }
}
