//! Forms: each carries the CSRF token of its session, each field its label, hint and error.

use maud::{Markup, Render, html};

use crate::http::CSRF_FIELD;

/// The proof that a form was made for this session.
#[derive(Clone, PartialEq, Eq)]
pub struct CsrfToken(pub String);

impl std::fmt::Debug for CsrfToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CsrfToken(..)")
    }
}

/// A form that changes something.
pub fn post(csrf: &CsrfToken, class: &str, action: &str, content: impl Render) -> Markup {
    html! {
        form class=(class) method="post" action=(action) {
            input type="hidden" name=(CSRF_FIELD) value=(csrf.0);
            (content)
        }
    }
}

/// One button that changes something, as a form of its own.
pub fn button(csrf: &CsrfToken, action: &str, class: &str, text: impl Render) -> Markup {
    post(csrf, "inline", action, html! { button class=(class) { (text) } })
}

/// An input with its label.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    /// Key in the form.
    pub name: &'a str,
    /// Key on the page, where the same form stands there several times.
    pub id: Option<&'a str>,
    /// What people read.
    pub label: &'a str,
    /// Type of the input; `textarea` is one too.
    pub kind: &'a str,
    /// What it holds at first.
    pub value: &'a str,
    /// What to enter, below the label.
    pub hint: Option<&'a str>,
    /// Why the last try was refused.
    pub error: Option<&'a str>,
    /// What a browser or password manager may fill in.
    pub autocomplete: &'a str,
    /// Whether it may stay empty.
    pub optional: bool,
    /// Longest text, or highest number.
    pub max: Option<u64>,
    /// Shortest text, or lowest number.
    pub min: Option<u64>,
    /// Class of the input.
    pub class: &'a str,
}

impl Default for Field<'_> {
    fn default() -> Self {
        Self {
            name: "",
            id: None,
            label: "",
            kind: "text",
            value: "",
            hint: None,
            error: None,
            autocomplete: "off",
            optional: false,
            max: None,
            min: None,
            class: "",
        }
    }
}

impl Render for Field<'_> {
    fn render(&self) -> Markup {
        let id = self.id.unwrap_or(self.name);
        let hint = self.hint.map(|_| format!("{id}-hint"));
        let error = self.error.map(|_| format!("{id}-error"));
        let described = [hint.as_deref(), error.as_deref()];
        let described = described.into_iter().flatten().collect::<Vec<_>>().join(" ");
        let described = Some(described).filter(|ids| !ids.is_empty());
        let invalid = self.error.map(|_| "true");
        let class = Some(self.class).filter(|class| !class.is_empty());
        let number = self.kind == "number";
        html! {
            div.field {
                label for=(id) {
                    (self.label)
                    @if self.optional { span.hint { " (optional)" } }
                }
                @if let Some(text) = self.hint { span.hint id=[&hint] { (text) } }
                @if self.kind == "textarea" {
                    textarea id=(id) name=(self.name) class=[class]
                        required[!self.optional] maxlength=[self.max]
                        aria-describedby=[&described] aria-invalid=[invalid] { (self.value) }
                } @else {
                    input id=(id) name=(self.name) type=(self.kind) value=(self.value)
                        class=[class] autocomplete=(self.autocomplete) required[!self.optional]
                        maxlength=[self.max.filter(|_| !number)]
                        minlength=[self.min.filter(|_| !number)]
                        max=[self.max.filter(|_| number)] min=[self.min.filter(|_| number)]
                        aria-describedby=[&described] aria-invalid=[invalid]
                        autocapitalize="none" spellcheck="false";
                }
                @if let Some(text) = self.error { span.wrong id=[&error] { (text) } }
            }
        }
    }
}

/// A box to tick, or one of several to choose.
#[derive(Clone, Copy, Debug)]
pub struct Choice<'a> {
    /// `checkbox` or `radio`.
    pub kind: &'a str,
    /// Key in the form.
    pub name: &'a str,
    /// What the form says when it is chosen.
    pub value: &'a str,
    /// What people read.
    pub label: &'a str,
    /// What follows from it.
    pub hint: Option<&'a str>,
    /// Whether it is chosen at first.
    pub chosen: bool,
}

impl Render for Choice<'_> {
    fn render(&self) -> Markup {
        let id = format!("{}-{}", self.name, self.value);
        let hint = self.hint.map(|_| format!("{id}-hint"));
        html! {
            div.choice {
                input type=(self.kind) id=(id) name=(self.name) value=(self.value)
                    checked[self.chosen] aria-describedby=[&hint];
                label for=(id) { (self.label) }
                @if let Some(text) = self.hint { span.hint id=[&hint] { (text) } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_wb_01_every_form_carries_the_token_of_its_session() {
        let csrf = CsrfToken("proof".to_owned());
        let form = post(&csrf, "stack", "/groups", html! {}).into_string();
        assert!(form.contains(r#"<input type="hidden" name="csrf" value="proof">"#), "{form}");
        assert!(form.contains(r#"method="post""#), "{form}");
        assert!(!format!("{csrf:?}").contains("proof"));
    }

    #[test]
    fn unit_wb_01_a_field_is_tied_to_its_label_hint_and_error() {
        let field = Field {
            name: "quota",
            label: "Nodes",
            kind: "number",
            max: Some(1000),
            hint: Some("1 to 1000"),
            error: Some("too many"),
            ..Field::default()
        };
        let text = field.render().into_string();
        assert!(text.contains(r#"<label for="quota">"#), "{text}");
        assert!(text.contains(r#"aria-describedby="quota-hint quota-error""#), "{text}");
        assert!(text.contains(r#"max="1000""#) && !text.contains("maxlength"), "{text}");
        assert!(text.contains(r#"aria-invalid="true""#), "{text}");
    }

    #[test]
    fn unit_wb_01_what_was_entered_comes_back_escaped() {
        let field = Field { kind: "textarea", value: "</textarea><b>", ..Field::default() };
        let text = field.render().into_string();
        assert!(text.contains("&lt;/textarea&gt;&lt;b&gt;"), "{text}");
    }
}
