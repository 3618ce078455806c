//! A scenario: which network, who lives in it, and what happens to them, as a file.
//!
//! A run begins with everybody's start and goes on step by step. Each step changes something and then lets
//! time pass; when it is over, the overlay is measured and one row goes into the result table. What must hold
//! at any time is checked each second, and at the end the run waits until everything is as it must be at rest:
//! a run in which an invariant fails has failed. All times
//! are virtual, so equal files and seeds give equal tables.
//!
//! ```yaml
//! nodes: 100
//! steps:
//!   - kill: { share: 0.1 }
//!   - idle: { seconds: 600 }
//! ```

mod measure;
mod run;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::latency::{DelayMatrix, ReadError};
use crate::population::Policy;
use crate::world::IpVersion;

pub use run::{Outcome, Progress, RunError, run};

/// A scenario file. Everything but `nodes` has a default; unknown keys are refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Nodes that are started.
    pub nodes: usize,
    /// Nodes that the others know from the start. Default 1.
    #[serde(default = "one")]
    pub seeds: usize,
    /// Pause between two starts in milliseconds. Default 100.
    #[serde(default = "arrival_ms")]
    pub arrival_ms: u64,
    /// Which shortcuts the nodes draw: `harmonic` (default) or `fingers`.
    #[serde(default)]
    pub policy: Policy,
    /// Delays between the nodes: `king-like` (default), `uniform: { rtt_ms: 50 }`, or
    /// `file: { path: FILE }` relative to the scenario, from which nodes are drawn at random.
    #[serde(default)]
    pub delays: Delays,
    /// Share of datagrams that is lost. Default 0.
    #[serde(default)]
    pub loss: f64,
    /// Longest extra delay of a datagram in milliseconds. Default 0.
    #[serde(default)]
    pub jitter_ms: f64,
    /// Address family of the hosts: `v4` (default) or `v6`.
    #[serde(default)]
    pub addresses: Addresses,
    /// Whether the nodes are members of a virtual network and lease addresses of 10.9.0.0/16. Default no.
    #[serde(default)]
    pub network: bool,
    /// Seconds from the first start within which everybody must have found its place. Default 600.
    #[serde(default = "limit_s")]
    pub within_s: u64,
    /// What happens afterwards, in order. Default nothing.
    #[serde(default)]
    pub steps: Vec<Step>,
}

/// Where delays come from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Delays {
    /// Generated, with the distribution of the King measurements.
    #[default]
    KingLike,
    /// The same for all pairs.
    Uniform {
        /// Round-trip time in milliseconds.
        rtt_ms: f64,
    },
    /// Measured.
    File {
        /// A matrix of round-trip times in microseconds.
        path: PathBuf,
    },
}

/// Which addresses the hosts have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Addresses {
    /// IPv4.
    #[default]
    V4,
    /// IPv6.
    V6,
}

/// Something that happens, and how long it is watched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Step {
    /// Nothing happens: what does it cost?
    Idle {
        /// How long.
        seconds: u64,
    },
    /// Nodes die at once and without a word; over when the ring of the survivors is whole again.
    Kill {
        /// Share of the nodes, 0 to 1. The bootstrap nodes survive.
        share: f64,
        /// The ring must be whole within this. Default 600.
        #[serde(default = "limit_s")]
        within_s: u64,
    },
    /// Nodes say goodbye, all at once; otherwise as `kill`.
    Leave {
        /// Share of the nodes, 0 to 1. The bootstrap nodes stay.
        share: f64,
        /// The ring must be whole within this. Default 600.
        #[serde(default = "limit_s")]
        within_s: u64,
    },
    /// Nodes that died or left are started again; over when the ring is whole.
    Restart {
        /// The ring must be whole within this. Default 600.
        #[serde(default = "limit_s")]
        within_s: u64,
    },
    /// Again and again a node dies and one that was dead returns; over when the ring is whole afterwards.
    Churn {
        /// Deaths per minute.
        per_minute: f64,
        /// How long.
        seconds: u64,
        /// The ring must be whole within this, afterwards. Default 600.
        #[serde(default = "limit_s")]
        within_s: u64,
    },
    /// The network falls into parts of about equal size and is healed; over when there is one ring again.
    Partition {
        /// Number of parts. Default 2.
        #[serde(default = "two")]
        parts: usize,
        /// How long it lasts.
        seconds: u64,
        /// There must be one ring within this, afterwards. Default 600.
        #[serde(default = "limit_s")]
        within_s: u64,
    },
}

/// Why a scenario cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The file cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The file is not a scenario.
    #[error("{}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        message: String,
    },
    /// A value is out of range.
    #[error("`{key}` must be {range}, not {value}")]
    Range {
        /// The key.
        key: &'static str,
        /// What is allowed.
        range: &'static str,
        /// What was found.
        value: String,
    },
    /// The delay matrix cannot be read.
    #[error(transparent)]
    Matrix(#[from] ReadError),
    /// The delay matrix is too small.
    #[error(transparent)]
    Subset(#[from] crate::latency::SubsetError),
}

impl Scenario {
    /// Reads and checks a scenario file.
    pub fn read(path: &Path) -> Result<Self, ScenarioError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| ScenarioError::Read { path: path.to_owned(), error })?;
        let mut scenario = Self::parse(&text).map_err(|error| match error {
            ScenarioError::Syntax { message, .. } => {
                ScenarioError::Syntax { path: path.to_owned(), message }
            }
            other => other,
        })?;
        if let (Delays::File { path: matrix }, Some(folder)) = (&mut scenario.delays, path.parent())
        {
            *matrix = folder.join(&*matrix);
        }
        Ok(scenario)
    }

    /// Reads and checks a scenario.
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        let scenario: Self = serde_yaml::from_str(text).map_err(|error| {
            let message = error.to_string();
            let message = message.lines().next().unwrap_or("not a scenario").to_owned();
            ScenarioError::Syntax { path: PathBuf::from("scenario"), message }
        })?;
        scenario.check()?;
        Ok(scenario)
    }

    /// Makes or reads the delays of the hosts.
    pub fn matrix(&self, seed: u64) -> Result<DelayMatrix, ScenarioError> {
        Ok(match &self.delays {
            Delays::KingLike => DelayMatrix::king_like(self.nodes, seed),
            Delays::Uniform { rtt_ms } => {
                DelayMatrix::uniform(self.nodes, Duration::from_secs_f64(rtt_ms / 1e3))
            }
            Delays::File { path } => draw(&DelayMatrix::read(path)?, self.nodes, seed)?,
        })
    }

    fn check(&self) -> Result<(), ScenarioError> {
        use crate::latency::NODES_MAX;
        range("nodes", "1 to 20000", self.nodes, (1..=NODES_MAX).contains(&self.nodes))?;
        range("seeds", "1 to `nodes`", self.seeds, (1..=self.nodes).contains(&self.seeds))?;
        range("loss", "0 to 1", self.loss, (0.0..=1.0).contains(&self.loss))?;
        let jitter = (0.0..=10_000.0).contains(&self.jitter_ms);
        range("jitter_ms", "0 to 10000", self.jitter_ms, jitter)?;
        if let Delays::Uniform { rtt_ms } = self.delays {
            range("rtt_ms", "0 to 100000", rtt_ms, (0.0..=100_000.0).contains(&rtt_ms))?;
        }
        self.steps.iter().try_for_each(|step| match *step {
            Step::Kill { share, .. } | Step::Leave { share, .. } => {
                range("share", "0 to 1", share, (0.0..=1.0).contains(&share))
            }
            Step::Churn { per_minute, .. } => {
                let is_sane = per_minute > 0.0 && per_minute <= 60_000.0;
                range("per_minute", "above 0 and at most 60000", per_minute, is_sane)
            }
            Step::Partition { parts, .. } => {
                range("parts", "2 to `nodes`", parts, (2..=self.nodes).contains(&parts))
            }
            Step::Idle { .. } | Step::Restart { .. } => Ok(()),
        })
    }
}

/// Draws the hosts' places from a measured matrix.
pub fn draw(matrix: &DelayMatrix, nodes: usize, seed: u64) -> Result<DelayMatrix, ScenarioError> {
    use rand::SeedableRng;
    Ok(matrix.subset(nodes, &mut rand_chacha::ChaCha8Rng::seed_from_u64(seed))?)
}

impl Step {
    /// The name of the step in files and tables.
    pub fn name(&self) -> &'static str {
        match self {
            Step::Idle { .. } => "idle",
            Step::Kill { .. } => "kill",
            Step::Leave { .. } => "leave",
            Step::Restart { .. } => "restart",
            Step::Churn { .. } => "churn",
            Step::Partition { .. } => "partition",
        }
    }
}

impl From<Addresses> for IpVersion {
    fn from(addresses: Addresses) -> Self {
        match addresses {
            Addresses::V4 => IpVersion::V4,
            Addresses::V6 => IpVersion::V6,
        }
    }
}

fn range(
    key: &'static str,
    range: &'static str,
    value: impl ToString,
    is_inside: bool,
) -> Result<(), ScenarioError> {
    let value = value.to_string();
    if is_inside { Ok(()) } else { Err(ScenarioError::Range { key, range, value }) }
}

fn one() -> usize {
    1
}

fn two() -> usize {
    2
}

fn arrival_ms() -> u64 {
    100
}

fn limit_s() -> u64 {
    600
}

#[cfg(test)]
mod tests;
