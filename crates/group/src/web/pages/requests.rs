//! Who wants to join a group; administrators decide.

use maud::{Markup, html};

use super::group::{Tab, head};
use super::home::state;
use crate::view::{GroupView, RequestView};
use crate::web::form::{Field, post};
use crate::web::page::Frame;
use crate::web::parts::{Column, empty, moment, older, relative, table};

/// The page.
pub fn requests(
    frame: &Frame,
    group: &GroupView,
    pending: &[RequestView],
    decided: &[RequestView],
    next: Option<&str>,
) -> Markup {
    frame.page(
        &format!("Requests to join {}", group.summary.name),
        html! {
            (head(group, Tab::Requests))
            @if pending.is_empty() {
                section.sheet { (nobody(group)) }
            } @else {
                div.cards { @for request in pending { (waiting(frame, group, request)) } }
            }
            @if !decided.is_empty() {
                h2 #decided { "Decided" }
                section.sheet aria-labelledby="decided" {
                    (history(decided))
                    (older(next))
                }
            }
        },
    )
}

fn nobody(group: &GroupView) -> Markup {
    empty(
        "Nobody is waiting",
        html! {
            "Tell people the address of this site and the name of the group, " strong { (group.summary.name) }
            ". They sign up, find the group and ask to join; their requests appear here."
        },
        html! {},
    )
}

fn waiting(frame: &Frame, group: &GroupView, request: &RequestView) -> Markup {
    let base = format!("/groups/{}/requests/{}", group.summary.name, request.id);
    let field_id = format!("note-{}", request.id);
    let form = html! {
        (Field {
            name: "note",
            id: Some(&field_id),
            label: "Note to the asker",
            optional: true,
            max: Some(500),
            ..Field::default()
        })
        div.actions {
            button.primary formaction={ (base) "/approve" } { "Approve" span.hidden { " " (request.user.name) } }
            button formaction={ (base) "/deny" } { "Deny" span.hidden { " " (request.user.name) } }
        }
    };
    html! {
        section.card {
            h3 { (request.user.name) }
            p.aside { "asked " (relative(request.asked, frame.now)) }
            p.quote { (request.reason) }
            (post(&frame.csrf, "stack", &format!("{base}/approve"), form))
        }
    }
}

fn history(decided: &[RequestView]) -> Markup {
    let columns = [
        Column::text("User"),
        Column::free("Reason"),
        Column::text("State"),
        Column::text("By"),
        Column::text("When"),
        Column::free("Note"),
    ];
    table(
        "Requests that were decided",
        columns,
        decided.iter().map(|request| {
            [
                html! { (request.user.name) },
                html! { (request.reason) },
                state(request.state),
                html! { (request.decided_by.as_deref().unwrap_or_default()) },
                html! { @if let Some(at) = request.decided { (moment(at)) } },
                html! { (request.note) },
            ]
        }),
    )
}
