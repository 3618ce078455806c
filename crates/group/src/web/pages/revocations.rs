//! Who is out of a group, and how many of its members have heard of it.

use maud::{Markup, html};
use pki::UnixTime;

use super::group::{Tab, head};
use super::members::reason;
use super::question::Question;
use crate::daemon::KnownBy;
use crate::model::What;
use crate::view::{GroupView, RevocationView};
use crate::web::page::Frame;
use crate::web::parts::{
    Column, Tone, badge, count, empty, facts, id, moment, older, relative, table,
};

/// Seconds between two looks at how far the news has come.
const REFRESH_SECONDS: u32 = 2;

/// How far the news of a revocation has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nobody can say: no daemon of the group stands beside the service.
    Unwatched,
    /// The daemon has not answered yet.
    Counting,
    /// This far.
    Counted(KnownBy),
}

impl Progress {
    /// Whether a later look can show more.
    const fn goes_on(&self) -> bool {
        match self {
            Self::Unwatched => false,
            Self::Counting => true,
            Self::Counted(known) => !is_everybody(known),
        }
    }
}

/// Whether all live members know it.
const fn is_everybody(known: &KnownBy) -> bool {
    known.complete && known.acknowledged >= known.live
}

/// The list.
pub fn revocations(
    frame: &Frame,
    group: &GroupView,
    revocations: &[RevocationView],
    next: Option<&str>,
) -> Markup {
    frame.page(
        &format!("Revocations of {}", group.summary.name),
        html! {
            (head(group, Tab::Revocations))
            section.sheet aria-label="Revocations" {
                @if revocations.is_empty() {
                    (empty(
                        "Nobody was put out",
                        "When a machine is lost or a member must go, revoke the node on its page, or remove the member. All members learn of it within seconds.",
                        html! {},
                    ))
                } @else { (list(group, revocations)) }
                (older(next))
            }
        },
    )
}

fn list(group: &GroupView, revocations: &[RevocationView]) -> Markup {
    let columns = [
        Column::number("Notice"),
        Column::text("Revoked"),
        Column::text("Nodes"),
        Column::free("Reason"),
        Column::text("By"),
        Column::text("When"),
    ];
    table(
        "Revocations, newest first",
        columns,
        revocations.iter().map(|revocation| {
            let page = format!("/groups/{}/revocations/{}", group.summary.name, revocation.number);
            [
                html! { a href=(page) { (revocation.number) } },
                what(&revocation.what),
                html! { (revocation.victims.len()) },
                html! { (revocation.reason) },
                html! { (revocation.by) },
                moment(revocation.at),
            ]
        }),
    )
}

fn what(what: &What) -> Markup {
    html! {
        @match what {
            What::User(name) => { "user " (name) },
            What::Node(node) => { "node " (id(node)) },
            What::Serial(serial) => { "certificate " (id(serial)) },
            What::Issuer(issuer) => { "authority " (id(issuer)) },
        }
    }
}

/// One revocation, and how far the news of it has come.
pub fn revocation(
    frame: &Frame,
    group: &GroupView,
    revocation: &RevocationView,
    progress: Progress,
) -> Markup {
    let refresh = progress.goes_on().then_some(REFRESH_SECONDS);
    let frame = Frame { refresh, ..frame.clone() };
    frame.page(
        &format!("Revocation {} of {}", revocation.number, group.summary.name),
        html! {
            (head(group, Tab::Revocations))
            h2 { "Notice " (revocation.number) }
            section.card aria-live="polite" { (news(&frame, progress)) }
            section.card {
                (facts([
                    ("Revoked", what(&revocation.what)),
                    ("Reason", html! {
                        @if revocation.reason.is_empty() { span.aside { "none given" } }
                        @else { p.quote { (revocation.reason) } }
                    }),
                    ("By", html! { (revocation.by) }),
                    ("When", moment(revocation.at)),
                    ("Nodes", html! {
                        @if revocation.victims.is_empty() { "none" }
                        @for victim in &revocation.victims { (id(victim)) " " }
                    }),
                ]))
            }
        },
    )
}

fn news(frame: &Frame, progress: Progress) -> Markup {
    match progress {
        Progress::Unwatched => html! {
            h3 { "On its way" }
            p {
                "Members fetch the notice from this service. How many have it is not known here, because no "
                "daemon of the group stands beside the service."
            }
        },
        Progress::Counting => html! {
            h3 { "On its way" }
            p {
                "Members fetch the notice from this service, and tell each other. How many have it is being "
                "counted; this page looks again every " (REFRESH_SECONDS) " s."
            }
        },
        Progress::Counted(known) => counted(frame, &known),
    }
}

fn counted(frame: &Frame, known: &KnownBy) -> Markup {
    let share = format!(
        "{} of {} have acknowledged",
        known.acknowledged,
        count(known.live, "live member", "live members"),
    );
    html! {
        div.title {
            h3 { (share) }
            @if is_everybody(known) { (badge(Tone::Good, "everybody knows")) }
            @else { (badge(Tone::Caution, "under way")) }
        }
        progress max=(known.live.max(1)) value=(known.acknowledged) { (share) }
        p.aside {
            @match known.last_at.map(UnixTime) {
                Some(at) => { "The last one at " (moment(at)) ", " (relative(at, frame.now)) "." },
                None if known.acknowledged > 0 => "Those who know it have known it since they started.",
                None => "Nobody has acknowledged yet.",
            }
            @if !known.complete { " Not all of the ring answered: there are more members." }
            @if !is_everybody(known) { " This page looks again every " (REFRESH_SECONDS) " s." }
            " Members that are offline learn of it before they are let in again."
        }
    }
}

/// The question before something is revoked; `query` names it: `node` or `serial`, and which.
pub fn revoke(frame: &Frame, group: &GroupView, query: (&str, &str), name: &str) -> Markup {
    let (kind, value) = query;
    let above = format!("/groups/{}", group.summary.name);
    let node = kind == "node";
    let title =
        if node { format!("Revoke {name}?") } else { format!("Revoke a certificate of {name}?") };
    let last = if node {
        "It cannot come back with this key. Its user stays a member, who may enrol another: to put the user out, remove the member."
    } else {
        "The node may get another certificate with a valid blob, unless it is revoked as well."
    };
    let fields = html! {
        input type="hidden" name=(kind) value=(value);
        (reason())
    };
    Question {
        above: (&group.summary.name, &above),
        title: &title,
        consequences: &[
            "Its sessions are cut within seconds, and every member refuses it from then on."
                .to_owned(),
            "The other members change the group secret.".to_owned(),
            last.to_owned(),
        ],
        fields,
        action: &format!("{above}/revocations"),
        yes: "Revoke",
    }
    .page(frame)
}
