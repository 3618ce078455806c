//! Shortcuts follow Symphony's harmonic law (checklist SC-01).

mod common;

use common::{settled, topology};
use proto::NodeId;
use proto::overlay::shortcut::{Harmonic, ShortcutPolicy};
use proto::ring;
use proto::rng::Rng;
use std::time::Duration;
use warren_sim::check::Topology;
use warren_sim::population::Population;
use warren_sim::stats::{kolmogorov_smirnov, percentile};

/// Below this the law is refused.
const P_MIN: f64 = 0.01;

/// Share of shortcuts that are no longer than `share` of the ring: uniform in the logarithm from `shortest`
/// to one half.
fn law(shortest: f64, share: f64) -> f64 {
    ((share / shortest).ln() / (0.5 / shortest).ln()).clamp(0.0, 1.0)
}

#[test]
fn sim_sc_01_draws_follow_the_harmonic_law() {
    let (mut rng, me) = (Rng::new([9; 32]), NodeId::from_bytes([77; 20]));
    for size in [10.0, 500.0, 100_000.0] {
        let mut lengths = Vec::new();
        let mut right = 0;
        for _ in 0..100_000 {
            let point = Harmonic.draw(me, size, 0, &mut rng);
            lengths.push(ring::distance(me, point).share());
            right += u32::from(ring::clockwise(me, point) == ring::distance(me, point));
        }
        let fit = kolmogorov_smirnov(&lengths, |share| law(1.0 / size, share)).expect("samples");
        println!("size {size}: {fit:?}, {right} to the right");
        assert!(fit.p_value > P_MIN, "{fit:?} at size {size}");
        assert!((49_000..51_000).contains(&right), "{right} of 100000 to the right");
    }
}

#[test]
fn sim_sc_01_live_shortcuts_follow_the_harmonic_law() {
    let (mut world, _) = settled(&Population::new(500), 1);
    // Shortcuts drawn while the network was small are replaced one by one.
    world.run_for(Duration::from_secs(600));
    let topology = topology(&world);
    draws_by_own_estimates_follow_the_law(&topology);
    // Nearer ones are as often found by luck as drawn: what answers is the node nearest to the point.
    let shortest = 10.0 / topology.len() as f64;
    let lengths: Vec<f64> = topology
        .members
        .iter()
        .flat_map(|member| {
            member.shortcuts.iter().map(|&(peer, _)| ring::distance(member.id, peer).share())
        })
        .filter(|&share| share >= shortest)
        .collect();
    let fit = kolmogorov_smirnov(&lengths, |share| law(shortest, share)).expect("samples");
    let mut deciles = [0; 10];
    lengths.iter().for_each(|&l| deciles[((law(shortest, l) * 10.0) as usize).min(9)] += 1);
    println!("{} shortcuts: {fit:?}, by deciles of the law {deciles:?}", lengths.len());
    assert!(fit.p_value > P_MIN, "{fit:?}");
}

/// Nobody knows how large the network is: each draws by its own estimate, which must not be far off.
fn draws_by_own_estimates_follow_the_law(topology: &Topology) {
    let mut rng = Rng::new([10; 32]);
    let (mut quantiles, mut estimates) = (Vec::new(), Vec::new());
    for member in &topology.members {
        let size = member.size_estimate;
        estimates.push(size / topology.len() as f64);
        for _ in 0..20 {
            let point = Harmonic.draw(member.id, size, 0, &mut rng);
            quantiles.push(law(1.0 / size, ring::distance(member.id, point).share()));
        }
    }
    let fit = kolmogorov_smirnov(&quantiles, |quantile| quantile).expect("samples");
    let [low, middle, high] =
        [0.05, 0.5, 0.95].map(|share| percentile(&estimates, share).expect("samples"));
    println!("draws by own estimates: {fit:?}; estimates {low:.2}, {middle:.2}, {high:.2} of N");
    assert!(fit.p_value > P_MIN, "{fit:?}");
    assert!((0.8..1.25).contains(&middle) && low > 0.4 && high < 2.5, "{low} {middle} {high}");
}
