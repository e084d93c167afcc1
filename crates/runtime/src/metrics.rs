//! Self-metrics, in the words that operators of Prometheus and Kafka expect.

use std::time::Duration;

use foghorn_engine::{Advance, Brain, Entry};
use foghorn_eval::intake::IntakeStats;
use foghorn_ingest::Feeder;
use foghorn_model::{Incident, Partition, Signal, Timestamp};
use prometheus::core::Collector;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

use crate::clock::wall;
use crate::hub::Held;
use crate::pipeline::sum;
use crate::snapshotter::Written;

/// See the module's text. Registered once; [`Metrics::registry`] is what `/metrics` shows.
pub struct Metrics {
    registry: Registry,
    lag: IntGaugeVec,
    watermark_age: GaugeVec,
    waiting: IntGauge,
    paused: IntGauge,
    records: IntGauge,
    samples: IntGauge,
    samples_unnamed: IntGauge,
    samples_late: IntGauge,
    samples_ahead: IntGauge,
    samples_refused_ahead: IntGauge,
    log_records: IntGauge,
    log_hits: IntGauge,
    bytes: IntGauge,
    decode_errors: IntGaugeVec,
    dedup: IntGaugeVec,
    series: IntGauge,
    series_recorded: IntGauge,
    window_bytes: IntGauge,
    ticks: IntGauge,
    tick_age: GaugeVec,
    evaluations: IntGauge,
    evaluation_failures: IntGauge,
    ring_fill: Gauge,
    log_bytes: IntGauge,
    signals: IntCounterVec,
    incidents: IntCounterVec,
    event_to_decision: Histogram,
    evaluation: Histogram,
    http_queue_fill: Gauge,
    journal_bytes: IntGauge,
    journal_shortened: IntGauge,
    epoch: IntGauge,
    snapshot_bytes: IntGauge,
    snapshot_series: IntGauge,
    snapshot_at: Gauge,
    snapshot_took: Gauge,
    snapshot_cut: Gauge,
    snapshots: IntGaugeVec,
    outbox: IntGauge,
    ends_forgotten: IntGauge,
}

impl Metrics {
    /// Registers everything in a registry of its own.
    ///
    /// # Errors
    /// A metric's name is taken: a mistake of ours.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let gauge = |name: &str, help: &str| register(&registry, IntGauge::new(name, help)?);
        let seconds = |name: &str, help: &str| register(&registry, Gauge::new(name, help)?);
        let gauges = |name: &str, help: &str, labels: &[&str]| {
            register(&registry, IntGaugeVec::new(Opts::new(name, help), labels)?)
        };
        let floats = |name: &str, help: &str, labels: &[&str]| {
            register(&registry, GaugeVec::new(Opts::new(name, help), labels)?)
        };
        let counters = |name: &str, help: &str, labels: &[&str]| {
            register(
                &registry,
                IntCounterVec::new(Opts::new(name, help), labels)?,
            )
        };
        let buckets = vec![
            0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
        ];
        let fine = vec![
            0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0,
        ];
        let evaluation = HistogramOpts::new(
            "foghorn_rule_evaluation_seconds",
            "Time that closing the ticks that were due took.",
        )
        .buckets(fine);
        let latency = HistogramOpts::new(
            "foghorn_event_to_decision_seconds",
            "Event time of a signal to its being written down.",
        )
        .buckets(buckets);
        Ok(Self {
            lag: gauges(
                "foghorn_kafka_consumer_lag",
                "Records between position and end of a partition.",
                &["topic", "partition"],
            )?,
            watermark_age: floats(
                "foghorn_watermark_age_seconds",
                "Wall time less the watermark of a partition.",
                &["topic", "partition"],
            )?,
            waiting: gauge(
                "foghorn_partitions_waited_for",
                "Partitions that hold a tick back.",
            )?,
            paused: gauge(
                "foghorn_partitions_paused",
                "Partitions that are not read on, since they are far ahead of what reads them.",
            )?,
            records: gauge("foghorn_records_total", "Records read.")?,
            samples: gauge("foghorn_samples_total", "Samples decoded.")?,
            samples_unnamed: gauge(
                "foghorn_samples_unnamed_total",
                "Samples of series that no rule names.",
            )?,
            samples_late: gauge(
                "foghorn_late_events_total",
                "Samples and log records at or below their partition's watermark.",
            )?,
            samples_ahead: gauge(
                "foghorn_ahead_events_total",
                "Samples too far ahead of their record's stamp to move the watermark.",
            )?,
            samples_refused_ahead: gauge(
                "foghorn_refused_ahead_events_total",
                "Samples refused for being more than 10 minutes ahead of their record's stamp.",
            )?,
            log_records: gauge("foghorn_log_records_total", "Log records decoded.")?,
            log_hits: gauge(
                "foghorn_log_hits_total",
                "Log records that passed a log query, once per query.",
            )?,
            bytes: gauge("foghorn_bytes_total", "Payload bytes read.")?,
            decode_errors: gauges(
                "foghorn_decode_errors_total",
                "Records, or parts of them, that could not be used.",
                &["source", "reason"],
            )?,
            dedup: gauges(
                "foghorn_dedup_records_total",
                "Records of sources with a dedup window: duplicates, those without an id, and ids forgotten within the window for want of room.",
                &["source", "outcome"],
            )?,
            series: gauge("foghorn_series", "Series in memory.")?,
            series_recorded: gauge(
                "foghorn_series_recorded",
                "Series that rules recorded, in memory.",
            )?,
            window_bytes: gauge(
                "foghorn_series_bytes",
                "Bytes of the series in memory, labels included.",
            )?,
            ticks: gauge("foghorn_ticks_total", "Ticks closed.")?,
            tick_age: floats(
                "foghorn_group_tick_age_seconds",
                "Wall time less the last closed tick of a rule group.",
                &["group"],
            )?,
            evaluations: gauge("foghorn_rule_evaluations_total", "Rule evaluations.")?,
            evaluation_failures: gauge(
                "foghorn_rule_evaluation_failures_total",
                "Rule evaluations that failed.",
            )?,
            ring_fill: register(
                &registry,
                Gauge::new(
                    "foghorn_ring_fill_ratio",
                    "Share in use of the fullest ring between workers.",
                )?,
            )?,
            log_bytes: gauge("foghorn_signal_log_bytes", "Bytes of the signal log.")?,
            signals: counters("foghorn_signals_total", "Signals written down.", &["kind"])?,
            incidents: counters(
                "foghorn_incident_revisions_total",
                "Incident revisions, by what they are about.",
                &["event"],
            )?,
            evaluation: register(&registry, Histogram::with_opts(evaluation)?)?,
            http_queue_fill: register(
                &registry,
                Gauge::new(
                    "foghorn_http_queue_fill_ratio",
                    "Share in use of the queue behind the HTTP receivers.",
                )?,
            )?,
            journal_bytes: gauge(
                "foghorn_http_journal_bytes",
                "Bytes of the journal of what came by HTTP.",
            )?,
            journal_shortened: gauge(
                "foghorn_http_journal_shortened_total",
                "Files of the journal that were deleted for want of room, though a restart would have read them again.",
            )?,
            epoch: gauge(
                "foghorn_epoch",
                "How often the work had been taken over when this instance did so; 0 while it stands by, or where nobody can.",
            )?,
            snapshot_bytes: gauge("foghorn_snapshot_bytes", "Bytes of the last snapshot.")?,
            snapshot_series: gauge("foghorn_snapshot_series", "Series in the last snapshot.")?,
            snapshot_at: seconds(
                "foghorn_snapshot_last_success_timestamp_seconds",
                "When the last snapshot was whole and on disk, in seconds since the epoch; 0 before the first.",
            )?,
            snapshot_took: seconds(
                "foghorn_snapshot_write_seconds",
                "How long the last snapshot took to pack and write, beside everything else.",
            )?,
            snapshot_cut: seconds(
                "foghorn_snapshot_cut_seconds",
                "How long everything stood still for the last snapshot's cut.",
            )?,
            snapshots: register(
                &registry,
                IntGaugeVec::new(
                    Opts::new(
                        "foghorn_snapshots_total",
                        "Snapshots that were written, and that could not be.",
                    ),
                    &["result"],
                )?,
            )?,
            outbox: gauge(
                "foghorn_outbox_revisions",
                "Incident revisions that some sink has not delivered.",
            )?,
            ends_forgotten: gauge(
                "foghorn_alert_ends_forgotten_total",
                "Ends of alerts that were let go before their quarter of an hour, for want of room.",
            )?,
            event_to_decision: register(&registry, Histogram::with_opts(latency)?)?,
            registry,
        })
    }

    /// The registry.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    pub(crate) fn evaluated(&self, advance: &Advance, took: Duration) {
        self.waiting.set(advance.waiting.len() as i64);
        if advance
            .entries
            .iter()
            .any(|entry| matches!(entry, Entry::Tick { .. }))
        {
            self.evaluation.observe(took.as_secs_f64());
        }
    }

    pub(crate) fn queue(&self, http_fill: f64, outbox: usize) {
        self.http_queue_fill.set(http_fill);
        self.outbox.set(outbox as i64);
    }

    /// How often the work was taken over.
    pub(crate) fn epoch(&self, epoch: u64) {
        self.epoch.set(epoch as i64);
    }

    /// How the last snapshot went.
    pub(crate) fn snapshot(&self, last: &Written, cut: Duration) {
        self.snapshot_bytes.set(last.bytes as i64);
        self.snapshot_series.set(last.series as i64);
        self.snapshot_at.set(last.at_ms as f64 / 1e3);
        self.snapshot_took.set(last.took.as_secs_f64());
        self.snapshot_cut.set(cut.as_secs_f64());
        let counts = [("written", last.good), ("failed", last.failed)];
        for (result, count) in counts {
            let gauge = self.snapshots.with_label_values(&[result]);
            gauge.set(count as i64);
        }
    }

    /// Bytes of the journal, and files that it had to give up.
    pub(crate) fn journal(&self, (bytes, shortened): (u64, u64)) {
        self.journal_bytes.set(bytes as i64);
        self.journal_shortened.set(shortened as i64);
    }

    pub(crate) fn wrote(&self, entries: &[Entry], incidents: &[Incident], now: Timestamp) {
        for entry in entries {
            let (Entry::Tick { signals, .. } | Entry::Arrival { signals, .. }) = entry else {
                continue;
            };
            for signal in signals {
                let (kind, at) = match signal {
                    Signal::Transition(transition) => (transition.kind.code(), transition.at),
                    Signal::Match(matched) => ("matched", matched.at),
                    Signal::Evidence(evidence) => ("evidence", evidence.onset),
                };
                self.signals.with_label_values(&[kind]).inc();
                self.event_to_decision
                    .observe((now - at).max(0) as f64 / 1e3);
            }
        }
        for incident in incidents {
            let event = format!("{:?}", incident.event).to_lowercase();
            self.incidents.with_label_values(&[event.as_str()]).inc();
        }
    }

    fn measure_dedup(&self, workers: &[Held<'_>], names: &[String]) {
        for (source, name) in names.iter().enumerate() {
            let feeders = workers
                .iter()
                .filter_map(|worker| worker.feeders.get(source));
            let mut counts = [0; 3];
            for stats in feeders.map(Feeder::dedup_stats) {
                counts[0] += stats.duplicates;
                counts[1] += stats.without_id;
                counts[2] += stats.evicted_early;
            }
            let outcomes = ["duplicate", "without_id", "evicted_early"];
            for (outcome, count) in outcomes.into_iter().zip(counts) {
                if count > 0 {
                    self.dedup
                        .with_label_values(&[name.as_str(), outcome])
                        .set(count as i64);
                }
            }
        }
    }

    pub(crate) fn measure(
        &self,
        workers: &[Held<'_>],
        names: &[String],
        topic: impl Fn(Partition) -> String,
        brain: &Brain,
        log_bytes: u64,
        sum_bytes: bool,
    ) {
        if sum_bytes {
            let bytes: usize = workers
                .iter()
                .map(|worker| worker.shard.stats().bytes)
                .sum();
            self.window_bytes.set(bytes as i64);
        }
        let now = wall();
        let counts = workers
            .iter()
            .map(|worker| worker.intake.stats())
            .fold(IntakeStats::default(), sum);
        for (gauge, value) in [
            (&self.records, counts.records),
            (&self.samples, counts.samples),
            (&self.samples_unnamed, counts.unnamed),
            (&self.samples_late, counts.late),
            (&self.samples_ahead, counts.ahead),
            (&self.samples_refused_ahead, counts.refused_ahead),
            (&self.log_records, counts.log_records),
            (&self.log_hits, counts.log_hits),
            (&self.bytes, workers.iter().map(|worker| worker.bytes).sum()),
            (
                &self.series,
                workers
                    .iter()
                    .map(|worker| worker.shard.counts().series as u64)
                    .sum(),
            ),
            (&self.series_recorded, brain.core().recorded_series() as u64),
            (&self.ticks, brain.core().stats().ticks),
            (&self.evaluations, brain.core().stats().evaluations),
            (&self.evaluation_failures, brain.core().stats().failures),
            (&self.ends_forgotten, brain.ends_forgotten()),
            (&self.log_bytes, log_bytes),
        ] {
            gauge.set(value as i64);
        }
        self.measure_dedup(workers, names);
        let facts = workers.iter().flat_map(|worker| worker.facts.values());
        self.paused
            .set(facts.filter(|facts| facts.is_paused).count() as i64);
        self.ring_fill.set(
            workers
                .iter()
                .map(|worker| worker.ring_fill())
                .fold(0.0, f64::max),
        );
        for worker in workers {
            for ((source, reason), count) in &worker.refusals {
                let name = names.get(*source as usize).map_or("", String::as_str);
                self.decode_errors
                    .with_label_values(&[name, *reason])
                    .set(*count as i64);
            }
            for (partition, facts) in &worker.facts {
                let (topic, index) = (topic(*partition), partition.index.to_string());
                if let Some(lag) = facts.lag {
                    self.lag
                        .with_label_values(&[topic.as_str(), index.as_str()])
                        .set(lag);
                }
                if let Some(clock) = worker
                    .intake
                    .clock(*partition)
                    .filter(|clock| clock.high() > Timestamp::MIN)
                {
                    let age = (now - clock.watermark()) as f64 / 1e3;
                    self.watermark_age
                        .with_label_values(&[topic.as_str(), index.as_str()])
                        .set(age);
                }
            }
        }
        for group in brain.core().groups() {
            if let Some(tick) = group.last_tick {
                self.tick_age
                    .with_label_values(&[&*group.name])
                    .set((now - tick) as f64 / 1e3);
            }
        }
    }
}

fn register<C: Collector + Clone + 'static>(
    registry: &Registry,
    collector: C,
) -> Result<C, prometheus::Error> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}
