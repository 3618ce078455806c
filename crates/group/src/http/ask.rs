//! What was asked: a request taken apart, with who sent it.

use std::net::IpAddr;
use std::str::FromStr;

use hyper::body::Bytes;
use serde::de::DeserializeOwned;
use warp::http::{HeaderMap, HeaderValue, Method, header};
use warp::reply::Response;

use super::json;
use super::problem::Problem;
use super::route::Params;
use crate::model::{Caller, Source};
use crate::session::{Key, Session};
use crate::store::{Cursor, Page};

/// Name of the cookie. The prefix makes browsers take it only over TLS, for this host alone and for
/// all of it.
const COOKIE: &str = "__Host-warren";
/// What browsers and API clients send back as the proof that a request is theirs.
const CSRF_HEADER: &str = "x-csrf-token";
/// The field of a form that holds the same.
pub const CSRF_FIELD: &str = "csrf";
const CSRF_LABEL: &str = "csrf v1";
pub(super) const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

/// Who asks.
#[derive(Clone, Debug)]
pub enum Who {
    /// Nobody that we know.
    Stranger,
    /// A person in a browser, by the cookie of a session.
    Browser(Session),
    /// A person's program, by an API token.
    Program(Session),
}

/// A request with what is known of its sender.
#[derive(Debug)]
pub struct Ask {
    /// Who sent it.
    pub who: Who,
    /// From where.
    pub peer: IpAddr,
    method: Method,
    headers: HeaderMap,
    path: String,
    query: String,
    body: Bytes,
    params: Params,
    cookie: Key,
    cookie_is_new: bool,
}

impl Ask {
    /// Takes a request apart. A browser that shows no cookie is given one, so that the forms of
    /// somebody who is not logged in are proof against other sites as well.
    pub fn new(
        method: Method,
        (path, query): (String, String),
        headers: HeaderMap,
        body: Bytes,
        peer: IpAddr,
    ) -> Self {
        let shown = cookie_of(&headers, COOKIE);
        let cookie_is_new = shown.is_none();
        let cookie = shown.unwrap_or_else(Key::random);
        let (who, params) = (Who::Stranger, Vec::new());
        Self { who, peer, method, headers, path, query, body, params, cookie, cookie_is_new }
    }

    /// Returns the method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Returns the path.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns a header, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns the credential after `Authorization: Bearer`.
    pub fn bearer(&self) -> Option<&str> {
        let (scheme, credential) = self.header("authorization")?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(credential.trim())
    }

    /// Returns whether the browser has a cookie of ours.
    pub fn shows_cookie(&self) -> bool {
        !self.cookie_is_new
    }

    /// Returns whether the request says of what kind its body is.
    pub fn says_type(&self) -> bool {
        self.headers.contains_key(header::CONTENT_TYPE)
    }

    /// Returns whether the body says that it is JSON.
    pub fn is_json(&self) -> bool {
        self.expect_type(JSON).is_ok()
    }

    /// Returns the cookie's key; a new one if the browser has none.
    pub fn cookie(&self) -> &Key {
        &self.cookie
    }

    /// Returns the key in another cookie of ours.
    pub fn cookie_named(&self, name: &str) -> Option<Key> {
        cookie_of(&self.headers, name)
    }

    /// Returns the session, if somebody is logged in.
    pub fn session(&self) -> Option<&Session> {
        match &self.who {
            Who::Stranger => None,
            Who::Browser(session) | Who::Program(session) => Some(session),
        }
    }

    /// Returns the session that the route's access has made sure of.
    pub fn person(&self) -> Result<&Session, Problem> {
        self.session().ok_or_else(Problem::not_logged_in)
    }

    /// Returns who gives a command, for model and audit log.
    pub fn caller(&self) -> Caller {
        match self.session() {
            Some(session) => Caller::user(session.user.id, self.peer),
            None => Caller::stranger(self.peer),
        }
    }

    /// Returns the network that the request came from.
    pub fn source(&self) -> Source {
        Source::of(self.peer)
    }

    pub(super) fn set_params(&mut self, params: Params) {
        self.params = params;
    }

    /// Returns the text at a place of the path that the route names.
    pub fn text_at(&self, name: &'static str) -> Result<&str, Problem> {
        let found = self.params.iter().find(|(key, _)| *key == name);
        found.map(|(_, text)| text.as_str()).ok_or_else(Problem::not_found)
    }

    /// Returns the value at a place of the path; there is nothing at a place that cannot be read.
    pub fn at<T: FromStr>(&self, name: &'static str) -> Result<T, Problem> {
        self.text_at(name)?.parse().map_err(|_| Problem::not_found())
    }

    /// Reads the query.
    pub fn query<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        json::read_query(&self.query).map_err(Problem::malformed)
    }

    /// Returns which piece of a list is asked for: `?after=CURSOR&limit=N`.
    pub fn page(&self) -> Result<Page, Problem> {
        #[derive(serde::Deserialize)]
        struct Query {
            after: Option<String>,
            limit: Option<u32>,
        }
        let Query { after, limit } = self.query()?;
        let limit = limit.unwrap_or(crate::store::PAGE_DEFAULT);
        if !(1..=crate::store::PAGE_MAX).contains(&limit) {
            let max = crate::store::PAGE_MAX;
            return Err(Problem::malformed(format!("the query: field `limit` is 1 to {max}")));
        }
        Ok(Page::new(after.map(Cursor), limit))
    }

    /// Returns the body.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Reads the body as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        self.expect_type(JSON)?;
        json::read(&self.body).map_err(Problem::malformed)
    }

    /// Reads the body as a form.
    pub fn form<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        self.expect_type(FORM)?;
        serde_urlencoded::from_bytes(&self.body)
            .map_err(|_| Problem::malformed("the form is not complete; load the page again"))
    }

    fn expect_type(&self, expected: &'static str) -> Result<(), Problem> {
        let given = self.header(header::CONTENT_TYPE.as_str()).unwrap_or_default();
        let kind = given.split(';').next().unwrap_or_default().trim();
        kind.eq_ignore_ascii_case(expected).then_some(()).ok_or(Problem::unsupported(expected))
    }

    /// Returns the proof that forms of this session carry.
    pub fn csrf(&self) -> String {
        Self::csrf_of(&self.cookie)
    }

    /// Returns the proof that forms of the session with this key carry.
    pub fn csrf_of(key: &Key) -> String {
        key.derive(CSRF_LABEL)
    }

    /// Returns whether a person asks at a browser.
    pub const fn is_browser(&self) -> bool {
        matches!(self.who, Who::Browser(_))
    }

    /// Checks that the request was not made by another site: it says so itself, or it carries the
    /// proof in a header or in a field of its form.
    pub(super) fn check_csrf(&self) -> Result<(), Problem> {
        if self.is_from_elsewhere() {
            return Err(Problem::foreign());
        }
        let proof = match self.header(CSRF_HEADER) {
            Some(proof) => Some(proof.to_owned()),
            None => self.csrf_field(),
        };
        let proof = proof.ok_or_else(Problem::unproven)?;
        let right = self.cookie.has_derived(CSRF_LABEL, &proof);
        right.then_some(()).ok_or_else(Problem::forged)
    }

    /// What the browser says of the page that made the request. Programs say nothing.
    pub(super) fn is_from_elsewhere(&self) -> bool {
        let site = self.header("sec-fetch-site");
        let fetched = site.is_some_and(|site| !matches!(site, "same-origin" | "none"));
        let origin = self.header("origin").and_then(|origin| origin.strip_prefix("https://"));
        let named = self.headers.contains_key(header::ORIGIN) && origin != self.header("host");
        fetched || named
    }

    fn csrf_field(&self) -> Option<String> {
        let fields: Vec<(String, String)> = self.form().ok()?;
        fields.into_iter().find(|(name, _)| name == CSRF_FIELD).map(|(_, proof)| proof)
    }

    /// Gives the browser its cookie, if that is new.
    pub fn keep_cookie(&self, response: &mut Response) {
        if self.cookie_is_new {
            set_cookie(response, &self.cookie);
        }
    }
}

/// Gives the browser a cookie that lives until it closes.
pub fn set_cookie(response: &mut Response, key: &Key) {
    let text = format!("{COOKIE}={}; Path=/; Secure; HttpOnly; SameSite=Lax", &*key.cookie());
    if let Ok(mut value) = HeaderValue::from_str(&text) {
        value.set_sensitive(true);
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
}

fn cookie_of(headers: &HeaderMap, name: &str) -> Option<Key> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| key.trim() == name).and_then(|(_, text)| Key::from_cookie(text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(headers: &[(&'static str, String)], body: &str) -> Ask {
        let mut map = HeaderMap::new();
        map.insert(header::HOST, HeaderValue::from_static("vpn.example.org"));
        for (name, value) in headers {
            map.append(*name, value.parse().expect("a header"));
        }
        let place = ("/".to_owned(), "limit=7".to_owned());
        let body = Bytes::copy_from_slice(body.as_bytes());
        Ask::new(Method::POST, place, map, body, [127, 0, 0, 1].into())
    }

    #[test]
    fn unit_wb_01_only_a_form_of_the_same_session_changes_something() {
        let key = Key::random();
        let cookie = ("cookie", format!("a=b; {COOKIE}={}", &*key.cookie()));
        let proof = key.derive(CSRF_LABEL);
        let form = ("content-type", FORM.to_owned());
        let body = format!("name=ana&csrf={proof}");
        assert_eq!(ask(&[cookie.clone(), form.clone()], &body).check_csrf(), Ok(()));
        let by_header = ("x-csrf-token", proof.clone());
        assert_eq!(ask(&[cookie.clone(), by_header.clone()], "").check_csrf(), Ok(()));
        let refused = [
            ask(&[cookie.clone(), form.clone()], "name=ana"),
            ask(&[cookie.clone(), form.clone()], "csrf=guess"),
            ask(std::slice::from_ref(&form), &body),
            ask(std::slice::from_ref(&by_header), ""),
            ask(&[cookie.clone(), by_header.clone(), ("sec-fetch-site", "cross-site".into())], ""),
            ask(
                &[cookie.clone(), by_header.clone(), ("origin", "https://evil.example".into())],
                "",
            ),
            ask(&[cookie.clone(), by_header.clone(), ("origin", "null".into())], ""),
        ];
        for ask in refused {
            let refused = ask.check_csrf().map_err(|problem| problem.code);
            assert_eq!(refused, Err("csrf_wrong"), "{ask:?}");
        }
        let own = ("origin", "https://vpn.example.org".to_owned());
        let same = ("sec-fetch-site", "same-origin".to_owned());
        assert_eq!(ask(&[cookie, by_header, own, same], "").check_csrf(), Ok(()));
    }

    #[test]
    fn unit_wb_01_a_refusal_says_what_of_the_proof_is_missing() {
        let said = |headers: &[(&'static str, String)]| {
            ask(headers, "").check_csrf().expect_err("nothing is proven").message
        };
        assert!(said(&[]).contains("`csrf` in the answer of GET /api/v1/me"), "{}", said(&[]));
        let guess = said(&[("x-csrf-token", "guess".to_owned())]);
        assert!(guess.contains("is not of this session"), "{guess}");
        let foreign = said(&[("origin", "https://evil.example".to_owned())]);
        assert!(foreign.contains("another site"), "{foreign}");
    }

    #[test]
    fn unit_wb_01_the_cookie_is_kept_from_scripts_other_hosts_and_plain_http() {
        let ask = ask(&[], "");
        let mut response = Response::default();
        ask.keep_cookie(&mut response);
        let text = response.headers()[header::SET_COOKIE].to_str().expect("text");
        assert!(text.starts_with("__Host-warren="), "{text}");
        for part in ["; Path=/", "; Secure", "; HttpOnly", "; SameSite=Lax"] {
            assert!(text.contains(part), "{text} lacks {part}");
        }
        assert!(!text.contains("Domain"), "{text}");
        assert!(response.headers()[header::SET_COOKIE].is_sensitive());
    }

    #[test]
    fn what_cannot_be_read_is_named_and_not_quoted() {
        let json = ("content-type", "application/json; charset=utf-8".to_owned());
        let wrong = ask(&[json], r#"{"password": "secret"}"#).json::<Vec<u8>>();
        let problem = wrong.expect_err("is no list");
        assert!(!problem.message.contains("secret"), "{}", problem.message);
        assert_eq!(ask(&[], "[]").json::<Vec<u8>>().map_err(|p| p.status.as_u16()), Err(415));
        assert_eq!(ask(&[], "").page().expect("a page").limit(), 7);
    }
}
