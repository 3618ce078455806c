//! What goes wrong, with status and code: the one place that maps refusals and failures to HTTP.
//!
//! What must hold: outside reads what it can act upon; the reason of a failure of ours is for the log
//! alone, under a reference that the answer names.

use std::borrow::Cow;
use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;
use warp::http::{HeaderValue, StatusCode, header};
use warp::reply::Response;

use super::reply;
use crate::error::Error;
use crate::model::Refusal;

/// A request is not answered as it was meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What HTTP makes of it.
    pub status: StatusCode,
    /// For programs.
    pub code: &'static str,
    /// For people.
    pub message: Cow<'static, str>,
    /// When to try again.
    pub retry_after: Option<Duration>,
    /// The methods that the place knows.
    pub allow: Option<String>,
}

/// The body of every answer that is no success.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorBody<'a> {
    /// A stable code for programs.
    error: &'a str,
    /// What to do, for people.
    message: &'a str,
}

impl Problem {
    /// A problem with these words.
    pub fn new(
        status: StatusCode,
        code: &'static str,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { status, code, message: message.into(), retry_after: None, allow: None }
    }

    /// There is nothing at this place, or the asker may not know of it.
    pub fn not_found() -> Self {
        const MESSAGE: &str = "there is nothing here; look at the list of what there is";
        Self::new(StatusCode::NOT_FOUND, "not_found", MESSAGE)
    }

    /// The place does not know the method, but these.
    pub fn method_not_allowed(allow: String) -> Self {
        let message = format!("only {allow} can be asked for here");
        let problem = Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message);
        Self { allow: Some(allow), ..problem }
    }

    /// The body, the query or a header is not what is expected there.
    pub fn malformed(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", message)
    }

    /// The body is of another kind, or does not say of which.
    pub fn unsupported(expected: &'static str) -> Self {
        let message = format!("expected a body with the header Content-Type: {expected}");
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message)
    }

    /// The body is too long.
    pub fn too_long(max: usize) -> Self {
        let message = format!("the body is longer than {max} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_long", message)
    }

    /// Nobody is logged in.
    pub fn not_logged_in() -> Self {
        const MESSAGE: &str = "log in first, or send an API token (Authorization: Bearer wa1_...)";
        Self::new(StatusCode::UNAUTHORIZED, "not_logged_in", MESSAGE)
    }

    /// User name or password is wrong; which of both is not said.
    pub fn wrong_login() -> Self {
        const MESSAGE: &str = "user name or password is wrong";
        Self::new(StatusCode::UNAUTHORIZED, "login_wrong", MESSAGE)
    }

    /// The proof is not that of the session: the request may have been made by another site.
    pub fn forged() -> Self {
        Self::unproved(
            "the form or the header x-csrf-token is not of this session; load the page again",
        )
    }

    /// The request shows no proof: it may have been made by another site.
    pub fn unproven() -> Self {
        Self::unproved(
            "the header x-csrf-token is missing: it holds `csrf` in the answer of GET /api/v1/me; \
             log-in and sign-up do without it if they send JSON (Content-Type: application/json)",
        )
    }

    /// The browser says that another site made the request.
    pub fn foreign() -> Self {
        Self::unproved("the request comes from a page of another site; open this site's own page")
    }

    fn unproved(message: &'static str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "csrf_wrong", message)
    }

    /// An API token is not enough for this.
    pub fn session_needed() -> Self {
        const MESSAGE: &str = "an API token may not do this; log in with a password";
        Self::new(StatusCode::FORBIDDEN, "session_needed", MESSAGE)
    }

    /// Too many requests of this kind came from there.
    pub fn rate_limited(wait: Duration) -> Self {
        let message = format!("too many requests; try again in {} seconds", whole_seconds(wait));
        let problem = Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", message);
        Self { retry_after: Some(wait), ..problem }
    }

    /// The service cannot do it now.
    pub fn unavailable(message: &'static str, wait: Duration) -> Self {
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message);
        Self { retry_after: Some(wait), ..problem }
    }

    /// Something of ours is broken: the log gets the reason, the answer gets its reference.
    pub fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        let reference = reference();
        tracing::error!(%reference, error, "a request has failed");
        let message = format!("the service has failed; its log says why under {reference}");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
    }

    /// Writes the problem as the API does.
    pub fn to_json(&self) -> Response {
        let body = ErrorBody { error: self.code, message: &self.message };
        let mut response = reply::json(self.status, &body);
        self.add_headers(&mut response);
        response
    }

    /// Adds what belongs to the problem, however its body looks.
    pub fn add_headers(&self, response: &mut Response) {
        let headers = response.headers_mut();
        if let Some(wait) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
        }
        if let Some(allow) = self.allow.as_deref().and_then(|text| text.parse().ok()) {
            headers.insert(header::ALLOW, allow);
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
    }
}

impl From<&Refusal> for Problem {
    fn from(refusal: &Refusal) -> Self {
        use Refusal as R;
        let status = match refusal {
            R::NotFound(_) => StatusCode::NOT_FOUND,
            R::Name(_)
            | R::UserName
            | R::Password
            | R::Setting(_)
            | R::TextTooLong { .. }
            | R::IdMismatch => StatusCode::UNPROCESSABLE_ENTITY,
            R::NameTaken
            | R::ChangedMeanwhile
            | R::LastAdministrator
            | R::AlreadyMember
            | R::AlreadyAsked
            | R::RequestDecided
            | R::RotationUnderWay
            | R::TooMany(_)
            | R::NothingToRevoke
            | R::KeyTaken => StatusCode::CONFLICT,
            R::TokenUnknown | R::TokenEnded | R::TokenExpired | R::TokenUsedUp => {
                StatusCode::UNAUTHORIZED
            }
            R::RateLimited | R::LedgerFull => StatusCode::TOO_MANY_REQUESTS,
            R::NotAdministrator
            | R::NotSiteAdministrator
            | R::NotMember
            | R::AccountDisabled
            | R::TokenForeign
            | R::RequestDenied
            | R::MembershipEnded
            | R::QuotaExceeded { .. }
            | R::NodeRevoked
            | R::CertificateTooOld
            | R::CertificateUnknown => StatusCode::FORBIDDEN,
        };
        Self::new(status, refusal.code(), refusal.to_string())
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self::from(&refusal)
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error.refusal() {
            Some(refusal) => Self::from(refusal),
            None => Self::internal(&error),
        }
    }
}

/// Rounded up: who comes back a moment too early is refused again.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

/// Eight digits by which the operator finds the line in the log.
fn reference() -> String {
    let mut bytes = [0; 4];
    // Without randomness there are worse troubles than two lines with the same reference.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    format!("{:08x}", u32::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_of_ours_says_nothing_outside() {
        let error = std::io::Error::other("disk /dev/sda1 is on fire");
        let problem = Problem::internal(&error);
        assert_eq!(problem.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!problem.message.contains("fire"), "{}", problem.message);
    }

    #[test]
    fn waits_are_rounded_up() {
        let problem = Problem::rate_limited(Duration::from_millis(1200));
        assert!(problem.message.contains("2 seconds"), "{}", problem.message);
        assert_eq!(problem.to_json().headers()[header::RETRY_AFTER], "2");
    }
}
