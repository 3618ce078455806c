//! A lane whose only session leads to a member that seals what it likes.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use warren_proto::NodeId;
use warren_proto::lane::{Delta, Lane, NewSession, Slot};
use warren_proto::path::Path;
use warren_proto::session::aead::Cipher;
use warren_proto::session::keys::{ChainSecret, Sender, TrafficSecrets};
use warren_proto::session::{Epoch, Index, LaneId};
use warren_proto::vpn::address::{Local, Subnet, ipv6_of};
use warren_proto::vpn::verdict::Mode;
use warren_proto::wire::ip::protocol;

/// The address of the lane's host, and the member's.
pub const OURS: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
pub const THEIRS: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
/// Where the member's datagrams come from.
pub const PATH: Path = Path::Direct(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)), 7415));

/// The member's end of the session, and the lane.
pub fn pair() -> (Sender, Lane) {
    let chain = |n| ChainSecret::new([n; 32]);
    let (slot, id, cipher) = (Slot(0), LaneId::FIRST_DATA, Cipher::Null);
    let [index, receiver] = [1, 2].map(|salt| Index::new(slot.0, id, salt));
    let session = NewSession {
        peer: NodeId::from_bytes([2; 20]),
        index,
        receiver,
        secrets: TrafficSecrets { send: chain(1), receive: chain(2), cipher },
        path: PATH,
    };
    let local = Local {
        subnet: Subnet::new(Ipv4Addr::new(10, 9, 0, 0), 24),
        ipv4: Some(OURS),
        ipv6: ipv6_of("team", NodeId::from_bytes([1; 20])),
        mtu: 1_280,
    };
    let mut lane = Lane::new(id, Mode::Split);
    lane.apply(Delta::Local(local));
    lane.apply(Delta::AddSession { slot, session: Box::new(session) });
    lane.apply(Delta::AllowSource { slot, source: THEIRS.into() });
    (Sender::new(chain(2), Epoch(0), id, index, cipher), lane)
}

/// A UDP packet from the member to the lane's host.
pub fn packet(payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, protocol::UDP, 0, 0];
    packet.extend([THEIRS, OURS].map(|address| address.octets()).concat());
    packet.extend([0; 8]);
    packet.extend(payload);
    let len = packet.len() as u16;
    packet[2..4].copy_from_slice(&len.to_be_bytes());
    packet
}
