//! A machine that waits for a yes: its user compares the code and confirms (`warren join`).

use maud::{Markup, html};

use crate::web::form::{Field, post};
use crate::web::page::Frame;
use crate::web::parts::facts;

/// A machine that waits.
#[derive(Clone, Debug)]
pub struct Waiting<'a> {
    /// What it shows to its user.
    pub code: &'a str,
    /// The group that it wants to join.
    pub group: &'a str,
    /// What it calls itself.
    pub host: Option<&'a str>,
    /// Whether the visitor is no member yet, and asks to become one with a yes.
    pub asks_to_join: bool,
}

/// The page to enter a code; `error` says why the last one was refused.
pub fn enter(frame: &Frame, code: &str, error: Option<&str>) -> Markup {
    let form = html! {
        (Field {
            name: "code",
            label: "Code",
            value: code,
            error,
            max: Some(16),
            class: "code",
            hint: Some("It stands where you typed `warren join`."),
            ..Field::default()
        })
        div.actions { button.primary { "Next" } }
    };
    frame.page(
        "Confirm a machine",
        html! {
            div.card.alone {
                h1 { "Confirm a machine" }
                form.stack method="get" action="/device" { (form) }
            }
        },
    )
}

/// The page to confirm.
pub fn confirm(frame: &Frame, machine: &Waiting<'_>) -> Markup {
    let base = format!("/device/{}", machine.code);
    let form = html! {
        @if machine.asks_to_join {
            p {
                "You are not a member of " strong { (machine.group) } " yet. With a yes you ask to join; the "
                "machine waits until an administrator lets you in."
            }
            (Field {
                name: "reason",
                label: "Why do you want to join?",
                kind: "textarea",
                hint: Some("The group's administrators read it. At most 500 characters."),
                max: Some(500),
                ..Field::default()
            })
        }
        div.actions {
            button.primary { "Yes, it is mine" }
            button formaction={ (base) "/deny" } formnovalidate { "No" }
        }
    };
    frame.page(
        "Confirm a machine",
        html! {
            div.card.alone {
                h1 { "Is this your machine?" }
                p {
                    "It wants to join in your name. Say yes only if you started it yourself just now, and it "
                    "shows the same code."
                }
                (facts([
                    ("Code", html! { strong { code { (machine.code) } } }),
                    ("Group", html! { (machine.group) }),
                    ("Machine", html! { (machine.host.unwrap_or("does not say")) }),
                ]))
                (post(&frame.csrf, "stack", &format!("{base}/confirm"), form))
            }
        },
    )
}
