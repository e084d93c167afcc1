//! One alert that is pending or firing.

use std::sync::Arc;

use foghorn_model::{
    AlertId, AlertState, Labels, Reason, RuleRef, Signal, SignalId, Timestamp, Transition,
    TransitionKind,
};
use foghorn_rules::plan::{Group, Rule};
use serde::{Deserialize, Serialize};

/// An alert that is pending or firing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ActiveAlert {
    /// Identity: (rule, labels, `active_at`).
    pub id: AlertId,
    /// The alert's labels, `alertname` among them.
    pub labels: Labels,
    /// Annotations, rendered with the last value.
    pub annotations: Labels,
    /// Labels of the element that it came from, with the metric's name where there is one.
    pub element: Labels,
    /// Pending or firing.
    pub state: AlertState,
    /// Since when the condition holds.
    pub active_at: Timestamp,
    /// When it began to fire.
    pub fired_at: Option<Timestamp>,
    /// Last value of the expression.
    #[serde(with = "number")]
    pub value: f64,
    /// Why it is in its state.
    pub reason: Reason,
    /// Since when it only goes on firing because of `keep_firing_for`.
    pub keep_firing_since: Option<Timestamp>,
}

impl ActiveAlert {
    pub(super) fn is_firing(&self) -> bool {
        self.state == AlertState::Firing
    }

    /// What is said about it at a change.
    pub(super) fn transition(
        &self,
        rule: &RuleRef,
        kind: TransitionKind,
        at: Timestamp,
        reason: Reason,
    ) -> Signal {
        Signal::Transition(Transition {
            id: SignalId::transition(self.id, kind.code(), at),
            alert: self.id,
            rule: rule.clone(),
            kind,
            at,
            active_at: self.active_at,
            fired_at: self.fired_at,
            labels: self.labels.clone(),
            annotations: self.annotations.clone(),
            value: self.value,
            reason,
        })
    }

    /// What is said when it is over: a firing alert is resolved, a pending one dropped.
    pub(super) fn ended(&self, rule: &RuleRef, at: Timestamp, reason: Reason) -> Signal {
        let kind = if self.is_firing() {
            TransitionKind::Resolved
        } else {
            TransitionKind::Dropped
        };
        self.transition(rule, kind, at, reason)
    }
}

/// How signals name a rule.
pub fn rule_ref(rule: &Rule, group: &Group) -> RuleRef {
    RuleRef {
        id: rule.id,
        group: Arc::clone(&group.name),
        name: Arc::clone(&rule.name),
    }
}

/// Numbers that JSON has no words for (NaN, infinities) are written as text there.
mod number {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde hands fields over by reference"
    )]
    pub(super) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(value)
        } else {
            value.serialize(serializer)
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        if deserializer.is_human_readable() {
            std::borrow::Cow::<'de, str>::deserialize(deserializer)?
                .parse()
                .map_err(D::Error::custom)
        } else {
            f64::deserialize(deserializer)
        }
    }
}
