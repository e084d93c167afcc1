//! New rules over old series.

use std::sync::Arc;

use foghorn_model::Timestamp;

use super::Shard;
use super::sets::ReadSets;
use crate::catalog::{Catalog, GroupIndex, ReadId, Target};
use crate::series::Kind;

impl Shard {
    /// Takes new rules: series that nothing names any more go, the others keep their windows.
    /// `group_map` gives, per new group, the old group whose ticks it goes on with.
    pub fn reload(&mut self, catalog: &Arc<Catalog>, group_map: &[Option<GroupIndex>]) {
        self.reload_own(Arc::clone(catalog), group_map);
        self.in_worlds(|shard| shard.reload_own(Arc::clone(catalog), group_map));
    }

    fn reload_own(&mut self, catalog: Arc<Catalog>, group_map: &[Option<GroupIndex>]) {
        self.order();
        self.capture = None;
        let old = std::mem::replace(&mut self.catalog, catalog);
        let catalog = Arc::clone(&self.catalog);
        let last = self.closed.iter().copied().max().unwrap_or(Timestamp::MIN);
        self.closed = group_map
            .iter()
            .map(|old| old.map_or(last, |old| self.closed[old]))
            .collect();
        let old_sets = std::mem::replace(&mut self.sets, ReadSets::new(&catalog));
        self.next_unread = Timestamp::MIN;
        self.members = vec![Vec::new(); catalog.reads.len()];
        self.unsorted = vec![true; catalog.reads.len()];
        self.by_identity.clear();
        let new_group = |old: GroupIndex| group_map.iter().position(|from| *from == Some(old));
        for slot in 0..self.series.len() as u32 {
            let Some(series) = &mut self.series[slot as usize] else {
                continue;
            };
            series.remap_recorder(new_group);
            series.remap_totals(new_group);
            let reads: Vec<_> = match series.kind {
                Kind::Records => {
                    let read = old_sets.reads(series.reads)[0];
                    same_log_read(&old, &catalog, read).into_iter().collect()
                }
                Kind::Absolute | Kind::Delta => {
                    catalog.reads_of(&series.labels, series.source).collect()
                }
            };
            series.reads = self.sets.number(&reads);
            if reads.is_empty() {
                if series.recorder().is_none() {
                    self.bury(slot);
                    continue;
                }
                series.keep_newest();
            }
            for read in &reads {
                self.members[read.0 as usize].push(slot);
            }
            let set = self.sets.get_mut(series.reads);
            set.slots.push(slot);
            set.has_deltas |= series.kind == Kind::Delta;
            let fingerprint = series.labels.fingerprint();
            self.enter(slot, fingerprint);
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
