//! Log-in by an OpenID provider: the real service, and a provider that lives in the test.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::server::Server;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use group::serve::{self, CertificateFiles, Draining, LiveCertificate, Traffic};
use serde_json::json;
use warp::Filter;

/// A provider that vouches for `ana` in whatever log-in it was last told of.
struct Provider {
    issuer: String,
    folder: tempfile::TempDir,
    last: Arc<Mutex<HashMap<String, String>>>,
    _end: tokio::sync::watch::Sender<bool>,
    _runtime: tokio::runtime::Runtime,
}

impl Provider {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a scratch directory");
        let runtime = tokio::runtime::Runtime::new().expect("starts");
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"));
        let listener = listener.expect("there is a free port");
        let port = listener.local_addr().expect("is bound").port();
        let issuer = format!("https://localhost:{port}");
        let files = CertificateFiles {
            certificate: folder.path().join("tls.crt"),
            key: folder.path().join("tls.key"),
        };
        let certificate = Arc::new(LiveCertificate::own(files, "localhost").expect("is made"));
        let tls = serve::server_config(certificate).expect("is usable").into();
        let (end, draining) = Draining::new();
        let last = Arc::default();
        let routes = warp::service(routes(issuer.clone(), Arc::clone(&last)));
        let traffic = Arc::new(Traffic::new());
        runtime.spawn(serve::Server { listener, tls, draining, traffic }.run(routes));
        Self { issuer, folder, last, _end: end, _runtime: runtime }
    }
}

fn routes(
    issuer: String,
    last: Arc<Mutex<HashMap<String, String>>>,
) -> impl Filter<Extract = (impl warp::Reply,), Error = warp::Rejection> + Clone + Send + Sync {
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("draws");
    let point = key.public_key().as_ref().to_vec();
    let [x, y] = [&point[1..33], &point[33..]].map(|part| URL_SAFE_NO_PAD.encode(part));
    let keys = json!({ "keys": [{ "kty": "EC", "crv": "P-256", "kid": "k1", "x": x, "y": y }] });
    let document = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/keys"),
    });
    let key = Arc::new(key);
    let token =
        warp::path!("token").and(warp::body::form()).map(move |form: HashMap<String, String>| {
            let last = last.lock().expect("no panic").clone();
            let challenge =
                URL_SAFE_NO_PAD.encode(digest(&SHA256, form["code_verifier"].as_bytes()));
            if form["code"] != "the code" || challenge != last["code_challenge"] {
                return json!({ "error": "invalid_grant" });
            }
            let now = group::http::now().0;
            let claims = json!({ "iss": issuer, "sub": "u-7", "aud": last["client_id"],
                "nonce": last["nonce"], "iat": now, "exp": now + 60, "preferred_username": "Ana" });
            let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
            let signed =
                format!("{}.{}", part(&json!({ "alg": "ES256", "kid": "k1" })), part(&claims));
            let signature = key.sign(&SystemRandom::new(), signed.as_bytes()).expect("signs");
            json!({ "id_token": format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)) })
        });
    let said = warp::path!(".well-known" / "openid-configuration").map(move || document.clone());
    let shown = warp::path!("keys").map(move || keys.clone());
    said.or(shown).unify().or(token).unify().map(|value| warp::reply::json(&value))
}

/// What a query says.
fn query(url: &str) -> HashMap<String, String> {
    serde_urlencoded::from_str(url.split_once('?').expect("has a query").1).expect("can be read")
}

/// Begins a log-in; returns what the provider is told and the cookie of this log-in.
fn begin(browser: &mut crate::client::Client) -> (HashMap<String, String>, String) {
    let answer = browser.get("/login/oidc").expect(303);
    let cookie = answer.header("set-cookie").expect("has one").split(';').next();
    (query(answer.header("location").expect("leads on")), cookie.expect("has one").to_owned())
}

#[test]
fn ns_wb_01_a_provider_vouches_for_somebody() {
    let provider = Provider::start();
    let roots = provider.folder.path().join("tls.crt");
    let oidc = format!(
        "oidc: {{ issuer: {}, client_id: warren, roots: {} }}\n",
        provider.issuer,
        roots.display()
    );
    let server = Server::start_with(&oidc);
    let mut browser = server.client();
    let (told, cookie) = begin(&mut browser);
    assert_eq!(told["code_challenge_method"], "S256");
    assert!(told["redirect_uri"].ends_with("/login/oidc/callback"));
    *provider.last.lock().expect("no panic") = told.clone();

    let back = |state: &str| format!("/login/oidc/callback?code=the+code&state={state}");
    server.client().get(&back(&told["state"])).expect(403);
    browser.headers = vec![("Cookie", cookie.clone())];
    browser.get(&back("another")).expect(403);
    browser
        .get(&format!("/login/oidc/callback?error=access_denied&state={}", told["state"]))
        .expect(403);
    let answer = browser.get(&back(&told["state"])).expect(303);
    assert_eq!(answer.header("location"), Some("/"));
    browser.headers.clear();
    let me = browser.get("/api/v1/me").expect(200).json();
    assert_eq!((&me["user"]["name"], &me["user"]["has_password"]), (&json!("ana"), &json!(false)));

    let mut again = server.client();
    let (told, cookie) = begin(&mut again);
    let mut wrong = told.clone();
    wrong.insert("nonce".to_owned(), "of another log-in".to_owned());
    *provider.last.lock().expect("no panic") = wrong;
    again.headers = vec![("Cookie", cookie)];
    again.get(&back(&told["state"])).expect(502);
    *provider.last.lock().expect("no panic") = told.clone();
    again.get(&back(&told["state"])).expect(303);
    again.headers.clear();
    assert_eq!(again.get("/api/v1/me").expect(200).json()["user"]["id"], me["user"]["id"]);
}
