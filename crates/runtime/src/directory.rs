//! Which topics belong to which source, where each partition stands, and who reads it.

use std::collections::{BTreeMap, BTreeSet};

use foghorn_eval::clock::PartitionClock;
use foghorn_kafka::{Start, TopicPartition};
use foghorn_model::{Offset, Partition, Timestamp};

/// What is known of the partitions, whoever reads them.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    /// Topics by name: (source, topic).
    topics: BTreeMap<String, (u16, u16)>,
    /// Every partition that the subscription covers, as the cluster last said.
    expected: BTreeSet<Partition>,
    /// Where a partition that nobody has read yet begins.
    starts: BTreeMap<Partition, Offset>,
    /// Clocks of partitions that nobody reads at the moment.
    parked: BTreeMap<Partition, PartitionClock>,
    /// Partitions that are read.
    read: BTreeSet<Partition>,
    /// Since when not every partition is read here; `None` while all are.
    partial_since: Option<Timestamp>,
}

impl Directory {
    /// Takes a topic's place over from a log.
    pub(crate) fn remember(&mut self, topic: &str, at: Partition) {
        self.topics.insert(topic.to_owned(), (at.source, at.topic));
    }

    /// Learns of a source's topic with so many partitions; its partitions.
    pub(crate) fn learn(&mut self, source: u16, topic: &str, partitions: u32) -> Vec<Partition> {
        let next = self.topics.values().filter(|(s, _)| *s == source).map(|(_, t)| t + 1).max().unwrap_or(0);
        let (source, number) = *self.topics.entry(topic.to_owned()).or_insert((source, next));
        let all: Vec<_> = (0..partitions).map(|index| Partition { source, topic: number, index }).collect();
        self.expected.extend(&all);
        all
    }

    /// The partition of a topic that is known.
    pub(crate) fn partition(&self, at: &TopicPartition) -> Option<Partition> {
        let (source, topic) = *self.topics.get(&at.topic)?;
        Some(Partition { source, topic, index: at.partition })
    }

    /// Source and number of a topic.
    pub(crate) fn topic(&self, name: &str) -> Option<(u16, u16)> {
        self.topics.get(name).copied()
    }

    /// Name of a partition's topic.
    pub(crate) fn topic_name(&self, partition: Partition) -> Option<&str> {
        let of = |at: &(u16, u16)| *at == (partition.source, partition.topic);
        self.topics.iter().find(|(_, at)| of(at)).map(|(name, _)| name.as_str())
    }

    /// Where a partition that nobody has read yet begins.
    pub(crate) fn plan(&mut self, partition: Partition, clock: PartitionClock) {
        self.starts.insert(partition, clock.next_offset);
        self.parked.insert(partition, clock);
    }

    /// Whether a partition's beginning is decided.
    pub(crate) fn is_planned(&self, partition: Partition) -> bool {
        self.parked.contains_key(&partition) || self.read.contains(&partition)
    }

    /// Where an assignment of a partition goes on.
    pub(crate) fn start(&self, at: &TopicPartition) -> Start {
        self.partition(at)
            .and_then(|partition| self.parked.get(&partition))
            .map_or(Start::Earliest, |clock| Start::At(clock.next_offset))
    }

    /// A reader takes a partition; its clock, if it has one.
    pub(crate) fn take(&mut self, partition: Partition) -> Option<PartitionClock> {
        self.read.insert(partition);
        self.parked.remove(&partition)
    }

    /// A reader gives a partition back.
    pub(crate) fn park(&mut self, partition: Partition, clock: PartitionClock) {
        self.read.remove(&partition);
        self.parked.insert(partition, clock);
    }

    /// Partitions that the subscription covers and nobody here reads.
    pub(crate) fn missing(&self) -> usize {
        self.expected.difference(&self.read).count()
    }

    /// Partitions that the subscription covers.
    pub(crate) fn expected(&self) -> usize {
        self.expected.len()
    }

    /// How long (in milliseconds, at wall time `now`) some partition has been read by nobody here.
    pub(crate) fn partial_for_ms(&mut self, now: Timestamp) -> Option<i64> {
        if self.missing() == 0 {
            self.partial_since = None;
            return None;
        }
        Some(now - *self.partial_since.get_or_insert(now))
    }
}
