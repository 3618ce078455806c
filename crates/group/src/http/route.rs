//! Which end points there are, and who may call them.
//!
//! A template is a path in which `{name}` stands for one piece. Pieces are compared as they are
//! sent: no name of ours needs an escape, so an escaped one is not there.

use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use hyper::body::Bytes;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::{HeaderMap, Method};
use warp::reply::Response;

use super::ask::{Ask, JSON, Who};
use super::problem::Problem;
use super::site::Site;
use crate::serve::{BODY_LEN_MAX, Peer};

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody. What it changes needs no proof of a session: there is none to misuse.
    Anyone,
    /// Everybody, but what a browser sends must come from a page of ours: log-in and sign-up.
    OwnPages,
    /// A person, by a browser's session or an API token.
    Person,
    /// A person at a browser: what an API token that leaked must not do.
    Browser,
    /// A node, which shows a token of its own kind to the handler.
    Node,
}

/// What a handler returns.
pub type Answer = Result<Response, Problem>;

/// What a path has where its template has names.
pub(super) type Params = Vec<(&'static str, String)>;

type Handler =
    dyn Fn(Arc<Site>, Arc<Ask>) -> Pin<Box<dyn Future<Output = Answer> + Send>> + Send + Sync;

/// An end point.
pub struct Route {
    /// Its method.
    pub method: Method,
    /// Its path.
    pub template: &'static str,
    /// Who may call it.
    pub access: Access,
    handler: Box<Handler>,
}

/// Defines constructors that differ in the method alone.
macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident = $method:ident,)+) => {$(
        $(#[$doc])*
        pub fn $name<H, F>(template: &'static str, access: Access, handler: H) -> Self
        where
            H: Fn(Arc<Site>, Arc<Ask>) -> F + Send + Sync + 'static,
            F: Future<Output = Answer> + Send + 'static,
        {
            Self::new(Method::$method, template, access, handler)
        }
    )+};
}

impl Route {
    /// An end point of any method.
    pub fn new<H, F>(method: Method, template: &'static str, access: Access, handler: H) -> Self
    where
        H: Fn(Arc<Site>, Arc<Ask>) -> F + Send + Sync + 'static,
        F: Future<Output = Answer> + Send + 'static,
    {
        let handler: Box<Handler> = Box::new(move |site, ask| Box::pin(handler(site, ask)));
        Self { method, template, access, handler }
    }

    constructors! {
        /// An end point that shows something.
        get = GET,
        /// An end point that changes something.
        post = POST,
        /// An end point that changes a part of something.
        patch = PATCH,
        /// An end point that takes something away.
        delete = DELETE,
    }

    /// Returns what the path has where the template has names.
    fn matches(&self, path: &str) -> Option<Params> {
        let mut pieces = path.split('/');
        let mut params = Vec::new();
        for expected in self.template.split('/') {
            let piece = pieces.next()?;
            match expected.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
                Some(_) if piece.is_empty() => return None,
                Some(name) => params.push((name, piece.to_owned())),
                None if piece == expected => {}
                None => return None,
            }
        }
        pieces.next().is_none().then_some(params)
    }
}

/// How a face of the service shows a problem to the one who asked.
pub type Render = fn(&Site, &Ask, &Problem) -> Response;

/// All end points of one face of the service.
pub struct Routes {
    routes: Vec<Route>,
    render: Render,
}

impl Routes {
    /// A table, with how its problems look.
    pub fn new(routes: Vec<Route>, render: Render) -> Self {
        Self { routes, render }
    }

    /// Returns the table.
    pub fn iter(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter()
    }

    /// Answers a request.
    async fn answer(&self, site: Arc<Site>, mut ask: Ask) -> Response {
        let (route, params) = match self.find(&ask) {
            Ok(found) => found,
            Err(problem) => return (self.render)(&site, &ask, &problem),
        };
        ask.set_params(params);
        let recognized = site.recognize(route.access, &mut ask).await;
        let ask = Arc::new(ask);
        let answer = match recognized.and_then(|()| admit(route.access, &ask)) {
            Ok(()) => (route.handler)(Arc::clone(&site), Arc::clone(&ask)).await,
            Err(problem) => Err(problem),
        };
        answer.unwrap_or_else(|problem| (self.render)(&site, &ask, &problem))
    }

    fn find(&self, ask: &Ask) -> Result<(&Route, Params), Problem> {
        // A question for the head alone is answered like one for the whole; hyper leaves the body out.
        let method = if ask.method() == Method::HEAD { &Method::GET } else { ask.method() };
        let mut allowed = Vec::new();
        for route in &self.routes {
            match route.matches(ask.path()) {
                Some(params) if route.method == method => return Ok((route, params)),
                Some(_) => allowed.push(route.method.as_str()),
                None => {}
            }
        }
        match allowed.is_empty() {
            true => Err(Problem::not_found()),
            false => Err(Problem::method_not_allowed(allowed.join(", "))),
        }
    }
}

/// The one check of who may call what.
fn admit(access: Access, ask: &Ask) -> Result<(), Problem> {
    let changes = !matches!(*ask.method(), Method::GET | Method::HEAD);
    match (access, &ask.who) {
        (Access::Anyone | Access::Node, _) => Ok(()),
        (Access::OwnPages, _) if !changes => Ok(()),
        // Other sites cannot make a browser send JSON without asking us first, and we say no.
        (Access::OwnPages, _) if ask.is_json() && !ask.is_from_elsewhere() => Ok(()),
        // No form comes without a type: a program has forgotten to say it.
        (Access::OwnPages, _) if !ask.says_type() && !ask.is_from_elsewhere() => {
            ask.check_csrf().map_err(|_| Problem::unsupported(JSON))
        }
        (Access::OwnPages, _) => ask.check_csrf(),
        (Access::Person | Access::Browser, Who::Stranger) => Err(Problem::not_logged_in()),
        (Access::Browser, Who::Program(_)) => Err(Problem::session_needed()),
        (Access::Person, Who::Program(_)) => Ok(()),
        (Access::Person | Access::Browser, Who::Browser(_)) if changes => ask.check_csrf(),
        (Access::Person | Access::Browser, Who::Browser(_)) => Ok(()),
    }
}

/// The whole service as one warp filter. Paths that begin with the prefix of a face belong to it; the
/// last face takes the rest.
pub fn served(site: Arc<Site>, faces: Vec<(&'static str, Routes)>) -> BoxedFilter<(Response,)> {
    let faces = Arc::new(faces);
    warp::method()
        .and(warp::path::full())
        .and(warp::query::raw().or(warp::any().map(String::new)).unify())
        .and(warp::header::headers_cloned())
        .and(warp::ext::optional::<Peer>())
        .and(warp::body::bytes())
        .then(
            move |method: Method,
                  path: warp::path::FullPath,
                  query: String,
                  headers: HeaderMap,
                  peer: Option<Peer>,
                  body: Bytes| {
                let (site, faces) = (Arc::clone(&site), Arc::clone(&faces));
                let peer = peer.map_or(IpAddr::from([0, 0, 0, 0]), |Peer(address)| address.ip());
                let place = (path.as_str().to_owned(), query);
                let ask = Ask::new(method, place, headers, body, peer);
                async move {
                    let face = faces.iter().find(|(prefix, _)| ask.path().starts_with(prefix));
                    match face {
                        Some((_, routes)) => routes.answer(site, ask).await,
                        None => Problem::not_found().to_json(),
                    }
                }
            },
        )
        .recover(|rejection: warp::Rejection| async move {
            // The filters above take everything but a body that is too long or ends too early.
            tracing::debug!(?rejection, "a request was not taken");
            Ok::<_, Infallible>(Problem::too_long(BODY_LEN_MAX).to_json())
        })
        .unify()
        .boxed()
}

#[cfg(test)]
mod tests {
    use warp::http::StatusCode;

    use super::*;

    async fn nothing(_: Arc<Site>, _: Arc<Ask>) -> Answer {
        Ok(Response::default())
    }

    fn find(method: Method, path: &str) -> Result<Params, Problem> {
        let one = Route::get("/groups/{group}", Access::Person, nothing);
        let other = Route::post("/groups/{group}/leave", Access::Person, nothing);
        let routes = Routes::new(vec![one, other], |_, _, problem| problem.to_json());
        let place = (path.to_owned(), String::new());
        let peer = [127, 0, 0, 1].into();
        let ask = Ask::new(method, place, HeaderMap::new(), Bytes::new(), peer);
        routes.find(&ask).map(|(_, params)| params)
    }

    #[test]
    fn a_path_finds_its_route_and_what_it_names() {
        let named = |group: &str| Ok(vec![("group", group.to_owned())]);
        assert_eq!(find(Method::GET, "/groups/team"), named("team"));
        assert_eq!(find(Method::HEAD, "/groups/team"), named("team"));
        assert_eq!(find(Method::POST, "/groups/team/leave"), named("team"));
        for path in ["/groups/", "/groups", "/groups/team/", "/groups/team/stay", "/"] {
            let status = find(Method::GET, path).expect_err(path).status;
            assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
        }
        let problem = find(Method::DELETE, "/groups/team").expect_err("is not known there");
        assert_eq!((problem.status.as_u16(), problem.allow.as_deref()), (405, Some("GET")));
    }

    #[test]
    fn unit_wb_01_who_may_call_a_route_is_said_by_its_table() {
        let ask = |method: Method, who: Who| {
            let place = ("/".to_owned(), String::new());
            let peer = [127, 0, 0, 1].into();
            let mut ask = Ask::new(method, place, HeaderMap::new(), Bytes::new(), peer);
            ask.who = who;
            ask
        };
        let user: crate::view::UserView = crate::view::UserView {
            id: 1.into(),
            name: "ana".to_owned(),
            email: None,
            site_admin: false,
            enabled: true,
            has_password: true,
            created: pki::UnixTime(0),
        };
        let session = crate::session::Session { user };
        let code = |access, ask: &Ask| admit(access, ask).err().map(|problem| problem.code);
        let (get, post) = (Method::GET, Method::POST);
        for access in [Access::Person, Access::Browser] {
            let stranger = ask(get.clone(), Who::Stranger);
            assert_eq!(code(access, &stranger), Some("not_logged_in"));
            let browser = ask(post.clone(), Who::Browser(session.clone()));
            assert_eq!(code(access, &browser), Some("csrf_wrong"));
            assert_eq!(code(access, &ask(get.clone(), Who::Browser(session.clone()))), None);
        }
        let program = ask(post.clone(), Who::Program(session));
        assert_eq!(code(Access::Person, &program), None);
        assert_eq!(code(Access::Browser, &program), Some("session_needed"));
        let untyped = ask(post.clone(), Who::Stranger);
        assert_eq!(code(Access::OwnPages, &untyped), Some("unsupported_media_type"));
        assert_eq!(code(Access::OwnPages, &ask(get, Who::Stranger)), None);
        assert_eq!(code(Access::Anyone, &ask(post, Who::Stranger)), None);
    }
}
