//! A range that widens at once and shrinks slowly: a record is news in proportion to how far it
//! lies outside of what was seen lately.

use serde::{Deserialize, Serialize};

/// Part of its width that a range loses at each end for a sample.
const SHRINK: f64 = 1.5e-4;
/// Samples closer together than this shrink it by less, so that it always remembers about a week
/// (at half of [`SHRINK`]'s rate a width halves in 2,310 samples: eight days of five minutes).
const SHRINK_STEP_MS: i64 = 300_000;
/// Differences below this share of the values themselves are rounding.
const ROUNDING: f64 = 1e-12;

/// The range of a quantity, both ends slowly forgetting.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Range {
    /// Lower end; above `high` while nothing was seen (no infinities, so that every snapshot
    /// format can hold it).
    low: f64,
    high: f64,
}

impl Range {
    pub(crate) const fn new() -> Self {
        Self {
            low: 1.0,
            high: 0.0,
        }
    }

    fn is_empty(&self) -> bool {
        self.low > self.high
    }

    /// Lower and upper end.
    pub(crate) fn ends(&self) -> (f64, f64) {
        (self.low, self.high)
    }

    pub(crate) fn width(&self) -> f64 {
        if self.is_empty() {
            0.0
        } else {
            self.high - self.low
        }
    }

    /// How new `x` is: its distance outside as a share of the range with it, in [0, 1).
    pub(crate) fn novelty(&self, x: f64) -> f64 {
        let outside = (x - self.high).max(self.low - x);
        if self.is_empty() || outside <= 0.0 {
            return 0.0;
        }
        let rounding = ROUNDING * (x.abs() + self.high.abs());
        outside / (outside + self.width() + rounding)
    }

    /// Widens it by `more` (not negative) on one side.
    pub(crate) fn stretch(&mut self, up: bool, more: f64) {
        if up {
            self.high += more;
        } else {
            self.low -= more;
        }
    }

    /// Takes `x` in, `dt_ms` after the sample before it.
    pub(crate) fn learn(&mut self, x: f64, dt_ms: i64) {
        if self.is_empty() {
            *self = Self { low: x, high: x };
            return;
        }
        self.low = self.low.min(x);
        self.high = self.high.max(x);
        let pace = dt_ms.clamp(0, SHRINK_STEP_MS) as f64 / SHRINK_STEP_MS as f64;
        let step = SHRINK * pace * (self.high - self.low);
        self.low += step;
        self.high -= step;
    }
}
