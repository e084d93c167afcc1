//! The model log: topics, groups and acks in memory, where everything happens when it is told to.
//!
//! Owns what a cluster owns: records, retention, what is visible when, the fate of each ack, and
//! (with `model_group`) generations of consumer groups. No clock, no threads of its own, no chance:
//! the same calls in the same order give the same records, events and errors.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use foghorn_model::Offset;

use crate::client::{
    Ack, Admin, Creation, Outgoing, Position, Producer, Reader, StartAt, Tail, TopicSpec,
};
use crate::context::lock;
use crate::error::{KafkaError, SendError};
use crate::model_group::{Group, ModelConsumer};
use crate::partitioner::partition_of;
use crate::record::OwnedRecord;

/// A cluster in memory. Clones share it.
#[derive(Clone, Default)]
pub struct ModelCluster(Arc<Mutex<State>>);

/// A producer of a [`ModelCluster`].
pub struct ModelProducer {
    cluster: ModelCluster,
    id: u64,
}

/// A reader of one partition of a [`ModelCluster`].
pub struct ModelReader {
    cluster: ModelCluster,
    topic: String,
    partition: u32,
    next: Offset,
}

/// A reader of a topic of a [`ModelCluster`].
pub struct ModelTail {
    readers: Vec<ModelReader>,
}

/// What becomes of one record that is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckFate {
    /// Written, and acked at once. What happens unless something else is asked for.
    Deliver,
    /// Written; the ack comes with [`ModelCluster::release_acks`].
    Hold,
    /// Written, but the sender is told that it timed out.
    Lose,
    /// Written twice (by a sender without idempotence, or two of them), acked once.
    Duplicate,
    /// Not written, and the sender is told that it timed out.
    Drop,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) topics: BTreeMap<String, Topic>,
    pub(crate) groups: BTreeMap<String, Group>,
    now_ms: i64,
    fates: VecDeque<AckFate>,
    capacity: Option<usize>,
    producers: Vec<Outbox>,
    spread: u32,
}

pub(crate) struct Topic {
    spec: TopicSpec,
    pub(crate) partitions: Vec<Log>,
}

/// One partition.
#[derive(Default)]
pub(crate) struct Log {
    records: VecDeque<OwnedRecord>,
    low: Offset,
    /// Nothing from this offset on is shown yet.
    held: Option<Offset>,
}

#[derive(Default)]
struct Outbox {
    acks: Vec<Ack>,
    held: Vec<Ack>,
}

// === impl ModelCluster ===

impl ModelCluster {
    /// A cluster without topics, at time 0.
    pub fn new() -> Self {
        Self::default()
    }

    /// Records sent without a timestamp get this one (ms since the epoch) from now on.
    pub fn set_time(&self, now_ms: i64) {
        self.state().now_ms = now_ms;
    }

    /// Fates of the next records sent, in order; those after them are delivered.
    pub fn next_acks(&self, fates: impl IntoIterator<Item = AckFate>) {
        self.state().fates.extend(fates);
    }

    /// From now on all records are delivered, whatever was said of the next ones.
    pub fn no_more_fates(&self) {
        self.state().fates.clear();
    }

    /// Lets held acks come, in the order of sending.
    pub fn release_acks(&self) {
        for outbox in &mut self.state().producers {
            let held = std::mem::take(&mut outbox.held);
            outbox.acks.extend(held);
        }
    }

    /// A producer refuses records as [`SendError::Full`] while it has so many unacked.
    pub fn set_capacity(&self, records: usize) {
        self.state().capacity = Some(records);
    }

    /// What is written to this partition from now on is not shown to consumers.
    pub fn hold(&self, topic: &str, partition: u32) {
        if let Ok(log) = self.state().log(topic, partition) {
            log.held = Some(log.high());
        }
    }

    /// Shows everything again.
    pub fn release(&self, topic: &str, partition: u32) {
        if let Ok(log) = self.state().log(topic, partition) {
            log.held = None;
        }
    }

    /// Retention: forgets the records before `offset`.
    pub fn trim(&self, topic: &str, partition: u32, offset: Offset) {
        if let Ok(log) = self.state().log(topic, partition) {
            log.low = offset.clamp(log.low, log.high());
            while log.records.front().is_some_and(|r| r.offset < log.low) {
                log.records.pop_front();
            }
        }
    }

    /// Grows a topic to `partitions` and rebalances the groups that read it.
    pub fn grow(&self, topic: &str, partitions: u32) {
        let state = &mut *self.state();
        if let Some(known) = state.topics.get_mut(topic) {
            known.spec.partitions = known.spec.partitions.max(partitions);
            known
                .partitions
                .resize_with(known.spec.partitions as usize, Log::default);
            state.groups.values_mut().for_each(Group::rebalance);
        }
    }

    /// Throws a member out, as when its session times out. It learns so at its next poll; until
    /// then it is a zombie that believes in its old assignment.
    pub fn expire(&self, group: &str, member: &str) {
        if let Some(group) = self.state().groups.get_mut(group) {
            group.remove(member, None);
        }
    }

    /// What the group has committed, sorted.
    pub fn committed(&self, group: &str) -> Vec<Position> {
        self.state()
            .groups
            .get(group)
            .map(Group::committed)
            .unwrap_or_default()
    }

    /// Joins a group under a member name. A living member of that name is fenced.
    pub fn join(
        &self,
        group: &str,
        member: &str,
        topics: &[&str],
        owner: Box<dyn StartAt>,
    ) -> ModelConsumer {
        ModelConsumer::join(self.clone(), group, member, topics, owner)
    }

    /// A producer.
    pub fn producer(&self) -> ModelProducer {
        let mut state = self.state();
        state.producers.push(Outbox::default());
        ModelProducer {
            cluster: self.clone(),
            id: state.producers.len() as u64 - 1,
        }
    }

    /// Reads a partition on from `from`; from the first record that is kept without one.
    pub fn reader(&self, topic: &str, partition: u32, from: Option<Offset>) -> ModelReader {
        let low = || self.state().log(topic, partition).map_or(0, |log| log.low);
        ModelReader {
            next: from.unwrap_or_else(low),
            cluster: self.clone(),
            topic: topic.to_owned(),
            partition,
        }
    }

    /// Reads all partitions of a topic from the first records on that are kept.
    pub fn tail(&self, topic: &str) -> ModelTail {
        let count = |state: &State| state.topics.get(topic).map_or(0, |t| t.partitions.len());
        let count = count(&self.state());
        let readers = (0..count).map(|partition| self.reader(topic, partition as u32, None));
        ModelTail {
            readers: readers.collect(),
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0)
    }
}

impl Admin for ModelCluster {
    fn create_topic(&self, spec: &TopicSpec) -> Result<Creation, KafkaError> {
        let state = &mut *self.state();
        if state.topics.contains_key(&spec.name) {
            return Ok(Creation::Existed);
        }
        let partitions = (0..spec.partitions).map(|_| Log::default()).collect();
        state.topics.insert(
            spec.name.clone(),
            Topic {
                spec: spec.clone(),
                partitions,
            },
        );
        state.groups.values_mut().for_each(Group::rebalance);
        Ok(Creation::Created)
    }

    fn differences(&self, spec: &TopicSpec) -> Result<Vec<String>, KafkaError> {
        let state = self.state();
        let unknown = || KafkaError::UnknownTopic {
            topic: spec.name.clone(),
        };
        let has = &state.topics.get(&spec.name).ok_or_else(unknown)?.spec;
        let mut found = Vec::new();
        if has.partitions != spec.partitions {
            found.push(format!(
                "it has {} partitions, not {}",
                has.partitions, spec.partitions
            ));
        }
        for (key, want) in &spec.config {
            let value = has.config.get(key).map_or("unset", String::as_str);
            if value != want {
                found.push(format!("{key} is {value}, not {want}"));
            }
        }
        Ok(found)
    }

    fn setting(&self, topic: &str, name: &str) -> Result<Option<String>, KafkaError> {
        let state = self.state();
        let unknown = || KafkaError::UnknownTopic {
            topic: topic.to_owned(),
        };
        let known = state.topics.get(topic).ok_or_else(unknown)?;
        Ok(known.spec.config.get(name).cloned())
    }

    fn forget_before(&self, topic: &str, partition: u32, offset: Offset) -> Result<(), KafkaError> {
        self.state().log(topic, partition)?;
        self.trim(topic, partition, offset);
        Ok(())
    }

    fn read_to_end(
        &self,
        topic: &str,
        partition: Option<u32>,
    ) -> Result<Vec<OwnedRecord>, KafkaError> {
        let mut state = self.state();
        if let Some(partition) = partition {
            state.log(topic, partition)?;
        }
        let unknown = || KafkaError::UnknownTopic {
            topic: topic.to_owned(),
        };
        let logs = state
            .topics
            .get(topic)
            .ok_or_else(unknown)?
            .partitions
            .iter()
            .enumerate();
        let asked = logs.filter(|(p, _)| partition.is_none_or(|only| only as usize == *p));
        Ok(asked
            .flat_map(|(_, log)| log.from(log.low, usize::MAX))
            .cloned()
            .collect())
    }
}

// === impl ModelReader ===

impl Reader for ModelReader {
    fn read(&mut self, _timeout: Duration) -> Result<Vec<OwnedRecord>, KafkaError> {
        let mut state = self.cluster.state();
        let log = state.log(&self.topic, self.partition)?;
        if self.next < log.low {
            return Err(KafkaError::Client {
                doing: "read a partition",
                code: "AutoOffsetReset".to_owned(),
                text: format!("{} is not kept any more", self.next),
            });
        }
        let records: Vec<_> = log.from(self.next, usize::MAX).cloned().collect();
        if let Some(last) = records.last() {
            self.next = last.offset + 1;
        }
        Ok(records)
    }

    fn bounds(&mut self) -> Result<(Offset, Offset), KafkaError> {
        let mut state = self.cluster.state();
        let log = state.log(&self.topic, self.partition)?;
        Ok((log.low, log.shown()))
    }
}

impl Tail for ModelTail {
    fn read(&mut self, timeout: Duration) -> Result<Vec<OwnedRecord>, KafkaError> {
        let mut records = Vec::new();
        for reader in &mut self.readers {
            records.extend(reader.read(timeout)?);
        }
        Ok(records)
    }

    fn is_caught_up(&self) -> bool {
        let state = self.readers.first().map(|reader| reader.cluster.state());
        let Some(mut state) = state else {
            return true;
        };
        let mut readers = self.readers.iter();
        readers.all(|reader| {
            let log = state.log(&reader.topic, reader.partition);
            log.is_ok_and(|log| reader.next >= log.shown())
        })
    }
}

// === impl ModelProducer ===

impl Producer for ModelProducer {
    fn send(&self, record: &Outgoing<'_>, token: u64) -> Result<(), SendError> {
        let state = &mut *self.cluster.state();
        let unacked = state.producers[self.id as usize].held.len();
        if state.capacity.is_some_and(|most| unacked >= most) {
            return Err(SendError::Full);
        }
        let fate = state.fates.pop_front().unwrap_or(AckFate::Deliver);
        let lost = Err(KafkaError::TimedOut { doing: "send" });
        let result = match fate {
            AckFate::Drop => lost,
            AckFate::Lose => state.append(record).and(lost),
            AckFate::Duplicate => {
                let first = state.append(record);
                first.and_then(|at| state.append(record).map(|_| at))
            }
            AckFate::Deliver | AckFate::Hold => state.append(record),
        };
        let outbox = &mut state.producers[self.id as usize];
        let queue = if fate == AckFate::Hold {
            &mut outbox.held
        } else {
            &mut outbox.acks
        };
        queue.push(Ack { token, result });
        Ok(())
    }

    fn poll_acks(&self, _timeout: Duration) -> Vec<Ack> {
        std::mem::take(&mut self.cluster.state().producers[self.id as usize].acks)
    }

    fn flush(&self, _timeout: Duration) -> Result<(), KafkaError> {
        if self.in_flight() == 0 {
            Ok(())
        } else {
            Err(KafkaError::TimedOut {
                doing: "flush the producer",
            })
        }
    }

    fn in_flight(&self) -> usize {
        self.cluster.state().producers[self.id as usize].held.len()
    }
}

// === impl State ===

impl State {
    pub(crate) fn log(&mut self, topic: &str, partition: u32) -> Result<&mut Log, KafkaError> {
        let log = self
            .topics
            .get_mut(topic)
            .and_then(|t| t.partitions.get_mut(partition as usize));
        log.ok_or_else(|| KafkaError::UnknownTopic {
            topic: topic.to_owned(),
        })
    }

    fn append(&mut self, record: &Outgoing<'_>) -> Result<(u32, Offset), KafkaError> {
        let count = self
            .topics
            .get(record.topic)
            .map_or(0, |t| t.spec.partitions);
        let partition = match (record.partition, record.key) {
            (Some(partition), _) => partition,
            (None, Some(key)) => partition_of(key, count),
            (None, None) => {
                self.spread = self.spread.wrapping_add(1);
                self.spread % count.max(1)
            }
        };
        let (topic, now_ms) = (Arc::from(record.topic), self.now_ms);
        let log = self.log(record.topic, partition)?;
        let offset = log.high();
        log.records.push_back(OwnedRecord {
            topic,
            partition,
            offset,
            timestamp_ms: Some(record.timestamp_ms.unwrap_or(now_ms)),
            log_append_time: false,
            key: record.key.map(<[u8]>::to_vec),
            payload: record.payload.map(<[u8]>::to_vec),
            headers: record
                .headers
                .iter()
                .map(|(n, v)| ((*n).to_owned(), v.to_vec()))
                .collect(),
        });
        Ok((partition, offset))
    }
}

// === impl Log ===

impl Log {
    /// First kept offset.
    pub(crate) fn low(&self) -> Offset {
        self.low
    }

    /// Offset of the next record.
    pub(crate) fn high(&self) -> Offset {
        self.records.back().map_or(self.low, |r| r.offset + 1)
    }

    /// Offset from which on nothing is shown.
    pub(crate) fn shown(&self) -> Offset {
        self.held.map_or(self.high(), |held| held.max(self.low))
    }

    /// Shown records from `offset` on.
    pub(crate) fn from(&self, offset: Offset, max: usize) -> impl Iterator<Item = &OwnedRecord> {
        let (skip, shown) = (
            usize::try_from(offset - self.low).unwrap_or(0),
            self.shown(),
        );
        self.records
            .iter()
            .skip(skip)
            .take_while(move |r| r.offset < shown)
            .take(max)
    }

    /// First shown offset whose timestamp is at or after `timestamp_ms`.
    pub(crate) fn at_time(&self, timestamp_ms: i64) -> Option<Offset> {
        let mut records = self.from(self.low, usize::MAX);
        records
            .find(|r| r.timestamp_ms >= Some(timestamp_ms))
            .map(|r| r.offset)
    }
}
