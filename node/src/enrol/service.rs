//! The questions of `/enrol/v1`, typed both ways.

use std::time::Duration;

use hyper::StatusCode;
use pki::enrolment::{
    BootstrapAnswer, CertificateRequest, DeviceAnswer, DeviceRequest, DeviceTokenAnswer,
    DeviceTokenRequest, Grant, KeyAnswer, KeyRequest, Message, Nonce, NonceAnswer, NoticesAnswer,
    RenewalRequest, Token, WAIT_MAX_SECONDS,
};
use pki::{Enrolment, HostPort};

use super::client::{Call, Client};
use super::trouble::Trouble;
use crate::failure::Failure;

const KEY: &str = "/enrol/v1/key";
const CERTIFICATE: &str = "/enrol/v1/certificate";
const NONCE: &str = "/enrol/v1/nonce";
const RENEWAL: &str = "/enrol/v1/renewal";
const NOTICES: &str = "/enrol/v1/notices";
const BOOTSTRAP: &str = "/enrol/v1/bootstrap";
const DEVICE: &str = "/enrol/v1/device";
const DEVICE_TOKEN: &str = "/enrol/v1/device/token";

/// How long the service is asked to hold a question.
const WAIT: Duration = Duration::from_secs(WAIT_MAX_SECONDS as u64);

/// What the flow asks.
#[derive(Debug)]
pub enum Question {
    /// Which ID has this key?
    Key(KeyRequest),
    /// May I have a certificate? The second says whether the service may hold the question until somebody has
    /// decided: not at first, so that the user learns at once that there is something to wait for.
    Certificate(CertificateRequest, bool),
    /// What shall I sign?
    Nonce,
    /// May I have a newer one?
    Renewal(Box<RenewalRequest>),
}

/// What the service answers.
#[derive(Debug)]
pub enum Answer {
    /// This one.
    Key(KeyAnswer),
    /// Here it is, with all that belongs to it.
    Grant(Box<Grant>),
    /// Somebody has still to decide.
    Pending,
    /// This.
    Nonce(Nonce),
}

/// The service of a group, as one of its users sees it.
pub struct Service {
    client: Client,
    token: Token,
}

impl Service {
    /// The service that a blob names.
    pub fn new(enrolment: &Enrolment) -> Result<Self, Failure> {
        let client = Client::new(&enrolment.url, &enrolment.pins)?;
        Ok(Self { client, token: enrolment.token.clone() })
    }

    /// Host and port, for messages.
    pub fn server(&self) -> String {
        self.client.server()
    }

    /// Trouble with what an answer says.
    pub fn unusable(&self, why: impl ToString) -> Trouble {
        self.client.unusable(why)
    }

    /// Asks what the flow wants to know.
    pub async fn ask(&mut self, question: &Question) -> Result<Answer, Trouble> {
        let Self { client, token } = self;
        match question {
            Question::Key(message) => {
                let call = Call { token: Some(token), ..Call::post(KEY, message) };
                read(client, &call).await.map(Answer::Key)
            }
            Question::Certificate(message, may_hold) => {
                let post = Call::post(CERTIFICATE, message);
                let wait = if *may_hold { WAIT } else { Duration::ZERO };
                let call = Call { token: Some(token), wait, ..post };
                let granted = read_unless_pending(client, &call).await?;
                Ok(granted.map_or(Answer::Pending, |grant| Answer::Grant(Box::new(grant))))
            }
            Question::Nonce => {
                let NonceAnswer { nonce } = read(client, &Call::get(NONCE)).await?;
                Ok(Answer::Nonce(nonce))
            }
            Question::Renewal(message) => {
                let grant = read(client, &Call::post(RENEWAL, &**message)).await?;
                Ok(Answer::Grant(Box::new(grant)))
            }
        }
    }

    /// Waits for notices after this number; returns what there is, at once or when there is news.
    pub async fn notices(&mut self, after: u64) -> Result<String, Trouble> {
        let path = format!("{NOTICES}?after={after}");
        let call = Call { token: Some(&self.token), wait: WAIT, ..Call::get(&path) };
        let NoticesAnswer { notices } = read(&mut self.client, &call).await?;
        Ok(notices)
    }

    /// The nodes to join by, as the group names them now.
    pub async fn bootstrap(&mut self) -> Result<Vec<HostPort>, Trouble> {
        let call = Call { token: Some(&self.token), ..Call::get(BOOTSTRAP) };
        let BootstrapAnswer { bootstrap } = read(&mut self.client, &call).await?;
        Ok(bootstrap)
    }
}

/// Asks for a code with which a user lets this device into a group.
pub async fn device(client: &mut Client, message: &DeviceRequest) -> Result<DeviceAnswer, Trouble> {
    read(client, &Call::post(DEVICE, message)).await
}

/// Asks whether the user has decided.
pub async fn device_token(
    client: &mut Client,
    message: &DeviceTokenRequest,
) -> Result<Option<DeviceTokenAnswer>, Trouble> {
    read_unless_pending(client, &Call::post(DEVICE_TOKEN, message)).await
}

async fn read<M: Message>(client: &mut Client, call: &Call<'_>) -> Result<M, Trouble> {
    let answer = read_unless_pending(client, call).await?;
    answer.ok_or_else(|| client.unusable("nobody needs to decide that"))
}

/// Reads an answer; `None` when somebody has still to decide.
async fn read_unless_pending<M: Message>(
    client: &mut Client,
    call: &Call<'_>,
) -> Result<Option<M>, Trouble> {
    let (status, body) = client.ask(call).await?;
    if status == StatusCode::ACCEPTED {
        return Ok(None);
    }
    M::from_json(&body).map(Some).map_err(|error| client.unusable(error))
}
