//! What has happened in a group: filter it, read it, take it along.

use maud::{Markup, html};
use pki::UnixTime;
use serde_json::Value;

use super::encoded;
use super::group::{Tab, head};
use crate::view::{AuditView, GroupView};
use crate::web::page::Frame;
use crate::web::parts::{Column, empty, id, moment, older, table};

/// What the list is narrowed to; empty is everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// What kind of event.
    pub event: String,
}

impl Filter {
    /// Returns the filter as the query of an address, which further keys can follow.
    pub fn query(&self) -> String {
        format!("?event={}", encoded(&self.event))
    }
}

/// The page; `kinds` are the kinds of events there are.
pub fn audit(
    frame: &Frame,
    group: &GroupView,
    filter: &Filter,
    kinds: &[&str],
    entries: &[AuditView],
    next: Option<&str>,
) -> Markup {
    let export = format!("/api/v1/groups/{}/audit", group.summary.name);
    frame.page(
        &format!("Audit log of {}", group.summary.name),
        html! {
            (head(group, Tab::Audit))
            div.title {
                (narrow(group, filter, kinds))
                div.actions {
                    a.button href={ (export) "?format=csv" } { "CSV" }
                    a.button href={ (export) "?format=lines" } { "JSON lines" }
                }
            }
            section.sheet aria-label="Events" {
                @if entries.is_empty() { (nothing(group)) } @else { (list(entries)) }
                (older(next))
            }
        },
    )
}

fn narrow(group: &GroupView, filter: &Filter, kinds: &[&str]) -> Markup {
    html! {
        form.line method="get" action={ "/groups/" (group.summary.name) "/audit" } {
            div.field {
                label for="event" { "Event" }
                select id="event" name="event" {
                    option value="" { "All" }
                    @for kind in kinds {
                        option value=(kind) selected[*kind == filter.event] { (words(kind)) }
                    }
                }
            }
            button { "Filter" }
        }
    }
}

fn nothing(group: &GroupView) -> Markup {
    empty(
        "No such event",
        "Nothing in the log fits the filter.",
        html! { a.button href={ "/groups/" (group.summary.name) "/audit" } { "Show all" } },
    )
}

fn list(entries: &[AuditView]) -> Markup {
    let columns = [
        Column::text("When"),
        Column::text("Who"),
        Column::text("From"),
        Column::text("Event"),
        Column::free("Details"),
    ];
    table(
        "Events, newest first",
        columns,
        entries.iter().map(|entry| {
            [
                moment(entry.at),
                html! { (entry.actor) },
                html! { code { (entry.source) } },
                html! { (words(&entry.event)) },
                details(&entry.details),
            ]
        }),
    )
}

/// Writes a code of the log as words.
fn words(code: &str) -> String {
    code.replace('_', " ")
}

/// Writes the fields of an event; lists and objects in short.
fn details(event: &Value) -> Markup {
    let fields = event.as_object().into_iter().flatten();
    let fields = fields.filter(|(key, value)| *key != "event" && !value.is_null());
    html! {
        @for (key, value) in fields {
            @match value {
                // A user is an object, too, but shown by name.
                Value::Object(fields) if !fields.contains_key("name") => (details(value)),
                value => span.pair { span.aside { (words(key)) } " " (field(key, value)) },
            }
            " "
        }
    }
}

/// An identifier is longer than any word in the log.
const WORD_LEN_MAX: usize = 24;
/// Fields that hold times.
const TIMES: [&str; 3] = ["issued", "not_after", "expires"];

fn field(key: &str, value: &Value) -> Markup {
    match value {
        Value::Number(seconds) if TIMES.contains(&key) => {
            moment(UnixTime(seconds.as_u64().unwrap_or_default()))
        }
        Value::String(text) if text.len() > WORD_LEN_MAX && !text.contains(' ') => id(text),
        Value::String(text) => html! { (text) },
        Value::Bool(yes) => html! { (if *yes { "yes" } else { "no" }) },
        Value::Array(items) if items.is_empty() => html! { "none" },
        Value::Array(items) => html! {
            @for (place, item) in items.iter().take(8).enumerate() {
                @if place > 0 { " " }
                (field(key, item))
            }
            @if items.len() > 8 { " and " (items.len() - 8) " more" }
        },
        Value::Object(fields) => match fields.get("name") {
            Some(name) => field(key, name),
            None => details(value),
        },
        other => html! { (other.to_string()) },
    }
}
