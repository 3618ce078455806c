//! A browser without a screen: HTTP/1.1 over TLS 1.3, one connection per request, a cookie, a proof.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;

/// A client of one service.
#[derive(Clone)]
pub struct Client {
    address: SocketAddr,
    config: Arc<ClientConfig>,
    /// What the browser would send back.
    pub cookie: Option<String>,
    /// What its pages would prove with.
    pub csrf: Option<String>,
    /// What a program would show.
    pub bearer: Option<String>,
    /// Further lines of the head.
    pub headers: Vec<(&'static str, String)>,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Checks the status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// Checks that it was refused with this code.
    #[track_caller]
    pub fn refused(self, status: u16, code: &str) {
        assert_eq!((self.status, self.json()["error"].as_str()), (status, Some(code)), "{self:?}");
    }
}

impl Client {
    /// A client that trusts this certificate alone.
    pub fn new(address: SocketAddr, certificate: &Path) -> Self {
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_file(certificate).expect("is a certificate");
        roots.add(certificate).expect("may be trusted");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("is spoken")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let (config, headers) = (Arc::new(config), Vec::new());
        Self { address, config, cookie: None, csrf: None, bearer: None, headers }
    }

    /// Opens a TLS connection.
    pub fn connect(&self) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
        let stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let name = ServerName::try_from("localhost").expect("is a name");
        let tls =
            ClientConnection::new(Arc::clone(&self.config), name).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(tls, stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(stream)
    }

    /// Sends a request and reads the answer; takes up a new cookie and a new proof.
    pub fn send(&mut self, method: &str, path: &str, kind: &str, body: &str) -> Answer {
        let mut stream = self.connect().expect("the service can be reached");
        let mut head =
            format!("{method} {path} HTTP/1.1\r\nHost: localhost:{}\r\n", self.address.port());
        let length = body.len().to_string();
        let cookie = self.cookie.as_ref().map(|key| format!("__Host-warren={key}"));
        let bearer = self.bearer.as_ref().map(|token| format!("Bearer {token}"));
        let kind = (!kind.is_empty()).then(|| kind.to_owned());
        let usual = [
            ("Connection", Some("close".to_owned())),
            ("Content-Length", Some(length)),
            ("Content-Type", kind),
            ("Cookie", cookie),
            ("X-CSRF-Token", self.csrf.clone()),
            ("Authorization", bearer),
        ];
        let usual = usual.into_iter().filter_map(|(name, value)| Some((name, value?)));
        for (name, value) in usual.chain(self.headers.iter().cloned()) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        stream.write_all(format!("{head}\r\n{body}").as_bytes()).expect("writes");
        let answer = read(&mut stream);
        if let Some(cookie) = answer.header("set-cookie") {
            let key = cookie.strip_prefix("__Host-warren=").and_then(|rest| rest.split(';').next());
            self.cookie = key.filter(|key| !key.is_empty()).map(str::to_owned);
        }
        let proof = serde_json::from_str::<Value>(&answer.body).ok();
        if let Some(proof) = proof.and_then(|json| json.get("csrf")?.as_str().map(str::to_owned)) {
            self.csrf = Some(proof);
        }
        answer
    }

    /// Asks for something.
    pub fn get(&mut self, path: &str) -> Answer {
        self.send("GET", path, "", "")
    }

    /// Sends JSON.
    pub fn post(&mut self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, "application/json", &body.to_string())
    }

    /// Takes something away.
    pub fn delete(&mut self, path: &str) -> Answer {
        self.send("DELETE", path, "", "")
    }

    /// Signs up, and stays logged in.
    pub fn sign_up(mut self, name: &str) -> Self {
        let body = serde_json::json!({ "name": name, "password": password(name) });
        self.post("/api/v1/users", &body).expect(201);
        self
    }
}

/// The password of a user in these tests.
pub fn password(name: &str) -> String {
    format!("the secret of {name}")
}

/// Reads an answer to its end.
pub fn read(stream: &mut impl Read) -> Answer {
    let mut bytes = Vec::new();
    // An end without a farewell is as good: the length tells whether all is there.
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}
