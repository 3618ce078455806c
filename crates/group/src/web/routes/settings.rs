//! The policies of a group, its audit log, its end.

use std::sync::Arc;

use pki::{HostPort, StalePolicy};
use serde::Deserialize;

use super::{done, frame, is_about_input, page, page_with, sentence};
use crate::http::{Answer, Ask, Problem, Site, now};
use crate::model::{Approval, Policies, Refusal};
use crate::web::page::Said;
use crate::web::pages::audit::{Filter, audit as audit_page};
use crate::web::pages::settings as pages;

const DAY: u64 = 86_400;

/// Kinds of events that people look for, as the log calls them.
const EVENT_KINDS: [&str; 22] = [
    "asked",
    "authority_announced",
    "authority_forgotten",
    "authority_made",
    "authority_took_over",
    "certificate_issued",
    "enrolment_refused",
    "group_changed",
    "group_created",
    "member_joined",
    "member_left",
    "member_removed",
    "node_ended",
    "node_named",
    "request_approved",
    "request_denied",
    "request_withdrawn",
    "revoked",
    "role_changed",
    "secret_started",
    "token_drawn",
    "token_ended",
];

/// Policies as the form writes them.
#[derive(Debug, Deserialize)]
pub(super) struct PolicyForm {
    approval: String,
    limit: String,
    quota: String,
    days: String,
    strict: Option<String>,
    bootstrap: String,
    /// The policies that the form was filled in for; a new group has none.
    #[serde(default)]
    seen: String,
}

impl PolicyForm {
    /// Writes what was entered over policies; what the form does not have stays.
    pub(super) fn read(&self, policies: &mut Policies) -> Result<(), Refusal> {
        let number = |text: &str, what| text.trim().parse().map_err(|_| Refusal::Setting(what));
        policies.approval = match self.approval.as_str() {
            "automatic" => Approval::Automatic,
            "automatic_up_to" => Approval::AutomaticUpTo(number(
                &self.limit,
                "enter up to how many members everybody is let in",
            )?),
            _ => Approval::Manual,
        };
        policies.quota = number(&self.quota, "quota must be 1 to 1000 nodes")?;
        let days = number(&self.days, "the life of a certificate must be 1 to 30 days")?;
        policies.certificate_life_seconds = u64::from(days) * DAY;
        policies.stale_policy = match self.strict {
            Some(_) => StalePolicy::Strict,
            None => StalePolicy::Lenient,
        };
        let lines = self.bootstrap.split_whitespace();
        let parsed: Result<Vec<HostPort>, _> = lines.map(str::parse).collect();
        policies.bootstrap =
            parsed.map_err(|_| Refusal::Setting("nodes to join by are HOST:PORT, one a line"))?;
        policies.check()
    }
}

pub async fn settings(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let group = site.service.group(&ask.caller(), ask.text_at("group")?).await?;
    Ok(page(&ask, pages::settings(&frame(&ask), &group, &group.policies, None)))
}

pub async fn save(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let (caller, name) = (ask.caller(), ask.text_at("group")?);
    let form: PolicyForm = ask.form()?;
    let group = site.service.group(&caller, name).await?;
    let mut policies = group.policies.clone();
    let saved: Result<(), Problem> = match form.read(&mut policies) {
        Ok(()) => {
            let (changes, seen) = (policies.clone().into(), Some(form.seen));
            let saved = site.service.change_group(&caller, name, changes, seen, now()).await;
            saved.map_err(Problem::from)
        }
        Err(refusal) => Err(refusal.into()),
    };
    match saved {
        Ok(()) => Ok(done(&format!("/groups/{name}/settings"), Said::Saved)),
        Err(problem) if is_about_input(&problem) => {
            let why = sentence(&problem.message);
            let shown = pages::settings(&frame(&ask), &group, &policies, Some(&why));
            Ok(page_with(&ask, problem.status, shown))
        }
        Err(problem) => Err(problem),
    }
}

pub async fn delete_page(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let group = site.service.group(&ask.caller(), ask.text_at("group")?).await?;
    Ok(page(&ask, pages::delete(&frame(&ask), &group, None)))
}

#[derive(Deserialize)]
struct Delete {
    name: String,
}

/// Deletes the group, if its name was typed.
pub async fn delete(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let (caller, name) = (ask.caller(), ask.text_at("group")?);
    let typed: Delete = ask.form()?;
    if typed.name.trim() == name {
        site.service.delete_group(&caller, name, now()).await?;
        return Ok(done("/", Said::Deleted));
    }
    let group = site.service.group(&caller, name).await?;
    let shown = pages::delete(&frame(&ask), &group, Some("That is not the name of the group."));
    Ok(page_with(&ask, warp::http::StatusCode::UNPROCESSABLE_ENTITY, shown))
}

#[derive(Deserialize)]
struct Narrow {
    #[serde(default)]
    event: String,
}

pub async fn audit(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let (caller, name) = (ask.caller(), ask.text_at("group")?);
    let Narrow { event } = ask.query()?;
    let group = site.service.group(&caller, name).await?;
    let kind = Some(event.as_str()).filter(|kind| !kind.is_empty());
    let entries = site.service.audit(&caller, name, kind, &ask.page()?).await?;
    let filter = Filter { event };
    let next = super::next(&entries, &format!("/groups/{name}/audit{}", filter.query()));
    let (frame, next) = (frame(&ask), next.as_deref());
    let shown = audit_page(&frame, &group, &filter, &EVENT_KINDS, &entries.items, next);
    Ok(page(&ask, shown))
}
