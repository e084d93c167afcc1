//! What the house asks of a log: three small traits and the values that cross them.
//!
//! Blocking, one [`Consumer`] per worker thread; a [`Producer`] is shared. Positions belong to the
//! caller: it says where a partition starts ([`StartAt`]) and remembers how far it came.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use foghorn_model::Offset;

use crate::TopicId;
use crate::error::{KafkaError, SendError};
use crate::record::{OwnedRecord, Record};

/// One partition of one topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// Topic's name.
    pub topic: String,
    /// Partition number.
    pub partition: u32,
}

impl TopicPartition {
    /// Partition `partition` of `topic`.
    pub fn new(topic: impl Into<String>, partition: u32) -> Self {
        Self {
            topic: topic.into(),
            partition,
        }
    }
}

/// A place in a partition: the offset of the record to be read *next*.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Topic's name.
    pub topic: String,
    /// Partition number.
    pub partition: u32,
    /// Offset of the next record.
    pub offset: Offset,
}

/// Where to begin with a partition that has just been assigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At this offset. If retention has passed it, an [`Event::PartitionError`] says so; the client
    /// never jumps elsewhere by itself.
    At(Offset),
    /// At the first record that is kept.
    Earliest,
    /// Behind the last record.
    Latest,
    /// Where the group has committed; an [`Event::PartitionError`] if it never did.
    Committed,
}

/// The owner of the positions. Called on the thread that polls, while a rebalance waits: be quick
/// (well below `max.poll.interval.ms`), and do not call the consumer.
pub trait StartAt: Send {
    /// Where to begin with a partition, before its first record is delivered.
    fn start_at(&mut self, topic: &str, partition: u32) -> Start;

    /// Last word before partitions go; the answer is committed (waiting for it) while they are
    /// still ours. If they are `lost`, somebody else may own them already: nothing is committed.
    fn before_revoke(&mut self, partitions: &[TopicPartition], lost: bool) -> Vec<Position> {
        let _ = (partitions, lost);
        Vec::new()
    }
}

impl<F: FnMut(&str, u32) -> Start + Send> StartAt for F {
    fn start_at(&mut self, topic: &str, partition: u32) -> Start {
        self(topic, partition)
    }
}

/// What a poll met besides records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// These partitions are ours from now on, each from where [`StartAt`] said. Sorted.
    Assigned(Vec<TopicPartition>),
    /// These partitions are not ours any more; none of their records will follow. Sorted.
    Revoked {
        /// The partitions that went.
        partitions: Vec<TopicPartition>,
        /// Taken without asking (session expired, fenced): another member may own them already.
        lost: bool,
    },
    /// Everything up to `offset` has been delivered and, at that fetch, there was no more. Told
    /// once each time the end is reached.
    EndOfPartition {
        /// Topic.
        topic: TopicId,
        /// Partition.
        partition: u32,
        /// Offset that the next record will have (or exceed).
        offset: Offset,
    },
    /// One partition cannot be read, for now or (an offset that is gone) until sought elsewhere.
    PartitionError {
        /// Topic.
        topic: TopicId,
        /// Partition.
        partition: u32,
        /// librdkafka's name of the error; `AutoOffsetReset` = the asked-for offset is not there.
        code: String,
        /// librdkafka's explanation.
        text: String,
    },
    /// Trouble that is not of one partition: brokers down, a commit that failed, …
    Error {
        /// The client is of no use any more.
        fatal: bool,
        /// librdkafka's name of the error.
        code: String,
        /// librdkafka's explanation.
        text: String,
    },
}

impl Event {
    /// Whether it says that no broker can be reached.
    pub fn is_cut_off(&self) -> bool {
        matches!(self, Self::Error { code, .. } if code == "AllBrokersDown")
    }
}

/// How much of the subscription is ours. A runtime that must see everything refuses a partial one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// What is assigned to this consumer, sorted.
    pub assigned: Vec<TopicPartition>,
    /// All topics that the subscription matches, with their partition counts, sorted.
    pub topics: Vec<(String, u32)>,
}

impl Coverage {
    /// Number of partitions of all matching topics.
    pub fn total(&self) -> usize {
        self.topics.iter().map(|(_, n)| *n as usize).sum()
    }

    /// Whether each matching partition is assigned to this consumer.
    pub fn is_complete(&self) -> bool {
        self.assigned.len() == self.total()
    }
}

/// How far an assigned partition is behind, as of the client's last statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lag {
    /// Topic.
    pub topic: TopicId,
    /// Partition.
    pub partition: u32,
    /// Our own next offset, if a record or an end has been seen.
    pub next: Option<Offset>,
    /// End of what a `read_committed` reader may see, as of the last fetch; `None` before it.
    pub end: Option<Offset>,
    /// Whether the client is connected to the partition's leader; `None` before the first statistics.
    pub reachable: Option<bool>,
}

/// One member of a consumer group.
pub trait Consumer {
    /// Delivers up to `max` records, waiting up to `timeout` for the first; also serves the client
    /// (rebalances, `max.poll.interval.ms`), so keep calling it, even with everything paused.
    ///
    /// Returns early, with no record, when a rebalance happened: no record is delivered until the
    /// [`Event::Assigned`] or [`Event::Revoked`] before it has been taken by [`Self::events`].
    /// Records of one partition come in offset order, none twice within one assignment.
    ///
    /// # Errors
    /// [`KafkaError::Fatal`] if the client must be made anew. All else is an [`Event`].
    fn poll_batch(
        &mut self,
        max: usize,
        timeout: Duration,
        on_record: &mut dyn FnMut(&Record<'_>),
    ) -> Result<usize, KafkaError>;

    /// Takes what polling met, in order.
    fn events(&mut self) -> Vec<Event>;

    /// Topic names by [`TopicId`].
    fn topics(&self) -> Vec<Arc<str>>;

    /// What is assigned, against all that the subscription matches. Asks the cluster.
    fn coverage(&mut self) -> Result<Coverage, KafkaError>;

    /// Where assigned partitions stand, sorted; without asking the cluster.
    fn lags(&self) -> Vec<Lag>;

    /// Goes on from elsewhere in assigned partitions. Nothing fetched before is delivered any more.
    fn seek(&mut self, positions: &[Position]) -> Result<(), KafkaError>;

    /// Stops delivery of assigned partitions (back-pressure). Keep polling. Ends with the assignment.
    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<(), KafkaError>;

    /// Goes on with paused partitions exactly behind the last delivered record.
    fn resume(&mut self, partitions: &[TopicPartition]) -> Result<(), KafkaError>;

    /// For each partition the first offset whose timestamp is at or after `timestamp_ms`; `None` if
    /// there is none. Asks the cluster (the mock brokers always say `None`).
    fn offsets_for_time(
        &mut self,
        partitions: &[TopicPartition],
        timestamp_ms: i64,
    ) -> Result<Vec<(TopicPartition, Option<Offset>)>, KafkaError>;

    /// First kept offset, and offset of the next record to be written. Asks the cluster.
    fn watermarks(&mut self, topic: &str, partition: u32) -> Result<(Offset, Offset), KafkaError>;

    /// Existing topics with this name, or (if it begins with `^`) matching this regular
    /// expression, each with its partition count, sorted. Asks the cluster.
    fn partitions(&mut self, topic: &str) -> Result<Vec<(String, u32)>, KafkaError>;

    /// Commits positions to the group, without waiting: a hint for people who look at lag, and for
    /// [`Start::Committed`]. A failure is an [`Event::Error`].
    fn commit(&mut self, positions: &[Position]) -> Result<(), KafkaError>;

    /// Asks the group's coordinator whether this is still the member that it believes it to be, by a
    /// commit that it takes of nobody else. It waits for the answer: keep it off threads that evaluate.
    ///
    /// # Errors
    /// [`KafkaError::NotMember`] where it is not; all else says only that there was no answer.
    fn confirm(&mut self, position: &Position) -> Result<(), KafkaError>;

    /// Ends the membership (a static member stays one until its session times out).
    ///
    /// # Errors
    /// [`KafkaError::TimedOut`] if the client did not end in time; it is then left to the process's
    /// end.
    fn close(self: Box<Self>) -> Result<(), KafkaError>;
}

/// One partition, read on from a place: no group, no membership, nothing committed.
pub trait Reader: Send {
    /// Copies what came, in offset order, waiting up to `timeout` for the first.
    ///
    /// # Errors
    /// The place is no longer kept, or the client is of no use any more. Brokers come and go without
    /// an error.
    fn read(&mut self, timeout: Duration) -> Result<Vec<OwnedRecord>, KafkaError>;

    /// First kept offset, and offset of the next record to be written. Asks the cluster.
    ///
    /// # Errors
    /// The cluster does not answer.
    fn bounds(&mut self) -> Result<(Offset, Offset), KafkaError>;
}

/// All partitions of a topic, read on from a time: no group, no membership, nothing committed.
pub trait Tail: Send {
    /// Copies what came, in offset order within each partition, waiting up to `timeout` for the first.
    ///
    /// # Errors
    /// The client is of no use any more. Brokers come and go without an error.
    fn read(&mut self, timeout: Duration) -> Result<Vec<OwnedRecord>, KafkaError>;

    /// Whether everything has been read that stood in the topic when this was opened.
    fn is_caught_up(&self) -> bool;
}

/// A record to be sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outgoing<'a> {
    /// Topic's name.
    pub topic: &'a str,
    /// Partition; `None` = by key, as Java's clients do ([`crate::partition_of`]), else any.
    pub partition: Option<u32>,
    /// Key, if any.
    pub key: Option<&'a [u8]>,
    /// Payload; `None` writes a tombstone.
    pub payload: Option<&'a [u8]>,
    /// Headers, in order. Names must not contain a zero byte.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// Timestamp in ms since the epoch; `None` = when the client takes it.
    pub timestamp_ms: Option<i64>,
}

/// What became of a sent record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The token that came with it.
    pub token: u64,
    /// Partition and offset, once all in-sync replicas have it. On an error it may nevertheless
    /// have been written.
    pub result: Result<(u32, Offset), KafkaError>,
}

/// Sends records, idempotently: within one producer's life none is doubled or reordered.
pub trait Producer: Send + Sync {
    /// Queues a copy of the record; never blocks. Its [`Ack`] will carry `token`.
    fn send(&self, record: &Outgoing<'_>, token: u64) -> Result<(), SendError>;

    /// Takes the acks that came, waiting up to `timeout` for the first.
    fn poll_acks(&self, timeout: Duration) -> Vec<Ack>;

    /// Waits until everything sent has its ack (which stays to be taken by [`Self::poll_acks`]).
    fn flush(&self, timeout: Duration) -> Result<(), KafkaError>;

    /// Records sent whose acks have not come.
    fn in_flight(&self) -> usize;

    /// What is sent from now on becomes visible together, by [`Self::commit`]. Nothing for a producer
    /// without transactions.
    ///
    /// # Errors
    /// [`KafkaError::Fatal`] where another producer of the same name has taken its place.
    fn begin(&self) -> Result<(), KafkaError> {
        Ok(())
    }

    /// Makes visible what was sent since [`Self::begin`]; all of it has its ack.
    ///
    /// # Errors
    /// None of it is visible where it is [`KafkaError::Fatal`]; else that is not known, and the producer
    /// must be made anew.
    fn commit(&self) -> Result<(), KafkaError> {
        Ok(())
    }
}

/// How a topic has to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicSpec {
    /// Topic's name.
    pub name: String,
    /// Number of partitions.
    pub partitions: u32,
    /// Replicas of each; `None` = the cluster's default, and not verified.
    pub replication: Option<u16>,
    /// Topic configuration that matters (`cleanup.policy` …); all else is the cluster's.
    pub config: BTreeMap<String, String>,
}

impl TopicSpec {
    /// A topic with the cluster's replication and configuration.
    pub fn new(name: impl Into<String>, partitions: u32) -> Self {
        Self {
            name: name.into(),
            partitions,
            ..Self::default()
        }
    }

    /// With this configuration entry.
    #[must_use]
    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.config.insert(key.to_owned(), value.to_owned());
        self
    }
}

/// What [`Admin::create_topic`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Creation {
    /// It was not there and is now.
    Created,
    /// It was there (as it is: see [`Admin::differences`]).
    Existed,
}

/// Topics, and reading one from end to end.
pub trait Admin {
    /// Creates the topic unless it exists.
    fn create_topic(&self, spec: &TopicSpec) -> Result<Creation, KafkaError>;

    /// In which ways the existing topic is not as specified; one sentence each.
    fn differences(&self, spec: &TopicSpec) -> Result<Vec<String>, KafkaError>;

    /// What a topic's configuration says under a name.
    fn setting(&self, topic: &str, name: &str) -> Result<Option<String>, KafkaError>;

    /// Has a partition forget the records before an offset.
    fn forget_before(&self, topic: &str, partition: u32, offset: Offset) -> Result<(), KafkaError>;

    /// Copies all records of the topic (or of one partition) that are visible to a
    /// `read_committed` reader now, in (partition, offset) order. For topics that fit in memory.
    fn read_to_end(
        &self,
        topic: &str,
        partition: Option<u32>,
    ) -> Result<Vec<OwnedRecord>, KafkaError>;

    /// Creates the topic, or verifies the one that is there.
    ///
    /// # Errors
    /// [`KafkaError::TopicMismatch`] if it exists and is not as specified.
    fn ensure_topic(&self, spec: &TopicSpec) -> Result<Creation, KafkaError> {
        let creation = self.create_topic(spec)?;
        if creation == Creation::Existed {
            let differences = self.differences(spec)?;
            if !differences.is_empty() {
                return Err(KafkaError::TopicMismatch {
                    topic: spec.name.clone(),
                    differences,
                });
            }
        }
        Ok(creation)
    }
}
