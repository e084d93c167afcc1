//! What is assigned and how far it was delivered: the consumer's own book, which it trusts instead
//! of the client's stored positions (a batch call moves those past ends and errors).

use std::collections::BTreeMap;
use std::sync::Arc;

use foghorn_model::Offset;

use crate::client::{Event, Start, TopicPartition};
use crate::record::TopicId;

/// One assigned partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) topic: TopicId,
    pub(crate) partition: u32,
    /// Offset from which on records are new; `None` until a logical start has shown what it is.
    pub(crate) next: Option<Offset>,
    /// Where the owner said to begin.
    pub(crate) start: Start,
    pub(crate) paused: bool,
    /// Whether anything was taken from the client since it was last told a position: then its own
    /// idea of the position may be wrong.
    pub(crate) moved: bool,
    /// Whether its forwarding to our queue may be undone by a stop that is under way.
    pub(crate) stopping: bool,
}

/// The assigned partitions, and what is to be told about them.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    topics: Vec<Arc<str>>,
    /// Sorted by (topic, partition).
    assigned: Vec<Slot>,
    events: Vec<Event>,
    rebalanced: bool,
}

impl Slots {
    /// Takes partitions in, each with where it begins. Numbers new topics in name order.
    pub(crate) fn assign(&mut self, starts: &BTreeMap<TopicPartition, Start>) {
        for (at, start) in starts {
            let next = if let Start::At(offset) = start {
                Some(*offset)
            } else {
                None
            };
            let topic = self.intern(&at.topic);
            self.assigned
                .retain(|s| (s.topic, s.partition) != (topic, at.partition));
            self.assigned.push(Slot {
                topic,
                partition: at.partition,
                next,
                start: *start,
                paused: false,
                moved: false,
                stopping: false,
            });
        }
        self.assigned.sort_by_key(|s| (s.topic, s.partition));
        self.events
            .push(Event::Assigned(starts.keys().cloned().collect()));
        self.rebalanced = true;
    }

    /// Lets partitions go (`partitions` sorted).
    pub(crate) fn revoke(&mut self, partitions: Vec<TopicPartition>, lost: bool) {
        for gone in &partitions {
            if let Some(at) = self.find(&gone.topic, gone.partition) {
                self.assigned.remove(at);
            }
        }
        self.events.push(Event::Revoked { partitions, lost });
        self.rebalanced = true;
    }

    pub(crate) fn tell(&mut self, event: Event) {
        self.events.push(event);
    }

    /// Takes the events; records may flow again.
    pub(crate) fn take_events(&mut self) -> Vec<Event> {
        self.rebalanced = false;
        std::mem::take(&mut self.events)
    }

    /// What went wrong last, of what was not taken yet, beside that nobody answers.
    pub(crate) fn last_error(&self) -> Option<String> {
        let telling = self.events.iter().rev().filter(|it| !it.is_cut_off());
        let mut errors = telling.filter_map(|event| match event {
            Event::Error { text, .. } => Some(text),
            _ => None,
        });
        errors.next().cloned()
    }

    pub(crate) fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// Whether a rebalance waits to be told; until then no record may be delivered.
    pub(crate) fn rebalanced(&self) -> bool {
        self.rebalanced
    }

    pub(crate) fn topics(&self) -> &[Arc<str>] {
        &self.topics
    }

    /// Index of an assigned partition in [`Self::all`].
    pub(crate) fn find(&self, topic: &str, partition: u32) -> Option<usize> {
        let id = TopicId(self.topics.iter().position(|t| &**t == topic)? as u16);
        self.assigned
            .binary_search_by_key(&(id, partition), |s| (s.topic, s.partition))
            .ok()
    }

    pub(crate) fn all(&self) -> &[Slot] {
        &self.assigned
    }

    pub(crate) fn at(&mut self, index: usize) -> &mut Slot {
        &mut self.assigned[index]
    }

    pub(crate) fn assigned(&self) -> Vec<TopicPartition> {
        let mut named: Vec<_> = self.assigned.iter().map(|s| self.named(s)).collect();
        named.sort();
        named
    }

    pub(crate) fn named(&self, slot: &Slot) -> TopicPartition {
        TopicPartition::new(&*self.topics[usize::from(slot.topic.0)], slot.partition)
    }

    fn intern(&mut self, topic: &str) -> TopicId {
        let known = self.topics.iter().position(|t| &**t == topic);
        let at = known.unwrap_or_else(|| {
            self.topics.push(Arc::from(topic));
            self.topics.len() - 1
        });
        TopicId(at as u16)
    }
}

impl Slot {
    /// Whether a record at `offset` is to be delivered now. If so it counts as delivered.
    pub(crate) fn admit(&mut self, offset: Offset) -> bool {
        self.took();
        if self.paused || self.next.is_some_and(|next| offset < next) {
            return false;
        }
        self.next = Some(offset + 1);
        true
    }

    /// The end was reached: `offset` is what comes next, whatever lay before (markers, compaction).
    pub(crate) fn ended(&mut self, offset: Offset) {
        self.took();
        self.next = Some(self.next.map_or(offset, |next| next.max(offset)));
    }

    /// Something came from this partition, through our queue.
    pub(crate) fn took(&mut self) {
        self.moved = true;
        self.stopping = false;
    }

    /// The client was told to go on from `offset`.
    pub(crate) fn sought(&mut self, offset: Offset) {
        self.moved = false;
        self.next = Some(offset);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starts(list: &[(&str, u32)]) -> BTreeMap<TopicPartition, Start> {
        list.iter()
            .map(|&(t, p)| (TopicPartition::new(t, p), Start::At(0)))
            .collect()
    }

    #[test]
    fn topics_keep_the_number_they_were_first_seen_with() {
        let mut slots = Slots::default();
        slots.assign(&starts(&[("m", 1), ("m", 0), ("b", 0)]));
        slots.assign(&starts(&[("a", 0)]));
        let names: Vec<_> = slots.topics().iter().map(ToString::to_string).collect();
        assert_eq!(names, ["b", "m", "a"]);
        let order: Vec<_> = slots
            .all()
            .iter()
            .map(|s| (s.topic.0, s.partition))
            .collect();
        assert_eq!(order, [(0, 0), (1, 0), (1, 1), (2, 0)]);
        assert_eq!(slots.assigned()[0], TopicPartition::new("a", 0));
    }

    #[test]
    fn an_offset_is_delivered_once_and_a_paused_partition_not_at_all() {
        let mut slots = Slots::default();
        slots.assign(&starts(&[("t", 0)]));
        let slot = slots.at(0);
        let mut check = |offset, expect| assert_eq!(slot.admit(offset), expect, "{offset}");
        check(0, true);
        check(0, false);
        check(5, true);
        check(4, false);
        slot.paused = true;
        assert!(!slot.admit(6));
        assert_eq!(slot.next, Some(6));
    }

    #[test]
    fn records_wait_until_a_rebalance_has_been_told() {
        let mut slots = Slots::default();
        slots.assign(&starts(&[("t", 0)]));
        assert!(slots.rebalanced());
        assert_eq!(slots.take_events().len(), 1);
        assert!(!slots.rebalanced());
        slots.revoke(vec![TopicPartition::new("t", 0)], true);
        assert!(slots.rebalanced() && slots.all().is_empty());
    }
}
