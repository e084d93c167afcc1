//! What groups and rules remember between ticks.

use std::collections::BTreeMap;
use std::sync::Arc;

use foghorn_eval::alerts::{ActiveAlert, RuleAlerts};
use foghorn_eval::catalog::{Catalog, GroupIndex};
use foghorn_eval::columns::GroupColumns;
use foghorn_eval::detect::DetectorBank;
use foghorn_model::{Labels, RuleId, Timestamp};
use foghorn_rules::plan::{Group, Read, Rule, RuleKind, leaves_of};
use serde::{Deserialize, Serialize};

use super::judge::element_of;
use super::record::Recording;
use super::shown::Shown;
use crate::entry::{GroupKey, ScopeNews};
use crate::history::scope_of;
use crate::matches::RuleMatches;

/// What a rule remembers between ticks.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Memory {
    Record(Recording),
    Alert {
        alerts: RuleAlerts,
        bank: Option<DetectorBank>,
        shown: Shown,
    },
    Match(RuleMatches),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct RuleState {
    pub(super) memory: Memory,
    /// Nothing is said for ticks at or before this one.
    pub(super) silent_until: Timestamp,
    pub(super) error: String,
    pub(super) last_tick: Option<Timestamp>,
    /// It reads log queries, and nothing else.
    #[serde(skip)]
    pub(super) logs_only: bool,
}

/// What a group's rules remember of one scope.
#[derive(Debug)]
pub(super) struct ScopeState {
    pub(super) rules: Vec<RuleState>,
    /// What its rules share within a tick.
    pub(super) columns: GroupColumns,
    /// Which shards the columns were made for; `None` before the first tick.
    pub(super) layout: Option<Layout>,
    /// The replica that is seen; empty where there is none.
    pub(super) replica: Arc<str>,
    /// When it was heard last, or that was read in the log; `None` where never, or where it is no
    /// more.
    pub(super) heard: Option<Timestamp>,
}

/// Which shards a scope is read from: (position, whether it is the replica's) of each, and whose.
pub(super) type Layout = (Vec<(usize, bool)>, Arc<str>);

/// One group's place in time and its rules' memories.
#[derive(Debug)]
pub(super) struct GroupState {
    pub(super) key: GroupKey,
    pub(super) next_tick: Timestamp,
    pub(super) closed: Option<Timestamp>,
    /// Outside of all scopes.
    pub(super) plain: ScopeState,
    /// Per known scope.
    pub(super) scoped: BTreeMap<Labels, ScopeState>,
    /// What the log says of scopes, per tick.
    pub(super) told: BTreeMap<Timestamp, Vec<ScopeNews>>,
    /// The last tick that the log says was closed: up to it, everything was said before.
    pub(super) replay_until: Timestamp,
    /// Alerts that the log holds open at `replay_until`, by (rule, labels).
    pub(super) logged: BTreeMap<(RuleId, Labels), ActiveAlert>,
    /// Alerts that the log says ended for want of data, with when.
    pub(super) doubted: BTreeMap<(RuleId, Labels), (Timestamp, ActiveAlert)>,
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

impl ScopeState {
    pub(super) fn new(catalog: &Catalog, index: GroupIndex) -> Self {
        let group = catalog.group(index);
        let rules = group.rules.iter();
        Self {
            rules: rules.map(|rule| RuleState::new(rule, group)).collect(),
            columns: GroupColumns::new(catalog, index),
            layout: None,
            replica: "".into(),
            heard: None,
        }
    }
}

impl GroupState {
    pub(super) fn new(catalog: &Catalog, index: GroupIndex) -> Self {
        let group = catalog.group(index);
        Self {
            key: GroupKey {
                file: Arc::clone(&group.file),
                name: Arc::clone(&group.name),
            },
            next_tick: Timestamp::MIN,
            closed: None,
            plain: ScopeState::new(catalog, index),
            scoped: BTreeMap::new(),
            told: BTreeMap::new(),
            replay_until: Timestamp::MIN,
            logged: BTreeMap::new(),
            doubted: BTreeMap::new(),
        }
    }

    /// All scopes, the plain one first.
    pub(super) fn scopes(&self) -> impl Iterator<Item = &ScopeState> {
        std::iter::once(&self.plain).chain(self.scoped.values())
    }

    /// The log's last tick is evaluated again: its alerts are what the log says they are. What the
    /// log does not hold (since when an alert is kept firing) stays as the replay found it.
    pub(super) fn reconcile(&mut self, group: &Group) {
        let mut logged: BTreeMap<Labels, Logged> = BTreeMap::new();
        let scopes: Vec<_> = self.scoped.keys().cloned().collect();
        let scope_of = |labels: &Labels| {
            let scope = scope_of(scopes.iter(), labels);
            scope.cloned().unwrap_or_else(Labels::empty)
        };
        for (key, alert) in std::mem::take(&mut self.logged) {
            let of_scope = logged.entry(scope_of(&key.1)).or_default();
            of_scope.open.insert(key, alert);
        }
        for (key, doubt) in std::mem::take(&mut self.doubted) {
            let of_scope = logged.entry(scope_of(&key.1)).or_default();
            of_scope.doubted.insert(key, doubt);
        }
        let none = Labels::empty();
        let plain = std::iter::once((&none, &mut self.plain));
        for (scope, state) in plain.chain(&mut self.scoped) {
            let logged = logged.remove(scope).unwrap_or_default();
            for (rule, state) in group.rules.iter().zip(&mut state.rules) {
                if let Memory::Alert { alerts, .. } = &mut state.memory {
                    logged.restore(rule, scope, alerts);
                }
            }
        }
    }
}

/// Alerts of a scope as the log has them.
#[derive(Default)]
struct Logged {
    open: BTreeMap<(RuleId, Labels), ActiveAlert>,
    doubted: BTreeMap<(RuleId, Labels), (Timestamp, ActiveAlert)>,
}

impl Logged {
    /// Makes a rule's alerts what they are here.
    fn restore(&self, rule: &Rule, scope: &Labels, alerts: &mut RuleAlerts) {
        let replayed = std::mem::take(alerts);
        let own = |id: &RuleId| *id == rule.id;
        for ((_, labels), alert) in self.open.iter().filter(|((id, _), _)| own(id)) {
            let mut alert = alert.clone();
            alert.element = element_of(labels, rule, scope);
            if let Some(again) = replayed.active().find(|again| again.labels == *labels) {
                alert.keep_firing_since = again.keep_firing_since;
                alert.value = again.value;
                alert.element = again.element.clone();
                alert.annotations = again.annotations.clone();
            }
            alerts.restore(alert);
        }
        let doubted = self.doubted.iter().filter(|((id, _), _)| own(id));
        for ((_, labels), (since, alert)) in doubted {
            let again = replayed.doubtful(labels);
            let element = again.map_or_else(
                || element_of(labels, rule, scope),
                |(_, again)| again.element.clone(),
            );
            let alert = alert.clone();
            alerts.doubt(*since, ActiveAlert { element, ..alert });
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
