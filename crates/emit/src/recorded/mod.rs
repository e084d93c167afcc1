//! Recorded series on a topic: what `record:` rules found goes on to whoever reads it.
//!
//! Owns a bounded queue and a thread that drains it into Kafka. Whoever offers waits for room for a
//! bounded time once; as long as there is none after that, what comes is dropped at once, counted and
//! said. What is queued or under way when the process dies is gone: the ticks it belongs to are
//! closed and are not evaluated again. Apart from that each sample is written at least once.
//!
//! Refuses to know which rule recorded a sample, and why.

mod bodies;
mod queue;
mod writer;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use foghorn_kafka::{KafkaError, Producer, RdProducer};
use foghorn_model::{Labels, Timestamp};
use prometheus::IntGauge;
use serde::Deserialize;

use crate::config::properties;
use crate::metrics::SinkMetrics;
use crate::secret::Secret;
use queue::Queue;
use writer::Writer;

/// Samples that may wait; more are not taken.
const QUEUE_BOUND: usize = 1_000_000;
/// So long at most an offer waits for room.
const ROOM_PATIENCE: Duration = Duration::from_secs(1);
/// The thread looks for acks so often while it has nothing to send.
const ACK_EVERY: Duration = Duration::from_millis(100);

/// Properties beneath what the user writes: few large batches, and no end to trying again.
const DEFAULTS: [(&str, &str); 3] = [
    ("linger.ms", "50"),
    ("batch.size", "1000000"),
    ("delivery.timeout.ms", "0"),
];

/// Where recorded series go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedConfig {
    /// A topic.
    #[serde(default)]
    pub kafka: Option<RecordedKafkaConfig>,
}

/// A topic of recorded series.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedKafkaConfig {
    /// `host:port[,host:port…]`; short for the property `bootstrap.servers`.
    #[serde(default)]
    pub brokers: Option<String>,
    /// librdkafka's properties, by its names.
    #[serde(default)]
    pub properties: BTreeMap<String, Secret>,
    /// Properties whose values stand in files: secrets.
    #[serde(default)]
    pub property_files: BTreeMap<String, PathBuf>,
    /// Topic. Records carry the time of their samples, by which retention and seeking go.
    pub topic: String,
    /// How samples are written.
    #[serde(default)]
    pub format: RecordedFormat,
}

/// How recorded samples are written; the names are those of sources' formats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordedFormat {
    /// One sample a record, keyed by the series' fingerprint. The end of a series is not said.
    #[default]
    JsonMetrics,
    /// Remote write 1.0, snappy, many series a record and no key. Holds staleness markers.
    #[serde(rename = "remote_write_1")]
    RemoteWrite1,
    /// OTLP gauges in protobuf, many a record and no key. The end of a series is not said.
    OtlpMetricsProto,
}

/// A sample that a rule recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedSample {
    /// Labels, `__name__` among them.
    pub labels: Labels,
    /// The instant that it holds for.
    pub at: Timestamp,
    /// Value; a staleness marker where the series ended.
    pub value: f64,
}

/// See the module's text.
pub struct RecordedSink {
    queue: Arc<Queue>,
    give_up: Arc<AtomicBool>,
    metrics: SinkMetrics,
    thread: JoinHandle<()>,
}

impl RecordedSink {
    /// Sends to the configured topic; the connection is made behind the scenes.
    ///
    /// # Errors
    /// In words: a secret cannot be read, a property is refused, no thread could be started.
    pub fn open(config: &RecordedKafkaConfig, metrics: SinkMetrics) -> Result<Self, String> {
        let mut plain = config.properties.clone();
        for (name, value) in DEFAULTS {
            plain
                .entry(name.to_owned())
                .or_insert_with(|| Secret::new(value));
        }
        let properties = properties(config.brokers.as_deref(), &plain, &config.property_files)?;
        let open = move || -> Result<Box<dyn Producer>, KafkaError> {
            Ok(Box::new(RdProducer::open(&properties)?))
        };
        let producer = open().map_err(|error| error.to_string())?;
        Self::over(&config.topic, config.format, producer, open, metrics)
            .map_err(|error| format!("no thread could be started: {error}"))
    }

    /// Sends through any producer; `open` makes another when one has failed for good.
    ///
    /// # Errors
    /// No thread could be started.
    pub fn over(
        topic: &str,
        format: RecordedFormat,
        producer: Box<dyn Producer>,
        open: impl FnMut() -> Result<Box<dyn Producer>, KafkaError> + Send + 'static,
        metrics: SinkMetrics,
    ) -> std::io::Result<Self> {
        let queue = Arc::new(Queue::new(QUEUE_BOUND));
        let give_up = Arc::new(AtomicBool::new(false));
        let mut writer = Writer::new(topic, format, producer, Box::new(open), metrics.clone());
        let (drained, told) = (Arc::clone(&queue), Arc::clone(&give_up));
        let queued = metrics.recorded_queued.clone();
        let thread = std::thread::Builder::new()
            .name("recorded".to_owned())
            .spawn(move || drain(&mut writer, &drained, &told, &queued))?;
        Ok(Self {
            queue,
            give_up,
            metrics,
            thread,
        })
    }

    /// Takes samples. Waits a second for room at most, and only if there was some lately.
    pub fn offer(&self, samples: Vec<RecordedSample>) {
        if samples.is_empty() {
            return;
        }
        let count = samples.len();
        if let Err(first) = self.queue.offer(samples, ROOM_PATIENCE) {
            self.metrics.recorded_lost("queue_full", count);
            if first {
                tracing::error!(
                    waiting = self.queue.len(),
                    "recorded samples are dropped: their topic does not take them fast enough"
                );
            }
        }
        self.metrics.recorded_queued.set(self.queue.len() as i64);
    }

    /// Ends it: what waits is sent, for so long at most. What is left then is counted as lost.
    pub fn finish(self, at_most: Duration) {
        self.queue.close();
        if !self.queue.wait_until_done(at_most) {
            self.give_up.store(true, Ordering::Release);
        }
        if self.thread.join().is_err() {
            tracing::error!("the thread that sends recorded samples panicked");
        }
    }
}

fn drain(writer: &mut Writer, queue: &Queue, give_up: &AtomicBool, queued: &IntGauge) {
    let over = || give_up.load(Ordering::Acquire);
    while !queue.is_over() {
        if let Some(samples) = queue.take(ACK_EVERY) {
            queued.set(queue.len() as i64);
            writer.write(&samples, over);
        }
        writer.settle(Duration::ZERO);
    }
    writer.finish(over);
    queue.done();
}

#[cfg(test)]
mod tests {
    use foghorn_kafka::{AckFate, Admin, ModelCluster, TopicSpec};
    use prometheus::Registry;

    use super::*;

    pub(super) fn sample(name: &str, at_ms: i64, value: f64) -> RecordedSample {
        RecordedSample {
            labels: Labels::from_pairs([("__name__", name), ("service", "a\"b")]),
            at: Timestamp(at_ms),
            value,
        }
    }

    /// Samples sent and lost, and records on the topic, after these fates.
    fn check(fates: &[AckFate], sent: u64, lost: &[(&str, u64)], records: usize) {
        let cluster = ModelCluster::new();
        cluster.create_topic(&TopicSpec::new("out", 1)).unwrap();
        cluster.next_acks(fates.iter().copied());
        let metrics = SinkMetrics::register(&Registry::new()).unwrap();
        let again = cluster.clone();
        let sink = RecordedSink::over(
            "out",
            RecordedFormat::JsonMetrics,
            Box::new(cluster.producer()),
            move || Ok(Box::new(again.producer())),
            metrics.clone(),
        )
        .unwrap();
        sink.offer(vec![sample("r", 1_000, 1.0), sample("s", 1_000, 2.0)]);
        sink.finish(if fates.contains(&AckFate::Hold) {
            Duration::ZERO
        } else {
            Duration::from_mins(1)
        });
        assert_eq!(metrics.recorded_sent.get(), sent);
        for (reason, count) in lost {
            let counter = metrics.recorded_dropped.with_label_values(&[reason]);
            assert_eq!(counter.get(), *count, "{reason}");
        }
        let records_there = cluster.read_to_end("out", None).unwrap().len();
        assert_eq!(records_there, records);
    }

    #[test]
    fn what_waits_at_the_end_is_sent() {
        check(&[], 2, &[("not_acknowledged", 0)], 2);
    }

    #[test]
    fn what_is_not_acknowledged_is_counted() {
        check(
            &[AckFate::Drop, AckFate::Deliver],
            1,
            &[("not_acknowledged", 1)],
            1,
        );
        check(&[AckFate::Deliver, AckFate::Hold], 1, &[("stopped", 1)], 2);
    }

    #[test]
    fn a_config_names_a_format_as_sources_do() {
        let check = |json: &str, expect| {
            let config: RecordedConfig = serde_json::from_str(json).unwrap();
            assert_eq!(config.kafka.unwrap().format, expect);
        };
        check(
            r#"{"kafka":{"brokers":"b:9092","topic":"t"}}"#,
            RecordedFormat::JsonMetrics,
        );
        check(
            r#"{"kafka":{"topic":"t","format":"remote_write_1"}}"#,
            RecordedFormat::RemoteWrite1,
        );
        check(
            r#"{"kafka":{"topic":"t","format":"otlp_metrics_proto"}}"#,
            RecordedFormat::OtlpMetricsProto,
        );
    }
}
