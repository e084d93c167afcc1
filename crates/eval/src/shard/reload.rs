//! New rules over old series.

use std::sync::Arc;

use foghorn_model::Timestamp;

use super::{Shard, record_read};
use crate::batch::Holds;
use crate::catalog::{Catalog, GroupIndex, ReadId, Target};

impl Shard {
    /// Takes new rules: series that nothing names any more go, the others keep their windows.
    /// `group_map` gives, per new group, the old group whose ticks it goes on with.
    pub fn reload(&mut self, catalog: Arc<Catalog>, group_map: &[Option<GroupIndex>]) {
        let old = std::mem::replace(&mut self.catalog, catalog);
        let catalog = Arc::clone(&self.catalog);
        let last = self.closed.iter().copied().max().unwrap_or(Timestamp::MIN);
        self.closed = group_map
            .iter()
            .map(|old| old.map_or(last, |old| self.closed[old]))
            .collect();
        self.members = vec![Vec::new(); catalog.reads.len()];
        self.unsorted = vec![true; catalog.reads.len()];
        self.by_identity.clear();
        for slot in 0..self.series.len() as u32 {
            let Some(series) = &mut self.series[slot as usize] else {
                continue;
            };
            series.recorder = series.recorder.and_then(|old| {
                group_map
                    .iter()
                    .position(|from| *from == Some(old as usize))
                    .map(|new| new as u32)
            });
            series.reads = match series.holds {
                Holds::Samples(_) => catalog.reads_of(&series.labels, series.source).collect(),
                Holds::Records(read) => same_log_read(&old, &catalog, read).into_iter().collect(),
            };
            if let (Holds::Records(_), Some(read)) = (series.holds, series.reads.first()) {
                series.holds = Holds::Records(*read);
            }
            if series.reads.is_empty() {
                self.bury(slot);
                continue;
            }
            for read in &series.reads {
                self.members[read.0 as usize].push(slot);
            }
            series.remap_totals(|old| group_map.iter().position(|from| *from == Some(old)));
            self.by_identity.insert(
                (
                    series.labels.fingerprint(),
                    record_read(series.holds),
                    series.source,
                ),
                slot,
            );
        }
    }
}

fn same_log_read(old: &Catalog, new: &Catalog, read: ReadId) -> Option<ReadId> {
    let Target::Log(pipeline) = old.reads[read.0 as usize].target else {
        return None;
    };
    let same = |spec: &crate::catalog::ReadSpec| matches!(spec.target, Target::Log(p) if new.pipelines[p] == old.pipelines[pipeline]);
    new.reads
        .iter()
        .position(same)
        .map(|read| ReadId(read as u32))
}
