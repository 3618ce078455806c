//! Nodes of a group by a pre-shared key: who has it is in, who has another gets silence, and it can be changed.

use super::*;
use pki::PreSharedKey;

const OLD: u8 = 1;
const NEW: u8 = 2;
const FOREIGN: u8 = 3;

/// Adds the node `n` with these keys; it joins by the first three nodes.
fn add(net: &mut Net, n: u8, group: &str, keys: &[u8]) {
    let mut rng = Rng::new([n; 32]);
    let id = NodeId::from_bytes(rng.bytes());
    let keys = keys.iter().map(|&byte| PreSharedKey::from_bytes([byte; 32])).collect();
    let overlay = OverlayConfig {
        suite: Box::new(NullSuite::new(id, Sizes::PUBLIC, b"pre-shared", &mut rng)),
        access: Access::PreShared { group: group.into(), keys },
        bootstrap: (1..=3).filter(|&other| other != n).map(endpoint).collect(),
        known: Vec::new(),
        shortcuts: Box::new(Harmonic),
    };
    net.add_in(n, vec![overlay]);
}

fn restart(net: &mut Net, n: u8, keys: &[u8]) {
    net.with(endpoint(n), Node::leave);
    net.kill(n);
    net.run_for(Duration::from_secs(1));
    add(net, n, "home", keys);
    net.run_for(Duration::from_secs(10));
}

#[test]
fn sim_se_04_who_has_the_key_is_linked_and_who_has_another_hears_nothing() {
    let mut net = Net::new(0.0);
    add(&mut net, 1, "home", &[OLD]);
    add(&mut net, 2, "home", &[OLD]);
    net.run_for(Duration::from_secs(5));
    assert!(net.linked(1, 2) && net.linked(2, 1));
    for (n, group, key) in [(3, "home", FOREIGN), (4, "away", OLD)] {
        let silence = |net: &Net| net.nodes[&endpoint(1)].counters(Instance(0)).links.silence;
        let before = silence(&net);
        add(&mut net, n, group, &[key]);
        net.run_for(Duration::from_secs(60));
        assert!(silence(&net) > before, "counted");
        assert_eq!(net.nodes[&endpoint(n)].links().sessions().count(), 0);
        let told = |what: &dyn Fn(&Event) -> bool| {
            net.events.iter().any(|(at, event)| *at == endpoint(n) && what(event))
        };
        assert!(told(&|event| matches!(event, Event::NoAnswer { .. })), "{:?}", net.events);
        assert!(!told(&|event| matches!(event, Event::Refused { .. })), "{:?}", net.events);
    }
    // Neither the others nor the hourly handshakes disturbed the two.
    net.run_for(Duration::from_secs(3 * 3600));
    assert!(net.linked(1, 2) && net.linked(2, 1));
    let down = |event: &&(SocketAddr, Event)| matches!(event.1, Event::LinkDown { .. });
    assert_eq!(net.events.iter().filter(down).count(), 0, "{:?}", net.events);
}

#[test]
fn sim_se_04_a_group_goes_from_one_key_to_the_next_node_by_node() {
    let mut net = Net::new(0.0);
    (1..=3).for_each(|n| add(&mut net, n, "home", &[OLD]));
    net.run_for(Duration::from_secs(5));
    // First everybody takes the new key as well, then nobody the old one any more.
    for keys in [&[OLD, NEW][..], &[NEW]] {
        for n in 1..=3 {
            restart(&mut net, n, keys);
            for (a, b) in [(1, 2), (2, 3), (1, 3)] {
                assert!(net.linked(a, b) && net.linked(b, a), "{a} and {b}, {n} with {keys:?}");
            }
        }
    }
    add(&mut net, 4, "home", &[OLD]);
    net.run_for(Duration::from_secs(10));
    assert_eq!(net.nodes[&endpoint(4)].links().sessions().count(), 0, "the old key is out");
}
