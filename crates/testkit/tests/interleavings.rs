//! Time under the real engine: the same records in any order, cut, number of shards and of
//! intakes, with any crashes in between, say the same. (Their executable model is the design's
//! `time_model.py`.)

#[expect(dead_code, reason = "two tests share it, and each needs its own part")]
mod world;

use foghorn_testkit::rng::Rng;
use world::rules::{INSTANTS, RANGES, TOTALS};
use world::run::{PATIENCE, Run, Trouble, layout, replay, replay_with};
use world::source::World;

fn rules_of(seed: u64) -> &'static str {
    [RANGES, RANGES, INSTANTS, TOTALS][seed as usize % 4]
}

/// A live run's log against replays of the same records under the log's decisions.
fn check_interleavings(
    seed: u64,
    rules: &str,
    trouble: Trouble,
    end_ms: i64,
) -> Result<usize, String> {
    check_world(seed, &World::random(seed, rules, end_ms), trouble)
}

fn check_world(seed: u64, world: &World, trouble: Trouble) -> Result<usize, String> {
    let mut rng = Rng::new(seed ^ 0xfeed);
    let mut run = Run::start(world, layout(&mut rng, PATIENCE));
    run.only_log = trouble.only_log;
    run.go(&mut rng, trouble);
    let told = run.told();
    if !run.is_as_folded() {
        return Err(format!("seed {seed}: not what a fresh fold comes to"));
    }
    if trouble.snapshots && run.restored < run.crashes {
        return Err(format!("seed {seed}: a crash found no snapshot"));
    }
    for n in 0..2 {
        let again = replay(world, &run.log, &mut rng);
        if let Some(difference) = told.differs(&again) {
            return Err(format!(
                "seed {seed}, {} crashes, replay {n}: {difference}",
                run.crashes
            ));
        }
    }
    Ok(told.words())
}

fn check_all(seeds: impl IntoIterator<Item = u64>, check: impl Fn(u64) -> Result<usize, String>) {
    let (mut words, mut bad, mut count) = (0, Vec::new(), 0);
    for seed in seeds {
        count += 1;
        match check(seed) {
            Ok(said) => words += said,
            Err(why) => bad.push(why),
        }
    }
    assert!(bad.is_empty(), "{} of {count} seeds; {}", bad.len(), bad[0]);
    assert!(
        words > count * 10,
        "too little was said to prove anything: {words} words"
    );
}

#[test]
fn no_interleaving_changes_a_signal() {
    check_all(0..100, |seed| {
        check_interleavings(seed, rules_of(seed), Trouble::default(), 150_000)
    });
}

#[test]
fn nor_do_partitions_that_go_out_of_reach() {
    let trouble = Trouble {
        unreachable: true,
        ..Trouble::default()
    };
    check_all(0..40, |seed| {
        check_interleavings(seed, rules_of(seed), trouble, 150_000)
    });
}

fn check_crashes(seed: u64) -> Result<usize, String> {
    let trouble = Trouble {
        crashes: 1,
        unreachable: true,
        ..Trouble::default()
    };
    let rules = [RANGES, RANGES, INSTANTS][seed as usize % 3];
    check_interleavings(seed, rules, trouble, 360_000)
}

/// From snapshots totals come back, too, which the sources alone cannot give.
fn check_snapshots(seed: u64) -> Result<usize, String> {
    let trouble = Trouble {
        crashes: 1,
        unreachable: true,
        snapshots: true,
        ..Trouble::default()
    };
    check_interleavings(seed, rules_of(seed), trouble, 360_000)
}

#[test]
fn nor_does_a_crash_after_which_a_snapshot_is_gone_on_from() {
    check_all(0..30, check_snapshots);
}

/// The log before a snapshot is forgotten, and with it what only an older restart would ask for.
#[test]
fn nor_does_a_crash_after_which_only_what_the_log_came_to_is_left_of_a_snapshot() {
    let trouble = Trouble {
        crashes: 1,
        unreachable: true,
        snapshots: true,
        only_log: true,
    };
    check_all(0..18, |seed| {
        let rules = [RANGES, RANGES, INSTANTS][seed as usize % 3];
        check_interleavings(seed, rules, trouble, 360_000)
    });
}

/// What was heard of scopes comes back as well: some end in the midst.
#[test]
fn nor_do_scopes_that_a_snapshot_brings_back() {
    let trouble = Trouble {
        crashes: 1,
        unreachable: true,
        snapshots: true,
        ..Trouble::default()
    };
    check_all(0..14, |seed| {
        let ttl_ms = [20_000, 86_400_000][seed as usize % 2];
        let world = World::random(seed, rules_of(seed / 2), 360_000).scoped(ttl_ms);
        check_world(seed, &world, trouble)
    });
}

#[test]
fn no_crash_says_anything_twice_or_otherwise() {
    check_all(0..25, check_crashes);
}

#[test]
fn scopes_and_their_replicas_are_no_chance() {
    let trouble = Trouble {
        unreachable: true,
        ..Trouble::default()
    };
    check_all(0..60, |seed| {
        // In some, scopes end in the midst.
        let ttl_ms = [20_000, 86_400_000][seed as usize % 2];
        let world = World::random(seed, rules_of(seed / 2), 150_000).scoped(ttl_ms);
        check_world(seed, &world, trouble)
    });
}

#[test]
fn nor_do_crashes_change_what_is_seen_of_them() {
    let trouble = Trouble {
        crashes: 1,
        unreachable: true,
        ..Trouble::default()
    };
    check_all(0..15, |seed| {
        let rules = [RANGES, RANGES, INSTANTS][seed as usize % 3];
        // Without a snapshot a scope's silence is counted anew after a crash: none ends here.
        let world = World::random(seed, rules, 360_000).scoped(86_400_000);
        check_world(seed, &world, trouble)
    });
}

/// Totals said again, an all-clear forgotten, samples ahead of their stamps not read again, a
/// number given to two series after two death marks: each was found by one of these.
#[test]
fn what_was_found_once() {
    let seeds = [43, 45, 55, 112, 1_008, 1_071, 1_140, 1_224, 1_231, 1_266];
    check_all(seeds, check_crashes);
}

/// A longer search: `cargo test --release -p foghorn-testkit --test interleavings -- --ignored`.
#[test]
#[ignore = "takes minutes"]
fn a_thousand_seeds_more() {
    let trouble = Trouble {
        unreachable: true,
        ..Trouble::default()
    };
    check_all(1_000..2_000, |seed| {
        check_interleavings(seed, rules_of(seed), trouble, 150_000)
    });
    check_all(1_000..2_000, check_crashes);
    check_all(1_000..2_000, check_snapshots);
}

/// What keeps the tests above honest: without the log's pins, or without its other decisions, some
/// replay says something else.
#[test]
fn without_pins_a_replay_says_something_else() {
    let differs = |seed: &u64| {
        let world = World::random(*seed, RANGES, 150_000);
        let mut rng = Rng::new(*seed);
        let mut run = Run::start(&world, layout(&mut rng, PATIENCE));
        run.go(&mut rng, Trouble::default());
        replay_with(&world, &run.log, &mut rng, &[], PATIENCE)
            .differs(&run.told())
            .is_some()
    };
    let found = (0..20).filter(differs).count();
    assert!(
        found > 5,
        "only {found} of 20 seeds noticed that their pins were missing"
    );
}
