//! How monitoring asks a program: `/metrics`, `/healthz` and the like in plain HTTP/1.1, on an address of their own
//! that should be a loopback one.
//!
//! What must hold: who talks to this port cannot hold up the program, nor take more of it than
//! [`CONNECTIONS_MAX`] connections, each for [`CONNECTION_LIFE`] at most, each with one request head in memory.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tower_service::Service;
use warp::http::Request;
use warp::reply::Response;

/// Connections at a time; further ones wait in the listener's queue.
pub const CONNECTIONS_MAX: usize = 32;
/// Longest life of a connection: a scraper that keeps one open makes a new one now and then.
pub const CONNECTION_LIFE: Duration = Duration::from_secs(300);
/// Longest time for the head of a request, and longest silence between two.
const HEAD_PATIENCE: Duration = Duration::from_secs(20);
/// Longest head of a request in bytes.
const HEAD_LEN_MAX: usize = 8 * 1024;
/// Pause after a connection could not be accepted, for want of descriptors as a rule.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until the program ends; `service` is a filter of warp (`warp::service`).
pub async fn serve<S, F>(listener: TcpListener, service: S)
where
    S: Service<Request<Incoming>, Response = Response, Error = Infallible, Future = F>,
    S: Clone + Send + 'static,
    F: Future<Output = Result<Response, Infallible>> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let answered = answer(stream, service.clone());
                tokio::spawn(async move {
                    // Whoever left, was too slow or sent no HTTP has no connection any more.
                    let _ = tokio::time::timeout(CONNECTION_LIFE, answered).await;
                    drop(place);
                });
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn answer<S, F>(stream: TcpStream, service: S) -> hyper::Result<()>
where
    S: Service<Request<Incoming>, Response = Response, Error = Infallible, Future = F> + Clone,
    F: Future<Output = Result<Response, Infallible>>,
{
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_PATIENCE).max_buf_size(HEAD_LEN_MAX);
    let each = service_fn(move |request| service.clone().call(request));
    builder.serve_connection(TokioIo::new(stream), each).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::Instant;
    use warp::Filter;

    async fn served() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let healthz = warp::get().and(warp::path!("healthz")).map(|| "ok\n");
        tokio::spawn(serve(listener, warp::service(healthz)));
        address
    }

    async fn get(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        ask(&mut stream, path, "close").await;
        let mut text = Vec::new();
        // Who is cut off while sending may not hear why.
        let _ = stream.read_to_end(&mut text).await;
        String::from_utf8(text).unwrap()
    }

    async fn ask(stream: &mut TcpStream, path: &str, connection: &str) {
        let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: {connection}\r\n\r\n");
        let _ = stream.write_all(head.as_bytes()).await;
    }

    #[tokio::test]
    async fn requests_are_answered_and_unknown_paths_are_not_found() {
        let address = served().await;
        assert!(get(address, "/healthz").await.starts_with("HTTP/1.1 200"));
        assert!(get(address, "/other").await.starts_with("HTTP/1.1 404"));
    }

    #[tokio::test]
    async fn those_who_say_nothing_leave_and_others_get_their_places() {
        let address = served().await;
        let mut silent = Vec::new();
        for _ in 0..CONNECTIONS_MAX {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        // The clock runs by itself while everything waits.
        tokio::time::pause();
        let begun = Instant::now();
        assert!(get(address, "/healthz").await.starts_with("HTTP/1.1 200"));
        let waited = begun.elapsed();
        assert!(waited >= HEAD_PATIENCE / 2, "there was a place after {waited:?}");
        assert!(waited < CONNECTION_LIFE / 2, "the silent stayed {waited:?}");
    }

    #[tokio::test]
    async fn a_connection_that_is_in_use_ends_as_well() {
        let address = served().await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        tokio::time::pause();
        let begun = Instant::now();
        let mut piece = [0; 1024];
        loop {
            ask(&mut stream, "/healthz", "keep-alive").await;
            match stream.read(&mut piece).await {
                Ok(1..) => tokio::time::sleep(HEAD_PATIENCE / 2).await,
                Ok(0) | Err(_) => break,
            }
            assert!(begun.elapsed() < 2 * CONNECTION_LIFE, "it goes on");
        }
        assert!(begun.elapsed() > CONNECTION_LIFE / 2, "after {:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn a_head_that_is_too_long_is_refused() {
        let address = served().await;
        let long = |len| format!("/healthz?{}", "x".repeat(len));
        assert!(get(address, &long(HEAD_LEN_MAX / 2)).await.starts_with("HTTP/1.1 200"));
        let refused = get(address, &long(HEAD_LEN_MAX)).await;
        assert!(!refused.starts_with("HTTP/1.1 200"), "{refused}");
    }
}
