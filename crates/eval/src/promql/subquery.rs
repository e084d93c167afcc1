//! Subqueries: an expression evaluated at steps, its results taken for samples.

use foghorn_model::{Labels, Timestamp};
use foghorn_rules::plan::{Expr, Leaf, RangeFunc};

use super::cache::FingerprintMap;
use super::error::EvalError;
use super::evaluator::Pass;
use super::range::range_value_at;
use super::value::settle;
use crate::vector::{Element, Point, Vector};

/// The times that a subquery covers, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    /// Exclusive.
    start: i64,
    /// Inclusive.
    end: i64,
    step: i64,
    /// The evaluation time, before `offset` and `@`.
    at: i64,
}

impl Window {
    pub(super) fn of(leaf: &Leaf, range_ms: i64, step_ms: i64, at: Timestamp) -> Self {
        let end = leaf.at_ms.unwrap_or(at.ms()) - leaf.offset_ms;
        Self {
            start: end - range_ms,
            end,
            step: step_ms.max(1),
            at: at.ms(),
        }
    }

    /// The steps: whole multiples of the step's length.
    fn steps(self) -> impl Iterator<Item = i64> {
        let first = (self.start.div_euclid(self.step) + 1) * self.step;
        (0..)
            .map(move |i| first + i * self.step)
            .take_while(move |t| *t <= self.end)
    }
}

/// Evaluates `inner` at every step and a range function over what each label set gave.
pub(super) fn evaluate(
    pass: &mut Pass<'_>,
    inner: &Expr,
    window: &Window,
    func: RangeFunc,
    params: &[f64],
) -> Result<Vector, EvalError> {
    let mut series: Vec<(Labels, Vec<Point>)> = Vec::new();
    let mut known: FingerprintMap<_, usize> = FingerprintMap::default();
    for t in window.steps() {
        for element in pass.eval(inner, Timestamp(t))?.into_elements()? {
            let at = *known
                .entry(element.labels.fingerprint())
                .or_insert_with(|| {
                    series.push((element.labels, Vec::new()));
                    series.len() - 1
                });
            series[at].1.push(Point {
                t,
                v: element.value,
            });
        }
    }
    let result = series.into_iter().filter_map(|(labels, points)| {
        let value = range_value_at(func, &points, window.start, window.end, window.at, params)?;
        let labels = if func.keeps_name() {
            labels
        } else {
            labels.without_name()
        };
        Some(Element { labels, value })
    });
    settle(result.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(start: i64, end: i64, step: i64, expect: &[i64]) {
        let steps: Vec<i64> = Window {
            start,
            end,
            step,
            at: end,
        }
        .steps()
        .collect();
        assert_eq!(steps, expect);
    }

    #[test]
    fn steps_are_whole_multiples_after_the_start() {
        check(0, 30, 10, &[10, 20, 30]);
        check(1, 39, 10, &[10, 20, 30]);
        check(-15, 5, 10, &[-10, 0]);
        check(11, 19, 10, &[]);
    }
}
