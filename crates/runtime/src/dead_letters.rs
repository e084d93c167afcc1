//! Records that could not be used, on their way from a worker to the dead-letter sink.

use std::sync::Mutex;
use std::time::Duration;

use foghorn_emit::{DeadLetter, DeadLetterError, DeadLetterSink};
use foghorn_kafka::Record;
use foghorn_model::{Partition, Refusal};
use tracing::{debug, warn};

use crate::clock::wall;
use crate::hub::lock;

/// Names what the sink's letters come from.
pub struct DeadLetters {
    sink: DeadLetterSink,
    names: Mutex<Vec<(Partition, String, String)>>,
}

impl DeadLetters {
    /// Over a sink.
    pub fn new(sink: DeadLetterSink) -> Self {
        Self {
            sink,
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

    /// Sends a record that was refused, byte for byte; waits while too many are under way.
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
        for _ in 0..500 {
            match self.sink.offer(&letter) {
                Ok(()) => return,
                Err(DeadLetterError::Full) => self.sink.serve(Duration::from_millis(20)),
                Err(DeadLetterError::Refused(error)) => {
                    warn!(%error, topic, offset = record.offset, "a dead letter could not be sent");
                    break;
                }
            }
        }
        warn!(
            topic,
            offset = record.offset,
            "a record that could not be used is in no dead-letter topic"
        );
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
