//! Telemetry that stops, lags, runs ahead or cannot be reached: what ticks do then.

#[expect(dead_code, reason = "two tests share it, and each needs its own part")]
mod world;

use std::collections::BTreeMap;

use foghorn_engine::Entry;
use foghorn_model::{Labels, Partition, Signal, Timestamp};
use foghorn_testkit::rng::Rng;
use foghorn_testkit::scenario::BEGIN;
use foghorn_wire::encode::RemoteWrite;
use world::run::{PATIENCE, Run, Trouble, layout, replay};
use world::source::{FIRST, World};

const RULES: &str = r"
groups:
- name: beats
  interval: 15s
  rules:
  - alert: Gone
    expr: absent_over_time(beat[75s])
  - alert: Beats
    expr: sum(count_over_time(beat[60s])) * 997 % 2 > 0
";

/// A world in which every partition of a list has a beat of its own each `every_ms`.
fn beating(partitions: &[u32], every_ms: i64, until_ms: i64, lateness_ms: i64) -> World {
    let mut world = World::empty(RULES, lateness_ms);
    for index in partitions {
        for at_ms in (0..until_ms).step_by(every_ms as usize) {
            beat(&mut world, *index, at_ms, at_ms + 500);
        }
    }
    world
}

fn beat(world: &mut World, index: u32, at_ms: i64, available_ms: i64) {
    let labels = Labels::from_pairs([("__name__", "beat"), ("from", &index.to_string())]);
    let payload = RemoteWrite::new()
        .series(&labels, &[(BEGIN + at_ms, 1.0)])
        .into_bytes();
    world.put(Partition::new(FIRST, index), available_ms, payload);
}

fn start(world: &World) -> Run<'_> {
    Run::start(world, layout(&mut Rng::new(7), PATIENCE))
}

/// The last closed tick, in milliseconds after the beginning; all before it are closed, each once.
fn closed_ms(run: &Run<'_>) -> i64 {
    let told = run.told();
    assert_eq!(told.twice, Vec::<String>::new());
    let ticks: Vec<Timestamp> = told.ticks.keys().map(|(_, tick)| *tick).collect();
    assert!(
        ticks.windows(2).all(|pair| pair[1] - pair[0] == 15_000),
        "a tick is missing: {ticks:?}"
    );
    ticks.last().map_or(-15_000, |tick| *tick - BEGIN)
}

/// When an alert fired and ended, in milliseconds after the beginning.
fn said(run: &Run<'_>, alert: &str) -> BTreeMap<i64, Vec<String>> {
    let mut said: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    let signals = run.log.iter().flat_map(|entry| match entry {
        Entry::Tick { signals, .. } => signals.as_slice(),
        _ => &[],
    });
    for signal in signals {
        if let Signal::Transition(t) = signal
            && &*t.rule.name == alert
        {
            said.entry(t.at - BEGIN).or_default().push(format!(
                "{} {}",
                t.kind.code(),
                t.reason.code()
            ));
        }
    }
    said
}

fn check_against_replay(world: &World, run: &Run<'_>) {
    assert_eq!(
        run.told()
            .differs(&replay(world, &run.log, &mut Rng::new(1))),
        None
    );
}

#[test]
fn ticks_go_on_when_all_telemetry_dies() {
    let world = beating(&[0, 1, 2], 5_000, 60_000, 4_000);
    let mut run = start(&world);
    run.settle(300_000);
    // Ticks follow wall time less allowed lateness and idle timeout: 300 − 4 − 6 s.
    assert_eq!(closed_ms(&run), 285_000);
    // The last beat is at 55 s; (60, 135] is the first range without one.
    assert_eq!(
        said(&run, "Gone"),
        BTreeMap::from([(135_000, vec!["firing condition_true".to_owned()])])
    );
    check_against_replay(&world, &run);
}

#[test]
fn a_host_whose_clock_is_a_day_ahead_holds_nothing_back() {
    let mut world = beating(&[0], 5_000, 300_000, 4_000);
    for at_ms in (0..300_000).step_by(2_000) {
        let labels = Labels::from_pairs([("__name__", "beat"), ("from", "tomorrow")]);
        let tomorrow = BEGIN + at_ms + 86_400_000;
        let payload = RemoteWrite::new()
            .series(&labels, &[(tomorrow, 1.0)])
            .into_bytes();
        world.put(Partition::new(FIRST, 1), at_ms, payload);
    }
    let mut run = start(&world);
    run.settle(100_000);
    // Partition 1 is never quiet, and never says when it is.
    assert!(closed_ms(&run) >= 75_000, "{}", closed_ms(&run));
    run.settle(300_000);
    check_against_replay(&world, &run);
}

#[test]
fn a_crash_while_idle_says_nothing_again_and_goes_on() {
    let world = beating(&[0, 1, 2], 5_000, 60_000, 4_000);
    let mut run = start(&world);
    for _ in 0..6 {
        run.settle(50_000);
        run.crash(usize::MAX);
    }
    run.settle(1_000);
    assert_eq!(closed_ms(&run), 285_000);
    assert_eq!(
        said(&run, "Gone").keys().copied().collect::<Vec<_>>(),
        [135_000]
    );
    check_against_replay(&world, &run);
}

#[test]
fn scrapes_a_minute_apart_over_twelve_partitions_are_neither_late_nor_waited_for() {
    let mut world = World::empty(RULES, 10_000);
    let mut rng = Rng::new(12);
    for index in 0..12 {
        world.logs.insert(Partition::new(FIRST, index), Vec::new());
    }
    for scrape in 0..20 {
        // One export goes to some partition, as the collector's Kafka exporter does it.
        let at_ms = scrape * 60_000;
        beat(
            &mut world,
            rng.below(12) as u32,
            at_ms,
            at_ms + rng.within(0, 4_000),
        );
    }
    let mut run = start(&world);
    while run.wall_ms < 1_200_000 {
        run.settle(1_000);
        // Never further behind than lateness, idle timeout, a tick and a step.
        assert!(
            run.wall_ms - closed_ms(&run) <= 10_000 + 6_000 + 15_000 + 1_000,
            "stuck at {} ms",
            run.wall_ms
        );
    }
    assert_eq!((run.stats().late, run.stats().samples), (0, 20));
    assert!(said(&run, "Gone").is_empty());
    check_against_replay(&world, &run);
}

#[test]
fn a_backlog_is_waited_for_however_long_and_is_exact() {
    let world = beating(&[0, 1], 5_000, 200_000, 4_000);
    let (current, behind) = (Partition::new(FIRST, 0), Partition::new(FIRST, 1));
    let mut run = start(&world);
    run.wall_ms = 1_000_000;
    run.read(current, usize::MAX);
    run.read(behind, 5);
    for _ in 0..100 {
        run.wall_ms += 10_000;
        run.step();
    }
    // Five beats: the watermark is 20 − 4 s.
    assert_eq!(closed_ms(&run), 15_000);
    run.read(behind, 15);
    run.step();
    assert_eq!(closed_ms(&run), 90_000);
    run.settle(30_000);
    assert_eq!(run.stats().late, 0);
    check_against_replay(&world, &run);
}

#[test]
fn a_clock_a_day_ahead_deafens_nobody() {
    let mut world = beating(&[0], 5_000, 100_000, 4_000);
    for at_ms in (0..100_000).step_by(5_000) {
        beat(&mut world, 1, at_ms, at_ms + 700);
        if at_ms == 50_000 {
            // Its own stamp runs ahead with it.
            beat(&mut world, 1, 86_400_000, at_ms + 700);
            world
                .logs
                .get_mut(&Partition::new(FIRST, 1))
                .unwrap()
                .last_mut()
                .unwrap()
                .stamp = BEGIN + 86_400_000;
        }
    }
    let mut run = start(&world);
    run.settle(150_000);
    let stats = run.stats();
    assert_eq!((stats.refused_ahead, stats.late, stats.samples), (1, 0, 41));
    assert_eq!(closed_ms(&run), 135_000);
    // Read again long after, the record is refused again, as the log says.
    run.wall_ms += 90_000_000;
    let log = run.log.len();
    run.crash(usize::MAX);
    for index in 0..2 {
        run.read(Partition::new(FIRST, index), usize::MAX);
    }
    assert_eq!(
        (run.stats().refused_ahead, run.stats().late, run.log.len()),
        (1, 0, log)
    );
    check_against_replay(&world, &run);
}

#[test]
fn time_stands_still_while_nothing_can_be_reached() {
    let world = beating(&[0, 1], 5_000, 200_000, 4_000);
    let mut run = start(&world);
    run.settle(50_000);
    let before = closed_ms(&run);
    run.cut_off(&[Partition::new(FIRST, 0), Partition::new(FIRST, 1)]);
    run.settle(500_000);
    assert_eq!(closed_ms(&run), before);
    run.cut_off(&[]);
    run.settle(15_000);
    assert_eq!((closed_ms(&run), run.stats().late), (555_000, 0));
    check_against_replay(&world, &run);
}

#[test]
fn one_out_of_reach_is_left_behind_and_ends_without_an_all_clear() {
    let world = beating(&[0, 1], 5_000, 200_000, 4_000);
    let mut run = start(&world);
    run.settle(60_000);
    run.cut_off(&[Partition::new(FIRST, 1)]);
    run.go(&mut Rng::new(3), Trouble::default());
    let spans = run.log.iter().filter_map(|entry| match entry {
        Entry::Blind { after, until, .. } => Some((*after - BEGIN, *until - BEGIN)),
        _ => None,
    });
    let spans: Vec<_> = spans.collect();
    let blind = |tick: i64| {
        spans
            .iter()
            .any(|(after, until)| *after < tick && tick <= *until)
    };
    let ends = said(&run, "Beats")
        .into_iter()
        .flat_map(|(tick, words)| words.into_iter().map(move |word| (tick, word)));
    let ends: Vec<_> = ends
        .filter(|(tick, word)| blind(*tick) && word.starts_with("resolved"))
        .collect();
    assert!(!ends.is_empty(), "no end at any of {spans:?}");
    assert!(
        ends.iter().all(|(_, word)| word == "resolved no_data"),
        "{ends:?}"
    );
    assert!(closed_ms(&run) >= 195_000);
    check_against_replay(&world, &run);
}
