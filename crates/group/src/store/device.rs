//! How devices are kept that wait for their user's word.

use pki::UnixTime;
use pki::enrolment::{SecretHash, UserCode};
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;

use super::column::{Columns, seconds, word};
use super::{Connection, StoreError};
use crate::model::UserId;

/// How it stands with a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceState {
    /// Nobody has said anything.
    Waiting,
    /// Its user has said yes.
    Confirmed,
    /// Somebody has said no.
    Denied,
}

/// A device that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// What its user compares.
    pub user_code: UserCode,
    /// The group that it wants into.
    pub group: String,
    /// What it calls itself.
    pub host: Option<String>,
    /// How it stands.
    pub state: DeviceState,
    /// Who has said yes.
    pub user: Option<UserId>,
    /// Until when it waits.
    pub expires: UnixTime,
}

/// Remembers a new device.
pub async fn add(
    db: &mut Connection,
    hash: &SecretHash,
    device: &Device,
) -> Result<(), StoreError> {
    let sql = sqlx::query(
        "INSERT INTO devices (hash, user_code, group_name, host, state, expires) \
         VALUES ($1, $2, $3, $4, $5, $6)",
    );
    sql.bind(text(hash))
        .bind(device.user_code.to_string())
        .bind(device.group.as_str())
        .bind(device.host.as_deref())
        .bind(word(device.state))
        .bind(seconds(device.expires))
        .execute(db)
        .await?;
    Ok(())
}

/// Returns how many devices wait.
pub async fn count(db: &mut Connection) -> Result<u32, StoreError> {
    sqlx::query("SELECT COUNT(*) AS count FROM devices").fetch_one(db).await?.count("count")
}

/// Finds a device by its own secret.
pub async fn find(db: &mut Connection, hash: &SecretHash) -> Result<Option<Device>, StoreError> {
    let row = sqlx::query("SELECT * FROM devices WHERE hash = $1").bind(text(hash));
    row.fetch_optional(db).await?.map(|row| device(&row)).transpose()
}

/// Finds a device by what its user compares.
pub async fn find_by_code(
    db: &mut Connection,
    code: UserCode,
) -> Result<Option<Device>, StoreError> {
    let row = sqlx::query("SELECT * FROM devices WHERE user_code = $1").bind(code.to_string());
    row.fetch_optional(db).await?.map(|row| device(&row)).transpose()
}

/// Writes down what somebody has said; returns whether the device was still waiting.
pub async fn decide(
    db: &mut Connection,
    code: UserCode,
    user: UserId,
    state: DeviceState,
) -> Result<bool, StoreError> {
    let sql = sqlx::query(
        "UPDATE devices SET state = $3, user_id = $2 WHERE user_code = $1 AND state = 'waiting'",
    );
    let sql = sql.bind(code.to_string()).bind(user.0).bind(word(state));
    Ok(sql.execute(db).await?.rows_affected() > 0)
}

/// Forgets a device; returns whether it was there, so that only one asker gets what it waited for.
pub async fn forget(db: &mut Connection, hash: &SecretHash) -> Result<bool, StoreError> {
    let sql = sqlx::query("DELETE FROM devices WHERE hash = $1").bind(text(hash));
    Ok(sql.execute(db).await?.rows_affected() > 0)
}

/// Forgets devices whose time is over.
pub async fn prune(db: &mut Connection, now: UnixTime) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM devices WHERE expires <= $1").bind(seconds(now)).execute(db).await?;
    Ok(())
}

fn text(hash: &SecretHash) -> String {
    use std::fmt::Write;
    hash.as_bytes().iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn device(row: &AnyRow) -> Result<Device, StoreError> {
    Ok(Device {
        user_code: row.parsed("user_code")?,
        group: row.text("group_name")?,
        host: row.maybe_text("host")?,
        state: row.word("state")?,
        user: row.maybe_number("user_id")?.map(UserId),
        expires: row.time("expires")?,
    })
}
