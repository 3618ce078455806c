//! How sessions and API tokens are kept: by the hash of what the browser or program shows.

use pki::UnixTime;
use sqlx::any::AnyRow;

use super::column::{Columns, seconds};
use super::{Connection, StoreError};
use crate::model::UserId;

/// Somebody's session or API token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Whose.
    pub user: UserId,
    /// Since when it is there.
    pub created: UnixTime,
    /// When it was used last, as far as it was written down.
    pub used: UnixTime,
    /// When it ends by itself; sessions do so by their age.
    pub expires: Option<UnixTime>,
}

/// An API token, without its text.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct ApiTokenView {
    /// Its number among those of its user.
    pub id: i64,
    /// What its user calls it.
    pub label: String,
    /// Since when it is there.
    #[schema(value_type = u64)]
    pub created: UnixTime,
    /// Until when it is good.
    #[schema(value_type = u64)]
    pub expires: UnixTime,
    /// When it was last used.
    #[schema(value_type = Option<u64>)]
    pub last_used: Option<UnixTime>,
}

/// Remembers a new session.
pub async fn open(
    db: &mut Connection,
    hash: &str,
    user: UserId,
    now: UnixTime,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO sessions (hash, user_id, created, seen) VALUES ($1, $2, $3, $3)";
    sqlx::query(sql).bind(hash).bind(user.0).bind(seconds(now)).execute(db).await?;
    Ok(())
}

/// Finds a session.
pub async fn find(db: &mut Connection, hash: &str) -> Result<Option<Kept>, StoreError> {
    let row = sqlx::query("SELECT * FROM sessions WHERE hash = $1").bind(hash);
    let read = |row: AnyRow| {
        Ok(Kept {
            user: row.number("user_id")?,
            created: row.time("created")?,
            used: row.time("seen")?,
            expires: None,
        })
    };
    row.fetch_optional(db).await?.map(read).transpose()
}

/// Writes down that a session was used.
pub async fn touch(db: &mut Connection, hash: &str, now: UnixTime) -> Result<(), StoreError> {
    let sql = sqlx::query("UPDATE sessions SET seen = $2 WHERE hash = $1");
    sql.bind(hash).bind(seconds(now)).execute(db).await?;
    Ok(())
}

/// Forgets a session.
pub async fn close(db: &mut Connection, hash: &str) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM sessions WHERE hash = $1").bind(hash).execute(db).await?;
    Ok(())
}

/// Forgets all sessions of a user.
pub async fn close_all(db: &mut Connection, user: UserId) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM sessions WHERE user_id = $1").bind(user.0).execute(db).await?;
    Ok(())
}

/// Forgets sessions that were not used since, or that are older.
pub async fn prune(
    db: &mut Connection,
    unused_since: UnixTime,
    made_before: UnixTime,
    now: UnixTime,
) -> Result<(), StoreError> {
    let sql = sqlx::query("DELETE FROM sessions WHERE seen < $1 OR created < $2");
    sql.bind(seconds(unused_since)).bind(seconds(made_before)).execute(&mut *db).await?;
    let sql = sqlx::query("DELETE FROM api_tokens WHERE expires < $1");
    sql.bind(seconds(now)).execute(db).await?;
    Ok(())
}

/// Remembers a new API token, and returns its number; none if the user has so many already.
pub async fn add_api_token(
    db: &mut Connection,
    hash: &str,
    user: UserId,
    (label, max): (&str, u32),
    (now, expires): (UnixTime, UnixTime),
) -> Result<Option<i64>, StoreError> {
    let sql = "SELECT COUNT(*) AS count, COALESCE(MAX(number), 0) AS last FROM api_tokens \
        WHERE user_id = $1";
    let row = sqlx::query(sql).bind(user.0).fetch_one(&mut *db).await?;
    if row.count("count")? >= max {
        return Ok(None);
    }
    let number = row.number::<i64>("last")? + 1;
    let sql = sqlx::query(
        "INSERT INTO api_tokens (hash, user_id, number, label, created, expires) \
         VALUES ($1, $2, $3, $4, $5, $6)",
    );
    let sql = sql.bind(hash).bind(user.0).bind(number).bind(label);
    sql.bind(seconds(now)).bind(seconds(expires)).execute(db).await?;
    Ok(Some(number))
}

/// Finds an API token.
pub async fn find_api_token(db: &mut Connection, hash: &str) -> Result<Option<Kept>, StoreError> {
    let row = sqlx::query("SELECT * FROM api_tokens WHERE hash = $1").bind(hash);
    let read = |row: AnyRow| {
        let created = row.time("created")?;
        Ok(Kept {
            user: row.number("user_id")?,
            created,
            used: row.maybe_time("last_used")?.unwrap_or(UnixTime(0)),
            expires: Some(row.time("expires")?),
        })
    };
    row.fetch_optional(db).await?.map(read).transpose()
}

/// Writes down that an API token was used.
pub async fn touch_api_token(
    db: &mut Connection,
    hash: &str,
    now: UnixTime,
) -> Result<(), StoreError> {
    let sql = sqlx::query("UPDATE api_tokens SET last_used = $2 WHERE hash = $1");
    sql.bind(hash).bind(seconds(now)).execute(db).await?;
    Ok(())
}

/// Lists the API tokens of a user, the newest first: there are few.
pub async fn api_tokens(
    db: &mut Connection,
    user: UserId,
) -> Result<Vec<ApiTokenView>, StoreError> {
    let rows = sqlx::query("SELECT * FROM api_tokens WHERE user_id = $1 ORDER BY number DESC");
    let rows = rows.bind(user.0).fetch_all(db).await?;
    let read = |row: &AnyRow| {
        Ok(ApiTokenView {
            id: row.number("number")?,
            label: row.text("label")?,
            created: row.time("created")?,
            expires: row.time("expires")?,
            last_used: row.maybe_time("last_used")?,
        })
    };
    rows.iter().map(read).collect()
}

/// Forgets an API token; returns whether there was one.
pub async fn end_api_token(
    db: &mut Connection,
    user: UserId,
    number: i64,
) -> Result<bool, StoreError> {
    let sql = sqlx::query("DELETE FROM api_tokens WHERE user_id = $1 AND number = $2");
    Ok(sql.bind(user.0).bind(number).execute(db).await?.rows_affected() > 0)
}
