//! From an incident's members to one whole revision, within its bounds.

use std::collections::BTreeMap;

use foghorn_model::incident::{AffectedService, Event, Member, Status};
use foghorn_model::{AlertState, Incident, Labels};

use crate::alert::Alert;
use crate::case::Case;
use crate::correlator::Correlator;
use crate::priority;
use crate::suspects::{self, Scene};
use crate::wording;

/// Edges that a listed member shows.
const EDGES_SHOWN: usize = 3;

impl Correlator {
    /// A revision as things stand; its number is the caller's.
    pub(crate) fn render(&self, case: &Case, event: Event, status: Status) -> Incident {
        let members: Vec<&Alert> = case
            .members
            .iter()
            .filter_map(|(_, id)| self.state.alerts.get(id))
            .collect();
        let mut services = self.affected(&members);
        let onset = members
            .first()
            .map_or(case.opened_at, |alert| alert.active_at);
        let verdict = suspects::rank(&Scene {
            members: &members,
            services: &services,
            onset,
            config: &self.config,
            topology: &self.topology,
            changes: &self.state.changes,
            observations: &self.state.observations,
        });
        let priority = priority::judge(&members, &services, &self.topology, &self.config);
        let firing = members
            .iter()
            .filter(|alert| alert.state == AlertState::Firing)
            .count();
        let no_data = members.iter().any(|alert| self.lacks_all_clear(alert));
        let over = matches!(status, Status::Resolved | Status::Closed);
        let story = wording::Story {
            members: &members,
            services: &services,
            onset,
            firing,
            no_data,
            blamed: verdict.blamed.as_ref(),
            taken_by: if status == Status::Acknowledged {
                &case.taken_by
            } else {
                ""
            },
            absorbed: case.absorbed.len(),
        };
        let (title, summary) = (story.title(), story.summary());
        services.truncate(self.config.member_cap);
        Incident {
            id: case.id,
            revision: case.revision,
            event,
            status,
            title,
            summary,
            priority,
            services,
            shared_labels: shared_labels(&members),
            onset,
            opened_at: case.opened_at,
            updated_at: self.state.now,
            resolved_at: members
                .iter()
                .filter_map(|alert| alert.resolved_at)
                .max()
                .filter(|_| over),
            no_data,
            alerts: self.listed(&members),
            alerts_total: members.len() as u32,
            alerts_firing: firing as u32,
            suspects: verdict.suspects,
            probable_cause: verdict.words,
            merged_into: None,
        }
    }

    /// Whether an alert ended for want of data and has not come back since.
    pub(crate) fn lacks_all_clear(&self, alert: &Alert) -> bool {
        alert.ended_without_data() && self.state.index.latest(alert.identity()) == Some(alert.id)
    }

    fn affected(&self, members: &[&Alert]) -> Vec<AffectedService> {
        let mut by_name: BTreeMap<&str, AffectedService> = BTreeMap::new();
        for alert in members.iter().filter(|alert| !alert.service.is_empty()) {
            let name = alert.service.as_str();
            let service = by_name.entry(name).or_insert_with(|| AffectedService {
                name: name.to_owned(),
                owner: self.topology.owner(name).to_owned(),
                tier: self.topology.tier(name),
                onset: alert.active_at,
                alerts: 0,
            });
            service.alerts += 1;
            service.onset = service.onset.min(alert.active_at);
        }
        let mut services: Vec<_> = by_name.into_values().collect();
        services.sort_by_key(|service| service.onset);
        services
    }

    /// What fires first, then the earliest, as many as the bounds allow; in (onset, id) order.
    fn listed(&self, members: &[&Alert]) -> Vec<Member> {
        let mut chosen: Vec<&Alert> = members.to_vec();
        chosen.sort_by_key(|alert| (alert.state != AlertState::Firing, alert.key()));
        let mut bytes = 0;
        let mut listed: Vec<&Alert> = chosen
            .into_iter()
            .take(self.config.member_cap)
            .take_while(|alert| {
                let first = bytes == 0;
                bytes += weight(alert);
                first || bytes <= self.config.max_revision_bytes
            })
            .collect();
        listed.sort_by_key(|alert| alert.key());
        listed.into_iter().map(member).collect()
    }
}

/// Labels that all members share.
fn shared_labels(members: &[&Alert]) -> Labels {
    let Some((first, others)) = members.split_first() else {
        return Labels::empty();
    };
    let mut shared: Vec<(&str, &str)> = first.labels.iter().collect();
    for other in others {
        shared.retain(|(name, value)| other.labels.get(name) == Some(value));
    }
    Labels::from_pairs(shared)
}

/// About how many bytes a member takes as JSON.
fn weight(alert: &Alert) -> usize {
    let evidence = alert
        .edges
        .iter()
        .take(EDGES_SHOWN)
        .flat_map(|edge| &edge.evidence);
    let words: usize = evidence.map(|evidence| evidence.why.len() + 64).sum();
    512 + alert.labels.heap_bytes() + alert.annotations.heap_bytes() + words
}

fn member(alert: &Alert) -> Member {
    Member {
        alert: alert.id,
        name: alert.rule.name.to_string(),
        service: alert.service.clone(),
        labels: alert.labels.clone(),
        annotations: alert.annotations.clone(),
        state: alert.state,
        active_at: alert.active_at,
        fired_at: alert.fired_at,
        resolved_at: alert.resolved_at,
        value: alert.value,
        reason: alert.reason.clone(),
        edges: alert.edges.iter().take(EDGES_SHOWN).cloned().collect(),
    }
}
