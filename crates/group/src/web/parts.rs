//! The small pieces that pages are made of: times, identifiers, badges, facts, tables, empty states.

use std::fmt::Display;

use maud::{Markup, Render, html};
use pki::UnixTime;
use time::OffsetDateTime;

use crate::model::Ended;

/// A time as people read it, with its zone: the server does not know the reader's.
pub fn moment(at: UnixTime) -> Markup {
    html! { time datetime=(machine(at)) { (human(at)) } }
}

/// How long ago something was, or until it is; the exact time is its title.
pub fn relative(at: UnixTime, now: UnixTime) -> Markup {
    let text = if at > now {
        format!("in {}", span(at.since(now).as_secs()))
    } else {
        match now.since(at).as_secs() {
            0..=9 => "just now".to_owned(),
            seconds => format!("{} ago", span(seconds)),
        }
    };
    html! { time datetime=(machine(at)) title=(human(at)) { (text) } }
}

/// A duration in its largest fitting unit.
pub fn span(seconds: u64) -> String {
    let (count, unit) = match seconds {
        0..=119 => (seconds, "s"),
        120..=7199 => (seconds / 60, "min"),
        7200..=172_799 => (seconds / 3600, "h"),
        _ => return format!("{} days", seconds / 86_400),
    };
    format!("{count} {unit}")
}

fn calendar(at: UnixTime) -> OffsetDateTime {
    i64::try_from(at.as_secs())
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn machine(at: UnixTime) -> String {
    let (date, time) = (calendar(at).date(), calendar(at).time());
    format!("{date}T{:02}:{:02}:{:02}Z", time.hour(), time.minute(), time.second())
}

fn human(at: UnixTime) -> String {
    let (date, time) = (calendar(at).date(), calendar(at).time());
    format!("{date} {:02}:{:02} UTC", time.hour(), time.minute())
}

/// An identifier: all of it is in the page and copied by one click; the stylesheet shortens it.
/// Keyboards reach it, and see all of it then.
pub fn id(text: impl Display) -> Markup {
    let text = text.to_string();
    html! { code.id tabindex="0" title=(text) { (text) } }
}

/// An identifier that is shown whole.
pub fn whole_id(text: impl Display) -> Markup {
    html! { code.id.whole { (text.to_string()) } }
}

/// How something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// It is.
    Plain,
    /// It is as it should be.
    Good,
    /// Somebody has to do something.
    Caution,
    /// It is not as it should be.
    Bad,
}

impl Tone {
    const fn class(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Good => "good",
            Self::Caution => "caution",
            Self::Bad => "bad",
        }
    }
}

/// One or two words about the state of something.
pub fn badge(tone: Tone, text: &str) -> Markup {
    html! { span class={ "badge " (tone.class()) } { (text) } }
}

/// Why a token or node counts no more, in words.
pub const fn ended(why: Ended) -> &'static str {
    match why {
        Ended::ByUser => "ended",
        Ended::UsedUp => "used up",
        Ended::Expired => "expired",
        Ended::MembershipEnded => "member left",
        Ended::Revoked => "revoked",
    }
}

/// Something that the reader should know before anything else on the page.
pub fn notice(tone: Tone, content: impl Render) -> Markup {
    html! { div class={ "notice " (tone.class()) } role="status" { (content) } }
}

/// Where there is nothing yet: what it would be, and what to do next.
pub fn empty(title: &str, what: impl Render, next: impl Render) -> Markup {
    html! {
        div.empty {
            h3 { (title) }
            p { (what) }
            div.actions { (next) }
        }
    }
}

/// Names and values.
pub fn facts<const N: usize>(facts: [(&str, Markup); N]) -> Markup {
    html! {
        dl.facts {
            @for (name, value) in &facts { dt { (name) } dd { (value) } }
        }
    }
}

/// A column of a [`table`].
#[derive(Clone, Copy, Debug)]
pub struct Column {
    name: &'static str,
    class: &'static str,
}

impl Column {
    /// Of text.
    pub const fn text(name: &'static str) -> Self {
        Self { name, class: "" }
    }

    /// Of what people wrote, which may be long.
    pub const fn free(name: &'static str) -> Self {
        Self { name, class: "free" }
    }

    /// Of numbers, aligned right.
    pub const fn number(name: &'static str) -> Self {
        Self { name, class: "number" }
    }

    /// Of what can be done with the row.
    pub const fn acts(name: &'static str) -> Self {
        Self { name, class: "acts" }
    }
}

/// A table, whose rows become cards on small screens. Roles stand there because browsers forget
/// what a table is when a stylesheet changes how it is laid out.
pub fn table<const N: usize>(
    caption: &str,
    columns: [Column; N],
    rows: impl IntoIterator<Item = [Markup; N]>,
) -> Markup {
    html! {
        table role="table" {
            caption.hidden { (caption) }
            thead role="rowgroup" {
                tr role="row" {
                    @for column in &columns {
                        th role="columnheader" scope="col" class=[class(column)] {
                            @if column.class == "acts" { span.hidden { (column.name) } }
                            @else { (column.name) }
                        }
                    }
                }
            }
            tbody role="rowgroup" {
                @for row in rows {
                    tr role="row" {
                        @for (column, cell) in columns.iter().zip(&row) {
                            // One child beside the name that cards show; an empty cell is none.
                            td role="cell" class=[class(column)] data-name=[named(column)] {
                                @if !cell.0.is_empty() { div { (cell) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn class(column: &Column) -> Option<&'static str> {
    Some(column.class).filter(|class| !class.is_empty())
}

fn named(column: &Column) -> Option<&'static str> {
    (column.class != "acts").then_some(column.name)
}

/// The way to older rows of a long list.
pub fn older(href: Option<&str>) -> Markup {
    html! {
        @if let Some(href) = href {
            nav.pages aria-label="More of the list" { a href=(href) rel="next" { "Next page" } }
        }
    }
}

/// Writes a number with its noun.
pub fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_wb_01_times_carry_their_zone() {
        let at = UnixTime(1_795_628_358);
        let text = moment(at).into_string();
        assert_eq!(text, r#"<time datetime="2026-11-25T17:39:18Z">2026-11-25 17:39 UTC</time>"#);
        let text = relative(at, UnixTime(at.as_secs() + 200)).into_string();
        assert!(text.contains("UTC") && text.contains(">3 min ago<"), "{text}");
        let text = relative(UnixTime(at.as_secs() + 6 * 86_400), at).into_string();
        assert!(text.contains(">in 6 days<"), "{text}");
    }

    #[test]
    fn unit_wb_01_what_users_wrote_is_escaped() {
        let hostile = r#""><script>alert(1)</script>"#;
        for markup in [id(hostile), badge(Tone::Bad, hostile), notice(Tone::Bad, hostile)] {
            let text = markup.into_string();
            assert!(!text.contains("<script"), "{text}");
            assert!(!text.contains("\"\">"), "{text}");
        }
    }
}
