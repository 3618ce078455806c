//! Ring arithmetic: the 160-bit IDs as points on a circle (paper section 3; Symphony).
//!
//! *Clockwise* means towards larger IDs, wrapping at 2^160. A node's *right* neighbour is the next one
//! clockwise, its *left* neighbour the next one counter-clockwise.

use crate::NodeId;
use std::cmp::Ordering;

/// Length of an arc in units of the ID space, below 2^160: in two words, as arcs are compared for every message
/// that is routed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Arc {
    high: u32,
    low: u128,
}

/// A way round the ring.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Side {
    /// Counter-clockwise, towards smaller IDs.
    Left,
    /// Clockwise, towards larger IDs.
    Right,
}

impl Side {
    /// Both sides, left first.
    pub const BOTH: [Side; 2] = [Side::Left, Side::Right];

    /// The other side.
    pub fn opposite(self) -> Side {
        match self {
            Side::Left => Side::Right,
            Side::Right => Side::Left,
        }
    }
}

impl Arc {
    /// No distance.
    pub const ZERO: Arc = Arc { high: 0, low: 0 };
    /// 2^160 as a float.
    const FULL: f64 = 1.461_501_637_330_903e48;

    /// The arc as a share of the whole ring, in `[0, 1)`, exact to 53 bits.
    pub fn share(self) -> f64 {
        self.to_bytes().iter().rev().fold(0.0, |acc, &b| (acc + f64::from(b)) / 256.0)
    }

    /// The arc that is `share` of the ring; `share` is clamped to `[0, 1)`.
    pub fn from_share(share: f64) -> Arc {
        let mut rest = share.clamp(0.0, 1.0 - f64::EPSILON);
        let mut b = [0; 20];
        for byte in &mut b {
            rest *= 256.0;
            *byte = rest as u8;
            rest -= f64::from(*byte);
        }
        Arc::from_bytes(b)
    }

    /// The arc of 2^`bit`, for `bit` below 160.
    pub fn power_of_two(bit: usize) -> Arc {
        match bit.checked_sub(128) {
            Some(bit) => Arc { high: 1 << bit, low: 0 },
            None => Arc { high: 0, low: 1 << bit },
        }
    }

    /// Number of arcs of this length that fill the ring: the node count that this mean gap suggests.
    pub fn fits(self) -> f64 {
        Self::FULL / (self.share() * Self::FULL).max(1.0)
    }

    fn from_bytes(b: [u8; 20]) -> Arc {
        let [h0, h1, h2, h3, low @ ..] = b;
        Arc { high: u32::from_be_bytes([h0, h1, h2, h3]), low: u128::from_be_bytes(low) }
    }

    fn to_bytes(self) -> [u8; 20] {
        let mut b = [0; 20];
        b[..4].copy_from_slice(&self.high.to_be_bytes());
        b[4..].copy_from_slice(&self.low.to_be_bytes());
        b
    }

    /// The arc from ID 0 clockwise to this one.
    fn to(id: NodeId) -> Arc {
        Arc::from_bytes(*id.as_bytes())
    }

    /// The sum, less whole turns.
    fn plus(self, other: Arc) -> Arc {
        let (low, carry) = self.low.overflowing_add(other.low);
        Arc { high: self.high.wrapping_add(other.high).wrapping_add(carry.into()), low }
    }

    /// The difference, plus a whole turn if it is negative.
    fn minus(self, other: Arc) -> Arc {
        let (low, borrow) = self.low.overflowing_sub(other.low);
        Arc { high: self.high.wrapping_sub(other.high).wrapping_sub(borrow.into()), low }
    }
}

/// The arc from `a` to `b`, going clockwise.
pub fn clockwise(a: NodeId, b: NodeId) -> Arc {
    Arc::to(b).minus(Arc::to(a))
}

/// The arc from `a` to `b`, going round by `side`.
pub fn arc(a: NodeId, b: NodeId, side: Side) -> Arc {
    match side {
        Side::Right => clockwise(a, b),
        Side::Left => clockwise(b, a),
    }
}

/// The shorter arc between two IDs.
pub fn distance(a: NodeId, b: NodeId) -> Arc {
    clockwise(a, b).min(clockwise(b, a))
}

/// The ID that lies `by` from `a`, going round by `side`.
pub fn offset(a: NodeId, by: Arc, side: Side) -> NodeId {
    let a = Arc::to(a);
    let end = if side == Side::Right { a.plus(by) } else { a.minus(by) };
    NodeId::from_bytes(end.to_bytes())
}

/// Orders two IDs by their distance to `point`. Of two at equal distance on either side the clockwise one
/// is nearer, so that every node picks the same owner of a point.
pub fn nearer(point: NodeId, a: NodeId, b: NodeId) -> Ordering {
    let key = |x| (distance(point, x), clockwise(point, x));
    key(a).cmp(&key(b))
}

/// Whether `x` lies strictly inside the clockwise arc from `a` to `b`; if `a == b`, that is everything but `a`.
pub fn between(a: NodeId, x: NodeId, b: NodeId) -> bool {
    let (ax, ab) = (clockwise(a, x), clockwise(a, b));
    ax != Arc::ZERO && (ab == Arc::ZERO || ax < ab)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(n: u128) -> NodeId {
        let mut b = [0; 20];
        b[..16].copy_from_slice(&n.to_be_bytes());
        NodeId::from_bytes(b)
    }

    proptest! {
        #[test]
        fn offset_inverts_clockwise(a in any::<[u8; 20]>(), b in any::<[u8; 20]>()) {
            let (a, b) = (NodeId::from_bytes(a), NodeId::from_bytes(b));
            prop_assert_eq!(offset(a, clockwise(a, b), Side::Right), b);
            prop_assert_eq!(offset(b, clockwise(a, b), Side::Left), a);
            prop_assert_eq!(distance(a, b), distance(b, a));
        }

        #[test]
        fn share_and_back_is_exact_to_float_precision(x in 0.0f64..1.0) {
            prop_assert!((Arc::from_share(x).share() - x).abs() < 1e-15);
        }
    }

    #[test]
    fn the_nearer_of_two_at_equal_distance_is_the_clockwise_one() {
        assert_eq!(nearer(id(10), id(11), id(9)), Ordering::Less);
        assert_eq!(nearer(id(10), id(8), id(11)), Ordering::Greater);
    }

    #[test]
    fn between_wraps_and_excludes_the_ends() {
        assert!(between(id(5), id(6), id(7)));
        assert!(!between(id(5), id(7), id(7)) && !between(id(5), id(5), id(7)));
        assert!(between(id(u128::MAX - 1), id(2), id(7)));
        assert!(between(id(5), id(9), id(5)) && !between(id(5), id(5), id(5)));
    }

    #[test]
    fn arcs_that_fill_the_ring_are_counted() {
        assert!((Arc::power_of_two(150).fits() - 1024.0).abs() < 1e-6);
    }
}
