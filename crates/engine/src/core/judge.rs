//! What is said of alerts: whether an end is an all-clear, and what is said for the first time.

use std::collections::BTreeMap;

use foghorn_eval::alerts::{ActiveAlert, RuleAlerts, rule_ref};
use foghorn_model::{
    AlertState, Labels, Reason, Signal, SignalId, Timestamp, Transition, TransitionKind,
};
use foghorn_rules::plan::{Group, Rule};

use super::state::Memory;
use crate::history::active_of;

/// What makes an end doubtful at a tick.
pub(super) struct Doubts<'a> {
    /// The tick closes without a partition that is left behind.
    blind: bool,
    /// The rule reads log queries, and nothing else.
    logs_only: bool,
    /// At a blind tick: what was in doubt before.
    doubted: BTreeMap<Labels, Timestamp>,
    scope: &'a Labels,
}

impl<'a> Doubts<'a> {
    /// Before the tick's result is taken in.
    pub(super) fn of(alerts: &RuleAlerts, blind: bool, logs_only: bool, scope: &'a Labels) -> Self {
        let doubtful = alerts.all_doubtful().filter(|_| blind);
        Self {
            blind,
            logs_only,
            scope,
            doubted: doubtful
                .map(|(at, alert)| (alert.labels.clone(), at))
                .collect(),
        }
    }
}

/// Whether an alert's end is an all-clear, and whether it is said. A log query counts what is
/// there: no record is what all-clear looks like. At a tick that closed without a partition that is
/// left behind nothing is an all-clear: that comes when all data says so, and what was in doubt
/// before the tick stays in doubt without a word.
pub(super) fn judge(
    mut signal: Signal,
    rule: &Rule,
    alerts: &mut RuleAlerts,
    doubts: &Doubts<'_>,
) -> Option<Signal> {
    let Doubts {
        blind,
        logs_only,
        doubted,
        scope,
    } = doubts;
    let Signal::Transition(t) = &mut signal else {
        return Some(signal);
    };
    if t.kind != TransitionKind::Resolved {
        return Some(signal);
    }
    if *logs_only && t.reason == Reason::NoData {
        t.reason = Reason::ConditionFalse { value: None };
    }
    if *blind && matches!(t.reason, Reason::ConditionFalse { .. }) {
        t.reason = Reason::NoData;
    }
    if t.reason != Reason::NoData {
        alerts.trust(&t.labels);
        return Some(signal);
    }
    let since = doubted.get(&t.labels).copied();
    if alerts.doubtful(&t.labels).is_none() {
        let element = element_of(&t.labels, rule, scope);
        alerts.doubt(
            since.unwrap_or(t.at),
            ActiveAlert {
                element,
                ..active_of(t, AlertState::Firing)
            },
        );
    }
    since.is_none().then_some(signal)
}

/// Labels of the element that an alert came from, as far as the alert's own labels tell.
pub(super) fn element_of(labels: &Labels, rule: &Rule, scope: &Labels) -> Labels {
    let own = |name: &str| {
        name != "alertname"
            && rule.labels.iter().all(|(given, _)| given != name)
            && scope.get(name).is_none()
    };
    Labels::from_pairs(labels.iter().filter(|(name, _)| own(name)))
}

/// At a rule's first tick that speaks: every alert that is pending or firing is said once, unless
/// it speaks for itself at this tick.
pub(super) fn say_active(
    memory: &Memory,
    group: &Group,
    rule: &Rule,
    tick: Timestamp,
    start: usize,
    signals: &mut Vec<Signal>,
) {
    let Memory::Alert { alerts, .. } = memory else {
        return;
    };
    // An end of what was never said is not said either; nor a state without its onset.
    signals.truncate(start);
    for alert in alerts.active() {
        let kind = match alert.state {
            AlertState::Pending => TransitionKind::Pending,
            AlertState::Firing => TransitionKind::Firing,
            AlertState::Resolved => continue,
        };
        let id = foghorn_model::AlertId::derive(rule.id, &alert.labels, alert.active_at);
        signals.push(Signal::Transition(Transition {
            id: SignalId::transition(id, kind.code(), tick),
            alert: id,
            rule: rule_ref(rule, group),
            kind,
            at: tick,
            active_at: alert.active_at,
            fired_at: alert.fired_at,
            labels: alert.labels.clone(),
            annotations: alert.annotations.clone(),
            value: alert.value,
            reason: alert.reason.clone(),
        }));
    }
}
