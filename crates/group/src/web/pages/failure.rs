//! What people see when something does not work: what it is, and where to go from there.

use maud::{Markup, html};

use crate::web::page::Frame;

/// The page of a refusal or failure; `message` says what to do.
pub fn failure(frame: &Frame, status: u16, message: &str) -> Markup {
    let title = match status {
        400 | 422 => "That cannot be done",
        401 => "Log in first",
        403 => "That is not allowed",
        404 => "There is nothing here",
        409 => "That does not fit",
        413 => "That is too much",
        429 => "Too many tries",
        503 => "Busy",
        _ => "Something went wrong",
    };
    frame.page(
        title,
        html! {
            div.card.alone {
                h1 { (title) }
                p { (message) }
                div.actions {
                    a.button.primary href="/" { "To your groups" }
                    @if status == 401 { a.button href="/login" { "Log in" } }
                }
                p.aside { "Status " (status) }
            }
        },
    )
}
