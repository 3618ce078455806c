//! Who is logged in, and who tries to.
//!
//! How it works: a browser shows a cookie of 256 random bits, a program a token of the same kind; the
//! store knows their hashes. A session ends when it was idle for [`IDLE`] or is older than [`LIFE`],
//! when its user logs out or changes the password, or when the account is locked. How often somebody
//! may try is counted in this process alone: with several replicas the limits count for each.
//!
//! What must hold: a log-in always makes a new key, so nobody can put one under somebody beforehand.
//! A wrong password and an unknown account get the same answer after the same work.
//!
//! | file | question |
//! |---|---|
//! | `key` | what does a browser or program show |
//! | `rate` | how often may somebody ask |
//! | `lockout` | who has guessed passwords too often |
//! | `limits` | which limits are there |

mod key;
mod limits;
mod lockout;
mod rate;

use std::time::Duration;

use pki::UnixTime;
use zeroize::Zeroizing;

use crate::error::Result;
use crate::model::{Refusal, UserId};
use crate::service::Service;
use crate::store::session::{self, ApiTokenView, Kept};
use crate::view::UserView;

pub use key::{Key, KeyHash};
pub use limits::Limits;
pub use lockout::Lockout;
pub use rate::{Limiter, Rate};

/// A session that was not used for so long is over: a working day with its evening.
pub const IDLE: Duration = Duration::from_secs(12 * 3600);
/// A session that is so old is over, used or not.
pub const LIFE: Duration = Duration::from_secs(7 * 24 * 3600);
/// How exactly it is known when a session was used: one write per minute, not per click.
const TOUCH_EVERY: Duration = Duration::from_secs(60);
/// Most API tokens of one user.
const API_TOKENS_MAX: u32 = 20;
/// Longest life of an API token: a year.
pub const API_TOKEN_LIFE_MAX: Duration = Duration::from_secs(366 * 24 * 3600);
const LABEL_CHARS_MAX: usize = 100;

/// Somebody who has shown a good key.
#[derive(Clone, Debug)]
pub struct Session {
    /// Who.
    pub user: UserView,
}

/// The sessions of a service.
#[derive(Clone, Debug)]
pub struct Sessions {
    service: Service,
}

impl Sessions {
    /// The sessions in the store of a service.
    pub fn new(service: Service) -> Self {
        Self { service }
    }

    /// Begins a session; the key is for the browser.
    pub async fn open(&self, user: UserId, now: UnixTime) -> Result<Key> {
        let key = Key::random();
        let mut tx = self.service.store().begin().await?;
        session::open(&mut tx, key.hash().as_str(), user, now).await?;
        tx.commit().await?;
        Ok(key)
    }

    /// Finds the session of a key.
    pub async fn find(&self, key: &Key, now: UnixTime) -> Result<Option<Session>> {
        let hash = key.hash();
        let mut db = self.service.store().read().await?;
        let Some(kept) = session::find(&mut db, hash.as_str()).await? else { return Ok(None) };
        drop(db);
        if now >= kept.used + IDLE || now >= kept.created + LIFE {
            return Ok(None);
        }
        if now >= kept.used + TOUCH_EVERY {
            let mut tx = self.service.store().begin().await?;
            session::touch(&mut tx, hash.as_str(), now).await?;
            tx.commit().await?;
        }
        self.person(kept).await
    }

    /// Ends the session of a key, if there is one.
    pub async fn close(&self, key: &Key) -> Result<()> {
        let mut tx = self.service.store().begin().await?;
        session::close(&mut tx, key.hash().as_str()).await?;
        Ok(tx.commit().await?)
    }

    /// Ends all sessions of a user.
    pub async fn close_all(&self, user: UserId) -> Result<()> {
        let mut tx = self.service.store().begin().await?;
        session::close_all(&mut tx, user).await?;
        Ok(tx.commit().await?)
    }

    /// Makes an API token; its text is shown this once.
    pub async fn add_api_token(
        &self,
        user: UserId,
        label: &str,
        life: Duration,
        now: UnixTime,
    ) -> Result<(i64, Zeroizing<String>)> {
        if label.chars().count() > LABEL_CHARS_MAX {
            return Err(Refusal::TextTooLong { field: "label", max: LABEL_CHARS_MAX }.into());
        }
        if !(Duration::from_secs(60)..=API_TOKEN_LIFE_MAX).contains(&life) {
            return Err(Refusal::Setting("an API token lives one minute to 366 days").into());
        }
        let key = Key::random();
        let mut tx = self.service.store().begin().await?;
        let (limits, times) = ((label, API_TOKENS_MAX), (now, now + life));
        let added = session::add_api_token(&mut tx, key.hash().as_str(), user, limits, times).await;
        match added {
            Ok(Some(number)) => {
                tx.commit().await?;
                Ok((number, key.api_token()))
            }
            Ok(None) => Err(Refusal::TooMany("API tokens").into()),
            Err(error) => Err(error.into()),
        }
    }

    /// Finds the user of an API token.
    pub async fn find_api_token(&self, key: &Key, now: UnixTime) -> Result<Option<Session>> {
        let hash = key.hash();
        let mut db = self.service.store().read().await?;
        let found = session::find_api_token(&mut db, hash.as_str()).await?;
        drop(db);
        let Some(kept) = found else { return Ok(None) };
        if kept.expires.is_some_and(|expires| now >= expires) {
            return Ok(None);
        }
        if now >= kept.used + TOUCH_EVERY {
            let mut tx = self.service.store().begin().await?;
            session::touch_api_token(&mut tx, hash.as_str(), now).await?;
            tx.commit().await?;
        }
        self.person(kept).await
    }

    /// Lists the API tokens of a user, without their texts.
    pub async fn api_tokens(&self, user: UserId) -> Result<Vec<ApiTokenView>> {
        let mut db = self.service.store().read().await?;
        Ok(session::api_tokens(&mut db, user).await?)
    }

    /// Ends an API token of a user.
    pub async fn end_api_token(&self, user: UserId, number: i64) -> Result<()> {
        let mut tx = self.service.store().begin().await?;
        let ended = session::end_api_token(&mut tx, user, number).await?;
        tx.commit().await?;
        if ended { Ok(()) } else { Err(Refusal::NotFound("API token").into()) }
    }

    /// Forgets what has had its time.
    pub async fn prune(&self, now: UnixTime) -> Result<()> {
        let before = |age: Duration| UnixTime(now.0.saturating_sub(age.as_secs()));
        let mut tx = self.service.store().begin().await?;
        session::prune(&mut tx, before(IDLE), before(LIFE), now).await?;
        Ok(tx.commit().await?)
    }

    /// A locked account has no sessions, whatever it shows.
    async fn person(&self, kept: Kept) -> Result<Option<Session>> {
        let user = self.service.user(kept.user).await?;
        Ok(user.filter(|user| user.enabled).map(|user| Session { user }))
    }
}
