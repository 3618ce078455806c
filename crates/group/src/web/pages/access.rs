//! Log in and sign up.

use maud::{Markup, html};

use crate::web::form::{Field, post};
use crate::web::page::Frame;

/// What was wrong with the last try, and what of it comes back.
#[derive(Clone, Debug, Default)]
pub struct Attempt {
    /// The name that was entered.
    pub name: String,
    /// The address that was entered.
    pub email: String,
    /// Where to go afterwards: an address of this site.
    pub next: Option<String>,
    /// Why it was refused.
    pub error: Option<String>,
}

/// The page to log in; `provider` names the OpenID provider, if there is one.
pub fn log_in(frame: &Frame, attempt: &Attempt, provider: Option<&str>) -> Markup {
    let form = html! {
        (hidden_next(attempt))
        (Field {
            name: "name",
            label: "User name",
            value: &attempt.name,
            autocomplete: "username",
            error: attempt.error.as_deref(),
            ..Field::default()
        })
        (Field {
            name: "password",
            label: "Password",
            kind: "password",
            autocomplete: "current-password",
            ..Field::default()
        })
        div.actions { button.primary { "Log in" } }
    };
    frame.page(
        "Log in",
        html! {
            div.card.alone {
                h1 { "Log in" }
                @if let Some(provider) = provider {
                    a.button href="/login/oidc" { "Log in with " (provider) }
                    div.or { "or" }
                }
                (post(&frame.csrf, "stack", "/login", form))
                p.aside { "No account yet? " a href={ "/signup" (query_next(attempt)) } { "Sign up" } "." }
            }
        },
    )
}

/// The page to make an account.
pub fn sign_up(frame: &Frame, attempt: &Attempt) -> Markup {
    let form = html! {
        (hidden_next(attempt))
        (Field {
            name: "name",
            label: "User name",
            value: &attempt.name,
            autocomplete: "username",
            hint: Some("1 to 64 of a-z, 0-9, '.', '_' and '-'. It stands in your certificates and cannot be changed."),
            error: attempt.error.as_deref(),
            max: Some(64),
            ..Field::default()
        })
        (Field {
            name: "email",
            label: "E-mail",
            kind: "email",
            value: &attempt.email,
            autocomplete: "email",
            optional: true,
            max: Some(254),
            ..Field::default()
        })
        (Field {
            name: "password",
            label: "Password",
            kind: "password",
            autocomplete: "new-password",
            hint: Some("At least 10 characters; four words in a row make a good one."),
            min: Some(10),
            max: Some(256),
            ..Field::default()
        })
        div.actions { button.primary { "Sign up" } }
    };
    frame.page(
        "Sign up",
        html! {
            div.card.alone {
                h1 { "Sign up" }
                (post(&frame.csrf, "stack", "/signup", form))
                p.aside { "Have an account? " a href={ "/login" (query_next(attempt)) } { "Log in" } "." }
            }
        },
    )
}

fn hidden_next(attempt: &Attempt) -> Markup {
    html! {
        @if let Some(next) = &attempt.next { input type="hidden" name="next" value=(next); }
    }
}

fn query_next(attempt: &Attempt) -> String {
    attempt
        .next
        .as_deref()
        .map_or_else(String::new, |next| format!("?next={}", super::encoded(next)))
}
