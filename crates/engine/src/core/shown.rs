//! Series in which alerts show: Prometheus' `ALERTS` and `ALERTS_FOR_STATE`, where some rule reads
//! them.

use foghorn_eval::alerts::RuleAlerts;
use foghorn_eval::catalog::{Catalog, RECORDED};
use foghorn_model::labels::NAME;
use foghorn_model::{AlertState, Labels, STALE_NAN};
use foghorn_rules::plan::ALERT_SERIES;
use serde::{Deserialize, Serialize};

/// The series in which a rule's alerts showed at its last tick, in label order.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Shown(Vec<Labels>);

impl Shown {
    /// Whether none showed at the last tick.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Calls `write` for each sample of the alerts as they are, and for the staleness marker of each
    /// series that ended, in label order. Labels of the scope are hidden.
    pub(super) fn take(
        &mut self,
        catalog: &Catalog,
        alerts: &RuleAlerts,
        scope: &Labels,
        mut write: impl FnMut(&Labels, f64),
    ) {
        if self.0.is_empty() && (alerts.is_empty() || !catalog.reads_alerts()) {
            return;
        }
        let [alerts_name, since_name] = ALERT_SERIES;
        let mut now = Vec::new();
        let active = alerts.active().filter(|_| catalog.reads_alerts());
        for alert in active {
            let state = match alert.state {
                AlertState::Pending => "pending",
                AlertState::Firing => "firing",
                AlertState::Resolved => continue,
            };
            let labels = if scope.is_empty() {
                alert.labels.clone()
            } else {
                alert.labels.filtered(|name| scope.get(name).is_none())
            };
            let shown = labels.with(NAME, alerts_name);
            let since = labels.with(NAME, since_name);
            let since_value = alert.active_at.ms().div_euclid(1_000) as f64;
            now.push((shown.with("alertstate", state), 1.0));
            now.push((since, since_value));
        }
        now.retain(|(labels, _)| catalog.reads_of(labels, RECORDED).next().is_some());
        now.sort_by(|a, b| a.0.cmp(&b.0));
        for (labels, value) in &now {
            write(labels, *value);
        }
        let is_over = |labels: &&Labels| now.binary_search_by(|(set, _)| set.cmp(labels)).is_err();
        for labels in self.0.iter().filter(is_over) {
            write(labels, STALE_NAN);
        }
        self.0 = now.into_iter().map(|(labels, _)| labels).collect();
    }
}
