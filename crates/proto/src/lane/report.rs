//! What a lane tells its node once a second.

use super::{Drops, Slot};
use crate::NodeId;
use crate::path::Path;
use crate::time::Instant;

/// What happened since the report before.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Packets that went no further.
    pub drops: Drops,
    /// Sessions that carried something.
    pub sessions: Vec<SessionReport>,
}

/// What one session carried since the report before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionReport {
    /// Its place.
    pub slot: Slot,
    /// The other end: tells a stale report about a former session in the same place.
    pub peer: NodeId,
    /// Frames and bytes.
    pub tally: Tally,
    /// Frames sealed in the epoch that runs; the node advances it in time.
    pub frames_in_epoch: u64,
}

/// Frames and bytes of one session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Frames sealed.
    pub sent_frames: u64,
    /// Bytes of packets in them.
    pub sent_bytes: u64,
    /// Frames opened.
    pub received_frames: u64,
    /// Bytes of packets in them.
    pub received_bytes: u64,
    /// When a packet was last given to the session.
    pub last_sent: Option<Instant>,
    /// When a frame was last opened.
    pub last_heard: Option<Instant>,
    /// Whether a packet was sent, whole or in two pieces, whose frame is longer than every path carries.
    pub long: bool,
    /// The last way other than its own path by which an authentic frame came: the node may challenge it.
    pub roamed: Option<Path>,
}
