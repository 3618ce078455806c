//! Super-packets are cut as the kernel would cut them.

use super::*;
use crate::ip::complete_checksum;
use crate::testing::{Spec, is_right, split};
use proptest::prelude::*;

const PAYLOAD: [u8; 2500] = [7; 2500];

#[test]
fn a_tcp_super_packet_becomes_consecutive_segments() {
    for version in [Version::V4, Version::V6] {
        let spec = Spec { flags: 0x99, ..Spec::tcp(version, &PAYLOAD) };
        let mut segments = split(&spec.super_header(1000), &spec.partial());
        assert_eq!(segments.len(), 3);
        let start = if version == Version::V4 { 20 } else { 40 };
        for (index, segment) in segments.iter_mut().enumerate() {
            complete_checksum(segment);
            assert!(is_right(segment));
            let sequence = spec.sequence.wrapping_add(1000 * index as u32);
            assert_eq!(ip::read_u32(segment, start + 4), sequence);
            if version == Version::V4 {
                let id = spec.identification.wrapping_add(index as u16);
                assert_eq!(ip::read_u16(segment, 4), id);
            }
        }
        // CWR on the first only, FIN and PSH on the last only, ACK on all.
        let flags: Vec<u8> = segments.iter().map(|segment| segment[start + TCP_FLAGS]).collect();
        assert_eq!(flags, [0x90, 0x10, 0x19]);
        assert_eq!(segments[2].len(), start + 20 + 500);
    }
}

#[test]
fn a_udp_super_packet_becomes_datagrams() {
    for version in [Version::V4, Version::V6] {
        let spec = Spec::udp(version, &PAYLOAD);
        let mut segments = split(&spec.super_header(1200), &spec.partial());
        let start = if version == Version::V4 { 20 } else { 40 };
        let lens: Vec<u16> = segments.iter().map(|s| ip::read_u16(s, start + 4)).collect();
        assert_eq!(lens, [1208, 1208, 108]);
        for segment in &mut segments {
            complete_checksum(segment);
            assert!(is_right(segment));
        }
    }
}

#[test]
fn a_single_packet_stays_as_it_is() {
    let spec = Spec::tcp(Version::V4, b"abc");
    let mut bytes = spec.partial();
    let header = Header { gso: Gso::None, segment_len: 0, ..spec.super_header(0) };
    let packet = Packet::parse(&header, &mut bytes).expect("well formed");
    let mut segments = packet.segments();
    let segment = segments.next_segment().expect("one");
    assert_eq!((segment.head, segment.checksum), (&spec.partial()[..], Checksum::Partial));
    assert!(segments.next_segment().is_none());
}

#[test]
fn a_half_done_checksum_of_another_protocol_is_completed() {
    // ICMPv6 echo: checksum at offset 2.
    let mut bytes = Spec::udp(Version::V6, b"12345678").partial();
    bytes[6] = 58;
    let sum = Layout::parse(&bytes).expect("well formed").pseudo_header(&bytes, 58, 16).fold();
    bytes[40..44].fill(0);
    ip::write_u16(&mut bytes, 42, sum);
    let header = Header { partial: Some((40, 2)), ..Header::default() };
    let packet = Packet::parse(&header, &mut bytes).expect("well formed");
    let mut segments = packet.segments();
    let segment = segments.next_segment().expect("one");
    assert_eq!(segment.checksum, Checksum::Complete);
    let layout = Layout::parse(segment.head).expect("well formed");
    assert_eq!(
        layout.pseudo_header(segment.head, 58, 16).add_bytes(&segment.head[40..]).finish(),
        0
    );
}

#[test]
fn segments_behind_extension_headers_get_complete_checksums() {
    let spec = Spec::tcp(Version::V6, &PAYLOAD);
    let mut bytes = spec.partial();
    // Eight bytes of destination options, all padding, before the TCP header.
    bytes.splice(40..40, [TCP, 0, 1, 4, 0, 0, 0, 0]);
    bytes[6] = 60;
    let total = bytes.len();
    ip::write_total_len(&mut bytes, Version::V6, total);
    let header = Header { partial: Some((48, 16)), ..spec.super_header(1000) };
    let packet = Packet::parse(&header, &mut bytes).expect("well formed");
    assert_eq!(packet.segment_len_max(), 48 + 20 + 1000);
    let mut segments = packet.segments();
    let mut count = 0;
    while let Some(segment) = segments.next_segment() {
        assert_eq!(segment.checksum, Checksum::Complete);
        let whole = [segment.head, segment.body].concat();
        let layout = Layout::parse(&whole).expect("well formed");
        assert_eq!(
            layout.pseudo_header(&whole, TCP, whole.len() - 48).add_bytes(&whole[48..]).finish(),
            0
        );
        count += 1;
    }
    assert_eq!(count, packet.segment_count());
}

proptest! {
    #[test]
    fn garbage_never_panics(
        header in any::<[u8; 10]>(),
        version in prop_oneof![Just(0x45_u8), Just(0x60), any::<u8>()],
        mut bytes in proptest::collection::vec(any::<u8>(), 0..400),
        right_len in any::<bool>(),
        protocol in prop_oneof![Just(6_u8), Just(17), any::<u8>()],
    ) {
        if bytes.len() >= 40 {
            bytes[0] = version;
            bytes[if version == 0x60 { 6 } else { 9 }] = protocol;
            if right_len {
                let len = bytes.len() as u16;
                if version == 0x60 {
                    ip::write_u16(&mut bytes, 4, len - 40);
                } else {
                    ip::write_u16(&mut bytes, 2, len);
                    bytes[6..8].fill(0);
                }
            }
        }
        if let Some(header) = Header::parse(header)
            && let Ok(packet) = Packet::parse(&header, &mut bytes)
        {
            let mut segments = packet.segments();
            let mut count = 0;
            while let Some(segment) = segments.next_segment() {
                prop_assert!(segment.len() <= packet.segment_len_max());
                prop_assert!(Layout::parse(&[segment.head, segment.body].concat()).is_some());
                count += 1;
            }
            prop_assert_eq!(count, packet.segment_count());
        }
    }
}
