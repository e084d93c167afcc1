//! The read model's alerts as the sinks see them.

use std::collections::HashMap;
use std::sync::Arc;

use foghorn_emit::{AlertFeed, AlertKey, Ended, RuleAlert};
use foghorn_engine::{AlertView, View};
use foghorn_model::{AlertState, RuleId};

use crate::lease::Hold;

/// Alerts of rules, those of log matches among them. Other programs' alerts, and Foghorn's own, are
/// left out: whoever is told of these by a sink may be the one who told Foghorn.
pub struct ViewAlerts {
    view: Arc<View>,
    /// As an outbox's: see [`crate::OutboxBacklog::under`].
    hold: Option<Hold>,
}

/// What is known of a rule: its group's interval and its expression.
type Rules = HashMap<RuleId, (i64, Arc<str>)>;

impl ViewAlerts {
    /// Over this read model.
    pub fn new(view: Arc<View>) -> Self {
        Self { view, hold: None }
    }

    /// Of an instance that tells of nothing unless its lease is certain.
    #[must_use]
    pub fn under(mut self, hold: Option<Hold>) -> Self {
        self.hold = hold;
        self
    }

    fn rules(&self) -> Rules {
        let groups = self.view.groups();
        let rules = groups.iter().flat_map(|group| {
            let rules = group.rules.iter();
            rules.map(|rule| (rule.id, (group.interval_ms, Arc::clone(&rule.query))))
        });
        rules.collect()
    }
}

impl AlertFeed for ViewAlerts {
    /// The view may change under way. An alert that ends is found among the ended before it leaves
    /// the others, so looked for in this order it is found in at least one of the two.
    fn alerts(&self) -> Vec<RuleAlert> {
        if self.hold.as_ref().is_some_and(|hold| !hold.is_sure()) {
            return Vec::new();
        }
        let active = self.view.alerts.iter();
        let active: Vec<_> = active.map(|entry| Arc::clone(&entry)).collect();
        let ended = self.view.resolved.iter();
        let ended: Vec<_> = ended.map(|entry| Arc::clone(&entry)).collect();
        if active.is_empty() && ended.is_empty() {
            return Vec::new();
        }
        let rules = self.rules();
        let firing = active
            .iter()
            .filter(|alert| alert.state == AlertState::Firing && rules.contains_key(&alert.rule));
        let mut alerts: HashMap<AlertKey, RuleAlert> = firing
            .map(|alert| (alert.key(), rule_alert(alert, None, &rules)))
            .collect();
        for over in ended {
            let key = over.alert.key();
            // Of one occurrence its end is the news; one that fires again is the news itself.
            if alerts.get(&key).is_none_or(|firing| firing.id == over.id) {
                let ended = Ended {
                    at: over.ended_at,
                    known_at: over.known_at,
                };
                alerts.insert(key, rule_alert(&over.alert, Some(ended), &rules));
            }
        }
        alerts.into_values().collect()
    }
}

fn rule_alert(alert: &AlertView, ended: Option<Ended>, rules: &Rules) -> RuleAlert {
    let known = rules.get(&alert.rule).cloned();
    let (interval_ms, expr) = known.unwrap_or_else(|| (0, "".into()));
    RuleAlert {
        id: alert.id,
        rule: alert.rule,
        labels: alert.labels.clone(),
        annotations: alert.annotations.clone(),
        fired_at: alert.fired_at.unwrap_or(alert.active_at),
        ended,
        interval_ms,
        expr,
    }
}

#[cfg(test)]
mod tests {
    use foghorn_engine::{GroupView, Health, ResolvedView, RuleView};
    use foghorn_model::{AlertId, Labels, Reason, Timestamp};

    use super::*;

    /// A rule's, or somebody else's.
    fn rule(name: &str) -> RuleId {
        RuleId::derive("g", name, "", &[])
    }

    fn alert(name: &str, since: i64, state: AlertState) -> AlertView {
        let labels = Labels::from_pairs([("alertname", name)]);
        AlertView {
            id: AlertId::derive(rule(name), &labels, Timestamp(since)),
            rule: rule(name),
            group: "g".into(),
            name: name.into(),
            labels,
            annotations: Labels::empty(),
            state,
            active_at: Timestamp(since),
            fired_at: (state == AlertState::Firing).then_some(Timestamp(since + 1)),
            value: 1.0,
            reason: Reason::NoData,
        }
    }

    /// A view with rules of these names.
    fn view(rules: &[&str]) -> Arc<View> {
        let view = View::default();
        let rule = |name: &&str| RuleView {
            id: rule(name),
            name: (*name).into(),
            kind: "alerting",
            query: format!("{name} > 1").into(),
            labels: Vec::new(),
            annotations: Vec::new(),
            for_ms: 0,
            keep_firing_ms: 0,
            health: Health::Ok,
            last_error: String::new(),
            last_tick: None,
        };
        view.set_groups(vec![GroupView {
            name: "g".into(),
            file: "f".into(),
            interval_ms: 15_000,
            limit: 0,
            last_tick: None,
            rules: rules.iter().map(rule).collect(),
        }]);
        Arc::new(view)
    }

    fn fires(view: &View, name: &str, since: i64, state: AlertState) {
        let alert = alert(name, since, state);
        view.alerts.insert(alert.id, Arc::new(alert));
    }

    fn ends(view: &View, name: &str, since: i64, at: i64) {
        let alert = alert(name, since, AlertState::Firing);
        let ended = ResolvedView {
            id: alert.id,
            ended_at: Timestamp(at),
            known_at: Timestamp(at + 5),
            alert: Arc::new(alert),
        };
        view.resolved.insert(ended.alert.key(), Arc::new(ended));
    }

    fn check(view: Arc<View>, expect: &[&str]) {
        let alerts = ViewAlerts::new(view).alerts();
        let mut told: Vec<_> = alerts
            .iter()
            .map(|alert| {
                let state = match alert.ended {
                    Some(ended) => format!("ended {} {}", ended.at.ms(), ended.known_at.ms()),
                    None => "fires".to_owned(),
                };
                let (name, since) = (alert.labels.value("alertname"), alert.fired_at.ms());
                format!(
                    "{name} {since} {state} {:?} {}",
                    alert.expr, alert.interval_ms
                )
            })
            .collect();
        told.sort();
        assert_eq!(told, expect);
    }

    #[test]
    fn what_fires_and_what_ended_of_rules() {
        let view = view(&["a", "b", "c"]);
        fires(&view, "a", 10, AlertState::Firing);
        fires(&view, "b", 20, AlertState::Pending);
        fires(&view, "outside", 30, AlertState::Firing);
        ends(&view, "c", 40, 50);
        ends(&view, "removed", 40, 50);
        check(
            view,
            &[
                "a 11 fires \"a > 1\" 15000",
                "c 41 ended 50 55 \"c > 1\" 15000",
                "removed 41 ended 50 55 \"\" 0",
            ],
        );
    }

    #[test]
    fn of_each_alert_what_is_news() {
        let view = view(&["same", "again", "soon"]);
        fires(&view, "same", 10, AlertState::Firing);
        ends(&view, "same", 10, 20);
        fires(&view, "again", 30, AlertState::Firing);
        ends(&view, "again", 10, 20);
        fires(&view, "soon", 30, AlertState::Pending);
        ends(&view, "soon", 10, 20);
        check(
            view,
            &[
                "again 31 fires \"again > 1\" 15000",
                "same 11 ended 20 25 \"same > 1\" 15000",
                "soon 11 ended 20 25 \"soon > 1\" 15000",
            ],
        );
    }
}
