//! The window of one series: its samples in time order, packed in chunks.
//!
//! A window of up to a hundred-odd points is one chunk, in which the points slide; longer ones have
//! sealed chunks before the open one. Readers get plain points, unpacked into their own buffer; or,
//! of a long window, what its points come to, for which most of them need not be read.

mod packed;
mod sealed;
mod summary;

use crate::chunk::{Chunk, FULL};
use crate::vector::Point;
use sealed::Sealed;

pub(crate) use summary::{Asked, Summary};

/// See the module's text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Window {
    open: Chunk,
    /// Chunks before the open one, none of them empty.
    sealed: Option<Box<Sealed>>,
}

impl Window {
    fn sealed(&self) -> impl DoubleEndedIterator<Item = &Chunk> {
        self.sealed.iter().flat_map(|sealed| sealed.chunks())
    }

    fn chunks(&self) -> impl DoubleEndedIterator<Item = &Chunk> {
        self.sealed().chain([&self.open])
    }

    /// Number of points.
    pub(crate) fn len(&self) -> usize {
        self.chunks().map(Chunk::len).sum()
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty() && self.sealed.is_none()
    }

    /// Time of the newest point.
    #[inline]
    pub(crate) fn last_t(&self) -> i64 {
        if self.open.is_empty() {
            return self.sealed().next_back().map_or(i64::MIN, Chunk::last_t);
        }
        self.open.last_t()
    }

    /// Puts the points with `start < t <= end` in place of what the buffer holds.
    pub(crate) fn between<'a>(
        &self,
        start: i64,
        end: i64,
        buffer: &'a mut Vec<Point>,
    ) -> &'a [Point] {
        buffer.clear();
        for chunk in self.chunks() {
            if chunk.is_empty() || chunk.last_t() <= start {
                continue;
            }
            let (from, to) = (chunk.first_after(start), chunk.first_after(end));
            if from < to {
                chunk.decode_onto(from..to, buffer);
            }
            if to < chunk.len() {
                break;
            }
        }
        buffer
    }

    /// Puts all points in place of what the buffer holds.
    pub(crate) fn all<'a>(&self, buffer: &'a mut Vec<Point>) -> &'a [Point] {
        buffer.clear();
        for chunk in self.chunks() {
            chunk.decode_onto(0..chunk.len(), buffer);
        }
        buffer
    }

    /// The newest point with `start < t <= end`.
    #[inline]
    pub(crate) fn newest(&self, start: i64, end: i64) -> Option<Point> {
        for chunk in self.chunks().rev() {
            let to = chunk.first_after(end);
            if to > 0 {
                return Some(chunk.point(to - 1)).filter(|point| point.t > start);
            }
        }
        None
    }

    /// Appends a point that is after the newest one, where that is a matter of a few bytes; whether
    /// it was. If not, it is time to trim, and to [`Window::push`].
    #[inline]
    pub(crate) fn try_push(&mut self, point: Point) -> bool {
        self.open.try_push(point)
    }

    /// Appends a point that is not before the newest one.
    pub(crate) fn push(&mut self, point: Point) {
        // Packing costs: after a full chunk another is likely to fill up as well.
        let more = match self.open.len() {
            _ if self.is_long() => FULL / 2,
            0..12 => 8,
            _ => 4,
        };
        if !self.open.push(point, more) {
            self.seal();
            self.open.push(point, FULL / 2);
        }
    }

    #[cold]
    fn seal(&mut self) {
        let mut full = std::mem::take(&mut self.open);
        full.seal();
        let sealed = self.sealed.get_or_insert_default();
        sealed.push(full);
        sealed.open_changed();
    }

    /// Takes the points from the chunk on that holds the first at or after `t`, in place of what the
    /// buffer holds; how many stay.
    pub(crate) fn take_from(&mut self, t: i64, buffer: &mut Vec<Point>) -> usize {
        buffer.clear();
        let mut taken = Vec::new();
        if let Some(sealed) = &mut self.sealed {
            while let Some(chunk) = sealed.pop_reaching(t) {
                taken.push(chunk);
            }
            if sealed.is_empty() {
                self.sealed = None;
            }
        }
        for chunk in taken.iter().rev().chain([&self.open]) {
            chunk.decode_onto(0..chunk.len(), buffer);
        }
        // Its room is used again.
        self.open.clear();
        self.open_changed();
        self.len()
    }

    /// Appends points that are not before the newest.
    pub(crate) fn extend(&mut self, points: &[Point]) {
        let mut rest = points;
        if self.open.is_empty() {
            while rest.len() > FULL {
                let (full, more) = rest.split_at(FULL);
                let sealed = self.sealed.get_or_insert_default();
                sealed.push(Chunk::of(full));
                rest = more;
            }
            self.open.pack(rest, (rest.len() / 4).max(4));
            self.open_changed();
        } else {
            rest.iter().for_each(|point| self.push(*point));
        }
    }

    /// Position of the first point after `t`.
    pub(crate) fn first_after(&self, t: i64) -> usize {
        let mut before = 0;
        for chunk in self.chunks() {
            let at = chunk.first_after(t);
            before += at;
            if at < chunk.len() {
                break;
            }
        }
        before
    }

    /// Where a point of this time would stand: `Ok` at the first that has it, `Err` between.
    pub(crate) fn find(&self, t: i64) -> Result<usize, usize> {
        let at = t
            .checked_sub(1)
            .map_or(0, |before| self.first_after(before));
        if self.point(at).is_some_and(|point| point.t == t) {
            Ok(at)
        } else {
            Err(at)
        }
    }

    /// A point by its position.
    fn point(&self, mut at: usize) -> Option<Point> {
        for chunk in self.chunks() {
            if at < chunk.len() {
                return Some(chunk.point(at));
            }
            at -= chunk.len();
        }
        None
    }

    /// Inserts at a position.
    pub(crate) fn insert(&mut self, at: usize, point: Point) {
        if at == self.len() {
            self.push(point);
        } else {
            self.edit(at, |points, at| points.insert(at, point));
        }
    }

    /// Replaces the value at a position.
    pub(crate) fn replace(&mut self, at: usize, value: f64) {
        self.edit(at, |points, at| points[at].v = value);
    }

    fn edit(&mut self, mut at: usize, change: impl FnOnce(&mut Vec<Point>, usize)) {
        if let Some(sealed) = &mut self.sealed {
            let mut i = 0;
            while let Some(chunk) = sealed.chunk(i) {
                if at < chunk.len() {
                    sealed.edit(i, |points| change(points, at));
                    return;
                }
                at -= chunk.len();
                i += 1;
            }
        }
        if let Some(rest) = self.open.edit(|points| change(points, at)) {
            let full = std::mem::replace(&mut self.open, rest);
            self.sealed.get_or_insert_default().push(full);
        }
        self.open_changed();
    }

    /// The open chunk is another one, or has other points.
    fn open_changed(&self) {
        if let Some(sealed) = &self.sealed {
            sealed.open_changed();
        }
    }

    /// Drops points with `t <= horizon`; how many.
    pub(crate) fn trim(&mut self, horizon: i64) -> usize {
        let mut gone = 0;
        if let Some(sealed) = &mut self.sealed {
            gone = sealed.trim(horizon);
            if !sealed.is_empty() {
                return gone;
            }
            self.sealed = None;
        }
        gone + self.open.trim(horizon)
    }

    /// One byte of what an append will write to: reading it early brings it near.
    #[inline]
    pub(crate) fn touch(&self) -> u8 {
        self.open.touch()
    }

    /// Heap bytes.
    pub(crate) fn bytes(&self) -> usize {
        let sealed = self.sealed.as_ref().map_or(0, |sealed| sealed.bytes());
        sealed + self.chunks().map(Chunk::bytes).sum::<usize>()
    }
}

#[cfg(test)]
mod tests;
