//! A tick: every rule of a group, in order.

use std::sync::Arc;

use foghorn_eval::alerts::{BaseValues, Hit, RuleAlerts};
use foghorn_eval::catalog::{Catalog, GroupIndex};
use foghorn_eval::columns::TickReader;
use foghorn_eval::detect::{DetectorBank, Pick};
use foghorn_eval::promql::Evaluator;
use foghorn_eval::shard::Shard;
use foghorn_eval::vector::{Element, Vector};
use foghorn_model::{Signal, Timestamp};
use foghorn_rules::plan::{Detector, Group, Rule, RuleKind};

use super::judge::{Doubts, judge, say_active};
use super::record::{Recording, recordable};
use super::state::{GroupState, Memory, RuleState};
use super::world::{Base, TickWorld};
use super::{Core, CoreStats, Recorded};

impl Core {
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
        let GroupState {
            next_tick,
            rules,
            replay_until,
            columns,
            ..
        } = &mut self.groups[group];
        let tick = *next_tick;
        let at = tick - plan.query_offset_ms;
        columns.begin();
        let mut signals = Vec::new();
        let mut running = Running {
            catalog: &catalog,
            index: group,
            group: plan,
            tick,
            at,
            blind,
            reader: TickReader::new(columns, &mut self.recorded, shards, tick, at),
            evaluator: &mut self.evaluator,
            external: &self.external,
            exported: self.exported.as_mut().filter(|_| tick > *replay_until),
            stats: &mut self.stats,
        };
        for (r, (rule, state)) in plan.rules.iter().zip(rules).enumerate() {
            running.rule(r, rule, state, &mut signals);
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
                // Others must see the alerts as the log has them.
                for rule in &mut state.rules {
                    if let Memory::Alert { alerts, shown, .. } = &mut rule.memory {
                        shown.take(&catalog, alerts, |labels, value| {
                            self.recorded.record(group, labels, at, value);
                        });
                    }
                }
            }
        }
        signals
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
    external: &'a [(String, String)],
    /// `None` where recorded samples are not sent on.
    exported: Option<&'a mut Vec<Recorded>>,
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
                let doubts = Doubts::of(alerts, self.blind, logs_only);
                let mut changes = Vec::new();
                let detector = detector.as_ref().zip(bank.as_mut());
                let result = self.alert(r, rule, alerts, detector, &mut changes);
                if result.is_ok() {
                    let (index, at, reader) = (self.index, self.at, &mut self.reader);
                    shown.take(self.catalog, alerts, |labels, value| {
                        reader.recorded().record(index, labels, at, value);
                    });
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
        let limit = self.group.limit;
        if limit > 0 && vector.len() > limit {
            return Err(format!(
                "{} series, where the group's limit is {limit}",
                vector.len()
            ));
        }
        let (catalog, at) = (self.catalog, self.at);
        let (index, reader) = (self.index, &mut self.reader);
        let mut exported = self.exported.as_mut().filter(|_| !silent);
        recording.take(catalog, rule, metric, vector, |labels, is_read, value| {
            if is_read {
                reader.recorded().record(index, &labels, at, value);
            }
            if let Some(exported) = &mut exported {
                exported.push(Recorded { labels, at, value });
            }
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
        let advanced = alerts.advance(rule, group, tick, hits, &mut world, self.external, signals);
        advanced.map_err(|error| error.to_string())
    }
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
