//! A service on a database of its own, and the steps that tests take with it.
#![allow(dead_code)] // each test uses its part

pub mod ports;
pub mod postgres;

use group::config::Config;
use group::model::{Caller, Policies, RequestId, UserId};
use group::service::{CertificateAnswer, NewGroup, NewUser, Service};
use pki::enrolment::{Grant, KeyRequest, Token};
use pki::{PrivateKey, Request, UnixTime};
use zeroize::Zeroizing;

/// When the stories begin.
pub const NOW: UnixTime = UnixTime(1_800_000_000);

/// A service in a directory that goes with it.
pub struct Site {
    pub service: Service,
    pub folder: tempfile::TempDir,
}

/// A service on a new SQLite database.
pub async fn site() -> Site {
    site_at(None).await
}

/// A service on this database, or on a new SQLite one.
pub async fn site_at(database: Option<String>) -> Site {
    let folder = tempfile::tempdir().expect("a scratch directory");
    let config = Config { database, ..config(folder.path()) };
    let service = Service::open(config).await.expect("opens");
    Site { service, folder }
}

/// Settings for a directory.
pub fn config(folder: &std::path::Path) -> Config {
    Config::new("https://vpn.example.org:8443".parse().expect("a URL"), folder)
}

/// Somebody at an address of documentation.
pub fn stranger() -> Caller {
    Caller::stranger([192, 0, 2, 7].into())
}

/// A user at an address of documentation.
pub fn by(user: UserId) -> Caller {
    Caller::user(user, [192, 0, 2, 7].into())
}

/// Makes an account without hashing a password, which would take most of a test's time.
pub async fn user(service: &Service, name: &str) -> UserId {
    let new = NewUser::Oidc {
        name: name.to_owned(),
        email: None,
        issuer: "https://id.example.org".to_owned(),
        subject: name.to_owned(),
    };
    service.create_user(&stranger(), new, NOW).await.expect("a new name")
}

/// Makes a group.
pub async fn group(service: &Service, user: UserId, name: &str, policies: Policies) {
    let new = NewGroup {
        name: name.to_owned(),
        subnet: "10.42.0.0/16".parse().expect("a network"),
        policies,
    };
    service.create_group(&by(user), new, NOW).await.expect("a new group");
}

/// Lets somebody in.
pub async fn admit(service: &Service, admin: UserId, user: UserId, group: &str) -> RequestId {
    let asked = service.ask(&by(user), group, "I work here".to_owned(), NOW).await;
    let (request, _) = asked.expect("may ask");
    let note = "welcome".to_owned();
    service.judge(&by(admin), group, request, true, note, NOW).await.expect("may approve");
    request
}

/// Draws a token.
pub async fn token(service: &Service, user: UserId, group: &str) -> Token {
    let drawn = service.draw_token(&by(user), group, Default::default(), NOW).await;
    drawn.expect("may have one").1
}

/// The group `team` of ana, with the token of a blob of hers.
pub async fn team(service: &Service) -> (UserId, Token) {
    let ana = user(service, "ana").await;
    group(service, ana, "team", Policies::default()).await;
    (ana, token(service, ana, "team").await)
}

/// The same with bob as a member, and the token of a blob of his.
pub async fn team_with_bob(service: &Service) -> ([UserId; 2], Token) {
    let (ana, _) = team(service).await;
    let bob = user(service, "bob").await;
    admit(service, ana, bob, "team").await;
    ([ana, bob], token(service, bob, "team").await)
}

/// A new node's key with its request, after the service has named it.
pub async fn named(
    service: &Service,
    token: &Token,
    group: &str,
    now: UnixTime,
) -> group::error::Result<(PrivateKey, Request)> {
    let key = PrivateKey::generate();
    let answer = service.name_node(&stranger(), token, &KeyRequest::new(&key, None), now).await?;
    assert!(answer.is_for(key.spki()));
    let request = Request::for_node(&key, group, answer.node_id).expect("writes");
    Ok((key, request))
}

/// Enrols a new node.
pub async fn enrol(
    service: &Service,
    token: &Token,
    group: &str,
    now: UnixTime,
) -> group::error::Result<(PrivateKey, Box<Grant>)> {
    let (key, request) = named(service, token, group, now).await?;
    match service.certify(&stranger(), token, &request, now).await? {
        CertificateAnswer::Granted(grant) => Ok((key, grant)),
        CertificateAnswer::Pending { .. } => panic!("the user is a member"),
    }
}

/// A password.
pub fn password(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.to_owned())
}

/// The code of a refusal.
pub fn code<T: std::fmt::Debug>(result: group::error::Result<T>) -> &'static str {
    let error = result.expect_err("should be refused");
    error.refusal().unwrap_or_else(|| panic!("a failure, not a refusal: {error}")).code()
}
