//! One node: whose it is, its address and certificate, and the way to put it out.

use maud::{Markup, html};

use super::group::{Tab, address, decides, head, name, path, seen};
use crate::view::{GroupView, NodeView};
use crate::web::page::Frame;
use crate::web::parts::{ended, facts, moment, relative, whole_id};

/// The page; `mine` says whether it is the visitor's node.
pub fn node(frame: &Frame, group: &GroupView, node: &NodeView, mine: bool) -> Markup {
    let base = format!("/groups/{}", group.summary.name);
    let may_revoke = (mine || decides(group)) && node.ended.is_none();
    frame.page(
        &format!("{} in {}", name(node), group.summary.name),
        html! {
            (head(group, Tab::Overview))
            div.title {
                h2 { (name(node)) }
                (path(frame, node))
            }
            section.card {
                (facts([
                    ("User", html! { (node.user.name) @if mine { span.aside { " (you)" } } }),
                    ("Node ID", whole_id(node.node)),
                    ("Virtual address", address(node)),
                    ("Last seen", seen(frame, node)),
                    ("Known since", moment(node.created)),
                    ("Kind", html! {
                        @if node.ephemeral { "ephemeral: forgotten when its certificate expires" }
                        @else { "permanent" }
                    }),
                    ("State", html! {
                        @match node.ended {
                            Some(why) => (ended(why)),
                            None => "counts against the quota",
                        }
                    }),
                ]))
            }
            h2 { "Certificate" }
            section.card { (certificate(frame, node)) }
            @if may_revoke {
                div.actions {
                    a.button.danger href={ (base) "/revoke?node=" (node.node) } { "Revoke this node" }
                    @if let Some(serial) = node.serial {
                        a.button href={ (base) "/revoke?serial=" (serial) } { "Revoke this certificate only" }
                    }
                }
            }
        },
    )
}

fn certificate(frame: &Frame, node: &NodeView) -> Markup {
    let (Some(serial), Some(issued), Some(end)) = (node.serial, node.issued, node.not_after) else {
        return html! {
            p.aside { "None yet: the node has asked for its ID, and not for a certificate." }
        };
    };
    facts([
        ("Serial", whole_id(serial)),
        ("Issued", moment(issued)),
        ("Ends", html! { (moment(end)) ", " (relative(end, frame.now)) }),
        ("Renewal", html! { "by the node itself, from a third of its life" }),
    ])
}
