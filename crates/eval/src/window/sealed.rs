//! Chunks that take no more points, each with what its points come to.

use std::cell::Cell;
use std::collections::VecDeque;

use foghorn_model::is_stale;

use crate::chunk::Chunk;
use crate::vector::Point;

/// Chunks in time order, none of them empty.
#[derive(Clone, Debug, Default)]
pub(super) struct Sealed {
    chunks: VecDeque<Whole>,
    /// What stood before each step down that these chunks count, in time order, but for chunks that
    /// step down often: those are read when it is asked for.
    lost: VecDeque<f64>,
    /// Of the open chunk behind these: so many of its first points are known to be numbers none of
    /// which is below the one before. Readers move it on, so that each point is looked at once.
    rising: Cell<u8>,
}

/// A chunk and what it comes to. Points that are staleness markers are no numbers: they count for
/// nothing here.
#[derive(Clone, Debug)]
pub(super) struct Whole {
    pub(super) chunk: Chunk,
    /// Points when it was summed up, markers included: fewer are left where it was trimmed since.
    points: u8,
    /// Numbers among them.
    numbers: u8,
    /// Numbers below the one before, within the chunk.
    pub(super) resets: u8,
    /// Whether its steps down stand in [`Sealed::lost`].
    pub(super) kept: bool,
    /// Time of the last point, marker or not.
    last_t: i64,
    /// The smallest and the largest number, as `min_over_time` and `max_over_time` have them.
    pub(super) least: f64,
    pub(super) most: f64,
    /// The last number of this chunk, or of one before where it has none.
    pub(super) carry: Option<Point>,
    /// From some chunk on, this one included: numbers, and steps between one number and the next.
    pub(super) through: Through,
}

/// Counts that only rise from chunk to chunk: a difference is what lies between.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Through {
    pub(super) numbers: u64,
    /// Steps to a smaller number.
    pub(super) resets: u32,
    /// Steps to another number; from NaN to NaN is none.
    pub(super) changes: u32,
    /// Steps down that stand in [`Sealed::lost`].
    lost: u32,
    /// Chunks whose steps down do not.
    pub(super) unkept: u32,
}

/// A chunk that steps down more often is no counter's, or a poor one's.
const MANY: usize = 12;

/// What a step from one number to the next is.
#[inline]
pub(super) fn is_reset(before: f64, now: f64) -> bool {
    now < before
}

/// See [`is_reset`].
#[inline]
pub(super) fn is_change(before: f64, now: f64) -> bool {
    now != before && !(now.is_nan() && before.is_nan())
}

/// The first value that none other beats; NaN only where all are.
pub(super) fn extreme(values: impl Iterator<Item = f64>, beats: impl Fn(f64, f64) -> bool) -> f64 {
    values.fold(f64::NAN, |best, v| {
        if beats(v, best) || best.is_nan() {
            v
        } else {
            best
        }
    })
}

impl Whole {
    /// Sums up a chunk that follows another.
    fn of(chunk: Chunk, before: Option<&Self>, lost: &mut VecDeque<f64>) -> Self {
        let mut buffer = Vec::new();
        chunk.decode_onto(0..chunk.len(), &mut buffer);
        let points = buffer.len() as u8;
        let last_t = buffer.last().map_or(i64::MIN, |point| point.t);
        buffer.retain(|point| !is_stale(point.v));
        let (mut carry, mut through) = before.map_or((None, Through::default()), |before| {
            (before.carry, before.through)
        });
        let (mut resets, mut steps) = (0, Vec::new());
        for (i, point) in buffer.iter().enumerate() {
            if let Some(before) = carry {
                let reset = is_reset(before.v, point.v);
                if reset {
                    steps.push(before.v);
                }
                through.resets = through.resets.wrapping_add(u32::from(reset));
                let change = is_change(before.v, point.v);
                through.changes = through.changes.wrapping_add(u32::from(change));
                resets += u8::from(reset && i > 0);
            }
            carry = Some(*point);
        }
        through.numbers += buffer.len() as u64;
        let kept = steps.len() <= MANY;
        if kept {
            through.lost = through.lost.wrapping_add(steps.len() as u32);
            lost.extend(steps);
        } else {
            through.unkept = through.unkept.wrapping_add(1);
        }
        let values = || buffer.iter().map(|point| point.v);
        Self {
            points,
            numbers: buffer.len() as u8,
            resets,
            kept,
            last_t,
            least: extreme(values(), |v, best| v < best),
            most: extreme(values(), |v, best| v > best),
            carry,
            through,
            chunk,
        }
    }

    /// Whether every point that it had when it was summed up is a number.
    pub(super) fn is_plain(&self) -> bool {
        self.points == self.numbers
    }

    /// Whether there are numbers in it.
    pub(super) fn has_numbers(&self) -> bool {
        self.numbers > 0
    }
}

impl Sealed {
    pub(super) fn chunks(&self) -> impl DoubleEndedIterator<Item = &Chunk> {
        self.chunks.iter().map(|whole| &whole.chunk)
    }

    pub(super) fn len(&self) -> usize {
        self.chunks.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    pub(super) fn whole(&self, at: usize) -> &Whole {
        &self.chunks[at]
    }

    pub(super) fn chunk(&self, at: usize) -> Option<&Chunk> {
        self.chunks.get(at).map(|whole| &whole.chunk)
    }

    /// Position of the first chunk that reaches past `t`; the number of chunks where none does.
    pub(super) fn first_past(&self, t: i64) -> usize {
        // Most long ranges begin in the oldest chunk, and most end after the newest.
        if self.chunks.front().is_none_or(|whole| whole.last_t > t) {
            0
        } else if self.chunks.back().is_some_and(|whole| whole.last_t <= t) {
            self.chunks.len()
        } else {
            self.chunks.partition_point(|whole| whole.last_t <= t)
        }
    }

    pub(super) fn push(&mut self, chunk: Chunk) {
        let whole = Whole::of(chunk, self.chunks.back(), &mut self.lost);
        // Long windows are many: they are not doubled.
        if self.chunks.len() == self.chunks.capacity() {
            self.chunks.reserve_exact(self.chunks.len() / 8 + 2);
        }
        self.chunks.push_back(whole);
    }

    /// What stood before each step down after `from`'s last number, up to `to`'s, as far as that is
    /// kept.
    pub(super) fn lost_between(&self, from: &Whole, to: &Whole) -> impl Iterator<Item = f64> {
        let count = to.through.lost.wrapping_sub(from.through.lost) as usize;
        let newest = self.chunks.back().unwrap_or(to);
        let after = newest.through.lost.wrapping_sub(to.through.lost) as usize;
        let end = self.lost.len() - after;
        self.lost.range(end - count..end).copied()
    }

    /// Forgets what is known of the open chunk: it is another one.
    pub(super) fn open_changed(&self) {
        self.rising.set(0);
    }

    /// Whether the first `to` points of the open chunk are numbers none of which is below the one
    /// before.
    pub(super) fn open_rises(&self, open: &Chunk, to: usize, buffer: &mut Vec<Point>) -> bool {
        let known = self.rising.get() as usize;
        if known >= to {
            return true;
        }
        buffer.clear();
        open.decode_onto(known.saturating_sub(1)..to, buffer);
        let rises = buffer.iter().all(|point| !is_stale(point.v))
            && buffer
                .windows(2)
                .all(|pair| !is_reset(pair[0].v, pair[1].v));
        if rises {
            self.rising.set(to as u8);
        }
        rises
    }

    /// Takes the newest chunk, where it reaches `t`.
    pub(super) fn pop_reaching(&mut self, t: i64) -> Option<Chunk> {
        let newest = self.chunks.pop_back_if(|whole| whole.chunk.last_t() >= t)?;
        self.forget_lost(&newest);
        Some(newest.chunk)
    }

    /// A chunk was taken from the end: what it counted is gone.
    fn forget_lost(&mut self, taken: &Whole) {
        let left = self.chunks.back().map(|whole| whole.through.lost);
        // Without one before, everything that is left was its own.
        let gone = left.map_or(self.lost.len(), |left| {
            taken.through.lost.wrapping_sub(left) as usize
        });
        self.lost.truncate(self.lost.len() - gone);
    }

    /// Changes a chunk's points; what does not fit any more stands behind it as another chunk.
    pub(super) fn edit(&mut self, at: usize, change: impl FnOnce(&mut Vec<Point>)) {
        let mut later = self.chunks.split_off(at);
        if let Some(newest) = later.back() {
            self.forget_lost(newest);
        }
        let Some(mut edited) = later.pop_front() else {
            return;
        };
        let rest = edited.chunk.edit(change);
        let later = later.into_iter().map(|whole| whole.chunk);
        // What follows is counted from here.
        [edited.chunk]
            .into_iter()
            .chain(rest)
            .chain(later)
            .for_each(|chunk| self.push(chunk));
    }

    /// Drops points with `t <= horizon`; how many.
    pub(super) fn trim(&mut self, horizon: i64) -> usize {
        let mut gone = 0;
        while let Some(whole) = self.chunks.front_mut() {
            gone += whole.chunk.trim(horizon);
            if !whole.chunk.is_empty() {
                break;
            }
            if let (Some(oldest), Some(newest)) = (self.chunks.pop_front(), self.chunks.back()) {
                // The step into the next chunk is the next one's, and stays while that does.
                let kept = newest.through.lost.wrapping_sub(oldest.through.lost) as usize;
                self.lost.drain(..self.lost.len() - kept);
            }
        }
        gone
    }

    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.chunks.capacity() * size_of::<Whole>()
            + self.lost.capacity() * size_of::<f64>()
    }
}
