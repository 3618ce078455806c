//! Joining and leaving: requests, roles, members.

use pki::UnixTime;

use super::{Service, find};
use crate::error::Result;
use crate::model::{Actor, Caller, Command, Event, Refusal, RequestId, RequestState, Role, UserId};
use crate::store::{self, Page, Paged, StoreError};
use crate::view::{MemberView, RequestView};

impl Service {
    /// Asks to join; says whether the group's policy has approved at once.
    pub async fn ask(
        &self,
        caller: &Caller,
        group: &str,
        reason: String,
        now: UnixTime,
    ) -> Result<(RequestId, RequestState)> {
        let done = self.run(caller, group, &Command::Ask { reason }, now).await?;
        let asked = done.events.iter().find_map(|event| match event {
            Event::Asked { request, .. } => Some(*request),
            _ => None,
        });
        let joined = done.events.iter().any(|event| matches!(event, Event::MemberJoined { .. }));
        let state = if joined { RequestState::Approved } else { RequestState::Pending };
        Ok((asked.ok_or(StoreError::Corrupt("request"))?, state))
    }

    /// Takes one's request back.
    pub async fn withdraw(
        &self,
        caller: &Caller,
        group: &str,
        request: RequestId,
        now: UnixTime,
    ) -> Result<()> {
        self.run(caller, group, &Command::Withdraw { request }, now).await.map(drop)
    }

    /// Decides on a request.
    pub async fn judge(
        &self,
        caller: &Caller,
        group: &str,
        request: RequestId,
        approve: bool,
        note: String,
        now: UnixTime,
    ) -> Result<()> {
        let command = Command::Judge { request, approve, note };
        self.run(caller, group, &command, now).await.map(drop)
    }

    /// Promotes or demotes a member.
    pub async fn set_role(
        &self,
        caller: &Caller,
        group: &str,
        user: UserId,
        role: Role,
        now: UnixTime,
    ) -> Result<()> {
        self.run(caller, group, &Command::SetRole { user, role }, now).await.map(drop)
    }

    /// Puts a member out; where the member has certificates, a notice says so: its number.
    pub async fn remove(
        &self,
        caller: &Caller,
        group: &str,
        user: UserId,
        reason: String,
        now: UnixTime,
    ) -> Result<Option<u64>> {
        let command = Command::Remove { user, reason };
        Ok(self.run(caller, group, &command, now).await?.notice)
    }

    /// Leaves; where the member has certificates, a notice says so: its number.
    pub async fn leave(&self, caller: &Caller, group: &str, now: UnixTime) -> Result<Option<u64>> {
        Ok(self.run(caller, group, &Command::Leave, now).await?.notice)
    }

    /// Lists requests in one state, the newest first, for administrators.
    pub async fn requests(
        &self,
        caller: &Caller,
        group: &str,
        state: RequestState,
        page: &Page,
    ) -> Result<Paged<RequestView>> {
        let mut db = self.0.store.read().await?;
        let settings = find(&mut db, group).await?;
        self.administrator_reads(&mut db, caller, settings.id).await?;
        Ok(store::read::requests(&mut db, (settings.id, group), state, page).await?)
    }

    /// One's own newest request in a group.
    pub async fn own_request(&self, caller: &Caller, group: &str) -> Result<Option<RequestView>> {
        let Actor::User(user) = caller.actor else { return Err(Refusal::NotMember.into()) };
        let mut db = self.0.store.read().await?;
        let settings = find(&mut db, group).await?;
        Ok(store::read::own_request(&mut db, (settings.id, group), user).await?)
    }

    /// Lists members by name, for members.
    pub async fn members(
        &self,
        caller: &Caller,
        group: &str,
        page: &Page,
    ) -> Result<Paged<MemberView>> {
        let mut db = self.0.store.read().await?;
        let settings = find(&mut db, group).await?;
        self.member_reads(&mut db, caller, settings.id).await?;
        Ok(store::read::members(&mut db, settings.id, page).await?)
    }
}
