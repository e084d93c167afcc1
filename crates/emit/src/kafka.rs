//! Incidents as `CloudEvents` on a topic, keyed by incident: on a compacted topic the latest
//! revision of each is what stays.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use foghorn_kafka::{KafkaError, Outgoing, Producer, RdProducer, SendError};
use foghorn_model::Incident;

use crate::config::{KafkaSinkConfig, properties};
use crate::sink::{Delivered, DeliveryError, Sink};

/// One wait for acks.
const POLL: Duration = Duration::from_millis(100);
/// So many waits without any ack end an attempt: longer than the producer's own
/// `delivery.timeout.ms` (10 s), after which every record has its ack, good or bad.
const POLLS: u32 = 150;

type Factory = Box<dyn FnMut() -> Result<Box<dyn Producer>, KafkaError> + Send>;

/// Writes to a topic through an idempotent producer that waits for all in-sync replicas. All
/// revisions of a delivery are in flight together; what counts is the unbroken run of acks from the
/// first on.
pub struct KafkaSink {
    name: String,
    topic: String,
    source: String,
    open: Factory,
    producer: Option<Box<dyn Producer>>,
    /// Tokens are never used twice, so that a late ack of an earlier attempt is told apart.
    next_token: u64,
}

impl KafkaSink {
    /// Sets the sink up; the connection is made behind the scenes.
    ///
    /// # Errors
    /// In words: a secret cannot be read, or a property is refused.
    pub fn open(config: &KafkaSinkConfig) -> Result<Self, String> {
        let properties = properties(
            config.brokers.as_deref(),
            &config.properties,
            &config.property_files,
        )?;
        let mut open: Factory =
            Box::new(move || Ok(Box::new(RdProducer::open(&properties)?) as Box<dyn Producer>));
        let producer = open().map_err(|error| error.to_string())?;
        Ok(Self::over(
            &config.name,
            &config.topic,
            &config.source,
            producer,
            open,
        ))
    }

    /// A sink over any producer; `open` makes another when one has failed for good.
    pub fn over(
        name: &str,
        topic: &str,
        source: &str,
        producer: Box<dyn Producer>,
        open: impl FnMut() -> Result<Box<dyn Producer>, KafkaError> + Send + 'static,
    ) -> Self {
        Self {
            name: name.to_owned(),
            topic: topic.to_owned(),
            source: source.to_owned(),
            open: Box::new(open),
            producer: Some(producer),
            next_token: 0,
        }
    }

    /// Queues revisions until the producer takes no more; why, unless merely its queue is full.
    fn send(&mut self, producer: &dyn Producer, incidents: &[Arc<Incident>]) -> Option<KafkaError> {
        for incident in incidents {
            let (key, value) = (
                incident.id.to_string(),
                foghorn_wire::out::cloudevent(incident, &self.source),
            );
            let record = Outgoing {
                topic: &self.topic,
                partition: None,
                key: Some(key.as_bytes()),
                payload: Some(&value),
                headers: &[("content-type", b"application/cloudevents+json")],
                timestamp_ms: None,
            };
            match producer.send(&record, self.next_token) {
                Ok(()) => self.next_token += 1,
                Err(SendError::Full) => return None,
                Err(SendError::Refused(error)) => return Some(error),
            }
        }
        None
    }
}

/// Waits for the acks of `tokens`; how many came in an unbroken run, and what broke it.
fn settle(producer: &dyn Producer, tokens: Range<u64>) -> (usize, Option<KafkaError>) {
    let mut results = BTreeMap::new();
    let mut idle = 0;
    while (results.len() as u64) < tokens.end - tokens.start && idle < POLLS {
        let acks = producer.poll_acks(POLL);
        idle = if acks.is_empty() { idle + 1 } else { 0 };
        let ours = acks.into_iter().filter(|ack| tokens.contains(&ack.token));
        results.extend(ours.map(|ack| (ack.token, ack.result)));
    }
    let count = results.len();
    for (run, token) in tokens.enumerate() {
        match results.remove(&token) {
            Some(Ok(_)) => {}
            Some(Err(error)) => return (run, Some(error)),
            None => return (run, Some(KafkaError::TimedOut { doing: "get acks" })),
        }
    }
    (count, None)
}

/// Whether trying again can help.
fn judge(error: &KafkaError) -> DeliveryError {
    let hopeless = matches!(
        error,
        KafkaError::Client { code, .. } if matches!(code.as_str(), "MessageSizeTooLarge" | "InvalidRecord")
    );
    DeliveryError {
        retryable: !hopeless,
        retry_after: None,
        text: error.to_string(),
    }
}

impl Sink for KafkaSink {
    fn name(&self) -> &str {
        &self.name
    }

    fn deliver(&mut self, incidents: &[Arc<Incident>]) -> Delivered {
        let producer = match self.producer.take().map_or_else(|| (self.open)(), Ok) {
            Ok(producer) => producer,
            Err(error) => return Delivered::stopped(0, judge(&error)),
        };
        let first = self.next_token;
        let refused = self.send(&*producer, incidents);
        let (count, failed) = settle(&*producer, first..self.next_token);
        let stopped = failed.or(refused);
        // One that failed for good is made anew by the next attempt.
        if !stopped.as_ref().is_some_and(KafkaError::is_fatal) {
            self.producer = Some(producer);
        }
        Delivered {
            count,
            stopped: stopped.as_ref().map(judge),
        }
    }

    fn coalesces(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use foghorn_kafka::{AckFate, Admin, ModelCluster, TopicSpec};
    use foghorn_model::IncidentId;
    use foghorn_model::incident::Status::Open;

    use super::*;
    use crate::fixtures::incident;

    fn sink(cluster: &ModelCluster) -> KafkaSink {
        cluster
            .create_topic(&TopicSpec::new("incidents", 1))
            .unwrap();
        let (producer, again) = (Box::new(cluster.producer()), cluster.clone());
        KafkaSink::over("bus", "incidents", "foghorn/test", producer, move || {
            Ok(Box::new(again.producer()))
        })
    }

    /// Delivers revisions 1 to 3 of an incident whose records meet these fates.
    fn check(fates: &[AckFate], expect: usize, error: Option<&str>) -> ModelCluster {
        let cluster = ModelCluster::new();
        let mut sink = sink(&cluster);
        cluster.next_acks(fates.iter().copied());
        let incidents: Vec<_> = (1..=3).map(|n| Arc::new(incident(7, n, Open))).collect();
        let delivered = sink.deliver(&incidents);
        assert_eq!(delivered.count, expect);
        match (delivered.stopped, error) {
            (None, None) => {}
            (Some(got), Some(word)) => assert!(got.retryable && got.text.contains(word), "{got}"),
            (got, expect) => panic!("{got:?}, expected {expect:?}"),
        }
        // Whatever happened, the next attempt at the rest goes well.
        cluster.release_acks();
        assert_eq!(
            sink.deliver(&incidents[expect..]),
            Delivered::all(&incidents[expect..])
        );
        cluster
    }

    #[test]
    fn an_incident_is_one_key_and_each_revision_a_record() {
        let cluster = check(&[], 3, None);
        let records = cluster.read_to_end("incidents", None).unwrap();
        assert_eq!(records.len(), 3);
        for record in &records {
            assert_eq!(
                record.key.as_deref(),
                Some(IncidentId(7).to_string().as_bytes())
            );
            assert_eq!(
                record.headers,
                [(
                    "content-type".to_owned(),
                    b"application/cloudevents+json".to_vec()
                )]
            );
            let event: serde_json::Value =
                serde_json::from_slice(record.payload.as_deref().unwrap()).unwrap();
            assert_eq!(event["source"], "foghorn/test");
        }
    }

    #[test]
    fn what_counts_is_the_unbroken_run_of_acks() {
        use AckFate::{Deliver, Drop, Hold, Lose};
        check(&[Deliver, Drop, Deliver], 1, Some("in time"));
        check(&[Lose], 0, Some("in time"));
        check(&[Deliver, Deliver, Hold], 2, Some("in time"));
    }

    #[test]
    fn a_full_queue_is_no_error_for_what_went_before() {
        let cluster = ModelCluster::new();
        let mut sink = sink(&cluster);
        cluster.next_acks([AckFate::Hold, AckFate::Deliver]);
        cluster.set_capacity(1);
        let incidents: Vec<_> = (1..=2).map(|n| Arc::new(incident(7, n, Open))).collect();
        let delivered = sink.deliver(&incidents);
        assert_eq!(delivered.count, 0);
        assert!(delivered.stopped.unwrap().text.contains("in time"));
        cluster.release_acks();
        assert_eq!(sink.deliver(&incidents), Delivered::all(&incidents));
    }
}
