//! The first page after login: my groups, my requests, and how to find a group.

use maud::{Markup, html};

use crate::model::RequestState;
use crate::view::{GroupSummary, RequestView, StandingView};
use crate::web::form::{Field, button};
use crate::web::page::{Frame, title};
use crate::web::parts::{Column, Tone, badge, count, empty, moment, older, table};

/// The page; `requests` are those of the visitor that are not approved.
pub fn home(
    frame: &Frame,
    groups: &[GroupSummary],
    requests: &[RequestView],
    next: Option<&str>,
) -> Markup {
    let create = html! { div.actions { a.button.primary href="/groups/new" { "Create a group" } } };
    frame.page(
        "Groups",
        html! {
            (title(None, "Your groups", create))
            section.sheet aria-label="Your groups" {
                @if groups.is_empty() { (no_group()) } @else { (list(groups)) }
                (older(next))
            }
            @if !requests.is_empty() {
                h2 { "Your requests" }
                section.sheet aria-label="Your requests" { (asked(frame, requests)) }
            }
            section.card {
                h2 { "Join a group" }
                p.aside { "Ask one of its administrators for the name." }
                (find())
            }
        },
    )
}

fn no_group() -> Markup {
    empty(
        "You are in no group yet",
        "A group is a private network of its members' machines. Create one and invite others, or ask to join one that exists.",
        html! { a.button.primary href="/groups/new" { "Create a group" } },
    )
}

fn list(groups: &[GroupSummary]) -> Markup {
    let columns = [
        Column::text("Group"),
        Column::text("Subnet"),
        Column::text("You are"),
        Column::number("Members"),
        Column::text("To do"),
    ];
    table(
        "Groups you belong to",
        columns,
        groups.iter().map(|group| {
            [
                html! { a href={ "/groups/" (group.name) } { strong { (group.name) } } },
                html! { code { (group.subnet.to_string()) } },
                super::members::standing(group.standing),
                html! { (group.members) },
                to_do(group),
            ]
        }),
    )
}

fn to_do(group: &GroupSummary) -> Markup {
    html! {
        @if group.standing == StandingView::Administrator && group.pending > 0 {
            a href={ "/groups/" (group.name) "/requests" } {
                (count(group.pending.into(), "request", "requests"))
            }
        }
    }
}

fn asked(frame: &Frame, requests: &[RequestView]) -> Markup {
    let columns = [
        Column::text("Group"),
        Column::text("State"),
        Column::text("Asked"),
        Column::free("Your reason"),
        Column::free("Answer"),
        Column::acts("What you can do"),
    ];
    table(
        "Groups you asked to join",
        columns,
        requests.iter().map(|request| {
            [
                html! { a href={ "/groups/" (request.group) } { (request.group) } },
                state(request.state),
                moment(request.asked),
                html! { (request.reason) },
                html! { (request.note) },
                withdraw(frame, request),
            ]
        }),
    )
}

fn withdraw(frame: &Frame, request: &RequestView) -> Markup {
    let action = format!("/groups/{}/requests/{}/withdraw", request.group, request.id);
    html! {
        @if request.state == RequestState::Pending {
            div.actions { (button(&frame.csrf, &action, "plain", "Withdraw")) }
        }
    }
}

/// How a request stands.
pub fn state(state: RequestState) -> Markup {
    match state {
        RequestState::Pending => badge(Tone::Caution, "waiting"),
        RequestState::Approved => badge(Tone::Good, "approved"),
        RequestState::Denied => badge(Tone::Bad, "denied"),
        RequestState::Withdrawn => badge(Tone::Plain, "withdrawn"),
    }
}

fn find() -> Markup {
    html! {
        form.line method="get" action="/groups" role="search" {
            (Field { name: "name", label: "Name of the group", max: Some(64), ..Field::default() })
            button { "Find" }
        }
    }
}
