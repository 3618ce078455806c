//! Valid messages of every format, by the emitters of the product.

use super::lane;
use pki::enrolment::{
    BootstrapAnswer, CertificateRequest, Code, Denial, DeviceAnswer, DeviceCode, DeviceRequest,
    DeviceTokenAnswer, DeviceTokenRequest, Grant, KeyAnswer, KeyRequest, Message as _, Nonce,
    NonceAnswer, NoticesAnswer, Pending, RenewalRequest, UserCode,
};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use warren_proto::ring::Side;
use warren_proto::rng::Rng;
use warren_proto::session::gate::Gate;
use warren_proto::session::token::Token;
use warren_proto::session::{Epoch, Index, LaneId};
use warren_proto::wire::connect::{Connect, ENDPOINTS_MAX, Purpose};
use warren_proto::wire::control::{CloseReason, Control, Status, Welcome};
use warren_proto::wire::crawl;
use warren_proto::wire::dht::{Body, Listed, Message, Name, Range, Refusal};
use warren_proto::wire::frame;
use warren_proto::wire::hello::{self, Cover};
use warren_proto::wire::ip::protocol;
use warren_proto::wire::news::{Items, Standing, lists};
use warren_proto::wire::probe::{Invite, Probe, ProbeReply};
use warren_proto::wire::record::{Intent, Key, Kind, Record};
use warren_proto::wire::routed::{Mode, Protocol, Routed};
use warren_proto::{NodeId, UnixTime};

/// When the certificates of the corpus were issued.
const NOW: UnixTime = UnixTime(1_800_000_000);

fn id(n: u8) -> NodeId {
    NodeId::from_bytes([n; 20])
}

fn endpoints(n: usize) -> Vec<SocketAddr> {
    let both: [SocketAddr; 2] =
        ["10.0.0.1:7415", "[fd00::1]:7415"].map(|e| e.parse().expect("an endpoint"));
    both.into_iter().cycle().take(n).collect()
}

/// Sealed frames with bodies of some sizes.
pub fn frames() -> Vec<Vec<u8>> {
    [0, 5, 60, 1_300]
        .into_iter()
        .map(|len| {
            let lane = LaneId::new((len % 3) as u8).expect("a lane");
            let receiver = Index::new(len, lane, 3);
            let header = frame::Header { lane, epoch: Epoch(1), receiver, counter: 1 << 33 };
            [&header.emit()[..], &vec![0xa5; len + frame::TAG_LEN]].concat()
        })
        .collect()
}

/// Datagrams of a handshake under every cover, with and without refusal.
pub fn hellos() -> Vec<Vec<u8>> {
    let covers = [
        Cover::Client { invited: false },
        Cover::Client { invited: true },
        Cover::Server,
        Cover::Sealed,
    ];
    let header = |cover, refused| hello::Header {
        cover,
        refused,
        receiver: matches!(cover, Cover::Client { invited: false })
            .then_some(Index(7))
            .xor(Some(Index(9))),
        sender: Index(5),
        number: 2,
        offset: 1_150,
        acks: [1_178, 0],
    };
    let refusal = hello::emit_refusal(3, 1 << 40);
    let mut all = Vec::new();
    for cover in covers {
        for (refused, piece) in [(false, &[7; 300][..]), (true, &refusal)] {
            let mut datagram = header(cover, refused).emit().to_vec();
            datagram.resize(cover.piece_at(), 0);
            datagram.extend_from_slice(piece);
            datagram.resize(cover.overhead() + piece.len(), 0);
            all.push(datagram);
        }
    }
    all
}

/// Probes, invitations and their fields, and a reply.
pub fn probes() -> Vec<Vec<u8>> {
    let (dialler, token) = (Index(0x0110_0003), Token([4; Token::LEN]));
    let probe = Probe { dialler, id: id(1), target: Some(id(2)) };
    let blind = Probe { target: None, ..probe };
    let invite = Invite { dialler, id: id(1), proof: token, token: Token([5; Token::LEN]) };
    let reply = ProbeReply { dialler, token };
    let gate = Gate::public();
    vec![
        probe.emit(),
        blind.emit(),
        invite.emit(),
        gate.seal_probe(&probe, [1; 12]),
        gate.seal_invite(&invite, [2; 12]),
        gate.seal_reply(&reply, &[1; 12]).to_vec(),
    ]
}

/// Control messages of every kind; routed ones carry [`routed`].
pub fn controls() -> Vec<Vec<u8>> {
    let welcome =
        |observed, ipv4| Welcome { incarnation: 5, generation: 1, notices: 3, observed, ipv4 };
    let [v4, v6] = endpoints(2).try_into().expect("two endpoints");
    let ids = |n: u8| (1..=n).map(id).collect::<Vec<_>>();
    let mut all = vec![
        Control::Ping(7).emit(),
        Control::Pong(9).emit(),
        Control::Welcome(welcome(v4, Some(Ipv4Addr::new(10, 9, 0, 7)))).emit(),
        Control::Welcome(welcome(v6, None)).emit(),
        Control::Status(Status { keep: true, left: ids(4), right: ids(4) }).emit(),
        Control::Status(Status { keep: false, left: ids(1), right: ids(0) }).emit(),
        Control::Close(CloseReason::Unneeded).emit(),
        Control::PathChallenge { data: [1; 8], padding: 40 }.emit(),
        Control::PathResponse([2; 8]).emit(),
        Control::Address(Some(Ipv4Addr::new(10, 9, 0, 8))).emit(),
    ];
    let standing = Standing { notices: 3, head: NOW.as_secs(), secret: 4 };
    all.extend([Control::Standing(standing).emit(), Control::NewsAsk(standing).emit()]);
    let lists = lists(notices().into_iter().chain(secrets()));
    for (n, list) in lists.iter().enumerate() {
        let items = Items::parse(list).expect("own output");
        all.push(Control::News { more: n + 1 < lists.len(), items }.emit());
    }
    let payload = &notices()[0][..];
    all.push(Control::Broadcast { hops: 3, until: id(9), payload }.emit());
    all.extend(routed().iter().map(|message| Control::Routed(message).emit()));
    all
}

/// Routed messages of every mode and protocol, to this destination or round the ring.
pub fn routed_to(destination: NodeId) -> Vec<Vec<u8>> {
    let modes = [
        Mode::Greedy,
        Mode::Exact,
        Mode::Annealing,
        Mode::Directional(Side::Left),
        Mode::Directional(Side::Right),
    ];
    let [query, _, answer] = crawls().try_into().expect("three messages");
    let (connects, dhts, list) = (connects(), dhts(), lists(notices()).swap_remove(0));
    let mut protocols = vec![
        (Protocol::ConnectRequest, &connects[0][..]),
        (Protocol::ConnectReply, &connects[1]),
        (Protocol::Tunnel, &[0x10; 60]),
        (Protocol::Ping, &[3; 8]),
        (Protocol::Pong, &[3; 8]),
        (Protocol::NeighboursQuery, &query),
        (Protocol::NeighboursAnswer, &answer),
        (Protocol::WhoIsNearest, &[5; 8]),
        (Protocol::IAmNearest, &[5; 8]),
        (Protocol::Notices, &list),
    ];
    protocols.extend(dhts.iter().map(|message| (Protocol::Dht, &message[..])));
    let mut all = Vec::new();
    for mode in modes {
        for &(protocol, payload) in &protocols {
            let via = (mode == Mode::Exact).then_some(id(3));
            let message = Routed {
                mode,
                crossed: false,
                hops: 1,
                hop_limit: 16,
                protocol,
                source: id(9),
                destination,
                via,
                payload,
            };
            all.push(message.emit());
        }
    }
    all
}

/// Routed messages of every mode and protocol.
pub fn routed() -> Vec<Vec<u8>> {
    routed_to(id(2))
}

/// Requests for links and replies.
pub fn connects() -> Vec<Vec<u8>> {
    let message = |purpose, accepted, answer_via, n| Connect {
        token: 77,
        purpose,
        accepted,
        answer_via,
        ipv4: (purpose == Purpose::OnDemand).then_some([10, 42, 0, 9].into()),
        endpoints: endpoints(n),
    };
    let all = [
        message(Purpose::Near, false, Some(id(3)), 2),
        message(Purpose::Shortcut, true, None, ENDPOINTS_MAX),
        message(Purpose::OnDemand, false, None, 0),
    ];
    all.iter().map(Connect::emit).collect()
}

/// A crawl's question, and answers from a node that is alone and from one with many links.
pub fn crawls() -> Vec<Vec<u8>> {
    let answer = |ipv4, n: u8| crawl::Answer {
        token: 7,
        notices: 3,
        noticed_at: NOW.as_secs(),
        ipv4,
        far: (0..2 * n).map(id).collect(),
        near: Status {
            keep: true,
            left: (0..n).map(id).collect(),
            right: (0..n).map(id).collect(),
        },
    };
    vec![
        crawl::Query { token: 7 }.emit().to_vec(),
        answer(None, 0).emit(),
        answer(Some(Ipv4Addr::new(10, 42, 0, 9)), 4).emit(),
    ]
}

/// Lists of items, a short one among them.
pub fn news() -> Vec<Vec<u8>> {
    let mut all = lists(notices().into_iter().chain(secrets()));
    all.extend(lists([b"x"]));
    all
}

/// Packets as a member seals them: whole, and in two pieces. The two frames are of one length.
pub fn data() -> Vec<Vec<u8>> {
    let packets = [0, 40].map(|len| lane::packet(&vec![7; len]));
    let whole = packets.iter().flat_map(|packet| {
        [0, 1].map(|content| [&[content], &packet[..], &[content], packet].concat())
    });
    let pieces = packets.iter().flat_map(|packet| {
        let (first, last) = packet.split_at(packet.len() / 2);
        [0, 1].map(|checksum| [&[2 | checksum], first, &[4 | checksum], last].concat())
    });
    whole.chain(pieces).collect()
}

/// Messages of the hash table, of every kind.
pub fn dhts() -> Vec<Vec<u8>> {
    let record = |intent| Record {
        key: Key::derive(Kind::Exclusive, "test", b"k"),
        owner: id(7),
        seq: 9,
        expiry: NOW + Duration::from_secs(600),
        intent,
        payload: vec![5; if intent == Intent::Withdraw { 0 } else { 40 }],
        signature: vec![6; 64],
    };
    let (key, owner) = (record(Intent::Write).key, id(3));
    let name = Name { key, owner };
    let revocation = Record {
        key: Key::derive(Kind::Revocation, "test", b"k"),
        payload: notices()[0].clone(),
        ..record(Intent::Write)
    };
    let range = Range { from: owner, to: key.id() };
    let bodies = [
        Body::Put(record(Intent::Write)),
        Body::Put(revocation),
        Body::Get { key, after: Some(owner), budget: 900 },
        Body::Get { key, after: None, budget: 0 },
        Body::Reserve(record(Intent::Write)),
        Body::Commit(record(Intent::Write)),
        Body::Withdraw(record(Intent::Withdraw)),
        Body::CertificateGet(owner),
        Body::Compare { range, digest: 77, owned: true },
        Body::List { range, after: Some(name) },
        Body::Want(vec![name; 3]),
        Body::Copy(record(Intent::Renew)),
        Body::Notice(record(Intent::Write)),
        Body::Stored,
        Body::Refused(Refusal::Full),
        Body::NotReady,
        Body::NeedCertificate,
        Body::Values {
            ready: true,
            more: true,
            digest: 3,
            records: vec![record(Intent::Write); 2],
        },
        Body::Granted,
        Body::Committed,
        Body::Conflict { winner: record(Intent::Write), committed: true },
        Body::Unclaimed,
        Body::Withdrawn,
        Body::Certificate { owner, certificate: vec![1; 400] },
        Body::Same { upto: owner },
        Body::Differ { upto: owner },
        Body::Listing { more: true, names: vec![Listed { name, tag: 5 }; 4] },
    ];
    bodies.into_iter().map(|body| Message { id: 0x0102_0304, body }.emit()).collect()
}

/// IP packets of both versions: UDP, TCP with options, ICMP, a later fragment.
pub fn packets() -> Vec<Vec<u8>> {
    let v4 = |kind: u8, options: usize, fragment: u16, payload: &[u8]| {
        let header_len = 20 + options;
        let mut packet = vec![0; header_len];
        packet[0] = 0x40 | (header_len / 4) as u8;
        packet[2..4].copy_from_slice(&((header_len + payload.len()) as u16).to_be_bytes());
        packet[6..8].copy_from_slice(&fragment.to_be_bytes());
        packet[8..10].copy_from_slice(&[64, kind]);
        packet[12..20].copy_from_slice(&[10, 9, 0, 1, 10, 9, 0, 2]);
        packet.extend_from_slice(payload);
        packet
    };
    let v6 = |kind: u8, payload: &[u8]| {
        let mut packet = vec![0; 40];
        packet[0] = 0x60;
        packet[4..6].copy_from_slice(&(payload.len() as u16).to_be_bytes());
        packet[6..8].copy_from_slice(&[kind, 64]);
        packet[8] = 0xfd;
        packet[24] = 0xfd;
        packet[39] = 1;
        packet.extend_from_slice(payload);
        packet
    };
    vec![
        v4(protocol::UDP, 0, 0, &[1; 30]),
        v4(protocol::TCP, 8, 0, &[2; 60]),
        v4(protocol::ICMP, 0, 0, &[8, 0, 0, 0, 1, 2, 3, 4]),
        v4(protocol::UDP, 0, 0x2007, &[3; 16]),
        v6(protocol::UDP, &[4; 30]),
        v6(protocol::TCP, &[5; 1_000]),
        v6(protocol::ICMPV6, &[128, 0, 0, 0, 1, 2, 3, 4]),
    ]
}

fn authority() -> pki::CertificateAuthority {
    pki::CertificateAuthority::create("team", NOW).expect("a good name")
}

fn issue(authority: &pki::CertificateAuthority, user: &str) -> pki::Certificate {
    let request = pki::Request::new(&pki::PrivateKey::generate(), Some(user)).expect("a request");
    authority.sign(&request, &pki::SignOptions::new(user), NOW).expect("good options")
}

/// Certificates of members and of their authority.
pub fn certificates() -> Vec<Vec<u8>> {
    let authority = authority();
    let members = ["ana", "bo"].map(|user| issue(&authority, user).der().to_vec());
    members.into_iter().chain([authority.certificate().der().to_vec()]).collect()
}

/// Notices and a head.
pub fn notices() -> Vec<Vec<u8>> {
    let authority = authority();
    let ca = [authority.certificate().clone()];
    let mut trust = pki::Trust::new("team", &ca, None).expect("own group");
    let member = issue(&authority, "ana").unverified().expect("own output");
    let subjects = [
        pki::Revoked::Serial(member.serial),
        pki::Revoked::Node(member.node_id),
        pki::Revoked::User("bo".into()),
    ];
    for subject in subjects {
        authority.revoke(subject, trust.ledger_mut(), NOW).expect("the chain goes on");
    }
    let next = NOW + Duration::from_secs(3_600);
    let head = authority.head(trust.ledger_mut(), NOW, next).expect("the chain is whole");
    let notices = trust.ledger().notices().map(pki::Notice::to_bytes);
    notices.chain([head.to_bytes()]).collect()
}

/// Generations of the group secret.
pub fn secrets() -> Vec<Vec<u8>> {
    let sign = |n| authority().sign_secret(pki::GroupSecret::random(n), NOW).to_bytes().to_vec();
    [1, u32::MAX].map(sign).to_vec()
}

/// Requests for certificates: for a user, and for a node whose ID was drawn.
pub fn requests() -> Vec<Vec<u8>> {
    let key = pki::PrivateKey::generate();
    let node = KeyAnswer::new("team", pki::Salt::random(), key.spki()).node_id;
    let all = [
        pki::Request::new(&key, Some("ana")).expect("a good name"),
        pki::Request::for_node(&key, "team", node).expect("a good name"),
    ];
    all.iter().map(|request| request.der().to_vec()).collect()
}

/// A blob with everything in it.
pub fn blobs() -> Vec<Vec<u8>> {
    let authority = authority();
    let subnet: pki::Ipv4Subnet = "10.42.0.0/16".parse().expect("a network");
    let bootstrap = vec!["boot.example.org:7415".parse().expect("an address")];
    let network = pki::Network::new("team", subnet);
    let ca = vec![authority.certificate().clone()];
    let secrets = vec![authority.sign_secret(pki::GroupSecret::random(1), NOW)];
    let bare = pki::Blob::new(network, ca, bootstrap, secrets);
    let mut full = bare.clone();
    let mut trust = full.trust().expect("is usable");
    let user = pki::Revoked::User("bo".into());
    authority.revoke(user, trust.ledger_mut(), NOW).expect("the chain goes on");
    full.notices = trust.ledger().to_text().lines().map(str::to_owned).collect();
    full.certificate = Some(issue(&authority, "ana"));
    full.key = Some(pki::PrivateKey::generate());
    let bytes = |blob: &pki::Blob| blob.to_yaml().expect("writes").as_bytes().to_vec();
    vec![bytes(&bare), bytes(&full)]
}

/// What a node and its group service say.
pub fn enrolments() -> Vec<Vec<u8>> {
    let authority = authority();
    let (key, salt) = (pki::PrivateKey::generate(), pki::Salt::random());
    let answer = KeyAnswer::new("team", salt, key.spki());
    let request = pki::Request::for_node(&key, "team", answer.node_id).expect("writes");
    let subnet: pki::Ipv4Subnet = "10.42.0.0/16".parse().expect("a network");
    let grant = Grant {
        certificate: issue(&authority, "ana"),
        ca: vec![authority.certificate().clone()],
        root: None,
        network: pki::Network::new("team", subnet),
        bootstrap: vec!["boot.example.org:7415".parse().expect("an address")],
        secrets: vec![authority.sign_secret(pki::GroupSecret::random(1), NOW)],
        notices: String::new(),
        stale_policy: pki::StalePolicy::Lenient,
        renew_at: NOW,
    };
    let nonce: Nonce = "nonce".parse().expect("a nonce");
    let denial = Denial { code: Code::TokenUnknown, message: "ask for a new blob".into() };
    let device = DeviceAnswer {
        device_code: DeviceCode::random(),
        user_code: UserCode::random(),
        verification_url: "https://vpn.example.org:7416".parse().expect("an address"),
        interval: 5,
        expires_in: 600,
    };
    let device_code = device.device_code.clone();
    let bootstrap = grant.bootstrap.clone();
    let certificate = grant.certificate.clone();
    let messages = [
        KeyRequest::new(&key, Some("laptop")).to_json(),
        CertificateRequest { request: request.clone() }.to_json(),
        RenewalRequest::sign(&key, request, certificate, nonce.clone()).to_json(),
        answer.to_json(),
        grant.to_json(),
        NonceAnswer { nonce }.to_json(),
        denial.to_json(),
        Pending::default().to_json(),
        NoticesAnswer { notices: "# none\n".into() }.to_json(),
        BootstrapAnswer { bootstrap }.to_json(),
        DeviceRequest::new("team", Some("laptop")).expect("a good name").to_json(),
        device.to_json(),
        DeviceTokenRequest { device_code }.to_json(),
        DeviceTokenAnswer { blob: String::from("group: team\n").into() }.to_json(),
    ];
    messages.iter().map(|message| message.to_vec()).collect()
}

/// Bytes without any order.
pub fn noise() -> Vec<Vec<u8>> {
    let mut rng = Rng::new([3; 32]);
    (0..8).map(|_| rng.bytes::<200>().to_vec()).collect()
}
