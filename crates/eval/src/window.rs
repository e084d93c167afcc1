//! The window of one series: its samples in time order.

use crate::vector::Point;

/// Samples in time order. Grows in small steps, since most windows find their size and keep it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Window {
    points: Vec<Point>,
    head: u32,
}

/// How many points the buffer grows by when it is full.
const STEP: usize = 8;

impl Window {
    /// The points, in time order.
    pub(crate) fn points(&self) -> &[Point] {
        &self.points[self.head as usize..]
    }

    /// Points with `start < t <= end`.
    pub(crate) fn between(&self, start: i64, end: i64) -> &[Point] {
        let points = self.points();
        let points = &points[..first_after(points, end)];
        &points[first_after(points, start)..]
    }

    /// The newest point with `start < t <= end`.
    #[inline]
    pub(crate) fn newest(&self, start: i64, end: i64) -> Option<&Point> {
        let points = self.points();
        points[..first_after(points, end)]
            .last()
            .filter(|p| p.t > start)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.points().is_empty()
    }

    /// Time of the newest point.
    pub(crate) fn last_t(&self) -> i64 {
        self.points.last().map_or(i64::MIN, |p| p.t)
    }

    /// Appends a point that is not before the newest one.
    #[inline]
    pub(crate) fn push(&mut self, point: Point) {
        if self.points.len() == self.points.capacity() {
            self.make_room();
        }
        self.points.push(point);
    }

    #[cold]
    fn make_room(&mut self) {
        let head = self.head as usize;
        // A move of at most seven points for each one that it makes room for.
        if head > 0 && head * 8 >= self.points.len() {
            self.points.drain(..head);
            self.head = 0;
        }
        if self.points.len() == self.points.capacity() {
            let step = STEP.max(self.points.len() / 4);
            self.points.reserve_exact(step);
        }
    }

    /// Where a point of this time would stand: `Ok` at the first that has it, `Err` between.
    pub(crate) fn find(&self, t: i64) -> Result<usize, usize> {
        let points = self.points();
        let at = points.partition_point(|p| p.t < t);
        if points.get(at).is_some_and(|p| p.t == t) {
            Ok(at)
        } else {
            Err(at)
        }
    }

    /// Inserts at a position among [`Window::points`].
    pub(crate) fn insert(&mut self, at: usize, point: Point) {
        if self.points.len() == self.points.capacity() {
            self.make_room();
        }
        self.points.insert(self.head as usize + at, point);
    }

    /// Replaces the value at a position among [`Window::points`].
    pub(crate) fn replace(&mut self, at: usize, value: f64) {
        self.points[self.head as usize + at].v = value;
    }

    /// Drops points with `t <= horizon`; how many.
    pub(crate) fn trim(&mut self, horizon: i64) -> usize {
        let points = self.points();
        if points.first().is_none_or(|p| p.t > horizon) {
            return 0;
        }
        let gone = points.partition_point(|p| p.t <= horizon);
        self.head += gone as u32;
        if self.head as usize == self.points.len() {
            self.points.clear();
            self.head = 0;
        }
        gone
    }

    /// Heap bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.points.capacity() * size_of::<Point>()
    }
}

/// Position of the first point after `t`. Looks in doubling steps from the newest point back: most
/// reads end, and many begin, near it, and what is far back is cold.
#[inline]
fn first_after(points: &[Point], t: i64) -> usize {
    let (mut high, mut step) = (points.len(), 1);
    while high > 0 {
        let low = high.saturating_sub(step);
        if points[low].t <= t {
            return low + 1 + points[low + 1..high].partition_point(|p| p.t <= t);
        }
        (high, step) = (low, step * 2);
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(times: &[i64]) -> Window {
        let mut window = Window::default();
        times
            .iter()
            .for_each(|t| window.push(Point { t: *t, v: 0.0 }));
        window
    }

    fn times(points: &[Point]) -> Vec<i64> {
        points.iter().map(|p| p.t).collect()
    }

    #[test]
    fn ranges_are_open_left_and_closed_right() {
        assert_eq!(times(window(&[1, 2, 3, 4]).between(1, 3)), [2, 3]);
    }

    #[test]
    fn every_border_is_found() {
        for len in 0..40 {
            let window = window(&(0..len).map(|i| i * 10).collect::<Vec<_>>());
            for (start, end) in (-5..405)
                .flat_map(|start| [(start, start + 3), (start, start + 95), (start, 1_000)])
            {
                let expect: Vec<_> = (0..len)
                    .map(|i| i * 10)
                    .filter(|t| *t > start && *t <= end)
                    .collect();
                assert_eq!(
                    times(window.between(start, end)),
                    expect,
                    "{len}: ({start}, {end}]"
                );
                assert_eq!(
                    window.newest(start, end).map(|p| p.t),
                    expect.last().copied()
                );
            }
        }
    }

    #[test]
    fn trims_and_reuses_room() {
        let mut window = window(&(0..100).collect::<Vec<_>>());
        assert_eq!(window.trim(89), 90);
        let bytes = window.bytes();
        (100..180).for_each(|t| window.push(Point { t, v: 0.0 }));
        assert_eq!(window.bytes(), bytes);
        assert_eq!(window.points().len(), 90);
    }
}
