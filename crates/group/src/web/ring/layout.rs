//! Where the dots and names of the ring's picture go, so that none lies on another.

use std::f64::consts::TAU;

/// Share of even spacing that two neighbours keep at least.
const EVENNESS: f64 = 0.7;
/// Angle that is enough for a dot in a ring of any size.
const APART_MAX: f64 = 0.12;
/// Height of a line of text.
const LINE: f64 = 13.5;
/// Gap between the two columns of names, above and below the ring.
const MIDDLE: f64 = 10.0;

/// Moves sorted angles apart where two are too close: each goes the same share of its way to an
/// even ring, and that share is the smallest that suffices. The order stays.
pub(super) fn spread(angles: &[f64]) -> Vec<f64> {
    let count = angles.len();
    if count < 2 {
        return angles.to_vec();
    }
    let even = TAU / count as f64;
    let wanted = APART_MAX.min(even * EVENNESS);
    let closest = (0..count)
        .map(
            |i| if i + 1 < count { angles[i + 1] - angles[i] } else { angles[0] + TAU - angles[i] },
        )
        .fold(TAU, f64::min);
    if closest >= wanted {
        return angles.to_vec();
    }
    let share = (wanted - closest) / (even - closest);
    // The even ring is turned so that on average nobody moves.
    let turn = angles.iter().enumerate().map(|(i, a)| a - i as f64 * even).sum::<f64>();
    let turn = turn / count as f64;
    angles.iter().enumerate().map(|(i, a)| a + share * (turn + i as f64 * even - a)).collect()
}

/// Where a name goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Label {
    pub(super) x: f64,
    pub(super) y: f64,
    /// Whether it stands right of the ring, and runs away from it.
    pub(super) right: bool,
}

/// Puts a name beside each dot: at its height if there is room, else as near as its neighbours let.
pub(super) fn labels(angles: &[f64], radius: f64) -> Vec<Label> {
    let mut labels: Vec<Label> = angles
        .iter()
        .map(|a| Label { x: 0.0, y: -radius * a.cos(), right: a.sin() >= 0.0 })
        .collect();
    for right in [true, false] {
        let mut side: Vec<&mut Label> = labels.iter_mut().filter(|l| l.right == right).collect();
        side.sort_by(|a, b| a.y.total_cmp(&b.y));
        let mut heights: Vec<f64> = side.iter().map(|label| label.y).collect();
        move_apart(&mut heights, radius + LINE);
        for (label, y) in side.into_iter().zip(heights) {
            let beside = (radius * radius - y * y).max(0.0).sqrt().max(MIDDLE);
            label.y = y;
            label.x = if right { beside } else { -beside };
        }
    }
    labels
}

/// Gives sorted heights a line each: pushed down from the top, then up from `bottom`.
fn move_apart(heights: &mut [f64], bottom: f64) {
    for i in 1..heights.len() {
        heights[i] = heights[i].max(heights[i - 1] + LINE);
    }
    let mut limit = bottom;
    for height in heights.iter_mut().rev() {
        *height = height.min(limit);
        limit = *height - LINE;
    }
}
