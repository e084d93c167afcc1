//! What each input does to the table of alerts: their life after they began to fire.
//!
//! Only remembers, and marks what the next flush has to look at.

use foghorn_model::{
    AlertId, AlertState, Change, Evidence, MatchKind, MatchSignal, OutsideAlert, Reason, RuleId,
    RuleRef, Signal, Timestamp, Transition, TransitionKind,
};

use crate::alert::{Alert, Source, identity, service_of};
use crate::changes::Kept;
use crate::correlator::Correlator;
use crate::state::Due;
use crate::text::words;
use crate::topology::Observed;

impl Correlator {
    pub(crate) fn signal(&mut self, signal: &Signal) {
        self.state.stats.signals += 1;
        match signal {
            Signal::Transition(transition) => self.transition(transition),
            Signal::Match(matched) => self.matched(matched),
            Signal::Evidence(evidence) => self.observe(evidence),
        }
    }

    fn transition(&mut self, said: &Transition) {
        self.witness(said.at);
        let known = self.state.alerts.get(&said.alert).map(|alert| alert.state);
        match (said.kind, known) {
            (TransitionKind::Pending, None) => {
                self.remember(alert_of(said, AlertState::Pending, self));
            }
            (TransitionKind::Firing, None) => self.fires(alert_of(said, AlertState::Firing, self)),
            (TransitionKind::Firing, Some(AlertState::Pending | AlertState::Resolved)) => {
                let alert = alert_of(said, AlertState::Firing, self);
                self.forget(said.alert);
                self.fires(alert);
            }
            (TransitionKind::Dropped | TransitionKind::Resolved, Some(AlertState::Pending)) => {
                self.forget(said.alert);
            }
            (TransitionKind::Resolved, Some(AlertState::Firing)) => {
                self.ends(said.alert, said.at, said.reason.clone(), Some(said.value));
            }
            (TransitionKind::Resolved, Some(AlertState::Resolved)) => self.settles(said),
            (TransitionKind::Resolved | TransitionKind::Dropped, None) => {
                self.state.stats.unknown_alerts += 1;
            }
            _ => self.state.stats.duplicates += 1,
        }
    }

    /// A second end of one alert: a real all-clear after it had ended for want of data.
    fn settles(&mut self, said: &Transition) {
        let alert = self.state.alerts.get(&said.alert);
        if alert.is_some_and(Alert::ended_without_data) && said.reason != Reason::NoData {
            self.ends(said.alert, said.at, said.reason.clone(), Some(said.value));
        } else {
            self.state.stats.duplicates += 1;
        }
    }

    fn matched(&mut self, said: &MatchSignal) {
        self.witness(said.at);
        let open = self
            .state
            .open_by_identity
            .get(&identity(&said.rule, &said.labels))
            .copied();
        if let Some(alert) = open.and_then(|id| self.state.alerts.get_mut(&id)) {
            extend(alert, said);
            return;
        }
        if said.kind == MatchKind::Total && said.at + said.resolve_after_ms <= self.state.now {
            self.state.stats.unknown_alerts += 1;
            return;
        }
        let reason = Reason::Matched {
            line: said.line.clone(),
            count: said.count,
        };
        self.fires(Alert {
            id: AlertId::derive(said.rule.id, &said.labels, said.at),
            rule: said.rule.clone(),
            labels: said.labels.clone(),
            annotations: said.annotations.clone(),
            state: AlertState::Firing,
            active_at: said.at,
            fired_at: Some(said.at),
            resolved_at: None,
            value: said.count as f64,
            reason: reason.clone(),
            fired_because: reason,
            service: service_of(&said.labels, &self.config),
            source: Source::Match {
                count: said.count,
                last_at: said.at,
                resolve_after_ms: said.resolve_after_ms,
            },
            incident: None,
            words: words(&said.annotations, &said.line),
            counted: false,
            edges: Vec::new(),
        });
    }

    /// An outside alert, said once or again and again. It ends when its end is not in the future;
    /// one end announced later replaces the one before.
    pub(crate) fn outside(&mut self, said: &OutsideAlert) {
        self.witness(said.starts_at);
        let now = self.state.now;
        let over = said.ends_at.filter(|end| *end <= now);
        let name = said.labels.value("alertname");
        let rule = RuleRef {
            id: RuleId::derive("outside", name, "", &[]),
            group: "outside".into(),
            name: name.into(),
        };
        let open = self
            .state
            .open_by_identity
            .get(&identity(&rule, &said.labels))
            .copied();
        let source = Source::Outside {
            ends_at: said.ends_at,
            heard_at: now,
        };
        match (open, over) {
            (Some(id), Some(end)) => self.ends(id, end, Reason::Outside, None),
            (Some(id), None) => {
                self.state.stats.duplicates += 1;
                if let Some(alert) = self.state.alerts.get_mut(&id) {
                    alert.source = source;
                    alert.annotations = said.annotations.clone();
                    let due = alert.ends_by_itself(&self.config);
                    self.state
                        .due
                        .extend(due.map(|(at, _)| (at, Due::Alert(id))));
                }
            }
            (None, Some(_)) => self.state.stats.unknown_alerts += 1,
            (None, None) => self.fires(Alert {
                id: AlertId::derive(rule.id, &said.labels, said.starts_at),
                rule,
                labels: said.labels.clone(),
                annotations: said.annotations.clone(),
                state: AlertState::Firing,
                active_at: said.starts_at,
                fired_at: Some(said.starts_at),
                resolved_at: None,
                value: 1.0,
                reason: Reason::Outside,
                fired_because: Reason::Outside,
                service: service_of(&said.labels, &self.config),
                source,
                incident: None,
                words: words(&said.annotations, ""),
                counted: false,
                edges: Vec::new(),
            }),
        }
    }

    /// A change may tie alerts that are already known: those of all who depend on its service.
    pub(crate) fn change(&mut self, change: &Change) {
        match self
            .state
            .changes
            .insert(change, self.config.bounds.changes)
        {
            Kept::Known => {}
            Kept::Refused => self.state.stats.changes_refused += 1,
            Kept::New => self.touch_dependants(&change.service, change.at),
        }
    }

    fn observe(&mut self, evidence: &Evidence) {
        let service = service_of(&evidence.labels, &self.config);
        match self
            .state
            .observations
            .insert(&service, evidence, self.config.bounds.evidence)
        {
            Kept::Known => {}
            Kept::Refused => self.state.stats.evidence_refused += 1,
            Kept::New => self.touch_dependants(&service, evidence.onset),
        }
    }

    fn touch_dependants(&mut self, service: &str, at: Timestamp) {
        let (hops, bound) = (self.config.max_hops, self.config.bounds.reach);
        let to = at + self.config.change_window_ms;
        for caller in self.topology.callers(service, hops, bound).keys() {
            for id in self.state.index.between(caller, at, to) {
                self.state.touched.insert(id);
                self.state
                    .dirty
                    .extend(self.state.alerts.get(&id).and_then(|alert| alert.incident));
            }
        }
    }

    pub(crate) fn service_edge(&mut self, client: &str, server: &str) {
        let services = [client, server];
        if services
            .iter()
            .any(|name| self.config.not_services.contains(*name))
        {
            return;
        }
        match self
            .topology
            .observe_edge(client, server, self.config.bounds.services)
        {
            Observed::Known => {}
            Observed::Refused => self.state.stats.edges_refused += 1,
            Observed::New => {
                self.state
                    .learnt
                    .insert((client.to_owned(), server.to_owned()));
            }
        }
    }

    /// A match or outside alert whose deadline passed at `at`, unless it was heard of since.
    pub(crate) fn ends_by_itself(&mut self, id: AlertId, at: Timestamp) {
        let alert = self.state.alerts.get(&id);
        match alert.and_then(|alert| alert.ends_by_itself(&self.config)) {
            Some((end, reason)) if end <= at => self.ends(id, end, reason, None),
            Some((end, _)) => drop(self.state.due.insert((end, Due::Alert(id)))),
            None => {}
        }
    }

    /// Until the first timer, now is the latest time that a signal tells.
    fn witness(&mut self, at: Timestamp) {
        if self.state.horizon == Timestamp::MIN {
            self.state.now = self.state.now.max(at);
        }
    }

    fn remember(&mut self, alert: Alert) {
        if self.state.alerts.len() >= self.config.bounds.alerts {
            self.state.stats.alerts_refused += 1;
        } else {
            self.state.alerts.insert(alert.id, alert);
        }
    }

    fn fires(&mut self, alert: Alert) {
        if self.state.alerts.len() >= self.config.bounds.alerts {
            self.state.stats.alerts_refused += 1;
            return;
        }
        let id = alert.id;
        if alert.source != Source::Rule {
            self.state.open_by_identity.insert(alert.identity(), id);
        }
        let due = alert.ends_by_itself(&self.config);
        self.state
            .due
            .extend(due.map(|(at, _)| (at, Due::Alert(id))));
        self.state.index.insert(&alert, &self.config);
        self.state.touched.insert(id);
        self.state.alerts.insert(id, alert);
    }

    fn ends(&mut self, id: AlertId, at: Timestamp, reason: Reason, value: Option<f64>) {
        let Some(alert) = self.state.alerts.get_mut(&id) else {
            return;
        };
        alert.state = AlertState::Resolved;
        alert.resolved_at = Some(at.max(alert.active_at));
        alert.reason = reason;
        alert.value = value.unwrap_or(alert.value);
        self.state.open_by_identity.remove(&alert.identity());
        // When it came back is told by the edge of its next occurrence.
        let recurrences: Vec<AlertId> = self.state.index.recurrences(alert).collect();
        match alert.incident {
            Some(case) => drop(self.state.dirty.insert(case)),
            None if self.state.waiting.remove(&id) => self.forget(id),
            None => {}
        }
        self.state.touched.extend(recurrences);
    }

    /// Takes an alert out of every table; its place among its incident's members is the caller's care.
    pub(crate) fn forget(&mut self, id: AlertId) {
        self.sever(id);
        let Some(alert) = self.state.alerts.remove(&id) else {
            return;
        };
        self.state.index.remove(&alert, &self.config);
        self.state.touched.remove(&id);
        self.state.waiting.remove(&id);
    }
}

fn alert_of(said: &Transition, state: AlertState, correlator: &Correlator) -> Alert {
    let before = correlator.state.alerts.get(&said.alert);
    Alert {
        id: said.alert,
        rule: said.rule.clone(),
        labels: said.labels.clone(),
        annotations: said.annotations.clone(),
        state,
        active_at: said.active_at,
        fired_at: (state == AlertState::Firing).then(|| said.fired_at.unwrap_or(said.at)),
        resolved_at: None,
        value: said.value,
        reason: said.reason.clone(),
        fired_because: said.reason.clone(),
        service: service_of(&said.labels, &correlator.config),
        source: Source::Rule,
        incident: before.and_then(|alert| alert.incident),
        words: words(&said.annotations, ""),
        counted: before.is_some_and(|alert| alert.counted),
        edges: Vec::new(),
    }
}

/// A further match. A total says how many its bucket held, of which one was said before.
fn extend(alert: &mut Alert, said: &MatchSignal) {
    let Source::Match {
        count,
        last_at,
        resolve_after_ms,
    } = &mut alert.source
    else {
        return;
    };
    *count += match said.kind {
        MatchKind::First => said.count,
        MatchKind::Total => said.count.saturating_sub(1),
    };
    *last_at = (*last_at).max(said.at);
    *resolve_after_ms = said.resolve_after_ms;
    alert.value = *count as f64;
    let line = match (&alert.reason, said.line.is_empty()) {
        (Reason::Matched { line, .. }, true) => line.clone(),
        _ => said.line.clone(),
    };
    alert.reason = Reason::Matched {
        line,
        count: *count,
    };
}
