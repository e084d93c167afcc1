//! Records that their producers sent twice, known by an id of their own.
//!
//! The verdict on a record depends on its own partition alone, and there on nothing but the records
//! between it and the last one with its id: it is a duplicate if that one is at most `window` away
//! in record time, and fewer than `max_ids` other ids came since. So a replay that begins a window
//! before the first record that matters says the same of all that do. Records without an id are
//! never duplicates. A duplicate moves its partition's position and nothing else.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{BuildHasherDefault, DefaultHasher};

use foghorn_model::{Offset, Partition, Timestamp};
use foghorn_wire::{EventId, Names};
use serde::{Deserialize, Serialize};

use crate::config::Span;

/// What a source's config says about records that come twice.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DedupConfig {
    /// Where the id stands in a record that is a JSON object (a key, or a pointer that begins with
    /// `/`; several are tried in turn). A record header `event_id`, or CloudEvents' `ce_id`, goes
    /// before it.
    #[serde(default = "event_id")]
    pub field: Names,
    /// How far apart in record time two records with one id may lie and still be the same event.
    #[serde(default = "ten_minutes")]
    pub window: Span,
    /// Most ids that are remembered of one partition; the one not seen for longest goes first.
    #[serde(default = "hundred_thousand")]
    pub max_ids: usize,
}

impl Default for DedupConfig {
    fn default() -> Self {
        Self {
            field: event_id(),
            window: ten_minutes(),
            max_ids: hundred_thousand(),
        }
    }
}

fn event_id() -> Names {
    Names::of(&["event_id"])
}

fn ten_minutes() -> Span {
    Span(600_000)
}

fn hundred_thousand() -> usize {
    100_000
}

/// What deduplication did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DedupStats {
    /// Records that were left out because they had come before.
    pub duplicates: u64,
    /// Ids that were forgotten within the window, for want of room.
    pub evicted_early: u64,
    /// Records that had no id.
    pub without_id: u64,
}

/// The ids of one source's records.
#[derive(Debug)]
pub(crate) struct Dedup {
    config: DedupConfig,
    tables: BTreeMap<Partition, Table>,
    pub(crate) stats: DedupStats,
}

/// One partition's ids, by when they were last seen.
#[derive(Debug, Default)]
struct Table {
    next_offset: Offset,
    /// Record time and turn of the last sight. Never iterated.
    seen: HashMap<EventId, (Timestamp, u64), BuildHasherDefault<DefaultHasher>>,
    /// Sights in their order; one whose turn is not the id's last is void.
    order: VecDeque<(EventId, u64)>,
    turn: u64,
}

/// The ids of one partition that are remembered at some position, in the order of their last sights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DedupState {
    /// Which partition.
    pub partition: Partition,
    /// At which position.
    pub next_offset: Offset,
    seen: Vec<(EventId, Timestamp)>,
}

impl Dedup {
    /// What is remembered, per partition.
    pub(crate) fn state(&self) -> impl Iterator<Item = DedupState> + '_ {
        self.tables.iter().map(|(partition, table)| DedupState {
            partition: *partition,
            next_offset: table.next_offset,
            seen: table.in_order().collect(),
        })
    }

    /// Goes on from a state.
    pub(crate) fn resume(&mut self, state: &DedupState) {
        let mut table = Table {
            next_offset: state.next_offset,
            ..Table::default()
        };
        for (id, at) in &state.seen {
            table.see(*id, *at);
        }
        self.tables.insert(state.partition, table);
    }

    pub(crate) fn new(config: DedupConfig) -> Self {
        Self {
            config,
            tables: BTreeMap::new(),
            stats: DedupStats::default(),
        }
    }

    /// Whether a record came before. `told` is an id beside the record, `at` its own time.
    pub(crate) fn is_duplicate(
        &mut self,
        partition: Partition,
        offset: Offset,
        at: Timestamp,
        told: Option<&str>,
        payload: &[u8],
    ) -> bool {
        let table = self.tables.entry(partition).or_default();
        if offset < table.next_offset {
            // The partition is read again from here: what was seen then is not before this.
            *table = Table::default();
        }
        table.next_offset = offset + 1;
        let id = told
            .filter(|id| !id.is_empty())
            .map(EventId::of)
            .or_else(|| EventId::find(&self.config.field, payload));
        let Some(id) = id else {
            self.stats.without_id += 1;
            return false;
        };
        let last = table.see(id, at);
        self.stats.evicted_early += table.bound(self.config.max_ids, at, self.config.window.0);
        let duplicate = last.is_some_and(|last| (at - last).abs() <= self.config.window.0);
        self.stats.duplicates += u64::from(duplicate);
        duplicate
    }
}

impl Table {
    /// Ids with their last sights, in the order of these.
    fn in_order(&self) -> impl Iterator<Item = (EventId, Timestamp)> + '_ {
        self.order.iter().filter_map(|(id, turn)| {
            let (at, latest) = self.seen.get(id)?;
            (latest == turn).then_some((*id, *at))
        })
    }

    /// Notes a sight of an id; the time of the one before.
    fn see(&mut self, id: EventId, at: Timestamp) -> Option<Timestamp> {
        self.turn += 1;
        self.order.push_back((id, self.turn));
        self.seen.insert(id, (at, self.turn)).map(|(last, _)| last)
    }

    /// Forgets the ids seen longest ago, down to `max_ids`; how many of them lay within the window
    /// of `now`.
    fn bound(&mut self, max_ids: usize, now: Timestamp, window_ms: i64) -> u64 {
        let mut early = 0;
        while self.seen.len() > max_ids.max(1) {
            let Some((id, turn)) = self.order.pop_front() else {
                break;
            };
            if let Some((last, latest)) = self.seen.get(&id).copied()
                && latest == turn
            {
                self.seen.remove(&id);
                early += u64::from((now - last).abs() <= window_ms);
            }
        }
        if self.order.len() > 2 * self.seen.len() + 16 {
            let seen = &self.seen;
            self.order
                .retain(|(id, turn)| seen.get(id).is_some_and(|(_, latest)| latest == turn));
        }
        early
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records as (partition, time in ms, id); those that are duplicates, by position. `from` is
    /// where reading begins.
    fn duplicates(max_ids: usize, records: &[(u32, i64, &str)], from: usize) -> Vec<usize> {
        let mut dedup = Dedup::new(DedupConfig {
            window: Span(100),
            max_ids,
            ..DedupConfig::default()
        });
        let mut found = Vec::new();
        for (i, (partition, ms, id)) in records.iter().enumerate().skip(from) {
            let payload = format!(r#"{{"event_id":"{id}"}}"#);
            let partition = Partition::new(0, *partition);
            let at = Timestamp(*ms);
            if dedup.is_duplicate(partition, i as i64, at, None, payload.as_bytes()) {
                found.push(i);
            }
        }
        found
    }

    fn check(max_ids: usize, records: &[(u32, i64, &str)], expect: &[usize]) {
        assert_eq!(duplicates(max_ids, records, 0), expect, "{records:?}");
    }

    #[test]
    fn within_the_window_of_its_own_partition() {
        check(10, &[(0, 0, "a"), (0, 100, "a")], &[1]);
        check(10, &[(0, 0, "a"), (0, 101, "a")], &[]);
        check(10, &[(0, 0, "a"), (1, 1, "a")], &[]);
        // Each sight counts, so that the verdict needs no more than one window back.
        check(10, &[(0, 0, "a"), (0, 90, "a"), (0, 180, "a")], &[1, 2]);
        check(10, &[(0, 100, "a"), (0, 0, "a")], &[1]);
        check(10, &[(0, 0, ""), (0, 0, "")], &[]);
    }

    #[test]
    fn the_bound_counts_ids_since_the_last_sight() {
        let records = [
            (0, 0, "a"),
            (0, 1, "b"),
            (0, 2, "a"),
            (0, 3, "c"),
            (0, 4, "a"),
        ];
        check(2, &records, &[2, 4]);
        check(
            2,
            &[(0, 0, "a"), (0, 1, "b"), (0, 2, "c"), (0, 3, "a")],
            &[],
        );
        let mut dedup = Dedup::new(DedupConfig {
            max_ids: 1,
            ..DedupConfig::default()
        });
        for (offset, id) in ["a", "b", "b"].iter().enumerate() {
            dedup.is_duplicate(
                Partition::new(0, 0),
                offset as i64,
                Timestamp(0),
                Some(id),
                b"",
            );
        }
        let expect = DedupStats {
            duplicates: 1,
            evicted_early: 1,
            without_id: 0,
        };
        assert_eq!(dedup.stats, expect);
    }

    #[test]
    fn reading_again_from_an_earlier_offset_says_the_same() {
        let mut dedup = Dedup::new(DedupConfig::default());
        let mut say = |offset, id: &str| {
            dedup.is_duplicate(Partition::new(0, 0), offset, Timestamp(0), Some(id), b"{}")
        };
        let first = [say(0, "a"), say(1, "b"), say(2, "a")];
        let again = [say(0, "a"), say(1, "b"), say(2, "a")];
        assert_eq!(first, [false, false, true]);
        assert_eq!(again, first);
    }

    #[test]
    fn a_reader_that_begins_a_window_earlier_agrees() {
        // A crowd of few ids whose times wander: whatever the start, verdicts agree on all records
        // whose time is a window past every record from the start on.
        let mut state = 7_u64;
        let mut draw = |n: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) % n
        };
        let ids = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
        let records: Vec<(u32, i64, &str)> = (0..600)
            .map(|i| {
                (
                    draw(2) as u32,
                    i * 3 + draw(40) as i64,
                    ids[draw(10) as usize],
                )
            })
            .collect();
        for max_ids in [3, 100] {
            let all = duplicates(max_ids, &records, 0);
            assert!(all.len() > 50);
            for from in (50..500).step_by(50) {
                // Times wander by 40 ms: a record this far on has its window behind `from`.
                let settled = from + (100 + 2 * 40) / 3 + 1;
                let late = |found: &[usize]| -> Vec<usize> {
                    found.iter().copied().filter(|i| *i >= settled).collect()
                };
                let part = duplicates(max_ids, &records, from);
                assert_eq!(late(&part), late(&all), "from {from}, {max_ids} ids");
            }
        }
    }
}
