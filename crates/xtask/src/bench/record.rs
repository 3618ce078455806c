//! Results as files: where and of what they were taken, and what changed since the last one.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where results are kept, from the root of the repository.
const DIRECTORY: &str = "docs/benchmarks";

/// The result of one benchmark, in a file that the next run is compared with.
pub struct Record {
    path: PathBuf,
    /// What the file said before this run.
    last: Option<Value>,
}

impl Record {
    /// Reads the result of the run before, if there is one.
    pub fn open(name: &str) -> Result<Record> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let path = root.join(DIRECTORY).join(format!("{name}.json"));
        let last = match std::fs::read(&path) {
            Ok(bytes) => Some(serde_json::from_slice(&bytes).context("the last result")?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(error).with_context(|| format!("{}", path.display())),
        };
        Ok(Record { path, last })
    }

    /// Writes the result of this run.
    pub fn save(&self, result: Value) -> Result<()> {
        let whole = json!({ "of": commit(), "machine": machine(), "result": result });
        if let Some(parent) = self.path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(&self.path, serde_json::to_string_pretty(&whole)? + "\n")?;
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        println!("\nwritten to {DIRECTORY}/{name}");
        Ok(())
    }

    /// The figure of the last run at this place (a JSON pointer below the result), if that run had the same
    /// setting.
    pub fn figure(&self, pointer: &str, (setting, value): (&str, f64)) -> Option<f64> {
        let last = &self.last.as_ref()?["result"];
        let is_alike = last[setting].as_f64() == Some(value);
        last.pointer(pointer)?.as_f64().filter(|_| is_alike)
    }
}

/// How a figure changed since the last run, to be printed after it.
pub fn change(now: f64, last: Option<f64>) -> String {
    match last {
        Some(last) if last != 0.0 => format!("{:+.0} %", (now / last - 1.0) * 100.0),
        _ => "-".to_owned(),
    }
}

/// The middle value.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
    }
}

/// A figure as it is written to a file: three digits are more than a shared machine can repeat.
pub fn rounded(value: f64) -> Value {
    let scale = 10_f64.powi(3 - value.abs().max(1e-9).log10().ceil() as i32);
    json!((value * scale).round() / scale)
}

fn commit() -> Value {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    // Results of other benchmarks may have been written since.
    let others = format!(":(top,exclude){DIRECTORY}");
    let changes = git(&["status", "--porcelain", "--untracked-files=no", "--", ":/", &others]);
    json!({
        "commit": git(&["rev-parse", "--short=12", "HEAD"]),
        "changed": changes.is_none_or(|changes| !changes.is_empty()),
        "date": git(&["show", "--no-patch", "--format=%cs"]),
    })
}

fn machine() -> Value {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let release = read("/proc/sys/kernel/osrelease");
    json!({
        "kernel": release.trim().split('-').next(),
        "cpu": field(&read("/proc/cpuinfo"), "model name"),
        "cpus": std::thread::available_parallelism().map_or(0, usize::from),
        "memory": field(&read("/proc/meminfo"), "MemTotal"),
        "load_at_end": read("/proc/loadavg").split(' ').next(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_bench_the_median_is_in_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 9.0]), 3.0);
        assert_eq!(median(&[3.0, 1.0]), 2.0);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn unit_bench_figures_are_written_with_three_digits() {
        assert_eq!(rounded(12_345.0), json!(12_300.0));
        assert_eq!(rounded(0.012_345), json!(0.0123));
        assert_eq!(rounded(0.0), json!(0.0));
    }

    #[test]
    fn unit_bench_changes_are_told_only_where_there_was_a_figure() {
        assert_eq!(change(110.0, Some(100.0)), "+10 %");
        assert_eq!(change(110.0, None), "-");
    }
}
