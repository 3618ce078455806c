//! Log-in by an OpenID provider beside local accounts: the code flow with PKCE (OpenID Connect Core
//! 1.0, RFC 7636).
//!
//! How it works: the browser gets a cookie of 256 random bits for this one log-in, and is sent to the
//! provider with texts that derive from it: state, nonce, and the challenge. When it comes back, the
//! cookie proves that this browser began; nothing is kept in between. The code is exchanged for an ID
//! token ([`token`]), which names issuer and subject: together they are an account. A first log-in
//! makes one, if the site lets everybody sign up.
//!
//! What must hold: accounts are known by issuer and subject alone, never by an e-mail address or a
//! name, which somebody may have at several places. The provider's addresses are those of its own
//! document, under the configured issuer, over TLS.
//!
//! | file | question |
//! |---|---|
//! | `client` | how is the provider asked |
//! | `token` | does this ID token vouch for somebody |

mod client;
mod token;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use warp::http::{HeaderValue, StatusCode, header};
use zeroize::Zeroizing;

use crate::config::Oidc as Settings;
use crate::http::{Access, Answer, Ask, Problem, Route, Site, now, see_other, set_cookie};
use crate::model::Refusal;
use crate::service::NewUser;
use crate::session::Key;
use crate::view::UserView;
use client::Client;
use token::{Claims, Expected, Keys, TokenError};

/// The cookie of one log-in.
const COOKIE: &str = "__Host-warren-oidc";
/// How long a log-in at the provider may take, in seconds.
const LOGIN_SECONDS: u32 = 600;
/// Where the provider sends the browser back to, below the service's address.
const CALLBACK: &str = "/login/oidc/callback";
/// How long what the provider says of itself is believed.
const PROVIDER_LIFE: Duration = Duration::from_secs(3600);
/// Shortest time between two looks for new keys.
const KEYS_PAUSE: Duration = Duration::from_secs(60);
/// Names that are tried for a new account: `ana`, `ana-2` and so on.
const NAMES_TRIED: u32 = 50;

/// The provider, as the service knows it.
pub struct Oidc {
    settings: Settings,
    secret: Option<Zeroizing<String>>,
    redirect: String,
    client: Client,
    provider: Mutex<Option<Provider>>,
}

struct Provider {
    document: Document,
    keys: Keys,
    since: Instant,
}

/// What a provider says of itself (OpenID Connect Discovery 1.0).
#[derive(Clone, Debug, Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
}

#[derive(Deserialize)]
struct Exchanged {
    id_token: Zeroizing<String>,
}

impl Oidc {
    /// Reads what the settings name; asks nobody yet.
    pub fn new(settings: &Settings, url: &pki::enrolment::ServiceUrl) -> Result<Self> {
        let secret = match &settings.client_secret_file {
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                Some(Zeroizing::new(text.trim().to_owned()))
            }
            None => None,
        };
        let client = Client::new(settings.roots.as_deref())?;
        let redirect = format!("{url}{CALLBACK}");
        Ok(Self {
            settings: settings.clone(),
            secret,
            redirect,
            client,
            provider: Mutex::default(),
        })
    }

    /// Returns what the button says.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Returns what the provider says of itself, and its keys, as it was said within that age.
    async fn provider(&self, age: Duration) -> Result<(Document, Keys)> {
        let mut known = self.provider.lock().await;
        if let Some(Provider { document, keys, since }) = &*known
            && since.elapsed() < age
        {
            return Ok((document.clone(), keys.clone()));
        }
        let issuer = &self.settings.issuer;
        let place = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let document: Document = self.client.get(&place).await?;
        ensure!(document.issuer == *issuer, "the provider calls itself {}", document.issuer);
        let keys: Keys = self.client.get(&document.jwks_uri).await?;
        let (said, shown) = (document.clone(), keys.clone());
        *known = Some(Provider { document, keys, since: Instant::now() });
        Ok((said, shown))
    }

    /// The address at the provider where the browser goes.
    async fn begin(&self, login: &Key) -> Result<String> {
        #[derive(Serialize)]
        struct Query<'a> {
            response_type: &'a str,
            client_id: &'a str,
            redirect_uri: &'a str,
            scope: &'a str,
            state: String,
            nonce: String,
            code_challenge: String,
            code_challenge_method: &'a str,
        }
        let (document, _) = self.provider(PROVIDER_LIFE).await?;
        let verifier = login.derive("verifier");
        let query = serde_urlencoded::to_string(Query {
            response_type: "code",
            client_id: &self.settings.client_id,
            redirect_uri: &self.redirect,
            scope: "openid email profile",
            state: login.derive("state"),
            nonce: login.derive("nonce"),
            code_challenge: URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes())),
            code_challenge_method: "S256",
        })?;
        let join = if document.authorization_endpoint.contains('?') { '&' } else { '?' };
        Ok(format!("{}{join}{query}", document.authorization_endpoint))
    }

    /// Exchanges the code that the browser brought.
    async fn finish(&self, login: &Key, code: &str) -> Result<Claims> {
        #[derive(Serialize)]
        struct Form<'a> {
            grant_type: &'a str,
            code: &'a str,
            redirect_uri: &'a str,
            client_id: &'a str,
            client_secret: Option<&'a str>,
            code_verifier: String,
        }
        let (document, keys) = self.provider(PROVIDER_LIFE).await?;
        let form = Zeroizing::new(serde_urlencoded::to_string(Form {
            grant_type: "authorization_code",
            code,
            redirect_uri: &self.redirect,
            client_id: &self.settings.client_id,
            client_secret: self.secret.as_ref().map(|secret| secret.as_str()),
            code_verifier: login.derive("verifier"),
        })?);
        let Exchanged { id_token } = self.client.post(&document.token_endpoint, form).await?;
        let nonce = login.derive("nonce");
        let (issuer, client_id) = (&self.settings.issuer, &self.settings.client_id);
        let expected = Expected { issuer, client_id, nonce: &nonce };
        match token::verify(&id_token, &keys, expected, now()) {
            Err(TokenError::UnknownKey) => {
                let (_, keys) = self.provider(KEYS_PAUSE).await?;
                Ok(token::verify(&id_token, &keys, expected, now())?)
            }
            verified => Ok(verified?),
        }
    }
}

/// The end points of a browser that logs in this way.
pub fn routes() -> Vec<Route> {
    vec![
        Route::get("/login/oidc", Access::Anyone, begin),
        Route::get(CALLBACK, Access::Anyone, callback),
    ]
}

async fn begin(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let oidc = site.oidc.as_ref().ok_or_else(Problem::not_found)?;
    site.limited(site.limits.logins.take(ask.source(), Instant::now()))?;
    let login = Key::random();
    let place = oidc.begin(&login).await.map_err(|error| no_provider(&error))?;
    let mut response = see_other(&place);
    let cookie = format!(
        "{COOKIE}={}; Path=/; Max-Age={LOGIN_SECONDS}; Secure; HttpOnly; SameSite=Lax",
        &*login.cookie()
    );
    if let Ok(mut value) = HeaderValue::from_str(&cookie) {
        value.set_sensitive(true);
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
    Ok(response)
}

async fn callback(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    #[derive(Deserialize)]
    struct Query {
        code: Option<Zeroizing<String>>,
        state: String,
    }
    let oidc = site.oidc.as_ref().ok_or_else(Problem::not_found)?;
    site.limited(site.limits.logins.take(ask.source(), Instant::now()))?;
    let Query { code, state } = ask.query()?;
    let login = ask.cookie_named(COOKIE).filter(|login| login.has_derived("state", &state));
    let login = login.ok_or_else(Problem::forged)?;
    let Some(code) = code else {
        const MESSAGE: &str = "the provider has not let you log in; try again, or ask there";
        return Err(Problem::new(StatusCode::FORBIDDEN, "login_denied", MESSAGE));
    };
    let claims = oidc.finish(&login, &code).await.map_err(|error| no_provider(&error))?;
    let user = account(&site, &ask, &oidc.settings.issuer, claims).await?;
    if !user.enabled {
        return Err(Refusal::AccountDisabled.into());
    }
    let key = site.begin_session(&ask, &user).await?;
    let mut response = see_other("/");
    set_cookie(&mut response, &key);
    let ended = format!("{COOKIE}=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax");
    if let Ok(value) = HeaderValue::from_str(&ended) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
    Ok(response)
}

/// Finds the account of somebody whom the provider vouches for; makes one the first time.
async fn account(
    site: &Site,
    ask: &Ask,
    issuer: &str,
    claims: Claims,
) -> std::result::Result<UserView, Problem> {
    if let Some(user) = site.service.user_of_oidc(issuer, &claims.sub).await? {
        return Ok(user);
    }
    site.limited(site.limits.sign_ups.take(ask.source(), Instant::now()))?;
    let wished = name_of(&claims);
    for number in 1..=NAMES_TRIED {
        let name = if number == 1 { wished.clone() } else { format!("{wished}-{number}") };
        let (issuer, subject) = (issuer.to_owned(), claims.sub.clone());
        let new = NewUser::Oidc { name, email: claims.email.clone(), issuer, subject };
        match site.service.create_user(&ask.caller(), new, now()).await {
            Ok(id) => return site.service.user(id).await?.ok_or_else(Problem::not_found),
            Err(error) if error.refusal() == Some(&Refusal::NameTaken) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Refusal::NameTaken.into())
}

/// What of the wished name, or of the address, is a name here.
fn name_of(claims: &Claims) -> String {
    /// Leaves room for a number.
    const LEN_MAX: usize = 60;
    let address = claims.email.as_deref().and_then(|email| email.split('@').next());
    let wished = claims.preferred_username.as_deref().or(address).unwrap_or_default();
    let wished = wished.split('@').next().unwrap_or_default().to_ascii_lowercase();
    let plain = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-_".contains(*c);
    let name: String = wished.chars().filter(plain).take(LEN_MAX).collect();
    let name = name.trim_start_matches(['.', '-', '_']);
    if name.is_empty() { "user".to_owned() } else { name.to_owned() }
}

/// The reason is for the log: it is about the provider, not about the one who asks.
fn no_provider(error: &anyhow::Error) -> Problem {
    tracing::warn!(error = format!("{error:#}"), "a log-in by the OpenID provider has failed");
    const MESSAGE: &str = "the log-in by the provider has failed; try again, or log in otherwise";
    Problem::new(StatusCode::BAD_GATEWAY, "provider_failed", MESSAGE)
}
