//! A shard: the series that it owns, and the per-series half of every rule over them.
//!
//! Fed by batches from intakes, asked for leaves by the core at a tick. A series has one owner
//! shard, by fingerprint; samples of one series may come from any partition and any intake.

use std::collections::BTreeMap;
use std::sync::Arc;

use foghorn_model::{Fingerprint, Labels, Offset, Partition, Timestamp};
use foghorn_rules::plan::{LOOKBACK_MS, LeafId, LogFunc, Read};
use hashbrown::HashMap;
use smallvec::SmallVec;

use crate::batch::{Batch, Birth, Holds};
use crate::catalog::{Catalog, GroupIndex, ReadId, Target};
use crate::promql::range::range_value_at;
use crate::series::{LatePoint, PartitionRank, Series};
use crate::vector::{Element, Point, Vector};
use crate::window::Window;

/// How far a partition has got, as this shard has seen it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Next offset.
    pub next_offset: Offset,
    /// Watermark, pins included.
    pub watermark: Timestamp,
}

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
    by_identity: HashMap<(Fingerprint, Option<ReadId>), u32>,
    /// Per intake: its numbers' slots.
    refs: Vec<Vec<u32>>,
    limbo: HashMap<(u16, u32), (Labels, Holds)>,
    /// Per read: slots of its members, in label order once sorted.
    members: Vec<Vec<u32>>,
    unsorted: Vec<bool>,
    /// Partitions by rank (order of first sight), and how far they have got.
    partitions: Vec<Partition>,
    progress: BTreeMap<Partition, (PartitionRank, Progress)>,
    /// Per group: its last closed tick.
    closed: Vec<Timestamp>,
    deaths: Vec<(u16, u32)>,
    stats: ShardStats,
    scratch: Vec<Point>,
}

impl Shard {
    /// An empty shard under these rules.
    pub fn new(catalog: Arc<Catalog>) -> Self {
        let (reads, groups) = (catalog.reads.len(), catalog.rules.groups.len());
        Self {
            catalog,
            series: Vec::new(),
            free: Vec::new(),
            by_identity: HashMap::new(),
            refs: Vec::new(),
            limbo: HashMap::new(),
            members: vec![Vec::new(); reads],
            unsorted: vec![false; reads],
            partitions: Vec::new(),
            progress: BTreeMap::new(),
            closed: vec![Timestamp::MIN; groups],
            deaths: Vec::new(),
            stats: ShardStats::default(),
            scratch: Vec::new(),
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
        for birth in batch.births.drain(..) {
            self.bear(intake, birth);
        }
        let mut late = batch.late.iter().peekable();
        let mut start = 0;
        for segment in &batch.segments {
            let rank = self.rank(segment.partition);
            for i in start..segment.cells_end {
                let cell = batch.cells[i as usize];
                let hidden = late.next_if(|late| late.cell == i).map(|late| late.hidden);
                let point = Point { t: cell.t, v: cell.v };
                self.take(intake, cell.series, point, rank, hidden);
            }
            self.stats.samples += u64::from(segment.cells_end - start);
            start = segment.cells_end;
            let progress = Progress { next_offset: segment.next_offset, watermark: segment.watermark };
            self.progress.insert(segment.partition, (rank, progress));
        }
    }

    fn take(&mut self, intake: u16, number: u32, point: Point, from: PartitionRank, hidden: Option<Timestamp>) {
        let mut slot = self.refs[intake as usize][number as usize];
        if slot >= LIMBO {
            slot = self.revive(intake, number);
            if slot == NONE {
                return;
            }
        }
        let Some(series) = &mut self.series[slot as usize] else { return };
        let partitions = &self.partitions;
        match hidden {
            None => series.append(point, from, |a, b| partitions[a as usize] < partitions[b as usize]),
            Some(hidden) => {
                self.stats.late += 1;
                series.append_late(LatePoint { point, from, hidden });
            }
        }
    }

    #[cold]
    fn revive(&mut self, intake: u16, number: u32) -> u32 {
        let Some((labels, holds)) = self.limbo.remove(&(intake, number)) else { return NONE };
        self.bear(intake, Birth { series: number, labels, holds });
        self.refs[intake as usize][number as usize]
    }

    fn rank(&mut self, partition: Partition) -> PartitionRank {
        if let Some((rank, _)) = self.progress.get(&partition) {
            return *rank;
        }
        self.partitions.push(partition);
        (self.partitions.len() - 1) as PartitionRank
    }

    fn bear(&mut self, intake: u16, birth: Birth) {
        let identity = (birth.labels.fingerprint(), record_read(birth.holds));
        let slot = match self.by_identity.get(&identity) {
            Some(slot) => *slot,
            None => self.create(birth.labels, birth.holds, None),
        };
        if let Some(series) = &mut self.series[slot as usize] {
            series.refs.push((intake, birth.series));
        }
        let refs = &mut self.refs[intake as usize];
        if refs.len() <= birth.series as usize {
            refs.resize(birth.series as usize + 1, NONE);
        }
        refs[birth.series as usize] = slot;
    }

    fn create(&mut self, labels: Labels, holds: Holds, recorder: Option<u32>) -> u32 {
        let reads: SmallVec<[ReadId; 2]> = match holds {
            Holds::Samples(_) => self.catalog.reads_of(&labels).collect(),
            Holds::Records(read) => SmallVec::from_slice(&[read]),
        };
        let slot = self.free.pop().unwrap_or_else(|| {
            self.series.push(None);
            (self.series.len() - 1) as u32
        });
        for read in &reads {
            self.members[read.0 as usize].push(slot);
            self.unsorted[read.0 as usize] = true;
        }
        self.by_identity.insert((labels.fingerprint(), record_read(holds)), slot);
        self.series[slot as usize] = Some(Series {
            labels,
            holds,
            window: Window::default(),
            home: 0,
            stale: false,
            extra: None,
            reads,
            refs: SmallVec::new(),
            recorder,
        });
        self.stats.series += 1;
        slot
    }

    /// The intake's number no longer stands for its series (it answers a death mark).
    fn forget(&mut self, intake: u16, number: u32) {
        self.limbo.remove(&(intake, number));
        let Some(slot) = self.refs[intake as usize].get_mut(number as usize) else { return };
        let slot = std::mem::replace(slot, NONE);
        if let Some(Some(series)) = self.series.get_mut(slot as usize) {
            series.refs.retain(|known| *known != (intake, number));
        }
    }

    /// Writes a recorded sample (or its staleness marker) of a group at its tick.
    pub fn record(&mut self, recorder: GroupIndex, labels: &Labels, at: Timestamp, value: f64) {
        let holds = Holds::Samples(foghorn_model::SeriesKind::Absolute);
        let slot = match self.by_identity.get(&(labels.fingerprint(), None)) {
            Some(slot) => *slot,
            None => self.create(labels.clone(), holds, Some(recorder as u32)),
        };
        if let Some(series) = &mut self.series[slot as usize] {
            // The last writer of an instant stands (rules of one group that record one series).
            match series.window.find(at.ms()) {
                Ok(i) => series.window.replace(i, value),
                Err(_) => series.append(Point { t: at.ms(), v: value }, 0, |_, _| false),
            }
            series.stale |= foghorn_model::is_stale(value);
        }
    }

    /// The vector of a leaf as tick `tick` of its group sees it, evaluated as of `at`, in the order
    /// of labels without the metric's name.
    pub fn leaf(&mut self, group: GroupIndex, leaf: LeafId, tick: Timestamp, at: Timestamp) -> Vector {
        let catalog = Arc::clone(&self.catalog);
        let Some(read) = catalog.leaf_read(group, leaf) else { return Vector::new() };
        self.sort_members(read);
        let leaf = &catalog.group(group).leaves[leaf.0 as usize];
        let end = leaf.at_ms.unwrap_or(at.ms()) - leaf.offset_ms;
        let mut scratch = std::mem::take(&mut self.scratch);
        let members = &self.members[read.0 as usize];
        let mut vector = Vector::with_capacity(members.len());
        for slot in members {
            let Some(series) = &self.series[*slot as usize] else { continue };
            // A recorder that runs after this group in an instant has not yet spoken at its tick.
            let unheard = series.recorder.is_some_and(|recorder| recorder as usize > group);
            let end = if unheard && end == tick.ms() { end - 1 } else { end };
            if let Some(value) = self.value(series, &leaf.read, end, at, tick, &mut scratch) {
                let keeps_name = matches!(&leaf.read, Read::Instant { timestamp: false, .. })
                    || matches!(&leaf.read, Read::Range { func, .. } if func.keeps_name());
                let labels = if keeps_name { series.labels.clone() } else { series.labels.without_name() };
                vector.push(Element { labels, value });
            }
        }
        self.scratch = scratch;
        vector
    }

    fn value(
        &self,
        series: &Series,
        read: &Read,
        end: i64,
        at: Timestamp,
        tick: Timestamp,
        scratch: &mut Vec<Point>,
    ) -> Option<f64> {
        let lower = |a: PartitionRank, b: PartitionRank| self.partitions[a as usize] < self.partitions[b as usize];
        match read {
            Read::Instant { timestamp, .. } => {
                let point = series.visible(end - LOOKBACK_MS, end, tick, true, lower, scratch).last()?;
                if foghorn_model::is_stale(point.v) {
                    return None;
                }
                Some(if *timestamp { point.t as f64 / 1e3 } else { point.v })
            }
            Read::Range { range_ms, func, params, .. } => {
                let start = end - range_ms;
                let points = series.visible(start, end, tick, false, lower, scratch);
                if points.is_empty() { None } else { range_value_at(*func, points, start, end, at.ms(), params) }
            }
            Read::Log { range_ms, func, .. } => {
                let points = series.visible(end - range_ms, end, tick, true, lower, scratch);
                let seconds = *range_ms as f64 / 1e3;
                let bytes = || points.iter().map(|p| p.v).sum::<f64>();
                (!points.is_empty()).then(|| match func {
                    LogFunc::CountOverTime => points.len() as f64,
                    LogFunc::Rate => points.len() as f64 / seconds,
                    LogFunc::BytesOverTime => bytes(),
                    LogFunc::BytesRate => bytes() / seconds,
                })
            }
            Read::Subquery { .. } => None,
        }
    }

    fn sort_members(&mut self, read: ReadId) {
        if !std::mem::take(&mut self.unsorted[read.0 as usize]) {
            return;
        }
        let (series, members) = (&self.series, &mut self.members[read.0 as usize]);
        members.retain(|slot| series[*slot as usize].as_ref().is_some_and(|s| s.reads.contains(&read)));
        members.sort_by(|a, b| {
            let labels = |slot: &u32| series[*slot as usize].as_ref().map(|s| &s.labels);
            match (labels(a), labels(b)) {
                (Some(a), Some(b)) => nameless_order(a, b),
                (a, b) => a.is_some().cmp(&b.is_some()),
            }
        });
        members.dedup();
    }

    /// A group closed a tick: what no group can reach any more goes.
    pub fn closed(&mut self, group: GroupIndex, tick: Timestamp) {
        self.closed[group] = tick;
        let catalog = Arc::clone(&self.catalog);
        let next = |g: GroupIndex| self.closed[g] + catalog.group(g).interval_ms;
        let horizons: Vec<_> = (0..catalog.reads.len()).map(|read| catalog.horizon(ReadId(read as u32), next)).collect();
        let settled: Vec<_> = catalog
            .reads
            .iter()
            .map(|read| read.reach_ms.keys().map(|g| self.closed[*g]).min().unwrap_or(Timestamp::MIN))
            .collect();
        for (read, spec) in catalog.reads.iter().enumerate() {
            if spec.reach_ms.contains_key(&group) {
                self.trim(ReadId(read as u32), &horizons, &settled);
            }
        }
    }

    fn trim(&mut self, read: ReadId, horizons: &[Timestamp], settled: &[Timestamp]) {
        let partitions = std::mem::take(&mut self.partitions);
        let lower = |a: PartitionRank, b: PartitionRank| partitions[a as usize] < partitions[b as usize];
        let mut dead = Vec::new();
        for slot in &self.members[read.0 as usize] {
            let Some(series) = &mut self.series[*slot as usize] else { continue };
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

    fn bury(&mut self, slot: u32) {
        let Some(series) = self.series[slot as usize].take() else { return };
        for read in &series.reads {
            self.unsorted[read.0 as usize] = true;
        }
        for (intake, number) in &series.refs {
            self.refs[*intake as usize][*number as usize] = LIMBO;
            self.limbo.insert((*intake, *number), (series.labels.clone(), series.holds));
            self.deaths.push((*intake, *number));
        }
        self.by_identity.remove(&(series.labels.fingerprint(), record_read(series.holds)));
        // Members lists may still name the slot: it is reused only after they were sorted again.
        for read in &series.reads {
            self.members[read.0 as usize].retain(|member| *member != slot);
        }
        self.free.push(slot);
        self.stats.series -= 1;
    }

    /// Death marks since the last call: (intake, its number). Each must come back as
    /// [`Batch::freed`].
    pub fn take_deaths(&mut self) -> Vec<(u16, u32)> {
        std::mem::take(&mut self.deaths)
    }

    /// How far each partition has got here.
    pub fn progress(&self) -> impl Iterator<Item = (Partition, Progress)> + '_ {
        self.progress.iter().map(|(partition, (_, progress))| (*partition, *progress))
    }

    /// Counts; bytes are summed on the call.
    pub fn stats(&self) -> ShardStats {
        let bytes = self.series.iter().flatten().map(Series::bytes).sum();
        ShardStats { bytes, ..self.stats }
    }

    /// Counts without bytes: cheap.
    pub fn counts(&self) -> ShardStats {
        self.stats
    }

    /// Takes new rules: series that nothing names any more go, the others keep their windows.
    /// `group_map` gives, per new group, the old group whose ticks it goes on with.
    pub fn reload(&mut self, catalog: Arc<Catalog>, group_map: &[Option<GroupIndex>]) {
        let old = std::mem::replace(&mut self.catalog, Arc::clone(&catalog));
        let last = self.closed.iter().copied().max().unwrap_or(Timestamp::MIN);
        self.closed = group_map.iter().map(|old| old.map_or(last, |old| self.closed[old])).collect();
        self.members = vec![Vec::new(); catalog.reads.len()];
        self.unsorted = vec![true; catalog.reads.len()];
        self.by_identity.clear();
        for slot in 0..self.series.len() as u32 {
            let Some(series) = &mut self.series[slot as usize] else { continue };
            series.recorder = series.recorder.and_then(|old| {
                group_map.iter().position(|from| *from == Some(old as usize)).map(|new| new as u32)
            });
            series.reads = match series.holds {
                Holds::Samples(_) => catalog.reads_of(&series.labels).collect(),
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
            self.by_identity.insert((series.labels.fingerprint(), record_read(series.holds)), slot);
        }
    }
}

fn record_read(holds: Holds) -> Option<ReadId> {
    match holds {
        Holds::Samples(_) => None,
        Holds::Records(read) => Some(read),
    }
}

fn same_log_read(old: &Catalog, new: &Catalog, read: ReadId) -> Option<ReadId> {
    let Target::Log(pipeline) = old.reads[read.0 as usize].target else { return None };
    let same = |spec: &crate::catalog::ReadSpec| matches!(spec.target, Target::Log(p) if new.pipelines[p] == old.pipelines[pipeline]);
    new.reads.iter().position(same).map(|read| ReadId(read as u32))
}

/// Label order without the metric's name, then the name: the same order whether or not a function
/// drops the name.
pub fn nameless_order(a: &Labels, b: &Labels) -> std::cmp::Ordering {
    a.without_name().cmp(&b.without_name()).then_with(|| a.metric().cmp(b.metric()))
}
