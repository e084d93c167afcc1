//! Subqueries over an instant read, for one series: its values at the steps, and functions of them.
//!
//! What a step sees is what an instant selector sees: the newest sample within the lookback, unless
//! that is a staleness marker.

use foghorn_model::{Timestamp, is_stale};
use foghorn_rules::plan::{LOOKBACK_MS, RangeFunc};

use crate::columns::{Grid, GridUse};
use crate::promql::range::range_value_at;
use crate::vector::Point;

/// The steps of a grid, in the subquery's time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// Exclusive.
    start: i64,
    /// Inclusive.
    end: i64,
    first: i64,
    step: i64,
    /// A step at `t` sees samples up to `t - offset`.
    offset: i64,
    /// Evaluation time.
    at: i64,
}

impl Times {
    /// `end` is what the instant read's last step may see.
    pub(super) fn of(plan: &Grid, end: i64, at: Timestamp) -> Self {
        let end = end + plan.inner_offset_ms;
        let start = end - plan.range_ms;
        Self {
            start,
            end,
            first: (start.div_euclid(plan.step_ms) + 1) * plan.step_ms,
            step: plan.step_ms,
            offset: plan.inner_offset_ms,
            at: at.ms(),
        }
    }

    /// What the first step sees, where that lies before the points within the range.
    pub(super) fn carry(
        &self,
        within: &[Point],
        newest: impl FnOnce(i64, i64) -> Option<Point>,
    ) -> Option<Point> {
        let sees = self.first - self.offset;
        if self.first > self.end || within.first().is_some_and(|p| p.t <= sees) {
            return None;
        }
        newest(sees - LOOKBACK_MS, sees)
    }
}

/// Buffers that all rows share.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    values: Vec<Point>,
    passed: Vec<Point>,
}

/// Gives (column, value) for each use that has an element for this series. `within` are its points
/// in the range (staleness markers among them).
pub(super) fn evaluate(
    plan: &Grid,
    times: &Times,
    within: &[Point],
    carry: Option<Point>,
    buffers: &mut Buffers,
    mut hit: impl FnMut(u32, f64),
) {
    let (low, high) = bounds(within, carry);
    // The usual case: no value comes up to the weakest threshold, so none need be resampled.
    let reached = |ladder: &crate::columns::Ladder| ladder.is_reachable(low, high);
    if plan.unfiltered.is_empty() && !plan.ladders.iter().any(reached) {
        return;
    }
    let Buffers { values, passed } = buffers;
    resample(times, within, carry, values);
    if values.is_empty() {
        return;
    }
    let value = |used: &GridUse, points: &[Point]| {
        range_value_at(
            used.func,
            points,
            times.start,
            times.end,
            times.at,
            &used.params,
        )
    };
    for used in &plan.unfiltered {
        let used = &plan.uses[*used as usize];
        if let Some(value) = value(used, values) {
            hit(used.column, value);
        }
    }
    for ladder in &plan.ladders {
        let comparison = ladder.comparison;
        ladder.reachable(low, high, |number, used| {
            let used = &plan.uses[used as usize];
            if used.func == RangeFunc::CountOverTime {
                let count = comparison.count(values.iter().map(|p| p.v), number);
                if count > 0 {
                    hit(used.column, count as f64);
                }
                return;
            }
            passed.clear();
            let pass = values.iter().filter(|p| comparison.holds(p.v, number));
            passed.extend(pass);
            if let Some(value) = value(used, passed) {
                hit(used.column, value);
            }
        });
    }
}

/// The least and the greatest of the values that the steps may see.
fn bounds(within: &[Point], carry: Option<Point>) -> (f64, f64) {
    let start = carry.map_or((f64::INFINITY, f64::NEG_INFINITY), |p| {
        if p.v.is_nan() {
            (f64::INFINITY, f64::NEG_INFINITY)
        } else {
            (p.v, p.v)
        }
    });
    let mut low = [start.0; 4];
    let mut high = [start.1; 4];
    let mut take = |i: usize, v: f64| {
        // NaN is neither.
        low[i] = if v < low[i] { v } else { low[i] };
        high[i] = if v > high[i] { v } else { high[i] };
    };
    let chunks = within.chunks_exact(4);
    let rest = chunks.remainder();
    for chunk in chunks {
        take(0, chunk[0].v);
        take(1, chunk[1].v);
        take(2, chunk[2].v);
        take(3, chunk[3].v);
    }
    rest.iter().for_each(|p| take(0, p.v));
    (
        low.into_iter().fold(f64::INFINITY, f64::min),
        high.into_iter().fold(f64::NEG_INFINITY, f64::max),
    )
}

/// The series' value at each step that sees one.
fn resample(times: &Times, within: &[Point], carry: Option<Point>, values: &mut Vec<Point>) {
    values.clear();
    let (mut seen, mut next) = (carry, 0);
    let mut t = times.first;
    while t <= times.end {
        let sees = t - times.offset;
        while let Some(point) = within.get(next).filter(|p| p.t <= sees) {
            seen = Some(*point);
            next += 1;
        }
        if let Some(point) = seen
            && point.t > sees - LOOKBACK_MS
            && !is_stale(point.v)
        {
            values.push(Point { t, v: point.v });
        }
        t += times.step;
    }
}
