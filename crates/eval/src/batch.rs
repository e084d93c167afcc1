//! Batches: what an intake hands to a shard, as columns, in one piece.

use foghorn_model::{Labels, Offset, Partition, SeriesKind, Timestamp};

use crate::catalog::ReadId;
use crate::scope::World;

/// One sample, under the intake's own dense number of its series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cell {
    /// The intake's number of the series.
    pub series: u32,
    /// Event time, in milliseconds.
    pub t: i64,
    /// Value; of a log record its length in bytes.
    pub v: f64,
}

/// What sort of window a series has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// Samples, one an instant.
    Samples(SeriesKind),
    /// Log records that a pipeline let through, any number an instant.
    Records(ReadId),
}

/// An intake's number now stands for this series.
#[derive(Clone, Debug)]
pub struct Birth {
    /// The intake's number.
    pub series: u32,
    /// Labels.
    pub labels: Labels,
    /// What its window holds.
    pub holds: Holds,
    /// The source that sends it.
    pub source: u16,
}

/// A sample that came at or below its partition's watermark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Late {
    /// Index of its cell.
    pub cell: u32,
    /// It is visible to ticks after this one only.
    pub hidden: Timestamp,
}

/// A run of cells from one partition, and how far the partition has got behind them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Which partition.
    pub partition: Partition,
    /// End of its cells in the batch.
    pub cells_end: u32,
    /// The partition's next offset.
    pub next_offset: Offset,
    /// The partition's watermark.
    pub watermark: Timestamp,
    /// Nothing that was read of the partition lies after this.
    pub furthest: Timestamp,
}

/// What one intake hands to one shard. Applied in the order: freed, births, cells, segments.
#[derive(Debug, Default)]
pub struct Batch {
    /// Which intake.
    pub intake: u16,
    /// Numbers that no longer stand for their series.
    pub freed: Vec<u32>,
    /// Numbers that now stand for a series.
    pub births: Vec<Birth>,
    /// Samples, segment by segment.
    pub cells: Vec<Cell>,
    /// Which of them are late, in cell order.
    pub late: Vec<Late>,
    /// The segments.
    pub segments: Vec<Segment>,
    /// What series of other worlds have, by the intake's number of the world (less one). Their
    /// segments say nothing of partitions that have no cells there.
    pub worlds: Vec<(World, Batch)>,
}

impl Batch {
    /// Cells that it has room for, in all worlds.
    pub fn capacity(&self) -> usize {
        let worlds = self.worlds.iter().map(|(_, batch)| batch.capacity());
        self.cells.capacity() + worlds.sum::<usize>()
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.freed.is_empty()
            && self.births.is_empty()
            && self.segments.is_empty()
            && self.worlds.iter().all(|(_, batch)| batch.is_empty())
    }

    /// Empties it, keeping its buffers.
    pub fn clear(&mut self) {
        self.freed.clear();
        self.births.clear();
        self.cells.clear();
        self.late.clear();
        self.segments.clear();
        self.worlds.iter_mut().for_each(|(_, batch)| batch.clear());
    }
}
