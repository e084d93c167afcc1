//! The window of one series: its samples in time order, packed in chunks.
//!
//! A window of up to a hundred-odd points is one chunk, in which the points slide; longer ones have
//! sealed chunks before the open one. Readers get plain points, unpacked into their own buffer.

use std::collections::VecDeque;

use crate::chunk::{Chunk, FULL};
use crate::vector::Point;

/// See the module's text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Window {
    open: Chunk,
    /// Chunks before the open one, none of them empty.
    sealed: Option<Box<Sealed>>,
}

#[derive(Clone, Debug, Default)]
struct Sealed {
    chunks: VecDeque<Chunk>,
}

impl Window {
    fn sealed(&self) -> impl DoubleEndedIterator<Item = &Chunk> {
        self.sealed.iter().flat_map(|sealed| &sealed.chunks)
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
        if !self.open.push(point) {
            self.seal();
            self.open.push(point);
        }
    }

    #[cold]
    fn seal(&mut self) {
        let mut full = std::mem::take(&mut self.open);
        full.seal();
        let sealed = self.sealed.get_or_insert_default();
        sealed.chunks.push_back(full);
    }

    /// Takes the points from the chunk on that holds the first at or after `t`, in place of what the
    /// buffer holds; how many stay.
    pub(crate) fn take_from(&mut self, t: i64, buffer: &mut Vec<Point>) -> usize {
        buffer.clear();
        let mut taken = Vec::new();
        if let Some(sealed) = &mut self.sealed {
            while let Some(chunk) = sealed.chunks.pop_back_if(|chunk| chunk.last_t() >= t) {
                taken.push(chunk);
            }
            if sealed.chunks.is_empty() {
                self.sealed = None;
            }
        }
        for chunk in taken.iter().rev().chain([&self.open]) {
            chunk.decode_onto(0..chunk.len(), buffer);
        }
        // Its room is used again.
        self.open.clear();
        self.len()
    }

    /// Appends points that are not before the newest.
    pub(crate) fn extend(&mut self, points: &[Point]) {
        let mut rest = points;
        if self.open.is_empty() {
            while rest.len() > FULL {
                let (full, more) = rest.split_at(FULL);
                let sealed = self.sealed.get_or_insert_default();
                sealed.chunks.push_back(Chunk::of(full));
                rest = more;
            }
            self.open.pack(rest, (rest.len() / 4).max(4));
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
            for (i, chunk) in sealed.chunks.iter_mut().enumerate() {
                if at < chunk.len() {
                    if let Some(rest) = chunk.edit(|points| change(points, at)) {
                        sealed.chunks.insert(i + 1, rest);
                    }
                    return;
                }
                at -= chunk.len();
            }
        }
        if let Some(rest) = self.open.edit(|points| change(points, at)) {
            let full = std::mem::replace(&mut self.open, rest);
            let sealed = self.sealed.get_or_insert_default();
            sealed.chunks.push_back(full);
        }
    }

    /// Drops points with `t <= horizon`; how many.
    pub(crate) fn trim(&mut self, horizon: i64) -> usize {
        let mut gone = 0;
        if let Some(sealed) = &mut self.sealed {
            while let Some(chunk) = sealed.chunks.front_mut() {
                gone += chunk.trim(horizon);
                if !chunk.is_empty() {
                    return gone;
                }
                sealed.chunks.pop_front();
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
        let sealed = self.sealed.as_ref().map_or(0, |sealed| {
            size_of::<Sealed>() + sealed.chunks.capacity() * size_of::<Chunk>()
        });
        sealed + self.chunks().map(Chunk::bytes).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What may be done to a window.
    #[derive(Clone, Debug)]
    enum Deed {
        Push(i64, f64),
        Insert(i64, f64),
        Replace(usize, f64),
        Trim(usize, i64),
        Read(i64, i64),
    }

    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![
            8 => (0..500_000_i64).prop_map(|v| v as f64 / 1e6),
            4 => (0..2_000_i64).prop_map(|v| v as f64),
            2 => any::<f32>().prop_map(f64::from),
            2 => any::<f64>(),
            2 => any::<u64>().prop_map(f64::from_bits),
            1 => prop::sample::select(vec![
                0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN_POSITIVE,
                foghorn_model::time::STALE_NAN, f64::NAN, 1e15, -1e15, 9_007_199_254_740_993.0,
            ]),
        ]
    }

    fn gap() -> impl Strategy<Value = i64> {
        prop_oneof![
            20 => Just(15_000_i64),
            5 => 14_900..15_100_i64,
            2 => Just(0_i64),
            2 => 0..100_000_i64,
            1 => 0..i64::MAX / 300,
        ]
    }

    fn deed() -> impl Strategy<Value = Deed> {
        prop_oneof![
            20 => (gap(), value()).prop_map(|(t, v)| Deed::Push(t, v)),
            2 => (0..400_000_i64, value()).prop_map(|(back, v)| Deed::Insert(back, v)),
            1 => (any::<usize>(), value()).prop_map(|(at, v)| Deed::Replace(at, v)),
            2 => (any::<usize>(), -1..2_i64).prop_map(|(at, off)| Deed::Trim(at, off)),
            2 => (0..5_000_000_i64, 0..5_000_000_i64).prop_map(|(a, b)| Deed::Read(a, b)),
        ]
    }

    /// A run of many pushes of one kind, as windows mostly see.
    fn run() -> impl Strategy<Value = Vec<Deed>> {
        let steady = (gap(), value(), 0..40_u32, 1..200_usize).prop_map(|(gap, v, step, n)| {
            let point = |i: usize| Deed::Push(gap, v + f64::from(step) * i as f64);
            (0..n).map(point).collect()
        });
        prop_oneof![steady, prop::collection::vec(deed(), 1..60)]
    }

    fn bits(points: &[Point]) -> Vec<(i64, u64)> {
        points.iter().map(|p| (p.t, p.v.to_bits())).collect()
    }

    fn agree(window: &Window, model: &[Point]) {
        let mut buffer = Vec::new();
        assert_eq!(bits(window.all(&mut buffer)), bits(model));
        assert_eq!(window.len(), model.len());
        assert_eq!(window.is_empty(), model.is_empty());
        assert_eq!(window.last_t(), model.last().map_or(i64::MIN, |p| p.t));
    }

    fn agree_between(window: &Window, model: &[Point], start: i64, end: i64) {
        let mut buffer = Vec::new();
        let expect: Vec<_> = model
            .iter()
            .filter(|p| p.t > start && p.t <= end)
            .copied()
            .collect();
        assert_eq!(bits(window.between(start, end, &mut buffer)), bits(&expect));
        let newest = window.newest(start, end);
        assert_eq!(
            bits(newest.as_slice()),
            bits(
                expect
                    .last()
                    .as_slice()
                    .iter()
                    .map(|p| **p)
                    .collect::<Vec<_>>()
                    .as_slice()
            )
        );
        let at = model.partition_point(|p| p.t < start);
        let found = model.get(at).is_some_and(|p| p.t == start);
        assert_eq!(window.find(start), if found { Ok(at) } else { Err(at) });
    }

    fn check(origin: i64, deeds: &[Deed]) {
        let (mut window, mut model) = (Window::default(), Vec::<Point>::new());
        let mut now = origin;
        for deed in deeds {
            match *deed {
                Deed::Push(gap, v) => {
                    now = now.saturating_add(gap);
                    window.push(Point { t: now, v });
                    model.push(Point { t: now, v });
                }
                Deed::Insert(back, v) => {
                    let t = now.saturating_sub(back);
                    let at = model.partition_point(|p| p.t <= t);
                    assert_eq!(window.first_after(t), at);
                    window.insert(at, Point { t, v });
                    model.insert(at, Point { t, v });
                }
                Deed::Replace(at, v) if !model.is_empty() => {
                    let at = at % model.len();
                    window.replace(at, v);
                    model[at].v = v;
                }
                Deed::Trim(at, off) if !model.is_empty() => {
                    let horizon = model[at % model.len()].t.saturating_add(off);
                    let before = model.len();
                    model.retain(|p| p.t > horizon);
                    assert_eq!(window.trim(horizon), before - model.len());
                }
                Deed::Read(a, b) => {
                    agree_between(
                        &window,
                        &model,
                        now.saturating_sub(a),
                        now.saturating_sub(b),
                    );
                }
                Deed::Replace(..) | Deed::Trim(..) => {}
            }
        }
        agree(&window, &model);
    }

    proptest! {
        #[test]
        fn a_window_is_a_plain_list_of_points(
            origin in prop_oneof![Just(1_700_000_000_000), any::<i64>()],
            runs in prop::collection::vec(run(), 1..8),
        ) {
            check(origin, &runs.concat());
        }
    }

    fn window(times: impl IntoIterator<Item = i64>) -> Window {
        let mut window = Window::default();
        times
            .into_iter()
            .for_each(|t| window.push(Point { t, v: 0.0 }));
        window
    }

    #[test]
    fn every_border_is_found() {
        for (len, jitter) in [
            (0, 0),
            (1, 0),
            (17, 0),
            (40, 0),
            (40, 3),
            (300, 0),
            (300, 3),
        ] {
            let times: Vec<_> = (0..len)
                .map(|i: i64| i * 10 + i * 7 % (jitter + 1))
                .collect();
            let model: Vec<_> = times.iter().map(|t| Point { t: *t, v: 0.0 }).collect();
            let window = window(times);
            for start in -5..len * 10 + 5 {
                agree_between(&window, &model, start, start + 95);
            }
        }
    }

    /// Heap bytes of a window that took so many points, trimmed to `keep` on the way.
    fn bytes_after(points: usize, keep: i64, value: impl Fn(usize) -> f64) -> usize {
        let mut window = Window::default();
        for i in 0..points {
            let t = i as i64 * 15_000;
            let point = Point { t, v: value(i) };
            if !window.try_push(point) {
                window.trim(t - keep * 15_000);
                window.push(point);
            }
        }
        window.bytes()
    }

    #[test]
    fn windows_are_small() {
        let noise = |i: usize| ((i * 7_919 % 500) * 1_000 + i * 31 % 1_000) as f64 / 1e6;
        assert_eq!(bytes_after(500, 20, |_| 0.25), 0, "a constant");
        assert!(bytes_after(500, 20, |i| i as f64) <= 40, "a counter");
        assert!(bytes_after(500, 20, noise) <= 88, "six digits");
        assert!(
            bytes_after(500, 20, |i| (i as f64).sqrt()) <= 200,
            "anything"
        );
    }

    #[test]
    fn an_outlier_is_forgotten() {
        let value = |i: usize| if i == 100 { 0.1 + 0.2 } else { (i % 50) as f64 };
        assert!(bytes_after(110, 20, value) >= 160);
        assert!(bytes_after(2_000, 20, value) <= 56);
    }
}
