//! Asking to join, deciding on it, and what members do with each other.

use std::sync::Arc;

use serde::Deserialize;

use super::{done, frame, is_about_input, page, page_with, sentence};
use crate::http::{Answer, Ask, Site, now, see_other};
use crate::model::{RequestState, Role, UserId};
use crate::store::Page;
use crate::web::page::Said;
use crate::web::pages::group::{Draft, outside};
use crate::web::pages::{members as members_page, requests as requests_page};

#[derive(Deserialize)]
struct Reason {
    reason: String,
}

pub async fn ask_to_join(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let name = ask.text_at("group")?;
    let Reason { reason } = ask.form()?;
    let place = format!("/groups/{name}");
    let asked = site.service.ask(&ask.caller(), name, reason.clone(), now()).await;
    match asked.map_err(crate::http::Problem::from) {
        Ok((_, RequestState::Approved)) => Ok(done(&place, Said::Joined)),
        Ok(_) => Ok(done(&place, Said::Asked)),
        Err(problem) if is_about_input(&problem) => {
            let draft = Draft { reason, error: Some(sentence(&problem.message)) };
            Ok(page_with(&ask, problem.status, outside(&frame(&ask), name, None, &draft)))
        }
        Err(problem) => Err(problem),
    }
}

pub async fn withdraw(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let name = ask.text_at("group")?;
    site.service.withdraw(&ask.caller(), name, ask.at("request")?, now()).await?;
    Ok(done("/", Said::Withdrawn))
}

pub async fn requests(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let (caller, name) = (ask.caller(), ask.text_at("group")?);
    let group = site.service.group(&caller, name).await?;
    let state = RequestState::Pending;
    let pending = site.service.requests(&caller, name, state, &ask.page()?).await?;
    let mut decided = Vec::new();
    for state in [RequestState::Approved, RequestState::Denied] {
        let page = site.service.requests(&caller, name, state, &Page::default()).await?;
        decided.extend(page.items);
    }
    decided.sort_by_key(|request| std::cmp::Reverse(request.decided));
    let next = super::next(&pending, &format!("/groups/{name}/requests"));
    let (frame, next) = (frame(&ask), next.as_deref());
    Ok(page(&ask, requests_page::requests(&frame, &group, &pending.items, &decided, next)))
}

pub async fn approve(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    judge(&site, &ask, true, Said::Approved).await
}

pub async fn deny(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    judge(&site, &ask, false, Said::Denied).await
}

#[derive(Deserialize)]
struct Judgement {
    note: String,
}

async fn judge(site: &Site, ask: &Ask, approve: bool, said: Said) -> Answer {
    let name = ask.text_at("group")?;
    let Judgement { note } = ask.form()?;
    let (caller, request) = (ask.caller(), ask.at("request")?);
    site.service.judge(&caller, name, request, approve, note, now()).await?;
    Ok(done(&format!("/groups/{name}/requests"), said))
}

pub async fn members(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let (caller, name) = (ask.caller(), ask.text_at("group")?);
    let group = site.service.group(&caller, name).await?;
    let members = site.service.members(&caller, name, &ask.page()?).await?;
    let next = super::next(&members, &format!("/groups/{name}/members"));
    let (frame, me) = (frame(&ask), ask.person()?.user.id);
    let shown = members_page::members(&frame, &group, me, &members.items, next.as_deref());
    Ok(page(&ask, shown))
}

pub async fn promote(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    set_role(&site, &ask, Role::Administrator, Said::Promoted).await
}

pub async fn demote(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    set_role(&site, &ask, Role::Member, Said::Demoted).await
}

async fn set_role(site: &Site, ask: &Ask, role: Role, said: Said) -> Answer {
    let name = ask.text_at("group")?;
    site.service.set_role(&ask.caller(), name, ask.at("user")?, role, now()).await?;
    Ok(done(&format!("/groups/{name}/members"), said))
}

pub async fn demote_page(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let (caller, name) = (ask.caller(), ask.text_at("group")?);
    let group = site.service.group(&caller, name).await?;
    let member = site.service.member(&caller, name, ask.at::<UserId>("user")?).await?;
    Ok(page(&ask, members_page::demote(&frame(&ask), &group, &member)))
}

pub async fn remove_page(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let (caller, name) = (ask.caller(), ask.text_at("group")?);
    let group = site.service.group(&caller, name).await?;
    let member = site.service.member(&caller, name, ask.at::<UserId>("user")?).await?;
    Ok(page(&ask, members_page::remove(&frame(&ask), &group, &member)))
}

/// Puts a member out; where that took a notice, its page shows how far the news has come.
pub async fn remove(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let name = ask.text_at("group")?;
    let Reason { reason } = ask.form()?;
    let (caller, user) = (ask.caller(), ask.at("user")?);
    let notice = site.service.remove(&caller, name, user, reason, now()).await?;
    Ok(match notice {
        Some(number) => see_other(&format!("/groups/{name}/revocations/{number}?said=removed")),
        None => done(&format!("/groups/{name}/members"), Said::Removed),
    })
}

pub async fn leave_page(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let group = site.service.group(&ask.caller(), ask.text_at("group")?).await?;
    Ok(page(&ask, members_page::leave(&frame(&ask), &group)))
}

pub async fn leave(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    site.service.leave(&ask.caller(), ask.text_at("group")?, now()).await?;
    Ok(done("/", Said::Left))
}
