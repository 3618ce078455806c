//! Groups: making, changing, deleting, looking at them.

use pki::{Ipv4Subnet, UnixTime, check_group};

use super::{Service, find};
use crate::authority::Authority;
use crate::error::Result;
use crate::model::{
    Actor, Caller, Command, Event, Named, Policies, PolicyChanges, Refusal, Role, SiteEvent,
    Standing,
};
use crate::store::read::UserKey;
use crate::store::{self, Page, Paged};
use crate::view::{AuditView, GroupRow, GroupSummary, GroupView};

/// Most groups that one user administers, so that nobody takes all names.
const GROUPS_PER_USER_MAX: usize = 100;

/// A group to make.
#[derive(Clone, Debug)]
pub struct NewGroup {
    /// Its name.
    pub name: String,
    /// Its addresses; they stay.
    pub subnet: Ipv4Subnet,
    /// Its policies.
    pub policies: Policies,
}

impl Service {
    /// Makes a group with its authority; the user becomes its first administrator.
    pub async fn create_group(&self, caller: &Caller, new: NewGroup, now: UnixTime) -> Result<()> {
        check_group(&new.name).map_err(Refusal::from)?;
        new.policies.check()?;
        let Actor::User(user) = caller.actor else { return Err(Refusal::NotMember.into()) };
        let mut tx = self.0.store.begin().await?;
        let next = store::lock_site(&mut tx).await?;
        let account = store::read::account(&mut tx, UserKey::Id(user)).await?;
        let account = account.ok_or(Refusal::NotFound("user"))?.view;
        if !account.enabled {
            return Err(Refusal::AccountDisabled.into());
        }
        Self::site_allows(self.config().who_makes_groups, account.site_admin)?;
        if store::read::administered(&mut tx, user).await? >= GROUPS_PER_USER_MAX {
            return Err(Refusal::TooMany("groups that you administer").into());
        }
        let user = Named { id: user, name: account.name };
        let (name, subnet, policies) = (new.name, new.subnet, new.policies);
        let settings = store::chain::Settings { id: next.into(), name, subnet, policies };
        match store::chain::insert_group(&mut tx, &settings, now).await {
            Err(error) if store::is_duplicate(&error) => return Err(Refusal::NameTaken.into()),
            other => other?,
        }
        let locked = store::lock_group(&mut tx, &settings.name, caller, now).await?;
        let locked = locked.ok_or(store::StoreError::Corrupt("group"))?;
        let head_life = self.config().head_life();
        let (authority, head, secret) = Authority::found(&settings.name, now, head_life)?;
        let events = [
            Event::GroupCreated { user: user.clone() },
            Event::AuthorityMade {
                issuer: authority.id(),
                certificate: authority.certificate().to_pem(),
                sealed_key: self.seal_key(authority.certificate(), authority.key()),
            },
            Event::SecretStarted {
                generation: secret.secret.generation,
                sealed: self.seal_secret(settings.id, &secret),
            },
            Event::MemberJoined { user, role: Role::Administrator },
        ];
        for event in &events {
            store::apply(&mut tx, &locked, event).await?;
        }
        store::chain::set_head(&mut tx, settings.id, &head).await?;
        let noted = SiteEvent::Group { name: settings.name, deleted: false };
        store::note_site(&mut tx, &locked.origin, &noted).await?;
        tx.commit().await?;
        self.0.authorities.put_back(settings.id, authority);
        Ok(())
    }

    /// Sets policies of a group; with `seen`, only if they are still those of that fingerprint.
    pub async fn change_group(
        &self,
        caller: &Caller,
        group: &str,
        changes: PolicyChanges,
        seen: Option<String>,
        now: UnixTime,
    ) -> Result<()> {
        self.run(caller, group, &Command::Change { changes, seen }, now).await.map(drop)
    }

    /// Deletes a group: its keys are wiped, its log stays, its name is free.
    pub async fn delete_group(&self, caller: &Caller, group: &str, now: UnixTime) -> Result<()> {
        self.run(caller, group, &Command::Delete, now).await?;
        let noted = SiteEvent::Group { name: group.to_owned(), deleted: true };
        self.note(caller, &noted, now).await
    }

    /// Lists groups by name: all of them, or one's own.
    pub async fn groups(
        &self,
        caller: &Caller,
        own: bool,
        page: &Page,
    ) -> Result<Paged<GroupSummary>> {
        let Actor::User(user) = caller.actor else { return Err(Refusal::NotMember.into()) };
        let mut db = self.0.store.read().await?;
        Ok(store::read::groups(&mut db, user, own, page).await?)
    }

    /// Lists all groups by name, with what they hold, for whoever has the machine and administrators of the
    /// site.
    pub async fn all_groups(&self, caller: &Caller, page: &Page) -> Result<Paged<GroupRow>> {
        let mut db = self.0.store.read().await?;
        if !self.is_site_admin(&mut db, caller).await? {
            return Err(Refusal::NotSiteAdministrator.into());
        }
        Ok(store::read::all_groups(&mut db, page).await?)
    }

    /// What everybody who is logged in may know of a group, and what the asker is to it.
    pub async fn group_summary(&self, caller: &Caller, group: &str) -> Result<GroupSummary> {
        let mut db = self.0.store.read().await?;
        let settings = find(&mut db, group).await?;
        let person = self.asker(&mut db, caller, settings.id).await?;
        let standing = person.map_or(Standing::Outside, |person| person.standing);
        Ok(store::read::group(&mut db, settings.id, standing).await?.0)
    }

    /// The page of a group, for members.
    pub async fn group(&self, caller: &Caller, group: &str) -> Result<GroupView> {
        let mut db = self.0.store.read().await?;
        let settings = find(&mut db, group).await?;
        self.member_reads(&mut db, caller, settings.id).await?;
        let person = self.asker(&mut db, caller, settings.id).await?;
        let standing = person.map_or(Standing::Outside, |person| person.standing);
        let (summary, created, next_update) =
            store::read::group(&mut db, settings.id, standing).await?;
        let authorities = store::chain::authorities(&mut db, settings.id).await?;
        let newest = authorities.first().ok_or(store::StoreError::Corrupt("authority"))?;
        Ok(GroupView {
            summary,
            administrators: store::read::administrators(&mut db, settings.id).await?,
            created,
            issuer: newest.issuer.clone(),
            notices: store::read::newest_notice(&mut db, settings.id).await?,
            next_update,
            policies: settings.policies,
        })
    }

    /// The audit log of a group, the newest first, for its administrators; one kind of event, or
    /// all.
    pub async fn audit(
        &self,
        caller: &Caller,
        group: &str,
        kind: Option<&str>,
        page: &Page,
    ) -> Result<Paged<AuditView>> {
        let mut db = self.0.store.read().await?;
        let settings = find(&mut db, group).await?;
        self.administrator_reads(&mut db, caller, settings.id).await?;
        Ok(store::read::audit(&mut db, Some(settings.id), kind, page).await?)
    }
}
