//! What is counted of alerts on their way, named as Prometheus names it.

use std::time::Duration;

use prometheus::{
    HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

use super::queue::CAPACITY;

/// By Alertmanager (its URL).
#[derive(Clone, Debug)]
pub(crate) struct NotificationMetrics {
    sent: IntCounterVec,
    errors: IntCounterVec,
    dropped: IntCounterVec,
    latency: HistogramVec,
    queue_length: IntGaugeVec,
}

impl NotificationMetrics {
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let latency = HistogramVec::new(
            HistogramOpts::new(
                "foghorn_notifications_latency_seconds",
                "Time that posting alerts took.",
            ),
            &["alertmanager"],
        )?;
        registry.register(Box::new(latency.clone()))?;
        let queue_length = IntGaugeVec::new(
            Opts::new(
                "foghorn_notifications_queue_length",
                "Alerts that wait to be sent.",
            ),
            &["alertmanager"],
        )?;
        registry.register(Box::new(queue_length.clone()))?;
        let capacity = IntGauge::new(
            "foghorn_notifications_queue_capacity",
            "Alerts that may wait for an Alertmanager.",
        )?;
        capacity.set(CAPACITY as i64);
        registry.register(Box::new(capacity))?;
        Ok(Self {
            sent: counter(
                "foghorn_notifications_sent_total",
                "Alerts that an Alertmanager took.",
                &["alertmanager"],
            )?,
            errors: counter(
                "foghorn_notifications_errors_total",
                "Alerts in posts that failed, whether they are tried again or not.",
                &["alertmanager"],
            )?,
            dropped: counter(
                "foghorn_notifications_dropped_total",
                "Alerts that were not sent, by reason: the queue was full, the Alertmanager refused them, or they were over.",
                &["alertmanager", "reason"],
            )?,
            latency,
            queue_length,
        })
    }

    /// For one Alertmanager.
    pub(super) fn of(&self, alertmanager: &str) -> Meter {
        let meter = Meter {
            metrics: self.clone(),
            alertmanager: alertmanager.to_owned(),
        };
        // What has not happened yet reads 0.
        meter.metrics.sent.with_label_values(&[alertmanager]);
        meter.metrics.errors.with_label_values(&[alertmanager]);
        for why in [Dropped::Full, Dropped::Refused, Dropped::Over] {
            meter.dropped(why, 0);
        }
        meter.waits(0);
        meter
    }
}

/// Why an alert was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dropped {
    /// The queue was full.
    Full,
    /// The Alertmanager refused it for good.
    Refused,
    /// Nobody needs it any more.
    Over,
}

/// Counts for one Alertmanager.
#[derive(Debug)]
pub(super) struct Meter {
    metrics: NotificationMetrics,
    alertmanager: String,
}

impl Meter {
    pub(super) fn posted(&self, alerts: usize, took: Duration, went_well: bool) {
        let counter = if went_well {
            &self.metrics.sent
        } else {
            &self.metrics.errors
        };
        let label = [self.alertmanager.as_str()];
        counter.with_label_values(&label).inc_by(alerts as u64);
        let latency = self.metrics.latency.with_label_values(&label);
        latency.observe(took.as_secs_f64());
    }

    pub(super) fn dropped(&self, why: Dropped, alerts: usize) {
        let reason = match why {
            Dropped::Full => "full",
            Dropped::Refused => "refused",
            Dropped::Over => "over",
        };
        let label = [self.alertmanager.as_str(), reason];
        let counter = self.metrics.dropped.with_label_values(&label);
        counter.inc_by(alerts as u64);
    }

    pub(super) fn waits(&self, alerts: usize) {
        let label = [self.alertmanager.as_str()];
        let gauge = self.metrics.queue_length.with_label_values(&label);
        gauge.set(alerts as i64);
    }
}
