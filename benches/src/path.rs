//! From a topic to closed ticks: CPU-seconds per million samples, beside the bare loop.
//!
//! The same topic is read by a bare batch loop and by the live runtime, again and again in turns.
//! What a start costs is measured with a tiny data set and taken off. Every run is checked: samples
//! read, every tick closed once and in order; runs of alert rules also against the number of
//! results, per rule, computed from the data set (an alert has one per tick while it fires).

use std::time::Duration;

use foghorn_ingest::SourceConfig;
use foghorn_model::Timestamp;
use foghorn_runtime::StartFrom;
use foghorn_store::SignalLog;
use foghorn_wire::Format;
use tokio::time::Instant;

use crate::Failure;
use crate::check::{Findings, expected, found, ticks};
use crate::cluster::Cluster;
use crate::dataset::{Dataset, T0_MS};
use crate::live::Setup;
use crate::measure::{median, resident_bytes, say, spread};
use crate::rules::{INTERVAL_MS, Kind, file};
use crate::sys::cpu_seconds;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Samples (records), rounded down to whole seconds of event time.
    #[arg(long, default_value_t = 3_000_000)]
    events: u64,
    /// Series.
    #[arg(long, default_value_t = 10_000)]
    series: u64,
    /// Numbers of rules, each measured by itself.
    #[arg(long, value_delimiter = ',', default_value = "1,10")]
    rules: Vec<usize>,
    /// Worker threads of the runtime.
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// Runs of each kind.
    #[arg(long, default_value_t = 3)]
    runs: usize,
}

/// How far the watermark trails: the default of JSON metrics, in milliseconds.
const LATENESS_MS: i64 = 2_000;
/// Seconds of event time of the tiny data set.
const TINY: u64 = 2;

/// What one run of the runtime took, and found.
struct Run {
    cpu_s: f64,
    wall_s: f64,
    resident: u64,
    ticks: u64,
    findings: Findings,
    recorded: u64,
    first: Timestamp,
    last: Timestamp,
}

/// A data set on a topic.
struct Loaded<'a> {
    cluster: &'a Cluster,
    data: Dataset,
    topic: String,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let cluster = Cluster::start()?;
    let load = |purpose: &str, seconds: u64| -> Result<Loaded<'_>, Failure> {
        let data = Dataset::new(args.series, seconds.max(1));
        let topic = cluster.produce(purpose, &data)?;
        Ok(Loaded {
            cluster: &cluster,
            data,
            topic,
        })
    };
    let begin = Instant::now();
    let (full, tiny) = (
        load("full", args.events / args.series)?,
        load("tiny", TINY)?,
    );
    let extra = (full.data.samples() - tiny.data.samples()) as f64;
    say(&format!(
        "data: {} samples of {} series over {} s of event time, {} partitions, produced in {:.1} s",
        full.data.samples(),
        full.data.series(),
        full.data.seconds,
        crate::dataset::PARTITIONS,
        begin.elapsed().as_secs_f64()
    ));
    let bare = bare(args, &full, &tiny, extra)?;
    for rules in &args.rules {
        for kind in [Kind::Record, Kind::Alert] {
            compare(args, kind, *rules, &full, &tiny, &bare)?;
        }
    }
    Ok(())
}

/// The bare loop: CPU-seconds per million records of each run.
fn bare(
    args: &Args,
    full: &Loaded<'_>,
    tiny: &Loaded<'_>,
    extra: f64,
) -> Result<Vec<f64>, Failure> {
    let (mut costs, mut walls) = (Vec::new(), Vec::new());
    for _ in 0..args.runs {
        let fixed = tiny.cluster.bare(&tiny.topic, tiny.data.samples())?;
        let whole = full.cluster.bare(&full.topic, full.data.samples())?;
        costs.push((whole.cpu_s - fixed.cpu_s) / extra * 1e6);
        walls.push(whole.wall_s);
    }
    say(&format!(
        "bare librdkafka batch loop: {} CPU-s per million records, {:.2} M records per CPU-s, wall {} s",
        spread(&costs, 3),
        1.0 / median(&costs),
        spread(&walls, 2)
    ));
    Ok(costs)
}

fn compare(
    args: &Args,
    kind: Kind,
    rules: usize,
    full: &Loaded<'_>,
    tiny: &Loaded<'_>,
    bare: &[f64],
) -> Result<(), Failure> {
    let extra = (full.data.samples() - tiny.data.samples()) as f64;
    let (mut costs, mut walls) = (Vec::new(), Vec::new());
    let mut last = None;
    for _ in 0..args.runs {
        let fixed = tiny.run(kind, rules, args.workers)?;
        let whole = full.run(kind, rules, args.workers)?;
        full.check(kind, rules, &whole)?;
        costs.push((whole.cpu_s - fixed.cpu_s) / extra * 1e6);
        walls.push(whole.wall_s);
        last = Some(whole);
    }
    let Some(last) = last else {
        return Err("no runs".into());
    };
    let word = if kind == Kind::Record {
        "record"
    } else {
        "alert"
    };
    say(&format!(
        "foghorn, {rules} {word} rules, {} worker(s): {} CPU-s per million samples, {:.0} k samples per CPU-s, {:.2} times the bare loop, wall {} s, {} MB resident",
        args.workers,
        spread(&costs, 3),
        1e3 / median(&costs),
        median(&costs) / median(bare),
        spread(&walls, 2),
        last.resident >> 20
    ));
    let results: u64 = last.findings.results.iter().sum();
    say(&match kind {
        Kind::Record => format!(
            "  checked: {} samples, {} ticks once and in order, {} series recorded",
            full.data.samples(),
            last.ticks,
            last.recorded
        ),
        Kind::Alert => format!(
            "  checked: {} samples, {} ticks, {results} results of {} (rule, series) as computed from the data",
            full.data.samples(),
            last.ticks,
            last.findings.distinct
        ),
    });
    Ok(())
}

impl Loaded<'_> {
    /// The last tick that must close.
    fn last_tick(&self) -> Timestamp {
        let watermark = self.data.final_watermark(LATENESS_MS);
        watermark.next_slot(INTERVAL_MS, 0) - INTERVAL_MS
    }

    /// Reads the topic from its beginning until the last tick is closed and all samples are read.
    fn run(&self, kind: Kind, rules: usize, workers: usize) -> Result<Run, Failure> {
        let dir = tempfile::tempdir()?;
        let source = SourceConfig {
            topics: vec![self.topic.clone()],
            ..SourceConfig::of("m", Format::JsonMetrics)
        };
        let (cpu, wall) = (cpu_seconds(), Instant::now());
        let setup = Setup {
            cluster: self.cluster,
            source,
            rules: file(kind, rules),
            workers,
            start: StartFrom::Earliest,
            // The data is years old: idle partitions would let ticks follow wall time until today.
            idle_timeout_ms: 3_600_000,
            state_dir: dir.path(),
            output: None,
            recorded: None,
        };
        let running = setup.start()?;
        let last_tick = self.last_tick();
        let samples = self.data.samples() as f64;
        running.wait(
            "the last tick and the last sample",
            Duration::from_mins(5),
            |running| {
                let closed = running
                    .live
                    .view()
                    .groups()
                    .first()
                    .and_then(|group| group.last_tick);
                let done = last_tick.ms() < T0_MS || closed >= Some(last_tick);
                done && running.gauge("foghorn_samples_total") >= samples
            },
        )?;
        let read = running.gauge("foghorn_samples_total");
        let failures = running.gauge("foghorn_rule_evaluation_failures_total");
        let late = running.gauge("foghorn_late_events_total");
        let recorded = running.gauge("foghorn_series_recorded") as u64;
        let resident = resident_bytes();
        running.finish()?;
        let (cpu_s, wall_s) = (cpu_seconds() - cpu, wall.elapsed().as_secs_f64());
        if read != samples || failures != 0.0 || late != 0.0 {
            return Err(format!(
                "{read} of {samples} samples, {failures} failed evaluations, {late} late samples"
            )
            .into());
        }
        let (_, log) = SignalLog::open(&dir.path().join("signals"))?;
        let ticks = ticks(&log);
        let (first, last) = (
            ticks.first().copied().unwrap_or_default(),
            ticks.last().copied().unwrap_or_default(),
        );
        let in_order = ticks
            .windows(2)
            .all(|pair| pair[1] - pair[0] == INTERVAL_MS);
        if !in_order {
            return Err("ticks are missing, doubled or out of order".into());
        }
        Ok(Run {
            cpu_s,
            wall_s,
            resident,
            ticks: ticks.len() as u64,
            findings: found(&log, rules, last),
            recorded,
            first,
            last,
        })
    }

    fn check(&self, kind: Kind, rules: usize, run: &Run) -> Result<(), Failure> {
        if run.last != self.last_tick() || run.first.ms() > T0_MS + INTERVAL_MS {
            return Err(format!(
                "ticks from {} to {}, expected up to {}",
                run.first,
                run.last,
                self.last_tick()
            )
            .into());
        }
        let expected = expected(&self.data, rules, run.first, run.last);
        if kind == Kind::Record {
            // What the last tick recorded is there, and nothing that no tick recorded.
            let least = expected_at(&self.data, rules, run.last);
            if (least..=expected.distinct).contains(&run.recorded) {
                return Ok(());
            }
            return Err(format!(
                "{} series recorded, not {least} to {}",
                run.recorded, expected.distinct
            )
            .into());
        }
        if run.findings != expected {
            return Err(format!("found {:?}, expected {expected:?}", run.findings).into());
        }
        Ok(())
    }
}

/// Results at one tick.
fn expected_at(data: &Dataset, rules: usize, tick: Timestamp) -> u64 {
    expected(data, rules, tick, tick).results.iter().sum()
}
