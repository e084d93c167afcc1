//! A shard: the series that it owns, and the per-series half of every rule over them.
//!
//! Fed by batches from intakes, asked for leaves by the core at a tick. A series has one owner
//! shard, by fingerprint; samples of one series may come from any partition and any intake.

mod leaf;
mod reload;
mod retire;

pub use leaf::nameless_order;

use std::collections::BTreeMap;
use std::sync::Arc;

use foghorn_model::{Fingerprint, Labels, Offset, Partition, Timestamp};
use hashbrown::{HashMap, HashSet};
use smallvec::SmallVec;

use crate::batch::{Batch, Birth, Holds};
use crate::catalog::{Catalog, GroupIndex, RECORDED, ReadId};
use crate::series::{LatePoint, PartitionRank, Series};
use crate::vector::Point;
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
    rows: leaf::Versions,
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
            rows: leaf::Versions::default(),
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
}

fn record_read(holds: Holds) -> Option<ReadId> {
    match holds {
        Holds::Samples(_) => None,
        Holds::Records(read) => Some(read),
    }
}
