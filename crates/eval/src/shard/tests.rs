//! What a shard keeps, and for how long.

use foghorn_model::Labels;
use foghorn_model::time::STALE_NAN;
use foghorn_rules::{LoadOptions, Source, load};

use super::*;
use crate::batch::{Late, Segment};

const SECOND_MS: i64 = 1_000;
const MINUTE_MS: i64 = 60_000;

fn catalog(rules: &str) -> Arc<Catalog> {
    let text = format!("groups:\n  - name: g\n    interval: 15s\n    rules:\n{rules}");
    let (rules, diagnostics) = load(&[Source::new("t.yaml", &text)], &LoadOptions::default());
    assert!(
        !diagnostics.iter().any(foghorn_rules::Diagnostic::is_error),
        "{diagnostics:?}"
    );
    Arc::new(Catalog::new(rules))
}

fn reads_up() -> Arc<Catalog> {
    catalog("      - record: r\n        expr: max_over_time(up[1m])\n")
}

fn up(i: u32) -> Labels {
    Labels::from_pairs([("__name__", "up"), ("i", &i.to_string())])
}

fn birth(number: u32, labels: Labels) -> Birth {
    Birth {
        series: number,
        labels,
        holds: Holds::Samples(SeriesKind::Absolute),
        source: 0,
    }
}

/// A batch of one sample of each of some numbers.
fn samples(numbers: std::ops::Range<u32>, t: i64) -> Batch {
    let cells: Vec<_> = numbers
        .map(|series| Cell {
            series,
            t,
            v: t as f64,
        })
        .collect();
    Batch {
        segments: vec![Segment {
            partition: Partition::new(0, 0),
            cells_end: cells.len() as u32,
            next_offset: 1,
            watermark: Timestamp(t),
            furthest: Timestamp(t),
        }],
        cells,
        ..Batch::default()
    }
}

/// Answers the death marks as an intake does.
fn answer(shard: &mut Shard) -> Vec<u32> {
    let freed: Vec<_> = shard.take_deaths().iter().map(|(_, n)| *n).collect();
    let mut batch = Batch {
        freed: freed.clone(),
        ..Batch::default()
    };
    shard.apply(&mut batch);
    freed
}

#[test]
fn series_come_and_go_and_leave_nothing() {
    let mut shard = Shard::new(reads_up());
    let mut free: Vec<u32> = (0..400).rev().collect();
    for round in 0..200_u32 {
        let t = i64::from(round) * 15 * SECOND_MS;
        for i in 0..10 {
            let number = free.pop().unwrap();
            let mut batch = samples(number..number + 1, t);
            batch.births.push(birth(number, up(round * 10 + i)));
            shard.apply(&mut batch);
        }
        shard.closed(0, Timestamp(t));
        free.extend(answer(&mut shard));
        // Those of the last minute, and of a quarter of that, and of the round.
        assert!(shard.stats().series <= 80, "{} live", shard.stats().series);
    }
    assert!(shard.series.len() <= 80);
    assert!(shard.members[0].len() <= 80);
    assert_eq!(shard.by_identity.len(), shard.stats().series);
    assert_eq!((shard.limbo.len(), shard.marked.len()), (0, 0));
    assert_eq!(shard.free.len() + shard.stats().series, shard.series.len());
}

#[test]
fn a_window_that_is_fed_keeps_its_reach() {
    let mut shard = Shard::new(reads_up());
    let mut first = samples(0..1, 0);
    first.births.push(birth(0, up(0)));
    shard.apply(&mut first);
    for round in 1..1_000 {
        let t = round * SECOND_MS;
        shard.apply(&mut samples(0..1, t));
        if round % 15 == 0 {
            shard.closed(0, Timestamp(t));
        }
    }
    let series = shard.series[0].as_ref().unwrap();
    // What the next tick reaches, a tick's, and a quarter of a minute's that may wait.
    assert!(
        (54..=92).contains(&series.window.len()),
        "{}",
        series.window.len()
    );
}

#[test]
fn dead_and_revived_before_the_intake_hears() {
    let mut shard = Shard::new(reads_up());
    let mut first = samples(0..1, 0);
    first.births.push(birth(0, up(0)));
    shard.apply(&mut first);
    (1..20).for_each(|k| shard.closed(0, Timestamp(k * 15 * SECOND_MS)));
    assert_eq!(shard.stats().series, 0);
    shard.apply(&mut samples(0..1, 5 * MINUTE_MS));
    assert_eq!(shard.stats().series, 1);
    assert_eq!(answer(&mut shard), [0]);
    assert_eq!(shard.limbo.len(), 0);
}

#[test]
fn a_recorded_series_that_nobody_reads_is_one_sample() {
    let mut shard = Shard::new(reads_up());
    let labels = Labels::from_pairs([("__name__", "r")]);
    for round in 0..1_000_u32 {
        let t = Timestamp(i64::from(round) * 15 * SECOND_MS);
        shard.record(0, &labels, t, f64::from(round).sqrt());
        shard.closed(0, t);
    }
    assert_eq!(shard.stats().series, 1);
    assert_eq!(shard.series[0].as_ref().unwrap().window.len(), 1);
}

#[test]
fn of_an_instant_the_first_recorded_value_stands() {
    let mut shard = Shard::new(reads_up());
    for metric in ["up", "unread"] {
        let labels = Labels::from_pairs([("__name__", metric)]);
        let mut record = |at, value| shard.record(0, &labels, Timestamp(at), value);
        assert_eq!(
            [record(0, 1.0), record(0, 2.0), record(0, 1.0)],
            [true, false, true]
        );
        assert!(record(15_000, 2.0));
        shard.record_anew(0, &labels, Timestamp(15_000), 3.0);
        let slot = shard.find(
            &labels,
            Holds::Samples(SeriesKind::Absolute),
            RECORDED,
            Some(0),
        );
        let series = shard.series[slot.unwrap() as usize].as_ref().unwrap();
        assert_eq!(series.window.newest(14_999, 15_000).unwrap().v, 3.0);
    }
}

#[test]
fn a_recorded_series_that_nobody_reads_ends() {
    let check = |last: f64, rounds: i64| {
        let mut shard = Shard::new(reads_up());
        let labels = Labels::from_pairs([("__name__", "r")]);
        shard.record(0, &labels, Timestamp(0), last);
        (0..rounds).for_each(|k| shard.closed(0, Timestamp(k * 15 * SECOND_MS)));
        shard.stats().series
    };
    assert_eq!(check(1.0, 10), 1);
    assert_eq!(check(1.0, 30), 0);
    assert_eq!(check(STALE_NAN, 10), 0);
}

#[test]
fn a_recorded_series_that_is_read_keeps_its_reach() {
    let catalog = catalog(
        "      - record: r\n        expr: max_over_time(up[1m])\n      - record: s\n        expr: max_over_time(r[2m])\n",
    );
    let mut shard = Shard::new(catalog);
    let labels = Labels::from_pairs([("__name__", "r")]);
    for round in 0..1_000_u32 {
        let t = Timestamp(i64::from(round) * 15 * SECOND_MS);
        shard.record(0, &labels, t, f64::from(round).sqrt());
        shard.closed(0, t);
    }
    let series = shard.series[0].as_ref().unwrap();
    assert!(
        (8..=12).contains(&series.window.len()),
        "{}",
        series.window.len()
    );
}

#[test]
fn a_delta_series_of_two_reads_counts_once() {
    let catalog = catalog(
        "      - record: a\n        expr: max_over_time(up[1m])\n      - record: b\n        expr: max_over_time(up{i=\"0\"}[1m])\n",
    );
    let mut shard = Shard::new(catalog);
    for round in 0..100_i64 {
        let mut batch = samples(0..1, round * 15 * SECOND_MS);
        batch.cells[0].v = 1.0;
        if round == 0 {
            let mut birth = birth(0, up(0));
            birth.holds = Holds::Samples(SeriesKind::Delta);
            batch.births.push(birth);
        }
        shard.apply(&mut batch);
        shard.closed(0, Timestamp(round * 15 * SECOND_MS));
    }
    let series = shard.series[0].as_ref().unwrap();
    let total = series.extra.as_ref().unwrap().totals[0].sum;
    // A hundred samples, of which the next tick's reach holds the last three.
    assert_eq!(total, 97.0);
}

#[test]
fn a_series_that_came_from_two_partitions_once_is_slim_again() {
    let mut shard = Shard::new(reads_up());
    for round in 0..100_i64 {
        let mut batch = samples(0..1, round * 15 * SECOND_MS);
        if round == 0 {
            batch.births.push(birth(0, up(0)));
        }
        let elsewhere = round % 7 == 3 && round < 50;
        if elsewhere {
            batch.segments[0].partition = Partition::new(0, 1);
        }
        shard.apply(&mut batch);
        let series = shard.series[0].as_ref().unwrap();
        assert!(series.extra.is_some() || !elsewhere, "{round}");
        assert!(series.extra.is_none() || round < 56, "{round}");
        shard.closed(0, Timestamp(round * 15 * SECOND_MS));
    }
}

/// Absolute and delta series, with totals, out-of-order and late samples.
fn busy() -> Shard {
    let rules = "      - record: r\n        expr: max_over_time(up[1m])\n      - record: s\n        expr: sent\n";
    let mut shard = Shard::new(catalog(rules));
    announce(&mut shard);
    shard.apply(&mut samples(0..8, 0));
    for round in 1..600 {
        go_on(&mut shard, round);
    }
    shard
}

/// An intake tells of five absolute series and three delta series.
fn announce(shard: &mut Shard) {
    let sent = |i: u32| Labels::from_pairs([("__name__", "sent"), ("i", &i.to_string())]);
    let mut batch = Batch::default();
    batch.births.extend((0..5).map(|i| birth(i, up(i))));
    batch.births.extend((5..8).map(|i| Birth {
        holds: Holds::Samples(SeriesKind::Delta),
        ..birth(i, sent(i))
    }));
    shard.apply(&mut batch);
}

/// A second more: samples, some of them late or out of order, and every 15 s a tick.
fn go_on(shard: &mut Shard, round: i64) {
    let t = round * SECOND_MS;
    let mut batch = samples(0..8, t);
    if round % 20 == 3 {
        batch.late.push(Late {
            cell: 2,
            hidden: Timestamp(t + 20 * SECOND_MS),
        });
        batch.cells[2].t -= 7 * SECOND_MS + 1;
        batch.cells[6].t -= 2 * SECOND_MS + 1;
    }
    shard.apply(&mut batch);
    if round % 15 == 0 {
        shard.closed(0, Timestamp(t));
    }
}

/// Everything that is captured, piece by piece; in no order of its own.
fn captured(shard: &mut Shard, most: usize) -> Vec<Vec<u8>> {
    let blocks = std::iter::from_fn(|| shard.capture(most));
    let mut all = Vec::new();
    for block in blocks {
        let mut rest = &block.bytes[..];
        let before = all.len();
        while let Some((len, after)) = rest.split_first_chunk::<4>() {
            let (series, after) = after.split_at(u32::from_le_bytes(*len) as usize);
            all.push(series.to_vec());
            rest = after;
        }
        assert_eq!(all.len() - before, block.series);
    }
    all.sort();
    all
}

#[test]
fn what_is_captured_later_is_what_stood_at_the_cut() {
    let (mut at_once, mut later) = (busy(), busy());
    at_once.cut();
    let expect = captured(&mut at_once, usize::MAX);
    assert_eq!(expect.len(), 8);
    let more = expect.iter().map(|series| {
        let image: Vec<_> = unpack(&packed(series)).map(Result::unwrap).collect();
        image[0].has_more()
    });
    assert!(
        more.filter(|more| *more).count() >= 4,
        "totals, late samples"
    );
    later.cut();
    // A tick comes before any sample: it changes totals, and would settle what was late.
    later.closed(0, Timestamp(600 * SECOND_MS));
    for round in 601..660 {
        go_on(&mut later, round);
    }
    // A series that is born in a slot of the cut's, and one behind them.
    let mut births = samples(8..9, 660 * SECOND_MS);
    births.births.push(birth(8, up(100)));
    later.apply(&mut births);
    assert_eq!(captured(&mut later, 1), expect);
    assert!(later.capture(1).is_none());
    // What waited for the capture's end goes on.
    for round in 661..1_300 {
        go_on(&mut later, round);
    }
    let window = &later.series[0].as_ref().unwrap().window;
    assert!(window.len() <= 92, "{} points", window.len());
}

fn packed(series: &[u8]) -> Vec<u8> {
    [&(series.len() as u32).to_le_bytes(), series].concat()
}

#[test]
fn a_shard_that_adopts_what_another_captured_goes_on_as_it() {
    let (mut one, mut other) = (busy(), Shard::new(Arc::clone(&busy().catalog)));
    let states = one.cut();
    let ranks = other.learn(&states[0]);
    for series in captured(&mut one, usize::MAX) {
        for image in unpack(&packed(&series)) {
            other.adopt(None, image.unwrap(), &ranks).unwrap();
        }
    }
    announce(&mut other);
    assert_eq!(other.counts().series, 8, "each was there");
    for round in 600..660 {
        go_on(&mut one, round);
        go_on(&mut other, round);
    }
    assert_eq!(within_reach(&one), within_reach(&other));
}

/// What ticks to come may see of each series: how far back each window goes is a matter of memory.
fn within_reach(shard: &Shard) -> Vec<String> {
    let reach = (shard.closed[0] - MINUTE_MS).ms();
    let all = shard.series.iter().flatten().map(|series| {
        let mut points = Vec::new();
        series.window.all(&mut points);
        points.retain(|point| point.t > reach);
        let extra = series.extra.as_ref();
        let extra = extra.map(|extra| (&extra.late, &extra.totals, &extra.unordered));
        format!("{} {points:?} {extra:?} {}", series.labels, series.stale)
    });
    let mut all: Vec<_> = all.collect();
    all.sort();
    all
}

#[test]
fn bytes_that_are_no_series_are_refused() {
    let mut shard = busy();
    let states = shard.cut();
    let all = captured(&mut shard, usize::MAX);
    let (mut refused, mut taken) = (0, 0);
    for series in &all {
        for at in 0..series.len() {
            let mut damaged = series.clone();
            damaged[at] ^= 0x41;
            let mut other = Shard::new(Arc::clone(&shard.catalog));
            let ranks = other.learn(&states[0]);
            for image in unpack(&packed(&damaged)) {
                match image.and_then(|image| other.adopt(None, image, &ranks)) {
                    // Another number in its place is a number.
                    Ok(()) => taken += 1,
                    Err(_) => refused += 1,
                }
            }
            // Whatever was taken can be lived with.
            announce(&mut other);
            for round in 660..690 {
                go_on(&mut other, round);
            }
            for end in 0..series.len().min(40) {
                let torn = unpack(&packed(series)[..end]).any(|image| image.is_err());
                assert!(torn || end == 0);
            }
        }
    }
    assert!(
        refused > 100 && taken > 100,
        "{refused} refused, {taken} taken"
    );
}
