//! The core: the across-series half of every rule, and the alerts' state.
//!
//! At a tick it asks the shards for the leaves of the group's rules, in rule order, so that later
//! rules see what earlier ones recorded. Recorded series live here, in a shard of the core's own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foghorn_eval::alerts::{ActiveAlert, Hit, RuleAlerts};
use foghorn_eval::catalog::{Catalog, GroupIndex};
use foghorn_eval::detect::DetectorBank;
use foghorn_eval::intake::Said;
use foghorn_eval::promql::{Evaluator, Value};
use foghorn_eval::shard::{Shard, nameless_order};
use foghorn_eval::vector::{Element, Leaves, Vector};
use foghorn_model::labels::NAME;
use foghorn_model::{
    AlertState, Labels, Reason, RuleId, RuleRef, STALE_NAN, Signal, SignalId, Timestamp,
    Transition, TransitionKind,
};
use foghorn_rules::plan::{Group, LeafId, Read, Rule, RuleKind};
use foghorn_rules::template::TemplateContext;

use crate::entry::GroupKey;
use crate::history::{GroupHistory, active_of};
use crate::matches::RuleMatches;
use crate::view::{GroupView, Health, RuleView};

/// What a rule remembers between ticks.
#[derive(Debug)]
enum Memory {
    Record {
        last: BTreeSet<Labels>,
    },
    Alert {
        alerts: RuleAlerts,
        bank: Option<DetectorBank>,
    },
    Match(RuleMatches),
}

#[derive(Debug)]
struct RuleState {
    memory: Memory,
    /// Nothing is said for ticks at or before this one.
    silent_until: Timestamp,
    error: String,
    last_tick: Option<Timestamp>,
}

/// One group's place in time and its rules' memories.
#[derive(Debug)]
struct GroupState {
    key: GroupKey,
    next_tick: Timestamp,
    closed: Option<Timestamp>,
    rules: Vec<RuleState>,
    /// The last tick that the log says was closed: up to it, everything was said before.
    replay_until: Timestamp,
    /// Alerts that the log holds open at `replay_until`, by (rule, labels).
    logged: BTreeMap<(RuleId, Labels), ActiveAlert>,
    /// Alerts that the log says ended for want of data, with when.
    doubted: BTreeMap<(RuleId, Labels), (Timestamp, ActiveAlert)>,
}

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
    recorded: Shard,
    evaluator: Evaluator,
    external: Vec<(String, String)>,
    stats: CoreStats,
    /// What rules recorded since it was last taken; `None` where nobody sends it on.
    exported: Option<Vec<Recorded>>,
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

struct TickLeaves<'a, 'b> {
    shards: &'a mut [&'b mut Shard],
    recorded: &'a mut Shard,
    group: GroupIndex,
    tick: Timestamp,
}

impl Leaves for TickLeaves<'_, '_> {
    fn leaf(&mut self, leaf: LeafId, at: Timestamp) -> Vector {
        let mut vector = self.recorded.leaf(self.group, leaf, self.tick, at);
        let recorded: BTreeSet<Labels> = vector
            .iter()
            .map(|element| element.labels.clone())
            .collect();
        let mut parts = usize::from(!vector.is_empty());
        for shard in &mut *self.shards {
            let mut part = shard.leaf(self.group, leaf, self.tick, at);
            // A recorded element beats its ingested twin.
            part.retain(|element| !recorded.contains(&element.labels));
            parts += usize::from(!part.is_empty());
            vector.extend(part);
        }
        if parts > 1 {
            vector.sort_by(|a, b| nameless_order(&a.labels, &b.labels));
        }
        vector
    }
}

impl Core {
    /// A core under these rules; `external` labels are for templates.
    pub fn new(catalog: Arc<Catalog>, external: Vec<(String, String)>) -> Self {
        let groups = catalog
            .rules
            .groups
            .iter()
            .map(|group| GroupState::new(group))
            .collect();
        Self {
            recorded: Shard::new(Arc::clone(&catalog)),
            groups,
            evaluator: Evaluator::default(),
            external,
            stats: CoreStats::default(),
            exported: None,
            catalog,
        }
    }

    /// From now on recorded samples are kept until they are taken. Those of ticks that the log
    /// closed before, or that say nothing, are not.
    pub fn export(&mut self) {
        self.exported.get_or_insert_default();
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
            state
                .rules
                .iter_mut()
                .for_each(|rule| rule.silent_until = silent_until);
        }
    }

    /// What the log says of a group: how far it had closed, what was open and said then.
    pub fn resume(&mut self, key: &GroupKey, history: &GroupHistory) {
        let Some(at) = self.groups.iter().position(|state| state.key == *key) else {
            return;
        };
        let (state, group) = (&mut self.groups[at], &self.catalog.rules.groups[at]);
        if let Some(closed) = history.closed {
            state.replay_until = closed;
            state.logged.clone_from(&history.open);
            state.doubted.clone_from(&history.doubted);
        } else if let Some(since) = history.since {
            state.next_tick = state
                .next_tick
                .max(since.next_slot(group.interval_ms, group.slot_ms));
        }
        for (rule, state) in group.rules.iter().zip(&mut state.rules) {
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
            let state = &mut self.groups[hit.rule.0].rules[hit.rule.1];
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

    /// Closes a group's next tick: all that it says, in rule and label order. `blind` says that it
    /// closes without a partition that is left behind. Ticks that the log closed before say nothing.
    pub fn close(
        &mut self,
        group: GroupIndex,
        shards: &mut [&mut Shard],
        blind: bool,
    ) -> Vec<Signal> {
        let catalog = Arc::clone(&self.catalog);
        let plan = &catalog.rules.groups[group];
        let tick = self.groups[group].next_tick;
        let mut signals = Vec::new();
        for (r, rule) in plan.rules.iter().enumerate() {
            let start = signals.len();
            self.evaluate(group, r, plan, rule, tick, shards, blind, &mut signals);
            let state = &mut self.groups[group].rules[r];
            let silent = tick <= state.silent_until;
            if silent {
                signals.truncate(start);
            } else if state
                .last_tick
                .is_none_or(|last| last <= state.silent_until)
            {
                say_active(&state.memory, plan, rule, tick, start, &mut signals);
            }
            state.last_tick = Some(tick);
        }
        for shard in &mut *shards {
            shard.closed(group, tick);
        }
        self.recorded.closed(group, tick);
        self.stats.ticks += 1;
        let state = &mut self.groups[group];
        state.closed = Some(tick);
        state.next_tick = tick + plan.interval_ms;
        if tick <= state.replay_until {
            signals.clear();
            if state.next_tick > state.replay_until {
                state.reconcile(plan);
            }
        }
        signals
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "a rule's evaluation touches all of a tick's parts"
    )]
    fn evaluate(
        &mut self,
        g: GroupIndex,
        r: usize,
        group: &Arc<Group>,
        rule: &Rule,
        tick: Timestamp,
        shards: &mut [&mut Shard],
        blind: bool,
        signals: &mut Vec<Signal>,
    ) {
        self.stats.evaluations += 1;
        let start = signals.len();
        let at = tick - group.query_offset_ms;
        let mut leaves = TickLeaves {
            shards,
            recorded: &mut self.recorded,
            group: g,
            tick,
        };
        let replayed = tick <= self.groups[g].replay_until;
        let state = &mut self.groups[g].rules[r];
        let exported = self
            .exported
            .as_mut()
            .filter(|_| !replayed && tick > state.silent_until);
        let logs_only = reads_logs_only(rule, group);
        let doubted: BTreeMap<Labels, Timestamp> = match &state.memory {
            Memory::Alert { alerts, .. } if blind => alerts
                .all_doubtful()
                .map(|(at, alert)| (alert.labels.clone(), at))
                .collect(),
            _ => BTreeMap::new(),
        };
        let result = match (&mut state.memory, &rule.kind) {
            (
                Memory::Match(matches),
                RuleKind::Match {
                    resolve_after_ms, ..
                },
            ) => {
                signals.extend(matches.tick(group, rule, tick, *resolve_after_ms));
                Ok(())
            }
            (Memory::Record { last }, RuleKind::Record { metric }) => self
                .evaluator
                .evaluate(group, &rule.expr, at, &mut leaves)
                .map_err(|error| error.to_string())
                .and_then(|value| {
                    let vector = recorded_vector(value, rule, metric, group.limit)?;
                    record(&mut self.recorded, exported, g, at, vector, last);
                    Ok(())
                }),
            (Memory::Alert { alerts, bank }, RuleKind::Alert { detector, .. }) => self
                .evaluator
                .condition(group, &rule.expr, at, &mut leaves)
                .and_then(|condition| {
                    let (hits, base) = match (detector, bank) {
                        (Some(detector), Some(bank)) => {
                            let picks =
                                bank.observe(detector, tick, group.interval_ms, &condition.result);
                            let hit = |pick: foghorn_eval::detect::Pick| Hit {
                                labels: pick.labels,
                                value: pick.value,
                                reason: Some(pick.reason),
                            };
                            (picks.into_iter().map(hit).collect(), Some(condition.result))
                        }
                        _ => {
                            let hit = |element: Element| Hit {
                                labels: element.labels,
                                value: element.value,
                                reason: None,
                            };
                            (
                                condition.result.into_iter().map(hit).collect(),
                                condition.base,
                            )
                        }
                    };
                    alerts.advance(
                        rule,
                        group,
                        tick,
                        hits,
                        base.as_deref(),
                        &self.external,
                        signals,
                    )
                })
                .map_err(|error| error.to_string()),
            _ => Ok(()),
        };
        if let Memory::Alert { alerts, .. } = &mut state.memory {
            let ends = signals.split_off(start);
            let ends = ends
                .into_iter()
                .filter_map(|signal| judge(signal, rule, alerts, &doubted, blind, logs_only));
            signals.extend(ends);
        }
        state.error = result.err().unwrap_or_default();
        self.stats.failures += u64::from(!state.error.is_empty());
    }

    /// Takes new rules. Alerts of rules that are gone end with the reason `rule removed`; groups
    /// that stay go on from their first tick not closed, new ones begin after the latest closed
    /// tick of any group. Returns the ending signals and, per new group, the old one it goes on
    /// from.
    pub fn reload(&mut self, catalog: Arc<Catalog>) -> (Vec<Signal>, Vec<Option<GroupIndex>>) {
        let latest = self
            .groups
            .iter()
            .filter_map(|state| state.closed)
            .max()
            .unwrap_or(Timestamp::MIN);
        let next = self.groups.iter().map(|state| state.next_tick).min();
        let mut old: Vec<_> = std::mem::take(&mut self.groups)
            .into_iter()
            .map(Some)
            .collect();
        let old_catalog = std::mem::replace(&mut self.catalog, Arc::clone(&catalog));
        let mut map = Vec::new();
        for group in &catalog.rules.groups {
            let key = GroupKey {
                file: Arc::clone(&group.file),
                name: Arc::clone(&group.name),
            };
            let from = old
                .iter()
                .position(|state| state.as_ref().is_some_and(|state| state.key == key));
            let mut state = GroupState::new(group);
            let begin = if latest > Timestamp::MIN {
                latest
            } else {
                next.map_or(latest, |next| next - 1)
            };
            state.next_tick = begin.next_slot(group.interval_ms, group.slot_ms);
            if let Some(mut before) = from.and_then(|from| old[from].take()) {
                let resumed = before.closed.unwrap_or(before.next_tick - 1);
                state.next_tick = resumed.next_slot(group.interval_ms, group.slot_ms);
                (state.closed, state.replay_until) = (before.closed, before.replay_until);
                state.logged = std::mem::take(&mut before.logged);
                state.doubted = std::mem::take(&mut before.doubted);
                let from = from.unwrap_or_default();
                inherit(
                    &mut state,
                    group,
                    &mut before,
                    &old_catalog.rules.groups[from],
                );
                old[from] = Some(before);
            }
            warm(&mut state, group, &old_catalog, &catalog);
            map.push(from);
            self.groups.push(state);
        }
        let mut signals = Vec::new();
        for (state, group) in old.into_iter().zip(&old_catalog.rules.groups) {
            let Some(state) = state else { continue };
            for (rule, mut kept) in group.rules.iter().zip(state.rules) {
                if let Memory::Alert { alerts, .. } = &mut kept.memory {
                    let name = RuleRef {
                        id: rule.id,
                        group: Arc::clone(&group.name),
                        name: Arc::clone(&rule.name),
                    };
                    alerts.remove_all(&name, latest, &mut signals);
                }
            }
        }
        self.recorded.reload(catalog, &map);
        (signals, map)
    }

    /// All alerts that are pending or firing, with their rules.
    pub fn active(&self) -> impl Iterator<Item = (&Arc<Group>, &Rule, &ActiveAlert)> {
        self.catalog
            .rules
            .groups
            .iter()
            .zip(&self.groups)
            .flat_map(|(group, state)| {
                group
                    .rules
                    .iter()
                    .zip(&state.rules)
                    .flat_map(move |(rule, state)| {
                        let alerts = match &state.memory {
                            Memory::Alert { alerts, .. } => Some(alerts.active()),
                            Memory::Record { .. } | Memory::Match(_) => None,
                        };
                        alerts
                            .into_iter()
                            .flatten()
                            .map(move |alert| (group, rule, alert))
                    })
            })
    }

    /// The groups and their rules as they stand.
    pub fn groups(&self) -> Vec<GroupView> {
        let view = |(group, state): (&Arc<Group>, &GroupState)| GroupView {
            name: Arc::clone(&group.name),
            file: Arc::clone(&group.file),
            interval_ms: group.interval_ms,
            last_tick: state.closed,
            rules: group
                .rules
                .iter()
                .zip(&state.rules)
                .map(|(rule, state)| rule_view(rule, state))
                .collect(),
        };
        self.catalog
            .rules
            .groups
            .iter()
            .zip(&self.groups)
            .map(view)
            .collect()
    }

    /// Counts.
    pub fn stats(&self) -> CoreStats {
        self.stats
    }

    /// Series recorded by rules.
    pub fn recorded_series(&self) -> usize {
        self.recorded.counts().series
    }
}

impl GroupState {
    fn new(group: &Group) -> Self {
        Self {
            key: GroupKey {
                file: Arc::clone(&group.file),
                name: Arc::clone(&group.name),
            },
            next_tick: Timestamp::MIN,
            closed: None,
            rules: group.rules.iter().map(RuleState::new).collect(),
            replay_until: Timestamp::MIN,
            logged: BTreeMap::new(),
            doubted: BTreeMap::new(),
        }
    }

    /// The log's last tick is evaluated again: its alerts are what the log says they are. What the
    /// log does not hold (since when an alert is kept firing) stays as the replay found it.
    fn reconcile(&mut self, group: &Group) {
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
    fn new(rule: &Rule) -> Self {
        let memory = match &rule.kind {
            RuleKind::Record { .. } => Memory::Record {
                last: BTreeSet::new(),
            },
            RuleKind::Alert { detector, .. } => Memory::Alert {
                alerts: RuleAlerts::default(),
                bank: detector.as_ref().map(DetectorBank::new),
            },
            RuleKind::Match { .. } => Memory::Match(RuleMatches::default()),
        };
        Self {
            memory,
            silent_until: Timestamp::MIN,
            error: String::new(),
            last_tick: None,
        }
    }
}

/// Rules that stay keep their memories.
fn inherit(state: &mut GroupState, group: &Group, before: &mut GroupState, old: &Group) {
    for (rule, new) in group.rules.iter().zip(&mut state.rules) {
        let same = |kept: &Rule| {
            kept.id == rule.id
                && std::mem::discriminant(&kept.kind) == std::mem::discriminant(&rule.kind)
        };
        if let Some(i) = old.rules.iter().position(same) {
            let mut kept = std::mem::replace(&mut before.rules[i], RuleState::new(&old.rules[i]));
            if let Memory::Alert { alerts, .. } = &mut kept.memory {
                // Annotations are no part of a rule's identity.
                alerts.forget_rendered();
            }
            *new = kept;
        }
    }
}

/// A rule that names a metric not kept until now is silent until its longest range has passed.
fn warm(state: &mut GroupState, group: &Group, old: &Catalog, new: &Catalog) {
    let g = new
        .rules
        .groups
        .iter()
        .position(|known| known.name == group.name && known.file == group.file);
    for (rule, memory) in group.rules.iter().zip(&mut state.rules) {
        if memory.last_tick.is_some() {
            continue;
        }
        let mut reach = 0;
        for leaf in foghorn_rules::plan::leaves_of(&rule.expr, group) {
            let Some(read) = g.and_then(|g| new.leaf_read(g, leaf)) else {
                continue;
            };
            let spec = &new.reads[read.0 as usize];
            let kept = old
                .reads
                .iter()
                .any(|known| known.target.same(&spec.target, old, new));
            if !kept {
                reach = reach.max(g.and_then(|g| spec.reach_ms.get(&g)).copied().unwrap_or(0));
            }
        }
        if reach > 0 {
            memory.silent_until = state.next_tick + reach;
        }
    }
}

fn recorded_vector(
    value: Value,
    rule: &Rule,
    metric: &str,
    limit: usize,
) -> Result<Vector, String> {
    let vector = match value {
        Value::Vector(vector) => vector,
        Value::Scalar(value) => vec![Element {
            labels: Labels::empty(),
            value,
        }],
        Value::Text(_) => return Err("a recording rule cannot record a string".to_owned()),
    };
    if limit > 0 && vector.len() > limit {
        return Err(format!(
            "{} series, where the group's limit is {limit}",
            vector.len()
        ));
    }
    let named = |element: Element| {
        let context = TemplateContext::new(&element.labels, element.value);
        let mut builder = element.labels.to_builder();
        builder.set(NAME, metric);
        for (name, template) in &rule.labels {
            builder.set(name, &template.render(&context));
        }
        Element {
            labels: builder.build(),
            value: element.value,
        }
    };
    let vector: Vector = vector.into_iter().map(named).collect();
    let distinct: BTreeSet<_> = vector.iter().map(|element| &element.labels).collect();
    if distinct.len() < vector.len() {
        return Err(
            "vector contains metrics with the same labelset after applying rule labels".to_owned(),
        );
    }
    Ok(vector)
}

fn record(
    recorded: &mut Shard,
    mut exported: Option<&mut Vec<Recorded>>,
    group: GroupIndex,
    at: Timestamp,
    vector: Vector,
    last: &mut BTreeSet<Labels>,
) {
    let mut write = |labels: &Labels, value: f64| {
        recorded.record(group, labels, at, value);
        if let Some(exported) = &mut exported {
            exported.push(Recorded {
                labels: labels.clone(),
                at,
                value,
            });
        }
    };
    let mut gone = std::mem::take(last);
    for element in vector {
        write(&element.labels, element.value);
        gone.remove(&element.labels);
        last.insert(element.labels);
    }
    for labels in gone {
        write(&labels, STALE_NAN);
    }
}

fn reads_logs_only(rule: &Rule, group: &Group) -> bool {
    let leaves = foghorn_rules::plan::leaves_of(&rule.expr, group);
    !leaves.is_empty()
        && leaves
            .iter()
            .all(|leaf| matches!(group.leaves[leaf.0 as usize].read, Read::Log { .. }))
}

/// Whether an alert's end is an all-clear, and whether it is said. A log query counts what is
/// there: no record is what all-clear looks like. At a tick that closed without a partition that is
/// left behind nothing is an all-clear: that comes when all data says so, and `doubted` (what was in
/// doubt before the tick) stays in doubt without a word.
fn judge(
    mut signal: Signal,
    rule: &Rule,
    alerts: &mut RuleAlerts,
    doubted: &BTreeMap<Labels, Timestamp>,
    blind: bool,
    logs_only: bool,
) -> Option<Signal> {
    let Signal::Transition(t) = &mut signal else {
        return Some(signal);
    };
    if t.kind != TransitionKind::Resolved {
        return Some(signal);
    }
    if logs_only && t.reason == Reason::NoData {
        t.reason = Reason::ConditionFalse { value: None };
    }
    if blind && matches!(t.reason, Reason::ConditionFalse { .. }) {
        t.reason = Reason::NoData;
    }
    if t.reason != Reason::NoData {
        alerts.trust(&t.labels);
        return Some(signal);
    }
    let since = doubted.get(&t.labels).copied();
    if alerts.doubtful(&t.labels).is_none() {
        let element = element_of(&t.labels, rule);
        alerts.doubt(
            since.unwrap_or(t.at),
            ActiveAlert {
                element,
                ..active_of(t, AlertState::Firing)
            },
        );
    }
    since.is_none().then_some(signal)
}

/// Labels of the element that an alert came from, as far as the alert's own labels tell.
fn element_of(labels: &Labels, rule: &Rule) -> Labels {
    let own =
        |name: &str| name != "alertname" && rule.labels.iter().all(|(given, _)| given != name);
    Labels::from_pairs(labels.iter().filter(|(name, _)| own(name)))
}

/// At a rule's first tick that speaks: every alert that is pending or firing is said once, unless
/// it speaks for itself at this tick.
fn say_active(
    memory: &Memory,
    group: &Group,
    rule: &Rule,
    tick: Timestamp,
    start: usize,
    signals: &mut Vec<Signal>,
) {
    let Memory::Alert { alerts, .. } = memory else {
        return;
    };
    // An end of what was never said is not said either; nor a state without its onset.
    signals.truncate(start);
    for alert in alerts.active() {
        let kind = match alert.state {
            AlertState::Pending => TransitionKind::Pending,
            AlertState::Firing => TransitionKind::Firing,
            AlertState::Resolved => continue,
        };
        let id = foghorn_model::AlertId::derive(rule.id, &alert.labels, alert.active_at);
        signals.push(Signal::Transition(Transition {
            id: SignalId::transition(id, kind.code(), tick),
            alert: id,
            rule: RuleRef {
                id: rule.id,
                group: Arc::clone(&group.name),
                name: Arc::clone(&rule.name),
            },
            kind,
            at: tick,
            active_at: alert.active_at,
            fired_at: alert.fired_at,
            labels: alert.labels.clone(),
            annotations: alert.annotations.clone(),
            value: alert.value,
            reason: alert.reason.clone(),
        }));
    }
}

fn rule_view(rule: &Rule, state: &RuleState) -> RuleView {
    let (kind, for_ms, keep_firing_ms) = match &rule.kind {
        RuleKind::Record { .. } => ("recording", 0, 0),
        RuleKind::Alert {
            for_ms,
            keep_firing_ms,
            ..
        } => ("alerting", *for_ms, *keep_firing_ms),
        RuleKind::Match { .. } => ("alerting", 0, 0),
    };
    let health = match state.last_tick {
        _ if !state.error.is_empty() => Health::Err,
        None => Health::Unknown,
        Some(last) if last <= state.silent_until => Health::Warming,
        Some(_) => Health::Ok,
    };
    RuleView {
        id: rule.id,
        name: Arc::clone(&rule.name),
        kind,
        query: Arc::clone(&rule.text),
        for_ms,
        keep_firing_ms,
        health,
        last_error: state.error.clone(),
        last_tick: state.last_tick,
    }
}
