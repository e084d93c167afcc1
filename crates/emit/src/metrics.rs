//! What is counted about sinks and dead letters.

use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};

/// Counters by sink; outlives reloads.
#[derive(Clone, Debug)]
pub struct SinkMetrics {
    pub(crate) delivered: IntCounterVec,
    pub(crate) coalesced: IntCounterVec,
    pub(crate) retries: IntCounterVec,
    pub(crate) given_up: IntCounterVec,
    pub(crate) pending: IntGaugeVec,
    pub(crate) up: IntGaugeVec,
    pub(crate) dead_letters: IntCounterVec,
    pub(crate) dead_letters_lost: IntCounterVec,
}

impl SinkMetrics {
    /// Makes and registers them.
    ///
    /// # Errors
    /// Another metric has one of the names.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter =
            |name: &str, help: &str, label: &str| -> Result<IntCounterVec, prometheus::Error> {
                let counter = IntCounterVec::new(Opts::new(name, help), &[label])?;
                registry.register(Box::new(counter.clone()))?;
                Ok(counter)
            };
        let gauge = |name: &str, help: &str| -> Result<IntGaugeVec, prometheus::Error> {
            let gauge = IntGaugeVec::new(Opts::new(name, help), &["sink"])?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        Ok(Self {
            delivered: counter(
                "foghorn_sink_delivered_total",
                "Incident revisions that a sink delivered.",
                "sink",
            )?,
            coalesced: counter(
                "foghorn_sink_coalesced_total",
                "Incident revisions that a sink left out because a later one waited too.",
                "sink",
            )?,
            retries: counter(
                "foghorn_sink_retries_total",
                "Deliveries that failed and are tried again.",
                "sink",
            )?,
            given_up: counter(
                "foghorn_sink_given_up_total",
                "Incident revisions that a receiver refused for good.",
                "sink",
            )?,
            pending: gauge(
                "foghorn_sink_pending",
                "Incident revisions that a sink has not delivered.",
            )?,
            up: gauge(
                "foghorn_sink_up",
                "Whether a sink's last attempt to deliver went well.",
            )?,
            dead_letters: counter(
                "foghorn_dlq_records_total",
                "Records that could not be used, by reason.",
                "reason",
            )?,
            dead_letters_lost: counter(
                "foghorn_dlq_lost_total",
                "Records that could not be used and that the dead-letter topic did not take.",
                "reason",
            )?,
        })
    }
}
