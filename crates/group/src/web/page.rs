//! The frame of every page: head, the bar on top, what was just done, the foot.

use maud::{DOCTYPE, Markup, PreEscaped, Render, html};
use pki::UnixTime;

use super::asset;
use super::form::{self, CsrfToken};
use super::parts::{Tone, notice};

/// What a page knows besides its content.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Who looks; nobody is logged in otherwise.
    pub visitor: Option<String>,
    /// What forms of this page carry.
    pub csrf: CsrfToken,
    /// When.
    pub now: UnixTime,
    /// What was done by the form before this page.
    pub said: Option<Said>,
    /// Seconds after which the browser asks again: for pages that wait for something.
    pub refresh: Option<u32>,
}

/// Defines what a page may say after a form was sent; the address carries the code alone, so that
/// nobody can put words in our mouth.
macro_rules! said {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)+) => {
        /// What was just done.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Said {
            $($(#[$doc])* $name,)+
        }

        impl Said {
            /// What the address says: `?said=…`.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)+ }
            }

            /// Finds what an address means; nothing if nothing.
            pub fn of(code: &str) -> Option<Self> {
                match code { $($code => Some(Self::$name),)+ _ => None }
            }

            /// What people read.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }
        }
    };
}

said! {
    /// A sign-up.
    SignedUp = "signed-up", "Your account is ready. Create a group, or ask to join one.";
    /// A log-out.
    LoggedOut = "logged-out", "You are logged out.";
    /// A new group.
    Created = "created", "The group is ready, and you administer it. Download the blob and start your first node.";
    /// A request.
    Asked = "asked", "Your request was sent. An administrator of the group decides on it.";
    /// A request that was granted at once.
    Joined = "joined", "You are a member now.";
    /// A request taken back.
    Withdrawn = "withdrawn", "Your request was withdrawn.";
    /// A request granted.
    Approved = "approved", "The request was approved.";
    /// A request refused.
    Denied = "denied", "The request was denied.";
    /// A promotion.
    Promoted = "promoted", "The member is an administrator now.";
    /// A demotion.
    Demoted = "demoted", "The administrator is an ordinary member now.";
    /// A removal.
    Removed = "removed", "The member was removed, with all nodes and tokens.";
    /// A departure.
    Left = "left", "You have left the group.";
    /// A token's end.
    TokenEnded = "token-ended", "The token was ended. Nodes that it enrolled stay.";
    /// New settings.
    Saved = "saved", "The settings were saved.";
    /// A group's end.
    Deleted = "deleted", "The group was deleted.";
    /// A new password.
    PasswordChanged = "password-changed", "Your password was changed.";
    /// An API token's end.
    ApiTokenEnded = "api-token-ended", "The API token was ended.";
    /// A machine that waited for a confirmation.
    DeviceConfirmed = "device-confirmed", "Confirmed. The machine goes on by itself.";
    /// A machine that was turned away.
    DeviceDenied = "device-denied", "Refused. The machine gets nothing.";
}

const MARK: PreEscaped<&str> = PreEscaped(concat!(
    r#"<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.75" aria-hidden="true">"#,
    r#"<circle cx="12" cy="12" r="9"/><path d="M5.6 5.6Q12 12 21 12M18.4 18.4Q12 12 5.6 18.4"/>"#,
    r#"<g fill="currentColor" stroke="none"><circle cx="5.6" cy="5.6" r="2.4"/>"#,
    r#"<circle cx="21" cy="12" r="2.4"/><circle cx="18.4" cy="18.4" r="2.4"/>"#,
    r#"<circle cx="5.6" cy="18.4" r="2.4"/></g></svg>"#,
));

impl Frame {
    /// Puts a page around its content.
    pub fn page(&self, title: &str, content: impl Render) -> Markup {
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    title { (title) " · Warren" }
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    @if let Some(seconds) = self.refresh {
                        meta http-equiv="refresh" content=(seconds);
                    }
                    link rel="stylesheet" href=(asset::STYLE.path());
                    link rel="icon" type="image/svg+xml" href=(asset::MARK.path());
                }
                body {
                    a.skip href="#content" { "Skip to the content" }
                    header.top { div { (self.bar()) } }
                    main id="content" tabindex="-1" {
                        @if let Some(said) = self.said { (notice(Tone::Good, said.text())) }
                        (content)
                    }
                    footer.foot {
                        div {
                            span { "Warren group service" }
                            a href="/api/v1/openapi.json" { "API" }
                        }
                    }
                }
            }
        }
    }

    fn bar(&self) -> Markup {
        html! {
            a.brand href="/" { (MARK) "Warren" }
            nav aria-label="Site" {
                @if let Some(name) = &self.visitor {
                    a href="/" { "Groups" }
                    a.who href="/account" { span.hidden { "Account of " } (name) }
                    (form::button(&self.csrf, "/logout", "plain", "Log out"))
                } @else {
                    a href="/login" { "Log in" }
                    a href="/signup" { "Sign up" }
                }
            }
        }
    }
}

/// The head of a page's content: where it is, what it is, what can be done.
pub fn title(crumbs: Option<(&str, &str)>, text: &str, beside: Markup) -> Markup {
    html! {
        div {
            @if let Some((name, href)) = crumbs {
                nav.crumbs aria-label="Above this page" { a href=(href) { (name) } " /" }
            }
            div.title { h1 { (text) } (beside) }
        }
    }
}
