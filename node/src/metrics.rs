//! What monitoring sees: `/metrics` for Prometheus, `/healthz` (the daemon answers), `/readyz` (it has joined,
//! is not kept out, and, with a virtual network, has its address).
//!
//! The daemon counts in plain integers; a scrape asks the driver for a [`Snapshot`] and writes it down.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use prometheus::{
    Encoder, Gauge, GaugeVec, IntCounter, IntCounterVec, Opts, Registry, TextEncoder,
};
use proto::lane::Drops;
use proto::link;
use proto::news;
use proto::node::Counters;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use warp::http::{Response, StatusCode, header};
use warp::{Filter, Reply};

use crate::api::Question;
use crate::failure::Failure;
use crate::lane::Traffic;
use crate::overlays::Kind;

/// A driver that needs longer to answer is not healthy.
const PATIENCE: Duration = Duration::from_secs(1);

/// How the node stands with its group, at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct MembershipSnapshot {
    /// When the certificate ends, in seconds since 1970.
    pub certificate_not_after: u64,
    /// Number of the newest revocation notice.
    pub notices: u64,
    /// Until when the list of revocations is known to be complete, in seconds since 1970; 0 if no authority said so.
    pub notices_fresh_until: u64,
    /// Whether that time is over.
    pub notices_stale: bool,
    /// From which notice on the authority has signed two histories; 0 if that was not seen.
    pub notices_fork: u64,
    /// Peers of whose end it hears by way of the hash table.
    pub subscriptions: usize,
    /// What the core counted about news of the group's authority.
    pub news: news::Counters,
}

/// Everything that is counted, at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Whether it is fully at work.
    pub ready: bool,
    /// What is known of each overlay.
    pub overlays: Vec<OverlaySnapshot>,
    /// How it stands with the group; none without a group.
    pub membership: Option<MembershipSnapshot>,
    /// What the core counted about datagrams and sessions.
    pub links: link::Counters,
    /// Packets that went no further.
    pub drops: Drops,
    /// What the lane moved.
    pub traffic: Traffic,
    /// Control datagrams that the kernel did not take.
    pub control_send_drops: u64,
}

/// One overlay at that moment.
#[derive(Clone, Copy, Debug)]
pub struct OverlaySnapshot {
    /// Which.
    pub overlay: Kind,
    /// Whether the node has a place in the ring.
    pub joined: bool,
    /// Sessions by direct paths, and by others.
    pub peers: (usize, usize),
    /// Estimated number of nodes.
    pub nodes_estimate: f64,
    /// Records of the hash table that this node keeps.
    pub records: usize,
    /// What the core counted.
    pub counters: Counters,
}

/// Binds the port.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        Failure::host(format!(
            "cannot serve metrics on {address}: {error}: choose another with --metrics IP:PORT, or \
             --metrics off"
        ))
    })
}

/// Serves until the daemon ends.
pub async fn serve(listener: TcpListener, driver: mpsc::Sender<Question>) {
    let asked = warp::any().and_then(move || {
        let driver = driver.clone();
        async move { Ok::<_, Infallible>(snapshot(&driver).await) }
    });
    let routes = warp::get().and(
        warp::path!("metrics")
            .and(asked.clone())
            .map(|snapshot: Option<Snapshot>| match snapshot.map(|snapshot| encode(&snapshot)) {
                Some(Ok(text)) => reply(StatusCode::OK, text),
                Some(Err(error)) => reply(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
                None => reply(StatusCode::SERVICE_UNAVAILABLE, "no answer\n".into()),
            })
            .or(warp::path!("healthz")
                .and(asked.clone())
                .map(|snapshot: Option<Snapshot>| probe(snapshot.is_some(), "ok\n", "no answer\n")))
            .or(warp::path!("readyz").and(asked).map(|snapshot: Option<Snapshot>| {
                probe(
                    snapshot.is_some_and(|s| s.ready),
                    "ready\n",
                    "not ready: warren status says more\n",
                )
            })),
    );
    monitoring::serve(listener, warp::service(routes)).await;
}

async fn snapshot(driver: &mpsc::Sender<Question>) -> Option<Snapshot> {
    let (sender, answer) = oneshot::channel();
    let asked = async {
        driver.send(Question::Snapshot(sender)).await.ok()?;
        answer.await.ok()
    };
    tokio::time::timeout(PATIENCE, asked).await.ok().flatten()
}

fn probe(good: bool, yes: &str, no: &str) -> impl Reply + use<> {
    match good {
        true => reply(StatusCode::OK, yes.to_owned()),
        false => reply(StatusCode::SERVICE_UNAVAILABLE, no.to_owned()),
    }
}

fn reply(status: StatusCode, text: String) -> Response<String> {
    let mut response = Response::new(text);
    *response.status_mut() = status;
    let kind = header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// Writes a snapshot in the text format of Prometheus.
fn encode(snapshot: &Snapshot) -> prometheus::Result<String> {
    let registry = Registry::new();
    let gauge = |name: &str, help: &str, value: f64| {
        let gauge = Gauge::new(name, help)?;
        gauge.set(value);
        registry.register(Box::new(gauge))
    };
    let counter = |name: &str, help: &str, value: u64| {
        let counter = IntCounter::new(name, help)?;
        counter.inc_by(value);
        registry.register(Box::new(counter))
    };
    let Snapshot { links, traffic, .. } = snapshot;
    encode_overlays(&registry, &snapshot.overlays)?;
    if let Some(membership) = &snapshot.membership {
        encode_membership(gauge, membership)?;
    }
    let news = snapshot.membership.map(|membership| membership.news).unwrap_or_default();
    for (name, help, value) in [
        ("sessions_up", "sessions that came up", links.sessions_up),
        ("sessions_dead", "sessions whose peer fell silent", links.sessions_dead),
        ("probes_answered", "probes answered", links.probes_answered),
        ("strangers_ignored", "datagrams of strangers met with silence", links.silence),
        ("half_open_limit", "handshakes refused for load", links.half_open_limit),
        ("control_forged", "control frames that did not open", links.forged),
        ("control_replayed", "control frames seen before", links.replayed),
        ("datagrams_malformed", "datagrams that are nothing we know", links.malformed),
        ("news_taken", "notices, heads and group secrets that were new", news.taken),
        ("news_refused", "of these, not signed by the authority", news.refused),
        ("news_unread", "items not read of peers that sent too many of no use", news.unread),
        ("news_asks_answered", "asks of peers for news answered", news.served),
        ("news_asks_limited", "asks of peers for news not answered", news.overserved),
        ("news_notified", "messages of announcers taken in, as a subscriber", news.notified),
        ("broadcasts_passed_on", "broadcasts passed on", news.spread),
        ("broadcasts_repeated", "broadcasts that came too often", news.repeated),
        ("datagrams_sent", "data datagrams sent", traffic.sent.0),
        ("datagrams_sent_bytes", "bytes of data datagrams sent", traffic.sent.1),
        ("datagrams_send_drops", "data datagrams not taken by the kernel", traffic.send_drops),
        ("control_send_drops", "control datagrams not taken", snapshot.control_send_drops),
        ("datagrams_received", "datagrams received", traffic.received.0),
        ("datagrams_received_bytes", "bytes of datagrams received", traffic.received.1),
        ("device_packets_written", "packets given to the device", traffic.written.0),
        ("device_written_bytes", "bytes given to the device", traffic.written.1),
        ("device_write_drops", "packets that the device did not take", traffic.write_drops),
        ("device_read_drops", "what the device gave and is no IP packet", traffic.read_drops),
        ("punt_drops", "packets dropped because the node was busy", traffic.punt_drops),
    ] {
        counter(&format!("warren_{name}_total"), help, value)?;
    }
    let help = "packets that went no further, by reason";
    let drops = IntCounterVec::new(Opts::new("warren_packet_drops_total", help), &["reason"])?;
    for (reason, count) in snapshot.drops.iter() {
        drops.with_label_values(&[reason.name()]).inc_by(count);
    }
    registry.register(Box::new(drops))?;
    let by_cause = |name: &str, help: &str| IntCounterVec::new(Opts::new(name, help), &["cause"]);
    let datagrams = by_cause("warren_control_sent_total", "control datagrams sent, by cause")?;
    let help = "bytes of control datagrams sent, by cause";
    let bytes = by_cause("warren_control_sent_bytes_total", help)?;
    for (cause, volume) in links.sent.iter() {
        datagrams.with_label_values(&[cause.name()]).inc_by(volume.datagrams);
        bytes.with_label_values(&[cause.name()]).inc_by(volume.bytes);
    }
    registry.register(Box::new(datagrams))?;
    registry.register(Box::new(bytes))?;
    let mut text = Vec::new();
    TextEncoder::new().encode(&registry.gather(), &mut text)?;
    String::from_utf8(text).map_err(|error| prometheus::Error::Msg(error.to_string()))
}

fn encode_membership(
    gauge: impl Fn(&str, &str, f64) -> prometheus::Result<()>,
    membership: &MembershipSnapshot,
) -> prometheus::Result<()> {
    gauge(
        "warren_certificate_not_after_seconds",
        "end of the certificate, seconds since 1970",
        membership.certificate_not_after as f64,
    )?;
    gauge("warren_notices", "number of the newest revocation notice", membership.notices as f64)?;
    gauge(
        "warren_notices_fresh_until_seconds",
        "when the next list of revocations is due, seconds since 1970; 0 if none was ever signed",
        membership.notices_fresh_until as f64,
    )?;
    gauge(
        "warren_notices_fork",
        "number of the notice from which on the authority has signed two histories; 0 if it has not",
        membership.notices_fork as f64,
    )?;
    gauge(
        "warren_subscriptions",
        "peers of whose revocation this node is told by way of the hash table",
        membership.subscriptions as f64,
    )?;
    gauge(
        "warren_notices_stale",
        "1 if the list of revocations is out of date",
        f64::from(membership.notices_stale),
    )
}

/// Writes what is told of each overlay, with its name as the label.
fn encode_overlays(registry: &Registry, overlays: &[OverlaySnapshot]) -> prometheus::Result<()> {
    let rows = |one: &OverlaySnapshot| {
        let Counters { overlay, dht, .. } = one.counters;
        let gauges = [
            ("joined", "1 if the node has its place in the ring", f64::from(one.joined)),
            ("nodes_estimate", "estimated number of nodes", one.nodes_estimate),
            ("peers_direct", "sessions by direct paths", one.peers.0 as f64),
            ("peers_overlay", "sessions through the overlay", one.peers.1 as f64),
            ("dht_records", "hash table records kept for others", one.records as f64),
        ];
        let counters = [
            ("routed_originated", "routed messages of this node", overlay.originated),
            ("routed_forwarded", "routed messages passed on", overlay.forwarded),
            ("routed_delivered", "routed messages for this node", overlay.delivered),
            ("routed_no_route", "routed messages without a next hop", overlay.dropped_no_route),
            ("dht_malformed", "hash table messages that do not parse", dht.malformed),
            ("dht_forged", "hash table records with a wrong signature", dht.forged),
            ("dht_overflows", "hash table entries refused for room", dht.overflows),
            ("dht_copies", "hash table records copied on churn", dht.copies),
        ];
        (gauges, counters)
    };
    let Some((gauges, counters)) = overlays.first().map(rows) else { return Ok(()) };
    for (n, (name, help, _)) in gauges.into_iter().enumerate() {
        let gauge = GaugeVec::new(Opts::new(format!("warren_{name}"), help), &["overlay"])?;
        for one in overlays {
            gauge.with_label_values(&[one.overlay.name()]).set(rows(one).0[n].2);
        }
        registry.register(Box::new(gauge))?;
    }
    for (n, (name, help, _)) in counters.into_iter().enumerate() {
        let options = Opts::new(format!("warren_{name}_total"), help);
        let counter = IntCounterVec::new(options, &["overlay"])?;
        for one in overlays {
            counter.with_label_values(&[one.overlay.name()]).inc_by(rows(one).1[n].2);
        }
        registry.register(Box::new(counter))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::lane::Reason;

    #[test]
    fn a_snapshot_is_written_with_names_units_and_reasons() {
        let one = |overlay, joined| OverlaySnapshot {
            overlay,
            joined,
            peers: (3, 1),
            nodes_estimate: 5.0,
            records: 2,
            counters: Counters::default(),
        };
        let overlays = vec![one(Kind::Private, true), one(Kind::Public, false)];
        let mut snapshot = Snapshot { overlays, ..Snapshot::default() };
        snapshot.traffic.sent = (7, 900);
        snapshot.drops.count(Reason::Replay);
        let text = encode(&snapshot).unwrap();
        for line in [
            "warren_joined{overlay=\"private\"} 1",
            "warren_joined{overlay=\"public\"} 0",
            "warren_dht_records{overlay=\"public\"} 2",
            "warren_datagrams_sent_total 7",
            "warren_datagrams_sent_bytes_total 900",
            "warren_packet_drops_total{reason=\"replay\"} 1",
            "warren_packet_drops_total{reason=\"forged\"} 0",
            "warren_control_sent_bytes_total{cause=\"keep_alive\"} 0",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }

    #[tokio::test]
    async fn probes_tell_alive_from_ready() {
        let (driver, mut questions) = mpsc::channel(1);
        tokio::spawn(async move {
            while let Some(Question::Snapshot(reply)) = questions.recv().await {
                let _ = reply.send(Snapshot::default());
            }
        });
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, driver));
        assert!(get(address, "/healthz").await.starts_with("HTTP/1.1 200"));
        assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 503"));
        assert!(get(address, "/metrics").await.contains("warren_sessions_up_total 0"));
        assert!(get(address, "/other").await.starts_with("HTTP/1.1 404"));
    }

    async fn get(address: SocketAddr, path: &str) -> String {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }
}
