//! What is counted about received telemetry.

use foghorn_wire::Format;
use prometheus::{IntCounterVec, Opts, Registry};

/// Counters of the receivers.
#[derive(Clone, Debug)]
pub(crate) struct Meter {
    requests: IntCounterVec,
    bytes: IntCounterVec,
    denied: IntCounterVec,
    dropped: IntCounterVec,
}

impl Meter {
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let requests = IntCounterVec::new(
            Opts::new(
                "foghorn_http_received_total",
                "Bodies of telemetry that came by HTTP, by what became of them.",
            ),
            &["format", "outcome"],
        )?;
        let bytes = IntCounterVec::new(
            Opts::new(
                "foghorn_http_received_bytes_total",
                "Bytes of telemetry taken by HTTP, unpacked.",
            ),
            &["format"],
        )?;
        let denied = IntCounterVec::new(
            Opts::new(
                "foghorn_http_requests_denied_total",
                "Requests of somebody who did not say who they are, or may not do that.",
            ),
            &["reason"],
        )?;
        let dropped = IntCounterVec::new(
            Opts::new(
                "foghorn_http_connections_dropped_total",
                "Connections that were closed before they came to an end, by reason.",
            ),
            &["reason"],
        )?;
        registry.register(Box::new(denied.clone()))?;
        registry.register(Box::new(dropped.clone()))?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(bytes.clone()))?;
        Ok(Self {
            requests,
            bytes,
            denied,
            dropped,
        })
    }

    pub(crate) fn denied(&self, reason: &str) {
        self.denied.with_label_values(&[reason]).inc();
    }

    pub(crate) fn dropped(&self, reason: &str) {
        self.dropped.with_label_values(&[reason]).inc();
    }

    pub(crate) fn outcome(&self, format: Format, outcome: &str) {
        self.requests
            .with_label_values(&[format.name(), outcome])
            .inc();
    }

    pub(crate) fn taken(&self, format: Format, bytes: usize) {
        self.bytes
            .with_label_values(&[format.name()])
            .inc_by(bytes as u64);
    }
}
