//! One worker: a consumer client of its own, decoding where it consumes. No tokio, no channel a
//! message.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use foghorn_eval::clock::PartitionClock;
use foghorn_ingest::{Raw, SourceConfig};
use foghorn_kafka::{
    Consumer, Event, KafkaError, Position, Record, Start, StartAt, TopicPartition,
};
use foghorn_model::{Partition, Refusal, Timestamp};
use tracing::{debug, error, info, warn};

use crate::clock::wall;
use crate::cut_off::CutOff;
use crate::dead_letters::DeadLetters;
use crate::http_topic::FORMAT_HEADER;
use crate::hub::{Hub, State, WorkerState, lock, settle};

/// Records of one batch.
const BATCH: usize = 1_000;
/// How long one poll may wait for the first record.
const POLL: Duration = Duration::from_millis(5);
/// How often positions are compared with the logs' ends, and committed as a hint.
const LOOK_MS: i64 = 50;
const COMMIT_MS: i64 = 5_000;
const TOPICS_MS: i64 = 30_000;
/// After an outage of the cluster producers come back within this, in milliseconds: clients of librdkafka
/// wait for up to 10 s, and half as long again by chance, before they try again. Until then nobody who is
/// quiet counts as idle.
const RETURN_MS: i64 = 15_000;
/// Records whose words wait for the brain (log matches, changes, alerts) before reading pauses.
const MOST_SAID: usize = 100_000;

/// Decides where assignments begin, and parks the clocks of what is revoked.
pub(crate) struct Starter {
    hub: Arc<Hub>,
}

impl Starter {
    pub(crate) fn new(hub: Arc<Hub>) -> Self {
        Self { hub }
    }
}

impl StartAt for Starter {
    fn start_at(&mut self, topic: &str, partition: u32) -> Start {
        lock(&self.hub.directory).start(&TopicPartition::new(topic, partition))
    }

    fn before_revoke(&mut self, partitions: &[TopicPartition], lost: bool) -> Vec<Position> {
        // What was read of them must be in the shards before anybody else goes on with them.
        let mut workers = self.hub.lock_all();
        settle(&mut workers);
        let mut directory = lock(&self.hub.directory);
        directory.agreed(false);
        let mut positions = Vec::new();
        for at in partitions {
            let Some(partition) = directory.partition(at) else {
                continue;
            };
            for worker in &mut workers {
                if let Some(clock) = worker.intake.leave(partition) {
                    positions.push(Position {
                        topic: at.topic.clone(),
                        partition: at.partition,
                        offset: clock.next_offset,
                    });
                    worker.facts.remove(&partition);
                    directory.park(partition, clock);
                }
            }
        }
        if lost { Vec::new() } else { positions }
    }
}

/// See the module's text.
pub(crate) struct KafkaWorker {
    pub(crate) index: usize,
    pub(crate) hub: Arc<Hub>,
    pub(crate) state: Arc<State>,
    pub(crate) consumer: Box<dyn Consumer + Send>,
    pub(crate) sources: Arc<Vec<SourceConfig>>,
    pub(crate) dead_letters: Arc<DeadLetters>,
    pub(crate) topics: Vec<Option<(u16, u16)>>,
    pub(crate) paused: BTreeSet<Partition>,
    pub(crate) cut_off: CutOff,
}

impl KafkaWorker {
    /// Reads until the end is asked for.
    pub(crate) fn run(mut self) {
        let (mut looked, mut committed, mut learnt) = (Timestamp::MIN, wall(), Timestamp::MIN);
        while !self.hub.stopping() {
            if let Err(error) = self.poll() {
                self.hub.fail(format!("worker {}: {error}", self.index));
                break;
            }
            let now = wall();
            if now - looked >= LOOK_MS {
                looked = now;
                self.look(now);
                self.obey();
            }
            if now - committed >= COMMIT_MS {
                committed = now;
                self.commit();
            }
            if now - learnt >= TOPICS_MS {
                learnt = now;
                let learning = learn_topics(&mut *self.consumer, &self.sources, &self.hub);
                // One that reads alone takes its share with it.
                let learnt = learning.and_then(|()| self.consumer.coverage().map(drop));
                if let Err(error) = learnt {
                    warn!(%error, "the cluster's topics could not be listed");
                }
            }
        }
        self.commit();
        if let Err(error) = self.consumer.close() {
            warn!(worker = self.index, %error, "the consumer did not leave in time");
        }
    }

    fn poll(&mut self) -> Result<(), KafkaError> {
        let (result, stuck) = self.read();
        if stuck {
            self.wait_for_room();
        }
        result?;
        for event in self.consumer.events() {
            self.take(event);
        }
        Ok(())
    }

    /// Reads one batch; whether some of it found no room.
    fn read(&mut self) -> (Result<usize, KafkaError>, bool) {
        let Self {
            consumer,
            state,
            hub,
            topics,
            dead_letters,
            sources,
            ..
        } = self;
        let mut guard = None;
        let mut now = Timestamp::MIN;
        let result = consumer.poll_batch(BATCH, POLL, &mut |record| {
            let state = guard.get_or_insert_with(|| {
                now = wall();
                state.lock()
            });
            let Some(Some((source, topic))) = topics.get(record.topic.0 as usize).copied() else {
                return;
            };
            let partition = Partition {
                source,
                topic,
                index: record.partition,
            };
            let is_posted = sources[source as usize].is_posted;
            if let Err(refusal) = feed(state, partition, record, is_posted, now) {
                dead_letters.put(partition, record, &refusal);
            }
            state.hand_over_grown();
        });
        // Also where nothing came: others may have handed something over.
        let mut state = guard.unwrap_or_else(|| state.lock());
        state.hand_over();
        state.drain();
        let stuck = !state.push_backlog();
        let (calls, speaks) = (state.calls(hub.next_tick()), state.has_words());
        drop(state);
        if calls {
            hub.ring();
        } else if speaks {
            hub.ring_to_hear();
        }
        (result, stuck)
    }

    /// Rings are full: nothing is read before the others have made room. Meanwhile the own inbound
    /// rings are drained, so that no two workers wait for each other.
    fn wait_for_room(&self) {
        while !self.hub.stopping() {
            let mut state = self.state.lock();
            state.drain();
            if state.push_backlog() {
                return;
            }
            drop(state);
            self.hub.ring();
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    fn take(&mut self, event: Event) {
        if event.is_cut_off() {
            self.was_cut_off();
        }
        match event {
            Event::Assigned(partitions) => self.assigned(&partitions),
            Event::Revoked { partitions, lost } => {
                info!(
                    worker = self.index,
                    partitions = partitions.len(),
                    lost,
                    "partitions revoked"
                );
                self.paused.clear();
            }
            Event::EndOfPartition {
                topic,
                partition,
                offset,
            } => {
                let Some(Some((source, number))) = self.topics.get(topic.0 as usize).copied()
                else {
                    return;
                };
                let partition = Partition {
                    source,
                    topic: number,
                    index: partition,
                };
                let mut state = self.state.lock();
                let here = state
                    .intake
                    .clock(partition)
                    .is_some_and(|clock| clock.next_offset >= offset);
                if let Some(facts) = state.facts.get_mut(&partition) {
                    (facts.at_end, facts.reachable) = (here, true);
                }
            }
            Event::PartitionError {
                partition,
                code,
                text,
                ..
            } => {
                error!(
                    worker = self.index,
                    partition, code, text, "partition cannot be read"
                );
            }
            Event::Error { fatal, code, text } => {
                if fatal {
                    self.hub.fail(format!("Kafka: {text} ({code})"));
                } else {
                    warn!(worker = self.index, code, text, "Kafka");
                }
            }
        }
    }

    /// Nobody counts as idle before those who were cut off, too, have come back.
    fn was_cut_off(&self) {
        self.cut_off.note();
        let until = wall() + RETURN_MS;
        let mut state = self.state.lock();
        // Of the others it is known already.
        let up = state.facts.values_mut().filter(|facts| facts.reachable);
        up.for_each(|facts| facts.quiet_since = facts.quiet_since.max(until));
    }

    fn assigned(&mut self, partitions: &[TopicPartition]) {
        info!(
            worker = self.index,
            partitions = partitions.len(),
            "partitions assigned"
        );
        if let Err(error) = learn_topics(&mut *self.consumer, &self.sources, &self.hub) {
            warn!(%error, "the cluster's topics could not be listed");
        }
        let cut_off = self.cut_off.is_recent();
        let quiet_since = wall() + if cut_off { RETURN_MS } else { 0 };
        let mut state = self.state.lock();
        let mut directory = lock(&self.hub.directory);
        directory.agreed(true);
        let names = self.consumer.topics();
        self.topics = names.iter().map(|name| directory.topic(name)).collect();
        for (name, at) in names.iter().zip(&self.topics) {
            if let Some((source, topic)) = *at {
                let format = self.sources[source as usize].format.name();
                self.dead_letters.name(
                    Partition {
                        source,
                        topic,
                        index: 0,
                    },
                    name,
                    format,
                );
            }
        }
        for at in partitions {
            let Some(partition) = directory.partition(at) else {
                error!(topic = at.topic, "assigned a topic that no source names");
                continue;
            };
            let clock = directory.take(partition).unwrap_or_else(|| {
                // The topic grew: it joins at its first offset, pinned to the highest closed tick.
                let highest = Timestamp(self.hub.highest_closed.load(Ordering::Acquire));
                state.joined.push((partition, at.topic.clone(), 0));
                PartitionClock::new(
                    self.hub.rules[partition.source as usize],
                    0,
                    vec![(0, highest)],
                )
            });
            state.join(partition, clock, quiet_since);
        }
        drop(directory);
        state.hand_over();
        drop(state);
        self.hub.ring();
    }

    /// Compares positions with the logs' ends.
    fn look(&mut self, now: Timestamp) {
        let mut state = self.state.lock();
        for lag in self.consumer.lags() {
            let Some(Some((source, topic))) = self.topics.get(lag.topic.0 as usize).copied() else {
                continue;
            };
            let partition = Partition {
                source,
                topic,
                index: lag.partition,
            };
            let Some(next) = state.intake.clock(partition).map(|clock| clock.next_offset) else {
                continue;
            };
            let paused = self.paused.contains(&partition);
            let Some(facts) = state.facts.get_mut(&partition) else {
                continue;
            };
            facts.is_paused = paused;
            // Before the first statistics only what was read, or found to be the end, says anything.
            let (Some(reachable), end) = (lag.reachable, lag.end) else {
                continue;
            };
            match (facts.reachable, reachable) {
                (true, false) => facts.quiet_since = now,
                // Its producers were cut off, too, and come back when they try again.
                (false, true) => facts.quiet_since = now + RETURN_MS,
                _ => {}
            }
            facts.reachable = reachable;
            facts.lag = end.map(|end| (end - next).max(0));
            // Control records (transaction markers) may stand between the last record and the end.
            let seen = lag.next.map_or(next, |seen| seen.max(next));
            facts.at_end = !paused && lag.end.is_some_and(|end| seen >= end);
        }
    }

    /// Pauses and resumes as the brain asks; pauses everything while what was said finds no ear
    /// (partitions that nobody reads hold the brain back, say).
    fn obey(&mut self) {
        let state = self.state.lock();
        let mine: BTreeSet<_> = state.facts.keys().copied().collect();
        drop(state);
        let wanted: BTreeSet<_> = if self.hub.said() > MOST_SAID {
            mine.clone()
        } else {
            let asked = lock(&self.hub.paused);
            asked.intersection(&mine).copied().collect()
        };
        if wanted == self.paused {
            return;
        }
        let names = |partitions: Vec<&Partition>| -> Vec<TopicPartition> {
            let directory = lock(&self.hub.directory);
            partitions
                .into_iter()
                .filter_map(|p| {
                    directory
                        .topic_name(*p)
                        .map(|name| TopicPartition::new(name, p.index))
                })
                .collect()
        };
        let pause = names(wanted.difference(&self.paused).collect());
        let resume = names(
            self.paused
                .difference(&wanted)
                .filter(|p| mine.contains(p))
                .collect(),
        );
        let done = self
            .consumer
            .pause(&pause)
            .and_then(|()| self.consumer.resume(&resume));
        match done {
            Ok(()) => self.paused = wanted,
            Err(error) => warn!(%error, "pausing failed"),
        }
    }

    fn commit(&mut self) {
        let state = self.state.lock();
        let directory = lock(&self.hub.directory);
        let positions: Vec<_> = state
            .facts
            .keys()
            .filter_map(|partition| {
                let offset = state.intake.clock(*partition)?.next_offset;
                let topic = directory.topic_name(*partition)?.to_owned();
                Some(Position {
                    topic,
                    partition: partition.index,
                    offset,
                })
            })
            .collect();
        drop(directory);
        drop(state);
        if let Err(error) = self.consumer.commit(&positions) {
            debug!(%error, "positions were not committed (they are only a hint)");
        }
    }
}

fn feed(
    state: &mut WorkerState,
    partition: Partition,
    record: &Record<'_>,
    is_posted: bool,
    now: Timestamp,
) -> Result<(), Refusal> {
    let mut raw = Raw {
        partition,
        offset: record.offset,
        timestamp: record.timestamp_ms.map(Timestamp),
        payload: record.payload.unwrap_or_default(),
        ..Raw::default()
    };
    for (name, value) in record.headers() {
        if is_posted && name == FORMAT_HEADER {
            let format = std::str::from_utf8(value).ok();
            raw.format = format.and_then(|name| name.parse().ok());
        }
        raw.heed(name, value);
    }
    state.feed(&raw, now)
}

/// Lists what the sources' subscriptions cover.
pub(crate) fn learn_topics(
    consumer: &mut dyn Consumer,
    sources: &[SourceConfig],
    hub: &Hub,
) -> Result<(), KafkaError> {
    for (source, config) in sources.iter().enumerate() {
        for wanted in config.topics.iter().chain(&config.topic_regex) {
            for (topic, partitions) in consumer.partitions(wanted)? {
                lock(&hub.directory).learn(source as u16, &topic, partitions);
            }
        }
    }
    Ok(())
}
