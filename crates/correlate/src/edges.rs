//! Edges: a scored, explained judgement that two alerts belong together.
//!
//! Owns where candidates come from (the service, its neighbours in the graph, services that share
//! a recent change, rare labels, earlier occurrences) and when the sum of evidence is enough.

use std::collections::BTreeSet;

use foghorn_model::incident::{Edge, EvidenceKind};
use foghorn_model::{AlertId, Change};

use crate::alert::Alert;
use crate::changes::Changes;
use crate::config::Config;
use crate::evidence::{self, Judgement, Pair};
use crate::index::{Found, Index};
use crate::rarity::{Rarity, pair_key};
use crate::topology::{Reach, Topology};

/// Label rarity from which a shared label is worth a look-up.
const WORTH_A_LOOKUP: f64 = 0.35;

/// What scoring needs to see.
#[derive(Clone, Copy)]
pub(crate) struct Scorer<'a> {
    pub(crate) config: &'a Config,
    pub(crate) topology: &'a Topology,
    pub(crate) changes: &'a Changes,
    pub(crate) rarity: &'a Rarity,
    pub(crate) index: &'a Index,
}

/// One alert's neighbourhood, walked once and used for all its candidates.
pub(crate) struct Vantage<'a> {
    alert: &'a Alert,
    /// Services that its service depends on.
    callees: Reach<'a>,
    /// Services that depend on its service.
    callers: Reach<'a>,
    /// Recent changes that its service depends on, and who else does.
    changes: Vec<(&'a Change, Reach<'a>)>,
}

/// An edge that holds, not yet put into words: most of a storm's edges never are.
pub(crate) struct Accepted<'a> {
    pub(crate) later: AlertId,
    earlier: &'a Alert,
    score: f64,
    evidence: Vec<Judgement<'a>>,
}

impl Accepted<'_> {
    pub(crate) fn tell(&self) -> Edge {
        Edge {
            with: self.earlier.id,
            with_name: self.earlier.rule.name.to_string(),
            score: self.score,
            evidence: self.evidence.iter().map(Judgement::tell).collect(),
        }
    }

    /// Leaves the best, in the order in which an alert keeps its edges.
    pub(crate) fn keep_best(edges: &mut Vec<Self>, most: usize) {
        edges.sort_by(|a, b| {
            b.score
                .total_cmp(&a.score)
                .then(a.earlier.id.cmp(&b.earlier.id))
        });
        edges.truncate(most);
    }
}

impl<'a> Scorer<'a> {
    pub(crate) fn vantage(self, alert: &'a Alert) -> Vantage<'a> {
        let (hops, bound) = (self.config.max_hops, self.config.bounds.reach);
        let callees = self.topology.callees(&alert.service, hops, bound);
        let callers = self.topology.callers(&alert.service, hops, bound);
        let from = alert.active_at - self.config.change_window_ms - self.config.max_span_ms;
        let changes = callees
            .keys()
            .flat_map(|service| self.changes.between(service, from, alert.active_at))
            .map(|change| (change, self.topology.callers(&change.service, hops, bound)))
            .collect();
        Vantage {
            alert,
            callees,
            callers,
            changes,
        }
    }

    /// Alerts that may have an edge to this one.
    pub(crate) fn candidates(self, vantage: &Vantage<'a>) -> Found {
        let alert = vantage.alert;
        let mut found = Found::default();
        let near = vantage.callees.keys().chain(vantage.callers.keys());
        let beside = vantage
            .changes
            .iter()
            .flat_map(|(_, callers)| callers.keys());
        let services: BTreeSet<&str> = near.chain(beside).copied().collect();
        for service in services {
            self.index
                .of_service(service, alert.active_at, self.config, &mut found);
        }
        for (name, value) in alert
            .labels
            .iter()
            .filter(|(name, _)| self.config.ties(name))
        {
            let pair = pair_key(name, value);
            if self.rarity.of(pair, self.config.share(name)) >= WORTH_A_LOOKUP {
                self.index
                    .of_label(pair, alert.active_at, self.config, &mut found);
            }
        }
        found.alerts.extend(self.index.recurrences(alert));
        found.alerts.remove(&alert.id);
        found
    }

    /// The edge between two alerts, if the evidence is enough.
    pub(crate) fn score(self, vantage: &Vantage<'a>, other: &'a Alert) -> Option<Accepted<'a>> {
        let pair = Pair::new(vantage.alert, other);
        let evidence = match evidence::recurrence(pair, self.config) {
            Some(evidence) => evidence.into_iter().collect(),
            None => self.judge(vantage, pair, other)?,
        };
        let score: f64 = evidence.iter().map(|judgement| judgement.score).sum();
        if score < self.config.join_threshold {
            return None;
        }
        let kinds: BTreeSet<EvidenceKind> =
            evidence.iter().map(|judgement| judgement.kind).collect();
        (kinds.len() >= self.config.min_kinds).then(|| Accepted {
            later: pair.later.id,
            earlier: pair.earlier,
            score: (score * 1e3).round() / 1e3,
            evidence,
        })
    }

    fn judge(
        self,
        vantage: &Vantage<'a>,
        pair: Pair<'a>,
        other: &'a Alert,
    ) -> Option<Vec<Judgement<'a>>> {
        let onset = evidence::onset(pair, self.config)?;
        let down = vantage.callees.get(other.service.as_str()).copied();
        let up = vantage.callers.get(other.service.as_str()).copied();
        let (down, up) = if vantage.alert.id == pair.earlier.id {
            (down, up)
        } else {
            (up, down)
        };
        let shared_change = vantage
            .changes
            .iter()
            .filter(|(_, callers)| callers.contains_key(other.service.as_str()))
            .filter_map(|(change, callers)| {
                evidence::change(pair, change, callers.len(), self.config)
            })
            .reduce(|best, next| if next.score > best.score { next } else { best });
        let kinds = [
            evidence::topology(pair, down, up, self.config),
            evidence::labels(pair, self.rarity, self.config),
            shared_change,
            Some(onset),
            evidence::text(pair, self.config),
        ];
        Some(kinds.into_iter().flatten().collect())
    }
}
