//! What groups and rules remember between ticks.

use std::collections::BTreeMap;
use std::sync::Arc;

use foghorn_eval::alerts::{ActiveAlert, RuleAlerts};
use foghorn_eval::catalog::{Catalog, GroupIndex};
use foghorn_eval::columns::GroupColumns;
use foghorn_eval::detect::DetectorBank;
use foghorn_model::{Labels, RuleId, Timestamp};
use foghorn_rules::plan::{Group, Read, Rule, RuleKind, leaves_of};

use super::judge::element_of;
use super::record::Recording;
use super::shown::Shown;
use crate::entry::GroupKey;
use crate::matches::RuleMatches;

/// What a rule remembers between ticks.
#[derive(Debug)]
pub(super) enum Memory {
    Record(Recording),
    Alert {
        alerts: RuleAlerts,
        bank: Option<DetectorBank>,
        shown: Shown,
    },
    Match(RuleMatches),
}

#[derive(Debug)]
pub(super) struct RuleState {
    pub(super) memory: Memory,
    /// Nothing is said for ticks at or before this one.
    pub(super) silent_until: Timestamp,
    pub(super) error: String,
    pub(super) last_tick: Option<Timestamp>,
    /// It reads log queries, and nothing else.
    pub(super) logs_only: bool,
}

/// One group's place in time and its rules' memories.
#[derive(Debug)]
pub(super) struct GroupState {
    pub(super) key: GroupKey,
    pub(super) next_tick: Timestamp,
    pub(super) closed: Option<Timestamp>,
    pub(super) rules: Vec<RuleState>,
    /// The last tick that the log says was closed: up to it, everything was said before.
    pub(super) replay_until: Timestamp,
    /// Alerts that the log holds open at `replay_until`, by (rule, labels).
    pub(super) logged: BTreeMap<(RuleId, Labels), ActiveAlert>,
    /// Alerts that the log says ended for want of data, with when.
    pub(super) doubted: BTreeMap<(RuleId, Labels), (Timestamp, ActiveAlert)>,
    /// What its rules share within a tick.
    pub(super) columns: GroupColumns,
}

impl Memory {
    /// Whether a tick without an element changes nothing.
    pub(super) fn is_idle(&self) -> bool {
        match self {
            Self::Record(recording) => recording.is_empty(),
            Self::Alert {
                alerts,
                bank,
                shown,
            } => bank.is_none() && alerts.is_idle() && shown.is_empty(),
            Self::Match(_) => false,
        }
    }
}

impl GroupState {
    pub(super) fn new(catalog: &Catalog, index: GroupIndex) -> Self {
        let group = catalog.group(index);
        Self {
            columns: GroupColumns::new(catalog, index),
            key: GroupKey {
                file: Arc::clone(&group.file),
                name: Arc::clone(&group.name),
            },
            next_tick: Timestamp::MIN,
            closed: None,
            rules: group
                .rules
                .iter()
                .map(|r| RuleState::new(r, group))
                .collect(),
            replay_until: Timestamp::MIN,
            logged: BTreeMap::new(),
            doubted: BTreeMap::new(),
        }
    }

    /// The log's last tick is evaluated again: its alerts are what the log says they are. What the
    /// log does not hold (since when an alert is kept firing) stays as the replay found it.
    pub(super) fn reconcile(&mut self, group: &Group) {
        let logged = std::mem::take(&mut self.logged);
        let doubted = std::mem::take(&mut self.doubted);
        for (rule, state) in group.rules.iter().zip(&mut self.rules) {
            let Memory::Alert { alerts, .. } = &mut state.memory else {
                continue;
            };
            let replayed = std::mem::take(alerts);
            for ((id, labels), alert) in &logged {
                if *id != rule.id {
                    continue;
                }
                let mut alert = alert.clone();
                alert.element = element_of(labels, rule);
                if let Some(again) = replayed.active().find(|again| again.labels == *labels) {
                    alert.keep_firing_since = again.keep_firing_since;
                    alert.value = again.value;
                    alert.element = again.element.clone();
                    alert.annotations = again.annotations.clone();
                }
                alerts.restore(alert);
            }
            for ((_, labels), (since, alert)) in
                doubted.iter().filter(|((id, _), _)| *id == rule.id)
            {
                let again = replayed.doubtful(labels);
                let element = again.map_or_else(
                    || element_of(labels, rule),
                    |(_, again)| again.element.clone(),
                );
                alerts.doubt(
                    *since,
                    ActiveAlert {
                        element,
                        ..alert.clone()
                    },
                );
            }
        }
    }
}

impl RuleState {
    pub(super) fn new(rule: &Rule, group: &Group) -> Self {
        let memory = match &rule.kind {
            RuleKind::Record { .. } => Memory::Record(Recording::default()),
            RuleKind::Alert { detector, .. } => Memory::Alert {
                alerts: RuleAlerts::default(),
                bank: detector.as_ref().map(DetectorBank::new),
                shown: Shown::default(),
            },
            RuleKind::Match { .. } => Memory::Match(RuleMatches::default()),
        };
        Self {
            memory,
            silent_until: Timestamp::MIN,
            error: String::new(),
            last_tick: None,
            logs_only: reads_logs_only(rule, group),
        }
    }
}

fn reads_logs_only(rule: &Rule, group: &Group) -> bool {
    let leaves = leaves_of(&rule.expr, group);
    !leaves.is_empty()
        && leaves
            .iter()
            .all(|leaf| matches!(group.leaves[leaf.0 as usize].read, Read::Log { .. }))
}
