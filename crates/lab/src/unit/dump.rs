//! What all series held: for a person who wonders why a test fails.

use std::collections::BTreeMap;

use foghorn_eval::alerts::ActiveAlert;
use foghorn_model::labels::NAME;
use foghorn_model::{AlertState, Labels, Timestamp, is_stale};

use super::told;

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Dump(BTreeMap<Labels, BTreeMap<Timestamp, f64>>);

impl Dump {
    /// Takes a sample down; of two at one instant the later stands.
    pub(super) fn take(&mut self, labels: Labels, at: Timestamp, value: f64) {
        self.0.entry(labels).or_default().insert(at, value);
    }

    /// Takes down the series that an alert shows in.
    pub(super) fn alert(&mut self, alert: &ActiveAlert, at: Timestamp) {
        let state = match alert.state {
            AlertState::Pending => "pending",
            AlertState::Firing | AlertState::Resolved => "firing",
        };
        let shown = alert.labels.with(NAME, "ALERTS").with("alertstate", state);
        self.take(shown, at, 1.0);
        let since = alert.labels.with(NAME, "ALERTS_FOR_STATE");
        self.take(since, at, alert.active_at.ms().div_euclid(1_000) as f64);
    }

    /// The lines: each series, and its samples after the test's beginning.
    pub(super) fn lines(&self, start: Timestamp, last_ms: i64) -> Vec<String> {
        let until_ms = (last_ms + 1_000) / 1_000 * 1_000;
        let mut lines = vec![format!(
            "DEBUG: Dump of all data (input_series and rules) at {}:",
            told::go_duration(until_ms)
        )];
        for (labels, samples) in &self.0 {
            let shown = samples.iter().filter(|(at, value)| {
                **at > start && **at <= start + until_ms && !is_stale(**value)
            });
            let shown: Vec<_> = shown
                .map(|(at, value)| format!("{} @[{}]", number(*value), at.ms()))
                .collect();
            if !shown.is_empty() {
                lines.push(format!("{} =>", told::labels(labels)));
                lines.extend(shown);
            }
        }
        lines
    }
}

fn number(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    value.to_string()
}
