//! Signals: all that crosses from evaluation to correlation.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::{AlertId, RuleId, SignalId};
use crate::labels::Labels;
use crate::reason::Reason;
use crate::source::Partition;
use crate::time::Timestamp;

/// Which rule spoke.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleRef {
    /// Identity.
    pub id: RuleId,
    /// Group's name.
    pub group: Arc<str>,
    /// The alert's name.
    pub name: Arc<str>,
}

/// What became of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransitionKind {
    /// The condition holds; `for` has not passed.
    Pending,
    /// It fires.
    Firing,
    /// A pending alert's condition ended before it fired.
    Dropped,
    /// A firing alert ended.
    Resolved,
}

impl TransitionKind {
    /// Fixed word, part of the signal's id.
    pub fn code(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Firing => "firing",
            Self::Dropped => "dropped",
            Self::Resolved => "resolved",
        }
    }
}

/// An alert changed state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Transition {
    /// Identity: (alert, kind, `at`).
    pub id: SignalId,
    /// Which alert: (rule, labels, `active_at`).
    pub alert: AlertId,
    /// Which rule.
    pub rule: RuleRef,
    /// What happened.
    pub kind: TransitionKind,
    /// The tick (or the record's event time) at which it happened.
    pub at: Timestamp,
    /// Since when the condition holds (the onset).
    pub active_at: Timestamp,
    /// When it began to fire; `None` while pending.
    pub fired_at: Option<Timestamp>,
    /// The alert's labels, `alertname` among them.
    pub labels: Labels,
    /// The alert's annotations, rendered.
    pub annotations: Labels,
    /// Last value of the expression.
    #[serde(with = "crate::number")]
    pub value: f64,
    /// Why.
    pub reason: Reason,
}

/// Which half of a match signal this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MatchKind {
    /// The first match of its bucket, said on arrival.
    First,
    /// The bucket's count, said at the first tick past it.
    Total,
}

/// A log record matched a match rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MatchSignal {
    /// Identity: (rule, labels, partition, bucket, kind).
    pub id: SignalId,
    /// Which rule.
    pub rule: RuleRef,
    /// First or total.
    pub kind: MatchKind,
    /// The partition that the records came from.
    pub partition: Partition,
    /// Start of the bucket of event time (the group's interval).
    pub bucket: Timestamp,
    /// Event time of the first match, or the bucket's latest match in a total.
    pub at: Timestamp,
    /// The alert's labels, `alertname` among them.
    pub labels: Labels,
    /// Annotations, rendered.
    pub annotations: Labels,
    /// Records that matched so far (1 in a first).
    pub count: u64,
    /// The matching line, cut to 512 bytes.
    pub line: String,
    /// How long without a match until the alert is over, in milliseconds.
    pub resolve_after_ms: i64,
}

/// A service's metric or log template changed, short of an alert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Identity.
    pub id: SignalId,
    /// What changed: the series' labels, metric name included.
    pub labels: Labels,
    /// Since when.
    pub onset: Timestamp,
    /// Size of the change, in units of the series' own spread.
    #[serde(with = "crate::number")]
    pub magnitude: f64,
    /// For people.
    pub why: String,
}

/// All that correlation ever hears from evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "signal", rename_all = "snake_case")]
pub enum Signal {
    /// An alert changed state.
    Transition(Transition),
    /// A log record matched.
    Match(MatchSignal),
    /// Something changed that no rule speaks of.
    Evidence(Evidence),
}

impl Signal {
    /// Identity.
    pub fn id(&self) -> SignalId {
        match self {
            Self::Transition(signal) => signal.id,
            Self::Match(signal) => signal.id,
            Self::Evidence(signal) => signal.id,
        }
    }
}
