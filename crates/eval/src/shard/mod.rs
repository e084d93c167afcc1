//! A shard: the series that it owns, and the per-series half of every rule over them.
//!
//! Fed by batches from intakes, asked for leaves by the core at a tick. A series has one owner
//! shard, by fingerprint; samples of one series may come from any partition and any intake.

mod adopt;
mod capture;
mod leaf;
mod reload;
mod retire;
mod sets;
#[cfg(test)]
mod tests;
mod worlds;

pub use adopt::{AdoptError, Image, Ranks, unpack};
pub use capture::{Block, ShardState};
pub use leaf::nameless_order;
pub use worlds::WorldShards;

use std::collections::BTreeMap;
use std::sync::Arc;

use foghorn_model::{Fingerprint, Labels, Offset, Partition, SeriesKind, Timestamp};
use hashbrown::{HashMap, HashSet, HashTable};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::batch::{Batch, Birth, Cell, Holds};
use crate::catalog::{Catalog, GroupIndex, RECORDED, ReadId};
use crate::scope::{Heard, World};
use crate::series::{Kind, LatePoint, PartitionRank, Series};
use crate::vector::Point;
use capture::Capture;
use sets::{ReadSets, UNREAD};

/// How far a partition has got, as this shard has seen it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Next offset.
    pub next_offset: Offset,
    /// Watermark, pins included.
    pub watermark: Timestamp,
}

/// Cells whose series are looked at before the first of them is appended, so that the memory that
/// they stand in is on its way when it is needed.
const TOGETHER: usize = 16;

/// An intake's number that stands for no series.
const NONE: u32 = u32::MAX;
/// An intake's number whose series died here, of which the intake has not heard yet.
const LIMBO: u32 = u32::MAX - 1;

/// Counts of a shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardStats {
    /// Series that live.
    pub series: usize,
    /// Bytes that they hold, labels included.
    pub bytes: usize,
    /// Samples taken in.
    pub samples: u64,
    /// Of them, late ones.
    pub late: u64,
}

/// See the module's text.
#[derive(Debug)]
pub struct Shard {
    catalog: Arc<Catalog>,
    series: Vec<Option<Series>>,
    free: Vec<u32>,
    /// Slots by what makes a series: labels, the log read that its records pass, its source, and the
    /// group that records it.
    by_identity: HashTable<u32>,
    sets: ReadSets,
    /// Per intake: its numbers' slots. Worlds have one table: see [`Shard::in_world`].
    refs: Vec<Vec<u32>>,
    limbo: HashMap<(u16, u32), Birth>,
    /// Per read: slots of its members, in label order once sorted.
    members: Vec<Vec<u32>>,
    unsorted: Vec<bool>,
    /// Slots that have been given late samples which not every tick to come may see.
    lately: Vec<u32>,
    /// When recorded series that nobody reads are looked at next.
    next_unread: Timestamp,
    /// Partitions by rank (order of first sight), and how far they have got.
    partitions: Vec<Partition>,
    progress: BTreeMap<Partition, (PartitionRank, Progress, Timestamp)>,
    /// Per group: its last closed tick.
    closed: Vec<Timestamp>,
    deaths: Vec<(u16, u32)>,
    /// Death marks that were not answered yet: a number that revived and died again has one, not two.
    marked: HashSet<(u16, u32)>,
    stats: ShardStats,
    scratch: Vec<Point>,
    rows: leaf::Versions,
    /// Slots with samples that are to be put in their places.
    unordered: Vec<u32>,
    /// Series of scopes and replicas, each world as a shard of its own.
    worlds: BTreeMap<World, Shard>,
    /// Series of a cut that are still to be captured.
    capture: Option<Box<Capture>>,
    /// When its sources were heard; `None` where there are no scopes, and nobody asks.
    heard: Option<Heard>,
}

impl Shard {
    /// An empty shard under these rules.
    pub fn new(catalog: Arc<Catalog>) -> Self {
        let (reads, groups) = (catalog.reads.len(), catalog.rules.groups.len());
        Self {
            sets: ReadSets::new(&catalog),
            heard: catalog.scoping().map(|_| Heard::default()),
            catalog,
            series: Vec::new(),
            free: Vec::new(),
            by_identity: HashTable::new(),
            refs: Vec::new(),
            limbo: HashMap::new(),
            members: vec![Vec::new(); reads],
            unsorted: vec![false; reads],
            lately: Vec::new(),
            next_unread: Timestamp::MIN,
            partitions: Vec::new(),
            progress: BTreeMap::new(),
            closed: vec![Timestamp::MIN; groups],
            deaths: Vec::new(),
            marked: HashSet::new(),
            stats: ShardStats::default(),
            scratch: Vec::new(),
            rows: leaf::Versions::default(),
            unordered: Vec::new(),
            worlds: BTreeMap::new(),
            capture: None,
        }
    }

    /// Takes a batch in.
    pub fn apply(&mut self, batch: &mut Batch) {
        let intake = batch.intake;
        if self.refs.len() <= intake as usize {
            self.refs.resize_with(intake as usize + 1, Vec::new);
        }
        for number in batch.freed.drain(..) {
            self.forget(intake, number);
        }
        // A number that one world has freed may be born in another.
        for (world, batch) in &mut batch.worlds {
            let freed = batch.freed.drain(..);
            if freed.len() > 0 {
                self.in_world(world, |shard| freed.for_each(|n| shard.forget(intake, n)));
            }
        }
        self.apply_cells(intake, batch);
        for (world, batch) in &mut batch.worlds {
            if !batch.is_empty() {
                self.in_world(world, |shard| shard.apply_cells(intake, batch));
            }
        }
    }

    /// Takes in births, cells and segments.
    fn apply_cells(&mut self, intake: u16, batch: &mut Batch) {
        for birth in batch.births.drain(..) {
            self.bear(intake, birth);
        }
        let mut late = batch.late.iter().peekable();
        let mut start = 0;
        for segment in &batch.segments {
            let rank = self.rank(segment.partition);
            let cells = &batch.cells[start as usize..segment.cells_end as usize];
            let mut at = start;
            for cells in cells.chunks(TOGETHER) {
                self.approach(intake, cells);
                for cell in cells {
                    let hidden = late.next_if(|late| late.cell == at).map(|late| late.hidden);
                    self.take(intake, cell, rank, hidden);
                    at += 1;
                }
            }
            self.stats.samples += u64::from(segment.cells_end - start);
            start = segment.cells_end;
            let progress = Progress {
                next_offset: segment.next_offset,
                watermark: segment.watermark,
            };
            self.progress
                .insert(segment.partition, (rank, progress, segment.furthest));
        }
    }

    /// Reads a byte of what each cell will be written to. The loads do not depend on one another, so
    /// that the waits for memory overlap.
    #[inline]
    fn approach(&self, intake: u16, cells: &[Cell]) {
        let refs = &self.refs[intake as usize];
        let mut near = 0;
        for cell in cells {
            let slot = refs.get(cell.series as usize).copied().unwrap_or(NONE);
            if let Some(Some(series)) = self.series.get(slot as usize) {
                near ^= series.window.touch();
            }
        }
        std::hint::black_box(near);
    }

    #[inline]
    fn take(&mut self, intake: u16, cell: &Cell, from: PartitionRank, hidden: Option<Timestamp>) {
        let mut slot = self.refs[intake as usize][cell.series as usize];
        if slot >= LIMBO {
            slot = self.revive(intake, cell.series);
            if slot == NONE {
                return;
            }
        }
        if self.capture.is_some() {
            self.preserve(slot);
        }
        let Some(series) = &mut self.series[slot as usize] else {
            return;
        };
        let point = Point {
            t: cell.t,
            v: cell.v,
        };
        let (partitions, sets, reads) = (&self.partitions, &self.sets, series.reads);
        match hidden {
            None => {
                if let Some(heard) = &mut self.heard {
                    heard.note(series.source, cell.t);
                }
                let first = series.append(
                    point,
                    from,
                    || sets.horizon(reads),
                    |a, b| partitions[a as usize] < partitions[b as usize],
                );
                if first {
                    self.unordered.push(slot);
                }
            }
            Some(hidden) => {
                self.stats.late += 1;
                self.lately.push(slot);
                series.append_late(LatePoint {
                    point,
                    from,
                    hidden,
                });
            }
        }
    }

    #[cold]
    fn revive(&mut self, intake: u16, number: u32) -> u32 {
        let Some(birth) = self.limbo.remove(&(intake, number)) else {
            return NONE;
        };
        self.bear(intake, birth);
        self.refs[intake as usize][number as usize]
    }

    fn rank(&mut self, partition: Partition) -> PartitionRank {
        if let Some((rank, ..)) = self.progress.get(&partition) {
            return *rank;
        }
        self.partitions.push(partition);
        (self.partitions.len() - 1) as PartitionRank
    }

    fn bear(&mut self, intake: u16, birth: Birth) {
        let slot = match self.find(&birth.labels, birth.holds, birth.source, None) {
            Some(slot) => slot,
            None => self.create(birth.labels, birth.holds, birth.source, None),
        };
        if let Some(series) = &mut self.series[slot as usize] {
            series.link(intake, birth.series);
        }
        let refs = &mut self.refs[intake as usize];
        if refs.len() <= birth.series as usize {
            refs.resize(birth.series as usize + 1, NONE);
        }
        refs[birth.series as usize] = slot;
    }

    /// What a series' window holds; `None` of log records whose read is gone.
    fn holds(&self, series: &Series) -> Option<Holds> {
        Some(match series.kind {
            Kind::Absolute => Holds::Samples(SeriesKind::Absolute),
            Kind::Delta => Holds::Samples(SeriesKind::Delta),
            Kind::Records => Holds::Records(*self.sets.reads(series.reads).first()?),
        })
    }

    /// The slot of a series. What a group recorded that is gone belongs to whoever goes on with it.
    fn find(
        &self,
        labels: &Labels,
        holds: Holds,
        source: u16,
        recorder: Option<GroupIndex>,
    ) -> Option<u32> {
        let fingerprint = labels.fingerprint();
        let is_it = |slot: &u32| {
            self.series[*slot as usize].as_ref().is_some_and(|series| {
                series.source == source
                    && (series.recorder().is_none() || series.recorder() == recorder)
                    && series.labels.fingerprint() == fingerprint
                    && self.holds(series).and_then(record_read) == record_read(holds)
            })
        };
        self.by_identity.find(hash_of(fingerprint), is_it).copied()
    }

    /// Enters a slot, whose series is not entered yet.
    fn enter(&mut self, slot: u32, fingerprint: Fingerprint) {
        let series = &self.series;
        let hash = |slot: &u32| {
            let series = series[*slot as usize].as_ref();
            series.map_or(0, |series| hash_of(series.labels.fingerprint()))
        };
        self.by_identity
            .insert_unique(hash_of(fingerprint), slot, hash);
    }

    fn create(
        &mut self,
        labels: Labels,
        holds: Holds,
        source: u16,
        recorder: Option<GroupIndex>,
    ) -> u32 {
        let reads: SmallVec<[ReadId; 8]> = match holds {
            Holds::Samples(_) => self.catalog.reads_of(&labels, source).collect(),
            Holds::Records(read) => SmallVec::from_slice(&[read]),
        };
        let kind = match holds {
            Holds::Samples(SeriesKind::Absolute) => Kind::Absolute,
            Holds::Samples(SeriesKind::Delta) => Kind::Delta,
            Holds::Records(_) => Kind::Records,
        };
        let slot = self.free.pop().unwrap_or_else(|| {
            self.series.push(None);
            (self.series.len() - 1) as u32
        });
        self.preserve(slot);
        for read in &reads {
            self.members[read.0 as usize].push(slot);
            self.unsorted[read.0 as usize] = true;
        }
        let number = self.sets.number(&reads);
        let set = self.sets.get_mut(number);
        set.slots.push(slot);
        set.has_deltas |= kind == Kind::Delta;
        let fingerprint = labels.fingerprint();
        self.series[slot as usize] = Some(Series::new(labels, kind, source, number, recorder));
        self.enter(slot, fingerprint);
        self.stats.series += 1;
        slot
    }

    /// Puts samples that came behind newer ones in their places: to be called before windows are
    /// read.
    fn order(&mut self) {
        let partitions = &self.partitions;
        for slot in self.unordered.drain(..) {
            if let Some(series) = &mut self.series[slot as usize] {
                series.order(|a, b| partitions[a as usize] < partitions[b as usize]);
            }
        }
    }

    /// The intake's number no longer stands for its series (it answers a death mark).
    fn forget(&mut self, intake: u16, number: u32) {
        self.limbo.remove(&(intake, number));
        self.marked.remove(&(intake, number));
        if self.limbo.capacity() > 1_024 && self.limbo.len() < self.limbo.capacity() / 8 {
            self.limbo.shrink_to(2 * self.limbo.len());
            self.marked.shrink_to(2 * self.marked.len());
        }
        let Some(slot) = self.refs[intake as usize].get_mut(number as usize) else {
            return;
        };
        let slot = std::mem::replace(slot, NONE);
        if let Some(Some(series)) = self.series.get_mut(slot as usize) {
            series.unlink(intake, number);
        }
    }

    /// Writes a recorded sample (or its staleness marker) of a group at its tick. Of a series that
    /// nobody reads only the last sample is kept, for counting. Whether it stands: the first value of
    /// an instant does, and another one after it does not (as in Prometheus' storage).
    pub fn record(
        &mut self,
        recorder: GroupIndex,
        labels: &Labels,
        at: Timestamp,
        value: f64,
    ) -> bool {
        self.write(recorder, labels, at, value, false)
    }

    /// Writes a recorded sample in the place of what stands at its instant.
    pub fn record_anew(
        &mut self,
        recorder: GroupIndex,
        labels: &Labels,
        at: Timestamp,
        value: f64,
    ) {
        self.write(recorder, labels, at, value, true);
    }

    fn write(
        &mut self,
        recorder: GroupIndex,
        labels: &Labels,
        at: Timestamp,
        value: f64,
        anew: bool,
    ) -> bool {
        let holds = Holds::Samples(SeriesKind::Absolute);
        let slot = match self.find(labels, holds, RECORDED, Some(recorder)) {
            Some(slot) => slot,
            None => self.create(labels.clone(), holds, RECORDED, Some(recorder)),
        };
        let Some(series) = &mut self.series[slot as usize] else {
            return false;
        };
        let point = Point {
            t: at.ms(),
            v: value,
        };
        let (sets, reads) = (&self.sets, series.reads);
        if let Ok(i) = series.window.find(at.ms()) {
            if !anew {
                let stands = series.window.newest(at.ms() - 1, at.ms());
                return stands.is_some_and(|first| first.v.to_bits() == value.to_bits());
            }
            series.window.replace(i, value);
        } else if reads == UNREAD {
            series.window.trim(i64::MAX);
            series.window.push(point);
            series.stale = false;
        } else {
            series.append(point, 0, || sets.horizon(reads), |_, _| false);
            series.order(|_, _| false);
        }
        series.stale |= foghorn_model::is_stale(value);
        true
    }

    /// Death marks since the last call: (intake, its number). Each must come back as
    /// [`Batch::freed`].
    pub fn take_deaths(&mut self) -> Vec<(u16, u32)> {
        let mut deaths = std::mem::take(&mut self.deaths);
        for world in self.worlds.values_mut() {
            deaths.append(&mut world.deaths);
        }
        deaths
    }

    /// How far each partition has got here.
    pub fn progress(&self) -> impl Iterator<Item = (Partition, Progress)> + '_ {
        self.progress
            .iter()
            .map(|(partition, (_, progress, _))| (*partition, *progress))
    }

    /// Nothing that was read of a partition lies after this.
    pub fn furthest(&self, partition: Partition) -> Timestamp {
        self.progress
            .get(&partition)
            .map_or(Timestamp::MIN, |(_, _, furthest)| *furthest)
    }

    /// How far one partition has got here.
    pub fn progress_of(&self, partition: Partition) -> Option<Progress> {
        self.progress
            .get(&partition)
            .map(|(_, progress, _)| *progress)
    }

    /// Counts; bytes are summed on the call.
    pub fn stats(&self) -> ShardStats {
        let all = std::iter::once(self).chain(self.worlds.values());
        let series = all.flat_map(|shard| shard.series.iter().flatten());
        ShardStats {
            bytes: series.map(Series::bytes).sum(),
            ..self.counts()
        }
    }

    /// Counts without bytes: cheap.
    pub fn counts(&self) -> ShardStats {
        let mut sum = self.stats;
        for world in self.worlds.values() {
            sum.series += world.stats.series;
            sum.samples += world.stats.samples;
            sum.late += world.stats.late;
        }
        sum
    }
}

/// A fingerprint's share in the table's hash: fingerprints are hashes already.
fn hash_of(fingerprint: Fingerprint) -> u64 {
    fingerprint.0 as u64
}

fn record_read(holds: Holds) -> Option<ReadId> {
    match holds {
        Holds::Samples(_) => None,
        Holds::Records(read) => Some(read),
    }
}
