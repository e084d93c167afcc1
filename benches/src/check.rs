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

/// Width of the rules' windows, in milliseconds.
const WINDOW_MS: i64 = 60_000;
/// A count rule holds above so many.
const COUNT: usize = 20;

/// What the rules ask of a window. As thresholds rise from rule to rule, the first of a kind that
/// does not hold is the last that must be looked at.
struct Window {
    avg: f64,
    max: f64,
    min: f64,
    /// The value that a count rule's threshold must stay below.
    counted: f64,
}

impl Window {
    /// Of some values, and of those that a count looks at.
    fn of(values: &[f64], mut steps: Vec<f64>) -> Self {
        steps.sort_unstable_by(|a, b| b.total_cmp(a));
        Self {
            avg: values.iter().sum::<f64>() / values.len() as f64,
            max: values.iter().copied().fold(f64::MIN, f64::max),
            min: values.iter().copied().fold(f64::MAX, f64::min),
            counted: steps.get(COUNT).copied().unwrap_or(f64::MIN),
        }
    }

    /// The rules that hold, of the first so many.
    fn holding(&self, rules: usize) -> impl Iterator<Item = usize> {
        let of_kind = move |kind: usize, value: f64| {
            let all = (kind..rules).step_by(4);
            all.take_while(move |i| value > rules::threshold(*i))
        };
        of_kind(0, self.avg)
            .chain(of_kind(1, self.max))
            .chain(of_kind(2, self.counted))
            .chain(of_kind(3, self.min))
    }
}

/// The values of a series, and when each stands.
struct Series {
    values: Vec<f64>,
    offset_ms: i64,
    every_ms: i64,
}

impl Series {
    fn of(data: &Dataset, series: u64) -> Self {
        Self {
            values: (0..data.rounds)
                .map(|round| Dataset::value(series, round))
                .collect(),
            offset_ms: data.offset_ms(series),
            every_ms: data.every_ms,
        }
    }

    /// The newest sample at or before an instant after the data set's beginning; -1 where there is
    /// none.
    fn newest(&self, at_ms: i64) -> i64 {
        let last = self.values.len() as i64 - 1;
        (at_ms - self.offset_ms)
            .div_euclid(self.every_ms)
            .clamp(-1, last)
    }

    /// The samples after one instant, up to another.
    fn between(&self, after_ms: i64, until_ms: i64) -> &[f64] {
        let (from, to) = (self.newest(after_ms) + 1, self.newest(until_ms) + 1);
        &self.values[from as usize..to.max(from) as usize]
    }

    /// What `PromQL` sees at a tick: a window that is open left and closed right, and for counts a
    /// subquery, at each whole second the newest sample.
    fn at_tick(&self, tick_ms: i64) -> Option<Window> {
        let values = self.between(tick_ms - WINDOW_MS, tick_ms);
        let steps = (0..WINDOW_MS / 1_000).map(|step| self.newest(tick_ms - step * 1_000));
        let steps = steps.filter(|k| *k >= 0).map(|k| self.values[k as usize]);
        (!values.is_empty()).then(|| Window::of(values, steps.collect()))
    }

    /// What a hopping window sees that ends at an instant: closed left and open right.
    fn hop(&self, end_ms: i64) -> Option<Window> {
        let values = self.between(end_ms - WINDOW_MS - 1, end_ms - 1);
        (!values.is_empty()).then(|| Window::of(values, values.to_vec()))
    }
}

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
        let of = Series::of(data, series);
        let mut distinct = BTreeSet::new();
        let mut tick = first;
        while tick <= last {
            if let Some(window) = of.at_tick(tick.ms() - T0_MS) {
                for rule in window.holding(rules) {
                    findings.results[rule] += 1;
                    distinct.insert(rule);
                }
            }
            tick += INTERVAL_MS;
        }
        findings.distinct += distinct.len() as u64;
    }
    findings
}

/// Results of hopping windows over all series, as other engines compute them; `last` says, by
/// partition, when the last window ends that its engine closes.
pub(crate) fn hopping(data: &Dataset, rules: usize, last: impl Fn(u32) -> Timestamp) -> u64 {
    let mut results = 0;
    for series in 0..data.series() {
        let of = Series::of(data, series);
        let last_ms = last(Dataset::partition(series)).ms() - T0_MS;
        let ends = (1..)
            .map(|k| k * INTERVAL_MS)
            .take_while(|end| *end <= last_ms);
        let windows = ends.filter_map(|end| of.hop(end));
        results += windows
            .map(|window| window.holding(rules).count() as u64)
            .sum::<u64>();
    }
    results
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

    fn series(values: Vec<f64>, offset_ms: i64) -> Series {
        Series {
            values,
            offset_ms,
            every_ms: 1_000,
        }
    }

    #[test]
    fn windows_are_open_left_and_closed_right() {
        // Rule 1: a maximum above 1.01. Sample 0 stands at 0 ms, or 500 ms.
        let check = |offset_ms, tick_ms, expect| {
            let values = (0..100).map(|k| if k == 0 { 5.0 } else { 0.0 }).collect();
            let window = series(values, offset_ms).at_tick(tick_ms);
            let holds = window.is_some_and(|window| window.holding(4).any(|rule| rule == 1));
            assert_eq!(holds, expect);
        };
        check(0, 0, true);
        check(0, 50_000, true);
        check(0, 60_000, false);
        check(500, 0, false);
        check(500, 60_000, true);
    }

    #[test]
    fn hops_are_closed_left_and_open_right() {
        let check = |end_ms, expect| {
            let values = (0..100).map(|k| if k == 0 { 5.0 } else { 0.0 }).collect();
            let window = series(values, 0).hop(end_ms);
            assert_eq!(window.is_some_and(|window| window.max > 1.0), expect);
        };
        check(10_000, true);
        check(60_000, true);
        check(60_001, false);
    }

    #[test]
    fn a_count_needs_more_than_twenty_seconds_above() {
        let check = |above: usize, expect| {
            let values = (0..61).map(|k| f64::from(u8::from(k < above))).collect();
            // The first sample is before the window's first whole second.
            let window = series(values, 0).at_tick(60_000).unwrap();
            assert_eq!(window.holding(4).any(|rule| rule == 2), expect, "{above}");
        };
        check(21, false);
        check(22, true);
    }

    #[test]
    fn rules_hold_up_to_their_thresholds() {
        let window = Window::of(&[1.0; 30], vec![1.0; 30]);
        // Averages above 0.70, 0.74, … 0.98; counts of more than 0.62 … 0.98; minima above 0.515 ….
        let of_kind = |kind| window.holding(10_000).filter(|i| i % 4 == kind).count();
        assert_eq!(
            [of_kind(0), of_kind(1), of_kind(2), of_kind(3)],
            [8, 0, 10, 25]
        );
    }
}
