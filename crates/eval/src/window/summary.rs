//! What the numbers of a long range come to, without reading most of them.
//!
//! Only the chunks at both ends of the range are looked into; those between them count as they were
//! summed up when they were sealed. Bit for bit the same as from all points: differences and extremes
//! do not depend on how points are grouped, and what resets lost is added in time order.

use foghorn_model::is_stale;
use smallvec::SmallVec;

use super::Window;
use super::sealed::{Sealed, extreme, is_change, is_reset};
use crate::chunk::Chunk;
use crate::vector::Point;

/// What the numbers of a range come to; there is at least one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Summary {
    pub(crate) first: Point,
    pub(crate) last: Point,
    pub(crate) count: usize,
    /// What stood before each step down, in time order; empty where it was not asked for.
    pub(crate) lost: SmallVec<[f64; 4]>,
    /// Steps down, steps, the smallest and the largest number, where they were asked for.
    pub(crate) resets: usize,
    pub(crate) changes: usize,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

/// What is asked for, beside the first and the last number and how many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Nothing.
    Ends,
    /// What stood before each step down.
    Lost,
    /// How many steps.
    Steps,
    /// The smallest and the largest.
    Extremes,
}

/// A part of a chunk at an end of the range.
struct Edge<'a> {
    chunk: &'a Chunk,
    from: usize,
    to: usize,
    /// Whether it is known that no point is a staleness marker.
    plain: bool,
    /// Whether it is known that no number is below the one before.
    rising: bool,
}

/// What an edge comes to.
#[derive(Default)]
struct Met {
    first: Option<Point>,
    last: Option<Point>,
    count: usize,
}

impl Window {
    /// Whether points stand in several chunks, so that a summary may be cheaper than reading them.
    #[inline]
    pub(crate) fn is_long(&self) -> bool {
        self.sealed.is_some()
    }

    /// What the numbers with `start < t <= end` come to; `None` where there are none. `stale` tells
    /// whether any point may be a staleness marker.
    pub(crate) fn summary(
        &self,
        start: i64,
        end: i64,
        stale: bool,
        asked: Asked,
        buffer: &mut Vec<Point>,
    ) -> Option<Summary> {
        let none = Sealed::default();
        let sealed = self.sealed.as_deref().unwrap_or(&none);
        let (mut head, tail) = (sealed.first_past(start), sealed.first_past(end));
        let mut sum = Summing::new(asked, buffer);
        // The first chunk that has numbers in the range.
        while head < tail {
            let whole = sealed.whole(head);
            let from = whole.chunk.first_after(start);
            sum.edge(&Edge {
                chunk: &whole.chunk,
                from,
                to: whole.chunk.len(),
                plain: whole.is_plain(),
                rising: whole.resets == 0,
            });
            if sum.out.count > 0 {
                break;
            }
            head += 1;
        }
        if head < tail {
            sum.between(sealed, head, tail);
        }
        let (chunk, plain, rising) = match sealed.chunk(tail) {
            Some(chunk) => {
                let whole = sealed.whole(tail);
                (chunk, whole.is_plain(), whole.resets == 0)
            }
            None => (&self.open, !stale, false),
        };
        // The head's own chunk may be the tail's.
        let from = chunk.first_after(start);
        let to = chunk.first_after(end).max(from);
        let is_open = tail == sealed.len();
        let rises = is_open
            && matches!(asked, Asked::Ends | Asked::Lost)
            && sealed.open_rises(chunk, to, sum.buffer);
        let (plain, rising) = (plain || rises, rising || rises);
        sum.edge(&Edge {
            chunk,
            from,
            to,
            plain,
            rising,
        });
        sum.finish()
    }
}

struct Summing<'a> {
    asked: Asked,
    buffer: &'a mut Vec<Point>,
    first: Option<Point>,
    last: Option<Point>,
    out: Counts,
}

#[derive(Default)]
struct Counts {
    count: usize,
    lost: SmallVec<[f64; 4]>,
    resets: usize,
    changes: usize,
    least: f64,
    most: f64,
}

impl<'a> Summing<'a> {
    fn new(asked: Asked, buffer: &'a mut Vec<Point>) -> Self {
        Self {
            asked,
            buffer,
            first: None,
            last: None,
            out: Counts {
                least: f64::NAN,
                most: f64::NAN,
                ..Counts::default()
            },
        }
    }

    /// Takes in a part of a chunk.
    fn edge(&mut self, edge: &Edge<'_>) {
        if edge.from >= edge.to {
            return;
        }
        let ends_are_enough = match self.asked {
            Asked::Ends => true,
            Asked::Lost => edge.rising,
            Asked::Steps | Asked::Extremes => false,
        };
        let met = if edge.plain && ends_are_enough {
            let (first, last) = (edge.chunk.point(edge.from), edge.chunk.point(edge.to - 1));
            self.step(first.v);
            Met {
                first: Some(first),
                last: Some(last),
                count: edge.to - edge.from,
            }
        } else {
            self.read(edge)
        };
        self.first = self.first.or(met.first);
        self.last = met.last.or(self.last);
        self.out.count += met.count;
    }

    /// Reads an edge's points.
    fn read(&mut self, edge: &Edge<'_>) -> Met {
        let mut points = std::mem::take(self.buffer);
        points.clear();
        edge.chunk.decode_onto(edge.from..edge.to, &mut points);
        if !edge.plain {
            points.retain(|point| !is_stale(point.v));
        }
        match self.asked {
            Asked::Ends => {}
            Asked::Lost | Asked::Steps => {
                if let Some(first) = points.first() {
                    self.step(first.v);
                }
                for pair in points.windows(2) {
                    self.step_from(pair[0].v, pair[1].v);
                }
            }
            Asked::Extremes => {
                let values = || points.iter().map(|point| point.v);
                self.extremes(
                    extreme(values(), |v, best| v < best),
                    extreme(values(), |v, best| v > best),
                );
            }
        }
        let met = Met {
            first: points.first().copied(),
            last: points.last().copied(),
            count: points.len(),
        };
        *self.buffer = points;
        met
    }

    /// Takes in the chunks after `head`, up to `tail`, whole.
    fn between(&mut self, sealed: &Sealed, head: usize, tail: usize) {
        let (before, newest) = (sealed.whole(head), sealed.whole(tail - 1));
        let (from, to) = (before.through, newest.through);
        self.out.count += (to.numbers - from.numbers) as usize;
        let resets = to.resets.wrapping_sub(from.resets) as usize;
        match self.asked {
            Asked::Lost if to.unkept != from.unkept => self.lost_one_by_one(sealed, head, tail),
            Asked::Lost if resets > 0 => {
                self.out.lost.extend(sealed.lost_between(before, newest));
            }
            Asked::Steps => {
                self.out.resets += resets;
                self.out.changes += to.changes.wrapping_sub(from.changes) as usize;
            }
            Asked::Extremes => {
                for at in head + 1..tail {
                    let whole = sealed.whole(at);
                    if whole.has_numbers() {
                        self.extremes(whole.least, whole.most);
                    }
                }
            }
            Asked::Ends | Asked::Lost => {}
        }
        self.last = newest.carry.or(self.last);
    }

    /// The steps down of the chunks after `head`, up to `tail`: some of them must be read.
    fn lost_one_by_one(&mut self, sealed: &Sealed, head: usize, tail: usize) {
        let mut points = std::mem::take(self.buffer);
        for at in head + 1..tail {
            let (before, whole) = (sealed.whole(at - 1), sealed.whole(at));
            if whole.kept {
                self.out.lost.extend(sealed.lost_between(before, whole));
                continue;
            }
            points.clear();
            points.extend(before.carry);
            whole.chunk.decode_onto(0..whole.chunk.len(), &mut points);
            points.retain(|point| !is_stale(point.v));
            let pairs = points.windows(2);
            let down = pairs.filter(|pair| is_reset(pair[0].v, pair[1].v));
            self.out.lost.extend(down.map(|pair| pair[0].v));
        }
        *self.buffer = points;
    }

    /// A step to `now` from the last number so far.
    fn step(&mut self, now: f64) {
        if let Some(before) = self.last {
            self.step_from(before.v, now);
        }
    }

    #[inline]
    fn step_from(&mut self, before: f64, now: f64) {
        if is_reset(before, now) {
            self.out.resets += 1;
            if self.asked == Asked::Lost {
                self.out.lost.push(before);
            }
        }
        self.out.changes += usize::from(is_change(before, now));
    }

    fn extremes(&mut self, least: f64, most: f64) {
        let out = &mut self.out;
        out.least = extreme([out.least, least].into_iter(), |v, best| v < best);
        out.most = extreme([out.most, most].into_iter(), |v, best| v > best);
    }

    fn finish(self) -> Option<Summary> {
        let Counts {
            count,
            lost,
            resets,
            changes,
            least,
            most,
        } = self.out;
        Some(Summary {
            first: self.first?,
            last: self.last?,
            count,
            lost,
            resets,
            changes,
            least,
            most,
        })
    }
}
