//! The thread's half: bodies to a producer, acks to counters.

use std::time::Duration;

use foghorn_kafka::{KafkaError, Outgoing, Producer, SendError};

use super::bodies::{Body, bodies};
use super::{RecordedFormat, RecordedSample};
use crate::metrics::SinkMetrics;

/// One wait for acks, while there is no room or nothing else to do.
const POLL: Duration = Duration::from_millis(20);

type Factory = Box<dyn FnMut() -> Result<Box<dyn Producer>, KafkaError> + Send>;

/// Sends samples, waiting for room in the producer's queue as long as it takes. A record's token is
/// the number of its samples.
pub(super) struct Writer {
    topic: String,
    format: RecordedFormat,
    producer: Box<dyn Producer>,
    open: Factory,
    metrics: SinkMetrics,
    /// Samples sent whose acks have not come.
    under_way: u64,
}

impl Writer {
    pub(super) fn new(
        topic: &str,
        format: RecordedFormat,
        producer: Box<dyn Producer>,
        open: Factory,
        metrics: SinkMetrics,
    ) -> Self {
        Self {
            topic: topic.to_owned(),
            format,
            producer,
            open,
            metrics,
            under_way: 0,
        }
    }

    /// Sends samples; once `over` says so, those that find no room are lost.
    pub(super) fn write(&mut self, samples: &[RecordedSample], over: impl Fn() -> bool) {
        for body in bodies(self.format, samples) {
            self.send(&body, &over);
        }
    }

    fn send(&mut self, body: &Body, over: impl Fn() -> bool) {
        let record = Outgoing {
            topic: &self.topic,
            partition: None,
            key: body.key.as_deref().map(str::as_bytes),
            payload: Some(&body.bytes),
            headers: &[],
            timestamp_ms: Some(body.at.ms()),
        };
        loop {
            match self.producer.send(&record, body.samples as u64) {
                Ok(()) => {
                    self.under_way += body.samples as u64;
                    return;
                }
                Err(SendError::Full) if over() => {
                    return self.metrics.recorded_lost("stopped", body.samples);
                }
                Err(SendError::Full) => {
                    let acks = self.producer.poll_acks(POLL);
                    account(acks, &mut self.under_way, &self.metrics);
                }
                Err(SendError::Refused(error)) => {
                    self.metrics.recorded_lost("refused", body.samples);
                    tracing::error!(%error, topic = self.topic, "recorded samples were refused");
                    return self.renew(&error);
                }
            }
        }
    }

    /// A producer that failed for good is replaced; what it had under way is lost.
    fn renew(&mut self, error: &KafkaError) {
        if !error.is_fatal() {
            return;
        }
        self.settle(Duration::ZERO);
        match (self.open)() {
            Ok(producer) => self.producer = producer,
            Err(error) => {
                tracing::error!(%error, "no producer for recorded samples could be opened");
                return;
            }
        }
        let lost = std::mem::take(&mut self.under_way);
        self.metrics
            .recorded_lost("not_acknowledged", lost as usize);
    }

    /// Takes the acks that came, waiting so long at most for the first.
    pub(super) fn settle(&mut self, timeout: Duration) {
        let acks = self.producer.poll_acks(timeout);
        account(acks, &mut self.under_way, &self.metrics);
    }

    /// Waits for all acks, until `over` says that it is enough.
    pub(super) fn finish(&mut self, over: impl Fn() -> bool) {
        loop {
            // Whether all have come is asked below; flushing also ends the lingering of batches.
            let _in_time = self.producer.flush(POLL);
            self.settle(Duration::ZERO);
            if self.under_way == 0 {
                return;
            }
            if over() {
                break;
            }
        }
        tracing::error!(
            samples = self.under_way,
            "recorded samples were still on their way"
        );
        self.metrics
            .recorded_lost("stopped", self.under_way as usize);
    }
}

/// Counts what acks say.
fn account(acks: Vec<foghorn_kafka::Ack>, under_way: &mut u64, metrics: &SinkMetrics) {
    let (mut sent, mut lost, mut why) = (0, 0, None);
    for ack in acks {
        *under_way = under_way.saturating_sub(ack.token);
        match ack.result {
            Ok(_) => sent += ack.token,
            Err(error) => {
                lost += ack.token;
                why = Some(error);
            }
        }
    }
    metrics.recorded_sent.inc_by(sent);
    if let Some(error) = why {
        metrics.recorded_lost("not_acknowledged", lost as usize);
        tracing::error!(%error, samples = lost, "recorded samples are lost");
    }
}

#[cfg(test)]
mod tests {
    use foghorn_kafka::{AckFate, Admin, ModelCluster, TopicSpec};
    use prometheus::Registry;

    use super::super::tests::sample;
    use super::*;

    #[test]
    fn without_room_it_waits_until_it_is_over() {
        let cluster = ModelCluster::new();
        cluster.create_topic(&TopicSpec::new("out", 1)).unwrap();
        cluster.set_capacity(1);
        cluster.next_acks([AckFate::Hold]);
        let metrics = SinkMetrics::register(&Registry::new()).unwrap();
        let again = cluster.clone();
        let mut writer = Writer::new(
            "out",
            RecordedFormat::JsonMetrics,
            Box::new(cluster.producer()),
            Box::new(move || Ok(Box::new(again.producer()))),
            metrics.clone(),
        );
        let asked = std::cell::Cell::new(0);
        let over = || asked.replace(asked.get() + 1) > 3;
        writer.write(&[sample("r", 1, 1.0), sample("r", 2, 2.0)], over);
        assert!(asked.get() > 3);
        let stopped = metrics.recorded_dropped.with_label_values(&["stopped"]);
        assert_eq!((writer.under_way, stopped.get()), (1, 1));
        cluster.release_acks();
        writer.finish(|| true);
        assert_eq!((metrics.recorded_sent.get(), stopped.get()), (1, 1));
    }
}
