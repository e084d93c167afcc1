//! What the brain shows: the read model follows every fold.

use std::collections::BTreeSet;
use std::sync::Arc;

use foghorn_correlate::Source;
use foghorn_model::{AlertState, Incident, Signal, Transition, TransitionKind};

use super::Brain;
use crate::entry::Entry;
use crate::view::AlertView;

impl Brain {
    pub(super) fn publish_incident(&self, incident: &Incident) {
        self.view
            .incidents
            .insert(incident.id, Arc::new(incident.clone()));
    }

    /// Brings the read model's values up to date: between transitions an alert's value goes on
    /// changing, from tick to tick.
    pub fn refresh(&mut self) {
        if !std::mem::take(&mut self.ticked) {
            return;
        }
        for (group, rule, alert) in self.core.active() {
            let known = self
                .view
                .alerts
                .get(&alert.id)
                .map(|known| Arc::clone(known.value()));
            let Some(known) = known.filter(|known| known.value.to_bits() != alert.value.to_bits())
            else {
                continue;
            };
            let (annotations, reason) = (alert.annotations.clone(), alert.reason.clone());
            let view = AlertView {
                value: alert.value,
                annotations,
                reason,
                ..(*known).clone()
            };
            debug_assert_eq!(
                (&view.group, &view.name),
                (&group.name, &rule.name),
                "an alert's id names its rule"
            );
            self.view.alerts.insert(alert.id, Arc::new(view));
        }
    }

    /// Alerts of log matches and of other programs, as correlation holds them.
    pub(super) fn publish_heard(&mut self) {
        let view = &self.view;
        let (mut firing, mut ended) = (BTreeSet::new(), Vec::new());
        for alert in self.correlator.remembered() {
            match (&alert.source, alert.state, alert.resolved_at) {
                (Source::Match { .. }, AlertState::Resolved, Some(at)) => ended.push((alert, at)),
                (Source::Rule, ..) | (_, AlertState::Resolved, _) => {}
                (_, AlertState::Pending | AlertState::Firing, _) => {
                    firing.insert(alert.id);
                    let known = view.alerts.get(&alert.id).map(|known| Arc::clone(&known));
                    if known.is_none_or(|known| known.reason != alert.reason) {
                        let shown = heard_view(alert);
                        view.resolved.remove(&shown.key());
                        view.alerts.insert(alert.id, Arc::new(shown));
                    }
                }
            }
        }
        for (alert, at) in ended {
            if self.correlator.is_open(alert) {
                continue;
            }
            if self.heard.contains(&alert.id) {
                self.resolved.ended(view, heard_view(alert), at);
            } else {
                self.resolved.found_ended(view, heard_view(alert), at);
            }
        }
        for over in self.heard.difference(&firing) {
            view.alerts.remove(over);
        }
        self.heard = firing;
    }

    pub(super) fn publish_groups(&self) {
        self.view.set_groups(self.core.groups());
    }

    pub(super) fn publish_alerts(&mut self, entries: &[Entry]) {
        for entry in entries {
            let signals = match entry {
                Entry::Tick { signals, .. } | Entry::Arrival { signals, .. } => signals.as_slice(),
                Entry::Timer { now } => {
                    self.resolved.at(*now);
                    &[]
                }
                _ => &[],
            };
            for signal in signals {
                if let Signal::Transition(transition) = signal {
                    self.publish_transition(transition);
                }
            }
        }
        self.resolved.forget(&self.view);
    }

    fn publish_transition(&mut self, t: &Transition) {
        let view = &self.view;
        let shown = |state: AlertState| AlertView {
            id: t.alert,
            rule: t.rule.id,
            group: Arc::clone(&t.rule.group),
            name: Arc::clone(&t.rule.name),
            labels: t.labels.clone(),
            annotations: t.annotations.clone(),
            state,
            active_at: t.active_at,
            fired_at: t.fired_at,
            value: t.value,
            reason: t.reason.clone(),
        };
        let state = match t.kind {
            TransitionKind::Pending => AlertState::Pending,
            TransitionKind::Firing => AlertState::Firing,
            TransitionKind::Dropped | TransitionKind::Resolved => {
                // First it is among the ended: at every moment it is found in one of the two.
                if t.kind == TransitionKind::Resolved {
                    let ended = shown(AlertState::Firing);
                    self.resolved.ended(view, ended, t.at);
                }
                view.alerts.remove(&t.alert);
                return;
            }
        };
        let shown = shown(state);
        if state == AlertState::Firing {
            view.resolved.remove(&shown.key());
        }
        view.alerts.insert(t.alert, Arc::new(shown));
    }
}

fn heard_view(alert: &foghorn_correlate::Alert) -> AlertView {
    AlertView {
        id: alert.id,
        rule: alert.rule.id,
        group: Arc::clone(&alert.rule.group),
        name: Arc::clone(&alert.rule.name),
        labels: alert.labels.clone(),
        annotations: alert.annotations.clone(),
        state: alert.state,
        active_at: alert.active_at,
        fired_at: alert.fired_at,
        value: alert.value,
        reason: alert.reason.clone(),
    }
}

#[cfg(test)]
mod tests {
    use foghorn_correlate::{Config, Correlator, Topology, TopologyFile};
    use foghorn_eval::catalog::Catalog;
    use foghorn_model::{
        AlertId, Labels, MatchKind, MatchSignal, OutsideAlert, Partition, Reason, RuleId, RuleRef,
        SignalId, Timestamp,
    };
    use foghorn_rules::{LoadOptions, load};

    use super::*;
    use crate::core::Core;
    use crate::entry::GroupKey;
    use crate::sequencer::Patience;
    use crate::view::View;

    const MINUTE: i64 = 60_000;

    fn brain() -> Brain {
        let (rules, _) = load(&[], &LoadOptions::default());
        let core = Core::new(Arc::new(Catalog::new(rules)), Vec::new());
        let topology = Topology::new(&TopologyFile::default());
        let correlator = Correlator::new(Config::default(), topology);
        let patience = Patience {
            idle_timeout_ms: 5_000,
            max_stall_ms: 120_000,
        };
        Brain::new(core, correlator, patience, Arc::new(View::default()))
    }

    fn labels(name: &str) -> Labels {
        Labels::from_pairs([("alertname", name)])
    }

    fn rule(name: &str) -> RuleRef {
        RuleRef {
            id: RuleId::derive("g", name, "", &[]),
            group: "g".into(),
            name: name.into(),
        }
    }

    fn timer(minute: i64) -> Entry {
        let now = Timestamp(minute * MINUTE);
        Entry::Timer { now }
    }

    fn arrival(signals: Vec<Signal>, alerts: Vec<OutsideAlert>) -> Entry {
        Entry::Arrival {
            partition: Partition::new(0, 0),
            offset: 0,
            signals,
            changes: Vec::new(),
            alerts,
            edges: Vec::new(),
        }
    }

    /// A log record matched; the alert ends five minutes later.
    fn matched(name: &str, minute: i64) -> Entry {
        let at = Timestamp(minute * MINUTE);
        let signal = MatchSignal {
            id: SignalId(minute as u128),
            rule: rule(name),
            kind: MatchKind::First,
            partition: Partition::new(0, 0),
            bucket: at,
            at,
            labels: labels(name),
            annotations: Labels::empty(),
            count: 1,
            line: "boom".to_owned(),
            resolve_after_ms: 5 * MINUTE,
        };
        arrival(vec![Signal::Match(signal)], Vec::new())
    }

    fn outside(name: &str, ends: Option<i64>) -> Entry {
        let alert = OutsideAlert {
            labels: labels(name),
            annotations: Labels::empty(),
            starts_at: Timestamp(0),
            ends_at: ends.map(|minute| Timestamp(minute * MINUTE)),
            generator: String::new(),
        };
        arrival(Vec::new(), vec![alert])
    }

    /// A rule's alert that became active at `since` does this at `minute`.
    fn changed(name: &str, since: i64, kind: TransitionKind, minute: i64) -> Entry {
        let (active_at, at) = (Timestamp(since * MINUTE), Timestamp(minute * MINUTE));
        let alert = AlertId::derive(rule(name).id, &labels(name), active_at);
        let transition = Transition {
            id: SignalId::transition(alert, kind.code(), at),
            alert,
            rule: rule(name),
            kind,
            at,
            active_at,
            fired_at: Some(active_at),
            labels: labels(name),
            annotations: Labels::empty(),
            value: 1.0,
            reason: Reason::NoData,
        };
        Entry::Tick {
            group: GroupKey::nobody(),
            tick: at,
            signals: vec![Signal::Transition(transition)],
        }
    }

    /// What the view shows: names of alerts, and of ended ones with when (in minutes).
    fn shown(view: &View) -> String {
        let mut all: Vec<_> = view
            .alerts
            .iter()
            .map(|alert| alert.name.to_string())
            .collect();
        let ended = view.resolved.iter();
        all.extend(ended.map(|ended| {
            let (at, known) = (ended.ended_at.ms() / MINUTE, ended.known_at.ms() / MINUTE);
            format!("{} ended {at} known {known}", ended.alert.name)
        }));
        all.sort();
        all.join(", ")
    }

    /// Folds each step and looks at the view; then reads all of it as a log and looks again.
    fn check(steps: Vec<(Vec<Entry>, &str)>) {
        let (mut live, mut log, mut last) = (brain(), Vec::new(), "");
        for (entries, expect) in steps {
            live.fold(&entries);
            assert_eq!(shown(&live.view), expect, "after {entries:?}");
            log.extend(entries);
            last = expect;
        }
        let mut again = brain();
        again.recover(&log, Timestamp::MIN);
        assert_eq!(shown(&again.view), last, "the log read again");
    }

    #[test]
    fn a_rules_alert_is_among_the_ended_for_a_while() {
        use TransitionKind::{Dropped, Firing, Pending, Resolved};
        let is = |since, kind, minute| changed("a", since, kind, minute);
        check(vec![
            (vec![timer(1), is(0, Pending, 0), is(0, Firing, 1)], "a"),
            // Half an hour late.
            (vec![timer(32), is(0, Resolved, 2)], "a ended 2 known 32"),
            (vec![timer(33), is(3, Pending, 3)], "a, a ended 2 known 32"),
            (vec![timer(34), is(3, Dropped, 4)], "a ended 2 known 32"),
            (vec![timer(35), is(5, Firing, 5)], "a"),
            (vec![timer(36), is(5, Resolved, 6)], "a ended 6 known 36"),
            (vec![timer(51)], "a ended 6 known 36"),
            (vec![timer(52)], ""),
        ]);
    }

    #[test]
    fn alerts_of_log_matches_end_too() {
        check(vec![
            (vec![timer(1), matched("m", 1)], "m"),
            (vec![timer(5)], "m"),
            (vec![timer(6)], "m ended 6 known 6"),
            (vec![timer(7), matched("m", 7)], "m"),
            (vec![timer(12)], "m ended 12 known 12"),
        ]);
    }

    #[test]
    fn other_programs_alerts_leave_when_they_end() {
        check(vec![
            (vec![timer(1), outside("o", None)], "o"),
            (vec![timer(3), outside("o", Some(3))], ""),
        ]);
    }
}
