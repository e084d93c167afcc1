//! The read model: what API and console share with the engine. Written by the engine's thread
//! after each step, read by anybody at any time.

use std::sync::{Arc, PoisonError, RwLock};

use dashmap::DashMap;
use foghorn_model::{AlertId, AlertState, Incident, IncidentId, Labels, Reason, RuleId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::entry::GroupKey;

/// An alert as it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlertView {
    /// Identity of this occurrence.
    pub id: AlertId,
    /// Its rule.
    pub rule: RuleId,
    /// Its rule's group.
    pub group: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// Labels, `alertname` among them.
    pub labels: Labels,
    /// Annotations, rendered.
    pub annotations: Labels,
    /// State.
    pub state: AlertState,
    /// Onset.
    pub active_at: Timestamp,
    /// When it began to fire.
    pub fired_at: Option<Timestamp>,
    /// Last value.
    pub value: f64,
    /// Why it is in this state.
    pub reason: Reason,
}

/// What the occurrences of an alert have in common: rule and labels.
pub type AlertKey = (RuleId, Labels);

impl AlertView {
    /// What its occurrences have in common.
    pub fn key(&self) -> AlertKey {
        (self.rule, self.labels.clone())
    }
}

/// An alert of a rule that fired and has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResolvedView {
    /// Identity of this occurrence.
    pub id: AlertId,
    /// What else is known of it.
    pub alert: Arc<AlertView>,
    /// When it ended, in event time.
    pub ended_at: Timestamp,
    /// When that became known: correlation's now.
    pub known_at: Timestamp,
}

/// Health of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Not evaluated yet.
    Unknown,
    /// Its last evaluation went well.
    Ok,
    /// Its last evaluation failed.
    Err,
    /// It names a metric that was not kept until now, and is silent for its longest range.
    Warming,
}

/// A rule as it stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RuleView {
    /// Identity.
    pub id: RuleId,
    /// Alert's name or recorded metric.
    pub name: Arc<str>,
    /// `alerting` or `recording`, as Prometheus' API says.
    pub kind: &'static str,
    /// Expression as written.
    pub query: Arc<str>,
    /// Labels that it adds, as written, in name order.
    pub labels: Vec<(String, String)>,
    /// Annotations as written, in name order.
    pub annotations: Vec<(String, String)>,
    /// `for`, in milliseconds.
    pub for_ms: i64,
    /// `keep_firing_for`, in milliseconds.
    pub keep_firing_ms: i64,
    /// Health.
    pub health: Health,
    /// The last evaluation's error; empty where there is none.
    pub last_error: String,
    /// The last tick that it was evaluated at.
    pub last_tick: Option<Timestamp>,
}

/// A group as it stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GroupView {
    /// Name.
    pub name: Arc<str>,
    /// File.
    pub file: Arc<str>,
    /// Interval, in milliseconds.
    pub interval_ms: i64,
    /// Most alerts or recorded series that a rule may give; 0 for no limit.
    pub limit: usize,
    /// The last tick that closed.
    pub last_tick: Option<Timestamp>,
    /// Its rules.
    pub rules: Vec<RuleView>,
}

/// The read model. Cheap to share: everything inside is behind its own lock.
#[derive(Debug, Default)]
pub struct View {
    /// Latest revision of each incident that is open, or was within the retention.
    pub incidents: DashMap<IncidentId, Arc<Incident>>,
    /// Alerts that are pending or firing.
    pub alerts: DashMap<AlertId, Arc<AlertView>>,
    /// Alerts of rules that ended within the last 15 minutes, and have not fired again since.
    pub resolved: DashMap<AlertKey, Arc<ResolvedView>>,
    groups: RwLock<Arc<Vec<GroupView>>>,
    /// How long a group's last ticks took, in seconds, by what does not change on a reload.
    took: DashMap<GroupKey, f64>,
}

impl View {
    /// The groups, in (file, position) order.
    pub fn groups(&self) -> Arc<Vec<GroupView>> {
        Arc::clone(&self.groups.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// How long a group's last tick took, in seconds; of ticks that closed together their mean. 0
    /// before the first.
    pub fn took(&self, group: &GroupView) -> f64 {
        let key = GroupKey {
            file: Arc::clone(&group.file),
            name: Arc::clone(&group.name),
        };
        self.took.get(&key).map_or(0.0, |seconds| *seconds)
    }

    /// A group's tick took so many seconds.
    pub fn set_took(&self, group: &GroupKey, seconds: f64) {
        self.took.insert(group.clone(), seconds);
    }

    /// Replaces the groups.
    pub fn set_groups(&self, groups: Vec<GroupView>) {
        *self.groups.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(groups);
    }

    /// Incidents, the most urgent first, then the latest.
    pub fn incidents_by_urgency(&self) -> Vec<Arc<Incident>> {
        let mut all: Vec<_> = self
            .incidents
            .iter()
            .map(|entry| Arc::clone(entry.value()))
            .collect();
        all.sort_by(|a, b| {
            (a.status, a.priority.level, b.updated_at, a.id).cmp(&(
                b.status,
                b.priority.level,
                a.updated_at,
                b.id,
            ))
        });
        all
    }

    /// Alerts in label order.
    pub fn alerts_in_order(&self) -> Vec<Arc<AlertView>> {
        let mut all: Vec<_> = self
            .alerts
            .iter()
            .map(|entry| Arc::clone(entry.value()))
            .collect();
        all.sort_by(|a, b| a.labels.cmp(&b.labels).then(a.id.cmp(&b.id)));
        all
    }
}
