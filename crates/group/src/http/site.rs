//! What all end points share, and what pages and API do alike: to know who asks, to log in and out.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use pki::UnixTime;
use zeroize::Zeroizing;

use super::ask::{Ask, Who};
use super::problem::Problem;
use super::route::Access;
use crate::daemon::Daemons;
use crate::enrol::{Devices, Holding, Lists, Nonces};
use crate::model::{Caller, Named};
use crate::oidc::Oidc;
use crate::serve::{Draining, Health, Traffic};
use crate::service::{NewUser, Service};
use crate::session::{Key, Limits, Sessions};
use crate::store::Kind;
use crate::view::UserView;

/// Longest user name that is looked up or counted.
const NAME_LEN_MAX: usize = 64;

/// What the time is: the only place of the HTTP side that asks.
pub fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    UnixTime(since.map_or(0, |since| since.as_secs()))
}

/// The service with everything around it.
pub struct Site {
    /// The one door to groups and accounts.
    pub service: Service,
    /// Who is logged in.
    pub sessions: Sessions,
    /// How often who may do what.
    pub limits: Limits,
    /// When to hold no request any more.
    pub draining: Draining,
    /// What is counted.
    pub traffic: Arc<Traffic>,
    /// Questions of nodes that are held.
    pub holding: Holding,
    /// Nonces of renewals.
    pub nonces: Nonces,
    /// Lists of revocations that were written lately.
    pub lists: Lists,
    /// Devices that wait for their users.
    pub devices: Devices,
    /// The provider beside local accounts.
    pub oidc: Option<Oidc>,
    /// The daemons that tell members of revocations, and see their rings.
    pub daemons: Daemons,
}

impl Site {
    /// Puts it together.
    pub fn new(
        service: Service,
        draining: Draining,
        traffic: Arc<Traffic>,
    ) -> anyhow::Result<Self> {
        let replicated = service.store().kind() == Kind::Postgres;
        let config = service.config();
        let oidc = config.oidc.as_ref().map(|oidc| Oidc::new(oidc, &config.url)).transpose()?;
        Ok(Self {
            oidc,
            daemons: Daemons::new(&service),
            sessions: Sessions::new(service.clone()),
            limits: Limits::new(),
            holding: Holding::new(draining.clone(), Arc::clone(&traffic), replicated),
            nonces: Nonces::new(&service.derive_key("renewal nonce")),
            lists: Lists::default(),
            devices: Devices::new(service.clone()),
            service,
            draining,
            traffic,
        })
    }

    /// Finds out who asks, and whether too often.
    pub(super) async fn recognize(&self, access: Access, ask: &mut Ask) -> Result<(), Problem> {
        let (limits, instant) = (&self.limits, Instant::now());
        if access == Access::Node {
            return self.limited(limits.nodes.take(ask.source(), instant));
        }
        let session = match ask.bearer().map(Key::from_api_token) {
            Some(Some(token)) => {
                self.sessions.find_api_token(&token, now()).await?.map(Who::Program)
            }
            Some(None) => None,
            None if ask.shows_cookie() => {
                self.sessions.find(ask.cookie(), now()).await?.map(Who::Browser)
            }
            None => None,
        };
        ask.who = session.unwrap_or(Who::Stranger);
        self.limited(match ask.session() {
            Some(session) => limits.people.take(session.user.id, instant),
            None => limits.strangers.take(ask.source(), instant),
        })
    }

    /// Turns a wait into a problem, and counts it.
    pub fn limited(&self, taken: Result<(), Duration>) -> Result<(), Problem> {
        taken.map_err(|wait| {
            self.traffic.rate_limited.inc();
            Problem::rate_limited(wait)
        })
    }

    /// Makes an account that logs in by a password, and logs it in.
    pub async fn sign_up(
        &self,
        ask: &Ask,
        name: String,
        email: Option<String>,
        password: Zeroizing<String>,
    ) -> Result<(UserView, Key), Problem> {
        self.limited(self.limits.sign_ups.take(ask.source(), Instant::now()))?;
        let new = NewUser::Password { name, email, password };
        let user = self.service.create_user(&ask.caller(), new, now()).await?;
        let user = self.service.user(user).await?.ok_or_else(Problem::not_found)?;
        let key = self.begin_session(ask, &user).await?;
        Ok((user, key))
    }

    /// Logs somebody in by name and password. The key is for the cookie of the answer.
    pub async fn log_in(
        &self,
        ask: &Ask,
        name: &str,
        password: Zeroizing<String>,
    ) -> Result<(UserView, Key), Problem> {
        let name = &name[..name.floor_char_boundary(NAME_LEN_MAX)];
        let source = ask.source();
        self.limited(self.limits.may_log_in(name, &source, Instant::now()))?;
        let Some(user) = self.service.check_password(name, password).await? else {
            self.limits.lockout.failed(name, &source, Instant::now());
            self.traffic.logins_failed.inc();
            // For the log alone, and with the same work for a name that nobody has.
            let user = self.service.user_named(name).await?;
            let user = user.map(|user| Named { id: user.id, name: user.name });
            let caller = Caller::stranger(ask.peer);
            self.service.note_login(&caller, user, false, now()).await?;
            return Err(Problem::wrong_login());
        };
        self.limits.lockout.succeeded(name, &source, Instant::now());
        let key = self.begin_session(ask, &user).await?;
        Ok((user, key))
    }

    /// Begins a session for somebody who has proven to be that user, and ends the one before.
    pub async fn begin_session(&self, ask: &Ask, user: &UserView) -> Result<Key, Problem> {
        if matches!(ask.who, Who::Browser(_)) {
            self.sessions.close(ask.cookie()).await?;
        }
        let key = self.sessions.open(user.id, now()).await?;
        let named = Named { id: user.id, name: user.name.clone() };
        let caller = Caller::user(user.id, ask.peer);
        self.service.note_login(&caller, Some(named), true, now()).await?;
        Ok(key)
    }

    /// Ends the session of a browser.
    pub async fn log_out(&self, ask: &Ask) -> Result<(), Problem> {
        Ok(self.sessions.close(ask.cookie()).await?)
    }

    /// Checks the password of somebody who is logged in, before something that is not undone.
    async fn check_again(
        &self,
        ask: &Ask,
        password: Zeroizing<String>,
    ) -> Result<UserView, Problem> {
        let user = ask.person()?.user.clone();
        let source = ask.source();
        self.limited(self.limits.may_log_in(&user.name, &source, Instant::now()))?;
        if self.service.check_password(&user.name, password).await?.is_none() {
            self.limits.lockout.failed(&user.name, &source, Instant::now());
            return Err(Problem::wrong_login());
        }
        Ok(user)
    }

    /// Closes one's own account. One that logs in elsewhere has no password to ask for.
    pub async fn close_account(
        &self,
        ask: &Ask,
        password: Zeroizing<String>,
    ) -> Result<(), Problem> {
        let user = ask.person()?.user.clone();
        if user.has_password {
            self.check_again(ask, password).await?;
        }
        self.service.close_account(&ask.caller(), user.id, now()).await?;
        Ok(self.sessions.close_all(user.id).await?)
    }

    /// Sets one's own password, by the old one; all sessions end.
    pub async fn change_password(
        &self,
        ask: &Ask,
        old: Zeroizing<String>,
        new: Zeroizing<String>,
    ) -> Result<Key, Problem> {
        let user = self.check_again(ask, old).await?;
        self.service.set_password(&ask.caller(), user.id, new, now()).await?;
        self.sessions.close_all(user.id).await?;
        Ok(self.sessions.open(user.id, now()).await?)
    }
}

/// What `/readyz` asks.
#[derive(Clone)]
pub struct Readiness(pub Arc<Site>);

impl Health for Readiness {
    async fn is_ready(&self) -> bool {
        self.0.service.store().read().await.is_ok() && !self.0.draining.has_begun()
    }
}
