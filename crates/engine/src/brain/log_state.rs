//! What the log comes to, so that a restart need not read all of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use foghorn_correlate::State;
use foghorn_model::incident::Status;
use foghorn_model::{AlertId, Incident, Partition, Timestamp};
use serde::{Deserialize, Serialize};

use super::Brain;
use crate::history::History;
use crate::view::{AlertView, ResolvedView};

/// What all entries up to some position come to: what they say to a restart, what correlation made of
/// them, and what is shown.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LogState {
    /// Entries before it.
    pub position: u64,
    /// What they say to a restart.
    pub history: History,
    correlation: State,
    incidents: Vec<Arc<Incident>>,
    alerts: Vec<Arc<AlertView>>,
    resolved: (Timestamp, Vec<ResolvedView>),
    heard: BTreeSet<AlertId>,
}

impl LogState {
    /// As bytes.
    ///
    /// # Errors
    /// It holds what cannot be written: a mistake of ours.
    pub fn pack(&self) -> Result<Vec<u8>, rmp_serde::encode::Error> {
        rmp_serde::to_vec_named(self)
    }

    /// From bytes.
    ///
    /// # Errors
    /// They are not such a state's.
    pub fn unpack(bytes: &[u8]) -> Result<Self, rmp_serde::decode::Error> {
        rmp_serde::from_slice(bytes)
    }
}

impl Brain {
    /// From now on [`Brain::log_state`] will be asked, again and again: what it needs is kept, and
    /// forgotten each time as far as it may be. To be called before anything is folded or recovered.
    pub fn keep_history(&mut self) {
        self.keeps_history = true;
    }

    /// What all entries that were folded come to, `position` of them. What only a restart would ask for
    /// that reads the sources from further back than `reach_ms` is forgotten first.
    pub fn log_state(
        &mut self,
        position: u64,
        reach_ms: i64,
        lateness_ms: impl Fn(Partition) -> i64,
    ) -> LogState {
        if let Some(frontier) = self.history.frontier() {
            self.history.forget(frontier - reach_ms, lateness_ms);
        }
        let view = &self.view;
        // Of an incident that is shown no more no revision comes again.
        for told in self.history.delivered.values_mut() {
            told.retain(|incident, _| view.incidents.contains_key(incident));
        }
        let incidents = view.incidents.iter();
        let mut incidents: Vec<_> = incidents.map(|it| Arc::clone(it.value())).collect();
        incidents.sort_by_key(|incident| incident.id);
        let alerts = view.alerts.iter();
        let mut alerts: Vec<_> = alerts.map(|it| Arc::clone(it.value())).collect();
        alerts.sort_by_key(|alert| alert.id);
        LogState {
            position,
            history: self.history.clone(),
            correlation: self.correlator.state().clone(),
            incidents,
            alerts,
            resolved: self.resolved.state(view),
            heard: self.heard.clone(),
        }
    }

    /// Goes on from where a log had got to, before it [recovers](Self::recover) from what came after.
    #[must_use]
    pub fn after(mut self, state: LogState) -> Self {
        self.history = state.history;
        self.correlator = self.correlator.with_state(state.correlation);
        for incident in state.incidents {
            self.view.incidents.insert(incident.id, incident);
        }
        for alert in state.alerts {
            self.view.alerts.insert(alert.id, alert);
        }
        self.resolved.resume(&self.view, state.resolved);
        self.heard = state.heard;
        self
    }

    /// Incidents that have been closed for longer are shown no more, in milliseconds of correlation's
    /// now.
    pub fn keep_incidents(&mut self, retention_ms: i64) {
        self.retention_ms = retention_ms;
    }

    /// Forgets incidents whose time is over, now and then.
    pub(super) fn forget_incidents(&mut self) {
        let now = self.correlator.now();
        if now < self.next_forget || now == Timestamp::MIN {
            return;
        }
        self.next_forget = now + FORGET_EVERY_MS;
        let horizon = now - self.retention_ms;
        self.view.incidents.retain(|_, incident| {
            let over = matches!(incident.status, Status::Closed);
            !over || incident.updated_at > horizon
        });
    }
}

/// Incidents are looked through for old ones so often, in milliseconds of correlation's now.
const FORGET_EVERY_MS: i64 = 60_000;
