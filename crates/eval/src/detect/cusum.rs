//! Two-sided CUSUM (Page 1954): sums what residuals exceed an allowance, so that a small shift
//! that lasts is seen where no single sample is strange.

use serde::{Deserialize, Serialize};

/// Standard deviations that are forgiven for each sample. A daily wave around its own mean never
/// exceeds 1.25 of its mean absolute deviations.
pub(crate) const ALLOWANCE: f64 = 1.5;
/// One sample counts for at most so many standard deviations: spikes are not shifts.
const CLIP: f64 = 4.0;
/// The sums stop so far above the bar, so that an old excess is soon paid back.
const SUM_MAX: f64 = 48.0;
/// The bar is not raised further.
const BAR_MAX: f64 = 96.0;
/// Part of the bar that a sample takes away.
const BAR_DECAY: f64 = 3e-4;

/// Sums of the excess above and below, in standard deviations.
///
/// Real series wander: each alarm raises the bar for the next ones, and the bar sinks slowly.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Cusum {
    above: f32,
    below: f32,
    bar: f32,
}

impl Cusum {
    /// Adds a residual, in standard deviations.
    pub(crate) fn add(&mut self, residual: f64) {
        let residual = residual.clamp(-CLIP, CLIP);
        self.bar -= (f64::from(self.bar) * BAR_DECAY) as f32;
        let most = SUM_MAX + f64::from(self.bar);
        let step = |sum: f32, by: f64| (f64::from(sum) + by - ALLOWANCE).clamp(0.0, most) as f32;
        self.above = step(self.above, residual);
        self.below = step(self.below, -residual);
    }

    /// Starts over after an alarm; with `lesson`, asks for so much more next time.
    pub(crate) fn restart(&mut self, lesson: f64) {
        let bar = (f64::from(self.bar) + lesson).min(BAR_MAX) as f32;
        *self = Self {
            above: 0.0,
            below: 0.0,
            bar,
        };
    }

    /// What the larger sum has above the bar, and whether it is the upper one.
    pub(crate) fn excess(self) -> (f64, bool) {
        let up = self.above >= self.below;
        (
            f64::from(if up { self.above } else { self.below } - self.bar),
            up,
        )
    }
}
