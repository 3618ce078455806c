//! A double of the group service: TLS, the questions of the enrolment, and answers as a test wants them.
//!
//! It writes down what it receives, so that a test can say what a node has *not* sent.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use lab::Host;
use pki::enrolment::{
    BootstrapAnswer, Code, Denial, DeviceAnswer, DeviceCode, DeviceTokenAnswer, Grant, KeyAnswer,
    KeyRequest, Message, Nonce, NonceAnswer, NoticesAnswer, Pending, Pin, RenewalRequest, Token,
    UserCode,
};
use pki::enrolment::{CertificateRequest, ServiceUrl, WAIT_MAX_SECONDS};
use pki::{
    CertificateAuthority, Enrolment, GroupSecret, HostPort, Invitation, Network, Revoked, Salt,
    SignOptions, SignedSecret, StalePolicy, Trust, UnixTime,
};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// How long the double holds a question for a certificate, whatever the node asks for.
const HOLD: Duration = Duration::from_secs(2);

/// What the double does and has seen.
pub struct State {
    pub authority: CertificateAuthority,
    pub trust: Trust,
    pub network: Network,
    pub bootstrap: Vec<String>,
    pub stale_policy: StalePolicy,
    /// Whether the request to join is approved.
    pub is_approved: bool,
    /// What every question with a token is answered with.
    pub denial: Option<Code>,
    /// What every question is answered with, whatever it is: status and body.
    pub nonsense: Option<(u16, Vec<u8>)>,
    /// From the grant to its renewal.
    pub renew_after: Duration,
    /// Lines of requests and their headers, as received.
    pub received: Vec<String>,
    pub token: Token,
    /// What a device gets once its user has confirmed.
    pub blob: String,
    salts: Vec<(Vec<u8>, Salt)>,
    secrets: Vec<SignedSecret>,
}

/// The running double; it ends with its test.
pub struct Service {
    pub address: SocketAddr,
    pub pin: Pin,
    state: Arc<Mutex<State>>,
}

impl Service {
    /// Serves in this host, or on the loopback of the test.
    pub fn start(host: Option<&Host>, address: &str, bootstrap: &[&str]) -> Result<Self> {
        let authority = CertificateAuthority::create("team", now())?;
        let trust = Trust::new("team", &[authority.certificate().clone()], None)?;
        let first = authority.sign_secret(GroupSecret::random(1), now());
        let state = Arc::new(Mutex::new(State {
            authority,
            trust,
            network: Network::new("team", "10.42.0.0/24".parse()?),
            bootstrap: bootstrap.iter().map(|&text| text.to_owned()).collect(),
            stale_policy: StalePolicy::Lenient,
            is_approved: true,
            denial: None,
            nonsense: None,
            renew_after: pki::LIFE_DEFAULT / 3,
            received: Vec::new(),
            token: Token::random(),
            blob: String::new(),
            salts: Vec::new(),
            secrets: vec![first],
        }));
        // Any self-signed certificate does: the key is pinned.
        let server = CertificateAuthority::create("server", now())?;
        let pin = Pin::of_spki(server.key().spki());
        let config = server_config(&server)?;
        let asked = address.to_owned();
        let listener = match host {
            Some(host) => host.run(move || TcpListener::bind(asked))??,
            None => TcpListener::bind(asked)?,
        };
        let address = listener.local_addr()?;
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (config, state) = (Arc::clone(&config), Arc::clone(&shared));
                // A node that goes away in the middle is no failure of the double.
                thread::spawn(move || drop(serve(stream, config, &state)));
            }
        });
        Ok(Self { address, pin, state })
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics while it holds this")
    }

    /// How to enrol here.
    pub fn enrolment(&self) -> Enrolment {
        let url: ServiceUrl = format!("https://{}", self.address).parse().expect("an address");
        Enrolment { url, pins: vec![self.pin], token: self.state().token.clone() }
    }

    /// The short blob of this service.
    pub fn invitation(&self) -> Result<String> {
        Ok(Invitation::new("team", self.enrolment()).to_yaml()?.to_string())
    }

    /// How often a path was asked for.
    pub fn count(&self, path: &str) -> usize {
        let start = format!(" {path}");
        self.state().received.iter().filter(|line| line.contains(&start)).count()
    }
}

impl State {
    /// Revokes a user and signs the head that says so, by the authority that signs now.
    pub fn revoke(&mut self, user: &str) -> Result<()> {
        self.authority.revoke(Revoked::User(user.into()), self.trust.ledger_mut(), now())?;
        self.sign_head(Duration::ZERO, Duration::from_secs(3600))
    }

    /// Signs a head as if it were so long ago; it is good for a time from then on.
    pub fn sign_head(&mut self, ago: Duration, good: Duration) -> Result<()> {
        let then = now() - ago;
        self.authority.head(self.trust.ledger_mut(), then, then + good)?;
        Ok(())
    }

    fn salt(&mut self, spki: &[u8]) -> Salt {
        if let Some((_, salt)) = self.salts.iter().find(|(known, _)| known == spki) {
            return *salt;
        }
        self.salts.push((spki.to_vec(), Salt::random()));
        self.salts.last().expect("just pushed").1
    }

    /// The nodes to join by.
    fn named(&self) -> Result<Vec<HostPort>> {
        Ok(self.bootstrap.iter().map(|text| text.parse()).collect::<Result<_, _>>()?)
    }

    /// Grants with a user for each node.
    fn grant(&mut self, request: &pki::Request) -> Result<Grant> {
        let salt = self.salt(request.spki());
        request.check_identity("team", &salt)?;
        let place = self.salts.iter().position(|(known, _)| known == request.spki());
        let user = format!("user{}", place.context("it has a salt")?);
        let options = SignOptions { salt: Some(salt), ..SignOptions::new(user) };
        Ok(Grant {
            certificate: self.authority.sign(request, &options, now())?,
            ca: self.trust.authorities().cloned().collect(),
            root: None,
            network: self.network.clone(),
            bootstrap: self.named()?,
            secrets: self.secrets.clone(),
            notices: self.trust.ledger().to_text(),
            stale_policy: self.stale_policy,
            renew_at: now() + self.renew_after,
        })
    }
}

pub fn now() -> UnixTime {
    UnixTime(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |passed| passed.as_secs()))
}

fn server_config(server: &CertificateAuthority) -> Result<Arc<ServerConfig>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = PrivatePkcs8KeyDer::from(server.key().pkcs8_der().to_vec());
    let chain = vec![server.certificate().as_rustls().clone()];
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(chain, key.into())?;
    Ok(Arc::new(config))
}

/// Answers the questions of one connection.
fn serve(stream: TcpStream, config: Arc<ServerConfig>, state: &Mutex<State>) -> Result<()> {
    let stream = StreamOwned::new(ServerConnection::new(config)?, stream);
    let mut stream = BufReader::new(stream);
    loop {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            ensure!(stream.read_line(&mut line)? > 0, "closed");
            if line.trim().is_empty() {
                break;
            }
            state.lock().expect("unpoisoned").received.push(line.trim().to_owned());
            head.push(line.trim().to_owned());
        }
        let field = |name: &str| {
            let found = head.iter().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
            });
            found.unwrap_or_default()
        };
        let mut body = vec![0; field("content-length").parse().unwrap_or(0)];
        stream.read_exact(&mut body)?;
        let path = head[0].split(' ').nth(1).context("a path")?.to_owned();
        let (status, answer) = answer(&path, &field("authorization"), &body, state)?;
        let length = answer.len();
        let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {length}\r\n\r\n");
        stream.get_mut().write_all(&[head.as_bytes(), &answer].concat())?;
        stream.get_mut().flush()?;
    }
}

fn answer(
    path: &str,
    authorization: &str,
    body: &[u8],
    state: &Mutex<State>,
) -> Result<(u16, Vec<u8>)> {
    let lock = || state.lock().expect("unpoisoned");
    let ok = |message: &[u8]| Ok((200, message.to_vec()));
    if let Some(nonsense) = lock().nonsense.clone() {
        return Ok(nonsense);
    }
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let needs_token =
        !matches!(path, "/enrol/v1/nonce" | "/enrol/v1/renewal") && !path.contains("device");
    let expected = format!("Bearer {}", &*lock().token.expose());
    let denial = lock().denial.or((authorization != expected).then_some(Code::TokenUnknown));
    if let Some(code) = denial.filter(|_| needs_token) {
        let denial = Denial { code, message: "because the test says so".into() };
        return Ok((403, denial.to_json().to_vec()));
    }
    match path {
        "/enrol/v1/key" => {
            let asked = KeyRequest::from_json(body)?;
            let salt = lock().salt(&asked.public_key);
            ok(&KeyAnswer::new("team", salt, &asked.public_key).to_json())
        }
        "/enrol/v1/certificate" => {
            let asked = CertificateRequest::from_json(body)?;
            let end = Instant::now() + HOLD;
            while !lock().is_approved {
                if Instant::now() > end {
                    return Ok((202, Pending::default().to_json().to_vec()));
                }
                thread::sleep(Duration::from_millis(20));
            }
            ok(&lock().grant(&asked.request)?.to_json())
        }
        "/enrol/v1/nonce" => {
            let nonce: Nonce = "once".parse()?;
            ok(&NonceAnswer { nonce }.to_json())
        }
        "/enrol/v1/renewal" => {
            let asked = RenewalRequest::from_json(body)?;
            ensure!(asked.is_proven(), "no proof");
            let mut state = lock();
            state.trust.judge_renewal(asked.certificate.der(), now()).ok().context("refused")?;
            ok(&state.grant(&asked.request)?.to_json())
        }
        "/enrol/v1/notices" => {
            let after: u64 = query.strip_prefix("after=").context("after")?.parse()?;
            let head = lock().trust.ledger().head().cloned();
            let end = Instant::now() + Duration::from_secs(WAIT_MAX_SECONDS.into());
            let is_old = |ledger: &pki::Ledger| {
                ledger.number() <= after
                    && ledger.head().map(|h| h.issued) == head.as_ref().map(|h| h.issued)
            };
            while is_old(lock().trust.ledger()) && Instant::now() < end {
                thread::sleep(Duration::from_millis(20));
            }
            ok(&NoticesAnswer { notices: lock().trust.ledger().to_text() }.to_json())
        }
        "/enrol/v1/bootstrap" => ok(&BootstrapAnswer { bootstrap: lock().named()? }.to_json()),
        "/enrol/v1/device" => ok(&DeviceAnswer {
            device_code: DeviceCode::random(),
            user_code: UserCode::random(),
            verification_url: "https://vpn.example.org/device".parse()?,
            interval: 1,
            expires_in: 30,
        }
        .to_json()),
        "/enrol/v1/device/token" => {
            let state = lock();
            match (state.denial, state.is_approved) {
                (Some(code), _) => {
                    let denial = Denial { code, message: String::new() };
                    Ok((403, denial.to_json().to_vec()))
                }
                (None, false) => Ok((202, Pending::default().to_json().to_vec())),
                (None, true) => {
                    ok(&DeviceTokenAnswer { blob: state.blob.clone().into() }.to_json())
                }
            }
        }
        _ => Ok((404, Vec::new())),
    }
}
