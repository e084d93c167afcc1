//! Publishing: which revisions are due, and what each is about.
//!
//! The first revision goes out at the flush that opened the incident, later ones at most once per
//! `min_revision_interval_ms` of now, and only when something differs. A command is answered at
//! once.

use std::sync::Arc;

use foghorn_model::incident::{Event, Status};
use foghorn_model::{AlertState, Incident, IncidentId, Timestamp};

use crate::case::{Case, Departed};
use crate::correlator::Correlator;
use crate::input::Command;
use crate::state::Due;

impl Correlator {
    /// Regroups what was touched and gives the revisions that are due, in an order that depends
    /// on ids alone. To be called after each closed entry of the signal log.
    pub fn flush(&mut self, out: &mut Vec<Incident>) {
        loop {
            self.settle();
            self.say_farewells(out);
            for id in std::mem::take(&mut self.state.dirty) {
                self.speak(id, out);
            }
            let passed = self.pass_deadlines();
            if !passed && self.state.touched.is_empty() {
                return;
            }
        }
    }

    pub(crate) fn command(&mut self, command: &Command, out: &mut Vec<Incident>) {
        let Command::Acknowledge { incident, by } = command;
        let id = self.survivor(*incident);
        let open = |case: &&mut Case| {
            case.revision > 0 && matches!(case.status, Status::Open | Status::Acknowledged)
        };
        let Some(case) = self.state.cases.get_mut(&id).filter(open) else {
            self.state.stats.commands_refused += 1;
            return;
        };
        case.taken_by.clone_from(by);
        self.say(id, Event::Acknowledged, Status::Acknowledged, out);
    }

    /// The incident that one was merged into, or itself.
    fn survivor(&self, id: IncidentId) -> IncidentId {
        let absorbed = |case: &&Case| case.absorbed.contains(&id);
        self.state
            .cases
            .values()
            .find(absorbed)
            .map_or(id, |case| case.id)
    }

    fn speak(&mut self, id: IncidentId, out: &mut Vec<Incident>) {
        let Some(case) = self.state.cases.get(&id) else {
            return;
        };
        let may_speak_at = case.said_at + self.config.min_revision_interval_ms;
        if case.revision > 0 && self.state.now < may_speak_at {
            self.state.due.insert((may_speak_at, Due::Case(id)));
            return;
        }
        let (lives, unsettled_until) = self.lives(case);
        let over = case.closes_at.is_some_and(|at| at <= self.state.now);
        let (event, status) = match (case.revision, case.status, lives) {
            (0, ..) => (Event::Opened, Status::Open),
            (_, Status::Resolved, true) => (Event::Reopened, Status::Open),
            (_, Status::Open | Status::Acknowledged, false) => (Event::Resolved, Status::Resolved),
            (_, Status::Resolved, false) if over => (Event::Closed, Status::Closed),
            (_, status, _) => (Event::Updated, status),
        };
        if event == Event::Opened && !lives {
            self.state.due.insert((
                self.state.now + self.config.min_revision_interval_ms,
                Due::Case(id),
            ));
        }
        self.state
            .due
            .extend(unsettled_until.map(|at| (at, Due::Case(id))));
        self.say(id, event, status, out);
    }

    /// Whether something fires or is not an all-clear yet; and until when the latter holds.
    fn lives(&self, case: &Case) -> (bool, Option<Timestamp>) {
        let members = case
            .members
            .iter()
            .filter_map(|(_, id)| self.state.alerts.get(id));
        let mut firing = false;
        let mut until = None;
        for alert in members {
            firing |= alert.state == AlertState::Firing;
            let ended = alert.resolved_at.filter(|_| self.lacks_all_clear(alert));
            until = until.max(
                ended
                    .map(|at| at + self.config.no_data_close_ms)
                    .filter(|at| *at > self.state.now),
            );
        }
        (firing || until.is_some(), until)
    }

    fn say(&mut self, id: IncidentId, event: Event, status: Status, out: &mut Vec<Incident>) {
        let Some(case) = self.state.cases.get(&id) else {
            return;
        };
        let mut incident = self.render(case, event, status);
        if event == Event::Updated
            && case
                .latest
                .as_deref()
                .is_some_and(|latest| same_words(latest, &incident))
        {
            return;
        }
        incident.revision = case.revision + 1;
        self.state.stats.revisions += 1;
        out.push(incident.clone());
        if event == Event::Closed {
            self.close(id, incident);
        } else {
            self.said(id, incident);
        }
    }

    fn said(&mut self, id: IncidentId, incident: Incident) {
        let now = self.state.now;
        let Some(case) = self.state.cases.get_mut(&id) else {
            return;
        };
        case.revision = incident.revision;
        case.status = incident.status;
        case.said_at = now;
        match incident.event {
            Event::Resolved => {
                let at = now + self.config.close_after_ms.max(1);
                case.closes_at = Some(at);
                self.state.due.insert((at, Due::Case(id)));
            }
            Event::Reopened => {
                case.closes_at = None;
                case.taken_by.clear();
            }
            _ => {}
        }
        case.latest = Some(Arc::new(incident));
    }

    /// Forgets an incident and its alerts; whoever waited for its place is looked at again.
    fn close(&mut self, id: IncidentId, incident: Incident) {
        if let Some(case) = self.state.cases.remove(&id) {
            for (_, alert) in case.members {
                self.forget(alert);
            }
        }
        self.retain(incident);
        self.state.touched.extend(&self.state.waiting);
    }

    fn retain(&mut self, incident: Incident) {
        self.state.recent.push_back(Arc::new(incident));
        while self.state.recent.len() > self.config.bounds.recent_incidents {
            self.state.recent.pop_front();
        }
    }

    /// The last revisions of absorbed incidents: resolved, without alerts, with the survivor's id.
    fn say_farewells(&mut self, out: &mut Vec<Incident>) {
        let mut departed = std::mem::take(&mut self.state.departed);
        departed.sort_by_key(|departed| departed.case.id);
        for Departed { case, into } in departed {
            let Some(mut incident) = case.latest.map(Arc::unwrap_or_clone) else {
                continue;
            };
            incident.revision = case.revision + 1;
            incident.event = Event::Updated;
            incident.status = Status::Resolved;
            incident.updated_at = self.state.now;
            incident.merged_into = Some(into);
            incident.summary = format!("Merged into incident {into}, which now holds its alerts.");
            incident.alerts.clear();
            incident.alerts_total = 0;
            incident.alerts_firing = 0;
            self.state.stats.revisions += 1;
            out.push(incident.clone());
            self.retain(incident);
        }
    }
}

/// Whether a reader would see no difference.
fn same_words(latest: &Incident, next: &Incident) -> bool {
    let mut next = next.clone();
    next.revision = latest.revision;
    next.event = latest.event;
    next.updated_at = latest.updated_at;
    next == *latest
}
