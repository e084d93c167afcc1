//! One series of a shard: its window, its late samples, and who reads it.

use foghorn_model::{Labels, SeriesKind, Timestamp};
use smallvec::SmallVec;

use crate::batch::Holds;
use crate::catalog::ReadId;
use crate::vector::Point;
use crate::window::Window;

/// The shard's own small number of a partition; their order is told by the shard.
pub(crate) type PartitionRank = u16;

/// A sample that came at or below its partition's watermark, until every reader may see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LatePoint {
    pub(crate) point: Point,
    pub(crate) from: PartitionRank,
    pub(crate) hidden: Timestamp,
}

/// What few series need.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extra {
    /// In arrival order.
    pub(crate) late: Vec<LatePoint>,
    /// The partition of each point of the window, once a second partition has sent some: of two
    /// values for one instant the one from the lower partition stands.
    pub(crate) origins: Option<Vec<PartitionRank>>,
    /// Of a delta series: sum of the points that have left the window, in time order.
    pub(crate) base: f64,
}

/// See the module's text.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) labels: Labels,
    pub(crate) holds: Holds,
    pub(crate) window: Window,
    /// The partition that sent its first sample.
    pub(crate) home: PartitionRank,
    /// Whether a staleness marker is in the window.
    pub(crate) stale: bool,
    pub(crate) extra: Option<Box<Extra>>,
    pub(crate) reads: SmallVec<[ReadId; 2]>,
    /// The intakes' numbers that lead here.
    pub(crate) refs: SmallVec<[(u16, u32); 1]>,
    /// Of a recorded series: position of the group that records it.
    pub(crate) recorder: Option<u32>,
}

impl Series {
    /// Takes a sample that is on time.
    #[inline]
    pub(crate) fn append(&mut self, point: Point, from: PartitionRank, lower: impl Fn(PartitionRank, PartitionRank) -> bool) {
        let plain = self.home == from && self.extra.as_ref().is_none_or(|extra| extra.origins.is_none());
        if plain && point.t > self.window.last_t() {
            self.window.push(point);
        } else {
            self.insert(point, from, lower);
        }
        self.stale |= foghorn_model::is_stale(point.v);
    }

    fn insert(&mut self, point: Point, from: PartitionRank, lower: impl Fn(PartitionRank, PartitionRank) -> bool) {
        if matches!(self.holds, Holds::Records(_)) {
            let at = self.window.points().partition_point(|p| p.t <= point.t);
            self.window.insert(at, point);
            return;
        }
        let (count, home) = (self.window.points().len(), self.home);
        if from != home {
            let extra = self.extra.get_or_insert_default();
            extra.origins.get_or_insert_with(|| vec![home; count]);
        }
        let origins = self.extra.as_mut().and_then(|extra| extra.origins.as_mut());
        match (self.window.find(point.t), origins) {
            // The same partition sent it before: the lower offset stands.
            (Ok(_), None) => {}
            (Ok(at), Some(origins)) => {
                if lower(from, origins[at]) {
                    origins[at] = from;
                    self.window.replace(at, point.v);
                }
            }
            (Err(at), origins) => {
                self.window.insert(at, point);
                if let Some(origins) = origins {
                    origins.insert(at, from);
                }
            }
        }
    }

    /// Takes a sample that is late.
    pub(crate) fn append_late(&mut self, late: LatePoint) {
        self.extra.get_or_insert_default().late.push(late);
    }

    /// Moves late samples that every coming tick may see into the window.
    pub(crate) fn settle(&mut self, closed: Timestamp, lower: impl Fn(PartitionRank, PartitionRank) -> bool + Copy) {
        let Some(extra) = &mut self.extra else { return };
        if extra.late.iter().all(|late| late.hidden > closed) {
            return;
        }
        let (settled, waiting) = std::mem::take(&mut extra.late).into_iter().partition(|late: &LatePoint| late.hidden <= closed);
        extra.late = waiting;
        for late in settled {
            self.stale |= foghorn_model::is_stale(late.point.v);
            self.insert(late.point, late.from, lower);
        }
    }

    /// Drops what lies at or before the horizon.
    pub(crate) fn trim(&mut self, horizon: Timestamp) {
        if self.holds == Holds::Samples(SeriesKind::Delta) {
            let gone: f64 = self.window.between(i64::MIN, horizon.ms()).iter().filter(|p| !p.v.is_nan()).fold(
                self.extra.as_ref().map_or(0.0, |extra| extra.base),
                |sum, p| sum + p.v,
            );
            self.extra.get_or_insert_default().base = gone;
        }
        let gone = self.window.trim(horizon.ms());
        if let Some(extra) = &mut self.extra {
            if let Some(origins) = &mut extra.origins {
                origins.drain(..gone);
            }
            extra.late.retain(|late| late.point.t > horizon.ms());
        }
        if self.stale && gone > 0 {
            self.stale = self.window.points().iter().any(|p| foghorn_model::is_stale(p.v));
        }
    }

    /// Whether nothing of it is left.
    pub(crate) fn is_over(&self) -> bool {
        self.window.is_empty() && self.extra.as_ref().is_none_or(|extra| extra.late.is_empty())
    }

    /// Its points with `start < t <= end` as tick `tick` sees them: late ones where they may be
    /// seen, deltas summed up, and (unless asked for) no staleness markers.
    pub(crate) fn visible<'a>(
        &'a self,
        start: i64,
        end: i64,
        tick: Timestamp,
        keep_stale: bool,
        lower: impl Fn(PartitionRank, PartitionRank) -> bool + Copy,
        scratch: &'a mut Vec<Point>,
    ) -> &'a [Point] {
        let late = self.extra.as_ref().is_some_and(|extra| {
            extra.late.iter().any(|late| late.hidden < tick && late.point.t > start && late.point.t <= end)
        });
        let delta = self.holds == Holds::Samples(SeriesKind::Delta);
        if !late && !delta && (keep_stale || !self.stale) {
            return self.window.between(start, end);
        }
        if late {
            let mut copy = self.clone();
            copy.settle(tick - 1, lower);
            copy.read_into(start, end, keep_stale, delta, scratch);
        } else {
            self.read_into(start, end, keep_stale, delta, scratch);
        }
        scratch
    }

    fn read_into(&self, start: i64, end: i64, keep_stale: bool, delta: bool, scratch: &mut Vec<Point>) {
        scratch.clear();
        let mut sum = self.extra.as_ref().map_or(0.0, |extra| extra.base);
        for point in self.window.between(if delta { i64::MIN } else { start }, end) {
            if foghorn_model::is_stale(point.v) {
                if keep_stale && point.t > start {
                    scratch.push(*point);
                }
                continue;
            }
            sum += point.v;
            if point.t > start {
                scratch.push(Point { t: point.t, v: if delta { sum } else { point.v } });
            }
        }
    }

    /// Heap and inline bytes, labels included.
    pub(crate) fn bytes(&self) -> usize {
        let extra = self.extra.as_ref().map_or(0, |extra| {
            size_of::<Extra>()
                + extra.late.capacity() * size_of::<LatePoint>()
                + extra.origins.as_ref().map_or(0, |origins| origins.capacity() * 2)
        });
        size_of::<Self>() + self.labels.heap_bytes() + self.window.bytes() + extra
    }
}
