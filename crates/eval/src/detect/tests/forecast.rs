//! Trends towards a limit.

use super::*;

const HOUR: usize = 12;

fn disk(limit: f64) -> Detector {
    Detector::Forecast {
        limit,
        within_ms: 4 * 3_600_000,
        over_ms: 2 * 3_600_000,
    }
}

/// First sample that is picked, and the time left then, in minutes.
fn check(limit: f64, values: impl Fn(usize) -> f64, expect: Option<(usize, i64)>) {
    let values: Vec<f64> = (0..2 * DAY).map(values).collect();
    let first = reasons(&disk(limit), &values)
        .into_iter()
        .enumerate()
        .find_map(|(i, reason)| match reason? {
            Reason::Forecast { reached_in_ms, .. } => Some((i, (reached_in_ms + 30_000) / 60_000)),
            other => panic!("{other:?}"),
        });
    assert_eq!(first, expect);
}

#[test]
fn a_disk_that_fills_up() {
    // 0.25 a sample: full after 400 samples; four hours are 48 samples.
    check(
        100.0,
        |i| (0.1 + 0.25 * i as f64).min(100.0),
        Some((352, 238)),
    );
}

#[test]
fn free_space_that_runs_out() {
    check(0.0, |i| (99.9 - 0.25 * i as f64).max(0.0), Some((352, 238)));
}

#[test]
fn it_stays_picked_beyond_the_limit() {
    let values: Vec<f64> = (0..2 * DAY)
        .map(|i| (0.1 + 0.25 * i as f64).min(101.0))
        .collect();
    let said = reasons(&disk(100.0), &values);
    assert!(said[352..].iter().all(Option::is_some));
    assert!(matches!(
        said.last(),
        Some(Some(Reason::Forecast {
            reached_in_ms: 0,
            ..
        }))
    ));
}

#[test]
fn away_from_the_limit_or_level_is_nothing() {
    check(100.0, |i| 90.0 - 0.1 * i as f64, None);
    check(100.0, |_| 99.0, None);
    check(0.0, |i| 10.0 + 0.25 * i as f64, None);
}

#[test]
fn noise_is_no_trend() {
    check(100.0, |i| 90.0 + noise(i), None);
}

#[test]
fn not_before_there_is_enough_to_see() {
    let values: Vec<f64> = (0..HOUR).map(|i| 90.0 + i as f64).collect();
    let said = reasons(&disk(100.0), &values);
    assert_eq!(said.iter().position(Option::is_some), Some(9));
}

#[test]
fn a_cleaned_disk_is_quiet_again() {
    let values: Vec<f64> = (0..2 * DAY)
        .map(|i| {
            if i < 380 {
                0.25 * i as f64
            } else {
                20.0 + 0.01 * (i - 380) as f64
            }
        })
        .collect();
    let said = reasons(&disk(100.0), &values);
    assert!(said[379].is_some());
    assert!(said[380..].iter().all(Option::is_none));
}
