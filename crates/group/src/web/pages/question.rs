//! The question before something that cannot be undone: a page, so that it needs no script.

use maud::{Markup, html};

use crate::web::form::post;
use crate::web::page::{Frame, title};

/// What is asked.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// Name and address of the page it belongs to.
    pub above: (&'a str, &'a str),
    /// The question.
    pub title: &'a str,
    /// What follows from a yes, one sentence each.
    pub consequences: &'a [String],
    /// Further fields of the form.
    pub fields: Markup,
    /// Where the yes goes.
    pub action: &'a str,
    /// What the button says.
    pub yes: &'a str,
}

impl Question<'_> {
    /// The page.
    pub fn page(&self, frame: &Frame) -> Markup {
        let form = html! {
            (self.fields)
            div.actions {
                button.danger { (self.yes) }
                a.button href=(self.above.1) { "Cancel" }
            }
        };
        frame.page(
            self.title,
            html! {
                (title(Some(self.above), self.title, html! {}))
                div.prose {
                    ul { @for line in self.consequences { li { (line) } } }
                }
                (post(&frame.csrf, "stack", self.action, form))
            },
        )
    }
}
