//! Runs `iperf3` and `ping` between two hosts and reads what they say.

use anyhow::{Context, Result, ensure};
use lab::{Daemon, Host, eventually};
use serde_json::Value;
use std::net::IpAddr;
use std::time::Duration;

/// How long the server may take to listen.
const START_MAX: Duration = Duration::from_secs(10);
/// Pings of one measurement, and the pause between them.
const PINGS: &str = "200";
const PING_PAUSE_SECONDS: &str = "0.01";

/// One way to load a path.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// TCP streams side by side.
    pub streams: u32,
    /// Whether the server sends.
    pub reverse: bool,
    /// How long.
    pub seconds: u32,
}

/// Starts a server on all addresses of the host.
pub fn serve(host: &Host) -> Result<Daemon> {
    let mut command = host.command("iperf3");
    command.args(["-s", "--forceflush"]);
    let server = host.spawn(command)?;
    server.wait_for_log("listening", START_MAX)?;
    Ok(server)
}

/// What the receiver got, in bits per second. Congestion control is the same on every machine.
pub fn measure(client: &Host, server: IpAddr, load: Load) -> Result<f64> {
    let mut command = client.command("iperf3");
    command.args(["-J", "-C", "cubic", "-c", &server.to_string()]);
    command.args(["-t", &load.seconds.to_string(), "-P", &load.streams.to_string()]);
    if load.reverse {
        command.arg("-R");
    }
    // The server is busy for a moment after the test before.
    let report = eventually(START_MAX, || {
        let output = command.output()?;
        let report: Value = serde_json::from_slice(&output.stdout)?;
        ensure!(output.status.success(), "iperf3: {}", report["error"]);
        Ok(report)
    })?;
    report["end"]["sum_received"]["bits_per_second"].as_f64().context("iperf3 tells no result")
}

/// Round-trip times of pings, in milliseconds.
pub fn ping(client: &Host, server: IpAddr) -> Result<Vec<f64>> {
    let mut command = client.command("ping");
    command.args(["-n", "-c", PINGS, "-i", PING_PAUSE_SECONDS, &server.to_string()]);
    let output = command.output()?;
    ensure!(output.status.success(), "{server} does not answer pings");
    Ok(times(&String::from_utf8_lossy(&output.stdout)))
}

fn times(text: &str) -> Vec<f64> {
    let time = |line: &str| line.split_once("time=")?.1.split_once(" ms")?.0.parse().ok();
    text.lines().filter_map(time).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_bench_ping_times_are_read_line_by_line() {
        let text = "PING 10.0.0.2\n64 bytes from 10.0.0.2: icmp_seq=1 ttl=64 time=0.052 ms\n\
                    64 bytes from 10.0.0.2: icmp_seq=2 ttl=64 time=0.2 ms\n\n2 received";
        assert_eq!(times(text), [0.052, 0.2]);
    }
}
