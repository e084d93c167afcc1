//! Orders of values, and the quantile over a sorted sample.

use std::cmp::Ordering;

/// Ascending, NaN first (the order in which Prometheus takes quantiles).
pub(crate) fn ascending_nan_first(a: f64, b: f64) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (false, false) => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
    }
}

/// Ascending, NaN last: `sort` and `bottomk`.
pub(crate) fn ascending_nan_last(a: f64, b: f64) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
    }
}

/// Descending, NaN last: `sort_desc` and `topk`.
pub(crate) fn descending_nan_last(a: f64, b: f64) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (false, false) => b.partial_cmp(&a).unwrap_or(Ordering::Equal),
        _ => ascending_nan_last(a, b),
    }
}

/// The φ-quantile with linear interpolation between the two neighbours of rank `q * (n - 1)`.
/// Sorts `values`. NaN for no values or a NaN `q`; ∓Inf for a `q` outside of 0..=1.
pub(crate) fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    values.sort_by(|a, b| ascending_nan_first(*a, *b));
    let last = values.len() - 1;
    let rank = q * last as f64;
    let lower = (rank.floor() as usize).min(last);
    let upper = (lower + 1).min(last);
    let weight = rank - rank.floor();
    values[lower] * (1.0 - weight) + values[upper] * weight
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(q: f64, values: &[f64], expect: f64) {
        let got = quantile(q, &mut values.to_vec());
        assert!(
            got == expect || got.is_nan() && expect.is_nan(),
            "q={q} of {values:?}: {got}, not {expect}"
        );
    }

    #[test]
    fn quantiles_interpolate() {
        check(0.5, &[3.0, 1.0, 2.0], 2.0);
        check(0.75, &[0.0, 1.0, 2.0], 1.5);
        check(0.8, &[0.0, 1.0, 2.0], 1.6);
        check(1.0, &[5.0], 5.0);
        check(-0.1, &[5.0], f64::NEG_INFINITY);
        check(1.1, &[5.0], f64::INFINITY);
        check(f64::NAN, &[5.0], f64::NAN);
        check(0.5, &[], f64::NAN);
        check(1.0, &[f64::NAN, 2.0, 1.0], 2.0);
    }

    #[test]
    fn nan_stands_last_either_way() {
        let mut values = [2.0, f64::NAN, 1.0];
        values.sort_by(|a, b| ascending_nan_last(*a, *b));
        assert_eq!(values[..2], [1.0, 2.0]);
        values.sort_by(|a, b| descending_nan_last(*a, *b));
        assert_eq!(values[..2], [2.0, 1.0]);
        assert!(values[2].is_nan());
    }
}
