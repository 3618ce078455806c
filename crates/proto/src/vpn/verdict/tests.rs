//! Every cell of the verdict table, and what must hold for all packets.

use super::*;
use crate::NodeId;
use crate::vpn::address::{Subnet, ipv6_of};
use crate::wire::ip::tests::udp;
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

fn local() -> Local {
    Local {
        subnet: Subnet::new(Ipv4Addr::new(10, 0, 0, 0), 24),
        ipv4: Some(Ipv4Addr::new(10, 0, 0, 2)),
        ipv6: ipv6_of("lab", NodeId::from_bytes([2; 20])),
        mtu: 1280,
    }
}

/// Addresses of each version that stand at a place.
fn at(place: Place, v6: bool) -> Vec<IpAddr> {
    let ours = local().ipv6.segments();
    let group = |host: u16| Ipv6Addr::new(ours[0], ours[1], ours[2], 0, 0, 0, 0, host);
    let v4: &[[u8; 4]] = match place {
        Place::Own => &[[10, 0, 0, 2]],
        Place::Member => &[[10, 0, 0, 3], [10, 0, 0, 254]],
        Place::Service => &[[10, 0, 0, 1]],
        Place::NotUnicast => &[[10, 0, 0, 0], [10, 0, 0, 255], [255; 4], [224, 0, 0, 251], [0; 4]],
        Place::Outside => &[[10, 0, 1, 3], [192, 0, 2, 1], [127, 0, 0, 1], [169, 254, 169, 254]],
    };
    match (v6, place) {
        (false, _) => v4.iter().map(|&octets| octets.into()).collect(),
        (true, Place::Own) => vec![local().ipv6.into()],
        (true, Place::Member) => {
            vec![group(2).into(), ipv6_of("lab", NodeId::from_bytes([3; 20])).into()]
        }
        (true, Place::Service) => vec![group(1).into()],
        (true, Place::NotUnicast) => {
            vec![
                group(0).into(),
                Ipv6Addr::UNSPECIFIED.into(),
                [0xff02, 0, 0, 0, 0, 0, 0, 1].into(),
            ]
        }
        (true, Place::Outside) => vec![
            ipv6_of("other", NodeId::from_bytes([3; 20])).into(),
            [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into(),
            [0xfe80, 0, 0, 0, 0, 0, 0, 1].into(),
            Ipv6Addr::LOCALHOST.into(),
        ],
    }
}

const PLACES: [Place; 5] =
    [Place::Own, Place::Member, Place::Service, Place::NotUnicast, Place::Outside];
const OWNERS: [Owner; 3] = [Owner::Peer, Owner::Unknown, Owner::Stranger];
const DIRECTIONS: [Direction; 2] = [Direction::Outbound, Direction::Inbound];

/// The table as a person would write it down, cell by cell.
fn expected(direction: Direction, near: Place, far: Place, owner: Owner) -> Verdict {
    use Place::*;
    match (direction, near, far, owner) {
        (_, Own, Member, Owner::Peer) => Verdict::Pass,
        (_, Own, Member, Owner::Unknown) => Verdict::Unproven,
        (_, Own, Member, Owner::Stranger) => Verdict::Reject(Reason::NotTheOwner),
        (_, NotUnicast, _, _) | (_, _, NotUnicast, _) => Verdict::Reject(Reason::NotUnicast),
        (_, _, Outside, _) => Verdict::Reject(Reason::OutsideSubnet),
        (_, _, Own, _) => Verdict::Reject(Reason::OwnAddress),
        (_, _, Service, _) => Verdict::Reject(Reason::ServiceAddress),
        (Direction::Outbound, _, Member, _) => Verdict::Reject(Reason::ForeignSource),
        (Direction::Inbound, _, Member, _) => Verdict::Reject(Reason::NotForUs),
    }
}

fn judge(direction: Direction, near: IpAddr, far: IpAddr, owner: Owner, local: &Local) -> Verdict {
    let packet = match direction {
        Direction::Outbound => udp(near, far, b"x"),
        Direction::Inbound => udp(far, near, b"x"),
    };
    verdict(Mode::Split, direction, &Header::parse_packet(&packet), local, |_| owner)
}

#[test]
fn unit_vn_09_every_cell_of_the_verdict_table() {
    let mut cells = 0;
    for direction in DIRECTIONS {
        for (near_place, far_place) in PLACES.into_iter().flat_map(|n| PLACES.map(|f| (n, f))) {
            for owner in OWNERS {
                let want = expected(direction, near_place, far_place, owner);
                for v6 in [false, true] {
                    for near in at(near_place, v6) {
                        for far in at(far_place, v6) {
                            let got = judge(direction, near, far, owner, &local());
                            assert_eq!(got, want, "{direction:?} near {near} far {far} {owner:?}");
                        }
                    }
                    cells += 1;
                }
            }
        }
        for error in [Malformed::Truncated, Malformed::Trailing, Malformed::Field("version")] {
            let got = verdict(Mode::Split, direction, &Err(error), &local(), |_| Owner::Peer);
            assert_eq!(got, Verdict::Reject(Reason::Malformed));
            cells += 1;
        }
    }
    assert_eq!(cells, 2 * (5 * 5 * 3 * 2 + 3));
}

#[test]
fn without_a_lease_ipv4_passes_in_neither_direction() {
    let leaseless = Local { ipv4: None, ..local() };
    for direction in DIRECTIONS {
        let got =
            judge(direction, [10, 0, 0, 2].into(), [10, 0, 0, 3].into(), Owner::Peer, &leaseless);
        assert!(matches!(got, Verdict::Reject(_)));
    }
}

fn any_address() -> impl Strategy<Value = (IpAddr, IpAddr)> {
    let v4 = || prop_oneof![any::<[u8; 4]>(), (0u8..=255).prop_map(|n| [10, 0, 0, n])];
    let v6 = || {
        let inside = any::<[u8; 10]>().prop_map(|host| {
            let mut ip = local().ipv6.octets();
            ip[6..].copy_from_slice(&host);
            ip
        });
        prop_oneof![any::<[u8; 16]>(), inside, Just(local().ipv6.octets())]
    };
    prop_oneof![
        (v4(), v4()).prop_map(|(a, b)| (a.into(), b.into())),
        (v6(), v6()).prop_map(|(a, b)| (a.into(), b.into())),
    ]
}

proptest! {
    #[test]
    fn unit_vn_10_what_arrives_passes_only_from_its_owner_and_only_to_us(
        (source, destination) in any_address(), owner in 0usize..3,
    ) {
        let got = judge(Direction::Inbound, destination, source, OWNERS[owner], &local());
        let ours = destination == local().ipv6 || Some(destination) == local().ipv4.map(IpAddr::V4);
        if got == Verdict::Pass {
            prop_assert!(ours && OWNERS[owner] == Owner::Peer);
        }
        if got == Verdict::Unproven {
            prop_assert!(ours && OWNERS[owner] == Owner::Unknown);
        }
    }

    #[test]
    fn what_leaves_passes_only_from_us_and_only_to_a_known_member(
        (source, destination) in any_address(), owner in 0usize..3,
    ) {
        let got = judge(Direction::Outbound, source, destination, OWNERS[owner], &local());
        if got == Verdict::Pass {
            prop_assert_eq!(local().place(source), Place::Own);
            prop_assert_eq!(local().place(destination), Place::Member);
            prop_assert_eq!(OWNERS[owner], Owner::Peer);
        }
    }
}
