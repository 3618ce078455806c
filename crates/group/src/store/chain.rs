//! How authorities, secrets and notices are kept.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pki::{Certificate, Head, Ipv4Subnet, NOTICE_LIFE, Network, NodeId, UnixTime};
use serde::{Deserialize, Serialize};

use super::column::{Columns, seconds};
use super::{Connection, StoreError};
use crate::model::{GroupId, Policies};

/// Most generations of the group secret that are handed out.
pub const GENERATIONS_MAX: i64 = 64;

/// How far a group is with an authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// It signs.
    Signs,
    /// Members pin it; it signs when it is due.
    Next,
    /// Members pin it for what it has signed, until it is due.
    Former,
}

/// An authority as it is stored.
#[derive(Clone, Debug)]
pub struct StoredAuthority {
    /// Its certificate.
    pub certificate: Certificate,
    /// Its key, sealed.
    pub sealed_key: String,
    /// Its ID.
    pub issuer: String,
    /// How far the group is with it.
    pub stage: Stage,
    /// When that changes.
    pub due: UnixTime,
}

/// A notice that the daemon beside the service has not passed on.
#[derive(Clone, Debug)]
pub struct StoredNotice {
    /// Its number.
    pub number: u64,
    /// The nodes that are out by it.
    pub victims: Vec<NodeId>,
}

/// A generation of the group secret as it is stored.
#[derive(Clone, Debug)]
pub struct StoredSecret {
    /// Its number.
    pub generation: u32,
    /// Sealed.
    pub sealed: String,
    /// Since when it is in use.
    pub since: UnixTime,
}

/// What everybody in a group is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which group.
    pub id: GroupId,
    /// Its name.
    pub name: String,
    /// Its addresses.
    pub subnet: Ipv4Subnet,
    /// Its policies.
    pub policies: Policies,
}

impl Settings {
    /// What members are told of their network.
    pub fn network(&self) -> Network {
        Network {
            mtu: self.policies.mtu,
            lease_seconds: self.policies.lease_seconds,
            ..Network::new(self.name.clone(), self.subnet)
        }
    }
}

/// Writes the row of a new group, before its events.
pub async fn insert_group(
    tx: &mut Connection,
    settings: &Settings,
    now: UnixTime,
) -> Result<(), StoreError> {
    let sql = sqlx::query(
        "INSERT INTO groups (id, name, subnet, policies, created, counter, events, members, \
         administrators, pending, notices, head, next_update) \
         VALUES ($1, $2, $3, $4, $5, 0, 0, 0, 0, 0, 0, '', 0)",
    );
    sql.bind(settings.id.0)
        .bind(settings.name.as_str())
        .bind(settings.subnet.to_string())
        .bind(super::column::json(&settings.policies))
        .bind(seconds(now))
        .execute(tx)
        .await?;
    Ok(())
}

/// Finds a group by its name.
pub async fn settings(db: &mut Connection, group: &str) -> Result<Option<Settings>, StoreError> {
    let sql = "SELECT id, name, subnet, policies FROM groups WHERE name = $1 AND deleted IS NULL";
    let row = sqlx::query(sql).bind(group).fetch_optional(db).await?;
    row.map(|row| {
        Ok(Settings {
            id: row.number("id")?,
            name: row.text("name")?,
            subnet: row.parsed("subnet")?,
            policies: row.json("policies")?,
        })
    })
    .transpose()
}

/// The authorities of a group that members pin, the one that signs first.
pub async fn authorities(
    db: &mut Connection,
    group: GroupId,
) -> Result<Vec<StoredAuthority>, StoreError> {
    let rows = sqlx::query(
        "SELECT certificate, sealed_key, issuer, stage, due FROM authorities WHERE group_id = $1 \
         ORDER BY CASE stage WHEN 'signs' THEN 0 ELSE 1 END, number DESC",
    );
    let rows = rows.bind(group.0).fetch_all(db).await?;
    let read = |row: &sqlx::any::AnyRow| {
        let certificate = Certificate::from_pem(&row.text("certificate")?);
        Ok(StoredAuthority {
            certificate: certificate.map_err(|_| StoreError::Corrupt("certificate"))?,
            sealed_key: row.text("sealed_key")?,
            issuer: row.text("issuer")?,
            stage: row.word("stage")?,
            due: row.time("due")?,
        })
    };
    rows.iter().map(read).collect()
}

/// Groups in which an authority is due, a few at a time.
pub async fn authorities_due(
    db: &mut Connection,
    now: UnixTime,
    limit: i64,
) -> Result<Vec<String>, StoreError> {
    let rows = sqlx::query(
        "SELECT DISTINCT name FROM authorities JOIN groups ON groups.id = group_id \
         WHERE stage <> 'signs' AND due <= $1 AND deleted IS NULL ORDER BY name LIMIT $2",
    );
    let rows = rows.bind(seconds(now)).bind(limit).fetch_all(db).await?;
    rows.iter().map(|row| row.text("name")).collect()
}

/// The group that an authority is of.
pub async fn group_of_issuer(
    db: &mut Connection,
    issuer: &str,
) -> Result<Option<String>, StoreError> {
    let row = sqlx::query(
        "SELECT name FROM authorities JOIN groups ON groups.id = group_id \
         WHERE issuer = $1 AND deleted IS NULL",
    );
    row.bind(issuer).fetch_optional(db).await?.map(|row| row.text("name")).transpose()
}

/// The newest head, in base64.
pub async fn head(db: &mut Connection, group: GroupId) -> Result<String, StoreError> {
    let row = sqlx::query("SELECT head FROM groups WHERE id = $1").bind(group.0);
    row.fetch_one(db).await?.text("head")
}

/// Writes a new head, and drops the notices before the first that it names.
pub async fn set_head(tx: &mut Connection, group: GroupId, head: &Head) -> Result<(), StoreError> {
    let first = i64::try_from(head.first).map_err(|_| StoreError::Corrupt("head"))?;
    let gone = sqlx::query("DELETE FROM notices WHERE group_id = $1 AND number < $2");
    let gone = gone.bind(group.0).bind(first).execute(&mut *tx).await?.rows_affected();
    let sql = sqlx::query(
        "UPDATE groups SET head = $2, next_update = $3, notices = notices - $4 WHERE id = $1",
    );
    sql.bind(group.0)
        .bind(STANDARD.encode(head.to_bytes()))
        .bind(seconds(head.next_update))
        .bind(i64::try_from(gone).unwrap_or(i64::MAX))
        .execute(tx)
        .await?;
    Ok(())
}

/// The notices after one, each in base64, in order.
pub async fn notices_after(
    db: &mut Connection,
    group: GroupId,
    after: u64,
) -> Result<Vec<String>, StoreError> {
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    let rows = sqlx::query(
        "SELECT bytes FROM notices WHERE group_id = $1 AND number > $2 ORDER BY number",
    );
    let rows = rows.bind(group.0).bind(after).fetch_all(db).await?;
    rows.iter().map(|row| row.text("bytes")).collect()
}

/// The notices that were not passed on, oldest first.
pub async fn unannounced(
    db: &mut Connection,
    group: GroupId,
) -> Result<Vec<StoredNotice>, StoreError> {
    let rows = sqlx::query(
        "SELECT number, victims FROM notices WHERE group_id = $1 AND announced IS NULL \
         ORDER BY number",
    );
    let rows = rows.bind(group.0).fetch_all(db).await?;
    let read = |row: &sqlx::any::AnyRow| {
        let number = row.number::<i64>("number")?;
        Ok(StoredNotice {
            number: u64::try_from(number).map_err(|_| StoreError::Corrupt("number"))?,
            victims: row.json("victims")?,
        })
    };
    rows.iter().map(read).collect()
}

/// Groups with notices that were not passed on.
pub async fn groups_unannounced(db: &mut Connection) -> Result<Vec<String>, StoreError> {
    let rows = sqlx::query(
        "SELECT DISTINCT name FROM notices JOIN groups ON groups.id = group_id \
         WHERE announced IS NULL AND deleted IS NULL ORDER BY name",
    );
    let rows = rows.fetch_all(db).await?;
    rows.iter().map(|row| row.text("name")).collect()
}

/// How many notices each group has signed, where it has any.
pub async fn notice_counts(db: &mut Connection) -> Result<Vec<(GroupId, u32)>, StoreError> {
    let sql = "SELECT id, notices FROM groups WHERE notices > 0 AND deleted IS NULL";
    let rows = sqlx::query(sql).fetch_all(db).await?;
    rows.iter().map(|row| Ok((row.number("id")?, row.count("notices")?))).collect()
}

/// Remembers that the notices up to one were passed on.
pub async fn set_announced(
    tx: &mut Connection,
    group: GroupId,
    up_to: u64,
    now: UnixTime,
) -> Result<(), StoreError> {
    let sql = sqlx::query(
        "UPDATE notices SET announced = $3 \
         WHERE group_id = $1 AND number <= $2 AND announced IS NULL",
    );
    sql.bind(group.0)
        .bind(i64::try_from(up_to).unwrap_or(i64::MAX))
        .bind(seconds(now))
        .execute(tx)
        .await?;
    Ok(())
}

/// The newest generations of the group secret, newest first.
pub async fn secrets(db: &mut Connection, group: GroupId) -> Result<Vec<StoredSecret>, StoreError> {
    let rows = sqlx::query(
        "SELECT generation, sealed, since FROM secrets WHERE group_id = $1 \
         ORDER BY generation DESC LIMIT $2",
    );
    let rows = rows.bind(group.0).bind(GENERATIONS_MAX).fetch_all(db).await?;
    let read = |row: &sqlx::any::AnyRow| {
        Ok(StoredSecret {
            generation: row.count("generation")?,
            sealed: row.text("sealed")?,
            since: row.time("since")?,
        })
    };
    rows.iter().map(read).collect()
}

/// Writes a generation that was signed anew.
pub async fn set_secret(
    tx: &mut Connection,
    group: GroupId,
    generation: u32,
    sealed: &str,
) -> Result<(), StoreError> {
    let sql = "UPDATE secrets SET sealed = $3 WHERE group_id = $1 AND generation = $2";
    sqlx::query(sql).bind(group.0).bind(i64::from(generation)).bind(sealed).execute(tx).await?;
    Ok(())
}

/// Forgets generations below one.
pub async fn drop_secrets(
    tx: &mut Connection,
    group: GroupId,
    below: u32,
) -> Result<u64, StoreError> {
    let sql = sqlx::query("DELETE FROM secrets WHERE group_id = $1 AND generation < $2");
    Ok(sql.bind(group.0).bind(i64::from(below)).execute(tx).await?.rows_affected())
}

/// Groups whose head is due, a few at a time.
pub async fn heads_due(
    db: &mut Connection,
    before: UnixTime,
    limit: i64,
) -> Result<Vec<String>, StoreError> {
    let rows = sqlx::query(
        "SELECT name FROM groups WHERE deleted IS NULL AND next_update <= $1 \
         ORDER BY next_update LIMIT $2",
    );
    let rows = rows.bind(seconds(before)).bind(limit).fetch_all(db).await?;
    rows.iter().map(|row| row.text("name")).collect()
}

/// Certificates of an authority that have not expired, for its list: serial, node, user, time.
pub async fn unexpired(
    db: &mut Connection,
    group: GroupId,
    now: UnixTime,
) -> Result<Vec<CertificateRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT serial, node_id, issuer, user_name, issued, not_after FROM certificates \
         WHERE group_id = $1 AND not_after >= $2",
    );
    let rows = rows.bind(group.0).bind(seconds(now)).fetch_all(db).await?;
    let read = |row: &sqlx::any::AnyRow| {
        Ok(CertificateRow {
            serial: row.parsed("serial")?,
            node: row.parsed("node_id")?,
            issuer: row.parsed("issuer")?,
            user: row.text("user_name")?,
            issued: row.time("issued")?,
            not_after: row.time("not_after")?,
        })
    };
    rows.iter().map(read).collect()
}

/// A certificate as the store remembers it.
#[derive(Clone, Debug)]
pub struct CertificateRow {
    /// Its serial.
    pub serial: pki::Serial,
    /// Whose.
    pub node: NodeId,
    /// Who signed it.
    pub issuer: pki::IssuerId,
    /// For which user.
    pub user: String,
    /// When.
    pub issued: UnixTime,
    /// Until when.
    pub not_after: UnixTime,
}

/// The head and the notices after one, in the text form of a ledger.
pub async fn text_after(
    db: &mut Connection,
    group: GroupId,
    after: u64,
) -> Result<String, StoreError> {
    let head = head(db, group).await?;
    let lines = std::iter::once(head).chain(notices_after(db, group, after).await?);
    Ok(lines.map(|line| line + "\n").collect())
}

/// Drops entries of the log before one time, and certificates that no notice can mean any more.
pub async fn drop_old(
    tx: &mut Connection,
    now: UnixTime,
    log_before: UnixTime,
) -> Result<u64, StoreError> {
    let sql = sqlx::query("DELETE FROM events WHERE at < $1").bind(seconds(log_before));
    let entries = sql.execute(&mut *tx).await?.rows_affected();
    let sql = sqlx::query("DELETE FROM certificates WHERE not_after < $1");
    let certificates = sql.bind(seconds(now - NOTICE_LIFE)).execute(tx).await?.rows_affected();
    Ok(entries + certificates)
}
