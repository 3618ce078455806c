//! One row of the result table: the overlay as it is after a step, and what the step cost.

use proto::node::api::Event;
use proto::overlay::Instance;

use crate::check::{Topology, ring_is_consistent, routes};
use crate::report::{Cell, Table};
use crate::stats::{Summary, percentile};
use crate::world::{Volume, World};

/// The overlay that scenarios look at.
pub(super) const INSTANCE: Instance = Instance(0);

const COLUMNS: [&str; 16] = [
    "step",
    "nodes",
    "settled_s",
    "lasted_s",
    "join_mean_s",
    "join_p95_s",
    "ring_pct",
    "routable_pct",
    "hops_mean",
    "hops_p95",
    "degree_mean",
    "degree_max",
    "sent_bytes_per_node",
    "sent_bits_per_s_per_node",
    "events",
    "event_hash",
];

/// The table while it grows, and where the counters stood after its last row.
#[derive(Debug)]
pub(super) struct Measurements {
    table: Table,
    begun: f64,
    sent: u64,
    events: u64,
}

impl Measurements {
    pub(super) fn new() -> Self {
        Self { table: Table::new(COLUMNS), begun: 0.0, sent: 0, events: 0 }
    }

    /// Adds the row of a step that ends now; `settled_s` is how long the ring took to be whole.
    pub(super) fn row(&mut self, step: &str, world: &World, settled_s: Option<f64>) {
        let topology = Topology::of(world, INSTANCE);
        let nodes = topology.len();
        let routes = routes(&topology);
        let degrees = topology.degrees();
        let joins = join_times(world);
        let now = world.now().instant.as_micros() as f64 / 1e6;
        let lasted = now - self.begun;
        let sent = sent_bytes(world);
        let sent_per_node = (sent - self.sent) as f64 / nodes.max(1) as f64;
        let bits_per_s = if lasted > 0.0 { sent_per_node * 8.0 / lasted } else { f64::NAN };
        let mean = |samples: &[f64]| Summary::of(samples).map(|summary| summary.mean);
        let row: [Cell; COLUMNS.len()] = [
            step.into(),
            nodes.into(),
            settled_s.into(),
            lasted.into(),
            mean(&joins).into(),
            percentile(&joins, 0.95).into(),
            (ring_is_consistent(&topology).share_clean() * 100.0).into(),
            (routes.findings.share_clean() * 100.0).into(),
            mean(&routes.hops).into(),
            percentile(&routes.hops, 0.95).into(),
            mean(&degrees).into(),
            percentile(&degrees, 1.0).into(),
            sent_per_node.into(),
            bits_per_s.into(),
            (world.events() - self.events).into(),
            world.hash().to_string().into(),
        ];
        self.table.push(row);
        (self.begun, self.sent, self.events) = (now, sent, world.events());
    }

    pub(super) fn into_table(self) -> Table {
        self.table
    }
}

/// Seconds from start to place in the ring, of all live nodes that have one.
fn join_times(world: &World) -> Vec<f64> {
    let joined = |event: &Event| match event {
        Event::Joined { after, .. } => Some(after.as_secs_f64()),
        _ => None,
    };
    world
        .live()
        .filter_map(|(host, _)| world.events_of(host).iter().find_map(|(_, event)| joined(event)))
        .collect()
}

fn sent_bytes(world: &World) -> u64 {
    let sent = world.hosts().map(|host| world.traffic(host).sent.total());
    sent.fold(Volume::default(), |sum, volume| sum + volume).bytes
}
