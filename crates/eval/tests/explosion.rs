//! Ever new series in every second of an hour (a fiftieth of a thousand each): what is over the bound
//! is refused by name, memory keeps to the bound, and series that are known go on exactly.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, where a panic is the report"
)]

use std::collections::BTreeSet;
use std::sync::Arc;

use foghorn_eval::catalog::Catalog;
use foghorn_eval::clock::{PartitionClock, TimeRules};
use foghorn_eval::intake::Intake;
use foghorn_eval::shard::Shard;
use foghorn_model::labels::NAME;
use foghorn_model::{
    Labels, Partition, RecordSink, SampleSink, SeriesKey, SeriesKind, SeriesRef, Timestamp,
};
use foghorn_rules::plan::LeafId;
use foghorn_rules::{LoadOptions, Source, load};

const BEGIN: Timestamp = Timestamp(1_700_000_000_000);
const RULES: &str =
    "groups: [{name: g, interval: 15s, rules: [{alert: A, expr: 'max_over_time(m[1m]) > 1e9'}]}]";

/// Series that send in every second, from the first on.
const KNOWN: u64 = 5;
const NEW_A_SECOND: u64 = 20;
const MAX_SERIES: usize = 300;

struct Stream {
    intake: Intake,
    shard: Shard,
}

impl Stream {
    fn new() -> Self {
        let (rules, diagnostics) = load(&[Source::new("r.yaml", RULES)], &LoadOptions::default());
        assert!(!diagnostics.iter().any(foghorn_rules::Diagnostic::is_error));
        let catalog = Arc::new(Catalog::new(rules));
        let mut intake = Intake::new(0, 1, Arc::clone(&catalog));
        intake.join(
            Partition::new(0, 0),
            PartitionClock::new(TimeRules::default(), 0, Vec::new()),
        );
        intake.bound_series(MAX_SERIES);
        Self {
            intake,
            shard: Shard::new(catalog),
        }
    }

    fn sample(&mut self, number: u64, at: Timestamp, value: f64) {
        let key = SeriesKey(u128::from(number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060));
        let series: SeriesRef = self.intake.series(key).unwrap_or_else(|| {
            let id = number.to_string();
            let labels = Labels::from_pairs([(NAME, "m"), ("id", id.as_str())]);
            self.intake.define(key, labels, SeriesKind::Absolute)
        });
        self.intake.sample(series, at, value);
    }

    fn settle(&mut self) {
        for batch in self.intake.batches() {
            self.shard.apply(batch);
            batch.clear();
        }
        for (_, number) in self.shard.take_deaths() {
            self.intake.forget(number);
        }
    }

    /// What the rule reads of the series that are known all the time.
    fn read(&mut self, tick: Timestamp) -> Vec<f64> {
        let vector = self.shard.leaf(0, LeafId(0), tick, tick);
        let id = |labels: &Labels| labels.value("id").parse::<u64>().unwrap();
        let known = vector.iter().filter(|element| id(&element.labels) < KNOWN);
        known.map(|element| element.value).collect()
    }
}

#[test]
fn an_hour_of_ever_new_series_costs_the_known_ones_nothing() {
    let mut stream = Stream::new();
    let (mut next, mut most) = (KNOWN, 0);
    for second in 0..3_600 {
        let at = BEGIN + second * 1_000;
        assert!(stream.intake.begin(Partition::new(0, 0), second, Some(at)));
        for number in 0..KNOWN {
            stream.sample(number, at, second as f64);
        }
        for _ in 0..NEW_A_SECOND {
            stream.sample(next, at, 1.0);
            next += 1;
        }
        stream.intake.end();
        stream.settle();
        if second % 15 == 14 {
            assert_eq!(
                stream.read(at),
                vec![second as f64; KNOWN as usize],
                "{at:?}"
            );
            stream.shard.closed(0, at);
            stream.settle();
        }
        most = most.max(stream.shard.counts().series);
    }
    let stats = stream.intake.stats();
    assert!(most <= MAX_SERIES, "{most} series lived at a time");
    assert!(stats.refused_series > 3_600 * NEW_A_SECOND / 2, "{stats:?}");
    assert_eq!(
        stats.refused_samples, stats.refused_series,
        "each sent one sample"
    );
    let refused = stream.intake.take_refused();
    let reasons: BTreeSet<_> = refused.iter().map(|(_, _, refusal)| refusal.code).collect();
    assert_eq!(reasons, BTreeSet::from(["series_limit"]));
    let decided = stream.intake.take_turned_away().len();
    assert_eq!(
        decided as u64, stats.refused_series,
        "each is a decision for the log"
    );
}
