//! What the rules must have found, computed from the data set alone; and what a run did find, read
//! from its signal log.

use std::collections::{BTreeMap, BTreeSet};

use foghorn_engine::Entry;
use foghorn_model::{AlertId, Labels, Signal, Timestamp, TransitionKind};

use crate::dataset::{Dataset, T0_MS};
use crate::rules::{self, INTERVAL_MS};

/// What rules find over a range of ticks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    /// Per rule: results over all ticks.
    pub(crate) results: Vec<u64>,
    /// Distinct (rule, series) that ever had a result.
    pub(crate) distinct: u64,
}

/// Width of the rules' windows, in seconds.
const WINDOW: i64 = 60;

/// What the first `rules` rules must find at the ticks from `first` to `last`.
pub(crate) fn expected(
    data: &Dataset,
    rules: usize,
    first: Timestamp,
    last: Timestamp,
) -> Findings {
    let mut findings = Findings {
        results: vec![0; rules],
        distinct: 0,
    };
    for series in 0..data.series() {
        let values: Vec<f64> = (0..data.seconds)
            .map(|second| Dataset::value(series, second))
            .collect();
        let offset_ms = data.at(series, 0).ms() - T0_MS;
        let mut found = vec![false; rules];
        let mut tick = first;
        while tick <= last {
            for (i, found) in found.iter_mut().enumerate() {
                if holds(i, &values, offset_ms, tick.ms() - T0_MS) {
                    findings.results[i] += 1;
                    *found = true;
                }
            }
            tick += INTERVAL_MS;
        }
        findings.distinct += found.iter().filter(|found| **found).count() as u64;
    }
    findings
}

/// Whether rule `i` has a result for a series at a tick, `tick_ms` after the data set's beginning.
/// Sample `k` stands `offset_ms` after second `k`.
fn holds(i: usize, values: &[f64], offset_ms: i64, tick_ms: i64) -> bool {
    // The newest sample at or before an instant; -1 where there is none.
    let newest = |at_ms: i64| ((at_ms - offset_ms).div_euclid(1_000)).min(values.len() as i64 - 1);
    let (from, to) = (
        newest(tick_ms - WINDOW * 1_000).max(-1) + 1,
        newest(tick_ms) + 1,
    );
    if to <= from {
        return false;
    }
    let window = &values[from as usize..to as usize];
    let x = i as f64;
    match i % 4 {
        0 => window.iter().sum::<f64>() / window.len() as f64 > rounded(0.7 + 0.01 * x, 2),
        1 => window.iter().copied().fold(f64::MIN, f64::max) > rounded(1.0 + 0.01 * x, 2),
        2 => {
            // A subquery: at each whole second of the window, the newest sample.
            let steps = (0..WINDOW).map(|step| newest(tick_ms - step * 1_000));
            let above = |k: &i64| *k >= 0 && values[*k as usize] > rounded(0.6 + 0.01 * x, 2);
            steps.filter(above).count() > 20
        }
        _ => window.iter().copied().fold(f64::MAX, f64::min) > rounded(0.5 + 0.005 * x, 3),
    }
}

/// A threshold as the rule file writes it.
fn rounded(value: f64, digits: i32) -> f64 {
    let unit = 10_f64.powi(digits);
    (value * unit).round() / unit
}

/// The ticks that a log closed, in its order.
pub(crate) fn ticks(log: &[Entry]) -> Vec<Timestamp> {
    let tick = |entry: &Entry| match entry {
        Entry::Tick { tick, .. } => Some(*tick),
        _ => None,
    };
    log.iter().filter_map(tick).collect()
}

/// What alert rules found, by a log that closed ticks up to `last`: an alert has a result at every
/// tick from the one at which it fires to the one before it resolves.
pub(crate) fn found(log: &[Entry], rules: usize, last: Timestamp) -> Findings {
    let names: BTreeMap<String, usize> = (0..rules).map(|i| (rules::name(i), i)).collect();
    let mut findings = Findings {
        results: vec![0; rules],
        distinct: 0,
    };
    let mut open: BTreeMap<AlertId, (usize, Timestamp)> = BTreeMap::new();
    let mut distinct: BTreeSet<(usize, Labels)> = BTreeSet::new();
    let mut add = |rule: usize, from: Timestamp, until: Timestamp| {
        findings.results[rule] += ((until - from) / INTERVAL_MS) as u64;
    };
    let signals = log.iter().flat_map(|entry| match entry {
        Entry::Tick { signals, .. } => signals.as_slice(),
        _ => &[],
    });
    for signal in signals {
        let Signal::Transition(transition) = signal else {
            continue;
        };
        let Some(&rule) = names.get(&*transition.rule.name) else {
            continue;
        };
        match transition.kind {
            TransitionKind::Firing => {
                open.insert(transition.alert, (rule, transition.at));
                distinct.insert((rule, transition.labels.clone()));
            }
            TransitionKind::Resolved => {
                if let Some((rule, from)) = open.remove(&transition.alert) {
                    add(rule, from, transition.at);
                }
            }
            TransitionKind::Pending | TransitionKind::Dropped => {}
        }
    }
    for (rule, from) in open.into_values() {
        add(rule, from, last + INTERVAL_MS);
    }
    findings.distinct = distinct.len() as u64;
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_open_left_and_closed_right() {
        let values: Vec<f64> = (0..100).map(|k| if k == 0 { 5.0 } else { 0.0 }).collect();
        // Rule 1: a maximum above 1.01. Sample 0 stands at 0 ms, or 500 ms.
        let check =
            |offset_ms, tick_ms, expect| assert_eq!(holds(1, &values, offset_ms, tick_ms), expect);
        check(0, 0, true);
        check(0, 50_000, true);
        check(0, 60_000, false);
        check(500, 0, false);
        check(500, 60_000, true);
    }

    #[test]
    fn a_count_needs_more_than_twenty_seconds_above() {
        let check = |above: usize, expect| {
            let values: Vec<f64> = (0..61).map(|k| f64::from(u8::from(k < above))).collect();
            // The first sample is before the window's first whole second.
            assert_eq!(holds(2, &values, 0, 60_000), expect, "{above}");
        };
        check(21, false);
        check(22, true);
    }
}
