//! Stories in virtual time: virtual networks with real lanes over an overlay that is a map.

use super::*;
use crate::lane::{Checksum, Inbound, Lane, NewSession, Outbound, Piece};
use crate::path::Path;
use crate::session::aead::Cipher;
use crate::session::keys::{ChainSecret, TrafficSecrets};
use crate::session::{Index, LaneId};
use crate::wire::ip::tests::udp;
use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv6Addr;

fn id(n: usize) -> NodeId {
    let mut bytes = [7; 20];
    bytes[..8].copy_from_slice(&(n as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    NodeId::from_bytes(bytes)
}

fn ip(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, n)
}

/// A member: its virtual network, its lane, and what came out of its device.
struct Host {
    vpn: Vpn,
    lane: Lane,
    pinned: Option<Ipv4Addr>,
    device: Vec<Vec<u8>>,
    addresses: Option<DeviceAddresses>,
    events: Vec<Event>,
    connects: usize,
    disconnects: usize,
    sought: Vec<(u64, Whose)>,
    /// Whether it answers when somebody connects.
    is_reachable: bool,
}

/// The overlay as the virtual network sees it: a hash table, connections and packets.
#[derive(Default)]
struct World {
    hosts: Vec<Host>,
    table: BTreeMap<String, (usize, Op)>,
    now: Clock,
    /// Questions that wait for [`World::answer_all`], while answers are held back.
    held: VecDeque<(usize, Op, Answer)>,
    holds_answers: bool,
    sessions: usize,
}

/// Virtual time.
struct Clock(Instant);

impl Default for Clock {
    fn default() -> Self {
        Clock(Instant::ZERO)
    }
}

impl World {
    fn new(policies: impl IntoIterator<Item = AddressPolicy>) -> World {
        let mut world = World::default();
        for policy in policies {
            world.join(policy, 24);
        }
        world
    }

    /// Members with the static addresses 10.0.0.2, 10.0.0.3, …
    fn of(count: u8) -> World {
        World::new((0..count).map(|n| AddressPolicy::Static(ip(n + 2))))
    }

    fn join(&mut self, address: AddressPolicy, prefix: u8) -> usize {
        let n = self.hosts.len();
        let config = Config {
            group: "lab".into(),
            id: id(n),
            subnet: Subnet::new(ip(0), prefix),
            address,
            lease: lease::LEASE_LIFE,
            mode: Mode::Split,
            mtu: MTU,
        };
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&(n as u64).to_be_bytes());
        let pinned = match address {
            AddressPolicy::Pinned(ip) => Some(ip),
            _ => None,
        };
        self.hosts.push(Host {
            vpn: Vpn::new(config, Rng::new(seed)).expect("a good configuration"),
            lane: Lane::new(LaneId::FIRST_DATA, Mode::Split),
            pinned,
            device: Vec::new(),
            addresses: None,
            events: Vec::new(),
            connects: 0,
            disconnects: 0,
            sought: Vec::new(),
            is_reachable: true,
        });
        let now = self.now.0;
        self.hosts[n].vpn.handle_joined(now);
        self.drain(n);
        n
    }

    fn drain(&mut self, n: usize) {
        while let Some(effect) = self.hosts[n].vpn.poll() {
            self.act(n, effect);
        }
    }

    fn act(&mut self, n: usize, effect: Effect) {
        let now = self.now.0;
        match effect {
            Effect::Create { op, name, payload, ttl, .. } => {
                assert_eq!((payload.as_slice(), ttl), (&id(n).as_bytes()[..], lease::LEASE_LIFE));
                let is_ours = self.table.get(&name).is_none_or(|&(owner, _)| owner == n);
                if is_ours {
                    self.table.insert(name, (n, op));
                }
                self.answer(n, op, if is_ours { Answer::Created } else { Answer::Taken });
            }
            Effect::Release { op } => self.table.retain(|_, &mut entry| entry != (n, op)),
            Effect::Get { op, name } => {
                let found = self.table.get(&name).map(|&(owner, _)| Found {
                    owner: id(owner),
                    pinned: self.hosts[owner].pinned,
                    life: lease::LEASE_LIFE,
                });
                self.answer(n, op, Answer::Found(found.into_iter().collect()));
            }
            Effect::ResolveNearest { op, point } => {
                let ids = (0..self.hosts.len()).map(id);
                let nearest = ids.min_by(|&a, &b| crate::ring::nearer(point, a, b));
                self.answer(n, op, nearest.map_or(Answer::Unavailable, Answer::Nearest));
            }
            Effect::Connect { node } => {
                self.hosts[n].connects += 1;
                let peer = (0..self.hosts.len()).find(|&peer| id(peer) == node).expect("a host");
                if !self.hosts[peer].is_reachable {
                    self.hosts[n].vpn.handle_unreachable(node, now);
                } else if self.hosts[n].vpn.holder(v6(peer).into()).is_none() {
                    self.connect(n, peer);
                }
            }
            Effect::Disconnect { .. } => self.hosts[n].disconnects += 1,
            Effect::Sought { seeker, whose } => self.hosts[n].sought.push((seeker, whose)),
            Effect::Delta(delta) => self.hosts[n].lane.apply(delta),
            Effect::Outbound(packet) => self.send(n, &packet),
            Effect::Deliver(packet) => self.hosts[n].device.push(packet),
            Effect::Device(addresses) => self.hosts[n].addresses = Some(addresses),
            Effect::Event(event) => self.hosts[n].events.push(event),
        }
    }

    fn answer(&mut self, n: usize, op: Op, answer: Answer) {
        if self.holds_answers {
            self.held.push_back((n, op, answer));
        } else {
            self.hosts[n].vpn.handle_answer(op, &answer, self.now.0);
        }
    }

    fn answer_all(&mut self) {
        self.holds_answers = false;
        while let Some((n, op, answer)) = self.held.pop_front() {
            self.hosts[n].vpn.handle_answer(op, &answer, self.now.0);
            self.drain(n);
        }
    }

    /// Gives two members a session: `n` knows it by the number of `peer`, and the other way round.
    fn connect(&mut self, n: usize, peer: usize) {
        self.sessions += 1;
        let salt = self.sessions as u8;
        for (me, other) in [(n, peer), (peer, n)] {
            let index = |of: usize| Index::new(of, LaneId::FIRST_DATA, salt);
            let chain = |from: usize| ChainSecret::new([from as u8; 32]);
            let secrets =
                TrafficSecrets { send: chain(me), receive: chain(other), cipher: Cipher::Null };
            let session = Box::new(NewSession {
                peer: id(other),
                index: index(other),
                receiver: index(me),
                secrets,
                path: Path::Overlay(id(other)),
            });
            self.hosts[me].lane.apply(Delta::AddSession { slot: Slot(other), session });
        }
        for (me, other) in [(n, peer), (peer, n)] {
            let theirs = &self.hosts[other];
            let facts = Peer { id: id(other), pinned: theirs.pinned };
            let announced = theirs.vpn.local().ipv4;
            let now = self.now.0;
            self.hosts[me].vpn.handle_session_up(Slot(other), &facts, announced, now);
        }
        [n, peer].into_iter().for_each(|n| self.drain(n));
    }

    fn disconnect(&mut self, n: usize, peer: usize) {
        for (me, other) in [(n, peer), (peer, n)] {
            self.hosts[me].lane.apply(Delta::RemoveSession { slot: Slot(other) });
            self.hosts[me].vpn.handle_session_down(Slot(other));
            self.drain(me);
        }
    }

    /// A packet leaves the device of `n`.
    fn send(&mut self, n: usize, packet: &[u8]) {
        let now = self.now.0;
        let host = &mut self.hosts[n];
        match host.lane.outbound(packet, packet.len(), now) {
            Outbound::Seal(flow) => {
                let whole = Piece::Whole;
                assert_eq!(flow.pieces(packet.len()), [whole]);
                let mut frame = vec![0; whole.frame_len(packet.len())];
                let parts = [packet, &[]];
                let sealed = host.lane.seal(flow, whole, parts, Checksum::Complete, &mut frame);
                sealed.expect("sealed");
                let Path::Overlay(peer) = flow.path() else { panic!("{flow:?}") };
                self.arrive(n, peer, frame);
            }
            Outbound::Unrouted => {
                host.vpn.handle_unrouted(packet, now);
                self.drain(n);
            }
            Outbound::Answer(answer) => host.device.push(answer.to_vec()),
            Outbound::Drop(_) => {}
        }
    }

    fn arrive(&mut self, from: usize, peer: NodeId, mut frame: Vec<u8>) {
        let to = (0..self.hosts.len()).find(|&to| id(to) == peer).expect("a host");
        let now = self.now.0;
        let host = &mut self.hosts[to];
        match host.lane.inbound(Path::Overlay(id(from)), &mut frame, now) {
            Inbound::Packet { packet, .. } => host.device.push(packet.to_vec()),
            Inbound::Unproven { peer, packet } => {
                host.vpn.handle_unproven(peer, packet, now);
                self.drain(to);
            }
            Inbound::Joined { .. } | Inbound::Piece => panic!("all packets went whole"),
            Inbound::Punt | Inbound::Drop(_) => {}
        }
    }

    /// A member with a changed program sends a packet that its own lane would not let pass.
    fn send_forged(&mut self, n: usize, packet: &[u8]) {
        let honest = *self.hosts[n].vpn.local();
        let source = Header::parse_packet(packet).expect("a packet").source;
        let lie = match source {
            IpAddr::V4(ip) => Local { ipv4: Some(ip), ..honest },
            IpAddr::V6(ip) => Local { ipv6: ip, ..honest },
        };
        self.hosts[n].lane.apply(Delta::Local(lie));
        self.send(n, packet);
        self.hosts[n].lane.apply(Delta::Local(honest));
    }

    /// Lets time pass, with all timers, and reports of the lanes every second.
    fn pass(&mut self, time: Duration) {
        let end = self.now.0 + time;
        let mut report_at = self.now.0 + Duration::from_secs(1);
        loop {
            let timers = self.hosts.iter().filter_map(|host| host.vpn.deadline()).min();
            let next = timers.unwrap_or(Instant::FAR_FUTURE).min(report_at);
            if next > end {
                break;
            }
            self.now.0 = next.max(self.now.0);
            let now = self.now.0;
            for n in 0..self.hosts.len() {
                self.hosts[n].vpn.handle_timeout(now);
                if next == report_at {
                    let report = self.hosts[n].lane.report();
                    self.hosts[n].vpn.handle_report(&report, now);
                }
                self.drain(n);
            }
            if next == report_at {
                report_at += Duration::from_secs(1);
            }
        }
        self.now.0 = end;
    }

    fn received(&mut self, n: usize) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.hosts[n].device)
    }

    fn drops(&mut self, n: usize, reason: Reason) -> u64 {
        self.hosts[n].vpn.take_drops().of(reason)
    }
}

fn v6(n: usize) -> Ipv6Addr {
    ipv6_of("lab", id(n))
}

/// A packet from member `a` to member `b` of [`World::of`].
fn packet(a: u8, b: u8, payload: &[u8]) -> Vec<u8> {
    udp(ip(a + 2).into(), ip(b + 2).into(), payload)
}

#[test]
fn unit_dh_06_vpn_runs_on_a_mock_overlay() {
    let mut world = World::of(3);
    let (ping, pong) = (packet(0, 1, b"ping"), packet(1, 0, b"pong"));
    world.send(0, &ping);
    assert_eq!(world.received(1), [ping], "resolved, connected, and given back to the lane");
    world.send(1, &pong);
    assert_eq!(world.received(0), [pong]);
    let six = udp(v6(0).into(), v6(2).into(), b"six");
    world.send(0, &six);
    assert_eq!(world.received(2), [six]);
    assert_eq!(world.sessions, 2);
}

#[test]
fn unit_ad_06_the_device_gets_the_addresses_and_the_subnets_they_are_in() {
    let world = World::new([AddressPolicy::Lease { preferred: Some(ip(9)) }]);
    let want = DeviceAddresses { ipv4: Some((ip(9), 24)), ipv6: (v6(0), 48), mtu: MTU };
    assert_eq!(world.hosts[0].addresses, Some(want));
}

#[test]
fn x23_no_path_may_lead_through_the_virtual_network_itself() {
    let world = World::of(1);
    let local = world.hosts[0].vpn.local();
    for inside in [IpAddr::from(ip(3)), ip(1).into(), v6(0).into(), v6(5).into()] {
        assert!(local.is_inside(inside));
    }
    for outside in [IpAddr::from([10, 0, 1, 3]), ipv6_of("other", id(5)).into()] {
        assert!(!local.is_inside(outside));
    }
}

#[test]
fn unit_ad_02_an_address_leads_to_its_owner_until_the_lease_is_given_back() {
    let mut world = World::of(2);
    world.hosts[1].vpn.release(Instant::ZERO);
    world.drain(1);
    world.send(0, &packet(0, 1, b"x"));
    let [answer] = &world.received(0)[..] else { panic!("no answer") };
    assert_eq!(answer[20..22], [3, 1], "host unreachable");
    assert_eq!(world.drops(0, Reason::NoSuchHost), 1);
}

#[test]
fn unit_ad_03_two_hundred_nodes_in_a_class_c_network_have_different_addresses() {
    let mut world = World::new((0..200).map(|_| AddressPolicy::Lease { preferred: None }));
    let leased = |world: &World| -> std::collections::BTreeSet<_> {
        world.hosts.iter().filter_map(|host| host.vpn.local().ipv4).collect()
    };
    assert_eq!(leased(&world).len(), 200);
    for _ in 0..53 {
        world.join(AddressPolicy::Lease { preferred: None }, 24);
    }
    assert_eq!(leased(&world).len(), 253);
    let late = world.join(AddressPolicy::Lease { preferred: None }, 24);
    assert_eq!(world.hosts[late].vpn.local().ipv4, None);
    assert_eq!(world.hosts[late].events, [Event::SubnetFull]);
    world.hosts[9].vpn.release(Instant::ZERO);
    world.drain(9);
    world.pass(Duration::from_secs(90));
    assert!(world.hosts[late].vpn.local().ipv4.is_some());
}

#[test]
fn after_a_merge_the_loser_moves_and_is_found_at_its_new_address() {
    let mut world = World::new([
        AddressPolicy::Static(ip(2)),
        AddressPolicy::Lease { preferred: Some(ip(3)) },
        AddressPolicy::Lease { preferred: Some(ip(9)) },
    ]);
    world.send(0, &packet(0, 1, b"before"));
    assert_eq!(world.received(1).len(), 1);
    // The other part of the network had given 10.0.0.3 to member 2.
    let (_, op) = world.table[&lease::name_of("lab", ip(3))];
    world.table.insert(lease::name_of("lab", ip(3)), (2, Op(u64::MAX)));
    world.hosts[1].vpn.handle_lost(op, world.now.0);
    world.drain(1);
    let moved = world.hosts[1].vpn.local().ipv4.expect("leased again");
    assert_ne!(moved, ip(3));
    let device = world.hosts[1].addresses.and_then(|addresses| addresses.ipv4);
    assert_eq!(device, Some((moved, 24)));
    let now = world.now.0;
    world.hosts[0].vpn.handle_announced(id(1), Some(moved), now);
    world.drain(0);
    let to_new = udp(ip(2).into(), moved.into(), b"after");
    world.send(0, &to_new);
    assert_eq!(world.received(1), [to_new]);
}

#[test]
fn what_waits_is_sent_in_order_when_the_session_is_up() {
    let mut world = World::of(2);
    world.holds_answers = true;
    let sent: Vec<_> = (0..70u8).map(|n| packet(0, 1, &[n])).collect();
    sent.iter().for_each(|packet| world.send(0, packet));
    assert!(world.received(1).is_empty());
    world.answer_all();
    assert_eq!(world.received(1), sent[6..]);
    assert_eq!(world.drops(0, Reason::QueueFull), 6);
}

#[test]
fn x17_what_waited_for_two_seconds_is_dropped() {
    let mut world = World::of(2);
    world.holds_answers = true;
    world.send(0, &packet(0, 1, b"old"));
    world.pass(Duration::from_millis(1_500));
    world.send(0, &packet(0, 1, b"new"));
    world.pass(Duration::from_millis(600));
    world.answer_all();
    assert_eq!(world.received(1), [packet(0, 1, b"new")]);
    assert_eq!(world.drops(0, Reason::WaitedTooLong), 1);
}

#[test]
fn a_node_that_cannot_be_reached_is_told_to_the_program_and_tried_again() {
    let mut world = World::of(2);
    world.hosts[1].is_reachable = false;
    world.send(0, &packet(0, 1, b"x"));
    assert_eq!(world.received(0)[0][20..22], [3, 1]);
    world.hosts[1].is_reachable = true;
    world.send(0, &packet(0, 1, b"y"));
    assert_eq!(world.received(1), [packet(0, 1, b"y")]);
}

#[test]
fn an_address_of_nobody_is_asked_for_once_in_five_seconds() {
    let mut world = World::of(1);
    for n in 0..10 {
        world.holds_answers = true;
        world.send(0, &packet(0, 50, &[n]));
        world.send(0, &udp(v6(0).into(), v6(50).into(), &[n]));
        assert_eq!(world.held.len(), if n % 5 == 0 { 2 } else { 0 }, "{n}");
        world.answer_all();
        world.pass(Duration::from_secs(1));
    }
}

#[test]
fn unit_vn_10_a_member_that_sends_with_another_members_address_is_told_once() {
    let mut world = World::of(3);
    world.send(2, &packet(2, 1, b"hello"));
    world.received(1);
    for n in 0..5 {
        world.send_forged(2, &packet(0, 1, &[n]));
        world.send_forged(2, &udp(v6(0).into(), v6(1).into(), &[n]));
    }
    assert!(world.received(1).is_empty());
    let spoofed = Event::Spoofed { peer: id(2), source: ip(2).into() };
    assert_eq!(world.hosts[1].events, [Event::Leased(ip(3)), spoofed]);
    let at_lane = world.hosts[1].lane.report().drops.of(Reason::NotTheOwner);
    assert_eq!(world.drops(1, Reason::NotTheOwner) + at_lane, 10);
    world.send(0, &packet(0, 1, b"the true owner"));
    assert_eq!(world.received(1), [packet(0, 1, b"the true owner")]);
}

#[test]
fn a_source_is_looked_up_beside_the_first_packets_which_wait() {
    let mut world = World::of(2);
    world.holds_answers = true;
    world.connect(0, 1);
    // Only the sender knows whose address it sends to.
    let (n, op, answer) = world.held.pop_front().expect("the sender asks for what was announced");
    assert_eq!(n, 0);
    world.hosts[0].vpn.handle_answer(op, &answer, world.now.0);
    world.drain(0);
    let sent: Vec<_> = (0..3u8).map(|n| packet(0, 1, &[n])).collect();
    sent.iter().for_each(|packet| world.send(0, packet));
    assert!(world.received(1).is_empty());
    world.answer_all();
    assert_eq!(world.received(1), sent);
    world.send(0, &sent[0]);
    assert_eq!(world.received(1).len(), 1, "now the lane knows");
}

#[test]
fn an_address_that_was_nobodys_is_looked_up_again_after_some_seconds() {
    let mut world = World::of(2);
    world.connect(0, 1);
    let early = udp(ip(77).into(), ip(3).into(), b"early");
    world.send_forged(0, &early);
    world.table.insert(lease::name_of("lab", ip(77)), (0, Op(u64::MAX)));
    world.send_forged(0, &early);
    assert!(world.received(1).is_empty());
    world.pass(resolve::ABSENT_LIFE);
    world.send_forged(0, &early);
    assert_eq!(world.received(1), [early]);
}

#[test]
fn an_address_that_was_nobodys_is_looked_up_again_soon_if_its_owner_says_so() {
    let mut world = World::of(2);
    world.connect(0, 1);
    let taken = udp(ip(2).into(), ip(77).into(), b"to a new lease");
    world.send(0, &taken);
    world.table.insert(lease::name_of("lab", ip(77)), (1, Op(u64::MAX)));
    let now = world.now.0;
    world.hosts[0].vpn.handle_announced(id(1), Some(ip(77)), now);
    world.drain(0);
    world.send(0, &taken);
    assert_eq!(world.hosts[0].vpn.holder(ip(77).into()), None, "asked less than a second ago");
    world.pass(Duration::from_secs(1));
    world.send(0, &taken);
    assert_eq!(world.hosts[0].vpn.holder(ip(77).into()), Some(id(1)));
}

#[test]
fn who_asks_whose_an_address_is_is_told_at_once_or_with_the_answer() {
    let mut world = World::of(2);
    let seek = |world: &mut World, seeker: u64, sought: Ipv4Addr| {
        let now = world.now.0;
        world.hosts[0].vpn.seek(seeker, sought.into(), now);
        world.drain(0);
        std::mem::take(&mut world.hosts[0].sought)
    };
    world.holds_answers = true;
    for (seeker, sought) in [(1, ip(3)), (2, ip(3)), (3, ip(99))] {
        assert_eq!(seek(&mut world, seeker, sought), []);
    }
    world.answer_all();
    let told = [(1, Whose::Node(id(1))), (2, Whose::Node(id(1))), (3, Whose::Nobody)];
    assert_eq!(std::mem::take(&mut world.hosts[0].sought), told);
    assert_eq!(seek(&mut world, 4, ip(3)), [(4, Whose::Node(id(1)))]);

    world.holds_answers = true;
    let asked = (0..=SEEKERS_MAX as u64).flat_map(|seeker| seek(&mut world, seeker, ip(50)));
    let refused: Vec<_> = asked.collect();
    assert_eq!(refused, [(SEEKERS_MAX as u64, Whose::Unknown)]);
    world.pass(resolve::ASK_LIFE);
    let told = std::mem::take(&mut world.hosts[0].sought);
    assert_eq!(told.len(), SEEKERS_MAX);
    assert!(told.iter().all(|&(_, whose)| whose == Whose::Unknown));
}

#[test]
fn a_session_is_begun_with_the_first_owner_that_is_named_and_used_when_the_answer_is_whole() {
    let mut world = World::of(3);
    world.holds_answers = true;
    world.send(0, &packet(0, 1, b"x"));
    let (_, op, answer) = world.held.pop_front().expect("asked");
    let now = world.now.0;
    // A replica may be wrong, or lie.
    for named in [id(2), id(1), id(0)] {
        world.hosts[0].vpn.handle_named(op, named, now);
        world.drain(0);
    }
    let begun = world.hosts[0].connects;
    assert_eq!(world.hosts[0].vpn.holder(v6(1).into()), Some(id(1)), "there is a session");
    assert_eq!(world.hosts[0].vpn.holder(ip(3).into()), None, "to name is not to prove");
    world.hosts[0].vpn.handle_answer(op, &answer, now);
    world.drain(0);
    assert_eq!(world.hosts[0].vpn.holder(ip(3).into()), Some(id(1)));
    assert_eq!(world.hosts[0].connects, begun, "the session was there");
    world.hosts[0].vpn.handle_named(op, id(2), now);
    world.answer_all();
    assert_eq!(world.received(1).len(), 1);
    assert!(world.received(2).is_empty());
}

#[test]
fn what_others_claim_is_looked_up_before_it_is_needed_and_grants_nothing() {
    let mut world = World::of(3);
    world.holds_answers = true;
    let now = world.now.0;
    // The second says that it has the address of the third.
    world.hosts[0].vpn.handle_claimed(ip(4), now);
    world.drain(0);
    assert_eq!(world.held.len(), 1);
    world.answer_all();
    world.connect(0, 1);
    world.send_forged(1, &packet(2, 0, b"x"));
    assert!(world.received(0).is_empty());

    world.holds_answers = true;
    for n in 100..200 {
        world.hosts[0].vpn.handle_claimed(ip(n), now);
        world.drain(0);
    }
    assert_eq!(world.held.len(), CLAIMED_MAX);
    world.send(0, &packet(0, 90, b"x"));
    assert_eq!(world.held.len(), CLAIMED_MAX + 1, "there is room for our own");
}

#[test]
fn one_peer_cannot_make_us_look_up_many_addresses_at_a_time() {
    let mut world = World::of(2);
    world.connect(0, 1);
    world.holds_answers = true;
    for n in 100..200 {
        world.send_forged(0, &packet(n, 1, b"x"));
    }
    assert_eq!(world.held.len(), PROOFS_MAX);
    world.answer_all();
    assert!(world.received(1).is_empty());
}

#[test]
fn a_pinned_address_beats_a_lease() {
    let mut world = World::new([
        AddressPolicy::Static(ip(2)),
        AddressPolicy::Static(ip(3)),
        AddressPolicy::Pinned(ip(3)),
    ]);
    assert_eq!(world.hosts[2].events, [Event::Contested(ip(3))]);
    world.send(1, &packet(1, 0, b"the lease"));
    assert_eq!(world.received(0).len(), 1);
    world.connect(0, 2);
    world.send(0, &packet(0, 1, b"to the pin"));
    assert_eq!(world.received(2).len(), 1);
    world.pass(Duration::from_secs(20));
    world.send(1, &packet(1, 0, b"the lease"));
    assert!(world.received(0).is_empty());
    let now = world.now.0;
    world.hosts[0].vpn.handle_announced(id(1), Some(ip(3)), now);
    world.drain(0);
    assert_eq!(world.hosts[0].vpn.holder(ip(3).into()), Some(id(2)));
    world.send(2, &packet(1, 0, b"the pin"));
    assert_eq!(world.received(0).len(), 1);
}

#[test]
fn an_idle_session_is_let_go_and_a_used_one_is_not() {
    let mut world = World::of(3);
    for _ in 0..10 {
        world.send(0, &packet(0, 1, b"often"));
        if world.now.0 == Instant::ZERO {
            world.send(0, &packet(0, 2, b"once"));
        }
        world.pass(Duration::from_secs(60));
    }
    assert_eq!(world.hosts[0].disconnects, 1);
    world.disconnect(0, 2);
    world.received(2);
    world.send(0, &packet(0, 2, b"again"));
    assert_eq!(world.received(2).len(), 1);
}

#[test]
fn an_owner_in_use_is_asked_for_again_when_its_lease_ends() {
    let mut world = World::of(3);
    world.send(0, &packet(0, 1, b"x"));
    world.pass(lease::LEASE_LIFE - Duration::from_secs(1));
    assert_eq!(world.hosts[0].vpn.holder(ip(3).into()), Some(id(1)));
    // Meanwhile the address went to member 2.
    world.table.insert(lease::name_of("lab", ip(3)), (2, Op(u64::MAX)));
    world.pass(Duration::from_secs(2));
    assert_eq!(world.hosts[0].vpn.holder(ip(3).into()), None);
    world.send_forged(1, &packet(1, 0, b"the former owner"));
    assert!(world.received(0).is_empty());
}

#[test]
fn the_next_owner_of_an_address_is_found_once_the_first_has_left() {
    let mut world = World::of(3);
    world.send(0, &packet(0, 1, b"x"));
    world.disconnect(0, 1);
    world.table.insert(lease::name_of("lab", ip(3)), (2, Op(u64::MAX)));
    world.send(0, &packet(0, 1, b"y"));
    assert_eq!(world.hosts[0].vpn.holder(ip(3).into()), Some(id(2)));
}

#[test]
fn a_new_session_with_the_same_peer_takes_over_its_addresses() {
    let mut world = World::of(2);
    world.send(0, &packet(0, 1, b"x"));
    let (now, facts) = (world.now.0, Peer { id: id(1), pinned: None });
    world.hosts[0].vpn.handle_session_up(Slot(40), &facts, None, now);
    let mut routed = Vec::new();
    while let Some(effect) = world.hosts[0].vpn.poll() {
        if let Effect::Delta(Delta::Route { destination, slot }) = effect {
            routed.push((destination, slot));
        }
    }
    assert!(routed.contains(&(ip(3).into(), Slot(40))));
    assert!(routed.contains(&(v6(1).into(), Slot(40))));
    world.hosts[0].vpn.handle_session_down(Slot(1));
    assert_eq!(world.hosts[0].vpn.holder(ip(3).into()), Some(id(1)));
}

#[test]
fn a_lane_that_never_learns_of_a_session_does_not_keep_the_node_busy() {
    let mut world = World::of(2);
    world.send(0, &packet(0, 1, b"x"));
    world.hosts[0].lane.apply(Delta::RemoveSession { slot: Slot(1) });
    world.send(0, &packet(0, 1, b"y"));
    assert_eq!(world.drops(0, Reason::SessionGone), 1);
}

#[test]
fn an_address_that_no_node_can_have_is_refused_as_configuration() {
    let config = |address, mtu| Config {
        group: "lab".into(),
        id: id(0),
        subnet: Subnet::new(ip(0), 24),
        address,
        lease: lease::LEASE_LIFE,
        mode: Mode::Split,
        mtu,
    };
    let refusal = |address, mtu| Vpn::new(config(address, mtu), Rng::new([0; 32])).err();
    let outside = Ipv4Addr::new(10, 0, 1, 5);
    assert_eq!(refusal(AddressPolicy::Static(ip(1)), MTU), Some(ConfigError::Address(ip(1))));
    assert_eq!(refusal(AddressPolicy::Pinned(outside), MTU), Some(ConfigError::Address(outside)));
    assert_eq!(refusal(AddressPolicy::Static(ip(5)), 1_200), Some(ConfigError::Mtu(1_200)));
}
