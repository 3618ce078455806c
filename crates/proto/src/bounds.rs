//! How full the bounded tables and queues of a node are.
//!
//! Every machine tells of its own places; [`Node::fills`](crate::Node::fills) lists those of a whole node, and
//! [`Lane::fills`](crate::lane::Lane::fills) those of a lane. The simulator checks all of them while it runs. A
//! new bounded place belongs into the list of its machine. Queues of effects and outputs are not listed: they
//! are empty whenever the node waits.

/// One bounded place and how full it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// What is kept there.
    pub place: &'static str,
    /// How much is there; of many places alike, in the fullest.
    pub used: usize,
    /// How much may be there.
    pub most: usize,
}

impl Fill {
    /// A place with `used` of `most` taken.
    pub fn new(place: &'static str, used: usize, most: usize) -> Fill {
        Fill { place, used, most }
    }

    /// Whether no more is there than may be.
    pub fn is_within(&self) -> bool {
        self.used <= self.most
    }
}
