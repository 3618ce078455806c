//! What the server counts, for `/metrics`.

use prometheus::{Encoder, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};
use warp::http::StatusCode;

/// Counters of the server; all are exported from the start.
#[derive(Debug)]
pub struct Traffic {
    registry: Registry,
    /// Connections that stand.
    pub connections: IntGauge,
    /// Connections that found no room.
    pub connections_refused: IntCounter,
    /// Connections that never came to speak HTTP.
    pub handshakes_failed: IntCounter,
    /// Connections that spoke HTTP without TLS.
    pub plain: IntCounter,
    /// Requests that were refused because too many came from there.
    pub rate_limited: IntCounter,
    /// Log-ins that failed.
    pub logins_failed: IntCounter,
    /// Certificates that were handed out.
    pub certificates: IntCounter,
    /// Requests that are held until something happens.
    pub waiting: IntGauge,
    answers: IntCounterVec,
}

impl Traffic {
    /// Makes all counters.
    pub fn new() -> Self {
        Self::registered().expect("names are constants, each registered once")
    }

    fn registered() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(format!("warren_group_{name}_total"), help)?;
            registry.register(Box::new(counter.clone())).map(|()| counter)
        };
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(format!("warren_group_{name}"), help)?;
            registry.register(Box::new(gauge.clone())).map(|()| gauge)
        };
        let answers = Opts::new("warren_group_answers_total", "answers by class of status");
        let answers = IntCounterVec::new(answers, &["class"])?;
        registry.register(Box::new(answers.clone()))?;
        Ok(Self {
            connections: gauge("connections", "connections that stand")?,
            connections_refused: counter("connections_refused", "connections without room")?,
            handshakes_failed: counter("handshakes_failed", "TLS handshakes that failed")?,
            plain: counter("plain_http", "connections that spoke HTTP without TLS")?,
            rate_limited: counter("rate_limited", "requests refused for their number")?,
            logins_failed: counter("logins_failed", "log-ins that failed")?,
            certificates: counter("certificates", "certificates handed out")?,
            waiting: gauge("waiting", "requests held until something happens")?,
            answers,
            registry,
        })
    }

    /// Counts an answer.
    pub fn count(&self, status: StatusCode) {
        let class = match status.as_u16() / 100 {
            2 => "2xx",
            3 => "3xx",
            4 => "4xx",
            _ => "5xx",
        };
        self.answers.with_label_values(&[class]).inc();
    }

    /// Writes all in the text format of Prometheus.
    pub fn encode(&self) -> prometheus::Result<String> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        String::from_utf8(text).map_err(|error| prometheus::Error::Msg(error.to_string()))
    }
}

impl Default for Traffic {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_exported() {
        let traffic = Traffic::new();
        traffic.count(StatusCode::NOT_FOUND);
        traffic.plain.inc();
        let text = traffic.encode().expect("writes");
        assert!(text.contains("warren_group_answers_total{class=\"4xx\"} 1"), "{text}");
        assert!(text.contains("warren_group_plain_http_total 1"), "{text}");
        assert!(text.contains("warren_group_certificates_total 0"), "{text}");
    }
}
