//! Two lanes and the packets between them.

use super::*;
use crate::NodeId;
use crate::session::aead::Cipher;
use crate::session::keys::{ChainSecret, TrafficSecrets};
use crate::vpn::address::{Subnet, ipv6_of};
use crate::wire::ip::tests::udp;
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr};

const SLOT: Slot = Slot(3);
const MARKER: &[u8] = b"a marker that no capture may contain";

/// A lane of node `n`, which has the addresses 10.0.0.n and `ipv6_of("lab", [n; 20])`.
fn lane(n: u8) -> Lane {
    let mut lane = Lane::new(LaneId::FIRST_DATA, Mode::Split);
    lane.apply(Delta::Local(Local {
        subnet: Subnet::new(Ipv4Addr::new(10, 0, 0, 0), 24),
        ipv4: Some(Ipv4Addr::new(10, 0, 0, n)),
        ipv6: v6(n),
        mtu: 1280,
    }));
    lane
}

fn v6(n: u8) -> std::net::Ipv6Addr {
    ipv6_of("lab", NodeId::from_bytes([n; 20]))
}

fn v4(n: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, n])
}

fn path(n: u8) -> Path {
    Path::Direct(([192, 0, 2, n], 7415).into())
}

fn index(n: u8) -> Index {
    Index::new(SLOT.0, LaneId::FIRST_DATA, n)
}

/// Gives `lane`, of node `me`, the session with `peer`, and says which addresses the peer owns.
fn join(lane: &mut Lane, me: u8, peer: u8, cipher: Cipher) {
    let chain = |from: u8| ChainSecret::new([from; 32]);
    let secrets = TrafficSecrets { send: chain(me), receive: chain(peer), cipher };
    let session = Box::new(NewSession {
        peer: NodeId::from_bytes([peer; 20]),
        index: index(me),
        receiver: index(peer),
        secrets,
        path: path(peer),
    });
    lane.apply(Delta::AddSession { slot: SLOT, session });
    for address in [v4(peer), v6(peer).into()] {
        lane.apply(Delta::Route { destination: address, slot: SLOT });
        lane.apply(Delta::AllowSource { slot: SLOT, source: address });
    }
}

fn pair(cipher: Cipher) -> (Lane, Lane) {
    let (mut a, mut b) = (lane(2), lane(3));
    join(&mut a, 2, 3, cipher);
    join(&mut b, 3, 2, cipher);
    (a, b)
}

fn seal(lane: &mut Lane, packet: &[u8], checksum: Checksum) -> Result<Vec<u8>, Box<Outbound>> {
    match lane.outbound(packet, packet.len(), Instant::ZERO) {
        Outbound::Seal(flow) => {
            assert_eq!(flow.pieces(packet.len()), [Piece::Whole]);
            Ok(seal_piece(lane, flow, Piece::Whole, packet, checksum))
        }
        other => Err(Box::new(other)),
    }
}

fn seal_piece(
    lane: &mut Lane,
    flow: Flow,
    piece: Piece,
    packet: &[u8],
    checksum: Checksum,
) -> Vec<u8> {
    let mut frame = vec![0; piece.frame_len(packet.len())];
    let (head, body) = packet.split_at(28.min(packet.len()));
    let len = lane.seal(flow, piece, [head, body], checksum, &mut frame).expect("sealed");
    assert_eq!(len, frame.len());
    frame
}

/// Seals a packet that its path carries in two pieces only.
fn in_two(lane: &mut Lane, packet: &[u8]) -> [Vec<u8>; 2] {
    let Outbound::Seal(flow) = lane.outbound(packet, packet.len(), Instant::ZERO) else { panic!() };
    assert_eq!(flow.pieces(packet.len()), [Piece::First, Piece::Last]);
    [Piece::First, Piece::Last]
        .map(|piece| seal_piece(lane, flow, piece, packet, Checksum::Complete))
}

fn sealed(lane: &mut Lane, packet: &[u8]) -> Vec<u8> {
    seal(lane, packet, Checksum::Complete).expect("may leave")
}

#[test]
fn unit_vn_03_packets_cross_byte_for_byte() {
    for cipher in [Cipher::Aes256Gcm, Cipher::ChaCha20Poly1305] {
        let (mut a, mut b) = pair(cipher);
        for (from, to) in [(v4(2), v4(3)), (v6(2).into(), v6(3).into())] {
            let packet = udp(from, to, MARKER);
            for sent_as in [Checksum::Complete, Checksum::Partial] {
                let mut frame = seal(&mut a, &packet, sent_as).expect("may leave");
                assert!(!frame.windows(MARKER.len()).any(|w| w == MARKER));
                match b.inbound(path(2), &mut frame, Instant::ZERO) {
                    Inbound::Packet { packet: got, checksum } => {
                        assert_eq!((&*got, checksum), (&packet[..], sent_as));
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }
}

#[test]
fn a_warm_pair_of_lanes_carries_packets_without_allocating() {
    let (mut a, mut b) = pair(Cipher::Aes256Gcm);
    let packets = [(v4(2), v4(3)), (v6(2).into(), v6(3).into())]
        .map(|(from, to)| [40, 1_232].map(|len| udp(from, to, &vec![7; len])))
        .concat();
    let mut frame = [0; 2_048];
    let mut carry = |limit| {
        a.apply(Delta::SetLimit { slot: SLOT, limit });
        let (mut whole, mut joined) = (0, 0);
        let used = allocation_counter::measure(|| {
            for packet in packets.iter().cycle().take(64) {
                let out = a.outbound(packet, packet.len(), Instant::ZERO);
                let Outbound::Seal(flow) = out else { panic!("{out:?}") };
                let parts = packet.split_at(28).into();
                for &piece in flow.pieces(packet.len()) {
                    let len = a.seal(flow, piece, parts, Checksum::Complete, &mut frame);
                    let sealed = &mut frame[..len.expect("sealed")];
                    match b.inbound(path(2), sealed, Instant::ZERO) {
                        Inbound::Packet { .. } => whole += 1,
                        Inbound::Joined { .. } => joined += 1,
                        Inbound::Piece => {}
                        other => panic!("{other:?}"),
                    }
                }
            }
        });
        (whole, joined, used.count_total)
    };
    // Keys are derived at the first packet, and room for pieces is kept from the first that comes in two.
    let [wide, narrow] = [1_400, 1_200];
    carry(narrow);
    assert_eq!(carry(wide), (64, 0, 0));
    assert_eq!(carry(narrow), (32, 32, 0));
}

#[test]
fn unit_vn_02_a_flipped_bit_or_a_replay_is_dropped_and_counted() {
    let (mut a, mut b) = pair(Cipher::Aes256Gcm);
    let frame = sealed(&mut a, &udp(v4(2), v4(3), MARKER));
    for bit in 16 * 8..frame.len() * 8 {
        let mut bent = frame.clone();
        bent[bit / 8] ^= 1 << (bit % 8);
        let got = b.inbound(path(2), &mut bent, Instant::ZERO);
        assert_eq!(got, Inbound::Drop(Reason::Forged));
    }
    let mut again = frame.clone();
    let got = b.inbound(path(2), &mut again, Instant::ZERO);
    assert!(matches!(got, Inbound::Packet { .. }));
    let mut again = frame.clone();
    let got = b.inbound(path(2), &mut again, Instant::ZERO);
    assert_eq!(got, Inbound::Drop(Reason::Replay));
    let drops = b.report().drops;
    assert_eq!(drops.of(Reason::Forged), (frame.len() as u64 - 16) * 8);
    assert_eq!(drops.of(Reason::Replay), 1);
}

#[test]
fn unit_vn_10_a_member_that_sends_with_another_members_address_is_stopped() {
    let (mut a, mut b) = pair(Cipher::Null);
    // The thief's own lane would not send this; a changed program has no such scruples.
    let stolen = udp(v4(9), v4(3), b"x");
    let mut thief = |b: &mut Lane| {
        a.apply(Delta::Local(Local {
            subnet: Subnet::new(Ipv4Addr::new(10, 0, 0, 0), 24),
            ipv4: Some(Ipv4Addr::new(10, 0, 0, 9)),
            ipv6: v6(2),
            mtu: 1280,
        }));
        let mut frame = sealed(&mut a, &stolen);
        match b.inbound(path(2), &mut frame, Instant::ZERO) {
            Inbound::Unproven { peer, packet } => Err((peer, packet.to_vec())),
            Inbound::Drop(reason) => Ok(reason),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        thief(&mut b),
        Err((NodeId::from_bytes([2; 20]), stolen.clone())),
        "the node must look the lease up"
    );
    b.apply(Delta::ForbidSource { slot: SLOT, source: v4(9) });
    assert_eq!(thief(&mut b), Ok(Reason::NotTheOwner));
    b.apply(Delta::ForgetSource { slot: SLOT, source: v4(9) });
    assert!(thief(&mut b).is_err());
}

#[test]
fn what_is_not_a_frame_of_a_session_of_this_lane_goes_to_the_node_untouched() {
    let (mut a, mut b) = pair(Cipher::Null);
    let frame = sealed(&mut a, &udp(v4(2), v4(3), b"x"));
    let mut unknown = frame.clone();
    unknown[7] ^= 1;
    let mut control = frame.clone();
    control[1] = 0;
    let mut handshake = frame.clone();
    handshake[0] = Kind::HelloClear as u8;
    for datagram in [unknown, control, handshake] {
        let mut given = datagram.clone();
        assert_eq!(b.inbound(path(2), &mut given, Instant::ZERO), Inbound::Punt);
        assert_eq!(given, datagram);
    }
    let mut short = frame[..20].to_vec();
    let got = b.inbound(path(2), &mut short, Instant::ZERO);
    assert_eq!(got, Inbound::Drop(Reason::Malformed));
    assert_eq!(b.inbound(path(2), &mut [], Instant::ZERO), Inbound::Drop(Reason::Malformed));
}

#[test]
fn a_destination_without_a_session_is_the_nodes_and_one_outside_is_answered() {
    let mut a = lane(2);
    let out = |a: &mut Lane, to: IpAddr, longest| {
        let packet = udp(v4(2), to, b"x");
        a.outbound(&packet, longest, Instant::ZERO)
    };
    assert_eq!(out(&mut a, v4(3), 29), Outbound::Unrouted);
    assert!(matches!(out(&mut a, [192, 0, 2, 1].into(), 29), Outbound::Answer(_)));
    assert!(matches!(out(&mut a, v4(1), 29), Outbound::Answer(_)));
    assert!(matches!(out(&mut a, v4(3), 1281), Outbound::Answer(_)));
    assert_eq!(out(&mut a, v4(255), 29), Outbound::Drop(Reason::NotUnicast));
    assert_eq!(a.report().drops.of(Reason::TooBig), 1);
}

#[test]
fn answers_are_limited_and_resume() {
    let mut a = lane(2);
    let packet = udp(v4(2), [192, 0, 2, 1].into(), b"x");
    let mut flood = |at| {
        let at = Instant::from_micros(at);
        (0..500).filter(|_| matches!(a.outbound(&packet, 29, at), Outbound::Answer(_))).count()
    };
    assert_eq!(flood(0), 100);
    assert_eq!(flood(999_999), 0);
    assert_eq!(flood(1_000_000), 100);
}

#[test]
fn a_frame_from_a_new_address_is_reported_and_moves_nothing() {
    let (mut a, mut b) = pair(Cipher::Null);
    let now = Instant::from_micros(7);
    let mut frame = sealed(&mut a, &udp(v4(2), v4(3), b"x"));
    assert!(matches!(b.inbound(path(77), &mut frame, now), Inbound::Packet { .. }));
    let reply = udp(v4(3), v4(2), b"y");
    match b.outbound(&reply, reply.len(), now) {
        Outbound::Seal(flow) => assert_eq!(flow.path(), path(2)),
        other => panic!("{other:?}"),
    }
    let report = b.report();
    let [session] = report.sessions[..] else { panic!("{report:?}") };
    assert_eq!(session.tally.roamed, Some(path(77)));
    assert_eq!((session.tally.received_frames, session.tally.received_bytes), (1, 29));
    assert_eq!((session.tally.last_heard, session.tally.last_sent), (Some(now), Some(now)));
    assert!(b.report().sessions.is_empty());
    b.apply(Delta::SetPath { slot: SLOT, path: path(77) });
    match b.outbound(&reply, reply.len(), now) {
        Outbound::Seal(flow) => assert_eq!(flow.path(), path(77)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn unit_vn_01_what_a_path_does_not_carry_whole_crosses_in_two_pieces() {
    let (mut a, mut b) = pair(Cipher::Aes256Gcm);
    let packet = udp(v4(2), v4(3), &[7; 1_252]);
    let limit = path(3).datagram_max();
    for swapped in [false, true] {
        let mut frames = in_two(&mut a, &packet);
        assert!(frames.iter().all(|frame| frame.len() <= limit));
        if swapped {
            frames.reverse();
        }
        let [mut one, mut other] = frames;
        assert_eq!(b.inbound(path(2), &mut one, Instant::ZERO), Inbound::Piece);
        match b.inbound(path(2), &mut other, Instant::ZERO) {
            Inbound::Joined { packet: got, checksum: Checksum::Complete } => {
                assert_eq!(got, packet);
            }
            got => panic!("{got:?}"),
        }
    }
    let tally = a.report().sessions[0].tally;
    assert!(tally.long);
    assert_eq!((tally.sent_frames, tally.sent_bytes), (4, 2 * packet.len() as u64));

    a.apply(Delta::SetLimit { slot: SLOT, limit: frame_len(1_280) });
    let whole = sealed(&mut a, &packet);
    assert_eq!(whole.len(), frame_len(1_280));
    assert!(a.report().sessions[0].tally.long);
    sealed(&mut a, &udp(v4(2), v4(3), b"short"));
    assert!(!a.report().sessions[0].tally.long);
    a.apply(Delta::SetPath { slot: SLOT, path: path(9) });
    in_two(&mut a, &packet);
}

#[test]
fn unit_vn_01_two_pieces_are_judged_as_one_packet() {
    let (mut a, mut b) = pair(Cipher::Null);
    let packet = udp(v4(2), v4(3), &[7; 1_252]);
    let mut arrive = |b: &mut Lane| {
        let [mut first, mut last] = in_two(&mut a, &packet);
        assert_eq!(b.inbound(path(2), &mut first, Instant::ZERO), Inbound::Piece);
        match b.inbound(path(2), &mut last, Instant::ZERO) {
            Inbound::Unproven { peer, packet } => Err((peer, packet.to_vec())),
            Inbound::Drop(reason) => Ok(reason),
            other => panic!("{other:?}"),
        }
    };
    b.apply(Delta::ForgetSource { slot: SLOT, source: v4(2) });
    assert_eq!(arrive(&mut b), Err((NodeId::from_bytes([2; 20]), packet.clone())));
    b.apply(Delta::ForbidSource { slot: SLOT, source: v4(2) });
    assert_eq!(arrive(&mut b), Ok(Reason::NotTheOwner));
}

#[test]
fn a_verdict_does_not_outlive_the_session_it_was_given_for() {
    let (mut a, _) = pair(Cipher::Null);
    let packet = udp(v4(2), v4(3), b"x");
    let Outbound::Seal(flow) = a.outbound(&packet, packet.len(), Instant::ZERO) else { panic!() };
    join(&mut a, 4, 5, Cipher::Null);
    let seal = |a: &mut Lane| {
        a.seal(flow, Piece::Whole, [&packet, &[]], Checksum::Complete, &mut [0; 200])
    };
    assert_eq!(seal(&mut a), Err(Reason::SessionGone), "another session took its place");
    a.apply(Delta::RemoveSession { slot: SLOT });
    assert_eq!(seal(&mut a), Err(Reason::SessionGone));
    assert_eq!(a.outbound(&packet, packet.len(), Instant::ZERO), Outbound::Unrouted);
}

#[test]
fn the_peer_follows_to_the_next_epoch() {
    let (mut a, mut b) = pair(Cipher::Aes256Gcm);
    for _ in 0..3 {
        a.apply(Delta::Epoch { slot: SLOT });
        let mut frame = sealed(&mut a, &udp(v4(2), v4(3), b"x"));
        assert!(matches!(b.inbound(path(2), &mut frame, Instant::ZERO), Inbound::Packet { .. }));
    }
}

#[test]
fn a_half_done_checksum_is_completed_before_a_packet_waits() {
    let (mut a, mut b) = pair(Cipher::Null);
    b.apply(Delta::ForgetSource { slot: SLOT, source: v4(2) });
    let whole = udp(v4(2), v4(3), b"x");
    let mut half = whole.clone();
    // The complement of what the payload and the ports add to the sum of the pseudo header.
    let rest = ip::checksum::Sum::default().over(&whole[20..26]).over(&whole[28..]).finish();
    let full = u16::from_be_bytes([whole[26], whole[27]]);
    let pseudo = ip::checksum::Sum::default()
        .over(&full.to_be_bytes())
        .over(&(!rest).to_be_bytes())
        .finish();
    half[26..28].copy_from_slice(&pseudo.to_be_bytes());
    let mut frame = seal(&mut a, &half, Checksum::Partial).expect("may leave");
    match b.inbound(path(2), &mut frame, Instant::ZERO) {
        Inbound::Unproven { packet, .. } => assert_eq!(packet, whole),
        other => panic!("{other:?}"),
    }
}

#[test]
fn before_it_knows_its_addresses_a_lane_passes_nothing() {
    let (mut a, _) = pair(Cipher::Null);
    let mut deaf = Lane::new(LaneId::FIRST_DATA, Mode::Split);
    join(&mut deaf, 3, 2, Cipher::Null);
    let mut frame = sealed(&mut a, &udp(v4(2), v4(3), b"x"));
    let got = deaf.inbound(path(2), &mut frame, Instant::ZERO);
    assert_eq!(got, Inbound::Drop(Reason::NotForUs));
    let packet = udp(v4(3), v4(2), b"x");
    let got = deaf.outbound(&packet, packet.len(), Instant::ZERO);
    assert_eq!(got, Outbound::Drop(Reason::ForeignSource));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_packet_from_the_device_leaves_sealed_or_not_at_all(
        from in 0u8..5, to in any::<u8>(), inside: bool, cut in 0usize..200,
        noise in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let (mut a, mut b) = pair(Cipher::Aes256Gcm);
        let destination = if inside { v4(to) } else { IpAddr::from([192, 0, 2, to]) };
        let mut packet = udp(v4(from), destination, MARKER);
        packet.truncate(cut.max(1));
        let at = cut % packet.len();
        packet.splice(at..at, noise.iter().copied().take(cut % 3));
        match seal(&mut a, &packet, Checksum::Complete) {
            Ok(mut frame) => {
                prop_assert!(!frame.windows(MARKER.len()).any(|w| w == MARKER));
                let header = Header::parse(&packet).expect("judged");
                prop_assert_eq!((header.source, header.destination), (v4(2), v4(3)));
                if let Inbound::Packet { packet: got, .. } = b.inbound(path(2), &mut frame, Instant::ZERO) {
                    prop_assert_eq!(&*got, &packet[..]);
                }
            }
            // To our own host only, and only what names our own packet.
            Err(other) => if let Outbound::Answer(answer) = *other {
                let header = Header::parse_packet(&answer).expect("well formed");
                prop_assert_eq!(header.destination, Header::parse(&packet).expect("judged").source);
            }
        }
    }

    #[test]
    fn garbage_from_the_network_never_panics_and_never_passes(
        mut bytes in prop::collection::vec(any::<u8>(), 0..120), frame: bool,
    ) {
        let (_, mut b) = pair(Cipher::Aes256Gcm);
        if frame && bytes.len() >= 16 {
            let header = frame::Header {
                lane: LaneId::FIRST_DATA,
                epoch: crate::session::Epoch(bytes[2] % 3),
                receiver: index(3),
                counter: 5,
            };
            bytes[..16].copy_from_slice(&header.emit());
        }
        let got = b.inbound(path(2), &mut bytes, Instant::ZERO);
        prop_assert!(matches!(got, Inbound::Punt | Inbound::Drop(_)));
    }
}
