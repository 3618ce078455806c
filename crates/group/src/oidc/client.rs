//! One question to the provider and its answer: JSON over HTTPS, every step bounded.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::handshake;
use hyper::{Method, Request, Uri, header};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

/// Longest time for a question and its answer: somebody waits at a browser.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest answer in bytes: a set of keys has some KiB.
const ANSWER_LEN_MAX: usize = 256 * 1024;

/// Asks over TLS 1.3, with roots of the host or of a file.
pub struct Client {
    tls: TlsConnector,
}

impl Client {
    /// A client that believes the roots in a file of PEM, or else those of the host.
    pub fn new(roots: Option<&Path>) -> Result<Self> {
        let mut store = RootCertStore::empty();
        match roots {
            Some(path) => {
                let certificates = CertificateDer::pem_file_iter(path);
                let certificates = certificates.with_context(|| cannot_read(path))?;
                for certificate in certificates {
                    store.add(certificate.with_context(|| cannot_read(path))?)?;
                }
            }
            None => {
                let found = rustls_native_certs::load_native_certs();
                store.add_parsable_certificates(found.certs);
            }
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(store)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { tls: Arc::new(config).into() })
    }

    /// Reads JSON from a place.
    pub async fn get<T: DeserializeOwned>(&self, url: &str) -> Result<T> {
        self.ask(Method::GET, url, Zeroizing::default()).await
    }

    /// Sends a form to a place, and reads JSON.
    pub async fn post<T: DeserializeOwned>(&self, url: &str, form: Zeroizing<String>) -> Result<T> {
        self.ask(Method::POST, url, form).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        url: &str,
        form: Zeroizing<String>,
    ) -> Result<T> {
        let answered = tokio::time::timeout(PATIENCE, self.exchange(method, url, form)).await;
        let body = answered.context("no answer in time").flatten();
        let body = body.with_context(|| format!("cannot ask {url}"))?;
        // What the library would quote may be a token.
        serde_json::from_slice(&body)
            .map_err(|error| anyhow::anyhow!("{url}: not the expected JSON, line {}", error.line()))
    }

    async fn exchange(&self, method: Method, url: &str, form: Zeroizing<String>) -> Result<Bytes> {
        let url: Uri = url.parse()?;
        ensure!(url.scheme_str() == Some("https"), "only https is spoken");
        let host = url.host().context("it names no host")?.to_owned();
        let stream = TcpStream::connect((host.as_str(), url.port_u16().unwrap_or(443))).await?;
        let stream = self.tls.connect(ServerName::try_from(host)?, stream).await?;
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
        // How it ends is learned from the question on it.
        tokio::spawn(async { drop(connection.await) });
        let place = url.path_and_query().map_or("/", |place| place.as_str());
        let authority = url.authority().context("it names no host")?.as_str();
        let mut request = Request::builder()
            .method(&method)
            .uri(place)
            .header(header::HOST, authority)
            .header(header::ACCEPT, "application/json");
        if method == Method::POST {
            request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        let body = Full::new(Bytes::copy_from_slice(form.as_bytes()));
        let answer = sender.send_request(request.body(body)?).await?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_LEN_MAX).collect().await;
        let body = body.map_err(|error| anyhow::anyhow!("cannot read the answer: {error}"))?;
        if !status.is_success() {
            bail!("it answers {status}");
        }
        Ok(body.to_bytes())
    }
}

fn cannot_read(path: &Path) -> String {
    format!("cannot read certificates from {}", path.display())
}
