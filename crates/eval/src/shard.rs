//! A shard: the series that it owns, and the per-series half of every rule over them.
//!
//! Fed by batches from intakes, asked for leaves by the core at a tick. A series has one owner
//! shard, by fingerprint; samples of one series may come from any partition and any intake.

use std::collections::BTreeMap;
use std::sync::Arc;

use foghorn_model::{Fingerprint, Labels, Offset, Partition, Timestamp};
use foghorn_rules::plan::{LOOKBACK_MS, LeafId, LogFunc, RangeFunc, Read};
use hashbrown::{HashMap, HashSet};
use smallvec::SmallVec;

use crate::batch::{Batch, Birth, Holds};
use crate::catalog::{Catalog, GroupIndex, RECORDED, ReadId, Target};
use crate::promql::range::range_value_at;
use crate::series::{LatePoint, PartitionRank, Series, Span, Total};
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

/// What makes a series: labels, the log read that its records pass, and its source.
type Identity = (Fingerprint, Option<ReadId>, u16);

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
    by_identity: HashMap<Identity, u32>,
    /// Per intake: its numbers' slots.
    refs: Vec<Vec<u32>>,
    limbo: HashMap<(u16, u32), Birth>,
    /// Per read: slots of its members, in label order once sorted.
    members: Vec<Vec<u32>>,
    unsorted: Vec<bool>,
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
            marked: HashSet::new(),
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
                let point = Point {
                    t: cell.t,
                    v: cell.v,
                };
                self.take(intake, cell.series, point, rank, hidden);
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

    fn take(
        &mut self,
        intake: u16,
        number: u32,
        point: Point,
        from: PartitionRank,
        hidden: Option<Timestamp>,
    ) {
        let mut slot = self.refs[intake as usize][number as usize];
        if slot >= LIMBO {
            slot = self.revive(intake, number);
            if slot == NONE {
                return;
            }
        }
        let Some(series) = &mut self.series[slot as usize] else {
            return;
        };
        let partitions = &self.partitions;
        match hidden {
            None => series.append(point, from, |a, b| {
                partitions[a as usize] < partitions[b as usize]
            }),
            Some(hidden) => {
                self.stats.late += 1;
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
        let identity = (
            birth.labels.fingerprint(),
            record_read(birth.holds),
            birth.source,
        );
        let slot = match self.by_identity.get(&identity) {
            Some(slot) => *slot,
            None => self.create(birth.labels, birth.holds, birth.source, None),
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

    fn create(&mut self, labels: Labels, holds: Holds, source: u16, recorder: Option<u32>) -> u32 {
        let reads: SmallVec<[ReadId; 2]> = match holds {
            Holds::Samples(_) => self.catalog.reads_of(&labels, source).collect(),
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
        self.by_identity
            .insert((labels.fingerprint(), record_read(holds), source), slot);
        self.series[slot as usize] = Some(Series {
            labels,
            holds,
            source,
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
        self.marked.remove(&(intake, number));
        let Some(slot) = self.refs[intake as usize].get_mut(number as usize) else {
            return;
        };
        let slot = std::mem::replace(slot, NONE);
        if let Some(Some(series)) = self.series.get_mut(slot as usize) {
            series.refs.retain(|known| *known != (intake, number));
        }
    }

    /// Writes a recorded sample (or its staleness marker) of a group at its tick.
    pub fn record(&mut self, recorder: GroupIndex, labels: &Labels, at: Timestamp, value: f64) {
        let holds = Holds::Samples(foghorn_model::SeriesKind::Absolute);
        let slot = match self
            .by_identity
            .get(&(labels.fingerprint(), None, RECORDED))
        {
            Some(slot) => *slot,
            None => self.create(labels.clone(), holds, RECORDED, Some(recorder as u32)),
        };
        if let Some(series) = &mut self.series[slot as usize] {
            // The last writer of an instant stands (rules of one group that record one series).
            match series.window.find(at.ms()) {
                Ok(i) => series.window.replace(i, value),
                Err(_) => series.append(
                    Point {
                        t: at.ms(),
                        v: value,
                    },
                    0,
                    |_, _| false,
                ),
            }
            series.stale |= foghorn_model::is_stale(value);
        }
    }

    /// The vector of a leaf as tick `tick` of its group sees it, evaluated as of `at`, in the order
    /// of labels without the metric's name.
    pub fn leaf(
        &mut self,
        group: GroupIndex,
        leaf: LeafId,
        tick: Timestamp,
        at: Timestamp,
    ) -> Vector {
        let catalog = Arc::clone(&self.catalog);
        let Some(read) = catalog.leaf_read(group, leaf) else {
            return Vector::new();
        };
        self.sort_members(read);
        let leaf = &catalog.group(group).leaves[leaf.0 as usize];
        let end = leaf.at_ms.unwrap_or(at.ms()) - leaf.offset_ms;
        let mut scratch = std::mem::take(&mut self.scratch);
        let members = &self.members[read.0 as usize];
        let mut vector = Vector::with_capacity(members.len());
        let seen = |slot: &u32| {
            self.series[*slot as usize]
                .as_ref()
                .filter(|series| catalog.reads_source(group, series.source))
        };
        let mut members = members.iter().filter_map(seen).peekable();
        while let Some(series) = members.next() {
            // Series of several sources with the same labels are one to a group that reads them all.
            let mut merged: Option<Series> = None;
            while let Some(twin) =
                members.next_if(|next| next.source != series.source && next.labels == series.labels)
            {
                merged
                    .get_or_insert_with(|| series.clone())
                    .merge(twin, group, |a, b| self.is_lower(a, b));
            }
            let series = merged.as_ref().unwrap_or(series);
            let heard_until = self.heard_until(series, group, tick).min(end);
            let view = View {
                group,
                tick,
                at,
                end,
                heard_until,
            };
            if let Some(value) = self.value(series, &leaf.read, view, &mut scratch) {
                let keeps_name = matches!(
                    &leaf.read,
                    Read::Instant {
                        timestamp: false,
                        ..
                    }
                ) || matches!(&leaf.read, Read::Range { func, .. } if func.keeps_name());
                let labels = if keeps_name {
                    series.labels.clone()
                } else {
                    series.labels.without_name()
                };
                vector.push(Element { labels, value });
            }
        }
        self.scratch = scratch;
        vector
    }

    fn is_lower(&self, a: PartitionRank, b: PartitionRank) -> bool {
        self.partitions[a as usize] < self.partitions[b as usize]
    }

    /// A recorder may have run ahead of a group that reads it: what the group may hear of it are
    /// the ticks before its own, and the one at it where the recorder comes first.
    fn heard_until(&self, series: &Series, group: GroupIndex, tick: Timestamp) -> i64 {
        let Some(recorder) = series.recorder.map(|recorder| recorder as usize) else {
            return i64::MAX;
        };
        let recorded_at = tick - self.catalog.group(recorder).query_offset_ms;
        recorded_at.ms() - i64::from(recorder > group)
    }

    fn value(
        &self,
        series: &Series,
        read: &Read,
        view: View,
        scratch: &mut Vec<Point>,
    ) -> Option<f64> {
        let View {
            group,
            tick,
            at,
            end,
            heard_until,
        } = view;
        let lower = |a: PartitionRank, b: PartitionRank| self.is_lower(a, b);
        let total = || {
            let reach = |read: &ReadId| {
                self.catalog.reads[read.0 as usize]
                    .reach_ms
                    .get(&group)
                    .copied()
            };
            let reach_ms = series.reads.iter().filter_map(reach).max().unwrap_or(0);
            Total::Of {
                group,
                since: (tick - reach_ms).ms(),
            }
        };
        let since = |start: i64| Span {
            start,
            end: heard_until,
        };
        match read {
            Read::Instant { timestamp, .. } => {
                let point = series.newest(since(end - LOOKBACK_MS), tick, total, lower, scratch)?;
                if foghorn_model::is_stale(point.v) {
                    return None;
                }
                Some(if *timestamp {
                    point.t as f64 / 1e3
                } else {
                    point.v
                })
            }
            Read::Range {
                range_ms,
                func,
                params,
                ..
            } => {
                let start = end - range_ms;
                let total = || {
                    if is_difference(*func) {
                        Total::Nobodys
                    } else {
                        total()
                    }
                };
                let points = series.visible(since(start), tick, false, total, lower, scratch);
                if points.is_empty() {
                    None
                } else {
                    range_value_at(*func, points, start, end, at.ms(), params)
                }
            }
            Read::Log { range_ms, func, .. } => {
                let points = series.visible(
                    since(end - range_ms),
                    tick,
                    true,
                    || Total::Nobodys,
                    lower,
                    scratch,
                );
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
        members.retain(|slot| {
            series[*slot as usize]
                .as_ref()
                .is_some_and(|s| s.reads.contains(&read))
        });
        members.sort_by(|a, b| match (&series[*a as usize], &series[*b as usize]) {
            (Some(a), Some(b)) => {
                nameless_order(&a.labels, &b.labels).then(a.source.cmp(&b.source))
            }
            (a, b) => a.is_some().cmp(&b.is_some()),
        });
        members.dedup();
    }

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

    fn bury(&mut self, slot: u32) {
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

    /// Death marks since the last call: (intake, its number). Each must come back as
    /// [`Batch::freed`].
    pub fn take_deaths(&mut self) -> Vec<(u16, u32)> {
        std::mem::take(&mut self.deaths)
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
        let bytes = self.series.iter().flatten().map(Series::bytes).sum();
        ShardStats {
            bytes,
            ..self.stats
        }
    }

    /// Counts without bytes: cheap.
    pub fn counts(&self) -> ShardStats {
        self.stats
    }

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

/// How a tick looks at a series.
#[derive(Clone, Copy)]
struct View {
    group: GroupIndex,
    tick: Timestamp,
    /// Evaluation time.
    at: Timestamp,
    /// Evaluation time, with the leaf's own `offset` and `@`.
    end: i64,
    /// No sample after this is seen.
    heard_until: i64,
}

/// Functions that only differences between samples count for.
fn is_difference(func: RangeFunc) -> bool {
    use RangeFunc::{Changes, Delta, Deriv, Idelta, Increase, Irate, Rate, Resets};
    matches!(
        func,
        Rate | Increase | Delta | Irate | Idelta | Deriv | Changes | Resets
    )
}

fn record_read(holds: Holds) -> Option<ReadId> {
    match holds {
        Holds::Samples(_) => None,
        Holds::Records(read) => Some(read),
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

/// Label order without the metric's name, then the name: the same order whether or not a function
/// drops the name.
pub fn nameless_order(a: &Labels, b: &Labels) -> std::cmp::Ordering {
    a.without_name()
        .cmp(&b.without_name())
        .then_with(|| a.metric().cmp(b.metric()))
}
