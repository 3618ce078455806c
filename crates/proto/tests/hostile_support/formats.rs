//! What must hold for arbitrary bytes, format by format: no panic, and what parses is emitted as the same bytes.
//!
//! Each function takes bytes as they may come from the network, says whether they are a message, and panics if
//! a parser takes them for something else than they are. Shared by the deterministic tests and by the
//! libFuzzer targets in `fuzz/`.

use super::lane;
use pki::enrolment::{self, Message};
use warren_proto::lane::Inbound;
use warren_proto::time::Instant;
use warren_proto::wire::connect::Connect;
use warren_proto::wire::control::Control;
use warren_proto::wire::crawl;
use warren_proto::wire::dht;
use warren_proto::wire::frame::{self, Kind};
use warren_proto::wire::hello;
use warren_proto::wire::ip::icmp::{Answer, Problem};
use warren_proto::wire::ip::{self, checksum_field, complete_checksum};
use warren_proto::wire::news::Items;
use warren_proto::wire::probe::{Invite, Probe, ProbeReply, envelope};
use warren_proto::wire::routed::Routed;

/// The header of a sealed frame.
pub fn wire_frame(bytes: &[u8]) -> bool {
    let Ok(header) = frame::Header::parse(bytes) else { return false };
    assert_eq!(Kind::of(bytes), Some(Kind::Frame));
    assert_eq!(header.emit(), bytes[..frame::HEADER_LEN]);
    true
}

/// A datagram of a handshake and, where it could be one, the refusal in it.
pub fn wire_hello(bytes: &[u8]) -> bool {
    let _ = hello::token(bytes);
    let Ok(header) = hello::Header::parse(bytes) else { return false };
    assert_eq!(header.emit(), bytes[..hello::HEADER_LEN]);
    assert!(header.cover.overhead() <= bytes.len());
    let piece = &bytes[header.cover.piece_at()..];
    if let Ok((code, detail)) = hello::parse_refusal(piece) {
        assert_eq!(hello::emit_refusal(code, detail), piece);
    }
    true
}

/// What precedes a handshake: envelopes, the fields sealed in them, and the reply.
pub fn wire_probe(bytes: &[u8]) -> bool {
    let sealed = [Kind::Probe, Kind::Invite].into_iter().any(|kind| envelope(kind, bytes).is_ok());
    let probe = Probe::parse(bytes).map(|probe| assert_eq!(probe.emit(), bytes));
    let invite = Invite::parse(bytes).map(|invite| assert_eq!(invite.emit(), bytes));
    let reply = ProbeReply::parse(bytes).map(|(reply, clear, tag)| {
        let tag = tag.try_into().expect("the parser cut it");
        assert_eq!(reply.emit(|_| tag), bytes);
        assert_eq!(clear, &bytes[..bytes.len() - tag.len()]);
    });
    sealed || probe.is_ok() || invite.is_ok() || reply.is_ok()
}

/// The plaintext of a control frame.
pub fn wire_control(bytes: &[u8]) -> bool {
    Control::parse(bytes).map(|message| assert_eq!(message.emit(), bytes)).is_ok()
}

/// A message of the overlay.
pub fn wire_routed(bytes: &[u8]) -> bool {
    Routed::parse(bytes).map(|message| assert_eq!(message.emit(), bytes)).is_ok()
}

/// A request for a link, or its reply.
pub fn wire_connect(bytes: &[u8]) -> bool {
    Connect::parse(bytes).map(|message| assert_eq!(message.emit(), bytes)).is_ok()
}

/// What a crawl asks, or is answered.
pub fn wire_crawl(bytes: &[u8]) -> bool {
    let query = crawl::Query::parse(bytes).map(|query| assert_eq!(query.emit(), bytes));
    let answer = crawl::Answer::parse(bytes).map(|answer| assert_eq!(answer.emit(), bytes));
    query.is_ok() || answer.is_ok()
}

/// A list of items: the payload of the routed protocol `Notices`.
pub fn wire_news(bytes: &[u8]) -> bool {
    let Ok(items) = Items::parse(bytes) else { return false };
    let mut rest = bytes;
    for item in items.iter() {
        let (length, after) = rest.split_first_chunk().expect("the parser saw it");
        assert_eq!(usize::from(u16::from_be_bytes(*length)), item.len());
        rest = after.strip_prefix(item).expect("items lie one behind the other");
    }
    assert!(rest.is_empty());
    true
}

/// A message of the hash table.
pub fn wire_dht(bytes: &[u8]) -> bool {
    dht::Message::parse(bytes).map(|message| assert_eq!(message.emit(), bytes)).is_ok()
}

/// The header of an IP packet, with everything that is made of it: an error to its sender, a checksum.
pub fn wire_ip(bytes: &[u8]) -> bool {
    let Ok(header) = ip::Header::parse(bytes) else { return false };
    assert_eq!(header.source.is_ipv4(), header.destination.is_ipv4());
    assert!(header.header_len <= bytes.len() && header.header_len <= header.total_len);
    let exact = ip::Header::parse_packet(bytes) == Ok(header);
    assert_eq!(exact, header.total_len == bytes.len());
    for problem in [Problem::TooBig { mtu: 1_280 }, Problem::Prohibited, Problem::NoSuchHost] {
        let Some(answer) = Answer::to(bytes, &header, problem) else { continue };
        let own = ip::Header::parse_packet(&answer).expect("our own packet");
        assert_eq!((own.source, own.destination), (header.destination, header.source));
        assert!(!own.may_be_answered(&answer), "an error is never answered");
    }
    let mut packet = bytes.to_vec();
    let had_checksum = complete_checksum(&mut packet, &header);
    assert_eq!(had_checksum, checksum_field(bytes, &header).is_some());
    assert_eq!(packet[..header.header_len], bytes[..header.header_len]);
    true
}

/// What a member sealed as two frames of packets, half of the bytes in each.
pub fn wire_data(bytes: &[u8]) -> bool {
    let (mut member, mut lane) = lane::pair();
    let (first, second) = bytes.split_at(bytes.len() / 2);
    let mut frame = Vec::with_capacity(frame::OVERHEAD + second.len());
    let mut opens = |content: &[u8]| {
        frame.clear();
        member.seal(&mut frame, &[content]).expect("a new key");
        match lane.inbound(lane::PATH, &mut frame, Instant::ZERO) {
            Inbound::Packet { packet, .. } | Inbound::Joined { packet, .. } => {
                let header = ip::Header::parse_packet(packet).expect("the lane judged it");
                assert_eq!(header.source, lane::THEIRS);
                assert_eq!(header.destination, lane::OURS);
                true
            }
            Inbound::Piece | Inbound::Unproven { .. } => true,
            Inbound::Punt => panic!("a frame of the lane's session"),
            Inbound::Drop(_) => false,
        }
    };
    opens(first) | opens(second)
}

/// A member certificate in DER.
pub fn pki_certificate(bytes: &[u8]) -> bool {
    let Ok(certificate) = pki::Certificate::from_der(bytes) else { return false };
    assert_eq!(certificate.der(), bytes);
    let _ = certificate.unverified();
    true
}

/// A revocation notice, or the head of their chain.
pub fn pki_notice(bytes: &[u8]) -> bool {
    let notice = pki::Notice::from_bytes(bytes).map(|notice| assert_eq!(notice.to_bytes(), bytes));
    let head = pki::Head::from_bytes(bytes).map(|head| assert_eq!(head.to_bytes(), bytes));
    assert!(notice.is_none() || head.is_none());
    notice.is_some() || head.is_some()
}

/// A generation of the group secret.
pub fn pki_secret(bytes: &[u8]) -> bool {
    let secret = pki::SignedSecret::from_bytes(bytes);
    secret.map(|secret| assert_eq!(*secret.to_bytes(), bytes)).is_some()
}

/// A request for a certificate, in DER.
pub fn pki_request(bytes: &[u8]) -> bool {
    pki::Request::from_der(bytes).map(|request| assert_eq!(request.der(), bytes)).is_ok()
}

/// The file that brings a user into a group.
pub fn pki_blob(bytes: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(bytes) else { return false };
    let Ok(blob) = pki::Blob::parse(text) else { return false };
    let written = blob.to_yaml().expect("what was read can be written");
    let again = pki::Blob::parse(&written).expect("own output");
    assert_eq!(again.network, blob.network);
    true
}

/// A message between a node and the group service, of whichever kind it is.
pub fn pki_enrolment(bytes: &[u8]) -> bool {
    fn read<M: Message>(bytes: &[u8]) -> bool {
        let Ok(message) = M::from_json(bytes) else { return false };
        let written = message.to_json();
        let again = M::from_json(&written).expect("own output");
        assert_eq!(*again.to_json(), *written);
        true
    }
    let asked = [
        read::<enrolment::KeyRequest>(bytes),
        read::<enrolment::CertificateRequest>(bytes),
        read::<enrolment::RenewalRequest>(bytes),
        read::<enrolment::DeviceRequest>(bytes),
        read::<enrolment::DeviceTokenRequest>(bytes),
    ];
    let answered = [
        read::<enrolment::KeyAnswer>(bytes),
        read::<enrolment::Grant>(bytes),
        read::<enrolment::NonceAnswer>(bytes),
        read::<enrolment::Pending>(bytes),
        read::<enrolment::NoticesAnswer>(bytes),
        read::<enrolment::BootstrapAnswer>(bytes),
        read::<enrolment::DeviceAnswer>(bytes),
        read::<enrolment::DeviceTokenAnswer>(bytes),
        read::<enrolment::Denial>(bytes),
    ];
    asked.contains(&true) || answered.contains(&true)
}
