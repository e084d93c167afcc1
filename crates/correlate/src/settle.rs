//! Settling: what was touched since the last flush gets new edges, and its component is grouped
//! anew.
//!
//! Incidents follow their anchors. A group with several anchors keeps the oldest incident and
//! absorbs the others; one without opens a new incident.

use std::collections::{BTreeMap, BTreeSet};

use foghorn_model::incident::{Edge, Status};
use foghorn_model::{AlertId, IncidentId};

use crate::case::{Case, Departed};
use crate::correlator::Correlator;
use crate::edges::{Accepted, Scorer};
use crate::group::{Node, regroup};
use crate::index::{Posting, tying_pairs};

impl Correlator {
    /// Judges edges anew, regroups, and marks the incidents that changed.
    pub(crate) fn settle(&mut self) {
        let touched = std::mem::take(&mut self.state.touched);
        let touched = self.in_order(touched);
        if touched.is_empty() {
            return;
        }
        self.count_labels(&touched);
        self.judge_edges(&touched);
        let (component, cases) = self.component(&touched);
        let nodes = self.nodes(component);
        let groups = regroup(&nodes, self.config.max_incident_span_ms);
        self.assign(groups, &cases);
    }

    /// Cuts all edges of an alert.
    pub(crate) fn sever(&mut self, id: AlertId) {
        let Some(alert) = self.state.alerts.get_mut(&id) else {
            return;
        };
        for edge in std::mem::take(&mut alert.edges) {
            if let Some(later) = self.state.later_of.get_mut(&edge.with) {
                later.remove(&id);
            }
        }
        for later in self.state.later_of.remove(&id).into_iter().flatten() {
            if let Some(alert) = self.state.alerts.get_mut(&later) {
                alert.edges.retain(|edge| edge.with != id);
            }
        }
    }

    /// Those that are still known, in (onset, id) order.
    fn in_order(&self, ids: impl IntoIterator<Item = AlertId>) -> Vec<AlertId> {
        let keys: Posting = ids
            .into_iter()
            .filter_map(|id| Some(self.state.alerts.get(&id)?.key()))
            .collect();
        keys.into_iter().map(|(_, id)| id).collect()
    }

    fn count_labels(&mut self, touched: &[AlertId]) {
        for id in touched {
            let Some(alert) = self.state.alerts.get_mut(id).filter(|alert| !alert.counted) else {
                continue;
            };
            alert.counted = true;
            let refused = self.state.rarity.count(
                alert.active_at,
                tying_pairs(alert, &self.config),
                self.config.bounds.label_terms,
            );
            self.state.stats.label_terms_refused += refused;
        }
    }

    fn judge_edges(&mut self, touched: &[AlertId]) {
        for id in touched {
            self.sever(*id);
        }
        let (edges, cut) = self.scored(touched);
        self.state.stats.candidates_cut += cut;
        for (later, edge) in edges {
            self.keep(later, edge);
        }
    }

    /// Accepted edges of the touched alerts, each pair once, and how many look-ups were cut.
    fn scored(&self, touched: &[AlertId]) -> (Vec<(AlertId, Edge)>, u64) {
        let scorer = Scorer {
            config: &self.config,
            topology: &self.topology,
            changes: &self.state.changes,
            rarity: &self.state.rarity,
            index: &self.state.index,
        };
        let most = self.config.bounds.edges_per_alert;
        let mut seen: BTreeSet<(AlertId, AlertId)> = BTreeSet::new();
        let mut edges: BTreeMap<AlertId, Vec<Accepted<'_>>> = BTreeMap::new();
        let mut cut = 0;
        for alert in touched.iter().filter_map(|id| self.state.alerts.get(id)) {
            let vantage = scorer.vantage(alert);
            let found = scorer.candidates(&vantage);
            cut += found.cut;
            for other in found
                .alerts
                .iter()
                .filter_map(|id| self.state.alerts.get(id))
            {
                if !seen.insert((alert.id.min(other.id), alert.id.max(other.id))) {
                    continue;
                }
                if let Some(edge) = scorer.score(&vantage, other) {
                    let best = edges.entry(edge.later).or_default();
                    best.push(edge);
                    if best.len() > 2 * most + 2 {
                        Accepted::keep_best(best, most);
                    }
                }
            }
        }
        let mut told = Vec::new();
        for (later, mut best) in edges {
            Accepted::keep_best(&mut best, most);
            told.extend(best.iter().map(|edge| (later, edge.tell())));
        }
        (told, cut)
    }

    /// Adds an edge to the later alert, which keeps the best.
    fn keep(&mut self, later: AlertId, edge: Edge) {
        let Some(alert) = self.state.alerts.get_mut(&later) else {
            return;
        };
        self.state
            .later_of
            .entry(edge.with)
            .or_default()
            .insert(later);
        alert.edges.push(edge);
        alert
            .edges
            .sort_by(|a, b| b.score.total_cmp(&a.score).then(a.with.cmp(&b.with)));
        for lost in alert
            .edges
            .drain(self.config.bounds.edges_per_alert.min(alert.edges.len())..)
        {
            if let Some(others) = self.state.later_of.get_mut(&lost.with) {
                others.remove(&later);
            }
        }
    }

    /// Everything that edges or a common incident connect with the touched alerts, and the
    /// incidents among it.
    fn component(&self, touched: &[AlertId]) -> (BTreeSet<AlertId>, BTreeSet<IncidentId>) {
        let mut alerts = BTreeSet::new();
        let mut cases = BTreeSet::new();
        let mut stack = touched.to_vec();
        while let Some(id) = stack.pop() {
            let Some(alert) = self.state.alerts.get(&id) else {
                continue;
            };
            if !alerts.insert(id) {
                continue;
            }
            stack.extend(alert.edges.iter().map(|edge| edge.with));
            stack.extend(self.state.later_of.get(&id).into_iter().flatten());
            if let Some(case) = alert.incident.filter(|case| cases.insert(*case)) {
                let members = self
                    .state
                    .cases
                    .get(&case)
                    .into_iter()
                    .flat_map(|case| &case.members);
                stack.extend(members.map(|(_, id)| *id));
            }
        }
        (alerts, cases)
    }

    fn nodes(&self, component: BTreeSet<AlertId>) -> Vec<Node> {
        let alerts = self
            .in_order(component)
            .into_iter()
            .filter_map(|id| self.state.alerts.get(&id));
        alerts
            .map(|alert| Node {
                at: alert.active_at,
                id: alert.id,
                earlier: alert.edges.iter().map(|edge| edge.with).collect(),
            })
            .collect()
    }

    /// Gives each group its incident.
    fn assign(&mut self, groups: Vec<Vec<AlertId>>, cases: &BTreeSet<IncidentId>) {
        let mut before: BTreeMap<IncidentId, Posting> = BTreeMap::new();
        let mut anchors: BTreeMap<AlertId, IncidentId> = BTreeMap::new();
        for id in cases {
            if let Some(case) = self.state.cases.get_mut(id) {
                before.insert(*id, std::mem::take(&mut case.members));
                anchors.insert(case.anchor, *id);
            }
        }
        for group in groups {
            let owners =
                self.by_seniority(group.iter().filter_map(|alert| anchors.get(alert)).copied());
            match owners.first().copied().or_else(|| self.open(group[0])) {
                Some(target) => {
                    self.fill(target, &group);
                    for younger in &owners[1.min(owners.len())..] {
                        self.absorb(*younger, target);
                    }
                }
                None => self.wait(&group),
            }
        }
        let changed = before.into_iter().filter(|(id, members)| {
            self.state
                .cases
                .get(id)
                .is_some_and(|case| case.members != *members)
        });
        self.state.dirty.extend(changed.map(|(id, _)| id));
    }

    /// The one that survives first: something that still fires before what is over, the oldest
    /// before the younger.
    fn by_seniority(&self, ids: impl Iterator<Item = IncidentId>) -> Vec<IncidentId> {
        let mut owners: Vec<IncidentId> = ids.collect();
        owners.sort_by_key(|id| {
            let case = self.state.cases.get(id);
            let over = case.is_none_or(|case| case.status == Status::Resolved);
            (over, case.map(|case| case.opened_at), *id)
        });
        owners
    }

    /// Opens an incident for a group's first alert; `None` where incidents are at their bound.
    fn open(&mut self, anchor: AlertId) -> Option<IncidentId> {
        if self.state.cases.len() >= self.config.bounds.incidents {
            return None;
        }
        let first = IncidentId::first(anchor);
        // An alert that opened an incident, was absorbed with it and is split off again.
        let split = (1..).map(|revision| IncidentId::split(first, revision));
        let id = std::iter::once(first)
            .chain(split)
            .find(|id| !self.is_taken(*id))?;
        self.state
            .cases
            .insert(id, Case::new(id, anchor, self.state.now));
        self.state.dirty.insert(id);
        Some(id)
    }

    fn is_taken(&self, id: IncidentId) -> bool {
        self.state.cases.contains_key(&id)
            || self
                .state
                .departed
                .iter()
                .any(|departed| departed.case.id == id)
            || self.state.recent.iter().any(|incident| incident.id == id)
    }

    fn fill(&mut self, target: IncidentId, group: &[AlertId]) {
        let Some(case) = self.state.cases.get_mut(&target) else {
            return;
        };
        for id in group {
            if let Some(alert) = self.state.alerts.get_mut(id) {
                alert.incident = Some(target);
                case.members.insert(alert.key());
                self.state.waiting.remove(id);
            }
        }
        self.state.dirty.insert(target);
    }

    fn wait(&mut self, group: &[AlertId]) {
        self.state.stats.incidents_refused += 1;
        for id in group {
            if let Some(alert) = self.state.alerts.get_mut(id) {
                alert.incident = None;
                self.state.waiting.insert(*id);
            }
        }
    }

    fn absorb(&mut self, younger: IncidentId, target: IncidentId) {
        let Some(case) = self.state.cases.remove(&younger) else {
            return;
        };
        self.state.stats.merges += 1;
        if let Some(survivor) = self.state.cases.get_mut(&target) {
            survivor.absorbed.insert(younger);
            survivor.absorbed.extend(&case.absorbed);
        }
        self.state.departed.push(Departed { case, into: target });
    }
}
