//! Headers of both IP versions, checksums, and ICMP errors.

use super::checksum::Sum;
use super::icmp::{Answer, Problem};
use super::*;
use proptest::prelude::*;

/// A UDP packet with right checksums, for every test of the crate that needs one.
pub(crate) fn udp(source: IpAddr, destination: IpAddr, payload: &[u8]) -> Vec<u8> {
    let len = 8 + payload.len();
    let mut packet = match (source, destination) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let mut head = vec![0x45, 0, 0, 0, 0, 7, 0x40, 0, 61, protocol::UDP, 0, 0];
            head[2..4].copy_from_slice(&((IPV4_HEADER_LEN + len) as u16).to_be_bytes());
            head.extend(from.octets());
            head.extend(to.octets());
            let sum = Sum::default().over(&head).finish();
            head[10..12].copy_from_slice(&sum.to_be_bytes());
            head
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let mut head = vec![0x60, 0, 0, 0, 0, 0, protocol::UDP, 61];
            head[4..6].copy_from_slice(&(len as u16).to_be_bytes());
            head.extend(from.octets());
            head.extend(to.octets());
            head
        }
        _ => panic!("two versions in one packet"),
    };
    let at = packet.len();
    packet.extend([0x12, 0x34, 0x56, 0x78]);
    packet.extend((len as u16).to_be_bytes());
    packet.extend([0, 0]);
    packet.extend(payload);
    let header = Header::parse_packet(&packet).expect("a packet just made");
    let sum = pseudo_sum(&packet, &header).over(&packet[at..]).finish();
    packet[at + 6..at + 8].copy_from_slice(&sum.to_be_bytes());
    packet
}

fn pseudo_sum(packet: &[u8], header: &Header) -> Sum {
    let addresses = if header.source.is_ipv4() { 12..20 } else { 8..40 };
    let len = header.total_len - header.header_len;
    Sum::of_pseudo_header(&packet[addresses], header.protocol, len)
}

fn v4(n: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, n])
}

fn v6(n: u16) -> IpAddr {
    IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, n])
}

fn checksums_are_right(packet: &[u8]) -> bool {
    let header = Header::parse_packet(packet).expect("a packet");
    let payload = &packet[header.header_len..];
    match header.protocol {
        protocol::ICMP => {
            Sum::default().over(&packet[..header.header_len]).finish() == 0
                && Sum::default().over(payload).finish() == 0
        }
        _ => pseudo_sum(packet, &header).over(payload).finish() == 0,
    }
}

#[test]
fn the_fields_of_both_versions_are_read() {
    for (from, to, header_len) in [(v4(1), v4(2), 20), (v6(1), v6(2), 40)] {
        let packet = udp(from, to, b"hello");
        let header = Header::parse_packet(&packet).expect("well formed");
        assert_eq!((header.source, header.destination), (from, to));
        assert_eq!((header.protocol, header.header_len), (protocol::UDP, header_len));
        assert_eq!(header.total_len, packet.len());
    }
}

#[test]
fn bytes_that_are_not_exactly_one_packet_are_refused() {
    for whole in [udp(v4(1), v4(2), b"hello"), udp(v6(1), v6(2), b"hello")] {
        for len in 0..whole.len() {
            assert!(Header::parse_packet(&whole[..len]).is_err());
        }
        let mut longer = whole.clone();
        longer.push(0);
        assert_eq!(Header::parse_packet(&longer), Err(Malformed::Trailing));
        for version in [0, 3, 5, 7, 15] {
            let mut other = whole.clone();
            other[0] = version << 4 | 5;
            assert_eq!(Header::parse_packet(&other), Err(Malformed::Field("version")));
        }
    }
    let mut short = udp(v4(1), v4(2), b"hello");
    short[0] = 0x44;
    assert_eq!(Header::parse(&short), Err(Malformed::Field("header length")));
    short[0] = 0x4f;
    assert!(Header::parse_packet(&short).is_err());
}

#[test]
fn an_error_is_never_answered_with_an_error() {
    for packet in [udp(v4(1), v4(2), b"x"), udp(v6(1), v6(2), b"x")] {
        let header = Header::parse(&packet).expect("well formed");
        let error = Answer::to(&packet, &header, Problem::Prohibited).expect("may be answered");
        let header = Header::parse_packet(&error).expect("an own packet");
        assert_eq!(Answer::to(&error, &header, Problem::Prohibited), None);
    }
    for to in [IpAddr::from([224, 0, 0, 251]), IpAddr::from([255; 4])] {
        let packet = udp(v4(1), to, b"x");
        let header = Header::parse(&packet).expect("well formed");
        assert_eq!(Answer::to(&packet, &header, Problem::Prohibited), None);
    }
}

#[test]
fn a_half_done_checksum_is_completed() {
    for whole in [udp(v4(1), v4(2), b"odd"), udp(v6(1), v6(2), b"even")] {
        let header = Header::parse(&whole).expect("well formed");
        let mut half = whole.clone();
        let field = checksum_field(&half, &header).expect("UDP has one");
        let pseudo = !pseudo_sum(&half, &header).finish();
        half[field..field + 2].copy_from_slice(&pseudo.to_be_bytes());
        assert!(complete_checksum(&mut half, &header));
        assert_eq!(half, whole);
    }
}

proptest! {
    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), first in 0u8..=255) {
        for version in [first, 0x45, 0x46, 0x60] {
            let mut bytes = bytes.clone();
            if let Some(b) = bytes.first_mut() {
                *b = version;
            }
            if let Ok(header) = Header::parse(&bytes) {
                for problem in [Problem::TooBig { mtu: 1280 }, Problem::NoSuchHost] {
                    if let Some(answer) = Answer::to(&bytes, &header, problem) {
                        prop_assert!(checksums_are_right(&answer));
                    }
                }
                complete_checksum(&mut bytes, &header);
            }
        }
    }

    #[test]
    fn an_answer_goes_back_with_right_checksums_and_quotes_the_packet(
        v6_else_v4: bool, payload in prop::collection::vec(any::<u8>(), 0..120), mtu: u16,
    ) {
        let (me, peer) = if v6_else_v4 { (v6(1), v6(2)) } else { (v4(1), v4(2)) };
        let packet = udp(me, peer, &payload);
        let header = Header::parse(&packet).expect("well formed");
        for problem in [Problem::TooBig { mtu }, Problem::Prohibited, Problem::NoSuchHost] {
            let answer = Answer::to(&packet, &header, problem).expect("may be answered");
            prop_assert!(checksums_are_right(&answer));
            let back = Header::parse_packet(&answer).expect("well formed");
            prop_assert_eq!((back.source, back.destination), (peer, me));
            let quote = &answer[back.header_len + 8..];
            prop_assert!(packet.starts_with(quote) && quote.len() >= packet.len().min(68));
        }
    }
}
