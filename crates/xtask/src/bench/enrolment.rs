//! How fast the group service enrols nodes: runs the benchmark of `warren-group` and keeps what it prints.
//!
//! The service and all nodes share the CPUs of this machine, and what each enrolment waits for is a disk that others
//! may use: bounds are those of the service (100 a second, p99 below 500 ms), and a busy machine may miss them.

use super::record::{Record, change, median, rounded};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::process::{Command, Stdio};

/// Enrolments a second that are asked for, and how many have to be done: the last ones come at the end.
const RATE: f64 = 100.0;
const RATE_MIN: f64 = 95.0;
/// Within which time 99 of 100 nodes shall be answered, in milliseconds.
const P99_MAX_MS: f64 = 500.0;

/// Runs the benchmark; an error if the service is slower than it shall be.
pub fn run() -> Result<()> {
    let record = Record::open("group")?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut bench = Command::new(cargo);
    bench.args(["bench", "-p", "warren-group", "--bench", "enrolment"]).stderr(Stdio::inherit());
    let output = bench.output().context("cannot start cargo")?;
    ensure!(output.status.success(), "the benchmark failed: {}", output.status);
    let printed: Value = serde_json::from_slice(&output.stdout).context("what it printed")?;
    println!("  load        per second   p50 ms   p99 ms  most ms  p99 of each round  since last");
    let mut result = json!({ "rate": RATE });
    for load in ["disk", "fixed_rate", "full_speed"] {
        let rounds = printed[load].as_array().context("rounds")?;
        let each = |name: &str| -> Vec<f64> {
            rounds.iter().map(|round| round[name].as_f64().unwrap_or(f64::NAN)).collect()
        };
        let [rate, p50, p99, most] =
            ["per_second", "p50_ms", "p99_ms", "most_ms"].map(|name| median(&each(name)));
        let last = record.figure(&format!("/{load}/p99_ms"), ("rate", RATE));
        let p99s = each("p99_ms").iter().map(|ms| format!("{ms:.0}")).collect::<Vec<_>>().join(" ");
        println!(
            "  {load:10} {rate:>11.0} {p50:>8.1} {p99:>8.1} {most:>8.1} {p99s:>18} {:>11}",
            change(p99, last)
        );
        result[load] = json!({
            "per_second": rounded(rate),
            "p50_ms": rounded(p50),
            "p99_ms": rounded(p99),
            "most_ms": rounded(most),
            "p99_ms_rounds": each("p99_ms").into_iter().map(rounded).collect::<Vec<_>>(),
        });
    }
    let fixed = result["fixed_rate"].clone();
    record.save(result)?;
    let is_met = fixed["per_second"].as_f64() >= Some(RATE_MIN)
        && fixed["p99_ms"].as_f64() <= Some(P99_MAX_MS);
    ensure!(is_met, "slower than {RATE} a second with p99 of {P99_MAX_MS} ms");
    Ok(())
}
