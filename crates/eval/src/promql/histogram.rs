//! `histogram_quantile` and `histogram_fraction` of classic histograms: buckets by `le`.

use foghorn_model::Labels;

use super::cache::Caches;
use super::error::EvalError;
use super::order::ascending_nan_first;
use super::value::settle;
use crate::vector::{Element, Vector};

/// Relative difference between neighbouring buckets below which they count as equal.
const SMALL_DELTA: f64 = 1e-12;

#[derive(Clone, Copy, Debug)]
struct Bucket {
    upper: f64,
    count: f64,
}

/// The φ-quantile of each histogram. Elements whose `le` is no number are passed over.
pub(super) fn quantiles(
    caches: &mut Caches,
    q: f64,
    vector: &[Element],
) -> Result<Vector, EvalError> {
    each(caches, vector, |buckets| quantile(q, buckets))
}

/// The share of each histogram's observations between two values.
pub(super) fn fractions(
    caches: &mut Caches,
    (lower, upper): (f64, f64),
    vector: &[Element],
) -> Result<Vector, EvalError> {
    each(caches, vector, |buckets| fraction(lower, upper, buckets))
}

fn each(
    caches: &mut Caches,
    vector: &[Element],
    value: impl Fn(&mut Vec<Bucket>) -> f64,
) -> Result<Vector, EvalError> {
    let handle = caches.projection(false, false, &["le".to_owned()]);
    let groups = caches.projected(handle);
    groups.begin();
    let mut histograms: Vec<(Labels, Vec<Bucket>)> = Vec::new();
    for element in vector {
        let Ok(upper) = element.labels.value("le").parse::<f64>() else {
            continue;
        };
        let number = groups.number(&element.labels);
        let seat = groups
            .sit(number, histograms.len() as u32)
            .unwrap_or_else(|| {
                histograms.push((groups.labels(number).without_name(), Vec::new()));
                histograms.len() as u32 - 1
            });
        histograms[seat as usize].1.push(Bucket {
            upper,
            count: element.value,
        });
    }
    let elements = histograms.into_iter();
    settle(
        elements
            .map(|(labels, mut buckets)| Element {
                labels,
                value: value(&mut buckets),
            })
            .collect(),
    )
}

/// Prometheus' `BucketQuantile`: linear within a bucket, the lowest from 0, the highest bounded by
/// the one below. NaN without a +Inf bucket, with fewer than two buckets or no observation.
fn quantile(q: f64, buckets: &mut Vec<Bucket>) -> f64 {
    if q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    buckets.sort_by(|a, b| ascending_nan_first(a.upper, b.upper));
    if buckets
        .last()
        .is_none_or(|bucket| bucket.upper != f64::INFINITY)
    {
        return f64::NAN;
    }
    coalesce(buckets);
    make_monotonic(buckets);
    let last = buckets.len() - 1;
    let observations = buckets[last].count;
    if last == 0 || observations == 0.0 {
        return f64::NAN;
    }
    let rank = q * observations;
    let at = first_reaching(rank, &buckets[..last]);
    if at == last {
        return buckets[last - 1].upper;
    }
    if at == 0 {
        let Bucket { upper, count } = buckets[0];
        return if upper <= 0.0 {
            upper
        } else {
            upper * (rank / count)
        };
    }
    let (below, bucket) = (buckets[at - 1], buckets[at]);
    below.upper
        + (bucket.upper - below.upper) * ((rank - below.count) / (bucket.count - below.count))
}

/// The first bucket that reaches a rank, halving as Go's `sort.Search` does: a bucket that holds NaN
/// reaches none, and which of its neighbours is found depends on where the halves lie.
fn first_reaching(rank: f64, buckets: &[Bucket]) -> usize {
    let (mut low, mut high) = (0, buckets.len());
    while low < high {
        let middle = usize::midpoint(low, high);
        if buckets[middle].count >= rank {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

/// Prometheus' `BucketFraction`: linear within a bucket, the lowest from 0 where its bound is above
/// that. NaN without a +Inf bucket, without an observation, or of no range.
fn fraction(lower: f64, upper: f64, buckets: &mut Vec<Bucket>) -> f64 {
    buckets.sort_by(|a, b| ascending_nan_first(a.upper, b.upper));
    if buckets
        .last()
        .is_none_or(|bucket| bucket.upper != f64::INFINITY)
    {
        return f64::NAN;
    }
    coalesce(buckets);
    let count = buckets[buckets.len() - 1].count;
    if count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let (mut rank, mut lower_rank, mut upper_rank) = (0.0, None, None);
    for (i, bucket) in buckets.iter().enumerate() {
        let below = if i > 0 {
            buckets[i - 1].upper
        } else if bucket.upper > 0.0 {
            0.0
        } else {
            f64::NEG_INFINITY
        };
        let within = |v: f64| rank + (bucket.count - rank) * (v - below) / (bucket.upper - below);
        if lower_rank.is_none() && below >= lower {
            lower_rank = Some(rank);
        }
        if upper_rank.is_none() && below >= upper {
            upper_rank = Some(rank);
        }
        if lower_rank.is_some() && upper_rank.is_some() {
            break;
        }
        if lower_rank.is_none() && below < lower && bucket.upper > lower {
            lower_rank = Some(within(lower));
        }
        if upper_rank.is_none() && below < upper && bucket.upper > upper {
            upper_rank = Some(within(upper));
        }
        if lower_rank.is_some() && upper_rank.is_some() {
            break;
        }
        rank = bucket.count;
    }
    let rank_of = |found: Option<f64>| found.filter(|rank| *rank <= count).unwrap_or(count);
    (rank_of(upper_rank) - rank_of(lower_rank)) / count
}

/// Merges buckets with the same bound.
fn coalesce(buckets: &mut Vec<Bucket>) {
    buckets.dedup_by(|bucket, kept| {
        let same = bucket.upper == kept.upper;
        if same {
            kept.count += bucket.count;
        }
        same
    });
}

/// Takes decreases, and differences that are only rounding, out of the counts.
fn make_monotonic(buckets: &mut [Bucket]) {
    let mut before = buckets[0].count;
    for bucket in &mut buckets[1..] {
        if bucket.count < before || almost_equal(before, bucket.count) {
            bucket.count = before;
        } else {
            before = bucket.count;
        }
    }
}

/// Prometheus' `almost.Equal` with [`SMALL_DELTA`].
fn almost_equal(a: f64, b: f64) -> bool {
    if a == b || a.is_nan() && b.is_nan() {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < SMALL_DELTA * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < SMALL_DELTA
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(q: f64, buckets: &[(f64, f64)], expect: f64) {
        let mut buckets = buckets
            .iter()
            .map(|(upper, count)| Bucket {
                upper: *upper,
                count: *count,
            })
            .collect();
        let got = quantile(q, &mut buckets);
        assert!(
            got == expect || got.is_nan() && expect.is_nan(),
            "q={q} of {buckets:?}: {got}, not {expect}"
        );
    }

    const INF: f64 = f64::INFINITY;

    #[test]
    fn interpolates_within_a_bucket() {
        check(0.5, &[(1.0, 0.0), (2.0, 10.0), (INF, 10.0)], 1.5);
        check(0.5, &[(2.0, 10.0), (INF, 10.0)], 1.0);
        check(0.5, &[(-2.0, 10.0), (INF, 10.0)], -2.0);
        check(0.99, &[(2.0, 10.0), (INF, 100.0)], 2.0);
        check(0.5, &[(INF, 10.0), (2.0, 10.0)], 1.0);
    }

    #[test]
    fn refuses_what_is_no_histogram() {
        check(0.5, &[(1.0, 1.0), (2.0, 2.0)], f64::NAN);
        check(0.5, &[(INF, 2.0)], f64::NAN);
        check(0.5, &[(1.0, 0.0), (INF, 0.0)], f64::NAN);
        check(-1.0, &[(1.0, 0.0), (INF, 0.0)], -INF);
        check(2.0, &[(1.0, 0.0), (INF, 0.0)], INF);
    }

    #[test]
    fn a_bucket_without_a_number_hides_those_before_it() {
        let nan = [
            (0.1, 5.0),
            (0.5, f64::NAN),
            (1.0, 6.0),
            (f64::INFINITY, 6.0),
        ];
        check(0.5, &nan, 0.5 + 0.5 * f64::NAN);
        check(
            0.5,
            &[(0.1, 5.0), (1.0, f64::NAN), (f64::INFINITY, 6.0)],
            1.0,
        );
    }

    #[test]
    fn counts_that_fall_are_held() {
        check(0.5, &[(1.0, 4.0), (2.0, 3.0), (3.0, 8.0), (INF, 8.0)], 1.0);
        check(0.75, &[(1.0, 4.0), (2.0, 3.0), (3.0, 8.0), (INF, 8.0)], 2.5);
        check(0.5, &[(1.0, 2.0), (1.0, 2.0), (INF, 8.0)], 1.0);
    }
}
