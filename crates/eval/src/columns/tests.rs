//! Shared columns give, bit for bit, what each rule gives by itself.

use std::fmt::Write;
use std::sync::Arc;

use foghorn_model::{Labels, Partition, STALE_NAN, SeriesKind, Timestamp};
use foghorn_rules::plan::LeafId;
use foghorn_rules::{LoadOptions, Source, load};
use proptest::prelude::*;

use super::{GroupColumns, TickReader};
use crate::alerts::BaseValues;
use crate::batch::{Batch, Birth, Cell, Holds, Late, Segment};
use crate::catalog::{Catalog, ReadId, Target};
use crate::promql::Evaluator;
use crate::shard::Shard;
use crate::vector::{Leaves, Vector};

/// Expressions of every shape that is recognised, and some that are not.
const EXPRESSIONS: [&str; 40] = [
    "m > 1",
    "m >= 1",
    "1 > m",
    "m < -1",
    "m <= -1",
    "m == 0",
    "m != 0",
    "m != bool 0",
    "m > 2 - 1",
    "timestamp(m) > 0",
    "m offset 20s > 0",
    "avg_over_time(m[1m]) > 0",
    "avg_over_time(m[1m]) > 0.5",
    "avg_over_time(m[30s]) <= 0",
    "max_over_time(m[1m]) >= 0",
    "min_over_time(m[40s]) == 0",
    "min_over_time(m[40s]) < 0",
    "last_over_time(m[1m]) != 3",
    "rate(m[1m]) > 0",
    "quantile_over_time(0.5, m[1m]) > 0",
    "rate(d[1m]) > 0",
    "max_over_time(d[1m]) > 1",
    "d > 1",
    "count_over_time((m > 0)[1m:5s]) > 2",
    "count_over_time((m > 1)[1m:5s]) > 2",
    "count_over_time((m > 1)[1m:5s]) > 6",
    "sum_over_time((m < 1)[1m:7s]) < 3",
    "max_over_time((0 != m)[50s:5s]) > 1",
    "count_over_time((m offset 10s >= 0)[40s:5s] offset 5s) >= 1",
    "last_over_time((m > 0)[1m:10s]) > 0",
    "avg_over_time(m[1m:10s]) > 0",
    "max_over_time((d > 0)[1m:10s]) > 0",
    "predict_linear((m > -9)[1m:10s], 60) > 0",
    "sum by (zone) (rate(m[1m])) > -1",
    "avg without (host) (m)",
    "max(avg_over_time(m[1m])) - min(m)",
    "count(m > 1) > 0",
    "max_over_time((m + 1)[1m:10s]) > 1",
    "count_over_time({app=\"x\"} |= \"e\" [1m]) > 1",
    "stddev by (zone) (m) > 0 and on (zone) m > 1",
];

const HOSTS: [(&str, &str); 5] = [("a", "1"), ("b", "1"), ("c", "2"), ("Z", "2"), ("", "")];

fn catalog() -> Arc<Catalog> {
    let mut rules = String::new();
    for (i, expr) in EXPRESSIONS.iter().enumerate() {
        write!(rules, "      - alert: A{i}\n        expr: '{expr}'\n").unwrap();
    }
    let text = format!(
        "groups:\n  - name: before\n    interval: 10s\n    rules:\n      - record: m\n        expr: other\n  - name: g\n    interval: 10s\n    rules:\n{rules}"
    );
    let (rules, diagnostics) = load(&[Source::new("r.yaml", &text)], &LoadOptions::default());
    let problem = diagnostics.iter().find(|d| d.is_error());
    assert!(problem.is_none(), "{}", problem.unwrap());
    Arc::new(Catalog::new(rules))
}

/// Group `g`.
const GROUP: usize = 1;

/// One series: what it is, and its samples (seconds, value, how far past its time it is hidden).
#[derive(Clone, Debug)]
struct Given {
    metric: usize,
    host: usize,
    source: u16,
    samples: Vec<(i64, f64, Option<i64>)>,
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => (-3..4_i32).prop_map(f64::from),
        4 => -3.0..3.0_f64,
        1 => Just(-0.0),
        1 => Just(f64::NAN),
        1 => Just(f64::INFINITY),
        1 => Just(f64::NEG_INFINITY),
        1 => Just(STALE_NAN),
    ]
}

fn given() -> impl Strategy<Value = Given> {
    let sample = (
        0..400_i64,
        value(),
        proptest::option::weighted(0.1, 0..60_i64),
    );
    let samples = proptest::collection::vec(sample, 0..50);
    (0..3_usize, 0..HOSTS.len(), 0..2_u16, samples).prop_map(|(metric, host, source, samples)| {
        Given {
            metric,
            host,
            source,
            samples,
        }
    })
}

fn labels(given: &Given) -> Labels {
    let (host, zone) = HOSTS[given.host];
    let name = ["m", "d", ""][given.metric];
    Labels::from_pairs([("__name__", name), ("Host", host), ("zone", zone)])
}

/// Feeds series into as many shards as are given, each series to one.
fn feed(catalog: &Catalog, shards: &mut [Shard], all: &[Given]) {
    let log = catalog
        .reads
        .iter()
        .position(|read| matches!(read.target, Target::Log(_)));
    for (number, given) in all.iter().enumerate() {
        let labels = labels(given);
        let holds = match given.metric {
            0 => Holds::Samples(SeriesKind::Absolute),
            1 => Holds::Samples(SeriesKind::Delta),
            _ => Holds::Records(ReadId(log.unwrap() as u32)),
        };
        let shard = labels.fingerprint().0 as usize % shards.len();
        let mut samples = given.samples.clone();
        samples.sort_by_key(|sample| sample.0);
        let cell = |sample: &(i64, f64, Option<i64>)| Cell {
            series: number as u32,
            t: sample.0 * 1_000,
            v: sample.1,
        };
        let late = samples.iter().enumerate().filter_map(|(i, sample)| {
            Some(Late {
                cell: i as u32,
                hidden: Timestamp((sample.0 + sample.2?) * 1_000),
            })
        });
        let mut batch = Batch {
            intake: 0,
            births: vec![Birth {
                series: number as u32,
                labels,
                holds,
                source: given.source,
            }],
            cells: samples.iter().map(cell).collect(),
            late: late.collect(),
            segments: vec![Segment {
                partition: Partition::new(given.source, 0),
                cells_end: samples.len() as u32,
                next_offset: 0,
                watermark: Timestamp(0),
                furthest: Timestamp(0),
            }],
            freed: Vec::new(),
            ..Batch::default()
        };
        shards[shard].apply(&mut batch);
    }
}

/// Reads every leaf by itself.
struct Alone<'a, 'b>(TickReader<'a, 'b>);

impl Leaves for Alone<'_, '_> {
    fn leaf(&mut self, leaf: LeafId, at: Timestamp) -> Vector {
        self.0.read(leaf, at)
    }
}

fn text(vector: &Vector) -> Vec<String> {
    let text = |e: &crate::vector::Element| format!("{} {:x}", e.labels, e.value.to_bits());
    vector.iter().map(text).collect()
}

/// A result, and what its base has for each label set that the test knows.
type Outcome = (Result<Vec<String>, String>, Vec<Option<u64>>);

struct World {
    shards: Vec<Shard>,
    recorded: Shard,
    columns: GroupColumns,
    evaluator: Evaluator,
}

impl World {
    fn new(catalog: &Arc<Catalog>, shards: usize, all: &[Given], recorded: &[Given]) -> Self {
        let mut world = Self {
            shards: (0..shards)
                .map(|_| Shard::new(Arc::clone(catalog)))
                .collect(),
            recorded: Shard::new(Arc::clone(catalog)),
            columns: GroupColumns::new(catalog, GROUP),
            evaluator: Evaluator::new(),
        };
        feed(catalog, &mut world.shards, all);
        for given in recorded.iter().filter(|given| given.metric == 0) {
            for (t, v, _) in &given.samples {
                let at = Timestamp(t / 10 * 10_000);
                world.recorded.record(0, &labels(given), at, *v);
            }
        }
        world
    }

    /// All rules at a tick, together or each by itself.
    fn tick(&mut self, catalog: &Catalog, tick: Timestamp, alone: bool) -> Vec<Outcome> {
        let group = catalog.group(GROUP);
        let mut shards: Vec<&mut Shard> = self.shards.iter_mut().collect();
        self.columns.begin();
        let mut reader = TickReader::new(
            &mut self.columns,
            &mut self.recorded,
            &mut shards,
            tick,
            tick,
        );
        let elements: Vec<Labels> = HOSTS
            .iter()
            .map(|(host, zone)| {
                Labels::from_pairs([("__name__", "m"), ("Host", host), ("zone", zone)])
            })
            .collect();
        let mut outcomes = Vec::new();
        if alone {
            let mut leaves = Alone(reader);
            for rule in &group.rules {
                let condition = self
                    .evaluator
                    .condition(group, &rule.expr, tick, &mut leaves);
                let base = condition.as_ref().ok().and_then(|c| c.base.clone());
                let base = BaseValues::new(&base.unwrap_or_default());
                let base = elements.iter().map(|e| base.value(e).map(f64::to_bits));
                let result = condition
                    .map(|c| text(&c.result))
                    .map_err(|e| e.to_string());
                outcomes.push((result, base.collect()));
            }
            return outcomes;
        }
        for (r, rule) in group.rules.iter().enumerate() {
            let count = reader.count(r);
            let passing = reader.passing(r);
            assert_eq!(count, passing.as_ref().map(Vec::len));
            let outcome = if let Some(vector) = passing {
                let base = elements
                    .iter()
                    .map(|e| reader.compared(r, e).unwrap().map(f64::to_bits));
                (Ok(text(&vector)), base.collect())
            } else {
                let result = self.evaluator.result(group, &rule.expr, tick, &mut reader);
                let condition = self
                    .evaluator
                    .condition(group, &rule.expr, tick, &mut reader);
                let base = condition.ok().and_then(|c| c.base);
                let base = BaseValues::new(&base.unwrap_or_default());
                let base = elements.iter().map(|e| base.value(e).map(f64::to_bits));
                let result = result
                    .map(|vector| text(&vector))
                    .map_err(|e| e.to_string());
                (result, base.collect())
            };
            outcomes.push(outcome);
        }
        outcomes
    }

    fn close(&mut self, tick: Timestamp) {
        for group in 0..2 {
            for shard in &mut self.shards {
                shard.closed(group, tick);
            }
            self.recorded.closed(group, tick);
        }
    }
}

#[test]
fn most_shapes_are_recognised() {
    let catalog = catalog();
    let plan = super::GroupPlan::new(&catalog, GROUP);
    let tested = (0..EXPRESSIONS.len()).filter(|rule| plan.tested(*rule).is_some());
    assert_eq!(tested.count(), 33);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn together_is_as_alone(
        all in proptest::collection::vec(given(), 0..12),
        recorded in proptest::collection::vec(given(), 0..2),
        shards in 1..4_usize,
    ) {
        let catalog = catalog();
        let mut one = World::new(&catalog, 1, &all, &recorded);
        let mut many = World::new(&catalog, shards, &all, &recorded);
        for second in [70, 80, 240, 400] {
            let tick = Timestamp(second * 1_000);
            let alone = one.tick(&catalog, tick, true);
            for (world, name) in [(&mut one, "one shard"), (&mut many, "shards")] {
                let together = world.tick(&catalog, tick, false);
                for ((alone, together), expr) in alone.iter().zip(&together).zip(EXPRESSIONS) {
                    prop_assert_eq!(together, alone, "{} at {}, {}", expr, second, name);
                }
                world.close(tick);
            }
        }
    }
}
