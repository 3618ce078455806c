//! What the control traffic of a node is made of: datagrams sent directly and their bytes, by cause.
//!
//! What goes through the overlay is counted once, as [`Cause::Tunnel`], where it leaves in a direct datagram.

use crate::path::Path;
use crate::wire::control::Control;
use crate::wire::routed::{Protocol, Routed};

/// Why a control datagram is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Cause {
    /// Probes, invitations and hellos: new links, new keys, looks at bootstrap endpoints.
    Handshake,
    /// What ends of a session tell each other when it begins, moves, changes its address or ends.
    Greeting,
    /// Pings of an idle or suspect session, and their answers.
    KeepAlive,
    /// Neighbours told to linked peers.
    Status,
    /// Requests for links and their answers; at rest, looks whether our place in the ring is right.
    Connect,
    /// Crawls.
    Crawl,
    /// The hash table.
    Dht,
    /// Sessions through the overlay.
    Tunnel,
    /// Pings over the overlay and questions for the node nearest to an address.
    Query,
    /// What members tell each other of their authority: revocations, heads, group secrets.
    News,
    /// Revocations and heads told to everybody.
    Broadcast,
}

impl Cause {
    /// All causes, in the order of their numbers.
    pub const ALL: [Cause; 11] = [
        Cause::Handshake,
        Cause::Greeting,
        Cause::KeepAlive,
        Cause::Status,
        Cause::Connect,
        Cause::Crawl,
        Cause::Dht,
        Cause::Tunnel,
        Cause::Query,
        Cause::News,
        Cause::Broadcast,
    ];

    /// The word that metrics use.
    pub const fn name(self) -> &'static str {
        match self {
            Cause::Handshake => "handshake",
            Cause::Greeting => "greeting",
            Cause::KeepAlive => "keep_alive",
            Cause::Status => "status",
            Cause::Connect => "connect",
            Cause::Crawl => "crawl",
            Cause::Dht => "dht",
            Cause::Tunnel => "tunnel",
            Cause::Query => "query",
            Cause::News => "news",
            Cause::Broadcast => "broadcast",
        }
    }

    /// The cause of a control message of our own or of one handed on; none if it is malformed, which only
    /// the node that wrote it can mend.
    pub fn of(message: &[u8]) -> Option<Cause> {
        Some(match Control::parse(message).ok()? {
            Control::Ping(_) | Control::Pong(_) => Cause::KeepAlive,
            Control::Status(_) => Cause::Status,
            Control::Welcome(_)
            | Control::Close(_)
            | Control::PathChallenge { .. }
            | Control::PathResponse(_)
            | Control::Address(_) => Cause::Greeting,
            Control::Standing(_) | Control::NewsAsk(_) | Control::News { .. } => Cause::News,
            Control::Broadcast { .. } => Cause::Broadcast,
            Control::Routed(routed) => match Routed::parse(routed).ok()?.protocol {
                Protocol::ConnectRequest | Protocol::ConnectReply => Cause::Connect,
                Protocol::NeighboursQuery | Protocol::NeighboursAnswer => Cause::Crawl,
                Protocol::Dht => Cause::Dht,
                Protocol::Tunnel => Cause::Tunnel,
                Protocol::Notices => Cause::News,
                Protocol::Ping | Protocol::Pong | Protocol::WhoIsNearest | Protocol::IAmNearest => {
                    Cause::Query
                }
            },
        })
    }
}

const _: () = {
    let mut n = 0;
    while n < Cause::ALL.len() {
        assert!(Cause::ALL[n] as usize == n);
        n += 1;
    }
};

/// Datagrams of one cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// How many.
    pub datagrams: u64,
    /// Their bytes, without those of IP and UDP headers.
    pub bytes: u64,
}

/// Control datagrams sent directly since the start, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent([Volume; Cause::ALL.len()]);

impl Sent {
    /// Counts a datagram, unless it goes through the overlay.
    pub(super) fn count(&mut self, cause: Cause, path: Path, datagram: &[u8]) {
        if let Path::Direct(_) = path {
            let volume = &mut self.0[cause as usize];
            volume.datagrams += 1;
            volume.bytes += datagram.len() as u64;
        }
    }

    /// Every cause with what was sent for it.
    pub fn iter(&self) -> impl Iterator<Item = (Cause, Volume)> + '_ {
        Cause::ALL.into_iter().zip(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NodeId;
    use crate::wire::routed::Mode;

    #[test]
    fn routed_messages_are_counted_by_what_they_carry() {
        let id = NodeId::from_bytes([1; 20]);
        let message = Routed {
            mode: Mode::Exact,
            crossed: false,
            hops: 1,
            hop_limit: 9,
            protocol: Protocol::Dht,
            source: id,
            destination: id,
            via: None,
            payload: b"x",
        };
        assert_eq!(Cause::of(&Control::Routed(&message.emit()).emit()), Some(Cause::Dht));
        assert_eq!(Cause::of(&Control::Pong(1).emit()), Some(Cause::KeepAlive));
        assert_eq!(Cause::of(&[]), None);
    }

    #[test]
    fn what_goes_through_the_overlay_is_not_counted_twice() {
        let mut sent = Sent::default();
        sent.count(Cause::KeepAlive, Path::Overlay(NodeId::from_bytes([1; 20])), &[0; 37]);
        assert_eq!(sent, Sent::default());
        sent.count(Cause::KeepAlive, Path::Direct(([10, 0, 0, 1], 7415).into()), &[0; 37]);
        let volumes: Vec<_> = sent.iter().filter(|(_, volume)| volume.datagrams > 0).collect();
        assert_eq!(volumes, [(Cause::KeepAlive, Volume { datagrams: 1, bytes: 37 })]);
    }
}
