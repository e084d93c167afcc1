//! Records that could not be used: to a topic of their own, as they were, with headers that say why
//! and where they came from.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foghorn_kafka::{KafkaError, Outgoing, Producer, SendError};

use crate::metrics::SinkMetrics;

/// Letters that wait for their acks; more are not taken until some have come.
const IN_FLIGHT_BOUND: usize = 4096;
/// A producer's `message.max.bytes` where none is set.
const MAX_BYTES: usize = 1_000_000;
/// Room for headers and key within it.
const HEADROOM: usize = 64 << 10;
/// So often one letter is sent before it counts as lost.
const ATTEMPTS: u32 = 5;

/// A record that could not be used.
#[derive(Clone, Copy, Debug)]
pub struct DeadLetter<'a> {
    /// Short and fixed, from a [`foghorn_model::Refusal`].
    pub reason: &'a str,
    /// For people.
    pub detail: &'a str,
    /// The topic it came from.
    pub topic: &'a str,
    /// The partition of that topic.
    pub partition: u32,
    /// Its position there.
    pub offset: i64,
    /// Kafka's timestamp in ms since the epoch, if it had one.
    pub timestamp_ms: Option<i64>,
    /// The format that it should have had.
    pub format: &'a str,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its payload.
    pub value: Option<&'a [u8]>,
    /// Its own headers.
    pub headers: &'a [(&'a str, &'a [u8])],
}

/// Why a letter was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeadLetterError {
    /// Too many wait for their acks: [`DeadLetterSink::serve`], then try again.
    #[error("too many dead letters wait for their acks")]
    Full,
    /// The producer refuses this letter, or everything.
    #[error("the dead-letter topic takes no letter: {0}")]
    Refused(#[from] KafkaError),
}

/// Takes dead letters; shared by all who have some. A letter's source position must not count as
/// done before [`Self::in_flight`] says that its ack has come.
pub struct DeadLetterSink {
    metrics: SinkMetrics,
    topic: Option<Topic>,
    max_bytes: usize,
}

struct Topic {
    name: String,
    producer: Box<dyn Producer>,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    next_token: u64,
    letters: BTreeMap<u64, Letter>,
}

/// A letter as it is sent, kept until its ack.
struct Letter {
    reason: String,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Vec<u8>)>,
    timestamp_ms: Option<i64>,
    attempts: u32,
}

impl DeadLetterSink {
    /// Sends through any producer.
    pub fn over(topic: &str, producer: Box<dyn Producer>, metrics: SinkMetrics) -> Self {
        let topic = Topic {
            name: topic.to_owned(),
            producer,
            waiting: Mutex::default(),
        };
        Self {
            metrics,
            topic: Some(topic),
            max_bytes: MAX_BYTES,
        }
    }

    /// With another `message.max.bytes` than the producer's default. A letter that would be longer
    /// is cut; its header `foghorn.dlq.bytes` says how long its value was.
    #[must_use]
    pub fn with_max_bytes(self, max_bytes: usize) -> Self {
        Self { max_bytes, ..self }
    }

    /// Where no topic is configured: letters are counted, and that is all.
    pub fn counting(metrics: SinkMetrics) -> Self {
        Self {
            metrics,
            topic: None,
            max_bytes: MAX_BYTES,
        }
    }

    /// Takes a copy of a letter; never blocks.
    ///
    /// # Errors
    /// The letter was not taken; it is not counted either.
    pub fn offer(&self, letter: &DeadLetter<'_>) -> Result<(), DeadLetterError> {
        if let Some(topic) = &self.topic {
            topic.offer(Letter::new(letter, self.max_bytes))?;
        }
        self.metrics
            .dead_letters
            .with_label_values(&[letter.reason])
            .inc();
        Ok(())
    }

    /// Takes the acks that came, waiting up to `timeout` for the first, and sends again what failed.
    /// Call it now and then, and before positions are committed.
    pub fn serve(&self, timeout: Duration) {
        if let Some(topic) = &self.topic {
            topic.serve(timeout, &self.metrics);
        }
    }

    /// Letters whose acks have not come.
    pub fn in_flight(&self) -> usize {
        self.topic
            .as_ref()
            .map_or(0, |topic| topic.lock().letters.len())
    }
}

impl Letter {
    /// Kafka Connect's names beside ours, so that tools which know those show the place
    /// (apache/kafka, `DeadLetterQueueReporter.java`).
    fn new(letter: &DeadLetter<'_>, max_bytes: usize) -> Self {
        let (partition, offset) = (letter.partition.to_string(), letter.offset.to_string());
        let timestamp = letter
            .timestamp_ms
            .map(|ms| ms.to_string())
            .unwrap_or_default();
        let ours = [
            ("foghorn.dlq.reason", letter.reason),
            ("foghorn.dlq.detail", letter.detail),
            ("foghorn.dlq.topic", letter.topic),
            ("foghorn.dlq.partition", &partition),
            ("foghorn.dlq.offset", &offset),
            ("foghorn.dlq.timestamp", &timestamp),
            ("foghorn.dlq.format", letter.format),
            ("__connect.errors.topic", letter.topic),
            ("__connect.errors.partition", &partition),
            ("__connect.errors.offset", &offset),
        ];
        let room = max_bytes.saturating_sub(HEADROOM);
        let cut = |bytes: &[u8], room: usize| bytes[..bytes.len().min(room)].to_vec();
        let mut left = HEADROOM / 2;
        let own = letter.headers.iter().map_while(|(name, value)| {
            left = left.checked_sub(name.len() + value.len())?;
            Some(((*name).to_owned(), value.to_vec()))
        });
        let ours = ours
            .iter()
            .map(|(name, value)| ((*name).to_owned(), cut(value.as_bytes(), HEADROOM / 32)));
        let mut headers: Vec<_> = own.chain(ours).collect();
        let bytes = letter.value.map_or(0, <[u8]>::len);
        if bytes > room {
            let bytes = bytes.to_string().into_bytes();
            headers.push(("foghorn.dlq.bytes".to_owned(), bytes));
        }
        Self {
            reason: letter.reason.to_owned(),
            key: letter.key.map(|key| cut(key, HEADROOM / 8)),
            value: letter.value.map(|value| cut(value, room)),
            headers,
            timestamp_ms: letter.timestamp_ms,
            attempts: 0,
        }
    }
}

impl Topic {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn offer(&self, letter: Letter) -> Result<(), DeadLetterError> {
        let mut waiting = self.lock();
        if waiting.letters.len() >= IN_FLIGHT_BOUND {
            return Err(DeadLetterError::Full);
        }
        let token = waiting.next_token;
        self.send(token, &letter)?;
        waiting.next_token += 1;
        waiting.letters.insert(token, letter);
        Ok(())
    }

    fn send(&self, token: u64, letter: &Letter) -> Result<(), DeadLetterError> {
        let headers: Vec<_> = letter
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_slice()))
            .collect();
        let record = Outgoing {
            topic: &self.name,
            partition: None,
            key: letter.key.as_deref(),
            payload: letter.value.as_deref(),
            headers: &headers,
            timestamp_ms: letter.timestamp_ms,
        };
        self.producer
            .send(&record, token)
            .map_err(|error| match error {
                SendError::Full => DeadLetterError::Full,
                SendError::Refused(error) => DeadLetterError::Refused(error),
            })
    }

    fn serve(&self, timeout: Duration, metrics: &SinkMetrics) {
        let acks = self.producer.poll_acks(timeout);
        let mut waiting = self.lock();
        for ack in acks {
            let Some(mut letter) = waiting.letters.remove(&ack.token) else {
                continue;
            };
            let Err(error) = ack.result else { continue };
            letter.attempts += 1;
            let again = letter.attempts < ATTEMPTS && self.send(ack.token, &letter).is_ok();
            if again {
                waiting.letters.insert(ack.token, letter);
            } else {
                tracing::error!(topic = %self.name, reason = %letter.reason, %error, "a dead letter is lost");
                metrics
                    .dead_letters_lost
                    .with_label_values(&[&letter.reason])
                    .inc();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use foghorn_kafka::{AckFate, Admin, ModelCluster, TopicSpec};
    use prometheus::Registry;

    use super::*;

    const LETTER: DeadLetter<'_> = DeadLetter {
        reason: "truncated",
        detail: "ends at byte 12",
        topic: "metrics",
        partition: 3,
        offset: 41,
        timestamp_ms: Some(1_000),
        format: "otlp_metrics_proto",
        key: Some(b"k"),
        value: Some(b"\x0a\xff"),
        headers: &[("traceparent", b"00-1")],
    };

    fn metrics() -> SinkMetrics {
        SinkMetrics::register(&Registry::new()).unwrap()
    }

    /// After `serves` rounds of acks with these fates: records on the topic, letters counted, lost.
    fn check(fates: &[AckFate], serves: usize, written: usize, lost: u64) -> ModelCluster {
        let (cluster, metrics) = (ModelCluster::new(), metrics());
        cluster
            .create_topic(&TopicSpec::new("foghorn.dlq", 1))
            .unwrap();
        let sink =
            DeadLetterSink::over("foghorn.dlq", Box::new(cluster.producer()), metrics.clone());
        cluster.next_acks(fates.iter().copied());
        sink.offer(&LETTER).unwrap();
        assert_eq!(sink.in_flight(), 1);
        for _ in 0..serves {
            sink.serve(Duration::ZERO);
        }
        assert_eq!(sink.in_flight(), 0);
        assert_eq!(
            cluster.read_to_end("foghorn.dlq", None).unwrap().len(),
            written
        );
        assert_eq!(
            metrics.dead_letters.with_label_values(&["truncated"]).get(),
            1
        );
        assert_eq!(
            metrics
                .dead_letters_lost
                .with_label_values(&["truncated"])
                .get(),
            lost
        );
        cluster
    }

    #[test]
    fn a_letter_is_as_it_was_and_says_why() {
        let cluster = check(&[], 1, 1, 0);
        let record = cluster.read_to_end("foghorn.dlq", None).unwrap().remove(0);
        assert_eq!(record.key.as_deref(), LETTER.key);
        assert_eq!(record.payload.as_deref(), LETTER.value);
        let headers: Vec<_> = record
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), std::str::from_utf8(value).unwrap()))
            .collect();
        assert_eq!(
            headers,
            [
                ("traceparent", "00-1"),
                ("foghorn.dlq.reason", "truncated"),
                ("foghorn.dlq.detail", "ends at byte 12"),
                ("foghorn.dlq.topic", "metrics"),
                ("foghorn.dlq.partition", "3"),
                ("foghorn.dlq.offset", "41"),
                ("foghorn.dlq.timestamp", "1000"),
                ("foghorn.dlq.format", "otlp_metrics_proto"),
                ("__connect.errors.topic", "metrics"),
                ("__connect.errors.partition", "3"),
                ("__connect.errors.offset", "41"),
            ]
        );
    }

    #[test]
    fn a_letter_that_is_too_long_is_cut_and_says_so() {
        let cluster = ModelCluster::new();
        cluster
            .create_topic(&TopicSpec::new("foghorn.dlq", 1))
            .unwrap();
        let sink = DeadLetterSink::over("foghorn.dlq", Box::new(cluster.producer()), metrics())
            .with_max_bytes(HEADROOM + 10);
        let b = vec![0; HEADROOM];
        for value in [&b"0123456789"[..], b"0123456789a"] {
            let letter = DeadLetter {
                value: Some(value),
                headers: &[("a", b"1"), ("b", &b), ("c", b"3")],
                ..LETTER
            };
            sink.offer(&letter).unwrap();
        }
        sink.serve(Duration::ZERO);
        let records = cluster.read_to_end("foghorn.dlq", None).unwrap();
        for (record, bytes) in records.iter().zip([None, Some("11")]) {
            assert_eq!(record.payload.as_deref(), Some(&b"0123456789"[..]));
            let header = |wanted: &str| {
                let mut found = record.headers.iter().filter(|(name, _)| name == wanted);
                found
                    .next()
                    .map(|(_, value)| String::from_utf8(value.clone()).unwrap())
            };
            assert_eq!(header("foghorn.dlq.bytes").as_deref(), bytes);
            assert_eq!((header("a").as_deref(), header("b")), (Some("1"), None));
            assert_eq!(header("foghorn.dlq.reason").as_deref(), Some("truncated"));
        }
    }

    #[test]
    fn a_failed_letter_goes_out_again() {
        check(&[AckFate::Drop, AckFate::Drop], 3, 1, 0);
        check(&[AckFate::Drop; 5], 5, 0, 1);
    }

    #[test]
    fn more_than_can_wait_are_not_taken() {
        let cluster = ModelCluster::new();
        cluster
            .create_topic(&TopicSpec::new("foghorn.dlq", 1))
            .unwrap();
        let sink = DeadLetterSink::over("foghorn.dlq", Box::new(cluster.producer()), metrics());
        for _ in 0..IN_FLIGHT_BOUND {
            sink.offer(&LETTER).unwrap();
        }
        assert_eq!(sink.offer(&LETTER), Err(DeadLetterError::Full));
        sink.serve(Duration::ZERO);
        assert_eq!(sink.offer(&LETTER), Ok(()));
    }

    #[test]
    fn without_a_topic_they_are_counted() {
        let metrics = metrics();
        let sink = DeadLetterSink::counting(metrics.clone());
        sink.offer(&LETTER).unwrap();
        assert_eq!(sink.in_flight(), 0);
        assert_eq!(
            metrics.dead_letters.with_label_values(&["truncated"]).get(),
            1
        );
    }
}
