//! What pages and API show, each list in pieces.

use sqlx::any::AnyRow;

use super::apply_site::SITE;
use super::column::Columns;
use super::load::named;
use super::page::{Page, Paged};
use super::{Connection, StoreError};
use crate::model::{GroupId, Named, RequestState, Role, Standing, UserId};
use crate::view::{
    AuditView, GroupRow, GroupSummary, MemberView, NodeView, RequestView, RevocationView,
    StandingView, TokenView, UserView,
};

/// Administrators that a group's page names.
const ADMINISTRATORS_SHOWN: i64 = 100;

/// How an account is found.
pub enum UserKey<'a> {
    /// By its number.
    Id(UserId),
    /// By its name.
    Name(&'a str),
    /// By provider and name there.
    Oidc(&'a str, &'a str),
}

/// An account with its password hash, for the log-in only.
pub struct Account {
    /// What is shown of it.
    pub view: UserView,
    /// Its password, hashed.
    pub password: Option<String>,
}

/// Finds an account that was not closed.
pub async fn account(db: &mut Connection, key: UserKey<'_>) -> Result<Option<Account>, StoreError> {
    let query = match key {
        UserKey::Id(id) => {
            sqlx::query("SELECT * FROM users WHERE id = $1 AND state <> 'closed'").bind(id.0)
        }
        UserKey::Name(name) => {
            sqlx::query("SELECT * FROM users WHERE name = $1 AND state <> 'closed'").bind(name)
        }
        UserKey::Oidc(issuer, subject) => {
            sqlx::query("SELECT * FROM users WHERE oidc_issuer = $1 AND oidc_subject = $2")
                .bind(issuer)
                .bind(subject)
        }
    };
    let Some(row) = query.fetch_optional(db).await? else { return Ok(None) };
    Ok(Some(Account { view: user(&row)?, password: row.maybe_text("password")? }))
}

/// Accounts by name.
pub async fn users(db: &mut Connection, page: &Page) -> Result<Paged<UserView>, StoreError> {
    let sql = "SELECT * FROM users WHERE name > $1 AND state <> 'closed' ORDER BY name LIMIT $2";
    let rows = sqlx::query(sql).bind(page.after_text()).bind(page.fetch()).fetch_all(db).await?;
    let items = rows.iter().map(user).collect::<Result<_, StoreError>>()?;
    Ok(page.cut(items, |user: &UserView| user.name.clone()))
}

fn user(row: &AnyRow) -> Result<UserView, StoreError> {
    Ok(UserView {
        id: row.number("id")?,
        name: row.text("name")?,
        email: row.maybe_text("email")?,
        site_admin: row.flag("site_admin")?,
        enabled: row.text("state")? == "active",
        has_password: row.maybe_text("password")?.is_some(),
        created: row.time("created")?,
    })
}

/// Groups by name: all of them, or those that the asker belongs to.
pub async fn groups(
    db: &mut Connection,
    asker: UserId,
    own: bool,
    page: &Page,
) -> Result<Paged<GroupSummary>, StoreError> {
    let query = if own {
        sqlx::query(
            "SELECT groups.id, name, subnet, members, pending, role FROM memberships \
             JOIN groups ON groups.id = group_id \
             WHERE user_id = $1 AND deleted IS NULL AND name > $2 ORDER BY name LIMIT $3",
        )
    } else {
        sqlx::query(
            "SELECT groups.id, name, subnet, members, pending, role FROM groups \
             LEFT JOIN memberships ON group_id = groups.id AND user_id = $1 \
             WHERE deleted IS NULL AND name > $2 ORDER BY name LIMIT $3",
        )
    };
    let query = query.bind(asker.0).bind(page.after_text()).bind(page.fetch());
    let rows = query.fetch_all(&mut *db).await?;
    let mut items = Vec::with_capacity(rows.len());
    for row in &rows {
        let standing = match row.maybe_word("role")? {
            Some(role) => Standing::Member(role),
            None => match super::load::person(db, row.number("id")?, asker).await? {
                Some(person) => person.standing,
                None => Standing::Outside,
            },
        };
        items.push(summary(row, standing)?);
    }
    Ok(page.cut(items, |group: &GroupSummary| group.name.clone()))
}

/// All groups by name, with what they hold.
pub async fn all_groups(db: &mut Connection, page: &Page) -> Result<Paged<GroupRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT name, subnet, members, administrators, pending, created, \
         (SELECT COUNT(*) FROM nodes WHERE group_id = groups.id AND ended IS NULL) AS nodes \
         FROM groups WHERE deleted IS NULL AND name > $1 ORDER BY name LIMIT $2",
    );
    let rows = rows.bind(page.after_text()).bind(page.fetch()).fetch_all(db).await?;
    let read = |row: &AnyRow| {
        Ok(GroupRow {
            name: row.text("name")?,
            subnet: row.parsed("subnet")?,
            members: row.count("members")?,
            administrators: row.count("administrators")?,
            nodes: row.count("nodes")?,
            pending: row.count("pending")?,
            created: row.time("created")?,
        })
    };
    let items = rows.iter().map(read).collect::<Result<_, StoreError>>()?;
    Ok(page.cut(items, |group: &GroupRow| group.name.clone()))
}

/// What everybody may know of a group.
fn summary(row: &AnyRow, standing: Standing) -> Result<GroupSummary, StoreError> {
    let decides = standing == Standing::Member(Role::Administrator);
    Ok(GroupSummary {
        name: row.text("name")?,
        subnet: row.parsed("subnet")?,
        members: row.count("members")?,
        standing: match standing {
            Standing::Outside => StandingView::Outside,
            Standing::Asked(request) => StandingView::Asked { request },
            Standing::Denied => StandingView::Denied,
            Standing::Member(Role::Member) => StandingView::Member,
            Standing::Member(Role::Administrator) => StandingView::Administrator,
        },
        pending: if decides { row.count("pending")? } else { 0 },
    })
}

/// How many groups a user administers.
pub async fn administered(db: &mut Connection, user: UserId) -> Result<usize, StoreError> {
    let row = sqlx::query(
        "SELECT COUNT(*) AS many FROM memberships WHERE user_id = $1 AND role = 'administrator'",
    );
    let many = row.bind(user.0).fetch_one(db).await?.count("many")?;
    usize::try_from(many).map_err(|_| StoreError::Corrupt("many"))
}

/// One group, as the asker may see it in a list.
pub async fn group(
    db: &mut Connection,
    group: GroupId,
    standing: Standing,
) -> Result<(GroupSummary, pki::UnixTime, pki::UnixTime), StoreError> {
    let row = sqlx::query("SELECT * FROM groups WHERE id = $1").bind(group.0).fetch_one(db).await?;
    Ok((summary(&row, standing)?, row.time("created")?, row.time("next_update")?))
}

/// The number of the newest notice, 0 for none.
pub async fn newest_notice(db: &mut Connection, group: GroupId) -> Result<u64, StoreError> {
    let head = super::chain::head(db, group).await?;
    use base64::Engine;
    let bytes = base64::engine::general_purpose::STANDARD.decode(head);
    let head = bytes.ok().and_then(|bytes| pki::Head::from_bytes(&bytes));
    head.map(|head| head.number).ok_or(StoreError::Corrupt("head"))
}

/// Those who decide.
pub async fn administrators(db: &mut Connection, group: GroupId) -> Result<Vec<Named>, StoreError> {
    let rows = sqlx::query(
        "SELECT user_id, user_name FROM memberships WHERE group_id = $1 \
         AND role = 'administrator' ORDER BY user_name LIMIT $2",
    );
    let rows = rows.bind(group.0).bind(ADMINISTRATORS_SHOWN).fetch_all(db).await?;
    rows.iter().map(named).collect()
}

/// Requests in one state, the newest first.
pub async fn requests(
    db: &mut Connection,
    group: (GroupId, &str),
    state: RequestState,
    page: &Page,
) -> Result<Paged<RequestView>, StoreError> {
    let rows = sqlx::query(
        "SELECT * FROM requests WHERE group_id = $1 AND state = $2 AND id < $3 \
         ORDER BY id DESC LIMIT $4",
    );
    let rows = rows
        .bind(group.0.0)
        .bind(super::column::word(state))
        .bind(page.after_number(i64::MAX))
        .bind(page.fetch())
        .fetch_all(db)
        .await?;
    let items = rows.iter().map(|row| request(row, group.1)).collect::<Result<_, _>>()?;
    Ok(page.cut(items, |request: &RequestView| request.id.to_string()))
}

/// The newest request of a user in a group.
pub async fn own_request(
    db: &mut Connection,
    group: (GroupId, &str),
    user: UserId,
) -> Result<Option<RequestView>, StoreError> {
    let row = sqlx::query(
        "SELECT * FROM requests WHERE user_id = $1 AND group_id = $2 ORDER BY id DESC LIMIT 1",
    );
    let row = row.bind(user.0).bind(group.0.0).fetch_optional(db).await?;
    row.map(|row| request(&row, group.1)).transpose()
}

pub(super) fn request(row: &AnyRow, group: &str) -> Result<RequestView, StoreError> {
    Ok(RequestView {
        id: row.number("id")?,
        group: group.to_owned(),
        user: named(row)?,
        reason: row.text("reason")?,
        state: row.word("state")?,
        asked: row.time("asked")?,
        decided: row.maybe_time("decided")?,
        decided_by: row.maybe_text("decided_by")?,
        note: row.text("note")?,
    })
}

/// Members by name.
pub async fn members(
    db: &mut Connection,
    group: GroupId,
    page: &Page,
) -> Result<Paged<MemberView>, StoreError> {
    let rows = sqlx::query(
        "SELECT user_id, user_name, role, since, \
         (SELECT COUNT(*) FROM nodes WHERE nodes.group_id = memberships.group_id \
          AND nodes.user_id = memberships.user_id AND ended IS NULL) AS nodes \
         FROM memberships WHERE group_id = $1 AND user_name > $2 ORDER BY user_name LIMIT $3",
    );
    let rows = rows.bind(group.0).bind(page.after_text()).bind(page.fetch()).fetch_all(db).await?;
    let read = |row: &AnyRow| {
        Ok(MemberView {
            user: named(row)?,
            role: row.word("role")?,
            since: row.time("since")?,
            nodes: row.count("nodes")?,
        })
    };
    let items = rows.iter().map(read).collect::<Result<_, StoreError>>()?;
    Ok(page.cut(items, |member: &MemberView| member.user.name.clone()))
}

/// Tokens, the newest first: those of one user, or all.
pub async fn tokens(
    db: &mut Connection,
    group: GroupId,
    of: Option<UserId>,
    page: &Page,
) -> Result<Paged<TokenView>, StoreError> {
    let query = match of {
        Some(user) => sqlx::query(
            "SELECT * FROM tokens WHERE group_id = $1 AND id < $2 AND user_id = $4 \
             ORDER BY id DESC LIMIT $3",
        )
        .bind(group.0)
        .bind(page.after_number(i64::MAX))
        .bind(page.fetch())
        .bind(user.0),
        None => sqlx::query(
            "SELECT * FROM tokens WHERE group_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3",
        )
        .bind(group.0)
        .bind(page.after_number(i64::MAX))
        .bind(page.fetch()),
    };
    let rows = query.fetch_all(db).await?;
    let read = |row: &AnyRow| {
        Ok(TokenView {
            id: row.number("id")?,
            user: named(row)?,
            label: row.text("label")?,
            reusable: row.flag("reusable")?,
            ephemeral: row.flag("ephemeral")?,
            created: row.time("created")?,
            expires: row.time("expires")?,
            last_used: row.maybe_time("last_used")?,
            ended: row.maybe_word("ended")?,
        })
    };
    let items = rows.iter().map(read).collect::<Result<_, StoreError>>()?;
    Ok(page.cut(items, |token: &TokenView| token.id.to_string()))
}

/// Nodes in the order in which they came: those of one user, or all.
pub async fn nodes(
    db: &mut Connection,
    group: GroupId,
    of: Option<UserId>,
    page: &Page,
) -> Result<Paged<NodeView>, StoreError> {
    let query = match of {
        Some(user) => sqlx::query(
            "SELECT * FROM nodes WHERE group_id = $1 AND number > $2 AND user_id = $4 \
             ORDER BY number LIMIT $3",
        )
        .bind(group.0)
        .bind(page.after_number(0))
        .bind(page.fetch())
        .bind(user.0),
        None => sqlx::query(
            "SELECT * FROM nodes WHERE group_id = $1 AND number > $2 ORDER BY number LIMIT $3",
        )
        .bind(group.0)
        .bind(page.after_number(0))
        .bind(page.fetch()),
    };
    let rows = query.fetch_all(db).await?;
    let read = |row: &AnyRow| Ok((row.number::<i64>("number")?, node(row)?));
    let items = rows.iter().map(read).collect::<Result<Vec<_>, StoreError>>()?;
    let cut = page.cut(items, |(number, _)| number.to_string());
    Ok(Paged { items: cut.items.into_iter().map(|(_, node)| node).collect(), next: cut.next })
}

/// The nodes that have, or had, one virtual address or ID.
pub async fn find_nodes(
    db: &mut Connection,
    group: GroupId,
    address_or_id: &str,
) -> Result<Vec<NodeView>, StoreError> {
    let rows = sqlx::query(
        "SELECT * FROM nodes WHERE group_id = $1 AND (address = $2 OR node_id = $2) \
         ORDER BY last_seen DESC LIMIT 20",
    );
    let rows = rows.bind(group.0).bind(address_or_id).fetch_all(db).await?;
    rows.iter().map(node).collect()
}

/// The nodes whose IDs begin with these hexadecimal digits: those of an IPv6 address.
pub async fn nodes_that_begin(
    db: &mut Connection,
    group: GroupId,
    digits: &str,
) -> Result<Vec<NodeView>, StoreError> {
    // No digit is greater than f.
    let rows = sqlx::query(
        "SELECT * FROM nodes WHERE group_id = $1 AND node_id >= $2 AND node_id < $3 LIMIT 20",
    );
    let rows = rows.bind(group.0).bind(digits).bind(format!("{digits}g")).fetch_all(db).await?;
    rows.iter().map(node).collect()
}

fn node(row: &AnyRow) -> Result<NodeView, StoreError> {
    let serial = row.maybe_text("serial")?.map(|text| text.parse());
    Ok(NodeView {
        node: row.parsed("node_id")?,
        user: named(row)?,
        host: row.maybe_text("host")?,
        address: row.maybe_text("address")?,
        path: row.maybe_text("path")?,
        last_seen: row.maybe_time("last_seen")?,
        created: row.time("created")?,
        ephemeral: row.flag("ephemeral")?,
        serial: serial.transpose().map_err(|_| StoreError::Corrupt("serial"))?,
        issued: row.maybe_time("issued")?,
        not_after: row.maybe_time("not_after")?,
        ended: row.maybe_word("ended")?,
    })
}

/// Revocations, the newest first.
pub async fn revocations(
    db: &mut Connection,
    group: GroupId,
    page: &Page,
) -> Result<Paged<RevocationView>, StoreError> {
    let rows = sqlx::query(
        "SELECT * FROM notices WHERE group_id = $1 AND number < $2 ORDER BY number DESC LIMIT $3",
    );
    let rows = rows
        .bind(group.0)
        .bind(page.after_number(i64::MAX))
        .bind(page.fetch())
        .fetch_all(db)
        .await?;
    let read = |row: &AnyRow| {
        let number: i64 = row.number("number")?;
        Ok(RevocationView {
            number: u64::try_from(number).map_err(|_| StoreError::Corrupt("number"))?,
            what: row.json("what")?,
            reason: row.text("reason")?,
            by: row.text("by_name")?,
            at: row.time("at")?,
            victims: row.json("victims")?,
            announced: row.maybe_time("announced")?,
        })
    };
    let items = rows.iter().map(read).collect::<Result<_, StoreError>>()?;
    Ok(page.cut(items, |revocation: &RevocationView| revocation.number.to_string()))
}

/// The audit log of a group, or of the site, the newest first; of one kind of event, or all.
pub async fn audit(
    db: &mut Connection,
    group: Option<GroupId>,
    kind: Option<&str>,
    page: &Page,
) -> Result<Paged<AuditView>, StoreError> {
    let sql = match kind {
        Some(_) => {
            "SELECT * FROM events WHERE group_id = $1 AND number < $2 AND kind = $4 \
             ORDER BY number DESC LIMIT $3"
        }
        None => {
            "SELECT * FROM events WHERE group_id = $1 AND number < $2 \
             ORDER BY number DESC LIMIT $3"
        }
    };
    let mut query = sqlx::query(sql)
        .bind(group.unwrap_or(SITE).0)
        .bind(page.after_number(i64::MAX))
        .bind(page.fetch());
    if let Some(kind) = kind {
        query = query.bind(kind);
    }
    let rows = query.fetch_all(db).await?;
    let read = |row: &AnyRow| {
        Ok(AuditView {
            number: row.number("number")?,
            at: row.time("at")?,
            actor: row.text("actor_name")?,
            source: row.text("source")?,
            event: row.text("kind")?,
            details: row.json("body")?,
        })
    };
    let items = rows.iter().map(read).collect::<Result<_, StoreError>>()?;
    Ok(page.cut(items, |entry: &AuditView| entry.number.to_string()))
}

/// What a node looked like from the daemon beside the service.
#[derive(Clone, Debug)]
pub struct Sighting {
    /// Which.
    pub node: pki::NodeId,
    /// Its virtual address.
    pub address: Option<String>,
    /// How it is reached.
    pub path: Option<String>,
}

/// Remembers where a node was seen. It is no event: it says nothing of anybody's rights.
pub async fn see(
    tx: &mut Connection,
    group: GroupId,
    sighting: &Sighting,
    now: pki::UnixTime,
) -> Result<(), StoreError> {
    let sql = sqlx::query(
        "UPDATE nodes SET address = COALESCE($3, address), path = COALESCE($4, path), \
         last_seen = $5 WHERE group_id = $1 AND node_id = $2",
    );
    sql.bind(group.0)
        .bind(sighting.node.to_string())
        .bind(sighting.address.as_deref())
        .bind(sighting.path.as_deref())
        .bind(super::column::seconds(now))
        .execute(tx)
        .await?;
    Ok(())
}
