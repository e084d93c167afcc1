//! A data set on a topic, and runs of the live runtime over it, each checked against what the data
//! alone says must be found.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use foghorn_engine::Entry;
use foghorn_model::Timestamp;
use foghorn_runtime::StartFrom;
use foghorn_store::SignalLog;
use tokio::time::Instant;

use crate::check::{Findings, expected, found, ticks};
use crate::cluster::{Cluster, Filled};
use crate::dataset::{Dataset, T0_MS};
use crate::live::Setup;
use crate::loads::Load;
use crate::measure::resident_bytes;
use crate::rules::{self, INTERVAL_MS, Kind};
use crate::sys::cpu_seconds;
use crate::{Failure, logs};

/// No run takes longer than this.
const PATIENCE: Duration = Duration::from_mins(30);
/// Partitions of topics that results go to.
pub(crate) const OUTPUTS: u32 = 4;

/// See the module's text.
pub(crate) struct Loaded<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) load: Load,
    pub(crate) data: Dataset,
    pub(crate) filled: Filled,
}

/// What one run took, and found.
pub(crate) struct Run {
    pub(crate) cpu_s: f64,
    pub(crate) wall_s: f64,
    pub(crate) resident: u64,
    pub(crate) ticks: u64,
    /// What came out, as it was counted there.
    pub(crate) results: u64,
    findings: Findings,
    first: Timestamp,
    last: Timestamp,
}

/// What a run keeps against a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kept {
    /// State is in memory only, and there are no snapshots.
    Nothing,
    /// The signal log, synced before every effect, and the outbox.
    Log,
    /// That, and a snapshot every two seconds, where 5 minutes are the default.
    Snapshots,
}

/// See [`Kept::Snapshots`].
const SNAPSHOT_EVERY_MS: i64 = 2_000;

impl<'a> Loaded<'a> {
    /// Writes a data set to a topic of its own.
    pub(crate) fn fill(
        cluster: &'a Cluster,
        load: Load,
        purpose: &str,
        data: Dataset,
    ) -> Result<Self, Failure> {
        let filled = cluster.fill(purpose, |topic| load.fill(&data, topic))?;
        Ok(Self {
            cluster,
            load,
            data,
            filled,
        })
    }

    /// The last tick that must close.
    pub(crate) fn last_tick(&self) -> Timestamp {
        let lateness_ms = self.load.source("").allowed_lateness_ms();
        let watermark = self.filled.final_watermark(lateness_ms);
        watermark.next_slot(INTERVAL_MS, 0) - INTERVAL_MS
    }

    /// Reads the topic from its beginning until the last tick is closed and all samples are read.
    pub(crate) fn run(
        &self,
        kind: Kind,
        rules: usize,
        workers: usize,
        kept: Kept,
    ) -> Result<Run, Failure> {
        let dir = match kept {
            Kept::Nothing => tempfile::tempdir_in("/dev/shm")?,
            Kept::Log | Kept::Snapshots => tempfile::tempdir()?,
        };
        let output = self.cluster.topic("results", OUTPUTS)?;
        let (cpu, wall) = (cpu_seconds(), Instant::now());
        let setup = Setup {
            cluster: self.cluster,
            group: None,
            source: self.load.source(&self.filled.topic),
            rules: self.load.rules(kind, rules),
            workers,
            start: StartFrom::Earliest,
            // The data is years old: idle partitions would let ticks follow wall time until today.
            idle_timeout_ms: 3_600_000,
            state_dir: dir.path(),
            snapshot_interval_ms: (kept == Kept::Snapshots).then_some(SNAPSHOT_EVERY_MS),
            output: None,
            recorded: (kind == Kind::Record).then_some(&*output),
        };
        let running = setup.start()?;
        let last_tick = self.last_tick();
        let samples = self.data.samples() as f64;
        let counter = self.load.counter();
        running.wait("the last tick and the last sample", PATIENCE, |running| {
            let done = last_tick.ms() < T0_MS || running.last_tick() >= Some(last_tick);
            done && running.gauge(counter) >= samples
        })?;
        let read = running.gauge(counter);
        let failures = running.gauge("foghorn_rule_evaluation_failures_total");
        let late = running.gauge("foghorn_late_events_total");
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
        once_and_in_order(&ticks)?;
        let last = ticks.last().copied().unwrap_or_default();
        let findings = match kind {
            Kind::Record => recorded(self.cluster, &output, rules)?,
            Kind::Alert => found(&log, rules, last),
        };
        Ok(Run {
            cpu_s,
            wall_s,
            resident,
            ticks: ticks.len() as u64,
            results: findings.results.iter().sum(),
            findings,
            first: ticks.first().copied().unwrap_or_default(),
            last,
        })
    }

    /// Whether a run found what it must.
    pub(crate) fn check(&self, rules: usize, run: &Run) -> Result<(), Failure> {
        if run.last != self.last_tick() || run.first.ms() > T0_MS + INTERVAL_MS {
            return Err(format!(
                "ticks from {} to {}, expected up to {}",
                run.first,
                run.last,
                self.last_tick()
            )
            .into());
        }
        if self.load == Load::Logs {
            let results = logs::expected(&self.data, rules, run.first, run.last);
            return same(&run.findings.results, &results);
        }
        let expected = expected(&self.data, rules, run.first, run.last);
        same(&run.findings.results, &expected.results)?;
        same(&[run.findings.distinct], &[expected.distinct])
    }

    /// Whether the alerts of a whole log, which closed these ticks, are what they must be.
    pub(crate) fn check_alerts(
        &self,
        rules: usize,
        log: &[Entry],
        closed: &[Timestamp],
    ) -> Result<(), Failure> {
        let (Some(first), Some(last)) = (closed.first(), closed.last()) else {
            return Err("no tick was closed".into());
        };
        let expected = expected(&self.data, rules, *first, *last);
        same(&found(log, rules, *last).results, &expected.results)
    }
}

fn same(found: &[u64], expected: &[u64]) -> Result<(), Failure> {
    let differing = found.iter().zip(expected).position(|(a, b)| a != b);
    match differing {
        None => Ok(()),
        Some(i) => Err(format!(
            "found {} of rule {i}, expected {}; {} and {} in all",
            found[i],
            expected[i],
            found.iter().sum::<u64>(),
            expected.iter().sum::<u64>()
        )
        .into()),
    }
}

/// Every tick once.
pub(crate) fn once_and_in_order(ticks: &[Timestamp]) -> Result<(), Failure> {
    let in_order = ticks
        .windows(2)
        .all(|pair| pair[1] - pair[0] == INTERVAL_MS);
    if in_order {
        Ok(())
    } else {
        Err("ticks are missing, doubled or out of order".into())
    }
}

/// What stands on a topic of recorded samples: results of each rule, and distinct series.
pub(crate) fn recorded(cluster: &Cluster, topic: &str, rules: usize) -> Result<Findings, Failure> {
    let names: BTreeMap<String, usize> = (0..rules).map(|i| (rules::name(i), i)).collect();
    let mut results = vec![0; rules];
    let (mut series, mut unknown) = (BTreeSet::new(), 0);
    cluster.read(topic, |payload| match part(payload) {
        Some((name, rest)) if names.contains_key(name) => {
            results[names[name]] += 1;
            series.insert(rest.to_owned());
        }
        _ => unknown += 1,
    })?;
    if unknown > 0 {
        return Err(format!("{unknown} records of results are of no rule").into());
    }
    Ok(Findings {
        results,
        distinct: series.len() as u64,
    })
}

/// The name in a recorded sample's JSON, and the text from there to the value.
fn part(payload: &[u8]) -> Option<(&str, &str)> {
    let text = std::str::from_utf8(payload).ok()?;
    let (_, rest) = text.split_once("\"name\":\"")?;
    let (rest, _) = rest.rsplit_once(",\"value\"")?;
    Some((rest.split_once('"')?.0, rest))
}
