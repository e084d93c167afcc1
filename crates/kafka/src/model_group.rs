//! Consumer groups of the model log: generations, range assignment, members and zombies.
//!
//! A rebalance is eager, as under the classic protocol: every member gives its partitions up at its
//! next poll, and only when all have done so does anybody get new ones.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use foghorn_model::Offset;

use crate::TopicId;
use crate::client::{Consumer, Coverage, Event, Lag, Position, Start, StartAt, TopicPartition};
use crate::consumer::pattern;
use crate::error::KafkaError;
use crate::model_log::{ModelCluster, State};
use crate::record::{OwnedRecord, Record};
use crate::slots::Slots;

/// A member of a group of a [`ModelCluster`].
pub struct ModelConsumer {
    cluster: ModelCluster,
    group: String,
    member: String,
    subscription: Vec<String>,
    owner: Box<dyn StartAt>,
    /// Which of the members that ever had this name we are.
    incarnation: u64,
    /// Generation of the assignment that is in `slots`; 0 = none.
    held: u64,
    slots: Slots,
    /// What was told of each partition, and at which offset: its end, or that it cannot be read.
    told: BTreeMap<(TopicId, u32), Offset>,
    /// Partition that comes first in the next batch, so that none starves.
    turn: usize,
}

/// A group, as its coordinator sees it.
#[derive(Default)]
pub(crate) struct Group {
    generation: u64,
    incarnations: u64,
    members: BTreeMap<String, Member>,
    committed: BTreeMap<TopicPartition, Offset>,
}

struct Member {
    incarnation: u64,
    subscription: Vec<String>,
    /// Generation for which it has given up what it had.
    ready: u64,
}

// === impl Group ===

impl Group {
    pub(crate) fn rebalance(&mut self) {
        self.generation += 1;
    }

    /// Removes a member; if `incarnation` is given, only that one of its name.
    pub(crate) fn remove(&mut self, member: &str, incarnation: Option<u64>) {
        let known = self.members.get(member).map(|m| m.incarnation);
        if known.is_some() && (incarnation.is_none() || incarnation == known) {
            self.members.remove(member);
            self.rebalance();
        }
    }

    pub(crate) fn committed(&self) -> Vec<Position> {
        let position = |(at, offset): (&TopicPartition, &Offset)| Position {
            topic: at.topic.clone(),
            partition: at.partition,
            offset: *offset,
        };
        self.committed.iter().map(position).collect()
    }

    fn add(&mut self, member: &str, subscription: &[String]) -> u64 {
        self.incarnations += 1;
        self.rebalance();
        let joining = Member {
            incarnation: self.incarnations,
            subscription: subscription.to_vec(),
            ready: self.generation,
        };
        self.members.insert(member.to_owned(), joining);
        self.incarnations
    }

    /// Range assignment: of each topic, members in name order get neighbouring partitions, the first
    /// ones one more if it does not divide evenly.
    fn share(&self, member: &str, topics: &BTreeMap<String, u32>) -> BTreeSet<TopicPartition> {
        let mut share = BTreeSet::new();
        for (topic, &count) in topics {
            let readers = self
                .members
                .iter()
                .filter(|(_, m)| reads(&m.subscription, topic));
            let readers: Vec<&str> = readers.map(|(name, _)| name.as_str()).collect();
            let Some(at) = readers.iter().position(|&name| name == member) else {
                continue;
            };
            let (at, n) = (at as u32, readers.len() as u32);
            let begin = at * (count / n) + at.min(count % n);
            let end = begin + count / n + u32::from(at < count % n);
            share.extend((begin..end).map(|p| TopicPartition::new(topic.as_str(), p)));
        }
        share
    }
}

fn reads(subscription: &[String], topic: &str) -> bool {
    subscription.iter().any(|wanted| match pattern(wanted) {
        Ok(Some(pattern)) => pattern.is_match(topic),
        _ => wanted == topic,
    })
}

// === impl ModelConsumer ===

impl ModelConsumer {
    pub(crate) fn join(
        cluster: ModelCluster,
        group: &str,
        member: &str,
        topics: &[&str],
        owner: Box<dyn StartAt>,
    ) -> Self {
        let subscription: Vec<String> = topics.iter().map(|&t| t.to_owned()).collect();
        let incarnation = {
            let mut state = cluster.state();
            state
                .groups
                .entry(group.to_owned())
                .or_default()
                .add(member, &subscription)
        };
        Self {
            cluster,
            group: group.to_owned(),
            member: member.to_owned(),
            subscription,
            owner,
            incarnation,
            held: 0,
            slots: Slots::default(),
            told: BTreeMap::new(),
            turn: 0,
        }
    }

    /// Does what a rebalance asks of this member now. True if there is something to be told first.
    fn take_part(&mut self) -> Result<bool, KafkaError> {
        let (generation, known) = self.standing();
        match known {
            Some(incarnation) if incarnation != self.incarnation => {
                return Err(KafkaError::Fatal {
                    code: "FencedInstanceId".to_owned(),
                    text: format!("another member took the name `{}`", self.member),
                });
            }
            None => {
                self.give_up(true);
                let mut state = self.cluster.state();
                let group = state.groups.entry(self.group.clone()).or_default();
                self.incarnation = group.add(&self.member, &self.subscription);
                return Ok(self.slots.rebalanced());
            }
            Some(_) if generation == self.held => return Ok(false),
            Some(_) => {}
        }
        self.give_up(false);
        if let Some(share) = self.new_share(generation) {
            self.take_over(generation, share);
        }
        Ok(self.slots.rebalanced())
    }

    /// The group's generation, and which incarnation of our name is a member of it.
    fn standing(&self) -> (u64, Option<u64>) {
        let state = self.cluster.state();
        let group = state.groups.get(&self.group);
        let known = group
            .and_then(|g| g.members.get(&self.member))
            .map(|m| m.incarnation);
        (group.map_or(0, |g| g.generation), known)
    }

    fn give_up(&mut self, lost: bool) {
        let going = self.slots.assigned();
        if self.held == 0 || going.is_empty() {
            return;
        }
        let last = self.owner.before_revoke(&going, lost);
        if !lost {
            self.write_commit(&last);
        }
        self.slots.revoke(going, lost);
        self.told.clear();
        self.held = 0;
    }

    /// Declares readiness for the generation; our share of it, once all are ready.
    fn new_share(&self, generation: u64) -> Option<BTreeSet<TopicPartition>> {
        let mut state = self.cluster.state();
        let topics = topic_counts(&state);
        let group = state.groups.get_mut(&self.group)?;
        group.members.get_mut(&self.member)?.ready = generation;
        let all = group.members.values().all(|m| m.ready == group.generation);
        (all && group.generation == generation).then(|| group.share(&self.member, &topics))
    }

    fn take_over(&mut self, generation: u64, share: BTreeSet<TopicPartition>) {
        let mut starts = BTreeMap::new();
        for at in share {
            let start = self.owner.start_at(&at.topic, at.partition);
            let start = self.resolve(&at, start);
            starts.insert(at, start);
        }
        self.slots.assign(&starts);
        self.held = generation;
    }

    /// Makes a start an offset, which is fixed from now on; only a missing commit stays what it is.
    fn resolve(&self, at: &TopicPartition, start: Start) -> Start {
        let state = &mut *self.cluster.state();
        let committed = state
            .groups
            .get(&self.group)
            .and_then(|g| g.committed.get(at))
            .copied();
        match (start, state.log(&at.topic, at.partition)) {
            (Start::Earliest, Ok(log)) => Start::At(log.low()),
            (Start::Latest, Ok(log)) => Start::At(log.shown()),
            (Start::Committed, _) => committed.map_or(start, Start::At),
            _ => start,
        }
    }

    /// What one partition has for us: records, its end, or an error.
    fn fetch(&mut self, index: usize, max: usize) -> Vec<OwnedRecord> {
        let slot = self.slots.at(index).clone();
        let (topic, partition) = (slot.topic, slot.partition);
        if slot.paused {
            return Vec::new();
        }
        let name = Arc::clone(&self.slots.topics()[usize::from(topic.0)]);
        let state = &mut *self.cluster.state();
        let Ok(log) = state.log(&name, partition) else {
            return Vec::new();
        };
        let Some(next) = slot.next.filter(|n| (log.low()..=log.high()).contains(n)) else {
            // Every offset is told of once; so is having none.
            let missing = slot.next.unwrap_or(-1);
            if self.told.insert((topic, partition), missing) != Some(missing) {
                let text = format!("no record at {missing}, only {}..{}", log.low(), log.high());
                let code = "AutoOffsetReset".to_owned();
                self.slots.tell(Event::PartitionError {
                    topic,
                    partition,
                    code,
                    text,
                });
            }
            return Vec::new();
        };
        let records: Vec<_> = log.from(next, max).cloned().collect();
        let end = records.last().map_or(next, |r| r.offset + 1);
        if end >= log.shown() && self.told.insert((topic, partition), end) != Some(end) {
            self.slots.tell(Event::EndOfPartition {
                topic,
                partition,
                offset: end,
            });
        }
        records
    }

    fn write_commit(&mut self, positions: &[Position]) {
        if positions.is_empty() {
            return;
        }
        let mut state = self.cluster.state();
        let group = state.groups.entry(self.group.clone()).or_default();
        let ours = group.members.get(&self.member).map(|m| m.incarnation) == Some(self.incarnation);
        if ours && self.held > 0 {
            let entry =
                |p: &Position| (TopicPartition::new(p.topic.as_str(), p.partition), p.offset);
            group.committed.extend(positions.iter().map(entry));
        } else {
            let (code, text) = ("IllegalGeneration".to_owned(), "a commit failed".to_owned());
            self.slots.tell(Event::Error {
                fatal: false,
                code,
                text,
            });
        }
    }

    fn assigned(&self, doing: &'static str, at: &TopicPartition) -> Result<usize, KafkaError> {
        let (topic, partition) = (at.topic.clone(), at.partition);
        let found = self.slots.find(&at.topic, at.partition);
        found.ok_or(KafkaError::NotAssigned {
            doing,
            topic,
            partition,
        })
    }

    fn set_paused(
        &mut self,
        doing: &'static str,
        partitions: &[TopicPartition],
        paused: bool,
    ) -> Result<(), KafkaError> {
        let found: Result<Vec<_>, _> = partitions.iter().map(|p| self.assigned(doing, p)).collect();
        for index in found? {
            self.slots.at(index).paused = paused;
        }
        Ok(())
    }
}

impl Consumer for ModelConsumer {
    fn poll_batch(
        &mut self,
        max: usize,
        _timeout: Duration,
        on_record: &mut dyn FnMut(&Record<'_>),
    ) -> Result<usize, KafkaError> {
        if self.slots.rebalanced() || self.take_part()? {
            return Ok(0);
        }
        let (mut delivered, count) = (0, self.slots.all().len());
        for step in 0..count {
            let index = (self.turn + step) % count;
            for record in self.fetch(index, max - delivered) {
                let slot = self.slots.at(index);
                if slot.admit(record.offset) {
                    on_record(&record.as_record(slot.topic));
                    delivered += 1;
                }
            }
        }
        self.turn = self.turn.wrapping_add(1);
        Ok(delivered)
    }

    fn events(&mut self) -> Vec<Event> {
        self.slots.take_events()
    }

    fn topics(&self) -> Vec<Arc<str>> {
        self.slots.topics().to_vec()
    }

    fn coverage(&mut self) -> Result<Coverage, KafkaError> {
        let topics = topic_counts(&self.cluster.state());
        let topics = topics
            .into_iter()
            .filter(|(t, _)| reads(&self.subscription, t))
            .collect();
        Ok(Coverage {
            assigned: self.slots.assigned(),
            topics,
        })
    }

    fn lags(&self) -> Vec<Lag> {
        let mut state = self.cluster.state();
        let mut lags = Vec::new();
        for slot in self.slots.all() {
            let (topic, partition, next) = (slot.topic, slot.partition, slot.next);
            let name = &self.slots.topics()[usize::from(topic.0)];
            let end = state.log(name, partition).ok().map(|log| log.shown());
            lags.push(Lag {
                topic,
                partition,
                next,
                end,
                reachable: Some(true),
            });
        }
        lags
    }

    fn seek(&mut self, positions: &[Position]) -> Result<(), KafkaError> {
        for p in positions {
            let at = TopicPartition::new(p.topic.as_str(), p.partition);
            let index = self.assigned("seek", &at)?;
            let slot = self.slots.at(index);
            slot.sought(p.offset);
            self.told.remove(&(slot.topic, slot.partition));
        }
        Ok(())
    }

    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<(), KafkaError> {
        self.set_paused("pause", partitions, true)
    }

    fn resume(&mut self, partitions: &[TopicPartition]) -> Result<(), KafkaError> {
        self.set_paused("resume", partitions, false)
    }

    fn offsets_for_time(
        &mut self,
        partitions: &[TopicPartition],
        timestamp_ms: i64,
    ) -> Result<Vec<(TopicPartition, Option<Offset>)>, KafkaError> {
        let mut state = self.cluster.state();
        let mut found = Vec::new();
        for at in partitions {
            let offset = state.log(&at.topic, at.partition)?.at_time(timestamp_ms);
            found.push((at.clone(), offset));
        }
        found.sort();
        Ok(found)
    }

    fn watermarks(&mut self, topic: &str, partition: u32) -> Result<(Offset, Offset), KafkaError> {
        let mut state = self.cluster.state();
        let log = state.log(topic, partition)?;
        Ok((log.low(), log.high()))
    }

    fn partitions(&mut self, topic: &str) -> Result<Vec<(String, u32)>, KafkaError> {
        pattern(topic)?;
        let wanted = [topic.to_owned()];
        let topics = topic_counts(&self.cluster.state());
        Ok(topics
            .into_iter()
            .filter(|(t, _)| reads(&wanted, t))
            .collect())
    }

    fn commit(&mut self, positions: &[Position]) -> Result<(), KafkaError> {
        self.write_commit(positions);
        Ok(())
    }

    fn confirm(&mut self, _position: &Position) -> Result<(), KafkaError> {
        if self.standing().1 == Some(self.incarnation) {
            return Ok(());
        }
        Err(KafkaError::NotMember {
            group: self.group.clone(),
            code: "UnknownMemberId".to_owned(),
        })
    }

    fn close(mut self: Box<Self>) -> Result<(), KafkaError> {
        if self.standing().1 == Some(self.incarnation) {
            self.give_up(false);
        }
        Ok(())
    }
}

impl Drop for ModelConsumer {
    fn drop(&mut self) {
        if let Some(group) = self.cluster.state().groups.get_mut(&self.group) {
            group.remove(&self.member, Some(self.incarnation));
        }
    }
}

fn topic_counts(state: &State) -> BTreeMap<String, u32> {
    state
        .topics
        .iter()
        .map(|(name, t)| (name.clone(), t.partitions.len() as u32))
        .collect()
}
