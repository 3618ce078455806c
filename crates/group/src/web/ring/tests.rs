//! The picture of the ring, judged by its numbers.

use std::f64::consts::TAU;

use proptest::prelude::*;

use super::layout::{labels, spread};
use super::*;

fn id(first: u8) -> NodeId {
    let mut bytes = [0; NodeId::LEN];
    bytes[0] = first;
    NodeId::from_bytes(bytes)
}

fn spot(first: u8, name: &str) -> Spot {
    let href = format!("/groups/team/nodes/{}", id(first));
    Spot { id: id(first), name: name.to_owned(), live: true, own: false, href }
}

#[test]
fn a_node_stands_where_its_id_is() {
    let ring = Ring {
        nodes: vec![spot(0x40, "east"), spot(0x00, "north"), spot(0x80, "south")],
        paths: Vec::new(),
    };
    let svg = draw(&ring).into_string();
    assert!(svg.contains(r#"cx="0" cy="-140""#), "{svg}");
    assert!(svg.contains(r#"cx="140" cy="0""#), "{svg}");
    assert!(svg.contains(r#"cx="0" cy="140""#), "{svg}");
    assert!(svg.find("north") < svg.find("east"), "ring order is reading order");
}

#[test]
fn paths_are_drawn_once_each_and_only_between_known_nodes() {
    let path = |a, b, direct| Path { ends: [id(a), id(b)], direct };
    let ring = Ring {
        nodes: vec![spot(0x00, "a"), spot(0x10, "b"), spot(0x90, "c")],
        paths: vec![path(0x00, 0x10, true), path(0x90, 0x00, false), path(0x00, 0x77, true)],
    };
    let svg = draw(&ring).into_string();
    assert_eq!(svg.matches(r#"class="path""#).count(), 1, "{svg}");
    assert_eq!(svg.matches(r#"class="path overlay far""#).count(), 1, "{svg}");
    assert_eq!(svg.matches("class=\"path").count(), 2, "{svg}");
}

#[test]
fn names_are_escaped_and_no_style_is_inline() {
    let svg = draw(&Ring { nodes: vec![spot(1, "<b>&")], paths: Vec::new() }).into_string();
    assert!(svg.contains("&lt;b&gt;&amp;") && !svg.contains("<b>"), "{svg}");
    assert!(!svg.contains("style="), "{svg}");
}

#[test]
fn a_ring_of_thousands_stays_a_picture() {
    let nodes = (0..5000u32).map(|i| {
        let mut bytes = [0; NodeId::LEN];
        bytes[..4].copy_from_slice(&(i * 800_000).to_be_bytes());
        Spot { id: NodeId::from_bytes(bytes), ..spot(0, "n") }
    });
    let svg = draw(&Ring { nodes: nodes.collect(), paths: Vec::new() }).into_string();
    assert_eq!(svg.matches("class=\"dot\"").count(), NODES_DRAWN_MAX);
    assert!(svg.len() < 200_000, "{} bytes", svg.len());
}

proptest! {
    #[test]
    fn dots_keep_their_order_and_a_distance(
        mut angles in proptest::collection::vec(0.0..TAU, 2..80),
    ) {
        angles.sort_by(f64::total_cmp);
        let spread = spread(&angles);
        let even = TAU / angles.len() as f64;
        let apart = 0.12f64.min(even * 0.7) - 1e-9;
        for pair in spread.windows(2) {
            prop_assert!(pair[1] - pair[0] >= apart, "{pair:?}");
        }
        prop_assert!(spread[0] + TAU - spread[spread.len() - 1] >= apart);
    }

    #[test]
    fn names_do_not_overlap_and_stay_in_the_picture(
        mut angles in proptest::collection::vec(0.0..TAU, 1..=NODES_NAMED_MAX),
    ) {
        angles.sort_by(f64::total_cmp);
        let labels = labels(&spread(&angles), 156.0);
        for (i, one) in labels.iter().enumerate() {
            prop_assert!(one.y.abs() <= 175.0 && one.x.abs() <= 160.0, "{one:?}");
            for other in &labels[i + 1..] {
                let free = one.right != other.right || (one.y - other.y).abs() >= 13.4;
                prop_assert!(free, "{one:?} {other:?}");
            }
        }
    }
}
