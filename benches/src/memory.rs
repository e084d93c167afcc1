//! Bytes of an active series in steady state (labels, a window, by default of 5 minutes at 15 s, and
//! the indexes that lead to it), and what a sample of it costs.
//!
//! Two figures of memory: what the shard accounts for (series, labels, windows), and by how much the
//! process grew (which holds the intake's and the shard's tables and the allocator's slack too). The
//! texts are written anew for each round and kept by nobody, and their writing is not timed: the
//! CPU time is that of decoding, intake and shard. With `--rules` the core evaluates as well, which
//! is timed by itself.

use foghorn_engine::RuleFile;
use foghorn_engine::core::Core;
use foghorn_ingest::SourceConfig;
use foghorn_model::Timestamp;
use foghorn_wire::Format;

use crate::Failure;
use crate::dataset::{Dataset, METRIC, T0_MS, mix};
use crate::measure::{resident_bytes, say};
use crate::rig::Rig;
use crate::rules::{Kind, catalog, file};
use crate::sys::cpu_seconds;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Series.
    #[arg(long, default_value_t = 100_000)]
    series: u64,
    /// Rules of the comparison, evaluated and recorded; 0 for one that reads 5 minutes and is not
    /// evaluated.
    #[arg(long, default_value_t = 0)]
    rules: usize,
    /// Rounds of samples.
    #[arg(long, default_value_t = 60)]
    rounds: i64,
    /// Seconds of event time between two rounds.
    #[arg(long, default_value_t = 15)]
    every: i64,
    /// Seconds that the one rule reads back.
    #[arg(long, default_value_t = 300)]
    range: i64,
    /// Values as the differential test's generator makes them: counters, walks, flags and values near
    /// a threshold. Without it each value has six digits of noise.
    #[arg(long)]
    mixed: bool,
}

/// Records between two hand-overs, as the runtime does it.
const BATCH: u64 = 1_000;
/// Bytes a series that are asked for, for windows of five minutes and for longer ones (three days at
/// 30 s), and the process' bytes at a million series.
const MOST: [f64; 2] = [512.0, 24_576.0];
const MOST_IN_ALL: u64 = 600_000_000;

/// Values of the differential test's kinds, one kind a series.
struct Mixed(Vec<f64>);

impl Mixed {
    fn next(&mut self, series: u64, round: i64) -> f64 {
        let chance = mix(series << 32 | round.unsigned_abs());
        let pick = |count: u64| (chance >> 8) % count;
        let last = &mut self.0[series as usize];
        *last = match mix(series) % 8 {
            // Counters, which now and then begin anew; some with a fraction.
            0..=3 if chance.is_multiple_of(33) => pick(4) as f64,
            0..=2 => *last + pick(37) as f64,
            3 => *last + pick(37) as f64 / 7.0,
            4 => pick(2) as f64,
            5 => *last + (pick(101) as f64 - 50.0) / 3.0,
            _ => [0.5, 1.0, 1.25, 2.0][pick(4) as usize] * 0.9 + [0.0, 0.1, 1.0][pick(3) as usize],
        };
        *last
    }
}

/// What a stage has taken: CPU-seconds of the later half of the rounds, and how often it ran.
#[derive(Default)]
struct Cost {
    cpu_s: f64,
    times: u64,
}

impl Cost {
    fn add<T>(&mut self, counts: bool, times: u64, work: impl FnOnce() -> T) -> T {
        let begin = cpu_seconds();
        let done = work();
        if counts {
            self.cpu_s += cpu_seconds() - begin;
            self.times += times;
        }
        done
    }

    fn ns(&self) -> f64 {
        self.cpu_s * 1e9 / self.times.max(1) as f64
    }
}

fn rules(args: &Args) -> RuleFile {
    if args.rules > 0 {
        return file(Kind::Record, args.rules);
    }
    RuleFile {
        path: "memory.yaml".to_owned(),
        text: format!(
            "groups:\n  - name: g\n    interval: {}s\n    rules:\n      - alert: A\n        expr: max_over_time({METRIC}[{}s]) > 1e9\n",
            args.every, args.range
        ),
    }
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let catalog = catalog(&rules(args))?;
    let mut rig = Rig::new(&catalog, &SourceConfig::of("m", Format::JsonMetrics));
    let mut core = Core::new(std::sync::Arc::clone(&catalog), Vec::new());
    core.start(Timestamp(T0_MS), Timestamp::MIN);
    let mut texts = vec![String::new(); BATCH as usize];
    let (mut feeding, mut ticking) = (Cost::default(), Cost::default());
    let mut mixed = Mixed(vec![0.0; args.series as usize]);
    let before = resident_bytes();
    for round in 0..args.rounds {
        let at = Timestamp(T0_MS + round * args.every * 1_000);
        let counts = round >= args.rounds / 2;
        for start in (0..args.series).step_by(BATCH as usize) {
            let count = BATCH.min(args.series - start);
            for i in 0..count {
                let (series, text) = (start + i, &mut texts[i as usize]);
                if args.mixed {
                    Dataset::write_as(series, at, mixed.next(series, round), text);
                } else {
                    Dataset::write_at(series, at, text);
                }
            }
            feeding.add(counts, count, || -> Result<(), Failure> {
                for text in &texts[..count as usize] {
                    rig.feed(text.as_bytes(), at)?;
                }
                rig.settle();
                Ok(())
            })?;
        }
        ticking.add(counts, args.series, || tick(args, &mut rig, &mut core, at));
    }
    let resident = resident_bytes();
    report(
        args,
        &rig,
        (resident - before, resident),
        &feeding,
        &ticking,
    )
}

/// Closes what may be closed.
fn tick(args: &Args, rig: &mut Rig, core: &mut Core, at: Timestamp) {
    if args.rules == 0 {
        rig.shard.closed(0, at);
    }
    while args.rules > 0 && core.next_tick(0) <= at {
        core.close(0, &mut [&mut rig.shard], false);
    }
}

fn report(
    args: &Args,
    rig: &Rig,
    (grown, resident): (u64, u64),
    feeding: &Cost,
    ticking: &Cost,
) -> Result<(), Failure> {
    let stats = rig.shard.stats();
    if stats.series as u64 != args.series {
        return Err(format!("{} series in place of {}", stats.series, args.series).into());
    }
    let per = |bytes: u64| bytes as f64 / args.series as f64;
    let verdict = |good: bool| if good { "PASS" } else { "over" };
    say(&format!(
        "{} series at {} s, 5 labels beside the name, {}; {}",
        args.series,
        args.every,
        if args.mixed {
            "values of all kinds"
        } else {
            "six digits"
        },
        match args.rules {
            0 => format!(
                "{} s windows ({} samples)",
                args.range,
                args.range / args.every
            ),
            rules => format!("{rules} rules of the comparison"),
        }
    ));
    say(&format!(
        "accounted: {:.0} bytes a series",
        per(stats.bytes as u64)
    ));
    let most = MOST[usize::from(args.range > 300)];
    say(&format!(
        "resident: {:.0} bytes a series: {} (at most {most:.0}); the process {} MB: {} (at most {} MB)",
        per(grown),
        verdict(per(grown) <= most),
        resident / 1_000_000,
        verdict(resident <= MOST_IN_ALL),
        MOST_IN_ALL / 1_000_000
    ));
    say(&format!(
        "CPU: {:.0} ns a sample from bytes to window; {:.0} ns a series and round for ticks",
        feeding.ns(),
        ticking.ns()
    ));
    Ok(())
}
