//! Handshakes of a group by a pre-shared key: who has it gets a session, and who has a part of it gets nothing.

use super::*;
use crate::path::Path;
use crate::session::gate::Gate;
use pki::PreSharedKey;

const GROUP: &str = "home";

fn key(byte: u8) -> PreSharedKey {
    PreSharedKey::from_bytes([byte; 32])
}

fn node() -> TlsSuite {
    TlsSuite::pre_shared(PrivateKey::generate(), GROUP, Cipher::Aes256Gcm).expect("a good key")
}

/// A handshake between two nodes that do not know each other, behind these gates.
fn meet(gates: [Gate; 2], client: &mut TlsSuite, server: &mut TlsSuite) -> Pair {
    let client = client.client(None, at(NOW)).expect("a good key");
    let server = server.server(None, at(NOW)).expect("a good key");
    let path = Path::Direct(([10, 0, 0, 1], 7415).into());
    let mut pair = Pair::behind(gates, path, client, server, Weather::default(), 1);
    pair.settle();
    pair
}

#[test]
fn unit_se_04_two_nodes_with_a_shared_key_and_no_authority_meet() {
    let (mut a, mut b) = (node(), node());
    let gates = [(); 2].map(|()| Gate::pre_shared(&key(1), GROUP));
    let mut pair = meet(gates, &mut a, &mut b);
    let (server, client) = (peer_of(&pair.outcomes[0]), peer_of(&pair.outcomes[1]));
    assert_eq!((server.id, client.id), (b.node_id(), a.node_id()));
    assert_eq!(client.id, NodeId::self_certified(&client.certificate));
    assert!(client.member.is_none() && client.not_after.is_none());
    pair.assert_frames_pass();
}

#[test]
fn unit_se_04_another_key_or_another_groups_name_is_met_with_silence() {
    for theirs in [Gate::pre_shared(&key(2), GROUP), Gate::pre_shared(&key(1), "away")] {
        let gates = [theirs, Gate::pre_shared(&key(1), GROUP)];
        let pair = meet(gates, &mut node(), &mut node());
        assert!(matches!(pair.outcomes[0][..], [Outcome::TimedOut]), "{:?}", pair.outcomes);
        assert!(pair.outcomes[1].is_empty() && pair.sent[1].is_empty(), "{:?}", pair.sent[1]);
    }
}

#[test]
fn unit_se_04_who_takes_the_servers_place_on_the_path_does_not_learn_who_calls() {
    let gates = [Gate::pre_shared(&key(1), GROUP), Gate::impostor(&key(1), GROUP)];
    let pair = meet(gates, &mut node(), &mut node());
    assert!(matches!(pair.outcomes[0][..], [Outcome::TimedOut]), "{:?}", pair.outcomes);
    // The two pieces of its hello again and again, and never what would tell its key.
    let hello = &pair.sent[0][..2];
    assert!(pair.sent[0].chunks(2).all(|piece| piece == hello), "{:?}", pair.sent[0]);
    assert!(!pair.sent[1].is_empty(), "the impostor answered");
}

#[test]
fn unit_se_04_no_frame_opens_without_the_key_though_the_handshake_went_through() {
    let gates = [Gate::pre_shared(&key(1), GROUP), Gate::without_session_key(&key(1), GROUP)];
    let mut pair = meet(gates, &mut node(), &mut node());
    assert_eq!(pair.frames_pass(), [false; 2]);
}

#[test]
fn unit_se_04_a_node_of_the_public_overlay_gets_no_session_by_its_suite_alone() {
    let gates = [(); 2].map(|()| Gate::pre_shared(&key(1), GROUP));
    let mut pair = meet(gates, &mut public(), &mut node());
    assert_eq!(pair.frames_pass(), [false; 2], "the exporter is bound to the purpose");
}
