//! Telemetry that comes by HTTP, where others may take over: a topic takes the journal's place, and
//! from there it is a source like any other. A body is acknowledged by all in-sync replicas before its
//! sender hears of success.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::time::Duration;

use foghorn_kafka::{KafkaError, Outgoing, Producer, SendError};
use foghorn_model::Timestamp;
use foghorn_wire::Format;
use tokio::time::Instant;

use crate::http_feed::Offered;
use crate::hub::lock;

/// Header: what a body holds, by the format's name.
pub(crate) const FORMAT_HEADER: &str = "foghorn-format";
/// One wait for acks.
const WAIT: Duration = Duration::from_millis(2);
/// All waits together: longer than the producer's own `delivery.timeout.ms` (10 s).
const PATIENCE: Duration = Duration::from_secs(15);

type Outcome = Result<(), KafkaError>;

/// See the module's text.
pub struct HttpTopic {
    topic: String,
    producer: Box<dyn Producer>,
    /// Bytes that may be on their way.
    max_bytes: usize,
    bytes: AtomicUsize,
    token: AtomicU64,
    waiting: Mutex<HashMap<u64, Sender<Outcome>>>,
}

impl HttpTopic {
    /// Over this producer; so many bytes may be on their way.
    pub fn new(topic: &str, producer: Box<dyn Producer>, max_bytes: usize) -> Self {
        Self {
            topic: topic.to_owned(),
            producer,
            max_bytes,
            bytes: AtomicUsize::new(0),
            token: AtomicU64::new(0),
            waiting: Mutex::default(),
        }
    }

    /// Offers a body; returns when it is durable.
    pub fn offer(&self, format: Format, body: &[u8], received: Timestamp) -> Offered {
        let before = self.bytes.fetch_add(body.len(), Ordering::AcqRel);
        let offered = if before > 0 && before + body.len() > self.max_bytes {
            Offered::Full
        } else {
            self.write(format, body, received)
        };
        self.bytes.fetch_sub(body.len(), Ordering::AcqRel);
        offered
    }

    fn write(&self, format: Format, body: &[u8], received: Timestamp) -> Offered {
        let token = self.token.fetch_add(1, Ordering::Relaxed);
        let (outcome, come) = channel();
        lock(&self.waiting).insert(token, outcome);
        let format = format.to_string();
        let record = Outgoing {
            topic: &self.topic,
            partition: Some(0),
            payload: Some(body),
            headers: &[(FORMAT_HEADER, format.as_bytes())],
            timestamp_ms: Some(received.ms()),
            ..Outgoing::default()
        };
        let sent = self.producer.send(&record, token);
        let offered = match sent {
            Ok(()) => self.wait(&come),
            Err(SendError::Full) => Offered::Full,
            Err(SendError::Refused(error)) => Offered::Failed(error.to_string()),
        };
        lock(&self.waiting).remove(&token);
        offered
    }

    /// Whoever waits serves the acks of all who do.
    fn wait(&self, come: &Receiver<Outcome>) -> Offered {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            match come.try_recv() {
                Ok(Ok(())) => return Offered::Taken,
                Ok(Err(error)) => return Offered::Failed(error.to_string()),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => {}
            }
            let acks = self.producer.poll_acks(WAIT);
            let waiting = lock(&self.waiting);
            for ack in acks {
                if let Some(outcome) = waiting.get(&ack.token) {
                    // Whoever waited may have given up.
                    let _gone = outcome.send(ack.result.map(drop));
                }
            }
        }
        Offered::Failed("the cluster does not acknowledge it".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use foghorn_kafka::{AckFate, Admin as _, ModelCluster, TopicSpec};

    use super::*;

    fn topic(max_bytes: usize) -> (ModelCluster, HttpTopic) {
        let cluster = ModelCluster::new();
        cluster.create_topic(&TopicSpec::new("http", 1)).unwrap();
        let topic = HttpTopic::new("http", Box::new(cluster.producer()), max_bytes);
        (cluster, topic)
    }

    fn offer(topic: &HttpTopic, body: &str) -> Offered {
        topic.offer(Format::Alerts, body.as_bytes(), Timestamp(5))
    }

    #[test]
    fn a_body_that_was_taken_stands_in_the_topic_with_its_format_and_its_time() {
        let (cluster, topic) = topic(1_000);
        assert_eq!(offer(&topic, "[]"), Offered::Taken);
        let records = cluster.read_to_end("http", None).unwrap();
        assert_eq!(records[0].payload.as_deref(), Some(&b"[]"[..]));
        assert_eq!(records[0].timestamp_ms, Some(5));
        let (name, value) = &records[0].headers[0];
        let format: Format = std::str::from_utf8(value).unwrap().parse().unwrap();
        assert_eq!((name.as_str(), format), (FORMAT_HEADER, Format::Alerts));
    }

    #[test]
    fn one_that_nobody_acknowledged_was_not_taken() {
        let (cluster, topic) = topic(1_000);
        cluster.next_acks([AckFate::Drop]);
        assert!(matches!(offer(&topic, "[]"), Offered::Failed(_)));
        assert_eq!(offer(&topic, "[]"), Offered::Taken);
        assert_eq!(topic.bytes.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn whoever_waits_serves_the_others_and_what_is_on_its_way_is_bounded() {
        let (cluster, topic) = topic(10);
        let topic = Arc::new(topic);
        cluster.next_acks([AckFate::Hold]);
        let first = Arc::clone(&topic);
        let first = std::thread::spawn(move || offer(&first, "12345678"));
        while topic.producer.in_flight() == 0 {
            std::thread::yield_now();
        }
        assert_eq!(offer(&topic, "12345678"), Offered::Full);
        cluster.release_acks();
        assert_eq!(offer(&topic, "12"), Offered::Taken);
        assert_eq!(first.join().unwrap(), Offered::Taken);
    }
}
