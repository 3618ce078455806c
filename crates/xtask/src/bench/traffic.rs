//! What a daemon sends and receives: counted by the kernel in total, by the daemon by cause.
//!
//! nftables counts the packets of the daemon's port with their IP headers. The daemon tells what it sent and
//! why on its metrics page; as every datagram that is sent is received, a group as a whole receives the same.

use super::group::{Member, PORT};
use anyhow::{Context, Result};
use lab::Host;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Where the daemon serves its metrics.
const METRICS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9415);
/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of IPv4 and UDP header.
const HEADERS: f64 = 28.0;

/// Everything that was counted at a member until now.
#[derive(Clone, Debug)]
pub struct Count {
    /// When.
    pub at: Instant,
    /// Bytes received and sent with IP headers.
    pub bytes: [f64; 2],
    /// Packets received and sent.
    pub packets: [f64; 2],
    metrics: Metrics,
}

/// The daemon's metrics by name, with labels as they are written.
#[derive(Clone, Debug, Default)]
pub struct Metrics(BTreeMap<String, f64>);

/// Has the kernel count from now on.
pub fn watch(host: &Host) -> Result<()> {
    host.nft(&format!(
        "table inet bench {{
            counter received {{}}
            counter sent {{}}
            chain incoming {{ type filter hook input priority 0; udp dport {PORT} counter name received; }}
            chain outgoing {{ type filter hook output priority 0; udp sport {PORT} counter name sent; }}
        }}"
    ))
}

impl Count {
    /// Of this member, whose host is watched.
    pub fn of(member: &Member) -> Result<Count> {
        let metrics = Metrics::of(member)?;
        let output = member.host.command("nft").args(["-j", "list", "counters"]).output()?;
        let list: Value = serde_json::from_slice(&output.stdout).context("nft tells no JSON")?;
        let counter = |name: &str| {
            let counters = list["nftables"].as_array()?.iter().map(|item| &item["counter"]);
            let counter = counters.into_iter().find(|counter| counter["name"] == name)?;
            Some([counter["bytes"].as_f64()?, counter["packets"].as_f64()?])
        };
        let both = counter("received").zip(counter("sent"));
        let (received, sent) = both.context("the host is not watched")?;
        Ok(Count {
            at: Instant::now(),
            bytes: [received[0], sent[0]],
            packets: [received[1], sent[1]],
            metrics,
        })
    }

    /// Bits per second sent and received since an earlier count.
    pub fn bits_since(&self, earlier: &Count) -> f64 {
        let bytes: f64 = self.bytes.iter().sum::<f64>() - earlier.bytes.iter().sum::<f64>();
        bytes * 8.0 / self.seconds_since(earlier)
    }

    /// Time since an earlier count.
    pub fn seconds_since(&self, earlier: &Count) -> f64 {
        (self.at - earlier.at).as_secs_f64()
    }

    /// Bytes sent by cause until now, with headers.
    pub fn sent_by_cause(&self) -> BTreeMap<String, f64> {
        let mut causes = BTreeMap::new();
        for (metric, headers) in
            [("warren_control_sent_bytes_total", 1.0), ("warren_control_sent_total", HEADERS)]
        {
            for (cause, value) in self.metrics.labelled(metric, "cause") {
                *causes.entry(cause).or_default() += value * headers;
            }
        }
        let data = self.metrics.get("warren_datagrams_sent_bytes_total")
            + self.metrics.get("warren_datagrams_sent_total") * HEADERS;
        causes.insert("data".to_owned(), data);
        causes
    }

    /// Sessions that came up until now.
    pub fn sessions_up(&self) -> f64 {
        self.metrics.get("warren_sessions_up_total")
    }

    /// Sessions now.
    pub fn degree(&self) -> f64 {
        self.metrics.degree()
    }
}

impl Metrics {
    /// Asks the daemon of a member.
    pub fn of(member: &Member) -> Result<Metrics> {
        let text = member
            .host
            .run(fetch)?
            .with_context(|| format!("metrics of {}", member.host.name()))?;
        Ok(Metrics::parse(&text))
    }

    /// Whether the member has its place in the ring.
    pub fn is_joined(&self) -> bool {
        self.get("warren_joined{overlay=\"private\"}") == 1.0
    }

    /// Sessions now.
    pub fn degree(&self) -> f64 {
        ["direct", "overlay"]
            .map(|path| self.get(&format!("warren_peers_{path}{{overlay=\"private\"}}")))
            .iter()
            .sum()
    }

    /// Sessions that came up or ended: whether two looks differ tells whether links changed.
    pub fn changes(&self) -> f64 {
        2.0 * self.get("warren_sessions_up_total") - self.degree()
    }

    fn get(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or_default()
    }

    /// The values of a metric by the value of its only label.
    fn labelled(&self, name: &str, label: &str) -> impl Iterator<Item = (String, f64)> {
        let start = format!("{name}{{{label}=\"");
        self.0.iter().filter_map(move |(full, value)| {
            let word = full.strip_prefix(&start)?.strip_suffix("\"}")?;
            Some((word.to_owned(), *value))
        })
    }

    fn parse(text: &str) -> Metrics {
        let entry = |line: &str| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        Metrics(text.lines().filter_map(entry).collect())
    }
}

fn fetch() -> Result<String> {
    let mut stream = TcpStream::connect(METRICS)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_bench_metrics_are_found_by_name_and_label() {
        let metrics = Metrics::parse(
            "HTTP/1.1 200 OK\r\n\r\n# HELP a b\nwarren_joined{overlay=\"private\"} 1\n\
             warren_control_sent_total{cause=\"dht\"} 7\nwarren_control_sent_total{cause=\"crawl\"} 2\n",
        );
        assert!(metrics.is_joined());
        let labelled: Vec<_> = metrics.labelled("warren_control_sent_total", "cause").collect();
        assert_eq!(labelled, [("crawl".to_owned(), 2.0), ("dht".to_owned(), 7.0)]);
    }
}
