//! Which topics belong to which source, where each partition stands, and who reads it.

use std::collections::{BTreeMap, BTreeSet};

use foghorn_eval::clock::{ClockState, PartitionClock};
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
    /// Whether the group's last word on who reads what stands.
    agreed: bool,
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
        let next = self
            .topics
            .values()
            .filter(|(s, _)| *s == source)
            .map(|(_, t)| t + 1)
            .max()
            .unwrap_or(0);
        let (source, number) = *self
            .topics
            .entry(topic.to_owned())
            .or_insert((source, next));
        let all: Vec<_> = (0..partitions)
            .map(|index| Partition {
                source,
                topic: number,
                index,
            })
            .collect();
        self.expected.extend(&all);
        all
    }

    /// The partition of a topic that is known.
    pub(crate) fn partition(&self, at: &TopicPartition) -> Option<Partition> {
        let (source, topic) = *self.topics.get(&at.topic)?;
        Some(Partition {
            source,
            topic,
            index: at.partition,
        })
    }

    /// Source and number of a topic.
    pub(crate) fn topic(&self, name: &str) -> Option<(u16, u16)> {
        self.topics.get(name).copied()
    }

    /// Name of a partition's topic.
    pub(crate) fn topic_name(&self, partition: Partition) -> Option<&str> {
        let of = |at: &(u16, u16)| *at == (partition.source, partition.topic);
        self.topics
            .iter()
            .find(|(_, at)| of(at))
            .map(|(name, _)| name.as_str())
    }

    /// Where a partition that nobody has read yet begins.
    pub(crate) fn plan(&mut self, partition: Partition, clock: PartitionClock) {
        self.starts.insert(partition, clock.next_offset);
        self.parked.insert(partition, clock);
    }

    /// What was read of partitions that nobody reads at the moment.
    pub(crate) fn parked(&self) -> impl Iterator<Item = (Partition, ClockState)> + '_ {
        let parked = self.parked.iter();
        parked.map(|(partition, clock)| (*partition, clock.state()))
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

    /// The group has said who reads what (`true`), or takes it back to say it anew.
    pub(crate) fn agreed(&mut self, agreed: bool) {
        self.agreed = agreed;
    }

    /// How long (in milliseconds, at wall time `now`) some partition has been read by nobody here,
    /// by the group's word. While the group does not say, nobody knows that another reads it: it
    /// may be waiting for the end of a member that is dead.
    pub(crate) fn partial_for_ms(&mut self, now: Timestamp) -> Option<i64> {
        let missing = self.missing() > 0;
        if !missing || !self.agreed {
            self.partial_since = None;
            return missing.then_some(0);
        }
        Some(now - *self.partial_since.get_or_insert(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_counts_as_read_elsewhere_only_by_the_groups_word() {
        let mut directory = Directory::default();
        let partitions = directory.learn(0, "metrics", 2);
        let check = |directory: &mut Directory, at: i64, expect: Option<i64>| {
            assert_eq!(directory.partial_for_ms(Timestamp(at)), expect, "at {at}");
        };
        check(&mut directory, 1_000, Some(0));
        check(&mut directory, 9_000, Some(0));
        directory.agreed(true);
        directory.take(partitions[0]);
        check(&mut directory, 10_000, Some(0));
        check(&mut directory, 12_000, Some(2_000));
        directory.agreed(false);
        check(&mut directory, 13_000, Some(0));
        directory.agreed(true);
        check(&mut directory, 14_000, Some(0));
        directory.take(partitions[1]);
        check(&mut directory, 20_000, None);
    }
}
