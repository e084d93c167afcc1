//! Level and spread: exponentially weighted averages, the slow pair robust against outliers.

use serde::{Deserialize, Serialize};

use super::DAY_MS;

/// The slow level remembers so many samples, or a day, whichever is longer.
const SLOW_SAMPLES: f64 = 256.0;
/// A sample moves the level by no more than so many spreads.
const CLIP: f64 = 4.0;
/// Before so many samples nothing is clipped.
const CLIP_FROM: u32 = 20;
/// A spread's share of the value's whole range that is let through even when the spread is zero,
/// so that a series that was flat can start to move.
const CLIP_RANGE: f64 = 0.1;

/// Weight of a new sample among `samples` earlier ones, `dt_ms` apart: a plain average at first,
/// later [`SLOW_SAMPLES`] or a day.
pub(crate) fn slow_weight(samples: u32, dt_ms: i64) -> f64 {
    let a_day = dt_ms.clamp(1, DAY_MS) as f64 / DAY_MS as f64;
    a_day
        .min(1.0 / SLOW_SAMPLES)
        .max(1.0 / (f64::from(samples) + 1.0))
}

/// Slow level and mean absolute residual (Roberts 1959, with Huber's clipping of residuals).
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Level {
    pub(crate) centre: f64,
    /// Mean absolute residual: 0.8 standard deviations where the noise is Gaussian.
    pub(crate) spread: f64,
}

impl Level {
    /// Takes `x` in; `width` is that of the value's range, `weight` from [`slow_weight`].
    pub(crate) fn learn(&mut self, x: f64, samples: u32, weight: f64, width: f64) {
        let bound = if samples < CLIP_FROM {
            f64::MAX
        } else {
            CLIP * self.spread + CLIP_RANGE * width
        };
        let residual = (x - self.centre).clamp(-bound, bound);
        self.centre += weight * residual;
        if samples > 0 {
            self.spread += weight * (residual.abs() - self.spread);
        }
    }
}

/// A quick average and the standard deviation around a less quick one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Smoothed {
    /// Average over about ten samples.
    pub(crate) mean: f64,
    /// Average over about forty.
    middle: f64,
    /// Variance around it.
    variance: f64,
}

/// Weight of a sample in [`Smoothed::mean`].
const MEAN_WEIGHT: f64 = 0.1;
/// … and in the variance.
const VARIANCE_WEIGHT: f64 = 1.0 / 40.0;

impl Smoothed {
    /// What it will be after `x` (West 1979, exponentially weighted).
    #[must_use]
    pub(crate) fn after(&self, x: f64, samples: u32) -> Self {
        if samples == 0 {
            return Self {
                mean: x,
                middle: x,
                variance: 0.0,
            };
        }
        let weight = VARIANCE_WEIGHT.max(1.0 / (f64::from(samples) + 1.0));
        let apart = x - self.middle;
        Self {
            mean: self.mean + MEAN_WEIGHT * (x - self.mean),
            middle: self.middle + weight * apart,
            variance: (1.0 - weight) * (self.variance + weight * apart * apart),
        }
    }

    pub(crate) fn deviation(&self) -> f64 {
        self.variance.sqrt()
    }
}
