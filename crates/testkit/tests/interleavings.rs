//! Time under the real engine: the same records in any order, cut, number of shards and of
//! intakes, with any crashes in between, say the same. (Their executable model is the design's
//! `time_model.py`.)

mod world;

use std::collections::BTreeSet;

use foghorn_engine::{Entry, History};
use foghorn_eval::intake::IntakeStats;
use foghorn_model::{Labels, Partition, Signal, Timestamp, TransitionKind};
use foghorn_testkit::scenario::BEGIN;
use foghorn_wire::encode::RemoteWrite;
use world::rng::Rng;
use world::rules::{INSTANTS, RANGES, TOTALS};
use world::run::{PATIENCE, Run, Trouble, layout, replay, replay_with};
use world::source::{FIRST, SECOND, World};

fn rules_of(seed: u64) -> &'static str {
    [RANGES, RANGES, INSTANTS, TOTALS][seed as usize % 4]
}

/// A live run's log against replays of the same records under the log's decisions.
fn check_interleavings(seed: u64, rules: &str, trouble: Trouble, end_ms: i64) -> Result<usize, String> {
    let world = World::random(seed, rules, end_ms);
    let mut rng = Rng::new(seed ^ 0xfeed);
    let mut run = Run::start(&world, layout(&mut rng, PATIENCE));
    run.go(&mut rng, trouble);
    let told = run.told();
    for n in 0..2 {
        let again = replay(&world, &run.log, &mut rng);
        if std::env::var("DBG").is_ok() {
            for ((g, t), text) in &told.ticks { let o = again.ticks.get(&(g.clone(), *t)).map_or("-", |s| s.as_str());
                println!("{} {} {} {}", if o == text { " " } else { "X" }, g.name, t, text); if o != text { println!("            AGAIN {o}"); } }
            for e in &run.log { if let Entry::Pin(p) = e { println!("PIN {p:?}"); } if let Entry::Blind{..} = e { println!("{e:?}"); } if let Entry::Join{..} = e { println!("{e:?}"); }
              if let Entry::Read { positions } = e { println!("READ {positions:?}"); } if let Entry::Tick{group,tick,..} = e { println!("TICK {} {}", group.name, tick);} }
        }
        if let Some(difference) = told.differs(&again) {
            return Err(format!("seed {seed}, {} crashes, replay {n}: {difference}", run.crashes));
        }
    }
    Ok(told.words())
}

fn check_all(seeds: std::ops::Range<u64>, check: impl Fn(u64) -> Result<usize, String>) {
    let (mut words, mut bad, count) = (0, Vec::new(), seeds.end - seeds.start);
    for seed in seeds.filter(|s| std::env::var("SEED").map_or(true, |t| t == s.to_string())) {
        let begun = std::time::Instant::now();
        let result = check(seed);
        println!("seed {seed}: {:?} {:?}", begun.elapsed(), result.as_ref().map_err(|e| e.chars().take(900).collect::<String>()));
        match result {
            Ok(said) => words += said,
            Err(why) => bad.push(why),
        }
    }
    assert!(bad.is_empty(), "{} of {count} seeds; {}", bad.len(), bad[0]);
    assert!(words as u64 > count * 20, "too little was said to prove anything: {words} words");
}

#[test]
fn no_interleaving_changes_a_signal() {
    check_all(0..160, |seed| check_interleavings(seed, rules_of(seed), Trouble::default(), 150_000));
}

#[test]
fn nor_do_partitions_that_go_out_of_reach() {
    let trouble = Trouble { unreachable: true, ..Trouble::default() };
    check_all(0..60, |seed| check_interleavings(seed, rules_of(seed), trouble, 150_000));
}

#[test]
fn no_crash_says_anything_twice_or_otherwise() {
    let trouble = Trouble { crashes: 1, unreachable: true };
    check_all(0..120, |seed| check_interleavings(seed, [RANGES, RANGES, INSTANTS][seed as usize % 3], trouble, 360_000));
}
