//! What a host sent and received, counted as a packet capture on its interface would.

use std::ops::{Add, Sub};

use proto::wire::frame::Kind;

/// IPv4 or IPv6 header and UDP header, in bytes.
pub(super) const HEADERS_LEN_V4: usize = 20 + 8;
pub(super) const HEADERS_LEN_V6: usize = 40 + 8;

/// A number of datagrams and their bytes, IP and UDP headers included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// Datagrams.
    pub datagrams: u64,
    /// Bytes on the wire above the link layer.
    pub bytes: u64,
}

/// One direction, split by the first byte of the datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// Path tokens: probes, their replies, invitations.
    pub probes: Volume,
    /// Handshakes.
    pub handshakes: Volume,
    /// Frames of established sessions.
    pub frames: Volume,
    /// Anything else.
    pub other: Volume,
}

/// Both directions of a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// What the host gave to the network, lost on the way or not.
    pub sent: Flow,
    /// What arrived at the host.
    pub received: Flow,
}

impl Volume {
    fn count(&mut self, bytes: usize) {
        self.datagrams += 1;
        self.bytes += bytes as u64;
    }
}

impl Flow {
    /// Everything together.
    pub fn total(&self) -> Volume {
        self.probes + self.handshakes + self.frames + self.other
    }

    pub(super) fn count(&mut self, datagram: &[u8], headers_len: usize) {
        let volume = match Kind::of(datagram) {
            Some(Kind::Probe | Kind::ProbeReply | Kind::Invite) => &mut self.probes,
            Some(Kind::HelloClear | Kind::HelloSealed) => &mut self.handshakes,
            Some(Kind::Frame) => &mut self.frames,
            _ => &mut self.other,
        };
        volume.count(datagram.len() + headers_len);
    }
}

impl Add for Volume {
    type Output = Volume;
    fn add(self, other: Volume) -> Volume {
        Volume { datagrams: self.datagrams + other.datagrams, bytes: self.bytes + other.bytes }
    }
}

impl Sub for Volume {
    type Output = Volume;
    /// What was counted since `earlier`.
    fn sub(self, earlier: Volume) -> Volume {
        Volume {
            datagrams: self.datagrams.saturating_sub(earlier.datagrams),
            bytes: self.bytes.saturating_sub(earlier.bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_sm_traffic_is_split_by_kind_and_includes_headers() {
        let mut flow = Flow::default();
        flow.count(&[Kind::Probe as u8; 10], HEADERS_LEN_V4);
        flow.count(&[Kind::Frame as u8; 100], HEADERS_LEN_V6);
        flow.count(&[Kind::Frame as u8; 100], HEADERS_LEN_V6);
        flow.count(&[], HEADERS_LEN_V4);
        assert_eq!(flow.probes, Volume { datagrams: 1, bytes: 38 });
        assert_eq!(flow.frames, Volume { datagrams: 2, bytes: 296 });
        assert_eq!(flow.total(), Volume { datagrams: 4, bytes: 38 + 296 + 28 });
        assert_eq!(flow.total() - flow.frames, Volume { datagrams: 2, bytes: 66 });
    }
}
