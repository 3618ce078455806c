//! How an event of the site changes the tables of accounts, and how it gets into the audit log.

use super::apply::insert_event;
use super::column::{Columns, json, seconds};
use super::load::Origin;
use super::{Connection, Store, StoreError};
use crate::model::{GroupId, Login, SiteEvent, UserId};

/// The audit log of the site has the number of no group.
pub const SITE: GroupId = GroupId(0);

/// Writes an event to the site's log, and changes the tables by it. `next` is the number of a new
/// account.
pub async fn apply_site(
    tx: &mut Connection,
    origin: &Origin,
    next: i64,
    event: &SiteEvent,
) -> Result<(), StoreError> {
    note_site(tx, origin, event).await?;
    match event {
        SiteEvent::UserCreated { name, email, login } => {
            create_user(tx, origin, UserId(next), name, email.as_deref(), login).await
        }
        SiteEvent::PasswordChanged { user, hash } => {
            let sql = sqlx::query("UPDATE users SET password = $2 WHERE id = $1");
            sql.bind(user.id.0).bind(hash.as_str()).execute(tx).await?;
            Ok(())
        }
        SiteEvent::SiteAdminChanged { user, site_admin } => {
            let sql = sqlx::query("UPDATE users SET site_admin = $2 WHERE id = $1");
            sql.bind(user.id.0).bind(i64::from(*site_admin)).execute(tx).await?;
            Ok(())
        }
        SiteEvent::AccountEnabled { user, enabled } => {
            let state = if *enabled { "active" } else { "disabled" };
            let sql = sqlx::query("UPDATE users SET state = $2 WHERE id = $1");
            sql.bind(user.id.0).bind(state).execute(tx).await?;
            Ok(())
        }
        SiteEvent::AccountClosed { user } => {
            let sql = sqlx::query(
                "UPDATE users SET state = 'closed', email = NULL, password = NULL, \
                 oidc_issuer = NULL, oidc_subject = NULL, site_admin = 0 WHERE id = $1",
            );
            sql.bind(user.id.0).execute(tx).await?;
            Ok(())
        }
        SiteEvent::LoggedIn { .. }
        | SiteEvent::LoginFailed { .. }
        | SiteEvent::Group { .. }
        | SiteEvent::EnrolmentRefused { .. } => Ok(()),
    }
}

/// Writes an event to the site's log.
pub async fn note_site(
    tx: &mut Connection,
    origin: &Origin,
    event: &SiteEvent,
) -> Result<(), StoreError> {
    let row = sqlx::query("UPDATE site SET events = events + 1 WHERE id = 1 RETURNING events");
    let number: i64 = row.fetch_one(&mut *tx).await?.number("events")?;
    insert_event(tx, SITE, number, origin, &json(event)).await
}

async fn create_user(
    tx: &mut Connection,
    origin: &Origin,
    id: UserId,
    name: &str,
    email: Option<&str>,
    login: &Login,
) -> Result<(), StoreError> {
    let (password, issuer, subject) = match login {
        Login::Password(hash) => (Some(hash.as_str()), None, None),
        Login::Oidc { issuer, subject } => (None, Some(issuer.as_str()), Some(subject.as_str())),
    };
    let sql = sqlx::query(
        "INSERT INTO users (id, name, email, password, oidc_issuer, oidc_subject, site_admin, \
         state, created) VALUES ($1, $2, $3, $4, $5, $6, 0, 'active', $7)",
    );
    sql.bind(id.0)
        .bind(name)
        .bind(email)
        .bind(password)
        .bind(issuer)
        .bind(subject)
        .bind(seconds(origin.at))
        .execute(tx)
        .await?;
    Ok(())
}

/// Reads how to know the master key of this database again; a new database has none.
pub async fn master_key_check(store: &Store) -> Result<Option<String>, StoreError> {
    let mut db = store.read().await?;
    let row = sqlx::query("SELECT master_key_check FROM site WHERE id = 1");
    row.fetch_optional(&mut *db).await?.map(|row| row.text("master_key_check")).transpose()
}

/// Writes how to know the master key again; where another replica was faster, reads its word.
pub async fn set_up_site(store: &Store, check: &str) -> Result<String, StoreError> {
    let mut tx = store.begin().await?;
    let sql = sqlx::query(
        "INSERT INTO site (id, counter, events, master_key_check) VALUES (1, 0, 0, $1) \
         ON CONFLICT (id) DO NOTHING",
    );
    sql.bind(check).execute(&mut *tx).await?;
    let row = sqlx::query("SELECT master_key_check FROM site WHERE id = 1");
    let stored = row.fetch_one(&mut *tx).await?.text("master_key_check")?;
    tx.commit().await?;
    Ok(stored)
}
