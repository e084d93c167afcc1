//! What closed ticks leave behind: totals of delta series, trimmed windows, buried series.
//!
//! Nothing here shows in what ticks see, which goes by time alone: it is about memory. So it goes at
//! its own pace: a window is trimmed when a sample needs its room, and series are looked through for
//! dead ones each time their horizon has moved by a quarter of their reach. Both go by ticks.

use std::sync::Arc;

use foghorn_model::Timestamp;
use foghorn_rules::plan::LOOKBACK_MS;

use super::sets::UNREAD;
use super::{LIMBO, NONE, Shard};
use crate::batch::Birth;
use crate::catalog::GroupIndex;
use crate::series::{PartitionRank, Series, SetId, Span};

impl Shard {
    /// A group closed a tick: what no group can reach any more goes, if not at once.
    pub fn closed(&mut self, group: GroupIndex, tick: Timestamp) {
        self.closed_own(group, tick);
        self.in_worlds(|shard| shard.closed_own(group, tick));
    }

    fn closed_own(&mut self, group: GroupIndex, tick: Timestamp) {
        self.order();
        self.closed[group] = tick;
        let catalog = Arc::clone(&self.catalog);
        self.preserve_deltas();
        self.total(group, tick);
        if self.capture.is_some() {
            // What is captured stands as it stood at the cut; memory can wait.
            self.sets.advance(&catalog, group, tick, &self.closed);
            self.forget_heard();
            return;
        }
        self.settle_late();
        if self.sets.advance(&catalog, group, tick, &self.closed) {
            let due: Vec<_> = self
                .sets
                .numbers()
                .filter(|set| self.sets.is_due(*set))
                .collect();
            for set in &due {
                self.sweep(*set);
            }
            self.drop_members(&due);
        }
        if tick >= self.next_unread {
            self.next_unread = tick + LOOKBACK_MS / 4;
            self.sweep_unread();
        }
        self.forget_heard();
    }

    /// What was heard of a source is asked for at the ticks of groups that read it, and not before the
    /// last one that each has closed.
    fn forget_heard(&mut self) {
        let Some(heard) = &mut self.heard else { return };
        let (catalog, closed) = (&self.catalog, &self.closed);
        heard.forget(|source| {
            let groups = closed.iter().zip(&catalog.rules.groups).enumerate();
            let reading = groups.filter(|(g, _)| catalog.reads_source(*g, source));
            let asked = reading.map(|(_, (closed, group))| *closed - group.query_offset_ms);
            asked.min().unwrap_or(Timestamp::MIN)
        });
    }

    /// Adds what leaves a group's reach to its totals of delta series.
    fn total(&mut self, group: GroupIndex, tick: Timestamp) {
        let (catalog, partitions) = (&self.catalog, &self.partitions);
        let lower =
            |a: PartitionRank, b: PartitionRank| partitions[a as usize] < partitions[b as usize];
        let interval_ms = catalog.group(group).interval_ms;
        for number in self.sets.numbers() {
            let set = self.sets.get(number);
            if !set.has_deltas {
                continue;
            }
            let reaches = set
                .reads
                .iter()
                .filter_map(|read| catalog.reads[read.0 as usize].reach_ms.get(&group));
            let Some(reach_ms) = reaches.max() else {
                continue;
            };
            let start = (tick - *reach_ms).ms();
            let leaving = Span {
                start,
                end: start + interval_ms,
            };
            for slot in &set.slots {
                let series = self.series[*slot as usize].as_mut();
                if let Some(series) = series.filter(|series| {
                    series.is_delta() && catalog.reads_source(group, series.source)
                }) {
                    series.total(group, leaving, tick, lower, &mut self.scratch);
                }
            }
        }
    }

    /// Moves late samples that every tick to come may see into their windows.
    fn settle_late(&mut self) {
        if self.lately.is_empty() {
            return;
        }
        let (catalog, partitions, closed) = (&self.catalog, &self.partitions, &self.closed);
        let lower =
            |a: PartitionRank, b: PartitionRank| partitions[a as usize] < partitions[b as usize];
        self.lately.sort_unstable();
        self.lately.dedup();
        let (series, sets) = (&mut self.series, &self.sets);
        self.lately.retain(|slot| {
            let Some(series) = &mut series[*slot as usize] else {
                return false;
            };
            let groups = sets
                .reads(series.reads)
                .iter()
                .flat_map(|read| catalog.reads[read.0 as usize].reach_ms.keys());
            let settled = groups.map(|group| closed[*group]).min();
            series.settle(settled.unwrap_or(Timestamp::MIN), lower);
            series.has_late()
        });
    }

    /// Trims the series of a set and buries those of which nothing is left.
    fn sweep(&mut self, number: SetId) {
        let set = self.sets.get_mut(number);
        let horizon = set.horizon;
        set.swept = horizon;
        let is_over = |series: &mut Series| {
            series.trim(horizon);
            series.slim();
            series.is_over()
        };
        self.bury_where(number, is_over);
    }

    /// Buries recorded series that nobody reads once they are not recorded any more.
    fn sweep_unread(&mut self) {
        let (closed, catalog) = (self.closed.clone(), Arc::clone(&self.catalog));
        self.bury_where(UNREAD, |series| {
            let Some(recorder) = series.recorder() else {
                return true;
            };
            let silence_ms = LOOKBACK_MS.max(2 * catalog.group(recorder).interval_ms);
            let horizon = closed[recorder] - silence_ms;
            series.stale || series.window.last_t() <= horizon.ms()
        });
    }

    fn bury_where(&mut self, number: SetId, mut is_over: impl FnMut(&mut Series) -> bool) {
        let mut slots = std::mem::take(&mut self.sets.get_mut(number).slots);
        slots.retain(|slot| {
            let over = self.series[*slot as usize]
                .as_mut()
                .is_none_or(&mut is_over);
            if over {
                self.bury(*slot);
            }
            !over
        });
        if slots.len() < slots.capacity() / 4 {
            slots.shrink_to(2 * slots.len());
        }
        self.sets.get_mut(number).slots = slots;
    }

    /// Takes buried series off the lists of the reads of some sets, which stay in order.
    fn drop_members(&mut self, sets: &[SetId]) {
        let mut reads: Vec<_> = sets
            .iter()
            .flat_map(|set| self.sets.reads(*set).iter().copied())
            .collect();
        reads.sort_unstable();
        reads.dedup();
        let series = &self.series;
        for read in reads {
            let members = &mut self.members[read.0 as usize];
            let before = members.len();
            members.retain(|slot| series[*slot as usize].is_some());
            if members.len() < before {
                self.rows.changed(read);
            }
            if members.len() < members.capacity() / 4 {
                members.shrink_to(2 * members.len());
            }
        }
    }

    /// Ends a series. Its slot is free at once: whoever buries takes it off the lists of members
    /// before another series is born.
    pub(super) fn bury(&mut self, slot: u32) {
        let Some(series) = self.series[slot as usize].take() else {
            return;
        };
        let holds = self.holds(&series);
        for (intake, number) in series.refs() {
            let place = &mut self.refs[intake as usize][number as usize];
            if let Some(holds) = holds {
                *place = LIMBO;
                let birth = Birth {
                    series: number,
                    labels: series.labels.clone(),
                    holds,
                    source: series.source,
                };
                self.limbo.insert((intake, number), birth);
            } else {
                *place = NONE;
            }
            if self.marked.insert((intake, number)) {
                self.deaths.push((intake, number));
            }
        }
        let hash = super::hash_of(series.labels.fingerprint());
        if let Ok(entry) = self.by_identity.find_entry(hash, |known| *known == slot) {
            entry.remove();
        }
        self.free.push(slot);
        self.stats.series -= 1;
    }
}
