//! Who belongs to a group, and what they may do in it.

use maud::{Markup, html};

use super::group::{Tab, decides, head};
use super::question::Question;
use crate::model::{Role, UserId};
use crate::view::{GroupView, MemberView, StandingView};
use crate::web::form::{Field, button};
use crate::web::page::Frame;
use crate::web::parts::{Column, Tone, badge, moment, older, table};

/// The page; `me` is the visitor.
pub fn members(
    frame: &Frame,
    group: &GroupView,
    me: UserId,
    members: &[MemberView],
    next: Option<&str>,
) -> Markup {
    let columns = [
        Column::text("User"),
        Column::text("Role"),
        Column::text("Member since"),
        Column::number("Nodes"),
        Column::acts("What you can do"),
    ];
    frame.page(
        &format!("Members of {}", group.summary.name),
        html! {
            (head(group, Tab::Members))
            section.sheet aria-label="Members" {
                (table("Members of the group", columns, members.iter().map(|member| [
                    html! { (member.user.name) @if member.user.id == me { span.aside { " (you)" } } },
                    role(member.role),
                    moment(member.since),
                    html! { (member.nodes) },
                    acts(frame, group, me, member),
                ])))
                (older(next))
            }
        },
    )
}

/// What somebody is in a group.
pub fn role(role: Role) -> Markup {
    match role {
        Role::Administrator => badge(Tone::Good, "administrator"),
        Role::Member => badge(Tone::Plain, "member"),
    }
}

/// What the visitor is to a group.
pub fn standing(standing: StandingView) -> Markup {
    match standing {
        StandingView::Administrator => role(Role::Administrator),
        StandingView::Member => role(Role::Member),
        StandingView::Asked { .. } => badge(Tone::Caution, "waiting"),
        StandingView::Denied => badge(Tone::Bad, "denied"),
        StandingView::Outside => badge(Tone::Plain, "not a member"),
    }
}

fn acts(frame: &Frame, group: &GroupView, me: UserId, member: &MemberView) -> Markup {
    let base = format!("/groups/{}/members/{}", group.summary.name, member.user.id);
    let decides = decides(group);
    // Read aloud, the row is not at hand.
    let whom = html! { span.hidden { " " (member.user.name) } };
    html! {
        div.actions {
            @if decides && member.role == Role::Member {
                (button(&frame.csrf, &format!("{base}/promote"), "plain", html! { "Promote" (whom) }))
            }
            @if decides && member.role == Role::Administrator && group.administrators.len() > 1 {
                a href={ (base) "/demote" } { "Demote" (whom) }
            }
            @if member.user.id == me {
                a.plain.grave href={ "/groups/" (group.summary.name) "/leave" } { "Leave" }
            } @else if decides {
                a.plain.grave href={ (base) "/remove" } { "Remove" (whom) }
            }
        }
    }
}

/// The question before somebody is no administrator any more.
pub fn demote(frame: &Frame, group: &GroupView, member: &MemberView) -> Markup {
    let base = format!("/groups/{}/members", group.summary.name);
    Question {
        above: (&format!("Members of {}", group.summary.name), &base),
        title: &format!("Demote {}?", member.user.name),
        consequences: &[
            format!("{} decides no longer on requests, members and settings.", member.user.name),
            "Membership, nodes and tokens stay.".to_owned(),
        ],
        fields: html! {},
        action: &format!("{base}/{}/demote", member.user.id),
        yes: "Demote",
    }
    .page(frame)
}

/// The question before somebody is put out.
pub fn remove(frame: &Frame, group: &GroupView, member: &MemberView) -> Markup {
    let base = format!("/groups/{}/members", group.summary.name);
    let user = &member.user.name;
    let again = if group.policies.approval.admits(group.summary.members.saturating_sub(1)) {
        format!(
            "The group lets in everybody who asks: unless you change that in its settings first, {user} may be back at once."
        )
    } else {
        format!("{user} may ask to join again, and is out unless an administrator approves.")
    };
    Question {
        above: (&format!("Members of {}", group.summary.name), &base),
        title: &format!("Remove {user}?"),
        consequences: &[
            format!("The membership ends: {user} downloads no blob, and those that are there let nothing in."),
            format!("All nodes and tokens of {user} end, and their sessions are cut within seconds."),
            "The other members change the group secret.".to_owned(),
            again,
        ],
        fields: html! { (reason()) },
        action: &format!("{base}/{}/remove", member.user.id),
        yes: "Remove",
    }
    .page(frame)
}

/// The question before the visitor leaves.
pub fn leave(frame: &Frame, group: &GroupView) -> Markup {
    let base = format!("/groups/{}", group.summary.name);
    Question {
        above: (&group.summary.name, &base),
        title: &format!("Leave {}?", group.summary.name),
        consequences: &[
            "All your nodes and tokens in the group end.".to_owned(),
            "To come back you have to ask again.".to_owned(),
        ],
        fields: html! {},
        action: &format!("{base}/leave"),
        yes: "Leave",
    }
    .page(frame)
}

/// Why somebody or something is out.
pub fn reason() -> Markup {
    html! {
        (Field {
            name: "reason",
            label: "Reason",
            kind: "textarea",
            hint: Some("For the audit log; at most 500 characters."),
            max: Some(500),
            optional: true,
            ..Field::default()
        })
    }
}
