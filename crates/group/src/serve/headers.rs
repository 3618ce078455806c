//! What every answer tells the browser: no script, no frame, no guessing, no other origin.

use warp::http::Response;
use warp::http::header::{self, HeaderName, HeaderValue};

/// Pages have no script at all, one stylesheet and pictures of this origin, and forms that go to it.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; \
    form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const HEADERS: &[(&str, &str)] = &[
    ("content-security-policy", CONTENT_SECURITY_POLICY),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    // With `no-referrer`, browsers send `Origin: null` with our own forms, which are refused then.
    ("referrer-policy", "same-origin"),
    // A year, as the preload list asks for; the service speaks nothing but HTTPS.
    ("strict-transport-security", "max-age=31536000"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
];

/// Adds the headers. What an answer says about caching stays; without a word it is not kept.
pub fn harden<B>(response: &mut Response<B>) {
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    let no_store = HeaderValue::from_static("no-store");
    headers.entry(header::CACHE_CONTROL).or_insert(no_store);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_wb_01_no_page_may_run_script_or_be_framed() {
        let mut response = Response::new(());
        harden(&mut response);
        let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().expect("text");
        assert!(policy.starts_with("default-src 'none';"), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains("script"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
    }

    #[test]
    fn unit_wb_01_browsers_say_where_our_forms_come_from() {
        let mut response = Response::new(());
        harden(&mut response);
        assert_eq!(response.headers()[header::REFERRER_POLICY], "same-origin");
    }

    #[test]
    fn an_answer_may_be_kept_if_it_says_so() {
        let mut response = Response::new(());
        let kept = HeaderValue::from_static("max-age=300");
        response.headers_mut().insert(header::CACHE_CONTROL, kept.clone());
        harden(&mut response);
        assert_eq!(response.headers()[header::CACHE_CONTROL], kept);
    }
}
