//! The visitor's own account: password and API tokens.

use maud::{Markup, html};

use super::question::Question;
use crate::store::session::ApiTokenView;
use crate::view::UserView;
use crate::web::form::{Field, post};
use crate::web::page::{Frame, title};
use crate::web::parts::{Column, Tone, badge, empty, facts, moment, notice, relative, table};

/// The page; `error` says why the password was not changed.
pub fn account(
    frame: &Frame,
    user: &UserView,
    tokens: &[ApiTokenView],
    error: Option<&str>,
) -> Markup {
    frame.page(
        "Your account",
        html! {
            (title(None, "Your account", html! {}))
            div.split {
                div.column {
                    section.card { (about(user)) }
                    h2 #tokens { "API tokens" }
                    section.sheet aria-labelledby="tokens" {
                        @if tokens.is_empty() {
                            (empty(
                                "No API token",
                                "A program that uses the API in your name sends one. It may do whatever you may do.",
                                html! {},
                            ))
                        } @else { (list(frame, tokens)) }
                    }
                }
                div.column {
                    @if user.has_password {
                        section.card {
                            h2 { "Change your password" }
                            (password(frame, user, error))
                        }
                    }
                    section.card {
                        h2 { "Make an API token" }
                        (make(frame))
                    }
                }
            }
        },
    )
}

fn about(user: &UserView) -> Markup {
    facts([
        (
            "User name",
            html! {
                (user.name)
                @if user.site_admin { " " (badge(Tone::Good, "administrator of the site")) }
            },
        ),
        (
            "E-mail",
            html! {
                @match &user.email {
                    Some(email) => (email),
                    None => span.aside { "none" },
                }
            },
        ),
        ("Log in by", html! { (if user.has_password { "password" } else { "OpenID provider" }) }),
        ("Since", moment(user.created)),
    ])
}

fn password(frame: &Frame, user: &UserView, error: Option<&str>) -> Markup {
    let form = html! {
        // Password managers want to know whose password it is.
        input.hidden type="text" name="name" value=(user.name) autocomplete="username"
            tabindex="-1" aria-hidden="true" readonly;
        (Field {
            name: "old",
            label: "Present password",
            kind: "password",
            autocomplete: "current-password",
            error,
            ..Field::default()
        })
        (Field {
            name: "new",
            label: "New password",
            kind: "password",
            autocomplete: "new-password",
            hint: Some("At least 10 characters. Other browsers are logged out."),
            min: Some(10),
            max: Some(256),
            ..Field::default()
        })
        div.actions { button.primary { "Change password" } }
    };
    post(&frame.csrf, "stack", "/account/password", form)
}

fn list(frame: &Frame, tokens: &[ApiTokenView]) -> Markup {
    let columns = [
        Column::text("Label"),
        Column::text("Made"),
        Column::text("Ends"),
        Column::text("Last used"),
        Column::acts("What you can do"),
    ];
    table(
        "API tokens",
        columns,
        tokens.iter().map(|token| {
            [
                html! { (token.label) },
                moment(token.created),
                relative(token.expires, frame.now),
                html! {
                    @match token.last_used {
                        Some(at) => (relative(at, frame.now)),
                        None => span.aside { "never" },
                    }
                },
                html! {
                    div.actions {
                        a.plain.grave href={ "/account/tokens/" (token.id) "/end" } { "End" }
                    }
                },
            ]
        }),
    )
}

fn make(frame: &Frame) -> Markup {
    let form = html! {
        (Field { name: "label", label: "Label", max: Some(64), ..Field::default() })
        (Field {
            name: "days",
            label: "Valid for, in days",
            kind: "number",
            value: "90",
            min: Some(1),
            max: Some(365),
            class: "short",
            ..Field::default()
        })
        div.actions { button { "Make token" } }
    };
    post(&frame.csrf, "stack", "/account/tokens", form)
}

/// The page that shows a new token, once.
pub fn made(frame: &Frame, label: &str, token: &str) -> Markup {
    let above = Some(("Your account", "/account"));
    frame.page(
        "Your new API token",
        html! {
            (title(above, &format!("API token {label}"), html! {}))
            (notice(Tone::Caution, "Copy it now: it is shown this once, and only its digest is kept."))
            code.command.prose tabindex="0" { (token) }
            p { "Programs send it as " code { "Authorization: Bearer …" } "." }
            div.actions { a.button href="/account" { "Done" } }
        },
    )
}

/// The question before an API token ends.
pub fn end_token(frame: &Frame, token: &ApiTokenView) -> Markup {
    Question {
        above: ("Your account", "/account"),
        title: &format!("End the API token {}?", token.label),
        consequences: &["Programs that use it are refused from now on.".to_owned()],
        fields: html! {},
        action: &format!("/account/tokens/{}/end", token.id),
        yes: "End token",
    }
    .page(frame)
}
