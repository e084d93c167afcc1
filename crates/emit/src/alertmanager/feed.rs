//! Alerts as they stand, as this room needs them.

use std::sync::Arc;

use foghorn_model::{AlertId, Labels, RuleId, Timestamp};

/// What the occurrences of an alert have in common: rule and labels.
pub type AlertKey = (RuleId, Labels);

/// An alert of a rule that fires, or has ended not long ago.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleAlert {
    /// Identity of this occurrence.
    pub id: AlertId,
    /// Its rule.
    pub rule: RuleId,
    /// Labels, `alertname` among them.
    pub labels: Labels,
    /// Annotations, rendered.
    pub annotations: Labels,
    /// When it began to fire, in event time.
    pub fired_at: Timestamp,
    /// How it ended; `None` while it fires.
    pub ended: Option<Ended>,
    /// Interval of its rule's group, in milliseconds.
    pub interval_ms: i64,
    /// Its rule's expression; empty where that is not known any more.
    pub expr: Arc<str>,
}

/// An alert's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// When it ended, in event time.
    pub at: Timestamp,
    /// When that became known, in wall time.
    pub known_at: Timestamp,
}

impl RuleAlert {
    /// What its occurrences have in common.
    pub fn key(&self) -> AlertKey {
        (self.rule, self.labels.clone())
    }
}

/// Where alerts stand. Everything in it follows from what is durable already.
pub trait AlertFeed: Send + Sync {
    /// Alerts of rules that fire, and those that ended within the last quarter of an hour; of each
    /// (rule, labels) at most one, in any order.
    fn alerts(&self) -> Vec<RuleAlert>;
}
