//! One partition over librdkafka, read on from a place, outside of any group.

use std::sync::Arc;
use std::time::Duration;

use foghorn_model::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError as RdError, RDKafkaErrorCode};
use rdkafka::{Offset as RdOffset, TopicPartitionList};

use crate::admin::{ANSWER, copied};
use crate::client::Reader;
use crate::config::Properties;
use crate::context::LogOnly;
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
    /// Reads a partition on from `from`; from the first record that is kept without one.
    ///
    /// # Errors
    /// A property that librdkafka refuses.
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
        let start = from.map_or(RdOffset::Beginning, RdOffset::Offset);
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
