//! What is usual at this hour of the day and of the week, in UTC.

use foghorn_model::Timestamp;
use serde::{Deserialize, Serialize};

use super::DAY_MS;
use super::range::Range;

const HOUR_MS: i64 = 3_600_000;
const WEEK_MS: i64 = 7 * DAY_MS;
const DAY_SLOTS: usize = 24;
const WEEK_SLOTS: usize = 168;
/// A slot forgets with this time constant, counted in time spent inside the slot: an hour's visit
/// renews about a quarter of it.
const MEMORY_MS: f64 = 12_000_000.0;
/// A gap counts as no more than this.
const STEP_MS_MAX: i64 = HOUR_MS;
/// The season must leave at most this share of the plain level's residual to be believed.
const EXPLAINS: f64 = 0.8;
/// A seasonal residual counts as no more than so many times the plain spread in that comparison.
const CLIP: f64 = 4.0;

/// Averages by hour of day and by hour of week. About 1 KB.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Season {
    /// The first value; slots hold the difference, so that 32 bits are enough.
    origin: f64,
    /// Averages less `origin`: the day's 24 hours, then the week's 168.
    offsets: Box<[f32]>,
    /// Samples in each slot; 255 stands for "many".
    counts: Box<[u8]>,
    /// Range of the residuals.
    residuals: Range,
    /// Mean absolute residual.
    spread: f64,
}

/// The season's opinion of one value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seasonal {
    /// What was to be expected: the day's or the week's average, whichever is nearer.
    pub(crate) expected: f64,
    /// How new the residual is, in [0, 1).
    pub(crate) novelty: f64,
    /// Usual lowest and highest value at this hour.
    pub(crate) low: f64,
    pub(crate) high: f64,
    /// Mean absolute residual.
    pub(crate) spread: f64,
}

impl Season {
    pub(crate) fn new(origin: f64) -> Self {
        Self {
            origin,
            offsets: vec![0.0; DAY_SLOTS + WEEK_SLOTS].into(),
            counts: vec![0; DAY_SLOTS + WEEK_SLOTS].into(),
            residuals: Range::new(),
            spread: 0.0,
        }
    }

    /// Judges `x` where the series is old enough (`age_ms`) and the season explains more than the
    /// plain level does, whose mean absolute residual is `plain`.
    pub(crate) fn look(&self, at: Timestamp, age_ms: i64, x: f64, plain: f64) -> Option<Seasonal> {
        if age_ms < 2 * DAY_MS || self.spread > EXPLAINS * plain {
            return None;
        }
        let expected = self.expected(at, age_ms, x)?;
        let (low, high) = self.residuals.ends();
        Some(Seasonal {
            expected,
            novelty: self.residuals.novelty(x - expected),
            low: expected + low,
            high: expected + high,
            spread: self.spread,
        })
    }

    fn expected(&self, at: Timestamp, age_ms: i64, x: f64) -> Option<f64> {
        let [day, week] = slots(at);
        let of = |slot: usize| self.origin + f64::from(self.offsets[slot]);
        let day = (age_ms >= DAY_MS && self.counts[day] > 0).then(|| of(day))?;
        let week = (age_ms >= WEEK_MS && self.counts[week] > 0).then(|| of(week));
        Some(
            week.filter(|week| (x - week).abs() < (x - day).abs())
                .unwrap_or(day),
        )
    }

    /// Takes `x` in; `weight` is the slow level's, `plain` as in [`Season::look`].
    pub(crate) fn learn(
        &mut self,
        at: Timestamp,
        age_ms: i64,
        dt_ms: i64,
        x: f64,
        weight: f64,
        plain: f64,
    ) {
        if let Some(expected) = self.expected(at, age_ms, x) {
            let residual = x - expected;
            self.residuals.learn(residual, dt_ms);
            self.spread += weight * (residual.abs().min(CLIP * plain) - self.spread);
        }
        let dt = dt_ms.clamp(0, STEP_MS_MAX) as f64;
        let steady = dt / (dt + MEMORY_MS);
        for slot in slots(at) {
            let count = self.counts[slot];
            let weight = if count == u8::MAX {
                steady
            } else {
                steady.max(1.0 / (f64::from(count) + 1.0))
            };
            let offset = &mut self.offsets[slot];
            *offset += (weight * (x - self.origin - f64::from(*offset))) as f32;
            self.counts[slot] = count.saturating_add(1);
        }
    }

    /// Widens the residuals' range by `more` on one side.
    pub(crate) fn stretch(&mut self, up: bool, more: f64) {
        self.residuals.stretch(up, more);
    }

    /// Bytes that it holds, its own included.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.offsets) + size_of_val(&*self.counts)
    }
}

/// The slots of an instant: hour of day, then hour of week (from Thursday 00:00, as the epoch).
fn slots(at: Timestamp) -> [usize; 2] {
    let hour = at.ms().rem_euclid(WEEK_MS) / HOUR_MS;
    [hour as usize % DAY_SLOTS, DAY_SLOTS + hour as usize]
}
