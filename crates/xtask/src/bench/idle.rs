//! What a member costs while nobody uses the VPN: traffic by cause, degree, memory, and what a session holds.
//!
//! Starts the members, waits until their links stay as they are, and counts for some minutes. After that one
//! member sends a packet to more and more others; how its memory grows tells what an idle session holds.

use super::group::{Below, Group};
use super::memory::Memory;
use super::record::{Record, change, median, rounded};
use super::traffic::{self, Count, Metrics};
use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// What a member may cost.
const BITS_MAX: f64 = 3_000.0;
const RESIDENT_MAX: f64 = 15e6;
const SESSION_MAX: f64 = 8192.0;

/// Members started at a time, and the pause after them: a shared machine must not make handshakes time out.
const START_BATCH: usize = 10;
const START_PAUSE: Duration = Duration::from_secs(2);
const JOIN_MAX: Duration = Duration::from_secs(120);
/// Settled is a group in which no session came or went for this long: twice the grace of unwanted links.
const QUIET: Duration = Duration::from_secs(60);
const SETTLE_MAX: Duration = Duration::from_secs(600);
const LOOK_PAUSE: Duration = Duration::from_secs(5);
/// Time from the start of a session to its next handshake: longer than the benchmark, which therefore
/// spreads what the first handshake cost over it. What else is rare, the simulator shows (`idle_traffic`).
const REKEY_SECONDS: f64 = 3600.0;
/// Sessions made before memory is first looked at: they warm up what only the first packets need.
const SESSIONS_FIRST: usize = 8;
/// Steps in which the other sessions are made, and the rest after each: handshakes are over by then.
const SESSION_STEPS: usize = 5;
const SESSION_REST: Duration = Duration::from_secs(15);

#[derive(Args)]
pub struct Options {
    /// Members of the group
    #[arg(long, default_value_t = 100)]
    nodes: usize,
    /// How long is counted
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
}

/// Everything that is measured.
struct Measured {
    /// Whether no session came or went before counting began.
    settled: bool,
    /// Of each member, in bits per second, sent and received.
    bits: Vec<f64>,
    packets: Vec<f64>,
    degrees: Vec<f64>,
    memory: Vec<Memory>,
    /// Bits per second of the mean member, sent and received, by cause.
    causes: BTreeMap<String, f64>,
    /// The same for hourly handshakes, from what the first ones cost.
    rekey: f64,
    /// Sessions of one member, and what it held then.
    growth: Vec<(f64, Memory)>,
}

/// Runs the benchmark. Figures above their targets are told, not an error: the machine may be busy.
pub fn run(options: &Options) -> Result<()> {
    ensure!(options.nodes >= 4, "at least 4 members");
    let record = Record::open("idle")?;
    let mut group = Group::new(options.nodes, Below::Router, 1280)?;
    start(&mut group)?;
    let settled = settle(&group)?;
    let before = counts(&group)?;
    eprintln!("counting for {} min", options.minutes);
    sleep(Duration::from_secs_f64(options.minutes * 60.0));
    let after = counts(&group)?;
    let memory = memories(&group)?;
    let growth = grow(&group)?;
    let measured = evaluate(settled, &before, &after, memory, growth);
    print(&measured, options, &record);
    record.save(result(&measured, options))
}

fn start(group: &mut Group) -> Result<()> {
    for n in 0..group.members.len() {
        traffic::watch(&group.members[n].host)?;
        group.start(n)?;
        if (n + 1) % START_BATCH == 0 {
            sleep(START_PAUSE);
        }
    }
    let began = Instant::now();
    for member in &group.members {
        while !Metrics::of(member).is_ok_and(|metrics| metrics.is_joined()) {
            let name = member.host.name();
            ensure!(began.elapsed() < JOIN_MAX, "{name} has not joined within {JOIN_MAX:?}");
            sleep(Duration::from_millis(200));
        }
    }
    eprintln!("{} members have joined", group.members.len());
    Ok(())
}

/// Waits until links stay as they are; false if they never do.
fn settle(group: &Group) -> Result<bool> {
    let began = Instant::now();
    let (mut last, mut since) = (f64::NAN, began);
    while since.elapsed() < QUIET {
        if began.elapsed() > SETTLE_MAX {
            return Ok(false);
        }
        sleep(LOOK_PAUSE);
        let each = group.members.iter().map(|member| Ok(Metrics::of(member)?.changes()));
        let now = each.sum::<Result<f64>>()?;
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
    eprintln!("settled after {:.0} s", began.elapsed().as_secs_f64());
    Ok(true)
}

fn counts(group: &Group) -> Result<Vec<Count>> {
    group.members.iter().map(Count::of).collect()
}

fn memories(group: &Group) -> Result<Vec<Memory>> {
    (0..group.members.len()).map(|n| memory(group, n)).collect()
}

fn memory(group: &Group, n: usize) -> Result<Memory> {
    Memory::of(group.members[n].daemon.as_ref().context("the daemon does not run")?.pid())
}

/// Has the last member send a packet to all others, step by step.
fn grow(group: &Group) -> Result<Vec<(f64, Memory)>> {
    let one = group.members.len() - 1;
    let others: Vec<usize> = (0..one).collect();
    let (first, rest) = others.split_at(SESSIONS_FIRST.min(one));
    let step = rest.len().div_ceil(SESSION_STEPS).max(1);
    let mut growth = Vec::new();
    for others in std::iter::once(first).chain(rest.chunks(step)) {
        for &other in others {
            let status = group.members[other].ask(&["status"])?;
            let address = status["ipv4"].as_str().context("a member has no address")?;
            let mut ping = group.members[one].host.command("ping");
            let output =
                ping.args(["-n", "-q", "-c", "2", "-i", "0.2", "-W", "5", address]).output()?;
            ensure!(output.status.success(), "{address} does not answer");
        }
        sleep(SESSION_REST);
        growth.push((Metrics::of(&group.members[one])?.degree(), memory(group, one)?));
    }
    Ok(growth)
}

fn evaluate(
    settled: bool,
    before: &[Count],
    after: &[Count],
    memory: Vec<Memory>,
    growth: Vec<(f64, Memory)>,
) -> Measured {
    let members = before.len() as f64;
    let both = || after.iter().zip(before);
    let packets = |(after, before): (&Count, &Count)| {
        let number = after.packets.iter().sum::<f64>() - before.packets.iter().sum::<f64>();
        number / after.seconds_since(before)
    };
    let mut causes = BTreeMap::new();
    for (after, before) in both() {
        let earlier = before.sent_by_cause();
        for (cause, bytes) in after.sent_by_cause() {
            let more = bytes - earlier.get(&cause).copied().unwrap_or_default();
            // What one member sends another receives.
            *causes.entry(cause).or_default() +=
                more * 2.0 * 8.0 / after.seconds_since(before) / members;
        }
    }
    let at_first = |wanted: &[&str]| -> f64 {
        let sent = before.iter().map(Count::sent_by_cause);
        sent.map(|sent| wanted.iter().filter_map(|cause| sent.get(*cause)).sum::<f64>()).sum()
    };
    let degrees: Vec<f64> = after.iter().map(Count::degree).collect();
    let mean_degree = mean(&degrees);
    let sessions: f64 = before.iter().map(Count::sessions_up).sum::<f64>() / 2.0;
    let handshake = at_first(&["handshake", "greeting"]) / sessions;
    Measured {
        settled,
        bits: both().map(|(after, before)| after.bits_since(before)).collect(),
        packets: both().map(packets).collect(),
        memory,
        causes,
        rekey: mean_degree * handshake * 8.0 / REKEY_SECONDS,
        degrees,
        growth,
    }
}

fn print(measured: &Measured, options: &Options, record: &Record) {
    let Measured { bits, packets, degrees, memory, causes, rekey, .. } = measured;
    let alike = ("nodes", options.nodes as f64);
    println!(
        "{} members, {} min, {}\n",
        options.nodes,
        options.minutes,
        if measured.settled { "settled" } else { "NOT settled: links still came and went" }
    );
    println!("  sent and received, bit/s, IP headers included");
    println!(
        "    mean {:.0}  median {:.0}  most {:.0}  (target {BITS_MAX:.0}; since last {})",
        mean(bits),
        median(bits),
        most(bits),
        change(mean(bits), record.figure("/bits_per_second/mean", alike))
    );
    println!("    {:.2} packets/s (IPv6 below the VPN: 160 bit more for each)", mean(packets));
    for (cause, bits) in causes.iter().filter(|(_, bits)| **bits > 0.0) {
        println!("      {cause:12} {bits:>8.1}");
    }
    println!("      {:12} {:>8.1}  counted", "all causes", causes.values().sum::<f64>());
    println!(
        "      {:12} {rekey:>8.1}  hourly handshakes, from the size of the first ones",
        "rekey"
    );
    println!(
        "  degree: mean {:.1}  least {:.0}  most {:.0}",
        mean(degrees),
        least(degrees),
        most(degrees)
    );
    println!("  memory, MB             median    most");
    for (name, values) in memory_columns(memory) {
        println!("    {name:20} {:>6.2} {:>7.2}", median(&values) / 1e6, most(&values) / 1e6);
    }
    println!("    (target: {:.0} resident)", RESIDENT_MAX / 1e6);
    println!("  one member with more sessions");
    for (sessions, memory) in &measured.growth {
        println!(
            "    {sessions:>4.0} sessions: {:.2} MB resident, {:.2} MB anonymous",
            memory.resident as f64 / 1e6,
            memory.anonymous as f64 / 1e6
        );
    }
    println!(
        "    per further session: {:.0} bytes (target {SESSION_MAX:.0}; since last {})",
        per_session(&measured.growth),
        change(per_session(&measured.growth), record.figure("/session_bytes", alike))
    );
}

fn result(measured: &Measured, options: &Options) -> Value {
    let causes: Map<String, Value> =
        measured.causes.iter().map(|(cause, bits)| (cause.clone(), rounded(*bits))).collect();
    let memory: Map<String, Value> = memory_columns(&measured.memory)
        .into_iter()
        .map(|(name, values)| {
            (name.to_owned(), json!({ "median": median(&values), "most": most(&values) }))
        })
        .collect();
    let growth = measured.growth.iter().map(|(sessions, memory)| {
        json!({ "sessions": sessions, "resident": memory.resident, "anonymous": memory.anonymous })
    });
    json!({
        "nodes": options.nodes,
        "minutes": options.minutes,
        "settled": measured.settled,
        "bits_per_second": {
            "mean": rounded(mean(&measured.bits)),
            "median": rounded(median(&measured.bits)),
            "most": rounded(most(&measured.bits)),
        },
        "packets_per_second": rounded(mean(&measured.packets)),
        "bits_per_second_by_cause": causes,
        "rekey_bits_per_second": rounded(measured.rekey),
        "degree": {
            "mean": rounded(mean(&measured.degrees)),
            "least": least(&measured.degrees),
            "most": most(&measured.degrees),
        },
        "memory_bytes": memory,
        "session_bytes": rounded(per_session(&measured.growth)),
        "growth": growth.collect::<Vec<_>>(),
    })
}

fn memory_columns(memory: &[Memory]) -> [(&'static str, Vec<f64>); 3] {
    let column = |get: fn(&Memory) -> u64| memory.iter().map(|m| get(m) as f64).collect();
    [
        ("resident", column(|m| m.resident)),
        ("proportional", column(|m| m.proportional)),
        ("anonymous", column(|m| m.anonymous)),
    ]
}

/// Slope of resident memory against sessions, by least squares.
fn per_session(growth: &[(f64, Memory)]) -> f64 {
    let points: Vec<(f64, f64)> =
        growth.iter().map(|(sessions, memory)| (*sessions, memory.resident as f64)).collect();
    let middle = |get: fn(&(f64, f64)) -> f64| mean(&points.iter().map(get).collect::<Vec<_>>());
    let (x, y) = (middle(|p| p.0), middle(|p| p.1));
    let rise: f64 = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    let run: f64 = points.iter().map(|p| (p.0 - x) * (p.0 - x)).sum();
    rise / run
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn most(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_bench_memory_per_session_is_the_slope() {
        let memory = |resident| Memory { resident, ..Memory::default() };
        let growth = [(10.0, memory(50_000)), (20.0, memory(90_000)), (30.0, memory(130_000))];
        assert_eq!(per_session(&growth), 4_000.0);
    }
}
