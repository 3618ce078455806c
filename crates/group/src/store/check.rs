//! What must never be in the tables, as queries that find nothing.

use super::column::Columns;
use super::{Connection, Kind, StoreError};
use crate::model::GroupId;

/// A sentence, and the query that names each culprit in its column `what`.
const RULES: [(&str, &str); 7] = [
    (
        "its count of members is wrong",
        "SELECT name AS what FROM groups WHERE members <> \
         (SELECT COUNT(*) FROM memberships WHERE group_id = groups.id)",
    ),
    (
        "its count of administrators is wrong, or there is none",
        "SELECT name AS what FROM groups WHERE administrators <> \
         (SELECT COUNT(*) FROM memberships WHERE group_id = groups.id AND role = 'administrator') \
         OR (deleted IS NULL AND administrators < 1)",
    ),
    (
        "its count of requests is wrong",
        "SELECT name AS what FROM groups WHERE pending <> \
         (SELECT COUNT(*) FROM requests WHERE group_id = groups.id AND state = 'pending')",
    ),
    (
        "its count of notices is wrong",
        "SELECT name AS what FROM groups WHERE notices <> \
         (SELECT COUNT(*) FROM notices WHERE group_id = groups.id)",
    ),
    (
        "its log has a gap at the end",
        "SELECT name AS what FROM groups WHERE events <> COALESCE(\
         (SELECT MAX(number) FROM events WHERE group_id = groups.id), events)",
    ),
    (
        "the node has a certificate, and its user is no member",
        "SELECT node_id AS what FROM nodes WHERE ended IS NULL AND serial IS NOT NULL \
         AND NOT EXISTS (SELECT 1 FROM memberships WHERE memberships.group_id = nodes.group_id \
         AND memberships.user_id = nodes.user_id)",
    ),
    (
        "the node's newest certificate is not among those issued",
        "SELECT node_id AS what FROM nodes WHERE ended IS NULL AND serial IS NOT NULL \
         AND NOT EXISTS (SELECT 1 FROM certificates WHERE certificates.serial = nodes.serial \
         AND certificates.node_id = nodes.node_id)",
    ),
];

/// A group that is there.
pub struct Found {
    /// Its number.
    pub id: GroupId,
    /// Its name.
    pub name: String,
}

/// Applies every rule; for SQLite the file's own checks as well.
pub async fn tables(db: &mut Connection, kind: Kind) -> Result<Vec<String>, StoreError> {
    let mut findings = Vec::new();
    for (rule, query) in RULES {
        for row in sqlx::query(query).fetch_all(&mut *db).await? {
            findings.push(format!("{}: {rule}", row.text("what")?));
        }
    }
    if kind == Kind::Sqlite {
        let rows = sqlx::query("PRAGMA integrity_check").fetch_all(&mut *db).await?;
        for row in rows {
            let said = row.text("integrity_check")?;
            if said != "ok" {
                findings.push(format!("the database file: {said}"));
            }
        }
        let broken = sqlx::query("PRAGMA foreign_key_check").fetch_all(db).await?;
        if !broken.is_empty() {
            findings.push(format!("{} rows refer to what is not there", broken.len()));
        }
    }
    Ok(findings)
}

/// The groups that are there.
pub async fn groups(db: &mut Connection) -> Result<Vec<Found>, StoreError> {
    let rows = sqlx::query("SELECT id, name FROM groups WHERE deleted IS NULL ORDER BY id");
    let rows = rows.fetch_all(db).await?;
    rows.iter().map(|row| Ok(Found { id: row.number("id")?, name: row.text("name")? })).collect()
}
