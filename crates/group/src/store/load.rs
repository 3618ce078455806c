//! What a command may know: the group's row, locked, and the few rows that the command names.

use pki::enrolment::SecretHash;
use pki::{NodeId, Revoked, Salt, Serial, UnixTime};
use sqlx::any::AnyRow;

use super::column::{Columns, seconds, word};
use super::{Connection, StoreError};
use crate::model::{
    Actor, Caller, Command, Context, GroupFacts, GroupId, Issued, Named, Node, NodeCounts, Person,
    Request, RequestId, RequestState, Source, Standing, Token, TokenId, UserId,
};

/// How long a drawn salt counts against the rate, in seconds.
const DRAWS_WITHIN: u64 = 24 * 3600;

/// Who gives a command, when, with the name that the audit log shows.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Who.
    pub actor: Actor,
    /// The name of the user, or what it is instead.
    pub name: String,
    /// From where.
    pub source: Source,
    /// When.
    pub at: UnixTime,
}

/// A group whose row this transaction holds.
#[derive(Clone, Debug)]
pub struct Locked {
    /// What commands may know of it.
    pub facts: GroupFacts,
    /// Who gives the command.
    pub origin: Origin,
}

/// Locks a group by its name; none has it, or it was deleted: `None`.
pub async fn lock_group(
    tx: &mut Connection,
    group: &str,
    caller: &Caller,
    now: UnixTime,
) -> Result<Option<Locked>, StoreError> {
    let row = sqlx::query(
        "UPDATE groups SET counter = counter + 1 WHERE name = $1 AND deleted IS NULL \
         RETURNING id, name, policies, members, administrators, pending, notices, counter",
    )
    .bind(group)
    .fetch_optional(&mut *tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let facts = GroupFacts {
        id: row.number("id")?,
        name: row.text("name")?,
        policies: row.json("policies")?,
        members: row.count("members")?,
        administrators: row.count("administrators")?,
        pending: row.count("pending")?,
        notices: row.count("notices")?,
        next: row.number("counter")?,
    };
    Ok(Some(Locked { facts, origin: origin(tx, caller, now).await? }))
}

/// Locks the site; returns a new number for what the command makes.
pub async fn lock_site(tx: &mut Connection) -> Result<i64, StoreError> {
    let row = sqlx::query("UPDATE site SET counter = counter + 1 WHERE id = 1 RETURNING counter")
        .fetch_one(&mut *tx)
        .await?;
    row.number("counter")
}

/// Finds the name of whoever gives a command.
pub async fn origin(
    db: &mut Connection,
    caller: &Caller,
    now: UnixTime,
) -> Result<Origin, StoreError> {
    let name = match caller.actor {
        Actor::User(user) => user_name(db, user).await?.unwrap_or_default(),
        Actor::Node(node) => node.to_string(),
        other => word(other),
    };
    Ok(Origin { actor: caller.actor, name, source: caller.source.clone(), at: now })
}

/// Loads what this command may know. `by_token` is what came with it.
pub async fn load(
    tx: &mut Connection,
    locked: &Locked,
    command: &Command,
    by_token: Option<SecretHash>,
) -> Result<Context, StoreError> {
    let group = locked.facts.id;
    let mut ctx = Context {
        group: locked.facts.clone(),
        actor: None,
        trusted: matches!(locked.origin.actor, Actor::Operator | Actor::Service),
        target: None,
        request: None,
        token: None,
        node: None,
        certificate: None,
        nodes: NodeCounts::default(),
        victims: Vec::new(),
    };
    if let Actor::User(user) = locked.origin.actor {
        ctx.actor = person(tx, group, user).await?;
    }
    if let Some(hash) = by_token {
        ctx.token = token_by_hash(tx, hash).await?;
    }
    match command {
        Command::Ask { .. }
        | Command::Change { .. }
        | Command::Delete
        | Command::DrawToken { .. }
        | Command::Expire(_) => {}
        Command::Withdraw { request } | Command::Judge { request, .. } => {
            ctx.request = request_by_id(tx, group, *request).await?;
            if let Some(user) = ctx.request.as_ref().map(|request| request.user.id) {
                ctx.target = person(tx, group, user).await?;
            }
        }
        Command::SetRole { user, .. } => ctx.target = person(tx, group, *user).await?,
        Command::Remove { user, .. } => {
            ctx.target = person(tx, group, *user).await?;
            ctx.victims = certified_nodes(tx, group, *user, locked.origin.at).await?;
        }
        Command::Leave => {
            if let Actor::User(user) = locked.origin.actor {
                ctx.victims = certified_nodes(tx, group, user, locked.origin.at).await?;
            }
        }
        Command::EndToken { token } => ctx.token = token_by_id(tx, group, *token).await?,
        Command::Revoke { what, .. } => load_revoked(tx, &mut ctx, what, locked.origin.at).await?,
        Command::NameNode { spki, .. } => {
            ctx.node = node_by(tx, group, NodeKey::Spki(spki)).await?;
            if let Some(user) = ctx.token.as_ref().map(|token| token.user.id) {
                ctx.target = person(tx, group, user).await?;
                ctx.nodes = node_counts(tx, group, user, locked.origin.at).await?;
            }
        }
        Command::Certify { node } => {
            ctx.node = node_by(tx, group, NodeKey::Id(*node)).await?;
            if let Some(user) = ctx.token.as_ref().map(|token| token.user.id) {
                ctx.target = person(tx, group, user).await?;
            }
        }
        Command::Renew { node, serial } => {
            ctx.certificate = certificate(tx, group, *serial).await?;
            ctx.node = node_by(tx, group, NodeKey::Id(*node)).await?;
            if let Some(user) = ctx.node.as_ref().map(|node| node.user.id) {
                ctx.target = person(tx, group, user).await?;
            }
        }
    }
    Ok(ctx)
}

async fn load_revoked(
    tx: &mut Connection,
    ctx: &mut Context,
    what: &Revoked,
    now: UnixTime,
) -> Result<(), StoreError> {
    let group = ctx.group.id;
    match what {
        Revoked::Serial(serial) => {
            ctx.certificate = certificate(tx, group, *serial).await?;
            if let Some(issued) = ctx.certificate {
                ctx.victims.extend(node_by(tx, group, NodeKey::Id(issued.node)).await?);
            }
        }
        Revoked::Node(node) => {
            ctx.node = node_by(tx, group, NodeKey::Id(*node)).await?;
            ctx.victims.extend(ctx.node.clone());
        }
        Revoked::User(name) => {
            if let Some(user) = user_by_name(tx, name).await? {
                ctx.target = person(tx, group, user).await?;
                ctx.victims = certified_nodes(tx, group, user, now).await?;
            }
        }
        Revoked::Issuer(_) => {}
    }
    Ok(())
}

/// Finds a user with the relation to a group.
pub async fn person(
    db: &mut Connection,
    group: GroupId,
    user: UserId,
) -> Result<Option<Person>, StoreError> {
    let row = sqlx::query(
        "SELECT users.name, site_admin, state, role FROM users \
         LEFT JOIN memberships ON memberships.user_id = users.id AND group_id = $1 \
         WHERE users.id = $2",
    )
    .bind(group.0)
    .bind(user.0)
    .fetch_optional(&mut *db)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let standing = match row.maybe_word("role")? {
        Some(role) => Standing::Member(role),
        None => last_request(db, group, user).await?,
    };
    Ok(Some(Person {
        user: Named { id: user, name: row.text("name")? },
        site_admin: row.flag("site_admin")?,
        enabled: row.text("state")? == "active",
        standing,
    }))
}

async fn last_request(
    db: &mut Connection,
    group: GroupId,
    user: UserId,
) -> Result<Standing, StoreError> {
    let row = sqlx::query(
        "SELECT id, state FROM requests WHERE user_id = $1 AND group_id = $2 \
         ORDER BY id DESC LIMIT 1",
    )
    .bind(user.0)
    .bind(group.0)
    .fetch_optional(&mut *db)
    .await?;
    let Some(row) = row else { return Ok(Standing::Outside) };
    Ok(match row.word("state")? {
        RequestState::Pending => Standing::Asked(row.number("id")?),
        RequestState::Denied => Standing::Denied,
        RequestState::Approved | RequestState::Withdrawn => Standing::Outside,
    })
}

async fn user_name(db: &mut Connection, user: UserId) -> Result<Option<String>, StoreError> {
    let row = sqlx::query("SELECT name FROM users WHERE id = $1").bind(user.0);
    row.fetch_optional(db).await?.map(|row| row.text("name")).transpose()
}

async fn user_by_name(db: &mut Connection, name: &str) -> Result<Option<UserId>, StoreError> {
    let row = sqlx::query("SELECT id FROM users WHERE name = $1").bind(name);
    row.fetch_optional(db).await?.map(|row| row.number("id")).transpose()
}

async fn request_by_id(
    db: &mut Connection,
    group: GroupId,
    request: RequestId,
) -> Result<Option<Request>, StoreError> {
    let row = sqlx::query(
        "SELECT id, user_id, user_name, state FROM requests WHERE group_id = $1 AND id = $2",
    )
    .bind(group.0)
    .bind(request.0)
    .fetch_optional(db)
    .await?;
    row.map(|row| {
        Ok(Request { id: row.number("id")?, user: named(&row)?, state: row.word("state")? })
    })
    .transpose()
}

async fn token_by_hash(db: &mut Connection, hash: SecretHash) -> Result<Option<Token>, StoreError> {
    let row = sqlx::query("SELECT * FROM tokens WHERE hash = $1").bind(hex(hash.as_bytes()));
    row.fetch_optional(db).await?.map(|row| token(&row)).transpose()
}

async fn token_by_id(
    db: &mut Connection,
    group: GroupId,
    id: TokenId,
) -> Result<Option<Token>, StoreError> {
    let row = sqlx::query("SELECT * FROM tokens WHERE group_id = $1 AND id = $2");
    let row = row.bind(group.0).bind(id.0).fetch_optional(db).await?;
    row.map(|row| token(&row)).transpose()
}

/// Reads a row of the table of tokens.
pub(super) fn token(row: &AnyRow) -> Result<Token, StoreError> {
    Ok(Token {
        id: row.number("id")?,
        group: row.number("group_id")?,
        user: named(row)?,
        reusable: row.flag("reusable")?,
        ephemeral: row.flag("ephemeral")?,
        expires: row.time("expires")?,
        ended: row.maybe_word("ended")?,
    })
}

/// How a node is found.
enum NodeKey<'a> {
    Id(NodeId),
    Spki(&'a [u8]),
}

async fn node_by(
    db: &mut Connection,
    group: GroupId,
    key: NodeKey<'_>,
) -> Result<Option<Node>, StoreError> {
    let query = match key {
        NodeKey::Id(id) => sqlx::query("SELECT * FROM nodes WHERE group_id = $1 AND node_id = $2")
            .bind(group.0)
            .bind(id.to_string()),
        NodeKey::Spki(spki) => sqlx::query("SELECT * FROM nodes WHERE group_id = $1 AND spki = $2")
            .bind(group.0)
            .bind(hex(spki)),
    };
    query.fetch_optional(db).await?.map(|row| node(&row)).transpose()
}

/// Reads a row of the table of nodes.
pub(super) fn node(row: &AnyRow) -> Result<Node, StoreError> {
    Ok(Node {
        id: row.parsed("node_id")?,
        user: named(row)?,
        salt: row.parsed("salt")?,
        ephemeral: row.flag("ephemeral")?,
        host: row.maybe_text("host")?,
        ended: row.maybe_word("ended")?,
    })
}

/// The nodes of a user that have a certificate which is good, or could be renewed.
async fn certified_nodes(
    db: &mut Connection,
    group: GroupId,
    user: UserId,
    now: UnixTime,
) -> Result<Vec<Node>, StoreError> {
    let oldest = now - pki::RENEWAL_GRACE;
    let rows = sqlx::query(
        "SELECT * FROM nodes WHERE group_id = $1 AND user_id = $2 AND ended IS NULL \
         AND not_after >= $3 ORDER BY number",
    )
    .bind(group.0)
    .bind(user.0)
    .bind(seconds(oldest))
    .fetch_all(db)
    .await?;
    rows.iter().map(node).collect()
}

async fn node_counts(
    db: &mut Connection,
    group: GroupId,
    user: UserId,
    now: UnixTime,
) -> Result<NodeCounts, StoreError> {
    let since = UnixTime(now.0.saturating_sub(DRAWS_WITHIN));
    let row = sqlx::query(
        "SELECT COUNT(CASE WHEN ended IS NULL THEN 1 END) AS live, \
         COUNT(CASE WHEN created > $3 THEN 1 END) AS drawn \
         FROM nodes WHERE group_id = $1 AND user_id = $2",
    )
    .bind(group.0)
    .bind(user.0)
    .bind(seconds(since))
    .fetch_one(db)
    .await?;
    Ok(NodeCounts { live: row.count("live")?, drawn_lately: row.count("drawn")? })
}

async fn certificate(
    db: &mut Connection,
    group: GroupId,
    serial: Serial,
) -> Result<Option<Issued>, StoreError> {
    let row = sqlx::query("SELECT * FROM certificates WHERE group_id = $1 AND serial = $2");
    let row = row.bind(group.0).bind(serial.to_string()).fetch_optional(db).await?;
    row.map(|row| {
        Ok(Issued {
            serial,
            node: row.parsed("node_id")?,
            issued: row.time("issued")?,
            not_after: row.time("not_after")?,
        })
    })
    .transpose()
}

pub(super) fn named(row: &AnyRow) -> Result<Named, StoreError> {
    Ok(Named { id: row.number("user_id")?, name: row.text("user_name")? })
}

/// Writes bytes as the tables keep them.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Writes who gave a command, for the audit log.
pub(super) fn actor_text(actor: Actor) -> String {
    super::column::json(&actor)
}

/// The name of the group that a token is of, whatever became of the token.
pub async fn group_of_token(
    db: &mut Connection,
    hash: SecretHash,
) -> Result<Option<String>, StoreError> {
    let row = sqlx::query(
        "SELECT name FROM tokens JOIN groups ON groups.id = group_id \
         WHERE hash = $1 AND deleted IS NULL",
    );
    let row = row.bind(hex(hash.as_bytes())).fetch_optional(db).await?;
    row.map(|row| row.text("name")).transpose()
}

/// What was drawn for a key.
pub async fn salt_of(
    db: &mut Connection,
    group: GroupId,
    spki: &[u8],
) -> Result<Option<Salt>, StoreError> {
    Ok(node_by(db, group, NodeKey::Spki(spki)).await?.map(|node| node.salt))
}

/// Tokens whose time is over, each with the name of its group.
pub async fn expired_tokens(
    db: &mut Connection,
    now: UnixTime,
    limit: i64,
) -> Result<Vec<(String, Token)>, StoreError> {
    const SQL: &str = "SELECT groups.name AS group_name, tokens.* FROM tokens \
         JOIN groups ON groups.id = tokens.group_id \
         WHERE ended IS NULL AND expires <= $1 AND deleted IS NULL LIMIT $2";
    expired(db, SQL, now, limit, token).await
}

/// Nodes whose time is over, each with the name of its group.
pub async fn expired_nodes(
    db: &mut Connection,
    now: UnixTime,
    limit: i64,
) -> Result<Vec<(String, Node)>, StoreError> {
    const SQL: &str = "SELECT groups.name AS group_name, nodes.* FROM nodes \
         JOIN groups ON groups.id = nodes.group_id \
         WHERE ended IS NULL AND forget_at <= $1 AND deleted IS NULL LIMIT $2";
    expired(db, SQL, now, limit, node).await
}

async fn expired<T>(
    db: &mut Connection,
    sql: &'static str,
    now: UnixTime,
    limit: i64,
    read: impl Fn(&AnyRow) -> Result<T, StoreError>,
) -> Result<Vec<(String, T)>, StoreError> {
    let rows = sqlx::query(sql).bind(seconds(now)).bind(limit).fetch_all(db).await?;
    rows.iter().map(|row| Ok((row.text("group_name")?, read(row)?))).collect()
}
