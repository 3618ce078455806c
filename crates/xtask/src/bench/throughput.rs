//! What TCP reaches through the VPN, beside the same link without it.
//!
//! Two members on one switch. Each round measures every load first without VPN and then through it, so that
//! whatever else the machine does meets both; the result is the median of the rounds and the ratio of the
//! two. Both ends and both daemons share the CPUs, as in the test lab and unlike on two machines.

use super::group::{Below, Group, address};
use super::iperf::{self, Load};
use super::record::{Record, change, median, rounded};
use anyhow::{Context, Result, bail};
use clap::Args;
use lab::eventually;
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// One stream through the VPN that reaches less than this has met something worse than a slow machine.
const FLOOR_BITS: f64 = 1e9;
/// How long the two members may take to join and to have their addresses.
const JOIN_MAX: Duration = Duration::from_secs(30);
/// Addresses of the second kind for the network below the VPN.
const OUTSIDE_V6: [&str; 2] = ["fd00:be::1", "fd00:be::2"];

#[derive(Args)]
pub struct Options {
    /// Times that every load is measured
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 3)]
    seconds: u32,
    /// Longest packet in the virtual network in bytes
    #[arg(long, default_value_t = 1280)]
    mtu: u16,
}

/// A destination, reached in both ways.
struct Target {
    name: &'static str,
    raw: IpAddr,
    vpn: IpAddr,
}

/// One line of the table.
struct Row {
    target: usize,
    load: Load,
    raw: Vec<f64>,
    vpn: Vec<f64>,
}

/// Runs the benchmark; an error if a single stream stays below the floor.
pub fn run(options: &Options) -> Result<()> {
    let record = Record::open("throughput")?;
    let (group, targets) = network(options.mtu)?;
    let (client, server) = (&group.members[0].host, &group.members[1].host);
    let _server = iperf::serve(server)?;
    let latency = latency(&group, &targets)?;
    let mut rows = rows(&targets, options.seconds);
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        for row in &mut rows {
            let target = &targets[row.target];
            row.raw.push(iperf::measure(client, target.raw, row.load)?);
            row.vpn.push(iperf::measure(client, target.vpn, row.load)?);
        }
    }
    print(&rows, &targets, &latency, options, &record);
    record.save(result(&rows, &targets, &latency, options))?;
    let single = median(&rows.first().context("no load was measured")?.vpn);
    if single < FLOOR_BITS {
        bail!("one stream reaches {:.0} Mbit/s, less than {:.0}", single / 1e6, FLOOR_BITS / 1e6);
    }
    Ok(())
}

/// Two members that have joined.
fn network(mtu: u16) -> Result<(Group, Vec<Target>)> {
    let mut group = Group::new(2, Below::Switch, mtu)?;
    for (member, address) in group.members.iter().zip(OUTSIDE_V6) {
        member.host.ip(&format!("address add {address}/64 dev eth0"))?;
    }
    group.start(0)?;
    group.start(1)?;
    let (ipv4, ipv6) = eventually(JOIN_MAX, || {
        group.members[0].ask(&["status"])?["ipv4"].as_str().context("the client has no address")?;
        let status = group.members[1].ask(&["status"])?;
        let address = |field: &str| status[field].as_str().context("the server has no address");
        Ok((address("ipv4")?.parse()?, address("ipv6")?.parse()?))
    })?;
    let outside: Ipv6Addr = OUTSIDE_V6[1].parse()?;
    let below = address(1);
    let targets = vec![
        Target { name: "IPv4", raw: below.into(), vpn: ipv4 },
        Target { name: "IPv6", raw: outside.into(), vpn: ipv6 },
    ];
    Ok((group, targets))
}

/// Every load, the one that has a floor first.
fn rows(targets: &[Target], seconds: u32) -> Vec<Row> {
    let mut rows = Vec::new();
    for target in 0..targets.len() {
        for streams in [1, 4] {
            for reverse in [false, true] {
                let load = Load { streams, reverse, seconds };
                rows.push(Row { target, load, raw: Vec::new(), vpn: Vec::new() });
            }
        }
    }
    rows
}

/// Median round-trip times of each target without and with the VPN, in milliseconds, while it is idle.
fn latency(group: &Group, targets: &[Target]) -> Result<Vec<[f64; 2]>> {
    let client = &group.members[0].host;
    let both = |target: &Target| {
        // The first packets look addresses up and make sessions.
        iperf::ping(client, target.vpn)?;
        Ok([median(&iperf::ping(client, target.raw)?), median(&iperf::ping(client, target.vpn)?)])
    };
    targets.iter().map(both).collect()
}

fn print(
    rows: &[Row],
    targets: &[Target],
    latency: &[[f64; 2]],
    options: &Options,
    record: &Record,
) {
    let Options { rounds, seconds, mtu } = options;
    println!("TCP (cubic), median of {rounds} x {seconds} s, MTU {mtu} in the VPN\n");
    println!("  IP   streams direction  raw Mbit/s  VPN Mbit/s  VPN/raw  since last");
    for (n, row) in rows.iter().enumerate() {
        let (raw, vpn) = (median(&row.raw), median(&row.vpn));
        println!(
            "  {:4} {:>7} {:9} {:>11.0} {:>11.0} {:>8.3} {:>11}",
            targets[row.target].name,
            row.load.streams,
            if row.load.reverse { "reverse" } else { "forward" },
            raw / 1e6,
            vpn / 1e6,
            vpn / raw,
            change(vpn / raw, record.figure(&format!("/tcp/{n}/ratio"), ("mtu", (*mtu).into()))),
        );
    }
    println!("\n  IP   ping raw ms  ping VPN ms  more ms");
    for (target, [raw, vpn]) in targets.iter().zip(latency) {
        println!("  {:4} {raw:>11.3} {vpn:>12.3} {:>8.3}", target.name, vpn - raw);
    }
}

fn result(rows: &[Row], targets: &[Target], latency: &[[f64; 2]], options: &Options) -> Value {
    let tcp = rows.iter().map(|row| {
        let (raw, vpn) = (median(&row.raw), median(&row.vpn));
        let each = |bits: &[f64]| bits.iter().map(|bits| rounded(bits / 1e6)).collect::<Vec<_>>();
        json!({
            "ip": targets[row.target].name,
            "streams": row.load.streams,
            "reverse": row.load.reverse,
            "raw_mbit_per_second": rounded(raw / 1e6),
            "vpn_mbit_per_second": rounded(vpn / 1e6),
            "ratio": rounded(vpn / raw),
            "raw_rounds": each(&row.raw),
            "vpn_rounds": each(&row.vpn),
        })
    });
    let ping = targets.iter().zip(latency).map(|(target, [raw, vpn])| {
        json!({ "ip": target.name, "raw_ms": rounded(*raw), "vpn_ms": rounded(*vpn) })
    });
    json!({
        "rounds": options.rounds,
        "seconds": options.seconds,
        "mtu": options.mtu,
        "tcp": tcp.collect::<Vec<_>>(),
        "ping": ping.collect::<Vec<_>>(),
    })
}
