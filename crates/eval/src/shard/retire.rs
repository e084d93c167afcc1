//! What closed ticks leave behind: totals of delta series, trimmed windows, buried series.

use std::sync::Arc;

use foghorn_model::Timestamp;

use super::{LIMBO, Shard, record_read};
use crate::batch::Birth;
use crate::catalog::{GroupIndex, ReadId};
use crate::series::{PartitionRank, Span};

impl Shard {
    /// A group closed a tick: what no group can reach any more goes.
    pub fn closed(&mut self, group: GroupIndex, tick: Timestamp) {
        self.closed[group] = tick;
        let catalog = Arc::clone(&self.catalog);
        let next = |g: GroupIndex| self.closed[g] + catalog.group(g).interval_ms;
        let horizons: Vec<_> = (0..catalog.reads.len())
            .map(|read| catalog.horizon(ReadId(read as u32), next))
            .collect();
        let settled: Vec<_> = catalog
            .reads
            .iter()
            .map(|read| {
                read.reach_ms
                    .keys()
                    .map(|g| self.closed[*g])
                    .min()
                    .unwrap_or(Timestamp::MIN)
            })
            .collect();
        self.total(group, tick);
        for (read, spec) in catalog.reads.iter().enumerate() {
            if spec.reach_ms.contains_key(&group) {
                self.trim(ReadId(read as u32), &horizons, &settled);
            }
        }
    }

    /// Adds what leaves a group's reach to its totals of delta series.
    fn total(&mut self, group: GroupIndex, tick: Timestamp) {
        let (catalog, partitions) = (&self.catalog, &self.partitions);
        let lower =
            |a: PartitionRank, b: PartitionRank| partitions[a as usize] < partitions[b as usize];
        let reach_of = |read: &ReadId| catalog.reads[read.0 as usize].reach_ms.get(&group).copied();
        let reads = |read: usize| catalog.reads[read].reach_ms.contains_key(&group);
        for read in (0..catalog.reads.len()).filter(|read| reads(*read)) {
            for slot in &self.members[read] {
                let Some(series) = &mut self.series[*slot as usize] else {
                    continue;
                };
                if !series.is_delta() || !catalog.reads_source(group, series.source) {
                    continue;
                }
                if let Some(reach_ms) = series.reads.iter().filter_map(reach_of).max() {
                    let start = (tick - reach_ms).ms();
                    let leaving = Span {
                        start,
                        end: start + catalog.group(group).interval_ms,
                    };
                    series.total(group, leaving, tick, lower);
                }
            }
        }
    }

    fn trim(&mut self, read: ReadId, horizons: &[Timestamp], settled: &[Timestamp]) {
        let partitions = std::mem::take(&mut self.partitions);
        let lower =
            |a: PartitionRank, b: PartitionRank| partitions[a as usize] < partitions[b as usize];
        let mut dead = Vec::new();
        for slot in &self.members[read.0 as usize] {
            let Some(series) = &mut self.series[*slot as usize] else {
                continue;
            };
            let of = |of: &[Timestamp]| series.reads.iter().map(|read| of[read.0 as usize]).min();
            let (horizon, settled) = (of(horizons), of(settled));
            series.settle(settled.unwrap_or(Timestamp::MIN), lower);
            series.trim(horizon.unwrap_or(Timestamp::MIN));
            if series.is_over() {
                dead.push(*slot);
            }
        }
        self.partitions = partitions;
        for slot in dead {
            self.bury(slot);
        }
    }

    pub(super) fn bury(&mut self, slot: u32) {
        let Some(series) = self.series[slot as usize].take() else {
            return;
        };
        for read in &series.reads {
            self.unsorted[read.0 as usize] = true;
        }
        for (intake, number) in &series.refs {
            self.refs[*intake as usize][*number as usize] = LIMBO;
            let birth = Birth {
                series: *number,
                labels: series.labels.clone(),
                holds: series.holds,
                source: series.source,
            };
            self.limbo.insert((*intake, *number), birth);
            if self.marked.insert((*intake, *number)) {
                self.deaths.push((*intake, *number));
            }
        }
        self.by_identity.remove(&(
            series.labels.fingerprint(),
            record_read(series.holds),
            series.source,
        ));
        // Members lists may still name the slot: it is reused only after they were sorted again.
        for read in &series.reads {
            self.members[read.0 as usize].retain(|member| *member != slot);
        }
        self.free.push(slot);
        self.stats.series -= 1;
    }
}
