//! When a trend reaches its limit: exponentially weighted least squares of value on time.
//!
//! The weighted means and moments are updated in West's form (1979): no difference of large sums.
//! Which side of the limit is the good one is taken from the first value that is not the limit.

use foghorn_model::{Reason, Timestamp};
use serde::{Deserialize, Serialize};

use super::usable;

/// No forecast before so many samples.
const SAMPLES_MIN: u32 = 10;
/// … nor before this share of `over_ms` has been seen.
const SPAN_MIN: f64 = 0.25;
/// The line must explain this share of the variance (R²).
const FIT_MIN: f64 = 0.5;
/// An alarm goes on until the limit is so many times farther off than what started it.
const HOLD: f64 = 1.25;

/// What a forecast rule asks; see [`foghorn_rules::plan::Detector::Forecast`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question {
    pub(crate) limit: f64,
    pub(crate) within_ms: i64,
    pub(crate) over_ms: i64,
}

/// One series' line. Time is counted from the first sample, in units of `over_ms`.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Trend {
    first: Timestamp,
    last: f64,
    weight: f64,
    time: f64,
    value: f64,
    time_time: f64,
    time_value: f64,
    value_value: f64,
    samples: u32,
    /// Good side of the limit: 1 above, -1 below, 0 not known yet.
    side: i8,
    on: bool,
}

impl Trend {
    /// Takes a value in and tells whether the limit is near.
    pub(crate) fn observe(&mut self, question: &Question, at: Timestamp, x: f64) -> Option<Reason> {
        if !usable(x) {
            return None;
        }
        self.learn(question, at, x);
        let reached_in_ms = self.reached_in_ms(question, x);
        let within = if self.on { HOLD } else { 1.0 } * question.within_ms as f64;
        let left = reached_in_ms.filter(|left| *left <= within);
        self.on = left.is_some();
        left.map(|left| Reason::Forecast {
            observed: x,
            limit: question.limit,
            reached_in_ms: left as i64,
        })
    }

    fn learn(&mut self, question: &Question, at: Timestamp, x: f64) {
        if self.samples == 0 {
            self.first = at;
        }
        if self.side == 0 && x != question.limit {
            self.side = if x > question.limit { 1 } else { -1 };
        }
        let now = (at - self.first) as f64 / question.over_ms.max(1) as f64;
        let keep = (self.last - now).min(0.0).exp();
        self.last = now;
        self.weight = keep * self.weight + 1.0;
        let (ahead, above) = (now - self.time, x - self.value);
        self.time += ahead / self.weight;
        self.value += above / self.weight;
        self.time_time = keep * self.time_time + ahead * (now - self.time);
        self.time_value = keep * self.time_value + ahead * (x - self.value);
        self.value_value = keep * self.value_value + above * (x - self.value);
        self.samples = self.samples.saturating_add(1);
    }

    /// Milliseconds until the fitted line reaches the limit; 0 where the value is there already.
    /// `None` where the line does not lead there or is not to be trusted.
    fn reached_in_ms(&self, question: &Question, x: f64) -> Option<f64> {
        if self.samples < SAMPLES_MIN || self.last < SPAN_MIN {
            return None;
        }
        let room = question.limit - x;
        if room * f64::from(self.side) >= 0.0 {
            return Some(0.0);
        }
        let slope = self.time_value / self.time_time;
        let explained = slope * self.time_value;
        let trusted = slope.is_finite() && explained >= FIT_MIN * self.value_value;
        // From the value, not from the line: a step has moved the one and not yet the other.
        let left = room / slope * question.over_ms as f64;
        (trusted && left > 0.0).then_some(left)
    }
}
