//! Accounts: who is who.

use pki::UnixTime;
use zeroize::Zeroizing;

use super::Service;
use crate::error::Result;
use crate::model::account::{check_password, check_user_name};
use crate::model::{Actor, Caller, Login, Named, Refusal, SiteEvent, UserId};
use crate::store::read::{Account, UserKey};
use crate::store::{self, Page, Paged};
use crate::view::{AuditView, UserView};

/// Longest e-mail address (RFC 5321 section 4.5.3.1.3).
const EMAIL_LEN_MAX: usize = 254;

/// An account to make.
#[derive(Debug)]
pub enum NewUser {
    /// That logs in by a password.
    Password {
        /// Its name.
        name: String,
        /// Where to write to.
        email: Option<String>,
        /// Its password.
        password: Zeroizing<String>,
    },
    /// That logs in by an OpenID provider.
    Oidc {
        /// Its name.
        name: String,
        /// Where to write to.
        email: Option<String>,
        /// The provider.
        issuer: String,
        /// The name there.
        subject: String,
    },
}

impl Service {
    /// Makes an account.
    pub async fn create_user(
        &self,
        caller: &Caller,
        new: NewUser,
        now: UnixTime,
    ) -> Result<UserId> {
        let (name, email, login) = match new {
            NewUser::Password { name, email, password } => {
                check_user_name(&name)?;
                check_password(&password)?;
                (name, email, Login::Password(self.0.passwords.hash(password).await))
            }
            NewUser::Oidc { name, email, issuer, subject } => {
                check_user_name(&name)?;
                (name, email, Login::Oidc { issuer, subject })
            }
        };
        if email.as_ref().is_some_and(|email| email.len() > EMAIL_LEN_MAX) {
            return Err(Refusal::TextTooLong { field: "e-mail address", max: EMAIL_LEN_MAX }.into());
        }
        let mut tx = self.0.store.begin().await?;
        let trusted = self.is_site_admin(&mut tx, caller).await?;
        Self::site_allows(self.config().who_signs_up, trusted)?;
        let next = store::lock_site(&mut tx).await?;
        let origin = store::load::origin(&mut tx, caller, now).await?;
        let event = SiteEvent::UserCreated { name, email, login };
        match store::apply_site(&mut tx, &origin, next, &event).await {
            Err(error) if store::is_duplicate(&error) => return Err(Refusal::NameTaken.into()),
            other => other?,
        }
        tx.commit().await?;
        Ok(UserId(next))
    }

    /// Verifies a password. Takes as long where there is no such account or it has no password; the
    /// answer is the same then, and for a disabled account.
    pub async fn check_password(
        &self,
        name: &str,
        password: Zeroizing<String>,
    ) -> Result<Option<UserView>> {
        let mut db = self.0.store.read().await?;
        let account = store::read::account(&mut db, UserKey::Name(name)).await?;
        drop(db);
        let (view, stored) = match account {
            Some(Account { view, password }) => (Some(view), password),
            None => (None, None),
        };
        let right = self.0.passwords.verify(stored, password).await;
        Ok(view.filter(|view| right && view.enabled))
    }

    /// Finds the account of somebody whom an OpenID provider vouches for.
    pub async fn user_of_oidc(&self, issuer: &str, subject: &str) -> Result<Option<UserView>> {
        self.find_user(UserKey::Oidc(issuer, subject)).await
    }

    /// Finds an account by its number.
    pub async fn user(&self, id: UserId) -> Result<Option<UserView>> {
        self.find_user(UserKey::Id(id)).await
    }

    /// Finds an account by its name.
    pub async fn user_named(&self, name: &str) -> Result<Option<UserView>> {
        self.find_user(UserKey::Name(name)).await
    }

    /// Lists accounts by name, for administrators of the site.
    pub async fn users(&self, caller: &Caller, page: &Page) -> Result<Paged<UserView>> {
        let mut db = self.0.store.read().await?;
        if !self.is_site_admin(&mut db, caller).await? {
            return Err(Refusal::NotSiteAdministrator.into());
        }
        Ok(store::read::users(&mut db, page).await?)
    }

    /// Sets a password: one's own, or that of another as administrator of the site.
    pub async fn set_password(
        &self,
        caller: &Caller,
        user: UserId,
        password: Zeroizing<String>,
        now: UnixTime,
    ) -> Result<()> {
        check_password(&password)?;
        let hash = self.0.passwords.hash(password).await;
        let own = caller.actor == Actor::User(user);
        self.change_user(caller, user, own, now, |user| SiteEvent::PasswordChanged { user, hash })
            .await
    }

    /// Makes somebody an administrator of the site, or no longer.
    pub async fn set_site_admin(
        &self,
        caller: &Caller,
        user: UserId,
        site_admin: bool,
        now: UnixTime,
    ) -> Result<()> {
        let event = |user| SiteEvent::SiteAdminChanged { user, site_admin };
        self.change_user(caller, user, false, now, event).await
    }

    /// Locks an account, or opens it again. Its certificates stay good until an administrator of
    /// their group revokes them.
    pub async fn set_enabled(
        &self,
        caller: &Caller,
        user: UserId,
        enabled: bool,
        now: UnixTime,
    ) -> Result<()> {
        let event = |user| SiteEvent::AccountEnabled { user, enabled };
        self.change_user(caller, user, false, now, event).await
    }

    /// Closes an account, after leaving every group; the name stays taken.
    pub async fn close_account(&self, caller: &Caller, user: UserId, now: UnixTime) -> Result<()> {
        let own = caller.actor == Actor::User(user);
        loop {
            let mut db = self.0.store.read().await?;
            if !own && !self.is_site_admin(&mut db, caller).await? {
                return Err(Refusal::NotSiteAdministrator.into());
            }
            let groups = store::read::groups(&mut db, user, true, &Page::default()).await?;
            drop(db);
            if groups.items.is_empty() {
                break;
            }
            let leaver = Caller { actor: Actor::User(user), source: caller.source.clone() };
            for group in groups.items {
                self.leave(&leaver, &group.name, now).await?;
            }
        }
        self.change_user(caller, user, own, now, |user| SiteEvent::AccountClosed { user }).await
    }

    /// Writes an event of a log-in to the audit log of the site.
    pub async fn note_login(
        &self,
        caller: &Caller,
        user: Option<Named>,
        succeeded: bool,
        now: UnixTime,
    ) -> Result<()> {
        let event = match (user, succeeded) {
            (Some(user), true) => SiteEvent::LoggedIn { user },
            (user, _) => SiteEvent::LoginFailed { user },
        };
        self.note(caller, &event, now).await
    }

    /// Writes an event to the audit log of the site that changes nothing.
    pub(super) async fn note(
        &self,
        caller: &Caller,
        event: &SiteEvent,
        now: UnixTime,
    ) -> Result<()> {
        let mut tx = self.0.store.begin().await?;
        let origin = store::load::origin(&mut tx, caller, now).await?;
        store::note_site(&mut tx, &origin, event).await?;
        Ok(tx.commit().await?)
    }

    /// The audit log of the site, the newest first, for its administrators.
    pub async fn site_audit(
        &self,
        caller: &Caller,
        kind: Option<&str>,
        page: &Page,
    ) -> Result<Paged<AuditView>> {
        let mut db = self.0.store.read().await?;
        if !self.is_site_admin(&mut db, caller).await? {
            return Err(Refusal::NotSiteAdministrator.into());
        }
        Ok(store::read::audit(&mut db, None, kind, page).await?)
    }

    /// Whether an administrator of the site gives a command, or who has the machine.
    pub(super) async fn is_site_admin(
        &self,
        db: &mut store::Connection,
        caller: &Caller,
    ) -> Result<bool> {
        Ok(match caller.actor {
            Actor::Operator | Actor::Service => true,
            Actor::User(user) => {
                let account = store::read::account(db, UserKey::Id(user)).await?;
                account.is_some_and(|account| account.view.site_admin && account.view.enabled)
            }
            Actor::Node(_) | Actor::Stranger => false,
        })
    }

    async fn find_user(&self, key: UserKey<'_>) -> Result<Option<UserView>> {
        let mut db = self.0.store.read().await?;
        let account = store::read::account(&mut db, key).await?;
        Ok(account.map(|account| account.view))
    }

    async fn change_user(
        &self,
        caller: &Caller,
        user: UserId,
        own: bool,
        now: UnixTime,
        event: impl FnOnce(Named) -> SiteEvent,
    ) -> Result<()> {
        let mut tx = self.0.store.begin().await?;
        store::lock_site(&mut tx).await?;
        if !own && !self.is_site_admin(&mut tx, caller).await? {
            return Err(Refusal::NotSiteAdministrator.into());
        }
        let account = store::read::account(&mut tx, UserKey::Id(user)).await?;
        let view = account.ok_or(Refusal::NotFound("user"))?.view;
        let origin = store::load::origin(&mut tx, caller, now).await?;
        let event = event(Named { id: user, name: view.name });
        store::apply_site(&mut tx, &origin, 0, &event).await?;
        Ok(tx.commit().await?)
    }
}
