//! What an intake lets in, and what it tells the shards.

use std::collections::BTreeMap;

use foghorn_rules::{LoadOptions, Source, load};

use super::*;
use crate::clock::TimeRules;
use crate::scope::{ScopeRule, Scoping, SourceScope};

const ONE: Partition = Partition::new(0, 0);
const TWO: Partition = Partition::new(0, 1);
const MINUTE_MS: i64 = 60_000;

fn catalog() -> Arc<Catalog> {
    let text = "groups:\n  - name: g\n    rules:\n      - record: r\n        expr: up\n";
    let (rules, _) = load(&[Source::new("t.yaml", text)], &LoadOptions::default());
    Arc::new(Catalog::new(rules))
}

fn intake(most: usize) -> Intake {
    let mut intake = Intake::new(0, 1, catalog());
    for partition in [ONE, TWO] {
        intake.join(
            partition,
            PartitionClock::new(TimeRules::default(), 0, Vec::new()),
        );
    }
    intake.bound_series(most);
    intake
}

/// A record: partition, offset, minute, and its series.
type Record = (Partition, Offset, i64, Vec<u128>);

/// Feeds a record with one sample of each of its series; which of them were let in.
fn feed(intake: &mut Intake, (partition, offset, minute, series): &Record) -> Vec<u128> {
    assert!(intake.begin(*partition, *offset, None));
    let mut let_in = Vec::new();
    for key in series {
        let at = Timestamp(minute * MINUTE_MS);
        let before = intake.batches()[0].cells.len();
        let known = intake.series(SeriesKey(*key));
        let series = known.unwrap_or_else(|| {
            let labels = Labels::from_pairs([("__name__", "up"), ("i", &key.to_string())]);
            intake.define(SeriesKey(*key), labels, SeriesKind::Absolute)
        });
        intake.sample(series, at, 1.0);
        if intake.batches()[0].cells.len() > before {
            let_in.push(*key);
        }
    }
    intake.end();
    let_in
}

fn forget(intake: &mut Intake, key: u128) {
    let number = intake.numbers.get(SeriesKey(key)).unwrap();
    intake.forget(number);
}

#[test]
fn a_series_over_the_bound_is_turned_away_for_ten_minutes() {
    let mut intake = intake(2);
    assert_eq!(feed(&mut intake, &(ONE, 0, 0, vec![1, 2, 3, 3])), [1, 2]);
    assert_eq!(
        intake.take_refused().len(),
        1,
        "one word a series and record"
    );
    forget(&mut intake, 1);
    // There is room now, but not for this one, for ten minutes past its record.
    assert_eq!(feed(&mut intake, &(ONE, 1, 10, vec![3])), []);
    assert_eq!(feed(&mut intake, &(ONE, 2, 11, vec![3])), []);
    // In another partition it is another matter.
    assert_eq!(feed(&mut intake, &(TWO, 0, 11, vec![3])), [3]);
    assert_eq!(feed(&mut intake, &(ONE, 3, 11, vec![3])), [3]);
    let stats = intake.stats();
    assert_eq!((stats.refused_series, stats.refused_samples), (1, 4));
    let made = intake.take_turned_away();
    assert_eq!(made.len(), 1);
    assert_eq!(made[0].offset, 0);
    assert_eq!(made[0].until, Timestamp(10 * MINUTE_MS));
}

#[test]
fn known_series_are_untouched() {
    let mut intake = intake(2);
    feed(&mut intake, &(ONE, 0, 0, vec![1, 2]));
    for minute in 1..100 {
        let record = (ONE, minute, minute, vec![1, 3, 2, 4]);
        assert_eq!(feed(&mut intake, &record), [1, 2]);
    }
    assert_eq!(intake.live_series(), 2);
}

#[test]
fn a_replay_obeys_what_was_decided() {
    let live: Vec<Record> = (0..200_i64)
        .map(|i| {
            let partition = if i % 3 == 0 { ONE } else { TWO };
            let keys = (0..4).map(|k| (i * 7 + k * 5) as u128 % 11).collect();
            (partition, i, i / 3, keys)
        })
        .collect();
    let mut first = intake(6);
    let mut said = BTreeMap::new();
    for (i, record) in live.iter().enumerate() {
        said.insert((record.0, record.1), feed(&mut first, record));
        // Series die now and then, by ticks that a replay does not see in the same places.
        if i % 17 == 16 {
            let dies = said[&(record.0, record.1)].first();
            dies.iter().for_each(|key| forget(&mut first, **key));
        }
    }
    let decisions = first.take_turned_away();
    assert!(decisions.len() > 10, "{}", decisions.len());

    // Each partition in its own order, but one after the other, and nothing dies.
    let mut again = intake(6);
    for partition in [TWO, ONE] {
        again.turn_away(partition, 200, decisions.iter().copied());
        for record in live.iter().filter(|record| record.0 == partition) {
            let let_in = feed(&mut again, record);
            assert_eq!(let_in, said[&(record.0, record.1)], "{record:?}");
        }
    }
    assert_eq!(again.take_turned_away(), []);
}

#[test]
fn past_what_the_log_has_settled_the_bound_decides() {
    let mut intake = intake(1);
    intake.turn_away(ONE, 1, []);
    assert_eq!(feed(&mut intake, &(ONE, 0, 0, vec![1, 2])), [1, 2]);
    assert_eq!(feed(&mut intake, &(ONE, 1, 0, vec![1, 2, 3])), [1, 2]);
    assert_eq!(intake.take_turned_away().len(), 1);
}

#[test]
fn numbers_are_given_again() {
    let mut intake = intake(usize::MAX);
    for round in 0..100 {
        let keys: Vec<_> = (round * 10..round * 10 + 10).collect();
        feed(&mut intake, &(ONE, round as i64, 0, keys.clone()));
        keys.iter().for_each(|key| forget(&mut intake, *key));
    }
    assert_eq!(intake.live_series(), 0);
    assert_eq!(
        intake.batches()[0].births.iter().map(|b| b.series).max(),
        Some(9)
    );
}

#[test]
fn segments_divide_cells_by_partition() {
    let mut intake = intake(usize::MAX);
    intake.batches()[0].clear();
    feed(&mut intake, &(ONE, 0, 1, vec![1, 2]));
    feed(&mut intake, &(ONE, 1, 2, vec![1]));
    feed(&mut intake, &(TWO, 0, 3, vec![1, 2]));
    intake.pin(ONE, Timestamp(9));
    let segments = &intake.batches()[0].segments;
    let ends: Vec<_> = segments
        .iter()
        .map(|s| (s.partition, s.cells_end, s.next_offset))
        .collect();
    assert_eq!(ends, [(ONE, 3, 2), (TWO, 5, 1), (ONE, 5, 2)]);
}

#[test]
fn unnamed_keys_are_forgotten_in_time() {
    let mut intake = intake(usize::MAX);
    for minute in 0..100_i64 {
        intake.begin(ONE, minute, None);
        let labels = Labels::from_pairs([("__name__", "other"), ("i", &minute.to_string())]);
        let key = SeriesKey(minute as u128);
        assert_eq!(intake.series(key), None);
        let series = intake.define(key, labels, SeriesKind::Absolute);
        assert_eq!(series, SeriesRef::UNNAMED);
        assert_eq!(intake.series(key), Some(series));
        intake.sample(series, Timestamp(minute * MINUTE_MS), 1.0);
        intake.end();
    }
    assert!(intake.unnamed.len() <= 22, "{}", intake.unnamed.len());
}

#[test]
fn series_of_a_scope_too_many_are_turned_away_with_it() {
    let mut intake = intake(usize::MAX);
    intake.bound_worlds(1);
    let rule = ScopeRule {
        labels: vec!["cluster".to_owned()],
        replica: None,
    };
    intake.catalog.scope_sources(&Scoping {
        sources: vec![SourceScope::Scoped(rule)],
        ..Scoping::default()
    });
    assert!(intake.begin(ONE, 0, None));
    let sent = [(1, "eu"), (2, "us"), (3, "eu")];
    for (key, cluster) in sent {
        let labels = Labels::from_pairs([("__name__", "up"), ("cluster", cluster)]);
        let series = intake.define(SeriesKey(key), labels, SeriesKind::Absolute);
        intake.sample(series, Timestamp(0), 1.0);
    }
    intake.end();
    let batch = &intake.batches()[0];
    let told = batch.worlds.iter().map(|(world, batch)| {
        let births: Vec<_> = batch
            .births
            .iter()
            .map(|birth| birth.labels.to_string())
            .collect();
        format!("{}: {} of {births:?}", world.scope, batch.cells.len())
    });
    let told: Vec<_> = told.collect();
    assert_eq!(told, [r#"{cluster="eu"}: 2 of ["up", "up"]"#]);
    assert!(batch.cells.is_empty());
    let refused = intake.take_refused();
    let codes: Vec<_> = refused.iter().map(|(_, _, refusal)| refusal.code).collect();
    assert_eq!(codes, ["scope_limit"]);
    let decided: Vec<_> = intake
        .take_turned_away()
        .iter()
        .map(|away| away.key)
        .collect();
    assert_eq!(decided, [SeriesKey(2)]);
}

#[test]
fn a_source_over_its_own_bound_turns_nobody_elses_away() {
    let mut intake = intake(usize::MAX);
    let other = Partition::new(1, 0);
    let clock = PartitionClock::new(TimeRules::default(), 0, Vec::new());
    intake.join(other, clock);
    intake.bound_sources(vec![Some(2), None]);
    assert_eq!(feed(&mut intake, &(ONE, 0, 0, vec![1, 2, 3])), [1, 2]);
    assert_eq!(feed(&mut intake, &(other, 0, 0, vec![4, 5, 6])), [4, 5, 6]);
    forget(&mut intake, 1);
    assert_eq!(feed(&mut intake, &(ONE, 1, 0, vec![7])), [7]);
}
