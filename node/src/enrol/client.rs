//! One question to the group service and its answer: HTTP/1.1 over TLS 1.3, every step bounded.
//!
//! The connection is kept for the next question, so that a long poll costs no handshake each time. One
//! that has died meanwhile is made anew, once.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use pki::enrolment::{ANSWER_LEN_MAX, Denial, Message, Pin, REQUEST_LEN_MAX, ServiceUrl, Token};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use super::tls::{Stranger, client_config};
use super::trouble::Trouble;
use crate::failure::Failure;

/// How long one address of the server may take to answer: as long as a second SYN needs.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// How long name look-up and handshake may take together.
const OPEN_PATIENCE: Duration = Duration::from_secs(20);
/// How long an answer may take beyond the time that the service was asked to hold the question.
const ANSWER_PATIENCE: Duration = Duration::from_secs(30);

/// A question.
pub struct Call<'a> {
    /// `GET` or `POST`.
    pub method: Method,
    /// Below the service's address.
    pub path: &'a str,
    /// Who asks.
    pub token: Option<&'a Token>,
    /// How long the service may hold the question.
    pub wait: Duration,
    /// What is asked.
    pub body: Zeroizing<Vec<u8>>,
}

impl<'a> Call<'a> {
    /// Asks for what is at `path`.
    pub fn get(path: &'a str) -> Self {
        let (wait, body) = (Duration::ZERO, Zeroizing::default());
        Self { method: Method::GET, path, token: None, wait, body }
    }

    /// Sends a message to `path`.
    pub fn post(path: &'a str, message: &impl Message) -> Self {
        Self { method: Method::POST, body: message.to_json(), ..Self::get(path) }
    }
}

/// A connection to the group service, made when it is needed.
pub struct Client {
    url: ServiceUrl,
    tls: TlsConnector,
    open: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    /// A client of this service, which is known by one of the pins or, without any, by the roots of this host.
    pub fn new(url: &ServiceUrl, pins: &[Pin]) -> Result<Self, Failure> {
        let config = client_config(pins).map_err(Failure::host)?;
        Ok(Self { url: url.clone(), tls: Arc::new(config).into(), open: None })
    }

    /// Host and port, for messages.
    pub fn server(&self) -> String {
        self.url.authority()
    }

    /// Asks; every answer but 200 and 202 is trouble.
    pub async fn ask(
        &mut self,
        call: &Call<'_>,
    ) -> Result<(StatusCode, Zeroizing<Vec<u8>>), Trouble> {
        let kept = self.open.take().filter(|sender| !sender.is_closed());
        let was_kept = kept.is_some();
        let mut sender = match kept {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        let mut answer = self.exchange(&mut sender, call).await;
        if was_kept && matches!(answer, Err(Trouble::Unreachable { .. })) {
            sender = self.connect().await?;
            answer = self.exchange(&mut sender, call).await;
        }
        let (status, body) = answer?;
        self.open = Some(sender);
        match status {
            StatusCode::OK | StatusCode::ACCEPTED => Ok((status, body)),
            _ => Err(self.refused(status, &body)),
        }
    }

    /// Trouble with an answer.
    pub fn unusable(&self, why: impl ToString) -> Trouble {
        Trouble::Unusable { server: self.server(), why: why.to_string() }
    }

    fn unreachable(&self, why: impl ToString) -> Trouble {
        Trouble::Unreachable { server: self.server(), why: why.to_string() }
    }

    fn refused(&self, status: StatusCode, body: &[u8]) -> Trouble {
        match Denial::from_json(body) {
            Ok(denial) => Trouble::Denied { server: self.server(), denial },
            // A proxy in front of a service that is down says so in its own words.
            Err(_) if status.is_server_error() => self.unreachable(format!("status {status}")),
            Err(_) => self.unusable(format!("status {status} without a reason")),
        }
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Trouble> {
        let opened = timeout(OPEN_PATIENCE, async {
            let host = self.url.server().host.clone();
            let name = ServerName::try_from(host).map_err(io::Error::other)?;
            let stream = self.tls.connect(name, self.dial().await?).await?;
            handshake(TokioIo::new(stream)).await.map_err(io::Error::other)
        });
        let opened = opened.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let (sender, connection) = opened.map_err(|error| match Stranger::in_error(&error) {
            Some(&Stranger { presented, was_pinned }) => {
                Trouble::Stranger { server: self.server(), presented, was_pinned }
            }
            None => self.unreachable(error),
        })?;
        // How it ends is learned from the question on it.
        tokio::spawn(async { drop(connection.await) });
        Ok(sender)
    }

    /// Tries the addresses of the server one by one.
    async fn dial(&self) -> io::Result<TcpStream> {
        let server = self.url.server();
        let mut last = io::Error::new(io::ErrorKind::NotFound, "it has no address");
        for address in tokio::net::lookup_host((server.host.as_str(), server.port)).await? {
            match timeout(CONNECT_PATIENCE, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = error,
                Err(_) => last = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(last)
    }

    async fn exchange(
        &self,
        sender: &mut SendRequest<Full<Bytes>>,
        call: &Call<'_>,
    ) -> Result<(StatusCode, Zeroizing<Vec<u8>>), Trouble> {
        let request = self.request(call)?;
        let answered = timeout(call.wait + ANSWER_PATIENCE, async {
            sender.ready().await.map_err(|error| self.unreachable(error))?;
            let answer = sender.send_request(request).await;
            let answer = answer.map_err(|error| self.unreachable(error))?;
            let status = answer.status();
            let bound = if status.is_success() { ANSWER_LEN_MAX } else { REQUEST_LEN_MAX };
            match Limited::new(answer.into_body(), bound).collect().await {
                Ok(body) => Ok((status, Zeroizing::new(body.to_bytes().to_vec()))),
                Err(error) if error.is::<LengthLimitError>() => {
                    Err(self.unusable(format!("longer than {bound} bytes")))
                }
                Err(error) => Err(self.unreachable(error)),
            }
        });
        answered.await.unwrap_or_else(|_| Err(self.unreachable("no answer in time")))
    }

    fn request(&self, call: &Call<'_>) -> Result<Request<Full<Bytes>>, Trouble> {
        let mut request = Request::builder()
            .method(&call.method)
            .uri(self.url.path_to(call.path))
            .header(header::HOST, self.url.authority())
            .header(header::USER_AGENT, concat!("warren/", env!("CARGO_PKG_VERSION")))
            .header(header::ACCEPT, "application/json");
        if call.method == Method::POST {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        if !call.wait.is_zero() {
            request = request.header("prefer", format!("wait={}", call.wait.as_secs()));
        }
        if let Some(token) = call.token {
            let text = Zeroizing::new(format!("Bearer {}", &*token.expose()));
            let mut value = header::HeaderValue::from_str(&text).map_err(|e| self.unusable(e))?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        let body = Full::new(Bytes::copy_from_slice(&call.body));
        request.body(body).map_err(|error| self.unusable(error))
    }
}
