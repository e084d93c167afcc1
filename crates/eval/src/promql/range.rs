//! Range functions: one series' samples in a window, to one value.
//!
//! The formulas are Prometheus 3.5's (`promql/functions.go`), sums added in time order. Nothing
//! here is carried from one window to the next: a value never depends on history outside of its
//! window.

use foghorn_rules::plan::RangeFunc;

use super::kahan::{KahanMean, KahanSum, kahan_step};
use super::order::quantile;
use crate::vector::Point;
use crate::window::{Asked, Summary};

/// A range function over a window whose end is the evaluation time (no `offset`, no `@`). See
/// [`range_value_at`].
pub fn range_value(
    func: RangeFunc,
    points: &[Point],
    start_ms: i64,
    end_ms: i64,
    params: &[f64],
) -> Option<f64> {
    range_value_at(func, points, start_ms, end_ms, end_ms, params)
}

/// A range function over the samples in `(start_ms, end_ms]`; `None` where the function gives no
/// element (no sample at all, or fewer than two where it needs two).
///
/// `points` are in time order, staleness markers already dropped. `at_ms` is the evaluation time:
/// it differs from `end_ms` under `offset` or `@`, and only `predict_linear` looks at it.
/// `params` are `quantile_over_time`'s φ or `predict_linear`'s seconds; a missing one reads as NaN.
pub fn range_value_at(
    func: RangeFunc,
    points: &[Point],
    start_ms: i64,
    end_ms: i64,
    at_ms: i64,
    params: &[f64],
) -> Option<f64> {
    let (first, last) = (points.first()?, points.last()?);
    let param = params.first().copied().unwrap_or(f64::NAN);
    let ends = Ends {
        first: *first,
        last: *last,
        count: points.len(),
    };
    match func {
        RangeFunc::Rate => extrapolated(&ends, lost(points), start_ms, end_ms, true)
            .map(|v| v.per_second(start_ms, end_ms)),
        RangeFunc::Increase => {
            extrapolated(&ends, lost(points), start_ms, end_ms, true).map(Extrapolated::whole)
        }
        RangeFunc::Delta => extrapolated(&ends, std::iter::empty(), start_ms, end_ms, false)
            .map(Extrapolated::whole),
        RangeFunc::Irate => last_two(points, true),
        RangeFunc::Idelta => last_two(points, false),
        RangeFunc::Resets => Some(count_steps(points, |before, now| now < before)),
        RangeFunc::Changes => Some(count_steps(points, |before, now| {
            now != before && !(now.is_nan() && before.is_nan())
        })),
        RangeFunc::Deriv => two_or_more(points).map(|points| regression(points, first.t).slope),
        RangeFunc::PredictLinear => two_or_more(points).map(|points| {
            let line = regression(points, at_ms);
            line.slope * param + line.intercept
        }),
        RangeFunc::AvgOverTime => Some(mean(first, &points[1..])),
        RangeFunc::MinOverTime => Some(extreme(points, f64::INFINITY, |v, best| v < best)),
        RangeFunc::MaxOverTime => Some(extreme(points, f64::NEG_INFINITY, |v, best| v > best)),
        RangeFunc::SumOverTime => Some(sum(points)),
        RangeFunc::CountOverTime => Some(points.len() as f64),
        RangeFunc::LastOverTime => Some(last.v),
        RangeFunc::PresentOverTime => Some(1.0),
        RangeFunc::StddevOverTime => Some(variance(points).sqrt()),
        RangeFunc::StdvarOverTime => Some(variance(points)),
        RangeFunc::QuantileOverTime => {
            let mut values: Vec<f64> = points.iter().map(|p| p.v).collect();
            Some(quantile(param, &mut values))
        }
    }
}

/// What a function needs to know of its window's numbers, where that is less than all of them.
pub(crate) fn asked(func: RangeFunc) -> Option<Asked> {
    match func {
        RangeFunc::Rate | RangeFunc::Increase => Some(Asked::Lost),
        RangeFunc::Resets | RangeFunc::Changes => Some(Asked::Steps),
        RangeFunc::MinOverTime | RangeFunc::MaxOverTime => Some(Asked::Extremes),
        RangeFunc::Delta
        | RangeFunc::CountOverTime
        | RangeFunc::LastOverTime
        | RangeFunc::PresentOverTime => Some(Asked::Ends),
        RangeFunc::Irate
        | RangeFunc::Idelta
        | RangeFunc::Deriv
        | RangeFunc::PredictLinear
        | RangeFunc::AvgOverTime
        | RangeFunc::SumOverTime
        | RangeFunc::StddevOverTime
        | RangeFunc::StdvarOverTime
        | RangeFunc::QuantileOverTime => None,
    }
}

/// A range function over numbers that were [summed up](Summary) as it [asks](asked): the same bits
/// as from the numbers themselves. `None` of any other function.
pub(crate) fn summed_value(
    func: RangeFunc,
    numbers: &Summary,
    start_ms: i64,
    end_ms: i64,
) -> Option<f64> {
    let ends = Ends {
        first: numbers.first,
        last: numbers.last,
        count: numbers.count,
    };
    let lost = || numbers.lost.iter().copied();
    match func {
        RangeFunc::Rate => extrapolated(&ends, lost(), start_ms, end_ms, true)
            .map(|v| v.per_second(start_ms, end_ms)),
        RangeFunc::Increase => {
            extrapolated(&ends, lost(), start_ms, end_ms, true).map(Extrapolated::whole)
        }
        RangeFunc::Delta => extrapolated(&ends, std::iter::empty(), start_ms, end_ms, false)
            .map(Extrapolated::whole),
        RangeFunc::Resets => Some(numbers.resets as f64),
        RangeFunc::Changes => Some(numbers.changes as f64),
        RangeFunc::MinOverTime => Some(numbers.least),
        RangeFunc::MaxOverTime => Some(numbers.most),
        RangeFunc::CountOverTime => Some(numbers.count as f64),
        RangeFunc::LastOverTime => Some(numbers.last.v),
        RangeFunc::PresentOverTime => Some(1.0),
        _ => None,
    }
}

fn two_or_more(points: &[Point]) -> Option<&[Point]> {
    (points.len() >= 2).then_some(points)
}

/// A difference and the factor that stretches it to the window's borders.
#[derive(Clone, Copy)]
struct Extrapolated {
    difference: f64,
    factor: f64,
}

impl Extrapolated {
    fn whole(self) -> f64 {
        self.difference * self.factor
    }

    /// Divided by the nominal range, whatever part of it holds samples.
    fn per_second(self, start_ms: i64, end_ms: i64) -> f64 {
        self.difference * (self.factor / seconds(end_ms - start_ms))
    }
}

/// Whole seconds plus the rest: the sum that Go's `Duration.Seconds` forms.
fn seconds(span_ms: i64) -> f64 {
    (span_ms / 1_000) as f64 + (span_ms % 1_000 * 1_000_000) as f64 / 1e9
}

/// First and last sample of a window, and how many there are.
struct Ends {
    first: Point,
    last: Point,
    count: usize,
}

/// What a counter had counted before each reset.
fn lost(points: &[Point]) -> impl Iterator<Item = f64> {
    let pairs = points.windows(2);
    pairs
        .filter(|pair| pair[1].v < pair[0].v)
        .map(|pair| pair[0].v)
}

/// The difference over the window, for counters with what each reset lost added back, and how far
/// it is stretched: up to a border that is nearer than 1.1 mean spacings, else by half a spacing,
/// and a counter never to before its zero.
fn extrapolated(
    ends: &Ends,
    lost: impl Iterator<Item = f64>,
    start_ms: i64,
    end_ms: i64,
    counter: bool,
) -> Option<Extrapolated> {
    let Ends { first, last, count } = *ends;
    if count < 2 {
        return None;
    }
    let difference = lost.fold(last.v - first.v, |sum, lost| sum + lost);
    let mut to_start = (first.t - start_ms) as f64 / 1e3;
    let mut to_end = (end_ms - last.t) as f64 / 1e3;
    let sampled = (last.t - first.t) as f64 / 1e3;
    let spacing = sampled / (count - 1) as f64;
    let threshold = spacing * 1.1;
    if to_start >= threshold {
        to_start = spacing / 2.0;
    }
    if counter && difference > 0.0 && first.v >= 0.0 {
        let to_zero = sampled * (first.v / difference);
        if to_zero < to_start {
            to_start = to_zero;
        }
    }
    if to_end >= threshold {
        to_end = spacing / 2.0;
    }
    // In this order: float addition is not associative.
    let reach = sampled + to_start + to_end;
    Some(Extrapolated {
        difference,
        factor: reach / sampled,
    })
}

/// `irate` (per second, after a reset from zero) and `idelta`.
fn last_two(points: &[Point], rate: bool) -> Option<f64> {
    let [.., before, last] = points else {
        return None;
    };
    let span_ms = last.t - before.t;
    if span_ms == 0 {
        return None;
    }
    let reset = rate && last.v < before.v;
    let difference = if reset { last.v } else { last.v - before.v };
    Some(if rate {
        difference / (span_ms as f64 / 1e3)
    } else {
        difference
    })
}

fn count_steps(points: &[Point], counts: impl Fn(f64, f64) -> bool) -> f64 {
    points
        .windows(2)
        .filter(|pair| counts(pair[0].v, pair[1].v))
        .count() as f64
}

fn mean(first: &Point, rest: &[Point]) -> f64 {
    let mut mean = KahanMean::of(first.v);
    for point in rest {
        mean.add(point.v);
    }
    mean.value()
}

fn sum(points: &[Point]) -> f64 {
    let mut sum = KahanSum::default();
    for point in points {
        sum.add(point.v);
    }
    sum.total()
}

/// The value that beats all others; NaN only where all are. Four are sought side by side; where
/// that cannot tell bits (of two zeros the earlier stands) or found no number, one after another.
fn extreme(points: &[Point], worst: f64, beats: impl Fn(f64, f64) -> bool) -> f64 {
    let mut best = [worst; 4];
    let chunks = points.chunks_exact(4);
    let rest = chunks.remainder();
    let take = |best: &mut f64, v: f64| *best = if beats(v, *best) { v } else { *best };
    for chunk in chunks {
        for (best, point) in best.iter_mut().zip(chunk) {
            take(best, point.v);
        }
    }
    rest.iter().for_each(|point| take(&mut best[0], point.v));
    let found = best.into_iter().fold(worst, |mut found, v| {
        take(&mut found, v);
        found
    });
    if found != worst && found != 0.0 {
        return found;
    }
    points.iter().map(|p| p.v).fold(f64::NAN, |best, v| {
        if beats(v, best) || best.is_nan() {
            v
        } else {
            best
        }
    })
}

/// Population variance by Welford's recurrence, both of its sums compensated.
fn variance(points: &[Point]) -> f64 {
    let mut count = 0.0;
    let (mut mean, mut mean_c) = (0.0, 0.0);
    let (mut squares, mut squares_c) = (0.0, 0.0);
    for point in points {
        count += 1.0;
        let delta = point.v - (mean + mean_c);
        (mean, mean_c) = kahan_step(delta / count, mean, mean_c);
        (squares, squares_c) = kahan_step(delta * (point.v - (mean + mean_c)), squares, squares_c);
    }
    (squares + squares_c) / count
}

/// A fitted line; the intercept is its value at the time it was asked for.
struct Line {
    slope: f64,
    intercept: f64,
}

/// Least squares of value over time in seconds from `origin_ms`. Equal values give slope 0 exactly.
fn regression(points: &[Point], origin_ms: i64) -> Line {
    let first = points[0].v;
    if points[1..].iter().all(|p| p.v == first) {
        return if first.is_infinite() {
            Line {
                slope: f64::NAN,
                intercept: f64::NAN,
            }
        } else {
            Line {
                slope: 0.0,
                intercept: first,
            }
        };
    }
    let mut sums = [(0.0, 0.0); 4];
    for point in points {
        let x = (point.t - origin_ms) as f64 / 1e3;
        let addends = [x, point.v, x * point.v, x * x];
        for (sum, addend) in sums.iter_mut().zip(addends) {
            *sum = kahan_step(addend, sum.0, sum.1);
        }
    }
    let n = points.len() as f64;
    let [x, y, xy, xx] = sums.map(|(sum, compensation)| sum + compensation);
    let slope = (xy - x * y / n) / (xx - x * x / n);
    Line {
        slope,
        intercept: y / n - slope * x / n,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use RangeFunc as F;

    /// Samples given as `(seconds, value)`, the window as seconds, the result to a relative 1e-12.
    fn check(
        func: F,
        params: &[f64],
        samples: &[(i64, f64)],
        window: (i64, i64),
        expect: Option<f64>,
    ) {
        let points: Vec<_> = samples
            .iter()
            .map(|(t, v)| Point {
                t: t * 1_000,
                v: *v,
            })
            .collect();
        let got = range_value(func, &points, window.0 * 1_000, window.1 * 1_000, params);
        let same = match (got, expect) {
            (Some(a), Some(b)) => {
                a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= b.abs() * 1e-12
            }
            (a, b) => a == b,
        };
        assert!(same, "{func:?} of {samples:?}: {got:?}, not {expect:?}");
    }

    fn over(func: F, values: &[f64], expect: f64) {
        let samples: Vec<_> = values
            .iter()
            .enumerate()
            .map(|(i, v)| ((i as i64 + 1) * 10, *v))
            .collect();
        check(
            func,
            &[],
            &samples,
            (0, values.len() as i64 * 10),
            Some(expect),
        );
    }

    #[test]
    fn rates_reach_to_the_borders_but_not_past_zero() {
        let steady = [
            (10, 10.0),
            (20, 20.0),
            (30, 30.0),
            (40, 40.0),
            (50, 50.0),
            (60, 60.0),
        ];
        check(F::Increase, &[], &steady, (0, 60), Some(60.0));
        check(F::Rate, &[], &steady, (0, 60), Some(1.0));
        check(F::Delta, &[], &steady, (0, 60), Some(60.0));
        // Starts 40 s after the border: half a spacing is added, which the zero point allows.
        check(
            F::Increase,
            &[],
            &[(40, 100.0), (50, 110.0), (60, 120.0)],
            (0, 60),
            Some(25.0),
        );
        // … and here only 2 s of it.
        check(
            F::Increase,
            &[],
            &[(40, 2.0), (50, 12.0), (60, 22.0)],
            (0, 60),
            Some(22.0),
        );
        check(
            F::Delta,
            &[],
            &[(40, 2.0), (50, 12.0), (60, 22.0)],
            (0, 60),
            Some(25.0),
        );
        check(F::Rate, &[], &[(40, 2.0)], (0, 60), None);
        check(F::Rate, &[], &[], (0, 60), None);
    }

    #[test]
    fn counters_add_back_what_resets_lost() {
        let reset = [(10, 10.0), (20, 20.0), (30, 5.0), (40, 15.0)];
        check(F::Increase, &[], &reset, (0, 40), Some(25.0 * 40.0 / 30.0));
        check(F::Resets, &[], &reset, (0, 40), Some(1.0));
        check(F::Delta, &[], &reset, (0, 40), Some(5.0 * 40.0 / 30.0));
    }

    #[test]
    fn irate_and_idelta_take_the_last_two() {
        check(
            F::Irate,
            &[],
            &[(10, 1.0), (20, 5.0), (30, 25.0)],
            (0, 30),
            Some(2.0),
        );
        check(F::Irate, &[], &[(20, 50.0), (30, 20.0)], (0, 30), Some(2.0));
        check(
            F::Idelta,
            &[],
            &[(20, 50.0), (30, 20.0)],
            (0, 30),
            Some(-30.0),
        );
        check(F::Idelta, &[], &[(30, 20.0)], (0, 30), None);
    }

    #[test]
    fn changes_count_nan_as_a_value() {
        over(F::Changes, &[1.0, 1.0, 2.0, f64::NAN, f64::NAN, 2.0], 3.0);
        over(F::Resets, &[3.0, 2.0, 2.0, 1.0], 2.0);
    }

    #[test]
    fn extremes_pass_over_nan() {
        over(F::MinOverTime, &[f64::NAN, 3.0, 1.0, f64::NAN], 1.0);
        over(F::MaxOverTime, &[f64::NAN, 3.0, 1.0, f64::NAN], 3.0);
        over(F::MaxOverTime, &[f64::NAN, f64::NAN], f64::NAN);
    }

    #[test]
    fn sums_and_means_are_compensated() {
        over(F::SumOverTime, &[1e100, 1.0, -1e100, 1.0], 2.0);
        over(F::AvgOverTime, &[1e100, 1.0, -1e100, 2.0], 0.75);
        over(F::AvgOverTime, &[f64::MAX, f64::MAX], f64::MAX);
        over(F::CountOverTime, &[1.0, 1.0], 2.0);
        over(F::LastOverTime, &[1.0, 7.0], 7.0);
        over(F::PresentOverTime, &[0.0], 1.0);
    }

    #[test]
    fn spreads_are_of_the_population() {
        over(F::StdvarOverTime, &[0.0, 8.0, 8.0, 2.0, 3.0], 10.56);
        over(
            F::StddevOverTime,
            &[0.0, 8.0, 8.0, 2.0, 3.0],
            10.56_f64.sqrt(),
        );
        over(F::StdvarOverTime, &[1.5], 0.0);
    }

    #[test]
    fn lines_are_fitted() {
        let line = [(0, 0.0), (10, 10.0), (20, 20.0), (30, 30.0)];
        check(F::Deriv, &[], &line, (-60, 30), Some(1.0));
        check(F::PredictLinear, &[60.0], &line, (-60, 30), Some(90.0));
        check(F::Deriv, &[], &[(0, 5.0), (10, 5.0)], (-60, 30), Some(0.0));
        check(
            F::Deriv,
            &[],
            &[(0, f64::INFINITY), (10, f64::INFINITY)],
            (-60, 30),
            Some(f64::NAN),
        );
        check(F::Deriv, &[], &[(0, 5.0)], (-60, 30), None);
    }

    #[test]
    fn predictions_count_from_the_evaluation_time() {
        let points = [Point { t: 0, v: 0.0 }, Point { t: 10_000, v: 10.0 }];
        let got = range_value_at(F::PredictLinear, &points, -60_000, 10_000, 40_000, &[20.0]);
        assert_eq!(got, Some(60.0));
    }

    #[test]
    fn quantiles_over_time() {
        check(
            F::QuantileOverTime,
            &[0.5],
            &[(1, 3.0), (2, 1.0)],
            (0, 2),
            Some(2.0),
        );
        check(
            F::QuantileOverTime,
            &[2.0],
            &[(1, 3.0), (2, 1.0)],
            (0, 2),
            Some(f64::INFINITY),
        );
    }
}
