//! The whole site as lines of JSON: out of one database, into another of either kind.
//!
//! The first line names version and columns, the last one counts the rows, so that a file that was
//! cut short is not taken. Rows go out of one snapshot and come in by one transaction. CA keys and
//! group secrets stay sealed: the master key has to come along by its own way. A file of an older
//! version lacks columns; its rows get what the migration gave to rows that were there.

use std::io::BufRead;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::AssertSqlSafe;
use sqlx::any::AnyRow;

use super::column::Columns;
use super::{Connection, Store, StoreError};

/// Tables in the order in which rows refer to each other, with their columns; numbers have a `#`.
/// The first column, or two where its name ends with `group_id`, order the rows.
pub(super) const TABLES: [(&str, &str); 12] = [
    ("site", "#id #counter #events master_key_check"),
    ("users", "#id name email password oidc_issuer oidc_subject #site_admin state #created"),
    (
        "groups",
        "#id name subnet policies #created #deleted #counter #events #members #administrators \
         #pending #notices head #next_update",
    ),
    ("authorities", "issuer #group_id #number certificate sealed_key #created stage #due"),
    ("secrets", "#group_id #generation sealed #since"),
    ("requests", "#group_id #id #user_id user_name reason state #asked #decided decided_by note"),
    ("memberships", "#group_id #user_id user_name role #since"),
    (
        "tokens",
        "#group_id #id hash #user_id user_name label #reusable #ephemeral #created #expires \
         #last_used ended",
    ),
    (
        "nodes",
        "#group_id node_id #number spki salt #user_id user_name #token_id #ephemeral host #created \
         ended serial #issued #not_after address path #last_seen #forget_at",
    ),
    ("certificates", "serial #group_id node_id issuer user_name #issued #not_after"),
    ("notices", "#group_id #number bytes what reason by_name victims #at #announced"),
    // Sessions and devices stay behind: their users log in again.
    ("api_tokens", "hash #user_id #number label #created #expires #last_used"),
];
/// The log comes last: it refers to nothing and is the longest.
pub(super) const LOG: (&str, &str) =
    ("events", "#group_id #number #at actor actor_name source kind body");

/// Columns that exports did not have at first; each has a default in its migration.
const LATER: [(&str, &str); 1] = [("authorities", " stage #due")];

const VERSION: u32 = 1;
/// Rows that are read at a time.
const CHUNK: i64 = 2000;

/// A transfer does not work.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The database fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file fails.
    #[error("cannot read or write the file: {0}")]
    Io(#[from] std::io::Error),
    /// A line is not what is expected.
    #[error("line {0} of the file is not what an export writes; take a whole one of this version")]
    Line(usize),
    /// It is of a later version.
    #[error(
        "the file was written by a newer warren-groupd: it has {0}, which this one does not know; import \
         it with that version or a newer one"
    )]
    Newer(String),
    /// The database is in use.
    #[error("the database has accounts already; import into an empty one")]
    NotEmpty,
}

impl From<sqlx::Error> for TransferError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

#[derive(Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Head {
    warren_groupd_export: u32,
    columns: Vec<(String, String)>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    table: String,
    row: Vec<Value>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    rows: u64,
}

impl Head {
    fn new() -> Self {
        let columns = tables().map(|(table, columns)| (table.to_owned(), columns.to_owned()));
        Self { warren_groupd_export: VERSION, columns: columns.collect() }
    }

    /// Reads a first line: the columns that the file has, by table.
    fn read(line: &str) -> Result<Vec<(&'static str, String)>, TransferError> {
        let head: Self = serde_json::from_str(line).map_err(|_| TransferError::Line(1))?;
        if head.warren_groupd_export > VERSION {
            return Err(TransferError::Newer(format!("format {}", head.warren_groupd_export)));
        }
        let known = |name: &str| tables().find(|(table, _)| *table == name);
        if let Some((name, _)) = head.columns.iter().find(|(name, _)| known(name).is_none()) {
            return Err(TransferError::Newer(format!("a table {name:?}")));
        }
        let of_table = |(table, ours): (&'static str, &'static str)| {
            let found = head.columns.iter().find(|(name, _)| name == table);
            let (_, theirs) = found.ok_or(TransferError::Line(1))?;
            let later = LATER.iter().find(|(name, _)| *name == table).map_or("", |(_, end)| end);
            if theirs == ours || Some(theirs.as_str()) == ours.strip_suffix(later) {
                return Ok((table, theirs.clone()));
            }
            let is_ours = |column: &str| ours.split(' ').any(|own| own == column);
            match theirs.split(' ').find(|column| !is_ours(column)) {
                Some(column) => {
                    Err(TransferError::Newer(format!("a column {column:?} of {table}")))
                }
                None => Err(TransferError::Line(1)),
            }
        };
        tables().map(of_table).collect()
    }
}

fn tables() -> impl Iterator<Item = (&'static str, &'static str)> {
    TABLES.into_iter().chain([LOG])
}

/// Writes everything; returns the number of rows.
pub async fn export(store: &Store, mut out: impl std::io::Write) -> Result<u64, TransferError> {
    let mut db = store.snapshot().await?;
    write_line(&mut out, &Head::new())?;
    let mut rows = 0;
    for (table, columns) in tables() {
        let mut offset = 0;
        loop {
            let chunk = read_chunk(&mut db, table, columns, offset).await?;
            for row in &chunk {
                write_line(
                    &mut out,
                    &Line { table: table.to_owned(), row: values(row, columns)? },
                )?;
            }
            offset += chunk.len() as i64;
            rows += chunk.len() as u64;
            if (chunk.len() as i64) < CHUNK {
                break;
            }
        }
    }
    write_line(&mut out, &End { rows })?;
    out.flush()?;
    Ok(rows)
}

/// Reads everything into a database that has no accounts; returns the check of the master key that
/// its sealed values need. `accept` is asked about it before anything is kept.
pub async fn import(
    store: &Store,
    lines: impl BufRead,
    accept: impl FnOnce(&str) -> bool,
) -> Result<u64, TransferError> {
    let mut tx = store.begin().await?;
    let row =
        sqlx::query("SELECT (SELECT COUNT(*) FROM users) + (SELECT COUNT(*) FROM groups) AS n");
    if row.fetch_one(&mut *tx).await?.number::<i64>("n")? != 0 {
        return Err(TransferError::NotEmpty);
    }
    for sql in ["DELETE FROM events", "DELETE FROM site"] {
        sqlx::query(sql).execute(&mut *tx).await?;
    }
    let mut lines = lines.lines();
    let columns = Head::read(&lines.next().ok_or(TransferError::Line(1))??)?;
    let (mut rows, mut whole) = (0, false);
    for (index, text) in lines.enumerate() {
        let text = text?;
        let bad = TransferError::Line(index + 2);
        if whole {
            return Err(bad);
        }
        if let Ok(end) = serde_json::from_str::<End>(&text) {
            whole = end.rows == rows;
            if !whole {
                return Err(bad);
            }
            continue;
        }
        let Ok(line) = serde_json::from_str::<Line>(&text) else { return Err(bad) };
        let Some((_, columns)) = columns.iter().find(|(table, _)| *table == line.table) else {
            return Err(bad);
        };
        if !insert(&mut tx, &line, columns).await? {
            return Err(bad);
        }
        rows += 1;
    }
    let row = sqlx::query("SELECT master_key_check FROM site WHERE id = 1");
    let check = row.fetch_optional(&mut *tx).await?.map(|row| row.text("master_key_check"));
    let check = check.transpose()?.ok_or(TransferError::Line(2))?;
    if !whole || !accept(&check) {
        return Err(TransferError::Line(rows as usize + 2));
    }
    tx.commit().await?;
    Ok(rows)
}

fn write_line(out: &mut impl std::io::Write, line: &impl Serialize) -> std::io::Result<()> {
    out.write_all(super::column::json(line).as_bytes())?;
    out.write_all(b"\n")
}

fn names(columns: &str) -> impl Iterator<Item = (&str, bool)> {
    columns.split_whitespace().map(|column| match column.strip_prefix('#') {
        Some(name) => (name, true),
        None => (column, false),
    })
}

async fn read_chunk(
    db: &mut Connection,
    table: &str,
    columns: &str,
    offset: i64,
) -> Result<Vec<AnyRow>, StoreError> {
    let list: Vec<_> = names(columns).map(|(name, _)| name).collect();
    let order = if list[0] == "group_id" { list[..2].join(", ") } else { list[0].to_owned() };
    // Table and columns are constants of this file.
    let sql = format!(
        "SELECT {} FROM {table} ORDER BY {order} LIMIT {CHUNK} OFFSET {offset}",
        list.join(", ")
    );
    Ok(sqlx::query(AssertSqlSafe(sql)).fetch_all(db).await?)
}

fn values(row: &AnyRow, columns: &'static str) -> Result<Vec<Value>, StoreError> {
    names(columns)
        .map(|(name, is_number)| {
            Ok(if is_number {
                row.maybe_number(name)?.map_or(Value::Null, Value::from)
            } else {
                row.maybe_text(name)?.map_or(Value::Null, Value::from)
            })
        })
        .collect()
}

/// Inserts a row; false when it is not of its table.
async fn insert(tx: &mut Connection, line: &Line, columns: &str) -> Result<bool, StoreError> {
    let list: Vec<_> = names(columns).collect();
    if line.row.len() != list.len() {
        return Ok(false);
    }
    let places: Vec<_> = (1..=list.len()).map(|place| format!("${place}")).collect();
    let just_names: Vec<_> = list.iter().map(|(name, _)| *name).collect();
    // Table and columns were compared with constants of this file.
    let sql = format!(
        "INSERT INTO {} ({}) VALUES ({})",
        line.table,
        just_names.join(", "),
        places.join(", ")
    );
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for ((_, is_number), value) in list.iter().zip(&line.row) {
        query = match (is_number, value) {
            (true, Value::Null) => query.bind(None::<i64>),
            (true, Value::Number(number)) if number.is_i64() => query.bind(number.as_i64()),
            (false, Value::Null) => query.bind(None::<String>),
            (false, Value::String(text)) => query.bind(text.clone()),
            _ => return Ok(false),
        };
    }
    query.execute(tx).await?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_column_of_every_table_is_transferred() {
        let folder = tempfile::tempdir().expect("a scratch directory");
        let url = format!("sqlite:{}", folder.path().join("group.db").display());
        let store = Store::open(&url).await.expect("opens");
        let mut db = store.read().await.expect("reads");
        for (table, columns) in tables() {
            let rows = sqlx::query("SELECT name FROM pragma_table_info($1)").bind(table);
            let rows = rows.fetch_all(&mut *db).await.expect("reads");
            let there: Vec<_> = rows.iter().map(|row| row.text("name").expect("is text")).collect();
            let ours: Vec<_> = names(columns).map(|(name, _)| name.to_owned()).collect();
            assert_eq!(there, ours, "columns of {table}");
        }
    }
}
