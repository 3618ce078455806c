//! Stories that are told with many seeds: what may go wrong once in a thousand times (checklist AD-03).
//!
//! A story is a run with an end that must be good. [`tell`] tells it with one seed and gives its figures;
//! [`sweep`] tells it with many, several at a time. What a seed gives does not depend on the others.

mod leases;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;

use clap::ValueEnum;

use crate::report::{Cell, Table};

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Story {
    /// Two hundred members lease the addresses of a /24 while they join.
    Leases,
    /// Three quarters of them lease; the network is cut for 30 s, in which the others join on both sides; when
    /// it is whole again, addresses that both sides leased must be held once.
    Partition,
}

/// What came of one seed.
#[derive(Clone, Debug)]
pub struct Telling {
    /// The seed.
    pub seed: u64,
    /// What was measured until the end, good or bad, in the order of [`COLUMNS`].
    pub figures: Figures,
    /// What went wrong, if anything did.
    pub trouble: Option<String>,
}

/// Times in seconds of virtual time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    /// From the last start, or from the end of the cut, until the ring was whole.
    pub ring_s: Option<f64>,
    /// Addresses held twice when the cut ended.
    pub doubled: Option<usize>,
    /// From the end of the cut until the last look at which an address was held twice.
    pub decided_s: Option<f64>,
    /// Ranges that nodes began to speak for though they could not copy them in time, since the cut ended.
    pub uncopied: Option<u64>,
    /// From the last start, or from the end of the cut, until everybody had an address.
    pub leased_s: Option<f64>,
}

/// Columns of the table of a sweep.
pub const COLUMNS: [&str; 7] =
    ["seed", "ring_s", "doubled", "decided_s", "leased_s", "uncopied", "trouble"];

/// Tells a story with one seed.
pub fn tell(story: Story, seed: u64) -> Telling {
    let mut figures = Figures::default();
    let told = match story {
        Story::Leases => leases::join(seed, &mut figures),
        Story::Partition => leases::partition(seed, &mut figures),
    };
    Telling { seed, figures, trouble: told.err() }
}

/// Tells a story with these seeds, `jobs` at a time; `heard` is given what came of them in order of the seeds.
pub fn sweep(story: Story, seeds: Range<u64>, jobs: usize, mut heard: impl FnMut(Telling)) {
    let next = AtomicU64::new(seeds.start);
    let (sender, receiver) = mpsc::channel();
    // Each seed has a world of its own: threads change who is told first, never what comes of it.
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            let (next, sender, end) = (&next, sender.clone(), seeds.end);
            scope.spawn(move || {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end || sender.send(tell(story, seed)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let (mut early, mut due) = (BTreeMap::new(), seeds.start);
        for telling in receiver {
            early.insert(telling.seed, telling);
            while let Some(telling) = early.remove(&due) {
                due += 1;
                heard(telling);
            }
        }
    });
}

impl Telling {
    /// The row of the table.
    pub fn row(&self) -> [Cell; COLUMNS.len()] {
        let Figures { ring_s, doubled, decided_s, leased_s, uncopied } = self.figures;
        [
            self.seed.into(),
            ring_s.into(),
            doubled.map_or(Cell::from(""), Cell::from),
            decided_s.into(),
            leased_s.into(),
            uncopied.map_or(Cell::from(""), Cell::from),
            self.trouble.as_deref().unwrap_or("").into(),
        ]
    }

    /// A table for rows.
    pub fn table() -> Table {
        Table::new(COLUMNS)
    }
}
