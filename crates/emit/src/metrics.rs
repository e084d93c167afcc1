//! What is counted about sinks and dead letters.

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use crate::alertmanager::NotificationMetrics;

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
    pub(crate) recorded_sent: IntCounter,
    pub(crate) recorded_dropped: IntCounterVec,
    pub(crate) recorded_queued: IntGauge,
    pub(crate) notifications: NotificationMetrics,
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
        let recorded_sent = IntCounter::new(
            "foghorn_recorded_sent_total",
            "Recorded samples that their topic acknowledged.",
        )?;
        registry.register(Box::new(recorded_sent.clone()))?;
        let recorded_queued = IntGauge::new(
            "foghorn_recorded_queued",
            "Recorded samples that wait to be sent.",
        )?;
        registry.register(Box::new(recorded_queued.clone()))?;
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
            recorded_sent,
            recorded_dropped: counter(
                "foghorn_recorded_dropped_total",
                "Recorded samples that did not reach their topic, by reason.",
                "reason",
            )?,
            recorded_queued,
            notifications: NotificationMetrics::register(registry)?,
        })
    }

    /// Recorded samples did not reach their topic.
    pub(crate) fn recorded_lost(&self, reason: &str, samples: usize) {
        self.recorded_dropped
            .with_label_values(&[reason])
            .inc_by(samples as u64);
    }
}
