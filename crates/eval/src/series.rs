//! One series of a shard: its window, its late samples, and who reads it.

use foghorn_model::{Labels, Timestamp};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::catalog::GroupIndex;
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
    /// Samples that came behind newer ones, in arrival order, until somebody reads the window.
    pub(crate) unordered: Vec<(Point, PartitionRank)>,
    /// Of a delta series, per group that reads it.
    pub(crate) totals: SmallVec<[GroupTotal; 1]>,
    /// The intakes' numbers that lead here, but the first.
    pub(crate) refs: Vec<(u16, u32)>,
}

/// What a window holds, without the log read that records pass (it is the series' only read).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// Samples that stand for themselves.
    Absolute,
    /// Differences.
    Delta,
    /// Log records.
    Records,
}

/// The shard's own number of a set of reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SetId(pub(crate) u32);

/// Of a recorded series nobody's number, of an ingested one no number.
const NOBODY: (u16, u32) = (u16::MAX, u32::MAX);

/// What a group has counted of a delta series beyond its reach: by its own ticks alone, so that no
/// other group's pace is seen in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GroupTotal {
    pub(crate) group: GroupIndex,
    /// Sum in time order.
    pub(crate) sum: f64,
}

/// Samples with `start < t <= end`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) start: i64,
    pub(crate) end: i64,
}

/// From where a delta series' running total counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Total {
    /// From where a group has begun to see the series; its reach begins after `since`.
    Of {
        /// Which group.
        group: GroupIndex,
        /// Up to here points are in its total, or came too late for it.
        since: i64,
    },
    /// From far below the span's first point: for functions of differences, which then depend on
    /// the span alone (a counter's zero is nowhere near).
    Nobodys,
}

/// See the module's text. There may be millions, so that every byte counts.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) labels: Labels,
    pub(crate) window: Window,
    pub(crate) extra: Option<Box<Extra>>,
    /// Who reads it.
    pub(crate) reads: SetId,
    /// The first number that leads here; of a recorded series the position of the group that
    /// records it. Apart from whose number it is: as a pair they would take 8 bytes.
    number: u32,
    /// The intake whose number it is.
    intake: u16,
    /// The source that sends it; [`crate::catalog::RECORDED`] of a recorded one.
    pub(crate) source: u16,
    /// The partition that sent its first sample.
    pub(crate) home: PartitionRank,
    pub(crate) kind: Kind,
    /// Whether a staleness marker is in the window.
    pub(crate) stale: bool,
}

impl Series {
    /// A series without samples; `recorder` is the group that records it.
    pub(crate) fn new(
        labels: Labels,
        kind: Kind,
        source: u16,
        reads: SetId,
        recorder: Option<GroupIndex>,
    ) -> Self {
        Self {
            labels,
            window: Window::default(),
            extra: None,
            reads,
            number: recorder.map_or(NOBODY.1, |group| group as u32),
            intake: NOBODY.0,
            source,
            home: 0,
            kind,
            stale: false,
        }
    }

    /// Of a recorded series: position of the group that records it.
    pub(crate) fn recorder(&self) -> Option<GroupIndex> {
        let recorded = self.intake == NOBODY.0 && self.number != NOBODY.1;
        recorded.then_some(self.number as usize)
    }

    /// After a reload: the new positions of the groups that stay.
    pub(crate) fn remap_recorder(&mut self, new_of: impl Fn(GroupIndex) -> Option<GroupIndex>) {
        if let Some(old) = self.recorder() {
            self.number = new_of(old).map_or(NOBODY.1, |group| group as u32);
        }
    }

    /// The intakes' numbers that lead here.
    pub(crate) fn refs(&self) -> impl Iterator<Item = (u16, u32)> {
        let first = (self.intake != NOBODY.0).then_some((self.intake, self.number));
        let further = self.extra.iter().flat_map(|extra| &extra.refs).copied();
        first.into_iter().chain(further)
    }

    /// An intake's number leads here.
    pub(crate) fn link(&mut self, intake: u16, number: u32) {
        if (self.intake, self.number) == NOBODY {
            (self.intake, self.number) = (intake, number);
        } else {
            let extra = self.extra.get_or_insert_default();
            extra.refs.push((intake, number));
        }
    }

    /// An intake's number leads here no longer.
    pub(crate) fn unlink(&mut self, intake: u16, number: u32) {
        let further = self.extra.as_mut().map(|extra| &mut extra.refs);
        if (self.intake, self.number) == (intake, number) {
            (self.intake, self.number) = further.and_then(Vec::pop).unwrap_or(NOBODY);
        } else if let Some(further) = further {
            further.retain(|known| *known != (intake, number));
        }
    }

    /// Takes a sample that is on time. What lies at or before `horizon` may go to make room.
    /// Whether it is the first that has to be [ordered](Self::order) before the window is read.
    #[inline]
    pub(crate) fn append(
        &mut self,
        point: Point,
        from: PartitionRank,
        horizon: impl FnOnce() -> Timestamp,
        lower: impl Fn(PartitionRank, PartitionRank) -> bool,
    ) -> bool {
        if point.t <= self.window.last_t() {
            return self.defer(point, from, lower);
        }
        let origins = self.extra.as_mut().map(|extra| &mut extra.origins);
        let pushed = match origins {
            None => self.home == from && self.window.try_push(point),
            Some(Some(origins)) => {
                let pushed = self.window.try_push(point);
                if pushed {
                    origins.push(from);
                }
                pushed
            }
            Some(None) => false,
        };
        if !pushed {
            self.trim(horizon());
            self.append_newest(point, from);
        }
        // Not before the trim, which looks for markers anew.
        self.stale |= foghorn_model::is_stale(point.v);
        false
    }

    fn append_newest(&mut self, point: Point, from: PartitionRank) {
        if self.extra.is_none() && self.window.is_empty() {
            self.home = from;
        }
        let (count, home) = (self.window.len(), self.home);
        if from != home && self.kind != Kind::Records {
            let extra = self.extra.get_or_insert_default();
            extra.origins.get_or_insert_with(|| vec![home; count]);
        }
        self.window.push(point);
        if let Some(origins) = self.extra.as_mut().and_then(|extra| extra.origins.as_mut()) {
            origins.push(from);
        }
    }

    fn insert(
        &mut self,
        point: Point,
        from: PartitionRank,
        lower: impl Fn(PartitionRank, PartitionRank) -> bool,
    ) {
        if self.kind == Kind::Records {
            self.window.insert(self.window.first_after(point.t), point);
            return;
        }
        let (count, home) = (self.window.len(), self.home);
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
    pub(crate) fn settle(
        &mut self,
        closed: Timestamp,
        lower: impl Fn(PartitionRank, PartitionRank) -> bool + Copy,
    ) {
        let Some(extra) = &mut self.extra else { return };
        if extra.late.iter().all(|late| late.hidden > closed) {
            return;
        }
        let (settled, waiting) = std::mem::take(&mut extra.late)
            .into_iter()
            .partition(|late: &LatePoint| late.hidden <= closed);
        extra.late = waiting;
        for late in settled {
            self.stale |= foghorn_model::is_stale(late.point.v);
            self.insert(late.point, late.from, lower);
        }
    }

    /// Drops what lies at or before the horizon.
    pub(crate) fn trim(&mut self, horizon: Timestamp) {
        let gone = self.window.trim(horizon.ms());
        if let Some(extra) = &mut self.extra {
            if let Some(origins) = &mut extra.origins {
                origins.drain(..gone);
            }
            extra.late.retain(|late| late.point.t > horizon.ms());
        }
        if self.stale && gone > 0 {
            let mut points = Vec::new();
            self.stale = self
                .window
                .all(&mut points)
                .iter()
                .any(|p| foghorn_model::is_stale(p.v));
        }
    }

    /// Drops all but the newest sample: nobody reads it any more.
    pub(crate) fn keep_newest(&mut self) {
        let newest = self.window.newest(i64::MIN, i64::MAX);
        (self.window, self.extra) = (Window::default(), None);
        if let Some(point) = newest {
            self.window.push(point);
            self.stale = foghorn_model::is_stale(point.v);
        }
    }

    /// Whether a long range of it is better summed up than read: its window then holds all that a
    /// tick may see, as it is.
    pub(crate) fn is_summed(&self) -> bool {
        self.window.is_long() && self.kind == Kind::Absolute && !self.has_late()
    }

    pub(crate) fn is_delta(&self) -> bool {
        self.kind == Kind::Delta
    }

    /// After a group's tick: points in `leaving` leave its reach and go into its total, which ends
    /// where nothing else is in its reach.
    pub(crate) fn total(
        &mut self,
        group: GroupIndex,
        leaving: Span,
        tick: Timestamp,
        lower: impl Fn(PartitionRank, PartitionRank) -> bool + Copy,
        scratch: &mut Vec<Point>,
    ) {
        let seen = self.settled(tick, lower);
        let window = &seen.as_ref().unwrap_or(self).window;
        let sum = if window.newest(leaving.end, tick.ms()).is_some() {
            window
                .between(leaving.start, leaving.end, scratch)
                .iter()
                .filter(|p| !p.v.is_nan())
                .fold(self.group_total(group), |sum, p| sum + p.v)
        } else {
            0.0
        };
        let totals = &mut self.extra.get_or_insert_default().totals;
        totals.retain(|total| total.group != group);
        totals.push(GroupTotal { group, sum });
    }

    fn group_total(&self, group: GroupIndex) -> f64 {
        let known = self
            .extra
            .iter()
            .flat_map(|extra| &extra.totals)
            .find(|total| total.group == group);
        known.map_or(0.0, |total| total.sum)
    }

    /// After a reload: the new positions of the groups that stay.
    pub(crate) fn remap_totals(&mut self, new_of: impl Fn(GroupIndex) -> Option<GroupIndex>) {
        if let Some(extra) = &mut self.extra {
            let moved = extra.totals.iter().filter_map(|total| {
                Some(GroupTotal {
                    group: new_of(total.group)?,
                    ..*total
                })
            });
            extra.totals = moved.collect();
        }
    }

    /// Takes in a series of another source with the same labels, as a group sees both.
    pub(crate) fn merge(
        &mut self,
        other: &Self,
        group: GroupIndex,
        lower: impl Fn(PartitionRank, PartitionRank) -> bool + Copy,
    ) {
        let sum = self.group_total(group) + other.group_total(group);
        let origins = other
            .extra
            .as_ref()
            .and_then(|extra| extra.origins.as_ref());
        let mut points = Vec::new();
        for (i, point) in other.window.all(&mut points).iter().enumerate() {
            let from = origins.map_or(other.home, |origins| origins[i]);
            self.insert(*point, from, lower);
        }
        self.stale |= other.stale;
        let extra = self.extra.get_or_insert_default();
        extra
            .late
            .extend(other.extra.iter().flat_map(|extra| &extra.late));
        extra.totals.clear();
        extra.totals.push(GroupTotal { group, sum });
    }

    /// A copy with the late samples that a tick may see in their places; `None` where there are none.
    fn settled(
        &self,
        tick: Timestamp,
        lower: impl Fn(PartitionRank, PartitionRank) -> bool + Copy,
    ) -> Option<Self> {
        let late = self
            .extra
            .as_ref()
            .is_some_and(|extra| extra.late.iter().any(|late| late.hidden < tick));
        late.then(|| {
            let mut copy = self.clone();
            copy.settle(tick - 1, lower);
            copy
        })
    }

    /// Gives back what only past samples needed.
    pub(crate) fn slim(&mut self) {
        let Some(extra) = &mut self.extra else { return };
        if let Some(origins) = &extra.origins {
            let first = origins.first().copied().unwrap_or(self.home);
            if origins.iter().all(|origin| *origin == first) {
                (self.home, extra.origins) = (first, None);
            }
        }
        let needed = !extra.late.is_empty()
            || !extra.totals.is_empty()
            || !extra.refs.is_empty()
            || !extra.unordered.is_empty()
            || extra.origins.is_some();
        if !needed {
            self.extra = None;
        }
    }

    /// Whether late samples wait to be seen by every tick.
    pub(crate) fn has_late(&self) -> bool {
        let late = self.extra.as_ref().map(|extra| &extra.late);
        late.is_some_and(|late| !late.is_empty())
    }

    /// Whether nothing of it is left.
    pub(crate) fn is_over(&self) -> bool {
        self.window.is_empty()
            && self
                .extra
                .as_ref()
                .is_none_or(|extra| extra.late.is_empty() && extra.unordered.is_empty())
    }

    /// Its points in a span as tick `tick` sees them: late ones where they may be seen, deltas
    /// summed up, and (unless asked for) no staleness markers.
    pub(crate) fn visible<'a>(
        &'a self,
        span: Span,
        tick: Timestamp,
        keep_stale: bool,
        total: impl FnOnce() -> Total,
        lower: impl Fn(PartitionRank, PartitionRank) -> bool + Copy,
        scratch: &'a mut Vec<Point>,
    ) -> &'a [Point] {
        let delta = self.is_delta();
        // A late sample before the span counts where totals do.
        let start = if delta { i64::MIN } else { span.start };
        let late = self.extra.as_ref().is_some_and(|extra| {
            extra
                .late
                .iter()
                .any(|late| late.hidden < tick && late.point.t > start && late.point.t <= span.end)
        });
        if !late && !delta && (keep_stale || !self.stale) {
            return self.window.between(span.start, span.end, scratch);
        }
        let copy = if late {
            self.settled(tick, lower)
        } else {
            None
        };
        let seen = copy.as_ref().unwrap_or(self);
        if delta {
            seen.sum_into(span, total(), keep_stale, scratch);
        } else {
            seen.window.between(span.start, span.end, scratch);
            if !keep_stale {
                scratch.retain(|p| !foghorn_model::is_stale(p.v));
            }
        }
        scratch
    }

    /// The newest of the points that [`Series::visible`] gives, staleness markers among them.
    pub(crate) fn newest(
        &self,
        span: Span,
        tick: Timestamp,
        total: impl FnOnce() -> Total,
        lower: impl Fn(PartitionRank, PartitionRank) -> bool + Copy,
        scratch: &mut Vec<Point>,
    ) -> Option<Point> {
        if self.extra.is_none() && !self.is_delta() {
            return self.window.newest(span.start, span.end);
        }
        self.visible(span, tick, true, total, lower, scratch)
            .last()
            .copied()
    }

    fn sum_into(&self, span: Span, total: Total, keep_stale: bool, scratch: &mut Vec<Point>) {
        let (from, mut sum) = match total {
            Total::Of { group, since } => (since, self.group_total(group)),
            Total::Nobodys => {
                let points = self.window.between(span.start, span.end, scratch);
                let whole: f64 = points
                    .iter()
                    .filter(|p| !p.v.is_nan())
                    .map(|p| p.v.abs())
                    .sum();
                (span.start, 2.0 * whole)
            }
        };
        self.window.between(from, span.end, scratch);
        scratch.retain_mut(|point| {
            if foghorn_model::is_stale(point.v) {
                return keep_stale && point.t > span.start;
            }
            sum += point.v;
            point.v = sum;
            point.t > span.start
        });
    }

    /// Heap and inline bytes, labels included.
    pub(crate) fn bytes(&self) -> usize {
        let extra = self.extra.as_ref().map_or(0, |extra| {
            size_of::<Extra>()
                + extra.late.capacity() * size_of::<LatePoint>()
                + extra.unordered.capacity() * size_of::<(Point, PartitionRank)>()
                + extra
                    .origins
                    .as_ref()
                    .map_or(0, |origins| origins.capacity() * 2)
                + extra.refs.capacity() * size_of::<(u16, u32)>()
        });
        size_of::<Self>() + self.labels.heap_bytes() + self.window.bytes() + extra
    }
}
