//! `warren-sim`: runs scenarios of the overlay in virtual time and prints what came of them.

#![warn(clippy::iter_over_hash_type)]

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use warren_sim::latency::{self, DelayMatrix};
use warren_sim::report::{Cell, Table};
use warren_sim::scenario::{self, Progress, Scenario};
use warren_sim::story::{self, Story, Telling};

/// Deterministic simulator of the Warren overlay.
#[derive(Debug, Parser)]
#[command(name = "warren-sim", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a scenario file and print one row per step.
    Run(Run),
    /// Tell a story with many seeds and print one row of CSV per seed.
    Story(Sweep),
    /// Print the statistics of a delay matrix.
    Matrix(Matrix),
}

#[derive(Debug, Args)]
struct Run {
    /// The scenario.
    scenario: PathBuf,
    /// All chance comes from it: the same seed gives the same result.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Delay matrix to draw the nodes from, instead of the scenario's delays.
    #[arg(long, value_name = "FILE", env = latency::FILE_VARIABLE)]
    matrix: Option<PathBuf>,
    #[command(flatten)]
    format: Format,
    /// Print no progress and no summary.
    #[arg(long)]
    quiet: bool,
}

#[derive(Debug, Args)]
struct Sweep {
    /// The story.
    story: Story,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// How many seeds.
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// How many at a time; as many as the machine has processors, if not said.
    #[arg(long)]
    jobs: Option<usize>,
}

#[derive(Debug, Args)]
struct Matrix {
    /// The matrix; without it, the generated one.
    file: Option<PathBuf>,
    /// Nodes of the generated matrix.
    #[arg(long, default_value_t = 1740, conflicts_with = "file",
          value_parser = clap::value_parser!(u32).range(2..=20_000))]
    nodes: u32,
    /// Seed of the generated matrix.
    #[arg(long, default_value_t = 1, conflicts_with = "file")]
    seed: u64,
    #[command(flatten)]
    format: Format,
}

#[derive(Clone, Copy, Debug, Args)]
#[group(multiple = false)]
struct Format {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Print CSV.
    #[arg(long)]
    csv: bool,
    /// Print aligned text; the default.
    #[arg(long)]
    text: bool,
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run(args) => run(&args),
        Command::Story(args) => sweep(&args),
        Command::Matrix(args) => matrix(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("warren-sim: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Run) -> Result<()> {
    let scenario = Scenario::read(&args.scenario)?;
    let matrix = match &args.matrix {
        Some(file) => scenario::draw(&DelayMatrix::read(file)?, scenario.nodes, args.seed)?,
        None => scenario.matrix(args.seed)?,
    };
    let bar = progress_bar(args.quiet);
    let stopwatch = Stopwatch::start();
    let outcome = scenario::run(&scenario, args.seed, matrix, |progress| show(&bar, progress));
    let seconds = stopwatch.seconds();
    bar.finish_and_clear();
    match outcome {
        Ok(outcome) => {
            args.format.print(&outcome.table);
            if !args.quiet {
                let rate = outcome.events as f64 / seconds / 1e3;
                let events = outcome.events;
                eprintln!("seed {}: {events} events in {seconds:.1} s, {rate:.0} k/s", args.seed);
            }
            Ok(())
        }
        Err(error) => {
            args.format.print(&error.table);
            Err(error).with_context(|| args.scenario.display().to_string())
        }
    }
}

/// Rows come as soon as all before them are there: what is interrupted leaves its results.
fn sweep(args: &Sweep) -> Result<()> {
    let Sweep { story, first, seeds, jobs } = *args;
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let style = ProgressStyle::with_template("[{elapsed}] {bar:30} {pos} of {len}, {eta} left");
    let bar = match std::io::stderr().is_terminal() {
        true => ProgressBar::new(seeds),
        false => ProgressBar::hidden(),
    };
    let bar = bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    println!("{}", story::COLUMNS.join(","));
    let mut bad = Vec::new();
    story::sweep(
        story,
        first..first.saturating_add(seeds),
        jobs.unwrap_or(processors),
        |telling| {
            let mut table = Telling::table();
            table.push(telling.row());
            let row = table.to_csv();
            bar.suspend(|| println!("{}", row.lines().nth(1).unwrap_or_default()));
            bar.inc(1);
            bad.extend(telling.trouble.map(|_| telling.seed));
        },
    );
    bar.finish_and_clear();
    anyhow::ensure!(bad.is_empty(), "{} of {seeds} seeds went wrong: {bad:?}", bad.len());
    Ok(())
}

fn matrix(args: &Matrix) -> Result<()> {
    let matrix = match &args.file {
        Some(file) => DelayMatrix::read(file)?,
        None => DelayMatrix::king_like(args.nodes as usize, args.seed),
    };
    args.format.print(&matrix_table(&matrix));
    Ok(())
}

fn matrix_table(matrix: &DelayMatrix) -> Table {
    let figures = matrix.statistics();
    let mut table = Table::new(["statistic", "value"]);
    let rows: [(&str, Cell); 8] = [
        ("nodes", figures.nodes.into()),
        ("missing_share", figures.missing_share.into()),
        ("rtt_us_median", figures.rtt_us_median.into()),
        ("rtt_us_mean", figures.rtt_us_mean.into()),
        ("rtt_us_p95", figures.rtt_us_p95.into()),
        ("triangles_violated_share", figures.triangles_violated_share.into()),
        ("relay_faster_share", figures.relay_faster_share.into()),
        ("relay_fifth_faster_share", figures.relay_fifth_faster_share.into()),
    ];
    for (name, value) in rows {
        table.push([name.into(), value]);
    }
    table
}

impl Format {
    fn print(self, table: &Table) {
        match self {
            Format { json: true, .. } => print!("{}", table.to_json()),
            Format { csv: true, .. } => print!("{}", table.to_csv()),
            _ => print!("{table}"),
        }
    }
}

fn progress_bar(is_quiet: bool) -> ProgressBar {
    if is_quiet || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("[{elapsed}] {bar:30} {percent:>3} % whole  {msg}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(1000).with_style(style)
}

fn show(bar: &ProgressBar, progress: &Progress) {
    let Progress { number, step, now, live, whole } = progress;
    bar.set_position((whole * 1000.0) as u64);
    let seconds = now.as_micros() / 1_000_000;
    bar.set_message(format!("step {number} {step}, {live} nodes, {seconds} s of virtual time"));
}

/// Real time, which the summary prints and nothing else sees.
struct Stopwatch(std::time::Instant);

#[expect(
    clippy::disallowed_methods,
    reason = "the program, not the simulation, tells how long it took"
)]
impl Stopwatch {
    fn start() -> Self {
        Stopwatch(std::time::Instant::now())
    }

    fn seconds(&self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }
}
