//! Topics over librdkafka: create, verify, read from end to end.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, NewPartitions, NewTopic, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError as RdError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers as _};
use rdkafka::{Message as _, Offset, Timestamp, TopicPartitionList};

use crate::client::{Admin, Creation, TopicSpec};
use crate::config::Properties;
use crate::context::{LogOnly, log_in};
use crate::error::KafkaError;
use crate::record::OwnedRecord;

/// Administration of a cluster over librdkafka.
pub struct RdAdmin {
    pub(crate) properties: Properties,
    pub(crate) client: AdminClient<LogOnly>,
}

/// How long a question to the cluster may take.
pub(crate) const ANSWER: Duration = Duration::from_secs(10);
/// How long a read to the end may go without a single record.
const SILENCE_SLICES: u32 = 100;
const SLICE: Duration = Duration::from_millis(100);

impl RdAdmin {
    /// Opens an administrative client.
    ///
    /// # Errors
    /// A property that librdkafka refuses.
    pub fn open(properties: &Properties) -> Result<Self, KafkaError> {
        let client = properties.admin().create_with_context(LogOnly);
        let client = client.map_err(|e| KafkaError::from_rd("open an admin client", &e))?;
        Ok(Self {
            properties: properties.clone(),
            client,
        })
    }

    /// Gives a topic more partitions.
    ///
    /// # Errors
    /// The cluster does not do so.
    pub fn grow(&self, topic: &str, partitions: u32) -> Result<(), KafkaError> {
        const DOING: &str = "add partitions";
        let more = NewPartitions::new(topic, partitions as usize);
        let answer = block_on(self.client.create_partitions([&more], &options()));
        let answers = answer.map_err(|e| KafkaError::from_rd(DOING, &e))?;
        let refused = answers.into_iter().find_map(Result::err);
        refused.map_or(Ok(()), |(_, code)| {
            Err(KafkaError::from_rd(DOING, &RdError::AdminOp(code)))
        })
    }

    /// Deletes every record that a partition holds now, as its retention would.
    ///
    /// # Errors
    /// The cluster does not do so.
    pub fn delete_records(&self, topic: &str, partition: u32) -> Result<(), KafkaError> {
        self.delete_before(topic, partition, Offset::End)
    }

    fn delete_before(&self, topic: &str, partition: u32, to: Offset) -> Result<(), KafkaError> {
        const DOING: &str = "delete records";
        let failed = |e: RdError| KafkaError::from_rd(DOING, &e);
        let mut all = TopicPartitionList::new();
        all.add_partition_offset(topic, partition as i32, to)
            .map_err(failed)?;
        let answer = block_on(self.client.delete_records(&all, &options())).map_err(failed)?;
        let answers = answer.elements();
        let errors = answers.iter().map(|of| of.error().map_err(failed));
        errors.collect()
    }

    fn described(&self, topic: &str) -> Result<ConfigResource, KafkaError> {
        const DOING: &str = "read a topic's configuration";
        let which = ResourceSpecifier::Topic(topic);
        let answer = block_on(self.client.describe_configs([&which], &options()));
        let answers = answer.map_err(|e| KafkaError::from_rd(DOING, &e))?;
        match answers.into_iter().next() {
            Some(Ok(resource)) => Ok(resource),
            Some(Err(code)) => Err(KafkaError::from_rd(DOING, &RdError::AdminOp(code))),
            None => Err(KafkaError::TimedOut { doing: DOING }),
        }
    }

    /// As [`Self::layout`], of a topic that somebody has just created: not every broker knows of it yet.
    fn layout_soon(&self, topic: &str) -> Result<Vec<(i32, usize)>, KafkaError> {
        for _ in 1..SILENCE_SLICES {
            match self.layout(topic) {
                Err(KafkaError::UnknownTopic { .. }) => std::thread::sleep(SLICE),
                other => return other,
            }
        }
        self.layout(topic)
    }

    /// Partition numbers of a topic, each with its number of replicas.
    pub(crate) fn layout(&self, topic: &str) -> Result<Vec<(i32, usize)>, KafkaError> {
        let metadata = self.client.inner().fetch_metadata(Some(topic), ANSWER);
        let metadata = metadata.map_err(|e| KafkaError::from_rd("ask for a topic", &e))?;
        let known = metadata
            .topics()
            .iter()
            .find(|t| t.name() == topic && t.error().is_none());
        match known {
            Some(t) if !t.partitions().is_empty() => Ok(t
                .partitions()
                .iter()
                .map(|p| (p.id(), p.replicas().len()))
                .collect()),
            _ => Err(KafkaError::UnknownTopic {
                topic: topic.to_owned(),
            }),
        }
    }
}

impl Admin for RdAdmin {
    fn create_topic(&self, spec: &TopicSpec) -> Result<Creation, KafkaError> {
        const DOING: &str = "create a topic";
        let replicas = spec.replication.map_or(-1, i32::from);
        let mut topic = NewTopic::new(
            &spec.name,
            spec.partitions as i32,
            TopicReplication::Fixed(replicas),
        );
        for (key, value) in &spec.config {
            topic = topic.set(key, value);
        }
        let answer = block_on(self.client.create_topics([&topic], &options()));
        let answers = answer.map_err(|e| KafkaError::from_rd(DOING, &e))?;
        match answers.into_iter().next() {
            Some(Ok(_)) => Ok(Creation::Created),
            Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(Creation::Existed),
            Some(Err((_, code))) => Err(KafkaError::from_rd(DOING, &RdError::AdminOp(code))),
            None => Err(KafkaError::TimedOut { doing: DOING }),
        }
    }

    fn differences(&self, spec: &TopicSpec) -> Result<Vec<String>, KafkaError> {
        let layout = self.layout_soon(&spec.name)?;
        let mut found = Vec::new();
        if layout.len() != spec.partitions as usize {
            found.push(format!(
                "it has {} partitions, not {}",
                layout.len(),
                spec.partitions
            ));
        }
        let wanted = spec.replication.map(usize::from);
        if let Some(&(_, has)) = layout.iter().find(|(_, n)| wanted.is_some_and(|w| *n != w)) {
            found.push(format!(
                "it has {has} replicas, not {}",
                wanted.unwrap_or_default()
            ));
        }
        let resource = self.described(&spec.name)?;
        for (key, want) in &spec.config {
            let has = resource
                .get(key)
                .and_then(|e| e.value.as_deref())
                .unwrap_or("unset");
            if as_set(has) != as_set(want) {
                found.push(format!("{key} is {has}, not {want}"));
            }
        }
        Ok(found)
    }

    fn setting(&self, topic: &str, name: &str) -> Result<Option<String>, KafkaError> {
        let resource = self.described(topic)?;
        Ok(resource.get(name).and_then(|entry| entry.value.clone()))
    }

    fn forget_before(&self, topic: &str, partition: u32, offset: i64) -> Result<(), KafkaError> {
        self.delete_before(topic, partition, Offset::Offset(offset))
    }

    fn read_to_end(
        &self,
        topic: &str,
        partition: Option<u32>,
    ) -> Result<Vec<OwnedRecord>, KafkaError> {
        const DOING: &str = "read a topic to its end";
        let failed = |e: RdError| KafkaError::from_rd(DOING, &e);
        let mut open: BTreeSet<i32> = self.layout(topic)?.iter().map(|(id, _)| *id).collect();
        if let Some(only) = partition {
            open.retain(|&p| p == only as i32);
        }
        if open.is_empty() {
            return Err(KafkaError::UnknownTopic {
                topic: topic.to_owned(),
            });
        }
        let reader: BaseConsumer<LogOnly> = self
            .properties
            .reader()
            .create_with_context(LogOnly)
            .map_err(failed)?;
        log_in(&self.properties, &reader);
        let mut list = TopicPartitionList::new();
        for &p in &open {
            list.add_partition_offset(topic, p, Offset::Beginning)
                .map_err(failed)?;
        }
        reader.assign(&list).map_err(failed)?;
        let name: Arc<str> = Arc::from(topic);
        let (mut records, mut silent) = (Vec::new(), 0);
        while !open.is_empty() {
            match reader.poll(SLICE) {
                Some(Ok(message)) => {
                    // What is written meanwhile in a partition whose end we saw is not "now".
                    if open.contains(&message.partition()) {
                        records.push(copied(&message, &name));
                    }
                    silent = 0;
                }
                Some(Err(RdError::PartitionEOF(p))) => {
                    open.remove(&p);
                }
                Some(Err(error @ RdError::MessageConsumptionFatal(_))) => {
                    return Err(failed(error));
                }
                // Brokers come and go; the client retries by itself.
                Some(Err(_)) => {}
                None => silent += 1,
            }
            if silent > SILENCE_SLICES {
                return Err(KafkaError::TimedOut { doing: DOING });
            }
        }
        records.sort_by_key(|r| (r.partition, r.offset));
        Ok(records)
    }
}

fn options() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(ANSWER))
        .operation_timeout(Some(ANSWER))
}

/// Configuration values that are lists (`cleanup.policy`) have no order.
fn as_set(value: &str) -> BTreeSet<&str> {
    value.split(',').map(str::trim).collect()
}

pub(crate) fn copied(message: &BorrowedMessage<'_>, topic: &Arc<str>) -> OwnedRecord {
    let headers = message.headers().map(|headers| {
        headers
            .iter()
            .map(|h| (h.key.to_owned(), h.value.unwrap_or_default().to_vec()))
            .collect()
    });
    OwnedRecord {
        topic: Arc::clone(topic),
        partition: message.partition() as u32,
        offset: message.offset(),
        timestamp_ms: message.timestamp().to_millis(),
        log_append_time: matches!(message.timestamp(), Timestamp::LogAppendTime(_)),
        key: message.key().map(<[u8]>::to_vec),
        payload: message.payload().map(<[u8]>::to_vec),
        headers: headers.unwrap_or_default(),
    }
}

/// Waits for one of the admin client's futures, which its own thread completes.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}
