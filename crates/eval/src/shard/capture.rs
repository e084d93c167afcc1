//! Capturing a shard's series as they stood at one instant, a few at a time, while it goes on.
//!
//! At the cut only a list of what there is is made. Then series are packed piece by piece; one that is
//! about to change before its turn is packed first, as it is. Until all are packed nothing is buried
//! and no late sample settles, neither of which a tick can see.

use foghorn_model::{Partition, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Progress, Shard};
use crate::scope::{Heard, World};
use crate::series::{Kind, PartitionRank, Series};
use crate::window::Window;

/// What a shard knows beside its series.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ShardState {
    /// Whose series these are; `None` outside of all scopes.
    pub world: Option<World>,
    /// Partitions in the order of their ranks, how far each has got, and what nothing of it lies
    /// after.
    pub(super) partitions: Vec<(Partition, Progress, Timestamp)>,
    /// Per group: its last closed tick.
    pub(super) closed: Vec<Timestamp>,
    pub(super) heard: Option<Heard>,
    /// How many series there are.
    pub(super) series: usize,
}

/// Bytes of the length before each packed series.
pub(super) const LENGTH: usize = size_of::<u32>();

/// Some packed series of one world.
#[derive(Clone, Debug)]
pub struct Block {
    /// Whose series these are; `None` outside of all scopes.
    pub world: Option<World>,
    /// How many there are.
    pub series: usize,
    /// One behind the other: see [`super::unpack`].
    pub bytes: Vec<u8>,
}

/// Series of a cut that are still to be packed.
#[derive(Debug)]
pub(super) struct Capture {
    /// Slots of delta series, which ticks change: they come first.
    deltas: Vec<u32>,
    next: u32,
    end: u32,
    /// One bit a slot.
    packed: Vec<u64>,
    series: usize,
    bytes: Vec<u8>,
}

/// A series as it stands in a snapshot.
#[derive(Serialize)]
pub(super) struct Packed<'a> {
    labels: &'a foghorn_model::Labels,
    window: &'a Window,
    kind: Kind,
    source: u16,
    home: PartitionRank,
    /// Position of the group that records it.
    recorder: Option<u32>,
    /// The log read of records.
    read: Option<u32>,
    /// Whether a staleness marker is in the window.
    stale: bool,
    /// What few series have.
    more: Option<More>,
}

/// What few series have.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct More {
    pub(super) origins: Option<Vec<PartitionRank>>,
    /// (time, value, partition, hidden until).
    pub(super) late: Vec<(i64, f64, PartitionRank, Timestamp)>,
    /// (group, sum).
    pub(super) totals: Vec<(u32, f64)>,
}

impl More {
    fn of(series: &Series) -> Option<Self> {
        let extra = series.extra.as_ref()?;
        let late = extra.late.iter();
        let totals = extra.totals.iter();
        Some(Self {
            origins: extra.origins.clone(),
            late: late
                .map(|late| (late.point.t, late.point.v, late.from, late.hidden))
                .collect(),
            totals: totals
                .map(|total| (total.group as u32, total.sum))
                .collect(),
        })
    }
}

impl Capture {
    fn is_packed(&self, slot: u32) -> bool {
        self.packed[slot as usize / 64] >> (slot % 64) & 1 == 1
    }

    fn pack(&mut self, slot: u32, series: Option<&Series>, read: Option<u32>) {
        self.packed[slot as usize / 64] |= 1 << (slot % 64);
        let Some(series) = series else { return };
        let packed = Packed {
            labels: &series.labels,
            window: &series.window,
            kind: series.kind,
            source: series.source,
            home: series.home,
            recorder: series.recorder().map(|group| group as u32),
            read,
            stale: series.stale,
            more: More::of(series),
        };
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; LENGTH]);
        // A vector takes whatever is written.
        let written = rmp_serde::encode::write(&mut self.bytes, &packed);
        debug_assert!(written.is_ok(), "a series cannot be packed");
        let len = (self.bytes.len() - start - LENGTH) as u32;
        self.bytes[start..start + LENGTH].copy_from_slice(&len.to_le_bytes());
        self.series += 1;
    }
}

impl Shard {
    /// The instant of a cut. What there is now is given by [`Shard::capture`], piece by piece; a
    /// capture that was under way is given up.
    pub fn cut(&mut self) -> Vec<ShardState> {
        let mut states = vec![self.cut_own(None)];
        for (world, shard) in &mut self.worlds {
            states.push(shard.cut_own(Some(world)));
        }
        states
    }

    fn cut_own(&mut self, world: Option<&World>) -> ShardState {
        self.order();
        let sets = self.sets.numbers().map(|set| self.sets.get(set));
        let deltas = sets.filter(|set| set.has_deltas);
        self.capture = Some(Box::new(Capture {
            deltas: deltas.flat_map(|set| &set.slots).copied().collect(),
            next: 0,
            end: self.series.len() as u32,
            packed: vec![0; self.series.len().div_ceil(64)],
            series: 0,
            bytes: Vec::new(),
        }));
        let known = |partition: &Partition| {
            let (_, progress, furthest) = self.progress.get(partition)?;
            Some((*partition, *progress, *furthest))
        };
        ShardState {
            world: world.cloned(),
            partitions: self.partitions.iter().filter_map(known).collect(),
            closed: self.closed.clone(),
            heard: self.heard.clone(),
            series: self.stats.series,
        }
    }

    /// Some more series as they stood at the cut, about `most` bytes of them; `None` when that were
    /// all.
    pub fn capture(&mut self, most: usize) -> Option<Block> {
        let own = self.capture_own(most).map(|packed| (None, packed));
        let packed = own.or_else(|| {
            let mut worlds = self.worlds.iter_mut();
            worlds.find_map(|(world, shard)| {
                let packed = shard.capture_own(most)?;
                Some((Some(world.clone()), packed))
            })
        });
        packed.map(|(world, (series, bytes))| Block {
            world,
            series,
            bytes,
        })
    }

    /// Gives a capture up.
    pub fn give_up_capture(&mut self) {
        self.capture = None;
        self.worlds
            .values_mut()
            .for_each(|shard| shard.capture = None);
    }

    fn capture_own(&mut self, most: usize) -> Option<(usize, Vec<u8>)> {
        loop {
            let capture = self.capture.as_mut()?;
            let next = if let Some(delta) = capture.deltas.pop() {
                delta
            } else if capture.next < capture.end {
                capture.next += 1;
                capture.next - 1
            } else {
                let Capture { series, bytes, .. } = *self.capture.take()?;
                return (series > 0).then_some((series, bytes));
            };
            self.preserve(next);
            let capture = self.capture.as_mut()?;
            if capture.bytes.len() >= most {
                let series = std::mem::take(&mut capture.series);
                return Some((series, std::mem::take(&mut capture.bytes)));
            }
        }
    }

    /// A slot is about to change: what it held at the cut is packed now, if it was not.
    #[inline]
    pub(super) fn preserve(&mut self, slot: u32) {
        if let Some(capture) = &self.capture
            && slot < capture.end
            && !capture.is_packed(slot)
        {
            self.pack(slot);
        }
    }

    #[cold]
    fn pack(&mut self, slot: u32) {
        let Some(capture) = &mut self.capture else {
            return;
        };
        let series = self.series[slot as usize].as_ref();
        let read = series.filter(|series| series.kind == Kind::Records);
        let read = read.and_then(|series| self.sets.reads(series.reads).first());
        capture.pack(slot, series, read.map(|read| read.0));
    }

    /// A tick is about to change what delta series come to.
    pub(super) fn preserve_deltas(&mut self) {
        let deltas = self.capture.as_mut();
        let deltas = deltas.map(|capture| std::mem::take(&mut capture.deltas));
        for slot in deltas.into_iter().flatten() {
            self.preserve(slot);
        }
    }
}
