//! A group: its ring, how to join with a machine, its nodes. For outsiders: how to become a member.

use std::time::Duration;

use maud::{Markup, html};
use pki::UnixTime;

use super::members;
use crate::model::{Approval, RequestState};
use crate::view::{GroupView, NodeView, RequestView, StandingView};
use crate::web::form::{Field, post};
use crate::web::page::{Frame, title};
use crate::web::parts::{
    Column, Tone, badge, count, empty, ended, facts, id, moment, notice, older, relative, span,
    table,
};
use crate::web::ring::{self, NODES_DRAWN_MAX, Ring};

/// The pages of a group, for its tabs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tab {
    /// Ring and nodes.
    Overview,
    /// Blobs and tokens.
    Tokens,
    /// Who belongs to it.
    Members,
    /// Who wants to.
    Requests,
    /// Who is out.
    Revocations,
    /// What has happened.
    Audit,
    /// Policies.
    Settings,
}

/// The head of each page of a group: its name, who the visitor is in it, the way to its pages.
pub fn head(group: &GroupView, tab: Tab) -> Markup {
    let (name, pending) = (&group.summary.name, group.summary.pending);
    let administrator = decides(group);
    let tabs = [
        (Tab::Overview, "Overview", "", true),
        (Tab::Tokens, "Blobs", "/tokens", true),
        (Tab::Members, "Members", "/members", true),
        (Tab::Requests, "Requests", "/requests", administrator),
        (Tab::Revocations, "Revocations", "/revocations", true),
        (Tab::Audit, "Audit log", "/audit", administrator),
        (Tab::Settings, "Settings", "/settings", administrator),
    ];
    html! {
        div {
            (title(Some(("Groups", "/")), name, members::standing(group.summary.standing)))
            nav.tabs aria-label={ "Group " (name) } {
                @for (this, text, path, _) in tabs.iter().filter(|tab| tab.3) {
                    a href={ "/groups/" (name) (path) }
                        aria-current=[(*this == tab).then_some("page")] {
                        (text)
                        @if *this == Tab::Requests && pending > 0 {
                            " " (badge(Tone::Caution, &pending.to_string()))
                        }
                    }
                }
            }
        }
    }
}

/// Whether the visitor decides in the group.
pub fn decides(group: &GroupView) -> bool {
    group.summary.standing == StandingView::Administrator
}

/// What the overview of a group shows.
#[derive(Clone, Debug)]
pub struct Overview<'a> {
    /// The group.
    pub group: &'a GroupView,
    /// Address of this service, as nodes reach it.
    pub url: &'a str,
    /// What `warren join` compares the service's key with; none where the roots of the web verify it.
    pub pin: Option<&'a str>,
    /// The ring.
    pub ring: &'a Ring,
    /// What a daemon of the group has seen of it, if it has.
    pub walked: Option<Walked>,
    /// The address or ID that is looked for, if any.
    pub find: Option<&'a str>,
    /// A page of its nodes, or those that were found.
    pub nodes: &'a [NodeView],
    /// The next page.
    pub older: Option<&'a str>,
}

/// A walk of the ring.
#[derive(Clone, Copy, Debug)]
pub struct Walked {
    /// When it had ended.
    pub at: UnixTime,
    /// How many nodes it has met.
    pub nodes: u64,
}

/// A node that was seen within this time counts as up: rings are walked every minute.
const SEEN_LATELY: Duration = Duration::from_secs(300);

/// Whether a node was seen lately.
pub fn is_live(node: &NodeView, now: UnixTime) -> bool {
    node.last_seen.is_some_and(|at| now.since(at) < SEEN_LATELY)
}

/// The overview, for members.
pub fn overview(frame: &Frame, shown: &Overview<'_>) -> Markup {
    let group = shown.group;
    frame.page(
        &group.summary.name,
        html! {
            (head(group, Tab::Overview))
            div.split {
                section.card.picture { (picture(frame, shown)) }
                div.column {
                    section.card { (how_to_join(frame, shown)) }
                    section.card { (state(frame, group)) }
                }
            }
            div.title.low #nodes {
                h2 #nodes-title {
                    @match shown.find {
                        Some(wanted) => { "Nodes with " (wanted) },
                        None => "Nodes",
                    }
                }
                @if decides(group) { (finder(shown)) }
            }
            section.sheet aria-labelledby="nodes-title" {
                @match (shown.nodes.is_empty(), shown.find) {
                    (false, _) => (node_table(frame, shown)),
                    (true, None) => (no_node()),
                    (true, Some(_)) => (not_found(group)),
                }
                (older(shown.older))
            }
        },
    )
}

fn picture(frame: &Frame, shown: &Overview<'_>) -> Markup {
    html! {
        h2 { "Ring" }
        @if shown.ring.nodes.is_empty() {
            (empty(
                "Nobody is on the ring",
                "As soon as the first node has joined, it appears here with its paths to the others.",
                html! {},
            ))
        } @else {
            div.ring-frame { (ring::draw(shown.ring)) }
            (legend(shown.ring))
            @if shown.ring.nodes.len() > NODES_DRAWN_MAX {
                p.aside { "The first " (NODES_DRAWN_MAX) " nodes of the ring." }
            }
            p.aside {
                @match shown.walked {
                    Some(walked) => {
                        (count(walked.nodes, "node", "nodes")) " answered " (relative(walked.at, frame.now))
                        "; load the page again to look again."
                    },
                    None => {
                        "Who is up and linked with whom is not known here: no daemon of the group answers beside "
                        "this service. The group works all the same."
                    },
                }
            }
        }
    }
}

fn legend(ring: &Ring) -> Markup {
    let line = |class: &str| {
        html! { svg.ring viewBox="0 0 24 12" aria-hidden="true" { path class=(class) d="M1 6H23" {} } }
    };
    let dot = |class: &str| {
        html! {
            svg.ring viewBox="0 0 24 12" aria-hidden="true" {
                g class=(class) { circle.dot cx="12" cy="6" r="4.5" {} }
            }
        }
    };
    html! {
        ul.legend {
            li { (dot("live")) "seen lately" }
            li { (dot("live own")) "yours" }
            li { (dot("away")) "not seen lately" }
            li { (line("path")) "direct path" }
            @if ring.paths.iter().any(|path| !path.direct) {
                li { (line("path overlay")) "over other members" }
            }
        }
    }
}

fn how_to_join(frame: &Frame, shown: &Overview<'_>) -> Markup {
    let name = &shown.group.summary.name;
    let (tokens, blob) = (format!("/groups/{name}/tokens"), format!("/groups/{name}/blob"));
    let download = html! {
        div.actions {
            button.primary { "Download blob" }
            a href=(tokens) { "Options" }
        }
    };
    html! {
        h2 { "Add a machine" }
        p { "The blob is your key to the group. Copy it to the machine; keep it as you would a password." }
        (post(&frame.csrf, "stack", &blob, download))
        p { "Then, on the machine:" }
        code.command tabindex="0" { "warren up --blob " (name) ".yaml" }
        p { "Or without a file, with a yes in the browser:" }
        code.command tabindex="0" {
            "warren join " (shown.url) " " (name)
            @if let Some(pin) = shown.pin { " --pin " (pin) }
        }
    }
}

fn state(frame: &Frame, group: &GroupView) -> Markup {
    let policies = &group.policies;
    let base = format!("/groups/{}", group.summary.name);
    let administrators = group.administrators.len() as u64;
    html! {
        h2 { "State" }
        (facts([
            ("Subnet", html! { code { (group.summary.subnet.to_string()) } }),
            ("Members", html! {
                a href={ (base) "/members" } { (count(group.summary.members.into(), "member", "members")) }
                ", " (count(administrators, "administrator", "administrators"))
            }),
            ("Quota", html! { (count(policies.quota.into(), "node", "nodes")) " of each member" }),
            ("Joining", html! { (approval(policies.approval)) }),
            ("Certificates", html! { "live " (span(policies.certificate_life_seconds)) }),
            ("Revocations", html! {
                a href={ (base) "/revocations" } { (count(group.notices, "notice", "notices")) }
                ", list good for " (span(group.next_update.since(frame.now).as_secs()))
            }),
            ("Authority", id(&group.issuer)),
            ("Since", moment(group.created)),
        ]))
    }
}

fn approval(approval: Approval) -> String {
    match approval {
        Approval::Manual => "an administrator decides".to_owned(),
        Approval::Automatic => "everybody who asks".to_owned(),
        Approval::AutomaticUpTo(limit) => format!("everybody, up to {limit} members"),
    }
}

fn no_node() -> Markup {
    empty(
        "No machine yet",
        "Download the blob above, copy it to a machine and run the command there. It appears here within seconds.",
        html! {},
    )
}

fn not_found(group: &GroupView) -> Markup {
    empty(
        "No node has or had that address",
        "Addresses are written down while the node is up and a daemon of the group stands beside this service. Look for the ID of the node instead.",
        html! { a.button href={ "/groups/" (group.summary.name) "#nodes" } { "All nodes" } },
    )
}

/// The way from a virtual address back to a user.
fn finder(shown: &Overview<'_>) -> Markup {
    let place = format!("/groups/{}", shown.group.summary.name);
    html! {
        form.line.finder method="get" action={ (place) "#nodes" } role="search" {
            (Field {
                name: "find",
                label: "Virtual address or node ID",
                value: shown.find.unwrap_or_default(),
                max: Some(64),
                ..Field::default()
            })
            button { "Find" }
            @if shown.find.is_some() { a href={ (place) "#nodes" } { "All nodes" } }
        }
    }
}

fn node_table(frame: &Frame, shown: &Overview<'_>) -> Markup {
    let columns = [
        Column::text("Machine"),
        Column::text("Node ID"),
        Column::text("Virtual address"),
        Column::text("Certificate"),
        Column::text("Issued"),
        Column::text("Last seen"),
        Column::text("Path"),
    ];
    let base = format!("/groups/{}/nodes", shown.group.summary.name);
    table(
        "Nodes of the group",
        columns,
        shown.nodes.iter().map(|node| {
            [
                html! {
                    a href={ (base) "/" (node.node) } { (name(node)) }
                    span.sub { (node.user.name) }
                },
                id(node.node),
                address(node),
                html! {
                    @match node.serial {
                        Some(serial) => (id(serial)),
                        None => span.aside { "none" },
                    }
                },
                html! {
                    @if let Some(at) = node.issued { (moment(at)) }
                    @if let Some(end) = node.not_after {
                        span.sub { "ends " (relative(end, frame.now)) }
                    }
                },
                seen(frame, node),
                path(frame, node),
            ]
        }),
    )
}

/// What people call a node.
pub fn name(node: &NodeView) -> String {
    node.host.clone().unwrap_or_else(|| format!("{:?}", node.node))
}

/// Its address in the group.
pub fn address(node: &NodeView) -> Markup {
    html! {
        @match &node.address {
            Some(address) => code { (address) },
            None => span.aside { "none yet" },
        }
    }
}

/// When it was last seen.
pub fn seen(frame: &Frame, node: &NodeView) -> Markup {
    html! {
        @match node.last_seen {
            Some(at) => (relative(at, frame.now)),
            None => span.aside { "never" },
        }
    }
}

/// How it is reached.
pub fn path(frame: &Frame, node: &NodeView) -> Markup {
    let path = node.path.as_deref().filter(|_| is_live(node, frame.now));
    html! {
        @match (&node.ended, path) {
            (Some(why), _) => (badge(Tone::Plain, ended(*why))),
            (None, Some("direct")) => (badge(Tone::Good, "direct")),
            (None, Some(path)) => (badge(Tone::Caution, path)),
            (None, None) if node.last_seen.is_none() => span.aside { "unknown" },
            (None, None) => (badge(Tone::Plain, "offline")),
        }
    }
}

/// The page of a group for somebody who is no member: ask to join, or see what came of it.
pub fn outside(frame: &Frame, group: &str, request: Option<&RequestView>, draft: &Draft) -> Markup {
    frame.page(
        group,
        html! {
            (title(Some(("Groups", "/")), group, html! {}))
            @match request.map(|request| (request, request.state)) {
                Some((request, RequestState::Pending)) => (waiting(frame, group, request)),
                Some((request, RequestState::Denied)) => {
                    (denied(request))
                    (ask(frame, group, draft))
                },
                _ => (ask(frame, group, draft)),
            }
        },
    )
}

/// What was entered in a refused try to ask.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    /// The reason.
    pub reason: String,
    /// Why it was refused.
    pub error: Option<String>,
}

fn waiting(frame: &Frame, group: &str, request: &RequestView) -> Markup {
    let action = format!("/groups/{group}/requests/{}/withdraw", request.id);
    let form = html! { div.actions { button { "Withdraw the request" } } };
    html! {
        (notice(Tone::Caution, html! {
            "You asked to join on " (moment(request.asked))
            ". An administrator decides on it; this page shows the answer as soon as there is one."
        }))
        section.prose {
            h2 { "Your reason" }
            p.quote { (request.reason) }
            (post(&frame.csrf, "stack", &action, form))
        }
    }
}

fn denied(request: &RequestView) -> Markup {
    notice(
        Tone::Bad,
        html! {
            p {
                "Your request was denied"
                @if let Some(at) = request.decided { " on " (moment(at)) }
                "."
            }
            @if !request.note.is_empty() { p.quote { (request.note) } }
        },
    )
}

fn ask(frame: &Frame, group: &str, draft: &Draft) -> Markup {
    let form = html! {
        (Field {
            name: "reason",
            label: "Why do you want to join?",
            kind: "textarea",
            value: &draft.reason,
            hint: Some("Who you are, and what for. The group's administrators read it, nobody else. At most 500 characters."),
            error: draft.error.as_deref(),
            max: Some(500),
            ..Field::default()
        })
        div.actions { button.primary { "Ask to join" } }
    };
    html! {
        p.lead { "You are not a member of this group. Ask its administrators to let you in." }
        (post(&frame.csrf, "stack", &format!("/groups/{group}/requests"), form))
    }
}
