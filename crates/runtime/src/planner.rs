//! Where each partition begins: at a first start by the config, at another by what the log says.

use std::collections::BTreeMap;

use foghorn_engine::{Entry, History, Pin};
use foghorn_eval::clock::PartitionClock;
use foghorn_ingest::{KafkaConfig, SourceConfig};
use foghorn_kafka::{Consumer, TopicPartition};
use foghorn_model::{Offset, Partition, Timestamp};
use tracing::warn;

use crate::hub::{Hub, lock};

use crate::live::{LiveError, OnGap, StartFrom, pins_of};
use crate::snapshot::Head;

/// Decides where each partition begins.
pub(crate) struct Planner<'a> {
    pub(crate) kafka: &'a KafkaConfig,
    pub(crate) sources: &'a [SourceConfig],
    pub(crate) hub: &'a Hub,
    pub(crate) history: &'a History,
    pub(crate) reach_ms: i64,
    pub(crate) start: StartFrom,
    pub(crate) on_gap: OnGap,
    /// What a snapshot has read.
    pub(crate) snapshot: Option<&'a Head>,
}

/// Records of a partition that a restart needs and its source has no more: (topic, partition).
pub(crate) type Gaps = Vec<(String, u32)>;

/// Says that a source has no more what a restart needs; where the config wants so it ends here.
///
/// # Errors
/// [`LiveError::Gap`].
pub(crate) fn gap(
    on_gap: OnGap,
    topic: &str,
    partition: u32,
    wanted: Offset,
    oldest: Offset,
) -> Result<(), LiveError> {
    if on_gap == OnGap::Stop {
        return Err(LiveError::Gap {
            topic: topic.to_owned(),
            partition,
            wanted,
            oldest,
        });
    }
    warn!(
        topic,
        partition,
        wanted,
        oldest,
        "the source no longer keeps what a restart needs: windows come back shorter"
    );
    Ok(())
}

impl Planner<'_> {
    pub(crate) fn plan(
        &self,
        consumer: &mut dyn Consumer,
        begin: Option<Timestamp>,
        now: Timestamp,
        entries: &mut Vec<Entry>,
    ) -> Result<Gaps, LiveError> {
        let mut gaps = Vec::new();
        for (source, config) in self.sources.iter().enumerate() {
            for wanted in config.topics.iter().chain(&config.topic_regex) {
                let topics = consumer.partitions(wanted)?;
                if topics.is_empty() && !wanted.starts_with('^') {
                    return Err(LiveError::NoTopic {
                        source_name: config.name.clone(),
                        wanted: wanted.clone(),
                        brokers: self.kafka.brokers.clone(),
                    });
                }
                for (topic, count) in topics {
                    let partitions = lock(&self.hub.directory).learn(source as u16, &topic, count);
                    let found =
                        self.plan_topic(consumer, &topic, &partitions, begin, now, entries)?;
                    gaps.extend(
                        found
                            .into_iter()
                            .map(|partition| (topic.clone(), partition)),
                    );
                }
            }
        }
        Ok(gaps)
    }

    fn plan_topic(
        &self,
        consumer: &mut dyn Consumer,
        topic: &str,
        partitions: &[Partition],
        begin: Option<Timestamp>,
        now: Timestamp,
        entries: &mut Vec<Entry>,
    ) -> Result<Vec<u32>, LiveError> {
        let mut gaps = Vec::new();
        let at = |partition: &Partition| TopicPartition::new(topic, partition.index);
        let by_time: BTreeMap<_, _> =
            if self.start == StartFrom::Window && self.history.start.is_none() {
                let from = now
                    - self.reach_ms
                    - self.sources[partitions[0].source as usize].allowed_lateness_ms();
                let wanted: Vec<_> = partitions.iter().map(at).collect();
                consumer
                    .offsets_for_time(&wanted, from.ms())?
                    .into_iter()
                    .collect()
            } else {
                BTreeMap::new()
            };
        for partition in partitions {
            if lock(&self.hub.directory).is_planned(*partition) {
                continue;
            }
            let (low, end) = consumer.watermarks(topic, partition.index)?;
            let rules = self.hub.rules[partition.source as usize];
            let known = self.snapshot.and_then(|head| head.clock(*partition));
            let offset = match (self.history.joined(*partition), begin) {
                (Some(joined), Some(begin)) => {
                    let lateness_ms = rules.allowed_lateness_ms;
                    let wanted = match (self.snapshot, known) {
                        (_, Some(state)) => state.next_offset,
                        // It has joined since.
                        (Some(_), None) => joined,
                        (None, None) => self
                            .history
                            .rewind(*partition, begin, lateness_ms)
                            .unwrap_or(joined),
                    };
                    if wanted < low {
                        gap(self.on_gap, topic, partition.index, wanted, low)?;
                        gaps.push(partition.index);
                    }
                    wanted.max(low)
                }
                _ => match self.start {
                    StartFrom::Earliest => low,
                    StartFrom::Latest => end,
                    StartFrom::Window => by_time
                        .get(&at(partition))
                        .copied()
                        .flatten()
                        .unwrap_or(end)
                        .max(low),
                },
            };
            if self.history.joined(*partition).is_none() {
                let tick = self
                    .history
                    .groups
                    .values()
                    .filter_map(|group| group.closed)
                    .max()
                    .unwrap_or(Timestamp::MIN);
                entries.push(Entry::Join {
                    pin: Pin {
                        partition: *partition,
                        offset,
                        tick,
                    },
                    topic: topic.to_owned(),
                });
            }
            let pins = pins_of(self.history, *partition);
            let clock = match known {
                Some(state) => PartitionClock::resume(rules, state.from(offset), pins),
                None => PartitionClock::new(rules, offset, pins),
            };
            lock(&self.hub.directory).plan(*partition, clock);
        }
        Ok(gaps)
    }
}
