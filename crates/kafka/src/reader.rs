//! A partition, or a whole topic, over librdkafka: read on from a place or a time, outside of any group.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use foghorn_model::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError as RdError, RDKafkaErrorCode};
use rdkafka::{Offset as RdOffset, TopicPartitionList};

use crate::admin::{ANSWER, copied};
use crate::client::{Reader, Tail};
use crate::config::Properties;
use crate::context::{LogOnly, log_in};
use crate::error::KafkaError;
use crate::record::OwnedRecord;

/// See [`Reader`].
pub struct RdReader {
    client: BaseConsumer<LogOnly>,
    topic: Arc<str>,
    partition: u32,
}

/// Records that are copied at once.
const AT_ONCE: usize = 1_000;

const DOING: &str = "read a partition";

impl RdReader {
    /// Reads a partition on from `from`; from the first record that is kept without one, which asks the
    /// cluster.
    ///
    /// # Errors
    /// A property that librdkafka refuses, or a cluster that does not answer.
    pub fn open(
        properties: &Properties,
        topic: &str,
        partition: u32,
        from: Option<Offset>,
    ) -> Result<Self, KafkaError> {
        let failed = |e: RdError| KafkaError::from_rd(DOING, &e);
        let client: BaseConsumer<LogOnly> = properties
            .reader()
            .create_with_context(LogOnly)
            .map_err(failed)?;
        log_in(properties, &client);
        // The client looks for "the beginning" at its leisure, half a second later.
        let low = || client.fetch_watermarks(topic, partition as i32, ANSWER);
        let start = from.map_or_else(|| low().map(|(low, _)| low), Ok);
        let start = RdOffset::Offset(start.map_err(failed)?);
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition as i32, start)
            .map_err(failed)?;
        client.assign(&list).map_err(failed)?;
        Ok(Self {
            client,
            topic: Arc::from(topic),
            partition,
        })
    }
}

impl Reader for RdReader {
    fn read(&mut self, timeout: Duration) -> Result<Vec<OwnedRecord>, KafkaError> {
        let mut records = Vec::new();
        let mut wait = timeout;
        while records.len() < AT_ONCE {
            match self.client.poll(wait) {
                Some(Ok(message)) => records.push(copied(&message, &self.topic)),
                Some(Err(error @ RdError::MessageConsumptionFatal(_))) => {
                    return Err(KafkaError::from_rd(DOING, &error));
                }
                Some(Err(error))
                    if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AutoOffsetReset) =>
                {
                    return Err(KafkaError::from_rd(DOING, &error));
                }
                // The end, or brokers that come and go: the client tries again by itself.
                Some(Err(_)) if wait.is_zero() => {}
                Some(Err(_)) | None => break,
            }
            wait = Duration::ZERO;
        }
        Ok(records)
    }

    fn bounds(&mut self) -> Result<(Offset, Offset), KafkaError> {
        let partition = self.partition as i32;
        let marks = self.client.fetch_watermarks(&self.topic, partition, ANSWER);
        marks.map_err(|e| KafkaError::from_rd("ask for a partition's ends", &e))
    }
}

/// See [`Tail`].
pub struct RdTail {
    client: BaseConsumer<LogOnly>,
    topic: Arc<str>,
    /// Where partitions ended that have not been read so far yet.
    open: BTreeMap<i32, Offset>,
}

impl RdTail {
    /// Reads all partitions of a topic, on from the first records at or after `since_ms`. Asks the
    /// cluster.
    ///
    /// # Errors
    /// [`KafkaError::UnknownTopic`], a property that librdkafka refuses, or a cluster that does not
    /// answer.
    pub fn open(properties: &Properties, topic: &str, since_ms: i64) -> Result<Self, KafkaError> {
        let failed = |e: RdError| KafkaError::from_rd(DOING_ALL, &e);
        let client: BaseConsumer<LogOnly> = properties
            .reader()
            .create_with_context(LogOnly)
            .map_err(failed)?;
        log_in(properties, &client);
        let metadata = client.fetch_metadata(Some(topic), ANSWER).map_err(failed)?;
        let mut known = metadata.topics().iter();
        let known = known.find(|t| t.name() == topic && t.error().is_none());
        let known = known.filter(|t| !t.partitions().is_empty());
        let known = known.ok_or_else(|| KafkaError::UnknownTopic {
            topic: topic.to_owned(),
        })?;
        let mut asked = TopicPartitionList::new();
        for partition in known.partitions() {
            let since = RdOffset::Offset(since_ms.max(0));
            asked
                .add_partition_offset(topic, partition.id(), since)
                .map_err(failed)?;
        }
        let starts = client.offsets_for_times(asked, ANSWER).map_err(failed)?;
        let mut open = BTreeMap::new();
        for start in starts.elements() {
            start.error().map_err(failed)?;
            if let RdOffset::Offset(start_at) = start.offset() {
                let (_, end) = client
                    .fetch_watermarks(topic, start.partition(), ANSWER)
                    .map_err(failed)?;
                if start_at < end {
                    open.insert(start.partition(), end);
                }
            }
        }
        client.assign(&starts).map_err(failed)?;
        Ok(Self {
            client,
            topic: Arc::from(topic),
            open,
        })
    }
}

const DOING_ALL: &str = "read a topic";

impl Tail for RdTail {
    fn read(&mut self, timeout: Duration) -> Result<Vec<OwnedRecord>, KafkaError> {
        let mut records = Vec::new();
        let mut wait = timeout;
        while records.len() < AT_ONCE {
            match self.client.poll(wait) {
                Some(Ok(message)) => {
                    let record = copied(&message, &self.topic);
                    let partition = record.partition as i32;
                    let end = self.open.get(&partition);
                    if end.is_some_and(|end| record.offset + 1 >= *end) {
                        self.open.remove(&partition);
                    }
                    records.push(record);
                }
                Some(Err(RdError::PartitionEOF(partition))) => {
                    self.open.remove(&partition);
                }
                Some(Err(error @ RdError::MessageConsumptionFatal(_))) => {
                    return Err(KafkaError::from_rd(DOING_ALL, &error));
                }
                // Brokers come and go: the client tries again by itself.
                Some(Err(_)) => {}
                None => break,
            }
            wait = Duration::ZERO;
        }
        Ok(records)
    }

    fn is_caught_up(&self) -> bool {
        self.open.is_empty()
    }
}
