//! Draws the ring of a group as SVG: where each node stands, and the paths between them.
//!
//! A pure function from values to markup. An angle is a node ID: zero is at the top, IDs grow
//! clockwise, so that the picture is the ring of the overlay. Where nodes lie closer than a dot is
//! wide, all positions give way toward even spacing, just far enough; their order never changes.
//! Names stand left and right of the ring, moved apart vertically where they would overlap.
//!
//! No style attributes: the policy of the pages forbids them. Colours are classes of the stylesheet.

use std::f64::consts::TAU;

use maud::{Markup, html};
use pki::NodeId;

mod layout;

use layout::{Label, labels, spread};

/// Most nodes that are drawn; a ring of more is a solid circle anyway.
pub const NODES_DRAWN_MAX: usize = 360;
/// Most nodes whose names are written: as many as two columns beside the ring hold.
const NODES_NAMED_MAX: usize = 22;
/// Longest name in characters; what is longer is cut.
const NAME_LEN_MAX: usize = 18;

/// Radius of the ring in units of the picture, which is 530 wide.
const RADIUS: f64 = 140.0;
/// Distance of the names from the ring.
const NAME_GAP: f64 = 16.0;

/// What is drawn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ring {
    /// The nodes, in any order.
    pub nodes: Vec<Spot>,
    /// The paths between them; paths of nodes that are not there are left out.
    pub paths: Vec<Path>,
}

/// A node of the picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    /// Its place.
    pub id: NodeId,
    /// What people call it.
    pub name: String,
    /// Whether it was seen lately.
    pub live: bool,
    /// Whether it belongs to whoever looks.
    pub own: bool,
    /// Page of the node.
    pub href: String,
}

/// A path between two nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// Its ends.
    pub ends: [NodeId; 2],
    /// Whether packets go straight, and not over other members.
    pub direct: bool,
}

/// Draws it.
pub fn draw(ring: &Ring) -> Markup {
    let mut nodes: Vec<&Spot> = ring.nodes.iter().collect();
    nodes.sort_by_key(|node| node.id);
    nodes.truncate(NODES_DRAWN_MAX);
    let angles = spread(&nodes.iter().map(|node| angle(node.id)).collect::<Vec<_>>());
    let names = if nodes.len() <= NODES_NAMED_MAX {
        labels(&angles, RADIUS + NAME_GAP)
    } else {
        Vec::new()
    };
    let dot = if nodes.len() <= 60 { 6.0 } else { 3.5 };
    html! {
        svg.ring viewBox="-265 -178 530 356" role="group" aria-label=(summary(ring)) {
            circle.rim r=(RADIUS) {}
            @for path in &ring.paths { (arc(path, &nodes, &angles)) }
            @for (place, node) in nodes.iter().enumerate() {
                (spot(node, angles[place], dot, names.get(place)))
            }
        }
    }
}

/// Returns the picture in a sentence.
fn summary(ring: &Ring) -> String {
    let live = ring.nodes.iter().filter(|node| node.live).count();
    let relayed = ring.paths.iter().filter(|path| !path.direct).count();
    format!(
        "Ring of {} nodes, {live} of them seen lately; {} paths, {relayed} of them over other members",
        ring.nodes.len(),
        ring.paths.len(),
    )
}

/// Returns where an ID stands, in radians clockwise from the top.
fn angle(id: NodeId) -> f64 {
    let first = id.as_bytes().first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    // 53 bits are what the fraction can hold.
    (first >> 11) as f64 / (1u64 << 53) as f64 * TAU
}

fn point(angle: f64, radius: f64) -> (f64, f64) {
    (radius * angle.sin(), -radius * angle.cos())
}

/// A path bends toward the middle, the more the farther apart its ends are.
fn arc(path: &Path, nodes: &[&Spot], angles: &[f64]) -> Markup {
    let place = |id: NodeId| nodes.binary_search_by_key(&id, |node| node.id).ok();
    let [Some(from), Some(to)] = path.ends.map(place) else { return html! {} };
    let (from, to) = (angles[from.min(to)], angles[from.max(to)]);
    let (apart, middle) = match to - from {
        apart if apart <= TAU / 2.0 => (apart, (from + to) / 2.0),
        apart => (TAU - apart, (from + to + TAU) / 2.0),
    };
    let ((x1, y1), (x2, y2)) = (point(from, RADIUS), point(to, RADIUS));
    let (cx, cy) = point(middle, RADIUS * (1.0 - 2.0 * apart / TAU));
    let far = if apart > TAU / 8.0 { " far" } else { "" };
    let class = format!("path{}{far}", if path.direct { "" } else { " overlay" });
    html! {
        path class=(class) d={
            "M" (short(x1)) " " (short(y1)) "Q" (short(cx)) " " (short(cy))
            " " (short(x2)) " " (short(y2))
        } {}
    }
}

fn spot(node: &Spot, angle: f64, dot: f64, label: Option<&Label>) -> Markup {
    let (x, y) = point(angle, RADIUS);
    let state = if node.live { "live" } else { "away" };
    let own = if node.own { " own" } else { "" };
    html! {
        a class={ (state) (own) } href=(node.href) {
            title {
                (node.name) ", " (node.id) @if !node.live { ", not seen lately" }
            }
            @if let Some(label) = label {
                path.leader d={
                    "M" (short(x)) " " (short(y)) "L" (short(label.x)) " " (short(label.y))
                } {}
                text x=(short(label.x + if label.right { 4.0 } else { -4.0 }))
                    y=(short(label.y + 3.5))
                    text-anchor=(if label.right { "start" } else { "end" }) { (cut(&node.name)) }
            }
            circle.dot cx=(short(x)) cy=(short(y)) r=(dot) {}
        }
    }
}

/// Writes a coordinate with one digit: a tenth of a unit is less than a pixel.
fn short(value: f64) -> f64 {
    // Adding zero turns the -0 of rounding into 0.
    (value * 10.0).round() / 10.0 + 0.0
}

fn cut(name: &str) -> String {
    if name.chars().count() <= NAME_LEN_MAX {
        return name.to_owned();
    }
    name.chars().take(NAME_LEN_MAX - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests;
