//! Times of a chunk: a straight line, and what each point is off it.
//!
//! Scrapes are regular, so most chunks need no byte a time; with jitter one or two; any `i64` fits
//! into eight, since the arithmetic wraps.

use crate::vector::Point;

/// `origin + i * step`, and the width of what point `i` is off it, in bytes: 0, 1, 2, 4 or 8.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) origin: i64,
    pub(super) step: u32,
    pub(super) width: u8,
}

impl Line {
    /// Whether its width is one that there is.
    pub(super) fn is_possible(self) -> bool {
        matches!(self.width, 0 | 1 | 2 | 4 | 8)
    }

    /// Where point `i` would be if it were on the line.
    #[inline]
    pub(super) fn at(self, i: usize) -> i64 {
        self.origin
            .wrapping_add((i as i64).wrapping_mul(i64::from(self.step)))
    }

    /// The line of some points that needs the narrowest column; of equally narrow ones the one with
    /// the roundest step, which is the likeliest to go on.
    pub(super) fn through(points: &[Point]) -> Self {
        let (Some(first), Some(last)) = (points.first(), points.last()) else {
            return Self::default();
        };
        let gaps = points.len().saturating_sub(1).max(1) as i64;
        let mean = last.t.wrapping_sub(first.t) / gaps;
        let least = points
            .windows(2)
            .map(|pair| pair[1].t.wrapping_sub(pair[0].t))
            .min()
            .unwrap_or(0);
        let second = (mean.saturating_add(500)) / 1_000 * 1_000;
        let tenth = (mean.saturating_add(50)) / 100 * 100;
        let lines = [second, tenth, mean, least, 0].map(|step| {
            let step = u32::try_from(step).unwrap_or(0);
            let line = Self {
                origin: first.t,
                step,
                width: 0,
            };
            Self {
                width: line.width_for(points),
                ..line
            }
        });
        let [mut best, ..] = lines;
        for line in &lines[1..] {
            if line.width < best.width {
                best = *line;
            }
        }
        best
    }

    fn width_for(self, points: &[Point]) -> u8 {
        let widths = points
            .iter()
            .enumerate()
            .map(|(i, point)| width(point.t.wrapping_sub(self.at(i))));
        widths.max().unwrap_or(0)
    }

    /// Writes the time of point `i` into the column; `false` where it does not fit.
    #[inline]
    pub(super) fn put(self, column: &mut [u8], i: usize, t: i64) -> bool {
        let off = t.wrapping_sub(self.at(i));
        match self.width {
            0 => off == 0,
            1 => i8::try_from(off).is_ok_and(|off| write(column, i, off.to_le_bytes())),
            2 => i16::try_from(off).is_ok_and(|off| write(column, i, off.to_le_bytes())),
            4 => i32::try_from(off).is_ok_and(|off| write(column, i, off.to_le_bytes())),
            _ => write(column, i, off.to_le_bytes()),
        }
    }

    /// The time of point `i`.
    #[inline]
    pub(super) fn time(self, column: &[u8], i: usize) -> i64 {
        let off = match self.width {
            0 => 0,
            1 => i64::from(i8::from_le_bytes(read(column, i))),
            2 => i64::from(i16::from_le_bytes(read(column, i))),
            4 => i64::from(i32::from_le_bytes(read(column, i))),
            _ => i64::from_le_bytes(read(column, i)),
        };
        self.at(i).wrapping_add(off)
    }

    /// Sets the times of some points, of which the first is point `from`.
    pub(super) fn decode(self, column: &[u8], from: usize, points: &mut [Point]) {
        let line = |i: usize| self.at(from + i);
        let column = &column[from * self.width as usize..];
        match self.width {
            0 => {
                for (i, point) in points.iter_mut().enumerate() {
                    point.t = line(i);
                }
            }
            1 => add::<1>(column, points, line, |b| i64::from(i8::from_le_bytes(b))),
            2 => add::<2>(column, points, line, |b| i64::from(i16::from_le_bytes(b))),
            4 => add::<4>(column, points, line, |b| i64::from(i32::from_le_bytes(b))),
            _ => add::<8>(column, points, line, i64::from_le_bytes),
        }
    }
}

fn add<const W: usize>(
    column: &[u8],
    points: &mut [Point],
    line: impl Fn(usize) -> i64,
    off: impl Fn([u8; W]) -> i64,
) {
    let (offs, _) = column.as_chunks::<W>();
    for (i, (point, bytes)) in points.iter_mut().zip(offs).enumerate() {
        point.t = line(i).wrapping_add(off(*bytes));
    }
}

fn width(off: i64) -> u8 {
    match off {
        0 => 0,
        _ if i8::try_from(off).is_ok() => 1,
        _ if i16::try_from(off).is_ok() => 2,
        _ if i32::try_from(off).is_ok() => 4,
        _ => 8,
    }
}

#[inline]
fn write<const W: usize>(column: &mut [u8], i: usize, bytes: [u8; W]) -> bool {
    column[i * W..][..W].copy_from_slice(&bytes);
    true
}

#[inline]
fn read<const W: usize>(column: &[u8], i: usize) -> [u8; W] {
    let mut bytes = [0; W];
    bytes.copy_from_slice(&column[i * W..][..W]);
    bytes
}
