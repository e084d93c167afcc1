//! What librdkafka calls back: log lines, errors, statistics, rebalances, commits.
//!
//! All of it runs on the thread that polls; it is written into the consumer's book ([`Slots`]) and
//! told later as events.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foghorn_model::Offset;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError as RdError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{ClientContext, Statistics, TopicPartitionList};

use crate::batch::{ForwardCell, Forwarding};
use crate::client::{Event, Position, Start, StartAt, TopicPartition};
use crate::config::Properties;
use crate::slots::Slots;
use crate::token::token;

/// The consumer's callbacks and what they share with it.
pub(crate) struct ConsumerHooks {
    cell: ForwardCell,
    slots: Mutex<Slots>,
    owner: Mutex<Box<dyn StartAt>>,
    ends: Mutex<Ends>,
}

/// End offset and "leader reachable" of each partition, as of the last statistics.
pub(crate) type Ends = BTreeMap<(String, u32), (Option<Offset>, bool)>;

/// A context that only logs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LogOnly;

impl ConsumerHooks {
    pub(crate) fn new(owner: Box<dyn StartAt>) -> Self {
        Self {
            cell: ForwardCell::default(),
            slots: Mutex::default(),
            owner: Mutex::new(owner),
            ends: Mutex::default(),
        }
    }

    pub(crate) fn slots(&self) -> MutexGuard<'_, Slots> {
        lock(&self.slots)
    }

    pub(crate) fn ends(&self) -> MutexGuard<'_, Ends> {
        lock(&self.ends)
    }

    pub(crate) fn assigning(&self, client: &BaseConsumer<Self>, list: &TopicPartitionList) {
        let mut starts = BTreeMap::new();
        let mut owner = lock(&self.owner);
        for mut element in list.elements() {
            let (topic, partition) = (element.topic().to_owned(), element.partition());
            let start = owner.start_at(&topic, partition as u32);
            if let Err(error) = element.set_offset(native_start(start)) {
                self.slots()
                    .tell(problem(&error, "the start of a partition was refused"));
            }
            if !self.cell.forward(client, &topic, partition) {
                tracing::error!(
                    topic,
                    partition,
                    "no queue to forward this partition's records to"
                );
            }
            starts.insert(TopicPartition::new(topic, partition as u32), start);
        }
        self.slots().assign(&starts);
    }

    /// librdkafka keeps "paused" over assignments; a partition that comes back must flow.
    fn unpause(&self, client: &BaseConsumer<Self>, going: &[TopicPartition]) {
        let paused: Vec<_> = {
            let slots = self.slots();
            let paused = slots
                .all()
                .iter()
                .filter(|s| s.paused)
                .map(|s| slots.named(s));
            paused.filter(|at| going.contains(at)).collect()
        };
        if paused.is_empty() {
            return;
        }
        if let Err(error) = client.resume(&partition_list(&paused)) {
            self.slots()
                .tell(problem(&error, "a revoked partition stays paused"));
        }
    }

    fn revoking(&self, client: &BaseConsumer<Self>, list: &TopicPartitionList) {
        let mut going: Vec<_> = list
            .elements()
            .iter()
            .map(|e| TopicPartition::new(e.topic(), e.partition() as u32))
            .collect();
        going.sort();
        let lost = client.assignment_lost();
        let last = lock(&self.owner).before_revoke(&going, lost);
        if !lost && !last.is_empty() {
            let committed =
                position_list(&last).and_then(|list| client.commit(&list, CommitMode::Sync));
            if let Err(error) = committed {
                self.slots().tell(problem(
                    &error,
                    "the last commit before a revocation failed",
                ));
            }
        }
        self.unpause(client, &going);
        self.slots().revoke(going, lost);
    }
}

impl Forwarding for ConsumerHooks {
    fn cell(&self) -> &ForwardCell {
        &self.cell
    }
}

impl ClientContext for ConsumerHooks {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, config: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        token(config)
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: RdError, reason: &str) {
        // The end of a partition is no trouble; a fatal error is the return value of the poll.
        if !matches!(
            error.rdkafka_error_code(),
            Some(RDKafkaErrorCode::PartitionEOF | RDKafkaErrorCode::Fatal)
        ) {
            self.slots().tell(problem(&error, reason));
        }
    }

    fn stats(&self, statistics: Statistics) {
        let up: BTreeMap<i32, bool> = statistics
            .brokers
            .values()
            .map(|b| (b.nodeid, b.state == "UP"))
            .collect();
        let mut ends = Ends::new();
        for (topic, entry) in statistics.topics {
            for (partition, p) in entry.partitions {
                if let Ok(partition) = u32::try_from(partition) {
                    let end = (p.ls_offset >= 0).then_some(p.ls_offset);
                    let reachable = up.get(&p.leader).copied().unwrap_or(false);
                    ends.insert((topic.clone(), partition), (end, reachable));
                }
            }
        }
        *self.ends() = ends;
    }
}

impl ConsumerContext for ConsumerHooks {
    fn pre_rebalance(&self, client: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(list) => self.assigning(client, list),
            Rebalance::Revoke(list) => self.revoking(client, list),
            Rebalance::Error(error) => self.slots().tell(problem(error, "a rebalance failed")),
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        match result {
            Ok(()) | Err(RdError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => {}
            Err(error) => self.slots().tell(problem(&error, "a commit failed")),
        }
    }
}

impl ClientContext for LogOnly {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, config: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        token(config)
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: RdError, reason: &str) {
        // The end of a partition is no trouble.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::PartitionEOF) {
            tracing::warn!(%error, reason, "kafka client");
        }
    }
}

impl ConsumerContext for LogOnly {}

/// Lets a client fetch its first token, where it needs one: it asks for it by its queue, and a question
/// to the cluster would wait for it in vain.
pub(crate) fn log_in<C: ConsumerContext>(properties: &Properties, client: &BaseConsumer<C>) {
    if properties.needs_token()
        && let Some(Err(error)) = client.poll(FIRST_TOKEN)
    {
        tracing::warn!(%error, "kafka login");
    }
}

/// So long a first token is waited for.
pub(crate) const FIRST_TOKEN: Duration = Duration::from_millis(500);

/// Positions in librdkafka's form. Build one for each call and let it die there: a list that was
/// used to pause holds partitions alive, and would hang the client's end.
pub(crate) fn position_list(positions: &[Position]) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(positions.len());
    for at in positions {
        let offset = rdkafka::Offset::Offset(at.offset);
        list.add_partition_offset(&at.topic, at.partition as i32, offset)?;
    }
    Ok(list)
}

/// Partitions in librdkafka's form; see [`position_list`].
pub(crate) fn partition_list(partitions: &[TopicPartition]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for at in partitions {
        list.add_partition(&at.topic, at.partition as i32);
    }
    list
}

/// Locks even if a panic elsewhere poisoned the lock: what is behind it is whole at every step.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Hands librdkafka's log lines on to `tracing`.
pub(crate) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error => tracing::error!(facility, "librdkafka: {message}"),
        RDKafkaLogLevel::Warning => tracing::warn!(facility, "librdkafka: {message}"),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
            tracing::info!(facility, "librdkafka: {message}");
        }
        RDKafkaLogLevel::Debug => tracing::debug!(facility, "librdkafka: {message}"),
    }
}

/// A start in librdkafka's form.
pub(crate) fn native_start(start: Start) -> rdkafka::Offset {
    match start {
        Start::At(offset) => rdkafka::Offset::Offset(offset),
        Start::Earliest => rdkafka::Offset::Beginning,
        Start::Latest => rdkafka::Offset::End,
        Start::Committed => rdkafka::Offset::Stored,
    }
}

fn problem(error: &RdError, reason: &str) -> Event {
    let code = error
        .rdkafka_error_code()
        .map(|c| format!("{c:?}"))
        .unwrap_or_default();
    Event::Error {
        fatal: false,
        code,
        text: format!("{reason}: {error}"),
    }
}
