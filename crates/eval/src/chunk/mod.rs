//! A chunk: one run of a window's points, packed.
//!
//! Times and values stand in two columns of one buffer, each in a fixed width that the chunk's points
//! share, so that an append writes a few bytes, a trim moves a number, and a read is a loop without
//! branches. What does not fit (an outlier, a gap, a finer decimal) has the chunk packed anew, which
//! is rare. Bit for bit what was put in comes out.

mod packed;
mod times;
mod values;

use crate::vector::Point;
use times::Line;
use values::Coding;

/// Points of a chunk at which the next one opens another chunk.
pub(crate) const FULL: usize = 128;
/// More points than this a chunk never has: positions are `u8`.
const MOST: usize = 250;
/// Compactions after which a chunk is packed anew, in case its values are of a narrower kind now.
const STALE_AFTER: u8 = 32;

/// See the module's text.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    /// Times from the beginning; values from `room * line.width`.
    bytes: Box<[u8]>,
    line: Line,
    base: i64,
    coding: Coding,
    /// Live points stand from `head` to `len`; there is room for `room`.
    head: u8,
    len: u8,
    room: u8,
    /// Compactions since it was packed.
    age: u8,
}

impl Default for Chunk {
    fn default() -> Self {
        Self {
            bytes: Box::default(),
            line: Line::default(),
            base: 0,
            coding: Coding::Scaled {
                digits: 0,
                width: 0,
            },
            head: 0,
            len: 0,
            room: 0,
            age: 0,
        }
    }
}

impl Chunk {
    /// A chunk of some points, without room for more.
    pub(crate) fn of(points: &[Point]) -> Self {
        let mut chunk = Self::default();
        chunk.pack(points, 0);
        chunk
    }

    pub(crate) fn len(&self) -> usize {
        (self.len - self.head) as usize
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == self.head
    }

    /// Drops all points; their room stays.
    pub(crate) fn clear(&mut self) {
        (self.head, self.len) = (0, 0);
    }

    /// Time of the newest point; there must be one.
    #[inline]
    pub(crate) fn last_t(&self) -> i64 {
        self.line.time(&self.bytes, self.len as usize - 1)
    }

    /// Time of the oldest point; there must be one.
    #[inline]
    pub(crate) fn first_t(&self) -> i64 {
        self.line.time(&self.bytes, self.head as usize)
    }

    /// A point by its position among the live ones.
    pub(crate) fn point(&self, at: usize) -> Point {
        let mut point = [Point { t: 0, v: 0.0 }];
        self.decode(at, &mut point);
        let [point] = point;
        point
    }

    /// Unpacks points from a position on, as many as are wanted.
    pub(crate) fn decode(&self, at: usize, points: &mut [Point]) {
        let from = self.head as usize + at;
        self.line.decode(&self.bytes, from, points);
        let column = &self.bytes[self.values_at()..];
        self.coding.decode(column, self.base, from, points);
    }

    /// Unpacks some points behind what is there.
    pub(crate) fn decode_onto(&self, range: std::ops::Range<usize>, into: &mut Vec<Point>) {
        let start = into.len();
        into.resize(start + range.len(), Point { t: 0, v: 0.0 });
        self.decode(range.start, &mut into[start..]);
    }

    #[inline]
    fn values_at(&self) -> usize {
        self.room as usize * self.line.width as usize
    }

    /// Position of the first point after `t`.
    pub(crate) fn first_after(&self, t: i64) -> usize {
        let (head, len) = (self.head as usize, self.len as usize);
        if head == len {
            return 0;
        }
        let time = |i: usize| self.line.time(&self.bytes, i);
        // Most reads end, and many begin, near the newest point.
        if time(len - 1) <= t {
            return len - head;
        }
        if self.line.width == 0 && self.line.step > 0 {
            let Some(past) = t.checked_sub(self.line.origin).filter(|past| *past >= 0) else {
                return 0;
            };
            let on_line = past as u64 / u64::from(self.line.step);
            return (on_line as usize + 1).saturating_sub(head).min(len - head);
        }
        let (mut low, mut high) = (head, len - 1);
        while low < high {
            let middle = usize::midpoint(low, high);
            if time(middle) <= t {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low - head
    }

    /// Appends a point that is not before the newest, where that is a matter of a few bytes; whether
    /// it was.
    #[inline]
    pub(crate) fn try_push(&mut self, point: Point) -> bool {
        self.len < self.room && self.put(point)
    }

    #[inline]
    fn put(&mut self, point: Point) -> bool {
        let (i, values) = (self.len as usize, self.values_at());
        let (times, values) = self.bytes.split_at_mut(values);
        let fits =
            self.line.put(times, i, point.t) && self.coding.put(values, self.base, i, point.v);
        self.len += u8::from(fits);
        fits
    }

    /// Appends a point that is not before the newest, whatever it takes; `false` where the chunk is
    /// full. Where it is packed anew it gets room for a quarter more, and at least for `more`.
    pub(crate) fn push(&mut self, point: Point, more: usize) -> bool {
        let len = self.len();
        if len >= FULL {
            return false;
        }
        if self.len == self.room && self.head > 0 && self.head as usize * 8 >= len {
            self.compact();
        }
        if self.age < STALE_AFTER && self.try_push(point) {
            return true;
        }
        let mut points = [Point { t: 0, v: 0.0 }; FULL];
        self.decode(0, &mut points[..len]);
        points[len] = point;
        self.pack(&points[..=len], (len / 4).max(more));
        true
    }

    /// Moves the live points to the front.
    fn compact(&mut self) {
        let (head, len) = (self.head as usize, self.len as usize);
        let (time, value, values) = (
            self.line.width as usize,
            self.coding.width(),
            self.values_at(),
        );
        self.bytes.copy_within(head * time..len * time, 0);
        self.bytes
            .copy_within(values + head * value..values + len * value, values);
        self.line.origin = self.line.at(head);
        self.len -= self.head;
        self.head = 0;
        self.age = self.age.saturating_add(1);
    }

    /// Packs the chunk anew from some points, with room for at least so many more where the rest is
    /// not full; a buffer that fits is kept.
    pub(crate) fn pack(&mut self, points: &[Point], more: usize) {
        let (coding, base) = Coding::of(points);
        self.lay(points, Line::through(points), coding, base, more);
        if !points.iter().all(|point| self.put(*point)) {
            // Not met: a column that was measured fits. If it ever is, nothing is lost.
            let line = Line {
                width: 8,
                ..self.line
            };
            self.lay(points, line, Coding::Raw, 0, more);
            points.iter().for_each(|point| {
                self.put(*point);
            });
        }
    }

    fn lay(&mut self, points: &[Point], line: Line, coding: Coding, base: i64, more: usize) {
        let stride = line.width as usize + coding.width();
        let wanted = (points.len() + more).min(MOST.max(points.len()));
        let need = wanted * stride + coding.pad();
        let spare = if more == 0 { 0 } else { need / 2 + 32 };
        if need > self.bytes.len() || self.bytes.len() > need + spare {
            // An allocator's sizes are multiples of 16 less its own 8 bytes.
            let size = if more == 0 || need == 0 {
                need
            } else {
                (need + 8).next_multiple_of(16) - 8
            };
            self.bytes = vec![0; size].into_boxed_slice();
        }
        let room = (self.bytes.len().saturating_sub(coding.pad()))
            .checked_div(stride)
            .unwrap_or(MOST);
        (self.line, self.coding, self.base) = (line, coding, base);
        (self.head, self.len, self.age) = (0, 0, 0);
        self.room = room.min(MOST) as u8;
    }

    /// Changes its points through a plain list; what does not fit any more comes back as a second
    /// chunk that stands behind it.
    pub(crate) fn edit(&mut self, change: impl FnOnce(&mut Vec<Point>)) -> Option<Self> {
        let mut points = Vec::with_capacity(self.len() + 1);
        self.decode_onto(0..self.len(), &mut points);
        change(&mut points);
        let rest = (points.len() > FULL).then(|| Self::of(&points.split_off(points.len() / 2)));
        self.pack(&points, 4);
        rest
    }

    /// Gives back what it does not need: no more points come.
    pub(crate) fn seal(&mut self) {
        let mut points = [Point { t: 0, v: 0.0 }; MOST];
        let points = &mut points[..self.len()];
        self.decode(0, points);
        self.pack(points, 0);
    }

    /// Drops points with `t <= horizon`; how many.
    pub(crate) fn trim(&mut self, horizon: i64) -> usize {
        if self.is_empty() || self.first_t() > horizon {
            return 0;
        }
        let gone = self.first_after(horizon);
        self.head += gone as u8;
        if self.head == self.len {
            (self.head, self.len) = (0, 0);
            // The next point is packed anew.
            self.room = 0;
        }
        gone
    }

    /// One byte of what an append will write to: reading it early brings it near.
    #[inline]
    pub(crate) fn touch(&self) -> u8 {
        let next = self.values_at() + self.len as usize * self.coding.width();
        self.bytes.get(next).copied().unwrap_or(self.len)
    }

    /// Heap bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }
}
