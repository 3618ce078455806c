//! What pages show of a single member, and of one's own requests in all groups.

use super::column::Columns;
use super::load::named;
use super::read::request;
use super::{Connection, StoreError};
use crate::model::{GroupId, UserId};
use crate::view::{MemberView, RequestView};

/// Most of one's own requests that are shown: who waits for more has asked too often.
const OWN_REQUESTS_MAX: i64 = 20;

/// A member of a group.
pub async fn member(
    db: &mut Connection,
    group: GroupId,
    user: UserId,
) -> Result<Option<MemberView>, StoreError> {
    let row = sqlx::query(
        "SELECT user_id, user_name, role, since, \
         (SELECT COUNT(*) FROM nodes WHERE nodes.group_id = memberships.group_id \
          AND nodes.user_id = memberships.user_id AND ended IS NULL) AS nodes \
         FROM memberships WHERE group_id = $1 AND user_id = $2",
    );
    let Some(row) = row.bind(group.0).bind(user.0).fetch_optional(db).await? else {
        return Ok(None);
    };
    Ok(Some(MemberView {
        user: named(&row)?,
        role: row.word("role")?,
        since: row.time("since")?,
        nodes: row.count("nodes")?,
    }))
}

/// The newest request of a user in each group that the user does not belong to, if it waits or was
/// denied; the newest first.
pub async fn own_requests(
    db: &mut Connection,
    user: UserId,
) -> Result<Vec<RequestView>, StoreError> {
    let rows = sqlx::query(
        "SELECT requests.*, groups.name AS group_name FROM requests \
         JOIN groups ON groups.id = requests.group_id AND deleted IS NULL \
         WHERE requests.user_id = $1 AND state IN ('pending', 'denied') \
         AND NOT EXISTS (SELECT 1 FROM memberships \
          WHERE memberships.group_id = requests.group_id AND memberships.user_id = $1) \
         AND NOT EXISTS (SELECT 1 FROM requests AS later WHERE later.user_id = $1 \
          AND later.group_id = requests.group_id AND later.id > requests.id) \
         ORDER BY asked DESC LIMIT $2",
    );
    let rows = rows.bind(user.0).bind(OWN_REQUESTS_MAX).fetch_all(db).await?;
    rows.iter().map(|row| request(row, &row.text("group_name")?)).collect()
}
