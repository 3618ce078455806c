//! How answers are written.

use serde::Serialize;
use warp::http::{HeaderValue, StatusCode, header};
use warp::reply::Response;

use super::problem::Problem;

/// A value as JSON.
pub fn json(status: StatusCode, value: &(impl Serialize + ?Sized)) -> Response {
    match serde_json::to_vec(value) {
        Ok(bytes) => with_type(status, "application/json", bytes),
        Err(error) => {
            let problem = Problem::internal(&error);
            with_type(problem.status, "text/plain", problem.message.into_owned())
        }
    }
}

/// What was made, as JSON.
pub fn created(value: &(impl Serialize + ?Sized)) -> Response {
    json(StatusCode::CREATED, value)
}

/// It is done, and there is nothing to say.
pub fn empty() -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// Bytes of some type.
pub fn text(kind: &'static str, body: impl Into<Vec<u8>>) -> Response {
    with_type(StatusCode::OK, kind, body)
}

/// The answer to a form: go there and look.
pub fn see_other(place: &str) -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::SEE_OTHER;
    // Places are paths that we write ourselves; one that is no header value leads home.
    let place = HeaderValue::from_str(place).unwrap_or(HeaderValue::from_static("/"));
    response.headers_mut().insert(header::LOCATION, place);
    response
}

fn with_type(status: StatusCode, kind: &'static str, body: impl Into<Vec<u8>>) -> Response {
    let mut response = Response::new(body.into().into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
