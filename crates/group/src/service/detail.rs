//! One thing at a time: what a page about a single member, node, token or revocation shows, and what
//! became of one's own requests.

use pki::NodeId;

use super::{Service, find};
use crate::error::Result;
use crate::model::{Actor, Caller, Refusal, TokenId, UserId};
use crate::store::{self, Cursor, Page};
use crate::view::{MemberView, NodeView, RequestView, RevocationView, TokenView};

impl Service {
    /// Shows a member to members.
    pub async fn member(&self, caller: &Caller, group: &str, user: UserId) -> Result<MemberView> {
        let mut db = self.0.store.read().await?;
        let settings = find(&mut db, group).await?;
        self.member_reads(&mut db, caller, settings.id).await?;
        let found = store::detail::member(&mut db, settings.id, user).await?;
        Ok(found.ok_or(Refusal::NotFound("member"))?)
    }

    /// Shows a node to members.
    pub async fn node(&self, caller: &Caller, group: &str, node: NodeId) -> Result<NodeView> {
        let mut db = self.0.store.read().await?;
        let settings = find(&mut db, group).await?;
        self.member_reads(&mut db, caller, settings.id).await?;
        let found = store::read::find_nodes(&mut db, settings.id, &node.to_string()).await?;
        Ok(found.into_iter().next().ok_or(Refusal::NotFound("node"))?)
    }

    /// Shows a token to its user, and to administrators.
    pub async fn token(&self, caller: &Caller, group: &str, token: TokenId) -> Result<TokenView> {
        let mut db = self.0.store.read().await?;
        let settings = find(&mut db, group).await?;
        // The list runs backwards: the first one before the next number is this one, if it is there.
        let page = Page::new(Some(Cursor(token.0.saturating_add(1).to_string())), 1);
        let found = store::read::tokens(&mut db, settings.id, None, &page).await?;
        let found = found.items.into_iter().find(|found| found.id == token);
        match found {
            Some(found) if caller.actor == Actor::User(found.user.id) => Ok(found),
            found => {
                self.administrator_reads(&mut db, caller, settings.id).await?;
                Ok(found.ok_or(Refusal::NotFound("token"))?)
            }
        }
    }

    /// Shows a revocation to members.
    pub async fn revocation(
        &self,
        caller: &Caller,
        group: &str,
        number: u64,
    ) -> Result<RevocationView> {
        // Backwards as well.
        let page = Page::new(Some(Cursor(number.saturating_add(1).to_string())), 1);
        let found = self.revocations(caller, group, &page).await?.items.into_iter();
        let found = found.into_iter().find(|found| found.number == number);
        Ok(found.ok_or(Refusal::NotFound("revocation"))?)
    }

    /// Lists one's own newest requests in groups that one does not belong to.
    pub async fn own_requests(&self, caller: &Caller) -> Result<Vec<RequestView>> {
        let Actor::User(user) = caller.actor else { return Err(Refusal::NotMember.into()) };
        let mut db = self.0.store.read().await?;
        Ok(store::detail::own_requests(&mut db, user).await?)
    }
}
