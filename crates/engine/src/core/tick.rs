//! A tick: every rule of a group, in order.

use std::sync::Arc;

use foghorn_eval::alerts::{BaseValues, Hit, Home, RuleAlerts, rule_ref};
use foghorn_eval::catalog::{Catalog, GroupIndex};
use foghorn_eval::columns::{GroupColumns, TickReader};
use foghorn_eval::detect::{DetectorBank, Pick};
use foghorn_eval::promql::Evaluator;
use foghorn_eval::shard::{Shard, WorldShards};
use foghorn_eval::vector::{Element, Vector};
use foghorn_model::{Labels, Reason, Signal, Timestamp};
use foghorn_rules::plan::{Detector, Group, Rule, RuleKind};

use super::judge::{Doubts, judge, say_active};
use super::record::{Recording, recordable};
use super::scopes::{shards_of, with_scope};
use super::shown::Shown;
use super::state::{Memory, RuleState};
use super::world::{Base, TickWorld};
use super::{Closed, Core, CoreStats, Recorded};

impl Core {
    /// Closes a group's next tick: all that it says, in scope, rule and label order. `blind` says
    /// that it closes without a partition that is left behind. Ticks that the log closed before say
    /// nothing.
    pub fn close(&mut self, group: GroupIndex, shards: &mut [&mut Shard], blind: bool) -> Closed {
        let tick = self.groups[group].next_tick;
        let mut worlds: Vec<_> = shards.iter_mut().map(|shard| shard.lend_worlds()).collect();
        let news = self.scope_news(group, shards, &worlds);
        self.take_news(group, &news);
        let mut signals = Vec::new();
        self.evaluate(
            group,
            &Labels::empty(),
            shards,
            &mut worlds,
            blind,
            &mut signals,
        );
        let scopes: Vec<_> = self.groups[group].scoped.keys().cloned().collect();
        for scope in scopes {
            self.evaluate(group, &scope, shards, &mut worlds, blind, &mut signals);
        }
        let scoped = &mut self.groups[group].scoped;
        scoped.retain(|_, state| state.heard.is_some());
        for (shard, worlds) in shards.iter_mut().zip(worlds) {
            shard.take_back(worlds);
            shard.closed(group, tick);
        }
        for scope in self.scopes.values_mut() {
            scope.recorded.closed(group, tick);
        }
        self.stats.ticks += 1;
        let state = &mut self.groups[group];
        state.closed = Some(tick);
        state.next_tick = tick + self.catalog.group(group).interval_ms;
        if tick <= state.replay_until {
            signals.clear();
            if state.next_tick > state.replay_until {
                self.reconcile(group, tick);
            }
        }
        Closed { signals, news }
    }

    /// Evaluates a group's rules as one scope sees them. What they hold of what they do not read (any
    /// more) ends, for want of data.
    fn evaluate(
        &mut self,
        group: GroupIndex,
        scope: &Labels,
        shards: &mut [&mut Shard],
        worlds: &mut [WorldShards],
        blind: bool,
        signals: &mut Vec<Signal>,
    ) {
        let catalog = Arc::clone(&self.catalog);
        let plan = &catalog.rules.groups[group];
        let (tick, replay_until) = (
            self.groups[group].next_tick,
            self.groups[group].replay_until,
        );
        let at = tick - plan.query_offset_ms;
        let state = &mut self.groups[group];
        let state = if scope.is_empty() {
            Some(&mut state.plain)
        } else {
            state.scoped.get_mut(scope)
        };
        let (Some(state), Some(shared)) = (state, self.scopes.get_mut(scope)) else {
            return;
        };
        let (mut seen, layout) = shards_of(shards, worlds, scope, &state.replica);
        let is_new = state.layout.as_ref() != Some(&layout);
        if is_new && state.layout.replace(layout).is_some() {
            // Both keep rows by their shards' positions.
            state.columns = GroupColumns::new(&catalog, group);
            shared.evaluator = Evaluator::default();
        }
        let reads = Reads {
            series: state.heard.is_some() || scope.is_empty() && catalog.is_plain(group),
            logs: scope.is_empty(),
        };
        state.columns.begin();
        let mut running = Running {
            catalog: &catalog,
            index: group,
            group: plan,
            tick,
            at,
            blind,
            reader: TickReader::new(
                &mut state.columns,
                &mut shared.recorded,
                &mut seen,
                tick,
                at,
            ),
            evaluator: &mut shared.evaluator,
            home: Home {
                external: &shared.external,
                scope,
            },
            exported: self.exported.as_mut().filter(|_| tick > replay_until),
            max_elements: self.max_elements,
            stats: &mut self.stats,
        };
        for (r, (rule, state)) in plan.rules.iter().zip(&mut state.rules).enumerate() {
            if reads.has(rule, state) {
                running.rule(r, rule, state, signals);
            } else if !state.memory.is_idle() {
                running.end(rule, state, signals);
            }
        }
    }

    /// The last tick that the log holds is closed again: alerts are what it says, and others must
    /// see them so.
    fn reconcile(&mut self, group: GroupIndex, tick: Timestamp) {
        let catalog = Arc::clone(&self.catalog);
        let plan = catalog.group(group);
        let at = tick - plan.query_offset_ms;
        let state = &mut self.groups[group];
        state.reconcile(plan);
        let none = Labels::empty();
        let plain = std::iter::once((&none, &mut state.plain));
        for (scope, state) in plain.chain(&mut state.scoped) {
            let Some(shared) = self.scopes.get_mut(scope) else {
                continue;
            };
            for rule in &mut state.rules {
                if let Memory::Alert { alerts, shown, .. } = &mut rule.memory {
                    shown.take(&catalog, alerts, scope, |labels, value| {
                        shared.recorded.record_anew(group, labels, at, value);
                    });
                }
            }
        }
    }
}

/// What the rules of a scope may read.
#[derive(Clone, Copy)]
struct Reads {
    series: bool,
    logs: bool,
}

impl Reads {
    /// Whether a rule is evaluated. Logs live in no scope.
    fn has(self, rule: &Rule, state: &RuleState) -> bool {
        if state.logs_only || matches!(rule.kind, RuleKind::Match { .. }) {
            self.logs
        } else {
            self.series
        }
    }
}

/// A group's tick under way.
struct Running<'a, 'b> {
    catalog: &'a Catalog,
    index: GroupIndex,
    group: &'a Group,
    tick: Timestamp,
    /// What the rules are evaluated as of.
    at: Timestamp,
    blind: bool,
    reader: TickReader<'a, 'b>,
    evaluator: &'a mut Evaluator,
    home: Home<'a>,
    /// `None` where recorded samples are not sent on.
    exported: Option<&'a mut Vec<Recorded>>,
    max_elements: usize,
    stats: &'a mut CoreStats,
}

impl Running<'_, '_> {
    /// Evaluates a rule; what it says is appended.
    fn rule(&mut self, r: usize, rule: &Rule, state: &mut RuleState, signals: &mut Vec<Signal>) {
        self.stats.evaluations += 1;
        let silent = self.tick <= state.silent_until;
        let first = state
            .last_tick
            .is_none_or(|last| last <= state.silent_until);
        state.last_tick = Some(self.tick);
        // Most rules at most ticks: nothing passes, and nothing was there before.
        if state.memory.is_idle() && self.reader.count(r) == Some(0) {
            state.error.clear();
            return;
        }
        let start = signals.len();
        let result = self.evaluate(r, rule, state, silent, signals);
        state.error = result.err().unwrap_or_default();
        self.stats.failures += u64::from(!state.error.is_empty());
        if silent {
            signals.truncate(start);
        } else if first {
            say_active(&state.memory, self.group, rule, self.tick, start, signals);
        }
    }

    /// Ends all that a rule holds, for want of data.
    fn end(&mut self, rule: &Rule, state: &mut RuleState, signals: &mut Vec<Signal>) {
        let silent = self.tick <= state.silent_until;
        match (&mut state.memory, &rule.kind) {
            (Memory::Alert { alerts, shown, .. }, _) => {
                let (start, name) = (signals.len(), rule_ref(rule, self.group));
                alerts.remove_all(&name, self.tick, &Reason::NoData, signals);
                if silent {
                    signals.truncate(start);
                }
                self.show(alerts, shown);
            }
            (Memory::Record(recording), RuleKind::Record { metric }) => {
                let ended = self.write(rule, metric, recording, Vector::new(), silent);
                state.error = ended.err().unwrap_or_default();
            }
            _ => {}
        }
    }

    /// Has other rules see a rule's alerts.
    fn show(&mut self, alerts: &RuleAlerts, shown: &mut Shown) {
        let (index, at, reader) = (self.index, self.at, &mut self.reader);
        shown.take(self.catalog, alerts, self.home.scope, |labels, value| {
            reader.recorded().record(index, labels, at, value);
        });
    }

    fn evaluate(
        &mut self,
        r: usize,
        rule: &Rule,
        state: &mut RuleState,
        silent: bool,
        signals: &mut Vec<Signal>,
    ) -> Result<(), String> {
        let logs_only = state.logs_only;
        match (&mut state.memory, &rule.kind) {
            (
                Memory::Match(matches),
                RuleKind::Match {
                    resolve_after_ms, ..
                },
            ) => {
                signals.extend(matches.tick(self.group, rule, self.tick, *resolve_after_ms));
                Ok(())
            }
            (Memory::Record(recording), RuleKind::Record { metric }) => {
                self.record(r, rule, metric, recording, silent)
            }
            (
                Memory::Alert {
                    alerts,
                    bank,
                    shown,
                },
                RuleKind::Alert { detector, .. },
            ) => {
                let doubts = Doubts::of(alerts, self.blind, logs_only, self.home.scope);
                let mut changes = Vec::new();
                let detector = detector.as_ref().zip(bank.as_mut());
                let result = self.alert(r, rule, alerts, detector, &mut changes);
                if result.is_ok() {
                    self.show(alerts, shown);
                }
                let said = changes
                    .into_iter()
                    .filter_map(|signal| judge(signal, rule, alerts, &doubts));
                signals.extend(said);
                result
            }
            _ => Ok(()),
        }
    }

    fn record(
        &mut self,
        r: usize,
        rule: &Rule,
        metric: &str,
        recording: &mut Recording,
        silent: bool,
    ) -> Result<(), String> {
        let vector = match self.reader.passing(r) {
            Some(vector) => vector,
            None => recordable(
                self.evaluator
                    .evaluate(self.group, &rule.expr, self.at, &mut self.reader)
                    .map_err(|error| error.to_string())?,
            )?,
        };
        bounded(&vector, self.max_elements)?;
        let limit = self.group.limit;
        if limit > 0 && vector.len() > limit {
            return Err(format!(
                "{} series, where the group's limit is {limit}",
                vector.len()
            ));
        }
        self.write(rule, metric, recording, vector, silent)
    }

    /// Takes in what a recording rule gives.
    fn write(
        &mut self,
        rule: &Rule,
        metric: &str,
        recording: &mut Recording,
        vector: Vector,
        silent: bool,
    ) -> Result<(), String> {
        let (catalog, at, scope) = (self.catalog, self.at, self.home.scope);
        let (index, reader) = (self.index, &mut self.reader);
        let mut exported = self.exported.as_mut().filter(|_| !silent);
        recording.take(catalog, rule, metric, vector, |labels, is_kept, value| {
            let stands = !is_kept || reader.recorded().record(index, &labels, at, value);
            if let Some(exported) = exported.as_mut().filter(|_| stands) {
                let labels = with_scope(labels, scope);
                exported.push(Recorded { labels, at, value });
            }
            stands
        })
    }

    fn alert(
        &mut self,
        r: usize,
        rule: &Rule,
        alerts: &mut RuleAlerts,
        detector: Option<(&Detector, &mut DetectorBank)>,
        signals: &mut Vec<Signal>,
    ) -> Result<(), String> {
        let (group, tick, at) = (self.group, self.tick, self.at);
        let (evaluator, reader) = (&mut *self.evaluator, &mut self.reader);
        let passing = reader.passing(r);
        let is_tested = passing.is_some();
        let result: Vector = match passing {
            Some(vector) => vector,
            None => evaluator
                .result(group, &rule.expr, at, reader)
                .map_err(|error| error.to_string())?,
        };
        bounded(&result, self.max_elements)?;
        let (hits, base) = if let Some((detector, bank)) = detector {
            let picks = bank.observe(detector, tick, group.interval_ms, &result);
            let base = Base::Known(BaseValues::new(&result));
            (picks.into_iter().map(picked).collect(), base)
        } else {
            let base = if is_tested {
                Base::Tested
            } else {
                Base::Asked(None)
            };
            (result.into_iter().map(hit).collect(), base)
        };
        let mut world = TickWorld {
            catalog: self.catalog,
            index: self.index,
            group,
            rule,
            r,
            at,
            base,
            evaluator,
            reader,
        };
        let advanced = alerts.advance(rule, group, tick, hits, &mut world, self.home, signals);
        advanced.map_err(|error| error.to_string())
    }
}

/// A rule that explodes fails alone, before its result becomes alerts or series.
fn bounded(vector: &Vector, most: usize) -> Result<(), String> {
    if vector.len() <= most {
        return Ok(());
    }
    Err(format!(
        "{} elements, where a rule may give {most} (limits.max_rule_elements)",
        vector.len()
    ))
}

fn hit(element: Element) -> Hit {
    Hit {
        labels: element.labels,
        value: element.value,
        reason: None,
    }
}

fn picked(pick: Pick) -> Hit {
    Hit {
        labels: pick.labels,
        value: pick.value,
        reason: Some(pick.reason),
    }
}
