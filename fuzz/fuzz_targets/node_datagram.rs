//! Datagrams from libFuzzer to a whole node with a live link: the first byte says from whom.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::time::Duration;
use warren_fuzz::world::{FRIEND, Group, VICTIM, World, endpoint};

fuzz_target!(|bytes: &[u8]| {
    let Some((&from, datagram)) = bytes.split_first() else { return };
    let mut world = World::new(Group::null());
    world.capture = None;
    let from = match from {
        0 => endpoint(FRIEND),
        n => ([172, 16, n, 1], 40_000).into(),
    };
    world.accounts.insert(from, Default::default());
    world.inject(VICTIM, from, &mut datagram.to_vec());
    world.run_for(Duration::from_secs(1));
    assert!(world.is_linked());
    if from != endpoint(FRIEND) {
        world.assert_no_amplification();
    }
});
