//! What nodes ask: `/enrol/v1`, and the list of revocations for everybody.
//!
//! How it works: messages are those of `pki::enrolment`. A node shows the token of its blob; a
//! renewal is proven by the node's key instead. Two questions may be held until the answer changes
//! (`Prefer: wait=N`, RFC 7240): whether approval was given, and whether there are new notices.
//!
//! What must hold: nothing that was asked reaches the model unparsed. What is refused is refused
//! with a code of its own, and leaves a line in the audit log.
//!
//! | end point | who may call it, what it leaks, what bounds it |
//! |---|---|
//! | `POST key`, `POST certificate` | bearers of a token; nothing beyond their group; quota and rate of the member, rate of the network |
//! | `GET nonce` | everybody; nothing; no state is kept |
//! | `POST renewal` | holders of a key that has a certificate; as with it; one signature per request |
//! | `GET notices` | bearers of a token of the group, ended or not; the chain, which is signed for the members |
//! | `GET bootstrap` | the same; the nodes to join by, which every blob names |
//! | `GET /crl/{file}` | everybody who knows the authority's ID; serials; written every ten seconds at most |
//! | `POST device` | everybody; not whether the group exists; rows live ten minutes, and not too many of them |
//! | `POST device/token` | holders of a device code |
//!
//! | file | question |
//! |---|---|
//! | `holding` | how is a question held until something happens |
//! | `nonce` | was this nonce ours, and lately |
//! | `device` | how does a device get the word of its user |
//! | `list` | how is the X.509 list kept from costing a signature each |

mod device;
mod holding;
mod list;
mod nonce;

use std::sync::Arc;
use std::time::Duration;

use pki::enrolment::{
    BootstrapAnswer, CertificateRequest, JsonError, KeyRequest, Message, NonceAnswer,
    NoticesAnswer, Pending, RenewalRequest, Token, WAIT_MAX_SECONDS,
};
use warp::http::StatusCode;
use warp::reply::Response;

use crate::error::Error;
use crate::http::{self, Access, Answer, Ask, Problem, Route, Routes, Site, now};
use crate::model::Refusal;
use crate::service::CertificateAnswer;

pub use device::{Devices, PendingDevice};
pub use holding::{Holding, Matter};
pub use list::Lists;
pub use nonce::Nonces;

/// The end points for nodes.
pub fn routes() -> Routes {
    let node = Access::Node;
    let all = vec![
        Route::post("/enrol/v1/key", node, key),
        Route::post("/enrol/v1/certificate", node, certificate),
        Route::get("/enrol/v1/nonce", node, nonce),
        Route::post("/enrol/v1/renewal", node, renewal),
        Route::get("/enrol/v1/notices", node, notices),
        Route::get("/enrol/v1/bootstrap", node, bootstrap),
        Route::post("/enrol/v1/device", node, device::begin),
        Route::post("/enrol/v1/device/token", node, device::token),
        Route::get("/crl/{file}", node, crl),
    ];
    Routes::new(all, |_, _, problem| problem.to_json())
}

async fn key(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let token = bearer(&ask)?;
    let asked: KeyRequest = message(&ask)?;
    let named = site.service.name_node(&ask.caller(), &token, &asked, now()).await.map_err(told)?;
    Ok(written(StatusCode::OK, &named))
}

async fn certificate(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let token = bearer(&ask)?;
    let CertificateRequest { request } = message(&ask)?;
    let mut held = site.holding.begin(wait(&ask)?);
    loop {
        match site.service.certify(&ask.caller(), &token, &request, now()).await.map_err(told)? {
            CertificateAnswer::Granted(grant) => {
                site.traffic.certificates.inc();
                return Ok(written(StatusCode::OK, &*grant));
            }
            CertificateAnswer::Pending { group } => {
                if !held.again(group, Matter::Anything).await {
                    return Ok(written(StatusCode::ACCEPTED, &Pending::default()));
                }
            }
        }
    }
}

async fn nonce(site: Arc<Site>, _: Arc<Ask>) -> Answer {
    Ok(written(StatusCode::OK, &NonceAnswer { nonce: site.nonces.draw(now()) }))
}

async fn renewal(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let asked: RenewalRequest = message(&ask)?;
    if !site.nonces.is_good(&asked.nonce, now()) {
        const MESSAGE: &str = "the nonce is not of this service or is older than five minutes; \
            ask for a new one";
        return Err(Problem::new(StatusCode::FORBIDDEN, "nonce_expired", MESSAGE));
    }
    let grant = site.service.renew(&ask.caller(), &asked, now()).await.map_err(told)?;
    site.traffic.certificates.inc();
    Ok(written(StatusCode::OK, &grant))
}

async fn notices(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    #[derive(serde::Deserialize)]
    struct Query {
        #[serde(default)]
        after: u64,
    }
    let token = bearer(&ask)?;
    let Query { after } = ask.query()?;
    let mut held = site.holding.begin(wait(&ask)?);
    loop {
        let found = site.service.notices(&token, after).await.map_err(told)?;
        if found.newest > after || !held.again(found.group, Matter::Notices).await {
            return Ok(written(StatusCode::OK, &NoticesAnswer { notices: found.text }));
        }
    }
}

async fn bootstrap(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let bootstrap = site.service.bootstrap(&bearer(&ask)?).await.map_err(told)?;
    Ok(written(StatusCode::OK, &BootstrapAnswer { bootstrap }))
}

async fn crl(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let issuer = ask.text_at("file")?.strip_suffix(".crl").ok_or_else(Problem::not_found)?;
    let der = site.lists.get(&site.service, issuer, now()).await?;
    Ok(http::text("application/pkix-crl", der.to_vec()))
}

/// The token that a node shows.
fn bearer(ask: &Ask) -> Result<Token, Problem> {
    let shown = ask.bearer().and_then(|text| text.parse().ok());
    shown.ok_or_else(|| Refusal::TokenUnknown.into())
}

/// A refusal in the words of `pki::enrolment`, which nodes know.
fn told(error: Error) -> Problem {
    match error.refusal() {
        Some(refusal) => {
            Problem { code: refusal.enrolment_code().as_str(), ..Problem::from(refusal) }
        }
        None => error.into(),
    }
}

/// The message that a node sends.
fn message<M: Message>(ask: &Ask) -> Result<M, Problem> {
    M::from_json(ask.body()).map_err(|error| match error {
        JsonError::TooLong { max } => Problem::too_long(max),
        JsonError::Unexpected { .. } => Problem::malformed(error.to_string()),
    })
}

fn written(status: StatusCode, message: &impl Message) -> Response {
    let mut response = http::text("application/json", message.to_json().to_vec());
    *response.status_mut() = status;
    response
}

/// How long a question may be held: `Prefer: wait=N`, at most [`WAIT_MAX_SECONDS`].
fn wait(ask: &Ask) -> Result<Duration, Problem> {
    let Some(text) = ask.header("prefer") else { return Ok(Duration::ZERO) };
    let preferences = text.split([',', ';']).map(str::trim);
    let Some(seconds) = preferences.filter_map(|text| text.strip_prefix("wait=")).next() else {
        return Ok(Duration::ZERO);
    };
    let seconds: u32 = seconds
        .parse()
        .map_err(|_| Problem::malformed("expected Prefer: wait=N with N in seconds"))?;
    Ok(Duration::from_secs(seconds.min(WAIT_MAX_SECONDS).into()))
}
