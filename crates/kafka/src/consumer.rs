//! A group member over librdkafka: rebalances by polling, records by the batch.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use foghorn_model::Offset;
use rdkafka::consumer::{CommitMode, Consumer as _, RebalanceProtocol};
use rdkafka::error::{KafkaError as RdError, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;
use rdkafka::{Message as _, Offset as RdOffset, TopicPartitionList};
use regex::Regex;

use crate::batch::{BatchConsumer, Forwarding as _, NativeMessage, Notice};
use crate::client::{Consumer, Coverage, Event, Lag, Position, Start, StartAt, TopicPartition};
use crate::config::ConsumerConfig;
use crate::context::{ConsumerHooks, log_in, native_start, partition_list, position_list};
use crate::error::KafkaError;
use crate::record::{HeaderSource, Record};
use crate::slots::{Slot, Slots};

/// A consumer group member over librdkafka. One per worker thread.
pub struct RdConsumer {
    link: BatchConsumer<ConsumerHooks>,
    subscription: Vec<String>,
    group: String,
    /// Which share of all partitions is ours, (which, of how many), where no group shares them out.
    share: Option<(u32, u32)>,
}

/// Why a question was not answered is waited for so often, for so long each.
const REASON_WAITS: u32 = 40;
const REASON_WAIT: Duration = Duration::from_millis(50);

/// How long a question to the cluster may take.
const ANSWER: Duration = Duration::from_secs(10);
/// How long the client may take to end.
const ENDING: Duration = Duration::from_secs(10);
/// How long records are waited for before rebalances are looked for again.
const SLICE: Duration = Duration::from_millis(20);
/// Events of the consumer's queue served before records get their turn.
const SERVED_AT_ONCE: usize = 64;

impl RdConsumer {
    /// Joins the group; `owner` says where to start each partition, on the thread that polls.
    ///
    /// # Errors
    /// A property that librdkafka refuses, or a subscription that is none.
    pub fn join(config: &ConsumerConfig, owner: Box<dyn StartAt>) -> Result<Self, KafkaError> {
        let link = BatchConsumer::create(&config.client(), ConsumerHooks::new(owner))
            .map_err(|e| KafkaError::from_rd("open a consumer", &e))?;
        log_in(&config.properties, link.client());
        let topics: Vec<&str> = config.topics.iter().map(String::as_str).collect();
        link.client()
            .subscribe(&topics)
            .map_err(|e| KafkaError::from_rd("subscribe", &e))?;
        Ok(Self {
            link,
            subscription: config.topics.clone(),
            group: config.group.clone(),
            share: None,
        })
    }

    /// Reads the `share`-th of `of` shares of all partitions, without a membership: for whoever is
    /// known, by other means, to be the only reader. The group's name serves for commits.
    ///
    /// Partitions that come later are taken when [`Consumer::coverage`] is asked for.
    ///
    /// # Errors
    /// A property that librdkafka refuses, or a cluster that does not answer.
    pub fn alone(
        config: &ConsumerConfig,
        share: u32,
        of: u32,
        owner: Box<dyn StartAt>,
    ) -> Result<Self, KafkaError> {
        let mut config = config.clone();
        config.instance = None;
        let link = BatchConsumer::create(&config.client(), ConsumerHooks::new(owner))
            .map_err(|e| KafkaError::from_rd("open a consumer", &e))?;
        log_in(&config.properties, link.client());
        Ok(Self {
            link,
            subscription: config.topics,
            group: config.group,
            share: Some((share, of.max(1))),
        })
    }

    /// Takes what of these topics is ours and was not.
    fn take_share(&mut self, topics: &[(String, u32)]) -> Result<(), KafkaError> {
        let Some((share, of)) = self.share else {
            return Ok(());
        };
        let has = self.hooks().slots().assigned();
        let all = topics.iter().flat_map(|(topic, count)| {
            let numbers = 0..*count;
            numbers.map(move |number| TopicPartition::new(topic.as_str(), number))
        });
        let ours = all.filter(|at| at.partition % of == share);
        let new: Vec<_> = ours.filter(|at| !has.contains(at)).collect();
        if new.is_empty() {
            return Ok(());
        }
        let list = partition_list(&new);
        let client = self.link.client();
        self.hooks().assigning(client, &list);
        client
            .incremental_assign(&list)
            .map_err(|e| KafkaError::from_rd("assign partitions", &e))
    }

    fn hooks(&self) -> &ConsumerHooks {
        self.link.client().context()
    }

    /// Lets the client do what waits on its own queue: rebalances, errors, statistics, log lines.
    fn serve(&mut self) -> Result<(), KafkaError> {
        for _ in 0..SERVED_AT_ONCE {
            let stray = match self.link.client().poll(Duration::ZERO) {
                None => return Ok(()),
                Some(Err(error @ RdError::MessageConsumptionFatal(_))) => {
                    return Err(self.fatal(&error));
                }
                // Told by the error callback, with the reason that is missing here.
                Some(Err(_)) => continue,
                Some(Ok(message)) => (message.topic().to_owned(), message.partition() as u32),
            };
            // Forwarding comes before fetching, so there is none; but if there is, read it again.
            let (topic, partition) = stray;
            let found = self.hooks().slots().find(&topic, partition);
            let next = found.and_then(|at| self.hooks().slots().at(at).next);
            if let Some(offset) = next {
                self.seek(&[Position {
                    topic,
                    partition,
                    offset,
                }])?;
            }
        }
        Ok(())
    }

    fn fatal(&self, error: &RdError) -> KafkaError {
        match self.link.client().client().fatal_error() {
            Some((code, text)) => KafkaError::Fatal {
                code: format!("{code:?}"),
                text,
            },
            None => KafkaError::from_rd("poll", error),
        }
    }

    fn deliver(
        &mut self,
        max: usize,
        wait: Duration,
        on_record: &mut dyn FnMut(&Record<'_>),
    ) -> usize {
        let hooks = Arc::clone(self.link.client().context());
        let mut run = Run::default();
        let mut delivered = 0;
        // Locked at the first message, that is: after the wait.
        let mut slots = None;
        self.link.take(max, wait, |message| {
            let slots = slots.get_or_insert_with(|| hooks.slots());
            let Some(at) = run.slot_of(message, slots) else {
                return;
            };
            match message.notice() {
                None => {
                    if slots.at(at).admit(message.offset()) {
                        on_record(&as_record(message, slots.at(at)));
                        delivered += 1;
                    }
                }
                Some(notice) => note(slots, at, message.offset(), notice),
            }
        });
        delivered
    }

    /// Assigns anew what is assigned, from the given positions or else our own. The only way on for
    /// partitions whose reading has stopped (the offset was not there) or has not begun. Paused ones
    /// stay paused: librdkafka keeps that over assignments.
    fn reassign(&mut self, positions: &[Position]) -> Result<(), KafkaError> {
        let failed = |e: RdError| KafkaError::from_rd("assign partitions anew", &e);
        let client = self.link.client();
        let one_by_one = matches!(client.rebalance_protocol(), RebalanceProtocol::Cooperative);
        let mut list = TopicPartitionList::new();
        let mut slots = self.hooks().slots();
        for index in 0..slots.all().len() {
            let slot = slots.all()[index].clone();
            let at = slots.named(&slot);
            let asked = positions
                .iter()
                .find(|p| p.topic == at.topic && p.partition == at.partition);
            if one_by_one && asked.is_none() {
                continue;
            }
            let next = asked.map(|p| p.offset).or(slot.next);
            let start = native_start(next.map_or(slot.start, Start::At));
            list.add_partition_offset(&at.topic, at.partition as i32, start)
                .map_err(failed)?;
            slots.at(index).moved = false;
            slots.at(index).stopping = true;
        }
        drop(slots);
        if one_by_one {
            client.incremental_unassign(&list).map_err(failed)?;
            return client.incremental_assign(&list).map_err(failed);
        }
        client.assign(&list).map_err(failed)
    }

    /// Stopping a partition, which librdkafka does at its leisure, undoes its forwarding. After a
    /// rebalance that is over before we are asked; after [`Self::reassign`] forward again, until
    /// something comes. What had come meanwhile is moved along.
    fn forward_again(&self) {
        let slots = self.hooks().slots();
        for slot in slots.all().iter().filter(|s| s.stopping) {
            let at = slots.named(slot);
            self.hooks()
                .cell()
                .forward(self.link.client(), &at.topic, at.partition as i32);
        }
    }

    fn assigned(&self, doing: &'static str, at: &TopicPartition) -> Result<usize, KafkaError> {
        self.hooks()
            .slots()
            .find(&at.topic, at.partition)
            .ok_or_else(|| KafkaError::NotAssigned {
                doing,
                topic: at.topic.clone(),
                partition: at.partition,
            })
    }

    /// What the client's own queue says of why a question had no answer (a password that is refused, a
    /// certificate that nobody knows): the answer itself does not.
    fn with_reason(&self, error: KafkaError) -> KafkaError {
        // It may come a moment after the answer does.
        for _ in 0..REASON_WAITS {
            for _ in 0..SERVED_AT_ONCE {
                if self.link.client().poll(Duration::ZERO).is_none() {
                    break;
                }
            }
            if self.hooks().slots().last_error().is_some() {
                break;
            }
            std::thread::sleep(REASON_WAIT);
        }
        let (KafkaError::Client { doing, code, text }, Some(reason)) =
            (&error, self.hooks().slots().last_error())
        else {
            return error;
        };
        KafkaError::Client {
            doing,
            code: code.clone(),
            text: format!("{text}: {reason}"),
        }
    }

    fn metadata(&self, topic: Option<&str>) -> Result<Metadata, KafkaError> {
        let client = self.link.client();
        client.fetch_metadata(topic, ANSWER).map_err(|error| {
            let error = KafkaError::from_rd("ask for topics", &error);
            self.with_reason(error)
        })
    }
}

impl Consumer for RdConsumer {
    fn poll_batch(
        &mut self,
        max: usize,
        timeout: Duration,
        on_record: &mut dyn FnMut(&Record<'_>),
    ) -> Result<usize, KafkaError> {
        let (mut left, mut wait) = (timeout, Duration::ZERO);
        loop {
            self.serve()?;
            if self.hooks().slots().rebalanced() {
                return Ok(0);
            }
            self.forward_again();
            let delivered = self.deliver(max, wait, on_record);
            if delivered > 0 || left.is_zero() || self.hooks().slots().has_events() {
                return Ok(delivered);
            }
            wait = left.min(SLICE);
            left -= wait;
        }
    }

    fn events(&mut self) -> Vec<Event> {
        self.hooks().slots().take_events()
    }

    fn topics(&self) -> Vec<Arc<str>> {
        self.hooks().slots().topics().to_vec()
    }

    fn coverage(&mut self) -> Result<Coverage, KafkaError> {
        let mut topics = Vec::new();
        for pattern in self.subscription.clone() {
            topics.extend(self.partitions(&pattern)?);
        }
        topics.sort();
        topics.dedup();
        self.take_share(&topics)?;
        Ok(Coverage {
            assigned: self.hooks().slots().assigned(),
            topics,
        })
    }

    fn lags(&self) -> Vec<Lag> {
        let (slots, ends) = (self.hooks().slots(), self.hooks().ends());
        let lag = |slot: &Slot| {
            let name = slots.topics()[usize::from(slot.topic.0)].to_string();
            let known = ends.get(&(name, slot.partition)).copied();
            let (end, reachable) = known.unzip();
            Lag {
                topic: slot.topic,
                partition: slot.partition,
                next: slot.next,
                end: end.flatten(),
                reachable,
            }
        };
        slots.all().iter().map(lag).collect()
    }

    fn seek(&mut self, positions: &[Position]) -> Result<(), KafkaError> {
        const DOING: &str = "seek";
        for at in positions {
            self.assigned(DOING, &TopicPartition::new(at.topic.as_str(), at.partition))?;
        }
        let list = position_list(positions).map_err(|e| KafkaError::from_rd(DOING, &e))?;
        let sought = self.link.client().seek_partitions(list, ANSWER);
        let sought = sought.map_err(|e| KafkaError::from_rd(DOING, &e))?;
        let code = |e: RdError| e.rdkafka_error_code();
        let stopped = Some(RDKafkaErrorCode::State);
        if sought
            .elements()
            .iter()
            .any(|e| e.error().err().and_then(code) == stopped)
        {
            self.reassign(positions)?;
        } else {
            each_went_well(DOING, &sought)?;
        }
        let mut slots = self.hooks().slots();
        for at in positions {
            if let Some(index) = slots.find(&at.topic, at.partition) {
                slots.at(index).sought(at.offset);
            }
        }
        Ok(())
    }

    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<(), KafkaError> {
        const DOING: &str = "pause";
        let slots: Result<Vec<_>, _> = partitions.iter().map(|p| self.assigned(DOING, p)).collect();
        let slots = slots?;
        let list = partition_list(partitions);
        self.link
            .client()
            .pause(&list)
            .map_err(|e| KafkaError::from_rd(DOING, &e))?;
        each_went_well(DOING, &list)?;
        for at in slots {
            self.hooks().slots().at(at).paused = true;
        }
        Ok(())
    }

    fn resume(&mut self, partitions: &[TopicPartition]) -> Result<(), KafkaError> {
        const DOING: &str = "resume";
        // Pausing threw away what was fetched and noted librdkafka's position, which is one too far
        // if an end was the last thing taken: say where to go on, before going on.
        let mut places = Vec::new();
        for at in partitions {
            let index = self.assigned(DOING, at)?;
            let slot = self.hooks().slots().at(index).clone();
            if let (true, Some(offset)) = (slot.moved, slot.next) {
                places.push(Position {
                    topic: at.topic.clone(),
                    partition: at.partition,
                    offset,
                });
            }
        }
        if !places.is_empty() {
            self.seek(&places)?;
        }
        let list = partition_list(partitions);
        self.link
            .client()
            .resume(&list)
            .map_err(|e| KafkaError::from_rd(DOING, &e))?;
        each_went_well(DOING, &list)?;
        for at in partitions {
            let index = self.assigned(DOING, at)?;
            self.hooks().slots().at(index).paused = false;
        }
        Ok(())
    }

    fn offsets_for_time(
        &mut self,
        partitions: &[TopicPartition],
        timestamp_ms: i64,
    ) -> Result<Vec<(TopicPartition, Option<Offset>)>, KafkaError> {
        const DOING: &str = "find offsets by time";
        let mut list = partition_list(partitions);
        list.set_all_offsets(RdOffset::Offset(timestamp_ms.max(0)))
            .map_err(|e| KafkaError::from_rd(DOING, &e))?;
        let found = self.link.client().offsets_for_times(list, ANSWER);
        let found = found.map_err(|e| KafkaError::from_rd(DOING, &e))?;
        each_went_well(DOING, &found)?;
        let mut offsets: Vec<_> = found
            .elements()
            .iter()
            .map(|e| {
                let offset = if let RdOffset::Offset(offset) = e.offset() {
                    Some(offset)
                } else {
                    None
                };
                (TopicPartition::new(e.topic(), e.partition() as u32), offset)
            })
            .collect();
        offsets.sort();
        Ok(offsets)
    }

    fn watermarks(&mut self, topic: &str, partition: u32) -> Result<(Offset, Offset), KafkaError> {
        let marks = self
            .link
            .client()
            .fetch_watermarks(topic, partition as i32, ANSWER);
        marks.map_err(|e| KafkaError::from_rd("ask for a partition's ends", &e))
    }

    fn partitions(&mut self, topic: &str) -> Result<Vec<(String, u32)>, KafkaError> {
        let pattern = pattern(topic)?;
        let metadata = self.metadata(pattern.is_none().then_some(topic))?;
        let mut found: Vec<_> = metadata
            .topics()
            .iter()
            .filter(|t| t.error().is_none())
            .filter(|t| {
                pattern
                    .as_ref()
                    .map_or(t.name() == topic, |p| p.is_match(t.name()))
            })
            .map(|t| (t.name().to_owned(), t.partitions().len() as u32))
            .collect();
        found.sort();
        Ok(found)
    }

    fn commit(&mut self, positions: &[Position]) -> Result<(), KafkaError> {
        if positions.is_empty() {
            return Ok(());
        }
        position_list(positions)
            .and_then(|list| self.link.client().commit(&list, CommitMode::Async))
            .map_err(|e| KafkaError::from_rd("commit", &e))
    }

    fn confirm(&mut self, position: &Position) -> Result<(), KafkaError> {
        let committed = position_list(std::slice::from_ref(position))
            .and_then(|list| self.link.client().commit(&list, CommitMode::Sync));
        committed.map_err(|error| match error.rdkafka_error_code() {
            // An illegal generation may be one that is being agreed on at the moment.
            Some(
                code @ (RDKafkaErrorCode::UnknownMemberId | RDKafkaErrorCode::FencedInstanceId),
            ) => KafkaError::NotMember {
                group: self.group.clone(),
                code: format!("{code:?}"),
            },
            _ => KafkaError::from_rd("confirm a membership", &error),
        })
    }

    fn close(self: Box<Self>) -> Result<(), KafkaError> {
        const DOING: &str = "close the consumer";
        // Ending a client can hang (a coordinator that is gone); that must not hang a shutdown.
        let (done, ended) = channel();
        let end = move || {
            drop(self);
            // Nobody may be waiting any more.
            let _ = done.send(());
        };
        let ending = std::thread::Builder::new()
            .name("kafka-close".to_owned())
            .spawn(end);
        ending.map_err(|e| KafkaError::Client {
            doing: DOING,
            code: String::new(),
            text: e.to_string(),
        })?;
        match ended.recv_timeout(ENDING) {
            Ok(()) => Ok(()),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                Err(KafkaError::TimedOut { doing: DOING })
            }
        }
    }
}

/// The partition of the last message: batches come in runs, so it is looked up once a run.
#[derive(Default)]
struct Run {
    of: Option<(usize, i32)>,
    slot: Option<usize>,
}

impl Run {
    fn slot_of(&mut self, message: NativeMessage<'_>, slots: &Slots) -> Option<usize> {
        let of = (message.topic_identity(), message.partition());
        if self.of != Some(of) {
            self.of = Some(of);
            self.slot = slots.find(message.topic(), message.partition() as u32);
        }
        self.slot
    }
}

/// The regular expression that a subscription is, if it is one.
pub(crate) fn pattern(topic: &str) -> Result<Option<Regex>, KafkaError> {
    let pattern = topic
        .starts_with('^')
        .then(|| Regex::new(topic))
        .transpose();
    pattern.map_err(|e| KafkaError::Client {
        doing: "read a topic pattern",
        code: "InvalidArgument".to_owned(),
        text: e.to_string(),
    })
}

fn as_record<'a>(message: NativeMessage<'a>, slot: &Slot) -> Record<'a> {
    let (timestamp_ms, log_append_time) = message.timestamp();
    Record {
        topic: slot.topic,
        partition: slot.partition,
        offset: message.offset(),
        timestamp_ms,
        log_append_time,
        key: message.key(),
        payload: message.payload(),
        headers: HeaderSource::Native(message.headers()),
    }
}

fn note(slots: &mut Slots, at: usize, offset: Offset, notice: Notice) {
    let slot = slots.at(at);
    let (topic, partition) = (slot.topic, slot.partition);
    match notice {
        Notice::EndOfPartition => {
            slot.ended(offset);
            slots.tell(Event::EndOfPartition {
                topic,
                partition,
                offset,
            });
        }
        Notice::Error { code, text } => {
            slot.took();
            slots.tell(Event::PartitionError {
                topic,
                partition,
                code: format!("{code:?}"),
                text,
            });
        }
    }
}

fn each_went_well(doing: &'static str, list: &TopicPartitionList) -> Result<(), KafkaError> {
    for element in list.elements() {
        if let Err(error) = element.error() {
            return Err(KafkaError::from_rd(doing, &error));
        }
    }
    Ok(())
}
