//! One test under way: the engine, its rules, and the series that it is fed.

use std::collections::BTreeMap;
use std::sync::Arc;

use foghorn_engine::core::Core;
use foghorn_eval::catalog::{Catalog, GroupIndex};
use foghorn_eval::clock::{PartitionClock, TimeRules};
use foghorn_eval::intake::Intake;
use foghorn_eval::promql::Value;
use foghorn_eval::shard::Shard;
use foghorn_model::sink::{RecordSink, SampleSink, SeriesKey};
use foghorn_model::{AlertState, Labels, Offset, Partition, SeriesKind, Timestamp};
use foghorn_rules::plan::{Expr, Group};
use foghorn_rules::unit_test::{AlertTest, ExprTest, TestFile, TestGroup};
use foghorn_rules::{LoadOptions, Slots, Source, load, promql};

use super::dump::Dump;
use super::{Case, Options, diff, last_ms, told};

/// See the module's text.
pub(super) struct Bench<'a> {
    file: &'a TestFile,
    test: &'a TestGroup,
    diff: bool,
    /// Where it is asked for.
    dump: Option<Dump>,
    core: Core,
    shard: Shard,
    intake: Intake,
    next_offset: Offset,
    /// How many groups are rules'; each expression has a group of its own behind them.
    groups: usize,
    /// Each expression test's group and expression, or what is wrong with it.
    exprs: Vec<Result<(GroupIndex, Expr), String>>,
    /// The input series, each once.
    input: BTreeMap<&'a Labels, &'a [Option<f64>]>,
    /// Values of the input series that were fed so far.
    fed: usize,
}

impl<'a> Bench<'a> {
    /// Loads the rules; an error where they are not all right.
    pub(super) fn new(
        file: &'a TestFile,
        test: &'a TestGroup,
        rules: &[Source],
        options: &Options,
    ) -> Result<Self, Vec<String>> {
        let interval_ms = file.evaluation_interval_ms;
        let load_options = LoadOptions {
            default_interval_ms: test.interval_ms,
            subquery_step_ms: Some(interval_ms),
            slots: Slots::Zero,
            external_labels: test.external_labels.clone(),
            external_url: test.external_url.clone(),
            ..LoadOptions::default()
        };
        let (mut rules, diagnostics) = load(rules, &load_options);
        let errors: Vec<_> = diagnostics
            .iter()
            .filter(|diagnostic| diagnostic.is_error())
            .map(ToString::to_string)
            .collect();
        if !errors.is_empty() {
            return Err(errors);
        }
        for group in &mut rules.groups {
            let group = Arc::make_mut(group);
            // As promtool does, whatever the group itself says: from the beginning on.
            let slot_ms = test.start.ms().rem_euclid(interval_ms);
            (group.interval_ms, group.slot_ms) = (interval_ms, slot_ms);
        }
        let place = |group: &Arc<Group>| {
            let named = file.group_eval_order.iter();
            named
                .clone()
                .position(|name| **name == *group.name)
                .unwrap_or(0)
        };
        rules.groups.sort_by_key(place);
        let groups = rules.groups.len();
        let mut exprs = Vec::new();
        for expr in &test.expr_tests {
            let mut leaves = Vec::new();
            let compiled = promql::compile(&expr.expr, interval_ms, &mut leaves);
            exprs.push(match compiled {
                Ok(compiled) => {
                    rules.groups.push(Arc::new(asking(leaves, interval_ms)));
                    Ok((rules.groups.len() - 1, compiled))
                }
                Err(error) => Err(told::expr_error(&expr.expr, &error)),
            });
        }
        let catalog = Arc::new(Catalog::new(rules));
        let mut core = Core::new(Arc::clone(&catalog), test.external_labels.clone());
        core.start(test.start - 1, Timestamp::MIN);
        if options.debug {
            core.export();
        }
        let mut intake = Intake::new(0, 1, Arc::clone(&catalog));
        let clock = TimeRules {
            allowed_lateness_ms: 0,
            ..TimeRules::default()
        };
        intake.join(
            Partition::default(),
            PartitionClock::new(clock, 0, Vec::new()),
        );
        let input = test.input_series.iter();
        Ok(Self {
            file,
            test,
            diff: options.diff,
            dump: options.debug.then(Dump::default),
            shard: Shard::new(catalog),
            core,
            intake,
            next_offset: 0,
            groups,
            exprs,
            // Of two of the same labels the later stands.
            input: input
                .map(|(labels, values)| (labels, values.as_slice()))
                .collect(),
            fed: 0,
        })
    }

    /// Runs the test; what was not as expected is the case's.
    pub(super) fn run(mut self, case: &mut Case) {
        let interval_ms = self.file.evaluation_interval_ms;
        let last_ms = last_ms(self.test);
        // By instant, then as they stand in the file.
        let mut due: Vec<&AlertTest> = self.test.alert_tests.iter().collect();
        due.sort_by_key(|test| test.eval_ms);
        let mut due = due.into_iter().peekable();
        for after_ms in (0..=last_ms).step_by(interval_ms as usize) {
            let tick = self.test.start + after_ms;
            self.feed(tick);
            let errors = self.tick(tick);
            if !errors.is_empty() {
                case.failures.extend(errors);
                return;
            }
            while let Some(test) = due.next_if(|test| test.eval_ms < after_ms + interval_ms) {
                case.failures.extend(self.alerts(test));
            }
        }
        let last_tick = self.test.start + last_ms / interval_ms * interval_ms;
        for (i, test) in self.test.expr_tests.iter().enumerate() {
            case.failures.extend(self.expr(i, test, last_tick));
        }
        if let Some(dump) = &self.dump {
            case.dump = dump.lines(self.test.start, last_ms);
        }
    }

    /// Feeds the input series up to an instant, one record for each step.
    fn feed(&mut self, until: Timestamp) {
        let longest = self.input.values().map(|values| values.len()).max();
        while self.fed < longest.unwrap_or(0) {
            let at = self.test.start + self.fed as i64 * self.test.interval_ms;
            if at > until {
                break;
            }
            self.intake
                .begin(Partition::default(), self.next_offset, None);
            for (labels, values) in &self.input {
                let Some(value) = values.get(self.fed).copied().flatten() else {
                    continue;
                };
                let key = SeriesKey(labels.fingerprint().0);
                let series = self.intake.series(key).unwrap_or_else(|| {
                    self.intake
                        .define(key, (*labels).clone(), SeriesKind::Absolute)
                });
                self.intake.sample(series, at, value);
                if let Some(dump) = &mut self.dump {
                    dump.take((*labels).clone(), at, value);
                }
            }
            self.intake.end();
            (self.next_offset, self.fed) = (self.next_offset + 1, self.fed + 1);
        }
        for batch in self.intake.batches() {
            if !batch.is_empty() {
                self.shard.apply(batch);
                batch.clear();
            }
        }
        for (_, number) in self.shard.take_deaths() {
            self.intake.forget(number);
        }
    }

    /// Evaluates every group; the errors of rules.
    fn tick(&mut self, tick: Timestamp) -> Vec<String> {
        let failures = self.core.stats().failures;
        for group in 0..self.groups {
            self.core.close(group, &mut [&mut self.shard], false);
        }
        if let Some(dump) = &mut self.dump {
            for recorded in self.core.take_recorded() {
                dump.take(recorded.labels, recorded.at, recorded.value);
            }
            for (group, _, alert) in self.core.active() {
                dump.alert(alert, tick - group.query_offset_ms);
            }
        }
        if self.core.stats().failures == failures {
            return Vec::new();
        }
        let groups = self.core.groups();
        let failed = groups.iter().flat_map(|group| &group.rules);
        let failed = failed.filter(|rule| !rule.last_error.is_empty());
        let time = told::go_duration(tick - self.test.start);
        failed
            .map(|rule| {
                format!(
                    "    rule: {}, time: {time}, err: {}",
                    rule.name, rule.last_error
                )
            })
            .collect()
    }

    /// Compares the alerts of a name that are firing with those expected.
    fn alerts(&self, test: &AlertTest) -> Option<String> {
        let firing = self.core.active().filter(|(_, rule, alert)| {
            *rule.name == *test.alertname && alert.state == AlertState::Firing
        });
        let mut got: Vec<(Labels, Labels)> = firing
            .map(|(_, _, alert)| (alert.labels.clone(), alert.annotations.clone()))
            .collect();
        let mut expected = test.expected.clone();
        got.sort();
        expected.sort();
        if got == expected {
            return None;
        }
        let name = if self.test.name.is_empty() {
            String::new()
        } else {
            format!("    name: {},\n", self.test.name)
        };
        let head = format!(
            "{name}    alertname: {}, time: {}, \n",
            test.alertname,
            told::duration(test.eval_ms)
        );
        Some(if self.diff {
            format!("{head}        diff: {}", diff::alerts(&expected, &got))
        } else {
            format!(
                "{head}        exp:{}, \n        got:{}",
                told::alerts(&expected),
                told::alerts(&got)
            )
        })
    }

    /// Compares what an expression gives with what is expected.
    fn expr(&mut self, i: usize, test: &ExprTest, last_tick: Timestamp) -> Option<String> {
        let head = format!(
            "    expr: {}, time: {},",
            told::quote(&test.expr),
            told::duration(test.eval_ms)
        );
        let (group, expr) = match &self.exprs[i] {
            Ok(asked) => asked,
            Err(error) => return Some(format!("{head} err: {error}")),
        };
        let at = self.test.start + test.eval_ms;
        let shards = &mut [&mut self.shard];
        let value = self.core.ask(*group, expr, last_tick, at, shards);
        let elements = match value.map(Value::into_elements) {
            Ok(Ok(elements)) => elements,
            Ok(Err(error)) | Err(error) => return Some(format!("{head} err: {error}")),
        };
        let got = elements.into_iter();
        let mut got: Vec<_> = got.map(|element| (element.labels, element.value)).collect();
        let mut expected = test.expected.clone();
        got.sort_by(|a, b| a.0.cmp(&b.0));
        expected.sort_by(|a, b| a.0.cmp(&b.0));
        let fuzzy = self.file.fuzzy_compare;
        let same = got.len() == expected.len()
            && got
                .iter()
                .zip(&expected)
                .all(|(got, expected)| got.0 == expected.0 && same(got.1, expected.1, fuzzy));
        if same {
            return None;
        }
        Some(format!(
            "{head}\n        exp: {}\n        got: {}",
            told::samples(&expected),
            told::samples(&got)
        ))
    }
}

/// The same bits but for NaN, of which there are many; with `fuzzy` the last bit may differ.
fn same(a: f64, b: f64, fuzzy: bool) -> bool {
    a == b || a.is_nan() && b.is_nan() || fuzzy && (a.next_up() == b || a.next_down() == b)
}

/// A group without rules, through which an expression is asked.
fn asking(leaves: Vec<foghorn_rules::plan::Leaf>, interval_ms: i64) -> Group {
    Group {
        name: "promql_expr_test".into(),
        file: "".into(),
        interval_ms,
        slot_ms: 0,
        query_offset_ms: 0,
        subquery_step_ms: interval_ms,
        limit: 0,
        sources: Vec::new(),
        rules: Vec::new(),
        leaves,
    }
}
