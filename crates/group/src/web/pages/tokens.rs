//! Blobs: download one, and see and end the tokens in those that were downloaded.

use maud::{Markup, html};

use super::group::{Tab, head};
use super::question::Question;
use crate::view::{GroupView, TokenView};
use crate::web::form::{Choice, Field, post};
use crate::web::page::Frame;
use crate::web::parts::{Column, Tone, badge, empty, ended, moment, older, relative, table};

/// The page.
pub fn tokens(
    frame: &Frame,
    group: &GroupView,
    tokens: &[TokenView],
    next: Option<&str>,
) -> Markup {
    frame.page(
        &format!("Blobs of {}", group.summary.name),
        html! {
            (head(group, Tab::Tokens))
            section.card {
                h2 { "Download a blob" }
                p.aside {
                    "The file has everything that a machine needs to join in your name. Each one holds "
                    "a token of its own, which can be ended below."
                }
                (draw(frame, group))
            }
            h2 #tokens { "Tokens" }
            section.sheet aria-labelledby="tokens" {
                @if tokens.is_empty() { (none()) } @else { (list(frame, group, tokens)) }
                (older(next))
            }
        },
    )
}

fn draw(frame: &Frame, group: &GroupView) -> Markup {
    let form = html! {
        (Field {
            name: "label",
            label: "Label",
            hint: Some("For you, to know it again: “laptop”, “build machines”."),
            optional: true,
            max: Some(64),
            ..Field::default()
        })
        (Field {
            name: "days",
            label: "Valid for, in days",
            kind: "number",
            value: "30",
            min: Some(1),
            max: Some(365),
            class: "short",
            hint: Some("To enrol machines by. A machine that has joined stays."),
            ..Field::default()
        })
        fieldset {
            legend { "For" }
            (Choice {
                kind: "radio",
                name: "reusable",
                value: "yes",
                label: "Several machines",
                hint: Some("As many as your quota allows."),
                chosen: true,
            })
            (Choice {
                kind: "radio",
                name: "reusable",
                value: "no",
                label: "One machine",
                hint: Some("The token is used up by the first."),
                chosen: false,
            })
        }
        (Choice {
            kind: "checkbox",
            name: "ephemeral",
            value: "yes",
            label: "Ephemeral",
            hint: Some("For machines that come and go: who stays silent for a certificate's life is forgotten."),
            chosen: false,
        })
        div.actions { button.primary { "Download blob" } }
    };
    post(&frame.csrf, "beside", &format!("/groups/{}/blob", group.summary.name), form)
}

fn none() -> Markup {
    empty(
        "No blob was downloaded yet",
        "Each blob that you download is listed here, with when it was last used.",
        html! {},
    )
}

fn list(frame: &Frame, group: &GroupView, tokens: &[TokenView]) -> Markup {
    let columns = [
        Column::free("Label"),
        Column::text("Kind"),
        Column::text("Drawn"),
        Column::text("Last used"),
        Column::text("State"),
        Column::acts("What you can do"),
    ];
    table(
        "Tokens",
        columns,
        tokens.iter().map(|token| {
            [
                html! {
                    @if token.label.is_empty() { span.aside { "no label" } } @else { (token.label) }
                    span.sub { (token.user.name) }
                },
                kind(token),
                moment(token.created),
                html! {
                    @match token.last_used {
                        Some(at) => (relative(at, frame.now)),
                        None => span.aside { "never" },
                    }
                },
                state(frame, token),
                end(group, token),
            ]
        }),
    )
}

fn kind(token: &TokenView) -> Markup {
    html! {
        (if token.reusable { "several machines" } else { "one machine" })
        @if token.ephemeral { span.sub { "ephemeral" } }
    }
}

fn state(frame: &Frame, token: &TokenView) -> Markup {
    html! {
        @match &token.ended {
            Some(why) => (badge(Tone::Plain, ended(*why))),
            None => {
                (badge(Tone::Good, "valid"))
                span.sub { "ends " (relative(token.expires, frame.now)) }
            },
        }
    }
}

fn end(group: &GroupView, token: &TokenView) -> Markup {
    html! {
        @if token.ended.is_none() {
            div.actions {
                a.plain.grave href={ "/groups/" (group.summary.name) "/tokens/" (token.id) "/end" } { "End" }
            }
        }
    }
}

/// The question before a token ends.
pub fn end_token(frame: &Frame, group: &GroupView, token: &TokenView) -> Markup {
    let above = format!("/groups/{}/tokens", group.summary.name);
    let label = if token.label.is_empty() { "without a label" } else { &token.label };
    Question {
        above: (&format!("Blobs of {}", group.summary.name), &above),
        title: &format!("End the token {label}?"),
        consequences: &[
            "The blob that holds it enrols no further machine.".to_owned(),
            "Machines that have joined by it stay. To put one out, revoke it.".to_owned(),
        ],
        fields: html! {},
        action: &format!("{above}/{}/end", token.id),
        yes: "End token",
    }
    .page(frame)
}
