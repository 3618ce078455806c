//! How an event changes the tables, and how it gets into the audit log. This is the one place that
//! writes them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pki::{BACKDATE, IssuerId, RENEWAL_GRACE, UnixTime};
use std::time::Duration;

use super::chain::Stage;
use super::column::{Columns, json, seconds, word};
use super::load::{Locked, actor_text, hex};
use super::{Connection, StoreError};
use crate::model::{Event, GroupId, Named, RequestId, RequestState, Role};

/// How long a named node may stay without a certificate before it is forgotten: long enough for an
/// approval after the holidays, short enough that abandoned tries do not eat the quota for ever.
const NAMED_ONLY: Duration = Duration::from_secs(30 * 24 * 3600);

/// Writes an event to the log and changes the tables by it.
pub async fn apply(tx: &mut Connection, locked: &Locked, event: &Event) -> Result<(), StoreError> {
    let (group, at) = (locked.facts.id, locked.origin.at);
    note(tx, locked, event).await?;
    match event {
        Event::GroupCreated { .. } | Event::EnrolmentRefused { .. } => Ok(()),
        Event::GroupChanged { policies } => {
            let sql = sqlx::query("UPDATE groups SET policies = $2 WHERE id = $1");
            sql.bind(group.0).bind(json(policies)).execute(tx).await?;
            Ok(())
        }
        Event::GroupDeleted => delete_group(tx, group, at).await,
        Event::AuthorityMade { issuer, certificate, sealed_key } => {
            let key = (issuer, certificate.as_str(), sealed_key.as_str());
            add_authority(tx, locked, key, Stage::Signs, UnixTime(0)).await
        }
        Event::AuthorityAnnounced { issuer, from, certificate, sealed_key } => {
            let key = (issuer, certificate.as_str(), sealed_key.as_str());
            add_authority(tx, locked, key, Stage::Next, *from).await
        }
        Event::AuthorityTookOver { issuer, former, until } => {
            let sql = "UPDATE authorities SET stage = 'former', due = $3, sealed_key = '' \
                       WHERE group_id = $1 AND issuer = $2";
            let sql = sqlx::query(sql).bind(group.0).bind(former.to_string()).bind(seconds(*until));
            sql.execute(&mut *tx).await?;
            let sql = "UPDATE authorities SET stage = 'signs', due = 0 \
                       WHERE group_id = $1 AND issuer = $2";
            sqlx::query(sql).bind(group.0).bind(issuer.to_string()).execute(tx).await?;
            Ok(())
        }
        Event::AuthorityForgotten { issuer } => {
            let sql = "DELETE FROM authorities WHERE group_id = $1 AND issuer = $2";
            sqlx::query(sql).bind(group.0).bind(issuer.to_string()).execute(tx).await?;
            Ok(())
        }
        Event::SecretStarted { generation, sealed } => {
            let sql = sqlx::query(
                "INSERT INTO secrets (group_id, generation, sealed, since) VALUES ($1, $2, $3, $4)",
            );
            sql.bind(group.0)
                .bind(i64::from(*generation))
                .bind(sealed.as_str())
                .bind(seconds(at))
                .execute(tx)
                .await?;
            Ok(())
        }
        Event::Asked { request, user, reason } => ask(tx, group, *request, user, reason, at).await,
        Event::RequestWithdrawn { request, .. } => {
            close_request(tx, locked, *request, RequestState::Withdrawn, "").await
        }
        Event::RequestApproved { request, note, .. } => {
            close_request(tx, locked, *request, RequestState::Approved, note).await
        }
        Event::RequestDenied { request, note, .. } => {
            close_request(tx, locked, *request, RequestState::Denied, note).await
        }
        Event::MemberJoined { user, role } => join(tx, group, user, *role, at).await,
        Event::RoleChanged { user, role } => {
            let sql = sqlx::query(
                "UPDATE memberships SET role = $3 WHERE group_id = $1 AND user_id = $2",
            );
            sql.bind(group.0).bind(user.id.0).bind(word(role)).execute(&mut *tx).await?;
            count_members(tx, group).await
        }
        Event::MemberLeft { user } | Event::MemberRemoved { user, .. } => {
            part(tx, group, user).await
        }
        Event::TokenDrawn { .. } => draw_token(tx, group, event, at).await,
        Event::TokenEnded { token, why, .. } => {
            let sql = sqlx::query("UPDATE tokens SET ended = $3 WHERE group_id = $1 AND id = $2");
            sql.bind(group.0).bind(token.0).bind(word(why)).execute(tx).await?;
            Ok(())
        }
        Event::NodeNamed { .. } => name_node(tx, locked, event).await,
        Event::NodeReturned { node, .. } => {
            let sql = sqlx::query(
                "UPDATE nodes SET ended = NULL, forget_at = $3 WHERE group_id = $1 AND node_id = $2",
            );
            sql.bind(group.0)
                .bind(node.to_string())
                .bind(seconds(at + NAMED_ONLY))
                .execute(tx)
                .await?;
            Ok(())
        }
        Event::NodeEnded { node, why, .. } => {
            let sql =
                sqlx::query("UPDATE nodes SET ended = $3 WHERE group_id = $1 AND node_id = $2");
            sql.bind(group.0).bind(node.to_string()).bind(word(why)).execute(tx).await?;
            Ok(())
        }
        Event::CertificateIssued { .. } => remember(tx, group, event).await,
        Event::Revoked { .. } => add_notice(tx, locked, event).await,
    }
}

/// Writes an event to the log.
async fn note(tx: &mut Connection, locked: &Locked, event: &Event) -> Result<(), StoreError> {
    let group = locked.facts.id;
    let row = sqlx::query("UPDATE groups SET events = events + 1 WHERE id = $1 RETURNING events");
    let number: i64 = row.bind(group.0).fetch_one(&mut *tx).await?.number("events")?;
    insert_event(tx, group, number, &locked.origin, &json(event)).await
}

/// Writes the row of an event, whose kind is in its body.
pub(super) async fn insert_event(
    tx: &mut Connection,
    group: GroupId,
    number: i64,
    origin: &super::load::Origin,
    body: &str,
) -> Result<(), StoreError> {
    #[derive(serde::Deserialize)]
    struct Kind {
        event: String,
    }
    let kind: Kind = serde_json::from_str(body).map_err(|_| StoreError::Corrupt("event"))?;
    let sql = sqlx::query(
        "INSERT INTO events (group_id, number, at, actor, actor_name, source, kind, body) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    );
    sql.bind(group.0)
        .bind(number)
        .bind(seconds(origin.at))
        .bind(actor_text(origin.actor))
        .bind(origin.name.as_str())
        .bind(origin.source.to_string())
        .bind(kind.event)
        .bind(body)
        .execute(tx)
        .await?;
    Ok(())
}

async fn add_authority(
    tx: &mut Connection,
    locked: &Locked,
    (issuer, certificate, sealed_key): (&IssuerId, &str, &str),
    stage: Stage,
    due: UnixTime,
) -> Result<(), StoreError> {
    let sql = sqlx::query(
        "INSERT INTO authorities (issuer, group_id, number, certificate, sealed_key, created, \
         stage, due) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    );
    sql.bind(issuer.to_string())
        .bind(locked.facts.id.0)
        .bind(locked.facts.next)
        .bind(certificate)
        .bind(sealed_key)
        .bind(seconds(locked.origin.at))
        .bind(word(stage))
        .bind(seconds(due))
        .execute(tx)
        .await?;
    Ok(())
}

/// A deleted group keeps its log. Its keys and secrets are wiped: nothing is signed any more.
async fn delete_group(tx: &mut Connection, group: GroupId, at: UnixTime) -> Result<(), StoreError> {
    for sql in [
        "UPDATE authorities SET sealed_key = '' WHERE group_id = $1",
        "DELETE FROM secrets WHERE group_id = $1",
        "DELETE FROM memberships WHERE group_id = $1",
        "UPDATE tokens SET ended = 'membership_ended' WHERE group_id = $1 AND ended IS NULL",
        "UPDATE nodes SET ended = 'membership_ended' WHERE group_id = $1 AND ended IS NULL",
        "UPDATE requests SET state = 'withdrawn' WHERE group_id = $1 AND state = 'pending'",
    ] {
        sqlx::query(sql).bind(group.0).execute(&mut *tx).await?;
    }
    let sql = "UPDATE groups SET deleted = $2, members = 0, administrators = 0, pending = 0 \
               WHERE id = $1";
    sqlx::query(sql).bind(group.0).bind(seconds(at)).execute(tx).await?;
    Ok(())
}

async fn ask(
    tx: &mut Connection,
    group: GroupId,
    request: RequestId,
    user: &Named,
    reason: &str,
    at: UnixTime,
) -> Result<(), StoreError> {
    let sql = sqlx::query(
        "INSERT INTO requests (group_id, id, user_id, user_name, reason, state, asked, note) \
         VALUES ($1, $2, $3, $4, $5, 'pending', $6, '')",
    );
    sql.bind(group.0)
        .bind(request.0)
        .bind(user.id.0)
        .bind(user.name.as_str())
        .bind(reason)
        .bind(seconds(at))
        .execute(&mut *tx)
        .await?;
    let sql = sqlx::query("UPDATE groups SET pending = pending + 1 WHERE id = $1");
    sql.bind(group.0).execute(tx).await?;
    Ok(())
}

async fn close_request(
    tx: &mut Connection,
    locked: &Locked,
    request: RequestId,
    state: RequestState,
    note: &str,
) -> Result<(), StoreError> {
    let group = locked.facts.id;
    let sql = sqlx::query(
        "UPDATE requests SET state = $3, decided = $4, decided_by = $5, note = $6 \
         WHERE group_id = $1 AND id = $2",
    );
    sql.bind(group.0)
        .bind(request.0)
        .bind(word(state))
        .bind(seconds(locked.origin.at))
        .bind(locked.origin.name.as_str())
        .bind(note)
        .execute(&mut *tx)
        .await?;
    let sql = sqlx::query("UPDATE groups SET pending = pending - 1 WHERE id = $1");
    sql.bind(group.0).execute(tx).await?;
    Ok(())
}

async fn join(
    tx: &mut Connection,
    group: GroupId,
    user: &Named,
    role: Role,
    at: UnixTime,
) -> Result<(), StoreError> {
    let sql = sqlx::query(
        "INSERT INTO memberships (group_id, user_id, user_name, role, since) \
         VALUES ($1, $2, $3, $4, $5)",
    );
    sql.bind(group.0)
        .bind(user.id.0)
        .bind(user.name.as_str())
        .bind(word(role))
        .bind(seconds(at))
        .execute(&mut *tx)
        .await?;
    let administrators = i64::from(role == Role::Administrator);
    let sql = sqlx::query(
        "UPDATE groups SET members = members + 1, administrators = administrators + $2 \
         WHERE id = $1",
    );
    sql.bind(group.0).bind(administrators).execute(tx).await?;
    Ok(())
}

async fn part(tx: &mut Connection, group: GroupId, user: &Named) -> Result<(), StoreError> {
    for sql in [
        "DELETE FROM memberships WHERE group_id = $1 AND user_id = $2",
        "UPDATE tokens SET ended = 'membership_ended' \
         WHERE group_id = $1 AND user_id = $2 AND ended IS NULL",
        "UPDATE nodes SET ended = 'membership_ended' \
         WHERE group_id = $1 AND user_id = $2 AND ended IS NULL",
    ] {
        sqlx::query(sql).bind(group.0).bind(user.id.0).execute(&mut *tx).await?;
    }
    count_members(tx, group).await
}

/// Counts anew, which is right whatever was there before.
async fn count_members(tx: &mut Connection, group: GroupId) -> Result<(), StoreError> {
    let sql = sqlx::query(
        "UPDATE groups SET \
         members = (SELECT COUNT(*) FROM memberships WHERE group_id = $1), \
         administrators = (SELECT COUNT(*) FROM memberships \
                           WHERE group_id = $1 AND role = 'administrator') \
         WHERE id = $1",
    );
    sql.bind(group.0).execute(tx).await?;
    Ok(())
}

async fn draw_token(
    tx: &mut Connection,
    group: GroupId,
    event: &Event,
    at: UnixTime,
) -> Result<(), StoreError> {
    let Event::TokenDrawn { token, user, label, reusable, ephemeral, expires, hash } = event else {
        return Ok(());
    };
    let sql = sqlx::query(
        "INSERT INTO tokens (group_id, id, hash, user_id, user_name, label, reusable, ephemeral, \
         created, expires) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    );
    sql.bind(group.0)
        .bind(token.0)
        .bind(hex(hash.as_bytes()))
        .bind(user.id.0)
        .bind(user.name.as_str())
        .bind(label.as_str())
        .bind(i64::from(*reusable))
        .bind(i64::from(*ephemeral))
        .bind(seconds(at))
        .bind(seconds(*expires))
        .execute(tx)
        .await?;
    Ok(())
}

async fn name_node(tx: &mut Connection, locked: &Locked, event: &Event) -> Result<(), StoreError> {
    let Event::NodeNamed { node, user, token, salt, host, ephemeral, spki } = event else {
        return Ok(());
    };
    let (group, at) = (locked.facts.id, locked.origin.at);
    let sql = sqlx::query(
        "INSERT INTO nodes (group_id, node_id, number, spki, salt, user_id, user_name, token_id, \
         ephemeral, host, created, forget_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    );
    sql.bind(group.0)
        .bind(node.to_string())
        .bind(locked.facts.next)
        .bind(hex(spki))
        .bind(salt.to_string())
        .bind(user.id.0)
        .bind(user.name.as_str())
        .bind(token.0)
        .bind(i64::from(*ephemeral))
        .bind(host.as_deref())
        .bind(seconds(at))
        .bind(seconds(at + NAMED_ONLY))
        .execute(&mut *tx)
        .await?;
    let sql = sqlx::query("UPDATE tokens SET last_used = $3 WHERE group_id = $1 AND id = $2");
    sql.bind(group.0).bind(token.0).bind(seconds(at)).execute(tx).await?;
    Ok(())
}

async fn remember(tx: &mut Connection, group: GroupId, event: &Event) -> Result<(), StoreError> {
    let Event::CertificateIssued { certificate, user, issuer, ephemeral, .. } = event else {
        return Ok(());
    };
    let sql = sqlx::query(
        "INSERT INTO certificates (serial, group_id, node_id, issuer, user_name, issued, \
         not_after) VALUES ($1, $2, $3, $4, $5, $6, $7)",
    );
    sql.bind(certificate.serial.to_string())
        .bind(group.0)
        .bind(certificate.node.to_string())
        .bind(issuer.to_string())
        .bind(user.name.as_str())
        .bind(seconds(certificate.issued))
        .bind(seconds(certificate.not_after))
        .execute(&mut *tx)
        .await?;
    // An ephemeral node is forgotten with its certificate, others when it can no longer be renewed.
    let grace = if *ephemeral { BACKDATE } else { RENEWAL_GRACE };
    let sql = sqlx::query(
        "UPDATE nodes SET serial = $3, issued = $4, not_after = $5, forget_at = $6 \
         WHERE group_id = $1 AND node_id = $2",
    );
    sql.bind(group.0)
        .bind(certificate.node.to_string())
        .bind(certificate.serial.to_string())
        .bind(seconds(certificate.issued))
        .bind(seconds(certificate.not_after))
        .bind(seconds(certificate.not_after + grace))
        .execute(tx)
        .await?;
    Ok(())
}

async fn add_notice(tx: &mut Connection, locked: &Locked, event: &Event) -> Result<(), StoreError> {
    let Event::Revoked { notice, what, reason, victims, bytes } = event else { return Ok(()) };
    let group = locked.facts.id;
    let sql = sqlx::query(
        "INSERT INTO notices (group_id, number, bytes, what, reason, by_name, victims, at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    );
    sql.bind(group.0)
        .bind(i64::try_from(*notice).map_err(|_| StoreError::Corrupt("notice number"))?)
        .bind(STANDARD.encode(bytes))
        .bind(json(what))
        .bind(reason.as_str())
        .bind(locked.origin.name.as_str())
        .bind(json(victims))
        .bind(seconds(locked.origin.at))
        .execute(&mut *tx)
        .await?;
    let sql = sqlx::query("UPDATE groups SET notices = notices + 1 WHERE id = $1");
    sql.bind(group.0).execute(tx).await?;
    Ok(())
}
