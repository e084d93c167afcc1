//! `ALERTS` and `ALERTS_FOR_STATE`: what alerting rules write beside their alerts, where some rule
//! reads it (Prometheus 3.5, `rules/alerting.go`).

use foghorn_eval::alerts::{ActiveAlert, RuleAlerts};
use foghorn_eval::catalog::Catalog;
use foghorn_eval::vector::Element;
use foghorn_model::labels::NAME;
use foghorn_model::{AlertState, Labels};
use foghorn_rules::plan::{ALERTS, ALERTS_FOR_STATE};

use super::record::Recording;

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct AlertSeries {
    states: Recording,
    since: Recording,
}

impl AlertSeries {
    /// Whether nothing was written at the last tick.
    pub(super) fn is_empty(&self) -> bool {
        self.states.is_empty() && self.since.is_empty()
    }

    /// After a reload: other rules read other series.
    pub(super) fn read_anew(&mut self, catalog: &Catalog) {
        self.states.read_anew(catalog);
        self.since.read_anew(catalog);
    }

    /// Whether any rule may read such series.
    pub(super) fn are_read(catalog: &Catalog) -> bool {
        catalog.may_read(ALERTS) || catalog.may_read(ALERTS_FOR_STATE)
    }

    /// After a tick: calls `write` for each sample of the rule's alerts that some rule reads, and for
    /// each staleness marker.
    ///
    /// # Errors
    /// Two alerts become one series.
    pub(super) fn take(
        &mut self,
        catalog: &Catalog,
        alerts: &RuleAlerts,
        mut write: impl FnMut(&Labels, f64),
    ) -> Result<(), String> {
        let states = alerts.active().map(|alert| Element {
            labels: alert.labels.with("alertstate", state(alert)),
            value: 1.0,
        });
        let since = alerts.active().map(|alert| Element {
            labels: alert.labels.clone(),
            value: alert.active_at.ms().div_euclid(1_000) as f64,
        });
        let parts = [
            (&mut self.states, ALERTS, states.collect()),
            (&mut self.since, ALERTS_FOR_STATE, since.collect()),
        ];
        for (recording, metric, vector) in parts {
            let derive = |element: &Element| element.labels.with(NAME, metric);
            recording.take_in(catalog, true, derive, vector, |labels, is_read, value| {
                if is_read {
                    write(&labels, value);
                }
            })?;
        }
        Ok(())
    }
}

fn state(alert: &ActiveAlert) -> &'static str {
    match alert.state {
        AlertState::Pending => "pending",
        AlertState::Firing | AlertState::Resolved => "firing",
    }
}
