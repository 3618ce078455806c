//! Runs a scenario: starts everybody, lets the steps happen, measures after each.

use std::time::Duration;

use proto::time::Instant;
use proto::vpn::address::Subnet;
use rand::SeedableRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::measure::{INSTANCE, Measurements};
use super::{Scenario, Step};
use crate::check::{Findings, Topology, always, at_rest, ring_is_consistent};
use crate::latency::DelayMatrix;
use crate::population::{Population, VirtualNetwork};
use crate::report::Table;
use crate::world::{HostId, World, WorldConfig};

/// How often a run looks at the ring and reports progress, in virtual time. It is the resolution of the
/// settling times in the table.
const TICK: Duration = Duration::from_secs(1);
/// Time in which everything is as it must be at rest: replicas compare each other eighth of the ring twice,
/// ten seconds apart, and links that nobody wants are closed.
const REST_MAX: Duration = Duration::from_secs(300);

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// One row per step.
    pub table: Table,
    /// Everything that was delivered.
    pub events: u64,
}

/// A step did not come to its end in time, or an invariant failed.
#[derive(Debug, thiserror::Error)]
#[error("step {number} ({step}): {trouble}")]
pub struct RunError {
    number: usize,
    step: &'static str,
    trouble: String,
    /// The rows of the steps so far, the failed one included.
    pub table: Table,
}

/// Runs the scenario; `progress` is told now and then the number of the step and what share of the nodes has
/// its ring neighbours.
pub fn run(
    scenario: &Scenario,
    seed: u64,
    matrix: DelayMatrix,
    progress: impl FnMut(&Progress),
) -> Result<Outcome, Box<RunError>> {
    let mut world = World::new(WorldConfig {
        seed,
        matrix,
        loss: scenario.loss,
        jitter: Duration::from_secs_f64(scenario.jitter_ms / 1e3),
        addresses: scenario.addresses.into(),
    });
    let population = Population {
        nodes: scenario.nodes,
        seeds: scenario.seeds,
        arrival: Duration::from_millis(scenario.arrival_ms),
        policy: scenario.policy,
        network: scenario.network.then(network),
        authority: None,
    };
    let hosts = population.settle(&mut world);
    let last_start = population.arrival * u32::try_from(hosts.len() - 1).unwrap_or(u32::MAX);
    let rng = ChaCha8Rng::seed_from_u64(seed);
    let mut run =
        Run { world, rng, seeds: scenario.seeds, measurements: Measurements::new(), progress };

    run.step(0, "converge", scenario.within_s, last_start, |_| Ok(()))?;
    for (index, step) in scenario.steps.iter().enumerate() {
        run.take(index + 1, step)?;
    }
    run.rest(scenario.steps.len() + 1)?;
    Ok(Outcome { table: run.measurements.into_table(), events: run.world.events() })
}

fn network() -> VirtualNetwork {
    VirtualNetwork::new("lab", Subnet::new([10, 9, 0, 0].into(), 16))
}

/// How far a run has come.
#[derive(Clone, Debug)]
pub struct Progress {
    /// The number of the step; 0 is the start.
    pub number: usize,
    /// Its name.
    pub step: &'static str,
    /// Virtual time.
    pub now: Instant,
    /// Nodes that live.
    pub live: usize,
    /// Share of them, both sides counted, that has its true ring neighbours.
    pub whole: f64,
}

struct Run<P> {
    world: World,
    rng: ChaCha8Rng,
    seeds: usize,
    measurements: Measurements,
    progress: P,
}

impl<P: FnMut(&Progress)> Run<P> {
    fn take(&mut self, number: usize, step: &Step) -> Result<(), Box<RunError>> {
        let name = step.name();
        let nothing = Duration::ZERO;
        match *step {
            Step::Idle { seconds } => {
                self.pass(number, name, Duration::from_secs(seconds))?;
                self.measurements.row(name, &self.world, None);
                Ok(())
            }
            Step::Kill { share, within_s } => self.step(number, name, within_s, nothing, |run| {
                run.chosen(share).into_iter().for_each(|host| run.world.kill(host));
                Ok(())
            }),
            Step::Leave { share, within_s } => self.step(number, name, within_s, nothing, |run| {
                run.chosen(share).into_iter().for_each(|host| run.world.leave(host));
                Ok(())
            }),
            Step::Restart { within_s } => self.step(number, name, within_s, nothing, |run| {
                run.dead().into_iter().for_each(|host| run.world.restart(host));
                Ok(())
            }),
            Step::Churn { per_minute, seconds, within_s } => {
                let pause = Duration::from_secs_f64(60.0 / per_minute);
                let end = self.world.now().instant + Duration::from_secs(seconds);
                self.step(number, name, within_s, nothing, |run| {
                    while run.world.now().instant < end {
                        run.pass(number, name, pause)?;
                        run.replace_one();
                    }
                    Ok(())
                })
            }
            Step::Partition { parts, seconds, within_s } => {
                self.step(number, name, within_s, nothing, |run| {
                    let mut hosts: Vec<HostId> = run.world.hosts().collect();
                    hosts.shuffle(&mut run.rng);
                    let size = hosts.len().div_ceil(parts);
                    let groups: Vec<_> = hosts.chunks(size).map(<[_]>::to_vec).collect();
                    run.world.partition(&groups);
                    run.pass(number, name, Duration::from_secs(seconds))?;
                    run.world.heal();
                    Ok(())
                })
            }
        }
    }

    /// Does something, lets at least `settle` pass, and waits until everybody has its place.
    fn step(
        &mut self,
        number: usize,
        name: &'static str,
        within_s: u64,
        settle: Duration,
        act: impl FnOnce(&mut Self) -> Result<(), Box<RunError>>,
    ) -> Result<(), Box<RunError>> {
        act(self)?;
        let begun = self.world.now().instant;
        self.pass(number, name, settle)?;
        loop {
            let topology = Topology::of(&self.world, INSTANCE);
            let ring = ring_is_consistent(&topology);
            let took = self.world.now().instant - begun;
            if ring.is_clean() && topology.everybody_joined() {
                self.measurements.row(name, &self.world, Some(took.as_secs_f64()));
                return Ok(());
            }
            if took >= Duration::from_secs(within_s) {
                let what = format!("the ring is not whole within {within_s} s");
                return Err(self.failed(number, name, &what, &[ring]));
            }
            self.pass(number, name, TICK)?;
        }
    }

    /// Waits until everything is as it must be when nothing happens any more.
    fn rest(&mut self, number: usize) -> Result<(), Box<RunError>> {
        let (name, begun) = ("rest", self.world.now().instant);
        loop {
            let violated = at_rest(&self.world, INSTANCE);
            let took = self.world.now().instant - begun;
            if violated.is_empty() {
                self.measurements.row(name, &self.world, Some(took.as_secs_f64()));
                return Ok(());
            }
            if took >= REST_MAX {
                let what = format!("not at rest within {} s", REST_MAX.as_secs());
                return Err(self.failed(number, name, &what, &violated));
            }
            self.pass(number, name, TICK)?;
        }
    }

    /// The end of a run that failed: what, and the first violation of each rule.
    fn failed(
        &mut self,
        number: usize,
        step: &'static str,
        what: &str,
        violated: &[Findings],
    ) -> Box<RunError> {
        self.measurements.row(step, &self.world, None);
        let first = |findings: &Findings| {
            findings.to_string().lines().take(2).map(str::trim).collect::<Vec<_>>().join("; ")
        };
        let trouble: Vec<String> =
            [what.to_owned()].into_iter().chain(violated.iter().map(first)).collect();
        let measurements = std::mem::replace(&mut self.measurements, Measurements::new());
        let (trouble, table) = (trouble.join(": "), measurements.into_table());
        Box::new(RunError { number, step, trouble, table })
    }

    /// Lets time pass, reports progress, and checks what must hold at any time.
    fn pass(
        &mut self,
        number: usize,
        step: &'static str,
        duration: Duration,
    ) -> Result<(), Box<RunError>> {
        let end = self.world.now().instant + duration;
        while self.world.now().instant < end {
            let next = end.min(self.world.now().instant + TICK);
            self.world.run_until(next);
            let topology = Topology::of(&self.world, INSTANCE);
            let whole = ring_is_consistent(&topology).share_clean();
            let live = topology.len();
            (self.progress)(&Progress { number, step, now: next, live, whole });
            let violated = always(&self.world);
            if !violated.is_empty() {
                return Err(self.failed(number, step, "an invariant failed", &violated));
            }
        }
        Ok(())
    }

    /// A share of the live nodes, at random, without the bootstrap nodes.
    fn chosen(&mut self, share: f64) -> Vec<HostId> {
        let seeds = self.seeds;
        let live: Vec<HostId> = self.world.live().map(|(host, _)| host).collect();
        let number = (live.len() as f64 * share).round() as usize;
        let mortal: Vec<HostId> = live.into_iter().filter(|host| host.index() >= seeds).collect();
        mortal.sample(&mut self.rng, number).copied().collect()
    }

    fn dead(&self) -> Vec<HostId> {
        self.world.hosts().filter(|&host| self.world.node(host).is_none()).collect()
    }

    /// One node dies; one that was dead, if any was, returns.
    fn replace_one(&mut self) {
        let returns = self.dead().choose(&mut self.rng).copied();
        let live = self.world.live().count();
        if let Some(&dies) = self.chosen(1.0 / live.max(1) as f64).first() {
            self.world.kill(dies);
        }
        if let Some(host) = returns {
            self.world.restart(host);
        }
    }
}
