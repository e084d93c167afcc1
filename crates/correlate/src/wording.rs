//! What a tired person reads: titles and summaries.

use std::collections::BTreeMap;

use foghorn_model::Timestamp;
use foghorn_model::incident::{AffectedService, EvidenceKind};

use crate::alert::Alert;

/// Names listed before "and more".
const NAMES_LISTED: usize = 5;

/// What title and summary are told from.
pub(crate) struct Story<'a> {
    pub(crate) members: &'a [&'a Alert],
    /// Affected services, earliest onset first.
    pub(crate) services: &'a [AffectedService],
    pub(crate) onset: Timestamp,
    pub(crate) firing: usize,
    pub(crate) no_data: bool,
    /// The change that is named as the cause.
    pub(crate) blamed: Option<&'a String>,
    /// Who took it; empty where nobody has.
    pub(crate) taken_by: &'a str,
    /// Incidents that it absorbed.
    pub(crate) absorbed: usize,
}

impl Story<'_> {
    /// `checkout: 5 alerts over 4 services after deploy of payments v2.3.1`.
    pub(crate) fn title(&self) -> String {
        let what = match (self.members, self.services) {
            ([only], _) => only.rule.name.to_string(),
            (many, [] | [_]) => format!("{} ({})", count(many.len(), "alert"), self.alert_names()),
            (many, services) => format!(
                "{} over {}",
                count(many.len(), "alert"),
                count(services.len(), "service")
            ),
        };
        let after = self
            .blamed
            .map(|change| format!(" after {change}"))
            .unwrap_or_default();
        match self.place() {
            Some(place) => format!("{place}: {what}{after}"),
            None => format!("{what}{after}"),
        }
    }

    /// The service that people will ask about: the most critical, then the one with most alerts,
    /// then the earliest. Without services, the thing that the first alert is about.
    fn place(&self) -> Option<&str> {
        let lead = self.services.iter().min_by_key(|service| {
            (
                service.tier.unwrap_or(u8::MAX),
                std::cmp::Reverse(service.alerts),
                service.onset,
                &service.name,
            )
        });
        let thing = || {
            let labels = &self.members.first()?.labels;
            ["instance", "host", "node", "pod", "namespace"]
                .iter()
                .find_map(|name| labels.get(name))
        };
        lead.map(|service| service.name.as_str()).or_else(thing)
    }

    fn alert_names(&self) -> String {
        let mut names: Vec<&str> = Vec::new();
        for alert in self.members {
            if !names.contains(&&*alert.rule.name) {
                names.push(&alert.rule.name);
            }
        }
        listed(&names)
    }

    /// What, since when, where, why it is one incident.
    pub(crate) fn summary(&self) -> String {
        let mut lines = vec![self.extent()];
        lines.extend(self.members.first().map(|first| {
            let service = if first.service.is_empty() {
                String::new()
            } else {
                format!(" on {}", first.service)
            };
            format!(
                "First: {}{service} at {}: {}.",
                first.rule.name, first.active_at, first.fired_because
            )
        }));
        lines.extend(self.ties());
        if self.absorbed > 0 {
            lines.push(format!(
                "It absorbed {}.",
                count(self.absorbed, "other incident")
            ));
        }
        if self.no_data {
            lines.push("Some alerts ended for want of data: that is not an all-clear.".to_owned());
        }
        if !self.taken_by.is_empty() {
            lines.push(format!("Acknowledged by {}.", self.taken_by));
        }
        lines.join("\n")
    }

    fn extent(&self) -> String {
        let alerts = format!(
            "{} ({} firing) since {}",
            count(self.members.len(), "alert"),
            self.firing,
            self.onset
        );
        let names: Vec<&str> = self
            .services
            .iter()
            .map(|service| service.name.as_str())
            .collect();
        match names.len() {
            0 => format!("{alerts}; no label names a service."),
            n => format!(
                "{alerts}, over {}: {}.",
                count(n, "service"),
                listed(&names)
            ),
        }
    }

    /// Which evidence holds it together: alerts by the kinds of their best edge.
    fn ties(&self) -> Option<String> {
        let mut kinds: BTreeMap<EvidenceKind, usize> = BTreeMap::new();
        let best = self.members.iter().filter_map(|alert| alert.edges.first());
        for evidence in best.flat_map(|edge| &edge.evidence) {
            *kinds.entry(evidence.kind).or_default() += 1;
        }
        let said: Vec<String> = kinds
            .into_iter()
            .map(|(kind, alerts)| {
                let kind = match kind {
                    EvidenceKind::SharedLabels => "rare labels they share",
                    EvidenceKind::Topology => "the service graph",
                    EvidenceKind::Onset => "closeness in time",
                    EvidenceKind::SharedChange => "a change before them",
                    EvidenceKind::Text => "similar texts",
                };
                format!("{kind} ({alerts})")
            })
            .collect();
        (!said.is_empty()).then(|| format!("Held together by {}.", said.join(", ")))
    }
}

/// `1 alert`, `5 alerts`.
pub(crate) fn count(n: usize, noun: &str) -> String {
    if n == 1 {
        format!("1 {noun}")
    } else {
        format!("{n} {noun}s")
    }
}

/// `a, b, c and 2 more`.
pub(crate) fn listed(names: &[&str]) -> String {
    let shown = names
        .iter()
        .take(NAMES_LISTED)
        .copied()
        .collect::<Vec<_>>()
        .join(", ");
    match names.len().saturating_sub(NAMES_LISTED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
