//! Who is there, as a table: a line for each daemon that runs, as the daemon tells it.

use super::ask::ask;
use super::group::Place;
use anyhow::Result;
use serde_json::Value;
use std::net::IpAddr;

/// A line of the table.
pub struct Row {
    name: String,
    pub joined: bool,
    /// The start of the node ID.
    pub id: String,
    pub ipv4: Option<IpAddr>,
    ipv6: Option<IpAddr>,
    /// The starts of the IDs of both neighbours.
    pub neighbours: String,
    peers: usize,
}

impl Row {
    /// What a daemon says of itself; one that does not answer yet has an empty line.
    pub fn of(place: &Place) -> Row {
        let status = ask(&place.state, "status").unwrap_or_default();
        let text = |field: &str| status[field].as_str().unwrap_or("-").to_owned();
        let short = |field: &str| text(field).chars().take(8).collect::<String>();
        Row {
            name: place.name.clone(),
            joined: status["joined"].as_bool().unwrap_or(false),
            id: short("node_id"),
            ipv4: text("ipv4").parse().ok(),
            ipv6: text("ipv6").parse().ok(),
            neighbours: format!("{} | {}", short("left"), short("right")),
            peers: status["peers"].as_u64().unwrap_or_default() as usize,
        }
    }

    /// Its virtual addresses.
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.ipv4.into_iter().chain(self.ipv6).collect()
    }
}

/// The whole table.
pub fn table(rows: &[Row]) -> Vec<String> {
    let mut lines = vec![format!(
        "  {:7} {:8} {:7} {:15} {:39} {:5} left | right",
        "node", "id", "joined", "IPv4", "IPv6", "peers"
    )];
    lines.extend(rows.iter().map(|row| {
        let ip = |ip: Option<IpAddr>| ip.map_or("-".into(), |ip| ip.to_string());
        let (ipv4, ipv6) = (ip(row.ipv4), ip(row.ipv6));
        let joined = if row.joined { "yes" } else { "…" };
        format!(
            "  {:7} {:8} {joined:7} {ipv4:15} {ipv6:39} {:5} {}",
            row.name, row.id, row.peers, row.neighbours
        )
    }));
    lines
}

/// The IDs of the nodes with which a daemon has a session.
pub fn peers(place: &Place) -> Result<Vec<String>> {
    let peers = ask(&place.state, "peers")?;
    let ids = peers.as_array().into_iter().flatten().map(|peer| &peer["node_id"]);
    Ok(ids.filter_map(Value::as_str).map(str::to_owned).collect())
}
