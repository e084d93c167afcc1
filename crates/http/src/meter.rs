//! What is counted about received telemetry.

use foghorn_wire::Format;
use prometheus::{IntCounterVec, Opts, Registry};

/// Counters of the receivers.
#[derive(Clone, Debug)]
pub(crate) struct Meter {
    requests: IntCounterVec,
    bytes: IntCounterVec,
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
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(bytes.clone()))?;
        Ok(Self { requests, bytes })
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
