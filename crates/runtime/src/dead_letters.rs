//! Records that could not be used, on their way from a worker to the dead-letter sink.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use foghorn_emit::{DeadLetter, DeadLetterError, DeadLetterSink};
use foghorn_kafka::Record;
use foghorn_model::{Partition, Refusal};
use tracing::{debug, warn};

use crate::clock::wall;
use crate::hub::lock;

/// How often a letter asks for room, and how long it waits for some each time: 5 s in all, well
/// below what a consumer group allows a member between two polls.
const ASKS: usize = 250;
const ASK: Duration = Duration::from_millis(20);

/// Names what the sink's letters come from.
pub struct DeadLetters {
    sink: DeadLetterSink,
    /// Whether the last letter waited in vain: the next ones do not wait, until one finds room.
    stuck: AtomicBool,
    names: Mutex<Vec<(Partition, String, String)>>,
}

impl DeadLetters {
    /// Over a sink.
    pub fn new(sink: DeadLetterSink) -> Self {
        Self {
            sink,
            stuck: AtomicBool::new(false),
            names: Mutex::default(),
        }
    }

    /// Tells a topic's name and format, for the headers.
    pub(crate) fn name(&self, partition: Partition, topic: &str, format: &str) {
        let mut names = lock(&self.names);
        let at = Partition {
            index: 0,
            ..partition
        };
        if !names.iter().any(|(known, _, _)| *known == at) {
            names.push((at, topic.to_owned(), format.to_owned()));
        }
    }

    /// Sends a record that was refused, byte for byte; waits while too many are under way, but not
    /// again and again for a topic that cannot be reached: consuming goes on.
    pub(crate) fn put(&self, partition: Partition, record: &Record<'_>, refusal: &Refusal) {
        let at = Partition {
            index: 0,
            ..partition
        };
        let names = lock(&self.names);
        let (topic, format) = names
            .iter()
            .find(|(known, _, _)| *known == at)
            .map_or_else(Default::default, |(_, topic, format)| {
                (topic.clone(), format.clone())
            });
        drop(names);
        debug!(
            topic,
            partition = partition.index,
            offset = record.offset,
            reason = refusal.code,
            detail = refusal.detail,
            "record refused"
        );
        let headers: Vec<_> = record.headers().collect();
        let letter = DeadLetter {
            reason: refusal.code,
            detail: &refusal.detail,
            topic: &topic,
            partition: partition.index,
            offset: record.offset,
            timestamp_ms: record.timestamp_ms,
            format: &format,
            key: record.key,
            value: record.payload,
            headers: &headers,
        };
        let asks = if self.stuck.load(Ordering::Relaxed) {
            1
        } else {
            ASKS
        };
        for ask in 1..=asks {
            match self.sink.offer(&letter) {
                Ok(()) => {
                    self.stuck.store(false, Ordering::Relaxed);
                    return;
                }
                Err(DeadLetterError::Full) if ask < asks => self.sink.serve(ASK),
                Err(DeadLetterError::Full) => self.sink.serve(Duration::ZERO),
                Err(DeadLetterError::Refused(error)) => {
                    warn!(%error, topic, offset = record.offset, "a dead letter could not be sent");
                    break;
                }
            }
        }
        if !self.stuck.swap(true, Ordering::Relaxed) {
            warn!(
                topic,
                offset = record.offset,
                "a record that could not be used is in no dead-letter topic, and those that follow may not be either"
            );
        }
    }

    /// Takes delivery reports.
    pub(crate) fn serve(&self) {
        self.sink.serve(Duration::ZERO);
    }

    /// Waits until all are acknowledged, at most so long.
    pub(crate) fn flush(&self, at_most: Duration) {
        let end = wall() + at_most.as_millis() as i64;
        while self.sink.in_flight() > 0 && wall() < end {
            self.sink.serve(Duration::from_millis(20));
        }
        if self.sink.in_flight() > 0 {
            warn!(
                left = self.sink.in_flight(),
                "dead letters were still on their way"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    use foghorn_emit::SinkMetrics;
    use foghorn_kafka::{Ack, KafkaError, Outgoing, OwnedRecord, Producer, SendError, TopicId};

    use super::*;

    /// Has room for so many letters, which it never acknowledges, and counts how often it is asked
    /// to make some.
    #[derive(Clone, Default)]
    struct Narrow {
        room: Arc<AtomicUsize>,
        asked: Arc<AtomicUsize>,
    }

    impl Producer for Narrow {
        fn send(&self, _: &Outgoing<'_>, _: u64) -> Result<(), SendError> {
            let less = |room: usize| room.checked_sub(1);
            let taken = self
                .room
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
            taken.map(drop).map_err(|_| SendError::Full)
        }
        fn poll_acks(&self, _: Duration) -> Vec<Ack> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            Vec::new()
        }
        fn flush(&self, _: Duration) -> Result<(), KafkaError> {
            Ok(())
        }
        fn in_flight(&self) -> usize {
            0
        }
    }

    #[test]
    fn a_topic_out_of_reach_is_waited_for_once() {
        let narrow = Narrow::default();
        let metrics = SinkMetrics::register(&prometheus::Registry::new()).unwrap();
        let sink = DeadLetterSink::over("foghorn.dlq", Box::new(narrow.clone()), metrics);
        let letters = DeadLetters::new(sink);
        let record = OwnedRecord {
            topic: "metrics".into(),
            partition: 0,
            offset: 1,
            timestamp_ms: None,
            log_append_time: false,
            key: None,
            payload: None,
            headers: Vec::new(),
        };
        let check = |room: usize, asked: usize| {
            narrow.room.store(room, Ordering::Relaxed);
            narrow.asked.store(0, Ordering::Relaxed);
            let refusal = Refusal::new("truncated", "ends at byte 1");
            letters.put(
                Partition::new(0, 0),
                &record.as_record(TopicId(0)),
                &refusal,
            );
            assert_eq!(narrow.asked.load(Ordering::Relaxed), asked);
        };
        check(0, ASKS);
        check(0, 1);
        check(0, 1);
        check(1, 0);
        check(0, ASKS);
    }
}
