//! The core: the across-series half of every rule, and the alerts' state.
//!
//! At a tick it asks the shards for the leaves of the group's rules, in rule order, so that later
//! rules see what earlier ones recorded. Recorded series live here, in a shard of the core's own.

mod ask;
mod judge;
mod query;
mod record;
mod reload;
mod scopes;
mod shown;
mod snapshot;
mod state;
mod tick;
mod view;
mod world;

use std::collections::BTreeMap;
use std::sync::Arc;

use foghorn_eval::alerts::ActiveAlert;
use foghorn_eval::catalog::{Catalog, GroupIndex};
use foghorn_eval::intake::Said;
use foghorn_model::{Labels, Signal, Timestamp};
use foghorn_rules::plan::{Group, Rule, RuleKind};

pub use self::snapshot::{CoreSnapshot, RestoreError};

use self::scopes::Scope;
use self::state::{GroupState, Memory};
use crate::entry::{GroupKey, ScopeNews};
use crate::history::GroupHistory;
use crate::view::GroupView;

/// Counts of rule evaluations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CoreStats {
    /// Ticks closed.
    pub ticks: u64,
    /// Rule evaluations.
    pub evaluations: u64,
    /// Of them, failed ones.
    pub failures: u64,
}

/// See the module's text.
pub struct Core {
    catalog: Arc<Catalog>,
    groups: Vec<GroupState>,
    /// All scopes that were ever known, the plain one (without labels) among them.
    scopes: BTreeMap<Labels, Scope>,
    external: Vec<(String, String)>,
    stats: CoreStats,
    /// What rules recorded since it was last taken; `None` where nobody sends it on.
    exported: Option<Vec<Recorded>>,
    /// Elements that a rule's result may have.
    max_elements: usize,
    /// Whether it goes on from a snapshot.
    restored: bool,
}

/// What a closed tick says.
#[derive(Debug, Default)]
pub struct Closed {
    /// Signals, in scope, rule and label order.
    pub signals: Vec<Signal>,
    /// What the group sees of scopes from this tick on, where that changed; to be written down
    /// before the signals.
    pub news: Vec<ScopeNews>,
}

/// A sample that a rule recorded, to be sent on.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// Labels, `__name__` among them.
    pub labels: Labels,
    /// The instant that it holds for.
    pub at: Timestamp,
    /// Value; a staleness marker where the series ended.
    pub value: f64,
}

impl Core {
    /// A core under these rules; `external` labels are for templates.
    pub fn new(catalog: Arc<Catalog>, external: Vec<(String, String)>) -> Self {
        let groups = 0..catalog.rules.groups.len();
        let groups = groups.map(|g| GroupState::new(&catalog, g)).collect();
        let plain = Scope::new(&catalog, &Labels::empty(), &external);
        Self {
            scopes: BTreeMap::from([(Labels::empty(), plain)]),
            groups,
            external,
            stats: CoreStats::default(),
            exported: None,
            max_elements: usize::MAX,
            restored: false,
            catalog,
        }
    }

    /// From now on recorded samples are kept until they are taken. Those of ticks that the log
    /// closed before, or that say nothing, are not.
    pub fn export(&mut self) {
        self.exported.get_or_insert_default();
    }

    /// From now on a rule whose result has more elements than this fails.
    pub fn bound_results(&mut self, most: usize) {
        self.max_elements = most;
    }

    /// Recorded samples since the last call, in the order of ticks and rules.
    pub fn take_recorded(&mut self) -> Vec<Recorded> {
        self.exported
            .as_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    }

    /// Event time begins after `origin`; nothing is said for ticks at or before `silent_until`.
    pub fn start(&mut self, origin: Timestamp, silent_until: Timestamp) {
        for (state, group) in self.groups.iter_mut().zip(&self.catalog.rules.groups) {
            state.next_tick = origin.next_slot(group.interval_ms, group.slot_ms);
            let rules = state.plain.rules.iter_mut();
            rules.for_each(|rule| rule.silent_until = silent_until);
        }
    }

    /// What the log says of a group: how far it had closed, what was open and said then. One that was
    /// [restored](Core::restore) obeys what came after.
    pub fn resume(&mut self, key: &GroupKey, history: &GroupHistory) {
        let Some(at) = self.groups.iter().position(|state| state.key == *key) else {
            return;
        };
        let (state, group) = (&mut self.groups[at], &self.catalog.rules.groups[at]);
        if let Some(closed) = history.closed {
            state.replay_until = closed;
            if state.next_tick <= closed {
                state.logged.clone_from(&history.open);
                state.doubted.clone_from(&history.doubted);
                if !self.catalog.is_plain(at) {
                    let rules = group.rules.iter().zip(&state.plain.rules);
                    let logs: Vec<_> = rules
                        .filter(|(_, state)| state.logs_only)
                        .map(|(rule, _)| rule.id)
                        .collect();
                    state.doubted.retain(|(rule, labels), (since, _)| {
                        logs.contains(rule) || !history.is_past(labels, *since)
                    });
                }
            }
            state.told.clone_from(&history.scopes);
            let known = state.closed.unwrap_or(Timestamp::MIN);
            state.told.retain(|tick, _| *tick > known);
        } else if let Some(since) = history.since {
            state.next_tick = state
                .next_tick
                .max(since.next_slot(group.interval_ms, group.slot_ms));
        }
        for (rule, state) in group.rules.iter().zip(&mut state.plain.rules) {
            if let Memory::Match(matches) = &mut state.memory {
                matches.recall(rule.id, &history.matched);
            }
        }
    }

    /// Groups that are new begin after `latest`.
    pub fn begin_after(&mut self, latest: Timestamp, is_new: impl Fn(&GroupKey) -> bool) {
        for (state, group) in self.groups.iter_mut().zip(&self.catalog.rules.groups) {
            if is_new(&state.key) {
                state.next_tick = latest.next_slot(group.interval_ms, group.slot_ms);
            }
        }
    }

    /// The catalog in force.
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// A group's next tick.
    pub fn next_tick(&self, group: GroupIndex) -> Timestamp {
        self.groups[group].next_tick
    }

    /// A group's last closed tick.
    pub fn closed(&self, group: GroupIndex) -> Option<Timestamp> {
        self.groups[group].closed
    }

    /// Whether the log has closed a group's next tick before.
    pub fn is_replayed(&self, group: GroupIndex) -> bool {
        self.groups[group].next_tick <= self.groups[group].replay_until
    }

    /// A group's key.
    pub fn key(&self, group: GroupIndex) -> &GroupKey {
        &self.groups[group].key
    }

    /// Whether the groups whose recorded series a group reads have closed all that its next tick
    /// needs: their ticks before it, and those at it where they come first.
    pub fn recorders_done(&self, group: GroupIndex) -> bool {
        let tick = self.groups[group].next_tick;
        self.catalog.recorders(group).iter().all(|recorder| {
            let next = self.groups[*recorder].next_tick;
            *recorder == group || next > tick || (next == tick && *recorder > group)
        })
    }

    /// Log matches of one record: the signals that they make on arrival.
    pub fn arrive(&mut self, said: &Said) -> Vec<Signal> {
        let mut signals = Vec::new();
        for hit in &said.matches {
            let (group, rule) = (
                &self.catalog.rules.groups[hit.rule.0],
                &self.catalog.rules.groups[hit.rule.0].rules[hit.rule.1],
            );
            let state = &mut self.groups[hit.rule.0].plain.rules[hit.rule.1];
            let (
                Memory::Match(matches),
                RuleKind::Match {
                    resolve_after_ms, ..
                },
            ) = (&mut state.memory, &rule.kind)
            else {
                continue;
            };
            let signal = matches.arrive(group, rule, said.partition, hit, *resolve_after_ms);
            signals.extend(signal.filter(|_| hit.at > state.silent_until));
        }
        signals
    }

    /// All alerts that are pending or firing, with their rules.
    pub fn active(&self) -> impl Iterator<Item = (&Arc<Group>, &Rule, &ActiveAlert)> {
        let groups = self.catalog.rules.groups.iter().zip(&self.groups);
        let scopes =
            groups.flat_map(|(group, state)| state.scopes().map(move |scope| (group, scope)));
        let rules = scopes.flat_map(|(group, scope)| {
            let rules = group.rules.iter().zip(&scope.rules);
            rules.map(move |(rule, state)| (group, rule, state))
        });
        rules.flat_map(|(group, rule, state)| {
            let alerts = match &state.memory {
                Memory::Alert { alerts, .. } => Some(alerts.active()),
                Memory::Record(_) | Memory::Match(_) => None,
            };
            alerts
                .into_iter()
                .flatten()
                .map(move |alert| (group, rule, alert))
        })
    }

    /// The groups and their rules as they stand.
    pub fn groups(&self) -> Vec<GroupView> {
        let groups = self.catalog.rules.groups.iter().zip(&self.groups);
        groups
            .map(|(group, state)| view::group_view(group, state))
            .collect()
    }

    /// Counts.
    pub fn stats(&self) -> CoreStats {
        self.stats
    }

    /// Series recorded by rules.
    pub fn recorded_series(&self) -> usize {
        let scopes = self.groups.iter().flat_map(GroupState::scopes);
        let rules = scopes.flat_map(|scope| &scope.rules);
        let unread = rules.map(|rule| match &rule.memory {
            Memory::Record(recording) => recording.unread(),
            Memory::Alert { .. } | Memory::Match(_) => 0,
        });
        let kept = self
            .scopes
            .values()
            .map(|scope| scope.recorded.counts().series);
        kept.sum::<usize>() + unread.sum::<usize>()
    }
}
