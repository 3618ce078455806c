//! The policies of a group, and its end.

use maud::{Markup, html};
use pki::StalePolicy;

use super::group::{Tab, head};
use super::question::Question;
use crate::model::{Approval, Policies, QUOTA_MAX};
use crate::view::GroupView;
use crate::web::form::{Choice, Field, post};
use crate::web::page::Frame;
use crate::web::parts::{Tone, notice};

const DAY: u64 = 86_400;

/// The page; `refused` says why the last try was not saved, and what was entered then.
pub fn settings(
    frame: &Frame,
    group: &GroupView,
    entered: &Policies,
    refused: Option<&str>,
) -> Markup {
    let base = format!("/groups/{}", group.summary.name);
    let form = html! {
        input type="hidden" name="seen" value=(group.policies.fingerprint());
        (policies(entered))
        div.actions { button.primary { "Save" } }
    };
    frame.page(
        &format!("Settings of {}", group.summary.name),
        html! {
            (head(group, Tab::Settings))
            @if let Some(why) = refused { (notice(Tone::Bad, why)) }
            (post(&frame.csrf, "stack", &format!("{base}/settings"), form))
            section.card.prose {
                h2 { "Delete the group" }
                p { "All memberships, nodes and tokens end. Machines go on until their certificates expire." }
                div.actions { a.button.danger href={ (base) "/delete" } { "Delete " (group.summary.name) } }
            }
        },
    )
}

/// The fields of the policies, for a new group as well.
pub fn policies(policies: &Policies) -> Markup {
    let limit = match policies.approval {
        Approval::AutomaticUpTo(limit) => limit.to_string(),
        _ => "50".to_owned(),
    };
    html! {
        fieldset {
            legend { "Who is let in" }
            (Choice {
                kind: "radio",
                name: "approval",
                value: "manual",
                label: "Whom an administrator approves",
                hint: None,
                chosen: policies.approval == Approval::Manual,
            })
            (Choice {
                kind: "radio",
                name: "approval",
                value: "automatic",
                label: "Everybody who asks",
                hint: Some("Anybody with an account on this site."),
                chosen: policies.approval == Approval::Automatic,
            })
            (Choice {
                kind: "radio",
                name: "approval",
                value: "automatic_up_to",
                label: "Everybody who asks, up to a number of members",
                hint: None,
                chosen: matches!(policies.approval, Approval::AutomaticUpTo(_)),
            })
            (Field {
                name: "limit",
                label: "Number of members",
                hint: Some("For the last choice."),
                kind: "number",
                value: &limit,
                min: Some(1),
                max: Some(u64::from(u32::MAX)),
                class: "short",
                ..Field::default()
            })
        }
        (Field {
            name: "quota",
            label: "Nodes of each member",
            kind: "number",
            value: &policies.quota.to_string(),
            hint: Some("1 to 1000. A leaked blob can enrol no more than these."),
            min: Some(1),
            max: Some(u64::from(QUOTA_MAX)),
            class: "short",
            ..Field::default()
        })
        (Field {
            name: "days",
            label: "Life of a certificate, in days",
            kind: "number",
            value: &(policies.certificate_life_seconds / DAY).to_string(),
            hint: Some("1 to 30. Nodes renew by themselves from a third of it; after it, a node that could not renew is out."),
            min: Some(1),
            max: Some(30),
            class: "short",
            ..Field::default()
        })
        (Choice {
            kind: "checkbox",
            name: "strict",
            value: "yes",
            label: "Strict revocation",
            hint: Some("Members refuse new links while their list of revocations is out of date. Safer; but when this service is down for hours, new links stop."),
            chosen: policies.stale_policy == StalePolicy::Strict,
        })
        (Field {
            name: "bootstrap",
            label: "Nodes to join by",
            kind: "textarea",
            value: &policies.bootstrap.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
            hint: Some("HOST:PORT, one a line: nodes that every member can reach. They go into each blob."),
            optional: true,
            ..Field::default()
        })
    }
}

/// The question before a group is deleted.
pub fn delete(frame: &Frame, group: &GroupView, error: Option<&str>) -> Markup {
    let name = &group.summary.name;
    let above = format!("/groups/{name}/settings");
    let fields = html! {
        (Field {
            name: "name",
            label: "Name of the group, to be sure",
            error,
            ..Field::default()
        })
    };
    Question {
        above: (&format!("Settings of {name}"), &above),
        title: &format!("Delete {name}?"),
        consequences: &[
            "All memberships, requests, nodes and tokens end, and its authority is gone for good.".to_owned(),
            "Machines that are up stay linked until their certificates expire; nobody can revoke them any more.".to_owned(),
        ],
        fields,
        action: &format!("/groups/{name}/delete"),
        yes: "Delete for good",
    }
    .page(frame)
}
