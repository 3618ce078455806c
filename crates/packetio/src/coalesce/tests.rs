//! Segments of one flow become one super-packet again, byte for byte, and nothing else is merged.

use super::*;
use crate::testing::{Spec, split};
use proptest::prelude::*;

/// Puts packets together, in the way of the writer, and returns what would be written.
fn merge(packets: &mut [Vec<u8>], checksum: Checksum) -> Vec<(Header, Vec<u8>)> {
    let mut pending = SuperPacket::default();
    let mut written = Vec::new();
    for packet in packets {
        let layout = Layout::parse(packet).expect("well formed");
        let transport = layout.transport(packet).expect("TCP or UDP");
        let Some(member) = Member::of(packet, layout, transport, checksum) else {
            written.extend(pending.take().map(|finished| collect(&finished)));
            written.push((Header::default(), packet.clone()));
            continue;
        };
        if let Err(packet) = pending.append(packet, &member) {
            written.extend(pending.take().map(|finished| collect(&finished)));
            pending.start(packet, member);
        }
        if pending.is_closed() {
            written.extend(pending.take().map(|finished| collect(&finished)));
        }
    }
    written.extend(pending.take().map(|finished| collect(&finished)));
    written
}

fn collect(finished: &Finished<'_, '_>) -> (Header, Vec<u8>) {
    let mut bytes = finished.first.to_vec();
    finished.rest.iter().for_each(|part| bytes.extend_from_slice(part));
    (finished.header, bytes)
}

fn spec() -> impl Strategy<Value = Spec> {
    let versions = prop_oneof![Just(Version::V4), Just(Version::V6)];
    let flags = prop_oneof![Just(0x10_u8), Just(0x18), Just(0x11), Just(0x19)];
    let options = (0..=10_usize).prop_flat_map(|n| proptest::collection::vec(any::<u8>(), n * 4));
    let payload = proptest::collection::vec(any::<u8>(), 1..6000);
    let rest = (any::<u32>(), any::<u16>(), any::<bool>(), any::<bool>());
    (versions, options, flags, payload, rest).prop_map(
        |(version, options, flags, payload, (sequence, identification, dont_fragment, is_tcp))| {
            let base =
                if is_tcp { Spec::tcp(version, &payload) } else { Spec::udp(version, &payload) };
            Spec { options, flags, sequence, identification, dont_fragment, ..base }
        },
    )
}

proptest! {
    #[test]
    fn what_was_split_is_put_together_to_the_same_bytes(
        spec in spec(),
        segment_len in 100_u16..3000,
    ) {
        let header = spec.super_header(segment_len);
        let original = spec.partial();
        let mut segments = split(&header, &original);
        let count = segments.len();
        let merged = merge(&mut segments, Checksum::Partial);
        prop_assert_eq!(merged.len(), 1);
        prop_assert_eq!(&merged[0].1, &original);
        if count > 1 {
            prop_assert_eq!(merged[0].0, header);
        } else {
            prop_assert_eq!(merged[0].0, Header { partial: header.partial, ..Header::default() });
        }
    }

    /// Packets of several flows in any order: whatever is merged splits into the very packets that
    /// came in, in their order.
    #[test]
    fn merging_loses_nothing_and_keeps_order(
        specs in proptest::collection::vec((spec(), 100_u16..1500), 1..5),
        picks in proptest::collection::vec(any::<proptest::sample::Index>(), 0..60),
    ) {
        let pool: Vec<Vec<u8>> = specs
            .iter()
            .flat_map(|(spec, len)| split(&spec.super_header(*len), &spec.partial()))
            .collect();
        let mut packets: Vec<Vec<u8>> = pool.clone();
        packets.extend(picks.iter().map(|pick| pick.get(&pool).clone()));
        let expected = packets.clone();
        let mut result = Vec::new();
        for (header, bytes) in merge(&mut packets, Checksum::Partial) {
            result.extend(split(&header, &bytes));
        }
        // The identification of packets that must not be fragmented is free (RFC 6864).
        let normal = |packets: Vec<Vec<u8>>| -> Vec<Vec<u8>> {
            packets.into_iter().map(|mut packet| {
                if packet[0] >> 4 == 4 && packet[6] & IPV4_DONT_FRAGMENT != 0 {
                    packet[4..6].fill(0);
                    packet[10..12].fill(0);
                }
                packet
            }).collect()
        };
        prop_assert_eq!(normal(result), normal(expected));
    }
}

fn two(change: impl FnOnce(&mut Spec)) -> usize {
    let first = Spec::tcp(Version::V4, &[1; 500]);
    let mut second = Spec {
        sequence: first.sequence.wrapping_add(500),
        identification: first.identification.wrapping_add(1),
        ..first.clone()
    };
    change(&mut second);
    merge(&mut [first.complete(), second.complete()], Checksum::Complete).len()
}

#[test]
fn only_the_next_packet_of_the_same_flow_joins() {
    assert_eq!(two(|_| ()), 1);
    assert_eq!(two(|second| second.payload.truncate(20)), 1);
    assert_eq!(two(|second| second.payload.push(1)), 2, "longer than the first");
    assert_eq!(two(|second| second.sequence += 1), 2, "a gap");
    assert_eq!(two(|second| second.flags = 0x12), 2, "SYN");
    assert_eq!(two(|second| second.flags = 0x30), 2, "URG");
    assert_eq!(two(|second| second.options = vec![1; 4]), 2, "other options");
    assert_eq!(two(|second| second.payload.clear()), 2, "no payload");
    assert_eq!(two(|second| second.protocol = UDP), 2, "another protocol");
}

#[test]
fn a_wrong_checksum_is_not_papered_over() {
    let spec = Spec::tcp(Version::V6, &[1; 500]);
    let next = Spec { sequence: spec.sequence.wrapping_add(500), ..spec.clone() };
    let mut damaged = next.complete();
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    assert_eq!(merge(&mut [spec.complete(), next.complete()], Checksum::Complete).len(), 1);
    assert_eq!(merge(&mut [spec.complete(), damaged], Checksum::Complete).len(), 2);
}

#[test]
fn a_super_packet_ends_at_its_bounds() {
    let small: Vec<Spec> = (0..70_u32)
        .map(|index| Spec { sequence: index * 10, ..Spec::tcp(Version::V6, &[1; 10]) })
        .collect();
    let mut packets: Vec<Vec<u8>> = small.iter().map(Spec::partial).collect();
    let written = merge(&mut packets, Checksum::Partial);
    assert_eq!(written.len(), 2, "64 packets and the other 6");

    let large: Vec<Spec> = (0..8_u32)
        .map(|index| Spec { sequence: index * 9000, ..Spec::tcp(Version::V4, &[1; 9000]) })
        .collect();
    let mut packets: Vec<Vec<u8>> = large.iter().map(Spec::partial).collect();
    let written = merge(&mut packets, Checksum::Partial);
    assert!(written.iter().all(|(_, bytes)| bytes.len() <= SUPER_LEN_MAX));
    assert_eq!(written.len(), 2);
}
