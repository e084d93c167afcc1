//! Values of a chunk: scaled integers over a base where that is lossless, single precision, or as
//! they are.
//!
//! A decimal `d / 10^digits` with both parts exact in a double is what a decimal text of up to
//! fifteen digits parses to, so the division gives it back bit for bit (the idea of ALP: Afroozeh,
//! Kuffo, Boncz, SIGMOD 2024; with a division in place of its product, which misses some). What
//! does not come back bit for bit (-0, infinities, NaNs with their payloads) is not scaled.

use serde::{Deserialize, Serialize};

use crate::vector::Point;

/// How the values of a chunk stand in its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Coding {
    /// `(base + w bytes) / 10^digits`.
    Scaled {
        /// Digits after the point.
        digits: u8,
        /// Bytes a value: 0 to 6.
        width: u8,
    },
    /// As `f32`, where all are.
    Single,
    /// As they are.
    Raw,
}

/// The largest scaled integer: sums with [`MAGIC`] stay exact.
const LARGEST: u64 = 1 << 51;
/// 1.5 × 2^52: adding its bits to an integer makes a double of it that is larger by so much.
const MAGIC: f64 = 6_755_399_441_055_744.0;
/// Powers of ten that a double holds exactly, as far as they are of use.
const POWERS: [f64; 16] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
];

impl Coding {
    /// Whether its numbers are such as there are.
    pub(super) fn is_possible(self) -> bool {
        match self {
            Self::Scaled { digits, width } => (digits as usize) < POWERS.len() && width <= 6,
            Self::Single | Self::Raw => true,
        }
    }

    /// Bytes a value.
    #[inline]
    pub(super) fn width(self) -> usize {
        match self {
            Self::Scaled { width, .. } => width as usize,
            Self::Single => 4,
            Self::Raw => 8,
        }
    }

    /// Bytes behind the last value that its store touches: scaled values are written in eight bytes,
    /// of which the next value overwrites what is not their own.
    pub(super) fn pad(self) -> usize {
        match self {
            Self::Scaled { width, .. } if width > 0 => 8 - width as usize,
            _ => 0,
        }
    }

    /// The narrowest coding of some points' values, with its base; scaled ones have room for more of
    /// the kind.
    pub(super) fn of(points: &[Point]) -> (Self, i64) {
        let scaled = Self::scaled(points);
        match scaled {
            Some((Self::Scaled { width, .. }, _)) if width > 4 && all_single(points) => {
                (Self::Single, 0)
            }
            Some(scaled) => scaled,
            None if all_single(points) => (Self::Single, 0),
            None => (Self::Raw, 0),
        }
    }

    fn scaled(points: &[Point]) -> Option<(Self, i64)> {
        let mut digits = 0;
        for point in points {
            while scale(point.v, digits).is_none() {
                digits += 1;
                if digits as usize == POWERS.len() {
                    return None;
                }
            }
        }
        // With the digits of the most exact value the others must fit, too.
        let (mut least, mut most) = (i64::MAX, i64::MIN);
        let (mut first, mut last) = (None, 0);
        for point in points {
            let d = scale(point.v, digits)?;
            (least, most) = (least.min(d), most.max(d));
            last = d;
            first.get_or_insert(d);
        }
        let first = first?;
        let range = most.abs_diff(least);
        if range == 0 {
            return Some((Self::Scaled { digits, width: 0 }, least));
        }
        // As much room again, so that values of the kind fit for a while.
        let width = (1..=6).find(|width| (1 << (8 * width)) > 2 * range)?;
        let slack = ((1_u64 << (8 * width)) - 1 - range) as i64;
        let below = match (
            first == least && last == most,
            first == most && last == least,
        ) {
            (true, false) => 0,
            (false, true) => slack,
            _ => slack / 2,
        };
        Some((Self::Scaled { digits, width }, least - below))
    }

    /// Writes value `i` into the column; `false` where it does not fit. What stands behind it is
    /// overwritten.
    #[inline]
    pub(super) fn put(self, column: &mut [u8], base: i64, i: usize, v: f64) -> bool {
        match self {
            Self::Scaled { digits, width } => {
                let Some(d) = scale(v, digits) else {
                    return false;
                };
                let over = d.wrapping_sub(base) as u64;
                if over >> (8 * u32::from(width)) != 0 {
                    return false;
                }
                if width > 0 {
                    column[i * width as usize..][..8].copy_from_slice(&over.to_le_bytes());
                }
                true
            }
            Self::Single => {
                let single = v as f32;
                if f64::from(single).to_bits() != v.to_bits() {
                    return false;
                }
                column[4 * i..][..4].copy_from_slice(&single.to_le_bytes());
                true
            }
            Self::Raw => {
                column[8 * i..][..8].copy_from_slice(&v.to_le_bytes());
                true
            }
        }
    }

    /// Sets the values of some points, of which the first is value `from`.
    pub(super) fn decode(self, column: &[u8], base: i64, from: usize, points: &mut [Point]) {
        let column = &column[from * self.width()..];
        match self {
            Self::Scaled { digits, width } => {
                let power = POWERS[digits as usize];
                match width {
                    0 => {
                        let v = unscale(base, power);
                        points.iter_mut().for_each(|point| point.v = v);
                    }
                    1 => unpack::<1>(column, base, power, points),
                    2 => unpack::<2>(column, base, power, points),
                    3 => unpack::<3>(column, base, power, points),
                    4 => unpack::<4>(column, base, power, points),
                    5 => unpack::<5>(column, base, power, points),
                    _ => unpack::<6>(column, base, power, points),
                }
            }
            Self::Single => {
                let (values, _) = column.as_chunks::<4>();
                for (point, bytes) in points.iter_mut().zip(values) {
                    point.v = f64::from(f32::from_le_bytes(*bytes));
                }
            }
            Self::Raw => {
                let (values, _) = column.as_chunks::<8>();
                for (point, bytes) in points.iter_mut().zip(values) {
                    point.v = f64::from_le_bytes(*bytes);
                }
            }
        }
    }
}

/// The integer that stands for a value, where dividing it gives the value back bit for bit.
#[inline]
fn scale(v: f64, digits: u8) -> Option<i64> {
    let power = POWERS[digits as usize];
    let d = (v * power + 0.5_f64.copysign(v)) as i64;
    let exact = d.unsigned_abs() < LARGEST && unscale(d, power).to_bits() == v.to_bits();
    exact.then_some(d)
}

#[inline]
fn unscale(d: i64, power: f64) -> f64 {
    double(d) / power
}

/// The double of an integer below [`LARGEST`]: an addition and a subtraction, which vectorise.
#[inline]
fn double(d: i64) -> f64 {
    f64::from_bits(MAGIC.to_bits().wrapping_add(d as u64)) - MAGIC
}

fn unpack<const W: usize>(column: &[u8], base: i64, power: f64, points: &mut [Point]) {
    let (values, _) = column.as_chunks::<W>();
    let over = |bytes: &[u8; W]| {
        let mut word = [0; 8];
        word[..W].copy_from_slice(bytes);
        base.wrapping_add(i64::from_le_bytes(word))
    };
    if power == 1.0 {
        for (point, bytes) in points.iter_mut().zip(values) {
            point.v = double(over(bytes));
        }
    } else {
        for (point, bytes) in points.iter_mut().zip(values) {
            point.v = double(over(bytes)) / power;
        }
    }
}

fn all_single(points: &[Point]) -> bool {
    points
        .iter()
        .all(|point| f64::from(point.v as f32).to_bits() == point.v.to_bits())
}
